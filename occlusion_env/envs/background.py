"""What to occlude a target with: a search over the background of its own frame (section 4.2, question ii)."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.data.images import crop, to_tensor
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..mdp.background_moves import Background
from ..scene.occluders import PATCH_SIZE, occlude
from ..scene.targets import Target, TargetSet
from ..search.core import Search, SearchSettings
from .building import measure_drop
from .single import OcclusionSearchEnv
from .vector import OcclusionSearchVectorEnv

_DRAWS = 1000
"""Targets that are drawn, at most, to find one with background."""

__all__ = [
    "BackgroundSearch",
    "BackgroundSearchEnv",
    "BackgroundSearchVectorEnv",
    "has_background",
    "usual_background_drop",
]

Slots = NDArray[np.int64]
Regions = NDArray[np.float64]
Image = NDArray[np.uint8]


class BackgroundSearch(Search):
    """N searches for a patch, each over the frame that its target lies in.

    A search's region is a box of the frame, relative to the frame, and never touches the target. What lies under
    it covers a region of the target that stays where it is. All else is as in `Search`.

    Attributes:
        covered: `float64[N, 4]`, the regions that the patches cover, relative to each target.
    """

    view_scale = 2

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        """Allocate N searches; each starts with `begin`."""
        super().__init__(count, scorer, features, settings)
        self.covered = settings.limits.start(count)
        blank = np.tile([0.0, 0.0, 1.0, 1.0], (count, 1))
        self._background = Background.around(np.ones((count, 2)), blank, self.covered, settings.limits)

    def begin(
        self,
        slots: Slots,
        targets: Many[Target],
        patches: Many[Image] = (),
        phi: float | None = None,
        drop: float | None = None,
        regions: Regions | None = None,
        scenes: Many[bytes] | None = None,
        covered: Regions | None = None,
    ) -> None:
        """Start searches over.

        Args:
            slots: `int[M]`, which of the N.
            targets: M targets.
            patches: Not looked at: the patches are cut out under the boxes.
            phi: See `Search.begin`.
            drop: See `Search.begin`.
            regions: `[M, 4]`, the first boxes, relative to the frames; `draw_boxes` gives some.
            scenes: See `Search.begin`; what is covered is part of a scene.
            covered: `[M, 4]`, what they cover, relative to the targets; p0 of the limits if `None`.

        Raises:
            InputError: If a covered region breaks the limits, a frame has no room beside its target, or a box
                touches the target or breaks its limits.
        """
        slots = np.asarray(slots)
        regions_covered = super().first_regions(slots, covered)
        scene = backgrounds(targets, regions_covered, self.settings)
        check_room(targets, scene)
        if regions is None or not (held := scene.holds(scene.pixels(np.asarray(regions, np.float64)))).all():
            bad = None if regions is None else np.asarray(regions)[~held][0].round(3).tolist()
            raise InputError(
                f"The box {bad} of a frame's background touches the target or breaks its limits; use draw_boxes()."
            )
        self.covered[slots] = regions_covered
        self._background = self._background.replace(slots, scene)
        for slot, target in zip(slots, targets, strict=True):
            self.targets[slot] = target
        first = self._cut(slots, np.asarray(regions, np.float64))
        super().begin(slots, targets, list(first), phi, drop, regions, scenes)

    def draw_boxes(
        self, targets: Many[Target], generators: Many[np.random.Generator], covered: Regions | None = None
    ) -> Regions:
        """Draw first boxes, see `Background.start`.

        Args:
            targets: M targets.
            generators: M.
            covered: See `begin`.

        Returns:
            `[M, 4]`, relative to the frames.

        Raises:
            InputError: If a frame has no room beside its target.
        """
        regions = super().first_regions(np.arange(len(targets)), covered)
        scene = backgrounds(targets, regions, self.settings)
        check_room(targets, scene)
        return scene.relative(scene.start(generators))

    def first_regions(self, slots: Slots, regions: Regions | None) -> Regions:
        """The first boxes, which `begin` has checked."""
        assert regions is not None
        return regions

    def move(self, slots: Slots, regions: Regions, actions: NDArray[np.integer]) -> Regions:
        """See `Search.move` and `Background.move`."""
        scene = self._background.rows(slots)
        return scene.relative(scene.move(scene.pixels(regions), actions))

    def occluded(self, slots: Slots, regions: Regions) -> Tensor:
        """Each slot's target with what lies under a box `[M, 4]` of its frame pasted, `[M, 3, S, S]`."""
        slots = np.asarray(slots)
        rows = torch.from_numpy(slots).to(self._device)
        places = torch.from_numpy(self.covered[slots].astype(np.float32)).to(self._device)
        return occlude(self._images[rows], to_tensor(self._cut(slots, regions), self._device), places)

    def views(self, targets: Many[Target]) -> list[Image]:
        """The frames."""
        return [target.frame for target in targets]

    def patches(self) -> Image:
        """What lies under the boxes now, `uint8[N, 64, 64, 3]`."""
        return self._cut(np.arange(len(self)), self.region)

    def boxes(self) -> Regions:
        """The boxes in pixels of their frames, `float64[N, 4]`."""
        return self._background.pixels(self.region)

    def _cut(self, slots: Slots, regions: Regions) -> Image:
        """What lies under boxes of frames of any size, `uint8[M, 64, 64, 3]`."""
        boxes = self._background.rows(slots).pixels(regions)
        patches = np.empty((len(slots), PATCH_SIZE, PATCH_SIZE, 3), np.uint8)
        for row, (slot, box) in enumerate(zip(slots, boxes, strict=True)):
            target = self.targets[slot]
            assert target is not None
            patches[row] = crop(target.frame, box, PATCH_SIZE)
        return patches


def backgrounds(targets: Many[Target], covered: Regions, settings: SearchSettings) -> Background:
    """The backgrounds of M targets of which the regions `[M, 4]` will be covered."""
    sizes = np.array([target.frame.shape[1::-1] for target in targets], np.float64)
    return Background.around(sizes, np.array([target.box for target in targets]), covered, settings.limits)


def has_background(target: Target, settings: SearchSettings, covered: Regions | None = None) -> bool:
    """Whether a box within the limits fits beside a target in its frame.

    Args:
        target: The target.
        settings: Of the search.
        covered: The region that the patch will cover, `[4]`; p0 of the limits if `None`.
    """
    region = settings.limits.start(1) if covered is None else np.asarray(covered, np.float64)[None]
    return bool(backgrounds([target], region, settings).fits[0])


def check_room(targets: Many[Target], scene: Background) -> None:
    """Refuse targets that leave no background.

    Raises:
        InputError: Naming the first one.
    """
    for target, fits in zip(targets, scene.fits, strict=True):
        if not fits:
            raise InputError(
                f"The target '{target.id}' leaves no room for a patch beside it in its frame; leave it out, or"
                " cover a smaller region."
            )


def usual_background_drop(
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings,
    quantile: float = 0.1,
    at_most: int = 32,
    boxes_each: int = 8,
    seed: int = 0,
    occluder: str = "background",
) -> float:
    """How far the score falls under a lucky random patch: `usual_drop` for the second search.

    Args:
        targets: The training targets; at most `at_most` of them, evenly spaced, are used, those without background
            left out.
        scorer: Gives the score.
        features: The state's features; unused, a search carries them.
        settings: Of the search; the region p0 is covered.
        quantile: Share of random boxes that would earn the trigger's reward.
        at_most: Bounds the cost.
        boxes_each: Random boxes a target.
        seed: Of the boxes.
        occluder: Always the background.

    Returns:
        The drop, in units of the score.

    Raises:
        InputError: If none of the targets has background.
    """
    rng = np.random.default_rng(seed)
    chosen = [
        target
        for target in targets.subset(evenly_spaced(len(targets), at_most))
        if has_background(target, settings)
    ]
    if not chosen:
        raise InputError("None of the targets leaves room for a patch beside it in its frame; give other videos.")
    search = BackgroundSearch(len(chosen), scorer, features, settings)
    slots = np.arange(len(chosen))
    search.begin(slots, chosen, regions=search.draw_boxes(chosen, [rng] * len(chosen)))
    rows = np.repeat(slots, boxes_each)
    boxes = search.draw_boxes([chosen[row] for row in rows], [rng] * len(rows))
    return float(np.quantile(search.clean_score[rows] - search.scores(rows, boxes), 1 - quantile))


class BackgroundSearchVectorEnv(OcclusionSearchVectorEnv):
    """N searches for a patch side by side; see `BackgroundSearchEnv` and `OcclusionSearchVectorEnv`."""

    search_class = BackgroundSearch
    search: BackgroundSearch
    reset_options = ("target", "image", "box", "exemplar", "region")

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        """See the class.

        Raises:
            InputError: If an occluder other than the background is asked for.
        """
        if arguments.get("occluder", "background") != "background" or arguments.get("patches"):
            raise InputError(
                "This search cuts its occluder out of the background; leave occluder and patches out."
            )
        super().__init__(num_envs, **arguments)

    def measure_drop(self) -> float:
        """See `usual_background_drop`."""
        return measure_drop(self.arguments, self._parts, usual_background_drop)

    def choose_target(self, options: dict[str, Any], rng: np.random.Generator) -> tuple[int, Target]:
        """As `OcclusionSearchVectorEnv.choose_target`; targets without background are not drawn."""
        index, target = super().choose_target(options, rng)
        if index < 0 or options.get("target") is not None:
            return index, target
        settings, region = self.search.settings, options.get("region")
        if region is not None and not settings.limits.holds(np.asarray(region, np.float64)):
            return index, target  # the error is told where the search starts
        for _ in range(_DRAWS):
            if has_background(target, settings, region):
                break
            index, target = super().choose_target(options, rng)
        return index, target

    def start(self, slots: Slots, targets: Many[Target], regions: Regions | None, options: dict[str, Any]) -> None:
        """Draw the first boxes and start the searches; the option `region` is what they cover."""
        boxes = self.search.draw_boxes(targets, [self._generator(slot) for slot in slots], regions)
        self.search.begin(slots, targets, (), self.phi, self.drop, boxes, covered=regions)

    def covered(self, slot: int) -> NDArray[np.float64]:
        """The region of the target that is covered, `float64[4]`."""
        return self.search.covered[slot]


class BackgroundSearchEnv(OcclusionSearchEnv):
    """Find the piece of background that hurts a Siamese matcher most when it covers a target (HPTN, section 4.2).

    ## Description
    The second question of section 4.2: where a target is covered is settled, with what is not. An agent moves a
    box over the background of the target's own frame, never onto the target. What lies under the box is pasted
    over a fixed region of the target, and the matcher (SINT) scores the occluded target against the exemplar, the
    target of the video's first frame. The lower the score, the harder the positive.

    `gym.make_vec` gives N of these with one forward pass a step for all states and one for all scores; the data
    are those of N single ones, but for rounding.

    ## Action space
    `Discrete(9)`, the nine actions of `OcclusionSearch-v0`. A move goes by `step` (0.2) of the box's own size, and
    towards the target and the frame's border as far as it can; the way round the target is over its corners.
    Sizes are limited relative to the covered region in pixels of the frame: an area of at most the region's, sides
    of at least 0.3 of its sides, an aspect of at most `max_aspect` off its aspect.
    `env.unwrapped.action_masks()` tells which moves change the box, `bool[9]`; the trigger is always allowed.

    | n | action | | n | action |
    |---|---|---|---|---|
    | 0 | right | | 5 | smaller |
    | 1 | left | | 6 | fatter |
    | 2 | up | | 7 | taller |
    | 3 | down | | 8 | trigger: end the search |
    | 4 | bigger | | | |

    ## Observation space
    Those of `OcclusionSearch-v0`, of the frame under the box in place of the target under the region: `features`,
    `features+region`, `dict` or `pixels`. The region is that of the box, x, y, w, h relative to the frame.

    ## Rewards
    Those of `OcclusionSearch-v0`: `paper` (eq. 5 and 6), `margin`, `difference`, `potential` or `record`.

    ## Starting state
    A target drawn from `targets`, passing over those whose frame leaves no room for a box; its centred region of
    the largest area to be covered; and a box at a random place of the background, as large as the region where
    that fits. `reset(options=...)` takes instead:

    | key | is |
    |---|---|
    | `target` | index or id of a target of the set |
    | `image`, `box` | your own frame, `uint8[H, W, 3]` RGB, and the target's box in it, `(x, y, w, h)` in pixels |
    | `exemplar` | `uint8[h, w, 3]`, what the matcher compares with; by default the target itself |
    | `region` | `(x, y, w, h)` relative to the target, what is covered |
    | `reset_mask` | vector environments only, `bool[N]`: which environments are reset |

    A target that is asked for and whose frame leaves no room is an error.

    ## Episode end
    That of `OcclusionSearch-v0`.

    ## Info
    Those of `OcclusionSearch-v0`; `region` is that of the box, relative to the frame.

    ## Arguments
    Those of `OcclusionSearch-v0`, except `occluder` and `patches`. `max_area`, `min_side` and `max_aspect` limit
    the covered region; `drop` is measured with random boxes.

    ## Version history
    v0: first version.

    Args:
        targets: See `SearchArguments`.
        render_mode: `None` or `rgb_array`.
        arguments: See `SearchArguments`.

    Raises:
        InputError: If an argument is out of range or names what cannot be read; if one is unknown, it is a
            `TypeError` too.
    """

    vector_class = BackgroundSearchVectorEnv
