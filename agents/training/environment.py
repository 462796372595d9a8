"""The environment that an agent was trained in, as its run and its card record it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
import torch
from torch import nn

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.envs.registration import BACKGROUND_ENV_ID, ENV_ID
from occlusion_env.naming import check_built_in, look_up
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search, Searched
from occlusion_env.search.observations import OBSERVATIONS
from tracker.data.identity import sequence_digest
from tracker.errors import InputError, reading_errors, shorten
from tracker.models.backbones import FeatureExtractor

from .runs import RunFolder

_OF_THE_MACHINE = ("targets", "split", "device", "cache_mb", "info_names")
_OF_THE_OBSERVATION = ("observation", "pixels", "state", "context", "history")


@dataclass(frozen=True)
class TrainingEnvironment:
    """Environment that an agent was trained in.

    Attributes:
        arguments: Of the environment; `targets`, `split`, `device`, `cache_mb` and `info_names` are the
            defaults.
        layer: The layer of the state's network, also where the arguments name none; `None` if unknown.
        weights: SHA-256 of the weights of the state's network, rounded to bfloat16 so that it is the same in every
            precision; `None` if unknown.
        videos: Digest of each training video (`tracker.data.identity.sequence_digest`) by its name; `None` if
            unknown.
        selection_videos: The same of the videos that chose the best model.
        prior: `matcher` and `digest` (`agents.policies.belief.prior_digest`) of the observation's prior; `None`
            if it reads none, or is unknown.
        searches: What the agent searches for, see `Search.searches`.
    """

    arguments: SearchArguments
    layer: str | None = None
    weights: str | None = None
    videos: Mapping[str, str | None] = field(default_factory=dict)
    selection_videos: Mapping[str, str | None] = field(default_factory=dict)
    prior: Mapping[str, str | None] | None = None
    searches: Searched = "region"

    @classmethod
    def of_search(
        cls,
        arguments: SearchArguments,
        search: Search,
        targets: TargetSet,
        selection_targets: TargetSet | None = None,
    ) -> TrainingEnvironment:
        """The record of an environment with this search and these targets."""
        features = search.features
        return cls(
            _portable(arguments),
            getattr(features, "layer", arguments.layer),
            _weights_of(features),
            fingerprint_videos(targets),
            {} if selection_targets is None else fingerprint_videos(selection_targets),
            _prior_of(search),
            search.searches,
        )

    @classmethod
    def from_record(
        cls,
        record: Mapping[str, Any],
        source: str | Path = "environment.json",
        allowed: Collection[str] = (),
    ) -> TrainingEnvironment:
        """Read what `record` wrote; what an older record lacks is unknown.

        Args:
            record: Plain data.
            source: The file that it comes from, for the error's sentence.
            allowed: Names `module:attribute` that the record may hold; see `occlusion_env.naming.check_built_in`.

        Raises:
            InputError: If an argument is unknown or out of range, or names `module:attribute`.
            KeyError: If it has no `env_kwargs`.
            TypeError: If a part has another type.
        """
        check_built_in(record["env_kwargs"], source, allowed)
        for name in ("layer", "weights"):
            if not isinstance(value := record.get(name), str | None):
                raise InputError(f"'{source}' says {name} is {shorten(value)}; it must be a text.")
        prior = record.get("prior")
        if prior is not None and not (isinstance(prior, dict) and prior.keys() == {"matcher", "digest"}):
            raise InputError(f"'{source}' says prior is {shorten(prior)}; it must have a matcher and a digest.")
        searches = record.get("searches", "region")
        if searches not in get_args(Searched):
            raise InputError(f"'{source}' says searches is {shorten(searches)}; it must be region or patch.")
        try:
            arguments = SearchArguments.from_keywords(dict(record["env_kwargs"]))
        except InputError as error:
            raise InputError(f"'{source}' cannot be used: {error}") from None
        return cls(
            _portable(arguments),
            record.get("layer", arguments.layer),
            record.get("weights"),
            dict(record.get("videos") or {}),
            dict(record.get("selection_videos") or {}),
            record.get("prior"),
            searches,
        )

    @classmethod
    def of_run(cls, run: RunFolder, allowed: Collection[str] = ()) -> TrainingEnvironment:
        """The environment of a run; without `environment.json`, as in RL Zoo's runs, only its arguments are known.

        Args:
            run: Its folder.
            allowed: See `from_record`.

        Raises:
            InputError: If the record has an argument that is unknown or out of range, or names `module:attribute`.
        """
        record = run.environment()
        if record is None:
            defaults = gym.registry[run.env_id].kwargs if run.env_id in gym.registry else {}
            record = {"env_kwargs": {**defaults, **run.env_kwargs()}}
        with reading_errors(run.parameters, "the record of a training environment", "train again"):
            searches = "patch" if run.env_id == BACKGROUND_ENV_ID else "region"
            return cls.from_record({"searches": searches, **record}, run.parameters, allowed)

    def record(self) -> dict[str, Any]:
        """Plain data."""
        arguments = {name: value for name, value in asdict(self.arguments).items() if name not in _OF_THE_MACHINE}
        return {
            "env_kwargs": arguments,
            "layer": self.layer,
            "weights": self.weights,
            "videos": dict(self.videos),
            "selection_videos": dict(self.selection_videos),
            "prior": None if self.prior is None else dict(self.prior),
            "searches": self.searches,
        }

    @property
    def reads_features(self) -> bool:
        """Whether the observation holds features of the state's network; a class says so by `reads_features`."""
        if self.arguments.observation == "pixels":
            return False
        kind = look_up("observation", self.arguments.observation, OBSERVATIONS)
        return bool(getattr(kind, "reads_features", True))

    def load_features(self, device: str, weights: str | None = None) -> FeatureExtractor | None:
        """Load the network and layer of the state; `None` where the observation reads no features.

        `weights` is a file in place of the recorded one.

        Raises:
            InputError: If the file is missing or holds other weights than the agent was trained with.
        """
        if not self.reads_features:
            return None
        given = self.arguments.weights if weights is None else weights
        wanted = replace(self.arguments, device=device, weights=given, layer=self.layer)
        features = load_networks(wanted).features
        self._check_features(features, "The agent")
        return features

    def check(self, search: Search, agent: str) -> None:
        """Refuse a search whose observations are other ones than the agent was trained on.

        The prior of another matcher is allowed: its observations are in the prior's units.

        Args:
            search: Where the agent is to act.
            agent: Begins the error's sentence, such as "The agent 'FILE'".

        Raises:
            InputError: Naming the setting, its value in training, and its value in the search.
        """
        self.check_searches(search.searches, agent)
        for name in _OF_THE_OBSERVATION:
            trained, given = getattr(self.arguments, name), getattr(search.settings, name)
            if name == "pixels" and self.arguments.observation != "pixels":
                continue
            if trained != given:
                raise InputError(_mismatch(agent, name, trained, given))
        if self.reads_features:
            self._check_features(search.features, agent)
        given = _prior_of(search)
        if self.prior is not None and given is not None and self.prior["matcher"] == given["matcher"]:
            if self.prior["digest"] != given["digest"]:
                raise InputError(_mismatch(agent, "prior", self.prior["digest"], given["digest"]))

    def check_searches(self, wanted: Searched, agent: str) -> None:
        """Refuse to search for a patch with an agent that was trained to search for a region, or the reverse.

        Args:
            wanted: What is searched for.
            agent: Begins the error's sentence.

        Raises:
            InputError: If the agent was trained to search for the other.
        """
        if self.searches != wanted:
            raise InputError(
                f"{agent} was trained to search for a {self.searches}, and a {wanted} is searched for; give one"
                f" that was trained in {ENV_ID if wanted == 'region' else BACKGROUND_ENV_ID}."
            )

    def departures(self, arguments: SearchArguments, agent: str) -> list[str]:
        """Sentences that name where an agent acts against another matcher or occluder than in training."""
        said = []
        for name in ("scorer", "occluder"):
            trained, given = self._acts_on(self.arguments, name), self._acts_on(arguments, name)
            if trained != given:
                said.append(f"{agent} was trained with the {name} {trained} and acts on {given}.")
        return said

    def shared_videos(self, videos: Mapping[str, str]) -> list[str]:
        """Names of the videos that the agent was trained or chosen on, by their name or their fingerprint.

        Args:
            videos: Fingerprints by name.
        """
        own = {**self.videos, **self.selection_videos}
        known = set(own.values()) - {None}
        return [name for name, print_ in videos.items() if name in own or print_ in known]

    def _check_features(self, features: Any, agent: str) -> None:
        layer = getattr(features, "layer", None)
        if self.layer is not None and layer != self.layer:
            raise InputError(_mismatch(agent, "layer", self.layer, layer))
        found = _weights_of(features)
        if self.weights is not None and found != self.weights:
            raise InputError(_mismatch(agent, "weights", self.weights, found))

    @staticmethod
    def _acts_on(arguments: SearchArguments, name: str) -> str:
        value = getattr(arguments, name)
        return f"sint of {arguments.features}" if value == "sint" else str(value)


def fingerprint_videos(targets: TargetSet) -> dict[str, str]:
    """The digest of each video that targets are of, by its name: the same for a video under another name."""
    return {name: sequence_digest(sequence) for name, sequence in targets.sequences.items()}


def _portable(arguments: SearchArguments) -> SearchArguments:
    """The arguments without those of one machine."""
    plain = SearchArguments()
    return replace(arguments, **{name: getattr(plain, name) for name in _OF_THE_MACHINE})


def _mismatch(agent: str, name: str, trained: object, given: object) -> str:
    return f"{agent} was trained with {name} {trained} and is given {given}; give it what it was trained with."


def network_fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights, rounded to bfloat16: the same for a copy in either precision."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _prior_of(search: Search) -> Mapping[str, str | None] | None:
    """Matcher and digest of the prior that a search's observation reads; `None` where it reads none."""
    return getattr(search.observation, "prior_record", None)


def _weights_of(features: Any) -> str | None:
    """Fingerprint of the network behind a feature extractor; `None` where it has none."""
    backbone = getattr(features, "backbone", None)
    return None if backbone is None else network_fingerprint(backbone)
