"""Codes: the coordinates of images on a manifold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import VAEError

Codes = NDArray[np.float32]
"""`float32[N, latent]`."""


def check_codes(codes: ArrayLike, latent: int | None = None) -> Codes:
    """Return codes as `float32[N, latent]`.

    Args:
        codes: Numbers `[N, J]`.
        latent: The J they must have; any of at least 1 where it is left out.

    Raises:
        VAEError: If they are not numbers, have another shape, or are not finite.
    """
    wanted = f"[N, {'J' if latent is None else latent}]"
    try:
        array = np.asarray(codes, dtype=np.float32)
    except (TypeError, ValueError):
        raise VAEError(f"Codes must be numbers {wanted}.") from None
    if array.ndim != 2 or array.shape[1] < 1 or (latent is not None and array.shape[1] != latent):
        raise VAEError(f"Codes must be {wanted}, got {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise VAEError("Codes must be finite.")
    return array
