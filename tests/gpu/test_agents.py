"""Hard positives, the belief and the agents on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn.algorithms import load_model
from agents.evaluation.playing import play
from agents.hard_positives.generation import HardPositiveGenerator
from agents.hard_positives.generation_run import method_of
from agents.hard_positives.transforms import HardPositiveBatch
from agents.hard_positives.transforms.objectives import OccludedMargin
from agents.hard_positives.transforms.patches import Cutouts, Lookalikes
from agents.policies.belief import score_grids
from agents.policies.belief.fitting import fit_predictor
from agents.policies.pretrained import load_pretrained
from agents.training.run import TrainRequest, resume, train
from occlusion_env import ENV_ID
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.targets import load_targets
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import load_scorer

LIMITS = RegionLimits(max_area=0.2, min_side=0.4)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 60, 90), generator=generator, dtype=torch.uint8)
    exemplars = torch.rand(3, 3, 20, 20, generator=generator)
    return images, torch.tensor([[30.0, 20, 24, 16], [5, 5, 30, 30], [40, 10, 20, 40]]), exemplars


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("random", torch.uint8),
        ("random", torch.float16),
        ("centre", torch.float32),
        ("best-of-3-random", torch.uint8),
        ("best-of-3-random", torch.float16),
        ("hill climbing", torch.uint8),
        ("belief", torch.uint8),
        ("pretrained", torch.uint8),
    ],
    ids=str,
)
def test_hard_positives(device: str, method: str, dtype: torch.dtype) -> None:
    images, boxes, exemplars = batch()
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    found = []
    for place in ("cpu", device):
        agent = method_of(method, place) if method == "pretrained" else method
        transform = HardPositiveBatch(agent, "sint", limits=None if method in ("belief", "pretrained") else LIMITS)
        given = (each.to(place) for each in (images, boxes, exemplars))
        changed = transform(*given, generator=torch.Generator().manual_seed(0))
        assert changed.device == torch.device(place) and changed.dtype == dtype
        found.append(changed.cpu().float())
    torch.testing.assert_close(*found, rtol=0, atol=1.01 if dtype == torch.uint8 else 2e-3)


@pytest.mark.parametrize("where", ["there", "elsewhere"])
@pytest.mark.parametrize("kind", ["lookalikes", "margin", "cutouts", "hill climbing"])
def test_the_matcher_may_be_on_another_device(device: str, kind: str, where: str) -> None:
    images, boxes, exemplars = batch()
    found = []
    for place in ("cpu", device):
        scorer = load_scorer(device=place if where == "there" else "cpu", precision="fp32")
        kwargs: dict[str, Any] = {
            "lookalikes": {"source": Lookalikes(scorer), "scorer": scorer},
            "margin": {"objective": OccludedMargin(scorer), "patches": 2},
            "cutouts": {"source": Cutouts(np.full((2, 64, 64, 3), 9, np.uint8)), "scorer": scorer},
            "hill climbing": {"scorer": scorer},
        }[kind]
        method = kind if kind == "hill climbing" else "best-of-3-random"
        transform = HardPositiveBatch(method, limits=LIMITS, **kwargs)
        given = (each.to(place) for each in (images, boxes, exemplars))
        changed = transform(*given, generator=torch.Generator().manual_seed(0))
        assert changed.device == torch.device(place)
        found.append(changed.cpu().float())
    torch.testing.assert_close(*found, rtol=0, atol=1.01)


def test_the_predictor_learns_from_scores_of_the_gpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = []
    for place in ("cpu", device):
        scorer = load_scorer(device=place, precision="fp32")
        features = FeatureExtractor(scorer.backbone, "fc7", "fp32")
        samples.append(score_grids(load_targets("synthetic").subset(range(3)), scorer, features))
    for name in ("maps", "drops"):
        pair = (torch.as_tensor(getattr(each, name)) for each in samples)
        torch.testing.assert_close(*pair, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr("agents.policies.belief.fitting._STEPS", 2)
    network = fit_predictor(samples[1])
    assert {each.device for each in network.parameters()} == {torch.device("cpu")}


def test_dqn_learns(device: str, tmp_path: Path) -> None:
    """Weights within 1e-2 after a few updates; then the run goes on and acts, where it is told to."""
    hyperparams = {
        "n_envs": 2, "buffer_size": 64, "learning_starts": 8, "batch_size": 4, "train_freq": 4,
        "target_update_interval": 8, "policy_kwargs": {"net_arch": [8]}, "n_steps": 2,
    }  # fmt: skip
    env_kwargs = {"precision": "fp32", "drop": 0.05, "max_steps": 4}
    models = []
    for place in ("cpu", device):
        request = TrainRequest(
            n_timesteps=24, hyperparams=hyperparams, env_kwargs=env_kwargs, device=place, eval_freq=16,
            eval_episodes=1, save_freq=16, log_folder=str(tmp_path / place.replace(":", "")),
        )  # fmt: skip
        run = train(request)
        model = load_model("dqn", run.model, place)
        assert model.device == torch.device(place)
        models.append(model.policy.state_dict())
    for name, value in models[0].items():
        torch.testing.assert_close(value, models[1][name].cpu(), rtol=1e-2, atol=1e-2)
    run.model.unlink()
    resume(run.path)
    episode = next(iter(play(load_model("dqn", run.model, device), ENV_ID, env_kwargs | {"device": device}, 4)))
    assert episode.length > 0


def test_the_shipped_agent_acts_alike(device: str) -> None:
    found = []
    for place in ("cpu", device):
        policy = load_pretrained(device=place).policy
        shape = policy.observation_space.shape
        observations = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
        found.append(policy.predict(observations, deterministic=True)[0])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("agent", ["belief", "pretrained", "attribution", "best-of-3-random"])
def test_hard_positives_are_generated(device: str, agent: str) -> None:
    """The same regions for a method that looks, one that reads SINT's layers, and one that draws."""
    targets, found = load_targets("synthetic").subset(range(2)), []
    for place in ("cpu", device):
        scorer = load_scorer(device=place, precision="fp32")
        generator = HardPositiveGenerator(method_of(agent, place), scorer)
        found.append([each.region for each in generator.of_targets(targets)])
    np.testing.assert_allclose(*found, atol=1e-6)
