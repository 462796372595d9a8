"""Agents as safetensors: the one that the package ships, and how to make another of a training run."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.dqn.policies import DQNPolicy

from tracker.errors import InputError, reading_errors
from tracker.files import read_text, replacing_file
from tracker.hub import HubModel
from tracker.models.backbones import load_weights, resolve_device, save_weights

from ..dqn.algorithms import check_layers
from ..training.environment import TrainingEnvironment
from .rollout import LoadedPolicy

PRETRAINED = "pretrained"
"""The name of the agent that the package ships."""
_HUB_FILE = "agent.safetensors"


@dataclass(frozen=True)
class PretrainedAgent(LoadedPolicy, HubModel):
    """An agent of `load_pretrained`, which the Hub takes too."""

    hub_title = "An agent that searches for the occlusion a visual tracker handles worst"
    hub_usage = """from agents.policies.pretrained import PretrainedAgent

agent = PretrainedAgent.from_pretrained("USER/NAME").agent()  # for agents.HardPositiveGenerator and compare"""

    def write_files(self, folder: Path) -> None:
        """Write the agent by `save_pretrained`, as `agent.safetensors`."""
        assert self.environment is not None
        save_pretrained(folder / _HUB_FILE, self.policy, self.environment, self.card)

    @classmethod
    def read_files(cls, folder: Path, **options: Any) -> PretrainedAgent:
        """Load a folder by `load_pretrained`, whose options are `device` and `allowed`."""
        return load_pretrained(folder / _HUB_FILE, **options)


def save_pretrained(
    file: Path, model: BaseAlgorithm | DQNPolicy, environment: TrainingEnvironment, card: dict[str, Any]
) -> None:
    """Write an agent's Q-network as safetensors, and its card beside it as JSON.

    The card holds the environment of the training (its arguments, the layer, the fingerprint of the network, the
    videos), and whoever loads the agent gets it from there.

    Args:
        file: `NAME.safetensors`.
        model: The agent, or its policy; its observations and its policy's layers must be flat.
        environment: That it was trained in.
        card: What else is worth knowing, as plain data.

    Raises:
        InputError: If the agent has other observations, a network that a card cannot describe, or weights that are
            not finite.
        OSError: If the disk refuses.
    """
    space, actions = model.observation_space, model.action_space
    policy = model.policy if isinstance(model, BaseAlgorithm) else model
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not isinstance(actions, spaces.Discrete):
        raise InputError(
            "Only an agent with a flat observation can be written as safetensors; this one has another."
        )
    if not isinstance(policy, DQNPolicy):
        raise InputError("Only an agent of dqn can be written as safetensors; keep the zip file of another.")
    record = {
        **environment.record(),
        "observation_length": space.shape[0],
        "net_arch": list(policy.net_arch),
        "actions": int(actions.n),
        **card,
    }
    save_weights(file, policy.q_net.state_dict())
    with replacing_file(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def load_pretrained(
    file: str | Path = PRETRAINED, device: str = "auto", allowed: Collection[str] = ()
) -> PretrainedAgent:
    """Load an agent that `save_pretrained` wrote; nothing in its files is run.

    Args:
        file: `NAME.safetensors`, with its card beside it; or `pretrained`, the one that the package ships.
        device: Where it runs.
        allowed: Names `module:attribute` that the card may hold; see `occlusion_env.naming.check_built_in`.

    Raises:
        InputError: If a file is missing, or is no agent's, or the card names `module:attribute`.
    """
    if str(file) == PRETRAINED:
        with resources.as_file(resources.files("agents") / "weights") as folder:
            shipped = load_pretrained(folder / "agent.safetensors", device, allowed)
        return replace(shipped, name=PRETRAINED, source=PRETRAINED)
    file = Path(file)
    beside = file.with_suffix(".json")
    if not file.is_file():
        raise InputError(f"There is no agent '{file}'; give the file that `export-agent` wrote.")
    if not beside.exists():
        raise InputError(f"There is no card '{beside}' beside the agent; copy it too, or export again.")
    with reading_errors(beside, "the card of an agent", "export it again"):
        card = json.loads(read_text(beside))
        length, count, arch = int(card["observation_length"]), int(card["actions"]), list(card["net_arch"])
        check_layers([length, *arch, count], f"'{beside}': observation_length, net_arch, actions")
        space = spaces.Box(-np.inf, np.inf, (length,), np.float32)
        environment = TrainingEnvironment.from_record(card, beside, allowed)
    policy = DQNPolicy(space, spaces.Discrete(count), lambda _: 0.0, net_arch=arch)
    state = load_weights(file)
    own = policy.q_net.state_dict()
    if state.keys() != own.keys() or any(state[name].shape != own[name].shape for name in own):
        raise InputError(f"The weights in '{file}' are not those of the agent in its card; export it again.")
    policy.q_net.load_state_dict(state)
    policy.to(resolve_device(device))
    policy.set_training_mode(False)
    return PretrainedAgent(file.stem, "dqn", policy, environment, str(file), card)
