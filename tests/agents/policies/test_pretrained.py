"""Agents as safetensors: what is written comes back, and the one that ships works."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO

import occlusion_env  # noqa: F401
from agents.evaluation.comparison import compare
from agents.policies.loading import agent_digest, load_agent
from agents.policies.pretrained import load_pretrained, save_pretrained
from agents.training.environment import TrainingEnvironment
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.scene.targets import load_targets
from tracker.errors import InputError

KEYWORDS = {"targets": "synthetic", "max_steps": 3, "history": 2}


@pytest.fixture(scope="module")
def model() -> DQN:
    env = gym.make("OcclusionSearch-v0", **KEYWORDS)
    return DQN("MlpPolicy", env, policy_kwargs={"net_arch": [8, 5]}, buffer_size=10, seed=3)


@pytest.fixture
def file(model: DQN, tmp_path: Path) -> Path:
    record = TrainingEnvironment.from_record({"env_kwargs": KEYWORDS})
    save_pretrained(tmp_path / "mine.safetensors", model, record, {"note": "a trial"})
    return tmp_path / "mine.safetensors"


def test_an_agent_comes_back_as_it_was(model: DQN, file: Path) -> None:
    again = load_pretrained(file)
    assert again.environment.arguments == SearchArguments(max_steps=3, history=2)
    assert again.card["note"] == "a trial" and "targets" not in again.card["env_kwargs"]
    seen = np.random.default_rng(0).normal(size=(50, *model.observation_space.shape)).astype(np.float32)
    assert np.array_equal(
        again.policy.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0]
    )
    assert len(set(model.predict(seen, deterministic=True)[0])) > 1


def test_a_folder_named_pretrained_hides_nothing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """`pretrained` is the shipped agent, and a file in that folder is no part of an input."""
    (tmp_path / "pretrained").mkdir()
    command = ["enjoy", "--agent", "pretrained", "--data", "drawn", "-n", 1, "--device", "cpu"]
    code, _, errors = run(*command, "--json", "pretrained/episode.json")
    assert code == 0 and (tmp_path / "pretrained" / "episode.json").is_file(), errors
    assert agent_digest("pretrained").count(":") == 1, "of model and card"


def test_files_that_do_not_fit_are_named(file: Path) -> None:
    card = json.loads(file.with_suffix(".json").read_text())
    for change, sentence in (
        ({"net_arch": [9, 5]}, "not those of the agent"),
        ({"env_kwargs": {"steps": 3}}, "unexpected keyword argument 'steps'"),
        ({"observation_length": None}, "read as the card of an agent"),
    ):
        file.with_suffix(".json").write_text(json.dumps(card | change))
        with pytest.raises(InputError, match=sentence):
            load_pretrained(file)
    file.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="There is no agent 'nowhere.safetensors'"):
        load_pretrained("nowhere.safetensors")
    with pytest.raises(InputError, match="beside the agent"):
        load_agent(str(file))


def test_only_a_flat_dqn_can_be_written(tmp_path: Path) -> None:
    nowhere = TrainingEnvironment(SearchArguments())
    with pytest.raises(InputError, match="Only an agent of dqn"):
        save_pretrained(tmp_path / "a.safetensors", PPO("MlpPolicy", "CartPole-v1"), nowhere, {})
    env = gym.make("OcclusionSearch-v0", observation="dict")
    with pytest.raises(InputError, match="flat observation"):
        save_pretrained(tmp_path / "a.safetensors", DQN("MultiInputPolicy", env, buffer_size=10), nowhere, {})
    assert not list(tmp_path.iterdir())


def test_the_pretrained_agent_beats_chance() -> None:
    """On synthetic videos, which it was not trained on."""
    agents = [load_agent("pretrained")]
    assert agents[0].settings is not None and agents[0].settings.max_steps + 2 <= 20
    networks = load_networks(SearchArguments(precision="fp32"))
    targets = [load_targets(f"synthetic:{seed}")[20] for seed in range(6)]
    comparison = compare(networks, targets, agents, methods={})
    found, closures = comparison.trials, {name: comparison.closure(name) for name in comparison.trials}
    assert closures["pretrained"] > 0.5
    assert found["pretrained"].queries.max() <= 19
