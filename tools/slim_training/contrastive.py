"""The fully connected layers: SINT's contrastive loss on pairs of boxes, the convolutions fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from tracker.data.images import crop, to_tensor
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.models.backbones import GRID, Backbone, Slim, autocast, resolve_precision, roi_pool
from tracker.models.sint import join_parts
from tracker.training import figures
from tracker.training.losses import contrastive_loss
from tracker.training.sampling import draw_boxes

from .settings import BackboneTraining

__all__ = ["matching_figures", "train_fully_connected"]


@dataclass(frozen=True)
class _Candidates:
    """Pooled maps of the boxes of a frame, the target's own first, and their labels."""

    parts: list[Tensor]
    same: Tensor


def _pooled(backbone: Backbone, image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> list[Tensor]:
    device = next(backbone.parameters()).device
    dtype = resolve_precision("auto", device)
    crops = np.stack([crop(image, box, backbone.input_size) for box in boxes])
    with torch.inference_mode(), autocast(device, dtype):
        maps = backbone.maps(
            to_tensor(crops, device).contiguous(memory_format=torch.channels_last), backbone.sint_layers
        )
        return [roi_pool(maps[name]).flatten(1).half() for name in backbone.sint_layers]


def _candidates(
    backbone: Backbone, sequence: Sequence, t: int, count: int, rng: np.random.Generator
) -> _Candidates | None:
    image = sequence.frames[t]
    drawn = draw_boxes(sequence.boxes[t], image.shape[1], image.shape[0], count, rng)
    if drawn is None:
        return None
    labels = torch.from_numpy(drawn[1]).to(next(backbone.parameters()).device)
    return _Candidates([part.clone() for part in _pooled(backbone, image, drawn[0])], labels)


def train_fully_connected(
    slim: Slim, train: list[Sequence], held_out: list[Sequence], settings: BackboneTraining, progress: bool
) -> list[dict[str, float]]:
    """SINT's pairs: (target of frame m) x (boxes of frame n), and the other way round; keep the best step."""
    rng = np.random.default_rng([settings.seed, 2])
    torch.manual_seed(settings.seed)
    table: list[list[_Candidates]] = []
    for sequence in tqdm(train, desc="boxes", unit="video", disable=not progress):
        found = [_candidates(slim, sequence, int(t), settings.boxes_per_frame, rng) for t in sequence.present]
        table.append([frame for frame in found if frame is not None])
    table = [frames for frames in table if len(frames) > 1]
    if not table:
        raise InputError(
            f"No training sequence has two frames with {settings.boxes_per_frame - 1} boxes around the target in"
            " the frame; give other sequences."
        )
    layers = [slim.fc6, slim.fc7, slim.fc8]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.fc_learning_rate, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.fc_steps)

    def loss_of(rows: list[_Candidates], columns: list[_Candidates]) -> Tensor:
        same = torch.cat([frame.same for frame in columns])
        conv4, conv5 = (torch.cat([frame.parts[i] for frame in columns]).float() for i in (0, 1))
        anchor4, anchor5 = (
            torch.cat(
                [
                    frame.parts[i][:1].expand(len(other.same), -1)
                    for frame, other in zip(rows, columns, strict=True)
                ]
            )
            for i in (0, 1)
        )
        stacks = [
            slim.fc_outputs(part.float().unflatten(1, (-1, GRID, GRID)), slim.fully_connected)
            for part in (anchor5, conv5)
        ]
        first = join_parts([anchor4, anchor5, stacks[0]["fc6"]])
        second = join_parts([conv4, conv5, stacks[1]["fc6"]])
        loss = contrastive_loss(first, second, same)
        for name in slim.fully_connected:
            loss = loss + contrastive_loss(join_parts([stacks[0][name]]), join_parts([stacks[1][name]]), same)
        return loss

    curve: list[dict[str, float]] = []
    best: tuple[float, dict[str, Tensor]] | None = None
    bar = tqdm(range(settings.fc_steps), desc="contrastive", unit="step", disable=not progress)
    every = max(1, settings.fc_steps // 10)
    running = 0.0
    for step in bar:
        rows, columns = [], []
        for _ in range(settings.frame_pairs):
            frames = table[rng.integers(len(table))]
            m, n = rng.choice(len(frames), 2, replace=False)
            rows += [frames[m], frames[n]]
            columns += [frames[n], frames[m]]
        loss = loss_of(rows, columns)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        running += loss.item()
        if (step + 1) % every == 0:
            figures = matching_figures(slim, held_out)
            curve.append({"step": step + 1, "training_loss": running / every, **figures})
            bar.set_postfix(loss=f"{running / every:.4f}", auc=f"{figures['pair_auc']:.4f}")
            running = 0.0
            if best is None or figures["pair_auc"] > best[0]:
                state = {k: v.clone() for k, v in slim.state_dict().items() if k.startswith("fc")}
                best = (figures["pair_auc"], state)
    if best is not None:
        slim.load_state_dict(best[1], strict=False)
    return curve


def matching_figures(backbone: Backbone, sequences: list[Sequence], with_fc: bool = True) -> dict[str, float]:
    """How well a network's SINT score tells a target from what lies around it; every box is cut out.

    Args:
        backbone: The network.
        sequences: Annotated; the first frame's target is the exemplar.
        with_fc: Whether fc6 is part of the descriptor.

    Returns:
        `pair_auc` and `top1` of `tracker.training.figures.matching_figures`.

    Raises:
        InputError: If no frame has enough candidates.
    """

    def describe(sequence: Sequence, t: int, boxes: NDArray[np.float64]) -> Tensor:
        return _descriptor(backbone, _pooled(backbone, sequence.frames[t], boxes), with_fc)

    found = figures.matching_figures(describe, sequences)
    return {name: found[name] for name in ("pair_auc", "top1")}


def _descriptor(backbone: Backbone, parts: list[Tensor], with_fc: bool) -> Tensor:
    parts = [part.float() for part in parts]
    if with_fc and backbone.fully_connected:
        grid = parts[-1].unflatten(1, (-1, GRID, GRID))
        parts = [*parts, backbone.fc_outputs(grid, ["fc6"])["fc6"]]
    return join_parts(parts)
