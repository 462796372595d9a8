"""The command `evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.errors import InputError

from ..shared import GOES_ON, Allow, Device, Json, Open, Precision, on_interrupt, open_page, warn
from .train import Algorithm

if TYPE_CHECKING:
    from occlusion_env.scene.targets import Target

    from ...evaluation.comparison import MethodComparison
    from ...policies.rollout import Agent


def evaluate(
    data: Path,
    agent: tuple[str, ...] = (),
    algo: Algorithm | None = None,
    per_sequence: int = 20,
    seeds: int = 3,
    prior: Path | None = None,
    checks: Literal["all", "none"] = "all",
    out: Path = Path("out/evaluation"),
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
    from occlusion_env.envs.arguments import SearchArguments
    from occlusion_env.envs.building import load_networks
    from occlusion_env.naming import find_import_paths
    from tracker.evaluation.running import weights_digest
    from tracker.models.backbones import describe_arithmetic, resolve_device, resolve_precision

    from ...common.locks import lock_folder
    from ...common.output import check_folder
    from ...common.results import command_line, write_result
    from ...evaluation.arms import arms_of, read_members
    from ...evaluation.leaks import constant_agents, without_features
    from ...evaluation.methods import query_methods
    from ...evaluation.page import write_evaluation_page
    from ...evaluation.pictures import draw_choices, draw_frontier
    from ...evaluation.run import EvaluationRun, evaluate_agents
    from ...evaluation.table import print_evaluation
    from ...policies.baselines import BASELINES
    from ...policies.belief import check_prior, describe_search, load_prior, prior_digest, shipped_prior
    from ...policies.loading import agent_digest, load_agent, load_policy, training_speed

    if seeds > 1000:
        raise InputError(f"--seeds is {seeds}; it must be at most 1000.")
    members = read_members(agent)
    check_folder(out, data, weights, prior, *(member.spec for member in members), json=json)
    place = str(resolve_device(device))
    specs, arms = [member.spec for member in members], arms_of(members)
    allowed = {*allow, *find_import_paths(scorer)}
    policies = {spec: load_policy(spec, algo, place, allowed) for spec in specs if spec not in BASELINES}
    records = [policies[spec].environment if spec in policies else None for spec in specs]
    trained = records[0].arguments if records and records[0] is not None else None
    network: str = features or (trained.features if trained is not None else "slim")
    loaded = [
        policies[spec].agent(place, {network: weights}) if spec in policies else load_agent(spec) for spec in specs
    ]
    loaded = [replace(one, name=member.name or one.name) for one, member in zip(loaded, members, strict=True)]
    names = [one.name for one in loaded]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two agents have the name '{doubled[0]}'; rename the file of one.")
    base_weights = None
    if features is None and trained is not None:
        weights, base_weights = weights or trained.weights, trained.base_weights
    if scorer is None:
        scorer = "sint" if trained is None or not isinstance(trained.scorer, str) else trained.scorer
    given = SearchArguments(
        scorer=scorer, features=network, weights=weights, layer=layer, device=place, precision=precision,
        base_weights=base_weights,
        occluder="background" if trained is None else trained.occluder,
        max_area=SearchArguments.max_area if trained is None else trained.max_area,
    )  # fmt: skip
    for name, record in zip(names, records, strict=True):
        if record is None:
            continue
        if layer is not None and record.reads_features and record.layer not in (None, layer):
            raise InputError(
                f"'{name}' was trained with layer {record.layer} and --layer is {layer}; leave it out."
            )
        for sentence in record.departures(given, f"The agent '{name}'"):
            warn(sentence)
    networks, limits = load_networks(given), given.settings.limits
    if prior is None:
        fitted = shipped_prior(networks.scorer, limits, given.occluder)
    else:
        fitted = load_prior(prior)
        check_prior(fitted, describe_search(networks.scorer, limits, given.occluder), f"'{prior}'")
    if fitted is None:
        warn(
            "no prior for this scorer, area and occluder; constant, strips, predictor and belief are left out"
            " (fit-prior makes one for --prior)."
        )
    identity = {
        "scorer": scorer,
        "scorer_code": _code_digest(scorer),
        "features": given.features,
        "layer": getattr(networks.features, "layer", layer),
        "arithmetic": describe_arithmetic(
            resolve_precision(precision, resolve_device(place)), resolve_device(place)
        ),
        "weights": weights_digest(weights) if weights is not None and Path(weights).exists() else weights,
        "agent_files": [agent_digest(spec) for spec in specs],
        "prior": None if fitted is None else prior_digest(fitted),
    }
    methods = query_methods(networks.scorer, fitted)
    run = EvaluationRun(data, out, per_sequence, tuple(range(seeds)), identity)

    def worse(others: Sequence[Target]) -> list[Agent]:
        if checks == "none" or not loaded:
            return []
        return [*without_features(loaded[0], others), *constant_agents()]

    def draw(name: str, shown: list[Target], found: MethodComparison) -> Path:
        picture = out / "pictures" / f"{name}.png"
        draw_choices(picture, f"'{name}': what each method covers, and the score (bold: lowest)", shown, found)
        return picture

    with on_interrupt(GOES_ON), lock_folder(out):
        content = evaluate_agents(
            run,
            networks,
            loaded,
            worse,
            methods,
            draw,
            arms or None,
            warn,
            {} if fitted is None else fitted.card.get("videos", {}),
            given,
        )
    for name, spec in zip(names, specs, strict=True):
        content["agents"][name] |= {"agent": spec, "training": training_speed(spec)}
    content.update(
        prior=None if fitted is None else {"file": prior and str(prior), **fitted.card},
        per_sequence=per_sequence, seeds=list(run.seeds), scorer=scorer, features=given.features, device=place,
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
