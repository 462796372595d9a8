"""Trackers behind one protocol, the registry of names, and following one box."""
