"""The commands to begin with: the demo, the paper's ladder, what is installed."""
