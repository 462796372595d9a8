"""Make the environment, one and many at once, and act in it at random.

Usage: python examples/01_make_the_environment.py [SEQUENCES]

Prints:

    synthetic-0/000072: unoccluded +0.778, first region +0.654
        taller +0.643 reward +1
       smaller +0.712 reward -1
      ...
       trigger +0.704 reward -3
    Eight searches as one batch
    observations [8, 346], mean score +0.684
"""

import sys

import gymnasium as gym

import occlusion_env  # noqa: F401  (registers OcclusionSearch-v0)


def main(sequences: str = "synthetic") -> None:
    """Play one episode, then 16 steps of eight searches, whose scores are one forward pass a step."""
    env = gym.make("OcclusionSearch-v0", targets=sequences, info_names=True)
    _, info = env.reset(seed=0)
    env.action_space.seed(0)
    print(f"{info['target']}: unoccluded {info['clean_score']:+.3f}, first region {info['score']:+.3f}")
    over = False
    while not over:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        print(f"  {info['action']:>8} {info['score']:+.3f} reward {reward:+.0f}")
        over = terminated or truncated
    print("Eight searches as one batch", flush=True)
    envs = gym.make_vec("OcclusionSearch-v0", num_envs=8, targets=sequences)
    observations, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(16):
        observations, _, _, _, infos = envs.step(envs.action_space.sample())
    print(f"observations {list(observations.shape)}, mean score {infos['score'].mean():+.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
