"""SiamFC's training: from sequences and released weights to a network and its card.

Bertinetto et al. 2016, sections 2.2 and 3.2: pairs of an exemplar and a search region of one video, and the
logistic loss of every cell of the response, those near the target against all others. Batch norm is folded into
the convolutions, so they learn as plain ones.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ..data.identity import check_identity, content_digest
from ..data.sequences import Sequence
from ..errors import InputError
from ..files import remove_leftovers, replacing_file
from ..models.backbones import autocast, describe_arithmetic, fingerprint, resolve_precision, save_weights
from ..models.siamfc import SiamFCNet, respond
from .checkpoints import read_checkpoint, write_checkpoint
from .hardening import FrameTransform, step_generator
from .runs import TrainingRun
from .siamfc_pairs import SearchPairs, SiamFCPairs, SiamFCTraining, response_labels

__all__ = ["balanced_logistic", "train_siamfc"]

_CALIBRATION = 16
_SLOPE = 4.0


def balanced_logistic(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean logistic loss over responses, in each of which positive and negative cells weigh the same.

    Args:
        logits: `[N, H, W]`.
        labels: `bool[N, H, W]`, some and not all of each.

    Returns:
        A scalar.
    """
    signs = torch.where(labels, 1.0, -1.0)
    each = functional.softplus(-signs * logits)
    weights = torch.where(
        labels, 0.5 / labels.sum((1, 2), keepdim=True), 0.5 / (~labels).sum((1, 2), keepdim=True)
    )
    return (each * weights).sum(dim=(1, 2)).mean()


def train_siamfc(
    net: SiamFCNet,
    train: Iterable[Sequence],
    held_out: Iterable[Sequence],
    out: str | Path,
    settings: SiamFCTraining | None = None,
    transform: FrameTransform | None = None,
    run: TrainingRun | None = None,
) -> dict[str, Any]:
    """Train SiamFC on; a run that was cut off goes on, and ends with the same bytes as one that was not.

    The response has no scale of its own, so it is brought to logits by a slope and an offset that are taken once,
    from what the given network answers on training pairs: 0 lies halfway between the mean response at targets and
    that elsewhere, which are 4 apart (less where a network tells them apart by less than its responses vary). They
    are no part of the network; a tracker needs none.

    Args:
        net: The network, where it runs; it is changed.
        train: The videos to learn from.
        held_out: The videos by whose pairs the loss is told before and after; the last step is kept in any case.
        out: Receives `siamfc.safetensors`, which `load_siamfc` and `SiamFCTracker` read, `siamfc.json`, its
            card, and the folder `work/` that a cut-off run resumes from.
        settings: See `SiamFCTraining`.
        transform: Changes the search regions of each step, such as to occlude targets; its draws follow from the
            seed and the step's number. It may ask `net`, which is as it is at that moment. Its `repr` tells it
            from others in the run's record.
        run: See `TrainingRun`.

    Returns:
        The card.

    Raises:
        InputError: If there is nothing to train on, the loss diverges, or `out` holds a run of something else.
    """
    settings, run = settings or SiamFCTraining(), run or TrainingRun()
    pairs = SiamFCPairs(train, settings, run.cache_bytes)
    judged = SiamFCPairs(held_out, settings, run.cache_bytes)
    names = [[each.name for each in side.sequences] for side in (pairs, judged)]
    if both := set(names[0]) & set(names[1]):
        raise InputError(f"The video '{min(both)}' is trained on and held out; it can be one of them.")
    out = Path(out)
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    trainer = _Trainer(net, pairs, judged, settings, transform, run)
    record: dict[str, Any] = {
        "network": "SiamFC-3s, five convolutions; RGB from 0 to 255",
        "weights": fingerprint(net),
        "settings": settings.record(),
        "transform": None if transform is None else repr(transform),
        "trained_on": {each.name: len(each.present) for each in pairs.sequences},
        "validated_on": {each.name: len(each.present) for each in judged.sequences},
        "data": {each.name: content_digest(each) for each in [*pairs.sequences, *judged.sequences]},
        "arithmetic": describe_arithmetic(trainer.dtype, trainer.device),
    }
    check_identity(work / "run.json", record, what="a run with other settings")
    trainer.train(work / "checkpoint.safetensors")
    state = trainer.state
    card = record | {
        "logits": {"slope": state["slope"], "offset": state["offset"]},
        "training_loss": state["losses"],
        "validation_loss": {"before": state["before"], "after": state["after"]},
    }
    save_weights(out / "siamfc.safetensors", {name: value.float() for name, value in net.state_dict().items()})
    with replacing_file(out / "siamfc.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return card


class _Trainer:
    """The loop; what it has done so far is the network, the optimizer's moments and `state`."""

    def __init__(
        self,
        net: SiamFCNet,
        pairs: SiamFCPairs,
        judged: SiamFCPairs,
        settings: SiamFCTraining,
        transform: FrameTransform | None,
        run: TrainingRun,
    ) -> None:
        self.net, self.pairs, self.judged = net.requires_grad_(True), pairs, judged
        for layer in list(net.children())[: settings.frozen]:
            layer.requires_grad_(False)
        self.settings, self.transform, self.run = settings, transform, run
        self.net.to(memory_format=torch.channels_last)
        self.device = next(net.parameters()).device
        self.dtype = resolve_precision(run.precision, self.device)
        self.parameters = {name: value for name, value in net.named_parameters() if value.requires_grad}
        self.optimizer = torch.optim.SGD(
            self.parameters.values(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
        )
        self.state: dict[str, Any] = {"step": 0, "losses": []}

    def train(self, checkpoint: Path) -> None:
        """Go on to the last step."""
        settings, state = self.settings, self.state
        if (found := read_checkpoint(checkpoint, self.parameters, self.optimizer)) is not None:
            state.update(found[1])
        else:
            self._calibrate()
            state["before"] = self._validate()
        bar = tqdm(
            range(state["step"], settings.steps),
            desc="siamfc", unit="step", initial=state["step"], total=settings.steps, disable=not self.run.progress,
        )  # fmt: skip
        last = time.monotonic()
        for step in bar:
            loss = self._step(step)
            if not math.isfinite(loss):
                raise InputError(f"The loss is {loss} at step {step + 1}; give a lower learning rate.")
            state["losses"].append(round(loss, 6))
            state["step"] = step + 1
            bar.set_postfix(loss=f"{loss:.4f}")
            if step + 1 == settings.steps:
                state["after"] = self._validate()
            if time.monotonic() - last >= self.run.checkpoint_seconds or step + 1 == settings.steps:
                write_checkpoint(checkpoint, self.parameters, self.optimizer, {}, state)
                last = time.monotonic()

    def _step(self, step: int) -> float:
        settings = self.settings
        shown = self.pairs.draw(step, settings.pairs, self.device)
        searched, boxes = shown.searched, shown.boxes
        if self.transform is not None:
            generator = step_generator(settings.seed, step)
            searched = self.transform(searched, boxes, shown.targets, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        logits = self.state["slope"] * (self._responses(shown, searched) - self.state["offset"])
        loss = balanced_logistic(logits, response_labels(boxes, settings.radius))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _responses(self, shown: SearchPairs, searched: Tensor) -> Tensor:
        """`float32[N, 17, 17]`."""
        inputs = (shown.exemplars, searched)
        with autocast(self.device, self.dtype):
            exemplars, maps = (
                self.net((255 * each).contiguous(memory_format=torch.channels_last)).float() for each in inputs
            )
        return respond(exemplars, maps)

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Find the slope and the offset; see `train_siamfc`."""
        shown = self.pairs.draw(-1 % 2**31, _CALIBRATION, self.device)
        responses = self._responses(shown, shown.searched)
        labels = response_labels(shown.boxes, self.settings.radius)
        at, off = float(responses[labels].mean()), float(responses[~labels].mean())
        self.state["offset"] = (at + off) / 2
        self.state["slope"] = _SLOPE / max(at - off, float(responses.std()), 1e-12)

    @torch.no_grad()
    def _validate(self) -> float:
        """The loss on pairs of the held-out videos that are always the same."""
        settings = self.settings
        losses, left = [], settings.validate_pairs
        while left:
            count = min(left, settings.pairs)
            shown = self.judged.draw(left, count, self.device)
            logits = self.state["slope"] * (self._responses(shown, shown.searched) - self.state["offset"])
            labels = response_labels(shown.boxes, settings.radius)
            losses.append(float(balanced_logistic(logits, labels)) * count)
            left -= count
        return round(sum(losses) / settings.validate_pairs, 6)
