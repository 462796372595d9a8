import pickle

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from agents.dqn.bridge import VectorEnvBridge
from agents.dqn.replay import LookupNStepReplayBuffer, LookupReplayBuffer, PreviousRegions
from agents.training.vector_envs import make_vector_env
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"


def make(observation="features", count=3, **kwargs):
    arguments = {"observation": observation, "max_steps": 4} | kwargs
    return PreviousRegions(VectorEnvBridge(make_vector_env(ORACLE, count, arguments)))


def fill(env, buffers, steps):
    rng = np.random.default_rng(0)
    env.seed(1)
    observation, ends = env.reset(), 0
    for _ in range(steps):
        actions = rng.integers(9, size=env.num_envs)
        following, rewards, dones, infos = env.step(actions)
        after = following.copy()
        for i in np.flatnonzero(dones):
            after[i] = infos[i]["terminal_observation"]
        for buffer in buffers:
            buffer.add(observation, after, actions, rewards, dones, infos)
        observation = following
        ends += dones.sum()
    return ends


def equal_batches(ours, plain, size=256):
    batches = []
    for buffer in (ours, plain):
        np.random.seed(4)
        batches.append(buffer.sample(size))
    for found, expected in zip(*batches, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.dtype == expected.dtype and np.allclose(found, expected, atol=1e-6)
    return batches[0]


@pytest.mark.parametrize(("ours", "plain", "extra"), [
    (LookupReplayBuffer, ReplayBuffer, {}),
    (LookupNStepReplayBuffer, NStepReplayBuffer, {"n_steps": 3, "gamma": 0.5}),
])  # fmt: skip
@pytest.mark.parametrize("steps", [30, 120])
def test_batches_equal_a_plain_buffers(ours, plain, extra, steps):
    env = make("features+region", cache_mb=0)
    spaces_ = (env.observation_space, env.action_space)
    kept = ours(240, *spaces_, "cpu", n_envs=3, feature_length=48, **extra)
    theirs = plain(240, *spaces_, "cpu", n_envs=3, **extra)
    kept.set_env(env)
    assert fill(env, [kept, theirs], steps) > 10 and kept.full == (steps == 120)
    batch = equal_batches(kept, theirs)
    assert 0 < batch.dones.sum() < len(batch.dones)
    assert (batch.observations != batch.next_observations).any()


def test_a_transition_takes_a_twentieth_of_the_memory():
    space, actions = spaces.Box(-1, 1, (4096 + 90,), np.float32), spaces.Discrete(9)
    ours = LookupReplayBuffer(64, space, actions, "cpu", feature_length=4096)
    plain = ReplayBuffer(64, space, actions, "cpu")
    assert len(pickle.dumps(ours)) * 20 <= len(pickle.dumps(plain))


def test_a_pickle_leaves_the_environment_out():
    env = make()
    buffer = LookupReplayBuffer(60, env.observation_space, env.action_space, "cpu", n_envs=3, feature_length=48)
    buffer.set_env(env)
    fill(env, [buffer], 15)
    content = pickle.dumps(buffer)
    assert b"VectorEnv" not in content
    again = pickle.loads(content)
    with pytest.raises(RuntimeError, match="set_env"):
        again.sample(2)
    again.set_env(env)
    equal_batches(again, buffer, 32)
    fill(env, [again], 5)
    assert again.observations.targets is again.targets


def test_what_cannot_be_looked_up_is_refused():
    env = make()
    arguments = (60, env.observation_space, env.action_space, "cpu", 3)
    with pytest.raises(InputError, match="feature_length is 999"):
        LookupReplayBuffer(*arguments, feature_length=999)
    with pytest.raises(InputError, match="features"):
        LookupReplayBuffer(60, spaces.Box(0, 255, (8, 8, 3), np.uint8), env.action_space, feature_length=3)
    with pytest.raises(InputError, match="48 numbers and the buffer's 40"):
        LookupReplayBuffer(*arguments, feature_length=40).set_env(env)
    infos = [{"target_index": -1, "region": np.zeros(4), "previous_region": np.zeros(4)}] * 3
    with pytest.raises(InputError, match="image of your own"):
        nothing = np.zeros((3, 138), np.float32)
        LookupReplayBuffer(*arguments, feature_length=48).add(nothing, nothing, np.zeros(3), None, None, infos)


def test_previous_regions_start_with_the_episode():
    env = make(count=2)
    env.reset()
    before = np.array([info["region"] for info in env.reset_infos])
    rng = np.random.default_rng(2)
    for _ in range(30):
        _, _, dones, infos = env.step(rng.integers(9, size=2))
        assert np.array_equal([info["previous_region"] for info in infos], before)
        resets = env.venv.reset_infos
        before = np.array([resets[i]["region"] if dones[i] else infos[i]["region"] for i in range(2)])
