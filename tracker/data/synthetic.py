"""A rendered video with exact boxes: something to try everything on without any data or network.

Pictures are cut up: one gives the background, a piece of another is the target, and pieces of a third now and
then pass in front of it. They are photographs that scikit-image ships inside its wheel, or drawings of this
package's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .drawings import DRAWINGS
from .images import resize
from .sequences import ArrayFrames, Sequence

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
Clock = Callable[[float], float]

TARGETS: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "astronaut": ((150, 10, 158, 185), (133, 342, 82, 84)),
    "chelsea": ((45, 0, 330, 290),),
    "coffee": ((74, 10, 410, 384),),
    "motorcycle": ((508, 266, 180, 188),),
}
"""Ovals that hold one thing each (face, mission patch; cat; cup; wheel), as `(x, y, w, h)` there."""

BACKGROUNDS = ("motorcycle", "coffee", "rocket", "grass", "gravel", "brick")
OCCLUDERS = ("grass", "brick", "coffee", "motorcycle", "gravel", "astronaut", "immunohistochemistry")
TINTS = {"grass": (0.8, 0.95, 0.6), "gravel": (1.05, 1.0, 0.92), "brick": (1.3, 0.85, 0.7)}
"""Colours for the photographs that are grey."""


@dataclass(frozen=True)
class Material:
    """What a video is cut out of.

    Attributes:
        picture: Gives a picture by its name, `uint8[h, w, 3]`.
        targets: By name, the places of the things that a picture holds, as `(x, y, w, h)` there.
        roundness: Of a target's outline: 2 is an oval, more is nearer to a rectangle.
        backgrounds: Names of pictures.
        occluders: Names of pictures.
    """

    picture: Callable[[str], NDArray[np.uint8]]
    targets: dict[str, tuple[tuple[int, int, int, int], ...]]
    roundness: float
    backgrounds: tuple[str, ...]
    occluders: tuple[str, ...]


CYCLE = 90.0
"""Frames after which the slow motions repeat."""

EVENT_EVERY = 30
"""Frames from one occlusion to the next; an occluder is in the picture for less than that."""

WIDEST_OCCLUDER = 0.66
"""Width of an occluder as a share of the target's least side: a bar of that width hides at most 77 % of an
oval."""

MAX_SUBFRAMES = 8
"""Renderings of an exposure at most, one every 1.5 pixels of motion: more cost time and hardly differ."""


def synthetic_sequence(
    seed: int = 0, frames: int = 90, width: int = 320, height: int = 240, material: str = "photographs"
) -> Sequence:
    """Render a video of one target that moves, turns, grows, blurs, changes its light, and is occluded.

    The target is wholly visible and sharp in frame 0 and never leaves the picture. About every 30 frames
    something passes in front of it. A shorter video is the beginning of a longer one with the same seed.

    Args:
        seed: Which video; the same seed gives the same bytes.
        frames: Number of frames.
        width: Width of a frame in pixels, at least 64.
        height: Height of a frame in pixels, at least 64.
        material: What it is cut out of: `photographs`, or `drawings`, which are this package's own.

    Returns:
        The sequence, in memory. Its boxes are the bounds of the target's outline in the middle of the
        exposure, whether or not something hides it; its visibilities, in [0.2, 1], are the share of the
        target's pixels that nothing hides.

    Raises:
        InputError: If `seed` is negative, `frames` is below 1, the picture is too small or the material unknown.
    """
    if seed < 0:
        raise InputError(f"The seed is {seed}; it must be at least 0.")
    if frames < 1:
        raise InputError(f"The number of frames is {frames}; it must be at least 1.")
    if min(width, height) < 64:
        raise InputError(f"The picture of {width} x {height} pixels is too small; give at least 64 x 64.")
    if material not in MATERIALS:
        raise InputError(f"'{material}' is no material; choose {', '.join(MATERIALS)}.")
    scene = _Scene.make(seed, frames, width, height, MATERIALS[material])
    name = "synthetic" if material == "photographs" else "drawn"
    images, boxes, visibility = [], [], []
    for t in range(frames):
        image, visible_share = scene.render(t)
        images.append(image)
        boxes.append(scene.target.bounds(t))
        visibility.append(visible_share)
    return Sequence(
        name=f"{name}-{seed}",
        frames=ArrayFrames(images),
        boxes=np.array(boxes),
        visibility=np.array(visibility),
        origin=f"{name}:{seed}",
        box_source="exact",
    )


@dataclass(frozen=True)
class _Sprite:
    """A flat piece of a picture that moves: its own square is [-1, 1] x [-1, 1]."""

    picture: Array
    alpha: Array
    pose: Callable[[float], Matrix]
    roundness: float

    def centre(self, t: float) -> Matrix:
        matrix = self.pose(t)
        return matrix[:2, 2] / matrix[2, 2]

    def bounds(self, t: float) -> Matrix:
        """Box of the outline, which touches the sides of the square."""
        angle = np.linspace(0, 2 * math.pi, 720, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)])
        points = _project(self.pose(t), np.sign(circle) * np.abs(circle) ** (2 / self.roundness))
        low, high = points.min(axis=1), points.max(axis=1)
        return np.concatenate([low, high - low])

    def square(self, t: float) -> tuple[int, int, int, int]:
        """Whole pixels around the square: left, top, right, bottom."""
        corners = _project(self.pose(t), np.array([[-1.0, 1, 1, -1], [-1, -1, 1, 1]]))
        left, top = (int(value) for value in np.floor(corners.min(axis=1)) - 1)
        right, bottom = (int(value) for value in np.ceil(corners.max(axis=1)) + 1)
        return left, top, right, bottom

    def in_view(self, t: float, width: int, height: int) -> bool:
        left, top, right, bottom = self.square(t)
        return left < width and right > 0 and top < height and bottom > 0

    def draw(self, t: float, width: int, height: int) -> tuple[tuple[slice, slice], Array, Array, float]:
        """Where it falls in the picture, its colours and opacities there, and all its opacity summed."""
        left, top, right, bottom = self.square(t)
        x0, x1, y0, y1 = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        rows, columns = self.alpha.shape
        to_square = np.array([[2 / columns, 0, 1 / columns - 1], [0, 2 / rows, 1 / rows - 1], [0, 0, 1]])
        to_patch = np.array([[1, 0, -left - 0.5], [0, 1, -top - 0.5], [0, 0, 1]])
        matrix, size = to_patch @ self.pose(t) @ to_square, (right - left, bottom - top)
        colours: Array = np.asarray(
            cv2.warpPerspective(self.picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
        alpha: Array = np.asarray(cv2.warpPerspective(self.alpha, matrix, size), np.float32)
        inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        return (
            (slice(y0, y1), slice(x0, x1)),
            colours[inside],
            alpha[inside],
            float(alpha.sum(dtype=np.float64)),
        )


@dataclass(frozen=True)
class _Scene:
    """Everything that a frame is rendered from."""

    seed: int
    width: int
    height: int
    backdrop: Array
    view: Callable[[float], Matrix]
    target: _Sprite
    occluders: tuple[_Sprite, ...]
    shutter: Clock
    gain: Callable[[float], Array]
    bias: Clock

    @classmethod
    def make(cls, seed: int, frames: int, width: int, height: int, material: Material) -> _Scene:
        rng = np.random.default_rng([seed, 0])
        source = str(rng.choice(list(material.targets)))
        place = str(rng.choice([name for name in material.backgrounds if name != source]))
        target = _make_target(rng, material, source, width, height)
        backdrop, view = _make_backdrop(rng, material.picture(place), width, height)
        passing = [name for name in material.occluders if name not in (source, place)]
        exposure, level, shade = _wave(rng, 2.2), _wave(rng, 1.3), _wave(rng, 1.4)
        casts = [_wave(rng, 0.8) for _ in range(3)]
        return cls(
            seed=seed,
            width=width,
            height=height,
            backdrop=backdrop,
            view=view,
            target=target,
            occluders=tuple(
                _make_occluder(
                    np.random.default_rng([seed, 2, event]), event, target, material, place, passing, width, height
                )
                for event in range(math.ceil(frames / EVENT_EVERY))
            ),
            shutter=lambda t: (0.6 + 0.4 * exposure(t)) * min(1.0, t / 4),
            gain=lambda t: np.array([math.exp(0.22 * shade(t) + 0.05 * cast(t)) for cast in casts], np.float32),
            bias=lambda t: 8 * level(t),
        )

    def render(self, t: int) -> tuple[NDArray[np.uint8], float]:
        """The frame, and the visible share of the target."""
        size = (self.width, self.height)
        still = cv2.warpAffine(self.backdrop, self.view(t)[:2], size, borderMode=cv2.BORDER_REFLECT_101)
        total = np.zeros_like(still)
        visible = total_alpha = 0.0
        moments = self._moments(t)
        for moment in moments:
            canvas = still.copy()
            target_alpha = np.zeros(canvas.shape[:2], np.float32)
            for sprite in (self.target, *self.occluders):
                if not sprite.in_view(moment, self.width, self.height):
                    continue
                where, colours, alpha, everywhere = sprite.draw(moment, self.width, self.height)
                canvas[where] += (colours - canvas[where]) * alpha[..., None]
                if sprite is self.target:
                    target_alpha[where] = alpha
                    total_alpha += everywhere
                else:
                    target_alpha[where] *= 1 - alpha
            total += canvas
            visible += float(target_alpha.sum(dtype=np.float64))
        noise = np.random.default_rng([self.seed, 1, t]).standard_normal(total.shape, dtype=np.float32)
        image = total / len(moments) * self.gain(t) + np.float32(self.bias(t)) + 2 * noise
        return np.clip(np.rint(image), 0, 255).astype(np.uint8), min(1.0, visible / total_alpha)

    def _moments(self, t: int) -> NDArray[np.float64]:
        """Moments of the exposure, close enough together to blur without steps."""
        open_for = self.shutter(t)
        moved = [
            float(np.abs(sprite.centre(t + open_for / 2) - sprite.centre(t - open_for / 2)).max())
            for sprite in (self.target, *self.occluders)
            if sprite.in_view(t, self.width, self.height)
        ]
        count = int(np.clip(math.ceil(max(moved) / 1.5), 1, MAX_SUBFRAMES))
        return t + open_for * ((np.arange(count) + 0.5) / count - 0.5)


def _make_target(rng: np.random.Generator, material: Material, source: str, width: int, height: int) -> _Sprite:
    x, y, w, h = material.targets[source][int(rng.integers(len(material.targets[source])))]
    side = 0.3 * min(width, height)
    half = 0.5 * side * np.array([math.sqrt(w / h), math.sqrt(h / w)])
    across, down, size, roll, yaw, pitch = (_wave(rng, rate) for rate in (1.2, 0.9, 1.1, 0.9, 1.3, 1.0))
    largest = float(half.max()) * math.exp(0.25) * 1.2
    reach = np.array([width, height]) / 2 - largest
    distance = 5 * side

    def pose(t: float) -> Matrix:
        turn = _rotation(math.radians(12) * roll(t), math.radians(30) * yaw(t), math.radians(20) * pitch(t))
        scaled = math.exp(0.25 * size(t)) * half
        centre = np.array([width, height]) / 2 + reach * [across(t), down(t)]
        plane = np.column_stack([turn[:, 0] * scaled[0], turn[:, 1] * scaled[1], [0, 0, distance]])
        return np.array([[distance, 0, centre[0]], [0, distance, centre[1]], [0, 0, 1]]) @ plane

    piece = material.picture(source)[y : y + h, x : x + w]
    return _sprite(piece, 2.6 * half, material.roundness, pose)


def _make_occluder(
    rng: np.random.Generator,
    event: int,
    target: _Sprite,
    material: Material,
    place: str,
    passing: list[str],
    width: int,
    height: int,
) -> _Sprite:
    """Something that crosses the picture and is slowest where it meets the target."""
    picture = material.picture(str(rng.choice(passing)) if rng.random() < 0.75 else place)
    life = EVENT_EVERY / 2 - 1
    meeting = EVENT_EVERY * event + 18 + rng.uniform(-2, 2)
    least = min(float(target.bounds(t)[2:].min()) for t in np.linspace(meeting - life, meeting + life, 15))
    half = 0.5 * least * np.array([rng.uniform(0.46, WIDEST_OCCLUDER), rng.uniform(0.9, 1.7)])
    place_met = target.centre(meeting) + least * rng.uniform(-0.12, 0.12, 2)
    heading, angle, spin = rng.uniform(0, 2 * math.pi), rng.uniform(0, math.pi), rng.uniform(-0.02, 0.02)
    slow = least / 9
    hurry = (math.hypot(width, height) + 2 * float(half.max()) - slow * life) / life**3

    def pose(t: float) -> Matrix:
        since = t - meeting
        centre = place_met + (slow * since + hurry * since**3) * np.array([math.cos(heading), math.sin(heading)])
        c, s = math.cos(angle + spin * since), math.sin(angle + spin * since)
        return np.array([[c * half[0], -s * half[1], centre[0]], [s * half[0], c * half[1], centre[1]], [0, 0, 1]])

    rows, columns = picture.shape[:2]
    tall = int(0.6 * min(rows, columns))
    wide = max(8, int(tall * half[0] / half[1]))
    y, x = int(rng.integers(rows - tall)), int(rng.integers(columns - wide))
    return _sprite(picture[y : y + tall, x : x + wide], 2.4 * half, float(rng.choice([2.0, 6.0])), pose)


def _make_backdrop(
    rng: np.random.Generator, picture: NDArray[np.uint8], width: int, height: int
) -> tuple[Array, Callable[[float], Matrix]]:
    """The background, larger than the picture, and how the camera sees it."""
    rows, columns = picture.shape[:2]
    scale = 1.25 * max(width / columns, height / rows)
    backdrop = resize(picture, math.ceil(columns * scale), math.ceil(rows * scale)).astype(np.float32)
    slack = np.array([backdrop.shape[1] - width, backdrop.shape[0] - height]) / 2
    across, down, zoom = _wave(rng, 0.5), _wave(rng, 0.6), _wave(rng, 0.8)

    def view(t: float) -> Matrix:
        enlarge = 1.04 + 0.04 * zoom(t)
        middle = np.array([backdrop.shape[1], backdrop.shape[0]]) / 2 + 0.9 * slack * [across(t), down(t)]
        shift = np.array([width, height]) / 2 - enlarge * middle + 0.5 * (enlarge - 1)
        return np.array([[enlarge, 0, shift[0]], [0, enlarge, shift[1]], [0, 0, 1]])

    return backdrop, view


def _sprite(piece: NDArray[np.uint8], size: Matrix, roundness: float, pose: Callable[[float], Matrix]) -> _Sprite:
    """Cut a piece out along a superellipse (2: an oval; 6: a rounded rectangle) with a soft edge."""
    columns, rows = (max(8, math.ceil(value)) for value in size)
    u = (np.arange(columns) + 0.5) * 2 / columns - 1
    v = (np.arange(rows) + 0.5) * 2 / rows - 1
    radius = (np.abs(u)[None, :] ** roundness + np.abs(v)[:, None] ** roundness) ** (1 / roundness)
    alpha = np.clip((1 - radius) / 0.06, 0, 1).astype(np.float32)
    return _Sprite(resize(piece, columns, rows).astype(np.float32), alpha, pose, roundness)


def _photograph(name: str) -> NDArray[np.uint8]:
    from skimage import data

    loaded = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    picture = np.asarray(loaded, dtype=np.uint8)
    if picture.ndim == 2:
        picture = np.clip(picture[..., None] * np.array(TINTS[name]), 0, 255).astype(np.uint8)
    return picture


MATERIALS = {
    "photographs": Material(_photograph, TARGETS, 2.0, BACKGROUNDS, OCCLUDERS),
    "drawings": Material(
        lambda name: DRAWINGS[name](), {"bus": ((0, 0, 360, 400),), "owl": ((0, 0, 380, 380),)}, 6.0,
        ("street", "meadow"), ("wall", "foliage"),
    ),
}  # fmt: skip
"""By name."""


def _wave(rng: np.random.Generator, cycles: float) -> Clock:
    """A smooth function of the frame number with values in [-1, 1]."""
    first, second = rng.uniform(0, 2 * math.pi, 2)
    turn = 2 * math.pi * cycles / CYCLE
    return lambda t: (math.sin(turn * t + first) + 0.5 * math.sin(1.83 * turn * t + second)) / 1.5


def _rotation(roll: float, yaw: float, pitch: float) -> Matrix:
    (a, b), (c, d), (e, f) = ((math.cos(angle), math.sin(angle)) for angle in (roll, yaw, pitch))
    about_z = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
    about_y = np.array([[c, 0, d], [0, 1, 0], [-d, 0, c]])
    about_x = np.array([[1, 0, 0], [0, e, -f], [0, f, e]])
    return np.asarray(about_y @ about_x @ about_z)


def _project(matrix: Matrix, points: Matrix) -> Matrix:
    """Map points `[2, N]` by a homography."""
    mapped = matrix @ np.vstack([points, np.ones(points.shape[1])])
    return np.asarray(mapped[:2] / mapped[2])
