"""Training an agent: request, run folder, callbacks, learning curves."""
