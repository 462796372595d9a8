"""SiamFC fine-tuned with and without hard positives: what the trackers are worth when the target is covered.

Arms: the released network; fine-tuned on the training videos; fine-tuned with half of the search regions' targets
covered by a random region; the same with the one of 8 random regions that hurts the network most at that step.
Every arm but the first is trained with each seed, by `occlusion-search train-siamfc`. All are judged by:

- a sweep: in some frames of each sequence a part of the target is covered, and the first frame's target is looked
  for once, in a search region around the true target that is shifted a little at random. The occluders are a piece
  of the background at a random place (`seen`, the kind that the arms train with) and those of
  `agents.ablation.sweep_occluders` (`unseen`). Frames, shifts and covers are the same for all. The figure is
  the IoU of the box of the true size at the peak of the response with the true box; no window, and no scale but
  the true one.
- with `--ope`, one pass over whole sequences, by `occlusion-search benchmark run`, the first seed of each arm.

What was done is not done again; a folder whose results were made with other arguments is refused.

Usage: python benchmarks/siamfc.py --train DIR --judge DIR --weights FILE --json benchmarks/results/siamfc.json
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from agents.ablation.sweep_occluders import KINDS, SEEN_KINDS, UNSEEN_KINDS, cover
from agents.cli.trackers.benchmark_run import choose_names
from agents.common.output import check_json_path, claim_folder, write_json
from agents.common.randomness import generator
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from agents.common.versions import versions
from agents.hard_positives.transforms import HardPositiveBatch
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.shapes import OtherVideo, other_videos
from tracker import open_sequence
from tracker.data.boxes import iou
from tracker.data.identity import code_version, folder_digests
from tracker.data.images import crop, paste, to_tensor
from tracker.data.readers import list_targets
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.evaluation.intervals import holm, interval, method_record
from tracker.evaluation.running import weights_digest
from tracker.models import siamfc
from tracker.models.backbones import autocast, resolve_precision
from tracker.training import SiamFCTraining, open_folder
from tracker.training.siamfc import region_around

Found = dict[str, dict[str, list[list[float]]]]
"""By kind of occluder and sequence the IoU `[levels][frames]`."""

ARMS = {
    "fine-tuned": (),
    "random occlusion": ("--hard-positives", "random"),
    "hardest of 8": ("--hard-positives", "best-of-8-random"),
}
COVERED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SHIFT = 32.0
PRIMARY_MEASURE = "all covered"
"""Mean over the levels that cover something; of the unseen occluders it is the measure of the claims."""
PRIMARY_CONTRASTS = (("random occlusion", "fine-tuned"), ("hardest of 8", "random occlusion"))
"""The claims: occlusion in training helps; searching for the hardest one helps more."""


@dataclass
class Arguments:
    """What to run.

    Attributes:
        train: Videos to train on.
        judge: Sequences to judge on; nothing may have been trained on them.
        weights: SiamFC's released weights.
        out: Folder for networks and what they find.
        seeds: Seeds of each arm.
        steps: Steps of each training.
        learning_rate: Of each training.
        frozen: Convolutions that stay as they are.
        frames: Frames of a sequence in the sweep, evenly spaced after the first.
        ope: Names of sequences for one pass; none by default.
        json: Receives the figures; siamfc.json in `out` by default.
    """

    train: Path
    judge: Path
    weights: Path
    out: Path = Path("out/siamfc")
    seeds: int = 3
    steps: int = 200
    learning_rate: float = 1e-4
    frozen: int = 2
    frames: int = 10
    ope: tuple[str, ...] = ()
    json: Path | None = None


def main(given: Arguments) -> None:
    """Train what is not trained yet, judge, and write the figures down."""
    check_json_path(given.json)
    check_counts(seeds=given.seeds, steps=given.steps, frames=given.frames)
    SiamFCTraining(steps=given.steps, learning_rate=given.learning_rate, frozen=given.frozen)  # checks them
    siamfc.load_siamfc(given.weights)
    open_folder(given.train)
    check_videos(2, judge=given.judge)
    choose_names(list_targets(given.judge), None, given.ope)
    claim_folder(given.out, "settings.json", identity(given), "results of other arguments", versions())
    commands = [train(given, arm, seed) for seed in range(given.seeds) for arm in ARMS]
    networks = {"released": given.weights} | {
        f"{arm}, seed {seed}": folder(given, arm, seed) / "siamfc.safetensors"
        for arm in ARMS
        for seed in range(given.seeds)
    }
    sequences = [open_sequence(path, target=number) for path, number in list_targets(given.judge).values()]
    found = {name: swept(given, name, file, sequences) for name, file in networks.items()}
    content: dict[str, Any] = {
        "sweep": {
            "seen": sweep_figures(per_sequence(found, given.seeds, SEEN_KINDS), ()),
            "unseen": sweep_figures(per_sequence(found, given.seeds, UNSEEN_KINDS), PRIMARY_CONTRASTS),
        },
        "covered": COVERED,
        "frames_per_sequence": given.frames,
        "sequences": [each.name for each in sequences],
        "training": {
            f"{arm}, seed {seed}": loss(folder(given, arm, seed)) for arm in ARMS for seed in range(given.seeds)
        },
        "commands": commands,
    }
    if given.ope:
        content["ope"] = passes(given, networks)
    write_result(given.json or given.out / "siamfc.json", "siamfc", content)
    for group, figures in content["sweep"].items():
        for name, rows in figures["arms"].items():
            print(f"{name}, {group} occluders: IoU " + " ".join(f"{row:.3f}" for row in rows["iou"]))


def identity(given: Arguments) -> dict[str, Any]:
    """Everything that changes the figures, but the number of seeds and `ope`, which may be added to."""
    return {
        "train": folder_digests(given.train),
        "judge": folder_digests(given.judge),
        "weights": weights_digest(given.weights),
        **{name: getattr(given, name) for name in ("steps", "learning_rate", "frozen", "frames")},
        "precision": str(resolve_precision("auto", torch.device("cpu"))).removeprefix("torch."),
        "code": code_version("tracker", "occlusion_env", "agents"),
        "script": weights_digest(__file__)[:12],
    }


def folder(given: Arguments, arm: str, seed: int) -> Path:
    """Where a training goes."""
    return given.out / f"{arm.replace(' ', '-')}-{seed}"


def train(given: Arguments, arm: str, seed: int) -> str:
    """Fine-tune, unless it is done; returns how the command reads."""
    words = [
        "train-siamfc", "--data", str(given.train), "--weights", str(given.weights), "--out",
        str(folder(given, arm, seed)), "--steps", str(given.steps), "--learning-rate", f"{given.learning_rate:g}",
        "--frozen", str(given.frozen), "--seed", str(seed), *ARMS[arm],
    ]  # fmt: skip
    if not (folder(given, arm, seed) / "siamfc.json").is_file():
        run_command(words)
    return shlex.join(["occlusion-search", *words])


def run_command(words: list[str]) -> None:
    """Run a command of this package, which prints why it fails."""
    if code := subprocess.run([sys.executable, "-m", "agents.cli", *words]).returncode:
        raise InputError(f"`{shlex.join(['occlusion-search', *words])}` failed with exit code {code}.")


def loss(trained: Path) -> dict[str, float]:
    """The loss on the held-out training videos, before and after."""
    return json.loads((trained / "siamfc.json").read_text())["validation_loss"]


def swept(given: Arguments, name: str, weights: Path, sequences: list[Sequence]) -> Found:
    """The IoU of what a network finds, by kind of occluder and sequence: `[levels, frames]`; kept in a file."""
    file = given.out / "sweep" / f"{name.replace(' ', '-').replace(',', '')}.json"
    if file.is_file():
        return json.loads(file.read_text())
    file.parent.mkdir(parents=True, exist_ok=True)
    net = siamfc.load_siamfc(weights).to(memory_format=torch.channels_last)
    found: Found = {kind: {} for kind in KINDS}
    others = other_videos(sequences)
    for number, sequence in enumerate(tqdm(sequences, desc=name, unit="sequence")):
        foreign = [other for other in others if other.name != sequence.name]
        for kind, overlaps in localised(net, sequence, given.frames, number, foreign).items():
            found[kind][sequence.name] = overlaps.round(4).tolist()
    write_json(file, found)
    return found


@torch.inference_mode()
def localised(
    net: siamfc.SiamFCNet, sequence: Sequence, frames: int, number: int, others: list[OtherVideo]
) -> dict[str, NDArray[np.float64]]:
    """Look for the first frame's target in some frames, covered more and more: IoU `[levels, frames]` by kind."""
    rng = np.random.default_rng([number, 0])
    present = sequence.present[1:]
    exemplar, _ = region_around(sequence, int(sequence.present[0]), siamfc.EXEMPLAR, 1.0, np.zeros(2))
    images, boxes = [], []
    for t in present[evenly_spaced(len(present), frames)]:
        image, box = region_around(sequence, int(t), siamfc.SEARCH, 1.0, rng.uniform(-SHIFT, SHIFT, 2))
        images.append(image)
        boxes.append(box)
    clean, true = to_tensor(np.stack(images)), torch.from_numpy(np.stack(boxes)).float()
    dtype = resolve_precision("auto", torch.device("cpu"))
    known = features(net, to_tensor(exemplar), dtype).expand(len(clean), -1, -1, -1)
    found = {kind: np.empty((len(COVERED), len(clean))) for kind in KINDS}
    for kind, (level, share) in product(KINDS, enumerate(COVERED)):
        shown = clean
        if share and kind == "background":
            occlude = HardPositiveBatch("random", limits=RegionLimits(max_area=share))
            shown = occlude(clean, true, generator=torch.Generator().manual_seed(1000 * number + level))
        elif share:
            covered = [
                paste(image, cover(kind, crop(image, box), share, others, generator(number, kind, str(row))), box)
                for row, (image, box) in enumerate(zip(images, boxes, strict=True))
            ]
            shown = to_tensor(np.stack(covered))
        response = siamfc.respond(known, features(net, shown, dtype))[:, None]
        enlarged = functional.interpolate(response, scale_factor=siamfc.UPSAMPLING, mode="bicubic")[:, 0]
        peaks = enlarged.flatten(1).argmax(dim=1).numpy()
        side = enlarged.shape[-1]
        places = np.stack([peaks % side, peaks // side], axis=1) - (side - 1) / 2
        centre = siamfc.SEARCH / 2 + places * siamfc.STRIDE / siamfc.UPSAMPLING
        size = true[:, 2:].numpy()
        found[kind][level] = iou(np.concatenate([centre - size / 2, size], axis=1), true.numpy())
    return found


def features(net: siamfc.SiamFCNet, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Features of images `[N, 3, S, S]` in [0, 1]."""
    with autocast(torch.device("cpu"), dtype):
        return net((255 * images).contiguous(memory_format=torch.channels_last)).float()


def sweep_figures(
    by_sequence: dict[str, dict[str, list[list[float]]]], contrasts: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Mean IoU of each arm at each level, and paired differences with their intervals.

    Args:
        by_sequence: For each arm and sequence the mean IoU `[levels][seeds]`; the released network has one seed.
        contrasts: The primary ones, in `PRIMARY_MEASURE`; p-values of the others are corrected over all others.
    """
    arms = {arm: np.array([rows[name] for name in by_sequence["released"]]) for arm, rows in by_sequence.items()}
    pairs = [(arm, "released") for arm in ARMS] + [(arm, "fine-tuned") for arm in list(ARMS)[1:]]
    pairs.append(("hardest of 8", "random occlusion"))
    found = {
        (pair, level): interval(apart)
        for pair in pairs
        for level, apart in _by_level(arms[pair[0]] - arms[pair[1]]).items()
    }
    primary = [key for key in found if key[0] in contrasts and key[1] == PRIMARY_MEASURE]
    p_holm: dict[Any, float | None] = {}
    for family in (primary, [key for key in found if key not in primary]):
        p_holm |= zip(family, holm([found[key].p for key in family]), strict=True)
    return {
        "arms": {
            arm: {
                "iou": figures.mean(axis=(0, 2)).round(4).tolist(),
                "seeds": figures.mean(axis=0).T.round(4).tolist() if arm in ARMS else None,
            }
            for arm, figures in arms.items()
        },
        "interval": method_record("sequences") | {"second_factor": "seeds, from three on"},
        "primary": {"measure": PRIMARY_MEASURE, "contrasts": [f"{a} less {b}" for a, b in contrasts]},
        "differences": {
            f"{first} less {second}": {
                level: {
                    "difference": round(each.mean, 4),
                    "interval": each.ends(4),
                    "p_holm": None if (p := p_holm[key]) is None else round(p, 4),
                }
                for key, each in found.items()
                for pair, level in [key]
                if pair == (first, second)
            }
            for first, second in pairs
        },
        "by_sequence": by_sequence,
    }


def _by_level(apart: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Differences `[sequences, levels, seeds]` by level, and over the levels that cover something."""
    levels = {f"{share:.0%}": apart[:, index] for index, share in enumerate(COVERED)}
    return levels | {PRIMARY_MEASURE: apart[:, 1:].mean(axis=1)}


def per_sequence(found: dict[str, Found], seeds: int, kinds: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """For each arm and sequence the mean IoU `[levels][seeds]`, over frames and kinds of occluders."""

    def means(network: str, name: str) -> NDArray[np.float64]:
        return np.mean([found[network][kind][name] for kind in kinds], axis=(0, 2))

    networks = {"released": ["released"]} | {arm: [f"{arm}, seed {seed}" for seed in range(seeds)] for arm in ARMS}
    return {
        arm: {
            name: np.stack([means(network, name) for network in names], axis=1).round(4).tolist()
            for name in found["released"][kinds[0]]
        }
        for arm, names in networks.items()
    }


def passes(given: Arguments, networks: dict[str, Path]) -> dict[str, Any]:
    """One pass over sequences with the first seed of each arm."""
    found: dict[str, Any] = {}
    (given.out / "ope").mkdir(parents=True, exist_ok=True)
    for arm in ["released", *ARMS]:
        weights = networks[arm if arm == "released" else f"{arm}, seed 0"]
        results = given.out / "ope" / arm.replace(" ", "-")
        words = [
            "--tracker",
            "siamfc",
            "--weights",
            str(weights),
            "--data",
            str(given.judge),
            "--out",
            str(results),
        ]
        words += ["--only", *given.ope, "--json", str(results) + ".json"]
        run_command(["benchmark", "run", *words])
        found[arm] = json.loads(Path(f"{results}.json").read_text())
    return found


if __name__ == "__main__":
    run_script(main, Arguments)
