"""Tables of an evaluation on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from tracker.evaluation.intervals import format_p

from .methods import BUDGETS


def print_evaluation(content: dict[str, Any]) -> None:
    """Print a summary of `summarise`: the frontier, the checks, and the behaviour of the agents."""
    console = Console(width=max(Console().width, 140))
    count = len(content["sequences"])
    title = (
        f"Closure by scorer queries: {content['targets']} targets of {count} sequence{'s' * (count != 1)},"
        " equal area cap, same patch; random region 0, grid search 1"
    )
    console.print(_frontier(content["frontier"], content["frontier_intervals"], title))
    if content["gain_over_constant"]:
        gains = {name: row for name, row in content["gain_over_constant"].items() if name != "constant"}
        title = "Gain over the constant region: closure less that of the best region of the training videos"
        console.print(_frontier(gains, content["gain_over_constant_intervals"], title, sign=True))
    if content.get("arms"):
        console.print(_methods(content["arms"], "Arms after their last query; between seeds: between trainings"))
    for row in content.get("differences", ()):
        ends = row["interval"]
        text = f"closure of {row['of']} less that of {row['less']}: {row['closure']:+.3f}"
        if ends is not None:
            text += f" ({ends[0]:+.3f} to {ends[1]:+.3f}; Holm-corrected {format_p(row['p_holm'])})"
        console.print(text)
    console.print(_methods(content["methods"], "After the last query"))
    if content["checks"]:
        console.print(_methods(content["checks"], "Leak checks, which should be worse"))
    if content["agents"]:
        headings = ("actions", "trigger pulled", "moves undone", "at the area cap", "closure where it stopped")
        table = _table("Behaviour of the agents", "agent", *headings)
        for name, row in content["agents"].items():
            shares = (f"{100 * row[key]:.0f} %" for key in ("trigger_rate", "reversal_share", "at_cap"))
            table.add_row(name, f"{row['steps']:.1f}", *shares, _number(row["last_closure"]))
        console.print(table)


def _frontier(rows: dict[str, Any], intervals: dict[str, Any], title: str, sign: bool = False) -> Table:
    """One row a method, one column a number of queries; the interval at the last one."""
    table = _table(title, "method", *map(str, BUDGETS), f"95 % interval at {BUDGETS[-1]}")
    for name, row in rows.items():
        ends = intervals[name][str(BUDGETS[-1])]
        table.add_row(
            name,
            *(_number(row[str(budget)], sign) for budget in BUDGETS),
            "–" if ends is None else f"{_number(ends[0], sign)} to {_number(ends[1], sign)}",
        )
    return table


def _methods(rows: dict[str, dict[str, Any]], title: str) -> Table:
    table = _table(title, "method", "score", "area", "queries", "closure", "95 % interval", "between seeds")
    for name, row in rows.items():
        interval = row.get("interval")
        table.add_row(
            name,
            f"{row['score']:.3f}",
            f"{row['area']:.3f}",
            f"{row['queries']:.1f}",
            _number(row.get("closure")),
            "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
            "–" if row.get("spread") is None else f"± {row['spread']:.3f}",
        )
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    columns = (Column(heading, justify="right", no_wrap=True) for heading in numbers)
    return Table(Column(first, no_wrap=True), *columns, title=title, title_justify="left")


def _number(value: float | None, sign: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if sign else ''}.3f}"
