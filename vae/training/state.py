"""What changes while a model is trained, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..config import TrainingConfig, VAEConfig, differences
from ..errors import CheckpointError, DamagedCheckpointError, VAEError
from ..files import first_line, replacing_file
from ..images import Images, images_digest
from ..model import VAE

_FORMAT = 1
_MAY_CHANGE = ("epochs", "plateau", "patience")


@dataclass(frozen=True)
class History:
    """The two terms of the loss at each epoch, in nats, averaged over the training images.

    Attributes:
        reconstruction: The negative of log p(x|z), `float64[epochs]`.
        kl: The divergence from the prior (eq. 3, negated), `float64[epochs]`.
        kl_weights: Its weight in the loss, `float64[epochs]`: beta, after the warm-up.
        validation: ELBO of the held-out images after each epoch, a mean over them, `float64[epochs]`; empty
            without a validation split.
    """

    reconstruction: NDArray[np.float64]
    kl: NDArray[np.float64]
    kl_weights: NDArray[np.float64]
    validation: NDArray[np.float64]

    @property
    def loss(self) -> NDArray[np.float64]:
        """What is minimised, `float64[epochs]`: the negative of eq. 4, with the weights of the divergence."""
        return self.reconstruction + self.kl_weights * self.kl

    @property
    def best_epoch(self) -> int:
        """Epoch of the returned model, from 1: of the highest held-out ELBO, or the last without a split."""
        return _best_epoch(self.validation) if len(self.validation) else len(self.kl)


@dataclass
class TrainingState:
    """All that changes while a model is fitted.

    Attributes:
        model: The model.
        square_averages: RMSprop's average of the squared gradients of each weight, by the weight's name.
        terms: The history so far, `float32[epochs, 2]` on the model's device: reconstruction and kl.
        kl_weights: Weight of kl in the loss of each epoch, `float32[epochs]` on the model's device.
        validation: Held-out ELBO after each epoch, `float32[epochs]`; empty without a validation split.
        best_weights: Weights of the epoch with the highest held-out ELBO; empty without a validation split.
        epoch: Epochs done.
    """

    model: VAE
    square_averages: dict[str, torch.Tensor]
    terms: torch.Tensor
    kl_weights: torch.Tensor
    validation: NDArray[np.float32]
    best_weights: dict[str, torch.Tensor]
    epoch: int = 0

    def history(self) -> History:
        """Return the history of the epochs done; on a GPU this waits for them."""
        done = self.terms[: self.epoch].cpu().numpy().astype(np.float64)
        weights = self.kl_weights[: self.epoch].cpu().numpy().astype(np.float64)
        return History(
            done[:, 0].copy(), done[:, 1].copy(), weights, self.validation[: self.epoch].astype(np.float64)
        )

    def best_epoch(self) -> int:
        """Return the epoch with the highest held-out ELBO so far, counted from 1; 0 before the first."""
        return _best_epoch(self.validation[: self.epoch])

    def enter_validation(self, bound: float) -> None:
        """Enter the held-out ELBO after the last epoch, and keep the weights if it is the highest."""
        self.validation[self.epoch - 1] = bound
        if self.best_epoch() == self.epoch:
            for name, weight in self.model.named_parameters():
                self.best_weights[name].copy_(weight.detach())


def _best_epoch(validation: NDArray[np.floating]) -> int:
    """The first epoch with the highest finite bound."""
    return 1 + int(np.nan_to_num(validation, nan=-np.inf).argmax()) if len(validation) else 0


def start(model_config: VAEConfig, training: TrainingConfig, device: torch.device) -> TrainingState:
    """Return the state before the first epoch: weights drawn by the seed, on the CPU whatever the device."""
    model = VAE(model_config, torch.Generator().manual_seed(training.seed)).to(device)
    averages = {name: torch.zeros_like(weight.detach()) for name, weight in model.named_parameters()}
    ramp = torch.arange(training.epochs, device=device) / max(1, training.warmup_epochs)
    return TrainingState(
        model=model,
        square_averages=averages,
        terms=torch.zeros((training.epochs, 2), device=device),
        kl_weights=model_config.beta * (ramp.clamp(max=1) if training.warmup_epochs else torch.ones_like(ramp)),
        validation=np.zeros(training.epochs if training.validation_share else 0, np.float32),
        best_weights=(
            {name: weight.detach().clone() for name, weight in model.named_parameters()}
            if training.validation_share
            else {}
        ),
    )


@dataclass(frozen=True)
class Checkpoint:
    """A file that keeps a training while it runs, so that the training survives the end of its process.

    It is one safetensors file: the weights, RMSprop's averages and the history, with a validation split also the
    held-out ELBO of each epoch and the weights of the best; as JSON in its header the epoch, both configurations
    and the images' digest. It is written under another name and renamed. A training that is given a file which is
    there goes on from it, and ends with the bytes that it would have had without the break (on the same machine,
    with as many threads). When a training ends, its last state is written too, so that more epochs can be asked
    for; `discard` deletes it.

    Attributes:
        path: The file; its folder is made where it is missing.
        seconds: Between one writing and the next, above 0.

    Raises:
        VAEError: If `seconds` is not above 0.
    """

    path: str | os.PathLike[str]
    seconds: float = 300.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise VAEError(f"seconds between checkpoints must be above 0, got {self.seconds!r}.")

    def discard(self) -> None:
        """Delete the file, if it is there."""
        Path(self.path).unlink(missing_ok=True)


def write_checkpoint(path: Path, state: TrainingState, identity: Mapping[str, Any]) -> None:
    """Write a state and what `training_identity` returned; the file appears complete or not at all.

    Raises:
        OSError: If the disk refuses.
    """
    content = {name: tensor.cpu().contiguous() for name, tensor in _tensors(state, state.epoch).items()}
    training = {"format": _FORMAT, "epoch": state.epoch, **identity}
    # One entry, because safetensors writes several in any order.
    header = {"training": json.dumps({"sha256": _digest(training, content), **training})}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        save_file(content, temporary, metadata=header)


def read_checkpoint(path: Path, state: TrainingState, identity: Mapping[str, Any]) -> bool:
    """Set a state to what a file keeps, if there is one; it must fit what `training_identity` returns.

    Returns:
        Whether there was a file.

    Raises:
        DamagedCheckpointError: If the file is damaged.
        CheckpointError: If it is of another training, or has more epochs than are asked for.
    """
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {})["training"])
            epoch, digest = header["epoch"], header.pop("sha256")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(
            f"{path} is no checkpoint ({first_line(error)}); delete it to start again."
        ) from error
    if _digest(header, tensors) != digest:
        raise DamagedCheckpointError(f"{path} is damaged; delete it to start again.")
    if header.get("format") == _FORMAT:  # a setting that the file's version did not have yet was at its default
        header["model_config"] = {**VAEConfig().to_dict(), **header["model_config"]}
        header["training"] = {**TrainingConfig().to_dict(), **header["training"]}
    if found := differences(header, {"format": _FORMAT, **identity}):
        raise CheckpointError(f"{path} is of a training with {', '.join(found)}; delete it to start again.")
    if epoch > len(state.terms):
        raise CheckpointError(
            f"{path} is {epoch} epochs on, more than the {len(state.terms)} asked for; ask for more."
        )
    targets = _tensors(state, epoch)
    shapes = {name: (target.shape, target.dtype) for name, target in targets.items()}
    if shapes != {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}:
        raise DamagedCheckpointError(
            f"{path} is damaged: its tensors are not those of this model; delete it to start again."
        )
    for name, target in targets.items():
        target.copy_(tensors[name])
    state.epoch = epoch
    return True


def training_identity(
    images: Images, model_config: VAEConfig, training: TrainingConfig, dtype: torch.dtype
) -> dict[str, Any]:
    """Return every setting that changes a training's result, as plain data, but for when it ends."""
    recipe = {name: value for name, value in training.to_dict().items() if name not in _MAY_CHANGE}
    return {
        "images": images_digest(images),
        "model_config": json.loads(json.dumps(model_config.to_dict())),
        "training": {**recipe, "precision": str(dtype).removeprefix("torch.")},
    }


def _digest(training: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a checkpoint's header and tensors, since safetensors files have no checksum of their own."""
    digest = hashlib.sha256(json.dumps(training).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(state: TrainingState, epochs: int) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint."""
    tensors = {f"weight.{name}": weight.detach() for name, weight in state.model.named_parameters()}
    tensors |= {f"average.{name}": average for name, average in state.square_averages.items()}
    tensors |= {f"best.{name}": weight for name, weight in state.best_weights.items()}
    if state.best_weights:
        tensors["validation"] = torch.from_numpy(state.validation[:epochs])
    return {**tensors, "history": state.terms[:epochs]}
