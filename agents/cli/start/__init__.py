"""The commands to begin with: the demo and the paper's ladder."""
