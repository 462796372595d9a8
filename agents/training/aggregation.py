"""Learning curves over several trainings: interquartile means and bootstrap intervals (Agarwal et al. 2021).

The interquartile mean is over the returns of all trainings and episodes, as rliable computes it. The interval is
over trainings: a training is drawn with all its episodes. (rliable draws trainings for each task separately,
because there each task has its own.) It says how far the curve would move with other seeds. A seed sets the
episodes of the evaluations too: environment i of an evaluation is seeded with the training's seed, plus `n_envs`,
plus i, so that trainings with neighbouring seeds are evaluated on nearly the same episodes.

Simulated coverage of the 95 % intervals, normal returns: 73 % with 3 trainings, 84 % with 5, 90 % with 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from tracker.errors import InputError
from tracker.evaluation.intervals import LEAST_TRAININGS, LEVEL

from ..common.pictures import save
from .learning_curves import read_evaluations, read_monitors
from .runs import RunFolder

Values = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples of an interval."""

_POINTS, _MOST_EPISODES = 20, 100

_STYLES = ("--", ":", "-.", "-")

_SOURCES = {"evaluation": "evaluation on the selection videos", "training": "training episodes"}


@dataclass(frozen=True)
class ReturnCurve:
    """The return of an arm against environment steps.

    Attributes:
        steps: `int64[N]`.
        iqm: `float64[N]`, interquartile mean over trainings and episodes.
        low: `float64[N]`, lower end of its interval; NaN from fewer than `LEAST_TRAININGS` trainings.
        high: `float64[N]`, upper end.
        trainings: Number of trainings.
        episodes: Of each training, at each point.
        source: `evaluation`, without exploration on the selection videos, or `training`.
    """

    steps: NDArray[np.int64]
    iqm: Values
    low: Values
    high: Values
    trainings: int
    episodes: int
    source: str

    def record(self) -> dict[str, Any]:
        """Plain data; `interval` is `None` without one."""
        ends = np.stack([self.low, self.high], axis=1).round(6).tolist() if np.isfinite(self.low).all() else None
        return {
            "steps": self.steps.tolist(), "iqm": self.iqm.round(6).tolist(), "interval": ends,
            "trainings": self.trainings, "episodes": self.episodes, "of": self.source,
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ReturnCurve:
        """Read what `record` gave."""
        iqm = np.array(record["iqm"])
        ends = np.full((len(iqm), 2), np.nan) if record["interval"] is None else np.array(record["interval"])
        counts = record["trainings"], record["episodes"], record["of"]
        return cls(np.array(record["steps"]), iqm, ends[:, 0], ends[:, 1], *counts)


def interquartile_mean(returns: ArrayLike) -> Values:
    """Mean of the middle half of the last axis: `[..., N]` to `float64[...]`.

    >>> float(interquartile_mean([0.0, 1.0, 2.0, 100.0]))
    1.5
    """
    return np.asarray(trim_mean(returns, 0.25, axis=-1))


def bootstrap_interval(returns: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    """Ends of the interval of an interquartile mean over trainings and episodes.

    Args:
        returns: `float64[R, N, E]`: of R trainings at N points, E episodes each.
        rng: Draws the trainings.

    Returns:
        `float64[N]` each; NaN where R is below `LEAST_TRAININGS`.
    """
    count, points, _ = returns.shape
    if count < LEAST_TRAININGS:
        return np.full(points, np.nan), np.full(points, np.nan)
    drawn = rng.integers(count, size=(RESAMPLES, count))
    means = [interquartile_mean(returns[drawn, point].reshape(RESAMPLES, -1)) for point in range(points)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return low, high


def read_curve(runs: Many[RunFolder]) -> ReturnCurve:
    """The return of one or more trainings of an arm.

    It is that of the evaluations on the selection videos, at the steps that all runs have; where a run has none,
    that of the last training episodes up to 20 evenly spaced steps.

    Raises:
        InputError: If a file cannot be read, a run has too few episodes, or the runs have no step in common,
            different numbers of episodes, environments or algorithms.
    """
    if len({(run.env_id, run.algo) for run in runs}) > 1:
        names = ", ".join(f"'{run.path}'" for run in runs)
        raise InputError(
            f"The runs {names} are of other environments or algorithms; plot them as arms of their own."
        )
    evaluated = all(run.evaluations.is_file() for run in runs)
    steps, returns = _evaluations(runs) if evaluated else _training_episodes(runs)
    low, high = bootstrap_interval(returns, np.random.default_rng(0))
    iqm = interquartile_mean(returns.swapaxes(0, 1).reshape(len(steps), -1))
    return ReturnCurve(
        steps, iqm, low, high, len(runs), returns.shape[2], "evaluation" if evaluated else "training"
    )


def _evaluations(runs: Many[RunFolder]) -> tuple[NDArray[np.int64], Values]:
    found = [read_evaluations(run.evaluations) for run in runs]
    steps = reduce(np.intersect1d, [each["timesteps"] for each in found]).astype(np.int64)
    if not len(steps) or len({each["results"].shape[1] for each in found}) > 1:
        names = ", ".join(f"'{run.path}'" for run in runs)
        raise InputError(
            f"The runs {names} were evaluated at other steps or on other numbers of episodes; plot them as arms of"
            " their own."
        )
    return steps, np.stack([each["results"][np.isin(each["timesteps"], steps)] for each in found])


def _training_episodes(runs: Many[RunFolder]) -> tuple[NDArray[np.int64], Values]:
    found = [read_monitors(run.monitors) for run in runs]
    last = min((each["steps"][-1] if len(each["steps"]) else 0) for each in found)
    steps = np.linspace(0, last, _POINTS + 1)[1:].astype(np.int64)
    ended = [np.searchsorted(each["steps"], steps, side="right") for each in found]
    window = min(_MOST_EPISODES, *(int(counts[0]) for counts in ended))
    if window < 1:
        raise InputError(
            f"A run of {', '.join(str(run.path) for run in runs)} has too few episodes; train longer."
        )
    pairs = zip(found, ended, strict=True)
    return steps, np.array([[each["return"][end - window : end] for end in counts] for each, counts in pairs])


def draw_curves(axis: Axes, curves: Mapping[str, ReturnCurve], levels: Mapping[str, float] | None = None) -> None:
    """Draw the return of each arm with its interval, and horizontal lines of methods that learn nothing.

    The legend says what the returns are of where the arms differ in it.
    """
    mixed = len({curve.source for curve in curves.values()}) > 1
    for number, (name, curve) in enumerate(curves.items()):
        source = f", {_SOURCES[curve.source]}" if mixed else ""
        label = f"{name} ({curve.trainings} training{'s' * (curve.trainings > 1)}{source})"
        axis.plot(curve.steps, curve.iqm, ".-", color=f"C{number}", label=label)
        axis.fill_between(curve.steps, curve.low, curve.high, color=f"C{number}", alpha=0.15, linewidth=0)
    for number, (name, level) in enumerate((levels or {}).items()):
        style, width = _STYLES[number % len(_STYLES)], 1.2 * (1 + number // len(_STYLES))
        axis.axhline(level, color="0.35", linestyle=style, linewidth=width, label=name)
    axis.set(xlabel="environment steps", ylabel="return, interquartile mean")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9)


def write_curves(path: Path, curves: Mapping[str, ReturnCurve]) -> None:
    """Draw the arms into a PNG."""
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axis = figure.subplots()
    draw_curves(axis, curves)
    sources = {curve.source for curve in curves.values()}
    title = _SOURCES[sources.pop()] if len(sources) == 1 else "evaluations and training episodes"
    if any(np.isfinite(curve.low).all() for curve in curves.values()):
        title += f"; bands: {LEVEL:.0%} bootstrap over trainings"
    axis.set_title(title, fontsize=11)
    save(figure, path)
