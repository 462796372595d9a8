"""Hard positives and their records, from which each can be made again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from occlusion_env.scene.occluders import Occluder, occlude_image
from occlusion_env.scene.targets import Target, TargetSet
from tracker.data.images import write_png
from tracker.errors import InputError

from ..manifolds.target_samples import Manifolds
from ..policies.rollout import Rollout
from .views import CROP, View

Image = NDArray[np.uint8]

_SPLIT_KEYWORDS = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
_SEPARATORS = "-._ 0-9"
_MISREAD = (
    rf"(?:^|(?<=[{_SEPARATORS}]))(?=x*(?:{_SPLIT_KEYWORDS})(?:[{_SEPARATORS}]|$))",
    r"^(?=x*\.)",  # hidden
    r"^(?=x*(?:metadata\.jsonl|index\.html|settings\.json|prior\.json|prior\.safetensors)$)",
    r"(?<=:)(?=x*:)",  # separates chained addresses
)
"""Positions of a folder's name that get an `x`, so that `datasets` reads all images and columns of an imagefolder.

`datasets` takes images whose folder has a split's name (`data_files.SPLIT_KEYWORDS` between `NON_WORDS_CHARS`) for
that split, and then passes over all other images and `metadata.jsonl`. A name in which these patterns have an `x`
already gets one more, so that different videos have different folders.
"""


@dataclass(frozen=True)
class PatchEpisode:
    """The search for a patch.

    Attributes:
        boxes: Every visited box, in pixels of the target's frame, `float64[steps + 1, 4]`.
        episode: The search; its regions are these boxes, relative to the frame.
    """

    boxes: NDArray[np.float64]
    episode: Rollout

    def occluder(self, answer: Literal["best", "last"]) -> Occluder:
        """The patch with the lowest score, or the one where the search ended."""
        x, y, w, h = self.boxes[int(self.episode.scores.argmin()) if answer == "best" else -1].tolist()
        return Occluder("background", box=(x, y, w, h))


@dataclass(frozen=True)
class HardPositive:
    """One hard positive.

    Attributes:
        image: The occluded target as `view` shows it, `uint8[h, w, 3]`; by default its crop, at its own size.
        target: The unoccluded target, with its source.
        region: The covered region, `float64[4]`, relative to the target.
        occluder: Covers the region.
        patch: Image of the occluder, `uint8[64, 64, 3]`, before it is resized to the region.
        episode: The search for the region.
        searched_with: The occluder in that search.
        background: The search for the patch; `None` where there was none.
        score_before: The matcher's score of the unoccluded target.
        score_after: The matcher's score of the occluded crop.
        seed: Random seed.
        draw: Its number among those of the same target.
        view: The part of the frame that `image` shows.
    """

    image: Image
    target: Target
    region: NDArray[np.float64]
    occluder: Occluder
    patch: Image
    episode: Rollout
    searched_with: Occluder
    background: PatchEpisode | None
    score_before: float
    score_after: float
    seed: int = 0
    draw: int = 0
    view: View = CROP

    @property
    def box(self) -> NDArray[np.float64]:
        """The target's box in `image`; see `View.box`."""
        return self.view.box(self.target)

    def record(self) -> dict[str, Any]:
        """Everything but the pixels, as plain data with the same keys for every hard positive."""
        source, second = self.target.source, self.background
        return {
            "target": self.target.id,
            "source": {
                **asdict(source),
                "box": list(source.box),
                "code": None if source.code is None else list(source.code),
            },
            **self.view.record(self.target),
            "region": self.region.tolist(),
            "occluder": self.occluder.record(),
            "actions": list(self.episode.actions),
            "triggered": self.episode.triggered,
            "queries": self.episode.best.queries,
            "searched_with": self.searched_with.record(),
            "background": None
            if second is None
            else {
                "start": second.boxes[0].tolist(),
                "actions": list(second.episode.actions),
                "triggered": second.episode.triggered,
                "queries": second.episode.best.queries,
            },
            "score_before": round(self.score_before, 6),
            "score_after": round(self.score_after, 6),
            "seed": self.seed,
            "draw": self.draw,
        }


class HardPositives(tuple[HardPositive, ...]):
    """Hard positives, with their common values as arrays."""

    @property
    def images(self) -> list[Image]:
        """The images, of different sizes."""
        return [one.image for one in self]

    @property
    def boxes(self) -> NDArray[np.float64]:
        """The targets' boxes in the images, `[N, 4]`: `(x, y, w, h)` in pixels, 0-based."""
        return np.array([one.box for one in self]).reshape(-1, 4)

    @property
    def regions(self) -> NDArray[np.float64]:
        """The covered regions, `[N, 4]`, relative to the targets."""
        return np.array([one.region for one in self]).reshape(-1, 4)

    @property
    def scores_before(self) -> NDArray[np.float64]:
        """The matcher's scores of the unoccluded targets, `[N]`."""
        return np.array([one.score_before for one in self])

    @property
    def scores_after(self) -> NDArray[np.float64]:
        """The matcher's scores of the images, `[N]`."""
        return np.array([one.score_after for one in self])


def folder_name(video: str) -> str:
    """Return the name of the folder for a video's images, the same as the video's wherever `datasets` reads that.

    >>> folder_name("bolt"), folder_name("airplane-1"), folder_name("train-1"), folder_name("xtrain-1")
    ('bolt', 'airplane-1', 'xtrain-1', 'xxtrain-1')
    """
    for pattern in _MISREAD:
        video = re.sub(pattern, "x", video, flags=re.IGNORECASE)
    return video


def remake_hard_positive(
    record: Mapping[str, Any], targets: TargetSet, manifolds: Manifolds | None = None
) -> Image:
    """Make a hard positive again from its record.

    Args:
        record: Of `HardPositive.record`, or a line of `metadata.jsonl`.
        targets: Contains its target, and that of a cutout, by their ids; `TargetSet.from_sequence` of its video
            (with the frame, where that was more than half hidden), or the samples of its manifold.
        manifolds: For a target that was drawn from the manifold of its video when it was occluded.

    Returns:
        The image, pixel by pixel, `uint8[h, w, 3]`.

    Raises:
        InputError: If the record cannot be used or the target is not there.
    """
    try:
        name, region = str(record["target"]), np.array(record["region"], dtype=np.float64)
        occluder, view = Occluder.from_record(record["occluder"]), View.from_record(record)
        code = record["source"]["code"]
        if region.shape != (4,) or not np.isfinite(region).all() or not (region[2:] > 0).all():
            raise ValueError("region")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The record lacks or garbles {error}; give a line of metadata.jsonl.") from None
    if name not in (ids := targets.ids):
        raise InputError(f"There is no target '{name}' to make the hard positive of; give its video.")
    target = targets[ids.index(name)]
    if code is not None and target.source.code is None:
        if manifolds is None:
            raise InputError(f"'{name}' was drawn from a manifold; give the bank that holds it.")
        target = manifolds.decode(target, code)
    return view.show(target, occlude_image(target.crop, occluder.patch(target, targets), region))


def write_hard_positives(folder: Path, positives: Iterable[HardPositive]) -> int:
    """Write images and `metadata.jsonl`, which `datasets.load_dataset("imagefolder")` reads.

    Args:
        folder: A folder without hard positives; made where it does not exist.
        positives: The hard positives.

    Returns:
        Their number.

    Raises:
        FileExistsError: If the folder has a `metadata.jsonl`.
    """
    return write_images(folder, ((positive.image, positive.record()) for positive in positives))


def write_images(folder: Path, images: Iterable[tuple[Image, Mapping[str, Any]]]) -> int:
    """Write images with a record each; see `write_hard_positives`."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with (folder / "metadata.jsonl").open("x") as lines:
        for count, (image, record) in enumerate(images, 1):  # noqa: B007
            name = f"{count:06d}.png"
            write_png(folder / name, image)
            lines.write(json.dumps({"file_name": name, **record}) + "\n")
    return count
