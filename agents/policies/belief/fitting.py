"""Fitting a prior to scored occlusions of training targets, and the drop predictor that may be its mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm, trange

from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.belief import Prior
from occlusion_env.search.core import Search, SearchSettings
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..baselines.attribution import similarity_maps
from .predictor import DropPredictor

Values = NDArray[np.float64]

_BLOCK = 8
"""Targets whose occlusions are scored side by side."""

_BATCH = 64
"""Targets in a step of the predictor's training."""

_CANDIDATES = 64
"""Candidates of each target in a step: neighbours on the grid say nearly the same."""

_STEPS = 800
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-2
_WORTHWHILE = 0.95
"""Share of the average's unexplained variance below which a predictor is worth its network."""

_LEVEL_LOSS = 0.2
"""Weight of the squared error in a target's mean drop; the rest of the loss is about differences within a target,
which decide where to search."""


@dataclass(frozen=True)
class GridDrops:
    """The drops of every candidate region of N targets.

    Attributes:
        maps: `float32[N, P, G, G]`, see `similarity_maps`.
        drops: `float64[N, R]`, how far the score falls where a candidate is occluded.
        videos: N names.
        regions: `float64[R, 4]`, the candidates.
    """

    maps: Tensor
    drops: Values
    videos: tuple[str, ...]
    regions: Values

    def __len__(self) -> int:
        return len(self.drops)

    def select(self, rows: NDArray[np.int64]) -> GridDrops:
        """Select targets by their numbers."""
        videos = tuple(self.videos[row] for row in rows)
        return GridDrops(self.maps[torch.from_numpy(rows)], self.drops[rows], videos, self.regions)


@dataclass(frozen=True)
class FittedPrior:
    """A prior and what its expected drops come from.

    Attributes:
        prior: Mean, offset and covariance.
        predictor: Predicts the drops of a target; `None` where the average over targets is as good.
        card: What it was fitted for and from, and its figures, as plain data.
    """

    prior: Prior
    predictor: DropPredictor | None
    card: dict[str, Any] = field(default_factory=dict)

    def expected(self, maps: Tensor) -> Values:
        """Expected drops of unqueried targets.

        Args:
            maps: `float32[N, P, G, G]`, see `similarity_maps`; without a predictor only N matters.

        Returns:
            `float64[N, R]`.
        """
        predicted = 0.0 if self.predictor is None else predict(self.predictor, maps, self.prior.regions)
        return self.prior.offset + np.zeros((len(maps), 1)) + predicted


def score_grids(
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings | None = None,
    occluder: str = "background",
    seed: int = 0,
    progress: bool = False,
) -> GridDrops:
    """Score every region of `RegionLimits.grid` at the largest area; one occluder is drawn for each target.

    Args:
        targets: N targets.
        scorer: The matcher.
        features: Needed by a search; not used.
        settings: Of the search.
        occluder: See `occlusion_env.scene.occluders.OCCLUDERS`.
        seed: Of the occluders.
        progress: Whether to show a progress bar.
    """
    settings = settings or SearchSettings()
    regions = settings.limits.grid(settings.limits.max_area)
    rng, maps, drops, videos = np.random.default_rng(seed), [], [], []
    with tqdm(total=len(targets), desc="grid search", unit="target", disable=not progress) as bar:
        for low in range(0, len(targets), _BLOCK):
            block = list(targets.subset(range(low, min(low + _BLOCK, len(targets)))))
            search, slots = Search(len(block), scorer, features, settings), np.arange(len(block))
            search.begin_random(block, rng, occluder, targets)
            rows = np.repeat(slots, len(regions))
            scores = search.scores(rows, np.tile(regions, (len(block), 1)))
            drops.append((search.clean_score[rows] - scores).reshape(len(block), -1))
            maps.append(similarity_maps(search, slots).float().cpu())
            videos += [target.source.video for target in block]
            bar.update(len(block))
    return GridDrops(torch.cat(maps), np.concatenate(drops), tuple(videos), regions)


def fit_prior(
    samples: GridDrops, folds: int = 6, seed: int = 0, progress: bool = False, with_predictor: bool = True
) -> FittedPrior:
    """Fit the mean and the covariance, from errors on videos that the mean was not fitted to.

    The videos are left out in `folds` groups in turn. For each group the average drop and a predictor are fitted
    to the others, and their errors on the group are kept. The average becomes the mean, unless the predictor
    leaves 5 % less of the variance within a target unexplained. The returned predictor is fitted to all targets;
    the offset is the mean of the kept errors, and the covariance is theirs.

    Args:
        samples: Drops of targets, of one video or more. Of one video the targets themselves are left out in turn.
        folds: How many groups, at most as many as videos.
        seed: Of the predictor's weights and batches.
        progress: Whether to show a progress bar.
        with_predictor: Whether to try a predictor; without one the average drop becomes the mean.

    Returns:
        The fitted prior. Its card holds `unexplained`: mean -> the share of the variance within a target that it
        leaves unexplained on left-out videos; `correlation`: of the predictor with the drops there, mean over
        targets; `unit`: standard deviation of the drops within a target.

    Raises:
        InputError: If there are fewer than two targets or folds, or the score is the same whatever is occluded.
    """
    count = len(samples)
    if count < 2:
        raise InputError(
            f"A prior is fitted to the drops of 2 targets or more, not of {count}; give more targets."
        )
    if folds < 2:
        raise InputError(f"folds is {folds}; it must be at least 2.")
    unit = float(_within(samples.drops).std())
    if not unit > 0:
        raise InputError("The score is the same wherever a target is occluded; there is nothing to learn from.")
    names = samples.videos if len(set(samples.videos)) > 1 else tuple(str(row) for row in range(count))
    groups = sorted(set(names))
    fold = np.array([groups.index(name) % min(folds, len(groups)) for name in names])
    average, predicted = np.empty_like(samples.drops), np.empty_like(samples.drops)
    for number in range(fold.max() + 1):
        rest, left_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        average[left_out] = samples.drops[rest].mean(axis=0)
        if with_predictor:
            network = fit_predictor(samples.select(rest), seed, progress)
            predicted[left_out] = predict(network, samples.maps[torch.from_numpy(left_out)], samples.regions)
    whole = _within(samples.drops)
    unexplained = {
        name: round(float(_within(samples.drops - means).var() / whole.var()), 4)
        for name, means in (("average", average), ("predictor", predicted))[: 1 + with_predictor]
    }
    use = with_predictor and unexplained["predictor"] < _WORTHWHILE * unexplained["average"]
    errors = samples.drops - (predicted if use else average)
    mean = samples.drops.mean(axis=0)
    spread = errors - errors.mean(axis=0)
    prior = Prior(samples.regions, mean, errors.mean(axis=0) if use else mean, spread.T @ spread / count)
    predictor = fit_predictor(samples, seed, progress) if use else None
    card = {
        "targets": count,
        "drops": samples.drops.size,
        "unit": round(unit, 6),
        "unexplained": unexplained,
        "correlation": _correlation(samples.drops, predicted) if with_predictor else None,
        "expected_drops": "predictor" if use else "average",
    }
    return FittedPrior(prior, predictor, card)


def fit_predictor(samples: GridDrops, seed: int = 0, progress: bool = False) -> DropPredictor:
    """Fit a predictor by the squared error, mostly of differences within a target.

    Half of the batches are mirrored. AdamW: rate 0.001, falling to 0 by a cosine; weight decay 0.01; 800 batches
    of 64 targets with 64 candidates each.

    Args:
        samples: Drops of targets.
        seed: Of the weights and the batches.
        progress: Whether to show a progress bar.

    Returns:
        The network, ready for inference.
    """
    drops, regions = torch.from_numpy(samples.drops).float(), torch.from_numpy(samples.regions).float()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = DropPredictor(samples.maps.shape[1], unit=float(_within(samples.drops).std()))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in trange(_STEPS, desc="predictor", unit="step", disable=not progress):
        rows = torch.randint(len(samples), (min(_BATCH, len(samples)),), generator=generator)
        some = torch.randperm(len(regions), generator=generator)[:_CANDIDATES]
        maps, where = samples.maps[rows], regions[some].expand(len(rows), -1, -1)
        if torch.rand((), generator=generator) < 0.5:
            x, y, w, h = where.unbind(-1)
            maps, where = maps.flip(3), torch.stack([1 - x - w, y, w, h], dim=-1)
        error = (network(maps, where) - drops[rows][:, some]) / network.unit
        loss = (error - error.mean(dim=1, keepdim=True)).square().mean() + _LEVEL_LOSS * error.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def predict(network: DropPredictor, maps: Tensor, regions: Values) -> Values:
    """Predicted drops of N targets' candidates: maps `[N, P, G, G]` and regions `[R, 4]` to `float64[N, R]`."""
    where = torch.from_numpy(regions).to(maps)
    parts = [network(part, where.expand(len(part), -1, -1)) for part in maps.split(_BATCH)]
    return torch.cat(parts).double().cpu().numpy() if parts else np.empty((0, len(regions)))


def _within(values: Values) -> Values:
    """Differences from each target's mean."""
    return values - values.mean(axis=1, keepdims=True)


def _correlation(first: Values, second: Values) -> float:
    """Mean over targets of the correlation of `[N, R]` and `[N, R]`."""
    one, two = _within(first), _within(second)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return round(float(((one * two).sum(axis=1) / norms.clip(1e-12)).mean()), 4)
