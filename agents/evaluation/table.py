"""Tables of an evaluation, for the terminal and for its page."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from tracker.evaluation.intervals import format_p
from tracker.evaluation.report.page import PageTable

from .methods import BUDGETS


def print_evaluation(content: dict[str, Any]) -> None:
    """Print a summary of `summarise`: the frontier, the checks, and the behaviour of the agents."""
    console = Console(width=max(Console().width, 140))
    for table in (*frontier_tables(content), *arm_tables(content)):
        console.print(_for_terminal(table))
    for sentence in arm_differences(content):
        console.print(sentence)
    for table in (method_table(content), *check_tables(content), *behaviour_tables(content)):
        console.print(_for_terminal(table))


def frontier_tables(content: dict[str, Any]) -> list[PageTable]:
    """Closure by scorer queries and, where there is a constant region, the gain over it."""
    count = len(content["sequences"])
    title = (
        f"Closure by scorer queries: {content['targets']} targets of {count} sequence{'s' * (count != 1)},"
        " equal area cap, same patch; random region 0, grid search 1"
    )
    tables = [_frontier(content["frontier"], content["frontier_intervals"], title)]
    if content["gain_over_constant"]:
        gains = {name: row for name, row in content["gain_over_constant"].items() if name != "constant"}
        title = "Gain over the constant region: closure less that of the best region of the training videos"
        tables.append(_frontier(gains, content["gain_over_constant_intervals"], title, sign=True))
    return tables


def arm_tables(content: dict[str, Any]) -> list[PageTable]:
    """The arms, where there are some."""
    title = "Arms after their last query; between seeds: between trainings"
    return [_methods(content["arms"], title)] if content.get("arms") else []


def arm_differences(content: dict[str, Any]) -> list[str]:
    """A sentence for each difference between two arms."""
    sentences = []
    for row in content.get("differences", ()):
        ends = row["interval"]
        text = f"closure of {row['of']} less that of {row['less']}: {row['closure']:+.3f}"
        if ends is not None:
            text += f" ({ends[0]:+.3f} to {ends[1]:+.3f}; Holm-corrected {format_p(row['p_holm'])})"
        sentences.append(text)
    return sentences


def method_table(content: dict[str, Any]) -> PageTable:
    """All methods after their last query."""
    return _methods(content["methods"], "After the last query")


def check_tables(content: dict[str, Any]) -> list[PageTable]:
    """The leak checks, where there are some."""
    return [_methods(content["checks"], "Leak checks, which should be worse")] if content["checks"] else []


def behaviour_tables(content: dict[str, Any]) -> list[PageTable]:
    """What the agents do, where there are some."""
    if not content["agents"]:
        return []
    headings = ["actions", "trigger pulled", "moves undone", "at the area cap", "closure where it stopped"]
    table = PageTable("Behaviour of the agents", ["agent", *headings])
    for name, row in content["agents"].items():
        shares = (f"{100 * row[key]:.0f} %" for key in ("trigger_rate", "reversal_share", "at_cap"))
        table.rows.append([name, f"{row['steps']:.1f}", *shares, _number(row["last_closure"])])
    return [table]


def sequence_table(content: dict[str, Any]) -> PageTable:
    """The closure of each method on each sequence."""
    methods = [name for name in content["methods"] if name not in ("clean", "random", "grid search")]
    table = PageTable(
        "Closure after the last query, and the mean score of the uncovered targets.",
        ["sequence", "targets", "uncovered", *methods],
    )
    for name, row in content["sequences"].items():
        closures = [_number(row["methods"][method]["closure"]) for method in methods]
        table.rows.append([name, str(row["targets"]), f"{row['clean']:.3f}", *closures])
    return table


def _frontier(rows: dict[str, Any], intervals: dict[str, Any], title: str, sign: bool = False) -> PageTable:
    """One row a method, one column a number of queries; the interval at the last one."""
    table = PageTable(title, ["method", *map(str, BUDGETS), f"95 % interval at {BUDGETS[-1]}"])
    for name, row in rows.items():
        ends = intervals[name][str(BUDGETS[-1])]
        numbers = (_number(row[str(budget)], sign) for budget in BUDGETS)
        interval = "–" if ends is None else f"{_number(ends[0], sign)} to {_number(ends[1], sign)}"
        table.rows.append([name, *numbers, interval])
    return table


def _methods(rows: dict[str, dict[str, Any]], title: str) -> PageTable:
    head = ["method", "score", "area", "queries", "closure", "95 % interval", "between seeds"]
    table = PageTable(title, head)
    for name, row in rows.items():
        interval = row.get("interval")
        table.rows.append([
            name,
            f"{row['score']:.3f}",
            f"{row['area']:.3f}",
            f"{row['queries']:.1f}",
            _number(row.get("closure")),
            "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
            "–" if row.get("spread") is None else f"± {row['spread']:.3f}",
        ])  # fmt: skip
    return table


def _for_terminal(table: PageTable) -> Table:
    first, *numbers = table.head
    columns = (Column(heading, justify="right", no_wrap=True) for heading in numbers)
    shown = Table(Column(first, no_wrap=True), *columns, title=table.caption, title_justify="left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _number(value: float | None, sign: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if sign else ''}.3f}"
