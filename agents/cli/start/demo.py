"""The command `demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from ...demo_settings import Demo
from ..shared import Open, flags_from_fields, on_interrupt, open_page


@flags_from_fields
def demo(
    *,
    settings: Demo,
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H|FILE")] = None,
    quick: bool = False,
    steps: int | None = None,
    open: Open = False,
    json: Path | None = None,
) -> None:
    """Turn a video and the box of its target into hard positives.

    Writes index.html (the page), hard_positives/ (images and metadata.jsonl), contact_sheet.png, manifold.png,
    scores.png and report.json.

    Args:
        quick: Less of everything, for a first impression.
        steps: Environment steps of --from-scratch, which this implies; at least 20, 12,000 by default, 1,000 with
            --quick.
        json: Write the report here too.

    Examples:
        occlusion-search demo --quick
        occlusion-search demo --data video.mp4 --box 120,80,60,90 --out out/mine
    """
    from tracker.evaluation.report.page import INDEX

    from ...common.locks import lock_folder
    from ...common.output import check_folder, write_json
    from ...demo import RESULT, run_demo
    from ...demo_settings import FULL, QUICK
    from ...evaluation.pictures import DEMO_COLOURS

    box_file = box if box is not None and "," not in box else None
    check_folder(settings.out, settings.data, box_file, settings.weights, result=RESULT, json=json)
    settings = replace(settings, box=box, effort=QUICK if quick else FULL)
    if steps is not None:
        settings = replace(settings, effort=replace(settings.effort, steps=steps), from_scratch=True)
    with on_interrupt(), lock_folder(settings.out):
        report = run_demo(settings)
    if json is not None:
        write_json(json, report)
    print(f"Mean score of {report['targets']} held-out targets (lower is harder; scorer queries in brackets):")
    for name in DEMO_COLOURS:
        if name in report:
            queries = report["queries"].get(name)
            print(f"  {name:<24}{report[name]:>7.3f}" + ("" if queries is None else f"  ({queries:g})"))
    print(f"The agent is {report['agent_is']}.")
    print(
        f"{report['hard_positives']} hard positives (by the {report['hard_positives_by']}), the pictures and"
        f" report.json are in {settings.out}; the page is {settings.out / INDEX}"
    )
    if open:
        open_page(settings.out / INDEX)
