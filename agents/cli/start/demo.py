"""The command `demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...common.results import command_line
from ..shared import Device, Precision, Seed, on_interrupt


def demo(
    out: Path = Path("out/demo"),
    sequence: Annotated[Path | None, tyro.conf.arg(name="data")] = None,
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H|FILE")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    quick: bool = False,
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    layer: str | None = None,
    precision: Precision = "auto",
    from_scratch: bool = False,
    steps: int | None = None,
    json: Path | None = None,
) -> None:
    """Turn a video and the box of its target into hard positives.

    Writes hard_positives/ (images and metadata.jsonl), contact_sheet.png, manifold.png, scores.png and
    report.json.

    Args:
        out: Folder for the results; an earlier result in it is replaced.
        sequence: An OTB, VOT or GOT-10k folder, a folder of images or a video file; without it a synthetic
            video is made.
        box: Boxes, 0-based, for a video without annotation: that of the first frame, or a file of one a line.
        seed: Seed of all random draws.
        device: Where the networks run.
        quick: Less of everything, for a first impression.
        features: The network of the state and of the scorer.
        weights: A safetensors file with the network's weights; for vgg16 also `imagenet`, which fetches them.
        layer: The layer that is the state of --from-scratch; fc7, or pool5 where the weights hold convolutions
            alone.
        precision: Arithmetic of the network; auto takes bfloat16 where the hardware has it.
        from_scratch: Train an agent on the video with deep Q-learning (Algorithm 1), in place of the shipped
            agent; done too where the package ships no prior for the weights.
        steps: Environment steps of --from-scratch, which this implies; at least 20, 12,000 by default, 1,000 with
            --quick.
        json: Write the report here too.

    Examples:
        occlusion-search demo --quick
        occlusion-search demo --data video.mp4 --box 120,80,60,90 --out out/mine
    """
    from ...common.locks import lock_folder
    from ...common.output import check_folder, check_json_path, write_json
    from ...demo import FULL, QUICK, RESULT, Demo, run_demo

    box_file = box if box is not None and "," not in box else None
    check_folder(out, sequence, box_file, weights, result=RESULT)
    check_json_path(json, sequence, box_file, weights)
    effort = QUICK if quick else FULL
    if steps is not None:
        effort, from_scratch = replace(effort, steps=steps), True
    with on_interrupt(), lock_folder(out):
        report = run_demo(
            Demo(
                out,
                sequence,
                box,
                seed,
                device,
                features,
                weights,
                layer,
                precision,
                effort,
                from_scratch,
                command_line(),
            )  # fmt: skip
        )
    if json is not None:
        write_json(json, report)
    names = ["clean", "random", "random at equal queries", "constant", "agent", "belief", "grid search"]
    print(f"Mean score of {report['targets']} held-out targets (lower is harder; scorer queries in brackets):")
    for name in names:
        if name in report:
            queries = report["queries"].get(name)
            print(f"  {name:<24}{report[name]:>7.3f}" + ("" if queries is None else f"  ({queries:g})"))
    print(f"The agent is {report['agent_is']}.")
    print(
        f"{report['hard_positives']} hard positives (by the {report['hard_positives_by']}), the pictures and"
        f" report.json are in {out}"
    )
