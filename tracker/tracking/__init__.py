"""Trackers behind one interface."""
