"""The ladder as one HTML page, its pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.evaluation.intervals import LEAST_TARGETS, Interval, format_p
from tracker.evaluation.report.page import PageTable, Picture, render_page
from tracker.files import replacing_file

from .arms import ARMS, choose_arms
from .pictures import draw_differences, draw_examples, draw_sweep, draw_training, is_significant
from .settings import PRIMARY_CONTRASTS, PRIMARY_MEASURE, LadderRun
from .summary import BASELINES

PAGE = "report.html"

_COLUMNS = {
    "sweep, 0%": "uncovered", "sweep, seen": "seen occluders", "sweep, unseen": "unseen occluders",
    PRIMARY_MEASURE: "unseen, 30 to 50 %", "auc, all": "AUC", "auc, OCC": "AUC, OCC",
    "auc, tre": "AUC, OCC, 20 starts",
    "auc, not OCC": "AUC, not OCC", "auc, MB": "AUC, MB", "auc, not MB": "AUC, not MB",
    "precision, all": "precision", "auc, tre, all": "AUC, 20 starts",
    "auc, OTB-50": "AUC, OTB-50", "auc, OTB-100": "AUC, OTB-100", "auc, tre, OTB-100": "AUC, OTB-100, 20 starts",
    "auc, VOT-2014": "AUC, VOT-2014",
}  # fmt: skip


def write_ladder_report(run: LadderRun, content: Mapping[str, Any], command: str) -> Path:
    """Draw the pictures of the figures of `summarise_ladder`, and write the page; returns its file."""
    folder = run.out / "pictures"
    folder.mkdir(exist_ok=True)
    arms = [arm for arm in choose_arms(run.only) if arm.name in content["arms"]]
    baselines = [name for name in BASELINES if name in content["arms"]]
    draw_training(folder / "training.png", content)
    draw_examples(folder / "examples.png", run, arms)
    for name in baselines:
        draw_differences(folder / f"less-{name}.png", content, name)
    titles = {name: arm["title"] for name, arm in content["arms"].items()}
    shown = {
        "training": ("training.png", "The matcher on videos that choose nothing here, before and after training."),
        "examples": ("examples.png", "Targets of second frames in each arm's training."),
        **{
            f"less-{name}": (f"less-{name}.png", f"Each arm less '{titles[name]}', with its interval.")
            for name in baselines
        },
    }
    if "sweep" in run.evaluations:
        draw_sweep(folder / "sweep.png", content)
        shown["sweep"] = (
            "sweep.png", "How the overlap falls as more of the target is covered, for each arm.",
        )  # fmt: skip
    count = content["sequences"]
    page = render_page(
        "agents.ablation",
        "ladder.html.j2",
        title="Do generated hard positives help a tracker?",
        lead=_lead(content),
        warnings=[],
        sections=[
            ("question", "The question"), ("figures", "Figures"), ("paper", "Beside the paper"),
            *((f"less-{number}", f"Less {titles[name]}") for number, name in enumerate(baselines, 1)),
            ("examples", "Training images"), ("training", "The trainings"), ("settings", "How this was made"),
        ],
        pictures={
            name: Picture(file, (folder / file).read_bytes(), caption, caption)
            for name, (file, caption) in shown.items()
        },
        scores=_scores(content),
        paper=_beside_paper(content),
        judged=[(name, each["judged"], each["targets"]) for name, each in content["benchmarks"].items()],
        count=f"{count} sequences",
        interval_text=_interval_text(content),
        differences=[
            {"title": titles[name], "picture": f"less-{name}", "table": _less(content, name)} for name in baselines
        ],
        settings=[
            *content["settings"].items(),
            ("seeds", max(len(arm["seeds"]) for arm in content["arms"].values())), ("command", command),
        ],
    )  # fmt: skip
    with replacing_file(run.out / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.out / PAGE


def _lead(content: Mapping[str, Any]) -> str:
    """The primary contrasts, which were chosen before the figures were known."""
    sentences = []
    for claim in content["primary"]:
        if claim["p_holm"] is None:
            verdict = f"fewer than {LEAST_TARGETS} sequences, no verdict"
        else:
            clear = claim["p_holm"] < 1 - content["interval"]["level"]
            verdict = f"{format_p(claim['p_holm'])}, corrected" + ("" if clear else ", no measurable difference")
        ends = None if claim["low"] is None else (claim["low"], claim["high"])
        difference = Interval(claim["difference"], ends, None, claim["sequences"]).format(sign=True)
        sentences.append(f"{claim['contrast']}: {difference} ({verdict})")
    if not sentences:
        return (
            f"None of the {len(PRIMARY_CONTRASTS)} contrasts that were chosen before the run was measured, because"
            " an arm or the unseen occluders were left out; every difference here is exploratory."
        )
    missing = len(PRIMARY_CONTRASTS) - len(sentences)
    return (
        "Mean overlap where 30 to 50 % of the target is covered by occluders that no arm trains with, the measure"
        f" chosen before the run. {'; '.join(sentences)}."
        + (f" {missing} of the {len(PRIMARY_CONTRASTS)} contrasts was not measured." if missing else "")
    )


def _interval_text(content: Mapping[str, Any]) -> str:
    level = content["interval"]["level"]
    return (
        f"the {level:.0%} Student's t interval over sequences, with the seeds as a second random factor from three"
        f" on; fewer than {LEAST_TARGETS} sequences have none. It is not corrected for the number of differences:"
        f" a star marks a Holm-corrected p below {1 - level:.2f}, over the {len(PRIMARY_CONTRASTS)} contrasts that"
        f" were chosen before the run or over the {content['exploratory']} others. The rest may be chance."
    )


def _difference(row: Mapping[str, Any]) -> str:
    ends = row["interval"]
    return f"{row['difference']:+.3f}" + ("" if ends is None else f" [{ends[0]:+.3f}, {ends[1]:+.3f}]")


def _columns(content: Mapping[str, Any]) -> dict[str, str]:
    return {measure: title for measure, title in _COLUMNS.items() if measure in content["measures"]}


def _scores(content: Mapping[str, Any]) -> PageTable:
    columns = _columns(content)
    found = PageTable("Means over sequences and seeds", ["training", *columns.values()])
    for arm in content["arms"].values():
        spread = len(arm["seeds"]) > 1
        cells = [f"{arm['means'][name]:.3f}" + spread * f" ({arm['spread'][name]:.3f})" for name in columns]
        found.rows.append([arm["title"], *cells])
    return found


def _beside_paper(content: Mapping[str, Any]) -> PageTable:
    head = ["training", "benchmark", "protocol", "in the paper"]
    head += [f"{measure}, {whose}" for measure in ("precision", "success") for whose in ("paper", "ours")]
    found = PageTable("The paper's printed figures, and ours", head)
    for row in content["paper"]:
        figures = [row[measure][whose] for measure in ("precision", "success") for whose in ("paper", "ours")]
        cells = ["" if value is None else f"{value:.3f}" for value in figures]
        title = ARMS[row["arm"]].title
        found.rows.append([title, row["benchmark"], row["protocol"].upper(), row["source"], *cells])
    return found


def _less(content: Mapping[str, Any], baseline: str) -> PageTable:
    columns = _columns(content)
    found = PageTable(f"Differences to {content['arms'][baseline]['title']}", ["training", *columns.values()])
    for arm in content["arms"].values():
        if baseline in arm["less"]:
            rows = [arm["less"][baseline][name] for name in columns]
            stars = [is_significant(row, content["interval"]["level"]) for row in rows]
            cells = [_difference(row) + "*" * star for row, star in zip(rows, stars, strict=True)]
            found.rows.append([arm["title"], *cells])
    return found
