"""The training loop of SINT and SiamFC: steps, the workers that draw their batches, checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..data.identity import check_identity
from ..errors import InputError
from ..files import remove_leftovers, replacing_file
from ..models.backbones import check_finite, describe_arithmetic, resolve_precision
from ..records import warn_of_damage
from .settings import SiamFCTraining, SintTraining, TrainingRun

_WriteScalar = Callable[[str, float, int], object]


class Trainer(ABC):
    """Trains a network step by step; a run that was interrupted resumes and ends with the same weights.

    A subclass draws, computes the loss of a step and validates. Whatever it draws depends on the seed and the
    step's number alone, so that neither an interruption nor the number of loader workers changes the result, and
    whatever else it needs after an interruption is in `state`.

    Args:
        network: The network; its parameters that require gradients are trained.
        optimizer: Optimizer of these parameters; the rate of each group is the one at the start.
        settings: Number of steps and learning rate.
        run: Precision, checkpoints and progress.
        schedule: `constant`, or `cosine` down to 0 at the last step.
        validate_every: Steps between two validations; there is one before the first and one after the last step.

    Attributes:
        parameters: The trained parameters, by name.
        draw: Draws the batch of a step, on the CPU; the subclass sets it. With loader workers it runs in these.
        loader_workers: Number of processes that draw.
        best: The parameters of the best step so far; empty where the last step is kept.
        state: Plain data of the checkpoint: `step`, the number of steps done, and what the subclass adds.
    """

    name: ClassVar[str]
    """Label of the progress bar."""
    draw: Callable[[int], Any]

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: SintTraining | SiamFCTraining,
        run: TrainingRun,
        schedule: Literal["constant", "cosine"],
        validate_every: int,
    ) -> None:
        self.optimizer, self.run, self.loader_workers = optimizer, run, run.loader_workers
        self.steps, self.learning_rate = settings.steps, settings.learning_rate
        self.schedule, self.validate_every = schedule, validate_every
        self.device = next(network.parameters()).device
        self.dtype = resolve_precision(run.precision, self.device)
        self.parameters = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self.best: dict[str, Tensor] = {}
        self.state: dict[str, Any] = {"step": 0}
        self._rates = [group["lr"] for group in optimizer.param_groups]

    @abstractmethod
    def loss(self, step: int, drawn: Any) -> Tensor:
        """Return the scalar loss of a step, counted from 0, on the batch that `draw` returned for it."""

    @abstractmethod
    def record_loss(self, loss: float) -> None:
        """Add the loss of the step that was just done to `state`."""

    @abstractmethod
    def validate(self, step: int) -> Mapping[str, float]:
        """Measure the network on the held-out videos after a number of steps, and add the figures to `state`."""

    @property
    def arithmetic(self) -> str:
        """Device and floating-point format, for the run's record."""
        return describe_arithmetic(self.dtype, self.device)

    def train(self, out: Path, record: Mapping[str, Any]) -> None:
        """Train up to the last step, from the checkpoint in `out/work` if there is one.

        Args:
            out: Folder of the run; made if it is missing.
            record: Everything that changes the result.

        Raises:
            InputError: If the folder holds a run with another record, the loss is not finite, a loader worker was
                killed, or TensorBoard is asked for and not installed.
        """
        checkpoint = out / "work" / "checkpoint.safetensors"
        with _scalar_writer(self.run.tensorboard) as write_scalar:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(out)
            check_identity(checkpoint.with_name("run.json"), record, what="a run with other settings")
            if (stored := read_checkpoint(checkpoint, self.parameters, self.optimizer)) is not None:
                self.best = stored[0]
                self.state.update(stored[1])
            else:
                self._validate(0, write_scalar)
            figures: dict[str, str] = {}
            saved = time.monotonic()
            bar = tqdm(
                range(self.state["step"], self.steps),
                desc=self.name, unit="step", initial=self.state["step"], total=self.steps,
                disable=not self.run.progress,
            )  # fmt: skip
            pinned = self.device.type == "cuda"
            with drawing(self.draw, range(self.state["step"], self.steps), self.loader_workers, pinned) as draws:
                for step, drawn in zip(bar, draws, strict=False):
                    loss = self.step(step, drawn)
                    done = self.state["step"] = step + 1
                    write_scalar("training/loss", loss, done)
                    write_scalar("training/learning_rate", self.learning_rate * self._rate_factor(step), done)
                    if done % self.validate_every == 0 or done == self.steps:
                        figures = self._validate(done, write_scalar)
                    bar.set_postfix({"training_loss": f"{loss:.4f}", **figures})
                    if done == self.steps or time.monotonic() - saved >= self.run.checkpoint_seconds:
                        write_checkpoint(checkpoint, self.parameters, self.optimizer, self.best, self.state)
                        saved = time.monotonic()

    def step(self, step: int, drawn: Any) -> float:
        """Take a step of the optimizer on a drawn batch and return its loss.

        Raises:
            InputError: If the loss is not finite.
        """
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._rate_factor(step)
        loss = self.loss(step, drawn)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise InputError(f"The loss is {value} at step {step + 1}; give a lower learning rate.")
        self.record_loss(value)
        return value

    def keep_best(self) -> None:
        """Note the present parameters as those of the best step."""
        self.best = {name: value.detach().clone() for name, value in self.parameters.items()}

    def _rate_factor(self, step: int) -> float:
        return 1.0 if self.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def _validate(self, step: int, write_scalar: _WriteScalar) -> dict[str, str]:
        figures = self.validate(step)
        for name, value in figures.items():
            write_scalar(f"validation/{name}", value, step)
        return {name: f"{value:.4f}" for name, value in figures.items()}


class StepDataset(Dataset[Any]):
    """The batches of all steps, by the step's number.

    Args:
        draw: Returns the batch of a step; what it draws depends on the step's number alone.
    """

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Any:
        """The batch of a step, or the error of a frame that cannot be read.

        The error is returned because a `DataLoader` would put the worker's traceback into its message.
        """
        try:
            return self._draw(step)
        except (InputError, MemoryError, OSError) as error:
            return error


@contextmanager
def drawing(draw: Callable[[int], Any], steps: range, workers: int, pinned: bool) -> Iterator[Iterator[Any]]:
    """Draw the batches of steps, in their order, while the block runs.

    Args:
        draw: See `StepDataset`; picklable where processes are not forked.
        steps: Numbers of the steps.
        workers: Processes that draw, each two steps ahead; 0 draws in this process.
        pinned: Whether the tensors of a batch lie in pinned memory, which a CUDA GPU copies faster.

    Raises:
        InputError: If a worker was killed.
    """
    loader = DataLoader(
        StepDataset(draw), sampler=steps, batch_size=None, num_workers=workers, collate_fn=_as_drawn,
        pin_memory=pinned, worker_init_fn=_prepare_worker,
        generator=torch.Generator(),  # torch's own generator is left as it is
    )  # fmt: skip
    try:
        with closing(_batches(_start(loader))) as batches:
            yield batches
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            "A loader worker was killed, as happens where memory is short; the same command resumes the training,"
            " with fewer --loader-workers."
        ) from None


def _start(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the workers while OpenCV has no threads of its own, whose locks a forked process would wait for."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def _batches(drawn_batches: Iterator[Any]) -> Generator[Any, None, None]:
    for drawn in drawn_batches:
        if isinstance(drawn, Exception):
            raise drawn
        yield drawn


def _as_drawn(drawn: Any) -> Any:
    return drawn


def _prepare_worker(worker: int) -> None:
    """Limit OpenCV to one thread, as `DataLoader` limits torch, and leave signals to the main process.

    Ctrl-C and SIGTERM often reach all processes of a command. A worker that a signal kills raises an error of
    torch in the main process, which is then about to end.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))


@contextmanager
def _scalar_writer(folder: Path | None) -> Iterator[_WriteScalar]:
    """Yield the function that writes a scalar (name, value, step) for TensorBoard; no folder, no scalars."""
    if folder is None:
        yield lambda name, value, step: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed; install occlusion-search[tensorboard], or leave --tensorboard out."
        ) from None
    with SummaryWriter(str(folder)) as writer:
        yield writer.add_scalar


def write_checkpoint(
    file: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> None:
    """Write the trained parameters, the optimizer's moments, the best parameters and plain data to one file.

    Raises:
        InputError: If a parameter is not finite; the checkpoint before stays.
        OSError: If the disk refuses.
    """
    check_finite(parameters, "The training has diverged", "give a lower learning rate")
    tensors = {f"now.{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"moments.{name}": value for name, value in flat_moments(optimizer).items()}
    content = {name: value.cpu().contiguous() for name, value in tensors.items()}
    # One entry, because safetensors writes several in any order.
    text = json.dumps({"sha256": _digest(state, content), "state": state})
    with replacing_file(file) as temporary:
        save_file(content, temporary, metadata={"training": text})


@torch.no_grad()
def read_checkpoint(
    file: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Restore parameters and moments.

    Returns:
        The best parameters and the plain data; `None` where there is no checkpoint or, with a warning, where it is
        damaged, and nothing was restored.
    """
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as content:
            record = json.loads(content.metadata()["training"])
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
            intact = record["sha256"] == _digest(record["state"], tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        warn_of_damage(file, "the training starts anew")
        return None
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "moments": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        groups[group][name] = tensor
    for name, value in groups["now"].items():
        parameters[name].copy_(value)
    restore_moments(optimizer, groups["moments"])
    return groups["best"], record["state"]


def _digest(state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a checkpoint's content, since safetensors files have no checksum of their own."""
    digest = hashlib.sha256(json.dumps(state).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def flat_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's moments by `INDEX.KEY`, as safetensors stores them."""
    return {
        f"{index}.{key}": torch.as_tensor(value).contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Restore the moments that `flat_moments` returned into an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
