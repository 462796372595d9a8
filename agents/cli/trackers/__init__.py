"""The commands for trackers: track, train, check, benchmark."""
