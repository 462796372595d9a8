"""Algorithm 1 over Stable-Baselines3, and the bridge to its vector environments."""
