"""Similarity maps of SINT: what the drop predictor reads, whatever the matcher."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlusion_env.search.core import Search
from tracker.data.images import resize, to_tensor
from tracker.models.backbones import Precision
from tracker.scorers import SintScorer, load_scorer
from tracker.scorers.attribution import cell_contributions, embedded_contributions

_PRECISIONS: dict[torch.dtype | None, Precision] = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def similarity_maps(search: Search, slots: NDArray[np.int64]) -> Tensor:
    """Return what each cell of unoccluded targets adds to SINT's score.

    A search whose scorer is SINT's has embedded the images already. For another scorer they go through SINT over
    the slim network: two forward passes a target, and no scorer query.

    Args:
        search: The searches, begun.
        slots: `int64[M]`, which of them.

    Returns:
        `float32[M, P, G, G]` on SINT's device, see `tracker.scorers.attribution`.
    """
    scorer = search.scorer
    if isinstance(scorer, SintScorer):
        embedded = scorer.embed(search.target_images(slots))
        return embedded_contributions(scorer.backbone, search.exemplar_embeddings(slots), embedded)
    # In the features' arithmetic, which `precision` sets; features of another kind have none.
    precision = _PRECISIONS.get(getattr(search.features, "dtype", None), "auto")
    sint = load_scorer(device=str(search.view_device), precision=precision)
    targets = [target for slot in slots if (target := search.targets[slot]) is not None]
    exemplars, crops = (
        to_tensor(np.stack([resize(image, sint.input_size, sint.input_size) for image in images]), sint.device)
        for images in ([each.exemplar for each in targets], [each.crop for each in targets])
    )
    return cell_contributions(sint, exemplars, crops)
