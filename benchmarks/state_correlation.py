"""What the paper's state says about the score drop: ridge regression on features of regions, on unseen videos.

Random regions of the largest area are scored on targets of training videos. The drop less its mean over the
target is regressed on the features of the region (the state of section 4.2.1 without the history), on its x, y, w,
h and their products, and on both. The penalty is chosen by leaving training videos out. The figure is Pearson's
correlation within a target on the sequences of --judge: the mean over the targets of a sequence, then over the
sequences. The drop predictor of the shipped prior is judged on the same regions.

Usage: python benchmarks/state_correlation.py --train DIR --judge DIR --vgg16 FILE --json FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from agents.policies.baselines.attribution import similarity_maps
from agents.policies.belief import shipped_prior
from occlusion_env import SearchArguments, TargetSet, load_targets
from occlusion_env.envs.building import load_networks
from occlusion_env.search.core import Search
from tracker.data.identity import folder_digests
from tracker.data.readers import list_targets
from tracker.data.sequences import evenly_spaced
from tracker.evaluation.intervals import interval

Values = NDArray[np.float64]

FOLDS = 6
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the ridge, as shares of the mean of the kernel's diagonal."""


@dataclass
class Arguments:
    """What to compare.

    Attributes:
        train: Videos to fit on.
        judge: Sequences to judge on.
        vgg16: Weights of VGG-16's convolutions; without them the slim network alone is judged.
        per_sequence: Targets of a sequence.
        regions: Regions of a target.
        seed: Of the regions and the occluders.
        json: Receives the figures, which are printed too.
    """

    train: Path
    judge: Path
    vgg16: Path | None = None
    per_sequence: int = 4
    regions: int = 40
    seed: int = 0
    json: Path | None = None


@dataclass(frozen=True)
class Samples:
    """Scored regions of N targets, K each.

    Attributes:
        features: `float64[N, K, F]`.
        regions: `float64[N, K, 4]`.
        drops: `float64[N, K]`.
        predicted: `float64[N, K]`, by the predictor of the shipped prior.
        videos: N names.
    """

    features: Values
    regions: Values
    drops: Values
    predicted: Values
    videos: NDArray[np.str_]


def main(given: Arguments) -> None:
    """Fit and judge, and write the figures down."""
    check_json_path(given.json)
    check_counts(per_sequence=given.per_sequence)
    check_counts(2, regions=given.regions)
    check_counts(0, seed=given.seed)
    check_videos(2, train=given.train)
    check_videos(judge=given.judge)
    plans: dict[str, SearchArguments] = {"slim fc7": SearchArguments()}
    if given.vgg16 is not None:
        plans["VGG-16 pool5"] = SearchArguments(features="vgg16", weights=str(given.vgg16))
    for arguments in plans.values():
        load_networks(arguments)
    results: dict[str, Any] = {}
    for name, arguments in plans.items():
        train, judged = (draw(arguments, folder, given) for folder in (given.train, given.judge))
        features = (train.features, judged.features)
        geometry = (products(train.regions), products(judged.regions))
        inputs = {"features": (features,), "region": (geometry,), "features and region": (features, geometry)}
        rows = {kind: summarise(fit(parts, train), judged) for kind, parts in inputs.items()}
        rows["predictor"] = summarise(judged.predicted, judged)
        results[name] = {"layer": name.split()[-1], "correlation": rows, "targets": len(judged.drops)}
        for kind, row in rows.items():
            print(f"{name}, {kind}: correlation {row['mean']:.2f} {row['interval']}")
    content = {
        "states": results,
        "regions": given.regions,
        "per_sequence": given.per_sequence,
        "train": folder_digests(given.train),
        "judge": folder_digests(given.judge),
    }
    write_result(given.json, "state_correlation", content)


def draw(arguments: SearchArguments, folder: Path, given: Arguments) -> Samples:
    """Score random regions of the largest area, and read the features of each."""
    networks = load_networks(arguments)
    videos = [load_targets(str(path)) for path, _ in list_targets(folder).values()]
    targets = TargetSet.join(each.subset(evenly_spaced(len(each), given.per_sequence)) for each in videos)
    settings = arguments.settings
    fitted, rng = shipped_prior(networks.scorer, settings.limits), np.random.default_rng(given.seed)
    assert fitted is not None and fitted.predictor is not None
    features, regions, drops, predicted = [], [], [], []
    for target in targets:
        search = Search(1, networks.scorer, networks.features, settings)
        search.begin_random([target], rng)
        slots = np.zeros(given.regions, dtype=np.int64)
        where = settings.limits.random(np.full(given.regions, settings.limits.max_area), rng)
        drops.append(search.clean_score[0] - search.scores(slots, where))
        keys = [search.view_keys[0]] * given.regions
        features.append(search.features_of(keys, where, lambda _, target=target: target).astype(np.float64))
        maps = similarity_maps(search, slots[:1]).cpu()
        predicted.append(fitted.predictor(maps, torch.from_numpy(where)[None].to(maps))[0].double().numpy())
        regions.append(where)
    names = np.array([target.source.video for target in targets])
    return Samples(np.stack(features), np.stack(regions), np.stack(drops), np.stack(predicted), names)


def products(regions: Values) -> Values:
    """x, y, w, h and their products of two: `[..., 4]` to `[..., 14]`."""
    first, second = np.triu_indices(4)
    return np.concatenate([regions, regions[..., first] * regions[..., second]], axis=-1)


def fit(parts: Sequence[tuple[Values, Values]], train: Samples) -> Values:
    """Fit the ridge to the training samples and predict the judged ones; several parts have equal weight.

    Args:
        parts: Inputs of the training and of the judged samples, `[N, K, F]` and `[M, K, F]`.
        train: The training samples.

    Returns:
        `float64[M, K]`.
    """
    kernel: Values | float = 0.0
    across: Values | float = 0.0
    for own, other in parts:
        flat, wanted = own.reshape(-1, own.shape[-1]), other.reshape(-1, own.shape[-1])
        mean, spread = flat.mean(axis=0), flat.std(axis=0) + 1e-9
        flat, wanted = (flat - mean) / spread, (wanted - mean) / spread
        kernel = kernel + flat @ flat.T / own.shape[-1]
        across = across + wanted @ flat.T / own.shape[-1]
    assert isinstance(kernel, np.ndarray) and isinstance(across, np.ndarray)
    size = train.drops.shape[1]
    answers = (train.drops - train.drops.mean(axis=1, keepdims=True)).ravel()
    videos = sorted(set(train.videos))
    fold = np.repeat([videos.index(video) % FOLDS for video in train.videos], size)
    scale = float(np.diagonal(kernel).mean()) * len(kernel) ** 0.5
    found = {}
    for penalty in PENALTIES:
        held = np.empty_like(answers)
        for number in range(FOLDS):
            rest, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            held[out] = kernel[np.ix_(out, rest)] @ solve(
                kernel[np.ix_(rest, rest)], answers[rest], penalty * scale
            )
        found[penalty] = float(correlations(held.reshape(-1, size), train.drops).mean())
    best = max(found, key=lambda penalty: found[penalty])
    return (across @ solve(kernel, answers, best * scale)).reshape(-1, size)


def solve(kernel: Values, answers: Values, penalty: float) -> Values:
    """Weights of the kernel ridge."""
    return np.linalg.solve(kernel + penalty * np.eye(len(kernel)), answers)


def correlations(predicted: Values, drops: Values) -> Values:
    """Pearson's correlation within each target: `[N, K]` and `[N, K]` to `[N]`."""
    first, second = (each - each.mean(axis=1, keepdims=True) for each in (predicted, drops))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(norms, 1e-12)


def summarise(predicted: Values, judged: Samples) -> dict[str, Any]:
    """The mean over sequences, and its 95 % interval."""
    found = correlations(predicted, judged.drops)
    by_sequence = [found[judged.videos == video].mean() for video in sorted(set(judged.videos))]
    mean = interval(by_sequence)
    return {"mean": round(float(np.mean(by_sequence)), 3), "interval": mean.ends(3)}


if __name__ == "__main__":
    run_script(main, Arguments)
