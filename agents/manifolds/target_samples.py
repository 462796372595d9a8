"""Samples of a target from the manifold of its video, in the target's place (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from functools import lru_cache

import numpy as np

import vae
from occlusion_env.scene.targets import Target
from tracker.data.images import resize
from tracker.errors import InputError

from .bank import crop_side

_OPEN = 8
"""Models in the cache."""


class Manifolds:
    """The models of a bank; those used last are cached.

    Targets are encoded and decoded one by one, so that a code gives the same pixels again: products of other
    shapes are rounded differently.

    Args:
        bank: Models by the names of the videos.
    """

    def __init__(self, bank: vae.VAEBank) -> None:
        self._bank = bank
        self._model = lru_cache(maxsize=_OPEN)(self._load)

    def draw(self, target: Target, rng: np.random.Generator) -> Target:
        """Draw a sample of a target: z from q(z|x), decoded.

        Over a video's targets that is a draw from the mixture that `vae.sample_posterior` draws from.

        Raises:
            InputError: If there is no model of its video, or its images are grey or not square.
        """
        model = self._model(target.source.video)
        side = crop_side(model.config)
        mu, sigma = model.posterior(resize(target.crop, side, side)[None])
        code = vae.sample_posterior(mu, sigma, 1, rng)[0]
        return self.decode(target, code.tolist())

    def decode(self, target: Target, code: Many[float]) -> Target:
        """Replace a target by the decoded image of a code, at its size; the code becomes part of its source.

        Raises:
            InputError: If there is no model of its video, or the code has the wrong length.
        """
        model = self._model(target.source.video)
        if len(code) != model.config.latent:
            raise InputError(
                f"The code of '{target.id}' has {len(code)} numbers, and the model {model.config.latent}; give the"
                " bank that it was drawn from."
            )
        image = model.generate([code])[0]
        height, width = target.crop.shape[:2]
        source = replace(target.source, code=tuple(float(value) for value in code))
        return replace(target, crop=resize(image, width, height), source=source)

    def _load(self, video: str) -> vae.VAE:
        if video not in self._bank:
            raise InputError(
                f"The bank '{self._bank.folder}' has no model of the video '{video}'; train one with train-vae."
            )
        return self._bank[video]
