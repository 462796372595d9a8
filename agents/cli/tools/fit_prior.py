"""The command `fit-prior`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tracker.errors import InputError

from ...common.results import command_line
from ..shared import Device, Json, Precision, Seed, on_interrupt


@on_interrupt()
def fit_prior(
    data: Path,
    out: Path = Path("out/prior.safetensors"),
    per_sequence: int = 2,
    folds: int = 6,
    seed: Seed = 0,
    scorer: str = "sint",
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    occluder: Literal["background", "mean", "noise", "zero", "cutout"] = "background",
    max_area: float = 0.25,
    precision: Precision = "auto",
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Fit the prior of the belief over regions to a matcher.

    Scores every region of the grid (336 at a quarter of the area) on targets of annotated videos. Writes the mean
    and the covariance of the score drops to OUT, with a predictor of the drops where it explains more than their
    mean; beside it a card, and a picture of the mean drop of each region.

    Args:
        data: A folder of annotated sequences, or one; none that you want to evaluate on.
        out: NAME.safetensors.
        per_sequence: Targets of a sequence, evenly spaced.
        folds: Folds of the cross-validation over videos; the covariance is that of the errors on left-out videos.
        scorer: The matcher: sint, siamfc, or module:function for your own.
        features: SINT's network.
        weights: A safetensors file with the weights of SINT's network or of SiamFC; for vgg16 also `imagenet`,
            which fetches them.
        occluder: What covers the regions.
        max_area: Area of the regions as a share of the target.

    Examples:
        occlusion-search fit-prior --data path/to/videos
        occlusion-search fit-prior --data path/to/videos --scorer own:scorer --out own.safetensors
    """
    from dataclasses import replace
    from functools import partial

    from occlusion_env.envs.arguments import SearchArguments
    from occlusion_env.envs.building import load_networks
    from occlusion_env.scene.targets import TargetSet
    from tracker.data.readers import list_targets, open_usable
    from tracker.data.sequences import evenly_spaced
    from tracker.models.backbones import precision_name, resolve_device
    from tracker.trackers.following import open_sequence

    from ...common.output import check_file, check_json_path
    from ...common.results import write_result
    from ...policies import belief
    from ...policies.belief.pictures import average_target, draw_priors
    from ...training.environment import fingerprint_videos

    if out.suffix != ".safetensors":
        raise InputError(f"'{out}' cannot be written; give NAME.safetensors in a folder that exists.")
    for file in (out, out.with_suffix(".json"), out.with_suffix(".png")):
        check_file(file, data, weights, option="--out")
    check_json_path(json, data, weights)
    for name, value, least in (("per-sequence", per_sequence, 1), ("folds", folds, 2)):
        if value < least:
            raise InputError(f"--{name} is {value}; it must be at least {least}.")

    def targets_of(path: Path, number: int | None) -> TargetSet:
        return TargetSet.from_sequence(open_sequence(path, target=number))

    usable = open_usable({name: partial(targets_of, *place) for name, place in list_targets(data).items()})
    chosen = TargetSet.join(each.subset(evenly_spaced(len(each), per_sequence)) for each in usable.values())
    arguments = SearchArguments(
        features=features, weights=weights, scorer=scorer, occluder=occluder, max_area=max_area,
        precision=precision, device=str(resolve_device(device)),
    )  # fmt: skip
    networks = load_networks(arguments)
    drops = belief.score_grids(
        chosen, networks.scorer, networks.features, arguments.settings, occluder, seed, progress=True
    )
    fitted = belief.fit_prior(drops, folds, seed, progress=True)
    card = {
        **belief.describe_search(networks.scorer, arguments.settings.limits, occluder),
        **fitted.card,
        "precision": precision_name(precision, device),
        "videos": fingerprint_videos(chosen),
        "command": command_line(),
    }
    belief.save_prior(out, replace(fitted, card=card))
    write_result(json, "fit-prior", card)
    name = card["matcher"].partition(" ")[0]
    draw_priors(out.with_suffix(".png"), {name: fitted.prior}, average_target(chosen))
    x, y, w, h = fitted.prior.regions[fitted.prior.best]
    print(
        f"{len(chosen)} targets, {drops.drops.size} scorer queries. The best constant region has x {x:.2f}, y"
        f" {y:.2f}, width {w:.2f}, height {h:.2f}, and an average drop of {fitted.prior.mean.max():.3f}"
        f" (all regions: {fitted.prior.mean.mean():.3f})."
    )
    print(
        "Variance within a target that is unexplained on left-out videos: "
        + ", ".join(f"{name} {share:.2f}" for name, share in fitted.card["unexplained"].items())
        + f". Expected drops: {fitted.card['expected_drops']}."
    )
    print(f"The prior is in {out}, its card and picture beside it.")
