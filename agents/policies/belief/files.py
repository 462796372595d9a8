"""Priors as files: safetensors, and a card beside it that says what the prior was fitted for."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.search.belief import Prior
from tracker.errors import InputError, reading_errors, shorten
from tracker.files import read_text, replacing_file
from tracker.models.backbones import check_finite, load_weights, save_weights
from tracker.scorers import Scorer, SintScorer

from ...training.environment import network_fingerprint
from .fitting import FittedPrior
from .predictor import DropPredictor

SHIPPED = ("slim", "vgg16", "siamfc")
"""Names of the priors in `agents/weights`, each for the matcher that its card names."""

_SIZES = ("parts", "width", "hidden", "unit")
_MOST_CHANNELS = 2048
_LIMITS = ("max_area", "min_side", "max_aspect")
_SERVED = ("occluder", "background", "contrast")
"""A prior for `background` serves searches with `contrast` as well, which chooses among pieces of background."""


def describe_search(scorer: Scorer, limits: RegionLimits, occluder: str) -> dict[str, Any]:
    """Return what a prior depends on, as plain data: the matcher, the limits of the regions, the occluder.

    Args:
        scorer: The matcher; identified by its weights if it holds a network, otherwise by the name of its class.
        limits: Of the regions.
        occluder: See `occlusion_env.scene.occluders.OCCLUDERS`.
    """
    network = next(
        (part for part in (scorer, *getattr(scorer, "__dict__", {}).values()) if isinstance(part, nn.Module)), None
    )
    name = "SintScorer" if isinstance(scorer, SintScorer) else type(scorer).__name__
    matcher = name if network is None else f"{name} {network_fingerprint(network)}"
    return {"matcher": matcher, **{key: getattr(limits, key) for key in _LIMITS}, "occluder": occluder}


def check_prior(fitted: FittedPrior, search: dict[str, Any], where: str) -> None:
    """Refuse a prior that was fitted for another matcher, other limits or another occluder.

    A prior for `background` serves `contrast` as well, but not the other way round.

    Args:
        fitted: The prior, with its card.
        search: What it is to be used for, see `describe_search`.
        where: Its name in the error's sentence.

    Raises:
        InputError: Naming both.
    """
    if (name := _difference(fitted.card, search)) is not None:
        raise InputError(
            f"The prior {where} was fitted for {name} {shorten(fitted.card.get(name))} and is used with"
            f" {shorten(search[name])}; fit another with fit-prior."
        )


def _difference(card: dict[str, Any], search: dict[str, Any]) -> str | None:
    """The first key of a search in which a card differs from it; `None` where the prior serves the search."""
    for name, value in search.items():
        if (fitted := card.get(name)) != value and (name, fitted, value) != _SERVED:
            return name
    return None


def save_prior(file: Path, fitted: FittedPrior) -> None:
    """Write a prior as safetensors, and its card beside it as JSON.

    Args:
        file: `NAME.safetensors`.
        fitted: The prior, with its card.

    Raises:
        InputError: If a number is not finite; nothing is written.
    """
    predictor = fitted.predictor
    sizes = None if predictor is None else {name: getattr(predictor, name) for name in _SIZES}
    tensors = _tensors(fitted)
    check_finite(tensors, f"'{file}' is not written", "fit it again")
    with replacing_file(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({**fitted.card, "predictor": sizes}, indent=1) + "\n")
    save_weights(file, tensors)  # last: where the file is, its card is


def prior_digest(fitted: FittedPrior) -> str:
    """SHA-256 of the arrays of a prior, the same before and after it was stored."""
    return sha256(save(_tensors(fitted))).hexdigest()


def _tensors(fitted: FittedPrior) -> dict[str, torch.Tensor]:
    """The arrays as they are stored: the covariance in single precision."""
    tensors = {name: torch.from_numpy(getattr(fitted.prior, name)) for name in ("regions", "mean", "offset")}
    tensors["covariance"] = torch.from_numpy(fitted.prior.covariance).float()
    if fitted.predictor is not None:
        tensors |= {f"predictor.{name}": value for name, value in fitted.predictor.state_dict().items()}
    return {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}


def load_prior(file: str | Path) -> FittedPrior:
    """Load what `save_prior` wrote.

    Raises:
        InputError: If a file is missing, or is no prior's.
    """
    file = Path(file)
    beside = file.with_suffix(".json")
    if not beside.exists():
        raise InputError(
            f"There is no '{beside}'; give the .safetensors file that fit-prior wrote, with its card beside it."
        )
    with reading_errors(beside, "the card of a prior", "fit it again"):
        card = json.loads(read_text(beside))
        unit, sizes = float(card["unit"]), card["predictor"]
        if not 0 < unit < math.inf:
            raise InputError(f"'{beside}' says unit is {unit}; it must be above 0 and finite.")
        predictor = None if sizes is None else _predictor(sizes, beside)
    tensors = load_weights(file)
    try:
        arrays = {name: tensors[name].double().numpy() for name in ("regions", "mean", "offset", "covariance")}
        if predictor is not None:
            own = {
                name.removeprefix("predictor."): v for name, v in tensors.items() if name.startswith("predictor.")
            }
            predictor.load_state_dict(own)
    except (KeyError, RuntimeError):
        raise InputError(f"'{file}' does not hold the prior of its card; fit it again.") from None
    return FittedPrior(
        Prior(**arrays), None if predictor is None else predictor.eval().requires_grad_(False), card
    )


def _predictor(sizes: dict[str, Any], card: Path) -> DropPredictor:
    """A predictor of the sizes that a card names, within bounds."""
    for name in ("parts", "width", "hidden"):
        if type(sizes[name]) is not int or not 1 <= sizes[name] <= _MOST_CHANNELS:
            raise InputError(f"'{card}' says {name} is {shorten(sizes[name])}; it must be 1 to {_MOST_CHANNELS}.")
    if type(sizes["unit"]) not in (int, float) or not 0 < sizes["unit"] < math.inf:
        raise InputError(f"'{card}' says unit is {shorten(sizes['unit'])}; it must be above 0 and finite.")
    return DropPredictor(**{name: sizes[name] for name in _SIZES})


@lru_cache(maxsize=len(SHIPPED))
def _load_shipped(name: str) -> FittedPrior:
    with resources.as_file(resources.files("agents") / "weights") as folder:
        return load_prior(folder / f"prior_{name}.safetensors")


def shipped_prior(scorer: Scorer, limits: RegionLimits, occluder: str = "background") -> FittedPrior | None:
    """Find the prior that the package ships for a search, see `check_prior`; `None` where there is none."""
    wanted = describe_search(scorer, limits, occluder)
    for name in SHIPPED:
        fitted = _load_shipped(name)
        if _difference(fitted.card, wanted) is None:
            return fitted
    return None
