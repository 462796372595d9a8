"""Learning curves over seeds: the interquartile mean, its interval, and what is read from run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.training.aggregation import ReturnCurve, bootstrap_interval, interquartile_mean, read_curve
from agents.training.run import TrainRequest, train_seeds
from agents.training.runs import RunFolder
from tracker.data.images import read_image
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"


def written_run(folder: Path, number: int, steps: Any, results: Any) -> RunFolder:
    run = RunFolder(folder / f"x_{number}", "dqn", "x")
    run.parameters.mkdir(parents=True)
    run.write_parameters({}, {"algo": "dqn", "env": "x"}, "")
    np.savez(run.evaluations, timesteps=steps, results=results, ep_lengths=np.ones_like(results))
    return run


def test_the_mean_is_of_the_middle_half_over_trainings_and_episodes(tmp_path: Path) -> None:
    returns = np.array([[[0.0, 8.0, 3.0, 2.0]], [[-9.0, 1.0, 4.0, 99.0]]])
    runs = [written_run(tmp_path, number, [10], each) for number, each in enumerate(returns)]
    curve = read_curve(runs)
    assert curve.iqm.tolist() == [2.5]  # of 1, 2, 3, 4
    assert (curve.trainings, curve.episodes, curve.of) == (2, 4, "evaluation")
    assert np.isnan(curve.low).all(), "two trainings have no interval"
    assert ReturnCurve.from_record(json.loads(json.dumps(curve.record()))).iqm.tolist() == [2.5]


def test_the_interval_is_over_trainings_and_not_over_episodes() -> None:
    """Trainings that differ make it wide, however many episodes each has; episodes that differ do not."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (5, 1, 400))
    levels = np.array([-2.0, -1, 0, 1, 2])[:, None, None]
    apart = np.subtract(*bootstrap_interval(levels + noise, np.random.default_rng(0))[::-1])
    alike = np.subtract(*bootstrap_interval(noise, np.random.default_rng(0))[::-1])
    assert apart[0] > 1.5 and alike[0] < 0.3
    low, high = bootstrap_interval(np.full((3, 2, 4), 0.5), rng)
    assert low.tolist() == high.tolist() == [0.5, 0.5]


def test_the_interval_covers_as_often_as_the_module_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(150):
        low, high = bootstrap_interval(rng.normal(size=(5, 1, 1)) + rng.normal(size=(5, 1, 8)), rng)
        held += bool(low[0] <= 0 <= high[0])
    assert 0.75 < held / 150 < 0.92


def test_rliable_finds_the_same_mean() -> None:
    metrics = pytest.importorskip("rliable.metrics", exc_type=ImportError)
    returns = np.random.default_rng(0).normal(size=(5, 7))
    assert float(interquartile_mean(returns.ravel())) == pytest.approx(metrics.aggregate_iqm(returns))


def test_runs_are_read_at_the_steps_that_all_have(tmp_path: Path) -> None:
    long = written_run(tmp_path, 1, [10, 20, 30], np.arange(6.0).reshape(3, 2))
    cut = written_run(tmp_path, 2, [10, 20], np.ones((2, 2)))
    assert read_curve([long, cut]).steps.tolist() == [10, 20]
    other = written_run(tmp_path, 3, [15], np.ones((1, 2)))
    with pytest.raises(InputError, match=r"x_1', '.*x_3' were evaluated at other steps"):
        read_curve([long, other])
    with pytest.raises(InputError, match="other numbers of episodes"):
        read_curve([long, written_run(tmp_path, 4, [10], np.ones((1, 3)))])


def test_without_evaluations_the_training_episodes_are_drawn(tmp_path: Path) -> None:
    run = written_run(tmp_path, 1, [10], np.ones((1, 2)))
    run.evaluations.unlink()
    rows = [f"{i // 10},2,{i},{2 * (i + 1)}" for i in range(200)]
    (run.path / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0}', "r,l,t,timesteps", *rows]) + "\n")
    curve = read_curve([run])
    assert curve.of == "training" and curve.steps.tolist() == list(range(20, 401, 20)) and curve.episodes == 10
    assert curve.iqm.tolist() == list(range(20))
    (run.path / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0}', "r,l,t,timesteps", *rows[:3]]) + "\n")
    with pytest.raises(InputError, match="too few episodes"):
        read_curve([run])


def test_plot_pools_the_seeds_of_an_arm(run: Any, tmp_path: Path) -> None:
    request = TrainRequest(
        env=ORACLE, n_timesteps=96, eval_freq=32, eval_episodes=2, seeds=3, log_folder=str(tmp_path / "logs"),
        hyperparams={"n_envs": 4, "learning_starts": 20, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}},
    )  # fmt: skip
    first, second, third = (str(each.path) for each in train_seeds(request))
    code, out, error = run(
        "plot", "--run", f"arm={first}", f"arm={second}", f"arm={third}", first, "--json", "p.json"
    )
    assert code == 0, error
    arms = json.loads((tmp_path / "p.json").read_text())["arms"]
    assert list(arms) == ["arm", first] and arms["arm"]["trainings"] == 3 and len(arms["arm"]["interval"]) == 3
    results = np.stack([np.load(Path(each) / "evaluations.npz")["results"] for each in (first, second, third)])
    assert arms["arm"]["iqm"][0] == pytest.approx(np.sort(results[:, 0].ravel())[1:-1].mean(), abs=1e-6)
    assert arms[first]["interval"] is None
    assert read_image(tmp_path / "learning_curves.png").std() > 10
    code, _, error = run("plot", "--run", "nowhere")
    assert code == 2 and "'nowhere' is no folder of a run" in error
