"""What an evaluation compares, loaded by its names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.scene.targets import Target
from tracker.errors import InputError
from tracker.models.backbones import Precision

from ..policies.baselines import BASELINES, Querying
from ..policies.belief import FittedPrior, check_prior, describe_search, load_prior, shipped_prior
from ..policies.loading import load_agent, load_policy
from ..policies.rollout import Agent
from .arms import Member
from .leaks import constant_agents, without_features
from .methods import query_methods

Checks = Callable[[Many[Target]], Many[Agent]]
"""Makes the leak checks from targets of another video; from no targets where only their names are needed."""


def no_checks(others: Many[Target]) -> list[Agent]:
    """No leak checks."""
    return []


def leak_checks(agent: Agent, others: Many[Target]) -> list[Agent]:
    """An agent without its features, and each action alone."""
    return [*without_features(agent, others), *constant_agents()]


@dataclass(frozen=True)
class Contest:
    """What an evaluation compares.

    Attributes:
        networks: See `comparison.compare`.
        agents: The policies.
        checks: Policies that should be worse, see `leaks`; their other video is the next sequence, or a synthetic
            one where there is one sequence.
        methods: The query methods; see `comparison.compare`. A belief among them is checked with the answers of
            the next sequence's targets (`with_foreign_answers`) where there is more than one sequence.
        arguments: See `comparison.compare`.
        fitted: The prior of the methods, `None` without one.
    """

    networks: Networks
    agents: Many[Agent] = ()
    checks: Checks = no_checks
    methods: Mapping[str, Querying] | None = None
    arguments: SearchArguments = SearchArguments()
    fitted: FittedPrior | None = None


def load_contest(
    members: Many[Member],
    *,
    algo: str | None = None,
    scorer: str | None = None,
    features: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    precision: Precision = "auto",
    device: str = "cpu",
    prior: Path | None = None,
    checks: bool = True,
    allowed: Collection[str] = (),
    warn: Callable[[str], object] = lambda sentence: None,
) -> Contest:
    """Load agents, the matcher and its query methods.

    Args:
        members: The agents; the first one's training gives the scorer, features, weights, occluder and largest
            area that are not given.
        algo: See `loading.load_policy`.
        scorer: The matcher.
        features: Network of SINT, and of the state where no card or run records one.
        weights: File of the network's weights.
        layer: Layer of the state, for an agent whose card or run does not record it.
        precision: Arithmetic of the networks.
        device: Where they run.
        prior: File of the prior; the one that the package ships for the scorer if `None`.
        checks: Whether to add the leak checks of the first agent.
        allowed: See `loading.load_policy`.
        warn: Called with a sentence where an agent was trained in another environment, or there is no prior.

    Raises:
        InputError: If something named cannot be loaded, two agents have the same name, an agent was trained with
            another layer or to search for a patch, or the prior is of another search.
    """
    specs = [member.spec for member in members]
    policies = {spec: load_policy(spec, algo, device, allowed) for spec in specs if spec not in BASELINES}
    records = [policies[spec].environment if spec in policies else None for spec in specs]
    trained = records[0].arguments if records and records[0] is not None else None
    network = features or (trained.features if trained is not None else "slim")
    loaded = [
        policies[spec].agent(device, {network: weights}) if spec in policies else load_agent(spec)
        for spec in specs
    ]
    agents = [replace(one, name=member.name or one.name) for one, member in zip(loaded, members, strict=True)]
    names = [agent.name for agent in agents]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two agents have the name '{doubled[0]}'; rename the file of one.")
    base_weights = None
    if features is None and trained is not None:
        weights, base_weights = weights or trained.weights, trained.base_weights
    if scorer is None:
        scorer = "sint" if trained is None or not isinstance(trained.scorer, str) else trained.scorer
    arguments = SearchArguments(
        scorer=scorer, features=network, weights=weights, layer=layer, device=device, precision=precision,
        base_weights=base_weights,
        occluder="background" if trained is None else trained.occluder,
        max_area=SearchArguments.max_area if trained is None else trained.max_area,
    )  # fmt: skip
    for name, record in zip(names, records, strict=True):
        if record is None:
            continue
        record.check_searches("region", f"The agent '{name}'")
        if layer is not None and record.reads_features and record.layer not in (None, layer):
            raise InputError(
                f"'{name}' was trained with layer {record.layer} and --layer is {layer}; leave it out."
            )
        for sentence in record.departures(arguments, f"The agent '{name}'"):
            warn(sentence)
    networks, limits = load_networks(arguments), arguments.settings.limits
    if prior is None:
        fitted = shipped_prior(networks.scorer, limits, arguments.occluder)
    else:
        fitted = load_prior(prior)
        check_prior(fitted, describe_search(networks.scorer, limits, arguments.occluder), f"'{prior}'")
    if fitted is None:
        warn(
            "no prior for this scorer, area and occluder; constant, strips, predictor and belief are left out"
            " (fit-prior makes one for --prior)."
        )
    return Contest(
        networks, agents, partial(leak_checks, agents[0]) if checks and agents else no_checks,
        query_methods(networks.scorer, fitted), arguments, fitted,
    )  # fmt: skip
