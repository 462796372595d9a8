"""Tracking with SINT: the candidate of each frame with the highest score against the target of the first."""

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
from ...errors import InputError, check_choice
from ...models.backbones import Precision, autocast, fingerprint, resolve_device, resolve_precision
from ...models.backbones.base import in_precision
from ...models.shipped import shipped_sint
from ...models.sint import Sint, View, sint_descriptor, to_rois, trained_weights, view_of
from .flow import carried_share, moved_pixels
from .lattice import Lattice, LatticeMatcher
from .regression import BoxRegression, regression_boxes
from .rings import RADIUS, RING_SCALES, ring_boxes

LEAST_SHARE = 0.25
"""Share of the last box's moved pixels that a candidate must hold under `motion="flow"` (SINT+)."""
BEST = 5
"""Candidates that the flow filter chooses from (SINT+)."""
SIZE_LIMITS = (0.2, 5.0)
"""Bounds of a box's sides relative to those of the first frame's box, as SiamFC has them."""
CHUNK = 64
"""Boxes that are pooled in one pass, which bounds the memory: 64 descriptors of VGG-16 are 13 MB."""

Candidates = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Boxes `[N, 4]` of the frame, the ranking by which one is chosen `[N]`, their scores `[N]`."""


@dataclass(frozen=True)
class TrackingSettings:
    """Candidates of a frame and the choice between them.

    Attributes:
        candidates: `rings`: SINT's, around the last centre, in sizes relative to the first frame's box.
            `lattice`: every shift by a bin (1/14 of the box) up to `reach`, in sizes relative to the last box.
        scales: The candidates' sizes.
        reach: Radius of the search in square roots of the target's area (`lattice`).
        least_reach: Least radius of the search in widths of the frame (`lattice`): the radius of SINT's rings.
        window: Penalty of the farthest candidate, by a cosine window (`lattice`), in units of the mean score drop
            of the candidates of the first frame.
        rescaling: Penalty of a candidate of another size, in the same units (`lattice`).
        inertia: Share of the last size in the new one (`lattice`), in [0, 1).
        motion: `flow` takes SINT+'s filter: of the five best candidates the best one that holds over a quarter of
            the pixels of the last box, moved by optical flow.
        regression: `ridge` refines the returned box (not the centre of the next search).
        keep: Number of candidates whose fc6 is compared (`lattice`).

    Raises:
        InputError: If a value is out of its range.
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
        check_choice(self.candidates, ("lattice", "rings"), "value of candidates")
        check_choice(self.motion, ("none", "flow"), "value of motion")
        check_choice(self.regression, ("none", "ridge"), "value of regression")
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
    """SINT as a tracker: one forward pass a frame, whose feature maps all candidates are pooled from.

    The exemplar is never updated. Where no candidate lies inside the frame, the last box is repeated.

    The network's weights are read at `init`, in every precision; they must not change while a target is followed.

    Args:
        sint: The network and its view of a frame.
        settings: Candidates and the choice between them.
        name: Name in result folders and tables.
        precision: Arithmetic of the network.

    Attributes:
        score: The cosine of the last box, in [-1, 1]; 1 after `init`.
        candidate_count: Number of candidates of the last frame.
    """

    def __init__(
        self,
        sint: Sint,
        settings: TrackingSettings | None = None,
        name: str = "sint",
        precision: Precision = "auto",
    ) -> None:
        self.name = name
        self.sint = sint
        self.settings = settings or TrackingSettings()
        self.device = next(sint.parameters()).device
        self.score = float("nan")
        self.candidate_count = 0
        self._dtype = resolve_precision(precision, self.device)
        self._backbone = in_precision(sint.backbone, self._dtype)
        self._bins = 2 * (sint.backbone.grid - 1) + sint.backbone.pool_window
        self._frame_size: tuple[int, int] | None = None
        self._last_image: NDArray[np.uint8] | None = None
        self._box = np.zeros(4)
        self._first_box = np.zeros(4)
        self._mean_drop = 1.0
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
            features: The network's name (`load_backbone`). The tracker's name is `sint-` and this, with `-` for
                `:` because names are folders; of a trained network the first 8 digits of `Sint.fingerprint`
                follow, and of `weights="random"` that word, so that their results do not mix.
            weights: The network's weights (`load_backbone`), or a file that `train-tracker` wrote: the card beside
                it gives the configuration.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: Arithmetic of the network.
            settings: By default the lattice; with networks other than the slim one also SINT+'s flow filter, which
                takes little time beside theirs.
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
        self._frame_size, self._last_image = (width, height), image
        self._box, self._first_box, self.score = first, first, 1.0
        view = view_of(self.sint.config, image, self._attended_box(width))
        maps = self._maps(view)
        self._matcher = self._regression = None
        if self.settings.candidates == "lattice":
            exemplar = self._lattice(view, width, (1.0,), 0.0)
            self._matcher = LatticeMatcher(self._backbone, maps, exemplar, self.settings.keep)
            scores = self._matcher.score(maps, self._lattice(view, width, (1.0,), self.settings.reach))
            self._mean_drop = max(1e-3, 1.0 - float(scores[torch.isfinite(scores)].mean()))
        else:
            self._exemplar = self._describe(maps, view, first[None])[0]
        if self.settings.regression == "ridge":
            boxes = regression_boxes(first, (width, height), 1000, np.random.default_rng(0))
            self._regression = BoxRegression(self._shallow(maps, view, boxes), boxes, first)

    def place(self, box: ArrayLike, size: tuple[int, int] | None = None) -> None:
        """Set the last box, so that the next search is around it.

        Args:
            box: `(x, y, w, h)`, 0-based pixels of a frame.
            size: Width and height of that frame; those of the first by default.

        Raises:
            InputError: If `init` was not called, or the box has no area or lies outside the frame.
        """
        width, height = self._first_frame_size()
        size = size or (width, height)
        placed = check_box(box, *size, "The box to look at")
        self._box = placed * np.array([width / size[0], height / size[1]] * 2)

    @torch.inference_mode()
    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Find the target in the next frame; see `Tracker.update`.

        A frame of another size than the first is scaled to that.

        Raises:
            InputError: If `init` was not called, or the image is none.
        """
        size = self._first_frame_size()
        image, scale = scaled_to(as_rgb(image), size)
        view = view_of(self.sint.config, image, self._attended_box(size[0]))
        maps = self._maps(view)
        candidates = self._score_rings if self._matcher is None else self._score_lattice
        boxes, ranking, scores = candidates(maps, view, size)
        result = self._box
        if len(boxes):
            best = self._choose(image, boxes, ranking)
            box, self.score = boxes[best], float(scores[best])
            if self._matcher is not None:
                box = _resized(box, self.settings.inertia * self._box[2:] + (1 - self.settings.inertia) * box[2:])
            self._box = result = self._limited(box, size)
            if self._regression is not None:
                refined = self._regression.refine(self._shallow(maps, view, result[None]), result[None])[0]
                result = self._limited(refined, size)
        if self.settings.motion == "flow":
            self._last_image = image.copy()
        return result * scale

    def _first_frame_size(self) -> tuple[int, int]:
        if self._frame_size is None:
            raise InputError("The tracker has no target yet; call init(image, box) first.")
        return self._frame_size

    def _choose(self, image: NDArray[np.uint8], boxes: NDArray[np.float64], ranking: NDArray[np.float64]) -> int:
        """The index of the best candidate, or of one of the best by `motion`."""
        best = int(ranking.argmax())
        if self.settings.motion == "none":
            return best
        assert self._last_image is not None
        reach = self.settings.reach * float(np.sqrt(self._box[2] * self._box[3]))
        points = moved_pixels(self._last_image, image, self._box, reach)
        order = np.argsort(-ranking)[:BEST]
        moved_along = order[carried_share(boxes[order], points) > LEAST_SHARE]
        return int(moved_along[0]) if len(moved_along) else best

    def _score_lattice(self, maps: dict[str, Tensor], view: View, frame_size: tuple[int, int]) -> Candidates:
        """The `BEST` local maxima of the lattice, each moved to the vertex of a parabola through its neighbours.

        A candidate's ranking is its score less the penalties of its distance and of its size.
        """
        assert self._matcher is not None
        settings = self.settings
        lattice = self._lattice(view, frame_size[0], settings.scales, settings.reach)
        scores = self._matcher.score(maps, lattice)
        self.candidate_count = scores.numel()
        row, column = (np.cos(np.pi / 2 * np.linspace(-1, 1, n)) ** 2 for n in (lattice.rows, lattice.columns))
        resized = np.array(settings.scales)[:, None, None] != 1.0
        penalty = settings.window * (1 - np.outer(row, column)) + settings.rescaling * resized
        ranking = scores - torch.from_numpy(self._mean_drop * penalty).to(scores)
        highest = functional.max_pool2d(ranking.amax(0)[None, None], 3, 1, 1)[0, 0]
        peaks = torch.nonzero((ranking == highest) & torch.isfinite(ranking))
        peaks = peaks[ranking[tuple(peaks.T)].argsort(descending=True)[:BEST]]
        corners = lattice.corners(peaks[:, 0].cpu().numpy(), *(_vertices(scores, peaks, axis) for axis in (1, 2)))
        ranked, scored = (values[tuple(peaks.T)].cpu().double().numpy() for values in (ranking, scores))
        return view.boxes(corners), ranked, scored

    def _score_rings(self, maps: dict[str, Tensor], view: View, frame_size: tuple[int, int]) -> Candidates:
        """All boxes of SINT's rings; their ranking is their score."""
        boxes = ring_boxes(_centre(self._box), self._first_box[2:], frame_size, self.settings.scales)
        self.candidate_count = len(boxes)
        if not len(boxes):
            return boxes, np.zeros(0), np.zeros(0)
        scores = (self._describe(maps, view, boxes) @ self._exemplar).cpu().double().numpy()
        return boxes, scores, scores

    def _attended_box(self, width: int) -> NDArray[np.float64]:
        """The square that the view is cut around: around the last box, and large enough for `least_reach`."""
        longer = self._box[2:].max()
        side = max(longer, (longer + 2 * self.settings.least_reach * width) / self.sint.config.context)
        return _resized(self._box, np.array([side, side]))

    def _lattice(self, view: View, width: int, scales: tuple[float, ...], reach: float) -> Lattice:
        """The lattice around the last box, in pixels of the view; a `reach` of 0 is the box alone."""
        corners = view.corners(self._box[None])[0]
        x, y = (corners[:2] + corners[2:]) / 2
        size = corners[2:] - corners[:2]
        pixels = reach * float(np.sqrt(size.prod()))
        if reach:
            pixels = max(pixels, self.settings.least_reach * width * view.scale[0])
        return Lattice.reaching((x, y), size, scales, pixels, self._bins)

    def _maps(self, view: View) -> dict[str, Tensor]:
        pixels = to_tensor(view.image, self.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self._dtype):
            return self._backbone.maps(pixels, self._backbone.sint_layers)

    def _describe(self, maps: dict[str, Tensor], view: View, boxes: NDArray[np.float64]) -> Tensor:
        """SINT's descriptors `[N, D]` of boxes of the frame."""
        backbone = self._backbone
        rois = to_rois([view.corners(boxes)], self.device)
        descriptors = []
        with autocast(self.device, self._dtype):
            for part in rois.split(CHUNK):
                pooled = [backbone.pool(name, maps[name], part) for name in backbone.sint_layers]
                descriptors.append(sint_descriptor(backbone, pooled))
        return torch.cat(descriptors)

    def _shallow(self, maps: dict[str, Tensor], view: View, boxes: NDArray[np.float64]) -> Tensor:
        """The features of box regression: the L2-normalised pooled map of the first of SINT's layers, `[N, D]`."""
        name = self._backbone.sint_layers[0]
        rois = to_rois([view.corners(boxes)], self.device)
        parts = [self._backbone.pool(name, maps[name], part).flatten(1).float() for part in rois.split(CHUNK)]
        return functional.normalize(torch.cat(parts))

    def _limited(self, box: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.float64]:
        """Clip the size to `SIZE_LIMITS`, and the centre to the pixels of the frame."""
        centre = np.clip(_centre(box), 0.5, np.array(frame_size) - 0.5)
        size = np.clip(box[2:], *(limit * self._first_box[2:] for limit in SIZE_LIMITS))
        return np.concatenate([centre - size / 2, size])


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return box[:2] + box[2:] / 2


def _resized(box: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box of another size around the same centre."""
    return np.concatenate([_centre(box) - size / 2, size])


def _vertices(scores: Tensor, peaks: Tensor, axis: int) -> NDArray[np.float64]:
    """Where parabolas through the peaks `int[N, 3]` and their neighbours along an axis are highest, `[N]`."""
    values = []
    for step in (-1, 0, 1):
        neighbours = peaks.clone()
        neighbours[:, axis] = (peaks[:, axis] + step).clamp(0, scores.shape[axis] - 1)
        values.append(scores[tuple(neighbours.T)].double())
    low, middle, high = values
    curvature = low - 2 * middle + high
    shift = torch.where(curvature < 0, (low - high) / (2 * curvature), torch.zeros_like(curvature))
    return (peaks[:, axis] + shift.nan_to_num(0.0, 0.0, 0.0).clamp(-0.5, 0.5)).cpu().numpy()
