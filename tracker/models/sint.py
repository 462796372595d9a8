"""SINT: the Siamese network (Tao, Gavves, Smeulders, CVPR 2016), its two configurations, and its files."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from ..data.images import Image, crop, resize
from ..errors import InputError, check_choice, reading_errors, shorten
from ..files import replacing_file
from ..hub import HubModel
from .backbones import Backbone, fingerprint, load_backbone, load_weights, save_weights

_MARK = {"card": "required"}
"""Metadata of the weights that `save_sint` writes: without their card they are refused."""


@dataclass(frozen=True)
class SintConfig:
    """The network and its view of a frame; the defaults are fast on a CPU.

    Attributes:
        features: The backbone's name (`load_backbone`).
        view: `search` shows the square around a box whose side is `context` times the box's longer side, its
            aspect ratio kept; `frame` shows the whole frame, warped to a square.
        side: Side of the network's input, in pixels.
        context: See `view`; 3 is what SINT's radius sampling reaches.
        pools: How many of the backbone's max poolings are kept (`load_backbone`); `None` keeps all.
        fc_size: Outputs of fc6 where the backbone's weights hold none; `None` leaves the third part of the
            descriptor out, also where they hold one.
        fc_rank: See `Backbone.add_fc6`.

    Raises:
        InputError: If a value is out of its range.
    """

    features: str = "slim"
    view: Literal["search", "frame"] = "search"
    side: int = 224
    context: float = 3.0
    pools: int | None = None
    fc_size: int | None = 512
    fc_rank: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.view, ("search", "frame"), "view")
        if not 32 <= self.side <= 4096 or not 1 <= self.context <= 16:
            raise InputError(
                f"A view of {shorten(self.side)} pixels and {shorten(self.context)} times the target cannot be;"
                " give 32 to 4096 and 1 to 16."
            )
        if self.fc_rank is not None and self.fc_size is None:
            raise InputError("There is a rank for fc6 but no size; give fc_size too.")
        for what, value in (("fc_size", self.fc_size), ("fc_rank", self.fc_rank)):
            if value is not None and not 1 <= value <= 65_536:
                raise InputError(f"The value of {what} is {shorten(value)}; it must be 1 to 65536.")

    @classmethod
    def paper(cls, features: str = "vgg16") -> SintConfig:
        """The paper's: the frame warped to 512 x 512, no max pooling after the second, fc6 of 4096.

        AlexNet keeps none of its poolings, as SINT's smaller variant; other networks keep theirs.
        """
        return cls(features, "frame", 512, pools={"vgg16": 2, "alexnet": 0}.get(features), fc_size=4096)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SintConfig:
        """Read what `dataclasses.asdict` gave.

        Raises:
            InputError: If a key is unknown or a value of the wrong type.
        """
        keys = [field.name for field in fields(cls)]
        if unknown := sorted(set(record) - set(keys)):
            raise InputError(f"A SINT configuration has no '{unknown[0]}'; its keys are {', '.join(keys)}.")
        try:
            return cls(**record)
        except TypeError as error:
            raise InputError(f"The SINT configuration cannot be used ({error}).") from None


@dataclass(frozen=True)
class View:
    """The network's input: a frame or a region of it, resized.

    Attributes:
        image: `uint8[side, side, 3]`.
        origin: The frame's pixel (x, y) at the upper left corner.
        scale: Pixels of the view per pixel of the frame, (horizontal, vertical).
    """

    image: Image
    origin: tuple[float, float]
    scale: tuple[float, float]

    def corners(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes `(x, y, w, h)` of the frame, `[N, 4]`, as `(x1, y1, x2, y2)` in the view's pixels."""
        boxes = np.asarray(boxes, dtype=np.float64)
        low = (boxes[:, :2] - self.origin) * self.scale
        return np.concatenate([low, low + boxes[:, 2:] * self.scale], axis=1)

    def boxes(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `corners`."""
        low = corners[:, :2] / self.scale + self.origin
        return np.concatenate([low, (corners[:, 2:] - corners[:, :2]) / self.scale], axis=1)


def view_of(config: SintConfig, frame: Image, box: ArrayLike) -> View:
    """Cut and resize a frame by the configuration.

    Args:
        config: The configuration.
        frame: `uint8[H, W, 3]`.
        box: `(x, y, w, h)`, the centre of attention; must overlap the frame. What a search region takes from
            beyond the frame repeats the border's pixels.
    """
    height, width = frame.shape[:2]
    if config.view == "frame":
        warped = resize(frame, config.side, config.side)
        return View(warped, (0.0, 0.0), (config.side / width, config.side / height))
    x, y, w, h = np.asarray(box, dtype=np.float64)
    length = max(1, round(config.context * max(w, h)))
    left, top = math.floor(x + w / 2 - length / 2 + 0.5), math.floor(y + h / 2 - length / 2 + 0.5)
    region = crop(frame, (left, top, length, length), config.side)
    return View(region, (float(left), float(top)), (config.side / length, config.side / length))


def to_rois(corners: Sequence[NDArray[np.float64]], device: str | torch.device = "cpu") -> Tensor:
    """Corners `[N_i, 4]` of the boxes of each image of a batch, as `float32[sum of N_i, 5]` for the network."""
    rows = [np.insert(boxes, 0, index, axis=1) for index, boxes in enumerate(corners)]
    return torch.from_numpy(np.concatenate(rows).astype(np.float32)).to(device)


def sint_embedding(backbone: Backbone, images: Tensor, boxes: Tensor | None = None) -> Tensor:
    """SINT's descriptor f(x) of eq. 1, differentiable; see `Sint.forward` for the shapes."""
    maps = backbone.maps(images, backbone.sint_layers)
    return sint_descriptor(backbone, [backbone.pool(name, maps[name], boxes) for name in backbone.sint_layers])


def sint_descriptor(backbone: Backbone, pooled: list[Tensor]) -> Tensor:
    """SINT's descriptor of regions whose pooled maps `[R, C, grid, grid]` of `sint_layers` are there already."""
    parts = [part.flatten(1) for part in pooled]
    if backbone.fully_connected:
        parts.append(backbone.fc_outputs(pooled[-1], ["fc6"])["fc6"])
    return join_parts(parts)


def join_parts(parts: list[Tensor]) -> Tensor:
    """L2-normalise each `[N, D_i]`, concatenate, normalise again: `float32[N, sum of D_i]`."""
    unit = [functional.normalize(part.float()) for part in parts]
    return functional.normalize(torch.cat(unit, dim=1))


class Sint(nn.Module, HubModel):
    """The network f of eq. 1: a backbone, three L2-normalised parts of it, normalised again.

    A missing fc6 with random weights by the seed is put into the backbone, which `load_backbone` gave for
    `config.pools`, so that whatever takes a `Backbone` takes `sint.backbone`.

    Attributes:
        card: Card of the trained network (`save_sint`); empty where it was not loaded from one.
    """

    hub_title = "SINT, a Siamese network for visual tracking"
    hub_usage = """from tracker.models.sint import Sint

sint = Sint.from_pretrained("USER/NAME")
vectors = sint(images)  # [N, 3, H, W] in [0, 1] to unit vectors; the score of two is their inner product"""

    def __init__(self, config: SintConfig, backbone: Backbone, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.base = fingerprint(backbone)
        self.card: dict[str, Any] = {}
        self.backbone = backbone
        if config.fc_size is None:
            backbone.fully_connected = ()
        elif not backbone.fully_connected:
            backbone.add_fc6(config.fc_size, config.fc_rank, torch.Generator().manual_seed(seed))

    @classmethod
    def load(
        cls,
        config: SintConfig,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ) -> Sint:
        """Load the backbone too; the errors are those of `load_backbone`."""
        return cls(config, load_backbone(config.features, weights, device, config.pools), seed)

    def write_files(self, folder: Path) -> None:
        """Write all weights and the card by `save_sint`; the file needs no base weights."""
        card = {name: value for name, value in self.card.items() if name not in ("config", "base", "complete")}
        save_sint(folder, self, self.backbone.state_dict(), card)

    @classmethod
    def read_files(cls, folder: Path, **options: Any) -> Sint:
        """Load a folder by `load_sint`, whose options are `device`, `features` and `base_weights`."""
        return load_sint(folder, **options)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the configuration and the weights."""
        weights = fingerprint(self.backbone)
        return hashlib.sha256(f"{json.dumps(asdict(self.config))} {weights}".encode()).hexdigest()

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Describe images, or regions of them.

        Args:
            images: `[N, 3, H, W]` in [0, 1].
            boxes: `[R, 5]`: the index of the image, then `x1, y1, x2, y2` in its pixels. `None` takes each
                image whole.

        Returns:
            `float32[N or R, D]`, unit vectors; the score of two is their inner product.
        """
        return sint_embedding(self.backbone, images, boxes)


def save_sint(folder: Path, sint: Sint, trained: Iterable[str], card: dict[str, Any]) -> Path:
    """Write a trained network and its card, each whole or not at all.

    The slim net is written whole, in float16, as `slim.safetensors`, which `load_backbone("slim", file)` reads;
    of other networks `sint.safetensors` holds the trained parameters alone, in float32 (SINT moves convolutions
    by less than float16 can tell).

    Args:
        folder: Must exist.
        sint: The network.
        trained: Names of the backbone's parameters that differ from the weights that it started from; with all
            names of its state the file needs no base weights.
        card: Further fields of the card, as plain data.

    Returns:
        The file of the weights.

    Raises:
        InputError: If a weight is not finite; nothing is written.
        OSError: If the disk refuses.
    """
    state = sint.backbone.state_dict()
    if sint.config.features == "slim":
        file, state = folder / "slim.safetensors", {name: value.half() for name, value in state.items()}
    else:
        every = state.keys()
        file, state = folder / "sint.safetensors", {name: state[name].float() for name in trained}
        card = {**card, "complete": True} if state.keys() == every else card
    content = {
        "config": asdict(sint.config),
        "base": {"features": sint.config.features, "weights": sint.base},
        **card,
    }
    save_weights(file, state, _MARK)
    with replacing_file(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    return file


def trained_weights(weights: str | Path | None, base_weights: str | Path | None = None) -> Path | None:
    """Find the file of a trained network.

    Args:
        weights: A file or a folder that `save_sint` wrote; or the weights of a backbone (`load_backbone`).
        base_weights: Those of its training.

    Returns:
        The file for `load_sint`; `None` for the weights of a backbone.

    Raises:
        InputError: If a folder holds no trained network or two of them, the card beside a file is no JSON, or
            there are base weights of a backbone.
    """
    file = _trained_file(weights)
    if file is None and base_weights is not None:
        raise InputError(f"Base weights belong to a trained network, and '{weights}' is none; leave them out.")
    return file


def _trained_file(weights: str | Path | None) -> Path | None:
    if weights is None or not (file := Path(weights)).exists():
        return None
    if not file.is_file() and not file.is_dir():
        raise InputError(f"'{file}' is a pipe or a device; give a .safetensors file.")
    if file.is_dir():
        files = [file / name for name in ("sint.safetensors", "slim.safetensors") if (file / name).is_file()]
        if len(files) != 1:
            raise InputError(f"'{file}' holds {len(files)} trained networks; name one .safetensors file.")
        return files[0]
    return file if _is_marked(file) or "config" in (_read_card(file) or {}) else None


def _is_marked(file: Path) -> bool:
    if file.suffix != ".safetensors":
        return False
    try:
        with safe_open(file, "pt") as content:
            return bool((content.metadata() or {}).get("card") == _MARK["card"])
    except (SafetensorError, OSError):
        return False  # Reading the weights says what is wrong.


def _read_card(file: Path) -> dict[str, Any] | None:
    """The card beside weights, `None` where there is none."""
    card = file.with_suffix(".json")
    if not card.exists():
        return None
    with reading_errors(card, f"JSON, the card of '{file.name}'", "fetch it again"):
        content = json.loads(card.read_text("utf-8"))
    return content if isinstance(content, dict) else {}


def load_sint(
    path: str | Path,
    base_weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    features: str | None = None,
) -> Sint:
    """Load what `save_sint` wrote, ready for inference; the card beside the weights says what network they are.

    Args:
        path: The file of the weights, beside its card, or the folder that holds one such pair.
        base_weights: The weights that the training started from (`load_backbone`); not needed for the slim net,
            nor for a file that holds all weights.
        device: Where it runs.
        features: The backbone that is expected; `None` takes the card's.

    Raises:
        InputError: If a file is missing or corrupt, the card names another backbone than `features`, or the base
            weights are other ones.
    """
    file = trained_weights(path) or Path(path)
    card = file.with_suffix(".json")
    content = _read_card(file)
    if content is None:
        raise InputError(f"There is no '{card}' beside the weights; it says which network they are.")
    try:
        config = SintConfig.from_record(content["config"])
        base = content["base"]["weights"]
    except (KeyError, TypeError):
        raise InputError(f"'{card}' is no card of a trained SINT; train it again or fetch the file.") from None
    if features is not None and features != config.features:
        raise InputError(
            f"'{features}' is requested, but by its card '{file}' is of '{config.features}'; request that."
        )
    if config.features == "slim":
        if base_weights is not None:
            _check_base(file, base, fingerprint(load_backbone("slim", base_weights)), base_weights)
        sint = Sint.load(config, file, device)
        sint.base, sint.card = base, content
        return sint
    complete = bool(content.get("complete"))
    if base_weights is None and not complete:
        raise InputError(
            f"'{file}' holds what its training changed; give the base weights too: what it started from."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*starts from random weights")
        sint = Sint.load(config, "random" if base_weights is None else base_weights, device)
    if base_weights is not None:
        _check_base(file, base, sint.base, base_weights)
    state, own = load_weights(file), sint.backbone.state_dict()
    fits = state.keys() == own.keys() if complete else state.keys() <= own.keys()
    if not fits or any(own[name].shape != value.shape for name, value in state.items()):
        raise InputError(f"The weights in '{file}' are not those of the network in '{card.name}'.")
    sint.backbone.load_state_dict({**own, **state})
    sint.base, sint.card = base, content
    sint.requires_grad_(False)
    return sint.eval()


def _check_base(file: Path, expected: str, actual: str, base_weights: str | Path) -> None:
    if actual != expected:
        raise InputError(f"'{file}' was trained from other weights than '{base_weights}'; give those.")
