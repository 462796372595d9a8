"""The command `generate`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

from tracker.errors import InputError

from ..shared import (
    GOES_ON,
    Allow,
    Device,
    Json,
    Open,
    Precision,
    Ray,
    Seed,
    WorkerCount,
    choose_workers,
    on_interrupt,
    open_page,
    warn,
)  # fmt: skip


def generate(
    data: Path,
    out: Path = Path("out/hard_positives"),
    per_target: int = 1,
    workers: WorkerCount = 1,
    ray: Ray = None,
    agent: str = "belief",
    prior: Path | None = None,
    queries: int | None = None,
    drop: float | None = None,
    patch_agent: str | None = None,
    patch_queries: int | None = None,
    bank: Path | None = None,
    per_sequence: int | None = None,
    scorer: str | None = None,
    occluder: Literal["background", "mean", "noise", "zero", "cutout", "contrast"] | None = None,
    max_area: float | None = None,
    answer: Literal["best", "last"] = "best",
    view: Literal["crop", "region", "frame"] | None = None,
    context: float | None = None,
    format: Literal["imagefolder", "webdataset"] = "imagefolder",
    shard_size: int | None = None,
    image_format: Literal["png", "jpeg"] = "png",
    features: Literal["slim", "vgg16"] | None = None,
    weights: str | None = None,
    precision: Precision = "auto",
    device: Device = "auto",
    batch: int = 32,
    seed: Seed = 0,
    open: Open = False,
    json: Json = None,
    allow: Allow = (),
) -> None:
    """Make hard positives of annotated videos.

    Writes OUT/VIDEO/FRAME-DRAW.png and OUT/metadata.jsonl, a record of how each was made, which `train-tracker
    --hard-positives` and `datasets.load_dataset("imagefolder", data_dir=OUT)` read, and OUT/index.html, a page of
    the images, the hardest first. The same command resumes a run that was cut off.

    Args:
        data: A folder of annotated sequences, or one.
        out: Folder for the images.
        per_target: Hard positives of each target; they differ in the patch that covers it.
        agent: The policy that chooses the region: belief, random, best-of-K-random, centre, cell, attribution,
            hill-climbing or grid; `pretrained` or an agent's safetensors file, which hold no code; or the folder
            of a training run or an agent's zip file, which are pickles: loading one executes code, so load only
            files that you trust.
        prior: Prior of the belief, a file of fit-prior; by default the one that the package ships for the scorer,
            or else one that is fitted to grid search on 12 of the targets.
        queries: Scorer queries of the belief for each hard positive; 10 by default.
        drop: Score drop that the belief aims at, in place of the largest one.
        patch_agent: The policy that then searches the background for the patch (the paper's second search):
            contrast, which tries the pieces that differ most from the covered part; random or best-of-K-random;
            or an agent that was trained in BackgroundSearch-v0, as --agent takes it. By default there is none.
        patch_queries: Scorer queries of contrast for each hard positive; 3 by default.
        bank: A folder of manifolds by train-vae; each hard positive then shows a new sample of its target.
        per_sequence: Most targets of a sequence, evenly spaced; all by default.
        scorer: The matcher: sint, or module:function, a function that returns your own scorer (imported from
            Python's path or the current folder); by default that of the agent's training.
        occluder: What covers the target in the search for the region; contrast is the piece of background that
            differs most from the target. By default that of the agent's training, or background.
        max_area: Largest area of a region as a share of the target; 0.25 by default. An agent keeps its own.
        answer: The best of the regions that an agent visited, or its last.
        view: What an image shows: crop, the target alone; region, a square around it; frame, the whole frame. By
            default crop, or region where --context is given. metadata.jsonl has the target's box in the image.
        context: Side of a region in sides of SiamFC's exemplar: 2, the default, is its search region; 4.02 is
            pysot's crop511. The frame's mean colour lies outside the frame.
        format: imagefolder writes a file an image; webdataset writes shards, OUT/hard_positives-000000.tar and so
            on, with image and record of each hard positive, and neither metadata.jsonl nor the page.
        shard_size: Most hard positives of a shard; 1,000 by default. A run that is cut off loses at most the shard
            that each process was making.
        image_format: png is lossless; jpeg is smaller.
        features: Network of the scorer, and of the state where no run records one; by default that of the agent's
            run, or slim.
        weights: A safetensors file with the network's weights; for vgg16 also `imagenet`, which fetches them.
        batch: Searches in one batch in each process.

    Examples:
        occlusion-search generate --data path/to/videos --out out/hard_positives
        occlusion-search generate --data path/to/videos --view region --context 2 --per-target 4 --workers 2
    """
    from dataclasses import asdict, replace

    from occlusion_env.envs.arguments import SearchArguments
    from occlusion_env.naming import find_import_paths
    from tracker.models.backbones import resolve_device

    from ...common.locks import lock_folder
    from ...common.output import check_folder
    from ...common.results import command_line, write_result
    from ...hard_positives.generation_run import (
        GenerationRun,
        generate_hard_positives,
        method_path,
        patch_method_of,
        patch_method_path,
    )
    from ...hard_positives.page import write_hard_positives_page
    from ...hard_positives.views import View
    from ...policies.belief import BeliefSearch
    from ...policies.loading import load_policy
    from ...policies.methods import as_method, is_method
    from ...policies.rollout import Agent

    in_shards = format == "webdataset"
    if open and in_shards:
        raise InputError("--open shows the page of an imagefolder, and shards have none; leave it out.")
    if shard_size is not None and not in_shards:
        raise InputError("--shard-size is of the format 'webdataset'; leave it out, or give --format webdataset.")
    files = method_path(agent), None if patch_agent is None else patch_method_path(patch_agent)
    check_folder(out, data, bank, *files, weights, prior, json=json)
    if context is not None and view not in (None, "region"):
        raise InputError(f"--context is of the view 'region', not of '{view}'; leave one of them out.")
    shown = View(view or ("crop" if context is None else "region"), View.context if context is None else context)
    place = str(resolve_device(device))
    allowed = tuple(sorted({*allow, *find_import_paths(scorer)}))
    loaded = None if is_method(agent) else load_policy(agent, device=place, allowed=allowed)
    trained = None if loaded is None else loaded.environment
    arguments = SearchArguments() if trained is None else trained.arguments
    network = features or arguments.features
    method = as_method(agent if loaded is None else loaded.agent(place, {network: weights}))
    if isinstance(method, Agent) and max_area is not None:
        raise InputError("An agent keeps to the largest area that it was trained with; leave --max-area out.")
    belief: dict[str, Any] = {"prior": prior, "queries": queries, "drop": drop}
    belief = {name: value for name, value in belief.items() if value is not None}
    if belief and not isinstance(method, BeliefSearch):
        raise InputError(
            f"--{next(iter(belief))} is of the agent 'belief', not of '{agent}'; leave one of them out."
        )
    if patch_queries is not None and patch_agent != "contrast":
        raise InputError("--patch-queries is of --patch-agent contrast; give both, or leave --patch-queries out.")
    patch: dict[str, Any] = {"patch_agent": patch_agent, "patch_queries": patch_queries}
    patch = {name: value for name, value in patch.items() if value is not None}
    given: dict[str, Any] = {
        "features": features, "weights": weights, "scorer": scorer, "occluder": occluder, "max_area": max_area,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    arguments = replace(arguments, device=place, precision=precision, targets="synthetic", **given)
    if scorer is not None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    second = None if patch_agent is None else patch_method_of(patch_agent, place, {network: weights}, allowed)
    for name, environment in ((agent, trained), (patch_agent, getattr(second, "trained", None))):
        for sentence in [] if environment is None else environment.departures(arguments, str(name)):
            warn(sentence)
    run = GenerationRun(
        data, out, agent, arguments=arguments, bank=bank, per_target=per_target, per_sequence=per_sequence,
        answer=answer, seed=seed, image_format=image_format, workers=choose_workers(workers, ray), batch=batch,
        allowed=allowed, view=shown, format=format,
        shard_size=GenerationRun.shard_size if shard_size is None else shard_size, **belief, **patch,
    )  # fmt: skip
    with on_interrupt(GOES_ON), lock_folder(out):
        report = generate_hard_positives(run)
        page = None if in_shards else write_hard_positives_page(out, command_line())
    write_result(json, "generate", asdict(report))
    speed = f", {report.made / report.seconds:.1f} a second" if report.made else ""
    print(
        f"{report.images} hard positives ({report.made} of them new{speed}) in {out}; mean score"
        f" {report.before:.3f} -> {report.after:.3f}" + ("" if page is None else f"; the hardest first in {page}")
    )
    if open and page is not None:
        open_page(page)
    for name, reason in report.failed.items():
        print(f"- {name} failed: {reason}", file=sys.stderr)
    if report.failed:
        sys.exit(1)
