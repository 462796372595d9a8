import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vae import VAE, VAEConfig, VAEError, interpolate, sample_posterior, sample_prior, traverse


def some_images(n: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_the_papers_network() -> None:
    model = VAE()
    layers = [layer for layer in model.children() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [
        (12288, 512),
        (512, 2),
        (512, 2),
        (2, 512),
        (512, 12288),
    ]
    for layer in layers:
        limit = math.sqrt(6 / (layer.in_features + layer.out_features))
        weight = layer.weight.detach().numpy()
        assert 0.98 * limit < np.abs(weight).max() <= limit * 1.000001
        assert weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.1)
        assert not layer.bias.any()
    assert model.generate([[0.0, 0.0]]).shape == (1, 64, 64, 3)


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    VAE(VAEConfig(image_size=8, hidden=16))
    assert torch.equal(before, torch.get_rng_state())


def test_shapes_and_dtypes(model: VAE) -> None:
    images = some_images(5)
    mu, sigma = model.posterior(images)
    for codes in (mu, sigma, model.embed(images)):
        assert codes.shape == (5, 2)
        assert codes.dtype == np.float32
    assert (sigma > 0).all()
    np.testing.assert_array_equal(mu, model.embed(images))
    for pictures in (model.generate(mu), model.reconstruct(images)):
        assert pictures.shape == (5, 8, 8, 3)
        assert pictures.dtype == np.uint8
    assert model.generate(np.empty((0, 2))).shape == (0, 8, 8, 3)


def test_many_images_in_chunks_are_as_few(model: VAE) -> None:
    images = some_images(1100)
    few = np.concatenate([model.embed(images[:3]), model.embed(images[-3:])])
    np.testing.assert_allclose(model.embed(images)[[0, 1, 2, -3, -2, -1]], few, atol=1e-5)
    assert model.generate(model.embed(images)).shape == images.shape


def test_the_codes_and_the_pixels_are_what_the_tensors_say(model: VAE) -> None:
    images = some_images(3)
    x = torch.tensor(images.reshape(3, -1) / 255, dtype=torch.float32)
    mu, log_variance = model.encode(x)
    np.testing.assert_allclose(model.posterior(images)[0], mu.detach(), atol=1e-6)
    np.testing.assert_allclose(model.posterior(images)[1], (0.5 * log_variance).exp().detach(), atol=1e-6)
    pixels = torch.sigmoid(model.decode(mu)).detach().numpy().reshape(images.shape)
    assert np.abs(model.reconstruct(images) - pixels * 255).max() <= 0.51


def test_new_images_come_from_the_codes_of_given_ones(model: VAE) -> None:
    images = some_images(3)
    codes = model.embed(images)
    between = model.interpolate(images, 4)
    np.testing.assert_array_equal(between, model.generate(interpolate(codes, 4)))
    np.testing.assert_array_equal(between[::4], model.reconstruct(images))
    np.testing.assert_array_equal(model.traverse(images, 7), model.generate(traverse(codes, 7)))
    mixture = sample_posterior(*model.posterior(images), 5, np.random.default_rng(0))
    np.testing.assert_array_equal(model.sample(images, 5, np.random.default_rng(0)), model.generate(mixture))
    prior = sample_prior(5, 2, np.random.default_rng(0))
    drawn = model.sample(images, 5, np.random.default_rng(0), "prior")
    np.testing.assert_array_equal(drawn, model.generate(prior))
    with pytest.raises(VAEError, match="no sampler 'flow'"):
        model.sample(images, 5, np.random.default_rng(0), "flow")


def test_the_log_variance_is_clamped(model: VAE) -> None:
    torch.nn.init.constant_(model.log_variance.bias, 1e6)
    assert model.posterior(some_images(1))[1] == pytest.approx(math.exp(5))
    torch.nn.init.constant_(model.log_variance.bias, -1e6)
    assert model.posterior(some_images(1))[1] == pytest.approx(math.exp(-10))


@pytest.mark.parametrize(
    "images",
    [
        some_images(2).astype(np.float32),
        some_images(2, size=9),
        some_images(2)[0],
        some_images(2)[..., :1],
        some_images(0),
        some_images(2).tolist(),
    ],
)
def test_bad_images_are_refused(model: VAE, images: np.ndarray) -> None:
    for method in (model.posterior, model.embed, model.reconstruct):
        with pytest.raises(VAEError, match=r"uint8\[N, 8, 8, 3\]"):
            method(images)


def test_images_that_are_views_or_read_only_are_taken(model: VAE) -> None:
    images = some_images(4)
    images.flags.writeable = False
    np.testing.assert_array_equal(model.embed(images[::-1]), model.embed(images[::-1].copy()))


@pytest.mark.parametrize("codes", [[0.0, 0.0], [[0.0]], [[0.0, float("nan")]], [["a", "b"]], [[1.0, 2.0], [1.0]]])
def test_bad_codes_are_refused(model: VAE, codes: object) -> None:
    with pytest.raises(VAEError, match="^Codes must be "):
        model.generate(codes)  # type: ignore[arg-type]


def test_a_saved_model_comes_back_the_same(model: VAE, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    model.save(folder)
    loaded = VAE.load(folder)
    assert loaded.config == model.config
    images = some_images(4)
    np.testing.assert_array_equal(loaded.posterior(images), model.posterior(images))
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]


def test_saving_replaces_an_older_model(model: VAE, tmp_path: Path) -> None:
    model.save(tmp_path)
    other = VAE(VAEConfig(image_size=8, hidden=5))
    other.save(tmp_path)
    assert VAE.load(tmp_path).config.hidden == 5


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise", "folder"])
def test_damaged_files_are_refused_in_one_line(model: VAE, tmp_path: Path, name: str, damage: str) -> None:
    model.save(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\xff" * 100}[damage])
    with pytest.raises(VAEError) as caught:
        VAE.load(tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden": 17}, "does not fit config.json"),
        ({"hidden": 10**18}, "hidden must be at most 1048576"),
        ({"hidden": "16"}, "hidden must be a whole number"),
        ({"depth": 3}, "has no depth"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    model: VAE, tmp_path: Path, values: dict[str, object], words: str
) -> None:
    model.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**model.config.to_dict(), **values}))
    with pytest.raises(VAEError, match=words):
        VAE.load(tmp_path)


def test_a_config_that_is_a_list_is_refused(model: VAE, tmp_path: Path) -> None:
    model.save(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(VAEError, match="config.json"):
        VAE.load(tmp_path)


@pytest.mark.parametrize("change", ["drop", "add", "dtype", "nan"])
def test_weights_of_another_kind_are_refused(model: VAE, tmp_path: Path, change: str) -> None:
    model.save(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    if change == "drop":
        del tensors["mean.bias"]
    elif change == "add":
        tensors["mean.scale"] = torch.zeros(1)
    elif change == "dtype":
        tensors["mean.bias"] = tensors["mean.bias"].double()
    else:
        tensors["mean.bias"][0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(VAEError, match="mean"):
        VAE.load(tmp_path)


def test_a_save_that_fails_leaves_the_old_file(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    VAE.load(tmp_path)
