"""Trackers by name."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .protocol import Tracker

if TYPE_CHECKING:
    from ..models.backbones import Precision


OPENCV = ("boosting", "csrt", "kcf", "medianflow", "mil", "mosse", "tld")

TRACKERS = ("sint", "sint-slim", "sint-vgg16", "sint-alexnet", *OPENCV, "nano", "siamfc")
"""The names that `load_tracker` knows, beside `module:function`."""

Weights = str | Path | None


def load_tracker(
    name: str,
    weights: Weights = None,
    device: str = "auto",
    precision: Precision = "auto",
    base_weights: Weights = None,
) -> Tracker:
    """Make a tracker, ready for `init`.

    Args:
        name: One of `TRACKERS`, where `sint` with weights is `sint-slim`; `sint-torchvision:MODEL` or
            `sint-torchvision:MODEL:NODE,NODE` for SINT over another network; or `module:function`: a callable
            without arguments that returns a tracker of your own, imported from where Python finds it or from the
            current folder.
        weights: For `sint` and `sint-*` see `SintTracker.load`; for `nano` the folder with its two ONNX
            files; for `siamfc` its safetensors file. The others have none.
        device: Where the networks of `sint-*` and `siamfc` run, see `tracker.models.backbones.resolve_device`.
            OpenCV's trackers run on the CPU; your own decides itself.
        precision: Arithmetic of those networks: `auto`, `fp32` or `bf16`.
        base_weights: For `sint` and `sint-*`: initial weights of the training that wrote `weights`.

    Raises:
        InputError: If the name is unknown, weights are missing or given where there are none, or what they need is
            not installed.
    """
    over_torchvision = name.startswith("sint-torchvision:")
    if ":" in name and not over_torchvision:
        return _load_own(name, weights)
    if name not in TRACKERS and not over_torchvision:
        raise InputError(
            f"'{name}' is no tracker; choose {', '.join(TRACKERS)}, sint-torchvision:MODEL, or module:function for"
            " one of your own."
        )
    if name == "sint" or name.startswith("sint-"):
        from ..models.backbones import resolve_device
        from ..models.shipped import shipped_tracker_sint
        from .sint.tracker import SintTracker

        if name == "sint" and weights is None and base_weights is None:
            return SintTracker(shipped_tracker_sint(resolve_device(device)), precision=precision)
        features = "slim" if name == "sint" else name.removeprefix("sint-")
        return SintTracker.load(features, weights, device, precision, base_weights=base_weights)
    if base_weights is not None:
        raise InputError(f"The tracker '{name}' has no base weights; leave them out.")
    if name in OPENCV:
        from .opencv import ContribTracker, MILTracker

        if weights is not None:
            raise InputError(f"The tracker '{name}' has no weights; leave them out.")
        return MILTracker() if name == "mil" else ContribTracker(name)
    if weights is None:
        what = "the folder with its two ONNX files" if name == "nano" else "its safetensors file"
        raise InputError(f"The tracker '{name}' needs weights; give {what}.")
    if name == "nano":
        from .opencv import NanoTracker

        return NanoTracker(weights)
    from .siamfc import SiamFCTracker

    return SiamFCTracker(weights, device, precision)


def _load_own(name: str, weights: Weights) -> Tracker:
    if weights is not None:
        raise InputError(f"The tracker '{name}' is your own and loads its own weights; leave them out.")
    module_name, _, attribute = name.partition(":")
    # Behind everything else, so that a file of the current folder hides no installed package.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"The module '{module_name}' needs '{error.name}', which is not installed."
            ) from error
        raise InputError(
            f"There is no module '{module_name}' here or among the installed ones; give module:function."
        ) from None
    except ValueError:
        raise InputError(f"'{name}' names no module; give module:function.") from None
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InputError(f"The module '{module_name}' has no function '{attribute}'; give module:function.")
    tracker = make()
    if not isinstance(tracker, Tracker):
        raise InputError(
            f"'{name}' returned a {type(tracker).__name__}, which lacks a name, init or update; return a tracker."
        )
    return tracker
