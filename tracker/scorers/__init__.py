"""Scorers of pairs of images: SINT, SiamFC, any embedding, a tracker's confidence; attribution and checks."""

from __future__ import annotations

from .sint import IncrementalScorer, KnownImage, Scorer, SintScorer, load_scorer, shared_backbone

__all__ = ["IncrementalScorer", "KnownImage", "Scorer", "SintScorer", "load_scorer", "shared_backbone"]
