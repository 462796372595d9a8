"""Policies and how to load one: agents, baselines, the belief over regions."""
