"""The shape of a model and the recipe of a training, as plain frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from .errors import VAEError

_CHANNELS = 3
_LARGEST_SEED = 2**63 - 1

T = TypeVar("T", bound="VAEConfig | TrainingConfig")


@dataclass(frozen=True)
class VAEConfig:
    """The network of section 4.1.2: D-hidden-latent-hidden-D, where D = image_size * image_size * 3.

    Attributes:
        image_size: Height and width of an image, in pixels.
        hidden: Units of each of the two ReLU layers.
        latent: Dimension J of the code z.

    Raises:
        VAEError: If a value is not a whole number of at least 1.

    >>> VAEConfig().input_size
    12288
    """

    image_size: int = 64
    hidden: int = 512
    latent: int = 2

    def __post_init__(self) -> None:
        """Check every value."""
        for field in fields(self):
            _check_whole(field.name, getattr(self, field.name), 1)

    @property
    def input_size(self) -> int:
        """Numbers in an image, height * width * 3."""
        return self.image_size * self.image_size * _CHANNELS

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return (self.image_size, self.image_size, _CHANNELS)

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VAEConfig:
        """Build a configuration from its values by name; a value left out keeps its default.

        Raises:
            VAEError: If a name is unknown or a value is bad.
        """
        return _from_dict(cls, values)


@dataclass(frozen=True)
class TrainingConfig:
    """The training of section 4.1.2: RMSprop over full batches.

    Attributes:
        epochs: Updates of the weights, one for each pass over all images.
        learning_rate: Step size of RMSprop, above 0.
        alpha: Decay of RMSprop's average of squared gradients, in [0, 1). The paper does not give it; 0.9 is
            the value of RMSprop's author and of Keras, where PyTorch's own default is 0.99.
        samples: Draws L of the noise for an image and an update (eq. 4).
        seed: Fixes the initial weights and the noise, in [0, 2**63).

    Raises:
        VAEError: If a value is out of its range.
    """

    epochs: int = 20_000
    learning_rate: float = 1e-3
    alpha: float = 0.9
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        _check_whole("epochs", self.epochs, 1)
        _check_whole("samples", self.samples, 1)
        _check_whole("seed", self.seed, 0, _LARGEST_SEED)
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise VAEError(f"learning_rate must be a number above 0, got {self.learning_rate!r}.")
        if not (_is_number(self.alpha) and 0 <= self.alpha < 1):
            raise VAEError(f"alpha must be a number in [0, 1), got {self.alpha!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Build a configuration from its values by name; a value left out keeps its default.

        Raises:
            VAEError: If a name is unknown or a value is bad.
        """
        return _from_dict(cls, values)


def _from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    if not isinstance(values, Mapping):
        raise VAEError(f"A {kind.__name__} is read from names and values, got {type(values).__name__}.")
    known = [field.name for field in fields(kind)]
    unknown = [str(name) for name in values if name not in known]
    if unknown:
        raise VAEError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}.")
    return kind(**values)


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise VAEError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    if most is not None and value > most:
        raise VAEError(f"{name} must be at most {most}, got {value!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
