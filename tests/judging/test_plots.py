from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from tracker.data.sequences import ArrayFrames
from tracker.evaluation.annotations import Annotation
from tracker.evaluation.intervals import Interval
from tracker.evaluation.report import pictures, plots

NASTY = ["_hidden", "cost$^2$ \\frac", "a" * 200]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_of_the_curves_is_sorted_by_score_and_each_line_has_its_own_data():
    curves = {"low": np.linspace(0.5, 0, 21), "high": np.linspace(1, 0, 21)}
    figure = plots.draw_success(curves, {"low": 0.25, "high": 0.5}, "title")
    assert legend(figure) == ["0.500  high", "0.250  low"]
    lines = figure.axes[0].get_lines()
    assert lines[0].get_ydata()[0] == 1.0 and lines[1].get_ydata()[0] == 0.5
    assert lines[0].get_xdata().tolist() == pytest.approx(np.arange(0, 1.01, 0.05).tolist())


def test_a_tracker_looks_the_same_in_every_plot():
    looks = plots.styles(["low", "high"])
    curves = {"low": np.zeros(51), "high": np.ones(51)}
    line = plots.draw_precision(curves, {"low": 0, "high": 1}, "title").axes[0].get_lines()[0]
    assert to_hex(line.get_color()).lower() == looks["high"].colour.lower()
    speed = plots.draw_speed({"high": 3.0}, {"low": 0, "high": 1}, ["low", "high"], "title")
    assert to_hex(speed.axes[0].get_lines()[0].get_color()).lower() == looks["high"].colour.lower()
    lower = {measure: Interval(-0.2, None, None, 3) for measure in ("auc", "precision")}
    differences = plots.draw_differences({"high": lower}, ["low", "high"], "title")
    assert "no intervals from fewer than 8 targets" in differences.get_suptitle()
    for axis in differences.axes:
        assert to_hex(axis.get_lines()[-1].get_color()).lower() == looks["high"].colour.lower()


def test_twenty_trackers_have_twenty_looks():
    looks = list(plots.styles(str(k) for k in range(20)).values())
    assert len(set(looks)) == 20 and len({look.colour for look in looks[:14]}) == 14


def test_nasty_names_are_drawn_as_they_are():
    curves = {name: np.linspace(1, 0, 21) for name in NASTY}
    figure = plots.draw_success(curves, dict.fromkeys(NASTY, 0.5), "$x")
    assert opened(plots.to_png(figure)).width > 600
    bars = plots.draw_attributes(["OCC"], {"OCC": 1}, {name: {"OCC": 0.5} for name in NASTY}, "t")
    plots.to_png(bars)
    assert len(legend(bars)) == 3 and max(map(len, legend(bars))) < 40


def test_attribute_bars_have_the_scores_as_heights_and_the_counts_below():
    values = {"a": {"OCC": 0.4, "MB": 0.2}, "b": {"OCC": 0.3}}
    figure = plots.draw_attributes(["OCC", "MB"], {"OCC": 7, "MB": 1}, values, "t")
    axis = figure.axes[0]
    heights = [bar.get_height() for bar in axis.patches]
    np.testing.assert_array_equal(heights, [0.4, 0.2, 0.3, np.nan])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["OCC\n(7)", "MB\n(1)"]


def test_a_difference_is_filled_by_its_corrected_p_value():
    clear = Interval(0.2, (0.1, 0.3), 0.01, 9)
    rows = {
        "clear": {"auc": clear, "precision": clear},
        "unclear": {"auc": Interval(0.1, (0.01, 0.3), 0.2, 9), "precision": Interval(-0.2, (-0.3, -0.1), 0.01, 9)},
        "few": {"auc": Interval(0.1, None, None, 3), "precision": Interval(-0.1, None, None, 3)},
    }
    left, right = plots.draw_differences(rows, rows, "t").axes
    points = [line for line in left.get_lines() if line.get_marker() != "None"]
    assert [to_hex(point.get_markerfacecolor()) == "#ffffff" for point in points] == [False, True, True]
    points = [line for line in right.get_lines() if line.get_marker() != "None"]
    assert [to_hex(point.get_markerfacecolor()) == "#ffffff" for point in points] == [False, False, True]
    assert left.get_xlim()[0] < 0 and left.get_xlim()[1] > 0.3


def test_png_bytes_repeat():
    def draw() -> bytes:
        return plots.to_png(plots.draw_speed({"a": 5.0}, {"a": 0.5}, ["a"], "t"))

    assert draw() == draw()


def test_losses_are_ranked_by_their_share_of_the_video():
    overlaps = {
        "long": np.r_[1.0, np.zeros(10), np.ones(89)],
        "short": np.r_[1.0, np.zeros(8), 0.5],
        "held": np.full(20, 0.01),
        "unknown": np.r_[1.0, np.full(19, -1.0)],
    }
    losses = pictures.rank_lost_stretches(overlaps, 3)
    assert [loss.target for loss in losses] == ["short", "long"]
    assert (losses[1].start, losses[1].stop, losses[1].frames, len(losses[1])) == (1, 11, 100, 10)
    assert pictures.rank_lost_stretches(overlaps, 1) == losses[:1]


def test_a_loss_from_the_first_frame_is_shown_from_there():
    assert pictures.choose_frames(pictures.LostStretch("x", 0, 4, 9), np.zeros(9)) == [0, 0, 2]
    assert pictures.choose_frames(pictures.LostStretch("x", 3, 4, 9), [0.2, 0.2, 0.2, 0]) == [2, 3, 3]


def test_the_boxes_of_the_losing_tracker_and_the_truth_are_drawn_where_they_are():
    frames = {"v": ArrayFrames([np.full((40, 60, 3), 90, np.uint8)] * 6)}
    boxes = np.tile([10.0, 12, 8, 6], (6, 1))
    truth = {"v": Annotation("v", boxes, np.array([True, True, True, True, True, False]))}
    mine, other = boxes + [30, 0, 0, 0], boxes + [0, 20, 0, 0]
    other[3] = np.nan
    overlap = np.array([1, 0.9, 0.0, 0.0, 0.0, 0.0])
    figure = pictures.draw_lost_stretches(
        "_mine",
        [pictures.LostStretch("v", 2, 6, 6)],
        frames,
        truth,
        {"_mine": {"v": mine}, "b": {"v": other[:3]}},
        {"v": overlap},
    )
    drawn = [[(patch.get_x(), patch.get_y()) for patch in axis.patches] for axis in figure.axes]
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "frame 2, overlap 0.90",
        "frame 3, overlap 0.00",
        "frame 5, overlap 0.00",
    ]
    assert drawn[0] == [(9.5, 31.5), (9.5, 11.5), (39.5, 11.5)]
    looks = plots.styles(["_mine", "b"])
    colours = [to_hex(patch.get_edgecolor()).lower() for patch in figure.axes[0].patches]
    assert colours == [looks["b"].colour.lower(), "#ffffff", looks["_mine"].colour.lower()]
    assert drawn[2] == [(9.5, 11.5), (39.5, 11.5)]
    assert legend(figure) == ["truth", "box of  _mine", "box of b"]
    assert opened(pictures.to_jpeg(figure)).format == "JPEG"
