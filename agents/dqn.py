"""Deep Q-learning as Algorithm 1 has it, over Stable-Baselines3."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from tracker.errors import InputError

__all__ = ["SquaredErrorDQN", "load_hyperparameters"]


class SquaredErrorDQN(DQN):
    """DQN that minimises the squared error of line 23 of Algorithm 1.

    Stable-Baselines3 minimises the Huber loss, which agrees with half the squared error up to an error of 1 and
    then grows more slowly; with rewards of eta = 3 most of the trigger's errors lie beyond. Everything else is
    Stable-Baselines3's.
    """

    def temporal_difference(self, batch: ReplayBufferSamples) -> Tensor:
        """`y_j - Q(phi_j, a_j; theta)` of lines 18 to 23, with the target network theta^-.

        Args:
            batch: `B` transitions; a terminal one has `dones` 1 and `y_j = r_j`.

        Returns:
            `[B, 1]`; the gradient flows through Q alone.
        """
        with torch.no_grad():
            best = self.q_net_target(batch.next_observations).amax(dim=1, keepdim=True)
            discounts = self.gamma if batch.discounts is None else batch.discounts
            expected = batch.rewards + (1.0 - batch.dones) * discounts * best
        return expected - self.q_net(batch.observations).gather(1, batch.actions.long())

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take gradient steps on mini-batches of the replay memory (lines 17 and 23)."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        assert self.replay_buffer is not None
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            loss = self.temporal_difference(batch).square().mean()
            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))


def load_hyperparameters(name: str, env_id: str = "OcclusionSearch-v0") -> dict[str, Any]:
    """Read a section of a hyper-parameter file in RL Zoo's format.

    Args:
        name: `paper` or `demo`, which the package ships, or the path of a YAML file.
        env_id: The section.

    Returns:
        Arguments of the algorithm, with `n_timesteps` and `policy` among them.

    Raises:
        InputError: If the file or the section is missing, or it is no YAML.

    >>> load_hyperparameters("paper")["learning_rate"]
    1e-06
    """
    shipped = resources.files("agents") / "hyperparams" / f"{name}.yml"
    try:
        text = shipped.read_text() if shipped.is_file() else Path(name).read_text()
        section = yaml.safe_load(text)[env_id]
    except OSError:
        raise InputError(f"'{name}' is no hyper-parameter file; give paper, demo or a YAML file.") from None
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        raise InputError(f"The file '{name}' has no section '{env_id}' in RL Zoo's format.") from None
    return dict(section)
