"""Callbacks of a training run: checkpoints and evaluations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from tracker.errors import InputError
from tracker.evaluation.running import weights_digest
from tracker.files import replacing_file
from tracker.models.backbones import check_finite
from tracker.records import warn_of_damage, write_record

from .learning_curves import read_evaluations
from .request import TrainRequest
from .runs import Checkpoint, RunFolder, is_archive


class Checkpoints(BaseCallback):
    """Writes a checkpoint every so many steps, and then removes the replay memory of the one before.

    Args:
        run: The run's folder.
        every: Environment steps.
    """

    def __init__(self, run: RunFolder, every: int) -> None:
        super().__init__()
        self.run = run
        self.every = every
        self._next = 0

    def _on_training_start(self) -> None:
        self._next = (self.num_timesteps // self.every + 1) * self.every

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = (self.num_timesteps // self.every + 1) * self.every
            self.write()
        return True

    def write(self) -> None:
        """Write one, the model last.

        Raises:
            Diverged: If the agent has diverged; the checkpoint before stays.
        """
        check_trained(self.model, self.run.path)
        checkpoint = Checkpoint(self.run.path, self.num_timesteps)
        if isinstance(self.model, OffPolicyAlgorithm):
            write_whole(self.model.save_replay_buffer, checkpoint.replay_buffer)
            write_record(checkpoint.note, {"digest": weights_digest(checkpoint.replay_buffer)})
        write_whole(self.model.save, checkpoint.model)
        for older in self.run.checkpoints():
            if older.steps != checkpoint.steps:
                older.replay_buffer.unlink(missing_ok=True)
                older.note.unlink(missing_ok=True)


class Diverged(InputError):
    """A training whose agent has weights that are not finite.

    Attributes:
        folder: That of the run.
    """

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


def check_trained(model: BaseAlgorithm, folder: Path) -> None:
    """Refuse to write an agent that has diverged into the folder of its run."""
    what = f"The training of '{folder}' has diverged and its agent is not written"
    try:
        check_finite(model.policy.state_dict(), what, "give a lower learning rate")
    except InputError as error:
        raise Diverged(str(error), folder) from None


def write_whole(write: Callable[[Any], None], path: Path) -> None:
    """Write a file with a function that takes an open file; the file is complete or not there."""
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        write(file)


def make_evaluations(
    request: TrainRequest, run: RunFolder, env: VecEnv, steps: int, after: BaseCallback | None = None
) -> EvalCallback:
    """Make the callback that evaluates the agent on the selection videos and keeps the best model.

    Args:
        request: A resolved request.
        run: The run's folder; of a resumed run the earlier evaluations and their schedule are kept.
        env: The environments of the evaluation.
        steps: Environment steps that the run took before.
        after: Called after each evaluation.
    """
    kind: type[EvalCallback] = EvalCallback
    if request.algo == "ppo_mask":
        from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback

        kind = MaskableEvalCallback
    assert request.n_envs is not None
    callback = _selection(kind, request.seed + request.n_envs, run.path)(
        env, callback_after_eval=after, best_model_save_path=str(run.path), log_path=str(run.path), verbose=0,
        eval_freq=max(request.eval_freq // request.n_envs, 1), n_eval_episodes=request.eval_episodes,
    )  # fmt: skip
    callback.n_calls = steps // request.n_envs
    if steps and run.evaluations.is_file():
        _restore_evaluations(callback, run, steps)
    return callback


def _restore_evaluations(callback: EvalCallback, run: RunFolder, steps: int) -> None:
    """Give a callback the evaluations of a run up to a step; a damaged file of them is deleted with a warning."""
    if not is_archive(run.evaluations):
        warn_of_damage(run.evaluations, "the evaluations start anew")
        run.evaluations.unlink()
        return
    found = read_evaluations(run.evaluations)
    kept = found["timesteps"] <= steps
    callback.evaluations_timesteps = found["timesteps"][kept].tolist()
    callback.evaluations_results = found["results"][kept].tolist()
    callback.evaluations_length = found["ep_lengths"][kept].tolist()
    if not kept.any():
        return
    if is_archive(run.best_model):
        callback.best_mean_reward = float(np.mean(callback.evaluations_results, axis=1).max())
    else:
        warn_of_damage(run.best_model, "the best agent of the evaluations to come replaces it")


def _selection(kind: type[EvalCallback], seed: int, folder: Path) -> type[EvalCallback]:
    """The callback with the same episodes in every evaluation, and with files that are complete or not there."""
    unfinished = folder / ".evaluation"

    class Selection(kind):  # type: ignore[misc, valid-type]
        def _on_step(self) -> bool:
            if self.n_calls % self.eval_freq:
                return True
            check_trained(self.model, folder)
            self.eval_env.seed(seed)
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
            unfinished.mkdir()
            self.best_model_save_path, self.log_path = str(unfinished), str(unfinished / "evaluations")
            try:
                goes_on = super()._on_step()
                for file in sorted(unfinished.iterdir()):
                    with replacing_file(folder / file.name) as temporary:
                        file.replace(temporary)
            finally:
                shutil.rmtree(unfinished)
            return goes_on

    return Selection
