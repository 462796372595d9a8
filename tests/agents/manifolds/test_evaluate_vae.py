"""What samples are worth: the figures on cases where they are known, and the command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import vae
from agents.manifolds.bank import find_videos, train_bank
from agents.manifolds.evaluation import (
    FIGURES,
    METHODS,
    EvaluationSettings,
    VideoManifold,
    evaluate_bank,
    evaluate_video,
    open_manifold,
    summarise,
)
from tracker.errors import InputError
from tracker.scorers import load_scorer

SETTINGS = EvaluationSettings(samples=9, held_out=3)
SHAPE = vae.VAEConfig(image_size=16, hidden=16)


class Thumbnails:
    """A quick matcher: the cosine of small grey pictures."""

    input_size = 8
    device = torch.device("cpu")

    def embed(self, crops):
        return torch.nn.functional.normalize((crops - 0.5).mean(1).flatten(1))

    def compare(self, exemplars, candidates):
        return (exemplars * candidates).sum(1)

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


@pytest.fixture
def scorer():
    return Thumbnails()


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_video, write_otb):
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("a", 0), ("b", 1)):
        write_otb(folder / name, make_video(frames=12, seed=seed))
    return folder


@pytest.fixture(scope="module")
def bank(tmp_path_factory, data):
    bank = vae.VAEBank(tmp_path_factory.mktemp("bank"))
    recipe = vae.TrainingConfig(epochs=30)
    train_bank(bank, find_videos(data), choice="training", model_config=SHAPE, training=recipe, progress=False)
    return bank


class PerfectModel:
    """Reconstructs everything; all else is the mean of two images."""

    config = SHAPE

    def __init__(self, crops):
        self.crops = crops

    def elbo(self, images, samples, rng):
        return np.full(len(images), -3.0)

    def log_likelihood(self, images, samples, rng):
        return np.full(len(images), -2.0)

    def posterior(self, images):
        return np.zeros((len(images), 2), np.float32), np.ones((len(images), 2), np.float32)

    def embed(self, images):
        return self.posterior(images)[0]

    def reconstruct(self, images):
        return images

    def generate(self, codes):
        return np.resize(self.crops, (len(codes), *self.crops.shape[1:]))


def manifold(video, crops, held_out):
    frames = np.arange(1, 1 + len(crops))
    return VideoManifold(video, PerfectModel(crops), frames, crops, frames[: len(held_out)], held_out)


def test_figures_that_are_known(make_video, scorer):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    held_out = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    found = evaluate_video(manifold(make_video(), crops, held_out), scorer, SETTINGS)
    assert found["crops"] == 6 and found["held_out"] == 2
    methods = found["methods"]
    assert list(methods) == list(METHODS) and all(list(row) == list(FIGURES) for row in methods.values())
    assert methods["vae_reconstruction"]["mse"] == 0 and methods["vae_reconstruction"]["ssim"] == 1
    assert methods["vae_reconstruction"]["novelty"] == 0 and methods["vae_posterior"]["novelty"] == 0
    assert methods["real_training"]["novelty"] == pytest.approx(found["own_distance"])
    assert methods["real_training"]["novelty_ratio"] == 1 and methods["real_training"]["diversity"] == 1
    differences = (crops[:, None].astype(float) - crops[None]) / 255
    apart = np.sqrt(np.square(differences).mean(axis=(2, 3, 4))) + 9 * np.eye(6)
    assert found["own_distance"] == pytest.approx(apart.min(1).mean(), abs=1e-6)
    assert methods["mean_crop"]["diversity"] == 0
    mean = np.rint(crops.mean(0))
    assert methods["mean_crop"]["mse"] == pytest.approx(np.square((held_out - mean) / 255).mean(), abs=1e-6)
    assert methods["pca"]["mse"] < methods["mean_crop"]["mse"]
    assert methods["crop_interpolation"]["mse"] <= methods["real_training"]["mse"]
    assert methods["crop_interpolation"]["novelty"] < found["own_distance"]
    assert methods["motion_blur"]["mse"] is None and methods["vae_prior"]["ssim"] is None


def test_realism_is_the_score_against_the_exemplar(make_video):
    scorer = load_scorer("slim", device="cpu", precision="fp32")
    video = make_video(frames=8)
    crops = np.repeat(video.exemplar(16)[None], 4, axis=0)
    other = np.random.default_rng(0).integers(0, 256, crops.shape, dtype=np.uint8)
    found = evaluate_video(manifold(video, crops, other), scorer, SETTINGS)["methods"]
    assert found["real_training"]["realism"] == pytest.approx(1, abs=0.05)
    assert found["real_held_out"]["realism"] < 0.8


def test_identical_crops_have_no_diversity_to_compare_with(make_video, scorer):
    crops = np.full((4, 16, 16, 3), 90, np.uint8)
    found = evaluate_video(manifold(make_video(), crops, crops[:2]), scorer, SETTINGS)
    assert found["own_distance"] == 0
    assert all(row["diversity"] is None and row["novelty_ratio"] is None for row in found["methods"].values())
    assert json.dumps(found, allow_nan=False)
    one = evaluate_video(manifold(make_video(), crops[:1], crops[:1]), scorer, SETTINGS)
    assert one["methods"]["pca"]["mse"] == 0


def test_the_summary_is_over_videos():
    def video(value):
        return {"methods": {m: {f: value if f != "ssim" else None for f in FIGURES} for m in METHODS}}

    summary = summarise({"a": video(0.0), "b": video(1.0), "c": video(2.0)})
    assert summary["pca"]["mse"] == {"mean": 1.0, "interval": None, "videos": 3}
    low, high = summarise({str(k): video(float(k % 2)) for k in range(8)})["pca"]["mse"]["interval"]
    assert low < 0.5 < high and low + high == pytest.approx(1.0)
    assert summary["pca"]["ssim"] is None


def test_a_bank_is_judged_and_repeats(bank, data, scorer):
    videos = find_videos(data)
    one, two = (evaluate_bank(bank, videos, scorer, SETTINGS) for _ in range(2))
    assert one == two and set(one["videos"]) == {"a", "b"} and one["failed"] == {}
    assert one["videos"]["a"]["crops"] == 7 and one["videos"]["a"]["held_out"] == 3
    assert one["methods"]["vae_reconstruction"]["mse"]["videos"] == 2
    assert one["videos"]["a"]["model"]["epochs_done"] == 30


def test_models_that_saw_the_held_out_frames_are_refused(tmp_path, data, bank, scorer):
    other = vae.VAEBank(tmp_path / "other")
    videos = find_videos(data)
    recipe = vae.TrainingConfig(epochs=2)
    train_bank(other, {"a": videos["a"]}, model_config=SHAPE, training=recipe, progress=False)
    with pytest.raises(InputError, match="trained on frames from 8 on.*--frames training"):
        evaluate_bank(other, {"a": videos["a"]}, scorer, SETTINGS)
    with pytest.raises(InputError, match="no model of 'b'"):
        evaluate_bank(other, {"b": videos["b"]}, scorer, SETTINGS)


def test_models_of_another_video_are_refused_and_others_stand(bank, data, make_video, write_otb, scorer, tmp_path):
    shutil.copytree(data / "a", tmp_path / "a")
    write_otb(tmp_path / "b", make_video(frames=12, seed=5))
    found = evaluate_bank(bank, find_videos(tmp_path), scorer, SETTINGS)
    assert set(found["videos"]) == {"a"} and "trained on other crops" in found["failed"]["b"]
    assert open_manifold(bank, "a", make_video(frames=12, seed=0), 3).crops.shape == (7, 16, 16, 3)


@pytest.mark.parametrize("values", [{"samples": 1}, {"held_out": 0}, {"seed": -1}])
def test_bad_settings(values):
    with pytest.raises(InputError, match="needs at least 2 samples"):
        EvaluationSettings(**values)


def test_the_command_trains_judges_and_goes_on(run, data, tmp_path):
    command = ["evaluate-vae", "--data", data / "a", "--out", "out", "--device", "cpu", "--held-out", 2]
    command += ["--epochs", 2, "--architecture", "conv", "--samples", 2]
    code, out, err = run(*command, "--json", "figures.json")
    assert code == 0, err
    assert "aggregate posterior" in out and "PCA" in out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["videos"]) == {"a"} and figures["settings"]["samples"] == 2
    assert figures["command"].startswith("occlusion-search evaluate-vae")
    for file in ("samples.png", "reconstructions.png"):
        assert (tmp_path / "out" / "pictures" / "a" / file).stat().st_size > 1000
    made = (tmp_path / "out" / "bank" / "a" / "model.safetensors").stat().st_mtime_ns
    code, out, err = run(*command)
    assert code == 0 and (tmp_path / "out" / "bank" / "a" / "model.safetensors").stat().st_mtime_ns == made
    assert json.loads((tmp_path / "out" / "vae.json").read_text())["methods"] == figures["methods"]


def test_the_command_refuses(run, data, bank, tmp_path):
    code, _, err = run("evaluate-vae", "--data", data)
    assert code == 2 and "either --bank" in err
    code, _, err = run("evaluate-vae", "--data", data, "--bank", bank.folder, "--epochs", 3)
    assert code == 2 and "either --bank" in err
    code, _, err = run("evaluate-vae", "--data", data, "--bank", "nowhere")
    assert code == 2 and "no model of 'a'" in err
    code, _, err = run("evaluate-vae", "--data", "missing", "--epochs", 3)
    assert code == 2 and "'missing' does not exist" in err
