"""A folder of models: what is whole stays, what is not is redone, and one failure stops nobody else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import vae.bank.bank
from vae import TrainingConfig, VAEBank, VAEConfig, VAEError, fit
from vae.bank import CHECKPOINT_NAME, CODES_NAME, FAILURES_NAME, RECORD_NAME
from vae.images import Images
from vae.training.updates import Updates

SHAPE = VAEConfig(image_size=8, hidden=8)
RECIPE = TrainingConfig(epochs=4)


def noise(seed: int, n: int = 3) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def bank(tmp_path: Path) -> VAEBank:
    return VAEBank(tmp_path / "bank")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each training."""
    calls: list[int] = []
    real = fit

    def counting(images, **kwargs):
        calls.append(len(images))
        return real(images, **kwargs)

    monkeypatch.setattr(vae.bank.bank, "fit", counting)
    return calls


def train(bank: VAEBank, name: str = "ball", images: Images | None = None, **kwargs) -> bool:
    settings = {"model_config": SHAPE, "training": RECIPE, **kwargs}
    return bank.train(name, noise(0) if images is None else images, **settings)


def test_a_bank_is_a_mapping_of_names_to_models(bank: VAEBank) -> None:
    assert len(bank) == 0 and list(bank) == [] and "ball" not in bank
    train(bank, "torus", noise(1))
    train(bank, "ball")
    assert tuple(bank) == ("ball", "torus") and len(bank) == 2 and "ball" in bank
    assert 3 not in bank and "../bank/ball" not in bank
    np.testing.assert_array_equal(
        bank["ball"].generate([[0.5, 1.0]]),
        fit(noise(0), model_config=SHAPE, training=RECIPE).model.generate([[0.5, 1.0]]),
    )
    with pytest.raises(KeyError):
        bank["bag"]
    with pytest.raises(KeyError):
        bank.record("bag")


def test_the_record_says_how_a_model_was_made(bank: VAEBank) -> None:
    train(bank, notes={"frames": [1, 2, 5]})
    record = bank.record("ball")
    result = fit(noise(0), model_config=SHAPE, training=RECIPE)
    assert (record.model_config, record.training, record.images, record.epochs) == (SHAPE, RECIPE, 3, 4)
    assert record.images_digest == vae.images_digest(noise(0)) != vae.images_digest(noise(1))
    assert record.reconstruction == pytest.approx(result.history.reconstruction[-1])
    assert record.kl == pytest.approx(result.history.kl[-1])
    assert record.notes == {"frames": [1, 2, 5]}
    for mine, kept in zip(result.model.posterior(noise(0)), bank.codes("ball"), strict=True):
        np.testing.assert_array_equal(mine, kept)
    assert not (bank.path("ball") / CHECKPOINT_NAME).exists()


def test_samples_come_from_the_kept_codes(bank: VAEBank) -> None:
    train(bank)
    images, codes = bank.sample("ball", 6, np.random.default_rng(0))
    assert images.shape == (6, 8, 8, 3) and codes.shape == (6, 2)
    mu, sigma = bank.codes("ball")
    np.testing.assert_array_equal(codes, vae.sample_posterior(mu, sigma, 6, np.random.default_rng(0)))
    np.testing.assert_array_equal(images, bank["ball"].generate(codes))
    assert (bank.sample("ball", 6, np.random.default_rng(0), "prior")[1] != codes).any()


def test_what_is_done_is_passed_over(bank: VAEBank, counted: list[int]) -> None:
    assert train(bank)
    before = {file.name: file.stat().st_mtime_ns for file in bank.path("ball").iterdir()}
    assert not train(bank)
    assert counted == [3]
    assert before == {file.name: file.stat().st_mtime_ns for file in bank.path("ball").iterdir()}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": noise(1)}, "other images"),
        ({"training": TrainingConfig(epochs=5)}, r"epochs 4 \(asked is 5\)"),
        ({"training": TrainingConfig(epochs=4, seed=1)}, r"seed 0 \(asked is 1\)"),
        ({"model_config": VAEConfig(image_size=8, hidden=9)}, r"hidden 8 \(asked is 9\)"),
    ],
)
def test_a_model_made_otherwise_is_refused_or_replaced(bank: VAEBank, counted: list[int], changed, words) -> None:
    train(bank)
    kept = bank.record("ball")
    with pytest.raises(VAEError, match=words):
        train(bank, **changed)
    assert bank.record("ball") == kept and counted == [3]
    assert train(bank, **changed, replace=True)
    assert bank.record("ball") != kept and counted == [3, 3]
    assert not train(bank, **changed, replace=True)


def test_the_resolved_arithmetic_and_the_device_are_part_of_the_identity(
    bank: VAEBank, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` is another recipe where it resolves to another arithmetic."""
    monkeypatch.setattr(vae.bank.bank, "resolve_precision", lambda *_: torch.float32)
    assert train(bank) and not train(bank)
    assert (bank.record("ball").precision, bank.record("ball").device) == ("float32", "cpu")
    monkeypatch.setattr(vae.bank.bank, "resolve_precision", lambda *_: torch.bfloat16)
    with pytest.raises(VAEError, match=r"'ball' with precision float32 \(asked is bfloat16\); give another bank"):
        train(bank)
    monkeypatch.setattr(vae.bank.bank, "resolve_precision", lambda *_: torch.float32)
    with pytest.raises(VAEError, match=r"device cpu \(asked is cuda\)"):
        train(VAEBank(bank.folder, "cuda"))
    record = json.loads((bank.path("ball") / RECORD_NAME).read_text())
    del record["precision"], record["device"]
    (bank.path("ball") / RECORD_NAME).write_text(json.dumps(record))
    assert bank.record("ball").precision is None
    with pytest.raises(VAEError, match="precision not recorded"):
        train(bank)


@pytest.mark.parametrize("missing", [RECORD_NAME, CODES_NAME, "model.safetensors", "config.json"])
def test_a_half_written_model_is_trained_again(bank: VAEBank, counted: list[int], missing: str) -> None:
    train(bank)
    whole = (bank.path("ball") / "model.safetensors").read_bytes()
    (bank.path("ball") / missing).unlink()
    assert "ball" not in bank and list(bank) == []
    with pytest.raises(KeyError):
        bank["ball"]
    assert train(bank) and "ball" in bank and counted == [3, 3]
    assert (bank.path("ball") / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", None])
def test_a_damaged_model_is_trained_again(bank: VAEBank, counted: list[int], damage: bytes | None) -> None:
    train(bank)
    if damage is None:
        weights = bank.path("ball") / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-8])
        with pytest.raises(VAEError, match="damaged"):
            bank["ball"]
    else:
        (bank.path("ball") / RECORD_NAME).write_bytes(damage)
        assert "ball" not in bank
    assert train(bank) and counted == [3, 3]
    assert bank["ball"].generate([[0.0, 0.0]]).shape == (1, 8, 8, 3)


def test_a_training_that_is_cut_off_leaves_no_whole_model_and_goes_on(
    bank: VAEBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(BaseException):
        pass

    def cut(*_, **__):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(vae.VAE, "posterior", cut)
        with pytest.raises(Cut):
            train(bank)
    assert "ball" not in bank and (bank.path("ball") / "model.safetensors").exists()
    assert (bank.path("ball") / CHECKPOINT_NAME).exists()
    assert train(bank) and bank.record("ball").epochs == 4
    assert not (bank.path("ball") / CHECKPOINT_NAME).exists()


def test_a_training_that_is_cut_in_the_middle_ends_with_an_unbroken_ones_weights(
    bank: VAEBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = TrainingConfig(epochs=9)
    steps: list[int] = []
    real = Updates.advance

    def cut(self: Updates) -> None:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Updates, "advance", cut)
        with pytest.raises(KeyboardInterrupt):
            train(bank, training=recipe, checkpoint_seconds=1e-9)
    assert "ball" not in bank
    leftover = bank.path("ball") / ".model.safetensors.abcd1234.99999999-1.occlusion-search"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")

    monkeypatch.setattr(Updates, "advance", lambda self: (steps.append(1), real(self)))
    assert train(bank, training=recipe) and len(steps) == 9
    whole = fit(noise(0), model_config=SHAPE, training=recipe).model.state_dict()
    assert all(torch.equal(weight, whole[name]) for name, weight in bank["ball"].state_dict().items())
    assert not leftover.exists()


def test_a_half_trained_model_of_another_recipe_is_refused_or_replaced(
    bank: VAEBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vae.VAE, "posterior", cut)
        with pytest.raises(KeyboardInterrupt):
            train(bank)
    other = TrainingConfig(epochs=4, seed=1)
    with pytest.raises(VAEError, match=r"checkpoint.safetensors is of a training with seed 0 \(asked is 1\)"):
        train(bank, training=other)
    assert train(bank, training=other, replace=True) and bank.record("ball").training == other


def test_a_replacement_that_is_cut_off_is_not_taken_for_the_old_model(
    bank: VAEBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_, **__):
        raise KeyboardInterrupt

    train(bank)
    with monkeypatch.context() as patch:
        patch.setattr(vae.VAE, "posterior", cut)
        with pytest.raises(KeyboardInterrupt):
            bank.train_all({"ball": noise(1)}, model_config=SHAPE, training=RECIPE, replace=True)
    assert "ball" not in bank
    assert train(bank, images=noise(1)) and bank.record("ball").images_digest == vae.images_digest(noise(1))


def test_one_failure_stops_nobody_else_and_is_told(bank: VAEBank, counted: list[int]) -> None:
    def broken() -> Images:
        raise RuntimeError("the disk is gone\nreally")

    videos = {
        "a": noise(0),
        "b": broken,
        "c": np.zeros((0, 8, 8, 3), np.uint8),
        "d": lambda: noise(1, n=5),
    }
    report = bank.train_all(videos, model_config=SHAPE, training=RECIPE, notes={"d": {"frames": [7]}})
    assert bank.record("a").notes == {} and bank.record("d").notes == {"frames": [7]}
    assert report.trained == ("a", "d") and report.skipped == () and counted == [3, 5]
    assert report.failed["b"] == "RuntimeError: the disk is gone"
    assert "N of at least 1" in report.failed["c"]
    assert tuple(bank) == ("a", "d")
    assert "broken" in bank.failures()["b"]["traceback"] and set(bank.failures()) == {"b", "c"}
    assert json.loads((bank.folder / FAILURES_NAME).read_text()) == bank.failures()

    again = bank.train_all({**videos, "b": noise(2), "c": noise(3)}, model_config=SHAPE, training=RECIPE)
    assert again.trained == ("b", "c") and again.skipped == ("a", "d") and again.failed == {}
    assert bank.failures() == {} and not (bank.folder / FAILURES_NAME).exists()


def test_a_full_disk_stops_all(bank: VAEBank, counted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VAEBank, "_store", full)
    with pytest.raises(OSError, match="No space left"):
        bank.train_all({"a": noise(0), "b": noise(1)}, model_config=SHAPE, training=RECIPE)
    assert counted == [3] and bank.failures() == {}


@pytest.mark.parametrize(
    "images", [noise(0, n=1), np.repeat(noise(0, n=1), 4, axis=0)], ids=["one crop", "identical crops"]
)
def test_crops_without_variety_make_a_model(bank: VAEBank, images: Images) -> None:
    train(bank, images=images, training=TrainingConfig(epochs=30))
    for sampler in vae.SAMPLERS:
        drawn, codes = bank.sample("ball", 4, np.random.default_rng(0), sampler)
        assert drawn.shape == (4, 8, 8, 3) and np.isfinite(codes).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.full((2, 8, 8, 3), np.nan, np.float32),
        np.zeros((2, 9, 8, 3), np.uint8),
        [[1, 2]],
    ],
)
def test_bad_images_are_refused_and_leave_nothing(bank: VAEBank, images) -> None:
    with pytest.raises(VAEError, match="Images must be"):
        train(bank, images=images)
    assert not bank.folder.exists()


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\\b", "a\nb"])
def test_bad_names_are_refused(bank: VAEBank, name: str) -> None:
    with pytest.raises(VAEError, match="cannot name a model"):
        train(bank, name)


def test_other_bad_input(bank: VAEBank, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VAEError, match="is a file"):
        VAEBank(tmp_path / "file")
    train(bank)
    (bank.path("ball") / CODES_NAME).write_bytes(b"x")
    with pytest.raises(VAEError, match="damaged"):
        bank.codes("ball")
    record = json.loads((bank.path("ball") / RECORD_NAME).read_text())
    (bank.path("ball") / RECORD_NAME).write_text(json.dumps({**record, "surprise": 1}))
    with pytest.raises(VAEError, match="surprise"):
        bank.record("ball")
