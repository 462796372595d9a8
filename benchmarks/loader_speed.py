"""What loader workers are worth: SiamFC's training and hard positives of single images with 0, 1 and 2 of them.

Each number of workers runs in turn, `rounds` times, and the medians are printed: the time, and the processor time
of the main process, which other programs on the machine change less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import tyro
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from agents.common.versions import device_name
from agents.hard_positives.transforms import HardPositiveTransform
from tracker.models.backbones import resolve_device
from tracker.models.siamfc import SiamFCNet
from tracker.training import SiamFCTraining, TrainingRun, open_folder
from tracker.training.loop import drawing
from tracker.training.siamfc import SiamFCPairs, SiamFCTrainer

WORKERS = (0, 1, 2)
METHODS = ("random", "best of 4 random", "belief")
BATCH = 8


class Images(Dataset[torch.Tensor]):
    """Images of 320 x 240 pixels with one box, occluded."""

    def __init__(self, transform: HardPositiveTransform) -> None:
        """Take the transform."""
        self.transform = transform

    def __len__(self) -> int:
        """More than are taken."""
        return 10**6

    def __getitem__(self, index: int) -> torch.Tensor:
        """An image of noise, occluded."""
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 240, 320), generator=generator, dtype=torch.uint8)
        box = tv_tensors.BoundingBoxes(torch.tensor([[120, 80, 60, 90]]), format="XYWH", canvas_size=(240, 320))
        occluded: torch.Tensor = self.transform(tv_tensors.Image(image), box)[0]
        return occluded


def timed(batches: Iterable[Any], count: int, take: Callable[[int, Any], object]) -> tuple[float, float]:
    """Seconds, and processor seconds of this process, of a batch, after the first five."""
    start = (0.0, 0.0)
    for number, batch in enumerate(batches):
        if number == 5:
            start = (time.perf_counter(), time.process_time())
        if number == 5 + count:
            break
        take(number, batch)
    return (time.perf_counter() - start[0]) / count, (time.process_time() - start[1]) / count


def main(data: Path, steps: int = 20, images: int = 160, rounds: int = 3, device: str = "auto") -> None:
    """Measure.

    Args:
        data: Folder of annotated videos.
        steps: Steps of the training that are timed.
        images: Hard positives that are timed.
        rounds: Of each.
        device: Where SiamFC is trained.
    """
    place = resolve_device(device)
    train, _ = open_folder(data)
    # A rate so low that random weights do not diverge; the time is the same.
    settings = SiamFCTraining(steps=10**6, learning_rate=1e-12)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for workers in WORKERS:
            run = TrainingRun(progress=False, loader_workers=workers)
            pairs = SiamFCPairs(train, settings, run.bytes_per_cache)
            trainer = SiamFCTrainer(SiamFCNet().to(place), pairs, pairs, None, run)
            trainer.state |= {"slope": 1.0, "offset": 0.0}
            with drawing(trainer.draw, range(steps + 6), workers, place.type == "cuda") as batches:
                found.setdefault(f"step of SiamFC, {workers} workers", []).append(
                    timed(batches, steps, trainer.step)
                )
        for method in METHODS:
            for workers in WORKERS:
                transform = HardPositiveTransform(1.0, method, None if method == "random" else "sint")
                loader = DataLoader(Images(transform), BATCH, num_workers=workers)
                wall, processor = timed(loader, max(1, images // BATCH), lambda number, batch: None)
                found.setdefault(f"hard positive, {method}, {workers} workers", []).append(
                    (wall / BATCH, processor / BATCH)
                )
    print(f"on {device_name(place)}")
    for name, rows in found.items():
        wall, processor = (1e3 * statistics.median(part) for part in zip(*rows, strict=True))
        print(f"{name}: {wall:.2f} ms ({1e3 / wall:.1f} a second), {processor:.2f} ms of processor here")


if __name__ == "__main__":
    tyro.cli(main)
