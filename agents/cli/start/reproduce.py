"""The command `reproduce`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...ablation.settings import LadderRun
from ...common.results import command_line
from ..shared import (
    GOES_ON,
    Device,
    Json,
    Ray,
    WorkerCount,
    choose_workers,
    flags_from_fields,
    on_interrupt,
    print_table,
)  # fmt: skip


@flags_from_fields
def reproduce(
    *,
    run: LadderRun,
    sweep_frames: int = 8,
    workers: WorkerCount = 1,
    ray: Ray = None,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Run the paper's ablation: train and evaluate every arm.

    Each arm starts from the same network and trains with the same videos, steps and seeds: SINT alone; with
    samples of the targets' manifolds (VAE), unoccluded, or occluded at random, at one constant region, by the
    agent (SINT++), by the belief over regions or by grid search; Adv-Net, holes in the features, random erasing,
    motion blur; and occlusion of real frames. Each is evaluated by OTB's protocol and by a sweep over synthetic
    occlusions. With --otb and --vot the report puts the figures beside the paper's printed ones. The same
    command resumes a run that was cut off. Writes report.html, ladder.json, pictures and the networks to OUT.

    Args:
        sweep_frames: Test frames of each video in the sweep.

    Examples:
        occlusion-search reproduce --data path/to/train --judge path/to/test --only sint vae-hptn --workers 2
        occlusion-search reproduce --data path/to/train --otb path/to/OTB100 --vot path/to/vot2014
    """
    from tracker.models.backbones import resolve_device

    from ...ablation.occlusion_sweep import SweepSettings
    from ...ablation.report import write_ladder_report
    from ...ablation.running import run_ladder
    from ...ablation.summary import summarise_ladder
    from ...common.locks import lock_folder
    from ...common.output import TRAINING_BYTES, check_folder
    from ...common.results import write_result
    from ...hard_positives.generation_run import method_path

    agent = method_path(run.agent)
    inputs = (run.data, run.judge, run.otb, run.vot, run.attributes, run.bank, run.weights, agent)
    check_folder(run.out, *inputs, least_bytes=TRAINING_BYTES, json=json)
    run = replace(
        run, sweep=SweepSettings(frames=sweep_frames), device=str(resolve_device(device)),
        workers=choose_workers(workers, ray),
    )  # fmt: skip
    with on_interrupt(GOES_ON), lock_folder(run.out):
        found = run_ladder(run)
    content = summarise_ladder(run, found)
    for path in (run.out / "ladder.json", json):
        write_result(path, "ladder", content)
    page = write_ladder_report(run, content, command_line())
    _print_ladder(content)
    print(f"The report is {page}; every figure is in {run.out / 'ladder.json'}.")


def _print_ladder(content: Mapping[str, Any]) -> None:
    printed = (
        "sweep, seen", "sweep, unseen", "auc, all", "auc, OCC", "precision, all", "auc, OTB-50",
        "auc, tre, OTB-100", "auc, VOT-2014",
    )  # fmt: skip
    measures = [name for name in printed if name in content["measures"]]
    rows = [
        (arm["title"], *(f"{arm['means'][name]:.3f}" for name in measures)) for arm in content["arms"].values()
    ]
    print_table(("training", *measures), rows, 120)
