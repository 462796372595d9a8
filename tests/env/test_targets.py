from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from occlusion_env.envs import building
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.oracle import OracleFeatures, OracleScorer
from occlusion_env.scene.targets import TargetSet, load_targets, visible_frames
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError


def test_targets_that_are_more_than_half_hidden_are_left_out(make_video):
    sequence = replace(make_video(frames=5), visibility=np.array([1, 0.9, 0.5, 0.49, 0]))
    assert visible_frames(sequence).tolist() == [0, 1, 2]
    assert TargetSet.from_sequence(sequence).ids == ("noise-0/000001", "noise-0/000002")
    assert len(TargetSet.from_sequence(sequence, [3])) == 1


@pytest.mark.parametrize("frames", [[99], [-1], [4], [1, 1]])
def test_frames_that_cannot_be_taken(make_video, frames):
    sequence = replace(make_video(frames=5), visibility=np.array([1, 1, 1, 1, 0.0]))
    with pytest.raises(InputError, match="noise-0"):
        TargetSet.from_sequence(sequence, frames)


def test_samples_need_a_code_and_a_frame_each(make_video):
    sequence = make_video(frames=5)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    for codes, frames in (([[0, 0]], [1, 2]), ([[0, 0]] * 2, [1]), ([0, 0], [1, 2])):
        with pytest.raises(InputError, match="2 samples need"):
            TargetSet.from_samples(sequence, images, codes, frames)
    with pytest.raises(InputError, match="no target in frame 9"):
        TargetSet.from_samples(sequence, images, [[0, 0]] * 2, [1, 9])


def test_ids_are_unique(make_video):
    sequence = make_video(frames=5)
    images, codes = np.zeros((2, 8, 8, 3), np.uint8), [[0.0, 0.0]] * 2
    first = TargetSet.from_samples(sequence, images, codes, [1, 1])
    with pytest.raises(InputError, match="first_number"):
        first + TargetSet.from_samples(sequence, images, codes, [2, 2])
    both = first + TargetSet.from_samples(sequence, images, codes, [2, 2], first_number=2)
    assert both.ids[-1] == "noise-0/sample/000003" and both[3].source.frame == 2


@pytest.mark.parametrize("spec", ["synthetic:", "synthetic:x", "synthetic:-1"])
def test_a_synthetic_video_without_a_seed(spec):
    with pytest.raises(InputError, match="no seed"):
        load_targets(spec)


def test_a_drawn_video_by_name():
    targets = load_targets("drawn:1")
    assert len(targets) > 10 and targets.videos[0] == "drawn-1" and targets[0].frame.shape == (480, 640, 3)


@pytest.mark.parametrize("area", [0.01, 0.04, 0.1, 0.25])
def test_the_grid_holds_no_region_twice(area):
    limits = RegionLimits()
    grid = limits.grid(area)
    assert len(np.unique(grid.round(9), axis=0)) == len(grid)
    assert limits.holds(grid).all()
    assert grid[:, 2] * grid[:, 3] == pytest.approx(area)


@pytest.mark.parametrize("area", [0.005, 0.3, float("nan")])
def test_areas_outside_the_limits(area):
    with pytest.raises(InputError, match="area"):
        RegionLimits().grid(area)


def test_networks_alone_leave_the_targets_alone(monkeypatch):
    """The synthetic video takes a second to draw; who wants a scorer does not wait for it."""
    monkeypatch.setattr(building, "load_targets", None)
    arguments = SearchArguments(
        scorer="occlusion_env.scene.oracle:OracleScorer", features="occlusion_env.scene.oracle:OracleFeatures"
    )
    networks = building.load_networks(arguments)
    assert isinstance(networks.scorer, OracleScorer) and isinstance(networks.features, OracleFeatures)
    with pytest.raises(TypeError):
        building.find_targets(arguments.targets)


def test_videos_that_cannot_be_used_are_named_and_left_out(make_video, write_otb, tmp_path):
    """In `gym.make(targets=FOLDER)` as well: one annotation too short, one target that is never seen again."""
    for seed, name in enumerate("abc"):
        write_otb(tmp_path / name, make_video(frames=3, seed=seed))
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("20,16,16,12\n" * 2)
    (tmp_path / "c" / "groundtruth_rect.txt").write_text("20,16,16,12\n0,0,0,0\nnan,nan,nan,nan\n")
    with pytest.warns(UserWarning) as warned:
        targets = load_targets(str(tmp_path))
    assert targets.videos == ("a", "a")
    assert ["'b' is left out" in str(warned[0].message), "'c' is left out" in str(warned[1].message)] == [True] * 2
    assert "2 boxes but" in str(warned[0].message) and "no target after its first frame" in str(warned[1].message)
    with pytest.warns(UserWarning, match="left out"):
        env = gymnasium.make(
            "OcclusionSearch-v0", targets=f"{tmp_path}/", scorer="occlusion_env.scene.oracle:OracleScorer",
            features="occlusion_env.scene.oracle:OracleFeatures",
        )  # fmt: skip
    env.close()
    (tmp_path / "a" / "groundtruth_rect.txt").write_text("20,16,16\n")
    with pytest.raises(InputError, match="Line 1 of .*a/groundtruth_rect.txt' has 3 numbers"):
        load_targets(f"{tmp_path}/.")


def test_frames_that_change_their_size(make_video, write_otb, tmp_path):
    """Each target is cut out of its own frame, also where its box lies outside the first one."""
    small, large = make_video(frames=2, seed=0), make_video(frames=2, width=192, height=144, seed=1)
    frames = ArrayFrames([small.frames[0], small.frames[1], large.frames[0]])
    boxes = np.array([small.boxes[0], small.boxes[1], (100, 80, 48, 36)], float)
    write_otb(tmp_path / "zoom", Sequence("zoom", frames, boxes, np.ones(3), "test", "exact"))
    _, target = load_targets(str(tmp_path / "zoom"))
    assert target.frame.shape == (144, 192, 3) and target.crop.shape == (36, 48, 3)
    env = gymnasium.make("OcclusionSearch-v0", targets=str(tmp_path / "zoom"))
    for seed in range(3):
        env.reset(seed=seed)
        env.step(0)
    env.close()
