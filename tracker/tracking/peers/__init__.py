"""Other people's trackers behind this project's interface."""
