"""From a name and a weights file to a network that is ready."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models import get_model_weights

from ...errors import InputError
from ...files import replacing_file
from .base import Backbone, draw_weights
from .hardware import resolve_device
from .nets import AlexNet, Slim, Vgg16
from .torchvision_models import PREFIX, TorchvisionBackbone


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a weights file: safetensors, or a torchvision `.pth` (loaded with `weights_only`).

    Raises:
        InputError: If the file is missing or corrupt, or holds a value that is not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"The weights file '{file}' does not exist.")
    try:
        if file.suffix in (".pth", ".pt"):
            tensors = dict(torch.load(file, map_location="cpu", weights_only=True))
        else:
            tensors = load_file(file)
    except Exception as error:  # torch.load raises pickle's own errors, which share no narrower base
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"The weights file '{file}' is corrupt ({reason}); fetch or write it again.") from None
    check_finite(tensors, f"The weights file '{file}' cannot be used", "fetch or train it again")
    return tensors


def save_weights(file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write trained tensors as safetensors; the file appears complete or not at all.

    Raises:
        InputError: If a value is not finite; nothing is written.
        OSError: If the disk refuses.
    """
    check_finite(tensors, f"'{file}' is not written", "train again with a lower learning rate")
    with replacing_file(file) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata
        )


def check_finite(tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Refuse tensors with NaN or infinite values.

    Args:
        tensors: By name; what is no tensor of floating-point numbers is passed over.
        what: Start of the error's sentence: what cannot be done.
        remedy: Its end: what to do.

    Raises:
        InputError: Naming the first such tensor.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        wide = value.float() if value.dtype.itemsize == 1 else value  # isfinite does not know float8
        if not torch.isfinite(wide).all():
            raise InputError(f"{what}: '{name}' holds values that are not finite; {remedy}.")


def load_backbone(
    name: str = "slim",
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    pools: int | None = None,
) -> Backbone:
    """Load a network, ready for inference.

    Args:
        name: `slim`, `vgg16`, `alexnet`, or for a `TorchvisionBackbone` `torchvision:MODEL` or
            `torchvision:MODEL:NODE,NODE`.
        weights: A safetensors or torchvision file with the network's keys; for all but `slim` they are
            torchvision's, and the fully connected layers may be missing. `None` takes, for `slim`, the weights
            that the package ships. `imagenet` lets torchvision fetch its own (VGG-16: 528 MB) into its cache.
            `random`, to train from scratch, warns.
        device: Where it runs; see `resolve_device`.
        pools: How many max poolings between the convolutions are kept, for `vgg16` and `alexnet`.

    Raises:
        InputError: If the name is unknown, the weights are missing, corrupt or of another network, or the
            network has not so many poolings.
    """
    if name not in ("slim", "vgg16", "alexnet") and not name.startswith(PREFIX):
        raise InputError(f"'{name}' is no network; choose slim, vgg16, alexnet or {PREFIX}MODEL.")
    if pools is not None and name not in ("vgg16", "alexnet"):
        raise InputError(f"The poolings of '{name}' cannot be chosen; vgg16's and alexnet's can.")
    if name != "slim" and weights is None:
        title = {"vgg16": "VGG-16", "alexnet": "AlexNet (alexnet)"}.get(name, f"'{name}'")
        raise InputError(
            f"{title} needs weights; give weights=FILE (--weights FILE; torchvision's keys), or weights='imagenet'"
            " (--weights imagenet) to fetch them."
        )
    if str(weights) == "random":
        warnings.warn(f"The net '{name}' starts from random weights; it is good for training only.", stacklevel=2)
        backbone = _build(name, pools, with_classifier=False)  # torchvision's draw their own, the same each time
        if not isinstance(backbone, TorchvisionBackbone):
            draw_weights(backbone, "relu", torch.Generator().manual_seed(0))
    else:
        source = str(weights) if weights is not None else "the package's own weights"
        state = _read(name, weights)
        backbone = _build(name, pools, any(key.startswith("classifier.") for key in state))
        if isinstance(backbone, TorchvisionBackbone):
            needed = backbone.body.state_dict()
            state = {f"body.{key}": value for key, value in state.items() if key in needed}
        try:
            backbone.load_state_dict({key: value.float() for key, value in state.items()})
        except (RuntimeError, AttributeError):
            raise InputError(f"The weights in '{source}' are not those of the net '{name}'.") from None
    backbone.eval().requires_grad_(False)
    return backbone.to(resolve_device(str(device))).to(memory_format=torch.channels_last)


def _build(name: str, pools: int | None, with_classifier: bool) -> Backbone:
    if name == "slim":
        return Slim()
    if name == "vgg16":
        return Vgg16(with_classifier, pools)
    return AlexNet(with_classifier, pools) if name == "alexnet" else TorchvisionBackbone(name)


def _read(name: str, weights: str | Path | None) -> dict[str, Tensor]:
    if weights is None:
        with resources.as_file(resources.files("tracker") / "weights" / "slim.safetensors") as file:
            return load_weights(file)
    if str(weights) == "imagenet" and name != "slim":
        return _fetch(name.removeprefix(PREFIX).partition(":")[0])
    return load_weights(weights)


def _fetch(model: str) -> dict[str, Tensor]:
    try:
        choice = get_model_weights(model).IMAGENET1K_V1
    except (ValueError, AttributeError):
        raise InputError(
            f"torchvision has no ImageNet weights of '{model}'; give weights=FILE (--weights FILE)."
        ) from None
    try:
        return dict(choice.get_state_dict(check_hash=True))
    except (OSError, RuntimeError):
        raise InputError(
            f"torchvision could not fetch {choice.url}; fetch it elsewhere and give the file: weights=FILE"
            " (--weights FILE)."
        ) from None
