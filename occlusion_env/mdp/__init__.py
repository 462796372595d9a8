"""The decision process as arithmetic: actions, regions and their limits, rewards, settings."""
