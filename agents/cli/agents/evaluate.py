"""The command `evaluate`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Literal

from tracker.errors import InputError

from ..shared import (
    GOES_ON,
    Allow,
    Device,
    Json,
    Open,
    Precision,
    Ray,
    WorkerCount,
    choose_workers,
    on_interrupt,
    open_page,
    warn,
)  # fmt: skip
from .train import Algorithm


def evaluate(
    data: Path,
    agent: tuple[str, ...] = (),
    algo: Algorithm | None = None,
    per_sequence: int = 20,
    seeds: int = 3,
    prior: Path | None = None,
    checks: Literal["all", "none"] = "all",
    out: Path = Path("out/evaluation"),
    workers: WorkerCount = 1,
    ray: Ray = None,
    scorer: str | None = None,
    features: Literal["slim", "vgg16"] | None = None,
    weights: str | None = None,
    layer: str | None = None,
    precision: Precision = "auto",
    device: Device = "auto",
    open: Open = False,
    json: Json = None,
    allow: Allow = (),
) -> None:
    """Compare agents and query methods at equal scorer queries.

    All methods have the same area cap and the same patch. Reports the closure after 1 to 50 queries for the best
    of k random regions, the cells of a 3 x 3 grid, the best constant region and the strips of a prior's training
    videos, attribution, the drop predictor, hill climbing, the belief, and each agent, whose start is its first
    query. Closure is 0 for a random region and 1 for grid search over some 340 regions; a region between the
    grid's can exceed 1. Also reports the gain over the constant region, and leak checks: the first agent
    without its features, each action alone, and the belief with the scores of another video. The same command
    resumes a run that was cut off.

    Writes index.html (the page), evaluation.json, frontier.png and, for each sequence, pictures/NAME.png to OUT.

    Args:
        data: A folder of annotated sequences, or one; nothing may have been trained on them.
        agent: Folders of training runs and zip files, which are pickles (loading one executes code, so give only
            files that you trust), safetensors files, which hold no code, or names of baselines, which then move as
            an agent does. The first one's largest area is that of all methods. ARM=AGENT pools agents that were
            trained with several seeds; arms are compared with one another.
        algo: Algorithm of the agents; by default the one that each run or path records.
        per_sequence: Targets of a sequence, evenly spaced.
        seeds: Number of seeds of the patches and the random regions, from 0; their results are pooled.
        prior: A file of `fit-prior` for the scorer, on other videos: gives the constant region, the strips, the
            predictor and the belief. By default the one that the package ships for the scorer, where there is one.
        checks: Leak checks, which should score worse than an agent; none saves the queries of a slow scorer.
        out: Folder for the results.
        scorer: The matcher that gives the scores: sint, or module:function for your own; by default that of the
            first agent's training, or sint.
        features: Network of SINT, and of the state where no card or run records one; by default that of the first
            agent's training, or slim.
        weights: A safetensors file with the network's weights; for vgg16 also `imagenet`, which fetches them.
        layer: Layer of the network that is the state, for an agent whose card or run does not record it; fc7, or
            pool5 where the weights hold convolutions alone.

    Examples:
        occlusion-search evaluate --data path/to/test --agent pretrained
        occlusion-search evaluate --data path/to/test --agent dqn=logs/dqn/OcclusionSearch-v0_1 --seeds 1
    """
    from occlusion_env.naming import find_import_paths
    from tracker.evaluation.running import weights_digest
    from tracker.models.backbones import describe_arithmetic, resolve_device, resolve_precision

    from ...common.locks import lock_folder
    from ...common.output import check_folder
    from ...common.results import command_line, write_result
    from ...evaluation.arms import arms_of, read_members
    from ...evaluation.contest import load_contest
    from ...evaluation.page import write_evaluation_page
    from ...evaluation.pictures import draw_choices, draw_frontier
    from ...evaluation.run import EvaluationRun, evaluate_agents
    from ...evaluation.table import print_evaluation
    from ...policies.belief import prior_digest
    from ...policies.loading import agent_digest, agent_path, training_speed

    if seeds > 1000:
        raise InputError(f"--seeds is {seeds}; it must be at most 1000.")
    members, where = read_members(agent), choose_workers(workers, ray)
    specs = [member.spec for member in members]
    check_folder(out, data, weights, prior, *map(agent_path, specs), json=json)
    place = str(resolve_device(device))
    load = partial(
        load_contest, members, algo=algo, scorer=scorer, features=features, weights=weights, layer=layer,
        precision=precision, device=place, prior=prior, checks=checks == "all",
        allowed={*allow, *find_import_paths(scorer)},
    )  # fmt: skip
    contest = load(warn=warn)
    given, fitted = contest.arguments, contest.fitted
    identity = {
        "scorer": given.scorer,
        "scorer_code": _code_digest(str(given.scorer)),
        "features": given.features,
        "layer": getattr(contest.networks.features, "layer", layer),
        "arithmetic": describe_arithmetic(
            resolve_precision(precision, resolve_device(place)), resolve_device(place)
        ),
        "weights": (
            weights_digest(given.weights)
            if given.weights is not None and Path(given.weights).exists()
            else given.weights
        ),
        "agent_files": [agent_digest(spec) for spec in specs],
        "prior": None if fitted is None else prior_digest(fitted),
    }
    run = EvaluationRun(data, out, per_sequence, tuple(range(seeds)), identity)
    with on_interrupt(GOES_ON), lock_folder(out):
        content = evaluate_agents(run, contest, draw_choices, arms_of(members) or None, warn, where, load)
    for one, spec in zip(contest.agents, specs, strict=True):
        content["agents"][one.name] |= {"agent": spec, "training": training_speed(spec)}
    content.update(
        prior=None if fitted is None else {"file": prior and str(prior), **fitted.card},
        per_sequence=per_sequence, seeds=list(run.seeds), scorer=given.scorer,
        features=given.features, device=place,
        occluder=given.occluder,
    )  # fmt: skip
    for path in (out / "evaluation.json", json):
        write_result(path, "evaluation", content)
    draw_frontier(out / "frontier.png", content)
    page = write_evaluation_page(out, content, command_line())
    print_evaluation(content)
    print(f"The page is {page}; the figures of each sequence are in {out / 'evaluation.json'}.")
    if open:
        open_page(page)
    for name, reason in content["failed"].items():
        print(f"- {name} failed: {reason}", file=sys.stderr)
    if content["failed"]:
        sys.exit(1)


def _code_digest(name: str) -> str | None:
    """SHA-256 of the module behind `module:function`; `None` for a name of the package's own."""
    from importlib.util import find_spec

    from tracker.evaluation.running import weights_digest

    module, colon, _ = name.partition(":")
    found = find_spec(module) if colon else None
    return weights_digest(found.origin) if found is not None and found.origin is not None else None
