"""Animations of a walk through a manifold, and images in captioned rows."""

from .animation import traversal_pictures, write_animation
from .rows import Row, draw_rows

__all__ = ["Row", "draw_rows", "traversal_pictures", "write_animation"]
