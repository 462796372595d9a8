"""N searches side by side: the MDP of section 4.2.1, every forward pass batched.

The environments, the evaluation and the generation are all this. Another search is a subclass: `move` says where
an action leads, `occluded` what the scorer is shown, `views` what the state is cut from; nothing else knows.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.data.images import check_image, resize, to_images, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer
from tracker.scorers.outputs import check_embedded, check_scores, scorer_errors

from ..mdp.actions import ACTIONS, TRIGGER
from ..mdp.rewards import REWARDS, Turn, reaches
from ..mdp.settings import SearchSettings
from ..naming import named
from ..scene.distractors import distractor_crops
from ..scene.occluders import PATCH_SIZE, occlude
from ..scene.targets import Target
from .embedding import TargetEmbedding
from .memory import ByteCache, image_key, keyed_regions, region_keys
from .observations import OBSERVATIONS
from .states import STATES, States, Window

__all__ = ["Search", "SearchSettings", "Step"]

_CHUNK = 64

Slots = NDArray[np.int64]
Regions = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Step:
    """What M actions led to.

    Attributes:
        reward: `float64[M]`, see `rewards`.
        terminated: `bool[M]`, the trigger was pulled.
        truncated: `bool[M]`, the last step passed without it.
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
        best_score: `float64[N]`, the least score of the episode so far.
        clean_score: `float64[N]`, of the unoccluded target.
        phi: `float64[N]`, the threshold of eq. 6; -inf where there is none.
        steps: `int64[N]`, actions taken.
        queries: `int64[N]`, how often an episode asked for a score since `begin`: a region that it comes back to
            is not asked for again, and what other episodes have asked for counts as if it was asked for.
        targets: N targets, `None` before `begin`.
        cache: What need not be computed twice, shared by all N.
        view_device: Where the views are: the device of the features, or the scorer's where they have none. The
            targets, occluders and embeddings are on the scorer's device.
    """

    view_scale = 1
    """Side of the views relative to the network's input."""

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        """Allocate N searches; each starts with `begin`."""
        self.scorer = scorer
        self.features = features
        self.settings = settings
        self.region = settings.limits.start(count)
        self.score = np.zeros(count)
        self.previous_score = np.zeros(count)
        self.best_score = np.zeros(count)
        self.clean_score = np.zeros(count)
        self.phi = np.zeros(count)
        self.steps = np.zeros(count, dtype=np.int64)
        self.queries = np.zeros(count, dtype=np.int64)
        self.targets: list[Target | None] = [None] * count
        self.cache = ByteCache(int(settings.cache_mb * 2**20))
        self._history = np.zeros((count, settings.history, len(ACTIONS)), dtype=np.float32)
        self._visited: list[dict[bytes, float]] = [{} for _ in range(count)]
        self._scenes: list[bytes | None] = [None] * count
        self._keys = [b""] * count
        self._device = scorer.device
        self.view_device: torch.device = getattr(features, "device", scorer.device)
        self._images = torch.zeros(count, 3, scorer.input_size, scorer.input_size, device=self._device)
        self._patches = torch.zeros(count, 3, PATCH_SIZE, PATCH_SIZE, device=self._device)
        # What the states are cut from: no coarser than the features' input, whatever the scorer sees.
        side = self.view_scale * max(features.input_size, scorer.input_size)
        self._window = Window(settings.context, side)
        reader = named("state", settings.state, STATES)(features, self._window)
        self._states = States(reader, self.cache)
        self._views: Tensor | None = None
        self._sources: Tensor | None = None
        self._exemplars: Tensor | None = None
        self._embedding = TargetEmbedding(scorer, count)
        self._reward = named("reward", settings.reward, REWARDS)(settings)
        self.observation = named("observation", settings.observation, OBSERVATIONS)(self)

    def __len__(self) -> int:
        """N."""
        return len(self.region)

    @property
    def feature_length(self) -> int:
        """F, the numbers that stand for a target under a region."""
        return self._states.reader.length

    @property
    def observation_length(self) -> int:
        """Numbers in one observation `features`: the features and the one-hot history."""
        return self.feature_length + self._history[0].size

    @property
    def takes_phi(self) -> bool:
        """Whether phi comes from `begin`; else the reward takes it from the target's frame."""
        return not self._reward.needs_rivals

    @property
    def needs_phi(self) -> bool:
        """Whether the reward compares a score with a phi that comes from `begin`."""
        return self.takes_phi and getattr(self._reward, "needs_phi", True)

    def move(self, slots: Slots, regions: Regions, actions: NDArray[np.integer]) -> Regions:
        """Where actions lead.

        Args:
            slots: `int[M]`, in which searches; one may come more than once.
            regions: `[M, 4]`, from where.
            actions: `int[M]`.

        Returns:
            `[M, 4]`.
        """
        return self.settings.limits.move(regions, actions)

    def first_regions(self, slots: Slots, regions: Regions | None) -> Regions:
        """The regions that M searches start from: those given, or p0 of the limits, `[M, 4]`.

        Raises:
            InputError: If one of those given breaks the limits.
        """
        limits = self.settings.limits
        start = limits.start(len(slots)) if regions is None else regions
        if not limits.holds(start).all():
            bad = start[~limits.holds(start)][0].round(3).tolist()
            raise InputError(f"The region {bad} breaks the limits of the search ({limits}).")
        return start

    def occluded(self, slots: Slots, regions: Regions) -> Tensor:
        """What the scorer is shown: the target of each slot with a region `[M, 4]` covered, `[M, 3, S, S]`."""
        rows = torch.from_numpy(np.asarray(slots)).to(self._device)
        places = torch.from_numpy(np.asarray(regions, dtype=np.float32)).to(self._device)
        return occlude(self._images[rows], self._patches[rows], places)

    def views(self, targets: Many[Target]) -> list[Image]:
        """The images that the states are cut from, whose regions the searches move: by default the targets."""
        return [target.crop for target in targets]

    def begin(
        self,
        slots: Slots,
        targets: Many[Target],
        patches: Many[Image],
        phi: float | None = None,
        drop: float | None = None,
        regions: Regions | None = None,
        scenes: Many[bytes] | None = None,
    ) -> None:
        """Start searches over.

        Args:
            slots: `int[M]`, which of the N.
            targets: M targets.
            patches: M occluders, `uint8[64, 64, 3]`.
            phi: The trigger's threshold as a score.
            drop: The threshold relative to each target: phi is its clean score less this. With neither, phi is
                -inf, which no score reaches.
            regions: `[M, 4]` first regions; p0 of the limits if `None`.
            scenes: M keys, the same where an exemplar, a target and its occluder are the same as in another
                episode, so that a region's score is remembered beyond the episode; `None` where none comes back.

        Raises:
            InputError: If a region breaks the limits, or a patch has another size.
        """
        slots = np.asarray(slots)
        side = self.scorer.input_size
        start = self.first_regions(slots, None if regions is None else np.asarray(regions, dtype=np.float64))
        for patch in patches:
            if check_image(patch, "A patch").shape != (PATCH_SIZE, PATCH_SIZE, 3):
                raise InputError(
                    f"A patch has the shape {list(patch.shape)}; it must be {PATCH_SIZE} x {PATCH_SIZE}."
                )
        where = torch.from_numpy(slots).to(self._device)
        self._images[where] = to_tensor(_resized([target.crop for target in targets], side), self._device)
        self._patches[where] = to_tensor(np.stack(list(patches)), self._device)
        for slot, target in zip(slots, targets, strict=True):
            self.targets[slot] = target
        for row, slot in enumerate(slots):
            self._scenes[slot] = None if scenes is None else scenes[row]

        # A video's exemplar is embedded once, and an unoccluded target scored once, whoever asks.
        exemplars = [image_key(target.exemplar) for target in targets]
        known = {key: self.cache.get(("exemplar", key)) for key in exemplars}
        unknown = {key: t.exemplar for key, t in zip(exemplars, targets, strict=True) if known[key] is None}
        crops = [image_key(target.crop) for target in targets]
        self._embedding.begin(slots, crops)
        pairs = [("clean", *pair) for pair in zip(exemplars, crops, strict=True)]
        clean = {pair: self.cache.get(pair) for pair in pairs}
        unscored = [pairs.index(pair) for pair, score in clean.items() if score is None]
        new = [to_tensor(_resized(list(unknown.values()), side), self._device)] if unknown else []
        places = region_keys(start)
        first = np.array([self._remembered(*each) for each in zip(slots, places, strict=True)])
        ask = np.flatnonzero(np.isnan(first))
        images = torch.cat([*new, self._images[where[unscored]], self.occluded(slots[ask], start[ask])])
        shown = [None] * len(unknown) + self._embedding.keys(np.concatenate([slots[unscored], slots[ask]]))
        fresh, alone, covered = self._embed(images, shown).split([len(unknown), len(unscored), len(ask)])
        for key, row in zip(unknown, fresh, strict=True):
            known[key] = row.clone()
            self.cache.put(("exemplar", key), known[key], row.nbytes)
        stacked = torch.stack([known[key] for key in exemplars])  # type: ignore[misc]
        if self._exemplars is None:
            self._exemplars = stacked.new_zeros(len(self), *stacked.shape[1:])
        self._exemplars[where] = stacked
        for index, score in zip(unscored, self._compare(stacked[unscored], alone), strict=True):
            clean[pairs[index]] = float(score)
            self.cache.put(pairs[index], float(score), 8)
        self.clean_score[slots] = [clean[pair] for pair in pairs]
        first[ask] = self._compare(stacked[ask], covered)
        self.score[slots] = self.previous_score[slots] = self.best_score[slots] = first
        self.region[slots] = start
        self.steps[slots] = 0
        self._history[slots] = 0
        self.queries[slots] = 2
        for slot, place, score in zip(slots, places, first, strict=True):
            self._visited[slot] = {}
            self._remember(slot, place, float(score))
        self._begin_states(slots, where, targets)
        if self._reward.needs_rivals:
            self.phi[slots] = self._rival_scores(slots, targets, exemplars)
        elif phi is not None:
            self.phi[slots] = phi
        else:
            self.phi[slots] = -np.inf if drop is None else self.clean_score[slots] - drop

    def scores(self, slots: Slots, regions: Regions) -> NDArray[np.float64]:
        """Score targets with regions occluded; the state stays as it is.

        Args:
            slots: `int[M]`, whose targets; one may come more than once.
            regions: `[M, 4]`.

        Returns:
            `float64[M]`.
        """
        slots = np.asarray(slots)
        found = np.empty(len(slots))
        for low in range(0, len(slots), _CHUNK):
            part = slots[low : low + _CHUNK]
            exemplars = self._rows_of_exemplars(part)
            embedded = self._embed(self.occluded(part, regions[low : low + _CHUNK]), self._embedding.keys(part))
            found[low : low + _CHUNK] = self._compare(exemplars, embedded)
        np.add.at(self.queries, slots, 1)
        return found

    def step(self, actions: NDArray[np.integer], slots: Slots | None = None) -> Step:
        """Take one action in each search (lines 14 and 15 of Algorithm 1).

        Args:
            actions: `int[M]`, indices into `ACTIONS`.
            slots: `int[M]`, in which of the N; all of them if `None`.

        Raises:
            InputError: If an action is unknown.
        """
        slots = np.arange(len(self)) if slots is None else np.asarray(slots)
        actions = check_actions(actions, len(slots))
        before = self.region[slots]
        moved = self.move(slots, before, actions)
        changed = np.abs(moved - before).max(axis=1) > 1e-9
        region = np.where(changed[:, None], moved, before)
        # A region that the episode has been to has the score that it had.
        keys = region_keys(region)
        known = [self._visited[slot].get(key, np.nan) for slot, key in zip(slots, keys, strict=True)]
        score = np.where(changed, np.array(known, dtype=np.float64), self.score[slots])
        asked = np.flatnonzero(np.isnan(score))
        score[asked] = [self._remembered(slots[index], keys[index]) for index in asked]
        ask = np.flatnonzero(np.isnan(score))
        embedded = self._embed(self.occluded(slots[ask], region[ask]), self._embedding.keys(slots[ask]))
        score[ask] = self._compare(self._rows_of_exemplars(slots[ask]), embedded)

        for index in asked:
            self._remember(slots[index], keys[index], float(score[index]))
        self.queries[slots[asked]] += 1
        self.region[slots] = region
        if self.settings.history:
            self._history[slots] = np.roll(self._history[slots], 1, axis=1)
            self._history[slots, 0] = np.eye(len(ACTIONS), dtype=np.float32)[actions]
        self.previous_score[slots], self.score[slots] = self.score[slots], score
        self.steps[slots] += 1
        terminated = actions == TRIGGER
        turn = Turn(
            score, self.previous_score[slots], self.clean_score[slots], self.phi[slots], terminated,
            self.best_score[slots],
        )  # fmt: skip
        self.best_score[slots] = np.minimum(self.best_score[slots], score)
        return Step(self._reward(turn), terminated, ~terminated & (self.steps[slots] >= self.settings.max_steps))

    def observe(self, slots: Slots | None = None) -> Any:
        """The states, as `settings.observation` shows them.

        Args:
            slots: `int[M]`, of which of the N; of all if `None`.

        Returns:
            A batch of M elements of `observation.space`.
        """
        return self.observation(np.arange(len(self)) if slots is None else np.asarray(slots))

    def slot_features(self, slots: Slots) -> NDArray[np.float32]:
        """Features of the views under the regions where searches stand: `float32[M, F]`."""

        def sources(indices: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
            assert self._sources is not None
            return self._sources, slots[indices]

        return self._states.features([self._keys[slot] for slot in slots], self.region[slots], sources)

    def view_keys(self, targets: Many[Target]) -> list[bytes]:
        """What stands for the views of targets in the cache."""
        return [image_key(image) for image in self.views(targets)]

    def slot_view_key(self, slot: int) -> bytes:
        """The same of the target that is being searched."""
        return self._keys[slot]

    def features_of(
        self, keys: Many[bytes], regions: Regions, target: Callable[[int], Target]
    ) -> NDArray[np.float32]:
        """Features of any states, from the cache or computed anew.

        Args:
            keys: M `view_keys`, whose states.
            regions: `[M, 4]`.
            target: Takes an index into the M and gives the target; called once for each target of which a feature
                has to be computed.

        Returns:
            `float32[M, F]`.
        """

        def sources(indices: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
            first = {keys[index]: int(index) for index in reversed(indices)}
            rows = {key: row for row, key in enumerate(first)}
            views = self._to_views(self.views([target(index) for index in first.values()]))
            return self._states.prepare(views, list(first)), np.array([rows[keys[index]] for index in indices])

        return self._states.features(keys, np.asarray(regions, np.float64), sources)

    def slot_pixels(self, slots: Slots, size: int) -> Tensor:
        """The views under the regions where searches stand: `[M, 3, size, size]` in [0, 1]."""
        assert self._views is not None
        return self._window.cut(self._views, slots, self.region[slots], size)

    def visited(self, slot: int) -> tuple[Regions, NDArray[np.float64]]:
        """The regions that an episode has scored, in the order of the first visit: `[K, 4]`, and scores `[K]`."""
        found = self._visited[slot]
        return keyed_regions(found), np.fromiter(found.values(), dtype=np.float64, count=len(found))

    def target_images(self, slots: Slots) -> Tensor:
        """The unoccluded targets at the scorer's resolution, `[M, 3, S, S]` in [0, 1]."""
        return self._images[torch.from_numpy(slots).to(self._device)]

    def exemplar_embeddings(self, slots: Slots) -> Tensor:
        """The embedded exemplars of searches, `[M, ...]`."""
        return self._rows_of_exemplars(slots)

    def history(self, slots: Slots) -> NDArray[np.float32]:
        """The last actions of searches, one-hot, newest first: `float32[M, history, 9]`."""
        return self._history[slots]

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions do something, `bool[N, 9]`: moves that change the region, and the trigger."""
        count, actions = len(self), len(ACTIONS)
        slots = np.repeat(np.arange(count), actions)
        here = self.region[slots]
        there = self.move(slots, here, np.tile(np.arange(actions), count))
        masks = (np.abs(there - here).max(axis=1) > 1e-9).reshape(count, actions)
        masks[:, TRIGGER] = True
        return masks

    def patches(self) -> NDArray[np.uint8]:
        """The occluders, `uint8[N, 64, 64, 3]`."""
        return to_images(self._patches)

    @property
    def success(self) -> NDArray[np.bool_]:
        """`bool[N]`: whether the score has reached phi, as eq. 6 has it (`rewards.reaches`)."""
        return reaches(self.score, self.phi)

    def _remembered(self, slot: int, place: bytes) -> float:
        """The score of a region in another episode of the same scene; NaN where there was none."""
        scene = self._scenes[slot]
        found = None if scene is None else self.cache.get(("score", scene, place))
        return np.nan if found is None else float(found)

    def _remember(self, slot: int, place: bytes, score: float) -> None:
        self._visited[slot][place] = score
        if (scene := self._scenes[slot]) is not None:
            self.cache.put(("score", scene, place), score, 8)

    def _begin_states(self, slots: Slots, where: Tensor, targets: Many[Target]) -> None:
        images = self.views(targets)
        views, keys = self._to_views(images), [image_key(image) for image in images]
        sources = self._states.prepare(views, keys)
        if self._views is None or self._sources is None:
            self._views = torch.zeros(len(self), *views.shape[1:], device=views.device, dtype=views.dtype)
            self._sources = self._views
            if sources is not views:
                self._sources = torch.zeros(
                    len(self), *sources.shape[1:], device=sources.device, dtype=sources.dtype
                )
        where = where.to(self.view_device)
        self._views[where] = views
        if self._sources is not self._views:
            self._sources[where] = sources
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key

    def _to_views(self, images: Many[Image]) -> Tensor:
        return self._window.with_margin(to_tensor(_resized(images, self._window.side), self.view_device))

    def _rival_scores(self, slots: Slots, targets: Many[Target], exemplars: list[bytes]) -> NDArray[np.float64]:
        """The best distractor's score in each target's frame, `float64[M]`."""
        found = []
        for slot, target, exemplar in zip(slots, targets, exemplars, strict=True):
            place = ("rival", exemplar, image_key(target.frame), target.source.box)
            score = self.cache.get(place)
            if score is None:
                crops = distractor_crops(target.frame, target.box, self.scorer.input_size)
                embedded = self._embed(to_tensor(crops, self._device), [None] * len(crops))
                score = float(self._compare(self._rows_of_exemplars(np.repeat(slot, len(crops))), embedded).max())
                self.cache.put(place, score, 8)
            found.append(score)
        return np.array(found, dtype=np.float64)

    def _rows_of_exemplars(self, slots: Slots) -> Tensor:
        if self._exemplars is None:
            raise RuntimeError("begin() comes before scores() and step().")
        return self._exemplars[torch.from_numpy(slots).to(self._device)]

    def _embed(self, images: Tensor, keys: Many[bytes | None]) -> Tensor:
        if not len(images) and self._exemplars is not None:
            return self._exemplars[:0]
        with scorer_errors(self.scorer):
            embedded = self._embedding.embed(images, keys, self.target_images)
        return check_embedded(self.scorer, embedded, len(images))

    def _compare(self, exemplars: Tensor, candidates: Tensor) -> NDArray[np.float64]:
        if not len(candidates):
            return np.zeros(0)
        with scorer_errors(self.scorer):
            scores = self.scorer.compare(exemplars, candidates)
        return check_scores(self.scorer, scores, len(candidates))


def check_actions(actions: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """Return the actions as an array `int[count]`.

    Raises:
        InputError: If they are not as many integers from 0 to 8.
    """
    try:
        given = np.asarray(actions)
    except ValueError:  # rows of different lengths
        given = np.empty(0)
    known = given.shape == (count,) and given.dtype.kind in "iu"
    if not known or not ((given >= 0) & (given < len(ACTIONS))).all():
        raise InputError(
            f"{actions!r} is no action for {count} search(es); give integers 0 to {TRIGGER}: {', '.join(ACTIONS)}."
        )
    return given


def _resized(images: Many[Image], side: int) -> NDArray[np.uint8]:
    return np.stack([resize(image, side, side) for image in images])
