"""Mini-batches, validation split, warm-up, beta, likelihoods, image shapes and callbacks of a training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

import vae
from vae import (
    VAE,
    Checkpoint,
    FitResult,
    TrainingConfig,
    TrainingState,
    VAEBank,
    VAEConfig,
    VAEError,
    fit,
)
from vae.images import Images, to_vectors
from vae.loss import gaussian_log_likelihood
from vae.training.noise import Noise, draw_order, split_images

SMALL = VAEConfig(image_size=16, hidden=16)
CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {"batch_size": 2, "validation_share": 0.3, "patience": 30, "warmup_epochs": 10}


@pytest.fixture(scope="module")
def images() -> Images:
    return np.random.default_rng(3).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def recipe(epochs: int = 30, **values: object) -> TrainingConfig:
    return TrainingConfig.from_dict({"epochs": epochs, "seed": 5, "precision": "fp32", **values})


def same(a: FitResult, b: FitResult) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    histories = np.array_equal(a.history.loss, b.history.loss)
    return (
        histories
        and np.array_equal(a.history.validation, b.history.validation)
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


def test_an_epoch_of_mini_batches_is_the_plain_loop(images: Images) -> None:
    x, epochs = to_vectors(images, CPU), 5
    noise = Noise(5, (1, len(x), 2), CPU)
    model = VAE(SMALL, torch.Generator().manual_seed(5))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    for epoch in range(epochs):
        for rows in draw_order(5, epoch, len(x)).split(3):
            mu, log_variance = model.encode(x[rows])
            logits = model.decode(mu + (0.5 * log_variance).exp() * noise(epoch)[0, rows])
            cross_entropy = F.binary_cross_entropy_with_logits(logits, x[rows], reduction="sum")
            kl = -0.5 * (1 + log_variance - mu**2 - log_variance.exp()).sum()
            optimizer.zero_grad()
            ((cross_entropy + kl) / len(rows)).backward()
            optimizer.step()
    result = fit(images, model_config=SMALL, training=recipe(epochs, batch_size=3))
    for ours, theirs in zip(result.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_batch_of_all_images_is_a_full_batch(images: Images) -> None:
    full, batch, halves = (
        fit(images, model_config=SMALL, training=recipe(batch_size=size)) for size in (None, 7, 4)
    )
    assert same(full, batch)
    assert not same(full, halves)


def test_every_image_is_in_one_batch_of_an_epoch() -> None:
    orders = [draw_order(1, epoch, 50).tolist() for epoch in (0, 1)]
    assert [sorted(order) for order in orders] == [list(range(50))] * 2
    assert orders[0] != orders[1] and orders[0] == draw_order(1, 0, 50).tolist()


@pytest.mark.parametrize(("share", "held_out"), [(0.0, 0), (0.01, 1), (0.3, 3), (0.99, 9)])
def test_the_split_has_every_image_once(share: float, held_out: int) -> None:
    training, validation = split_images(10, share, seed=2)
    assert len(validation) == held_out
    assert sorted([*training, *validation]) == list(range(10))


def test_held_out_images_train_nothing(images: Images) -> None:
    """Other pixels in the held-out images change the held-out bound, and no update."""
    _, held_out = split_images(len(images), 0.3, 5)
    changed = images.copy()
    changed[held_out] = 255 - changed[held_out]
    one, two = (fit(some, model_config=SMALL, training=recipe(validation_share=0.3)) for some in (images, changed))
    np.testing.assert_array_equal(one.history.loss, two.history.loss)
    assert (one.history.validation != two.history.validation).all()


def test_patience_stops_and_the_best_weights_are_kept(images: Images) -> None:
    weights: list[dict[str, torch.Tensor]] = []

    def keep(state: TrainingState) -> None:
        weights.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})

    training = recipe(3000, validation_share=0.3, patience=25, learning_rate=1e-2)
    result = fit(images, model_config=SMALL, training=training, callbacks=[keep])
    bounds, best = result.history.validation, result.history.best_epoch
    assert best == 1 + bounds.argmax()
    assert len(bounds) == best + 25 < 3000
    kept, last = weights[best - 1], weights[-1]
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(tensor, kept[name])
    assert any(not torch.equal(kept[name], last[name]) for name in kept)
    rows = split_images(len(images), 0.3, 5)[1]
    again = result.model.elbo(images[rows], 200, np.random.default_rng(0)).mean()
    assert again == pytest.approx(bounds[best - 1], rel=0.02)


def test_without_patience_all_epochs_are_done_and_the_best_kept(images: Images) -> None:
    result = fit(images, model_config=SMALL, training=recipe(120, validation_share=0.3, learning_rate=1e-2))
    assert len(result.history.validation) == 120
    assert result.history.best_epoch == 1 + result.history.validation.argmax() < 120


def test_patience_begins_after_the_warm_up(images: Images) -> None:
    training = recipe(200, validation_share=0.3, patience=5, warmup_epochs=60, learning_rate=1e-2)
    assert len(fit(images, model_config=SMALL, training=training).history.kl) >= 65


def test_warm_up_weights(images: Images) -> None:
    shape = VAEConfig(image_size=16, hidden=16, beta=3.0)
    history = fit(images, model_config=shape, training=recipe(8, warmup_epochs=4)).history
    np.testing.assert_allclose(history.kl_weights, [0, 0.75, 1.5, 2.25, 3, 3, 3, 3])
    np.testing.assert_array_equal(history.loss, history.reconstruction + history.kl_weights * history.kl)


def test_a_weight_of_0_moves_nothing_through_the_divergence(images: Images) -> None:
    """Of the first update by a warm-up the bias of log sigma^2 learns from the reconstruction alone."""
    gradients = []
    for beta in (0.0, 1.0, 1000.0):
        shape = VAEConfig(image_size=16, hidden=16, beta=beta)
        states: list[TrainingState] = []
        fit(images, model_config=shape, training=recipe(1), callbacks=[states.append])
        gradients.append(states[0].square_averages["log_variance.weight"].sqrt())
    assert gradients[2].norm() > 50 * gradients[0].norm()
    assert not torch.equal(gradients[0], gradients[1])


def test_a_large_beta_shrinks_the_divergence(crops: Images) -> None:
    ends = [
        fit(crops, model_config=VAEConfig(image_size=16, hidden=64, beta=beta), training=recipe(300)).history.kl[
            -1
        ]
        for beta in (1.0, 40.0)
    ]
    assert ends[1] < 0.5 * ends[0]


def test_the_gaussian_likelihood_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 20, generator=generator, dtype=torch.float64)
    x = torch.rand(4, 20, generator=generator, dtype=torch.float64)
    log_deviation = torch.tensor(-1.3, dtype=torch.float64)
    expected = Normal(logits.sigmoid(), log_deviation.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(logits, x, log_deviation), expected)
    least = Normal(logits.sigmoid(), 1 / 255).log_prob(x).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(logits, x, torch.tensor(-9.0).double()), least)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_a_gaussian_learns_its_deviation(architecture: str, tmp_path: Path) -> None:
    """Of noise, which no code of two numbers describes; it starts at 0.2."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    shape = VAEConfig.from_dict(
        {
            "image_size": 16,
            "hidden": 16,
            "likelihood": "gaussian",
            "architecture": architecture,
            "channels": [4, 8],
        }
    )
    model = fit(noise, model_config=shape, training=recipe(250, learning_rate=3e-3)).model
    error = np.square((model.reconstruct(noise).astype(float) - noise) / 255).mean()
    assert 0.25 < model.log_deviation.exp().item() == pytest.approx(math.sqrt(error), rel=0.07)
    model.save(tmp_path)
    again = VAE.load(tmp_path)
    assert torch.equal(again.log_deviation, model.log_deviation)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("colours", [1, 3])
def test_grey_and_oblong_images(crops: Images, architecture: str, colours: int, tmp_path: Path) -> None:
    shape = VAEConfig.from_dict(
        {
            "image_size": [16, 12], "hidden": 64, "image_channels": colours,
            "architecture": architecture, "channels": [8, 16],
        }
    )  # fmt: skip
    assert shape.image_shape == (16, 12, colours)
    images = np.ascontiguousarray(crops[:, :, :12, :colours])
    model = fit(images, model_config=shape, training=recipe(300)).model
    rebuilt = model.reconstruct(images)
    assert rebuilt.shape == images.shape
    mean = np.square(images - images.mean(axis=0)).mean()
    assert np.square(rebuilt.astype(float) - images).mean() < 0.4 * mean
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(VAE.load(tmp_path / "model").reconstruct(images), rebuilt)
    assert vae.manifold_image(model, 2).shape == (32, 24, colours)
    from vae.pictures import Row, draw_rows, traversal_pictures

    assert traversal_pictures(model, [[0.0, 0.0], [1.0, 1.0]], size=64).shape == (2, 86, 128, 3)
    draw_rows(tmp_path / "rows.png", "rows", [Row("images", images)])
    with pytest.raises(VAEError, match=rf"uint8\[N, 16, 12, {colours}\]"):
        model.embed(crops)


def test_a_square_as_two_sides_is_one_size() -> None:
    assert VAEConfig(image_size=(32, 32)) == VAEConfig(image_size=32)
    with pytest.raises(VAEError, match="image_size must be a side, or a height and a width"):
        VAEConfig.from_dict({"image_size": [1, 2, 3]})
    with pytest.raises(VAEError, match="image_size must be a multiple of 16"):
        VAEConfig(image_size=(64, 40), architecture="conv")


def test_the_importance_weighted_bound_rises_from_the_elbo(crops: Images, fitted: FitResult) -> None:
    images, rng = crops[:, ::-1], np.random.default_rng(0)
    elbo = fitted.model.elbo(images, 3000, rng)
    one = np.mean([fitted.model.log_likelihood(images, 1, rng) for _ in range(3000)], axis=0)
    np.testing.assert_allclose(one.mean(), elbo.mean(), atol=0.5)
    means = [
        np.mean([fitted.model.log_likelihood(images, samples, rng).mean() for _ in range(60)])
        for samples in (1, 8, 64)
    ]
    assert means[0] < means[1] - 0.5 < means[2] - 0.6
    with pytest.raises(VAEError, match="samples must be at least 1"):
        fitted.model.elbo(images, 0, rng)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_broken_training_with_every_option_ends_with_an_unbroken_ones_bytes(
    images: Images, tmp_path: Path, likelihood: str
) -> None:
    shape = VAEConfig.from_dict({"image_size": 16, "hidden": 16, "likelihood": likelihood, "beta": 0.5})
    training = recipe(400, learning_rate=5e-3, **OPTIONS)
    whole = fit(images, model_config=shape, training=training)
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    stops = (7, whole.history.best_epoch + 3)
    assert stops[0] < stops[1] < len(whole.history.kl) < 400
    for epoch in stops:
        fit(
            images, model_config=shape, training=training, checkpoint=checkpoint,
            callbacks=[lambda state, epoch=epoch: state.epoch == epoch],
        )  # fmt: skip
    assert same(fit(images, model_config=shape, training=training, checkpoint=checkpoint), whole)
    assert same(fit(images, model_config=shape, training=training, checkpoint=checkpoint), whole)
    with pytest.raises(VAEError, match="batch_size 2"):
        other = recipe(400, learning_rate=5e-3, **{**OPTIONS, "batch_size": 3})
        fit(images, model_config=shape, training=other, checkpoint=checkpoint)


def test_a_checkpoint_of_the_version_before_the_options_is_resumed(images: Images, tmp_path: Path) -> None:
    """Its header has no names of options that came later."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from vae.training.state import _digest

    path = tmp_path / "c.safetensors"
    fit(images, model_config=SMALL, training=recipe(5), checkpoint=Checkpoint(path))
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["training"])
    for name in ("batch_size", "validation_share", "warmup_epochs"):
        del header["training"][name]
    for name in ("image_channels", "likelihood", "beta"):
        del header["model_config"][name]
    header.pop("sha256")
    text = json.dumps({"sha256": _digest(header, tensors), **header})
    save_file(tensors, path, metadata={"training": text})
    resumed = fit(images, model_config=SMALL, training=recipe(9), checkpoint=Checkpoint(path))
    assert same(resumed, fit(images, model_config=SMALL, training=recipe(9)))


def test_what_cannot_be_done_is_refused(images: Images) -> None:
    with pytest.raises(VAEError, match="at least 2 images, got 1"):
        fit(images[:1], model_config=SMALL, training=recipe(validation_share=0.5))
    with pytest.raises(VAEError, match="patience must be given with a validation_share"):
        recipe(patience=3)


def test_callbacks_are_called_after_every_epoch_and_end_the_training(images: Images) -> None:
    seen: list[int] = []

    def stop(state: TrainingState) -> bool:
        return state.epoch == 2

    result = fit(
        images, model_config=SMALL, training=recipe(4),
        callbacks=[stop, lambda state: seen.append(state.epoch)],
    )  # fmt: skip
    assert len(result.history.kl) == 2 and seen == [1, 2]


def test_the_former_name_trains_each_video(images: Images, crops: Images, tmp_path: Path) -> None:
    files = [Checkpoint(tmp_path / f"{number}.safetensors") for number in range(2)]
    with pytest.warns(DeprecationWarning, match="fit_many is no faster than vae.fit"):
        results = vae.fit_many([images, crops], model_config=SMALL, training=recipe(4), group=2, checkpoints=files)
    alone = [fit(some, model_config=SMALL, training=recipe(4)) for some in (images, crops)]
    assert all(map(same, results, alone)) and all(Path(file.path).is_file() for file in files)


def test_a_bank_records_the_best_epoch(images: Images, tmp_path: Path) -> None:
    bank, training = VAEBank(tmp_path), recipe(60, learning_rate=1e-2, **OPTIONS)
    assert bank.train("one", images, model_config=SMALL, training=training)
    record, result = bank.record("one"), fit(images, model_config=SMALL, training=training)
    assert record.best_epoch == result.history.best_epoch
    assert record.validation == result.history.validation.max()
    assert record.reconstruction == result.history.reconstruction[record.best_epoch - 1]
    assert torch.equal(bank["one"].mean.weight, result.model.mean.weight)
    assert not bank.train("one", images, model_config=SMALL, training=training)
    with pytest.raises(VAEError, match=r"validation_share 0.3 \(asked is 0.4\)"):
        bank.train("one", images, model_config=SMALL, training=recipe(60, **{**OPTIONS, "validation_share": 0.4}))
    path = tmp_path / "one" / "training.json"
    content = json.loads(path.read_text())
    for values, names in (
        (content, ("best_epoch", "validation")),
        (content["model_config"], ("likelihood", "beta")),
    ):
        for name in names:
            del values[name]
    path.write_text(json.dumps(content))
    assert bank.record("one").best_epoch is None
    assert bank.record("one").model_config == SMALL


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": 0}, {"validation_share": 1.0}, {"validation_share": -0.1}, {"validation_share": "a"},
        {"patience": 0}, {"warmup_epochs": -1}, {"beta": -1.0}, {"likelihood": "laplace"}, {"image_channels": 2},
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name(values: dict[str, Any]) -> None:
    (name,) = values
    kind = VAEConfig if name in VAEConfig().to_dict() else TrainingConfig
    with pytest.raises(VAEError, match=f"^{name} must be "):
        kind.from_dict(values)
