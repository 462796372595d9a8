import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents.dqn.bridge import VectorEnvBridge
from agents.training.vector_envs import make_vector_env
from tracker.errors import InputError

ORACLE = "OcclusionSearchOracle-v0"


class Walk(gym.Env):
    """Ends by itself and by a time limit, with infos of every kind."""

    observation_space = spaces.Dict({"x": spaces.Box(-9, 9, (2,), np.float32), "n": spaces.Discrete(40)})
    action_space = spaces.Discrete(3)
    render_mode = "rgb_array"
    factor = 1

    def info(self):
        nested = {"at": float(self.x[0])}
        odd = {"odd": self.n} if self.n % 2 else {}
        return {"n": self.n, "x": self.x.astype(np.float64), "name": f"step {self.n}", "nested": nested, **odd}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n, self.x = 0, self.np_random.normal(size=2).astype(np.float32)
        self.x += (options or {}).get("shift", 0)
        return {"x": self.x.copy(), "n": 0}, self.info()

    def step(self, action):
        self.n += 1
        self.x = np.clip(self.x + self.np_random.normal(size=2) * action, -9, 9).astype(np.float32)
        observation = {"x": self.x.copy(), "n": self.n}
        return observation, self.factor * float(self.x[0]), bool(abs(self.x[1]) > 2), False, self.info()

    def render(self):
        return np.full((4, 4, 3), self.n, np.uint8)

    def action_masks(self):
        return np.array([True, self.n > 1, False])


def walk():
    return TimeLimit(Walk(), 6)


def bridge(count=3):
    return VectorEnvBridge(SyncVectorEnv([walk] * count, autoreset_mode=AutoresetMode.SAME_STEP))


def same(a, b):
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b) and np.asarray(b).dtype == a.dtype
    return a == b and type(a) is type(b)


def compare(ours, theirs, steps, least, actions=3):
    rng = np.random.default_rng(0)
    ended = cut = 0
    for env in (ours, theirs):
        env.seed(11)
    assert same(ours.reset(), theirs.reset())
    assert same(ours.reset_infos, theirs.reset_infos)
    for _ in range(steps):
        chosen = rng.integers(actions, size=ours.num_envs)
        mine, yours = ours.step(chosen), theirs.step(chosen)
        for found, expected in zip(mine, yours, strict=True):
            assert same(found, expected)
        assert same(ours.reset_infos, theirs.reset_infos)
        ended += int(mine[2].sum())
        cut += sum(info["TimeLimit.truncated"] for info in mine[3])
    assert ended > cut > least


def test_equals_dummy_vec_env():
    compare(bridge(), DummyVecEnv([walk] * 3), 400, 50)


def test_the_native_vector_env_equals_dummy_vec_env_of_single_ones():
    native = VectorEnvBridge(make_vector_env(ORACLE, 3, {"max_steps": 4}))
    compare(native, DummyVecEnv([lambda: gym.make(ORACLE, max_steps=4)] * 3), 200, 20, 9)


def test_the_share_of_successes_is_evaluated(tmp_path):
    """`EvalCallback` reads `is_success` of each episode's last info, from single and from vector environments."""
    kwargs = {"max_steps": 3, "drop": 0.3}
    for env in (
        VectorEnvBridge(make_vector_env(ORACLE, 2, kwargs)),
        DummyVecEnv([lambda: gym.make(ORACLE, **kwargs)]),
    ):
        agent = DQN("MlpPolicy", VecMonitor(env), seed=0, learning_starts=4, policy_kwargs={"net_arch": [4]})
        judged = EvalCallback(
            VecMonitor(env),
            eval_freq=10,
            n_eval_episodes=8,
            log_path=str(tmp_path),
            verbose=0,
            deterministic=False,
        )
        agent.learn(20, callback=judged)
        successes = np.load(tmp_path / "evaluations.npz")["successes"]
        assert successes.shape[1] == 8 and 0 < successes.mean() < 1


def test_monitored_bridge_equals_monitored_dummy():
    ours, theirs = VecMonitor(bridge()), VecMonitor(DummyVecEnv([walk] * 3))
    episodes = []
    for env in (ours, theirs):
        env.seed(3)
        env.reset()
        rng = np.random.default_rng(0)
        infos = [info for _ in range(60) for info in env.step(rng.integers(3, size=3))[3]]
        episodes.append([(info["episode"]["r"], info["episode"]["l"]) for info in infos if "episode" in info])
    assert len(episodes[0]) > 20 and episodes[0] == episodes[1]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_reset_modes_are_refused(mode):
    with pytest.raises(InputError, match="SAME_STEP"):
        VectorEnvBridge(SyncVectorEnv([walk], autoreset_mode=mode))


def test_an_observation_does_not_change_later():
    env = VectorEnvBridge(SyncVectorEnv([walk] * 2, copy=False, autoreset_mode=AutoresetMode.SAME_STEP))
    first = env.reset()
    second = env.step(np.array([2, 2]))[0]
    before = first["x"].copy(), second["x"].copy()
    env.step(np.array([2, 2]))
    assert np.array_equal(first["x"], before[0]) and np.array_equal(second["x"], before[1])
    assert not np.array_equal(*before)


def test_seeds_and_options_count_once():
    env = bridge(2)
    env.seed(5)
    env.set_options({"shift": 3})
    first, second = env.reset()["x"], env.reset()["x"]
    env.seed(5)
    again = env.reset()["x"]
    assert np.allclose(again + 3, first) and not np.allclose(again, second)
    env.set_options([{"shift": 1}, {}])
    with pytest.raises(InputError, match="same options"):
        env.reset()


def test_attributes_and_methods_of_separate_environments():
    env = bridge()
    env.reset()
    assert env.get_attr("render_mode", 1) == ["rgb_array"] and env.render_mode == "rgb_array"
    env.set_attr("factor", 7, indices=[2])
    assert env.get_attr("factor") == [1, 1, 7]
    assert np.stack(env.env_method("action_masks", indices=[0, 2])).shape == (2, 3)
    assert env.env_is_wrapped(TimeLimit) == [True] * 3
    assert env.has_attr("action_masks") and not env.has_attr("nothing")
    assert [image.shape for image in env.get_images()] == [(4, 4, 3)] * 3


def test_attributes_and_methods_of_one_object():
    env = VectorEnvBridge(make_vector_env(ORACLE, 2, {"render_mode": "rgb_array"}))
    env.reset()
    masks = env.env_method("action_masks")
    assert len(masks) == 2 and masks[0].shape == (9,) and masks[0][8]
    assert env.get_attr("action_space", 0) == [env.action_space]
    assert env.get_attr("feature_length") == [48, 48]
    assert env.env_is_wrapped(TimeLimit) == [False, False]
    assert env.render().ndim == 3 and len(env.get_images()) == 2
    with pytest.raises(InputError, match="'features_of' does not return one result"):
        env.env_method("features_of", np.zeros(5, int), np.full((5, 4), 0.25))
    with pytest.raises(InputError, match="share 'drop'"):
        env.set_attr("drop", 1.0, indices=[0])
    with pytest.raises(AttributeError):
        env.get_attr("nothing")
