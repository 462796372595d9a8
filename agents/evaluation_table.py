"""An evaluation on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tracker.judging.intervals import format_p

__all__ = ["print_evaluation"]


def print_evaluation(content: dict[str, Any]) -> None:
    """Print what `evaluation_summary.summarise` returned: the methods, the checks, and how the agents act."""
    console = Console(width=max(Console().width, 110))
    count = len(content["sequences"])
    title = f"{content['targets']} targets of {count} sequence{'s' * (count != 1)}, equal area, same patch"
    console.print(_methods(content["methods"], title))
    if content.get("arms"):
        console.print(_methods(content["arms"], "Arms; between seeds: between trainings"))
    for row in content.get("differences", ()):
        ends = row["interval"]
        told = (
            ""
            if ends is None
            else f" ({ends[0]:+.3f} to {ends[1]:+.3f}; Holm-corrected {format_p(row['p_holm'])})"
        )
        console.print(f"closure of {row['of']} less that of {row['less']}: {row['closure']:+.3f}{told}")
    if content["checks"]:
        console.print(_methods(content["checks"], "What should do worse than an agent"))
    if content["agents"]:
        table = Table("agent", title="How the agents act", title_justify="left")
        for heading in ("actions", "trigger pulled", "moves undone", "at the area cap"):
            table.add_column(heading, justify="right")
        for name, row in content["agents"].items():
            shares = (f"{100 * row[key]:.0f} %" for key in ("trigger_rate", "reversal_share", "at_cap"))
            table.add_row(name, f"{row['steps']:.1f}", *shares)
        console.print(table)


def _methods(rows: dict[str, dict[str, Any]], title: str) -> Table:
    table = Table("method", title=title, title_justify="left")
    for heading in ("score", "area", "queries", "closure", "95 % interval", "between seeds", "ms a target"):
        table.add_column(heading, justify="right", no_wrap=True)
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
            "–" if "seconds" not in row else f"{1000 * row['seconds']:.0f}",
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
