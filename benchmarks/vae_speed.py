"""How fast `vae.fit` is beside the plain loop and beside pythae, and what that costs.

All programs train the paper's network (12288-512-2-512-12288, RMSprop 1e-3, full batch) on the same images in
one process, and take turns: in a round each trains from the start for `--epochs` epochs. A ratio is the median
over the rounds of (seconds of the slower program / seconds of ours) within the round, so that what else the
machine does touches both. `--quality-epochs` compares what they end with after as many epochs; the bound is
then estimated by one function, in fp32, for each.

    python benchmarks/vae_speed.py --data DIR --threads 1 --quality-epochs 800 --json FILE

pythae is measured where it can be imported. It is not a dependency; one way to have it without changing the
environment is `pip install --no-deps --target FOLDER pythae pydantic pydantic-core annotated-types
typing-inspection scikit-learn joblib threadpoolctl` and PYTHONPATH=FOLDER.
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.common.versions import device_name
from tracker import InputError, open_sequence
from vae import TrainingConfig, VAEConfig, evidence_lower_bound, fit, log_likelihood
from vae.devices import resolve_device
from vae.images import Images, to_vectors

LAST = 100
DRAWS = 32

Encode = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Decode = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Trained:
    """What a program ends with: the loss of each epoch, and the network as two functions (codes to logits)."""

    losses: list[float]
    encode: Encode
    decode: Decode


Program = Callable[[Images, int, int], Trained]
"""Images, epochs and a seed to a trained network."""


class PlainVAE(nn.Module):
    """The network as a tutorial writes it."""

    def __init__(self) -> None:
        """Build the layers with the paper's sizes, Glorot-uniform as ours."""
        super().__init__()
        self.hidden = nn.Linear(12288, 512)
        self.mean = nn.Linear(512, 2)
        self.log_variance = nn.Linear(512, 2)
        self.wide = nn.Linear(2, 512)
        self.output = nn.Linear(512, 12288)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images to mu and log sigma^2."""
        hidden = F.relu(self.hidden(x))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Codes to logits."""
        return self.output(F.relu(self.wide(z)))


def plain_loop(device: torch.device) -> Program:
    """The loop as a tutorial writes it, fp32."""

    def program(images: Images, epochs: int, seed: int) -> Trained:
        torch.manual_seed(seed)
        x = to_vectors(images, device)
        model = PlainVAE().to(device)
        optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
        losses = []
        for _ in range(epochs):
            mu, log_variance = model.encode(x)
            z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
            cross_entropy = F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="sum")
            kl = -0.5 * torch.sum(1 + log_variance - mu.pow(2) - log_variance.exp())
            loss = (cross_entropy + kl) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return Trained(losses, model.encode, model.decode)

    return program


def ours(precision: str, device: torch.device) -> Program:
    """`vae.fit` in a precision."""

    def program(images: Images, epochs: int, seed: int) -> Trained:
        training = TrainingConfig.from_dict({"epochs": epochs, "seed": seed, "precision": precision})
        result = fit(images, training=training, device=device)
        return Trained(result.history.loss.tolist(), result.model.encode, result.model.decode)

    return program


def pythae_loop() -> Program | None:
    """Pythae's VAE and trainer on the CPU; its default networks have the paper's sizes. `None` without pythae."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError:
        return None
    logging.disable(logging.INFO)

    def program(images: Images, epochs: int, seed: int) -> Trained:
        x = to_vectors(images, torch.device("cpu"))
        torch.manual_seed(seed)
        model = VAE(VAEConfig(input_dim=(12288,), latent_dim=2, reconstruction_loss="bce"))
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder, num_epochs=epochs, learning_rate=1e-3, per_device_train_batch_size=len(x),
                optimizer_cls="RMSprop", optimizer_params={"alpha": 0.9}, no_cuda=True, seed=seed,
            )  # fmt: skip
            trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=config)
            trainer.prepare_training()
            with contextlib.redirect_stderr(io.StringIO()):
                losses = [float(trainer.train_step(epoch)) for epoch in range(1, epochs + 1)]
        trained = trainer.model.eval()

        def encode(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            output = trained.encoder(inputs)
            return output.embedding, output.log_covariance

        def decode(codes: torch.Tensor) -> torch.Tensor:
            chances = trained.decoder(codes.reshape(-1, codes.shape[-1])).reconstruction
            return torch.logit(chances, eps=1e-7).reshape(*codes.shape[:-1], -1)

        return Trained(losses, encode, decode)

    return program


def main(
    data: Path | None = None,
    crops: int = 150,
    epochs: int = 20,
    rounds: int = 5,
    quality_epochs: int = 0,
    quality_seeds: int = 2,
    device: str = "cpu",
    threads: int | None = None,
    json: Path | None = None,
) -> None:
    """Measure, print and write the ratios.

    Args:
        data: A folder of videos, whose first is taken, or one video; its target is cropped. Made-up crops where
            left out.
        crops: Images in the timings; a shorter video is repeated to fill them.
        epochs: In each timed training.
        rounds: Of the timings.
        quality_epochs: Epochs after which to compare the bounds, on the video's own crops; 0 leaves it out.
        quality_seeds: Trainings of each program in that comparison; their means are compared, and how far they
            lie apart says how much of a difference is chance.
        device: Where to train; pythae is compared on the CPU alone.
        threads: Of PyTorch; its own choice where left out.
        json: Where to write the results.
    """
    check_json_path(json)
    check_counts(crops=crops, epochs=epochs, rounds=rounds, quality_seeds=quality_seeds, threads=threads)
    check_counts(0, quality_epochs=quality_epochs)
    if threads is not None:
        torch.set_num_threads(threads)
    name, images = load_crops(data)
    place = resolve_device(device)
    programs = {"plain": plain_loop(place), "fit": ours("auto", place), "fit fp32": ours("fp32", place)}
    if place.type == "cpu":
        peer = pythae_loop()
        print("pythae is " + ("here." if peer else "not installed: left out."))
        programs |= {"pythae": peer} if peer else {}
    results: dict[str, Any] = {
        "device": device_name(place),
        "settings": {
            "crops": crops, "epochs": epochs, "rounds": rounds, "data": [name], "network": VAEConfig().to_dict(),
            "weights": sum(p.numel() for p in PlainVAE().parameters()),
        },
        "one_video": one_video(np.resize(images, (crops, 64, 64, 3)), epochs, rounds, programs),
    }  # fmt: skip
    if quality_epochs:
        results["quality"] = quality(images, name, quality_epochs, quality_seeds, programs, place)
    write_result(json, "vae_speed", results)


def one_video(images: Images, epochs: int, rounds: int, programs: dict[str, Program]) -> dict[str, Any]:
    """Time the programs on one video."""
    jobs = {name: _job(program, images, epochs) for name, program in programs.items()}
    seconds = in_turns(jobs, rounds)
    result = {
        "ms_an_epoch": milliseconds(seconds, epochs),
        "plain_over_fit": ratio(seconds, "plain", "fit"),
        "plain_over_fit_fp32": ratio(seconds, "plain", "fit fp32"),
        "pythae_over_fit": ratio(seconds, "pythae", "fit") if "pythae" in programs else "pythae was left out",
    }
    return _shown("One video", result)


def quality(
    images: Images, name: str, epochs: int, seeds: int, programs: dict[str, Program], device: torch.device
) -> dict[str, Any]:
    """Compare the bounds that the programs end with."""
    floor = entropy(images)
    ends: dict[str, dict[str, Any]] = {}
    for label, program in programs.items():
        trained = [program(images, epochs, seed) for seed in range(seeds)]
        losses = [float(np.mean(one.losses[-LAST:])) for one in trained]
        ends[label] = {
            "elbo_nats": [round(bound(one, images, device), 2) for one in trained],
            "training_loss_nats": [round(loss, 2) for loss in losses],
            "mean_training_loss_nats": round(statistics.mean(losses), 2),
            "mean_excess_over_entropy_nats": round(statistics.mean(losses) - floor, 2),
        }
        plain = ends["plain"]["mean_training_loss_nats"]
        ends[label]["loss_above_plain_percent"] = round(100 * (statistics.mean(losses) / plain - 1), 3)
    result = {
        "video": name, "images": len(images), "epochs": epochs, "seeds": seeds,
        "training_loss_is_the_mean_of_the_last_epochs": min(LAST, epochs),
        "entropy_of_the_pixels_nats": round(floor, 2), "programs": ends,
    }  # fmt: skip
    return _shown("Quality", result)


@torch.no_grad()
def bound(trained: Trained, images: Images, device: torch.device) -> float:
    """Estimate eq. 4 of a trained network, in fp32, averaged over the images."""
    model = _Pair(trained.encode, trained.decode)
    generator = torch.Generator(device).manual_seed(0)
    x = to_vectors(images, device)
    values = [evidence_lower_bound(model, x, 1, generator).value.mean() for _ in range(DRAWS)]
    return float(torch.stack(values).mean())


@dataclass(frozen=True)
class _Pair:
    encode: Encode
    decode: Decode

    def log_prob(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Log density p(x|z) of Bernoulli pixels."""
        return log_likelihood(self.decode(z), x)


def entropy(images: Images) -> float:
    """The least cross-entropy that any model can have on the images, in nats: pixels are not 0 or 1."""
    x = to_vectors(images, torch.device("cpu")).double()
    return float((torch.special.entr(x) + torch.special.entr(1 - x)).sum(1).mean())


def in_turns(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each job once unmeasured, then all of them in every round; the seconds of each by its name."""
    for job in jobs.values():
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        order = list(jobs) if number % 2 == 0 else list(reversed(jobs))
        for name in order:
            start = time.perf_counter()
            jobs[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def milliseconds(seconds: dict[str, list[float]], epochs: int) -> dict[str, float]:
    """The median of each program's milliseconds an epoch; of this machine, ratios say more."""
    return {name: round(1e3 * statistics.median(taken) / epochs, 1) for name, taken in seconds.items()}


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> dict[str, float]:
    """The median, the least and the greatest ratio of two programs within a round."""
    ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
    named = {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}
    return {name: round(value, 2) for name, value in named.items()}


def load_crops(data: Path | None) -> tuple[str, Images]:
    """The name of a video and crops of its target; without data a bright square that moves on noise."""
    if data is None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 90, (150, 64, 64, 3), dtype=np.uint8)
        for image, (row, column) in zip(images, rng.integers(8, 32, (150, 2)), strict=True):
            image[row : row + 24, column : column + 24] += rng.integers(60, 160, 3, dtype=np.uint8)
        return "made-up", images
    if not data.is_dir():
        raise InputError(f"'{data}' is not a folder; give --data a folder of videos, or leave it out.")
    is_video = (data / "groundtruth_rect.txt").is_file()
    folders = [data] if is_video else sorted(child for child in data.iterdir() if child.is_dir())
    if not folders:
        raise InputError(f"There is no video in '{data}'; give --data a folder of videos, or leave it out.")
    sequence = open_sequence(folders[0], progress=False)
    return sequence.name, np.stack([sequence.crop(t, 64) for t in range(len(sequence))])


def _job(program: Program, images: Images, epochs: int) -> Callable[[], object]:
    return lambda: program(images, epochs, 0)


def _shown(title: str, result: dict[str, Any]) -> dict[str, Any]:
    print(title)
    for name, value in result.items():
        print(f"  {name}: {value}")
    return result


if __name__ == "__main__":
    run_script(main)
