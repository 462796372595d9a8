"""Training videos made by pasting targets into other videos: more backgrounds than a few videos hold.

As in Crop-Transform-Paste (Li et al. 2021, arXiv 2106.10900) a target is cut out, transformed and pasted into
frames of another video, where its box is known exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ..errors import InputError
from .images import Image, crop, paste, resize
from .sequences import Frames, Sequence

ROTATION = 15.0
"""Largest rotation of a pasted target, in degrees."""
SCALES = (0.7, 1.4)
"""Least and largest side of a pasted target, as a multiple of its side."""
SHADES = (0.75, 1.25)
"""Least and largest factor of its brightness and of its contrast."""
LARGEST = 0.5
"""Largest side of a pasted target, as a share of the frame's."""


class PastedFrames(Frames):
    """Frames of a video with the target of another one pasted in.

    Args:
        source: The target's video.
        background: The other video.
        count: Number of frames.
        rng: Draws frames, places and transformations.

    Attributes:
        boxes: `float64[count, 4]`, the pasted targets, `(x, y, w, h)` in whole pixels.
    """

    def __init__(self, source: Sequence, background: Sequence, count: int, rng: np.random.Generator) -> None:
        self._source, self._background = source, background
        self._targets = rng.choice(source.present, count)
        self._frames = rng.integers(len(background.frames), size=count)
        self._angles = rng.uniform(-ROTATION, ROTATION, count)
        self._shades = rng.uniform(*SHADES, (count, 2))
        self._mirrored = rng.random(count) < 0.5
        sizes = np.array([background.frames.size(int(t)) for t in self._frames], dtype=np.float64)
        sides = source.boxes[self._targets, 2:] * rng.uniform(*SCALES, (count, 1))
        shrink = np.minimum(1, LARGEST * (sizes / sides).min(axis=1, keepdims=True))
        sides = np.maximum(1, np.floor(sides * shrink))
        self.boxes = np.concatenate([np.floor(rng.random((count, 2)) * (sizes - sides)), sides], axis=1)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int, /) -> Image:
        frame = self._background.frames[int(self._frames[index])]
        return paste(frame, self._target(index), self.boxes[index])

    def size(self, index: int, /) -> tuple[int, int]:
        """Return the width and the height of a frame."""
        return self._background.frames.size(int(self._frames[index]))

    def _target(self, index: int) -> Image:
        """The transformed target, at its size in the frame."""
        t = int(self._targets[index])
        width, height = self.boxes[index, 2:].astype(int).tolist()
        target = resize(crop(self._source.frames[t], self._source.boxes[t]), width, height)
        rotation = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), self._angles[index], 1.0)
        target = cv2.warpAffine(target, rotation, (width, height), borderMode=cv2.BORDER_REFLECT)  # type: ignore[assignment]
        brightness, contrast = self._shades[index]
        shaded = (target - target.mean()) * contrast + target.mean() * brightness
        shown = np.clip(shaded, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(shown[:, ::-1]) if self._mirrored[index] else shown


def paste_across(videos: Iterable[Sequence], count: int, frames: int = 120, seed: int = 0) -> list[Sequence]:
    """Make videos that show the targets of videos in front of frames of the others.

    Args:
        videos: At least two, unless `count` is 0.
        count: Number of new videos; the targets are taken in turn.
        frames: Frames of a new video.
        seed: Seed of all draws.

    Returns:
        Sequences `pasted-0`, `pasted-1`, ... with exact boxes.

    Raises:
        InputError: If there are fewer than two videos.
    """
    known = list(videos)
    if count and len(known) < 2:
        raise InputError(
            f"Targets are pasted into other training videos, and there is {len(known)} to train on; give two or"
            " more, or make no pasted videos."
        )
    found = []
    for number in range(count):
        rng = np.random.default_rng([seed, 17, number])
        source = known[number % len(known)]
        background = known[(number + int(rng.integers(1, len(known)))) % len(known)]
        pasted = PastedFrames(source, background, frames, rng)
        name, shown = f"pasted-{number}", np.ones(frames)
        found.append(Sequence(name, pasted, pasted.boxes, shown, source.origin, "exact"))
    return found
