"""N searches side by side: the MDP of section 4.2.1, every forward pass batched.

The environment is this with N = 1; evaluation and generation run it with many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from tracker.backbones import FeatureExtractor
from tracker.errors import InputError
from tracker.images import check_image, resize, to_images, to_tensor
from tracker.scorers import Scorer

from .actions import ACTIONS, TRIGGER, RegionLimits
from .occluders import PATCH_SIZE, occlude
from .rewards import movement_reward, trigger_reward
from .targets import Target

__all__ = ["Search", "SearchSettings", "Step"]

_CHUNK = 64


@dataclass(frozen=True)
class SearchSettings:
    """What the MDP leaves open, with this project's defaults (docs/architecture.md says why).

    Attributes:
        limits: The regions and the moves.
        history: How many past actions are part of the state.
        max_steps: T of Algorithm 1; reaching it truncates the episode.
        eta: Reward of the trigger (eq. 6).
    """

    limits: RegionLimits = field(default_factory=RegionLimits)
    history: int = 10
    max_steps: int = 20
    eta: float = 3.0

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            InputError: Naming the value.
        """
        if not isinstance(self.history, int) or self.history < 0:
            raise InputError(f"history is {self.history!r}; it must be a whole number of actions, 0 or more.")
        if not isinstance(self.max_steps, int) or self.max_steps < 1:
            raise InputError(f"max_steps is {self.max_steps!r}; it must be a whole number, at least 1.")
        if not 0 < self.eta < math.inf:
            raise InputError(f"eta is {self.eta}; it must be above 0 and finite.")


@dataclass(frozen=True)
class Step:
    """What N actions led to.

    Attributes:
        reward: `float64[N]`, eq. 5 for moves and eq. 6 for triggers.
        terminated: `bool[N]`, the trigger was pulled.
        truncated: `bool[N]`, the last step passed without it.
    """

    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Search:
    """The state of N searches, in arrays over N.

    Attributes:
        region: `float64[N, 4]`, relative to each target.
        score: `float64[N]`, S_t: of the target with the region occluded.
        previous_score: `float64[N]`, S_{t-1}; equal to `score` right after `begin`.
        clean_score: `float64[N]`, of the unoccluded target.
        phi: `float64[N]`, the threshold of eq. 6.
        steps: `int64[N]`, actions taken.
        queries: `int64[N]`, how often the scorer was asked since `begin`.
    """

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        """Allocate N searches; each starts with `begin`."""
        self.scorer = scorer
        self.features = features
        self.settings = settings
        self.region = settings.limits.start(count)
        self.score = np.zeros(count)
        self.previous_score = np.zeros(count)
        self.clean_score = np.zeros(count)
        self.phi = np.zeros(count)
        self.steps = np.zeros(count, dtype=np.int64)
        self.queries = np.zeros(count, dtype=np.int64)
        self._history = np.zeros((count, settings.history, len(ACTIONS)), dtype=np.float32)
        device = scorer.device
        self._images = torch.zeros(count, 3, scorer.input_size, scorer.input_size, device=device)
        # What the states are cut from: no coarser than the features' input, whatever the scorer sees.
        if features.input_size > scorer.input_size:
            self._views = torch.zeros(count, 3, features.input_size, features.input_size, device=device)
        else:
            self._views = self._images
        self._patches = torch.zeros(count, 3, PATCH_SIZE, PATCH_SIZE, device=device)
        self._exemplars: Tensor | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.region)

    @property
    def observation_length(self) -> int:
        """Numbers in one observation: the features and the one-hot history."""
        return self.features.length + self._history[0].size

    def begin(
        self,
        slots: NDArray[np.int64],
        targets: Many[Target],
        patches: Many[NDArray[np.uint8]],
        phi: float | None = None,
        drop: float | None = None,
        regions: NDArray[np.float64] | None = None,
    ) -> None:
        """Start searches over.

        Args:
            slots: `int[M]`, which of the N.
            targets: M targets.
            patches: M occluders, `uint8[64, 64, 3]`.
            phi: The trigger's threshold as a score.
            drop: The threshold relative to each target: phi is its clean score less this.
            regions: `[M, 4]` first regions; p0 of the limits if `None`.

        Raises:
            InputError: If a region breaks the limits, or a patch has another size.
        """
        limits, side = self.settings.limits, self.scorer.input_size
        start = limits.start(len(slots)) if regions is None else np.asarray(regions, dtype=np.float64)
        if not limits.holds(start).all():
            bad = start[~limits.holds(start)][0].round(3).tolist()
            raise InputError(f"The region {bad} breaks the limits of the search ({limits}).")
        for patch in patches:
            if check_image(patch, "A patch").shape != (PATCH_SIZE, PATCH_SIZE, 3):
                raise InputError(
                    f"A patch has the shape {list(patch.shape)}; it must be {PATCH_SIZE} x {PATCH_SIZE}."
                )
        device = self._images.device
        crops = np.stack([resize(target.crop, side, side) for target in targets])
        exemplars = np.stack([resize(target.exemplar, side, side) for target in targets])
        where = torch.from_numpy(np.asarray(slots)).to(device)
        self._images[where] = to_tensor(crops, device)
        if self._views is not self._images:
            fine = self._views.shape[-1]
            self._views[where] = to_tensor(
                np.stack([resize(target.crop, fine, fine) for target in targets]), device
            )
        self._patches[where] = to_tensor(np.stack(list(patches)), device)
        embedded = self._embed(to_tensor(np.concatenate([exemplars, crops]), device))
        if self._exemplars is None:
            self._exemplars = embedded.new_zeros(len(self), *embedded.shape[1:])
        self._exemplars[where] = embedded[: len(slots)]
        clean = self._compare(embedded[: len(slots)], embedded[len(slots) :])
        self.clean_score[slots] = clean
        self.region[slots] = start
        self.steps[slots] = 0
        self._history[slots] = 0
        self.queries[slots] = 1
        self.score[slots] = self.scores(slots, start)
        self.previous_score[slots] = self.score[slots]
        self.phi[slots] = phi if phi is not None else clean - (drop if drop is not None else 0.0)

    def scores(self, slots: NDArray[np.int64], regions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score targets with regions occluded; the state stays as it is.

        Args:
            slots: `int[M]`, whose targets; one may come more than once.
            regions: `[M, 4]`.

        Returns:
            `float64[M]`.
        """
        if self._exemplars is None:
            raise RuntimeError("begin() comes before scores().")
        found = np.empty(len(slots))
        device = self._images.device
        for low in range(0, len(slots), _CHUNK):
            rows = torch.from_numpy(np.asarray(slots[low : low + _CHUNK])).to(device)
            places = torch.from_numpy(np.asarray(regions[low : low + _CHUNK], dtype=np.float32)).to(device)
            occluded = occlude(self._images[rows], self._patches[rows], places)
            found[low : low + _CHUNK] = self._compare(self._exemplars[rows], self._embed(occluded))
        np.add.at(self.queries, slots, 1)
        return found

    def step(self, actions: NDArray[np.integer]) -> Step:
        """Take one action in each of the N searches (lines 14 and 15 of Algorithm 1).

        Args:
            actions: `int[N]`, indices into `ACTIONS`.

        Raises:
            InputError: If an action is unknown.
        """
        actions = np.asarray(actions)
        known = actions.shape == (len(self),) and actions.dtype.kind in "iu"
        if not known or not ((actions >= 0) & (actions < len(ACTIONS))).all():
            raise InputError(
                f"{actions.tolist()} is no action for {len(self)} search(es); give integers 0 to {TRIGGER}:"
                f" {', '.join(ACTIONS)}."
            )
        moved = self.settings.limits.move(self.region, actions)
        changed = np.flatnonzero(np.abs(moved - self.region).max(axis=1) > 1e-9)
        score = self.score.copy()
        if len(changed):
            score[changed] = self.scores(changed, moved[changed])
        self.region[changed] = moved[changed]
        self.previous_score, self.score = self.score, score
        self.steps += 1
        if self.settings.history:
            self._history = np.roll(self._history, 1, axis=1)
            self._history[:, 0] = np.eye(len(ACTIONS), dtype=np.float32)[actions]
        terminated = actions == TRIGGER
        reward = np.where(
            terminated,
            trigger_reward(self.score, self.phi, self.settings.eta),
            movement_reward(self.score, self.previous_score),
        )
        return Step(reward, terminated, ~terminated & (self.steps >= self.settings.max_steps))

    def observe(self) -> NDArray[np.float32]:
        """The states: features of the unoccluded target under each region, and the last actions, newest first.

        Returns:
            `float32[N, observation_length]`.
        """
        size, device = self.features.input_size, self._images.device
        corners = np.concatenate([self.region[:, :2], self.region[:, :2] + self.region[:, 2:]], axis=1)
        boxes = corners * self._views.shape[-1]
        rows = np.concatenate([np.arange(len(self))[:, None], boxes], axis=1).astype(np.float32)
        parts = []
        for low in range(0, len(self), _CHUNK):
            crops = roi_align(
                self._views, torch.from_numpy(rows[low : low + _CHUNK]).to(device), size, aligned=True
            )
            parts.append(self.features(crops).cpu().numpy())
        return np.concatenate([np.concatenate(parts), self._history.reshape(len(self), -1)], axis=1)

    def patches(self) -> NDArray[np.uint8]:
        """The occluders, `uint8[N, 64, 64, 3]`."""
        return to_images(self._patches)

    @property
    def success(self) -> NDArray[np.bool_]:
        """`bool[N]`: whether the trigger would be rewarded now (S <= phi, eq. 6)."""
        return self.score <= self.phi

    def _embed(self, images: Tensor) -> Tensor:
        embedded = torch.cat([self.scorer.embed(part) for part in images.split(_CHUNK)])
        if len(embedded) != len(images):
            raise InputError(
                f"The scorer {type(self.scorer).__name__} embedded {len(images)} crops as {len(embedded)} rows; it"
                " must give one a crop."
            )
        return embedded

    def _compare(self, exemplars: Tensor, candidates: Tensor) -> NDArray[np.float64]:
        scores = self.scorer.compare(exemplars, candidates)
        if scores.shape != (len(candidates),):
            raise InputError(
                f"The scorer {type(self.scorer).__name__} gave the shape {list(scores.shape)} for"
                f" {len(candidates)} candidates; it must give one score each."
            )
        if not torch.isfinite(scores).all():
            raise InputError(f"The scorer {type(self.scorer).__name__} gave a score that is not finite.")
        return scores.detach().double().cpu().numpy()
