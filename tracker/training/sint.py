"""SINT's training: from sequences to a network and its card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.identity import content_digest
from ..data.images import to_tensor
from ..data.sequences import Sequence
from ..errors import InputError
from ..models.backbones import Chain, autocast
from ..models.sint import Sint, SintConfig, join_parts, save_sint, sint_descriptor, to_rois, view_of
from .data import check_disjoint
from .figures import matching_figures
from .frames import FrozenMaps, PairViews, Views, ViewSampler
from .hard_positives import TrainingPositive, digest
from .hardening import Hardening, MakeHardening, harden_frames, step_generator
from .loop import Trainer
from .losses import contrastive_loss
from .rates import frozen_convolution, make_optimizer, multipliers
from .sampling import ImagePair, PairSampler
from .settings import SintTraining, TrainingRun


def train_sint(
    train: Iterable[Sequence],
    held_out: Iterable[Sequence],
    out: str | Path,
    config: SintConfig | None = None,
    settings: SintTraining | None = None,
    weights: str | Path | None = None,
    hard_positives: Iterable[TrainingPositive] = (),
    device: str | torch.device = "cpu",
    run: TrainingRun | None = None,
    harden: MakeHardening | None = None,
) -> dict[str, Any]:
    """Train SINT; an interrupted run resumes, and ends with the same bytes as one that was not interrupted.

    Args:
        train: The videos to learn from.
        held_out: The videos that decide which step is the best, by `pair_auc`, then by the loss.
        out: Receives the weights and their card (`tracker.models.sint.save_sint`), and the folder `work/` that an
            interrupted run resumes from.
        config: The network; `SintConfig()` by default.
        settings: See `SintTraining`.
        weights: Weights of the backbone, see `load_backbone`.
        hard_positives: Images for the second frames of pairs, see `PairSampler`.
        device: Where the network runs.
        run: See `TrainingRun`.
        harden: Makes the hardening of the second frames of pairs, given the network; it applies to pasted hard
            positives too.

    Returns:
        The card: what it was trained on, and the figures on the held-out videos before and after.

    Raises:
        InputError: If there is nothing to train or to validate on, a setting cannot be used, or `out` holds a
            run with other settings, data, weights or precision.
    """
    config, settings, run = config or SintConfig(), settings or SintTraining(), run or TrainingRun()
    train, held_out, positives = list(train), list(held_out), list(hard_positives)
    if not held_out:
        raise InputError("There is no validation video; hold out at least one that nothing is trained on.")
    check_disjoint(train, held_out)
    reach = 0.5 - 0.5 / config.context
    if settings.shift > reach:
        raise InputError(
            f"A shift of {settings.shift:g} can lose the target; with this search region give at most {reach:.2f}."
        )
    sampler = PairSampler(train, settings, positives)
    if positives and not sampler.hard_positives:
        raise InputError(f"None of the {len(positives)} hard positives is of a training video; give others.")
    sint = Sint.load(config, weights, device, settings.seed)
    hardening = None if harden is None else harden(sint)
    trainer = SintTrainer(sint, sampler, held_out, run, hardening)
    record: dict[str, Any] = {
        "config": asdict(config),
        "settings": asdict(settings),
        "weights": sint.base,
        "frames": {sequence.name: len(sequence.present) for sequence in train},
        "held_out": {sequence.name: len(sequence.present) for sequence in held_out},
        "data": {sequence.name: content_digest(sequence) for sequence in [*train, *held_out]},
        "hard_positives": digest(sampler.hard_positives) if positives else None,
        "hardening": None if hardening is None else hardening.record(),
        "arithmetic": trainer.arithmetic,
    }
    out = Path(out)
    initial = {}
    if settings.interpolation < 1:
        initial = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.train(out, record)
    curve = trainer.state["curve"]
    after = trainer.best_figures if settings.keep == "best" else curve[-1]
    with torch.no_grad():
        if settings.keep == "best":
            for name, value in trainer.best.items():
                trainer.parameters[name].copy_(value)
        for name, value in initial.items():
            trainer.parameters[name].copy_(value.lerp(trainer.parameters[name], settings.interpolation))
        if initial:
            after = {**after, **trainer.matching_figures()}
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
        "settings": record["settings"],
        "arithmetic": record["arithmetic"],
        "best_step": trainer.state["best_step"],
        "validation": {
            "before": curve[0],
            "after": after,
            "curve": curve,
        },
    }
    save_sint(out, sint, trainer.parameters, card)
    return card


class SintTrainer(Trainer):
    """Trains SINT on pairs of boxes by the contrastive loss, and keeps the step that validates best.

    The settings of the training are those of `sampler`.
    """

    name = "sint"

    def __init__(
        self,
        sint: Sint,
        sampler: PairSampler,
        held_out: list[Sequence],
        run: TrainingRun,
        hardening: Hardening | None = None,
    ) -> None:
        self.sint, self.sampler, self.held_out, self.hardening = sint, sampler, held_out, hardening
        self.settings = settings = sampler.settings
        backbone = sint.backbone
        self.rates = multipliers(backbone, settings.layer_rates)
        optimizer = make_optimizer(backbone, self.rates, settings)
        super().__init__(backbone, optimizer, settings, run, settings.schedule, settings.validate_every)
        self.state |= {"loss": 0.0, "curve": [], "best_step": 0}
        self.keep_best()
        self.views = Views(
            sint.config, sampler.sequences, sampler.hard_positives, run.bytes_per_cache, settings.shift > 0
        )
        self.maps: FrozenMaps | None = None
        frozen = frozen_convolution(backbone, self.rates)
        fixed = settings.flip == settings.jitter == settings.shift == 0 and hardening is None
        if frozen is not None and fixed and (isinstance(backbone, Chain) or frozen == backbone.convolutions[-1]):
            self.maps = FrozenMaps(backbone, frozen, self.views, self.dtype, run.map_bytes)
            self.loader_workers = 0
        self.draw = ViewSampler(sampler, self.views) if self.maps is None else sampler.draw

    @property
    def best_figures(self) -> dict[str, Any]:
        """The validation of the best step."""
        return next(row for row in self.state["curve"] if row["step"] == self.state["best_step"])

    def loss(self, step: int, drawn: PairViews | list[ImagePair]) -> Tensor:
        """The contrastive loss of the descriptor, and with `auxiliary_weight` of each fully connected layer."""
        pairs = drawn.pairs if isinstance(drawn, PairViews) else drawn
        # For each pair the labels of the boxes of its second frame, then of its first.
        labels = np.stack([np.stack([pair.second.same, pair.first.same]) for pair in pairs])
        same = torch.from_numpy(labels).to(self.device)
        descriptor, *auxiliary = self._describe(drawn, same[:, 0], step)
        same = same.flatten()
        loss = self._contrast(descriptor, same)
        for vectors in auxiliary:
            loss = loss + self.settings.auxiliary_weight * self._contrast(vectors, same)
        return loss

    def record_loss(self, loss: float) -> None:
        """Add up the losses since the last validation."""
        self.state["loss"] += loss

    def validate(self, step: int) -> dict[str, float]:
        """Add the matching figures to the curve; the best step has the highest `pair_auc`, then the least loss."""
        curve, figures = self.state["curve"], self.matching_figures()
        steps = step - (curve[-1]["step"] if curve else 0)
        mean = round(self.state["loss"] / steps, 6) if steps else None
        curve.append({"step": step, "training_loss": mean, **figures})
        self.state["loss"] = 0.0
        best = self.best_figures
        if (figures["pair_auc"], -figures["loss"]) > (best["pair_auc"], -best["loss"]):
            self.keep_best()
            self.state["best_step"] = step
        return figures

    def matching_figures(self) -> dict[str, float]:
        """The figures of `tracker.training.figures.matching_figures` on the held-out videos."""
        return matching_figures(self._embed, self.held_out, self.settings.validation_frames, self.settings.loss)

    def _embed(self, sequence: Sequence, t: int, boxes: NDArray[np.float64]) -> Tensor:
        """The descriptors of boxes of a frame, which is shown around the first of them as in training."""
        view = view_of(self.sint.config, sequence.frames[t], boxes[0])
        image = to_tensor(view.image, self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(self.device, self.dtype):
            return self.sint(image, to_rois([view.corners(boxes)], self.device))

    def _describe(self, drawn: PairViews | list[ImagePair], same: Tensor, step: int) -> list[Tensor]:
        """Unit vectors of all boxes: SINT's, then those of each fully connected layer if they have a loss.

        Pairs without views are described by their cached maps.
        """
        generator = step_generator(self.settings.seed, step)
        hardening = None if self.hardening is None else self.hardening.at(step / self.steps)
        if isinstance(drawn, PairViews):
            images, rois = drawn.load(self.device), to_rois(drawn.corners, self.device)
            if hardening is not None:
                # Outside of autocast: it would keep the weights that the hardening casts without gradients.
                images = harden_frames(hardening, images, rois, self.sint.backbone.input_size, generator)
            with autocast(self.device, self.dtype):
                maps = self.sint.backbone.maps(images, self.sint.backbone.sint_layers)
                return self._vectors(maps, rois, same, hardening, generator)
        assert self.maps is not None
        frames = [frame for pair in drawn for frame in (pair.first, pair.second)]
        rois = to_rois([self.views(frame).corners(frame.boxes) for frame in frames], self.device)
        with autocast(self.device, self.dtype):
            return self._vectors(self.maps(frames), rois, same, hardening, generator)

    def _vectors(
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
            by_pair = [part.unflatten(0, (len(same), 2, -1)) for part in pooled]
            second = hardening.on_features(
                [part[:, 1] for part in by_pair], same, [part[:, 0, 0] for part in by_pair], generator
            )
            both = zip(by_pair, second, strict=True)
            pooled = [torch.stack([part[:, 0], changed], 1).flatten(0, 2) for part, changed in both]
        vectors = [sint_descriptor(backbone, pooled)]
        if self.settings.auxiliary_weight:
            stacked = backbone.fc_outputs(pooled[-1], backbone.fully_connected)
            vectors += [join_parts([part]) for part in stacked.values()]
        return vectors

    def _contrast(self, vectors: Tensor, same: Tensor) -> Tensor:
        """(Target of the first frame) x (boxes of the second), and the other way round, for every pair."""
        grid = vectors.unflatten(0, (-1, 2, self.settings.boxes_per_frame))
        targets = grid[:, :, :1].expand_as(grid)
        return contrastive_loss(targets.flatten(0, 2), grid.flip(1).flatten(0, 2), same, form=self.settings.loss)
