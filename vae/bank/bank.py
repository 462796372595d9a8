"""A folder of models, one a video (section 4.1.2: "we train one VAE model for each train video").

    BANK/
      <video>/model.safetensors, config.json   as `VAE.save` writes them
              codes.safetensors                mu and sigma of the training images
              training.json                    how it was made; written last, so a model without it is half-written
              checkpoint.safetensors           only while it is trained
      failures.json                            the videos whose training failed, and why

A training that was cut off is taken up again by asking for it again: what is whole stays, what is not is redone,
with a warning where a file is damaged.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from ..config import TrainingConfig, VAEConfig, differences
from ..devices import resolve_precision
from ..errors import CheckpointError, DamagedCheckpointError, VAEError
from ..files import first_line, remove_leftovers, replacing_file
from ..images import Images, check_images, images_digest
from ..model import VAE
from ..sampling import Codes, check_codes, draw_codes
from ..storage import CONFIG_NAME, WEIGHTS_NAME, read_config, write_json
from ..training.fit import FitResult, fit
from ..training.state import Checkpoint
from .record import BankRecord, BankReport, file_digest, read_json

RECORD_NAME = "training.json"
CODES_NAME = "codes.safetensors"
FAILURES_NAME = "failures.json"
CHECKPOINT_NAME = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 300.0

_NAME = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")

Outcome = bool | dict[str, str]
"""Of a video: whether its model was trained now; where that failed `error`, in one sentence, and `traceback`."""


class VAEBank(Mapping[str, VAE]):
    """The models in a folder, by the name of their video.

    `bank[name]` reads a model; `in`, `len` and iteration see only models that are whole. Nothing is kept in
    memory, so several programs may read one bank; only one should train it. Trainings have every option of
    `TrainingConfig`; callbacks are for `fit` alone.

    Args:
        folder: Where the models are; it is made by the first training.
        device: Where models go that are read or trained.

    >>> import tempfile
    >>> crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    >>> shape, recipe = VAEConfig(image_size=8, hidden=16), TrainingConfig(epochs=5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bank = VAEBank(folder)
    ...     first = bank.train("ball", crops, model_config=shape, training=recipe)
    ...     again = bank.train("ball", crops, model_config=shape, training=recipe)
    ...     images, codes = bank.sample("ball", 10, np.random.default_rng(1))
    ...     list(bank), first, again, images.shape
    (['ball'], True, False, (10, 8, 8, 3))
    """

    def __init__(self, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> None:
        self.folder = Path(folder)
        self.device = device
        if self.folder.exists() and not self.folder.is_dir():
            raise VAEError(f"{self.folder} is a file; a bank is a folder.")

    def __getitem__(self, name: str) -> VAE:
        """Read a model.

        Raises:
            KeyError: If there is none of that name, or it is half-written.
            VAEError: If its files are damaged.
        """
        if name not in self:
            raise KeyError(name)
        return VAE.load(self.path(name), self.device)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a model of that name, and it is whole."""
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            return False
        folder = self.folder / name
        files = (WEIGHTS_NAME, CONFIG_NAME, CODES_NAME)
        there = all(os.path.isfile(folder / file) for file in files)  # false for a name that no folder can have
        return there and read_json(folder / RECORD_NAME) is not None

    def __iter__(self) -> Iterator[str]:
        """The names of the models, sorted."""
        if self.folder.is_dir():
            yield from sorted(child.name for child in self.folder.iterdir() if child.name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def path(self, name: str) -> Path:
        """The folder of a model, whether or not it is there.

        Raises:
            VAEError: If the name cannot be a folder's: it is empty, begins with a dot, or has a slash.
        """
        if not _NAME.fullmatch(name):
            raise VAEError(f"{name!r} cannot name a model; a name has no slash and does not begin with a dot.")
        return self.folder / name

    def record(self, name: str) -> BankRecord:
        """Return how a model was made.

        Raises:
            KeyError: If there is none of that name, or it is half-written.
            VAEError: If the record is damaged.
        """
        if name not in self:
            raise KeyError(name)
        return self._read_record(name)

    def codes(self, name: str) -> tuple[Codes, Codes]:
        """Return mu and sigma of the images that a model was trained on, each `float32[N, latent]`.

        Raises:
            KeyError: If there is no model of that name, or it is half-written.
            VAEError: If the file is damaged.
        """
        if name not in self:
            raise KeyError(name)
        path = self.path(name) / CODES_NAME
        try:
            tensors = load_file(path)
            return check_codes(tensors["mu"]), check_codes(tensors["sigma"])
        except (OSError, SafetensorError, KeyError, VAEError) as error:
            raise VAEError(f"{path} is damaged ({first_line(error)}); train the model again.") from None

    def sample(
        self, name: str, n: int, rng: np.random.Generator, sampler: str = "posterior"
    ) -> tuple[Images, Codes]:
        """Draw images of a video's target.

        Args:
            name: Which video.
            n: How many, at least 0.
            rng: Where the randomness comes from.
            sampler: One of `vae.SAMPLERS`.

        Returns:
            `uint8[n, H, W, C]`, and the codes that they were decoded from.

        Raises:
            KeyError: If there is no such model.
            VAEError: If there is no such sampler, or a file is damaged.
        """
        codes = draw_codes(sampler, *self.codes(name), n, rng)
        return self[name].generate(codes), codes

    def failures(self) -> dict[str, dict[str, Any]]:
        """The videos whose last training failed: `error` in one sentence, and the `traceback`."""
        return read_json(self.folder / FAILURES_NAME) or {}

    def damaged_file(self, name: str) -> Path | None:
        """Return the first file of a model that is missing or not as it was written; `None` if all are.

        A model without a record is half-written, which is no damage.

        Raises:
            VAEError: If the record is of another version of this package.
        """
        folder = self.path(name)
        if not (folder / RECORD_NAME).is_file():
            return None
        if read_json(folder / RECORD_NAME) is None:
            return folder / RECORD_NAME
        record = self._read_record(name)
        for file, digest in ((WEIGHTS_NAME, record.weights_digest), (CODES_NAME, record.codes_digest)):
            path = folder / file
            if not path.is_file() or (digest is not None and file_digest(path) != digest):
                return path
        try:
            if read_config(folder) == record.model_config:
                return None
        except VAEError:
            pass
        return folder / CONFIG_NAME

    def _has_recipe(self, name: str, images: Images, model_config: VAEConfig, training: TrainingConfig) -> bool:
        """Return whether the model is there, made from these images by this recipe; it may be damaged.

        The recipe's precision counts as it is resolved on this machine, and so does the kind of device.

        Raises:
            VAEError: If a model is there that was made otherwise; the sentence says what differs.
        """
        if name not in self:
            return False
        record, resolved = self._read_record(name), self._resolved(training)
        was = {"images": record.images_digest, **record.model_config.to_dict(), **record.training.to_dict()}
        was |= {name: getattr(record, name) or "not recorded" for name in resolved}
        asked = {**model_config.to_dict(), **training.to_dict(), **resolved}
        if found := differences(was, {"images": images_digest(images), **asked}):
            raise VAEError(
                f"The bank {self.folder} holds a model of {name!r} with {', '.join(found)}; "
                "give another bank, or have the model replaced."
            )
        return True

    def train(
        self,
        name: str,
        images: Images,
        *,
        model_config: VAEConfig | None = None,
        training: TrainingConfig | None = None,
        progress: bool = False,
        replace: bool = False,
        notes: Mapping[str, Any] | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> bool:
        """Train a video's model, unless it is there.

        Args:
            name: Of the video; it becomes the name of a folder.
            images: `uint8[N, H, W, C]`, as `fit` takes them.
            model_config: The shape of the network; the paper's where it is left out.
            training: The recipe; the paper's where it is left out.
            progress: Show a bar with both terms of the loss.
            replace: Train again where the bank holds a model, or a half-trained one, made from other images or by
                another recipe.
            notes: Plain data to keep in the record.
            checkpoint_seconds: How often the training is kept, so that one that was cut off goes on from there.

        Returns:
            Whether it was trained now.

        Raises:
            VAEError: If the images are bad, or the bank holds another model, or a half-trained one, and `replace`
                is not given.
        """
        model_config, training = model_config or VAEConfig(), training or TrainingConfig()
        if not self._make_room(name, images, model_config, training, replace):
            return False
        if progress:
            tqdm.write(f"{name} ({len(images)} crops)", file=sys.stderr)
        checkpoint = Checkpoint(self.path(name) / CHECKPOINT_NAME, checkpoint_seconds)
        train = partial(
            fit, images, model_config=model_config, training=training, device=self.device, progress=progress,
            checkpoint=checkpoint,
        )  # fmt: skip
        start = time.perf_counter()
        try:
            result = train()
        except CheckpointError as error:
            if isinstance(error, DamagedCheckpointError):
                _warn_of_damage(Path(checkpoint.path), name)
            elif not replace:
                raise
            checkpoint.discard()
            result = train()
        self._store(name, images, training, result, time.perf_counter() - start, notes)
        checkpoint.discard()
        return True

    def train_all(
        self,
        videos: Mapping[str, Images | Callable[[], Images]],
        *,
        model_config: VAEConfig | None = None,
        training: TrainingConfig | None = None,
        progress: bool = False,
        replace: bool = False,
        notes: Mapping[str, Mapping[str, Any]] | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> BankReport:
        """Train the model of each video; a video that fails does not stop the others.

        Args:
            videos: Images by the name of the video, or functions that load them when their turn comes.
            model_config: As for `train`.
            training: As for `train`.
            progress: Show a bar for each video, and one for all.
            replace: As for `train`.
            notes: Of each video, as for `train`.
            checkpoint_seconds: As for `train`.

        Returns:
            What became of each. What failed is in `failures` too, until it succeeds.

        Raises:
            OSError: If the disk refuses.
        """

        def load(name: str) -> tuple[Images, Mapping[str, Any]]:
            images = videos[name]
            return images() if callable(images) else images, (notes or {}).get(name, {})

        outcomes = (
            (
                name,
                self.try_training(
                    name, partial(load, name), model_config=model_config, training=training, progress=progress,
                    replace=replace, checkpoint_seconds=checkpoint_seconds,
                ),
            )
            for name in videos
        )  # fmt: skip
        return self.collect_outcomes(list(videos), outcomes, progress)

    def try_training(
        self, name: str, load: Callable[[], tuple[Images, Mapping[str, Any]]], **options: Any
    ) -> Outcome:
        """Train a video's model as `train` does; an error is returned.

        Args:
            name: Of the video.
            load: Returns the images, and the notes of the record.
            **options: Of `train`.

        Raises:
            OSError: If the disk refuses.
        """
        try:
            images, notes = load()
        except Exception as error:
            return _describe_failure(error)
        try:
            return self.train(name, images, notes=notes, **options)
        except OSError:  # of the disk, which the next video would meet too
            raise
        except Exception as error:
            return _describe_failure(error)

    def collect_outcomes(
        self, names: Sequence[str], outcomes: Iterable[tuple[str, Outcome]], progress: bool
    ) -> BankReport:
        """Enter what `try_training` returned into the file of failures.

        Args:
            names: Of the videos, in the order of the report.
            outcomes: The outcome of each video by its name, in any order, when it is known.
            progress: Show a bar.
        """
        remove_leftovers(self.folder)
        found: dict[str, Outcome] = {}
        with tqdm(total=len(names), desc="models", unit="model", disable=not progress) as bar:
            for name, outcome in outcomes:
                found[name] = outcome
                self._note_failure(name, outcome if isinstance(outcome, dict) else None)
                bar.set_postfix_str(name)
                bar.update()
        return BankReport(
            tuple(name for name in names if found[name] is True),
            tuple(name for name in names if found[name] is False),
            {name: outcome["error"] for name in names if isinstance(outcome := found[name], dict)},
        )

    def _resolved(self, training: TrainingConfig) -> dict[str, str]:
        """The arithmetic and the kind of device that a recipe gets here."""
        device = torch.device(self.device)
        precision = resolve_precision(training.precision, device)
        return {"precision": str(precision).removeprefix("torch."), "device": device.type}

    def _make_room(
        self, name: str, images: Images, model_config: VAEConfig, training: TrainingConfig, replace: bool
    ) -> bool:
        """Return whether a model is to be trained; if so what is there is no longer taken for whole."""
        folder = self.path(name)
        check_images(images, model_config.image_shape)
        try:
            there = self._has_recipe(name, images, model_config, training)
            if (damaged := self.damaged_file(name)) is not None:
                _warn_of_damage(damaged, name)
            elif there:
                return False
        except VAEError:
            if not replace:
                raise
        (folder / RECORD_NAME).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        return True

    def _store(
        self,
        name: str,
        images: Images,
        training: TrainingConfig,
        result: FitResult,
        seconds: float,
        notes: Mapping[str, Any] | None,
    ) -> None:
        """Write a model, and its record last."""
        folder, history, best = self.path(name), result.history, result.history.best_epoch
        result.model.save(folder)
        mu, sigma = result.model.posterior(images)
        with replacing_file(folder / CODES_NAME) as temporary:
            save_file({"mu": mu, "sigma": sigma}, temporary)
        record = BankRecord(
            images=len(images),
            images_digest=images_digest(images),
            model_config=result.model.config,
            training=training,
            epochs=len(history.kl),
            reconstruction=float(history.reconstruction[best - 1]),
            kl=float(history.kl[best - 1]),
            seconds=round(seconds, 2),
            weights_digest=file_digest(folder / WEIGHTS_NAME),
            **self._resolved(training),
            codes_digest=file_digest(folder / CODES_NAME),
            best_epoch=best if len(history.validation) else None,
            validation=float(history.validation[best - 1]) if len(history.validation) else None,
            notes=dict(notes or {}),
        )
        write_json(folder / RECORD_NAME, record.to_dict())

    def _read_record(self, name: str) -> BankRecord:
        path = self.path(name) / RECORD_NAME
        try:
            return BankRecord.from_dict(read_json(path) or {})
        except VAEError as error:
            raise VAEError(f"{path}: {error}") from None

    def _note_failure(self, name: str, failure: Mapping[str, Any] | None) -> None:
        """Write why a video's training failed to the file of failures; `None` removes it."""
        known = {other: why for other, why in self.failures().items() if other != name}
        if failure is not None:
            known[name] = dict(failure)
        if known:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / FAILURES_NAME, known)
        else:
            (self.folder / FAILURES_NAME).unlink(missing_ok=True)


def _describe_failure(error: Exception) -> dict[str, str]:
    """Why a training failed: `error` in one sentence, and the `traceback`."""
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {first_line(error)}"
    return {"error": text, "traceback": "".join(traceback.format_exception(error))}


def _warn_of_damage(file: Path, name: str) -> None:
    warnings.warn(f"'{file}' is damaged or missing; the model of '{name}' is trained again.", stacklevel=2)
