"""The command `train-foresight`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .shared import Device, Precision, Seed, command_line, on_interrupt

__all__ = ["train_foresight"]


@on_interrupt()
def train_foresight(
    targets: Path,
    out: Path = Path("out/foresight.safetensors"),
    per_sequence: int = 40,
    patches: int = 3,
    regions: int = 40,
    epochs: int = 30,
    folds: int = 4,
    seed: Seed = 0,
    scorer: str = "sint",
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Learn from scored random occlusions how far a score falls: the network that an agent's foresight is.

    Writes the weights and, beside them, a card with the correlation of foretold and true drops within a target, on
    videos that were left out. A package of your own makes it an observation by a subclass of
    `agents.foresight.Foresight`. It also says how far the scorer's scores spread: what a scorer of your own should
    have as its attribute `unit`, for an agent that was trained on another.

    Args:
        targets: A folder of annotated sequences, at least two.
        out: NAME.safetensors.
        per_sequence: Targets of a sequence, evenly spaced.
        patches: Occluders a target.
        regions: Scored regions an occluder.
        epochs: Passes over the samples.
        folds: The videos are left out in so many groups in turn, to judge; what is written has seen them all.
        seed: Of everything that is drawn.
        scorer: The matcher: sint, or module:function for your own.
        features: SINT's network.
        weights: A safetensors file with its weights; for vgg16 also `imagenet`, which fetches them.
        precision: SINT's arithmetic; auto takes bfloat16 where the hardware has it.
        device: Where SINT runs.
    """
    from functools import partial

    from occlusion_env.arguments import SearchArguments
    from occlusion_env.building import assemble
    from occlusion_env.targets import TargetSet
    from tracker.backbones import fingerprint, precision_name, resolve_device
    from tracker.errors import InputError
    from tracker.readers import list_targets, open_sequence, open_usable
    from tracker.scorers import shared_backbone, unit_of
    from tracker.sequences import evenly_spaced

    from ..foresight import fit_predictor, sample_drops, save_predictor
    from ..output import check_file

    if out.suffix != ".safetensors":
        raise InputError(f"'{out}' cannot be written; give NAME.safetensors in a folder that exists.")
    for file in (out, out.with_suffix(".json")):
        check_file(file, targets, weights, option="--out")
    for name, value in (
        ("per-sequence", per_sequence),
        ("patches", patches),
        ("regions", regions),
        ("epochs", epochs),
    ):
        if value < 1:
            raise InputError(f"--{name} is {value}; it must be at least 1.")

    def targets_of(path: Path, number: int | None) -> TargetSet:
        return TargetSet.from_sequence(open_sequence(path, target=number))

    usable = open_usable({name: partial(targets_of, *place) for name, place in list_targets(targets).items()})
    found = list(usable.values())
    if not 2 <= folds <= len(found):
        raise InputError(f"--folds is {folds}; with {len(found)} sequences give 2 to {len(found)}.")
    chosen = TargetSet.join(each.subset(evenly_spaced(len(each), per_sequence)) for each in found)
    own = scorer == "sint"
    network_weights = fingerprint(shared_backbone(features, weights, "cpu")) if own else None
    parts = assemble(
        SearchArguments(
            chosen,
            features,
            weights=weights,
            scorer=scorer,
            precision=precision,
            device=str(resolve_device(device)),
        )
    )
    matcher = parts.scorer
    samples = sample_drops(chosen, matcher, parts.features, None, patches, regions, seed, progress=True)
    unit = unit_of(matcher) or samples.unit
    videos = sorted(set(samples.videos))
    judged = []
    for fold in range(folds):
        left_out = set(videos[fold::folds])
        _, figures = fit_predictor(
            samples.of(set(videos) - left_out), samples.of(left_out), epochs, seed=seed, unit=unit, progress=True
        )
        judged.append(figures["held_out_correlation"])
        print(f"Without {', '.join(sorted(left_out))}: correlation {judged[-1]:.3f} on them.")
    network, figures = fit_predictor(samples, None, epochs, seed=seed, unit=unit, progress=True)
    card = {
        **figures,
        "held_out_correlation_of_folds": judged,
        "scorer": {"features": features, "weights": network_weights} if own else scorer,
        "precision": precision_name(precision, device),
        "measured_unit": round(samples.unit, 6),
        "videos": videos,
        "targets": len(chosen),
        "command": command_line(),
    }
    save_predictor(out, network, card)
    print(f"The scores' unit is {samples.unit:.4g}; reward_scale:{1 / unit:.4g} makes it a reward of 1.")
    print(f"The network is in {out}, its card beside it.")
