"""`tune`: every trial is a run, the search goes on, its file trains, and a missing extra is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agents.dqn.algorithm import load_hyperparameters
from agents.training.request import TrainRequest
from agents.training.runs import RunFolder
from agents.training.tuning import EVALUATIONS, SPACES, STUDY, tune
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


def test_a_trial_below_the_median_is_ended_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    monkeypatch.setattr(
        optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(lower=1e6, n_warmup_steps=50)
    )
    with pytest.raises(InputError, match="All trials in '.*' diverged or were pruned"):
        tune(request(n_timesteps=200), tmp_path, 1)
    with np.load(tmp_path / "dqn" / f"{ORACLE}_1" / "evaluations.npz") as evaluations:
        assert len(evaluations["timesteps"]) == 2 < EVALUATIONS


def test_a_damaged_study_and_wrong_videos_are_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra 'tune'")
    (tmp_path / "study.db").write_text("no database")
    with pytest.raises(InputError, match=r"study.db' cannot be read as a study"):
        tune(request(), tmp_path, 1)
    (tmp_path / "study.db").unlink()
    wrong = TrainRequest(env_kwargs={"targets": "nowhere"}, n_timesteps=10)
    with pytest.raises(InputError, match="'nowhere'"):
        tune(wrong, tmp_path, 1)
    assert "Traceback" not in capfd.readouterr().err
    assert tune(request(), tmp_path, 1).trials == 1, "the failed call is no search"
