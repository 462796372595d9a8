"""The corrupted frames of the stress test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.stress.corruptions.moments import MARGIN, Moment, draw_moments, possible_frames
from agents.stress.corruptions.occluders import side_region
from agents.stress.corruptions.placement import CANDIDATES, hardest_for_tracker, hardest_region
from agents.stress.corruptions.scene import Scene, corrupted_frames, covered_parts, lookalike_box
from agents.stress.corruptions.settings import (
    BASE,
    CONDITIONS,
    LEAD,
    RECOVERY,
    REFERENCE,
    SPAN,
    Condition,
    StressSettings,
)  # fmt: skip
from agents.stress.corruptions.warps import displacements, draw_field, line_kernel
from occlusion_env.scene.shapes import other_videos
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.scorers.sint import CosineScorer

SIDES = ("left", "right", "top", "bottom")


@pytest.fixture(scope="module")
def moment(video: Sequence, other_video: Sequence) -> Moment:
    """The first moment of the video."""
    return replace(draw_moments(video, StressSettings(), other_videos([other_video]))[0], hardest=CANDIDATES[0])


@pytest.fixture(scope="module")
def scene(video: Sequence, other_video: Sequence, moment: Moment) -> Scene:
    """Its frames."""
    return Scene(video, moment, other_videos([other_video])[0])


def changed(scene: Scene, condition: Condition, row: int) -> np.ndarray:
    """Which pixels of a frame a condition changes, `bool[H, W]`."""
    frame = list(scene.corrupted(condition))[row]
    return np.asarray((frame != scene.frames[row]).any(axis=2))


class TestMoments:
    def test_possible_frames_have_all_their_frames(self, video: Sequence) -> None:
        assert possible_frames(video).tolist() == list(range(LEAD, len(video) - SPAN + LEAD + 1))

    def test_a_hidden_frame_rules_out_the_moments_around_it(self, make_moving: Callable[..., Sequence]) -> None:
        video = make_moving("hidden", 3, frames=130)
        visibility = np.ones(130)
        visibility[60] = 0.2
        hidden = Sequence("hidden", video.frames, video.boxes, visibility, "hidden", "exact")
        possible = possible_frames(hidden)
        covered = possible[:, None] - LEAD + np.arange(SPAN)
        assert len(possible) and not (covered == 60).any()

    def test_a_short_video_has_no_moment(self, make_moving: Callable[..., Sequence]) -> None:
        assert draw_moments(make_moving("short", 1, frames=SPAN - 1), StressSettings()) == []

    def test_each_part_of_the_frames_has_one_moment(self, video: Sequence) -> None:
        possible = possible_frames(video)
        for seed in range(5):
            frames = [m.frame for m in draw_moments(video, StressSettings(moments=3, seed=seed))]
            parts = np.array_split(possible, 3)
            assert all(frame in part for frame, part in zip(frames, parts, strict=True))

    def test_seeds_differ_and_repeat(self, video: Sequence) -> None:
        drawn = [draw_moments(video, StressSettings(seed=seed)) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_record_is_read_back(self, moment: Moment) -> None:
        import json

        assert Moment.from_record(json.loads(json.dumps(moment.record()))) == moment

    def test_the_background_is_not_the_target(self, video: Sequence) -> None:
        from tracker.data.boxes import iou

        for seed in range(20):
            for each in draw_moments(video, StressSettings(seed=seed)):
                assert each.background is not None and iou(each.background, each.truth[LEAD]) == 0


class TestCovers:
    def test_a_cover_of_nothing_changes_no_bit(self, scene: Scene) -> None:
        for condition in (REFERENCE, *(replace(each, strength=0.0) for each in CONDITIONS.values())):
            for frame, clean in zip(scene.corrupted(condition), scene.frames, strict=False):
                assert np.array_equal(frame, clean)

    def test_only_the_frames_of_the_condition_change(self, scene: Scene) -> None:
        for condition in CONDITIONS.values():
            if condition.placement == "own":
                continue
            frames = list(scene.corrupted(condition))
            assert len(frames) == condition.length == LEAD + condition.frames + RECOVERY
            differ = [not np.array_equal(a, b) for a, b in zip(frames, scene.frames, strict=False)]
            inside = [LEAD <= row < LEAD + condition.frames for row in range(condition.length)]
            assert differ == (inside if condition is not REFERENCE else [False] * SPAN), condition.name

    def test_the_scene_gives_new_frames(self, scene: Scene) -> None:
        for frame in scene.corrupted(REFERENCE):
            frame[:] = 0
        assert scene.frames[0].any()

    @pytest.mark.parametrize("side", SIDES)
    @pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
    def test_a_cover_has_its_share_and_its_margin(
        self, video: Sequence, moment: Moment, side: str, share: float
    ) -> None:
        scene = Scene(video, replace(moment, side=side))
        x, y, w, h = (int(v) for v in moment.truth[LEAD])
        where = changed(scene, replace(BASE, strength=share), LEAD)
        # Of the target each pixel differs from a smooth background but by chance.
        assert where[y : y + h, x : x + w].mean() == pytest.approx(share, abs=0.03)
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        assert rows[0] >= y - MARGIN * h - 1 and rows[-1] <= y + h + MARGIN * h
        assert columns[0] >= x - MARGIN * w - 1 and columns[-1] <= x + w + MARGIN * w
        rim = {
            "left": columns[0] < x,
            "right": columns[-1] >= x + w,
            "top": rows[0] < y,
            "bottom": rows[-1] >= y + h,
        }
        assert rim[side]
        opposite = SIDES[SIDES.index(side) ^ 1]
        assert rim[opposite] == (share == 1)

    def test_a_larger_cover_shows_all_of_a_smaller_one(self, scene: Scene) -> None:
        small, large = (list(scene.corrupted(CONDITIONS[name]))[LEAD] for name in ("cover-25", "base"))
        where = changed(scene, CONDITIONS["cover-25"], LEAD)
        assert np.array_equal(small[where], large[where])

    def test_parts_are_those_of_the_pixels(self, scene: Scene, moment: Moment) -> None:
        for name, condition in CONDITIONS.items():
            if condition.kind != "cover" or condition.placement == "own" or condition.lookalike:
                continue
            parts = covered_parts(moment, condition, side=4)
            for row in range(condition.length):
                x, y, w, h = (int(v) for v in moment.truth[row])
                where = changed(scene, condition, row)[y : y + h, x : x + w]
                shares = where.reshape(4, h // 4, 4, w // 4).mean(axis=(1, 3))
                inside, outside = shares[parts[row]], shares[~parts[row]]
                assert (inside > 0.3).all() and (outside < 0.7).all(), (name, row)

    def test_shares_of_the_parts(self, moment: Moment) -> None:
        for condition in CONDITIONS.values():
            if condition.kind == "cover" and condition.placement != "own":
                middle = LEAD + condition.frames // 2
                share = covered_parts(moment, condition)[middle].mean()
                assert share == pytest.approx(condition.strength, abs=0.06), condition.name

    def test_a_moving_cover_stays_on_the_target_and_a_standing_one_where_it_is(self, scene: Scene) -> None:
        places = {}
        for name in ("base", "standing"):
            where = [changed(scene, CONDITIONS[name], row) for row in (LEAD, LEAD + 9)]
            places[name] = [np.flatnonzero(each.any(axis=0)).mean() for each in where]
        x = scene.moment.truth[[LEAD, LEAD + 9], 0]
        assert places["base"][1] - places["base"][0] == pytest.approx(x[1] - x[0], abs=1)
        assert abs(places["standing"][1] - places["standing"][0]) <= 1 < x[1] - x[0]

    def test_the_lookalike_is_the_target(self, scene: Scene, moment: Moment) -> None:
        frame = list(scene.corrupted(CONDITIONS["look-alike"]))[LEAD]
        x, y, w, h = (int(v) for v in moment.truth[LEAD])
        left, top = (int(np.floor(v + 0.5)) for v in lookalike_box(moment, LEAD)[:2])
        assert np.array_equal(frame[top : top + h, left : left + w], scene.frames[LEAD][y : y + h, x : x + w])
        assert abs(lookalike_box(moment, LEAD)[0] - x) > w

    def test_the_same_frames_from_the_moment_alone(self, video: Sequence, scene: Scene, moment: Moment) -> None:
        again = corrupted_frames(video, Moment.from_record(moment.record()), CONDITIONS["cutout"], scene.other)
        assert all(
            np.array_equal(*pair) for pair in zip(again, scene.corrupted(CONDITIONS["cutout"]), strict=True)
        )

    def test_a_cutout_needs_another_video(self, video: Sequence, moment: Moment) -> None:
        with pytest.raises(InputError, match="cut out of another video"):
            next(Scene(video, replace(moment, cutout=None)).corrupted(CONDITIONS["cutout"]))

    def test_covers_beyond_the_image_are_cut(self, video: Sequence, moment: Moment) -> None:
        edge = replace(moment, boxes=tuple((-12.0, 85.0, 24.0, 20.0) for _ in moment.boxes), background=None)
        scene = Scene(video, edge)
        for name in ("cover-100", "look-alike", "blur-50", "deformation-20", "texture"):
            assert list(scene.corrupted(CONDITIONS[name]))[LEAD].shape == scene.frames[LEAD].shape

    def test_side_regions(self) -> None:
        assert side_region("top", 0.25) == (0, 0, 1, 0.25)
        assert side_region("bottom", 0.25) == (0, 0.75, 1, 0.25)
        assert side_region("left", 0.25) == (0, 0, 0.25, 1)


class TestWarps:
    @pytest.mark.parametrize("name", ["blur-25", "blur-50", "deformation-10", "deformation-20"])
    def test_pixels_far_from_the_target_stay(self, scene: Scene, moment: Moment, name: str) -> None:
        where = changed(scene, CONDITIONS[name], LEAD + 3)
        x, y, w, h = (int(v) for v in moment.truth[LEAD + 3])
        assert where[y : y + h, x : x + w].mean() > 0.8
        margin = 0 if name.startswith("deformation") else 3
        where[y - margin : y + h + margin, x - margin : x + w + margin] = False
        assert not where.any()

    def test_a_longer_blur_leaves_less_contrast(self, scene: Scene, moment: Moment) -> None:
        x, y, w, h = (int(v) for v in moment.truth[LEAD])
        spread = [
            list(scene.corrupted(CONDITIONS[name]))[LEAD][y : y + h, x : x + w].std()
            for name in ("frames-1", "blur-25", "blur-50")
        ]
        assert spread[1] < 0.7 * scene.frames[LEAD][y : y + h, x : x + w].std() and spread[2] < spread[1]

    @pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2, 3.0])
    def test_a_line_kernel_has_the_length_and_direction(self, angle: float) -> None:
        kernel = line_kernel(9.0, angle)
        assert kernel.sum() == pytest.approx(1, abs=1e-5) and len(kernel) % 2 == 1
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        along, across = x * np.cos(angle) + y * np.sin(angle), x * np.sin(angle) - y * np.cos(angle)
        assert (kernel * along**2).sum() == pytest.approx(9**2 / 12, rel=0.15)  # of a uniform line
        assert (kernel * across**2).sum() < 0.4

    def test_a_deformation_does_not_fold_and_has_its_amplitude(self) -> None:
        for seed in range(20):
            field = displacements(draw_field(np.random.default_rng(seed), 0.2), 65, 65)
            assert np.hypot(*field).max() == pytest.approx(1, abs=0.01)
            assert not field[:, [0, -1]].round(9).any() and not field[:, :, [0, -1]].round(9).any()
            x = np.linspace(0, 1, 65)[None] + 0.2 * field[0]
            y = np.linspace(0, 1, 65)[:, None] + 0.2 * field[1]
            (xy, xx), (yy, yx) = np.gradient(x), np.gradient(y)
            assert (xx * yy - xy * yx).min() > 0


class TestPlacement:
    def test_candidates_have_three_quarters(self) -> None:
        assert np.allclose([w * h for _, _, w, h in CANDIDATES], 0.75) and len(CANDIDATES) == 15

    def test_the_hardest_region_lowers_the_score_most(self, scene: Scene) -> None:
        class LeftSide(CosineScorer):
            """A score that only the left sixth of the target changes."""

            input_size, device = 24, torch.device("cpu")

            def embed(self, crops: torch.Tensor) -> torch.Tensor:
                return crops

            def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
                return -(exemplars - candidates).abs()[..., :4].mean(dim=(1, 2, 3))

        assert hardest_region(scene, LeftSide())[:2] == (0, 0)
        assert hardest_region(scene, LeftSide())[3] == 1

    def test_confidence(self, scene: Scene) -> None:
        x, y, w, _ = (int(v) for v in scene.moment.truth[LEAD])
        top = slice(y, y + 2), slice(x, x + w)

        class Confident:
            """Confident while it sees the uppermost tenth of the target."""

            name, score = "confident", 0.0

            def init(self, image: np.ndarray, box: np.ndarray) -> None:
                self.box = box

            def update(self, image: np.ndarray) -> np.ndarray:
                self.score = -float(np.abs(image[top].astype(float) - scene.frames[LEAD][top]).mean())
                return self.box

        region = hardest_for_tracker(scene, Confident())
        assert not isinstance(region, str) and region[1] == 0

        class Blank(Confident):
            def update(self, image: np.ndarray) -> np.ndarray:
                self.score = self.fixed  # type: ignore[attr-defined]
                return self.box

        for fixed, words in ((float("nan"), "not finite"), (0.5, "the same")):
            tracker = Blank()
            tracker.fixed = fixed  # type: ignore[attr-defined]
            assert words in str(hardest_for_tracker(scene, tracker))

        class Failing(Confident):
            def update(self, image: np.ndarray) -> np.ndarray:
                raise RuntimeError("lost")

        assert "RuntimeError: lost" in str(hardest_for_tracker(scene, Failing()))

        class Silent:
            name = "silent"
            init, update = Confident.init, Confident.update

        assert "no confidence" in str(hardest_for_tracker(scene, Silent()))


def test_settings_refuse_bad_values() -> None:
    for arguments, words in (
        ({"moments": 0}, "moments is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"conditions": ("base", "rain")}, "'rain' is no condition"),
        ({"conditions": ("reference", "base")}, "'cover-25' is missing"),
    ):
        with pytest.raises(InputError, match=words):
            StressSettings(**arguments)  # type: ignore[arg-type]
