import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vae import Checkpoint, FitResult, TrainingConfig, VAEConfig, VAEError, fit, fit_many
from vae.images import Images

MLP = VAEConfig(image_size=16, hidden=16)
CONV = VAEConfig(image_size=16, hidden=16, architecture="conv", channels=(4, 8))


@pytest.fixture(scope="module")
def videos(crops: Images) -> list[Images]:
    more = np.random.default_rng(1).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    return [crops, more, crops[:1], more[:5, ::-1]]


def assert_close(ours: list[FitResult], alone: list[FitResult], tolerance: float = 1e-3) -> None:
    assert len(ours) == len(alone)
    for a, b in zip(ours, alone, strict=True):
        np.testing.assert_allclose(a.history.loss, b.history.loss, rtol=tolerance)
        theirs = b.model.state_dict()
        for name, weight in a.model.state_dict().items():
            torch.testing.assert_close(weight, theirs[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("shape", "group"), [(MLP, None), (MLP, 1), (MLP, 3), (MLP, 9), (CONV, None), (CONV, 3)])
def test_each_comes_out_as_alone(videos: list[Images], shape: VAEConfig, group: int | None) -> None:
    recipe = TrainingConfig(epochs=20, samples=2, precision="fp32")
    alone = [fit(images, model_config=shape, training=recipe) for images in videos]
    assert_close(fit_many(videos, model_config=shape, training=recipe, group=group), alone)
    losses = [result.history.loss[-1] for result in alone]
    assert len(set(losses)) == len(losses)


def test_bf16_comes_out_as_alone(videos: list[Images]) -> None:
    recipe = TrainingConfig(epochs=10, precision="bf16")
    alone = [fit(images, model_config=MLP, training=recipe) for images in videos]
    assert_close(fit_many(videos, model_config=MLP, training=recipe, group=4), alone, 0.02)


def test_side_by_side_the_threads_are_given_back(videos: list[Images]) -> None:
    recipe = TrainingConfig(epochs=5, precision="fp32")
    alone = [fit(images, model_config=MLP, training=recipe) for images in videos]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = fit_many(videos, model_config=MLP, training=recipe)
        assert torch.get_num_threads() == 2
        with pytest.raises(VAEError, match=r"Video [01]: The loss was not finite"):
            fit_many(videos[:1] * 3, model_config=MLP, training=TrainingConfig(epochs=100, learning_rate=1e30))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert_close(together, alone)


def test_a_model_that_is_done_owns_its_memory(videos: list[Images], tmp_path: Path) -> None:
    results = fit_many(videos, model_config=MLP, training=TrainingConfig(epochs=3), group=4)
    kept = results[1].model.generate([[0.0, 0.0]])
    with torch.no_grad():
        for weight in results[0].model.parameters():
            weight.fill_(7.0)
            assert weight.untyped_storage().nbytes() == weight.nbytes
    np.testing.assert_array_equal(results[1].model.generate([[0.0, 0.0]]), kept)
    results[1].model.save(tmp_path)


def test_plateaus_end_each_video_on_its_own(videos: list[Images]) -> None:
    recipe = TrainingConfig.from_dict(
        {"epochs": 400, "precision": "fp32", "plateau": {"window": 20, "tolerance": 20.0}}
    )
    alone = [fit(images, model_config=MLP, training=recipe) for images in videos]
    lengths = [len(result.history.loss) for result in alone]
    assert len(set(lengths)) > 1
    together = fit_many(videos, model_config=MLP, training=recipe, group=4)
    assert [len(result.history.loss) for result in together] == lengths


@pytest.mark.parametrize("group", [None, 3])
def test_it_goes_on_from_checkpoints(videos: list[Images], tmp_path: Path, group: int | None) -> None:
    def recipe(epochs: int) -> TrainingConfig:
        return TrainingConfig(epochs=epochs, precision="fp32")

    files = [Checkpoint(tmp_path / f"{i}.safetensors") for i in range(len(videos))]
    fit_many(videos, model_config=MLP, training=recipe(12), group=group, checkpoints=files)
    assert len(os.listdir(tmp_path)) == len(videos)
    files[1].discard()
    fit(videos[2], model_config=MLP, training=recipe(15), checkpoint=files[2])
    ours = fit_many(videos, model_config=MLP, training=recipe(25), group=group, checkpoints=files)
    assert_close(ours, [fit(images, model_config=MLP, training=recipe(25)) for images in videos])


def test_bad_input_is_refused_before_any_training(videos: list[Images], tmp_path: Path) -> None:
    with pytest.raises(VAEError, match="at least 1 video"):
        fit_many([])
    with pytest.raises(VAEError, match=r"^Video 2: Images must be uint8\[N, 16, 16, 3\]"):
        fit_many([*videos[:2], videos[0].astype(np.float32)], model_config=MLP)
    with pytest.raises(VAEError, match="group must be at least 1"):
        fit_many(videos, model_config=MLP, group=0)
    with pytest.raises(VAEError, match="as many checkpoints as videos, got 1 and 4"):
        fit_many(videos, model_config=MLP, checkpoints=[Checkpoint(tmp_path / "c")])
    with pytest.raises(VAEError, match="Video 0"):
        fit_many(videos, model_config=MLP, group=2, training=TrainingConfig(epochs=60, learning_rate=1e30))
