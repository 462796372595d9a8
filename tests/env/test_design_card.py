"""The state of the design card: VGG-16's fc7, from a weights file in torchvision's format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from safetensors.torch import save_file
from stable_baselines3 import DQN
from torchvision.models import vgg16

from agents.dqn.bridge import VectorEnvBridge
from occlusion_env import ENV_ID
from tracker.scorers import sint as sint_scorer

LENGTH = 4096
HISTORY = 90


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """All 138 million weights of VGG-16, random (He's scale, so that features neither vanish nor explode)."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in vgg16().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()}
    for value in state.values():
        if value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    file = tmp_path_factory.mktemp("vgg16") / "vgg16.safetensors"
    save_file(state, file)
    del state
    yield str(file)
    file.unlink()
    sint_scorer._cached_backbone.cache_clear()


@pytest.fixture
def kwargs(vgg_file: str, tmp_path, make_video, write_otb) -> dict[str, Any]:
    """Two targets, so that most features are computed once."""
    write_otb(tmp_path / "video", make_video(3))
    return {
        "features": "vgg16", "layer": "fc7", "weights": vgg_file, "targets": str(tmp_path / "video"), "drop": 0.01,
    }  # fmt: skip


def agent(env: Any) -> DQN:
    return DQN(
        "MlpPolicy", env, learning_rate=1e-3, buffer_size=16, learning_starts=2, batch_size=2, train_freq=1,
        policy_kwargs={"net_arch": [4]}, seed=0,
    )  # fmt: skip


def check_features(observations: np.ndarray) -> None:
    """fc7 behind its ReLU or before it, scaled to a root mean square of 1; then nine numbers an action."""
    features, history = observations[..., :LENGTH], observations[..., LENGTH:]
    assert np.sqrt((features**2).mean(axis=-1)) == pytest.approx(1, abs=1e-2)
    assert history.shape[-1] == HISTORY and set(np.unique(history)) <= {0, 1}


def test_an_agent_trains_on_fc7(kwargs: dict[str, Any]) -> None:
    env = gym.make(ENV_ID, **kwargs)
    assert env.observation_space.shape == (LENGTH + HISTORY,)
    first, info = env.reset(seed=0)
    assert info["score"] < info["clean_score"] <= 1 + 1e-5 and info["queries"] == 2
    second, reward, terminated, truncated, after = env.step(1)
    for observation in (first, second):
        assert env.observation_space.contains(observation)
        check_features(observation)
    assert (first[:LENGTH] != second[:LENGTH]).any() and after["score"] != info["score"]
    assert reward in (-1, 1) and not terminated and not truncated
    trained = agent(env)
    before = [weight.clone() for weight in trained.q_net.parameters()]
    trained.learn(5)
    assert any((a != b).any() for a, b in zip(before, trained.q_net.parameters(), strict=True))


def test_an_agent_trains_on_fc7_of_a_vector_environment(kwargs: dict[str, Any]) -> None:
    envs = gym.make_vec(ENV_ID, num_envs=2, autoreset_mode=AutoresetMode.SAME_STEP, max_steps=2, **kwargs)
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (2, LENGTH + HISTORY)
    check_features(observations)
    alone, _ = gym.make(ENV_ID, **kwargs).reset(seed=0)
    assert np.abs(observations[0] - alone).max() < 1e-2  # in bf16
    assert agent(VectorEnvBridge(envs)).learn(6).num_timesteps == 6
