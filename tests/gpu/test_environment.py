"""The environments on a GPU give what they give on the CPU: observations, rewards and scores within 1e-3."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from agents.policies.belief import BeliefObservation, FittedPrior, shipped_prior
from occlusion_env import ENV_ID
from occlusion_env.scene.targets import load_targets
from occlusion_env.search.core import Search, SearchSettings
from tracker.models.backbones import FeatureExtractor
from tracker.models.siamfc import SiamFCNet
from tracker.scorers import SintScorer, load_scorer, shared_backbone
from tracker.scorers.foreign import ConfidenceScorer, EmbeddingScorer, SiamFCScorer

TOLERANCE = 1e-3
SETTINGS: dict[str, Any] = {"precision": "fp32", "drop": 0.05, "max_steps": 4, "history": 2}


class Sure:
    """A tracker that is as sure as the picture is bright."""

    score = 0.0

    def init(self, image: np.ndarray, box: Any) -> None:
        self.first = image.mean()

    def update(self, image: np.ndarray) -> np.ndarray:
        self.score = 1 - abs(float(image.mean() - self.first)) / 255
        return np.zeros(4)


def confidence() -> ConfidenceScorer:
    return ConfidenceScorer(Sure)


def roll_out(device: str, count: int = 2, env: str = ENV_ID, **kwargs: Any) -> list[Any]:
    envs = gym.make_vec(env, num_envs=count, device=device, **SETTINGS | kwargs)
    found: list[Any] = [envs.reset(seed=0)]
    rng = np.random.default_rng(0)
    for _ in range(6):
        found.append(envs.step(rng.integers(0, 9, count)))
    envs.close()
    return found


def check(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            check(first[name], second[name])
    elif isinstance(first, (list, tuple)):
        for pair in zip(first, second, strict=True):
            check(*pair)
    elif isinstance(first, np.ndarray) and first.dtype != object:
        np.testing.assert_allclose(first, second, atol=1 if first.dtype == np.uint8 else TOLERANCE)
    elif isinstance(first, np.ndarray):
        check(list(first), list(second))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"state": "roi", "context": 1.5},
        {"observation": "dict", "patches": 2},
        {"observation": "pixels", "pixels": 16},
        {"observation": "belief", "occluder": "noise"},
        {"reward": "margin", "drop": None},
    ],
    ids=lambda kwargs: "-".join(map(str, kwargs)) or "plain",
)
def test_environments(device: str, kwargs: dict[str, Any]) -> None:
    check(roll_out("cpu", **kwargs), roll_out(device, **kwargs))


@pytest.mark.parametrize("env", ["BackgroundSearch-v0", "OcclusionSearchOracle-v0"])
def test_the_other_environments(device: str, env: str) -> None:
    check(roll_out("cpu", env=env), roll_out(device, env=env))


def test_a_single_environment(device: str) -> None:
    found = []
    for place in ("cpu", device):
        env = gym.make(ENV_ID, device=place, **SETTINGS)
        found.append([env.reset(seed=1), env.step(0), env.step(4), env.step(8)])
        assert env.unwrapped.vector.search.features.device == torch.device(place)  # type: ignore[attr-defined]
    check(*found)


class AnyPrior(BeliefObservation):
    """The belief by the prior of SINT, whatever the scorer is."""

    def prior(self) -> FittedPrior:
        prior = shipped_prior(load_scorer(device="cpu"), self.search.settings.limits)
        assert prior is not None
        return prior


@pytest.mark.parametrize("observation", ["features", "pixels", f"{__name__}:AnyPrior"])
@pytest.mark.parametrize("state", ["crop", "roi"])
def test_a_scorer_on_the_cpu_beside_features_on_the_gpu(device: str, observation: str, state: str) -> None:
    kwargs = {"scorer": confidence(), "observation": observation, "state": state}
    check(roll_out("cpu", **kwargs), roll_out(device, **kwargs))


def test_a_scorer_on_the_gpu_beside_features_on_the_cpu(device: str) -> None:
    on_gpu, on_cpu = (load_scorer(device=place, precision="fp32") for place in (device, "cpu"))
    kwargs = {"observation": "belief"}
    check(roll_out("cpu", scorer=on_cpu, **kwargs), roll_out("cpu", scorer=on_gpu, **kwargs))


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 8))


def siamfc() -> SiamFCNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SiamFCNet()


@pytest.mark.parametrize("name", ["sint", "embedding", "siamfc"])
def test_scorers(device: str, name: str) -> None:
    made = {
        "sint": lambda place: load_scorer(device=place, precision="fp32"),
        "embedding": lambda place: EmbeddingScorer(network().to(place), 24),
        "siamfc": lambda place: SiamFCScorer(siamfc(), place, "fp32"),
    }[name]
    scores = []
    for place in ("cpu", device):
        scorer = made(place)
        assert scorer.device == torch.device(place)
        side = scorer.input_size
        first, second = torch.rand(2, 5, 3, side, side, generator=torch.Generator().manual_seed(0)).to(place)
        found = scorer(first, second)
        assert found.device == scorer.device
        scores.append(found.cpu())
    torch.testing.assert_close(*scores, rtol=TOLERANCE, atol=TOLERANCE)


def test_searches_of_two_devices_share_no_network(device: str) -> None:
    """What is loaded for one device stays there when another asks for it."""
    searches = {}
    for place in ("cpu", device, "cpu"):
        backbone = shared_backbone("slim", None, place)
        settings = SearchSettings(observation="belief")
        target = load_targets("synthetic").subset([0])
        search = Search(1, SintScorer(backbone, "fp32"), FeatureExtractor(backbone, "fc7", "fp32"), settings)
        search.begin(np.arange(1), list(target), [np.zeros((64, 64, 3), np.uint8)])
        searches[place] = search
    observations = [search.observe() for search in searches.values()]
    check(*observations)
    for place, search in searches.items():
        assert {each.device for each in search.scorer.backbone.parameters()} == {torch.device(place)}  # type: ignore[attr-defined]
