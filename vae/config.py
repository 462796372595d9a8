"""The shape of a model and the recipe of a training, as plain frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from .errors import VAEError, shorten

Architecture = Literal["mlp", "conv"]
"""The paper's fully connected network, or the convolutional one that it calls a good choice."""

Precision = Literal["auto", "fp32", "bf16"]
"""What the large matrices are multiplied in; `auto` takes bf16 where the processor has units for it."""

Likelihood = Literal["bernoulli", "gaussian"]
"""p(x|z): a Bernoulli for each intensity (the paper's), or Gaussians that share one learned standard deviation."""

_IMAGE_CHANNELS = (1, 3)
_LARGEST_SEED = 2**63 - 1
_LARGEST_SIZE = 2**20
"""Of a layer or an image's side; `layers.MOST_WEIGHTS` bounds the whole network."""
_MOST_EPOCHS = 10_000_000
_MOST_SAMPLES = 10_000

Config = TypeVar("Config", bound="_Config")


@dataclass(frozen=True)
class _Config:
    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Build a configuration from its values by name; a value left out keeps its default.

        Raises:
            VAEError: If a name is unknown or a value is bad.
        """
        if not isinstance(values, Mapping):
            raise VAEError(f"A {cls.__name__} is read from names and values, got {type(values).__name__}.")
        known = [field.name for field in fields(cls)]
        unknown = [name if isinstance(name, str) else shorten(name) for name in values if name not in known]
        if unknown:
            raise VAEError(f"{cls.__name__} has no {', '.join(unknown)[:100]}; it has {', '.join(known)}.")
        return cls(**values)


@dataclass(frozen=True)
class VAEConfig(_Config):
    """The network of section 4.1.2: D-hidden-latent-hidden-D, where D = height * width * image_channels.

    Attributes:
        image_size: Side of a square image, or its height and width, in pixels.
        hidden: Units of each of the two ReLU layers beside the code.
        latent: Dimension J of the code z.
        architecture: What leads from the pixels to the first hidden layer, and from the second to the logits:
            one matrix each (`mlp`, the paper's), or convolutions (`conv`).
        channels: For `conv`, the channels of the encoder's convolutions, each of which halves the side, and of
            the decoder's in reverse; `mlp` has none.
        image_channels: Channels of an image: 3 (RGB) or 1 (grey).
        likelihood: p(x|z): `bernoulli` (the paper's), or `gaussian`, whose mean is the sigmoid of the decoder's
            output and whose standard deviation is one learned number.
        beta: Weight of the KL divergence in the loss, at least 0 (Higgins et al., 2017); the paper's is 1.

    Raises:
        VAEError: If a number is out of its range, there is no such architecture or likelihood, or convolutions
            are asked for that cannot halve the image.

    >>> VAEConfig().input_size, VAEConfig(image_size=(28, 20), image_channels=1).image_shape
    (12288, (28, 20, 1))
    """

    image_size: int | tuple[int, int] = 64
    hidden: int = 512
    latent: int = 2
    architecture: Architecture = "mlp"
    channels: tuple[int, ...] = (32, 64, 128, 256)
    image_channels: int = 3
    likelihood: Likelihood = "bernoulli"
    beta: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.image_size, list | tuple):
            if len(self.image_size) != 2:
                raise VAEError(
                    f"image_size must be a side, or a height and a width, got {shorten(self.image_size)}."
                )
            for side in self.image_size:
                _check_whole("image_size", side, 1, _LARGEST_SIZE)
            height, width = self.image_size
            object.__setattr__(self, "image_size", height if height == width else (height, width))
        else:
            _check_whole("image_size", self.image_size, 1, _LARGEST_SIZE)
        for name in ("hidden", "latent"):
            _check_whole(name, getattr(self, name), 1, _LARGEST_SIZE)
        _check_choice("architecture", self.architecture, get_args(Architecture))
        if not isinstance(self.channels, list | tuple) or not self.channels:
            raise VAEError(f"channels must be a list of numbers, got {shorten(self.channels)}.")
        object.__setattr__(self, "channels", tuple(self.channels))
        for count in self.channels:
            _check_whole("channels", count, 1, _LARGEST_SIZE)
        if self.architecture == "conv" and any(side % 2 ** len(self.channels) for side in self.image_shape[:2]):
            raise VAEError(
                f"image_size must be a multiple of {2 ** len(self.channels)} for {len(self.channels)} "
                f"convolutions that halve it, got {self.image_size}; give another size or fewer channels."
            )
        if self.image_channels not in _IMAGE_CHANNELS or isinstance(self.image_channels, bool | float):
            raise VAEError(f"image_channels must be 3 (RGB) or 1 (grey), got {shorten(self.image_channels)}.")
        _check_choice("likelihood", self.likelihood, get_args(Likelihood))
        if not (_is_number(self.beta) and self.beta >= 0):
            raise VAEError(f"beta must be a number of at least 0, got {shorten(self.beta)}.")

    @property
    def input_size(self) -> int:
        """Numbers in an image, height * width * channels."""
        return math.prod(self.image_shape)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        size = self.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return (height, width, self.image_channels)


@dataclass(frozen=True)
class Plateau(_Config):
    """When a training has stopped getting better.

    The loss (eq. 4, negated) is averaged over windows that follow one another, which smooths the noise of single
    draws. At the end of a window the training stops if its average is not at least `tolerance` below that of the
    window before.

    Attributes:
        window: Epochs in a window.
        tolerance: The least fall from window to window, in nats an image, at least 0.

    Raises:
        VAEError: If a value is out of its range.
    """

    window: int = 500
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        _check_whole("window", self.window, 1)
        if not (_is_number(self.tolerance) and self.tolerance >= 0):
            raise VAEError(f"tolerance must be a number of at least 0, got {shorten(self.tolerance)}.")

    def is_reached(self, losses: ArrayLike) -> bool:
        """Return whether the training should stop after the epochs so far, whose losses are `[epochs]`.

        Between the ends of windows, and before the end of the second, the answer is no.

        >>> Plateau(window=2, tolerance=1.0).is_reached([9.0, 9.0, 5.0, 5.0])
        False
        >>> Plateau(window=2, tolerance=1.0).is_reached([9.0, 9.0, 5.0, 5.0, 4.5, 4.5])
        True
        """
        known = np.asarray(losses, dtype=np.float64)
        if len(known) % self.window or len(known) < 2 * self.window:
            return False
        before, now = known[-2 * self.window :].reshape(2, -1).mean(axis=1)
        return bool(before - now < self.tolerance)


@dataclass(frozen=True)
class TrainingConfig(_Config):
    """The training of section 4.1.2: RMSprop over full batches.

    Attributes:
        epochs: Passes over the training images; with full batches each is one update of the weights.
        learning_rate: Step size of RMSprop, above 0.
        alpha: Decay of RMSprop's average of squared gradients, in [0, 1). The paper does not give it; 0.9 is
            the value of RMSprop's author and of Keras, where PyTorch's own default is 0.99.
        samples: Draws L of the noise for an image and an update (eq. 4).
        seed: Fixes the initial weights and the noise, in [0, 2**63).
        precision: What the products with the two large matrices are computed in. The weights, the averages of
            squared gradients and the loss are fp32 in any case.
        plateau: Ends the training before `epochs` when it has stopped getting better; never where left out.
        batch_size: Images of an update, drawn anew without replacement in every epoch, whose last batch may be
            smaller; all images where left out.
        validation_share: Share of the images, drawn by the seed, that is held out, in [0, 1). Their ELBO (eq. 4)
            is measured after every epoch, always with the same noise, and the model of the epoch with the highest
            is kept. 0 trains on all images and keeps the last epoch's.
        patience: Ends the training after so many epochs without a higher held-out ELBO, the warm-up's not counted;
            needs `validation_share`.
        warmup_epochs: Epochs in which the weight of the KL divergence rises linearly from 0 to `VAEConfig.beta`.

    Raises:
        VAEError: If a value is out of its range, or there is `patience` without `validation_share`.
    """

    epochs: int = 20_000
    learning_rate: float = 1e-3
    alpha: float = 0.9
    samples: int = 1
    seed: int = 0
    precision: Precision = "auto"
    plateau: Plateau | None = None
    batch_size: int | None = None
    validation_share: float = 0.0
    patience: int | None = None
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        _check_whole("epochs", self.epochs, 1, _MOST_EPOCHS)
        _check_whole("samples", self.samples, 1, _MOST_SAMPLES)
        _check_whole("seed", self.seed, 0, _LARGEST_SEED)
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise VAEError(f"learning_rate must be a number above 0, got {shorten(self.learning_rate)}.")
        if not (_is_number(self.alpha) and 0 <= self.alpha < 1):
            raise VAEError(f"alpha must be a number in [0, 1), got {shorten(self.alpha)}.")
        _check_choice("precision", self.precision, get_args(Precision))
        if isinstance(self.plateau, Mapping):
            object.__setattr__(self, "plateau", Plateau.from_dict(self.plateau))
        if not isinstance(self.plateau, Plateau | None):
            raise VAEError(f"plateau must be a Plateau or nothing, got {shorten(self.plateau)}.")
        if self.batch_size is not None:
            _check_whole("batch_size", self.batch_size, 1)
        if not (_is_number(self.validation_share) and 0 <= self.validation_share < 1):
            raise VAEError(f"validation_share must be a number in [0, 1), got {shorten(self.validation_share)}.")
        if self.patience is not None:
            _check_whole("patience", self.patience, 1)
            if not self.validation_share:
                raise VAEError("patience must be given with a validation_share above 0, whose ELBO it waits for.")
        _check_whole("warmup_epochs", self.warmup_epochs, 0, _MOST_EPOCHS)


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say what is not as asked, in words; mappings inside are gone through, and `images`, a digest, is only named.

    >>> differences({"seed": 1, "model": {"latent": 2}}, {"seed": 1, "model": {"latent": 3}})
    ['latent 2 (asked is 3)']
    """
    words = []
    for name, value in asked.items():
        was = found.get(name)
        if isinstance(value, Mapping) and isinstance(was, Mapping):
            words += differences(was, value)
        elif was != value:
            words.append("other images" if name == "images" else f"{name} {was} (asked is {value})")
    return words


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise VAEError(f"{name} must be a whole number of at least {least}, got {shorten(value)}.")
    if most is not None and value > most:
        raise VAEError(f"{name} must be at most {most}, got {shorten(value)}.")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise VAEError(f"{name} must be one of {', '.join(choices)}, got {shorten(value)}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
