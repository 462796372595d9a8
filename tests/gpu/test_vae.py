"""The VAE on a GPU: the same losses and weights within 1e-2 after some epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vae import TrainingConfig, VAEBank, VAEConfig, VAEError, fit

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


def test_a_model_encodes_and_samples(device: str) -> None:
    model = fit(IMAGES, model_config=SHAPES[0], training=TrainingConfig(epochs=2, precision="fp32")).model
    codes = model.embed(IMAGES)
    pictures = model.generate(codes)
    model.to(device)
    np.testing.assert_allclose(model.embed(IMAGES), codes, atol=1e-3)
    assert np.abs(model.generate(codes).astype(int) - pictures).max() <= 1


def test_a_bank_trains_and_reads_where_it_is_told(device: str, tmp_path: Path) -> None:
    bank = VAEBank(tmp_path, device)
    recipe: dict[str, Any] = {"model_config": SHAPES[0], "training": TrainingConfig(epochs=2, precision="fp32")}
    bank.train("one", IMAGES, **recipe)
    report = bank.train_all({"two": IMAGES, "three": IMAGES[:2]}, **recipe)
    assert report.failed == {}
    for name in ("one", "two", "three"):
        assert bank[name].device == torch.device(device)
    assert bank.sample("two", 3, np.random.default_rng(0))[0].shape == (3, 16, 16, 3)


def test_a_device_that_is_not_there() -> None:
    for name in ("cuda:77", "gpu"):
        with pytest.raises(VAEError, match=f"no device '{name}' on this machine"):
            fit(IMAGES, device=name)
