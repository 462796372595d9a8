"""The VAE on a GPU: the same losses and weights within 1e-2 after some epochs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vae import TrainingConfig, VAEConfig, fit, fit_many

SHAPES = [
    VAEConfig(image_size=16, hidden=16),
    VAEConfig(image_size=16, hidden=16, architecture="conv", channels=(4, 8)),
]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES, ids=["mlp", "conv"])
def test_fit(device: str, shape: VAEConfig) -> None:
    recipe = TrainingConfig(epochs=6, precision="fp32")
    cpu, gpu = (fit(IMAGES, model_config=shape, training=recipe, device=place) for place in ("cpu", device))
    assert gpu.model.device == torch.device(device)
    np.testing.assert_allclose(cpu.history.loss, gpu.history.loss, rtol=1e-2)
    for one, two in zip(cpu.model.parameters(), gpu.model.parameters(), strict=True):
        torch.testing.assert_close(one.cpu(), two.cpu(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES, ids=["mlp", "conv"])
def test_fit_many(device: str, shape: VAEConfig) -> None:
    videos, recipe = [IMAGES, IMAGES[:3], IMAGES[::-1]], TrainingConfig(epochs=6, precision="fp32")
    cpu, gpu = (fit_many(videos, model_config=shape, training=recipe, device=place) for place in ("cpu", device))
    for one, two in zip(cpu, gpu, strict=True):
        assert two.model.device == torch.device(device)
        np.testing.assert_allclose(one.history.loss, two.history.loss, rtol=1e-2)


def test_a_model_encodes_and_samples(device: str) -> None:
    model = fit(IMAGES, model_config=SHAPES[0], training=TrainingConfig(epochs=2, precision="fp32")).model
    codes = model.embed(IMAGES)
    pictures = model.generate(codes)
    model.to(device)
    np.testing.assert_allclose(model.embed(IMAGES), codes, atol=1e-3)
    assert np.abs(model.generate(codes).astype(int) - pictures).max() <= 1
