"""SINT's training: from sequences to a network and its card."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..data.identity import check_identity, content_digest
from ..data.images import to_tensor
from ..data.sequences import Sequence
from ..errors import InputError
from ..files import remove_leftovers
from ..models.backbones import Precision, autocast, describe_arithmetic, resolve_precision
from ..models.sint import Sint, SintConfig, join_parts, save_sint, sint_descriptor, to_rois, view_of
from .checkpoints import read_checkpoint, write_checkpoint
from .frames import FrozenMaps, Views, shown
from .hard_positives import HardPositive, digest
from .hardening import Hardening, MakeHardening, harden_frames, step_generator
from .losses import contrastive_loss
from .matching import Describe, MatchingFigures, matching_figures
from .rates import frozen_convolution, make_optimizer, multipliers
from .runs import TrainingRun
from .sampling import ImagePair, PairSampler
from .settings import SintTraining

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["describe_views", "train_sint"]


def describe_views(sint: Sint, precision: Precision = "auto") -> Describe:
    """The network's description of boxes, each frame shown around the first of them as in training."""
    device = sint.backbone.mean.device
    dtype = resolve_precision(precision, device)

    def describe(sequence: Sequence, t: int, boxes: NDArray[np.float64]) -> Tensor:
        view = view_of(sint.config, sequence.frames[t], boxes[0])
        image = to_tensor(view.image, device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device, dtype):
            return sint(image, to_rois([view.corners(boxes)], device))

    return describe


def train_sint(
    train: Iterable[Sequence],
    held_out: Iterable[Sequence],
    out: str | Path,
    config: SintConfig | None = None,
    settings: SintTraining | None = None,
    weights: str | Path | None = None,
    hard_positives: Iterable[HardPositive] = (),
    device: str | torch.device = "cpu",
    run: TrainingRun | None = None,
    harden: MakeHardening | None = None,
) -> dict[str, Any]:
    """Train SINT; a run that was cut off goes on, and ends with the same bytes as one that was not.

    Args:
        train: The videos to learn from.
        held_out: The videos that decide which step is the best, by `pair_auc`, then by the loss.
        out: Receives the weights and their card (`tracker.models.sint.save_sint`), and the folder `work/` that a
            cut-off run resumes from.
        config: The network; `SintConfig.fast()` by default.
        settings: See `SintTraining`.
        weights: Of the backbone, see `load_backbone`.
        hard_positives: See `PairSampler`.
        device: Where it runs.
        run: See `TrainingRun`.
        harden: Makes of the network that is trained what changes the second frame of each pair, hard positives
            that are pasted into it included.

    Returns:
        The card: what it was trained on, and the figures on the held-out videos before and after.

    Raises:
        InputError: If there is nothing to train or to validate on, a setting cannot be used, or `out` holds a
            run with other settings, data, weights or precision.
    """
    config, settings, run = config or SintConfig.fast(), settings or SintTraining(), run or TrainingRun()
    train, held_out, positives = list(train), list(held_out), list(hard_positives)
    if not held_out:
        raise InputError("There is no validation video; hold out at least one that nothing is trained on.")
    if both := {sequence.name for sequence in train} & {sequence.name for sequence in held_out}:
        raise InputError(f"The video '{sorted(both)[0]}' is trained on and held out; it can be one of them.")
    reach = 0.5 - 0.5 / config.context
    if settings.shift > reach:
        raise InputError(
            f"A shift of {settings.shift:g} can lose the target; with this search region give at most {reach:.2f}."
        )
    writer = _summary_writer(run.tensorboard)
    sampler = PairSampler(train, settings, positives)
    if positives and not sampler.hard_positives:
        raise InputError(f"None of the {len(positives)} hard positives is of a training video; give others.")
    sint = Sint.load(config, weights, device, settings.seed)
    hardening = None if harden is None else harden(sint)
    trainer = _Trainer(sint, sampler, held_out, settings, run, hardening)

    out = Path(out)
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    record: dict[str, Any] = {
        "config": config.record(),
        "settings": settings.record(),
        "weights": sint.base,
        "frames": {sequence.name: len(sequence.present) for sequence in train},
        "held_out": {sequence.name: len(sequence.present) for sequence in held_out},
        "data": {sequence.name: content_digest(sequence) for sequence in [*train, *held_out]},
        "hard_positives": digest(sampler.hard_positives) if positives else None,
        "hardening": None if hardening is None else hardening.record(),
        "arithmetic": describe_arithmetic(trainer.dtype, trainer.device),
    }
    check_identity(work / "run.json", record, what="a run with other settings")
    with ExitStack() as stack:
        if writer is not None:
            stack.callback(writer.close)
        trainer.train(work / "checkpoint.safetensors", writer)
    card = {
        "network": f"SINT on {config.features}; RGB in [0, 1], {config.side} x {config.side}",
        "parameters": sum(parameter.numel() for parameter in sint.backbone.parameters()),
        "layer_rates": trainer.rates,
        "trained_on": sorted(record["frames"]),
        "frames": sum(record["frames"].values()),
        "validated_on": sorted(record["held_out"]),
        "hard_positives": {
            "used": len(sampler.hard_positives),
            "of_other_videos": sampler.unused,
            "share": settings.hard_share,
            "digest": record["hard_positives"],
        }
        if positives
        else None,
        "hardening": record["hardening"],
        "settings": settings.record(),
        "arithmetic": record["arithmetic"],
        "best_step": trainer.state["best_step"],
        "validation": {
            "before": trainer.state["curve"][0],
            "after": trainer.kept_figures,
            "curve": trainer.state["curve"],
        },
    }
    save_sint(out, sint, trainer.parameters, card)
    return card


class _Trainer:
    """The loop; what it has done so far is its parameters, its moments and `state`."""

    def __init__(
        self,
        sint: Sint,
        sampler: PairSampler,
        held_out: list[Sequence],
        settings: SintTraining,
        run: TrainingRun,
        hardening: Hardening | None = None,
    ) -> None:
        self.sint, self.sampler, self.held_out, self.settings, self.run = sint, sampler, held_out, settings, run
        self.hardening = hardening
        backbone = sint.backbone
        self.device = backbone.mean.device
        self.dtype = resolve_precision(run.precision, self.device)
        self.rates = multipliers(backbone, settings.layer_rates)
        self.optimizer, self._factors = make_optimizer(backbone, self.rates, settings)
        self.parameters = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
        self.best = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.state: dict[str, Any] = {"step": 0, "loss": 0.0, "curve": [], "best_step": 0}
        self.views = Views(
            sint.config, sampler.sequences, sampler.hard_positives, run.cache_bytes, settings.shift > 0
        )
        frozen = frozen_convolution(backbone, self.rates)
        self.maps: FrozenMaps | None = None
        changes = settings.augments or hardening is not None
        if frozen is not None and not changes and FrozenMaps.possible(backbone, frozen):
            self.maps = FrozenMaps(backbone, frozen, self.views, self.dtype, run.map_bytes)

    @property
    def best_figures(self) -> dict[str, Any]:
        return next(row for row in self.state["curve"] if row["step"] == self.state["best_step"])

    @property
    def kept_figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = self.best_figures if self.settings.keep == "best" else self.state["curve"][-1]
        return figures

    def train(self, checkpoint: Path, writer: SummaryWriter | None) -> None:
        """Go on to the last step, and put the best parameters in place."""
        settings, state = self.settings, self.state
        if (found := read_checkpoint(checkpoint, self.parameters, self.optimizer)) is not None:
            self.best, known = found
            state.update(known)
        else:
            self._validate(0, writer)
        bar = tqdm(
            range(state["step"], settings.steps),
            desc="sint", unit="step", initial=state["step"], total=settings.steps, disable=not self.run.progress,
        )  # fmt: skip
        last = time.monotonic()
        for step in bar:
            loss = self._step(step)
            if not math.isfinite(loss):
                raise InputError(f"The loss is {loss} at step {step + 1}; give a lower learning rate.")
            state["loss"] += loss
            state["step"] = step + 1
            if writer is not None:
                writer.add_scalar("training/loss", loss, step + 1)
                writer.add_scalar("training/learning_rate", settings.learning_rate * self._decay(step), step + 1)
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                figures = self._validate(step + 1, writer)
                bar.set_postfix(
                    loss=f"{self.state['curve'][-1]['training_loss']:.4f}", auc=f"{figures.pair_auc:.4f}"
                )
            if time.monotonic() - last >= self.run.checkpoint_seconds or step + 1 == settings.steps:
                write_checkpoint(checkpoint, self.parameters, self.optimizer, self.best, state)
                last = time.monotonic()
        if settings.keep == "best":
            with torch.no_grad():
                for name, value in self.best.items():
                    self.parameters[name].copy_(value)

    def _decay(self, step: int) -> float:
        """The schedule's factor of a step, by its number."""
        if self.settings.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    def _step(self, step: int) -> float:
        pairs = self.sampler.draw(step)
        for group, factor in zip(self.optimizer.param_groups, self._factors, strict=True):
            group["lr"] = self.settings.learning_rate * factor * self._decay(step)
        # For each pair the labels of the boxes of its second frame, then of its first.
        labels = np.stack([np.stack([pair.second.same, pair.first.same]) for pair in pairs])
        same = torch.from_numpy(labels).to(self.device)
        parts = self._describe(pairs, same[:, 0], step)
        same = same.flatten()
        loss = self._loss(parts[0], same)
        for part in parts[1:]:
            loss = loss + self.settings.auxiliary_weight * self._loss(part, same)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _describe(self, pairs: list[ImagePair], same: Tensor, step: int) -> list[Tensor]:
        """Unit vectors of all boxes: SINT's, then those of the fully connected layers alone where they count."""
        generator = step_generator(self.settings.seed, step)
        hardening = None if self.hardening is None else self.hardening.at(step / self.settings.steps)
        if self.maps is None:
            images, corners = shown(self.views, pairs, self.device)
            rois = to_rois(corners, self.device)
            if hardening is not None:
                # Outside of autocast: it would keep the weights that the hardening casts without gradients.
                images = harden_frames(hardening, images, rois, self.sint.backbone.input_size, generator)
            with autocast(self.device, self.dtype):
                maps = self.sint.backbone.maps(images, self.sint.backbone.sint_layers)
                return self._parts(maps, rois, same, hardening, generator)
        frames = [frame for pair in pairs for frame in (pair.first, pair.second)]
        rois = to_rois([self.views(frame).corners(frame.boxes) for frame in frames], self.device)
        with autocast(self.device, self.dtype):
            return self._parts(self.maps(frames), rois, same, hardening, generator)

    def _parts(
        self,
        maps: dict[str, Tensor],
        rois: Tensor,
        same: Tensor,
        hardening: Hardening | None,
        generator: torch.Generator,
    ) -> list[Tensor]:
        backbone = self.sint.backbone
        pooled = [backbone.pool(name, maps[name], rois) for name in backbone.sint_layers]
        if hardening is not None:
            views = [part.unflatten(0, (len(same), 2, -1)) for part in pooled]
            second = hardening.on_features(
                [view[:, 1] for view in views], same, [view[:, 0, 0] for view in views], generator
            )
            both = zip(views, second, strict=True)
            pooled = [torch.stack([view[:, 0], changed], 1).flatten(0, 2) for view, changed in both]
        found = [sint_descriptor(backbone, pooled)]
        if self.settings.auxiliary_weight:
            stacked = backbone.fc_outputs(pooled[-1], backbone.fully_connected)
            found += [join_parts([part]) for part in stacked.values()]
        return found

    def _loss(self, vectors: Tensor, same: Tensor) -> Tensor:
        """(Target of the first frame) x (boxes of the second), and the other way round, for every pair."""
        grid = vectors.unflatten(0, (-1, 2, self.settings.boxes_per_frame))
        targets = grid[:, :, :1].expand_as(grid)
        return contrastive_loss(targets.flatten(0, 2), grid.flip(1).flatten(0, 2), same, form=self.settings.loss)

    def _validate(self, step: int, writer: SummaryWriter | None) -> MatchingFigures:
        settings = self.settings
        figures = matching_figures(
            describe_views(self.sint, self.run.precision), self.held_out, settings.validation_frames,
            form=settings.loss,
        )  # fmt: skip
        steps = step - (self.state["curve"][-1]["step"] if self.state["curve"] else 0)
        mean = round(self.state["loss"] / steps, 6) if steps else None
        self.state["curve"].append({"step": step, "training_loss": mean, **asdict(figures)})
        self.state["loss"] = 0.0
        before = self.best_figures
        if (figures.pair_auc, -figures.loss) > (before["pair_auc"], -before["loss"]):
            self.best = {name: value.detach().clone() for name, value in self.parameters.items()}
            self.state["best_step"] = step
        if writer is not None:
            for name, value in asdict(figures).items():
                writer.add_scalar(f"validation/{name}", value, step)
        return figures


def _summary_writer(folder: Path | None) -> SummaryWriter | None:
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed; install occlusion-search[tensorboard], or leave --tensorboard out."
        ) from None
    make: Callable[[str], SummaryWriter] = SummaryWriter
    return make(str(folder))
