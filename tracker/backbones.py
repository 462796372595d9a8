"""The networks whose features stand for a target: VGG-16, and the slim net that the package ships.

Both are read at the same places: named convolutions (after their ReLU), `pool5` (the last convolution, max
pooled to 7 x 7 and flattened) and the fully connected layers (their linear output, before any ReLU, as SINT
takes fc6).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VGG16_Weights, vgg16
from torchvision.ops import roi_align

from .errors import InputError

__all__ = [
    "GRID",
    "Backbone",
    "FeatureExtractor",
    "Precision",
    "Slim",
    "Vgg16",
    "load_backbone",
    "resolve_device",
    "roi_pool",
]

GRID = 7
"""Side of the pooled grid: every region becomes 7 x 7 cells (SINT's RoI pooling)."""

Precision = Literal["auto", "fp32", "bf16"]


def roi_pool(maps: Tensor, boxes: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """Pool regions of feature maps to 7 x 7: averaged on an aligned 14 x 14 grid, then 2 x 2 maxima.

    On a whole 14 x 14 map this is VGG's own last max pooling, so fully connected layers trained behind that
    pooling see what they expect; on a part of a map it is SINT's RoI max pooling, without the rounding.

    Args:
        maps: `[N, C, h, w]`.
        boxes: `[R, 5]`: the index of the image, then `x1, y1, x2, y2` in pixels of the input. `None` takes
            each whole map.
        scale: Cells of the map per pixel of the input.

    Returns:
        `[N or R, C, 7, 7]`.
    """
    if boxes is None:
        fine = functional.adaptive_avg_pool2d(maps, 2 * GRID)
    else:
        fine = roi_align(maps.float(), boxes.float(), 2 * GRID, spatial_scale=scale, aligned=True).to(maps)
    return functional.max_pool2d(fine, 2)


class Backbone(nn.Module):
    """A convolutional network read at named layers.

    Attributes:
        name: Its name on the command line.
        input_size: Side of the square image that it takes.
        convolutions: Names of the convolutions that can be read, first to last.
        sint_layers: The two convolutions whose pooled maps SINT compares.
        fully_connected: Names of the fully connected layers; empty where only convolutions were loaded.
    """

    name: str
    input_size: int
    convolutions: tuple[str, ...]
    sint_layers: tuple[str, str]
    fully_connected: tuple[str, ...]
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Hold the input's normalisation (ImageNet's mean and standard deviation)."""
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps, after ReLU.

        Args:
            images: `[N, 3, H, W]` in [0, 1].
            names: Which of `convolutions`.
        """
        raise NotImplementedError

    def stacked(self, pooled: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Fully connected layers on top of `pool5` of shape `[N, C, 7, 7]`: their output before the ReLU."""
        wanted = set(names)
        found: dict[str, Tensor] = {}
        x = pooled.flatten(1)
        for name in self.fully_connected:
            if len(found) == len(wanted):
                break
            x = self.linear(name)(x)
            if name in wanted:
                found[name] = x
            x = functional.relu(x)
        return found

    def linear(self, name: str) -> nn.Module:
        """The fully connected layer of that name."""
        raise NotImplementedError

    def forward(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Read layers of whole images.

        Args:
            images: `[N, 3, input_size, input_size]` in [0, 1].
            names: Any of `convolutions`, `"pool5"`, `fully_connected`.

        Returns:
            For each name `[N, C, h, w]` (convolutions) or `[N, D]` (`pool5` and the fully connected).

        Raises:
            InputError: If the network has no layer of that name.
        """
        wanted = list(names)
        for name in wanted:
            self.check_layer(name)
        last = self.convolutions[-1]
        convolutions = {name for name in wanted if name in self.convolutions}
        found = self.maps(images, convolutions if len(convolutions) == len(wanted) else {*convolutions, last})
        if len(convolutions) < len(wanted):
            pooled = roi_pool(found[last])
            found["pool5"] = pooled.flatten(1)
            found |= self.stacked(pooled, [name for name in wanted if name in self.fully_connected])
        return {name: found[name] for name in wanted}

    def check_layer(self, name: str) -> None:
        """Raise an `InputError` if no such layer can be read."""
        known = (*self.convolutions, "pool5", *self.fully_connected)
        if name not in known:
            hint = "" if self.fully_connected else " (its weights file holds the convolutions alone)"
            raise InputError(f"The net '{self.name}' has no layer '{name}'{hint}; choose {', '.join(known)}.")


class Slim(Backbone):
    """A small 8-layer VGG-style net: 5 convolutions, then fc6, fc7, fc8; 112 x 112 input, stride 8."""

    name = "slim"
    input_size = 112
    convolutions = ("conv1", "conv2", "conv3", "conv4", "conv5")
    sint_layers = ("conv4", "conv5")
    fully_connected = ("fc6", "fc7", "fc8")

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 48, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(48, 96, 3, padding=1)
        self.conv3 = nn.Conv2d(96, 192, 3, padding=1)
        self.conv4 = nn.Conv2d(192, 192, 3, padding=1)
        self.conv5 = nn.Conv2d(192, 128, 3, padding=1)
        self.fc6 = nn.Linear(128 * GRID * GRID, 256)
        self.fc7 = nn.Linear(256, 256)
        self.fc8 = nn.Linear(256, 128)

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:  # noqa: D102
        wanted = set(names)
        found: dict[str, Tensor] = {}
        x = (images - self.mean) / self.std
        for name in self.convolutions:
            x = functional.relu(self.get_submodule(name)(x))
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
            if name in ("conv1", "conv2"):
                x = functional.max_pool2d(x, 2)
        return found

    def linear(self, name: str) -> nn.Module:  # noqa: D102
        return self.get_submodule(name)


class Vgg16(Backbone):
    """VGG-16 as torchvision builds it; 224 x 224 input.

    Args:
        with_classifier: Whether the weights hold the fully connected layers too.
    """

    name = "vgg16"
    input_size = 224
    convolutions = tuple(
        f"conv{block}_{index}" for block, depth in enumerate((2, 2, 3, 3, 3), 1) for index in range(1, depth + 1)
    )
    sint_layers = ("conv4_3", "conv5_3")

    def __init__(self, with_classifier: bool) -> None:
        """Build it with random weights."""
        super().__init__()
        with torch.device("meta"):
            whole = vgg16()
        self.fully_connected = ("fc6", "fc7", "fc8") if with_classifier else ()
        self.features = whole.features[:-1].to_empty(device="cpu")
        self.classifier = whole.classifier.to_empty(device="cpu") if with_classifier else None

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:  # noqa: D102
        wanted = set(names)
        found: dict[str, Tensor] = {}
        remaining = iter(self.convolutions)
        x = (images - self.mean) / self.std
        for module in self.features:
            x = functional.relu(x) if isinstance(module, nn.ReLU) else module(x)
            if isinstance(module, nn.ReLU) and (name := next(remaining)) in wanted:
                found[name] = x
                if len(found) == len(wanted):
                    break
        return found

    def linear(self, name: str) -> nn.Module:  # noqa: D102
        return self.get_submodule(f"classifier.{3 * self.fully_connected.index(name)}")


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device.

    Raises:
        InputError: If the name is unknown or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise InputError(f"'{name}' is no device; choose auto, cpu or cuda.")
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise InputError(f"There is no device '{name}' on this machine; choose auto or cpu.")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Turn a precision into a dtype; `auto` takes bfloat16 where the hardware multiplies it natively."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    if precision != "auto":
        raise InputError(f"'{precision}' is no precision; choose auto, fp32 or bf16.")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capability = torch.backends.cpu.get_cpu_capability()
    native = capability.startswith("AVX512") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Run a forward pass in `dtype`, which `resolve_precision` gave."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a weights file: safetensors, or a torchvision `.pth` (loaded with `weights_only`).

    Raises:
        InputError: If the file is missing or corrupt.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"The weights file '{file}' does not exist.")
    try:
        if file.suffix in (".pth", ".pt"):
            return dict(torch.load(file, map_location="cpu", weights_only=True))
        return load_file(file)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"The weights file '{file}' is corrupt ({reason}); fetch or write it again.") from None
    except Exception as error:  # torch.load raises pickle's own errors, which share no narrower base
        raise InputError(f"The weights file '{file}' is corrupt ({type(error).__name__}).") from None


def load_backbone(
    name: str = "slim", weights: str | Path | None = None, device: str | torch.device = "cpu"
) -> Backbone:
    """Load a network, ready for inference.

    Args:
        name: `slim` or `vgg16`.
        weights: For `slim` a safetensors file, `None` for the one that the package ships. For `vgg16` a
            safetensors or torchvision file with torchvision's keys, whole or the convolutions alone, or
            `imagenet`, which lets torchvision fetch its weights (528 MB) into its own cache.
        device: Where it runs; see `resolve_device`.

    Raises:
        InputError: If the name is unknown, or the weights are missing, corrupt or of another network.
    """
    if name == "slim":
        source = str(weights) if weights is not None else "the package's own weights"
        if weights is None:
            with resources.as_file(resources.files("tracker") / "weights" / "slim.safetensors") as file:
                state = load_weights(file)
        else:
            state = load_weights(weights)
        backbone: Backbone = Slim()
    elif name == "vgg16":
        if weights is None:
            raise InputError(
                "VGG-16 needs weights; give --weights FILE (torchvision's keys), or --weights imagenet to fetch."
            )
        source = str(weights)
        state = _fetch_vgg16() if str(weights) == "imagenet" else load_weights(weights)
        backbone = Vgg16(with_classifier=any(key.startswith("classifier.") for key in state))
    else:
        raise InputError(f"'{name}' is no network; choose slim or vgg16.")
    try:
        backbone.load_state_dict({key: value.float() for key, value in state.items()})
    except (RuntimeError, AttributeError):
        raise InputError(f"The weights in '{source}' are not those of the net '{name}'.") from None
    backbone.eval().requires_grad_(False)
    return backbone.to(resolve_device(str(device))).to(memory_format=torch.channels_last)


def _fetch_vgg16() -> dict[str, Tensor]:
    try:
        return dict(VGG16_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True))
    except (OSError, RuntimeError):
        url = VGG16_Weights.IMAGENET1K_V1.url
        raise InputError(
            f"torchvision could not fetch {url}; fetch it elsewhere and give the file with --weights FILE."
        ) from None


class FeatureExtractor:
    """The state's features: one layer of a backbone, scaled to unit root mean square.

    The scale makes a Q-network's input the same whatever the layer (raw fc6 norms are about 100, and an
    L2-normalised vector of thousands of numbers is next to zero everywhere).

    Args:
        backbone: The network.
        layer: The layer to read.
        precision: Arithmetic of the forward pass; the result is float32.
    """

    def __init__(self, backbone: Backbone, layer: str, precision: Precision = "auto") -> None:
        """Check that the layer exists and find its length."""
        backbone.check_layer(layer)
        self.backbone = backbone
        self.layer = layer
        self.device = next(backbone.parameters()).device
        self._dtype = resolve_precision(precision, self.device)
        side = backbone.input_size
        self.length = int(self(torch.zeros(1, 3, side, side, device=self.device)).shape[1])

    @property
    def input_size(self) -> int:
        """Side of the square crops that it takes."""
        return self.backbone.input_size

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Features of crops.

        Args:
            crops: `[N, 3, input_size, input_size]` in [0, 1].

        Returns:
            `float32[N, length]`, each row with a root mean square of 1 (or all 0).
        """
        with autocast(self.device, self._dtype):
            found = self.backbone(crops.contiguous(memory_format=torch.channels_last), [self.layer])
        features = found[self.layer].flatten(1).float()
        return functional.normalize(features) * features.shape[1] ** 0.5
