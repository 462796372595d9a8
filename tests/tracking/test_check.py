from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from tracker.data.boxes import check_box
from tracker.data.images import as_rgb
from tracker.data.sequences import ArrayFrames
from tracker.errors import InputError
from tracker.evaluation.running import run_tracker
from tracker.trackers.check import check_tracker, output_fault
from tracker.trackers.opencv import MILTracker


class Good:
    """Moves its box by what the frame's brightness says: a function of the frames alone."""

    name = "good"

    def init(self, image: Any, box: Any) -> None:
        frame = as_rgb(image)
        self.box = check_box(box, frame.shape[1], frame.shape[0], "The box").copy()
        self.last = float(frame.mean())

    def update(self, image: Any) -> np.ndarray:
        level = float(as_rgb(image).mean())
        self.box = self.box + [0.01 * (level - self.last), 0, 0, 0]
        self.last = level
        return self.box.copy()


class NoName(Good):
    name = ""


class Slashed(Good):
    name = "mine/v2"


class NoInit:
    name = "noinit"

    def update(self, image: Any) -> Any:
        return np.ones(4)


class NoUpdate:
    name = "noupdate"
    update = None

    def init(self, image: Any, box: Any) -> None: ...


class Tuple(Good):
    def update(self, image: Any) -> Any:
        return tuple(super().update(image).tolist())


class Float32(Good):
    def update(self, image: Any) -> Any:
        return super().update(image).astype(np.float32)


class Three(Good):
    def update(self, image: Any) -> Any:
        return super().update(image)[:3]


class NotFinite(Good):
    def update(self, image: Any) -> Any:
        return super().update(image) * np.nan


class NoArea(Good):
    def update(self, image: Any) -> Any:
        return super().update(image) * [1, 1, 0, 1]


class Nothing(Good):
    def update(self, image: Any) -> Any:
        super().update(image)


class FarAway(Good):
    def update(self, image: Any) -> Any:
        return super().update(image) + [5000, 0, 0, 0]


class PaintsInInit(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        if isinstance(image, np.ndarray):
            image[0, 0] += 1


class PaintsInUpdate(Good):
    def update(self, image: Any) -> Any:
        found = super().update(image)
        if isinstance(image, np.ndarray):
            image[0, 0] += 1
        return found


class ChangesTheBox(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        box[0] += 1


class Remembers(Good):
    count = 0

    def update(self, image: Any) -> Any:
        self.count += 1
        return super().update(image) + [0.1 * self.count, 0, 0, 0]


class Admits(Remembers):
    is_deterministic = False


class Aliases(Good):
    def update(self, image: Any) -> Any:
        if not hasattr(self, "out"):
            self.out = np.zeros(4)
        self.out[:] = super().update(image)
        return self.out


class KeepsTheFrame(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        self.frame = np.asarray(image)

    def update(self, image: Any) -> Any:
        found = super().update(image) + [0.01 * (np.asarray(image).mean() - self.frame.mean()), 0, 0, 0]
        self.frame = np.asarray(image)
        return found


class KeepsTheBox(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        self.box = np.asarray(box)


class ArraysOnly(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image[..., :3], box)


class OtherColoursInPillow(Good):
    def update(self, image: Any) -> Any:
        return super().update(image.convert("L") if isinstance(image, PILImage.Image) else image)


class InsideOnly(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        if min(box[:2]) < 0:
            raise IndexError("out of the image")


class NoPixels(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        if min(box[2:]) < 2:
            raise RuntimeError("zero-size array")


class RefusesPixels(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        if min(box[2:]) < 2:
            raise InputError("The box is too small; give a larger one.")


class RefusesTheBorder(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, box)
        if min(box[:2]) < 0:
            raise InputError("The box is not inside.")


class WholeFrameVanishes(Good):
    def update(self, image: Any) -> Any:
        found = super().update(image)
        return found * (found[2] < 160)


class OneBasedOut(Good):
    def update(self, image: Any) -> Any:
        return super().update(image) + [1, 1, 0, 0]


class OneBasedIn(Good):
    def init(self, image: Any, box: Any) -> None:
        super().init(image, np.asarray(box) - [1, 1, 0, 0])


class Crashes(Good):
    def update(self, image: Any) -> Any:
        raise RuntimeError("boom\nwith two lines")


class CrashesLater(Good):
    starts = 0

    def init(self, image: Any, box: Any) -> None:
        self.starts += 1
        if self.starts > 1:
            raise RuntimeError("already started")
        super().init(image, box)


def broken_factory() -> Any:
    raise OSError("no weights")


BAD: list[tuple[Callable[[], Any], str]] = [
    (NoName, "The tracker has no name; set the attribute"),
    (Slashed, "The name 'mine/v2' cannot name a folder"),
    (NoInit, r"no method init\(image, box\)"),
    (NoUpdate, r"no method update\(image\)"),
    (Tuple, "update returns a tuple; return a numpy array float64"),
    (Float32, "update returns an array of float32"),
    (Three, r"update returned an array of shape \[3\] instead of four numbers"),
    (NotFinite, "update returned the box .*, which holds a number that is not finite;"),
    (NoArea, "update returned the box .* has no area"),
    (Nothing, "update returned None instead of four numbers"),
    (FarAway, "returned a box outside the frame"),
    (PaintsInInit, "init changes the image"),
    (PaintsInUpdate, "update changes the image"),
    (ChangesTheBox, "init changes the box"),
    (Remembers, "The same video gives other boxes the second time"),
    (Aliases, "A box that update returned changed later"),
    (KeepsTheFrame, "Boxes differ when the caller reuses the memory"),
    (KeepsTheBox, "Boxes differ when the caller reuses the memory"),
    (ArraysOnly, "init raised TypeError .* on PIL images"),
    (OtherColoursInPillow, "PIL images give other boxes"),
    (InsideOnly, r"init raised IndexError \(out of the image\) on a target partly beyond the left"),
    (NoPixels, r"init raised RuntimeError \(zero-size array\) on a target of one pixel"),
    (RefusesTheBorder, "init raised InputError .* on a target partly beyond"),
    (WholeFrameVanishes, "update returned the box .* has no area on a target as large as the frame"),
    (OneBasedOut, r"every box is moved by \+1 pixel in x and y; boxes are 0-based"),
    (OneBasedIn, "every box is moved by -1 pixel in x and y"),
    (Crashes, r"update raised RuntimeError \(boom with two lines\) on a small RGB video"),
    (CrashesLater, r"init raised RuntimeError \(already started\) on a second video; init must start anew"),
    (broken_factory, r"Making the tracker raised OSError \(no weights\)"),
]


@pytest.mark.parametrize(("make", "says"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_every_fault_has_its_sentence(make: Callable[[], Any], says: str) -> None:
    findings = check_tracker(make)
    assert any(re.search(says, finding) for finding in findings), findings
    assert all("\n" not in finding and finding.endswith(".") for finding in findings)
    assert len(findings) == len(set(findings)) <= 4, findings


@pytest.mark.parametrize("make", [Good, Admits, RefusesPixels, MILTracker])
def test_nothing_is_found_in_a_good_one(make: Callable[[], Any]) -> None:
    assert check_tracker(make) == []


def test_a_tracker_that_is_made_already_can_be_checked() -> None:
    assert check_tracker(Good()) == []
    assert any("1 pixel" in finding for finding in check_tracker(OneBasedOut()))


def test_a_class_whose_weights_are_missing_says_so() -> None:
    def refuse() -> Any:
        raise InputError("The weights 'x' do not exist.")

    with pytest.raises(InputError, match="The weights 'x'"):
        check_tracker(refuse)


@pytest.mark.parametrize("box", [np.ones(4), (1, 2, 3, 4), [1.5, 2, 3, 4], np.ones(4, np.float32)])
def test_usable_outputs(box: Any) -> None:
    assert output_fault(box) is None


@pytest.mark.parametrize("box", [None, "box", np.ones((1, 4)), (1, 2, 3), [1, 2, 3, -1], (1, 2, np.inf, 4), {}])
def test_unusable_outputs(box: Any) -> None:
    assert output_fault(box)


@pytest.mark.parametrize("wrap", [lambda box: box, list, lambda box: (box[0], *box[1:].tolist())])
def test_a_box_that_keeps_gradients_is_one_sentence(wrap: Callable[[torch.Tensor], Any]) -> None:
    class Gradients(Good):
        name = "gradients"

        def update(self, image: Any) -> Any:
            return wrap(torch.tensor(super().update(image), requires_grad=True))

    findings = check_tracker(Gradients())
    assert len(findings) == 1 and "that keeps gradients (put update under torch.no_grad)" in findings[0]
    frames = ArrayFrames([np.zeros((60, 60, 3), np.uint8)] * 2)
    with pytest.raises(InputError, match="'gradients' returned .* keeps gradients .* in frame 1"):
        run_tracker(Gradients(), frames, (10, 10, 20, 20))


def test_tensors_say_why_they_cannot_be_read() -> None:
    assert "BFloat16" in str(output_fault(torch.ones(4, dtype=torch.bfloat16)))
    assert "meta" in str(output_fault(torch.ones(4, device="meta")))
    assert output_fault(torch.ones(4)) is None
