"""The manifold of one target: the paper's Positive Sample Generation Network (section 4.1).

A variational auto-encoder is trained on the 64 x 64 crops of one video's target; decoding codes drawn from
its latent space gives target images the video did not show. The package stands alone: `uint8[N, H, W, 3]`
RGB images in, images and codes out.

>>> import numpy as np
>>> crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
>>> shape = VAEConfig(image_size=8, hidden=16)
>>> model = fit(crops, model_config=shape, training=TrainingConfig(epochs=5)).model
>>> mu, sigma = model.posterior(crops)
>>> codes = sample_posterior(mu, sigma, n=10, rng=np.random.default_rng(1))
>>> model.generate(codes).shape
(10, 8, 8, 3)
>>> manifold_image(model, n=3).shape
(24, 24, 3)
"""

from .config import TrainingConfig, VAEConfig
from .errors import VAEError
from .manifold import codes_grid, manifold_image, prior_grid, tile_images
from .model import VAE
from .objective import LowerBound, evidence_lower_bound, kl_divergence, log_likelihood
from .sampling import interpolate, sample_posterior, sample_prior
from .training import FitResult, History, TrainingState, fit

__all__ = [
    "VAE",
    "FitResult",
    "History",
    "LowerBound",
    "TrainingConfig",
    "TrainingState",
    "VAEConfig",
    "VAEError",
    "codes_grid",
    "evidence_lower_bound",
    "fit",
    "interpolate",
    "kl_divergence",
    "log_likelihood",
    "manifold_image",
    "prior_grid",
    "sample_posterior",
    "sample_prior",
    "tile_images",
]
