"""An agent's foresight: what an occlusion will do, learned from scores, and where it is worth going.

The features of a region say little about what its occlusion does to the score. Here a small network learns that
from scored occlusions (`DropPredictor`, `learning`), and the state is what the agent needs for its decision: what
each move promises, given the prediction and the scores asked for so far (`planning`, `observation`). The
environment takes it as `observation="foresight"`.

Importing this package imports no torch; its names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .greedy import GreedyForesight
    from .learning import Samples, fit_predictor, sample_drops
    from .network import DropPredictor, load_predictor, save_predictor
    from .observation import Foresight

__all__ = [
    "DropPredictor",
    "Foresight",
    "GreedyForesight",
    "Samples",
    "fit_predictor",
    "load_predictor",
    "sample_drops",
    "save_predictor",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "greedy": ["GreedyForesight"],
        "learning": ["Samples", "fit_predictor", "sample_drops"],
        "network": ["DropPredictor", "load_predictor", "save_predictor"],
        "observation": ["Foresight"],
    },
)
