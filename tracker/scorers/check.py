"""`check_scorer`: tests of a scorer for its author."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..data.images import to_tensor
from ..data.synthetic import synthetic_sequence
from ..errors import InputError
from . import Scorer

_TARGETS = 4
"""Synthetic targets, one video each: 16 pairs take a moment with any network."""
_SLACK = 1e-3
"""Scores of the same pairs may differ by this share of the largest score."""
_ROUNDING = 0.02
"""The same for scores in batches of other sizes, which half precision rounds otherwise."""
_SATURATION = 0.03
"""The same for how far another candidate may be above the exemplar itself: learned confidences saturate."""


class _Stopped(Exception):
    """The scorer cannot be tested further; the text is the finding."""


def check_scorer(scorer: Scorer | Callable[[], Scorer]) -> list[str]:
    """Test a scorer on a few synthetic targets and name the rules that it breaks.

    The rules: it has `input_size`, `device`, `embed`, `compare` and can be called; `embed` gives one row a crop
    and `compare` one finite number a pair, `[N]`, on the scorer's device; the same crops give the same scores,
    alone, in a batch, in another order and after others; a call is `embed` and `compare`; crops are not written
    into; no gradients are kept; no candidate scores higher than the exemplar itself; a target that is half covered
    scores lower than the whole one.

    Args:
        scorer: A scorer, its class, or a function that returns one.

    Returns:
        One sentence a finding, the rule in it; empty if nothing was found.

    Raises:
        InputError: If the class or the function raises one.
    """
    try:
        instance: Any = scorer if hasattr(scorer, "embed") and not isinstance(scorer, type) else scorer()
    except InputError:
        raise
    except Exception as error:
        return [f"Making the scorer raised {_described(error)}."]
    findings = list(_interface(instance))
    if findings:
        return findings
    try:
        trial = _Trial(instance)
        for check in (_inputs, _repeats, _batches, _call, _itself, _covered):
            findings += check(trial)
    except _Stopped as stop:
        findings.append(str(stop))
    return list(dict.fromkeys(findings))


def _interface(scorer: Any) -> Iterator[str]:
    for name in ("input_size", "device", "embed", "compare"):
        try:
            value = getattr(scorer, name)
        except Exception as error:
            yield (
                f"The scorer has no {name} ({_described(error)}); a scorer has input_size, device, embed and"
                " compare."
            )
            return
        if name == "input_size" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            yield f"input_size is {value!r}; it must be the side of its crops, a whole number of pixels above 0."
        if name == "device" and not isinstance(value, torch.device):
            yield f"device is {value!r}; it must be a torch.device."
        if name in ("embed", "compare") and not callable(value):
            yield f"{name} cannot be called; it must be a method."
    if not callable(scorer):
        yield "The scorer cannot be called; give it a __call__ that compares what it has embedded."


class _Trial:
    """A scorer and crops to try it on."""

    def __init__(self, scorer: Any) -> None:
        side = scorer.input_size
        crops = [synthetic_sequence(seed=seed, frames=1).exemplar(side) for seed in range(_TARGETS)]
        self.scorer = scorer
        self.crops = torch.cat([to_tensor(crop, scorer.device) for crop in crops])
        covered = self.crops.clone()
        covered[..., : side // 2 + side % 2] = self.crops.roll(1, 0)[..., : side // 2 + side % 2]
        self.written = False
        """Whether `embed` has changed crops that it was given."""
        self.first = torch.arange(_TARGETS).repeat_interleave(_TARGETS)
        self.second = torch.arange(_TARGETS).repeat(_TARGETS)
        self.scores = self.pairs(self.crops, self.crops)
        self.covered_scores = self.pairs(self.crops, covered)

    def pairs(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        """Scores of every exemplar against every candidate: `[T, T]`."""
        first, second = self.embed(exemplars), self.embed(candidates)
        return self.compare(first[self.first], second[self.second]).reshape(_TARGETS, _TARGETS)

    def embed(self, crops: Tensor) -> Tensor:
        copied = crops.clone()
        embedded = self.call("embed", copied)
        self.written = self.written or not torch.equal(copied, crops)
        if embedded.ndim < 1 or len(embedded) != len(crops):
            raise _Stopped(
                f"embed made {list(embedded.shape)} of {len(crops)} crops; it must give one row a crop."
            )
        return embedded

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        scores = self.call("compare", exemplars, candidates)
        if scores.shape != (len(exemplars),):
            raise _Stopped(
                f"compare gave the shape {list(scores.shape)} for {len(exemplars)} pairs; it must give one score"
                f" each, [{len(exemplars)}]."
            )
        return scores

    def call(self, method: str, *tensors: Tensor) -> Tensor:
        """The result of a method of the scorer: finite numbers on its device."""
        device = self.scorer.device
        try:
            result = getattr(self.scorer, method)(*tensors)
        except Exception as error:
            raise _Stopped(
                f"{method} raised {_described(error)}; it must take any crops of its input size."
            ) from None
        if not isinstance(result, Tensor):
            raise _Stopped(f"{method} gave a {type(result).__name__}; it must give a tensor.")
        if result.device.type != device.type or (device.index is not None and result.device != device):
            raise _Stopped(
                f"{method} gave a tensor on {result.device}; it must be on the scorer's device, {device}."
            )
        if not bool(torch.isfinite(result).all()):
            raise _Stopped(f"{method} gave a number that is not finite; all must be.")
        return result

    def differ(self, first: Tensor, second: Tensor, slack: float) -> bool:
        return bool((first - second).abs().max() > slack * self.scores.abs().max().clamp_min(1e-6))


def _inputs(trial: _Trial) -> Iterator[str]:
    embedded = trial.embed(trial.crops)
    if trial.written:
        yield "embed writes into the crops that it is given; it must leave them as they are."
    if embedded.requires_grad:
        yield "embed keeps gradients, and with them the memory of every crop; put it under torch.no_grad."


def _repeats(trial: _Trial) -> Iterator[str]:
    if trial.differ(trial.pairs(trial.crops, trial.crops), trial.scores, 1e-6):
        yield "The same crops scored differently the second time; a scorer must be deterministic."


def _batches(trial: _Trial) -> Iterator[str]:
    alone = torch.cat([trial.embed(crop[None]) for crop in trial.crops])
    scores = trial.compare(alone[trial.first], alone[trial.second]).reshape(_TARGETS, _TARGETS)
    if trial.differ(scores, trial.scores, _ROUNDING):
        yield "A crop embedded alone scores otherwise than in a batch; a row must depend on its own crop only."
    pairs = [(i, (i + 1) % _TARGETS) for i in range(_TARGETS)]
    single = torch.cat([trial.compare(alone[i : i + 1], alone[j : j + 1]) for i, j in pairs])
    there = torch.stack([scores[i, j] for i, j in pairs])
    if trial.differ(single, there, _ROUNDING):
        yield "A pair compared alone scores otherwise than in a batch; a score must depend on its own pair only."


def _call(trial: _Trial) -> Iterator[str]:
    other = trial.crops.roll(1, 0)
    called = trial.call("__call__", trial.crops, other)
    expected = trial.compare(trial.embed(trial.crops), trial.embed(other))
    if called.shape != expected.shape or trial.differ(called, expected, _SLACK):
        yield "Calling the scorer gives something else than embed and compare; it must be one after the other."


def _itself(trial: _Trial) -> Iterator[str]:
    self_scores = trial.scores.diagonal()
    for kind, scores in (("another target", trial.scores), ("a half covered one", trial.covered_scores)):
        if bool((scores.max(dim=1).values - self_scores > _SATURATION * trial.scores.abs().max()).any()):
            yield (
                f"An exemplar scores higher against {kind} than against itself; higher must mean more similar, and"
                " nothing is more similar than the exemplar itself."
            )


def _covered(trial: _Trial) -> Iterator[str]:
    drop = (trial.scores - trial.covered_scores).diagonal()
    if not bool((drop.abs() > 1e-9).any()):
        yield "Targets that are half covered score as the whole ones do; the scorer does not look at them."


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ") if str(error) else type(error).__name__
