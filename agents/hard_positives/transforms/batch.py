"""Hard positives of a batch of tensors, between the sampler and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import find_scorer, load_networks
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import occlude
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.boxes import LARGEST_BOX
from tracker.data.images import to_images
from tracker.errors import InputError
from tracker.scorers import Scorer

from ...common.randomness import numpy_generator
from ...policies.baselines import Querying, RandomRegions, list_cells, list_grid
from ...policies.belief.method import BeliefSearch
from ...policies.methods import Method, NoFeatures, as_method
from ...policies.rollout import Agent, Policy
from ..image_targets import image_targets
from .objectives import Objective, OccludedScore
from .patches import Background, PatchSource

AREAS = (0.05, 0.6)
"""Least and largest area of a random region unless limits are given. In a training, areas of this range raised a
tracker's overlap on partly covered targets more than a quarter did, and no harder choice of the region raised it
measurably more (`benchmarks/results/ladder.json`)."""

MOST_PATCHES = 1_000
"""Largest number of patches for one image: 50 MB."""


@dataclass(frozen=True)
class Occlusions:
    """Patches, and where they are pasted in a batch of images.

    Attributes:
        rows: `int64[M]`, the images.
        boxes: `float32[M, 4]`, the covered regions, `(x, y, w, h)` in the image's pixels.
        patches: `float32[M, 3, 64, 64]` in [0, 1].
        regions: `float64[M, 4]`, the covered regions, relative to the targets.
    """

    rows: Tensor
    boxes: Tensor
    patches: Tensor
    regions: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


class HardPositiveBatch(nn.Module):
    """Covers the target of each image with a piece of its background, in the region that a method finds.

    Methods come in three kinds. Random regions and the centre need no scorer. The best of k random regions and
    grid search list candidates, all of which are scored in one batch. All others act in searches of
    `occlusion_env`, whose targets are arrays, so that their images are copied to the CPU.

    The work is done on the images' device; crops are moved to a scorer on another one. Random numbers are drawn on
    the CPU from torch's generator, so that a seed gives the same result on every device. The module has no
    parameters, and does the same in training and in evaluation mode. A scorer that is being trained
    (`tracker.scorers.foreign.EmbeddingScorer`) is queried with its weights at the time of the call.

    With several `patches` an image, candidates differ in their patch too, so that the hardest of them answers both
    questions of section 4.2 at once, where and with what.

    Args:
        method: Finds the region: a name of `agents.policies.methods.METHODS`, or what
            `agents.policies.methods.as_method` takes. `None` is `belief` where a scorer is given, otherwise
            `random`. The prior of a belief is chosen for the scorer at the first batch
            (`agents.policies.belief.BeliefSearch.with_prior`).
        scorer: The matcher: `sint` (the package's slim network, on the images' device), `module:function`, or a
            `Scorer` on any device. `random` and `centre` need none.
        p: Probability that an image is changed.
        limits: Largest area, least side and aspect of a region; `None` covers 5 to 60 % of the target with
            `random`, and a quarter with all methods that search.
        least_area: The area of an image's regions is drawn between this and the largest; `None` always covers the
            largest where limits are given. For random regions (the best of several have the same area) and the
            centre.
        source: Draws the patches.
        patches: Patches an image, 1 to 1,000; candidates take them in turn. For random regions and grid search.
        objective: The hardest candidate minimises it; the scorer's score of the target by default. An object of
            `objectives` needs no `scorer` beside it.

    Raises:
        InputError: If `p` is no probability, the method is unknown, it needs a scorer, or the least area is out of
            range.
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
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        _check_numbers(p, least_area, patches)
        if not isinstance(limits, RegionLimits | None):
            raise InputError(f"limits is {limits!r}; give a RegionLimits, or None.")
        if method is None:
            method = "random" if scorer is None else "belief"
        self.method = as_method(method)
        self.scorer = scorer
        self.p = p
        if source is not None and (isinstance(source, type) or not callable(source)):
            raise InputError(f"source is {source!r}; give an object that draws patches, such as Background().")
        self.source: PatchSource = Background() if source is None else source
        self.patches = patches
        self.objective = objective
        self._prior_chosen = False
        self._listing = _as_listing(self.method)
        proposer = None if self._listing is None else self._listing.proposer
        # A method that lists one region needs no score.
        self._is_single = single = self._listing is not None and self._listing.queries == 1
        random = proposer is RandomRegions
        if limits is not None and self.method.settings is not None:
            raise InputError("An agent keeps to the limits that it was trained with; leave limits out.")
        if limits is None and random and single:
            limits = RegionLimits(max_area=AREAS[1])
            least_area = AREAS[0] if least_area is None else least_area
        self.settings = self.method.settings or SearchSettings(limits or RegionLimits())
        least, largest = self.settings.limits.min_side**2, self.settings.limits.max_area
        self.least_area = largest if least_area is None else least_area
        if not least <= self.least_area <= largest:
            raise InputError(f"least_area is {least_area}; it must lie between {least:g} and {largest:g}.")
        if self.least_area < largest and not (random or single):
            raise InputError(f"The method {method!r} covers the largest area; leave least_area out.")
        if (patches > 1 or objective is not None) and not (random or proposer is list_grid):
            raise InputError(
                f"The method {method!r} takes one patch and its own score; leave patches and objective out."
            )
        if not single and scorer is None and objective is None:
            raise InputError(f"The method {method!r} queries a matcher; give a scorer, such as sint.")

    def extra_repr(self) -> str:
        """The settings in `repr`."""
        objective = "" if self.objective is None else f", objective={self.objective!r}"
        return (
            f"method={self.method}, p={self.p}, area={self.least_area:g} to {self.settings.limits.max_area:g},"
            f" source={self.source!r}, patches={self.patches}{objective}"
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
            generator: Random generator on the CPU; torch's own if `None`.

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
        """Choose the regions and the patches; see `forward`."""
        _check_batch(images, boxes, exemplars)
        rng = numpy_generator(generator)
        height, width = images.shape[-2:]
        places = boxes.detach().cpu().double().numpy()
        changed = np.flatnonzero((rng.random(len(places)) < self.p) & _usable(places, width, height))
        places, rows = places[changed], torch.from_numpy(changed).to(images.device)
        chosen = _floating(images[rows])
        if exemplars is not None:
            exemplars = _floating(exemplars[rows.to(exemplars.device)].to(images.device))
        drawn = self.source(chosen, places, self.settings.limits.max_area, self.patches, rng)
        regions, patches = self._choose(chosen, places, drawn, exemplars, rng)
        covered = np.concatenate(
            [places[:, :2] + regions[:, :2] * places[:, 2:], regions[:, 2:] * places[:, 2:]], 1
        )
        return Occlusions(rows, torch.from_numpy(covered).float().to(images.device), patches, regions)

    def apply_to(self, images: Tensor, occlusions: Occlusions) -> Tensor:
        """Paste what `plan` chose; a pixel is covered where its centre lies in the box, other pixels stay."""
        found, boxes = images.clone(), occlusions.boxes
        if not len(occlusions):
            return found
        part = found
        if len(images) == 1:  # often a large image: only the part around the box is computed
            x, y, w, h = boxes[0].tolist()
            left, top = max(0, int(x)), max(0, int(y))
            part = found[..., top : max(0, int(y + h) + 1), left : max(0, int(x + w) + 1)]
            boxes = boxes - boxes.new_tensor([left, top, 0, 0])
        height, width = part.shape[-2:]
        if height and width:
            relative = boxes / boxes.new_tensor([width, height, width, height])
            pasted = occlude(_floating(part[occlusions.rows]), occlusions.patches, relative)
            part[occlusions.rows] = (pasted if part.is_floating_point() else (pasted * 255).round()).to(part.dtype)
        return found

    def _choose(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        patches: Tensor,
        exemplars: Tensor | None,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], Tensor]:
        """The region of each image, `[M, 4]`, and the one of its patches that covers it, `[M, 3, 64, 64]`."""
        area = rng.uniform(self.least_area, self.settings.limits.max_area, len(boxes))
        if not len(boxes):
            return np.empty((0, 4)), patches[:, 0]
        if self._listing is None:
            return self._search(images, boxes, patches[:, 0], exemplars, rng), patches[:, 0]
        candidates = self._candidates(self._listing, area, rng)
        if self._is_single:
            return candidates[:, 0], patches[:, 0]
        objective = self.objective or OccludedScore(self._load_scorer(images.device))
        best = objective(images, boxes, exemplars, patches, candidates).argmin(dim=1).cpu()
        rows = torch.arange(len(boxes))
        patch = patches[rows.to(patches.device), (best % patches.shape[1]).to(patches.device)]
        return candidates[rows.numpy(), best.numpy()], patch

    def _candidates(
        self, method: Querying, area: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """The regions that a method of `_as_listing` lists for M areas, `[M, K, 4]`."""
        limits, count = self.settings.limits, len(area)
        if method.proposer is RandomRegions:
            return limits.random(np.repeat(area, method.queries), rng).reshape(count, -1, 4)
        if method.proposer is list_grid:
            return np.tile(limits.grid(limits.max_area), (count, 1, 1))
        return limits.centred(area)[:, None]

    def _search(
        self,
        images: Tensor,
        boxes: NDArray[np.float64],
        patches: Tensor,
        exemplars: Tensor | None,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """The regions that the method finds in searches of the environment, `[M, 4]`."""
        scorer = self._load_scorer(images.device)
        targets = image_targets(to_images(images), boxes, None if exemplars is None else to_images(exemplars))
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

    def _load_scorer(self, device: torch.device) -> Scorer:
        """The scorer; a named one is loaded once a process and device."""
        scorer = self.scorer
        if isinstance(scorer, str):
            scorer = find_scorer(SearchArguments(scorer=scorer, device=str(device)))
        assert scorer is not None
        return scorer


def _as_listing(method: Method) -> Querying | None:
    """The method if it lists its regions before any score is known: random regions, grid search, the centre."""
    if not isinstance(method, Querying) or method.wanted is not None:
        return None
    centre = method.proposer is list_cells and method.queries == 1
    return method if method.proposer in (RandomRegions, list_grid) or centre else None


def _check_numbers(p: float, least_area: float | None, patches: int) -> None:
    for name, value in (("p", p), ("least_area", 1.0 if least_area is None else least_area)):
        if not isinstance(value, int | float | np.number) or isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; it must be a number.")
    if not 0 <= p <= 1:
        raise InputError(f"p is {p}; it must lie between 0 and 1.")
    if not isinstance(patches, int) or isinstance(patches, bool):
        raise InputError(f"patches is {patches!r}; it must be a whole number.")
    if not 1 <= patches <= MOST_PATCHES:
        raise InputError(f"patches is {patches}; it must lie between 1 and {MOST_PATCHES}.")


def _check_batch(images: Tensor, boxes: Tensor, exemplars: Tensor | None) -> None:
    for name, given in (("images", images), ("boxes", boxes), ("exemplars", exemplars)):
        if not isinstance(given, Tensor) and not (given is None and name == "exemplars"):
            raise InputError(
                f"{name} is a {type(given).__name__}; give a tensor, such as torch.as_tensor({name})."
            )
    if images.ndim != 4 or images.shape[1] != 3 or not (images.is_floating_point() or images.dtype == torch.uint8):
        raise InputError(
            f"The images are {images.dtype}{list(images.shape)}; give floating-point or uint8 [N, 3, H, W]."
        )
    if boxes.shape != (len(images), 4):
        raise InputError(f"The boxes are {list(boxes.shape)} for {len(images)} images; give [{len(images)}, 4].")
    if exemplars is not None and (exemplars.ndim != 4 or exemplars.shape[:2] != images.shape[:2]):
        raise InputError(f"The exemplars are {list(exemplars.shape)}; give one [3, h, w] for each image.")


def _usable(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Whether each box is finite, has an area, overlaps the image, and is not far larger than it: `bool[N]`."""
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
