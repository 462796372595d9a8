"""The patch that covers a target: a search over the background of its own frame (section 4.2, question ii)."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.data.images import crop, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer

from ..mdp.background_moves import Background
from ..scene.occluders import CONTRAST_SIDE, PATCH_SIZE, occlude
from ..scene.targets import Target, TargetSet
from ..search.core import Search, Searched, SearchSettings
from .single import OcclusionSearchEnv
from .vector import OcclusionSearchVectorEnv

_DRAWS = 1000
"""Largest number of draws of a target with background."""


Slots = NDArray[np.int64]
Regions = NDArray[np.float64]
Image = NDArray[np.uint8]


class BackgroundSearch(Search):
    """N searches for a patch, each over the frame of its target.

    A search's region is a box of the frame, relative to the frame, and never touches the target. The pixels under
    it cover a fixed region of the target. All else is as in `Search`.

    Attributes:
        covered: `float64[N, 4]`, the regions that the patches cover, relative to each target.
    """

    view_scale = 2
    searches: Searched = "patch"

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        super().__init__(count, scorer, features, settings)
        self.covered = settings.limits.centre(count)
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
        """Start searches over, as `Search.begin`; the patches are cut out under the boxes, so `patches` is unused.

        `regions` are the first boxes, `[M, 4]`, relative to the frames, from `draw_boxes`; `covered` the covered
        regions, `[M, 4]`, relative to the targets, p0 of the limits if `None`. They are part of a scene.

        Raises:
            InputError: If a covered region breaks the limits, a frame has no room beside its target, or a box
                touches the target or breaks its limits.
        """
        slots = np.asarray(slots)
        regions_covered = super().first_regions(slots, covered)
        scene = self._backgrounds(targets, regions_covered)
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

    def begin_random(
        self,
        targets: Many[Target],
        rng: np.random.Generator,
        occluder: str = "background",
        others: TargetSet | None = None,
        drop: float | None = None,
    ) -> None:
        """Start all N searches with drawn boxes; `occluder` and `others` are unused."""
        boxes = self.draw_boxes(targets, [rng] * len(targets))
        self.begin(np.arange(len(self)), targets, drop=drop, regions=boxes)

    def random_regions(self, slots: Slots, rng: np.random.Generator) -> Regions:
        """Draw a box for each of M slots, of the covered region's size where that fits, `[M, 4]`."""
        scene = self._background.rows(np.asarray(slots))
        return scene.relative(scene.start([rng] * len(scene)))

    def small_boxes(self, slots: Slots, rng: np.random.Generator) -> Regions:
        """Draw a box for each of M slots, `[M, 4]`, with sides `CONTRAST_SIDE` times the covered region's."""
        scene = self._background.rows(np.asarray(slots))
        draws = [rng] * len(scene)
        return scene.relative(scene.shrink(scene.start(draws), CONTRAST_SIDE, draws))

    @staticmethod
    def has_room(target: Target, settings: SearchSettings, covered: Regions | None = None) -> bool:
        """Whether a box within the limits fits beside a target whose region `covered`, `[4]`, it is to cover."""
        region = settings.limits.centre(1) if covered is None else np.asarray(covered, np.float64)[None]
        return bool(_backgrounds([target], region, settings).fits[0])

    def draw_boxes(
        self, targets: Many[Target], generators: Many[np.random.Generator], covered: Regions | None = None
    ) -> Regions:
        """Draw the first boxes of M targets, `[M, 4]`, relative to the frames; see `begin` and `Background.start`.

        Raises:
            InputError: If a frame has no room beside its target.
        """
        scene = self._backgrounds(targets, super().first_regions(np.arange(len(targets)), covered))
        return scene.relative(scene.start(generators))

    def first_regions(self, slots: Slots, regions: Regions | None) -> Regions:
        """The first boxes, which `begin` has checked."""
        assert regions is not None
        return np.asarray(regions, np.float64)

    def move(self, slots: Slots, regions: Regions, actions: NDArray[np.integer]) -> Regions:
        """Move boxes over the background, see `Background.move`."""
        scene = self._background.rows(slots)
        return scene.relative(scene.move(scene.pixels(regions), actions))

    def occluded(self, slots: Slots, regions: Regions) -> Tensor:
        """Each slot's target, covered by the pixels under a box `[M, 4]` of its frame: `[M, 3, S, S]`."""
        patches = to_tensor(self._cut(slots, regions), self._device)
        return occlude(
            self.target_images(slots), patches, torch.from_numpy(self.covered[slots].astype(np.float32))
        )

    def views(self, targets: Many[Target]) -> list[Image]:
        """The frames."""
        return [target.frame for target in targets]

    def patches(self) -> Image:
        """The pixels under the present boxes, `uint8[N, 64, 64, 3]`."""
        return self._cut(np.arange(len(self)), self.region)

    def boxes(self) -> Regions:
        """The boxes in pixels of their frames, `float64[N, 4]`."""
        return self._background.pixels(self.region)

    def _cut(self, slots: Slots, regions: Regions) -> Image:
        """Cut boxes out of frames of any size, `uint8[M, 64, 64, 3]`."""
        boxes = self._background.rows(slots).pixels(regions)
        patches = np.empty((len(slots), PATCH_SIZE, PATCH_SIZE, 3), np.uint8)
        for row, (slot, box) in enumerate(zip(slots, boxes, strict=True)):
            target = self.targets[slot]
            assert target is not None
            patches[row] = crop(target.frame, box, PATCH_SIZE)
        return patches

    def _backgrounds(self, targets: Many[Target], covered: Regions) -> Background:
        """The backgrounds of M targets of which the regions `[M, 4]` are covered; each must have room."""
        scene = _backgrounds(targets, covered, self.settings)
        for target, fits in zip(targets, scene.fits, strict=True):
            if not fits:
                raise InputError(
                    f"The target '{target.id}' leaves no room for a patch beside it in its frame; leave it out, or"
                    " cover a smaller region."
                )
        return scene


def _backgrounds(targets: Many[Target], covered: Regions, settings: SearchSettings) -> Background:
    sizes = np.array([target.frame.shape[1::-1] for target in targets], np.float64)
    return Background.around(sizes, np.array([target.box for target in targets]), covered, settings.limits)


class BackgroundSearchVectorEnv(OcclusionSearchVectorEnv):
    """N searches for a patch side by side; see `BackgroundSearchEnv` and `OcclusionSearchVectorEnv`."""

    search_class = BackgroundSearch
    search: BackgroundSearch
    reset_options = ("target", "image", "box", "exemplar", "region")

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        if arguments.get("occluder", "background") != "background" or arguments.get("patches"):
            raise InputError(
                "This search cuts its occluder out of the background; leave occluder and patches out."
            )
        if arguments.get("start", "centre") != "centre":
            raise InputError(
                "This search starts at a random place of the background; leave start out. What is covered is the"
                " option region of reset."
            )
        super().__init__(num_envs, **arguments)

    def choose_target(self, options: dict[str, Any], rng: np.random.Generator) -> tuple[int, Target]:
        """As `OcclusionSearchVectorEnv.choose_target`; targets without background are not drawn."""
        settings, region = self.search.settings, options.get("region")
        given = options.get("target") is not None or "image" in options
        # A region outside the limits is an error of `start`.
        draw_again = not given and (region is None or settings.limits.holds(np.asarray(region, np.float64)))
        index, target = super().choose_target(options, rng)
        for _ in range(_DRAWS if draw_again else 0):
            if self.search.has_room(target, settings, region):
                break
            index, target = super().choose_target(options, rng)
        return index, target

    def start(self, slots: Slots, targets: Many[Target], regions: Regions | None, options: dict[str, Any]) -> None:
        """Draw the first boxes and start the searches; the option `region` is the covered region."""
        boxes = self.search.draw_boxes(targets, [self.generators[slot] for slot in slots], regions)
        self.search.begin(slots, targets, (), self.phi, self.drop, boxes, covered=regions)

    def covered(self, slot: int) -> NDArray[np.float64]:
        """The region of the target that is covered, `float64[4]`."""
        return self.search.covered[slot]


class BackgroundSearchEnv(OcclusionSearchEnv):
    """Find the piece of background that lowers the score of a Siamese matcher most when it covers a target.

    ## Description
    The second question of HPTN, section 4.2: the covered region of the target is fixed, its patch is searched. An
    agent moves a box over the background of the target's own frame, never onto the target. The pixels under the
    box are pasted over the region, and the matcher (SINT) scores the occluded target against the exemplar, the
    target of the video's first frame. The lower the score, the harder the positive.

    `gym.make_vec` gives N of these with one forward pass a step for all states and one for all scores; the data
    are those of N single ones, but for rounding.

    ## Action space
    `Discrete(9)`, the nine actions of `OcclusionSearch-v0`. A move goes by `step` (0.2) of the box's own size, and
    towards the target and the frame's border as far as it can; the way round the target is over its corners.
    Sizes are limited relative to the covered region in pixels of the frame: an area of at most the region's, sides
    of at least 0.3 of its sides, an aspect of at most `max_aspect` off its aspect.
    `env.unwrapped.action_masks()`, `bool[9]`, is True for the moves that change the box, and for the trigger.

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
    | `exemplar` | `uint8[h, w, 3]`, the matcher's reference; by default the target itself |
    | `region` | `(x, y, w, h)` relative to the target, the covered region |
    | `reset_mask` | vector environments only, `bool[N]`: which environments are reset |

    A `target` or `image` whose frame leaves no room is an error.

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
        InputError: If an argument is out of range or cannot be loaded; if one is unknown, it is a `TypeError`
            too.
    """

    vector_class = BackgroundSearchVectorEnv
