"""RL Zoo's command line: search hyper-parameters of PPO with Optuna, train with the best ones, and play the run.

Usage: python examples/libraries/rl_zoo_optimise.py [--trials 6]    (pip install rl_zoo3)
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import optuna
import tyro
from returns import ENV_ID, print_returns

import agents
from agents.policies.loading import load_policy
from agents.training.runs import RunFolder

HYPERPARAMETERS = Path(agents.__file__).parent / "hyperparams" / "ppo.yml"


@dataclass
class Settings:
    """Settings of the search and of the training.

    Attributes:
        trials: Number of trainings of the search.
        trial_steps: Environment steps of each.
        steps: Environment steps of the training with the best hyper-parameters.
        out: Folder of the study and the runs.
        episodes: Episodes of the evaluation.
        seed: Seed of the search and the training.
    """

    trials: int = 6
    trial_steps: int = 8192
    steps: int = 40_000
    out: Path = Path("out/rl_zoo")
    episodes: int = 100
    seed: int = 0


def zoo(settings: Settings, *arguments: object) -> None:
    """Run RL Zoo's `train`. The discount of the reward's potential is 1, as RL Zoo searches between .97 and 1."""
    command = [
        *(sys.executable, "-m", "rl_zoo3.train", "--gym-packages", "occlusion_env"),
        *("--algo", "ppo", "--env", ENV_ID, "-conf", HYPERPARAMETERS, "-f", settings.out, "--seed", settings.seed),
        *("--env-kwargs", "gamma:1.0", "--eval-freq", -1, "--device", "cpu", "--verbose", 0),
        *("--storage", settings.out / "study.log", "--study-name", "ppo", *arguments),
    ]
    subprocess.run(list(map(str, command)), check=True)


def best_trial(settings: Settings) -> int:
    """The number of the study's best trial, counted from its end.

    RL Zoo indexes a list with `--trial-id` and takes 0 for no trial; from the end no trial has the number 0.
    """
    backend = optuna.storages.journal.JournalFileBackend(str(settings.out / "study.log"))
    study = optuna.load_study(storage=optuna.storages.JournalStorage(backend), study_name="ppo")
    print(
        f"best of {len(study.trials)} trials: {study.best_trial.number}, return {study.best_value:+.2f}",
        flush=True,
    )
    return study.best_trial.number - len(study.trials)


def main(settings: Settings) -> None:
    """Search, train, and compare the best actions with random ones and hill climbing."""
    zoo(settings, "-optimize", "--n-trials", settings.trials, "-n", settings.trial_steps, "--n-evaluations", 2,
        "--n-startup-trials", 3, "--no-optim-plots")  # fmt: skip
    zoo(settings, "--trial-id", best_trial(settings), "-n", settings.steps)
    agent = load_policy(RunFolder.find(settings.out, "ppo", ENV_ID).path, device="cpu").policy
    print_returns(
        "RL Zoo PPO", lambda observations: agent.predict(observations, deterministic=True)[0], settings.episodes
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
