from dataclasses import replace

import numpy as np
import pytest
import torch

from tracker.data.boxes import iou
from tracker.errors import InputError
from tracker.training.figures import keep_recognised, recognition_threshold
from tracker.training.sampling import labelled_boxes


class Brightness:
    """The closer the mean brightness, the higher."""

    input_size = 16
    device = torch.device("cpu")

    def embed(self, crops):
        return crops.mean(dim=(1, 2, 3))

    def compare(self, exemplars, candidates):
        return -(exemplars - candidates).abs()

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


@pytest.fixture
def followed(make_video):
    """The target is lost from frame 4 on: the box stays on the dark noise at the left."""
    sequence = make_video(frames=7, width=128, height=96)
    boxes = np.array(sequence.boxes)
    boxes[4:, 0] = 2
    return replace(sequence, boxes=boxes, box_source="tracked")


def test_threshold_is_the_best_of_the_surroundings(followed):
    frame = followed.frames[0]
    boxes, same = labelled_boxes(followed.exemplar_box, 128, 96)
    assert (iou(boxes[~same], followed.exemplar_box) < 0.5).all()
    means = []
    for x, y, w, h in boxes[~same]:
        left, top = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        means.append(frame[top : int(np.floor(y + h + 0.5)), left : int(np.floor(x + w + 0.5))].mean() / 255)
    exemplar = followed.exemplar().mean() / 255
    expected = -np.abs(np.array(means) - exemplar).min()
    assert recognition_threshold(followed, Brightness()) == pytest.approx(expected, abs=0.01)


def test_lost_frames_are_marked_absent(followed):
    kept = keep_recognised(followed, Brightness())
    assert kept.present.tolist() == [0, 1, 2, 3]
    assert kept.box_source == "tracked" and np.array_equal(kept.boxes, followed.boxes)


def test_a_target_that_is_never_recognised(followed):
    boxes = np.array(followed.boxes)
    boxes[1:, 0] = 2
    with pytest.raises(InputError, match="recognised in no frame"):
        keep_recognised(replace(followed, boxes=boxes), Brightness())


def test_without_surroundings_every_frame_is_kept(make_video):
    sequence = make_video(frames=3)
    boxes = np.tile([0.0, 0.0, 64.0, 48.0], (3, 1))
    whole = replace(sequence, boxes=boxes)
    assert recognition_threshold(whole, Brightness()) == float("-inf")
    assert keep_recognised(whole, Brightness()).present.tolist() == [0, 1, 2]
