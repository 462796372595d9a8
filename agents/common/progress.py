"""The progress bar of an agent's training."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm


class TrainingProgress(BaseCallback):
    """A bar in environment steps, with the time that is left, on the standard error."""

    def _on_training_start(self) -> None:
        total = self.locals["total_timesteps"] - self.model.num_timesteps
        self._bar = tqdm(total=total, desc="training", unit="step")

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()
