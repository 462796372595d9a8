"""The manifold of one target: the paper's Positive Sample Generation Network (section 4.1).

A variational auto-encoder is trained on the 64 x 64 crops of one video's target; decoding codes drawn from
its latent space gives target images the video did not show. The package stands alone: `uint8[N, H, W, C]`
images in (RGB or grey), images and codes out.

`fit` makes one model, and `VAEBank` keeps those of many videos in a folder. A model has
`reconstruct`, `embed`, `generate`, `sample`, `interpolate`, `traverse`, `save` and `load`; the functions of the
same names give codes, which `generate` decodes. Pictures that move and captioned rows are in `vae.pictures`.

>>> import numpy as np
>>> crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
>>> shape = VAEConfig(image_size=8, hidden=16)
>>> model = fit(crops, model_config=shape, training=TrainingConfig(epochs=5)).model
>>> mu, sigma = model.posterior(crops)
>>> codes = sample_posterior(mu, sigma, n=10, rng=np.random.default_rng(1))
>>> model.generate(codes).shape
(10, 8, 8, 3)
>>> model.sample(crops, 10, np.random.default_rng(1)).shape, model.interpolate(crops[:2], steps=6).shape
((10, 8, 8, 3), (7, 8, 8, 3))
>>> manifold_image(model, n=3).shape
(24, 24, 3)
"""

from .bank import BankRecord, BankReport, VAEBank
from .config import Plateau, TrainingConfig, VAEConfig
from .errors import CheckpointError, VAEError
from .images import images_digest
from .loss import (
    LowerBound,
    evidence_lower_bound,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_divergence,
    log_likelihood,
)
from .manifold import codes_grid, manifold_image, prior_grid, tile_images
from .mixture import GaussianMixture
from .model import VAE
from .sampling import (
    SAMPLERS,
    Sampler,
    draw_codes,
    interpolate,
    nearest_codes,
    sample_around,
    sample_mixture,
    sample_neighbours,
    sample_posterior,
    sample_prior,
    sample_prior_grid,
    traverse,
    traverse_axis,
)
from .training.fit import Callback, FitResult, fit
from .training.fit import fit_many as fit_many
from .training.state import Checkpoint, History, TrainingState

__all__ = [
    "SAMPLERS",
    "VAE",
    "BankRecord",
    "BankReport",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "FitResult",
    "GaussianMixture",
    "History",
    "LowerBound",
    "Plateau",
    "Sampler",
    "TrainingConfig",
    "TrainingState",
    "VAEBank",
    "VAEConfig",
    "VAEError",
    "codes_grid",
    "draw_codes",
    "evidence_lower_bound",
    "fit",
    "gaussian_log_likelihood",
    "images_digest",
    "importance_weighted_bound",
    "interpolate",
    "kl_divergence",
    "log_likelihood",
    "manifold_image",
    "nearest_codes",
    "prior_grid",
    "sample_around",
    "sample_mixture",
    "sample_neighbours",
    "sample_posterior",
    "sample_prior",
    "sample_prior_grid",
    "tile_images",
    "traverse",
    "traverse_axis",
]
