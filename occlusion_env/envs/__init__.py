"""The Gymnasium environments: single, vector, background; their arguments and pictures."""
