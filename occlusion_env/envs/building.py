"""From an environment's arguments to what it works with; what is named by plain data is shared in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from tracker.errors import InputError, shorten
from tracker.models.backbones import FeatureExtractor, Precision
from tracker.scorers import Scorer, load_scorer, shared_backbone

from ..mdp.settings import SearchSettings
from ..naming import is_import_path, call_by_name
from ..scene.targets import TargetSet, load_targets
from ..search.threshold import usual_drop
from .arguments import SearchArguments

__all__ = ["Networks", "Parts", "assemble", "load_networks", "measure_drop"]


@dataclass(frozen=True)
class Networks:
    """What a search looks with.

    Attributes:
        scorer: The matcher.
        features: The state's features.
    """

    scorer: Scorer
    features: FeatureExtractor


@dataclass(frozen=True)
class Parts(Networks):
    """What an environment is built of.

    Attributes:
        targets: What to occlude.
    """

    targets: TargetSet


def load_networks(arguments: SearchArguments) -> Networks:
    """Load the networks that the arguments name, and leave the targets alone.

    Raises:
        InputError: If one of them is unknown or cannot be loaded.
    """
    return Networks(_scorer(arguments), _features(arguments))


def assemble(arguments: SearchArguments) -> Parts:
    """Load the targets and the networks that the arguments name.

    Raises:
        InputError: If one of them is unknown or cannot be loaded.
    """
    targets = _targets(arguments.targets)
    networks = load_networks(arguments)
    return Parts(networks.scorer, networks.features, targets)


def measure_drop(arguments: SearchArguments, parts: Parts, usual: Callable[..., float] = usual_drop) -> float:
    """`usual_drop` of an environment; a process measures it once for all environments of the same plain data.

    Args:
        arguments: Of the environment.
        parts: What they name.
        usual: Measures it; takes what `usual_drop` takes.
    """
    # Only what the drop depends on: environments that differ in the rest share it.
    plain = SearchSettings()
    rest = {"observation", "pixels", "state", "context", "reward", "gamma", "reward_scale", "history", "max_steps"}
    needed = replace(
        arguments,
        phi=None,
        drop=None,
        cache_mb=0,
        patches=0,
        info_names=False,
        eta=plain.eta,
        **{n: getattr(plain, n) for n in rest},
    )
    if isinstance(arguments.targets, str) and isinstance(arguments.scorer, str):
        return _shared_drop(needed, usual)
    return _drop(needed, parts, usual)


@lru_cache(maxsize=32)
def _shared_drop(arguments: SearchArguments, usual: Callable[..., float]) -> float:
    return _drop(arguments, assemble(arguments), usual)


def _drop(arguments: SearchArguments, parts: Parts, usual: Callable[..., float]) -> float:
    return usual(
        parts.targets, parts.scorer, parts.features, arguments.settings, arguments.phi_quantile,
        occluder=arguments.occluder,
    )  # fmt: skip


def _targets(named: str | TargetSet) -> TargetSet:
    found = load_targets(named) if isinstance(named, str) else named
    if not isinstance(found, TargetSet) or not len(found):
        raise InputError(
            f"targets is {shorten(named)}; give a path, synthetic, or a TargetSet with targets in it."
        )
    return found


def _features(arguments: SearchArguments) -> FeatureExtractor:
    if is_import_path(arguments.features) and not arguments.features.startswith("torchvision:"):
        found: FeatureExtractor = call_by_name("features", arguments.features)
        return found
    backbone = shared_backbone(*_network(arguments))
    layer = arguments.layer or ("fc7" if "fc7" in backbone.fully_connected else "pool5")
    return FeatureExtractor(backbone, layer, arguments.precision)


def _network(arguments: SearchArguments) -> tuple[str, str | None, str, Precision, str | None]:
    """Return the keyword arguments of `shared_backbone` and `load_scorer`."""
    given = arguments
    weights = None if given.scorer == "siamfc" else given.weights  # they are the scorer's
    return given.features, weights, given.device, given.precision, given.base_weights


def _scorer(arguments: SearchArguments) -> Scorer:
    scorer = arguments.scorer
    if scorer == "sint":
        return load_scorer(*_network(arguments))
    if scorer == "siamfc":
        return _siamfc_scorer(arguments.weights, arguments.device, arguments.precision)
    if isinstance(scorer, str) and is_import_path(scorer):
        scorer = call_by_name("scorer", scorer)
    if isinstance(scorer, str) or not isinstance(scorer, Scorer):
        raise InputError(
            f"{shorten(scorer)} is no scorer; give sint, siamfc, module:function, or an object with embed and"
            " compare."
        )
    return scorer


@lru_cache(maxsize=4)
def _siamfc_scorer(weights: str | None, device: str, precision: Precision) -> Scorer:
    from tracker.scorers.foreign import SiamFCScorer

    if weights is None:
        raise InputError("The package has no weights of SiamFC; give a file of them as weights.")
    return SiamFCScorer.load(weights, device, precision)
