"""Train another algorithm in the environment: here PPO, for a minute.

Usage: python examples/other_algorithms.py [STEPS]
"""

import sys

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)


def main(steps: int) -> None:
    """Train and report the mean return before and after."""
    env = Monitor(gym.make("OcclusionSearch-v0"))
    model = PPO("MlpPolicy", env, n_steps=min(256, steps), batch_size=64, gamma=0.9, seed=0)
    before, _ = evaluate_policy(model, env, n_eval_episodes=10)
    model.learn(steps)
    after, _ = evaluate_policy(model, env, n_eval_episodes=10)
    print(f"mean return before {before:+.2f}, after {after:+.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
