"""What loader workers are worth: SiamFC's training and hard positives of single images with 0, 1 and 2 of them.

Each number of workers runs in turn, `rounds` times. The figures are medians: pairs or images a second, the time of
a batch, and the processor time of the main process, which other programs on the machine change less.

    python benchmarks/loader_speed.py --data DIR --json-file benchmarks/results/loader_speed.json
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.common.versions import device_name
from agents.hard_positives.transforms import HardPositiveTransform
from tracker.models.backbones import resolve_device
from tracker.models.siamfc import SiamFCNet
from tracker.training import SiamFCTraining, TrainingRun, open_folder
from tracker.training.loop import drawing
from tracker.training.siamfc import SiamFCPairs, SiamFCTrainer

WORKERS = (0, 1, 2)
DRAW, STEP = "pairs of SiamFC", "steps of SiamFC"
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


def main(
    data: Path,
    steps: int = 20,
    images: int = 160,
    rounds: int = 3,
    device: str = "auto",
    json_file: Path | None = None,
) -> None:
    """Measure.

    Args:
        data: Folder of annotated videos.
        steps: Steps of the training, and draws of its pairs, that are timed.
        images: Hard positives that are timed.
        rounds: Of each.
        device: Where SiamFC is trained.
        json_file: Write the figures to this file.
    """
    check_json_path(json_file)
    check_counts(steps=steps, images=images, rounds=rounds)
    place = resolve_device(device)
    train, _ = open_folder(data)
    # A rate so low that random weights do not diverge; the time is the same.
    settings = SiamFCTraining(steps=10**6, learning_rate=1e-12)
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for workers in WORKERS * rounds:
        run = TrainingRun(progress=False, loader_workers=workers)
        pairs = SiamFCPairs(train, settings, run.bytes_per_cache)
        trainer = SiamFCTrainer(SiamFCNet().to(place), pairs, pairs, None, run)
        trainer.state |= {"slope": 1.0, "offset": 0.0}
        programs: dict[str, Callable[[int, Any], object]] = {DRAW: lambda number, batch: None, STEP: trainer.step}
        for name, take in programs.items():
            with drawing(trainer.draw, range(steps + 6), workers, place.type == "cuda") as batches:
                times = timed(batches, steps, take)
            found.setdefault(name, {}).setdefault(workers, []).append(times)
        for method in METHODS:
            transform = HardPositiveTransform(1.0, method, None if method == "random" else "sint")
            loader = DataLoader(Images(transform), BATCH, num_workers=workers)
            times = timed(loader, max(1, images // BATCH), lambda number, batch: None)
            found.setdefault(method, {}).setdefault(workers, []).append(times)
    sizes = {DRAW: settings.pairs, STEP: settings.pairs}
    figures = {
        name: {str(workers): figures_of(rows, sizes.get(name, BATCH)) for workers, rows in by_workers.items()}
        for name, by_workers in found.items()
    }
    for name, by_workers in figures.items():
        for number, row in by_workers.items():
            print(f"{name}, {number} workers: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    write_result(
        json_file,
        "loader_speed",
        {
            "device": device_name(place),
            "load_average": os.getloadavg()[0],
            "siamfc": {"pairs": settings.pairs, "draw": figures[DRAW], "step": figures[STEP]},
            "hard_positives": {method: figures[method] for method in METHODS},
        },
    )


def figures_of(rows: list[tuple[float, float]], size: int) -> dict[str, float]:
    """Medians over the rounds of batches of `size` pairs or images."""
    wall, processor = (statistics.median(part) for part in zip(*rows, strict=True))
    return {"a_second": size / wall, "batch_ms": 1e3 * wall, "main_process_ms": 1e3 * processor}


if __name__ == "__main__":
    run_script(main)
