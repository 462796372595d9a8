"""Hard positives in the workers of a `DataLoader`: their seeds, under fork and spawn."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from agents.hard_positives.transforms import HardPositiveBatch, HardPositiveTransform

BOX = (30, 20, 24, 16)
CHUNK = 4
"""Images of a batch; each worker makes whole batches."""


def picture() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    made = torch.randint(0, 90, (3, 60, 90), generator=generator, dtype=torch.uint8)
    x, y, w, h = BOX
    made[:, y : y + h, x : x + w] = 255
    return made


class Same(Dataset):
    """The same image at every index, so that images differ by what is drawn for them alone."""

    def __init__(self, transform: torch.nn.Module) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 4 * CHUNK

    def __getitem__(self, index: int) -> torch.Tensor:
        if isinstance(self.transform, HardPositiveBatch):
            return self.transform(picture()[None], torch.tensor([BOX]))[0]
        box = tv_tensors.BoundingBoxes(torch.tensor([BOX]), format="XYWH", canvas_size=(60, 90))
        return self.transform(tv_tensors.Image(picture()), box)[0]


def epochs(
    transform: torch.nn.Module, start: str | None, seed: int, count: int = 2, **options
) -> list[list[bytes]]:
    """The images of each epoch, as bytes."""
    loader = DataLoader(
        Same(transform), batch_size=CHUNK, num_workers=0 if start is None else 2, multiprocessing_context=start,
        generator=torch.Generator().manual_seed(seed), **options,
    )  # fmt: skip
    return [[image.numpy().tobytes() for batch in loader for image in batch] for _ in range(count)]


@pytest.mark.parametrize("transform", [HardPositiveTransform(p=1.0), HardPositiveBatch()])
@pytest.mark.parametrize("persistent", [False, True])
def test_no_draw_comes_twice_and_a_seed_repeats(transform: torch.nn.Module, persistent: bool) -> None:
    """Over the workers, within an epoch and over epochs."""
    found = epochs(transform, "fork", 0, persistent_workers=persistent)
    every = [image for epoch in found for image in epoch]
    assert len(set(every)) == len(every) == 8 * CHUNK and picture().numpy().tobytes() not in every
    assert epochs(transform, "fork", 0, persistent_workers=persistent) == found
    other = epochs(transform, "fork", 1, persistent_workers=persistent)
    assert not set(every) & {image for epoch in other for image in epoch}


def test_spawned_workers_draw_what_forked_ones_draw() -> None:
    transform = HardPositiveTransform(p=1.0)
    assert epochs(transform, "spawn", 3, 1) == epochs(transform, "fork", 3, 1)


def test_without_workers_torchs_seed_repeats() -> None:
    transform, found = HardPositiveTransform(p=1.0), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(epochs(transform, None, 0))
    assert (
        found[0] == found[1]
        and len({image for run in found[1:] for epoch in run for image in epoch}) == 16 * CHUNK
    )


def test_a_named_scorer_is_loaded_in_each_worker() -> None:
    """The belief's searches, too, follow from the worker's seed."""
    transform = HardPositiveTransform(p=1.0, scorer="sint", method="best of 2 random")
    (found,) = epochs(transform, "fork", 0, 1)
    assert len(set(found)) == len(found) and epochs(transform, "fork", 0, 1) == [found]
