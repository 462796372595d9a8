import numpy as np
import pytest

from vae import VAE, FitResult, TrainingConfig, VAEConfig, fit
from vae.images import Images

SHAPE = VAEConfig(image_size=16, hidden=64)


@pytest.fixture(scope="session")
def crops() -> Images:
    """Four images that are easy to tell apart: one bright quarter each, on noise."""
    images = np.random.default_rng(0).integers(0, 60, (4, 16, 16, 3), dtype=np.uint8)
    for i, (row, column) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        images[i, row : row + 8, column : column + 8] += 180
    return images


@pytest.fixture(scope="session")
def fitted(crops: Images) -> FitResult:
    """A short training by the paper's loss."""
    return fit(crops, model_config=SHAPE, training=TrainingConfig(epochs=400))


@pytest.fixture
def model() -> VAE:
    """A small untrained model."""
    return VAE(VAEConfig(image_size=8, hidden=16))
