"""A matcher of your own, in a module that Python can import: the correlation of two grey images.

`scorer` and `Observation` are what commands are given as `matcher:scorer` and `matcher:Observation`.
"""

from __future__ import annotations

import os

import torch

from agents.policies.belief import BeliefObservation, FittedPrior, load_prior


class GreyCorrelation:
    """Normalised cross-correlation of 32 x 32 grey images; the four members make it a `tracker.Scorer`."""

    input_size = 32
    device = torch.device("cpu")

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        """`[N, 3, 32, 32]` to unit vectors `[N, 1024]`."""
        grey = crops.mean(dim=1).flatten(1)
        return torch.nn.functional.normalize(grey - grey.mean(dim=1, keepdim=True))

    def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """`[N, 1024]` and `[N, 1024]` to `[N]`."""
        return (exemplars * candidates).sum(dim=1)

    def __call__(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Crops to scores."""
        return self.compare(self.embed(exemplars), self.embed(candidates))


def scorer() -> GreyCorrelation:
    """Return the matcher; load its network here."""
    return GreyCorrelation()


class Observation(BeliefObservation):
    """The belief over regions with the prior of this matcher."""

    def prior(self) -> FittedPrior:
        """The file that `fit-prior` wrote, named by the environment variable PRIOR."""
        return load_prior(os.environ["PRIOR"])
