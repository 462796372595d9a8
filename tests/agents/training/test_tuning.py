"""`tune`: every trial is a run, the search goes on, its file trains, and a missing extra is named."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agents.dqn.algorithm import SquaredErrorDQN, load_hyperparameters
from agents.training.request import TrainRequest
from agents.training.runs import RunFolder
from agents.training.tuning import SPACES, STUDY, tune
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"


def request(**changed: Any) -> TrainRequest:
    small = {"n_envs": 4, "policy_kwargs": {"net_arch": [8]}, "buffer_size": 200, "learning_starts": 40}
    given = {"hyperparams": small, "n_timesteps": 100, "eval_episodes": 2}
    return TrainRequest(env=ORACLE, env_kwargs={"max_steps": 5}, **(given | changed))


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"install 'occlusion-search\[tune\]'"):
        tune(request(), tmp_path / "out", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("algo", SPACES)
def test_the_file_of_the_best_trial_trains(tmp_path: Path, algo: str) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    hyperparams = request().hyperparams if algo in ("dqn", "qrdqn") else {}
    hyperparams |= {"policy_kwargs": {"n_quantiles": 5}} if algo == "qrdqn" else {}
    lines: list[str] = []
    asked = request(algo=algo, hyperparams=hyperparams | {"n_envs": 4}, device="cpu")
    found = tune(asked, tmp_path, 2, done=lines.append)
    values = []
    for number in (1, 2):
        run = RunFolder.open(tmp_path / algo / f"{ORACLE}_{number}")
        with np.load(run.evaluations) as evaluations:
            assert len(evaluations["timesteps"]) >= 1 and evaluations["timesteps"][-1] <= 100 + 64 * 4
            values.append(evaluations["results"][-1].mean())
    assert found.value == pytest.approx(max(values)) and len(lines) == found.trials == 2
    best = RunFolder.open(tmp_path / algo / f"{ORACLE}_{1 + int(np.argmax(values))}").config()
    again = TrainRequest(algo=algo, env=ORACLE, conf_file=str(found.file)).resolve()
    written = load_hyperparameters(str(found.file), ORACLE)
    whole = load_hyperparameters(algo, ORACLE)["n_timesteps"]
    expected = best | {"env_kwargs": {"max_steps": 5}, "n_timesteps": whole}
    assert {name: written[name] for name in best} == expected
    assert (
        found.steps == 100
        and again.n_timesteps == whole != 100
        and again.arguments()["gamma"] == found.sampled["gamma"]
    )
    assert "td_target" not in yaml.safe_load(found.file.read_text())[ORACLE], "RL Zoo does not know it"


def test_the_same_call_goes_on_and_draws_other_values(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    tune(request(), tmp_path, 1)
    lines: list[str] = []
    assert tune(request(), tmp_path, 3, done=lines.append).trials == len(lines) + 1 == 3
    tune(request(), tmp_path, 3, done=lines.append)
    study = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert len({trial.params["learning_rate"] for trial in study.trials}) == len(study.trials) == 3
    best = (tmp_path / "best.yml").read_text()
    with pytest.raises(InputError, match=r"holds a search with other settings \(seed was 0 and is 1\)"):
        tune(request(seed=1), tmp_path, 3)
    with pytest.raises(InputError, match=r'settings \(algo was "dqn" and is "ppo"\)'):
        tune(request(algo="ppo", hyperparams={}), tmp_path, 3)
    assert (tmp_path / "best.yml").read_text() == best


def test_a_search_goes_on_with_the_videos_that_it_began_with(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    tune(request(n_timesteps=40), tmp_path, 1)
    first = RunFolder.open(tmp_path / "dqn" / f"{ORACLE}_1")
    record = first.environment()
    assert record is not None
    first.write_environment(record | {"videos": {"other": "0" * 64}})
    with pytest.raises(InputError, match="began with videos .*other.* and would go on with"):
        tune(request(n_timesteps=40), tmp_path, 2)


def script_evaluations(monkeypatch: pytest.MonkeyPatch, trials: list[list[float]]) -> None:
    """Let the evaluations of each trial have these returns."""
    left: dict[Any, list[float]] = {}

    def evaluate(model: Any, env: Any, n_eval_episodes: int, **_: Any) -> tuple[list[float], list[int]]:
        if model not in left:
            left[model] = list(trials[len(left)])
        return [left[model].pop(0)] * n_eval_episodes, [1] * n_eval_episodes

    monkeypatch.setattr("stable_baselines3.common.callbacks.evaluate_policy", evaluate)


@pytest.mark.parametrize(("n_envs", "evaluations"), [(4, 5), (25, 4)])
def test_the_pruner_compares_a_trials_best_with_the_median_from_the_second_evaluation_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_envs: int, evaluations: int
) -> None:
    """A fifth of 100 steps is a multiple of 4 environments, and less than a step of 25."""
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    complete = [[float(value)] * evaluations for value in (1, 2, 3, 4, 5)]
    recovering = [0.0, 3.5] + [0.0] * (evaluations - 2)  # its best is above the median of 3, its last is not
    low, late = [0.0] * evaluations, [9.0] * evaluations
    script_evaluations(monkeypatch, [*complete, recovering, low, late])
    for name in ("draw_learning_curves", "write_training_page"):  # for speed
        monkeypatch.setattr(f"agents.training.run.{name}", lambda *_: None)
    small = request().hyperparams | {"n_envs": n_envs, "learning_starts": 1000}
    lines: list[str] = []
    found = tune(request(hyperparams=small), tmp_path, 8, done=lines.append)
    ends = [line.partition(": ")[2].partition(";")[0] for line in lines]
    assert ends == [f"return {value}.000" for value in (1, 2, 3, 4, 5, 0)] + ["pruned", "return 9.000"]
    assert (found.trials, found.pruned, found.diverged, found.value) == (7, 1, 0, 9.0)
    counts = []
    for number in range(1, 9):
        with np.load(tmp_path / "dqn" / f"{ORACLE}_{number}" / "evaluations.npz") as written:
            counts.append(len(written["timesteps"]))
    assert counts == [evaluations] * 6 + [2, evaluations]


def test_a_trial_that_diverges_is_told_from_one_that_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    trained, first = SquaredErrorDQN.train, list[Any]()

    def diverge(self: Any, *args: Any, **kwargs: Any) -> None:
        trained(self, *args, **kwargs)
        first.append(self)
        if self is first[0]:
            next(self.q_net.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(SquaredErrorDQN, "train", diverge)
    lines: list[str] = []
    with pytest.raises(InputError, match="All 1 trials in '.*' diverged; give more --trials"):
        tune(request(), tmp_path, 1, done=lines.append)
    found = tune(request(), tmp_path, 2, done=lines.append)
    assert [line.split()[2].strip(";") for line in lines] == ["diverged", "return"]
    assert (found.trials, found.pruned, found.diverged) == (1, 0, 1)


def test_an_error_of_the_environment_ends_the_search_and_is_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise InputError("The scorer returned NaN.")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="The scorer returned NaN"):
        patch.setattr(SquaredErrorDQN, "train", fail)
        tune(request(), tmp_path, 1)
    assert tune(request(), tmp_path, 1).trials == 1


def test_the_next_command_trains_as_the_search_did(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tuned_reward.py").write_text("from occlusion_env.mdp.rewards import DifferenceReward as Mine\n")
    (tmp_path / "own.yml").write_text(f"{ORACLE}: {{n_envs: 4, learning_starts: 40, buffer_size: 200}}\n")
    code, out, error = run(
        "tune", "--env", ORACLE, "-n", 64, "--trials", 1, "--conf-file", "own.yml", "--eval-episodes", 2,
        "--env-kwargs", "reward:tuned_reward:Mine", "max_steps:5", "--out", "my search",
    )  # fmt: skip
    assert code == 0 and "(0 were pruned, 0 diverged)" in " ".join(out.split()), error
    program, *words = shlex.split(out.splitlines()[-1])
    assert program == "occlusion-search" and words[-2:] == ["--seeds", "5"]
    code, out, error = run(*words[:-2], "-n", 8, "--eval-freq", -1)
    assert code == 0, error
    config = RunFolder.open(tmp_path / "logs" / "dqn" / f"{ORACLE}_1").config()
    assert config["env_kwargs"] == {"reward": "tuned_reward:Mine", "max_steps": 5}


def test_a_damaged_study_and_wrong_videos_are_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    (tmp_path / "study.db").write_text("no database")
    with pytest.raises(InputError, match=r"study.db' cannot be read as a study"):
        tune(request(), tmp_path, 1)
    (tmp_path / "study.db").unlink()
    before = sorted(tmp_path.iterdir())
    for wrong, name in (({"env_kwargs": {"targets": "nowhere"}}, "nowhere"), ({"env": "Foo-v0"}, "Foo-v0")):
        with pytest.raises(InputError, match=f"'{name}'"):
            tune(TrainRequest(**wrong, n_timesteps=10), tmp_path, 1)
        assert sorted(tmp_path.iterdir()) == before, "no study, no run"
    assert "Traceback" not in capfd.readouterr().err
    assert tune(request(), tmp_path, 1).trials == 1, "the failed call is no search"
