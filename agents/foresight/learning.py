"""Learning from scored occlusions what an occlusion does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm, trange

from occlusion_env.search import Search, SearchSettings
from occlusion_env.targets import TargetSet
from tracker.backbones import FeatureExtractor, check_finite
from tracker.errors import InputError
from tracker.scorers import Scorer

from ..rollout import begin_all
from .network import DropPredictor
from .sight import contributions

__all__ = ["Samples", "fit_predictor", "sample_drops"]

_BLOCK = 32
_BATCH = 64
_AT_CAP = 0.8
_LEVEL = 0.2
_SPREAD = 2.3


@dataclass(frozen=True)
class Samples:
    """Scored occlusions of N targets, R each.

    Attributes:
        maps: `float32[N, P, G, G]`, what each cell adds to the score.
        regions: `float32[N, R, 4]`.
        drops: `float32[N, R]`, how far the score fell.
        videos: N names.
    """

    maps: Tensor
    regions: Tensor
    drops: Tensor
    videos: tuple[str, ...]

    @property
    def unit(self) -> float:
        """2.3 standard deviations of the drops within a target, see `tracker.scorers.unit_of`.

        Raises:
            InputError: If the score is the same whatever is covered.
        """
        unit = _SPREAD * float((self.drops - self.drops.mean(dim=1, keepdim=True)).square().mean().sqrt())
        if not unit > 0:
            raise InputError("The score is the same wherever the target is covered; there is nothing to foresee.")
        return unit

    def of(self, videos: Iterable[str]) -> Samples:
        """Those of some videos."""
        wanted = set(videos)
        rows = torch.tensor([row for row, video in enumerate(self.videos) if video in wanted], dtype=torch.int64)
        return Samples(
            self.maps[rows], self.regions[rows], self.drops[rows], tuple(self.videos[int(row)] for row in rows)
        )


def sample_drops(
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings | None = None,
    patches: int = 3,
    regions: int = 40,
    seed: int = 0,
    progress: bool = False,
) -> Samples:
    """Score random occlusions.

    Four regions of five have the largest area, where a search spends its time; the others any smaller one.

    Args:
        targets: What to occlude.
        scorer: The matcher.
        features: A search carries them; unused.
        settings: Of the search.
        patches: Occluders a target, each drawn from its frame's background and each a row of the samples.
        regions: Regions an occluder.
        seed: Of everything that is drawn.
        progress: Whether to show a progress bar.
    """
    settings = settings or SearchSettings()
    limits, rng = settings.limits, np.random.default_rng(seed)
    maps, places, drops, videos = [], [], [], []
    with tqdm(total=len(targets), desc="scored occlusions", unit="target", disable=not progress) as bar:
        for low in range(0, len(targets), _BLOCK):
            block = list(targets.subset(range(low, min(low + _BLOCK, len(targets)))))
            search, slots = Search(len(block), scorer, features, settings), np.arange(len(block))
            rows = np.repeat(slots, regions)
            for _ in range(patches):
                begin_all(search, block, rng, 0.0)
                area = np.where(
                    rng.random(len(rows)) < _AT_CAP,
                    limits.max_area,
                    rng.uniform(max(limits.min_side**2, limits.max_area / 5), limits.max_area, len(rows)),
                )
                where = limits.random(area, rng)
                fall = search.clean_score[rows] - search.scores(rows, where)
                maps.append(contributions(search, slots).cpu())
                places.append(torch.from_numpy(where.reshape(len(block), regions, 4)).float())
                drops.append(torch.from_numpy(fall.reshape(len(block), regions)).float())
                videos += [target.source.video for target in block]
            bar.update(len(block))
    return Samples(torch.cat(maps), torch.cat(places), torch.cat(drops), tuple(videos))


def fit_predictor(
    samples: Samples,
    held_out: Samples | None = None,
    epochs: int = 30,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    unit: float | None = None,
    progress: bool = False,
) -> tuple[DropPredictor, dict[str, Any]]:
    """Train a predictor by the squared error; most of it is of what differs within a target, as a search needs it.

    Half of the batches are mirrored. AdamW, the rate falling to 0 by a cosine.

    Args:
        samples: What to learn from.
        held_out: What to judge by, of other videos.
        epochs: Passes over the samples.
        learning_rate: At the start.
        weight_decay: AdamW's.
        seed: Of the weights and the order.
        unit: Of the scores, see `tracker.scorers.unit_of`; that of the samples if `None`.
        progress: Whether to show a progress bar.

    Returns:
        The network, ready for inference, and its figures: `correlation` within a target (mean over targets) on
        the training samples, and `held_out_correlation` on the others.

    Raises:
        InputError: If there is no sample, a value is out of its range, or the training diverges.
    """
    if not len(samples.maps):
        raise InputError("There are no scored occlusions to learn from; give targets.")
    if epochs < 1:
        raise InputError(f"The number of epochs is {epochs}; it must be at least 1.")
    if not 0 < learning_rate < math.inf:
        raise InputError(f"The learning rate is {learning_rate:g}; it must be above 0 and finite.")
    if not 0 <= weight_decay < math.inf:
        raise InputError(f"The weight decay is {weight_decay:g}; it must be 0 or more, and finite.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = DropPredictor(samples.maps.shape[1], unit=samples.unit if unit is None else unit)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in trange(epochs, desc="predictor", unit="epoch", disable=not progress):
        for rows in torch.randperm(len(samples.maps), generator=generator).split(_BATCH):
            maps, regions = samples.maps[rows], samples.regions[rows]
            if torch.rand((), generator=generator) < 0.5:
                maps, regions = _mirrored(maps, regions)
            error = (network(maps, regions) - samples.drops[rows]) / network.unit
            within = error - error.mean(dim=1, keepdim=True)
            loss = within.square().mean() + _LEVEL * error.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    check_finite(network.state_dict(), "The training has diverged", "give a lower learning rate")
    network.eval().requires_grad_(False)
    figures: dict[str, Any] = {"samples": samples.drops.numel(), "correlation": correlation(network, samples)}
    if held_out is not None:
        figures["held_out_correlation"] = correlation(network, held_out)
    return network, figures


def _mirrored(maps: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    x, y, w, h = regions.unbind(-1)
    return maps.flip(3), torch.stack([1 - x - w, y, w, h], dim=-1)


@torch.inference_mode()
def correlation(network: DropPredictor, samples: Samples) -> float:
    """Pearson's correlation of foretold and true drops within a target, mean over the targets."""
    found: list[NDArray[np.float64]] = []
    for low in range(0, len(samples.maps), _BATCH):
        part = slice(low, low + _BATCH)
        foretold = network(samples.maps[part], samples.regions[part]).double()
        true = samples.drops[part].double()
        foretold, true = (each - each.mean(dim=1, keepdim=True) for each in (foretold, true))
        product = (foretold * true).sum(dim=1) / (foretold.norm(dim=1) * true.norm(dim=1)).clamp(min=1e-12)
        found.append(product.numpy())
    return round(float(np.concatenate(found).mean()), 4)
