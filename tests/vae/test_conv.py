from pathlib import Path

import numpy as np
import pytest
import torch

from vae import VAE, TrainingConfig, VAEConfig, VAEError, fit
from vae.images import Images

CONV = VAEConfig(image_size=16, hidden=64, architecture="conv", channels=(16, 32))


def test_the_papers_size() -> None:
    model = VAE(VAEConfig(architecture="conv"))
    convolutions = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 64, 128, 256]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert model.reconstruct(images).shape == images.shape
    for name, weight in model.named_parameters():
        assert weight.any() == (not name.endswith("bias")), name


def test_pixels_stay_where_they_are() -> None:
    """A convolution sees a pixel's own surroundings: a changed corner changes its corner of the first map."""
    model = VAE(CONV)
    x = torch.zeros(1, 16 * 16 * 3)
    changed = x.clone().view(1, 16, 16, 3)
    changed[0, 0, 15] = 1.0
    first = model.encoder[:2]
    moved = (first(changed.view(1, -1)) != first(x))[0].any(0).nonzero()
    assert moved.tolist() == [[0, 7]]
    logits = model.decode(torch.zeros(3, 1, 2))
    assert logits.shape == (3, 1, 768)


def test_the_decoders_vector_is_in_the_images_order() -> None:
    to_planes, to_vectors = VAE(CONV).encoder[0], VAE(CONV).output[-1]
    x = torch.arange(768.0)[None]
    assert to_planes(x)[0, 2, 1, 3] == x.view(16, 16, 3)[1, 3, 2]
    assert torch.equal(to_vectors(to_planes(x)), x)


def test_it_learns_four_images_and_comes_back_the_same(crops: Images, tmp_path: Path) -> None:
    result = fit(crops, model_config=CONV, training=TrainingConfig(epochs=150))
    rebuilt = result.model.reconstruct(crops)
    error = ((rebuilt.astype(float) - crops) ** 2).mean()
    assert error < 0.3 * crops.astype(float).var(0).mean()
    result.model.save(tmp_path)
    loaded = VAE.load(tmp_path)
    assert loaded.config == CONV
    np.testing.assert_array_equal(loaded.reconstruct(crops), rebuilt)
    np.testing.assert_array_equal(loaded.posterior(crops), result.model.posterior(crops))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"architecture": "transformer"}, "architecture must be one of mlp, conv"),
        ({"architecture": "conv", "image_size": 24}, "image_size must be a multiple of 16"),
        ({"channels": []}, "channels must be a list"),
        ({"channels": 3}, "channels must be a list"),
        ({"channels": [3, 0]}, "channels must be a whole number"),
    ],
)
def test_bad_shapes_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(VAEError, match=words):
        VAEConfig.from_dict(values)


def test_a_file_from_before_there_were_convolutions_is_read() -> None:
    assert VAEConfig.from_dict({"image_size": 64, "hidden": 512, "latent": 2}) == VAEConfig()
    assert VAEConfig.from_dict({"channels": [8]}).channels == (8,)
