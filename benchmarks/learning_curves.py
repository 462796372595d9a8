"""Learning curves of every algorithm, and what four changes of DQN give, on training videos that are held out.

Usage: python benchmarks/learning_curves.py --train DIR [--json FILE]

Trains each algorithm with five seeds and DQN with each change with four, one run after the other; runs are kept
in out/learning_curves, and the same command resumes, also with more seeds. The state is the belief, the walk
begins at the best constant region (`start="prior"`), and the return is 100 times the fall of the score below that
region's. Three of the 18 videos are held out, and every 2,500 steps 40 episodes on them are evaluated. The shipped
prior, which makes the belief, was fitted to all 18.

Named before a change of DQN was trained. Primary: for each change of DQN, the mean return over all evaluations of
a training less that of DQN with the same seed, whose episodes of the evaluation are the same; Student's t over
seeds. A change ships only if its interval lies above 0. Secondary: the same of the last evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import ttest_1samp
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from agents.common.output import check_json_path, claim_folder
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.dqn.algorithm import SquaredErrorDQN, load_hyperparameters
from agents.dqn.replay import states_of
from agents.evaluation.methods import query_methods
from agents.policies.belief import shipped_prior
from agents.policies.loading import training_speed
from agents.training.aggregation import interquartile_mean, read_curve
from agents.training.learning_curves import read_evaluations
from agents.training.request import LOSSES, TrainRequest
from agents.training.run import resume, train
from agents.training.runs import RunFolder
from agents.training.vector_envs import make_env, split_keywords
from occlusion_env import ENV_ID
from occlusion_env.mdp.actions import TRIGGER
from occlusion_env.scene.splits import split_targets
from tracker.data.identity import folder_digests
from tracker.evaluation.intervals import LEVEL

FOLDER = Path("out/learning_curves")

ENVIRONMENT: dict[str, Any] = {
    "observation": "belief", "start": "prior", "reward": "record", "reward_scale": 100.0, "step": 0.5,
    "patches": 1, "history": 0, "max_steps": 19,
}  # fmt: skip
"""That of `stop_ppo` and `stop_dqn` without a price: 19 moves and the start are 20 scorer queries."""

EVERY = 2_500
"""Steps of a training from one evaluation to the next."""

EPISODES = 40
"""Episodes of an evaluation: one of each environment, so that they are the same for all arms with a seed."""

PRIMARY = "mean return over the evaluations of a training"

COMMON: dict[str, Any] = {"n_envs": 32, "gamma": 0.95, "policy_kwargs": {"net_arch": [64, 64]}}


class DuelingNetwork(QNetwork):
    """Values and advantages from separate layers (Wang et al. 2016, eq. 9)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.value = nn.Sequential(*create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn))

    def forward(self, obs: Any) -> Tensor:
        """Q of each action: `[B, ...]` to `[B, A]`."""
        features = self.extract_features(obs, self.features_extractor)
        advantages = self.q_net(features)
        found: Tensor = self.value(features) + advantages - advantages.mean(dim=1, keepdim=True)
        return found


class DuelingPolicy(DQNPolicy):
    """The policy of DQN with a dueling network."""

    def make_q_net(self) -> QNetwork:
        """The network, on the policy's device."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingNetwork(**arguments).to(self.device)


class DuelingDQN(SquaredErrorDQN):
    """DQN with a dueling network."""

    policy_aliases = {"MlpPolicy": DuelingPolicy}


class PrioritisedReplayBuffer(ReplayBuffer):
    """Samples transitions in proportion to their temporal difference to the power `ALPHA` (Schaul et al. 2016)."""

    ALPHA, FLOOR = 0.6, 1e-3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.priorities = np.zeros((self.buffer_size, self.n_envs))
        self.sampled = np.zeros(0, dtype=np.int64)
        self.chances = np.zeros(0)

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Store transitions with the largest priority so far."""
        self.priorities[self.pos] = self.priorities.max() or 1.0
        super().add(*args, **kwargs)

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """Draw transitions; their chances, in units of a uniform draw's, are in `chances`."""
        priorities = self.priorities[: self.size()].ravel()
        sums = priorities.cumsum()
        draws = np.random.uniform(0, sums[-1], batch_size)
        self.sampled = sums.searchsorted(draws).clip(max=len(sums) - 1)
        self.chances = priorities[self.sampled] / priorities.mean()
        rows, columns = np.divmod(self.sampled, self.n_envs)
        ended = self.dones[rows, columns] * (1 - self.timeouts[rows, columns])
        stored = (self.observations, self.actions, self.next_observations)
        observations, actions, following = (self.to_torch(each[rows, columns]) for each in stored)
        rewards = self.to_torch(self.rewards[rows, columns, None])
        return ReplayBufferSamples(observations, actions, following, self.to_torch(ended[:, None]), rewards)

    def update(self, differences: Tensor) -> None:
        """Give the transitions drawn last the priorities of their temporal differences `[B, 1]`."""
        found = differences.detach().abs().flatten().cpu().numpy()
        self.priorities.ravel()[self.sampled] = (found + self.FLOOR) ** self.ALPHA


class PrioritisedDQN(SquaredErrorDQN):
    """DQN with prioritised replay; the exponent of the importance weights rises from 0.4 to 1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"replay_buffer_class": PrioritisedReplayBuffer, **kwargs})

    def loss(self, difference: Tensor) -> Tensor:
        """The mean of weighted squares."""
        buffer = self.replay_buffer
        assert isinstance(buffer, PrioritisedReplayBuffer)
        buffer.update(difference)
        weights = torch.from_numpy(buffer.chances[:, None] ** (0.6 * self._current_progress_remaining - 1)).float()
        return (weights / weights.max() * difference.square()).mean()


def values_of(file: str) -> dict[str, Any]:
    """A shipped hyper-parameter file without its environment, and with `COMMON`."""
    return {name: value for name, value in load_hyperparameters(file).items() if name != "env_kwargs"} | COMMON


DQN = values_of("stop_dqn") | {"buffer_size": 20_000, "td_target": "max"}
_QRDQN = {name: value for name, value in DQN.items() if name != "td_target"}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "DQN": ("dqn", DQN),
    "QR-DQN": ("qrdqn", _QRDQN | {"policy_kwargs": {"net_arch": [64, 64], "n_quantiles": 25}}),
    "PPO": ("ppo", values_of("stop_ppo")),
    "A2C": ("a2c", values_of("a2c") | {"n_steps": 4}),
    "maskable PPO": ("ppo_mask", values_of("stop_ppo")),
    "DQN, double targets": ("dqn", DQN | {"td_target": "double"}),
    "DQN, 3 steps": ("dqn", DQN | {"n_steps": 3}),
    "DQN, dueling": ("dqn", DQN | {"loss": "dueling"}),
    "DQN, prioritised replay": ("dqn", DQN | {"loss": "prioritised"}),
}
"""Algorithm and hyper-parameters of each arm, beside `COMMON`.

DQN and QR-DQN: `stop_dqn` with another size of the replay memory and without double targets. PPO and maskable PPO:
`stop_ppo`. A2C: its own file, with as many transitions in an update as PPO."""

CHANGES = tuple(name for name in ARMS if name.startswith("DQN, "))


@dataclass
class Arguments:
    """What to train.

    Attributes:
        train: The training videos.
        steps: Environment steps of a training.
        seeds: Trainings of an algorithm.
        change_seeds: Trainings of DQN with a change.
        json: Receives the figures; learning_curves.json beside the runs by default.
    """

    train: Path
    steps: int = 20_000
    seeds: int = 5
    change_seeds: int = 4
    json: Path | None = None


def identity(given: Arguments) -> dict[str, Any]:
    """All settings that change a training."""
    settings = {"environment": ENVIRONMENT, "steps": given.steps, "episodes": EPISODES, "arms": ARMS}
    return {"train": folder_digests(given.train), **settings}


def train_arm(name: str, seed: int, given: Arguments) -> RunFolder:
    """The run of an arm with a seed: trained, resumed if it was cut off, or complete already."""
    algo, hyperparameters = ARMS[name]
    folder = FOLDER / name.lower().replace(",", "").replace(" ", "_")
    for run in map(RunFolder.open, sorted((folder / algo).glob(f"{ENV_ID}_*"))):
        if run.arguments()["seed"] == seed:
            return run if run.model.is_file() else resume(run.path)
    request = TrainRequest(
        algo=algo, conf_file=algo, hyperparams=hyperparameters, n_timesteps=given.steps, seed=seed, device="cpu",
        env_kwargs={**ENVIRONMENT, "targets": str(given.train)}, log_folder=str(folder), save_freq=5_000,
        eval_freq=EVERY, eval_episodes=EPISODES, n_eval_envs=EPISODES,
    )  # fmt: skip
    return train(request)


def references(given: Arguments) -> dict[str, dict[str, float]]:
    """Returns of random moves and of the belief with as many queries, in the episodes of the evaluations."""
    _, selection = split_keywords(ENV_ID, {**ENVIRONMENT, "targets": str(given.train), "device": "cpu"}, {})
    env = make_env(ENV_ID, EPISODES, selection)
    moves = [action for action in range(env.action_space.n) if action != TRIGGER]  # type: ignore[attr-defined]
    search = states_of(env).search
    fitted = shipped_prior(search.scorer, search.settings.limits)
    found: dict[str, list[Any]] = {"random moves": []}
    for seed in range(given.seeds):
        env.seed(seed + COMMON["n_envs"])  # as the evaluations of a training
        env.reset()
        start, rng = search.score.copy(), np.random.default_rng(seed)
        for queries in (5, 20):
            belief = query_methods(search.scorer, fitted, queries)["belief"]
            least = belief.run(search, np.arange(EPISODES), rng.spawn(EPISODES)).curve[:, -1]
            found.setdefault(f"belief, {queries} queries", []).append(
                ENVIRONMENT["reward_scale"] * (start - least)
            )
        rewards = [env.step(rng.choice(moves, EPISODES))[1] for _ in range(ENVIRONMENT["max_steps"])]
        found["random moves"].append(np.sum(rewards, axis=0))
    return {
        name: {"iqm": round(float(interquartile_mean(np.ravel(each))), 6), "mean": round(float(np.mean(each)), 6)}
        for name, each in found.items()
    }


def describe_run(run: RunFolder) -> dict[str, Any]:
    """Seed and returns of a training."""
    returns = read_evaluations(run.evaluations)["results"].mean(axis=1)
    return {
        "seed": run.arguments()["seed"], **training_speed(run.path),
        "mean_return": round(float(returns.mean()), 6), "last_return": round(float(returns[-1]), 6),
    }  # fmt: skip


def difference(arm: list[dict[str, Any]], base: list[dict[str, Any]], measure: str) -> dict[str, Any]:
    """The mean over the seeds of both arms of a measure of one less that of the other, with Student's interval."""
    apart = np.array([one[measure] - other[measure] for one, other in zip(arm, base, strict=False)])
    ends = [None, None]  # of one seed
    if len(apart) > 1:
        ends = [round(float(end), 6) for end in ttest_1samp(apart, 0.0).confidence_interval(LEVEL)]
    return {"difference": round(float(apart.mean()), 6), "low": ends[0], "high": ends[1]}


def main(given: Arguments) -> None:
    """Train, and write the figures."""
    check_json_path(given.json)
    check_counts(EVERY, steps=given.steps)
    check_counts(seeds=given.seeds, change_seeds=given.change_seeds)
    split_targets(str(given.train))  # refuses one target alone
    claim_folder(FOLDER, "settings.json", identity(given), "trainings with other settings")
    LOSSES.update(dueling=DuelingDQN, prioritised=PrioritisedDQN)
    runs: dict[str, list[RunFolder]] = {name: [] for name in ARMS}
    for names, seeds in ((set(ARMS) - set(CHANGES), given.seeds), (CHANGES, given.change_seeds)):
        for seed, name in product(range(seeds), sorted(names)):
            runs[name].append(train_arm(name, seed, given))
            print(f"{name}, seed {seed}: trained", flush=True)
    trainings = {name: [describe_run(run) for run in each] for name, each in runs.items()}
    content = {
        "primary": [
            {"contrast": f"{name} less DQN", "measure": PRIMARY, "seeds": min(given.seeds, given.change_seeds),
             **difference(trainings[name], trainings["DQN"], "mean_return")}
            for name in CHANGES
        ],
        "secondary": {
            f"{name} less DQN": {
                measure: difference(trainings[name], trainings["DQN"], measure)
                for measure in ("mean_return", "last_return")
            }
            for name in ARMS if name != "DQN"
        },
        "settings": {"environment": ENVIRONMENT, "common": COMMON, "steps": given.steps, "episodes": EPISODES},
        "arms": {
            name: {"algo": ARMS[name][0], "hyperparameters": ARMS[name][1], "runs": trainings[name],
                   **read_curve(each).record()}
            for name, each in runs.items()
        },
        "references": references(given),
    }  # fmt: skip
    write_result(given.json or FOLDER / "learning_curves.json", "learning_curves", content)


if __name__ == "__main__":
    run_script(main, Arguments)
