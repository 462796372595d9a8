"""The convolutions: a 1 x 1 regression from the student's pooled maps to VGG-16's, and the teacher's similarities.

The similarities between the crops of a batch are what SINT's cosine compares, so they are a loss of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from tracker.data.boxes import visible_fraction
from tracker.data.images import crop, resize, to_tensor
from tracker.data.sequences import Sequence
from tracker.files import replacing_file
from tracker.models.backbones import GRID, Backbone, Slim, autocast, resolve_precision, roi_pool, save_weights
from tracker.training.loop import flat_moments, restore_moments

from .settings import BackboneTraining

__all__ = ["VIEWS", "distil", "teacher_maps"]

VIEWS = 6
"""Kinds of crops of a frame."""


def _views(
    image: NDArray[np.uint8], box: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Six kinds of crops of a frame: what the net will be shown as scorer and as state."""
    height, width = image.shape[:2]
    x, y, w, h = box

    def around(shift: float, low: float, high: float) -> NDArray[np.float64]:
        scale = np.exp(
            rng.uniform(np.log(low), np.log(high), 2) * 0.5 + rng.uniform(np.log(low), np.log(high)) * 0.5
        )
        centre = np.array([x + w / 2, y + h / 2]) + rng.normal(0, shift, 2) * [w, h]
        side = np.maximum([w, h] * scale, 6.0)
        found = np.concatenate([centre - side / 2, side])
        return found if visible_fraction(found, width, height) > 0.3 else box

    def anywhere() -> NDArray[np.float64]:
        side = np.clip(np.array([w, h]) * np.exp(rng.uniform(-1.2, 0.4, 2)), 6, [width, height])
        return np.concatenate([rng.uniform(0, 1, 2) * ([width, height] - side), side])

    yield crop(image, around(0.05, 0.85, 1.2))
    yield crop(image, around(0.25, 0.2, 0.7))
    yield crop(image, around(0.3, 0.7, 1.4))
    yield crop(image, around(0.2, 1.3, 3.0))
    yield crop(image, anywhere())
    occluded = crop(image, around(0.03, 0.9, 1.1))
    rows, columns = occluded.shape[:2]
    high, wide = (max(1, int(side * rng.uniform(0.25, 0.7))) for side in (rows, columns))
    top, left = rng.integers(0, rows - high + 1), rng.integers(0, columns - wide + 1)
    occluded[top : top + high, left : left + wide] = resize(crop(image, anywhere()), wide, high)
    yield occluded


def teacher_maps(
    sequences: list[Sequence], vgg: Backbone, stem: Path, settings: BackboneTraining, progress: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Crops at the student's size and the teacher's pooled maps of them, on disk; resumes by frame."""
    kinds, side = VIEWS * settings.rounds, Slim.input_size
    frames = [(sequence, int(t)) for sequence in sequences for t in sequence.present]
    count = len(frames) * kinds
    crop_file, map_file, done_file = (stem.with_suffix(suffix) for suffix in (".crops", ".maps", ".done"))
    done = int(done_file.read_text()) if done_file.exists() else 0
    crops = np.memmap(crop_file, np.uint8, "r+" if done else "w+", shape=(count, side, side, 3))
    maps = np.memmap(map_file, np.float16, "r+" if done else "w+", shape=(count, 2, 512, GRID, GRID))
    device = next(vgg.parameters()).device
    dtype = resolve_precision("auto", device)
    bar = tqdm(total=len(frames), initial=done, desc="teacher", unit="frame", disable=not progress)
    with torch.inference_mode(), autocast(device, dtype):
        for position in range(done, len(frames)):
            sequence, t = frames[position]
            rng = np.random.default_rng([settings.seed, position])
            box, image = sequence.boxes[t], sequence.frames[t]
            views = [view for _ in range(settings.rounds) for view in _views(image, box, rng)]
            large = np.stack([resize(view, vgg.input_size, vgg.input_size) for view in views])
            found = vgg.maps(
                to_tensor(large, device).contiguous(memory_format=torch.channels_last), vgg.sint_layers
            )
            pooled = torch.stack([roi_pool(found[name]) for name in vgg.sint_layers], dim=1)
            rows = slice(position * kinds, (position + 1) * kinds)
            crops[rows] = np.stack([resize(view, side, side) for view in views])
            maps[rows] = pooled.half().cpu().numpy()
            bar.update()
            if position % 100 == 99 or position == len(frames) - 1:
                crops.flush()
                maps.flush()
                with replacing_file(done_file) as temporary:
                    temporary.write_text(str(position + 1))
    bar.close()
    return crops, maps


def _similarities(flat: Tensor) -> Tensor:
    unit = functional.normalize(flat.flatten(1).float())
    return unit @ unit.T


def distil(
    slim: Slim,
    crops: NDArray[np.uint8],
    knowledge: NDArray[np.float16],
    checkpoint: Path,
    settings: BackboneTraining,
    progress: bool,
) -> None:
    """Fit the convolutions; a checkpoint an epoch, and every epoch's draws depend on its number alone."""
    device = next(slim.parameters()).device
    dtype = resolve_precision("auto", device)
    torch.manual_seed(settings.seed)
    for name in slim.convolutions:
        layer = slim.get_submodule(name)
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layer.bias.data.zero_()
    widths = [int(slim.get_submodule(name).out_channels) for name in slim.sint_layers]  # type: ignore[arg-type]
    heads = nn.ModuleList([nn.Conv2d(width, 512, 1) for width in widths]).to(device)
    learner = nn.ModuleDict({"slim": slim, "heads": heads})
    parameters = [parameter for name, parameter in learner.named_parameters() if ".fc" not in name]
    steps = len(crops) // settings.batch_size
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps, pct_start=0.1
    )
    sample = np.random.default_rng(settings.seed).integers(0, len(knowledge), 256)
    spread = np.sqrt((knowledge[np.sort(sample)].astype(np.float32) ** 2).mean(axis=(0, 2, 3, 4)))
    scale = torch.from_numpy(spread).to(device)

    first = 0
    if checkpoint.exists():
        state = load_file(checkpoint)
        first = int(state.pop("epoch"))
        restore_moments(optimizer, {k[8:]: v for k, v in state.items() if k.startswith("moments.")})
        learner.load_state_dict({k[8:]: v for k, v in state.items() if k.startswith("learner.")})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step()` before")
            for _ in range(first * steps):
                schedule.step()
    for epoch in range(first, settings.epochs):
        rng = np.random.default_rng([settings.seed, 1, epoch])
        order = rng.permutation(len(crops))[: steps * settings.batch_size].reshape(steps, -1)
        bar = tqdm(order, desc=f"distil {epoch + 1}/{settings.epochs}", unit="step", disable=not progress)
        totals = np.zeros(2)
        for rows in bar:
            rows = np.sort(rows)
            images = to_tensor(crops[rows], device)
            target = torch.from_numpy(knowledge[rows]).to(device).float()
            if rng.random() < 0.5:
                images, target = images.flip(3), target.flip(4)
            with autocast(device, dtype):
                found = slim.maps(images.contiguous(memory_format=torch.channels_last), slim.sint_layers)
                pooled = [roi_pool(found[name]) for name in slim.sint_layers]
                guesses = [head(part) for head, part in zip(heads, pooled, strict=True)]
            regression = torch.stack(
                [(guess.float() - target[:, i] / scale[i]).square().mean() for i, guess in enumerate(guesses)]
            ).sum()
            similarity = torch.stack(
                [
                    (_similarities(part) - _similarities(target[:, i])).square().mean()
                    for i, part in enumerate(pooled)
                ]
            ).sum()
            optimizer.zero_grad(set_to_none=True)
            (regression + settings.similarity_weight * similarity).backward()
            optimizer.step()
            schedule.step()
            totals += regression.item(), similarity.item()
            done = bar.n + 1
            bar.set_postfix(regression=f"{totals[0] / done:.4f}", similarity=f"{totals[1] / done:.5f}")
        state = {f"learner.{k}": v.contiguous() for k, v in learner.state_dict().items()}
        state |= {f"moments.{k}": v for k, v in flat_moments(optimizer).items()}
        state["epoch"] = torch.tensor(epoch + 1)
        save_weights(checkpoint, state)
