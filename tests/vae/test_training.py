import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vae import (
    VAE,
    FitResult,
    TrainingConfig,
    TrainingState,
    VAEConfig,
    VAEError,
    fit,
    prior_grid,
    sample_posterior,
)
from vae.images import Images, to_vectors
from vae.training.noise import Noise

SMALL = VAEConfig(image_size=16, hidden=16)
SHAPE = VAEConfig(image_size=16, hidden=64)


def square_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(float) - b.astype(float)) ** 2).reshape(len(a), -1).mean(1)


def weights(result: FitResult) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in result.model.state_dict().items()}


def test_four_images_are_learnt(crops: Images, fitted: FitResult) -> None:
    mean_image = np.broadcast_to(crops.mean(0), crops.shape)
    ours = square_error(fitted.model.reconstruct(crops), crops)
    assert (ours < 0.2 * square_error(mean_image, crops)).all()
    distances = [square_error(np.broadcast_to(r, crops.shape), crops) for r in fitted.model.reconstruct(crops)]
    assert np.argmin(distances, axis=1).tolist() == [0, 1, 2, 3]


def test_the_decodes_do_not_collapse(crops: Images, fitted: FitResult) -> None:
    decodes = fitted.model.generate(prior_grid(6))
    assert decodes.astype(float).var(0).mean() > 0.05 * crops.astype(float).var(0).mean()


def test_the_history_holds_both_terms_and_falls(fitted: FitResult) -> None:
    history = fitted.history
    assert history.reconstruction.shape == history.kl.shape == (400,)
    assert history.reconstruction.dtype == np.float64
    assert (history.kl >= 0).all()
    np.testing.assert_array_equal(history.loss, history.reconstruction + history.kl)
    assert history.loss[-20:].mean() < 0.9 * history.loss[:20].mean()
    chance = 16 * 16 * 3 * np.log(2)
    assert history.reconstruction[0] == pytest.approx(chance, rel=0.2)


def test_the_same_seed_gives_the_same_bytes(crops: Images) -> None:
    def run(seed: int) -> FitResult:
        return fit(crops, model_config=SMALL, training=TrainingConfig(epochs=10, seed=seed))

    first = run(3)
    torch.manual_seed(123)
    torch.rand(7)
    again, other = run(3), run(4)
    assert weights(first) == weights(again)
    np.testing.assert_array_equal(first.history.loss, again.history.loss)
    assert weights(first) != weights(other)


def test_the_global_generator_and_the_images_are_left_alone(crops: Images) -> None:
    before, copy = torch.get_rng_state(), crops.copy()
    fit(crops, model_config=SMALL, training=TrainingConfig(epochs=2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(crops, copy)


def test_one_update_is_rmsprop_on_the_lower_bound(crops: Images) -> None:
    """RMSprop's first step is lr * g / sqrt((1 - alpha) g^2), whatever the size of g."""
    states: list[dict[str, torch.Tensor]] = []

    def keep(state: TrainingState) -> bool:
        states.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})
        return False

    recipe = TrainingConfig(epochs=1, learning_rate=1e-2, alpha=0.75)
    fit(crops, model_config=SMALL, training=recipe, callbacks=[keep])
    bias = states[0]["output.bias"]
    np.testing.assert_allclose(bias.abs(), 1e-2 / 0.5, rtol=1e-4)
    brighter = crops.reshape(4, -1).mean(0) > 160
    darker = crops.reshape(4, -1).mean(0) < 95
    assert (bias[torch.from_numpy(darker)] < 0).all()
    assert not brighter.any()


def test_more_samples_train_too(crops: Images) -> None:
    result = fit(crops, model_config=SMALL, training=TrainingConfig(epochs=30, samples=4))
    assert result.history.loss[-1] < result.history.loss[0]


def test_a_stop_ends_the_training_and_the_history(crops: Images) -> None:
    seen: list[int] = []

    def stop(state: TrainingState) -> bool:
        seen.append(state.epoch)
        assert len(state.history().kl) == state.epoch
        return state.epoch == 3

    result = fit(crops, model_config=SMALL, training=TrainingConfig(epochs=10), callbacks=[stop])
    assert seen == [1, 2, 3]
    assert len(result.history.loss) == 3


def test_the_bar_shows_both_terms(crops: Images, capsys: pytest.CaptureFixture[str]) -> None:
    fit(crops, model_config=SMALL, training=TrainingConfig(epochs=2), progress=True)
    bar = capsys.readouterr().err
    assert "reconstruction=" in bar
    assert "kl=" in bar


def test_no_bar_unless_asked_for(crops: Images, capsys: pytest.CaptureFixture[str]) -> None:
    fit(crops, model_config=SMALL, training=TrainingConfig(epochs=2))
    assert capsys.readouterr().err == ""


def test_a_loss_that_is_not_finite_is_an_error(crops: Images) -> None:
    with pytest.raises(VAEError, match="lower the learning rate"):
        fit(crops, model_config=SMALL, training=TrainingConfig(epochs=50, learning_rate=1e30))


def test_images_that_do_not_fit_the_model_are_refused(crops: Images) -> None:
    with pytest.raises(VAEError, match=r"uint8\[N, 64, 64, 3\]"):
        fit(crops)


@pytest.mark.parametrize("samples", [1, 3])
def test_it_is_the_plain_loop(crops: Images, samples: int) -> None:
    """The updates within the backward pass against `torch.optim.RMSprop` after it."""
    epochs = 60
    recipe = TrainingConfig(epochs=epochs, seed=2, samples=samples, precision="fp32")
    x = to_vectors(crops, torch.device("cpu"))
    noise = Noise(2, (samples, len(crops), 2), x.device)
    model = VAE(SMALL, torch.Generator().manual_seed(2))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    losses = []
    for epoch in range(epochs):
        mu, log_variance = model.encode(x)
        logits = model.decode(mu + (0.5 * log_variance).exp() * noise(epoch))
        targets = x.expand_as(logits)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / samples
        kl = -0.5 * (1 + log_variance - mu**2 - log_variance.exp()).sum()
        loss = (cross_entropy + kl) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    result = fit(crops, model_config=SMALL, training=recipe)
    np.testing.assert_allclose(result.history.loss, losses, rtol=1e-4)
    for ours, theirs in zip(result.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_bf16_ends_where_fp32_does(crops: Images) -> None:
    ends = [
        fit(crops, model_config=SHAPE, training=TrainingConfig(epochs=400, precision=precision)).history.loss
        for precision in ("fp32", "bf16")
    ]
    full, half = (loss[-50:].mean() for loss in ends)
    assert half == pytest.approx(full, rel=0.01)
    assert not np.array_equal(*ends)


def test_one_image_is_learnt_by_heart(crops: Images) -> None:
    result = fit(crops[:1], model_config=SHAPE, training=TrainingConfig(epochs=300))
    assert square_error(result.model.reconstruct(crops[:1]), crops[:1]).max() < 30
    codes = sample_posterior(*result.model.posterior(crops[:1]), n=20, rng=np.random.default_rng(0))
    decoded = result.model.generate(codes)
    assert (
        np.median(square_error(decoded, np.broadcast_to(crops[:1], decoded.shape)))
        < 0.05 * crops[0].astype(float).var()
    )
    assert result.history.kl[-1] < 0.5 * result.history.kl[50]


def test_images_that_are_alike_are_learnt_as_one(crops: Images) -> None:
    alike = np.repeat(crops[1:2], 5, axis=0)
    result = fit(alike, model_config=SHAPE, training=TrainingConfig(epochs=300))
    assert np.isfinite(result.history.loss).all()
    assert square_error(result.model.reconstruct(alike), alike).max() < 30
    assert np.ptp(result.model.embed(alike), axis=0).max() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 16, 16, 3), np.uint8),
        np.full((2, 16, 16, 3), np.nan),
        np.full((2, 16, 16, 3), np.inf, np.float32),
        np.zeros((2, 16, 17, 3), np.uint8),
        np.zeros((2, 16, 16, 1), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((2, 16, 16, 3), np.int64),
    ],
)
def test_bad_images_are_refused_with_what_they_should_be(images: np.ndarray) -> None:
    with pytest.raises(VAEError, match=r"^Images must be uint8\[N, 16, 16, 3\] with N of at least 1, got "):
        fit(images, model_config=SMALL)


def test_the_noise_of_an_epoch_is_its_own() -> None:
    shape, device = (2, 500, 3), torch.device("cpu")
    noise = Noise(0, shape, device)
    draws = torch.stack([noise(epoch) for epoch in (0, 1, 63, 64, 128)])
    assert draws.shape == (5, *shape)
    assert draws.mean().abs() < 0.03
    assert draws.std() == pytest.approx(1, abs=0.03)
    correlations = np.corrcoef(draws.reshape(5, -1))
    assert np.abs(correlations - np.eye(5)).max() < 0.1
    assert torch.equal(Noise(0, shape, device)(64), draws[3])
    assert not torch.equal(Noise(1, shape, device)(64), draws[3])
