"""What learning when to stop is worth: agents whose queries have a price, beside the belief with a fixed budget.

Usage: python benchmarks/stopping.py --train DIR [--judge DIR] [--json FILE]

Scores grid search on the training videos, chooses the belief's budget there, and trains agents of each preset;
with --judge it judges them. Each part is kept in out/stopping and not done again.

The shipped prior was fitted to the training videos, and is surer of them than of others. So in training the
expected drops of a video come from a predictor that was fitted to other videos (`HeldOutBelief`); the covariance
is that of left-out videos anyway. On the judged sequences the agents observe the shipped prior.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import trange

from agents.common.output import check_json_path, claim_folder, write_json
from agents.common.results import write_result
from agents.common.scripts import check_counts, check_videos, run_script
from agents.dqn.algorithm import load_hyperparameters
from agents.evaluation.methods import BUDGETS, query_methods
from agents.evaluation.run import EvaluationRun, evaluate_agents
from agents.policies.belief import (
    BeliefObservation,
    FittedPrior,
    GridDrops,
    load_prior,
    save_prior,
    score_grids,
    shipped_prior,
)
from agents.policies.belief.fitting import fit_predictor
from agents.policies.loading import load_policy, training_speed
from agents.policies.rollout import Agent, LoadedPolicy, Policy
from agents.training.learning_curves import read_evaluations
from agents.training.request import TrainRequest
from agents.training.run import resume, train
from agents.training.runs import RunFolder
from occlusion_env import ENV_ID, SearchArguments, TargetSet, load_targets
from occlusion_env.envs.building import load_networks
from occlusion_env.mdp.actions import TRIGGER, RegionLimits
from occlusion_env.scene.targets import Target
from occlusion_env.search.belief import Belief, Prior
from occlusion_env.search.core import Search
from tracker.data.identity import folder_digests
from tracker.data.readers import list_targets
from tracker.data.sequences import FRAME_CACHE, evenly_spaced
from tracker.evaluation.intervals import Interval, holm, interval, method_record
from tracker.evaluation.running import weights_digest

Values = NDArray[np.float64]

PRICE = 0.01
"""Closure that a scorer query must be worth."""

PRESETS = {"ppo_mask": "stop_ppo", "dqn": "stop_dqn"}
"""Hyper-parameter file of each algorithm."""

BUDGET = 15
"""Queries of an agent that walks on in place of stopping."""

MOST = 30
"""Largest budget of the belief that is considered."""

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Thresholds of the stopping rule, in prices."""

RANDOM = 16
"""Random regions a training target."""

FOLDS = 6
FOLDER = Path("out/stopping")
"""Holds what was scored, fitted and trained."""

VIDEOS = FOLDER / "videos.json"
"""Where the training videos are, for `training_targets`."""

MEASURE = f"closure less {PRICE} a query, mean over sequences"

TARGETS, OBSERVATION = "stopping:training_targets", "stopping:HeldOutBelief"
ALLOWED = (TARGETS, OBSERVATION)


@dataclass
class Arguments:
    """What to train and judge.

    Attributes:
        train: Training videos; nothing is tuned on others.
        judge: Sequences to judge on; without them the agents are trained and not judged.
        per_video: Training targets of a video.
        per_sequence: Judged targets of a sequence.
        seeds: Trainings of each preset.
        json: Receives the claims before the first training and the figures at the end; stopping.json beside the
            runs by default.
    """

    train: Path
    judge: Path | None = None
    per_video: int = 40
    per_sequence: int = 20
    seeds: int = 5
    json: Path | None = None


def score_training_videos(folder: Path, per_video: int) -> GridDrops:
    """Score grid search on targets of each video, as `fit-prior` does; what is in `FOLDER` is read."""
    file = FOLDER / "grids.npz"
    if not file.exists():
        networks = load_networks(SearchArguments())
        found = score_grids(targets_of(folder, per_video), networks.scorer, networks.features, progress=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, maps=found.maps.numpy(), drops=found.drops, videos=np.array(found.videos))
    with np.load(file) as arrays:
        regions = RegionLimits().grid(RegionLimits.max_area)
        return GridDrops(
            torch.from_numpy(arrays["maps"]), arrays["drops"], tuple(arrays["videos"].tolist()), regions
        )


def training_targets() -> TargetSet:
    """The targets of `score_training_videos`: the environments' argument `targets`."""
    given = json.loads(VIDEOS.read_text())
    return targets_of(Path(given["folder"]), given["per_video"])


def targets_of(folder: Path, per_video: int) -> TargetSet:
    """Targets of each video of a folder, evenly spaced."""
    videos = [load_targets(str(path)) for path, _ in list_targets(folder).values()]
    return TargetSet.join(each.subset(evenly_spaced(len(each), per_video)) for each in videos)


def fold_of(videos: Sequence[str]) -> dict[str, int]:
    """The fold of each video, as `fit_prior` leaves them out."""
    return {name: number % FOLDS for number, name in enumerate(sorted(set(videos)))}


def fit_held_out(samples: GridDrops, shipped: FittedPrior) -> None:
    """Write for each fold the shipped prior with a predictor that was fitted to the other videos."""
    fold = fold_of(samples.videos)
    folds = np.array([fold[name] for name in samples.videos])
    for number in range(FOLDS):
        if not (file := FOLDER / f"fold_{number}.safetensors").exists():
            network = fit_predictor(samples.select(np.flatnonzero(folds != number)), progress=True)
            held_out = [name for name in fold if fold[name] == number]
            save_prior(file, replace(shipped, predictor=network, card={**shipped.card, "held_out": held_out}))


@lru_cache(maxsize=1)
def load_folds() -> dict[str, FittedPrior]:
    """The prior of `fit_held_out` for each video."""
    found = [load_prior(FOLDER / f"fold_{number}.safetensors") for number in range(FOLDS)]
    return {name: fitted for fitted in found for name in fitted.card["held_out"]}


def expect_held_out(maps: Tensor, videos: Sequence[str]) -> Values:
    """Expected drops of N targets by predictors that have not seen their videos, `float64[N, R]`."""
    folds = load_folds()
    return np.concatenate([folds[name].expected(maps[[row]]) for row, name in enumerate(videos)])


class HeldOutBelief(BeliefObservation):
    """The belief about training targets; predictors that have not seen their video give the expected drops."""

    def expect(self, targets: Sequence[Target], maps: Tensor) -> Values:
        """Expected drops by the predictor of the target's fold."""
        return expect_held_out(maps, [target.source.video for target in targets])


def score_random(folder: Path, per_video: int) -> Values:
    """Mean drop of `RANDOM` random regions on each target of `score_training_videos`, `float64[N]`."""
    file = FOLDER / "random.npy"
    if not file.exists():
        networks, settings = load_networks(SearchArguments()), SearchArguments().settings
        rng, found = np.random.default_rng(1), []
        every = targets_of(folder, per_video)
        for low in trange(0, len(every), per_video, desc="random regions", unit="video"):
            targets = list(every.subset(range(low, min(low + per_video, len(every)))))
            search = Search(len(targets), networks.scorer, networks.features, settings)
            search.begin_random(targets, rng)
            slots = np.repeat(np.arange(len(targets)), RANDOM)
            drops = search.clean_score[slots] - search.scores(slots, search.random_regions(slots, rng))
            found.append(drops.reshape(-1, RANDOM).mean(axis=1))
        np.save(file, np.concatenate(found))
    drops: Values = np.load(file)
    return drops


@dataclass(frozen=True)
class Judged:
    """The targets on which methods are compared.

    Attributes:
        drops: `float64[N, R]`, of grid search.
        random: `float64[N]`, mean drop of random regions.
        expected: `float64[N, R]`, before any query.
        videos: N names.
    """

    drops: Values
    random: Values
    expected: Values
    videos: Sequence[str]

    @property
    def gap(self) -> float:
        """Mean drop of the best region of the grid less that of random ones."""
        return float((self.drops.max(axis=1) - self.random).mean())

    def means(self, values: Values) -> Values:
        """Means over the targets of each video: `[N, ...]` to `[V, ...]`."""
        names = np.array(self.videos)
        return np.stack([values[names == name].mean(axis=0) for name in dict.fromkeys(self.videos)])

    def closure(self, best: Values) -> Values:
        """Closure of best drops `[N, ...]` on each video, `[V, ...]`."""
        random, grid = self.means(self.random), self.means(self.drops.max(axis=1))
        shape = (-1, *[1] * (best.ndim - 1))
        return (self.means(best) - random.reshape(shape)) / (grid - random).reshape(shape)

    def net(self, best: Values, queries: Values) -> Values:
        """Closure less the price of the queries, on each video."""
        return self.closure(best) - PRICE * self.means(queries)


def query_belief(prior: Prior, judged: Judged, first: int | None = None) -> tuple[Values, Values]:
    """The best drop after 1 to `MOST` queries, and what the next one promises: `float64[N, MOST]` each.

    The first query is the candidate `first`; the belief's own choice if `None`.
    """
    belief, best, promised = Belief(prior, judged.expected), [], []
    chosen = belief.propose() if first is None else np.full(len(belief), first)
    for _ in range(MOST):
        belief.observe(chosen, np.take_along_axis(judged.drops, chosen[:, None], axis=1)[:, 0])
        chosen = belief.propose()
        best.append(belief.best)
        promised.append(belief.improvement(chosen))
    return np.stack(best, axis=1), np.stack(promised, axis=1)


def stop(best: Values, promised: Values, price: float) -> tuple[Values, Values]:
    """The best drop and the number of queries of a search that ends where the next one promises too little.

    >>> stop(np.array([[1.0, 2.0, 2.0]]), np.array([[0.5, 0.1, 0.0]]), 0.2)
    (array([2.]), array([2.]))
    """
    ends = promised < price
    ends[:, -1] = True
    last = ends.argmax(axis=1)
    return np.take_along_axis(best, last[:, None], axis=1)[:, 0], last + 1.0


def choose_on_training_videos(prior: Prior, judged: Judged) -> dict[str, Any]:
    """The price in units of the score, the best fixed budget, and the best factor of the price as a threshold."""
    best, promised = query_belief(prior, judged)
    price = PRICE * judged.gap
    budgets = np.arange(1.0, MOST + 1)
    fixed = judged.net(best, np.tile(budgets, (len(best), 1))).mean(axis=0)
    rules = {str(factor): float(judged.net(*stop(best, promised, factor * price)).mean()) for factor in FACTORS}
    return {
        "gap": round(judged.gap, 6),
        "query_price": round(price, 6),
        "budget": int(fixed.argmax()) + 1,
        "factor": float(max(rules, key=lambda name: rules[name])),
        "net_by_budget": rounded(fixed),
        "net_by_factor": {name: round(value, 6) for name, value in rules.items()},
    }


def rounded(values: Values) -> list[Any]:
    """Plain numbers with six decimals."""
    found: list[Any] = np.asarray(values).round(6).tolist()
    return found


def train_agents(given: Arguments) -> dict[str, list[RunFolder]]:
    """Train the agents of each preset, one after the other; a training that was cut off is resumed."""
    runs: dict[str, list[RunFolder]] = {}
    for seed in range(given.seeds):
        for algo, preset in PRESETS.items():
            folder = FOLDER / f"seed_{seed}"
            path = folder / algo / "OcclusionSearch-v0_1"
            if not path.exists():
                request = TrainRequest(
                    algo=algo, conf_file=preset, seed=seed, log_folder=str(folder),
                    env_kwargs={"targets": TARGETS, "observation": OBSERVATION}, device="cpu",
                    eval_freq=5_000, eval_episodes=120, n_eval_envs=30, save_freq=5_000,
                )  # fmt: skip
                train(request, allowed=ALLOWED)
            elif not RunFolder.open(path).model.is_file():
                resume(path, allowed=ALLOWED)
            runs.setdefault(algo, []).append(RunFolder.open(path))
            print(f"{algo}, seed {seed}: trained", flush=True)
    return runs


def load_agent(run: RunFolder, name: str, walks_on: bool = False) -> Agent:
    """The agent of a run, with the shipped prior in place of the held-out ones."""
    loaded = load_policy(run.path, device="cpu", allowed=ALLOWED)
    assert loaded.environment is not None
    arguments = replace(loaded.environment.arguments, observation="belief")
    loaded = replace(loaded, environment=replace(loaded.environment, arguments=arguments, prior=None))
    policy: Callable[[Search], Policy] = loaded.in_search
    if walks_on:
        policy = partial(WalkingOn, loaded)
    return Agent(name, policy, arguments.settings, None, loaded.environment)


class WalkingOn:
    """An agent that never pulls the trigger: its best move in place of it."""

    def __init__(self, loaded: LoadedPolicy, search: Search) -> None:
        self.loaded = loaded
        self.search = search

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[Any], Any]:
        """`Policy.predict`, among the moves that change the region."""
        model, masks = self.loaded.policy, self.search.action_masks()
        masks[:, TRIGGER] = False
        if self.loaded.algo == "ppo_mask":
            return model.predict(observation, state, episode_start, deterministic, action_masks=masks)
        with torch.inference_mode():
            values = model.q_net(model.policy.obs_to_tensor(observation)[0]).cpu().numpy()
        return np.where(masks, values, -np.inf).argmax(axis=1), state


def judge_agents(given: Arguments, runs: dict[str, list[RunFolder]], named: dict[str, Any]) -> dict[str, Any]:
    """Let the agents search on the judged sequences; the results of a sequence are kept."""
    assert given.judge is not None
    agents = [
        load_agent(run, agent_name(algo, seed, walks_on), walks_on)
        for algo, members in runs.items()
        for seed, run in enumerate(members)
        for walks_on in (False, True)
    ]
    networks = load_networks(SearchArguments())
    fitted = shipped_prior(networks.scorer, SearchArguments().settings.limits)
    assert fitted is not None
    known = query_methods(networks.scorer, fitted, MOST)
    methods = {kind: known[kind] for kind in ("constant", "belief")}
    identity = {"agents_of": [weights_digest(run.agent_file()) for members in runs.values() for run in members]}
    evaluation = EvaluationRun(given.judge, FOLDER / "judged", given.per_sequence, (0,), identity)
    found = evaluate_agents(evaluation, networks, agents, methods=methods)
    files = sorted((FOLDER / "judged" / "sequences").glob("*.json"))
    return {"failed": found["failed"], **judge(read_judged(files), runs, named, fitted.prior)}


def agent_name(algo: str, seed: int, walks_on: bool = False) -> str:
    """The name of an agent's rows."""
    return f"{algo}, training {seed + 1}{', walking on' if walks_on else ''}"


def read_judged(files: Sequence[Path]) -> tuple[Judged, dict[str, dict[str, Values]]]:
    """Read the results of an evaluation.

    Returns:
        The targets; and by method the best drops `best` and the number of `queries`, `float64[N]` each, and the
        best drops after `BUDGETS` queries, `curve`, `float64[N, B]`.
    """
    records = {file.stem: json.loads(file.read_text())["seeds"]["0"] for file in files}

    def column(read: Callable[[dict[str, Any]], Any]) -> Values:
        return np.concatenate([np.array(read(one), dtype=np.float64) for one in records.values()])

    clean = column(lambda one: one["clean"])
    judged = Judged(
        clean[:, None] - column(lambda one: one["grid"]),
        clean - column(lambda one: one["trials"]["random"]["score"]),
        column(lambda one: one["expected"]["belief"]),
        [video for video, one in records.items() for _ in one["clean"]],
    )

    def trial(method: str) -> dict[str, Values]:
        return {
            "best": clean - column(lambda one: one["trials"][method]["score"]),
            "queries": column(lambda one: one["trials"][method]["queries"]),
            "curve": clean[:, None] - column(lambda one: np.transpose(one["trials"][method]["best"])),
        }

    return judged, {method: trial(method) for method in next(iter(records.values()))["trials"]}


def judge(
    read: tuple[Judged, dict[str, dict[str, Values]]],
    runs: dict[str, list[RunFolder]],
    named: dict[str, Any],
    prior: Prior,
) -> dict[str, Any]:
    """The contrasts that were named beforehand, and what stands beside them."""
    judged, trials = read
    best, promised = query_belief(prior, judged)
    from_constant = query_belief(prior, judged, prior.best)
    budgets = np.tile(np.arange(1.0, MOST + 1), (len(best), 1))
    fixed = judged.net(best, budgets)  # [V, MOST]
    price, seeds = named["query_price"], range(len(next(iter(runs.values()))))
    hindsight = int(fixed.mean(axis=0).argmax()) + 1
    shown = sorted({1, 2, 3, 5, 10, 15, named["budget"], hindsight})
    rules = {rule(factor): stop(best, promised, factor * price) for factor in FACTORS}

    def agent(algo: str, key: str) -> Values:
        """`[N, seeds]`."""
        return np.stack([trials[agent_name(algo, seed)][key] for seed in seeds], axis=1)

    found = {
        **{algo: (agent(algo, "best"), agent(algo, "queries")) for algo in runs},
        **{text: (one[0][:, None], one[1][:, None]) for text, one in rules.items()},
        f"{rule(1.0)}, from the constant region": tuple(
            one[:, None] for one in stop(*from_constant, named["query_price"])
        ),
        "constant region": (trials["constant"]["best"][:, None], trials["constant"]["queries"][:, None]),
        **{f"belief, budget {k}": (best[:, [k - 1]], budgets[:, [k - 1]]) for k in shown},
    }
    reference = fixed[:, [named["budget"] - 1]]
    contrasts = {algo: interval(judged.net(*found[algo]) - reference) for algo in runs}
    corrected = holm([one.p for one in contrasts.values()])
    beside = {
        **{
            f"{algo} less the best budget in hindsight, {hindsight}": (algo, fixed[:, [hindsight - 1]])
            for algo in runs
        },
        **{f"{algo} less the {rule(1.0)}": (algo, judged.net(*found[rule(1.0)])) for algo in runs},
        f"{rule(1.0)} less {named['budget']} queries": (rule(1.0), reference),
        f"{rule(1.0)} less the best budget in hindsight, {hindsight}": (rule(1.0), fixed[:, [hindsight - 1]]),
    }
    walking = {algo: walk_on(judged, trials, algo, list(seeds)) for algo in runs}
    return {
        "primary": [
            {
                "contrast": contrast(algo, named["budget"]),
                "measure": MEASURE,
                **bounds(one),
                "p_holm": None if p is None else round(p, 6),
                "sequences": len(fixed),
                "seeds": len(seeds),
            }
            for (algo, one), p in zip(contrasts.items(), corrected, strict=True)
        ],
        "secondary": [
            {"contrast": text, "measure": MEASURE, **bounds(interval(judged.net(*found[one]) - other))}
            for text, (one, other) in beside.items()
        ],
        "gap": round(judged.gap, 6),
        "best_budget_in_hindsight": hindsight,
        "methods": {
            method: {
                "closure": rounded(judged.closure(values).mean()),
                "queries": rounded(judged.means(queries).mean()),
                "net": rounded(judged.net(values, queries).mean()),
                "net_interval": interval(judged.net(values, queries)).ends(6),
                "net_by_training": rounded(judged.net(values, queries).mean(axis=0)),
                "trainings": rounded(
                    np.stack([judged.closure(values).mean(axis=0), judged.means(queries).mean(axis=0)], axis=1)
                ),
            }
            for method, (values, queries) in found.items()
        },
        f"closure_at_{BUDGET}_walking_on": walking,
        "curve": {
            "budget": list(range(1, MOST + 1)),
            "closure": rounded(judged.closure(best).mean(axis=0)),
            "net": rounded(fixed.mean(axis=0)),
        },
        "sequences": {
            video: {method: rounded(judged.net(*pair)[row].mean()) for method, pair in found.items()}
            for row, video in enumerate(dict.fromkeys(judged.videos))
        },
    }


def walk_on(
    judged: Judged, trials: dict[str, dict[str, Values]], algo: str, seeds: Sequence[int]
) -> dict[str, Any]:
    """Closure after `BUDGET` queries of agents that never stop."""
    place = BUDGETS.index(BUDGET)
    best = np.stack([trials[agent_name(algo, seed, True)]["curve"][:, place] for seed in seeds], axis=1)
    return {"closure": rounded(judged.closure(best).mean()), "interval": interval(judged.closure(best)).ends(6)}


def rule(factor: float) -> str:
    """A stopping rule in words."""
    return "belief that stops at the price" + ("" if factor == 1 else f" times {factor:g}")


def best_return(run: RunFolder) -> float:
    """The mean return, on the held-out training videos, of the model that was chosen there."""
    return round(float(np.mean(read_evaluations(run.evaluations)["results"], axis=1).max()), 4)


def contrast(algo: str, budget: int) -> str:
    """A primary contrast in words."""
    return f"{algo} that stops itself less the belief with {budget} queries"


def bounds(found: Interval) -> dict[str, Any]:
    """A difference and its interval as plain data."""
    low, high = found.ends(6) or (None, None)
    return {"difference": round(found.mean, 6), "low": low, "high": high}


def main(given: Arguments) -> None:
    """Score, fit, choose, train, and judge where there are sequences for it."""
    check_json_path(given.json)
    check_counts(per_video=given.per_video, per_sequence=given.per_sequence, seeds=given.seeds)
    check_videos(2, train=given.train)
    check_videos(judge=given.judge)
    file = given.json or FOLDER / "stopping.json"
    videos = folder_digests(given.train)
    identity = {"train": videos, "per_video": given.per_video}
    claim_folder(FOLDER, "settings.json", identity, "trainings on other targets")
    FRAME_CACHE.limit = 2 * 2**30  # bytes: a training target is decoded once
    write_json(VIDEOS, {"folder": str(given.train.absolute()), "per_video": given.per_video})
    networks = load_networks(SearchArguments())
    shipped = shipped_prior(networks.scorer, SearchArguments().settings.limits)
    assert shipped is not None
    samples = score_training_videos(given.train, given.per_video)
    fit_held_out(samples, shipped)
    random = score_random(given.train, given.per_video)
    training = Judged(samples.drops, random, expect_held_out(samples.maps, samples.videos), samples.videos)
    named = choose_on_training_videos(shipped.prior, training)
    content: dict[str, Any] = {
        "price": PRICE,
        "chosen_on_training_videos": named,
        "primary": [{"contrast": contrast(algo, named["budget"]), "measure": MEASURE} for algo in PRESETS],
        "interval_method": method_record("sequences"),
        "settings": {
            "presets": {preset: load_hyperparameters(preset, ENV_ID, set()) for preset in PRESETS.values()},
            "seeds": given.seeds, "per_video": given.per_video, "per_sequence": given.per_sequence,
            "model": "of the highest return on the training videos that are held out of the agent's training",
        },
        "train": videos,
    }  # fmt: skip
    if not file.exists():  # the claims, before an agent is trained or judged
        write_result(file, "stopping", content)
    runs = train_agents(given)
    content["trainings"] = {
        algo: [{**(training_speed(str(run.path)) or {}), "selected_return": best_return(run)} for run in members]
        for algo, members in runs.items()
    }
    if given.judge is not None:
        content |= judge_agents(given, runs, named) | {"judge": folder_digests(given.judge)}
    write_result(file, "stopping", content)
    for row in content["primary"]:
        print(row)


if __name__ == "__main__":
    run_script(main, Arguments)
