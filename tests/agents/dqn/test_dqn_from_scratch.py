"""The single-file example does what `SquaredErrorDQN` does, and learns."""

import importlib.util
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

import occlusion_env  # noqa: F401
from agents.dqn.algorithm import SquaredErrorDQN

FILE = Path(__file__).resolve().parents[3] / "examples" / "04_dqn_from_scratch.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("dqn_from_scratch", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["dqn_from_scratch"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["dqn_from_scratch"]


def test_targets_and_update_are_those_of_the_agent(example):
    agent = SquaredErrorDQN("MlpPolicy", gym.make("CartPole-v1"), gamma=0.7, policy_kwargs={"net_arch": [16, 16]},
                            max_grad_norm=float("inf"), learning_rate=1e-3, seed=0)  # fmt: skip
    with torch.no_grad():
        for parameter in agent.q_net_target.parameters():
            parameter.add_(0.1)
    ours, theirs = example.q_network(4, 16, 2), agent.q_net.q_net
    target = example.q_network(4, 16, 2)
    ours.load_state_dict(theirs.state_dict())
    target.load_state_dict(agent.q_net_target.q_net.state_dict())
    rng = np.random.default_rng(0)
    batch = [
        example.Transition(*(rng.normal(size=4).astype(np.float32), int(rng.integers(2)), float(rng.normal())),
                           rng.normal(size=4).astype(np.float32), bool(i % 3 == 0))
        for i in range(12)
    ]  # fmt: skip
    columns = [np.array(column) for column in zip(*batch, strict=True)]
    states, actions, rewards, following, ends = columns
    samples = ReplayBufferSamples(
        torch.from_numpy(states), torch.from_numpy(actions)[:, None], torch.from_numpy(following),
        torch.from_numpy(ends.astype(np.float32))[:, None], torch.from_numpy(rewards.astype(np.float32))[:, None],
    )  # fmt: skip
    y = example.targets(batch, target, 0.7)
    assert torch.allclose(y, agent.expected(samples)[:, 0], atol=1e-6)
    loss = example.update(batch, ours, y, torch.optim.Adam(ours.parameters(), lr=1e-3))
    agent.replay_buffer.sample = lambda *_, **__: samples
    agent.set_logger(__import__("stable_baselines3").common.logger.configure(format_strings=[]))
    agent._current_progress_remaining = 1.0
    agent.train(1, 12)
    assert loss == pytest.approx(agent.logger.name_to_value["train/loss"], rel=1e-5)
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, yours, atol=1e-6)


def test_it_learns_the_oracle(example, capsys):
    settings = example.Settings("OcclusionSearchOracle-v0", "difference", steps=1000, batch_size=64, report=15)
    _, curve = example.train(settings, gym.make(settings.env, reward=settings.reward))
    late = curve.drops[-15:]
    assert np.mean(late) > np.mean(curve.drops[:15]) + 0.05
    assert "score drop" in capsys.readouterr().out
