"""The commands for agents and priors: train, watch, evaluate, export, fit."""
