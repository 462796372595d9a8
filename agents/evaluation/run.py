"""Agents and baselines over the sequences of a folder; a run that was cut off goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tqdm import tqdm

from occlusion_env.scene.targets import Target, TargetSet, load_targets
from occlusion_env.search.belief import Belief, Prior
from tracker.data.identity import UNREADABLE, code_version, content_digest, folder_digests
from tracker.data.readers import list_targets
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError
from tracker.evaluation.running import weights_digest
from tracker.records import read_record, warn_of_damage, write_record
from tracker.trackers.following import open_sequence

from ..common.output import claim_folder
from ..policies.baselines import Querying
from ..policies.belief.method import BeliefProposer
from ..policies.rollout import Agent
from .comparison import Comparison, Setup, Trial, compare
from .leaks import with_foreign_answers
from .summary import record, summarise, trial_record

__all__ = ["SETTINGS", "Checks", "EvaluationRun", "evaluate_agents"]

SETTINGS = "settings.json"
_SEQUENCES = "sequences"
Checks = Callable[[Many[Target]], Many[Agent]]
"""Leak checks, made with targets of another video (none where only their names are needed)."""


@dataclass(frozen=True)
class EvaluationRun:
    """What to evaluate, on what.

    Attributes:
        data: A folder of annotated sequences, or one.
        out: Receives `settings.json` and what each sequence gave, in `sequences/`.
        per_sequence: Targets of a sequence, evenly spaced over its frames after the first.
        seeds: Of the patches and the random regions; all are pooled.
        identity: Everything else that the figures depend on, as plain data: a folder with other results is
            refused.
    """

    data: Path
    out: Path
    per_sequence: int
    seeds: tuple[int, ...]
    identity: dict[str, Any]

    def __post_init__(self) -> None:
        """Refuse a run of nothing.

        Raises:
            InputError: If a number is below 1 or a seed comes twice.
        """
        if self.per_sequence < 1:
            raise InputError(f"{self.per_sequence} targets a sequence are too few; give --per-sequence 1 or more.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError("An evaluation needs one seed or more, each once; give --seeds 1 or more.")


def evaluate_agents(
    run: EvaluationRun,
    setup: Setup,
    agents: Many[Agent] = (),
    checks: Checks = lambda others: (),
    methods: Mapping[str, Querying] | None = None,
    look: Callable[[str, list[Target], Comparison], Path | None] | None = None,
    arms: Mapping[str, Many[str]] | None = None,
    warn: Callable[[str], object] = lambda sentence: None,
    prior_videos: Mapping[str, str | None] = MappingProxyType({}),
) -> dict[str, Any]:
    """Compare agents and query methods on every sequence.

    Each sequence's results are written when it is done; a run into the same folder takes those that are there,
    where the sequence has not changed and no file is damaged.

    Args:
        run: What to run on.
        setup: The matcher, the features, the search.
        agents: The policies to judge.
        checks: Policies that must do worse, see `leaks`; their other video is the next sequence, or a synthetic
            one where there is one sequence.
        methods: The query methods; see `evaluation.compare`. A belief among them is checked with the answers of
            the next sequence's targets (`with_foreign_answers`) where there is more than one sequence.
        look: Called with each new sequence's name, its targets, and what the first seed gave; may draw a
            picture in the run's folder and return its file.
        arms: See `summarise`.
        warn: Called with a sentence where an agent was trained on a sequence, or the prior was fitted to it.
        prior_videos: Fingerprints of the prior's videos by name.

    Returns:
        What `summarise` returns; `failed`: why, by sequence; one that fails does not stop the others; and
        `trained_on`: the sequences that an agent was trained on, by agent, and those of the prior, by `prior`.

    Raises:
        InputError: If there is no sequence, all failed, or the folder holds results of something else.
    """
    there = list_targets(run.data)
    if not there:
        raise InputError(f"'{run.data}' holds no annotated sequence; give --data a folder of some.")
    named_checks = checks(())
    _claim(run, setup, agents, named_checks, methods)
    videos = {name: digest for name, digest in folder_digests(run.data).items() if digest != UNREADABLE}
    contents = folder_digests(run.data, content_digest)
    trained_on = {agent.name: agent.trained.shared_videos(videos) for agent in agents if agent.trained is not None}
    if prior_videos:
        known = set(prior_videos.values()) - {None}
        trained_on["prior"] = [name for name, digest in videos.items() if name in prior_videos or digest in known]
    for name, shared in trained_on.items():
        if shared:
            trained = "the prior was fitted to" if name == "prior" else f"'{name}' was trained on"
            warn(f"{trained} {', '.join(shared)}; its figures there say nothing about other videos.")
    folder = run.out / _SEQUENCES
    folder.mkdir(parents=True, exist_ok=True)
    records: dict[str, Any] = {}
    failed: dict[str, str] = {}
    caps = {agent.name: (agent.settings or setup.settings).limits.max_area for agent in agents}
    total = len(there) * run.per_sequence * len(run.seeds)
    with tqdm(total=total, desc="evaluation", unit="target") as bar:
        for name, (path, number) in there.items():
            file = folder / f"{name}.json"
            bar.set_postfix_str(name)
            end = bar.n + run.per_sequence * len(run.seeds)
            other = _other_video(name, list(videos)) if named_checks else None
            made_of = [contents.get(name), None if other is None else contents.get(other, other)]
            cached = read_record(file) or {}
            if cached.get("videos") == made_of and _has_picture(run.out, cached):
                records[name] = cached
            else:
                try:
                    targets = _targets(path, number, run.per_sequence)
                    worse: Many[Agent] = ()
                    if other is not None:
                        worse = checks(_other_targets(name, other, there, run.per_sequence))
                    found = {
                        seed: compare(setup, targets, agents, worse, methods, seed=seed, key=name, done=bar.update)
                        for seed in run.seeds
                    }
                except InputError as error:
                    failed[name] = str(error)
                else:
                    ids = tuple(target.id for target in targets)
                    records[name] = {"videos": made_of, **record(found, ids, caps)}
                    picture = None if look is None else look(name, targets, found[run.seeds[0]])
                    if picture is not None:
                        records[name]["picture"] = [str(picture.relative_to(run.out)), weights_digest(picture)]
                    write_record(file, records[name])
            bar.update(end - bar.n)
    if not records:
        raise InputError(next(iter(failed.values())))
    for name, method in (methods or {}).items():
        if isinstance(method.proposer, BeliefProposer):
            _check_belief(records, name, method.proposer.fitted.prior)
    figures = summarise(records, [agent.name for agent in agents], arms=arms)
    return {**figures, "failed": failed, "trained_on": trained_on}


def _has_picture(out: Path, cached: Mapping[str, Any]) -> bool:
    """Whether the picture of a sequence is as it was drawn, if there was one; if not there is a warning."""
    if "picture" not in cached:
        return True
    name, digest = cached["picture"]
    if (out / name).is_file() and weights_digest(out / name) == digest:
        return True
    warn_of_damage(out / name)
    return False


def _check_belief(records: dict[str, Any], name: str, prior: Prior) -> None:
    """Add a belief with foreign answers to each sequence's checks; the answers are those of the next sequence."""
    names = list(records)
    for video, other in zip(names, names[1:] + names[:1], strict=True):
        for seed, run in records[video]["seeds"].items():
            foreign = records[other]["seeds"][seed]
            if video == other:
                continue
            drops = np.array(foreign["clean"])[:, None] - np.array(foreign["grid"])
            belief = Belief(prior, np.array(run["expected"][name]))
            curve, answers = with_foreign_answers(belief, np.array(run["grid"]), drops)
            trial = Trial(curve, np.full(len(curve), float(curve.shape[1])), prior.regions[answers])
            run["checks"][f"{name}, answers of another video"] = trial_record(trial)


def _other_video(name: str, videos: Many[str]) -> str:
    """The sequence after this one; a synthetic one where there is no other."""
    if len(set(videos) - {name}) == 0:
        return "synthetic"
    if name not in videos:
        return videos[0]
    return videos[(videos.index(name) + 1) % len(videos)]


def _other_targets(
    name: str, other: str, there: Mapping[str, tuple[Path, int | None]], at_most: int
) -> list[Target]:
    """Targets of the other video, or of the next one that can be read; of a synthetic one where there is none."""
    names = list(there)
    first = names.index(other) if other in there else 0
    for candidate in names[first:] + names[:first]:
        if candidate != name:
            with suppress(InputError):
                return _targets(*there[candidate], at_most)
    made = load_targets("synthetic")
    return list(made.subset(evenly_spaced(len(made), at_most)))


def _targets(path: Path, number: int | None, at_most: int) -> list[Target]:
    whole = TargetSet.from_sequence(open_sequence(path, target=number))
    return list(whole.subset(evenly_spaced(len(whole), at_most)))


def _claim(
    run: EvaluationRun,
    setup: Setup,
    agents: Many[Agent],
    checks: Many[Agent],
    methods: Mapping[str, Querying] | None,
) -> None:
    """Note what the folder's results are made with; refuse a folder whose results are made with something else."""
    made_with = {
        "per_sequence": run.per_sequence,
        "seeds": run.seeds,
        "search": asdict(setup.settings),
        "occluder": setup.occluder,
        "agents": {agent.name: {"search": agent.settings and asdict(agent.settings)} for agent in agents},
        "checks": [check.name for check in checks],
        "methods": None if methods is None else {name: method.queries for name, method in methods.items()},
        "code": code_version("tracker", "occlusion_env", "agents"),
        **run.identity,
    }
    claim_folder(run.out, SETTINGS, made_with, "results of another evaluation")
