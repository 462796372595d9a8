"""Evaluation of agents and query methods on the sequences of a folder; an interrupted run is resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
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
from tracker.processes import Workers, check_workers, run_jobs, serialised
from tracker.records import read_record, write_record
from tracker.trackers.following import open_sequence

from ..common.output import claim_folder, is_intact
from ..policies.belief.method import BeliefProposer
from .comparison import MethodComparison, Trial, compare
from .contest import Contest
from .leaks import with_foreign_answers
from .summary import Record, record, summarise, trial_record

SETTINGS = "settings.json"
_SEQUENCES = "sequences"


@dataclass(frozen=True)
class EvaluationRun:
    """The data and the settings of an evaluation.

    Attributes:
        data: A folder of annotated sequences, or one.
        out: Folder for `settings.json` and the results of each sequence, in `sequences/`.
        per_sequence: Targets of a sequence, evenly spaced over its frames after the first.
        seeds: Seeds of the patches and the random regions; all are pooled.
        identity: Everything else that the figures depend on, as plain data: a folder with other results is
            refused.

    Raises:
        InputError: If a number is below 1 or a seed comes twice.
    """

    data: Path
    out: Path
    per_sequence: int
    seeds: tuple[int, ...]
    identity: dict[str, Any]

    def __post_init__(self) -> None:
        if self.per_sequence < 1:
            raise InputError(f"{self.per_sequence} targets a sequence are too few; give --per-sequence 1 or more.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError("An evaluation needs one seed or more, each once; give --seeds 1 or more.")


Draw = Callable[[Path, str, Many[Target], MethodComparison], Path | None]
"""Draws a sequence into the run's folder, from its name, its targets and the comparison of the first seed."""


def evaluate_agents(
    run: EvaluationRun,
    contest: Contest,
    draw: Draw | None = None,
    arms: Mapping[str, Many[str]] | None = None,
    warn: Callable[[str], object] = lambda sentence: None,
    workers: Workers = 1,
    load: Callable[[], Contest] | None = None,
) -> dict[str, Any]:
    """Compare agents and query methods on every sequence.

    The results of each sequence are written when it is done. A run into the same folder reuses them where the
    sequence has not changed and no file is damaged.

    Args:
        run: The data and the settings.
        contest: What is compared.
        draw: Draws each new sequence; returns the file of the picture, if any.
        arms: See `summarise`.
        warn: Called with a sentence where an agent was trained on a sequence, or the prior was fitted to it.
        workers: Number of processes, or a Ray cluster; each process evaluates one sequence at a time.
        load: Loads the contest in each of several processes: a function of a module, or a `partial` of one.

    Returns:
        The figures of `summarise`; `failed`: the reasons by sequence; a failed sequence does not stop the others;
        and `trained_on`: the sequences that an agent was trained on, by agent, and those of the prior, by `prior`.

    Raises:
        InputError: If there is no sequence, all failed, the folder holds results of something else, or there are
            several processes and `load` cannot be sent to them.
    """
    check_workers(workers)
    sent = None if workers == 1 else serialised(load, "The evaluation")
    sequences = list_targets(run.data)
    if not sequences:
        raise InputError(f"'{run.data}' holds no annotated sequence; give --data a folder of some.")
    checks = [check.name for check in contest.checks(())]
    _claim(run, contest, checks)
    videos = {name: digest for name, digest in folder_digests(run.data).items() if digest != UNREADABLE}
    contents = folder_digests(run.data, content_digest)
    trained_on = _training_videos(videos, contest, warn)
    (run.out / _SEQUENCES).mkdir(parents=True, exist_ok=True)
    found: dict[str, Record | str] = {}
    jobs: dict[str, Callable[[], Record | str]] = {}
    each = run.per_sequence * len(run.seeds)
    with tqdm(total=len(sequences) * each, desc="evaluation", unit="target") as bar:
        for name in sequences:
            other = _other_video(name, list(videos)) if checks else None
            used = [contents.get(name), None if other is None else contents.get(other, other)]
            cached = read_record(_file(run, name)) or {}
            drawn = cached.get("picture")  # its name and its digest
            if cached.get("videos") == used and (drawn is None or is_intact(run.out / drawn[0], drawn[1])):
                found[name] = cached
            elif sent is None:
                jobs[name] = partial(_evaluate, run, contest, draw, sequences, name, other, used, bar.update)
            else:
                jobs[name] = partial(_evaluate_in_process, sent, run, draw, sequences, name, other, used)
        bar.update(len(found) * each)
        with closing(run_jobs(workers, jobs.items(), run.out)) as outcomes:
            for done, (name, outcome) in enumerate(outcomes, len(sequences) - len(jobs) + 1):
                found[name] = outcome
                bar.set_postfix_str(name)
                bar.update(done * each - bar.n)
    failed = {name: outcome for name in sequences if isinstance(outcome := found[name], str)}
    records = {name: outcome for name in sequences if not isinstance(outcome := found[name], str)}
    if not records:
        raise InputError(next(iter(failed.values())))
    for name, method in (contest.methods or {}).items():
        if isinstance(method.proposer, BeliefProposer):
            _check_belief(records, name, method.proposer.fitted.prior)
    figures = summarise(records, [agent.name for agent in contest.agents], arms=arms)
    return {**figures, "failed": failed, "trained_on": trained_on}


def _file(run: EvaluationRun, name: str) -> Path:
    """The record of a sequence."""
    return run.out / _SEQUENCES / f"{name}.json"


def _evaluate(
    run: EvaluationRun,
    contest: Contest,
    draw: Draw | None,
    sequences: Mapping[str, tuple[Path, int | None]],
    name: str,
    other: str | None,
    used: list[str | None],
    done: Callable[[int], object] = lambda targets: None,
) -> Record | str:
    """Evaluate a sequence and write its record.

    Args:
        run: See `evaluate_agents`.
        contest: See `evaluate_agents`.
        draw: See `evaluate_agents`.
        sequences: See `list_targets`.
        name: The sequence.
        other: The other video of the leak checks; `None` without them.
        used: The digests of both.
        done: See `compare`.

    Returns:
        The record, or why the sequence failed.
    """
    agents, arguments = contest.agents, contest.arguments
    caps = {agent.name: (agent.settings or arguments.settings).limits.max_area for agent in agents}
    try:
        targets = _targets(*sequences[name], run.per_sequence)
        worse = () if other is None else contest.checks(_other_targets(name, other, sequences, run.per_sequence))
        found = {
            seed: compare(
                contest.networks, targets, agents, worse, contest.methods,
                seed=seed, key=name, done=done, arguments=arguments,
            )
            for seed in run.seeds
        }  # fmt: skip
    except InputError as error:
        return str(error)
    results = {"videos": used, **record(found, tuple(target.id for target in targets), caps)}
    picture = None if draw is None else draw(run.out, name, targets, found[run.seeds[0]])
    if picture is not None:
        results["picture"] = [str(picture.relative_to(run.out)), weights_digest(picture)]
    write_record(_file(run, name), results)
    return results


@lru_cache(maxsize=1)
def _load_contest(sent: bytes) -> Contest:
    """The contest of a process."""
    contest: Contest = ForkingPickler.loads(sent)()
    return contest


def _evaluate_in_process(sent: bytes, run: EvaluationRun, *job: Any) -> Record | str:
    return _evaluate(run, _load_contest(sent), *job)


def _training_videos(
    videos: Mapping[str, str], contest: Contest, warn: Callable[[str], object]
) -> dict[str, list[str]]:
    """The sequences that each agent was trained on and that the prior was fitted to, with a warning for each."""
    found = {
        agent.name: agent.trained.shared_videos(videos) for agent in contest.agents if agent.trained is not None
    }
    prior_videos = {} if contest.fitted is None else contest.fitted.card.get("videos", {})
    if prior_videos:
        known = set(prior_videos.values()) - {None}
        found["prior"] = [name for name, digest in videos.items() if name in prior_videos or digest in known]
    for name, shared in found.items():
        if shared:
            trained = "the prior was fitted to" if name == "prior" else f"'{name}' was trained on"
            warn(f"{trained} {', '.join(shared)}; its figures there say nothing about other videos.")
    return found


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
    later = videos[videos.index(name) + 1 :] if name in videos else []
    return next((video for video in [*later, *videos] if video != name), "synthetic")


def _other_targets(
    name: str, other: str, sequences: Mapping[str, tuple[Path, int | None]], at_most: int
) -> list[Target]:
    """Targets of the other video, or of the next readable one; of a synthetic one where there is none."""
    names = list(sequences)
    first = names.index(other) if other in sequences else 0
    for candidate in names[first:] + names[:first]:
        if candidate != name:
            with suppress(InputError):
                return _targets(*sequences[candidate], at_most)
    synthetic = load_targets("synthetic")
    return list(synthetic.subset(evenly_spaced(len(synthetic), at_most)))


def _targets(path: Path, number: int | None, at_most: int) -> list[Target]:
    every = TargetSet.from_sequence(open_sequence(path, target=number))
    return list(every.subset(evenly_spaced(len(every), at_most)))


def _claim(run: EvaluationRun, contest: Contest, checks: list[str]) -> None:
    """Write the settings into the folder; refuse one whose results have other settings."""
    arguments, methods = contest.arguments, contest.methods
    settings = {
        "per_sequence": run.per_sequence,
        "seeds": run.seeds,
        "search": asdict(arguments.settings),
        "occluder": arguments.occluder,
        "agents": {agent.name: {"search": agent.settings and asdict(agent.settings)} for agent in contest.agents},
        "checks": checks,
        "methods": None if methods is None else {name: method.queries for name, method in methods.items()},
        "code": code_version("tracker", "occlusion_env", "agents"),
        **run.identity,
    }
    claim_folder(run.out, SETTINGS, settings, "results of another evaluation")
