"""Scoring images with any scorer, with checks whose errors name the scorer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.images import Image, resize, to_tensor
from ..errors import InputError
from .sint import Scorer


@contextmanager
def scorer_errors(scorer: Scorer) -> Iterator[None]:
    """Turn an exception of a scorer into an `InputError` that names it, with the exception as its cause.

    Raises:
        InputError: If it raises anything.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(".: ")
        raise InputError(f"{_name(scorer)} failed ({reason}).") from error


def check_scores(scorer: Scorer, scores: Tensor, count: int) -> NDArray[np.float64]:
    """Return the scores `[count]` as `float64` if they are one finite number a candidate.

    Raises:
        InputError: Naming the scorer.
    """
    if not isinstance(scores, Tensor):
        raise InputError(f"{_name(scorer)} gave a {type(scores).__name__}; it must give a tensor of scores.")
    if scores.shape != (count,):
        raise InputError(
            f"{_name(scorer)} gave the shape {list(scores.shape)} for {count} candidates; it must give one score"
            " each."
        )
    if not torch.isfinite(scores).all():
        raise InputError(f"{_name(scorer)} gave a score that is not finite.")
    return scores.detach().cpu().double().numpy()


def score_images(scorer: Scorer, exemplars: Iterable[Image], candidates: Iterable[Image]) -> NDArray[np.float64]:
    """Score N pairs of images `uint8[h, w, 3]` of any size: `float64[N]`.

    Raises:
        InputError: If the scorer fails, naming it.
    """
    side = scorer.input_size
    pairs = [np.stack([resize(image, side, side) for image in images]) for images in (exemplars, candidates)]
    with scorer_errors(scorer):
        scores = scorer(*(to_tensor(images, scorer.device) for images in pairs))
    return check_scores(scorer, scores, len(pairs[0]))


def _name(scorer: Scorer) -> str:
    return f"The scorer {type(scorer).__name__}"
