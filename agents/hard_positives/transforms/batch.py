"""Hard positives of a batch of tensors, between the sampler and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import occlude
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.boxes import LARGEST_BOX
from tracker.data.images import to_images
from tracker.errors import InputError
from tracker.scorers import Scorer

from ...common.randomness import numpy_generator
from ...policies.baselines import Querying, RandomRegions, list_grid
from ...policies.belief.method import BeliefSearch
from ...policies.methods import Method, NoFeatures, as_method
from ...policies.rollout import Agent, Policy
from ..image_targets import image_targets
from .hurting import Hurt, ScoreLeft
from .patches import Background, PatchSource

__all__ = ["AREAS", "HardPositiveBatch", "Occlusions"]

AREAS = (0.05, 0.6)
"""What a random region covers unless limits are given: in a training, areas drawn from this range did more for a
tracker on partly covered targets than a quarter did, and no harder choice of the region did clearly more
(`benchmarks/results/ladder.json`)."""

MOST_PATCHES = 1_000
"""Patches that are drawn for one image: 50 MB."""


@dataclass(frozen=True)
class Occlusions:
    """What is to be pasted into which images of a batch.

    Attributes:
        rows: `int64[M]`, the images.
        boxes: `float32[M, 4]`, what is covered, `(x, y, w, h)` in the image's pixels.
        patches: `float32[M, 3, 64, 64]` in [0, 1], what covers it.
        regions: `float64[M, 4]`, what is covered, relative to the targets.
    """

    rows: Tensor
    boxes: Tensor
    patches: Tensor
    regions: NDArray[np.float64]

    def __len__(self) -> int:
        """M."""
        return len(self.rows)


class HardPositiveBatch(nn.Module):
    """Covers targets with a piece of the background of their own images, where a method says.

    The work is done on the images' device; crops are moved to a scorer on another one. What is drawn (which
    images, where, which background) is drawn on the CPU from torch's generator, so that the same seed does the
    same on any device. Random regions need no matcher; the best of random ones and grid search ask it about
    all images at once. All other methods work in the searches of `occlusion_env`, whose targets are arrays, so
    that their images go through the CPU's memory.

    It has no parameters, and does the same in training and in evaluation mode. A matcher that learns is asked as
    it is at that moment (`tracker.scorers.foreign.EmbeddingScorer`).

    With several `patches` an image, random candidates and those of grid search differ in what covers them too, so
    that the worst of them answers both questions of section 4.2 at once, where and with what.

    Args:
        method: Says where: a name of `agents.policies.methods.METHODS`, or what
            `agents.policies.methods.as_method` takes. `None` is `belief` where a scorer is given, and else
            `random`. The prior of a belief is chosen for the scorer at the first batch
            (`agents.policies.belief.BeliefSearch.with_prior`).
        scorer: The matcher: `sint` (the package's slim network, on the images' device), `module:function`, or a
            `Scorer` on any device. `random` and `centre` need none.
        p: How often an image is changed.
        limits: Largest area, least side and aspect of a region; `None` covers 5 to 60 % of the target by `random`,
            and a quarter by all that search.
        least_area: The area of an image's regions is drawn between this and the largest; `None` always covers the
            largest where limits are given. For random regions (the best of several have the same area) and the
            centre.
        source: Draws what covers.
        patches: How many are drawn for an image; candidates take them in turn. For random regions and grid
            search.
        hurt: What tells the worst of random regions and of grid search; the scorer's score of the target by
            default. An object of `hurting` needs no `scorer` beside it.

    Raises:
        InputError: If `p` is no probability, the method is unknown, it needs a scorer, or the least area cannot
            be.
    """

    def __init__(
        self,
        method: Policy | Agent | Method | str | None = None,
        scorer: Scorer | str | None = None,
        p: float = 1.0,
        limits: RegionLimits | None = None,
        least_area: float | None = None,
        source: PatchSource | None = None,
        patches: int = 1,
        hurt: Hurt | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        for name, value in (("p", p), ("patches", patches), ("least_area", least_area)):
            kind, what = (int, "a whole number") if name == "patches" else (int | float | np.number, "a number")
            optional = name == "least_area" and value is None
            if not optional and (not isinstance(value, kind) or isinstance(value, bool)):
                raise InputError(f"{name} is {value!r}; it must be {what}.")
        if not isinstance(limits, RegionLimits | None):
            raise InputError(f"limits is {limits!r}; give a RegionLimits, or None.")
        if not 0 <= p <= 1:
            raise InputError(f"p is {p}; it must lie between 0 and 1.")
        self.p = p
        if method is None:
            method = "random" if scorer is None else "belief"
        self.method = as_method(method)
        self._prior_chosen = False
        self.scorer = scorer
        settings = self.method.settings or SearchSettings()
        lowest = self.method if isinstance(self.method, Querying) and self.method.wanted is None else None
        proposer = None if lowest is None else lowest.proposer
        self._random = lowest.queries if lowest is not None and proposer is RandomRegions else 0
        if limits is None and self._random == 1:
            settings = SearchSettings(RegionLimits(max_area=AREAS[1]))
            least_area = AREAS[0] if least_area is None else least_area
        if limits is not None:
            if self.method.settings is not None:
                raise InputError("An agent keeps to the limits that it was trained with; leave limits out.")
            settings = SearchSettings(limits)
        self.settings = settings
        self._needs_scorer = self._random != 1 and method != "centre"
        self._in_one_batch = self._random > 0 or proposer is list_grid
        self.source: PatchSource = source or Background()
        self.patches = patches
        self.hurt = hurt
        if not 1 <= patches <= MOST_PATCHES:
            raise InputError(f"patches is {patches}; it must lie between 1 and {MOST_PATCHES}.")
        if (patches > 1 or hurt is not None) and not self._in_one_batch:
            raise InputError(
                f"The method {method!r} takes one patch and its own score; leave patches and hurt out."
            )
        largest = settings.limits.max_area
        self.least_area = largest if least_area is None else least_area
        if not settings.limits.min_side**2 <= self.least_area <= largest:
            raise InputError(
                f"least_area is {least_area}; it must lie between {settings.limits.min_side**2:g} and {largest:g}."
            )
        if self.least_area < largest and not (self._random or method == "centre"):
            raise InputError(f"The method {method!r} covers the largest area; leave least_area out.")
        if self._needs_scorer and scorer is None and hurt is None:
            raise InputError(f"The method {method!r} asks a matcher where it hurts; give a scorer, such as sint.")

    def extra_repr(self) -> str:
        """What `print` shows."""
        limits = self.settings.limits
        told = "" if self.hurt is None else f", hurt={self.hurt!r}"
        return (
            f"method={self.method}, p={self.p}, area={self.least_area:g} to {limits.max_area:g},"
            f" source={self.source!r}, patches={self.patches}{told}"
        )

    def forward(
        self,
        images: Tensor,
        boxes: Tensor,
        exemplars: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Occlude a batch.

        Args:
            images: `[N, 3, H, W]`, floating-point in [0, 1], or uint8.
            boxes: `[N, 4]`, the targets, `(x, y, w, h)` in pixels. An image whose box has no area, lies outside,
                or is longer than four times the image, stays as it is.
            exemplars: `[N, 3, h, w]`, the targets that the matcher compares with; the images' own if `None`.
            generator: Where the draws come from, on the CPU; torch's own if `None`.

        Returns:
            A new tensor of the images' shape and dtype; the boxes still hold.

        Raises:
            InputError: If the shapes do not go together, or the scorer fails.
        """
        return self.apply_to(images, self.plan(images, boxes, exemplars, generator))

    @torch.no_grad()
    def plan(
        self,
        images: Tensor,
        boxes: Tensor,
        exemplars: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Occlusions:
        """Choose what to cover and with what; see `forward`."""
        check_batch(images, boxes, exemplars)
        rng = numpy_generator(generator)
        height, width = images.shape[-2:]
        given = boxes.detach().cpu().double().numpy()
        chosen = np.flatnonzero((rng.random(len(given)) < self.p) & _usable(given, width, height))
        rows = torch.from_numpy(chosen).to(images.device)
        taken = _floating(images[rows])
        known = None if exemplars is None else _floating(exemplars[rows.to(exemplars.device)].to(images.device))
        drawn = self.source(taken, given[chosen], self.settings.limits.max_area, self.patches, rng)
        regions, patches = self._regions(taken, given[chosen], drawn, known, rng)
        covered = given[chosen].copy()
        covered[:, :2] += regions[:, :2] * covered[:, 2:]
        covered[:, 2:] *= regions[:, 2:]
        return Occlusions(rows, torch.from_numpy(covered).float().to(images.device), patches, regions)

    def apply_to(self, images: Tensor, occlusions: Occlusions) -> Tensor:
        """Paste what `plan` chose; a pixel is covered where its centre lies in the box."""
        found = images.clone()
        if not len(occlusions):
            return found
        height, width = images.shape[-2:]
        if len(images) == 1:
            # One large image: only the part around the box is looked at.
            (x, y, w, h), rows = occlusions.boxes[0].tolist(), occlusions.rows
            top, bottom = max(0, int(y)), min(height, int(y + h) + 1)
            left, right = max(0, int(x)), min(width, int(x + w) + 1)
            if top < bottom and left < right:
                inside = Occlusions(
                    rows, occlusions.boxes - occlusions.boxes.new_tensor([left, top, 0, 0]), occlusions.patches,
                    occlusions.regions,
                )  # fmt: skip
                found[..., top:bottom, left:right] = _paste(found[..., top:bottom, left:right], inside)
            return found
        return _paste(found, occlusions)

    def _regions(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        patches: Tensor,
        exemplars: Tensor | None,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], Tensor]:
        """The region of each image, and which of its patches covers it."""
        limits, count = self.settings.limits, len(boxes)
        area = rng.uniform(self.least_area, limits.max_area, count)
        first = patches[:, 0]
        if not count:
            return np.empty((0, 4)), first
        if self._random:
            drawn = limits.random(np.repeat(area, self._random), rng).reshape(count, -1, 4)
            if self._random == 1:
                return drawn[:, 0], first
            return self._worst(images, boxes, patches, exemplars, drawn)
        if not self._needs_scorer:
            return limits.centred(area), first
        if self._in_one_batch:
            grid = limits.grid(limits.max_area)
            candidates = np.tile(grid, (count, 1, 1))
            return self._worst(images, boxes, patches, exemplars, candidates)
        return self._searched(images, boxes, first, exemplars, rng), first

    def _worst(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        patches: Tensor,
        exemplars: Tensor | None,
        candidates: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], Tensor]:
        """The candidate `[M, K, 4]` of each image that hurts most, and what covers it."""
        hurt = self.hurt or ScoreLeft(self._matcher(images.device))
        rows = torch.arange(len(candidates))
        best = hurt(images, boxes, exemplars, patches, candidates).argmin(dim=1).cpu()
        chosen = patches[rows.to(patches.device), (best % patches.shape[1]).to(patches.device)]
        return candidates[rows.numpy(), best.numpy()], chosen

    def _searched(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        patches: Tensor,
        exemplars: Tensor | None,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """What the method finds in the searches of the environment."""
        scorer = self._matcher(images.device)
        known = None if exemplars is None else to_images(exemplars)
        targets = image_targets(to_images(images), boxes, known)
        features: Any = self.method.features or NoFeatures()
        if self.method.looks and self.method.features is None:
            features = load_networks(SearchArguments(device=str(images.device))).features
        if isinstance(self.method, BeliefSearch) and not self._prior_chosen:
            limits = self.settings.limits
            self.method = self.method.with_prior(scorer, features, limits, "background", lambda: targets)
            self._prior_chosen = True
        search = Search(len(targets), scorer, features, self.settings)
        search.begin(np.arange(len(targets)), list(targets), list(to_images(patches)))
        return np.stack([found.best.region for found in self.method.find(search, rng.spawn(len(targets)))])

    def _matcher(self, device: torch.device) -> Scorer:
        """The scorer; one by name is loaded once a process and device."""
        scorer = self.scorer
        if isinstance(scorer, str):
            scorer = load_networks(SearchArguments(scorer=scorer, device=str(device))).scorer
        assert scorer is not None
        return scorer


def check_batch(images: Tensor, boxes: Tensor, exemplars: Tensor | None) -> None:
    """Refuse what is no batch of images and boxes.

    Raises:
        InputError: Naming the shape.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not (images.is_floating_point() or images.dtype == torch.uint8):
        raise InputError(
            f"The images are {images.dtype}{list(images.shape)}; give floating-point or uint8 [N, 3, H, W]."
        )
    if boxes.shape != (len(images), 4):
        raise InputError(f"The boxes are {list(boxes.shape)} for {len(images)} images; give [{len(images)}, 4].")
    if exemplars is not None and (exemplars.ndim != 4 or exemplars.shape[:2] != images.shape[:2]):
        raise InputError(f"The exemplars are {list(exemplars.shape)}; give one [3, h, w] for each image.")


def _usable(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Boxes that are finite, have an area, overlap the image, and are not far larger than it."""
    x, y, w, h = boxes.T
    with np.errstate(invalid="ignore"):
        over = (
            (np.maximum(w, h) <= LARGEST_BOX * max(width, height))
            & (w > 0)
            & (h > 0)
            & (x < width)
            & (y < height)
            & (x + w > 0)
            & (y + h > 0)
        )
    return over & np.isfinite(boxes).all(axis=1) & (width > 0) & (height > 0)


def _floating(images: Tensor) -> Tensor:
    return images.float() if images.is_floating_point() else images.float() / 255


def _paste(images: Tensor, occlusions: Occlusions) -> Tensor:
    """Paste into the rows of a batch; what is not covered keeps its bits."""
    height, width = images.shape[-2:]
    relative = occlusions.boxes / occlusions.boxes.new_tensor([width, height, width, height])
    if len(occlusions) == 0:
        return images
    found = images.clone()
    pasted = occlude(_floating(images[occlusions.rows]), occlusions.patches, relative)
    if not images.is_floating_point():
        pasted = (pasted * 255).round()
    found[occlusions.rows] = pasted.to(images.dtype)
    return found
