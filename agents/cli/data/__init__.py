"""The commands that make data: hard positives, manifolds of targets."""
