"""Deep Q-learning as Algorithm 1 has it, over Stable-Baselines3."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from typing import Any

import numpy as np
import torch
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor
from torch.nn import functional

from occlusion_env.naming import check_built_in, look_up
from tracker.errors import InputError, shorten
from tracker.files import read_text

from ..common.plain_yaml import parse_yaml


def max_target(agent: DQN, observations: Tensor) -> Tensor:
    """`max_a Q(phi_{j+1}, a; theta^-)` of line 21 of Algorithm 1: `[B, ...]` to `[B, 1]`."""
    return agent.q_net_target(observations).amax(dim=1, keepdim=True)


def double_target(agent: DQN, observations: Tensor) -> Tensor:
    """Double DQN (van Hasselt 2016, eq. 4): the network chooses the action, the target network values it."""
    chosen = agent.q_net(observations).argmax(dim=1, keepdim=True)
    return agent.q_net_target(observations).gather(1, chosen)


TARGETS: dict[str, Callable[[DQN, Tensor], Tensor]] = {"max": max_target, "double": double_target}
"""Values of the next state, by name."""


class TemporalDifferenceDQN(DQN):
    """DQN with a choice of target; a subclass defines the loss.

    Returns over n steps are Stable-Baselines3's own (`n_steps`).

    Args:
        args: See `DQN`.
        td_target: One of `TARGETS`.
        truncation_is_terminal: Whether the value of a state after T steps is 0 (line 18 of Algorithm 1) instead of
            bootstrapped: `handle_timeout_termination=False` of the replay buffer.
        kwargs: See `DQN`.

    Raises:
        InputError: If `td_target` is unknown, or the replay buffer's `handle_timeout_termination` contradicts
            `truncation_is_terminal`.
    """

    def __init__(
        self, *args: Any, td_target: str = "max", truncation_is_terminal: bool = False, **kwargs: Any
    ) -> None:
        look_up("td_target", td_target, TARGETS)
        if truncation_is_terminal and (kwargs.get("replay_buffer_kwargs") or {}).get("handle_timeout_termination"):
            raise InputError(
                "truncation_is_terminal and the replay buffer's handle_timeout_termination contradict each other;"
                " give one of them."
            )
        self.td_target = td_target
        self.truncation_is_terminal = truncation_is_terminal
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        if self.truncation_is_terminal:
            self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "handle_timeout_termination": False}
        super()._setup_model()

    def loss(self, difference: Tensor) -> Tensor:
        """Temporal differences `[B, 1]` to the loss, a number."""
        raise NotImplementedError

    def expected(self, batch: ReplayBufferSamples) -> Tensor:
        """`y_j` of lines 18 to 22 of Algorithm 1.

        Args:
            batch: `B` transitions; a terminal one has `dones` 1 and `y_j = r_j`.

        Returns:
            `[B, 1]`, without a gradient.
        """
        with torch.no_grad():
            value = TARGETS[self.td_target](self, batch.next_observations)
            discounts = self.gamma if batch.discounts is None else batch.discounts
            return batch.rewards + (1.0 - batch.dones) * discounts * value

    def temporal_difference(self, batch: ReplayBufferSamples) -> Tensor:
        """`y_j - Q(phi_j, a_j; theta)`, `[B, 1]`; the gradient flows through Q alone."""
        return self.expected(batch) - self.q_net(batch.observations).gather(1, batch.actions.long())

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take gradient steps on mini-batches of the replay memory (lines 17 and 23)."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        assert self.replay_buffer is not None
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            loss = self.loss(self.temporal_difference(batch))
            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))


class SquaredErrorDQN(TemporalDifferenceDQN):
    """DQN that minimises the squared error of line 23 of Algorithm 1.

    Stable-Baselines3 minimises the Huber loss, which agrees with half the squared error up to an error of 1 and
    then grows more slowly; with rewards of eta = 3 most of the trigger's errors lie beyond. Everything else is
    Stable-Baselines3's.
    """

    def loss(self, difference: Tensor) -> Tensor:
        """The mean square."""
        return difference.square().mean()


class HuberDQN(TemporalDifferenceDQN):
    """DQN with Stable-Baselines3's own loss, for the targets that it lacks."""

    def loss(self, difference: Tensor) -> Tensor:
        """Mnih et al.'s clipped error: half the square up to 1, then linear."""
        return functional.smooth_l1_loss(difference, torch.zeros_like(difference))


OWN_SECTION = "occlusion-search"
"""Section of a hyper-parameter file with keys that RL Zoo does not know; RL Zoo never reads it."""


class _Loader(yaml.SafeLoader):
    """Reads plain YAML; `1e7` is a number, as in YAML 1.2 (in YAML 1.1 it is text without a point)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(text: str) -> Any:
    """Read YAML that a person wrote, without running anything in it.

    Raises:
        yaml.YAMLError: If it is none.
        InputError: If it is too large; see `plain_yaml.parse_yaml`.

    >>> read_yaml("{n_timesteps: 1e7, gamma: .5, name: '1e7'}")
    {'n_timesteps': 10000000.0, 'gamma': 0.5, 'name': '1e7'}
    """
    return parse_yaml(text, _Loader)


def check_section(section: Mapping[str, Any], what: str) -> None:
    """Refuse a section of hyper-parameters whose keys or values have other types than RL Zoo's format says.

    Args:
        section: Arguments of the algorithm by name.
        what: Begins the error's sentence.

    Raises:
        InputError: Naming the first of them.
    """
    for name, value in section.items():
        if not isinstance(name, str):
            raise InputError(f"{what} has {shorten(name)} for a name; names are texts.")
        if name in ("policy", "loss", "td_target") and not isinstance(value, str):
            raise InputError(f"{what} says {name} is {shorten(value)}; it must be a text.")
        if name.endswith("_kwargs") and isinstance(value, Mapping):
            check_section(value, f"{what}, {name},")
        elif name == "env_kwargs" and value is not None:
            raise InputError(f"{what} says {name} is {shorten(value)}; write it as a YAML mapping.")


def load_hyperparameters(
    name: str, env_id: str = "OcclusionSearch-v0", allowed: Collection[str] = ()
) -> dict[str, Any]:
    """Read the environment's section of a hyper-parameter file in RL Zoo's format, and the section `OWN_SECTION`.

    Args:
        name: A file of `agents/hyperparams` that the package ships, without `.yml`, or the path of a YAML file.
        env_id: The section; where it is missing, `default` stands in, as with RL Zoo.
        allowed: Names `module:attribute` that the file may hold; see `occlusion_env.naming.check_built_in`.

    Returns:
        Arguments of the algorithm, with RL Zoo's `n_timesteps`, `policy`, `n_envs` and `env_kwargs` among them.

    Raises:
        InputError: If the file or the section is missing, it is no YAML, or it names `module:attribute`.

    >>> load_hyperparameters("paper")["learning_rate"]
    1e-06
    """
    folder = resources.files("agents") / "hyperparams"
    shipped = folder / f"{name}.yml"
    try:
        text = shipped.read_text() if shipped.is_file() else read_text(name)
        sections = read_yaml(text)
        section = sections[env_id] if env_id in sections else sections["default"]
        found = dict(section) | dict(sections.get(OWN_SECTION) or {})
    except InputError as error:
        raise InputError(f"The file '{name}' cannot be used: {error}") from None
    except OSError:
        known = sorted(file.name.removesuffix(".yml") for file in folder.iterdir() if file.name.endswith(".yml"))
        raise InputError(f"'{name}' is no hyper-parameter file; give {', '.join(known)} or a YAML file.") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The file '{name}' cannot be read as YAML ({reason}); correct it.") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"The file '{name}' has no section '{env_id}' in RL Zoo's format.") from None
    check_section(found, f"The file '{name}'")
    check_built_in(found, name, allowed)
    return found
