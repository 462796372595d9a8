"""The vector environment: `gym.make_vec("OcclusionSearch-v0", num_envs=N)`."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle, seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from tracker.data.images import check_image, crop
from tracker.errors import InputError, check_choice

from ..mdp.actions import ACTIONS
from ..mdp.settings import check_whole
from ..scene.occluders import OCCLUDERS, PATCH_SIZE, choose_occluder, occlude_image
from ..scene.targets import Source, Target
from ..search.core import Search, check_actions
from ..search.memory import image_key
from .arguments import SearchArguments
from .building import find_targets, load_networks, measure_drop
from .rendering import draw_search

Slots = NDArray[np.int64]

_MOST = {"num_envs": 10_000, "max_episode_steps": 1_000_000}


class OcclusionSearchVectorEnv(VectorEnv[Any, NDArray[np.int64], NDArray[Any]], EzPickle):
    """N searches side by side, with one forward pass for all states and one for all scores a step.

    A step in which episodes end takes one more of each for the last observations and the new episodes.

    The data are those of N single environments, scores to 1e-5 and features to 1e-4 (batches of different sizes
    round differently); see `OcclusionSearchEnv` for actions, observations, rewards and infos. Environment i has
    its own random generator, seeded with the seed of `reset` plus i.

    Copying and pickling build a new environment from the arguments (EzPickle): reset it before its first step.

    Args:
        num_envs: N.
        max_episode_steps: Actions after which an episode is truncated; `gym.make_vec` gives 20 by default. As with
            Gymnasium's `TimeLimit`, an episode whose last action is the trigger is also terminated.
        autoreset_mode: `NextStep`, `SameStep` or `Disabled`, or a `gymnasium.vector.AutoresetMode`.
        render_mode: `None` or `rgb_array`.
        arguments: See `SearchArguments`.

    Attributes:
        arguments: The `SearchArguments`.
        search: The `Search`, N slots.
        targets: The `TargetSet` that targets are drawn from.
        phi: As the argument.
        drop: As the argument; `None` before it is measured, at the first reset if the reward needs it.
        feature_length: F, the number of features in an observation.
        is_over: `bool[N]`, whether the episode is over and the environment has not been reset.

    Raises:
        InputError: If an argument is out of range or cannot be loaded; if one is unknown, it is a `TypeError`
            too.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    search_class: type[Search] = Search
    """Class of the search; subclasses override it."""
    reset_options: tuple[str, ...] = ("target", "image", "box", "exemplar", "patch", "region")
    """The options of `reset`, without `reset_mask`."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        EzPickle.__init__(
            self, num_envs, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode,
            render_mode=render_mode, **arguments,
        )  # fmt: skip
        for name, value in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if value is not None:
                check_whole(name, int(value) if isinstance(value, np.integer) else value, 1, _MOST[name])
        if render_mode is not None:
            check_choice(render_mode, self.metadata["render_modes"], "render mode")
        self.num_envs = int(num_envs)
        self.render_mode = render_mode
        modes = [each.value for each in AutoresetMode]
        check_choice(getattr(autoreset_mode, "value", autoreset_mode), modes, "autoreset mode")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.arguments = SearchArguments.from_keywords(arguments)
        check_horizon(self.arguments.max_steps, max_episode_steps)
        check_choice(self.arguments.occluder, OCCLUDERS, "occluder")
        self.targets = find_targets(self.arguments.targets, self.arguments.split)
        networks = load_networks(self.arguments)
        self.phi, self.drop = self.arguments.phi, self.arguments.drop
        self.search = self.search_class(self.num_envs, networks.scorer, networks.features, self.arguments.settings)
        if not self.search.takes_phi and (self.phi is not None or self.drop is not None):
            raise InputError(
                f"The reward '{self.arguments.reward}' takes phi from the target's frame; leave phi and drop out."
            )
        self._max_episode_steps = max_episode_steps
        self._numbers = {name: number for number, name in enumerate(self.targets.ids)}
        self._indices = np.full(self.num_envs, -1, dtype=np.int64)
        self._view_keys: list[bytes | None] = [None] * len(self.targets)
        self._begun = np.zeros(self.num_envs, dtype=bool)
        self.is_over = np.zeros(self.num_envs, dtype=bool)
        self._trails: list[list[tuple[NDArray[np.float64], float]]] = [[] for _ in range(self.num_envs)]
        self.generators = [np.random.default_rng() for _ in range(self.num_envs)]
        self._seeds = [-1] * self.num_envs
        self.feature_length = self.search.feature_length
        self.single_observation_space = self.search.observation.space
        self.single_action_space = spaces.Discrete(len(ACTIONS))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property  # type: ignore[override]
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """The random generator of each environment."""
        return tuple(self.generators)

    @np_random.setter  # type: ignore[override]
    def np_random(self, generators: Many[np.random.Generator]) -> None:
        if len(generators) != self.num_envs:
            raise InputError(f"There are {len(generators)} generators for {self.num_envs} environments.")
        self.generators, self._seeds = list(generators), [-1] * self.num_envs

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each environment, -1 before the first one."""
        return tuple(self._seeds)

    def reset(
        self,
        *,
        seed: int | Many[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Start searches.

        Args:
            seed: Environment i gets `seed + i`, or the i-th of a list.
            options: Those of `OcclusionSearchEnv`, for every environment that is reset; and `reset_mask`,
                `bool[N]`: the environments to reset, by default all.

        Returns:
            The observations and the infos. An environment that is not reset keeps its observation; the masks of
            its infos are false.

        Raises:
            InputError: If an option is unknown or cannot be used.
        """
        if not isinstance(options, Mapping | None):
            raise InputError(f"options is {options!r}; give a dictionary of reset options, or None.")
        options = dict(options or {})
        slots = self._slots_to_reset(options.pop("reset_mask", None))
        seeds = self._each_seed(seed)
        if unknown := set(options) - set(self.reset_options):
            known = ", ".join(self.reset_options)
            raise InputError(f"'{min(map(str, unknown))}' is no reset option; choose {known}.")
        if not np.delete(self._begun, slots).all():
            raise gym.error.ResetNeeded("Call reset() of all environments before one of some.")
        for slot in slots:
            if (own := seeds[slot]) is not None:
                self.generators[slot], self._seeds[slot] = seeding.np_random(own)
        self._begin(slots, options)
        self.is_over[slots] = False
        return self.search.observe(), self._info(slots, np.full(self.num_envs, -1))

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take an action in each environment that is not over, then start new episodes by the autoreset mode.

        `NextStep` starts the episodes that were over before the step and ignores their actions; `SameStep` starts
        those that this step ends, and puts their last observations and infos into the infos.

        Args:
            actions: `int[N]`.

        Raises:
            InputError: If an action is not an integer from 0 to 8.
        """
        if not self._begun.all():
            raise gym.error.ResetNeeded("Call reset() before step().")
        actions = check_actions(actions, self.num_envs).astype(np.int64)
        over = np.flatnonzero(self.is_over)
        if self.autoreset_mode is AutoresetMode.DISABLED and len(over):
            raise gym.error.ResetNeeded(
                f"The episodes {over.tolist()} are over; reset them with options['reset_mask']."
            )
        reward, terminated, truncated = self._act(actions, np.flatnonzero(~self.is_over))
        self.is_over = terminated | truncated

        starting, final = over, {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self.is_over.any():
            starting = np.flatnonzero(self.is_over)
            final = {
                "final_obs": self._observations(starting), "_final_obs": self._mask(starting),
                "final_info": self._info(starting, actions.copy()), "_final_info": self._mask(starting),
            }  # fmt: skip
            self.is_over = np.zeros(self.num_envs, dtype=bool)
        if len(starting):
            self._begin(starting, {})
            actions[starting] = -1
        infos = final | self._info(np.arange(self.num_envs), actions)
        return self.search.observe(), reward, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw each search: the target with the trail of regions, the occluded target, and the score's curve.

        Returns:
            N pictures `uint8[H, W, 3]`, or `None` without a render mode.
        """
        if self.render_mode is None:
            return None
        if not self._begun.all():
            raise gym.error.ResetNeeded("Call reset() before render().")
        patches = self.search.patches()
        return tuple(self._draw(slot, patches[slot]) for slot in range(self.num_envs))

    def _draw(self, slot: int, patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw one search with its occluder `uint8[64, 64, 3]`."""
        target, search = self.search.targets[slot], self.search
        assert target is not None
        (view,), occluded = search.views([target]), occlude_image(target.crop, patch, self.covered(slot))
        regions, scores = zip(*self._trails[slot], strict=True)
        return draw_search(
            view, target.exemplar, occluded, regions, scores,
            float(search.clean_score[slot]), float(search.phi[slot]), search.settings.max_steps,
        )  # fmt: skip

    def covered(self, slot: int) -> NDArray[np.float64]:
        """The covered region of the target, `float64[4]`."""
        return self.search.region[slot]

    def action_masks(self) -> NDArray[np.bool_]:
        """`bool[N, 9]`: True for the moves that change the region, and for the trigger."""
        return self.search.action_masks()

    def features_of(self, targets: NDArray[np.int64], regions: NDArray[np.float64]) -> NDArray[np.float32]:
        """Features of any states, from the cache or computed anew.

        Args:
            targets: `int[M]`, indices into the target set.
            regions: `[M, 4]`.

        Returns:
            `float32[M, F]`, the first F numbers of an observation.

        Raises:
            InputError: If there is no such target.
        """
        indices, rows = np.unique(np.asarray(targets), return_inverse=True)
        if len(indices) and not (0 <= indices[0] and indices[-1] < len(self.targets)):
            raise InputError(f"There are targets 0 to {len(self.targets) - 1}; {indices[[0, -1]]} go beyond.")
        keys = [self._view_key(int(index)) for index in indices]
        return self.search.features_of(
            [keys[row] for row in rows], regions, lambda state: self.targets[int(indices[rows[state]])]
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Empty the cache."""
        self.search.cache.clear()

    def _view_key(self, index: int) -> bytes:
        """Key of a target's view in the cache; the first call decodes the target."""
        key = self._view_keys[index]
        if key is None:
            (view,) = self.search.views([self.targets[index]])
            key = self._view_keys[index] = image_key(view)
        return key

    def _each_seed(self, seed: int | Many[int | None] | None) -> list[int | None]:
        if seed is None or _is_seed(seed):
            seed = [None if seed is None else int(seed) + slot for slot in range(self.num_envs)]  # type: ignore[arg-type]
        if isinstance(seed, str | bytes) or not isinstance(seed, Many | np.ndarray):
            raise InputError(f"seed is {seed!r}; give a whole number, 0 or more, or one for each environment.")
        if len(seed) != self.num_envs:
            raise InputError(f"There are {len(seed)} seeds for {self.num_envs} environments; give one each.")
        for each in seed:
            if each is not None and not _is_seed(each):
                raise InputError(f"The seed {each!r} is no whole number, 0 or more; give one, or None.")
        return [None if each is None else int(each) for each in seed]

    def _slots_to_reset(self, mask: Any) -> Slots:
        if mask is None:
            return np.arange(self.num_envs)
        fits = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (self.num_envs,)
        if not fits or not mask.any():
            raise InputError(
                f"The option 'reset_mask' is {mask!r}; give an array bool[{self.num_envs}] with a True in it."
            )
        return np.flatnonzero(mask)

    def _act(
        self, actions: NDArray[np.int64], slots: Slots
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Take the actions of some environments; the reward, terminated and truncated of all N."""
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=bool)
        step = self.search.step(actions[slots], slots)
        reward[slots], terminated[slots] = step.reward, step.terminated
        if self.arguments.max_steps is not None:
            truncated[slots] = step.truncated
        if self._max_episode_steps is not None:
            truncated[slots] |= self.search.steps[slots] >= self._max_episode_steps
        self._record(slots)
        return reward, terminated, truncated

    def _begin(self, slots: Slots, options: dict[str, Any]) -> None:
        """Draw a target for each slot, and start its search."""
        if self.search.needs_phi and self.phi is None and self.drop is None:
            self.drop = measure_drop(self.arguments, self.search_class)
        region = options.get("region")
        regions = None if region is None else np.tile(_four_numbers(region, "region"), (len(slots), 1))
        chosen = [self.choose_target(options, self.generators[slot]) for slot in slots]
        self.start(slots, [target for _, target in chosen], regions, options)
        self._indices[slots] = [index for index, _ in chosen]
        self._begun[slots] = True
        for slot in slots:
            self._trails[slot] = []
            if (index := self._indices[slot]) >= 0:
                self._view_keys[index] = self.search.view_keys[slot]
        self._record(slots)

    def start(
        self, slots: Slots, targets: Many[Target], regions: NDArray[np.float64] | None, options: dict[str, Any]
    ) -> None:
        """Draw occluders for M targets and start their searches; `regions`, `[M, 4]`, is the option `region`."""
        if (given := options.get("patch")) is not None:
            given = check_image(given, "The option 'patch'")
            patches = [crop(given, (0, 0, given.shape[1], given.shape[0]), PATCH_SIZE)] * len(slots)
        else:
            patches = [self._draw_patch(*each) for each in zip(slots, targets, strict=True)]
        scenes = None
        if self.arguments.patches:
            scenes = [
                b"".join(image_key(image) for image in (target.exemplar, target.crop, patch))
                for target, patch in zip(targets, patches, strict=True)
            ]
        self.search.begin(slots, targets, patches, self.phi, self.drop, regions, scenes)

    def _draw_patch(self, slot: int, target: Target) -> NDArray[np.uint8]:
        """Draw a new occluder, or one of the target's own `patches`."""
        rng = self.generators[slot]
        if self.arguments.patches:
            number = int(rng.integers(self.arguments.patches))
            rng = np.random.default_rng([number, *target.id.encode()])
        share = self.search.settings.limits.max_area
        return choose_occluder(self.arguments.occluder, target, share, rng, self.targets).patch(
            target, self.targets
        )

    def _record(self, slots: Slots) -> None:
        """Store the regions and scores for `render`."""
        if self.render_mode is not None:
            for slot in slots:
                self._trails[slot].append((self.search.region[slot].copy(), float(self.search.score[slot])))

    def _observations(self, slots: Slots) -> NDArray[np.object_]:
        """The observations of some environments in the format of `SyncVectorEnv`'s `final_obs`: `object[N]`."""
        batch = self.search.observe(slots)
        observations = np.full(self.num_envs, None, dtype=object)
        for row, slot in enumerate(slots):
            observations[slot] = take_observation(batch, row)
        return observations

    def _info(self, slots: Slots, actions: NDArray[np.int64]) -> dict[str, Any]:
        """Infos of some environments, with their masks; `actions`, `int[N]`, are -1 after a reset."""
        search = self.search
        arrays: dict[str, NDArray[Any]] = {
            "score": search.score, "previous_score": search.previous_score, "clean_score": search.clean_score,
            "phi": search.phi, "region": search.region, "action_index": actions, "target_index": self._indices,
            "is_success": search.success, "action_mask": search.action_masks().astype(np.int8),
            "queries": search.queries,
        }  # fmt: skip
        if self.arguments.info_names:
            targets = [None if target is None else target.id for target in search.targets]
            arrays["action"] = np.array([*ACTIONS, "reset"], dtype=object)[actions]
            arrays["target"] = np.array(targets, dtype=object)
        infos: dict[str, Any] = {}
        for key, values in arrays.items():
            own = np.full_like(values, None if values.dtype == object else 0)
            own[slots] = values[slots]
            infos[key], infos[f"_{key}"] = own, self._mask(slots)
        return infos

    def _mask(self, slots: Slots) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_envs, dtype=bool)
        mask[slots] = True
        return mask

    def choose_target(self, options: dict[str, Any], rng: np.random.Generator) -> tuple[int, Target]:
        """The target of the options, or a drawn one: its index in the set (-1 for an image), and the target."""
        if "image" in options:
            return -1, _own_target(options)
        if stray := {"box", "exemplar"} & set(options):
            raise InputError(f"The option '{sorted(stray)[0]}' needs the option 'image' beside it.")
        wanted = options.get("target")
        if wanted is None:
            number = int(rng.integers(len(self.targets)))
            return number, self.targets[number]
        index = self._numbers.get(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(index, int | np.integer) or not 0 <= index < len(self.targets):
            raise InputError(
                f"There is no target {wanted!r}; give an id such as '{self.targets.ids[0]}' or an index from 0 to"
                f" {len(self.targets) - 1}."
            )
        return int(index), self.targets[int(index)]


def check_horizon(max_steps: int | None, max_episode_steps: int | None) -> None:
    """Refuse a `max_steps` that `max_episode_steps` would cut short.

    Raises:
        InputError: Naming both.
    """
    if max_steps is not None and max_episode_steps is not None and max_steps > max_episode_steps:
        raise InputError(
            f"max_steps={max_steps} lies beyond the end of an episode, {max_episode_steps} steps; give"
            f" max_episode_steps={max_steps} in place of max_steps."
        )


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


def _four_numbers(value: Any, option: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (4,):
        raise InputError(f"The option '{option}' is {value!r}; give four numbers: x,y,w,h.")
    return numbers


def take_observation(batch: Any, row: int) -> Any:
    """A copy of one element of a batch of observations."""
    if isinstance(batch, dict):
        return {key: value[row].copy() for key, value in batch.items()}
    return batch[row].copy()


def _is_seed(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)
