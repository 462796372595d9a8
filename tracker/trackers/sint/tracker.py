"""Tracking with SINT: the candidate of each frame that looks most like the target of the first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from ...data.boxes import check_box
from ...data.images import as_rgb, scaled_to, to_tensor
from ...errors import InputError
from ...models.backbones import Precision, autocast, fingerprint, resolve_device, resolve_precision
from ...models.backbones.base import in_precision
from ...models.shipped import shipped_sint
from ...models.sint import Sint, View, sint_descriptor, to_rois, trained_weights, view_of
from .flow import carried_share, moved_pixels
from .lattice import Lattice, LatticeMatcher
from .regression import BoxRegression, regression_boxes
from .rings import RADIUS, RING_SCALES, ring_boxes

__all__ = ["SintTracker", "TrackingSettings"]

_LEAST_SHARE = 0.25
_BEST = 5
_CHUNK = 64


@dataclass(frozen=True)
class TrackingSettings:
    """How the target is looked for.

    Attributes:
        candidates: `rings`: SINT's, around the last centre, in sizes relative to the first frame's box.
            `lattice`: every shift by a bin (1/14 of the box) up to `reach`, in sizes relative to the last box.
        scales: The candidates' sizes.
        reach: How far the target may go from frame to frame, in square roots of its area (`lattice`).
        least_reach: How far a small target may go all the same, in widths of the frame (`lattice`): the radius
            of SINT's rings.
        window: What the farthest candidate loses against the nearest, by a cosine window (`lattice`); in units of
            what tells the target from its surroundings in the first frame.
        rescaling: What a candidate of another size loses, in the same units (`lattice`).
        inertia: Share of the last size in the new one (`lattice`), in [0, 1).
        motion: `flow` takes SINT+'s filter: of the five best candidates the best one that holds over a quarter of
            the pixels of the last box, moved by optical flow.
        regression: `ridge` refines the box that is given out (not the centre of the next search).
        keep: How many candidates have their fc6 compared (`lattice`).
    """

    candidates: Literal["lattice", "rings"] = "lattice"
    scales: tuple[float, ...] = (0.95, 1.0, 1.05)
    reach: float = 1.0
    window: float = 0.1
    rescaling: float = 0.03
    inertia: float = 0.6
    least_reach: float = RADIUS
    motion: Literal["none", "flow"] = "none"
    regression: Literal["none", "ridge"] = "none"
    keep: int = 64

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: If a value is out of its range.
        """
        for what, value, known in (
            ("candidates", self.candidates, ("lattice", "rings")),
            ("motion", self.motion, ("none", "flow")),
            ("regression", self.regression, ("none", "ridge")),
        ):
            if value not in known:
                raise InputError(f"'{value}' is no value of {what}; choose {' or '.join(known)}.")
        if not self.scales or min(self.scales) <= 0:
            raise InputError("The candidates' sizes must be above 0; give at least one.")
        if not (
            self.reach > 0
            and self.least_reach >= 0
            and self.window >= 0
            and 0 <= self.inertia < 1
            and self.keep >= 1
        ):
            raise InputError(
                "The search needs reach > 0, least_reach >= 0, window >= 0, 0 <= inertia < 1 and keep >= 1."
            )

    @classmethod
    def paper(cls) -> TrackingSettings:
        """SINT+'s: rings, three sizes of the first frame's box, the flow filter and box regression."""
        return cls("rings", RING_SCALES, motion="flow", regression="ridge")


class SintTracker:
    """SINT as a tracker: one forward pass a frame, then every candidate is read off its feature maps.

    It never updates the exemplar. Where no candidate lies inside the frame it repeats its last box.

    The network's weights are read at `init`, in every precision. A change of them counts from the next `init` on;
    they must not change while a target is followed.

    Args:
        sint: The network and the way it is shown a frame.
        settings: How the target is looked for.
        name: What tables call it.
        precision: Arithmetic of the network.

    Attributes:
        score: The cosine of the last box, in [-1, 1]; 1 after `init`.
        looked_at: How many candidates the last frame had.
    """

    def __init__(
        self,
        sint: Sint,
        settings: TrackingSettings | None = None,
        name: str = "sint",
        precision: Precision = "auto",
    ) -> None:
        """See the class."""
        self.name = name
        self.sint = sint
        self.settings = settings or TrackingSettings()
        self.device = next(sint.parameters()).device
        self.score = float("nan")
        self.looked_at = 0
        self._dtype = resolve_precision(precision, self.device)
        self._backbone = in_precision(sint.backbone, self._dtype)
        self._bins = 2 * (sint.backbone.grid - 1) + sint.backbone.pool_window
        self._image: NDArray[np.uint8] | None = None
        self._box = np.zeros(4)
        self._first = np.zeros(4)
        self._unit = 1.0
        self._matcher: LatticeMatcher | None = None
        self._exemplar = torch.empty(0)
        self._regression: BoxRegression | None = None

    @classmethod
    def load(
        cls,
        features: str = "slim",
        weights: str | Path | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        settings: TrackingSettings | None = None,
        base_weights: str | Path | None = None,
    ) -> SintTracker:
        """Load a tracker.

        Args:
            features: The network's name (`load_backbone`). The tracker is called `sint-` and this, with `-` for
                `:` because names are folders; of a trained network the first 8 digits of `Sint.fingerprint`
                follow, and of `weights="random"` that word, so that each has results of its own.
            weights: The network's weights (`load_backbone`), or what `train-tracker` wrote: the card beside it
                gives the configuration.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: Arithmetic of the network.
            settings: How the target is looked for; by default the lattice, and with networks other than the slim
                one, whose time it hardly adds to, SINT+'s flow filter.
            base_weights: Initial weights of the training that wrote `weights`; not needed for the slim net.

        Raises:
            InputError: If one of them is unknown, missing or corrupt, or the card names another network than
                `features`.
        """
        sint = shipped_sint(features, weights, resolve_device(device), base_weights)
        name = f"sint-{features}".replace(":", "-")
        if trained_weights(weights):
            name = f"{name}-{sint.fingerprint()[:8]}"
        elif weights == "random":
            name = f"{name}-random"
        default = TrackingSettings(motion="none" if features == "slim" else "flow")
        return cls(sint, settings or default, name, precision)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that changes the boxes; see `Tracker`."""
        return {
            "settings": asdict(self.settings),
            "network": asdict(self.sint.config),
            "weights": fingerprint(self.sint),
            "precision": str(self._dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        """Take the target; see `Tracker.init`.

        Raises:
            InputError: If the image is none, or the box has no area or lies outside it.
        """
        image = as_rgb(image).copy()
        if self._backbone is not self.sint.backbone:
            self._backbone.load_state_dict(self.sint.backbone.state_dict())
        height, width = image.shape[:2]
        first = check_box(box, width, height, "The box of the first frame").copy()
        self._image, self._box, self._first, self.score = image, first, first, 1.0
        view = view_of(self.sint.config, image, self._attention(width))
        maps = self._maps(view)
        self._matcher = self._regression = None
        if self.settings.candidates == "lattice":
            alone = self._lattice(view, (1.0,), 0.0)
            self._matcher = LatticeMatcher(self._backbone, maps, alone, self.settings.keep)
            around = self._matcher.score(maps, self._lattice(view, (1.0,), self.settings.reach))
            known = around[torch.isfinite(around)]
            self._unit = max(1e-3, 1.0 - float(known.mean()))
        else:
            self._exemplar = self._describe(maps, view, first[None])[0]
        if self.settings.regression == "ridge":
            boxes = regression_boxes(first, (width, height), 1000, np.random.default_rng(0))
            self._regression = BoxRegression(self._shallow(maps, view, boxes), boxes, first)

    def place(self, box: ArrayLike, size: tuple[int, int] | None = None) -> None:
        """Take a box for the last one that was found, so that the next search is around it.

        Args:
            box: `(x, y, w, h)`, 0-based pixels of a frame.
            size: Width and height of that frame; those of the first by default.

        Raises:
            InputError: If `init` was not called, or the box has no area or lies outside the frame.
        """
        if self._image is None:
            raise InputError("The tracker has no target yet; call init(image, box) first.")
        height, width = self._image.shape[:2]
        size = size or (width, height)
        given = check_box(box, *size, "The box to look at")
        self._box = given * np.array([width / size[0], height / size[1]] * 2)

    @torch.inference_mode()
    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the target in the next frame; see `Tracker.update`.

        A frame of another size than the first is scaled to that.

        Raises:
            InputError: If `init` was not called, or the image is none.
        """
        if self._image is None:
            raise InputError("The tracker has no target yet; call init(image, box) first.")
        image, scale = scaled_to(as_rgb(image), self._image.shape[1::-1])
        view = view_of(self.sint.config, image, self._attention(image.shape[1]))
        maps = self._maps(view)
        boxes, ranking, scores = (self._on_lattice if self._matcher else self._on_rings)(maps, view)
        given = self._box
        if len(boxes):
            chosen = self._choose(image, boxes, ranking)
            found, self.score = boxes[chosen], float(scores[chosen])
            if self._matcher:
                size = self.settings.inertia * self._box[2:] + (1 - self.settings.inertia) * found[2:]
                found = np.concatenate([found[:2] + (found[2:] - size) / 2, size])
            self._box = given = self._inside(found)
            if self._regression is not None:
                refined = self._regression.refine(self._shallow(maps, view, given[None]), given[None])[0]
                given = self._inside(refined)
        self._image = image.copy() if self.settings.motion == "flow" else self._image
        return given * scale

    def _choose(self, image: NDArray[np.uint8], boxes: NDArray[np.float64], ranking: NDArray[np.float64]) -> int:
        """The best candidate, or by `motion` one of the best."""
        best = int(ranking.argmax())
        if self.settings.motion == "none":
            return best
        assert self._image is not None
        reach = self.settings.reach * float(np.sqrt(self._box[2] * self._box[3]))
        points = moved_pixels(self._image, image, self._box, reach)
        order = np.argsort(-ranking)[:_BEST]
        kept = order[carried_share(boxes[order], points) > _LEAST_SHARE]
        return int(kept[0]) if len(kept) else best

    def _on_lattice(
        self, maps: dict[str, Tensor], view: View
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The lattice's local maxima as boxes of the frame, with their ranking and their scores."""
        assert self._matcher is not None
        settings = self.settings
        lattice = self._lattice(view, settings.scales, settings.reach)
        scores = self._matcher.score(maps, lattice)
        self.looked_at = scores.numel()
        column, row = (np.linspace(-1, 1, count) for count in (lattice.columns, lattice.rows))
        window = np.outer(np.cos(np.pi / 2 * row) ** 2, np.cos(np.pi / 2 * column) ** 2)
        change = np.array(settings.scales) != 1.0
        loss = settings.window * (1 - window[None]) + settings.rescaling * change[:, None, None]
        ranking = scores - torch.from_numpy(self._unit * loss).to(scores)
        highest = functional.max_pool2d(ranking.amax(0)[None, None], 3, 1, 1)[0, 0]
        peaks = torch.nonzero((ranking == highest) & torch.isfinite(ranking))
        at = tuple(peaks.T)
        order = ranking[at].argsort(descending=True)[:_BEST]
        peaks = peaks[order]
        rows, columns = _between(scores, peaks)
        scale = peaks[:, 0].cpu().numpy()
        corners = lattice.corners(scale, rows, columns)
        found = ranking[tuple(peaks.T)], scores[tuple(peaks.T)]
        ranked, scored = (value.cpu().double().numpy() for value in found)
        return _to_frame(view, corners), ranked, scored

    def _on_rings(
        self, maps: dict[str, Tensor], view: View
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        assert self._image is not None
        height, width = self._image.shape[:2]
        centre = self._box[:2] + self._box[2:] / 2
        boxes = ring_boxes(centre, self._first[2:], (width, height), self.settings.scales)
        self.looked_at = len(boxes)
        if not len(boxes):
            return boxes, np.zeros(0), np.zeros(0)
        scores = (self._describe(maps, view, boxes) @ self._exemplar).cpu().double().numpy()
        return boxes, scores, scores

    def _attention(self, width: int) -> NDArray[np.float64]:
        """The square to show the network: around the last box, and large enough for `least_reach`."""
        longer = self._box[2:].max()
        needed = (longer + 2 * self.settings.least_reach * width) / self.sint.config.context
        side = max(longer, needed)
        return np.concatenate([self._box[:2] + (self._box[2:] - side) / 2, [side, side]])

    def _lattice(self, view: View, scales: tuple[float, ...], reach: float) -> Lattice:
        corners = view.corners(self._box[None])[0]
        size = corners[2:] - corners[:2]
        centre = ((corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2)
        assert self._image is not None
        pixels = reach * float(np.sqrt(size.prod()))
        if reach:
            pixels = max(pixels, self.settings.least_reach * self._image.shape[1] * view.scale[0])
        return Lattice.reaching(centre, size, scales, pixels, self._bins)

    def _maps(self, view: View) -> dict[str, Tensor]:
        pixels = to_tensor(view.image, self.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self._dtype):
            return self._backbone.maps(pixels, self._backbone.sint_layers)

    def _describe(self, maps: dict[str, Tensor], view: View, boxes: NDArray[np.float64]) -> Tensor:
        """SINT's descriptors `[N, D]` of boxes of the frame."""
        backbone = self._backbone
        rois = to_rois([view.corners(boxes)], self.device)
        found = []
        with autocast(self.device, self._dtype):
            for part in rois.split(_CHUNK):
                pooled = [backbone.pool(name, maps[name], part) for name in backbone.sint_layers]
                found.append(sint_descriptor(backbone, pooled))
        return torch.cat(found)

    def _shallow(self, maps: dict[str, Tensor], view: View, boxes: NDArray[np.float64]) -> Tensor:
        """The L2-normalised pooled map of the first of SINT's layers, `[N, D]`: what box regression reads."""
        name = self._backbone.sint_layers[0]
        rois = to_rois([view.corners(boxes)], self.device)
        parts = [self._backbone.pool(name, maps[name], part).flatten(1).float() for part in rois.split(_CHUNK)]
        return functional.normalize(torch.cat(parts))

    def _inside(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keep the size between a fifth and five times the first, and the centre inside the frame."""
        assert self._image is not None
        frame = np.array(self._image.shape[1::-1], dtype=np.float64)
        centre = np.clip(box[:2] + box[2:] / 2, 0.5, frame - 0.5)
        size = np.clip(box[2:], self._first[2:] / 5, self._first[2:] * 5)
        return np.concatenate([centre - size / 2, size])


def _between(scores: Tensor, peaks: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the vertices of the parabolas through each peak and its neighbours."""
    found = []
    for axis in (1, 2):
        at = peaks[:, axis]
        values = []
        for step in (-1, 0, 1):
            moved = peaks.clone()
            moved[:, axis] = (at + step).clamp(0, scores.shape[axis] - 1)
            values.append(scores[tuple(moved.T)].double())
        low, here, high = values
        bend = low - 2 * here + high
        shift = torch.where(bend < 0, (low - high) / (2 * bend), torch.zeros_like(bend))
        found.append((at + shift.nan_to_num(0.0, 0.0, 0.0).clamp(-0.5, 0.5)).cpu().numpy())
    return found[0], found[1]


def _to_frame(view: View, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `View.corners`."""
    low = corners[:, :2] / view.scale + view.origin
    return np.concatenate([low, (corners[:, 2:] - corners[:, :2]) / view.scale], axis=1)
