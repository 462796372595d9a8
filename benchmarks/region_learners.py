"""Walks of the paper's nine moves, and learners that rate the moves or rank the regions of the grid.

A module of `benchmarks/paper_state.py`, and no script.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from region_tables import Rows, Values, World
from torch import nn

from agents.policies.baselines.attribution import OVERLAP, spread_out
from agents.policies.belief.observation import count_moves
from agents.policies.loading import load_policy
from occlusion_env import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.mdp.actions import ACTIONS, MOVES, TRIGGER, RegionLimits
from occlusion_env.search.memory import region_keys
from tracker.errors import InputError

Inputs = NDArray[np.float32]
Rate = Callable[[Rows, Values, Inputs], NDArray[Any]]
"""Rates the moves of M walks: targets `int64[M]`, regions `[M, 4]`, histories `[M, H, 9]` to `[M, 8 or 9]`."""

QUERIES = 10
HISTORY = 10
BEAMS = 3
SAMPLE = 24
"""Regions of a target that one training of a regression is fitted to."""

Queried = Callable[[World, Rows], Values]
"""The drops of a method's ten queries, `[M, 10]`."""


def neighbours(limits: RegionLimits, regions: Values) -> Values:
    """The regions that the eight moves lead to: `[M, 4]` to `[M, 8, 4]`."""
    moved = limits.move(np.repeat(regions, len(MOVES), axis=0), np.tile(np.arange(len(MOVES)), len(regions)))
    return moved.reshape(len(regions), len(MOVES), 4)


def walk(limits: RegionLimits, rows: Rows, start: Values, rate: Rate) -> tuple[Values, Inputs]:
    """Walk from `start`, `[4]`: the regions `[M, 10, 4]` and the history at each, `[M, 10, H, 9]`."""
    regions = [np.tile(start, (len(rows), 1))]
    history = [np.zeros((len(rows), HISTORY, len(ACTIONS)), np.float32)]
    for _ in range(QUERIES - 1):
        after = neighbours(limits, regions[-1])
        apart = np.abs(after[:, :, None] - np.stack(regions, axis=1)[:, None]).max(axis=3).min(axis=2)
        rated = rate(rows, regions[-1], history[-1])[:, : len(MOVES)]
        moves = np.where(apart < 1e-6, -np.inf, rated).argmax(axis=1)
        newest = np.eye(len(ACTIONS), dtype=np.float32)[moves][:, None]
        regions.append(after[np.arange(len(rows)), moves])
        history.append(np.concatenate([newest, history[-1][:, :-1]], axis=1))
    return np.stack(regions, axis=1), np.stack(history, axis=1)


def walked(start: Values, rate: Callable[[World], Rate]) -> Queried:
    """The queries of walks."""
    return lambda world, rows: world.drop(rows, walk(world.limits, rows, start, rate(world))[0])


def listed(regions: Values) -> Queried:
    """The same queries `[10, 4]` of every target."""
    return lambda world, rows: world.drop(rows, np.tile(regions, (len(rows), 1, 1)))


def towards(limits: RegionLimits, goals: Values, rows: Rows, regions: Values, _: Inputs) -> Values:
    """The expert: rates each action by the distance to the goals `[N, 4]` that it leaves, `[M, 9]`."""
    after = np.concatenate([neighbours(limits, regions), regions[:, None]], axis=1)
    rated = -count_moves(limits, after, goals[rows][:, None])
    rated[:, TRIGGER] += 1e-9  # a move that changes nothing is no better
    return rated


def best_sequence(world: World, rows: Rows, start: Values) -> list[Values]:
    """The regions of the nine moves after which the mean greatest drop is largest, by beam search."""
    beams = [([start], world.drop(rows, np.tile(start, (len(rows), 1, 1)))[:, 0])]
    for _ in range(QUERIES - 1):
        longer = {}
        for visited, best in beams:
            for region in neighbours(world.limits, visited[-1][None])[0]:
                if np.abs(np.array(visited) - region).max(axis=1).min() > 1e-6:
                    drop = world.drop(rows, np.tile(region, (len(rows), 1, 1)))[:, 0]
                    key = (region.tobytes(), *sorted(region_keys(np.array(visited))))
                    longer[key] = ([*visited, region], np.maximum(best, drop))
        beams = sorted(longer.values(), key=lambda beam: -beam[1].mean())[:BEAMS]
    return beams[0][0]


def best_region(drops: Values) -> list[int]:
    """The region with the largest mean drop `[N, R]`, ten times."""
    return [int(drops.mean(axis=0).argmax())] * QUERIES


def best_list(drops: Values) -> list[int]:
    """The ten regions after which the mean greatest drop `[N, R]` is largest, chosen one by one."""
    chosen: list[int] = []
    best = np.full((len(drops), 1), -np.inf)
    for _ in range(QUERIES):
        chosen.append(int(np.maximum(best, drops).mean(axis=0).argmax()))
        best = np.maximum(best, drops[:, chosen[-1:]])
    return chosen


def encode(world: World, parts: Sequence[str], rows: Rows, regions: Values, history: Inputs) -> Inputs:
    """The parts of M states that a learner sees, `float32[M, D]`; of a region also its products of two."""
    first, second = np.triu_indices(4)
    made: dict[str, Callable[[], NDArray[Any]]] = {
        "features": lambda: world.features(rows, regions),
        "history": lambda: history.reshape(len(rows), -1),
        "region": lambda: np.concatenate([regions, regions[:, first] * regions[:, second]], axis=1),
    }
    return np.concatenate([made[part]() for part in parts], axis=1).astype(np.float32)


def fit_ridge(inputs: Inputs, answers: Values, penalty: float, seed: int) -> Callable[[Inputs], NDArray[Any]]:
    """Ridge regression; the penalty is a share of the variance of all inputs together."""
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    given = ((inputs - mean) / spread).astype(np.float64)
    gram = given.T @ given
    weights = np.linalg.solve(gram + penalty * np.trace(gram) * np.eye(len(gram)), given.T @ answers)
    return lambda inputs: (inputs - mean) / spread @ weights


def fit_network(inputs: Inputs, answers: NDArray[Any], steps: int, seed: int) -> Callable[[Inputs], NDArray[Any]]:
    """A network of two hidden layers; integers are actions to classify, other answers are regressed."""
    torch.manual_seed(seed)
    classes = answers.dtype.kind == "i"
    ends = (nn.BatchNorm1d(inputs.shape[1], affine=False), nn.Linear(64, len(ACTIONS) if classes else 1))
    hidden = [nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Dropout(0.5)) for width in (inputs.shape[1], 64)]
    network = nn.Sequential(ends[0], *hidden, ends[1])
    loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    given, wanted = torch.from_numpy(inputs), torch.from_numpy(answers if classes else answers / answers.std())
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    for _ in range(steps):
        some = torch.randint(len(given), (256,))
        optimizer.zero_grad()
        loss(network(given[some]).squeeze(1), wanted[some] if classes else wanted[some].float()).backward()
        optimizer.step()
    network.eval().requires_grad_(False)
    return lambda inputs: network(torch.from_numpy(inputs)).squeeze(1).numpy()


def fit_ranking(world: World, rows: Rows, parts: Sequence[str], fit: Any, setting: float, seed: int) -> Queried:
    """Regress the drops of random candidates, less their mean over the target, on the states."""
    rng, count = np.random.default_rng(seed), len(world.candidates)
    chosen = rng.permuted(np.tile(np.arange(count), (len(rows), 1)), axis=1)[:, :SAMPLE]
    drops = world.drops[rows] - world.drops[rows].mean(axis=1, keepdims=True)
    states = np.repeat(rows, SAMPLE), world.candidates[chosen].reshape(-1, 4), np.empty(0, np.float32)
    inputs = encode(world, parts, *states)
    model = fit(inputs, np.take_along_axis(drops, chosen, axis=1).ravel(), setting, seed)

    def query(judged: World, rows: Rows) -> Values:
        states = np.repeat(rows, count), np.tile(judged.candidates, (len(rows), 1)), np.empty(0, np.float32)
        predicted = model(encode(judged, parts, *states)).reshape(len(rows), count)
        order = spread_out(predicted, judged.candidates, QUERIES, OVERLAP)
        return np.take_along_axis(judged.drops[rows], order, axis=1)

    return query


def imitate(
    world: World, rows: Rows, parts: Sequence[str], rounds: int, start: Values, steps: float, seed: int
) -> Queried:
    """Classify the expert's actions on its walks, and in further rounds on the learner's own walks as well."""
    expert = partial(towards, world.limits, world.goals)
    rate: Callable[[World], Rate] = lambda world: expert  # noqa: E731
    inputs, actions = [], []
    for number in range(1 + rounds):
        regions, history = walk(world.limits, rows, start, rate(world))
        states = np.repeat(rows, QUERIES), regions.reshape(-1, 4), history.reshape(-1, *history.shape[2:])
        inputs.append(encode(world, parts, *states))
        actions.append(expert(*states).argmax(axis=1))
        model = fit_network(np.concatenate(inputs), np.concatenate(actions), int(steps), seed + 1000 * number)
        rate = rate_states(parts, model)
    return walked(start, rate)


def rate_states(parts: Sequence[str], model: Callable[[Inputs], NDArray[Any]]) -> Callable[[World], Rate]:
    """Rate moves by a model of what a learner sees of the present state."""
    return lambda world: lambda *state: model(encode(world, parts, *state))


def load_dqn(run: Path, start: Values) -> Queried:
    """Walks by the action values of a run of `occlusion-search train --algo dqn` on slim features.

    Raises:
        InputError: If it is a run of another algorithm or with other observations.
    """
    loaded = load_policy(run, device="cpu")
    if loaded.algo != "dqn":
        raise InputError(f"'{run}' is a run of {loaded.algo}; give --dqn runs of `train --algo dqn`.")
    network, length = loaded.policy.q_net, load_networks(SearchArguments()).features.length
    shape, wanted = network.observation_space.shape, (length + HISTORY * len(ACTIONS),)
    if shape != wanted:
        raise InputError(f"The observations of '{run}' are {shape} and not {wanted}; give --dqn other runs.")
    values = lambda inputs: network(torch.from_numpy(inputs)).detach().numpy()  # noqa: E731
    return walked(start, rate_states(("features", "history"), values))


def move_randomly(start: Values, seed: int) -> Queried:
    """Walks whose moves are drawn."""
    rng = np.random.default_rng(seed)
    return walked(start, lambda world: lambda rows, *_: rng.random((len(rows), len(MOVES))))
