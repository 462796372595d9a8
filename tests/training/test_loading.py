"""Loader workers: the batches of steps in their order, and the errors of a worker in one sentence."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tracker.data.images import write_png
from tracker.data.sequences import ImageFiles, Sequence
from tracker.errors import InputError
from tracker.models.sint import Sint
from tracker.training import PairSampler, SiamFCTraining, TrainingRun, train_sint
from tracker.training.frames import Views, ViewSampler
from tracker.training.loop import StepDataset, drawing
from tracker.training.siamfc import SiamFCPairs
from tracker.training.sint import SintTrainer


def process_of(step: int) -> tuple[int, int]:
    return step, os.getpid()


def kill(step: int, number: int) -> int:
    if step == 1:
        os.kill(os.getpid(), number)
    return step


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_steps_come_in_their_order(workers: int) -> None:
    with drawing(process_of, range(3, 11), workers, pinned=False) as batches:
        found = list(batches)
    assert [step for step, _ in found] == list(range(3, 11))
    processes = {process for _, process in found}
    assert len(processes) == max(1, workers) and (os.getpid() in processes) == (workers == 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_read_is_one_sentence(tmp_path: Path, workers: int) -> None:
    files = [tmp_path / f"{t}.png" for t in range(3)]
    for file in files:
        write_png(file, np.zeros((64, 64, 3), np.uint8))
    boxes = np.tile([20.0, 20, 16, 16], (3, 1))
    video = Sequence("video", ImageFiles(files), boxes, np.ones(3), "", "annotation")
    draw = partial(SiamFCPairs([video], SiamFCTraining(shift=0)).draw, count=1)
    for file in files:
        file.write_bytes(b"no image")
    with (
        pytest.raises(InputError, match=r"png' .*") as caught,
        drawing(draw, range(2), workers, pinned=False) as batches,
    ):
        next(batches)
    assert "Traceback" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_is_one_sentence(number: int) -> None:
    with (
        pytest.raises(InputError, match="A loader worker was killed.*fewer --loader-workers"),
        drawing(partial(kill, number=number), range(4), 1, pinned=False) as batches,
    ):
        list(batches)


def test_workers_leave_an_interrupt_to_the_main_process() -> None:
    with drawing(partial(kill, number=signal.SIGINT), range(4), 1, pinned=False) as batches:
        assert list(batches) == [0, 1, 2, 3]


def test_other_errors_stay() -> None:
    def fail(step: int) -> int:
        raise RuntimeError("of the draw")

    with pytest.raises(RuntimeError, match="of the draw"), drawing(fail, range(2), 0, pinned=False) as batches:
        list(batches)


def test_draws_are_the_same_in_a_spawned_worker(videos, config, settings) -> None:
    """Where processes are not forked, the draws are pickled; their caches start empty."""
    changing = replace(settings, flip=0.5, jitter=0.2, shift=0.1)
    draw = ViewSampler(PairSampler(videos[0], changing), Views(config, videos[0], shifts=True))
    siamfc = partial(SiamFCPairs(videos[0], SiamFCTraining()).draw, count=2)
    for each in (draw, siamfc):
        copy = pickle.loads(pickle.dumps(each))
        first, second = each(4), copy(4)
        tensors = [part for part in first if isinstance(part, torch.Tensor)]
        assert tensors and all(map(torch.equal, tensors, [p for p in second if isinstance(p, torch.Tensor)]))
    loader = DataLoader(
        StepDataset(draw), sampler=[4, 5], batch_size=None, num_workers=1, multiprocessing_context="spawn",
        collate_fn=tuple,
    )  # fmt: skip
    for step, (_, images, corners) in zip((4, 5), loader, strict=True):
        wanted = draw(step)
        assert torch.equal(images, wanted.images) and all(map(np.array_equal, corners, wanted.corners))


def test_sints_training_is_the_same_with_any_number(
    videos, config, settings, tiny_file: Path, tmp_path: Path
) -> None:
    changing = replace(settings, steps=4, flip=0.5, jitter=0.2, shift=0.1, image_pairs=2)
    for workers in (0, 1, 2):
        run = TrainingRun("fp32", progress=False, loader_workers=workers)
        train_sint(*videos, tmp_path / str(workers), config, changing, tiny_file, run=run)
    for name in ("slim.safetensors", "slim.json"):
        assert len({(tmp_path / str(workers) / name).read_bytes() for workers in (0, 1, 2)}) == 1


def test_cached_maps_need_no_worker(videos, config, settings, tiny_file: Path) -> None:
    run = TrainingRun("fp32", progress=False, loader_workers=2)
    for rates, workers in (((("conv*", 0.0),), 0), ((("*", 1.0),), 2)):
        sampler = PairSampler(videos[0], replace(settings, layer_rates=rates))
        assert SintTrainer(Sint.load(config, tiny_file), sampler, videos[1], run).loader_workers == workers


def test_workers_share_the_cache() -> None:
    assert [TrainingRun(cache_bytes=900, loader_workers=n).bytes_per_cache for n in (0, 1, 3)] == [900, 900, 300]
    for number in (-1, 1001):
        with pytest.raises(InputError, match="loader_workers is"):
            TrainingRun(loader_workers=number)
