"""The command `reproduce`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.errors import InputError

from ...common.results import command_line
from ..shared import GOES_ON, Allow, Device, Json, Precision, on_interrupt, print_table


def reproduce(
    data: Path,
    out: Path = Path("out/reproduce"),
    judge: Path | None = None,
    attributes: Path | None = None,
    only: tuple[str, ...] = (),
    seeds: int = 3,
    steps: int = 300,
    learning_rate: float = 4e-3,
    share: float = 0.5,
    boxes_per_frame: int = 32,
    features: str = "slim",
    weights: str | None = None,
    bank: Path | None = None,
    epochs: int = 1000,
    per_video: int = 24,
    agent: str = "pretrained",
    sweep_frames: int = 8,
    workers: int = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = None,
    allow: Allow = (),
) -> None:
    """Run the paper's ablation: train and evaluate every arm.

    Each arm starts from the same network and trains with the same videos, steps and seeds: SINT alone; with
    samples of the targets' manifolds (VAE), unoccluded, or occluded at random, at one constant region, by the
    agent (SINT++), by the belief over regions or by grid search; Adv-Net, holes in the features, random erasing,
    motion blur; and occlusion of real frames. Each is evaluated by OTB's protocol and by a sweep over synthetic
    occlusions. The same command resumes a run that was cut off. Writes report.html, ladder.json, pictures and the
    networks to OUT.

    Args:
        data: A folder with the folders train and otb of annotated videos; with --judge, the training videos.
        out: Folder for the results.
        judge: Evaluation videos; nothing is trained on them.
        attributes: A JSON file of their attributes, {NAME: {"attributes": [...]}}, for the figures of OCC and MB.
        only: Only these arms, such as sint vae vae-random vae-hptn vae-grid; all by default.
        seeds: Trainings of each arm.
        steps: Steps of a training.
        learning_rate: Initial learning rate; it falls to 0.
        share: Share of the pairs whose second frame shows a generated positive.
        boxes_per_frame: Boxes of each frame of a pair.
        features: The network: slim, vgg16, ...
        weights: Its weights.
        bank: A folder of manifolds by train-vae; by default OUT/bank, where missing ones are trained.
        epochs: Updates of a manifold that is trained; the paper's 20,000 take hours a video on a CPU.
        per_video: Targets of a video whose samples are made into hard positives.
        agent: The agent of HPTN's arm: pretrained or an agent's safetensors file, which hold no code; or the
            folder of a training run or an agent's zip file, which are pickles: loading one executes code, so load
            only files that you trust.
        sweep_frames: Test frames of each video in the sweep.
        workers: Number of processes.

    Examples:
        occlusion-search reproduce --data path/to/train --judge path/to/test
        occlusion-search reproduce --data path/to/train --judge path/to/test --only sint vae-hptn --workers 2
    """
    from tracker.models.backbones import resolve_device

    from ...ablation.occlusion_sweep import SweepSettings
    from ...ablation.report import write_ladder_report
    from ...ablation.running import run_ladder
    from ...ablation.settings import LadderRun
    from ...ablation.summary import summarise_ladder
    from ...common.locks import lock_folder
    from ...common.output import TRAINING_BYTES, check_folder, check_json_path
    from ...common.results import write_result

    check_folder(out, data, judge, attributes, bank, weights, agent, least_bytes=TRAINING_BYTES)
    check_json_path(json, data, judge, attributes, bank, weights, agent)
    train = data
    if judge is None:
        train, judge = data / "train", data / "otb"
        if not (train.is_dir() and judge.is_dir()):
            raise InputError(
                f"'{data}' has no folders train and otb; give --judge a folder of videos to judge with."
            )
    run = LadderRun(
        train, judge, out, only, seeds, steps, learning_rate, share, boxes_per_frame, features, weights, bank,
        epochs, per_video, agent, attributes, SweepSettings(frames=sweep_frames), workers,
        str(resolve_device(device)), precision, allow,
    )  # fmt: skip
    with on_interrupt(GOES_ON), lock_folder(out):
        found = run_ladder(run)
    content = summarise_ladder(run, found)
    for path in (out / "ladder.json", json):
        if path is not None:
            write_result(path, "ladder", content)
    page = write_ladder_report(run, content, command_line())
    _print_ladder(content)
    print(f"The report is {page}; every figure is in {out / 'ladder.json'}.")


def _print_ladder(content: Mapping[str, Any]) -> None:
    measures = [
        name
        for name in ("sweep, seen", "sweep, unseen", "auc, all", "auc, OCC", "precision, all")
        if name in content["measures"]
    ]
    rows = [
        (arm["title"], *(f"{arm['means'][name]:.3f}" for name in measures)) for arm in content["arms"].values()
    ]
    print_table(("training", *measures), rows, 120)
