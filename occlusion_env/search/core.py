"""N searches side by side: the MDP of section 4.2.1, every forward pass batched.

The environments, the evaluation and the generation of hard positives run on it. Another search is a subclass: it
overrides `move` (the effect of an action), `occluded` (the images that are scored) and `views` (the images whose
features are the state).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker.cache import ByteCache
from tracker.data.images import check_image, resize, to_images, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer
from tracker.scorers.outputs import check_scores, scorer_errors

from ..mdp.actions import ACTIONS, TRIGGER
from ..mdp.rewards import REWARDS, Transition, reaches
from ..mdp.settings import SearchSettings
from ..naming import look_up
from ..scene.distractors import distractor_crops
from ..scene.occluders import PATCH_SIZE, choose_occluder, occlude
from ..scene.targets import Target, TargetSet
from .embedding import TargetEmbedding
from .memory import image_key, keyed_regions, region_keys
from .observations import OBSERVATIONS
from .states import STATES, States, Window

_CHUNK = 64
"""Images in one forward pass of `Search.scores`."""

_LEAST_MOVE = 1e-9
"""A shorter move is a rounding error: the region stays as it is."""

Searched = Literal["region", "patch"]
Slots = NDArray[np.int64]
Regions = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Step:
    """Result of M actions.

    Attributes:
        reward: `float64[M]`, see `rewards`.
        terminated: `bool[M]`, whether the action was the trigger.
        truncated: `bool[M]`, whether it was the last of `max_steps` actions, and not the trigger.
    """

    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Search:
    """The state of N searches, in arrays over N.

    Args:
        count: N; each search starts with `begin`.
        scorer: The matcher.
        features: The network of the state.
        settings: Of the MDP.

    Attributes:
        start: `float64[4]`, the region that a search starts from unless `begin` is given another one.
        region: `float64[N, 4]`, relative to each target.
        score: `float64[N]`, S_t: of the target with the region occluded.
        previous_score: `float64[N]`, S_{t-1}; equal to `score` right after `begin`.
        best_score: `float64[N]`, the least score of the episode so far.
        clean_score: `float64[N]`, of the unoccluded target.
        phi: `float64[N]`, the threshold of eq. 6; -inf where there is none.
        steps: `int64[N]`, actions taken.
        history: `float32[N, H, 9]`, the last actions, one-hot, newest first.
        queries: `int64[N]`, number of scorer queries of the episode. A region of the same episode is queried
            once; a score that another episode has put into the cache counts as a query.
        targets: N targets, `None` before `begin`.
        view_keys: N keys of the targets' views in the cache.
        feature_length: F, the number of features of a target under a region.
        cache: Scores, embeddings and features, shared by all N.
        view_device: Device of the views: that of the features, or the scorer's where they have none. The targets,
            occluders and embeddings are on the scorer's device.
    """

    view_scale = 1
    """Side of the views relative to the network's input."""
    searches: Searched = "region"
    """What an action changes: the covered region of the target, or the patch that covers it."""

    def __init__(self, count: int, scorer: Scorer, features: FeatureExtractor, settings: SearchSettings) -> None:
        self.scorer = scorer
        self.features = features
        self.settings = settings
        self.start = self._first_region()
        self.region = np.tile(self.start, (count, 1))
        self.score, self.previous_score, self.best_score = np.zeros((3, count))
        self.clean_score, self.phi = np.zeros((2, count))
        self.steps, self.queries = np.zeros((2, count), dtype=np.int64)
        self.history = np.zeros((count, settings.history, len(ACTIONS)), dtype=np.float32)
        self.targets: list[Target | None] = [None] * count
        self.cache = ByteCache(int(settings.cache_mb * 2**20))
        self._visited: list[dict[bytes, float]] = [{} for _ in range(count)]
        self._scenes: list[bytes | None] = [None] * count
        self.view_keys = [b""] * count
        self._device = scorer.device
        self.view_device: torch.device = getattr(features, "device", scorer.device)
        self._images = torch.zeros(count, 3, scorer.input_size, scorer.input_size, device=self._device)
        self._patches = torch.zeros(count, 3, PATCH_SIZE, PATCH_SIZE, device=self._device)
        # The views are no coarser than the features' input, whatever the scorer's input is.
        side = self.view_scale * max(features.input_size, scorer.input_size)
        self._window = Window(settings.context, side)
        reader = look_up("state", settings.state, STATES)(features, self._window)
        self._states = States(reader, self.cache)
        self.feature_length = reader.length
        self._views: Tensor | None = None
        self._sources: Tensor | None = None
        self._exemplars: Tensor | None = None
        self._embedding = TargetEmbedding(scorer, count)
        self._reward = look_up("reward", settings.reward, REWARDS)(settings)
        self.observation = look_up("observation", settings.observation, OBSERVATIONS)(self)

    def __len__(self) -> int:
        return len(self.region)

    @property
    def takes_phi(self) -> bool:
        """Whether phi comes from `begin`, and not from the distractors in the target's frame."""
        return not getattr(self._reward, "needs_distractors", False)

    @property
    def needs_phi(self) -> bool:
        """Whether the reward uses a phi that comes from `begin`."""
        return self.takes_phi and getattr(self._reward, "needs_phi", True)

    def move(self, slots: Slots, regions: Regions, actions: NDArray[np.integer]) -> Regions:
        """Move regions `[M, 4]` by actions `int[M]`; of their searches, `slots`, one may come more than once."""
        return self.settings.limits.move(regions, actions)

    def first_regions(self, slots: Slots, regions: Regions | None) -> Regions:
        """The regions that M searches start from: the given ones, or `start`, `[M, 4]`.

        Raises:
            InputError: If one of the given ones breaks the limits.
        """
        limits = self.settings.limits
        start = np.tile(self.start, (len(slots), 1)) if regions is None else np.asarray(regions, dtype=np.float64)
        if not limits.holds(start).all():
            bad = start[~limits.holds(start)][0].round(3).tolist()
            raise InputError(f"The region {bad} breaks the limits of the search ({limits}).")
        return start

    def occluded(self, slots: Slots, regions: Regions) -> Tensor:
        """The images that the scorer gets: the target of each slot under its patch at a region `[M, 4]`.

        Returns:
            `[M, 3, S, S]` in [0, 1].
        """
        rows = self._rows(slots)
        places = torch.from_numpy(np.asarray(regions, dtype=np.float32)).to(self._device)
        return occlude(self._images[rows], self._patches[rows], places)

    def views(self, targets: Many[Target]) -> list[Image]:
        """The images over which the regions move, and whose features are the states: by default the targets."""
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
        """Start searches over: put the scene into the slots, score it, and reset the episode.

        Args:
            slots: `int[M]`, which of the N.
            targets: M targets.
            patches: M occluders, `uint8[64, 64, 3]`.
            phi: The trigger's threshold as a score.
            drop: The threshold relative to each target: phi is its clean score less this. With neither, phi is
                -inf, which no score reaches.
            regions: `[M, 4]` first regions; `start` if `None`.
            scenes: M keys, equal for the same exemplar, target and occluder, so that the cache gives the score of
                a region from episode to episode; `None` to cache no scores.

        Raises:
            InputError: If a region breaks the limits, or a patch has another size.
        """
        slots = np.asarray(slots)
        start = self.first_regions(slots, regions)
        for patch in patches:
            if check_image(patch, "A patch").shape != (PATCH_SIZE, PATCH_SIZE, 3):
                raise InputError(
                    f"A patch has the shape {list(patch.shape)}; it must be {PATCH_SIZE} x {PATCH_SIZE}."
                )
        rows = self._rows(slots)
        self._images[rows] = self._to_input([target.crop for target in targets])
        self._patches[rows] = to_tensor(np.stack(list(patches)), self._device)
        for row, slot in enumerate(slots):
            self.targets[slot] = targets[row]
            self._scenes[slot] = None if scenes is None else scenes[row]
            self._visited[slot] = {}
        self._begin_views(slots, targets)

        self._begin_scores(slots, targets, start)
        if not self.takes_phi:
            self.phi[slots] = self._best_distractor_scores(slots, targets)
        elif phi is not None:
            self.phi[slots] = phi
        else:
            self.phi[slots] = -np.inf if drop is None else self.clean_score[slots] - drop

        self.region[slots] = start
        self.previous_score[slots] = self.best_score[slots] = self.score[slots]
        self.steps[slots] = self.history[slots] = 0
        self.queries[slots] = 2  # the unoccluded target and the first region

    def begin_random(
        self,
        targets: Many[Target],
        rng: np.random.Generator,
        occluder: str = "background",
        others: TargetSet | None = None,
        drop: float | None = None,
    ) -> None:
        """Start all N searches, each with an occluder drawn by its name in `OCCLUDERS`; a `cutout` is of `others`.

        Phi is the clean score less `drop`; see `begin`.
        """
        share = self.settings.limits.max_area
        patches = [choose_occluder(occluder, each, share, rng, others).patch(each, others) for each in targets]
        self.begin(np.arange(len(self)), targets, patches, drop=drop)

    def random_regions(self, slots: Slots, rng: np.random.Generator) -> Regions:
        """Draw a region of the largest area for each of M slots, `[M, 4]`."""
        return self.settings.limits.random(np.full(len(slots), self.settings.limits.max_area), rng)

    @staticmethod
    def has_room(target: Target, settings: SearchSettings) -> bool:
        """Whether a search with these settings can start on a target."""
        return True

    def scores(self, slots: Slots, regions: Regions) -> NDArray[np.float64]:
        """Score targets with regions `[M, 4]` occluded, `float64[M]`; only `queries` changes.

        Of their searches, `slots`, one may come more than once.
        """
        slots = np.asarray(slots)
        parts = [slice(low, low + _CHUNK) for low in range(0, len(slots), _CHUNK)]
        found = [self._score_occluded(slots[part], regions[part]) for part in parts]
        np.add.at(self.queries, slots, 1)
        return np.concatenate(found) if found else np.empty(0)

    def step(self, actions: NDArray[np.integer], slots: Slots | None = None) -> Step:
        """Take one action in each search (lines 14 and 15 of Algorithm 1): move, score, reward by eq. 5 and 6.

        Args:
            actions: `int[M]`, indices into `ACTIONS`.
            slots: `int[M]`, which of the N; all of them if `None`.

        Raises:
            InputError: If an action is unknown.
        """
        slots = np.arange(len(self)) if slots is None else np.asarray(slots)
        actions = check_actions(actions, len(slots))
        region = self._moved(slots, actions)
        keys = region_keys(region)
        new = np.array([key not in self._visited[slot] for slot, key in zip(slots, keys, strict=True)], dtype=bool)
        score = self._stored_scores(slots, keys)
        unscored = np.flatnonzero(np.isnan(score))
        score[unscored] = self._score_occluded(slots[unscored], region[unscored])
        self._store_scores(slots, keys, score)

        triggered = actions == TRIGGER
        transition = Transition(
            score, self.score[slots], self.clean_score[slots], self.phi[slots], triggered, self.best_score[slots]
        )
        self.region[slots] = region
        self.score[slots], self.previous_score[slots] = score, transition.previous_score
        self.best_score[slots] = np.minimum(transition.best_score, score)
        self.queries[slots] += new
        self.steps[slots] += 1
        if self.settings.history:
            self.history[slots] = np.roll(self.history[slots], 1, axis=1)
            self.history[slots, 0] = np.eye(len(ACTIONS), dtype=np.float32)[actions]
        truncated = ~triggered & (self.steps[slots] >= self.settings.max_steps)
        price = self.settings.reward_scale * self.settings.query_price
        return Step(self._reward(transition) - price * new, triggered, truncated)

    def observe(self, slots: Slots | None = None) -> Any:
        """A batch of M elements of `observation.space`, of the searches `slots`, `int[M]`; of all N if `None`."""
        return self.observation(np.arange(len(self)) if slots is None else np.asarray(slots))

    def slot_features(self, slots: Slots) -> NDArray[np.float32]:
        """Features of the views under the present regions: `float32[M, F]`."""

        def sources(indices: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
            assert self._sources is not None
            return self._sources, slots[indices]

        return self._states.features([self.view_keys[slot] for slot in slots], self.region[slots], sources)

    def slot_pixels(self, slots: Slots, size: int) -> Tensor:
        """The views under the present regions: `[M, 3, size, size]` in [0, 1]."""
        assert self._views is not None
        return self._window.cut(self._views, slots, self.region[slots], size)

    def features_of(
        self, keys: Many[bytes], regions: Regions, target: Callable[[int], Target]
    ) -> NDArray[np.float32]:
        """Features `float32[M, F]` of states, regions `[M, 4]` of views with M keys (`image_key`).

        They are from the cache or computed anew; `target` takes an index into the M and gives the target, and is
        called once for each target of which a feature has to be computed.
        """

        def sources(indices: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
            first = {keys[index]: int(index) for index in reversed(indices)}
            rows = {key: row for row, key in enumerate(first)}
            views = self._to_views(self.views([target(index) for index in first.values()]))
            return self._states.prepare(views, list(first)), np.array([rows[keys[index]] for index in indices])

        return self._states.features(keys, np.asarray(regions, np.float64), sources)

    def visited(self, slot: int) -> tuple[Regions, NDArray[np.float64]]:
        """The regions that an episode has scored, in the order of the first visit: `[K, 4]`, and scores `[K]`."""
        found = self._visited[slot]
        return keyed_regions(found), np.fromiter(found.values(), dtype=np.float64, count=len(found))

    def target_images(self, slots: Slots) -> Tensor:
        """The unoccluded targets at the scorer's resolution, `[M, 3, S, S]` in [0, 1]."""
        return self._images[self._rows(slots)]

    def exemplar_embeddings(self, slots: Slots) -> Tensor:
        """The embedded exemplars, `[M, ...]`."""
        if self._exemplars is None:
            raise RuntimeError("begin() comes before scores() and step().")
        return self._exemplars[self._rows(slots)]

    def action_masks(self) -> NDArray[np.bool_]:
        """`bool[N, 9]`: True for the moves that change the region, and for the trigger."""
        masks = (self.next_regions(np.arange(len(self))) != self.region[:, None]).any(axis=2)
        masks[:, TRIGGER] = True
        return masks

    def next_regions(self, slots: Slots) -> Regions:
        """The region that each of the nine actions leads to from the present ones, `[M, 9, 4]`."""
        actions = len(ACTIONS)
        moved = self._moved(np.repeat(slots, actions), np.tile(np.arange(actions), len(slots)))
        return moved.reshape(len(slots), actions, 4)

    def patches(self) -> NDArray[np.uint8]:
        """The occluders, `uint8[N, 64, 64, 3]`."""
        return to_images(self._patches)

    @property
    def success(self) -> NDArray[np.bool_]:
        """`bool[N]`: whether the score has reached phi, as in eq. 6 (`rewards.reaches`)."""
        return reaches(self.score, self.phi)

    def _first_region(self) -> Regions:
        """`start`, checked."""
        name = self.settings.start
        region = np.asarray(look_up("start", name, STARTS)(self), dtype=np.float64)
        if region.shape != (4,) or not self.settings.limits.holds(region):
            raise InputError(
                f"The start '{name}' is {region.tolist()}; it must be x, y, w, h of a region within the limits of"
                f" the search ({self.settings.limits})."
            )
        return region

    def _moved(self, slots: Slots, actions: NDArray[np.integer]) -> Regions:
        """The present regions after actions, `[M, 4]`; unchanged to the bit where a limit is in the way."""
        before = self.region[slots]
        after = self.move(slots, before, actions)
        moves = np.abs(after - before).max(axis=1, keepdims=True) > _LEAST_MOVE
        return np.where(moves, after, before)

    def _begin_scores(self, slots: Slots, targets: Many[Target], regions: Regions) -> None:
        """Embed the exemplars, and score the unoccluded targets and the first regions, in one batch.

        The cache holds the embedding of each exemplar and the score of each unoccluded target.
        """
        exemplar_keys = [("exemplar", image_key(target.exemplar)) for target in targets]
        crop_keys = [image_key(target.crop) for target in targets]
        clean_keys = [("clean", key, crop) for (_, key), crop in zip(exemplar_keys, crop_keys, strict=True)]
        exemplars, new = self.cache.look_up(exemplar_keys)
        clean, unscored = self.cache.look_up(clean_keys)
        keys = region_keys(regions)
        scores = self._stored_scores(slots, keys)

        self._embedding.begin(slots, crop_keys)
        alone = list(unscored.values())
        covered = np.flatnonzero(np.isnan(scores))
        embedded = self._embed(
            torch.cat([
                self._to_input([targets[row].exemplar for row in new.values()]),
                self.target_images(slots[alone]),
                self.occluded(slots[covered], regions[covered]),
            ]),
            [None] * len(new) + self._embedding.keys(slots[[*alone, *covered]]),
        )  # fmt: skip
        of_exemplars, of_targets, of_occluded = embedded.split([len(new), len(alone), len(covered)])

        for exemplar_key, row in zip(new, of_exemplars, strict=True):
            exemplars[exemplar_key] = row.clone()
            self.cache.put(exemplar_key, exemplars[exemplar_key], row.nbytes)
        stacked = torch.stack([exemplars[key] for key in exemplar_keys])
        self._exemplars = _write(self._exemplars, self._rows(slots), stacked, len(self))
        for clean_key, score in zip(unscored, self._compare(stacked[alone], of_targets).tolist(), strict=True):
            clean[clean_key] = score
            self.cache.put(clean_key, score, 8)
        self.clean_score[slots] = [clean[key] for key in clean_keys]
        scores[covered] = self._compare(stacked[covered], of_occluded)
        self._store_scores(slots, keys, scores)
        self.score[slots] = scores

    def _stored_scores(self, slots: Slots, keys: list[bytes]) -> NDArray[np.float64]:
        """Scores of regions from the episode or from another one of the same scene, `float64[M]`; else NaN."""
        scores = np.full(len(keys), np.nan)
        for row, (slot, key) in enumerate(zip(slots, keys, strict=True)):
            score = self._visited[slot].get(key)
            if score is None and (scene := self._scenes[slot]) is not None:
                score = self.cache.get(("score", scene, key))
            if score is not None:
                scores[row] = score
        return scores

    def _store_scores(self, slots: Slots, keys: list[bytes], scores: NDArray[np.float64]) -> None:
        for slot, key, score in zip(slots, keys, scores.tolist(), strict=True):
            self._visited[slot][key] = score
            if (scene := self._scenes[slot]) is not None:
                self.cache.put(("score", scene, key), score, 8)

    def _begin_views(self, slots: Slots, targets: Many[Target]) -> None:
        """Put the views of targets, and the sources of their features, into slots."""
        images = self.views(targets)
        views, keys = self._to_views(images), [image_key(image) for image in images]
        sources = self._states.prepare(views, keys)
        rows = self._rows(slots).to(self.view_device)
        self._views = _write(self._views, rows, views, len(self))
        self._sources = self._views if sources is views else _write(self._sources, rows, sources, len(self))
        for slot, key in zip(slots, keys, strict=True):
            self.view_keys[slot] = key

    def _best_distractor_scores(self, slots: Slots, targets: Many[Target]) -> NDArray[np.float64]:
        """The highest score of a distractor in each target's frame, `float64[M]`."""
        keys = [
            ("distractor", image_key(target.exemplar), image_key(target.frame), target.source.box)
            for target in targets
        ]
        best, unscored = self.cache.look_up(keys)
        for key, row in unscored.items():
            crops = distractor_crops(targets[row].frame, targets[row].box, self.scorer.input_size)
            embedded = self._embed(to_tensor(crops, self._device), [None] * len(crops))
            exemplars = self.exemplar_embeddings(np.repeat(slots[row], len(crops)))
            best[key] = float(self._compare(exemplars, embedded).max())
            self.cache.put(key, best[key], 8)
        return np.array([best[key] for key in keys])

    def _rows(self, slots: Slots) -> Tensor:
        return torch.from_numpy(np.asarray(slots)).to(self._device)

    def _to_input(self, images: Many[Image]) -> Tensor:
        """Images at the scorer's resolution, `[M, 3, S, S]` in [0, 1]."""
        return to_tensor(_resized(images, self.scorer.input_size), self._device)

    def _to_views(self, images: Many[Image]) -> Tensor:
        """Images at the resolution of the views, with the window's margin."""
        return self._window.with_margin(to_tensor(_resized(images, self._window.side), self.view_device))

    def _score_occluded(self, slots: Slots, regions: Regions) -> NDArray[np.float64]:
        embedded = self._embed(self.occluded(slots, regions), self._embedding.keys(slots))
        return self._compare(self.exemplar_embeddings(slots), embedded)

    def _embed(self, images: Tensor, keys: Many[bytes | None]) -> Tensor:
        if not len(images) and self._exemplars is not None:
            return self._exemplars[:0]
        with scorer_errors(self.scorer):
            embedded = self._embedding.embed(images, keys, self.target_images)
        if len(embedded) != len(images):
            raise InputError(
                f"The scorer {type(self.scorer).__name__} embedded {len(images)} crops as {len(embedded)} rows; it"
                " must give one a crop."
            )
        return embedded

    def _compare(self, exemplars: Tensor, candidates: Tensor) -> NDArray[np.float64]:
        if not len(candidates):
            return np.zeros(0)
        with scorer_errors(self.scorer):
            scores = self.scorer.compare(exemplars, candidates)
        return check_scores(self.scorer, scores, len(candidates))


def centred_square(search: Search) -> Regions:
    """The centred square of the largest area, `float64[4]`."""
    return search.settings.limits.centre()[0]


STARTS: dict[str, Callable[[Search], Regions] | str] = {
    "centre": centred_square,
    "prior": "agents.policies.belief:constant_region",  # imported when it is used
}
"""Functions by name that map a search to the region that it starts from, `float64[4]`; a custom one is named as
`module:function`."""


def check_actions(actions: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """Return the actions as an array `int[count]`.

    Raises:
        InputError: If they are not as many integers from 0 to 8.
    """
    try:
        given = np.asarray(actions)
    except ValueError:  # rows of different lengths
        given = np.empty(0)
    integers = given.shape == (count,) and given.dtype.kind in "iu"
    if not integers or not ((given >= 0) & (given < len(ACTIONS))).all():
        raise InputError(
            f"{actions!r} is no action for {count} search(es); give integers 0 to {TRIGGER}: {', '.join(ACTIONS)}."
        )
    return given


def _write(buffer: Tensor | None, rows: Tensor, values: Tensor, count: int) -> Tensor:
    """Write values into rows of a buffer `[count, ...]`, which the first call allocates."""
    if buffer is None:
        buffer = values.new_zeros(count, *values.shape[1:])
    buffer[rows] = values
    return buffer


def _resized(images: Many[Image], side: int) -> NDArray[np.uint8]:
    resized = [resize(image, side, side) for image in images]
    return np.stack(resized) if resized else np.empty((0, side, side, 3), np.uint8)
