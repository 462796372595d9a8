"""The targets and networks that an environment's arguments name, shared by all environments of a process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache

from tracker.errors import InputError, shorten
from tracker.models.backbones import FeatureExtractor, Precision
from tracker.scorers import Scorer, load_scorer, shared_backbone

from ..mdp.settings import ProcessSettings
from ..naming import call_by_name, is_import_path
from ..scene.splits import split_targets
from ..scene.targets import TargetSet, load_targets
from ..search.core import Search
from ..search.threshold import usual_drop
from .arguments import SPLITS, SearchArguments


@dataclass(frozen=True)
class Networks:
    """The networks of a search: the matcher, and that of the state."""

    scorer: Scorer
    features: FeatureExtractor


def load_networks(arguments: SearchArguments) -> Networks:
    """Load the networks that the arguments name, but no targets.

    Raises:
        InputError: If one of them is unknown or cannot be loaded.
    """
    return Networks(find_scorer(arguments), _load_features(arguments))


def find_targets(targets: str | TargetSet, split: str | None = None) -> TargetSet:
    """Load the targets that the arguments `targets` and `split` name.

    Raises:
        InputError: If they cannot be loaded, or there are none.
    """
    if split is not None and isinstance(targets, str | TargetSet):
        targets = split_targets(targets)[SPLITS.index(split)]
    found = load_targets(targets) if isinstance(targets, str) else targets
    if not isinstance(found, TargetSet) or not len(found):
        raise InputError(
            f"targets is {shorten(targets)}; give a path, synthetic, or a TargetSet with targets in it."
        )
    return found


def measure_drop(arguments: SearchArguments, search_class: type[Search]) -> float:
    """`usual_drop` of an environment; a process measures it once for all environments of the same plain data."""
    # Environments that differ in settings without influence on the drop share it.
    unused = asdict(ProcessSettings(cache_mb=0)) | {"phi": None, "drop": None, "max_steps": None, "patches": 0}
    needed = replace(arguments, info_names=False, **unused)
    if isinstance(arguments.targets, str) and isinstance(arguments.scorer, str):
        return _shared_drop(needed, search_class)  # type: ignore[arg-type]  # a class is hashable
    return _drop(needed, search_class)


def _drop(arguments: SearchArguments, search_class: type[Search]) -> float:
    targets, networks = find_targets(arguments.targets, arguments.split), load_networks(arguments)
    return usual_drop(
        targets, networks.scorer, networks.features, arguments.settings, arguments.phi_quantile,
        occluder=arguments.occluder, search_class=search_class,
    )  # fmt: skip


_shared_drop = lru_cache(maxsize=32)(_drop)


def _load_features(arguments: SearchArguments) -> FeatureExtractor:
    if is_import_path(arguments.features) and not arguments.features.startswith("torchvision:"):
        found: FeatureExtractor = call_by_name("features", arguments.features)
        return found
    backbone = shared_backbone(*_network(arguments))
    layer = arguments.layer or ("fc7" if "fc7" in backbone.fully_connected else "pool5")
    return FeatureExtractor(backbone, layer, arguments.precision)


def _network(arguments: SearchArguments) -> tuple[str, str | None, str, Precision, str | None]:
    """Return the keyword arguments of `shared_backbone` and `load_scorer`."""
    weights = None if arguments.scorer == "siamfc" else arguments.weights  # they are the scorer's
    return arguments.features, weights, arguments.device, arguments.precision, arguments.base_weights


def find_scorer(arguments: SearchArguments) -> Scorer:
    """Load the matcher that the arguments name; an object is returned as it is.

    Raises:
        InputError: If it is unknown, cannot be loaded or is no scorer.
    """
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
        raise InputError(
            "The package has no weights of SiamFC; give a file as weights, or SiamFCScorer.load(FILE) as scorer."
        )
    return SiamFCScorer.load(weights, device, precision)
