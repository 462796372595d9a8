import numpy as np
import pytest

from agents.dqn.exploration import guided, guided_actions, look_ahead
from agents.training.run import TrainRequest, make_env, train
from agents.training.vector_envs import make_vector_env
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"


@pytest.mark.parametrize("reward", ["paper", "difference", "potential", "record"])
def test_look_ahead_is_what_the_step_pays(reward):
    count, rng = 72, np.random.default_rng(0)
    env = make_vector_env(ORACLE, count, {"reward": reward})
    env.reset(seed=0)
    for _ in range(4):
        env.step(rng.integers(8, size=count))
    assert (env.search.score > env.search.best_score).sum() > 9, "some have been at better places"
    region, score = env.search.region.copy(), env.search.score.copy()
    expected, asked = look_ahead(env.search, np.arange(count))
    assert expected.shape == (count, 9) and asked == env.action_masks()[:, :8].sum()
    assert np.array_equal(region, env.search.region) and np.array_equal(score, env.search.score)
    actions = np.arange(count) % 9
    paid = env.step(actions)[1]
    assert paid == pytest.approx(expected[np.arange(count), actions])


def test_guided_actions_are_drawn_from_the_rewarded_ones():
    rewards = np.full((3000, 9), -1.0)
    rewards[:, [2, 7]] = 0.5
    rewards[:2000, 5] = 0.0
    rewards[2000:] = 0.0
    drawn = guided_actions(rewards, np.random.default_rng(0))
    assert np.bincount(drawn[:2000], minlength=9)[[2, 7]].sum() == 2000
    assert 900 < (drawn[:2000] == 2).sum() < 1100
    assert np.bincount(drawn[2000:], minlength=9).min() > 70


def test_an_exploring_agent_takes_rewarded_actions_and_counts_its_queries():
    from agents.dqn.algorithm import SquaredErrorDQN

    env = make_env(ORACLE, 4, {"reward": "difference"})
    agent = guided(SquaredErrorDQN)("MlpPolicy", env, learning_starts=10_000, buffer_size=400, seed=0)
    agent.learn(400)
    kept = agent.replay_buffer
    plain = SquaredErrorDQN("MlpPolicy", env, learning_starts=10_000, buffer_size=400, seed=0)
    plain.learn(400)
    assert kept.rewards.mean() > plain.replay_buffer.rewards.mean() + 0.1
    assert 400 < agent.look_ahead_queries <= 400 * 8


def test_what_the_agent_does_not_explore_costs_no_queries():
    from agents.dqn.algorithm import SquaredErrorDQN

    env = make_env(ORACLE, 4, {"reward": "difference"})
    agent = guided(SquaredErrorDQN)(
        "MlpPolicy", env, learning_starts=40, buffer_size=400, exploration_initial_eps=0.0,
        exploration_final_eps=0.0, gradient_steps=0, seed=0,
    )  # fmt: skip
    agent.learn(400)
    assert 40 < agent.look_ahead_queries <= 40 * 8, "before it learns it explores, then with epsilon"


def test_exploration_belongs_to_off_policy_algorithms(tmp_path):
    with pytest.raises(InputError, match="guided is for dqn and qrdqn"):
        train(TrainRequest(algo="ppo", env=ORACLE, exploration="guided", log_folder=str(tmp_path)))
