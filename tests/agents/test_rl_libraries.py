"""The recipes for other RL libraries run; each is skipped where its library is not installed."""

import dataclasses
import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "libraries"


@pytest.fixture
def recipe(monkeypatch):
    """Import a recipe; skipped where its library is not installed."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name, *libraries):
        for library in libraries:
            pytest.importorskip(library, reason=f"{library} is not installed: the extra 'rl-libraries'")
        return importlib.import_module(name)

    return load


def returns_of(printed):
    """The returns that a recipe prints, by the name of the policy."""
    return {
        line.split(": return ")[0]: float(line.split()[-1]) for line in printed.splitlines() if ": return " in line
    }


def check_returns(printed, name):
    returns = returns_of(printed)
    assert set(returns) == {"random", "hill climbing", name}
    assert np.isfinite(list(returns.values())).all() and returns["hill climbing"] > returns["random"] + 2


def test_ppo_in_one_file(recipe, capsys):
    ppo = recipe("ppo_single_file")
    ppo.main(ppo.Settings(steps=256, n_envs=4, rollout=32, epochs=1, batch_size=64, episodes=8))
    check_returns(capsys.readouterr().out, "PPO")


def test_ppo_does_not_look_beyond_the_end_of_an_episode(recipe):
    """The advantages of two episodes of one environment against the sums written out; the second is truncated."""
    ppo = recipe("ppo_single_file")
    settings = ppo.Settings(gamma=0.5, gae=0.5)
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    next_values, over = torch.tensor([[1.0], [0.0], [8.0]]), torch.tensor([[False], [True], [True]])
    errors = [1 + 0.5 * 1 - 0.5, 2 + 0 - 1, 4 + 0.5 * 8 - 2]
    found = ppo.advantages(rewards, values, next_values, over, settings)
    assert found[:, 0].tolist() == pytest.approx([errors[0] + 0.25 * errors[1], errors[1], errors[2]])


def test_ppo_never_takes_a_masked_action(recipe):
    ppo = recipe("ppo_single_file")
    net, masks = ppo.ActorCritic(5, 9), torch.zeros(1, 9)
    masks[0, [2, 8]] = 1
    chances = net.policy(torch.zeros(1, 5), masks).probs.detach()
    assert chances[0, [2, 8]].sum() == pytest.approx(1) and (chances[0, [0, 1, 3, 4, 5, 6, 7]] == 0).all()


@pytest.mark.parametrize("algorithm", ["MaskablePPO", "QRDQN"])
def test_sb3_contrib(recipe, capsys, algorithm):
    contrib = recipe("sb3_contrib_agents", "sb3_contrib")
    agent = contrib.main(contrib.Settings(algorithm, steps=128, n_envs=2, episodes=8))
    check_returns(capsys.readouterr().out, algorithm)
    assert agent.num_timesteps == 128


def test_torchrl(recipe):
    torchrl = recipe("torchrl_dqn", "torchrl")
    small = torchrl.Settings(steps=200, warm_up=100, updates=2, batch_size=16, episodes=8)
    _, memory = torchrl.train(small)
    stored = memory[:]
    assert len(memory) == 200 and stored["observation"].isfinite().all()
    assert stored["next", "reward"].isfinite().all() and stored["next", "terminated"].any()
    assert set(stored["action"].unique().tolist()) <= set(range(9))


def test_torchrl_prints_its_return(recipe, capsys):
    torchrl = recipe("torchrl_dqn", "torchrl")
    torchrl.main(torchrl.Settings(steps=100, warm_up=50, updates=1, batch_size=16, episodes=8))
    check_returns(capsys.readouterr().out, "TorchRL DQN")


def test_tianshou(recipe, capsys):
    tianshou = recipe("tianshou_dqn", "tianshou")
    small = tianshou.Settings(steps=160, n_envs=4, warm_up=40, updates=0.1, batch_size=16, episodes=8)
    _, memory = tianshou.train(small)
    assert len(memory) == 200 and np.isfinite(memory.rew).all() and memory.terminated.any()
    tianshou.main(dataclasses.replace(small, steps=40))
    check_returns(capsys.readouterr().out, "Tianshou DQN")


def test_rl_zoo_searches_hyperparameters(recipe, capsys, tmp_path):
    zoo = recipe("rl_zoo_optimise", "rl_zoo3", "optuna")
    zoo.main(zoo.Settings(trials=2, trial_steps=64, steps=64, out=tmp_path, episodes=8))
    printed = capsys.readouterr().out
    check_returns(printed, "RL Zoo PPO")
    (study,) = (tmp_path / "ppo").glob("report_*.csv")
    assert len(study.read_text().splitlines()) == 3 and "best of 2 trials" in printed


def test_gymnasiums_wrappers_take_the_infos():
    """Infos are numbers, so that wrappers and other libraries' readers of infos take them."""
    pytest.importorskip("array_api_compat", reason="Gymnasium's wrapper needs array_api_compat")
    from gymnasium.wrappers.vector import NumpyToTorch

    envs = NumpyToTorch(gym.make_vec("OcclusionSearchOracle-v0", num_envs=2, autoreset_mode="SameStep"))
    envs.reset(seed=0)
    infos = envs.step(torch.tensor([0, 8]))[4]
    assert infos["is_success"].dtype == torch.bool and infos["action_mask"].shape == (2, 9)
