"""Learning curves over seeds: the interquartile mean, its interval, and what is read from run folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from agents.cli.agents.plot import end_names
from agents.training import aggregation
from agents.training.aggregation import (
    ReturnCurve,
    bootstrap_interval,
    draw_curves,
    interquartile_mean,
    read_curve,
    write_curves,
)
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
    assert (curve.trainings, curve.episodes, curve.source) == (2, 4, "evaluation")
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


def test_runs_of_other_algorithms_are_no_arm(tmp_path: Path) -> None:
    runs = [written_run(tmp_path, number, [10], [[1.0, 2.0]]) for number in (1, 2)]
    assert read_curve(runs).trainings == 2
    other = replace(runs[1], algo="ppo")
    with pytest.raises(
        InputError, match="are of other environments or algorithms; plot them as arms of their own"
    ):
        read_curve([runs[0], other])


def test_without_evaluations_the_training_episodes_are_drawn(tmp_path: Path) -> None:
    run = written_run(tmp_path, 1, [10], np.ones((1, 2)))
    run.evaluations.unlink()
    rows = [f"{i // 10},2,{i},{2 * (i + 1)}" for i in range(200)]
    (run.path / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0}', "r,l,t,timesteps", *rows]) + "\n")
    curve = read_curve([run])
    assert curve.source == "training" and curve.steps.tolist() == list(range(20, 401, 20)) and curve.episodes == 10
    assert curve.iqm.tolist() == list(range(20))
    (run.path / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0}', "r,l,t,timesteps", *rows[:3]]) + "\n")
    with pytest.raises(InputError, match="too few episodes"):
        read_curve([run])


@pytest.mark.parametrize("trainings", [1, 3])
def test_the_title_names_bands_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: int
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(aggregation, "save", lambda figure, path: titles.append(figure.axes[0].get_title()))
    runs = [written_run(tmp_path, number, [10], np.ones((1, 2))) for number in range(trainings)]
    write_curves(tmp_path / "x.png", {"x": read_curve(runs)})
    assert ("bands" in titles[0]) == (trainings == 3)


def test_the_legend_says_which_arm_is_of_training_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(aggregation, "save", lambda figure, path: figures.append(figure))
    curve = read_curve([written_run(tmp_path, 1, [10], np.ones((1, 2)))])
    write_curves(tmp_path / "x.png", {"a": curve, "b": replace(curve, source="training")})
    write_curves(tmp_path / "x.png", {"a": curve})
    (mixed,), (alike,) = (figure.axes for figure in figures)
    assert mixed.get_title() == "evaluations and training episodes"
    assert [text.get_text() for text in mixed.get_legend().get_texts()] == [
        "a (1 training, evaluation on the selection videos)", "b (1 training, training episodes)",
    ]  # fmt: skip
    assert alike.get_title() == "evaluation on the selection videos"
    assert [text.get_text() for text in alike.get_legend().get_texts()] == ["a (1 training)"]


def test_every_reference_line_is_drawn_and_looks_its_own(tmp_path: Path) -> None:
    curve = read_curve([written_run(tmp_path, 1, [10], np.ones((1, 2)))])
    axis = Figure().subplots()
    draw_curves(axis, {"a": curve}, {f"level {number}": float(number) for number in range(9)})
    lines = axis.lines[1:]
    assert [(line.get_label(), line.get_ydata()[0]) for line in lines] == [(f"level {n}", n) for n in range(9)]
    assert len({(line.get_linestyle(), line.get_linewidth()) for line in lines}) == 9


def test_the_names_of_runs_are_the_ends_of_their_paths_that_differ() -> None:
    assert end_names(["logs/dqn/x_1", "logs/dqn/x_2/"]) == {"logs/dqn/x_1": "dqn/x_1", "logs/dqn/x_2/": "dqn/x_2"}
    assert list(end_names(["a/logs/dqn/x_1", "b/logs/dqn/x_1"]).values()) == ["a/logs/dqn/x_1", "b/logs/dqn/x_1"]
    assert end_names(["x_1"]) == {"x_1": "x_1"}


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
    assert (
        list(arms) == ["arm", f"dqn/{ORACLE}_1"]
        and arms["arm"]["trainings"] == 3
        and len(arms["arm"]["interval"]) == 3
    )
    results = np.stack([np.load(Path(each) / "evaluations.npz")["results"] for each in (first, second, third)])
    assert arms["arm"]["iqm"][0] == pytest.approx(np.sort(results[:, 0].ravel())[1:-1].mean(), abs=1e-6)
    assert arms[f"dqn/{ORACLE}_1"]["interval"] is None and f"dqn/{ORACLE}_1 " in out
    assert out.count("evaluation") == 2, "what the returns of each arm are of"
    assert read_image(tmp_path / "learning_curves.png").std() > 10
    for words, sentence in (
        ((f"arm={first}", f"arm={first}/"), "is given twice in the arm arm"),
        ((first, f"{first}/"), "is given twice; give it once"),
        ((first, "--out", "y.png", "--json", "./y.png"), "--out and --json are both 'y.png'"),
        ((first, "--out", "y.jpg"), "--out is 'y.jpg'; give FILE.png"),
    ):
        code, _, error = run("plot", "--run", *words)
        assert code == 2 and sentence in error, error
    code, _, error = run("plot", "--run", "nowhere")
    assert code == 2 and "'nowhere' is no folder of a run" in error
