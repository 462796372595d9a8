"""`OcclusionSearch-v0`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from tracker.backbones import FeatureExtractor, Precision
from tracker.errors import InputError
from tracker.images import check_image, crop
from tracker.scorers import Scorer, load_scorer, shared_backbone

from .actions import ACTIONS, RegionLimits
from .occluders import PATCH_SIZE, background_patch
from .rendering import draw_search
from .search import Search, SearchSettings
from .targets import Source, Target, TargetSet, load_targets
from .threshold import shared_drop, usual_drop

__all__ = ["OcclusionSearchEnv"]

_OPTIONS = ("target", "image", "box", "exemplar", "patch", "region")


class OcclusionSearchEnv(gym.Env[NDArray[np.float32], np.int64], EzPickle):
    """Find the region of a target whose occlusion hurts a Siamese matcher most (HPTN, section 4.2).

    ## Description
    A target has been cut out of a frame of a video. An agent moves a region over it; a patch of the same
    frame's background is pasted over the region, and the matcher (SINT) scores the occluded target against the
    exemplar, the target of the video's first frame. The lower the score, the harder the positive.

    ## Action space
    `Discrete(9)`. A move goes by `step` (0.2) of the region's own size, as far as the limits allow.

    | n | action | | n | action |
    |---|---|---|---|---|
    | 0 | right | | 5 | smaller |
    | 1 | left | | 6 | fatter |
    | 2 | up | | 7 | taller |
    | 3 | down | | 8 | trigger: end the search |
    | 4 | bigger | | | |

    ## Observation space
    `Box(float32)`: the features of the unoccluded target under the region (a layer of the network, scaled to a
    root mean square of 1), then the last `history` actions, newest first, each as a one-hot of 9.

    ## Rewards
    A move: +1 if the score fell, else -1 (eq. 5; a tie costs). The trigger: `+eta` if the score is at most phi,
    else `-eta` (eq. 6).

    ## Starting state
    A target drawn from `targets`, a background patch drawn from its frame, and the centred region of the largest
    area. `reset(options=...)` takes instead:

    | key | is |
    |---|---|
    | `target` | index or id of a target of the set |
    | `image`, `box` | your own frame, `uint8[H, W, 3]` RGB, and the target's box in it, `(x, y, w, h)` in pixels |
    | `exemplar` | `uint8[h, w, 3]`, what the matcher compares with; by default the target itself |
    | `patch` | `uint8[h, w, 3]`, what covers the target |
    | `region` | `(x, y, w, h)` relative to the target, where the search starts |

    ## Episode end
    The trigger terminates; `max_steps` actions truncate.

    ## Info
    The same keys and types after every reset and step: `score`, `previous_score`, `clean_score`, `phi` (floats),
    `region` (`float64[4]`), `action` (its name; `"reset"` after a reset), `target` (its id), `success` (the
    score is at most phi).

    ## Arguments
    Everything is plain data, so that specs serialise; `targets` and `scorer` also take objects. A copy or a pickle
    is made anew from the arguments (EzPickle): reset it before its first step.

    ## Version history
    v0: first version.

    Args:
        targets: `synthetic[:SEED]`, the path of a sequence or of a folder of sequences, or a `TargetSet`.
        features: The network of the state, and of the scorer: `slim` or `vgg16`.
        layer: Its layer that is the state; by default `fc7`, or `pool5` where only convolutions were loaded.
        weights: See `tracker.backbones.load_backbone`.
        scorer: `sint`, or a `tracker.scorers.Scorer`.
        step: See `RegionLimits`.
        max_area: See `RegionLimits`.
        min_side: See `RegionLimits`.
        max_aspect: See `RegionLimits`.
        history: See `SearchSettings`.
        max_steps: See `SearchSettings`.
        eta: See `SearchSettings`.
        phi: Threshold of the trigger, as a score; `None` makes it relative to each target.
        drop: Then phi is the target's clean score less this; `None` takes what random regions reach with the
            chance `phi_quantile` on `targets` (`usual_drop`), measured at the first reset.
        phi_quantile: See `drop`.
        device: `cpu`, `cuda`, `auto`.
        precision: `auto`, `fp32`, `bf16`.
        render_mode: `None` or `rgb_array`.

    Raises:
        InputError: If an argument is unknown, out of range, or names what cannot be read.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self,
        targets: str | TargetSet = "synthetic",
        features: str = "slim",
        layer: str | None = None,
        weights: str | None = None,
        scorer: str | Scorer = "sint",
        *,
        step: float = 0.2,
        max_area: float = 0.25,
        min_side: float = 0.1,
        max_aspect: float = 4.0,
        history: int = 10,
        max_steps: int = 20,
        eta: float = 3.0,
        phi: float | None = None,
        drop: float | None = None,
        phi_quantile: float = 0.1,
        device: str = "auto",
        precision: Precision = "auto",
        render_mode: str | None = None,
    ) -> None:
        """See the class."""
        EzPickle.__init__(
            self, targets, features, layer, weights, scorer, step=step, max_area=max_area, min_side=min_side,
            max_aspect=max_aspect, history=history, max_steps=max_steps, eta=eta, phi=phi, drop=drop,
            phi_quantile=phi_quantile, device=device, precision=precision, render_mode=render_mode,
        )  # fmt: skip
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"'{render_mode}' is no render mode; choose rgb_array or None.")
        if phi is not None and drop is not None:
            raise InputError("phi and drop are two ways to say one thing; give one of them.")
        for name, value in (("phi", phi), ("drop", drop)):
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} is {value}; it must be finite, in units of the score.")
        if drop is not None and drop < 0:
            raise InputError(f"drop is {drop}; it must be 0 or more: how far the score must fall.")
        if not 0 < phi_quantile < 1:
            raise InputError(f"phi_quantile is {phi_quantile}; it must lie between 0 and 1.")
        self.render_mode = render_mode
        self.targets = load_targets(targets) if isinstance(targets, str) else targets
        if not isinstance(self.targets, TargetSet) or not len(self.targets):
            raise InputError(f"targets is {targets!r}; give a path, synthetic, or a TargetSet with targets in it.")
        settings = SearchSettings(RegionLimits(step, max_area, min_side, max_aspect), history, max_steps, eta)
        backbone = shared_backbone(features, weights, device)
        layer = layer or ("fc7" if backbone.fully_connected else "pool5")
        extractor = FeatureExtractor(backbone, layer, precision)
        named = isinstance(targets, str) and isinstance(scorer, str)
        if isinstance(scorer, str):
            if scorer != "sint":
                raise InputError(f"'{scorer}' is no scorer; give sint, or an object with embed and compare.")
            scorer = load_scorer(features, weights, device, precision)
        elif not isinstance(scorer, Scorer):
            raise InputError(f"{scorer!r} is no scorer; give sint, or an object with embed and compare.")
        self.search = Search(1, scorer, extractor, settings)
        self.phi = phi
        self.drop = drop
        self._measure_drop = (
            partial(shared_drop, targets, features, layer, weights, device, precision, settings, phi_quantile)
            if named
            else partial(usual_drop, self.targets, scorer, extractor, settings, phi_quantile)
        )
        self._index = {name: number for number, name in enumerate(self.targets.ids)}
        self._target: Target | None = None
        self._trail: list[NDArray[np.float64]] = []
        self._scores: list[float] = []

        bound = np.full(self.search.observation_length, extractor.length**0.5, dtype=np.float32)
        bound[extractor.length :] = 1.0
        low = -bound
        low[extractor.length :] = 0.0
        self.observation_space = spaces.Box(low, bound, dtype=np.float32)
        self.action_space = spaces.Discrete(len(ACTIONS))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a search; see the class for the options.

        Raises:
            InputError: If an option is unknown or cannot be used.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        if unknown := set(options) - set(_OPTIONS):
            raise InputError(f"'{min(map(str, unknown))}' is no reset option; choose {', '.join(_OPTIONS)}.")
        search = self.search
        if self.phi is None and self.drop is None:
            self.drop = self._measure_drop()
        target = self._own_target(options) if "image" in options else self._set_target(options)
        if (patch := options.get("patch")) is not None:
            patch = check_image(patch, "The option 'patch'")
            patch = crop(patch, (0, 0, patch.shape[1], patch.shape[0]), PATCH_SIZE)
        else:
            share = search.settings.limits.max_area
            patch, _ = background_patch(target.frame, target.box, share, self.np_random)
        region = options.get("region")
        regions = None if region is None else _four_numbers(region, "region")[None]
        search.begin(np.array([0]), [target], [patch], self.phi, self.drop, regions)
        self._target = target
        self._trail, self._scores = [search.region[0].copy()], [float(search.score[0])]
        return search.observe()[0], self._info("reset")

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take an action.

        Raises:
            InputError: If the action is not an integer from 0 to 8.
        """
        if self._target is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        if not isinstance(action, int | np.integer) and getattr(action, "shape", None) != ():
            raise InputError(f"{action!r} is no action; give an integer from 0 to {len(ACTIONS) - 1}.")
        done = self.search.step(np.asarray([action]))
        self._trail.append(self.search.region[0].copy())
        self._scores.append(float(self.search.score[0]))
        return (
            self.search.observe()[0],
            float(done.reward[0]),
            bool(done.terminated[0]),
            bool(done.truncated[0]),
            self._info(ACTIONS[int(action)]),
        )

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the search: the target with the trail of regions, the occluded target, and the score's curve.

        Returns:
            `uint8[H, W, 3]`, or `None` without a render mode.
        """
        if self.render_mode is None:
            return None
        if self._target is None:
            raise gym.error.ResetNeeded("Call reset() before render().")
        return draw_search(
            self._target.crop, self._target.exemplar, self.search.patches()[0], self._trail, self._scores,
            float(self.search.clean_score[0]), float(self.search.phi[0]), self.search.settings.max_steps,
        )  # fmt: skip

    def _set_target(self, options: dict[str, Any]) -> Target:
        if stray := {"box", "exemplar"} & set(options):
            raise InputError(f"The option '{sorted(stray)[0]}' needs the option 'image' beside it.")
        wanted = options.get("target")
        if wanted is None:
            return self.targets[int(self.np_random.integers(len(self.targets)))]
        number = self._index.get(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(number, int | np.integer) or not 0 <= number < len(self.targets):
            raise InputError(
                f"There is no target {wanted!r}; give an id such as '{self.targets.ids[0]}' or an index from 0 to"
                f" {len(self.targets) - 1}."
            )
        return self.targets[int(number)]

    @staticmethod
    def _own_target(options: dict[str, Any]) -> Target:
        if "target" in options:
            raise InputError("The options 'image' and 'target' exclude each other; give one of them.")
        if "box" not in options:
            raise InputError("The option 'image' needs the option 'box': x,y,w,h of the target in it.")
        image = check_image(options["image"], "The option 'image'")
        box = _four_numbers(options["box"], "box")
        cut = crop(image, box)
        exemplar = cut if options.get("exemplar") is None else check_image(options["exemplar"], "The exemplar")
        place = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        return Target("image", cut, exemplar, image, Source("image", 0, "image", place))

    def _info(self, action: str) -> dict[str, Any]:
        assert self._target is not None
        search = self.search
        return {
            "score": float(search.score[0]),
            "previous_score": float(search.previous_score[0]),
            "clean_score": float(search.clean_score[0]),
            "phi": float(search.phi[0]),
            "region": search.region[0].copy(),
            "action": action,
            "target": self._target.id,
            "success": bool(search.success[0]),
        }


def _four_numbers(value: Any, option: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (4,):
        raise InputError(f"The option '{option}' is {value!r}; give four numbers: x,y,w,h.")
    return numbers
