import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from agents.dqn.algorithm import HuberDQN, SquaredErrorDQN, load_hyperparameters
from occlusion_env.envs.arguments import SearchArguments
from tracker.errors import InputError


def make(algorithm=SquaredErrorDQN, **kwargs):
    settings = {
        "learning_starts": 0,
        "batch_size": 8,
        "train_freq": 1,
        "gradient_steps": 1,
        "gamma": 0.5,
        "seed": 0,
    }
    return algorithm("MlpPolicy", gym.make("CartPole-v1"), **settings | kwargs)


def batch(agent, rewards, dones, discounts=None):
    count = len(rewards)
    observations = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return ReplayBufferSamples(
        observations,
        torch.arange(count).remainder(2).view(-1, 1),
        observations + 0.5,
        torch.tensor(dones, dtype=torch.float32).view(-1, 1),
        torch.tensor(rewards, dtype=torch.float32).view(-1, 1),
        discounts,
    )


def test_target_is_line_19_and_21_of_algorithm_1():
    agent = make()
    samples = batch(agent, [1.0, -1.0, 3.0], [0, 0, 1])
    with torch.no_grad():
        q = agent.q_net(samples.observations)
        best = agent.q_net_target(samples.next_observations).max(dim=1).values
    expected = [
        1.0 + 0.5 * best[0] - q[0, 0],
        -1.0 + 0.5 * best[1] - q[1, 1],
        3.0 - q[2, 0],
    ]
    found = agent.temporal_difference(samples)
    assert found.shape == (3, 1)
    assert torch.allclose(found[:, 0], torch.stack(expected))


def test_returns_over_n_steps_are_discounted_by_their_own_length():
    agent, discounts = make(), torch.tensor([[0.5], [0.25], [0.125]])
    plain, samples = batch(agent, [0.0] * 3, [0] * 3), batch(agent, [0.0] * 3, [0] * 3, discounts)
    assert torch.allclose(agent.expected(samples) * 0.5, agent.expected(plain) * discounts)


def test_no_gradient_reaches_the_target_network():
    agent = make()
    agent.temporal_difference(batch(agent, [1.0], [0])).square().mean().backward()
    assert all(parameter.grad is None for parameter in agent.q_net_target.parameters())
    assert any(parameter.grad is not None for parameter in agent.q_net.parameters())


def gradients(agent, samples):
    """Gradients of one `train` call, caught before the optimizer uses them."""
    caught = {}

    def step():
        caught.update({n: p.grad.clone() for n, p in agent.q_net.named_parameters()})

    agent.replay_buffer.sample = lambda *_, **__: samples
    agent.policy.optimizer.step = step
    agent.max_grad_norm = float("inf")
    silent(agent).train(1, 3)
    return caught


def test_squared_error_is_twice_hubers_gradient_below_one_and_grows_beyond():
    def compare(rewards):
        ours, theirs = make(), make(DQN)
        samples = batch(ours, rewards, [1, 1, 1])
        with torch.no_grad():
            q = ours.q_net(samples.observations).gather(1, samples.actions)
        samples = samples._replace(rewards=samples.rewards + q)
        a, b = gradients(ours, samples), gradients(theirs, samples)
        return [float(a[name].norm() / b[name].norm()) for name in a if float(b[name].norm()) > 1e-6]

    assert compare([0.5, -0.5, 0.2]) == pytest.approx([2.0] * 6, rel=1e-3)
    assert min(compare([6.0, 6.0, 6.0])) == pytest.approx(12.0, rel=1e-3)


def test_training_moves_weights_and_saves(tmp_path):
    agent = make(policy_kwargs={"net_arch": [16]})
    before = [parameter.clone() for parameter in agent.q_net.parameters()]
    agent.learn(60)
    assert any(not torch.equal(a, b) for a, b in zip(before, agent.q_net.parameters(), strict=True))
    agent.save(tmp_path / "agent")
    again = SquaredErrorDQN.load(tmp_path / "agent")
    observation = np.ones((3, 4), dtype=np.float32)
    assert np.array_equal(
        agent.predict(observation, deterministic=True)[0], again.predict(observation, deterministic=True)[0]
    )


@pytest.mark.parametrize("name", ["paper", "demo", "dqn"])
def test_shipped_hyperparameters_make_an_agent(name):
    parameters = load_hyperparameters(name)
    assert parameters.pop("n_timesteps") > 0
    for name in ("n_envs", "env_kwargs"):
        parameters.pop(name, None)
    SquaredErrorDQN(env=gym.make("CartPole-v1"), **parameters | {"buffer_size": 100})


def test_paper_has_the_papers_values():
    parameters = load_hyperparameters("paper")
    assert (parameters["batch_size"], parameters["learning_rate"]) == (100, 1e-6)
    arguments = SearchArguments.from_keywords(parameters["env_kwargs"])
    assert (arguments.features, arguments.eta, arguments.max_steps, arguments.history) == ("vgg16", 3.0, 20, 10)


def test_double_target_is_the_target_networks_value_of_the_networks_choice():
    agent, samples = make(td_target="double"), batch(make(), [0.0] * 40, [0] * 40)
    with torch.no_grad():
        for parameter in agent.q_net_target.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
        chosen = agent.q_net(samples.next_observations).argmax(dim=1)
        value = agent.q_net_target(samples.next_observations)
    expected = 0.5 * value[torch.arange(40), chosen]
    assert torch.allclose(agent.expected(samples)[:, 0], expected)
    assert not torch.allclose(expected, 0.5 * value.max(dim=1).values)
    with pytest.raises(InputError, match="td_target"):
        make(td_target="triple")


def silent(agent):
    agent.set_logger(__import__("stable_baselines3").common.logger.configure(format_strings=[]))
    return agent


def test_gradients_are_clipped():
    agent = silent(make(max_grad_norm=0.01))
    agent.replay_buffer.sample = lambda *_, **__: batch(agent, [50.0] * 3, [1] * 3)
    caught = []
    agent.policy.optimizer.step = lambda: caught.extend(p.grad.clone() for p in agent.q_net.parameters())
    agent.train(1, 3)
    assert float(torch.stack([each.norm() for each in caught]).norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_call_takes_the_steps_it_is_asked_for_at_the_scheduled_rate():
    agent = silent(make(learning_rate=lambda remaining: 0.1 * remaining))
    agent.replay_buffer.sample = lambda *_, **__: batch(agent, [1.0] * 3, [1] * 3)
    rates, step = [], agent.policy.optimizer.step
    agent.policy.optimizer.step = lambda: rates.append(agent.policy.optimizer.param_groups[0]["lr"]) or step()
    for remaining, count in ((1.0, 3), (0.5, 2)):
        agent._current_progress_remaining = remaining
        agent.train(count, 3)
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 2)
    assert agent._n_updates == 5 == agent.logger.name_to_value["train/n_updates"]


def test_huber_with_the_plain_target_is_stable_baselines_own():
    samples = batch(make(), [3.0, -0.5, 0.2], [1, 0, 0])
    ours, theirs = gradients(make(HuberDQN), samples), gradients(make(DQN), samples)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-7) for name in ours)


def test_bad_hyperparameter_files(tmp_path):
    with pytest.raises(InputError, match="'nothing' is no hyper-parameter file"):
        load_hyperparameters("nothing")
    file = tmp_path / "other.yml"
    file.write_text("CartPole-v1:\n  policy: MlpPolicy\n")
    with pytest.raises(InputError, match="no section 'OcclusionSearch-v0'"):
        load_hyperparameters(str(file))
    file.write_text("OcclusionSearch-v0:\n  gamma: 0.5\ndefault:\n  gamma: 0.7\n")
    assert load_hyperparameters(str(file)) == {"gamma": 0.5}
    assert load_hyperparameters(str(file), "BackgroundSearch-v0") == {"gamma": 0.7}, "RL Zoo's default section"
    file.write_text("a: [1\n")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        load_hyperparameters(str(file))
