"""The command line `occlusion-search`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tracker.errors import InputError

__all__ = ["main"]

app = tyro.extras.SubcommandApp()

Device = Literal["auto", "cpu", "cuda"]


@app.command(name="demo")
def demo(
    out: Path = Path("out/demo"),
    sequence: Path | None = None,
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H|FILE")] = None,
    seed: int = 0,
    device: Device = "auto",
    quick: bool = False,
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    layer: str | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    steps: int | None = None,
    json: Path | None = None,
) -> None:
    """Run the main job: from a video and the box of its target to hard positives.

    Writes hard_positives/ (images and metadata.jsonl), contact_sheet.png, manifold.png, scores.png and
    report.json.

    Args:
        out: Folder for the results; an earlier result in it is replaced.
        sequence: An OTB, VOT or GOT-10k folder, a folder of images or a video file; without it a synthetic
            video is made.
        box: Boxes, 0-based, for a video without annotation: that of the first frame, or a file of one a line.
        seed: Of everything that is drawn.
        device: Where the networks run.
        quick: Under a minute, for a first look; the agent learns next to nothing.
        features: The network of the state and of the scorer.
        weights: A safetensors file with the network's weights; for vgg16 also `imagenet`, which fetches them.
        layer: The network's layer that is the state; fc7, or pool5 where the weights hold convolutions alone.
        precision: Arithmetic of the network; auto takes bfloat16 where the hardware has it.
        steps: Steps of deep Q-learning, at least 20; 12,000 by default, 1,000 with --quick.
        json: Write the report here too.
    """
    from .demo import FULL, QUICK, Demo, run_demo
    from .output import check_json_path, write_json

    check_json_path(json)
    effort = QUICK if quick else FULL
    if steps is not None:
        effort = replace(effort, steps=steps)
    report = run_demo(
        Demo(out, sequence, box, seed, device, features, weights, layer, precision, effort, _command())
    )
    if json is not None:
        write_json(json, report)
    closure = "undefined" if report["closure"] is None else f"{report['closure']:.2f}"
    print(
        f"Mean score of {report['targets']} held-out targets: clean {report['clean']:.3f}, random occlusion"
        f" {report['random']:.3f}, agent {report['agent']:.3f}, exhaustive {report['exhaustive']:.3f}"
        f" (closure {closure})."
    )
    print(f"{report['hard_positives']} hard positives, the pictures and report.json are in {out}")


@app.command(name="train-backbone")
def train_backbone(
    data: Path,
    teacher: Path,
    out: Path = Path("out/backbone"),
    validation: tuple[str, ...] = ("fernando", "hand2", "sunshade"),
    rounds: int = 1,
    epochs: int = 30,
    fc_steps: int = 600,
    seed: int = 0,
    device: Device = "auto",
    json: Path | None = None,
) -> None:
    """Train the slim network that the package ships; a run that was cut off goes on.

    Args:
        data: Folder of annotated sequences to train on.
        teacher: VGG-16's weights: a file with at least the convolutions.
        out: Receives slim.safetensors and its card slim.json.
        validation: Sequences of `data` that nothing is trained on.
        rounds: How many times the six kinds of crops are cut out of every frame.
        epochs: Passes over the crops that the convolutions learn from.
        fc_steps: Steps of the contrastive loss for the fully connected layers.
        seed: Of everything that is drawn.
        device: Where it runs.
        json: Write the card here too.
    """
    from tracker.backbones import resolve_device
    from tracker.slim_training import BackboneTraining
    from tracker.slim_training import train_backbone as train

    from .output import check_json_path, write_json

    check_json_path(json)
    settings = BackboneTraining(validation=validation, rounds=rounds, epochs=epochs, fc_steps=fc_steps, seed=seed)
    card = train(data, teacher, out, settings, resolve_device(device))
    if json is not None:
        write_json(json, {**card, "command": _command()})
    print(f"slim.safetensors and its card are in {out}")


@app.command(name="doctor")
def doctor(json: Path | None = None) -> None:
    """Look for what breaks an installation: a second owner of our import names, no or a second OpenCV.

    Args:
        json: Write the findings here too.
    """
    from .doctor import examine
    from .output import check_json_path, write_json

    check_json_path(json)
    findings = examine()
    if json is not None:
        write_json(json, {"findings": findings})
    for finding in findings:
        print(f"- {finding}")
    if findings:
        sys.exit(1)
    print("Nothing found: every import name has one owner.")


def _command() -> str:
    return shlex.join(["occlusion-search", *sys.argv[1:]])


def main() -> None:
    """Run a command; what a person got wrong is one sentence and exit code 2."""
    try:
        app.cli(prog="occlusion-search", description="Hard positives for visual trackers (SINT++).")
    except ValueError as error:
        if not isinstance(error, _input_errors()):
            raise
        print(f"occlusion-search: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlusion-search: interrupted; nothing was written.", file=sys.stderr)
        sys.exit(130)


def _input_errors() -> tuple[type[ValueError], ...]:
    """What a person's input raises; `vae` stands alone and, if it raised anything, is imported by now."""
    module = sys.modules.get("vae")
    return (InputError,) if module is None else (InputError, module.VAEError)


if __name__ == "__main__":
    main()
