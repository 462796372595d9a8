"""N environments in one: `gym.make_vec("OcclusionSearch-v0", num_envs=N)`."""

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
from tracker.errors import InputError

from ..mdp.actions import ACTIONS
from ..mdp.settings import check_whole
from ..scene.occluders import OCCLUDERS, PATCH_SIZE, draw_occluder, occlude_image
from ..scene.targets import Source, Target
from ..search.core import Search, check_actions
from ..search.memory import image_key
from .arguments import SearchArguments
from .building import assemble, measure_drop
from .rendering import draw_search

__all__ = ["OcclusionSearchVectorEnv"]

Slots = NDArray[np.int64]

_MOST = {"num_envs": 10_000, "max_episode_steps": 1_000_000}


class OcclusionSearchVectorEnv(VectorEnv[Any, NDArray[np.int64], NDArray[Any]], EzPickle):
    """N searches side by side, with one forward pass for all states and one for all scores a step.

    Where episodes end, the step takes another of each, so that the last observation is that after the last move.

    The data are those of N single environments, scores to 1e-5 and features to 1e-4 (batches of different sizes
    round differently); see `OcclusionSearchEnv` for everything that concerns one of them.
    Environment i has a generator of its own, seeded with the seed of `reset` plus i.

    A copy or a pickle is made anew from the arguments (EzPickle): reset it before its first step.

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
        is_over: `bool[N]`, whether the episode is over and the environment has not been reset.

    Raises:
        InputError: If an argument is out of range or names what cannot be read; if one is unknown, it is a
            `TypeError` too.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    search_class: type[Search] = Search
    """The search that runs in it; another environment is another one."""
    reset_options: tuple[str, ...] = ("target", "image", "box", "exemplar", "patch", "region")
    """The options of `reset`, `reset_mask` apart."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        """See the class."""
        EzPickle.__init__(
            self, num_envs, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode,
            render_mode=render_mode, **arguments,
        )  # fmt: skip
        for name, value in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if value is not None:
                check_whole(name, int(value) if isinstance(value, np.integer) else value, 1, _MOST[name])
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"'{render_mode}' is no render mode; choose rgb_array or None.")
        self.num_envs = int(num_envs)
        self.render_mode = render_mode
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.arguments = SearchArguments.from_keywords(arguments)
        check_horizon(self.arguments.max_steps, max_episode_steps)
        if self.arguments.occluder not in OCCLUDERS:
            raise InputError(f"'{self.arguments.occluder}' is no occluder; choose {', '.join(OCCLUDERS)}.")
        self._parts = assemble(self.arguments)
        self.targets = self._parts.targets
        self.phi, self.drop = self.arguments.phi, self.arguments.drop
        self.search = self.search_class(
            self.num_envs, self._parts.scorer, self._parts.features, self.arguments.settings
        )
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
        self._trails: list[list[NDArray[np.float64]]] = [[] for _ in range(self.num_envs)]
        self._curves: list[list[float]] = [[] for _ in range(self.num_envs)]
        self.generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._seeds: list[int] = [-1] * self.num_envs
        self.single_observation_space = self.search.observation.space
        self.single_action_space = spaces.Discrete(len(ACTIONS))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def feature_length(self) -> int:
        """F, the numbers of an observation that are features."""
        return self.search.feature_length

    @property  # type: ignore[override]
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """The generator of each environment."""
        return tuple(self._generator(slot) for slot in range(self.num_envs))

    @np_random.setter  # type: ignore[override]
    def np_random(self, generators: Many[np.random.Generator]) -> None:
        if len(generators) != self.num_envs:
            raise InputError(f"There are {len(generators)} generators for {self.num_envs} environments.")
        self.generators, self._seeds = list(generators), [-1] * self.num_envs

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each, -1 where it is not known."""
        _ = self.np_random
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
                `bool[N]`: which are, all by default.

        Returns:
            The observations and the infos. Of the environments that are not reset the observation is the one that
            they had, and the masks of the infos are false.

        Raises:
            InputError: If an option is unknown or cannot be used.
        """
        if not isinstance(options, Mapping | None):
            raise InputError(f"options is {options!r}; give a dictionary of reset options, or None.")
        options = dict(options or {})
        slots = self._slots_to_reset(options)
        seeds = self._each_seed(seed)
        if unknown := set(options) - set(self.reset_options):
            known = ", ".join(self.reset_options)
            raise InputError(f"'{min(map(str, unknown))}' is no reset option; choose {known}.")
        if not self._begun.all() and len(slots) < self.num_envs and not self._begun[self._others(slots)].all():
            raise gym.error.ResetNeeded("Call reset() of all environments before one of some.")
        for slot in slots:
            if seeds[slot] is not None:
                self.generators[slot], self._seeds[slot] = seeding.np_random(seeds[slot])
        self._begin(slots, options)
        self.is_over[slots] = False
        return self.search.observe(), self._info(slots, np.full(self.num_envs, -1))

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take an action in each environment; one that `NextStep` starts over ignores its own.

        Args:
            actions: `int[N]`.

        Raises:
            InputError: If an action is not an integer from 0 to 8.
        """
        if not self._begun.all():
            raise gym.error.ResetNeeded("Call reset() before step().")
        actions = check_actions(actions, self.num_envs).astype(np.int64)
        taken = actions.copy()
        ended = self.is_over
        if self.autoreset_mode is AutoresetMode.DISABLED and ended.any():
            over = np.flatnonzero(ended).tolist()
            raise gym.error.ResetNeeded(f"The episodes {over} are over; reset them with options['reset_mask'].")
        acting, starting = np.flatnonzero(~ended), np.flatnonzero(ended)
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=bool)
        step = self.search.step(actions[acting], acting)
        reward[acting], terminated[acting] = step.reward, step.terminated
        if self.arguments.max_steps is not None:
            truncated[acting] = step.truncated
        if self._max_episode_steps is not None:
            truncated[acting] |= self.search.steps[acting] >= self._max_episode_steps
        self.is_over = terminated | truncated
        self._record(acting)

        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self.is_over.any():
            starting, self.is_over = np.flatnonzero(self.is_over), np.zeros(self.num_envs, dtype=bool)
            mask = self._mask(starting)
            final = {
                "final_obs": self._observations(starting), "_final_obs": mask,
                "final_info": self._info(starting, taken), "_final_info": mask.copy(),
            }  # fmt: skip
        if len(starting):
            self._begin(starting, {})
            taken[starting] = -1
        infos = final | self._info(np.arange(self.num_envs), taken)
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
        return tuple(self.draw(slot, patches[slot]) for slot in range(self.num_envs))

    def draw(self, slot: int, patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture of one search.

        Args:
            slot: Which.
            patch: Its occluder, `uint8[64, 64, 3]`.
        """
        target, search = self.search.targets[slot], self.search
        assert target is not None
        (view,), occluded = search.views([target]), occlude_image(target.crop, patch, self.covered(slot))
        return draw_search(
            view, target.exemplar, occluded, self._trails[slot], self._curves[slot],
            float(search.clean_score[slot]), float(search.phi[slot]), search.settings.max_steps,
        )  # fmt: skip

    def covered(self, slot: int) -> NDArray[np.float64]:
        """The region of the target that is covered now, `float64[4]`."""
        return self.search.region[slot]

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions do something, `bool[N, 9]`: moves that change the region, and the trigger."""
        return self.search.action_masks()

    def features_of(self, targets: NDArray[np.int64], regions: NDArray[np.float64]) -> NDArray[np.float32]:
        """The features of any states, from the cache or computed anew.

        Args:
            targets: `int[M]`, indices into the target set.
            regions: `[M, 4]`.

        Returns:
            `float32[M, F]`, as they stand at the front of an observation.

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
        """Free the memory."""
        self.search.cache.clear()

    def _view_key(self, index: int) -> bytes:
        """What stands for a target in the cache; a target is decoded for it once at most."""
        key = self._view_keys[index]
        if key is None:
            (key,) = self.search.view_keys([self.targets[index]])
            self._view_keys[index] = key
        return key

    def _generator(self, slot: int) -> np.random.Generator:
        generator = self.generators[slot]
        if generator is None:
            generator, self._seeds[slot] = seeding.np_random()
            self.generators[slot] = generator
        return generator

    def _each_seed(self, seed: int | Many[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
            each: list[int | None] = [int(seed) + slot for slot in range(self.num_envs)]
        elif isinstance(seed, Many | np.ndarray) and not isinstance(seed, str | bytes):
            each = list(seed)
        else:
            raise InputError(f"seed is {seed!r}; give a whole number, 0 or more, or one for each environment.")
        if len(each) != self.num_envs:
            raise InputError(f"There are {len(each)} seeds for {self.num_envs} environments; give one each.")
        for number in each:
            known = isinstance(number, int | np.integer) and not isinstance(number, bool)
            if number is not None and not (known and number >= 0):
                raise InputError(f"The seed {number!r} is no whole number, 0 or more; give one, or None.")
        return [None if number is None else int(number) for number in each]

    def _slots_to_reset(self, options: dict[str, Any]) -> Slots:
        mask = options.pop("reset_mask", None)
        if mask is None:
            return np.arange(self.num_envs)
        known = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (self.num_envs,)
        if not known or not mask.any():
            raise InputError(
                f"The option 'reset_mask' is {mask!r}; give an array bool[{self.num_envs}] with a True in it."
            )
        return np.flatnonzero(mask)

    def _others(self, slots: Slots) -> Slots:
        return np.setdiff1d(np.arange(self.num_envs), slots)

    def _begin(self, slots: Slots, options: dict[str, Any]) -> None:
        """Draw for each slot a target and what else its search starts with, and start it."""
        if self.search.needs_phi and self.phi is None and self.drop is None:
            self.drop = self.measure_drop()
        region = options.get("region")
        regions = None if region is None else np.tile(_four_numbers(region, "region"), (len(slots), 1))
        chosen = [self.choose_target(options, self._generator(slot)) for slot in slots]
        self.start(slots, [target for _, target in chosen], regions, options)
        self._indices[slots] = [index for index, _ in chosen]
        self._begun[slots] = True
        for slot in slots:
            self._trails[slot], self._curves[slot] = [], []
            if (index := self._indices[slot]) >= 0:
                self._view_keys[index] = self.search.slot_view_key(slot)
        self._record(slots)

    def measure_drop(self) -> float:
        """How far phi lies below a clean score where neither is given."""
        return measure_drop(self.arguments, self._parts)

    def start(
        self, slots: Slots, targets: Many[Target], regions: NDArray[np.float64] | None, options: dict[str, Any]
    ) -> None:
        """Draw the occluders and start the searches.

        Args:
            slots: `int[M]`, in which environments; what is drawn comes from their generators.
            targets: M targets.
            regions: The option `region`, `[M, 4]`.
            options: All options.
        """
        given = options.get("patch")
        if given is not None:
            given = check_image(given, "The option 'patch'")
            given = crop(given, (0, 0, given.shape[1], given.shape[0]), PATCH_SIZE)
            drawn = [(given, image_key(given))] * len(slots)
        else:
            drawn = [
                self._draw_patch(target, self._generator(slot))
                for slot, target in zip(slots, targets, strict=True)
            ]
        scenes = None
        if self.arguments.patches:
            keys = [(image_key(target.exemplar), image_key(target.crop)) for target in targets]
            scenes = [b"".join([*pair, key]) for pair, (_, key) in zip(keys, drawn, strict=True)]
        self.search.begin(slots, targets, [patch for patch, _ in drawn], self.phi, self.drop, regions, scenes)

    def _draw_patch(self, target: Target, rng: np.random.Generator) -> tuple[NDArray[np.uint8], bytes]:
        """An occluder, a new one or one of the target's own `patches`, and its key."""
        if self.arguments.patches:
            number = int(rng.integers(self.arguments.patches))
            rng = np.random.default_rng([number, *target.id.encode()])
        share = self.search.settings.limits.max_area
        patch, _ = draw_occluder(self.arguments.occluder, target, share, rng, self.targets)
        return patch, image_key(patch)

    def _record(self, slots: Slots) -> None:
        """Keep the trail for the picture."""
        if self.render_mode is not None:
            for slot in slots:
                self._trails[slot].append(self.search.region[slot].copy())
                self._curves[slot].append(float(self.search.score[slot]))

    def _observations(self, slots: Slots) -> NDArray[np.object_]:
        """The observations of some environments, as `SyncVectorEnv` gives the last ones: `object[N]`."""
        observations = self.search.observe(slots)
        found = np.full(self.num_envs, None, dtype=object)
        for row, slot in enumerate(slots):
            found[slot] = _row(observations, row)
        return found

    def _info(self, slots: Slots, actions: NDArray[np.int64]) -> dict[str, Any]:
        """Infos of some environments, with the masks that say of which.

        Args:
            slots: Which.
            actions: `int[N]`, the last actions; -1 after a reset.
        """
        search = self.search
        found: dict[str, NDArray[Any]] = {
            "score": search.score, "previous_score": search.previous_score, "clean_score": search.clean_score,
            "phi": search.phi, "region": search.region, "action_index": actions, "target_index": self._indices,
            "is_success": search.success, "action_mask": search.action_masks().astype(np.int8),
            "queries": search.queries,
        }  # fmt: skip
        if self.arguments.info_names:
            targets = [None if target is None else target.id for target in search.targets]
            found["action"] = np.array([*ACTIONS, "reset"], dtype=object)[actions]
            found["target"] = np.array(targets, dtype=object)
        infos: dict[str, Any] = {}
        for key, values in found.items():
            kept = np.zeros_like(values) if values.dtype != object else np.full_like(values, None)
            kept[slots] = values[slots]
            infos[key], infos[f"_{key}"] = kept, self._mask(slots)
        return infos

    def _mask(self, slots: Slots) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_envs, dtype=bool)
        mask[slots] = True
        return mask

    def choose_target(self, options: dict[str, Any], rng: np.random.Generator) -> tuple[int, Target]:
        """The target that the options ask for, or one drawn: its index in the set, -1 for an image, and itself."""
        if "image" in options:
            return -1, _own_target(options)
        if stray := {"box", "exemplar"} & set(options):
            raise InputError(f"The option '{sorted(stray)[0]}' needs the option 'image' beside it.")
        wanted = options.get("target")
        if wanted is None:
            number = int(rng.integers(len(self.targets)))
            return number, self.targets[number]
        found = self._numbers.get(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(found, int | np.integer) or not 0 <= found < len(self.targets):
            raise InputError(
                f"There is no target {wanted!r}; give an id such as '{self.targets.ids[0]}' or an index from 0 to"
                f" {len(self.targets) - 1}."
            )
        return int(found), self.targets[int(found)]


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


def _row(batch: Any, row: int) -> Any:
    """One element of a batch of observations, its own memory."""
    return (
        {key: value[row].copy() for key, value in batch.items()} if isinstance(batch, dict) else batch[row].copy()
    )


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        modes = ", ".join(each.value for each in AutoresetMode)
        raise InputError(f"'{mode}' is no autoreset mode; choose {modes}.") from None
