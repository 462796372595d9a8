"""Targets, occluders, distractors, and the scene with a known optimum."""
