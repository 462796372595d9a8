"""`train --seeds N`: a run for each seed, and the later ones after a resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.dqn.algorithm import SquaredErrorDQN
from agents.training.learning_curves import read_monitors
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


def interrupt(patch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt the training at an update."""
    trained, updates = SquaredErrorDQN.train, []

    def stop(self: Any, *args: Any, **kwargs: Any) -> None:
        updates.append(self.num_timesteps)
        if len(updates) > after:
            raise KeyboardInterrupt
        trained(self, *args, **kwargs)

    patch.setattr(SquaredErrorDQN, "train", stop)


def test_a_resumed_run_is_followed_by_the_later_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_seeds(request(tmp_path / "whole", seeds=2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, after=8)
        train_seeds(request(tmp_path / "cut", seeds=2))
    (cut,) = (tmp_path / "cut" / "dqn").iterdir()
    runs = resume_seeds(cut)
    assert [run.arguments()["seed"] for run in runs] == [0, 1] and runs[0].model.is_file()
    assert numbers(runs[1]) == numbers(whole[1])
    assert runs[1].path == cut.with_name(f"{ORACLE}_2")


@pytest.mark.parametrize("resumed", [1, 2])
def test_a_series_that_was_cut_off_is_found_from_any_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumed: int
) -> None:
    train(request(tmp_path))  # of no series
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, after=27)  # an update for every 4 steps from 20 on: in the second of three
        train_seeds(request(tmp_path, seeds=3))
    folder = tmp_path / "dqn"
    folders = [folder / f"{ORACLE}_{number}" for number in (2, 3, 4)]
    assert [path.is_dir() for path in folders] == [True, True, False]
    runs = resume_seeds(folders[resumed - 1])
    assert [run.path for run in runs] == folders and all(run.model.is_file() for run in runs)
    assert [run.arguments()["seed"] for run in runs] == [0, 1, 2]
    for path in folders:
        with pytest.raises(InputError, match="is complete"):
            resume_seeds(path)
    assert len(list(folder.iterdir())) == 4


def remove_agents(run: RunFolder) -> None:
    """Leave what a run has that was killed before its first checkpoint."""
    for file in {*run.path.glob("*.zip"), *run.path.glob("rl_model_*")}:
        file.unlink()


@pytest.mark.parametrize(("resumed", "save_freq"), [(0, 32), (1, -1)])
def test_a_run_without_a_checkpoint_begins_anew_in_its_folder(
    tmp_path: Path, resumed: int, save_freq: int
) -> None:
    runs = train_seeds(request(tmp_path, seeds=2, save_freq=save_freq))
    agents = [numbers(run) for run in runs]
    episodes = [read_monitors(run.monitors)["return"].tolist() for run in runs]
    remove_agents(runs[1])
    again = resume_seeds(runs[resumed].path)
    assert [run.path for run in again] == [run.path for run in runs] and [numbers(run) for run in again] == agents
    assert [read_monitors(run.monitors)["return"].tolist() for run in again] == episodes
    remove_agents(runs[0])
    assert [run.path for run in resume_seeds(runs[0].path)] == [run.path for run in runs]
    assert numbers(runs[0]) == agents[0] and len(list((tmp_path / "dqn").iterdir())) == 2
    with pytest.raises(InputError, match="is complete"):
        resume_seeds(runs[resumed].path)


def test_a_single_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    run = train(request(tmp_path))
    agent = numbers(run)
    remove_agents(run)
    assert numbers(resume_seeds(run.path)[0]) == agent


def test_of_two_runs_with_a_seed_the_complete_one_counts(tmp_path: Path) -> None:
    """An earlier version trained a later seed without a checkpoint in a new folder."""
    first, second = train_seeds(request(tmp_path, seeds=2))
    shutil.copytree(second.path, second.path.with_name(f"{ORACLE}_3"))
    remove_agents(second)
    with pytest.raises(InputError, match="is complete"):
        resume_seeds(first.path)


@pytest.mark.parametrize(("folder", "path", "log_folder"), [
    (".", f"logs/dqn/{ORACLE}_1", "logs"), ("logs", f"dqn/{ORACLE}_1", "."), ("logs/dqn", f"{ORACLE}_1", ".."),
    (f"logs/dqn/{ORACLE}_1", f"../{ORACLE}_1", "../.."), (f"logs/dqn/{ORACLE}_1", ".", None),
    (f"logs/dqn/{ORACLE}_1/{ORACLE}", "..", None),
])  # fmt: skip
def test_later_seeds_lie_beside_the_first_by_whatever_path_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, path: str, log_folder: str | None
) -> None:
    first, *_ = request(tmp_path / "logs", seeds=2, n_timesteps=16, eval_freq=-1).each_seed()
    train(first)
    monkeypatch.chdir(tmp_path / folder)
    runs = resume_seeds(Path(path))
    assert sorted(each.name for each in (tmp_path / "logs").iterdir()) == ["dqn"]
    assert [each.path.resolve().name for each in runs] == [f"{ORACLE}_1", f"{ORACLE}_2"]
    found = sorted(each.name for each in (tmp_path / "logs" / "dqn").iterdir())
    assert found == [f"{ORACLE}_1", f"{ORACLE}_2"]
    assert runs[1].arguments()["log_folder"] == (log_folder or str(tmp_path / "logs"))


def test_later_seeds_take_the_recorded_hyperparameters_and_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own.yml"
    file.write_text(f"{ORACLE}: {{n_envs: 4, learning_starts: 8, gamma: 0.7}}\n")
    first, *_ = request(tmp_path, conf_file="own.yml", hyperparams={}, n_timesteps=16, seeds=2).each_seed()
    run = train(first)
    file.unlink()
    record = run.environment()
    assert record is not None
    run.write_environment(record | {"videos": {"other": "0123"}})
    with pytest.raises(InputError, match="began with videos {'other': '0123'}"):
        resume_seeds(run.path)
    run.write_environment(record)
    _, second = resume_seeds(run.path)
    assert second.config() == run.config() and second.config()["gamma"] == 0.7


def test_a_seed_that_diverges_does_not_keep_the_later_ones_from_being_trained(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, diverging = SquaredErrorDQN.train, {0, 2}

    def diverge(self: Any, *args: Any, **kwargs: Any) -> None:
        trained(self, *args, **kwargs)
        if self.seed % 32 in diverging:  # a resumed run adds its steps to its seed
            next(self.q_net.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(SquaredErrorDQN, "train", diverge)
    first, third = (f"'logs/dqn/{ORACLE}_{number}'" for number in (1, 3))
    words = ("--env", ORACLE, "-n", 96, "--eval-freq", -1, "--save-freq", 32, "--n-envs", 4, "--seeds", 4)
    code, _, error = run("train", *words, "--hyperparams", "learning_starts:20", "batch_size:8")
    said = f"trainings diverged, so that no agent is written in {first}, {third}; give a lower learning rate."
    assert code == 2 and f"2 of 4 {said}" in error
    runs = [RunFolder.open(tmp_path / "logs" / "dqn" / f"{ORACLE}_{number}") for number in (1, 2, 3, 4)]
    assert [each.model.is_file() for each in runs] == [False, True, False, True]
    assert [each.arguments()["series"] for each in runs] == [None, *[f"{ORACLE}_1"] * 3]
    code, _, error = run("train", "--resume", f"logs/dqn/{ORACLE}_1")
    assert code == 2 and f"2 of 2 {said}" in error
    diverging.remove(0)
    code, _, error = run("train", "--resume", f"logs/dqn/{ORACLE}_1")
    assert code == 2 and f"1 of 2 trainings diverged, so that no agent is written in {third};" in error
    code, _, error = run("train", "--resume", f"logs/dqn/{ORACLE}_3")
    assert code == 2 and f"The training of {third} has diverged and its agent is not written" in error
    diverging.clear()
    code, out, error = run("train", "--resume", f"logs/dqn/{ORACLE}_1")
    assert code == 0 and all(each.model.is_file() for each in runs), error
    assert len(list((tmp_path / "logs" / "dqn").iterdir())) == 4


def test_a_link_leads_to_the_series_and_a_copy_is_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, after=27)  # in the second of three
        train_seeds(request(tmp_path / "logs", seeds=3))
    folders = [tmp_path / "logs" / "dqn" / f"{ORACLE}_{number}" for number in (1, 2, 3)]
    shutil.copytree(folders[1], copy := folders[1].with_name(f"{ORACLE}_2_backup"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folders[0])
    runs = resume_seeds(Path("link"))
    assert [run.path for run in runs] == folders and all(run.model.is_file() for run in runs)
    assert not RunFolder.open(copy).model.is_file() and not (tmp_path / "dqn").exists()


def test_a_complete_run_is_followed_by_the_later_seeds(tmp_path: Path) -> None:
    """As where a process was killed between two runs."""
    first, *_ = request(tmp_path, seeds=2).each_seed()
    done = train(first)
    before = done.model.read_bytes()
    runs = resume_seeds(done.path)
    assert [run.arguments()["seed"] for run in runs] == [0, 1] and done.model.read_bytes() == before


def test_resume_refuses_seeds(run: Any) -> None:
    code, _, error = run("train", "--resume", "logs/dqn/x_1", "--seeds", 3)
    assert code == 2 and "--resume takes the seeds that its run was started with" in error


def test_a_plot_without_episodes_is_not_suggested(run: Any) -> None:
    words = ("--env", ORACLE, "-n", 8, "--eval-freq", -1, "--n-envs", 4)
    code, out, error = run("train", *words)
    assert code == 0 and "evaluate --agent" in out and "occlusion-search plot" not in out, error
    code, _, error = run("train", "--resume", f"logs/dqn/{ORACLE}_1")
    assert code == 2 and "is complete" in error, "though it has no checkpoint"


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
