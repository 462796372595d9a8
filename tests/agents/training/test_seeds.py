"""`train --seeds N`: a run for each seed, and the later ones after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.dqn.algorithm import SquaredErrorDQN
from agents.training.run import TrainRequest, resume_seeds, train, train_seeds
from agents.training.runs import RunFolder
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"
SMALL = {"n_envs": 4, "learning_starts": 20, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}}


def request(folder: Path, **changed: Any) -> TrainRequest:
    given = {"n_timesteps": 96, "eval_freq": 32, "eval_episodes": 2, "save_freq": 32, "hyperparams": SMALL}
    return TrainRequest(env=ORACLE, log_folder=str(folder), **(given | changed))


def numbers(run: RunFolder) -> bytes:
    return b"".join(each.numpy().tobytes() for each in SquaredErrorDQN.load(run.model).q_net.state_dict().values())


def test_each_seed_is_the_run_that_it_is_alone(tmp_path: Path) -> None:
    runs = train_seeds(request(tmp_path / "all", seed=4, seeds=2))
    assert [run.path.name for run in runs] == [f"{ORACLE}_1", f"{ORACLE}_2"]
    assert [run.arguments()["seed"] for run in runs] == [4, 5]
    assert numbers(runs[1]) == numbers(train(request(tmp_path / "alone", seed=5))) != numbers(runs[0])


def test_a_resumed_run_is_followed_by_the_later_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_seeds(request(tmp_path / "whole", seeds=2))
    trained, updates = SquaredErrorDQN.train, []

    def stop(self: Any, *args: Any, **kwargs: Any) -> None:
        updates.append(self.num_timesteps)
        if len(updates) > 8:
            raise KeyboardInterrupt
        trained(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SquaredErrorDQN, "train", stop)
        train_seeds(request(tmp_path / "cut", seeds=2))
    (cut,) = (tmp_path / "cut" / "dqn").iterdir()
    runs = resume_seeds(cut)
    assert [run.arguments()["seed"] for run in runs] == [0, 1] and runs[0].model.is_file()
    assert numbers(runs[1]) == numbers(whole[1])
    assert runs[1].path == cut.with_name(f"{ORACLE}_2")


def test_a_complete_run_is_followed_by_the_later_seeds(tmp_path: Path) -> None:
    """As where a process was killed between two runs."""
    first, *_ = request(tmp_path, seeds=2).each_seed()
    done = train(first)
    before = done.model.read_bytes()
    runs = resume_seeds(done.path)
    assert [run.arguments()["seed"] for run in runs] == [0, 1] and done.model.read_bytes() == before
    with pytest.raises(InputError, match="is complete"):
        resume_seeds(runs[1].path)


def test_the_command_trains_every_seed_and_sums_them_up(run: Any, tmp_path: Path) -> None:
    words = ("--env", ORACLE, "-n", 64, "--eval-freq", 32, "--eval-episodes", 2, "--n-envs", 4)
    code, out, error = run("train", *words, "--seeds", 3, "--hyperparams", "learning_starts:20")
    assert code == 0, error
    assert [f"seed {seed}," in out for seed in range(4)] == [True, True, True, False]
    folders = " ".join(f"dqn=logs/dqn/{ORACLE}_{number}" for number in (1, 2, 3))
    assert f"occlusion-search plot --run {folders}" in out and f"evaluate --agent {folders} --data" in out
    assert "interquartile mean over trainings and episodes" in " ".join(out.split())


@pytest.mark.parametrize(("seed", "seeds"), [(0, 0), (0, 1001), (2**32 - 1, 2)])
def test_seeds_out_of_range_are_one_sentence(tmp_path: Path, seed: int, seeds: int) -> None:
    with pytest.raises(InputError, match=f"seeds is {seeds} from seed {seed}; give 1 to 1000"):
        train_seeds(request(tmp_path, seed=seed, seeds=seeds))
    assert not list(tmp_path.iterdir())
