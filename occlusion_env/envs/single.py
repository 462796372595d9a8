"""The single environment: a vector environment of one search."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tracker.errors import InputError

from ..mdp.actions import ACTIONS, KEYS
from ..mdp.settings import HORIZON
from ..scene.targets import TargetSet
from ..search.core import Search
from .vector import OcclusionSearchVectorEnv, check_horizon, take_observation


class OcclusionSearchEnv(gym.Env[Any, np.int64], EzPickle):
    """Find the region of a target whose occlusion lowers the score of a Siamese matcher most (HPTN, section 4.2).

    ## Description
    A target has been cut out of a frame of a video. An agent moves a region over it; a patch, by default of the
    same frame's background, is pasted over the region, and the matcher (SINT) scores the occluded target against
    the exemplar, the target of the video's first frame. The lower the score, the harder the positive.

    `gym.make_vec` gives N of these with one forward pass a step for all states and one for all scores; the data
    are those of N single ones, but for rounding (see Reproducibility).

    ## Action space
    `Discrete(9)`. A move goes by `step` (0.2) of the region's own size, as far as the limits allow.
    `env.unwrapped.action_masks()`, `bool[9]`, is True for the moves that change the region, and for the trigger.
    `occlusion-search play` and `gymnasium.utils.play.play(env, wait_on_player=True)` take the keys of
    `get_keys_to_action()`.

    | n | action | | n | action |
    |---|---|---|---|---|
    | 0 | right | | 5 | smaller |
    | 1 | left | | 6 | fatter |
    | 2 | up | | 7 | taller |
    | 3 | down | | 8 | trigger: end the search |
    | 4 | bigger | | | |

    ## Observation space
    The agent sees the *unoccluded* target; F is `env.unwrapped.feature_length`, H nine times `history`.

    | observation | space | is |
    |---|---|---|
    | `features` | `Box(float32, F + H)` | features of the target under the region (a layer of the network, \
scaled to a root mean square of 1), then the last `history` actions, newest first, each as a one-hot of 9 |
    | `features+region` | `Box(float32, F + H + 4)` | the same, then the region's x, y, w, h, relative to the \
target |
    | `dict` | `Dict(features, history, region)` | the same parts by name |
    | `pixels` | `Box(uint8, pixels, pixels, 3)` | the target under the region as an RGB image; no history |

    ## Rewards
    S is the score after the action, S' the one before it.

    | reward | a move | the trigger |
    |---|---|---|
    | `paper` | +1 if S < S', else -1 (eq. 5; a tie costs) | +eta if S <= phi, else -eta (eq. 6) |
    | `margin` | as `paper` | as `paper`, with the best distractor's score as phi: boxes of the target's size \
in its own frame |
    | `difference` | `reward_scale` (S' - S) | 0 |
    | `potential` | gamma Phi(S) - Phi(S'), with Phi(S) = `reward_scale` (clean score - S) | eq. 6, less Phi(S) \
(Ng 1999: the best policy is that of eq. 6 alone) |
    | `record` | `reward_scale` times its fall below the least score so far, or 0 | 0 |

    With a `query_price` above 0, a step that queries the scorer (it leads to a region that the episode has not
    visited) earns `reward_scale` `query_price` less. An episode's sum of `record` is then `reward_scale` times the
    fall from the first score to the least, less the price of its queries: the trigger pays where no move promises
    a fall that is worth its price.

    Scores that differ by less than 1e-5 are equal (`potential`, which is continuous, excepted).

    ## Starting state
    A target drawn from `targets` (of their `split`), an occluder drawn for it, and the region that `start` names,
    by default the centred square of the largest area. `reset(options=...)` takes instead:

    | key | is |
    |---|---|
    | `target` | index or id of a target of the set |
    | `image`, `box` | your own frame, `uint8[H, W, 3]` RGB, and the target's box in it, `(x, y, w, h)` in pixels |
    | `exemplar` | `uint8[h, w, 3]`, the matcher's reference; by default the target itself |
    | `patch` | `uint8[h, w, 3]`, the occluder |
    | `region` | `(x, y, w, h)` relative to the target, where the search starts |
    | `reset_mask` | vector environments only, `bool[N]`: which environments are reset |

    ## Episode end
    The trigger terminates. `max_episode_steps` actions truncate: an argument of `gym.make` and `gym.make_vec`, 20
    by default (T of Algorithm 1), and in `env.spec`. `max_steps` truncates earlier. The class itself, without
    `gym.make`, has no limit but `max_steps`.

    ## Info
    The same keys and types after every reset and step:

    | key | is |
    |---|---|
    | `score`, `previous_score`, `clean_score` | `float`, S, S' and the score of the unoccluded target |
    | `phi` | `float`, the threshold of eq. 6; -inf for `difference` and `record`, unless given |
    | `is_success` | `bool`, S <= phi |
    | `region` | `float64[4]` |
    | `action_index` | `int`, the last action; -1 after a reset |
    | `action_mask` | `int8[9]`, 1 for a move that changes the region and for the trigger |
    | `target_index` | `int`, in the target set; -1 for an image of your own |
    | `queries` | `int`, number of scorer queries in the episode, the unoccluded target's included |
    | `action`, `target` | with `info_names=True`: the action's name (`"reset"` after a reset), the target's id |

    Stable-Baselines3's `EvalCallback` reads `is_success` at the end of an episode.

    ## Arguments
    Everything is plain data, so that specs serialise; `targets` and `scorer` also take objects. Copying and
    pickling build a new environment from the arguments (EzPickle): reset it before its first step.

    ## Reproducibility
    The same seed and the same actions give the same data. A network rounds differently in batches of different
    sizes; so for other `num_envs`, and depending on the cache (`cache_mb`), scores agree to 1e-5 and
    features to 1e-4. With `cache_mb=0` the same environments repeat to the bit on the same machine.

    ## Version history
    v0: first version.

    Args:
        targets: See `SearchArguments`.
        render_mode: `None` or `rgb_array`; with `human`, `gym.make` shows each step in a window (pygame).
        arguments: See `SearchArguments`.

    Attributes:
        search: The `Search`, one slot.
        targets: The `TargetSet` that targets are drawn from.
        phi: As the argument.
        feature_length: F.

    Raises:
        InputError: If an argument is out of range or cannot be loaded; if one is unknown, it is a `TypeError`
            too.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}
    vector_class: type[OcclusionSearchVectorEnv] = OcclusionSearchVectorEnv
    """Class of the vector environment that a single environment wraps; subclasses override it."""

    def __init__(
        self, targets: str | TargetSet = "synthetic", *, render_mode: str | None = None, **arguments: Any
    ) -> None:
        EzPickle.__init__(self, targets, render_mode=render_mode, **arguments)
        self.vector = self.vector_class(
            1, autoreset_mode=AutoresetMode.DISABLED, render_mode=render_mode, targets=targets, **arguments
        )
        # The limit of `gym.make` is a wrapper that this environment does not see; it may be longer, if asked for.
        check_horizon(self.vector.arguments.max_steps, HORIZON)
        self.render_mode = render_mode
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.search: Search = self.vector.search
        self.targets = self.vector.targets
        self.phi = self.vector.phi
        self.feature_length = self.vector.feature_length

    @property
    def drop(self) -> float | None:
        """Drop of the score from the unoccluded target to phi; `None` before it is measured."""
        return self.vector.drop

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a search; the options are those of Starting state.

        Raises:
            InputError: If an option is unknown or cannot be used.
        """
        super().reset(seed=seed)
        self.vector.generators[0] = self.np_random
        observations, infos = self.vector.reset(options=options)
        return take_observation(observations, 0), _single(infos)

    def step(self, action: np.int64 | int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Raises:
            InputError: If the action is not an integer from 0 to 8.
        """
        if self.vector.is_over[0]:
            raise gym.error.ResetNeeded(
                "You are calling 'step()' even though this environment has already returned terminated = True or"
                " truncated = True. You should always call 'reset()' once you receive 'terminated = True'."
            )
        if not isinstance(action, int | np.integer) and getattr(action, "shape", None) != ():
            raise InputError(f"{action!r} is no action; give an integer from 0 to {len(ACTIONS) - 1}.")
        observations, reward, terminated, truncated, infos = self.vector.step(np.asarray([action]))
        observation = take_observation(observations, 0)
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), _single(infos)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the search: the target with the trail of regions, the occluded target, and the score's curve.

        Returns:
            `uint8[H, W, 3]`, or `None` without a render mode.
        """
        drawn = self.vector.render()
        return None if drawn is None else drawn[0]

    def get_keys_to_action(self) -> dict[tuple[str], int]:
        """The key of each action, for `gymnasium.utils.play.play(env, wait_on_player=True)`.

        d, a, w, s shift the region; e, q, f, t make it bigger, smaller, fatter, taller; the space bar triggers.
        """
        return {(key,): action for action, key in enumerate(KEYS)}

    def action_masks(self) -> NDArray[np.bool_]:
        """`bool[9]`: True for the moves that change the region, and for the trigger."""
        return self.vector.action_masks()[0]

    def close(self) -> None:
        """Empty the cache."""
        self.vector.close()


def _single(infos: dict[str, Any]) -> dict[str, Any]:
    """The infos of the only environment, in Python's own types."""
    own = {key: values[0] for key, values in infos.items() if not key.startswith("_")}
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in own.items()}
