from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import occlusion_env.search.core as search_module
from occlusion_env import RegionLimits, Search, SearchSettings, Target, TargetSet, load_targets
from occlusion_env.mdp.actions import TRIGGER
from occlusion_env.scene.occluders import choose_occluder
from occlusion_env.scene.targets import Source
from occlusion_env.search.threshold import usual_drop
from tracker.data.images import resize
from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor, Slim
from tracker.scorers import SintScorer

RIGHT, LEFT, UP, DOWN = range(4)


@pytest.fixture
def video(make_video) -> Sequence:
    return make_video()


@pytest.fixture(scope="module")
def slim() -> Slim:
    torch.manual_seed(0)
    return Slim().eval().requires_grad_(False)


@pytest.fixture
def patches() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def count_search(brightness, pixels, make_target, half_white, black) -> Search:
    """One search whose score is countable, begun."""
    search = Search(1, brightness, pixels, SearchSettings())
    search.begin(np.array([0]), [make_target(half_white)], [black], phi=0.25)
    return search


@pytest.mark.parametrize("chunk", [64, 2])
def test_many_searches_are_as_many_single_ones(monkeypatch, slim, video, patches, chunk: int) -> None:
    monkeypatch.setattr(search_module, "_CHUNK", chunk)
    targets, settings = list(TargetSet.from_sequence(video).subset([0, 2, 3])), SearchSettings(max_steps=8)
    starts = np.array([[0.1, 0.2, 0.4, 0.5], [0.25, 0.25, 0.5, 0.5], [0.5, 0.0, 0.3, 0.2]])

    def build(count: int) -> Search:
        return Search(count, SintScorer(slim, "fp32"), FeatureExtractor(slim, "fc7", "fp32"), settings)

    together, alone = build(3), [build(1) for _ in range(3)]
    together.begin(np.arange(3), targets, patches, drop=0.01, regions=starts)
    for i, search in enumerate(alone):
        search.begin(np.array([0]), targets[i : i + 1], patches[i : i + 1], drop=0.01, regions=starts[i : i + 1])
    rng = np.random.default_rng(0)
    for _ in range(9):
        assert np.allclose(together.score, [search.score[0] for search in alone], atol=1e-5)
        assert np.allclose(together.phi, [search.phi[0] for search in alone], atol=1e-5)
        assert (together.region == [search.region[0] for search in alone]).all()
        assert np.allclose(together.observe(), [search.observe()[0] for search in alone], atol=1e-4)
        actions = rng.integers(0, 9, 3)
        step = together.step(actions)
        parts = [search.step(actions[i : i + 1]) for i, search in enumerate(alone)]
        for field in ("reward", "terminated", "truncated"):
            assert getattr(step, field).tolist() == [getattr(part, field)[0] for part in parts], field
    assert len(np.unique(together.score)) == 3
    assert (together.queries == [search.queries[0] for search in alone]).all()


def test_scores_are_those_of_the_occluded_images(slim, video, patches) -> None:
    """The same by hand: paste, resize, score."""
    from occlusion_env.scene.occluders import occlude
    from tracker.data.images import to_tensor

    scorer, targets = SintScorer(slim, "fp32"), list(TargetSet.from_sequence(video))
    search = Search(2, scorer, FeatureExtractor(slim, "fc7", "fp32"), SearchSettings())
    search.begin(np.array([0, 1]), targets[:2], patches[:2])
    crops = [to_tensor(resize(target.crop, 112, 112)) for target in targets[:2]]
    exemplar = to_tensor(resize(targets[0].exemplar, 112, 112))
    for i in (0, 1):
        covered = occlude(crops[i], to_tensor(patches[i]), torch.tensor([[0.25, 0.25, 0.5, 0.5]]))
        assert search.score[i] == pytest.approx(scorer(exemplar, covered).item(), abs=1e-5)
        assert search.clean_score[i] == pytest.approx(scorer(exemplar, crops[i]).item(), abs=1e-5)


def test_queries_are_counted(count_search) -> None:
    assert count_search.queries.tolist() == [2]  # the clean target and the first region
    count_search.step(np.array([LEFT]))
    assert count_search.queries.tolist() == [3]
    for _ in range(3):
        count_search.step(np.array([LEFT]))
    # against the border after 0.05 and 0.0: of these three moves one went nowhere and asked nothing
    assert count_search.region[0, 0] == 0 and count_search.queries.tolist() == [5]
    count_search.step(np.array([TRIGGER]))
    assert count_search.queries.tolist() == [5]
    count_search.scores(np.zeros(7, int), RegionLimits().centre(7))
    assert count_search.queries.tolist() == [12]


def test_asking_for_scores_leaves_the_state_alone(count_search, half_white, make_target, black) -> None:
    count_search.step(np.array([LEFT]))
    kept = {
        name: getattr(count_search, name).copy()
        for name in ("region", "score", "previous_score", "clean_score", "phi", "steps")
    }
    observed = count_search.observe()
    regions = np.array([[0.0, 0.25, 0.5, 0.5], [0.5, 0.0, 0.5, 0.5], [0.0, 0.0, 0.25, 1.0]])
    found = count_search.scores(np.zeros(3, int), regions)
    assert found == pytest.approx([0.25, 0.5, 0.25], abs=1e-6)
    for name, value in kept.items():
        assert (getattr(count_search, name) == value).all(), name
    assert (count_search.observe() == observed).all()


def test_starting_one_search_over_leaves_the_others_alone(
    brightness, pixels, make_target, half_white, black
) -> None:
    search = Search(3, brightness, pixels, SearchSettings(history=2))
    search.begin(np.arange(3), [make_target(half_white)] * 3, [black] * 3, phi=0.3)
    search.step(np.array([LEFT, UP, DOWN]))
    before = search.observe()
    white = np.full_like(half_white, 255)
    search.begin(np.array([1]), [make_target(white)], [black], phi=0.7)
    assert search.steps.tolist() == [1, 0, 1] and search.phi.tolist() == [0.3, 0.7, 0.3]
    assert search.score == pytest.approx([520 / 1600, 0.75, 600 / 1600], abs=1e-6)
    assert search.region[:, 0] == pytest.approx([0.15, 0.25, 0.25])
    after = search.observe()
    assert (after[[0, 2]] == before[[0, 2]]).all()
    assert (after[1, :48] == 1).all() and not after[1, 48:].any()


@pytest.mark.parametrize(
    ("region", "white"), [((0.25, 0.1, 0.5, 0.5), 2), ((0.0, 0.5, 0.25, 0.5), 4), ((0.35, 0.0, 0.2, 0.4), 3)]
)
def test_an_observation_is_the_unoccluded_region_resized(
    brightness, pixels, make_target, half_white, black, region, white: int
) -> None:
    """How many of the four columns lie left of the middle, where the target is white."""
    search = Search(1, brightness, pixels, SearchSettings())
    search.begin(np.array([0]), [make_target(half_white)], [black], regions=np.array([region]))
    found = search.observe()[0, :48].reshape(3, 4, 4)
    assert (found[:, :, :white] == 1).all() and (found[:, :, white:] == 0).all()


def test_patches_are_given_back(count_search, black) -> None:
    assert (count_search.patches() == black[None]).all()


def test_steps_end_searches_one_by_one(brightness, pixels, make_target, half_white, black) -> None:
    search = Search(3, brightness, pixels, SearchSettings(max_steps=2))
    search.begin(np.arange(3), [make_target(half_white)] * 3, [black] * 3, phi=0.375)
    first = search.step(np.array([RIGHT, TRIGGER, LEFT]))
    assert first.terminated.tolist() == [False, True, False] and not first.truncated.any()
    assert first.reward.tolist() == [-1, 3, 1] and search.success.tolist() == [False, True, True]
    search.begin(np.array([1]), [make_target(half_white)], [black], phi=0.1)
    second = search.step(np.array([TRIGGER, LEFT, LEFT]))
    assert second.terminated.tolist() == [True, False, False]
    assert second.truncated.tolist() == [False, False, True]
    assert second.reward.tolist() == [-3, 1, 1]


@pytest.mark.parametrize(
    "actions",
    [np.array([0, 9]), np.array([0, -1]), np.array([0]), np.array([[0, 1]]), np.array([0.0, 1.0]), [0, "a"]],
)
def test_unknown_actions(brightness, pixels, make_target, half_white, black, actions) -> None:
    search = Search(2, brightness, pixels, SearchSettings())
    search.begin(np.arange(2), [make_target(half_white)] * 2, [black] * 2)
    with pytest.raises(InputError, match="is no action"):
        search.step(actions)


def test_a_region_outside_the_limits_is_named(count_search, half_white, make_target, black) -> None:
    with pytest.raises(InputError, match=r"0\.3, 0\.2, 0\.9, 0\.1"):
        count_search.begin(
            np.array([0]), [make_target(half_white)], [black], regions=np.array([[0.3, 0.2, 0.9, 0.1]])
        )


def test_scores_come_after_begin(brightness, pixels) -> None:
    with pytest.raises(RuntimeError, match="begin"):
        Search(1, brightness, pixels, SearchSettings()).scores(np.array([0]), RegionLimits().centre())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda scores: scores * float("nan"), "not finite"),
        (lambda scores: scores / 0, "not finite"),
        (lambda scores: scores[:, None], "shape"),
        (lambda scores: scores.sum(), "shape"),
        (lambda scores: torch.cat([scores, scores]), "shape"),
    ],
)
def test_a_broken_scorer_is_named(
    brightness, pixels, make_target, half_white, black, wrong: Callable, message
) -> None:
    class Broken(type(brightness)):
        def compare(self, exemplars: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
            return wrong(super().compare(exemplars, candidates))

    search = Search(2, Broken(), pixels, SearchSettings())
    with pytest.raises(InputError, match=f"Broken.*{message}"):
        search.begin(np.arange(2), [make_target(half_white)] * 2, [black] * 2)


@pytest.mark.parametrize(("name", "value"), [("history", -1), ("max_steps", 0), ("eta", 0), ("eta", float("nan"))])
def test_impossible_settings_are_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        SearchSettings(**{name: value})


def test_targets_of_a_sequence(video) -> None:
    targets = TargetSet.from_sequence(video)
    assert targets.ids == tuple(f"noise-0/{t:06d}" for t in (1, 2, 3, 4)) and len(targets) == 4
    target = targets[1]
    assert isinstance(target, Target) and target.id == targets.ids[1]
    assert (target.crop == video.crop(2)).all() and (target.exemplar == video.crop(0)).all()
    assert (target.frame == video.frames[2]).all() and (target.box == video.boxes[2]).all()
    assert target.source == Source("noise-0", 2, "2", tuple(video.boxes[2].tolist()))
    assert [each.id for each in targets] == list(targets.ids)
    assert TargetSet.from_sequence(video, [3, 0]).ids == ("noise-0/000003", "noise-0/000000")
    with pytest.raises(IndexError):
        targets[4]


def test_frames_without_the_target_are_left_out(video) -> None:
    hidden = Sequence("hidden", video.frames, video.boxes, np.array([1, 0, 0.5, 0, 1.0]), "", "annotation")
    assert TargetSet.from_sequence(hidden).ids == ("hidden/000002", "hidden/000004")
    with pytest.raises(InputError, match="hidden"):
        TargetSet.from_sequence(hidden.subset([0, 1]))


def test_sampled_targets(video) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    samples = TargetSet.from_samples(video, images, [[0.5, -1], [2, 3]], [4, 1])
    assert samples.ids == ("noise-0/sample/000000", "noise-0/sample/000001")
    first = samples[0]
    assert first.source.code == (0.5, -1.0) and first.source.frame == 4
    assert first.crop.shape == video.crop(4).shape and (first.crop == resize(images[0], 16, 12)).all()
    assert (first.frame == video.frames[4]).all() and (first.exemplar == video.crop(0)).all()
    both = TargetSet.from_sequence(video) + samples
    assert both.ids == TargetSet.from_sequence(video).ids + samples.ids
    assert both.subset([5, 0]).ids == ("noise-0/sample/000001", "noise-0/000001")
    with pytest.raises(ValueError):
        TargetSet.from_samples(video, images, [[0.5, -1], [2, 3]], [4])
    with pytest.raises(InputError, match="sample"):
        TargetSet.from_samples(video, images / 255, [[0.5, -1], [2, 3]], [4, 1])


def test_targets_from_disk(tmp_path: Path, make_video, write_otb) -> None:
    videos = [make_video(3, seed=1), make_video(4, seed=2)]
    for name, video in zip(("b", "a"), videos, strict=True):
        write_otb(tmp_path / name, video)
    one = load_targets(str(tmp_path / "b"))
    assert one.ids == ("b/000001", "b/000002") and (one[0].crop == videos[0].crop(1)).all()
    assert one[0].source.frame_name == "0002.png"
    assert load_targets(str(tmp_path)).ids == ("a/000001", "a/000002", "a/000003", "b/000001", "b/000002")
    assert load_targets(str(tmp_path / "b")) is one


def test_rendered_targets() -> None:
    assert load_targets("synthetic").ids[:2] == ("synthetic-0/000001", "synthetic-0/000002")
    assert load_targets("synthetic:1").ids[0] == "synthetic-1/000001"


@pytest.mark.parametrize("spec", ["synthetic:x", "synthetic:-1", "/no/such/place"])
def test_targets_that_cannot_be_loaded(spec: str) -> None:
    with pytest.raises(InputError, match=spec):
        load_targets(spec)


def test_an_empty_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("")
    for path in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(InputError, match=str(path)):
            load_targets(str(path))


@pytest.fixture
def bright(make_video) -> TargetSet:
    """Targets whose left half is white, in black frames: the drop is the white that the black patch hides."""
    from tracker.data.sequences import ArrayFrames

    frames = np.zeros((5, 90, 120, 3), np.uint8)
    frames[:, 40:80, 30:50] = 255
    boxes = np.tile([30.0, 40, 40, 40], (5, 1))
    return TargetSet.from_sequence(Sequence("bright", ArrayFrames(frames), boxes, np.ones(5), "", "exact"))


@pytest.mark.parametrize("quantile", [0.1, 0.5])
def test_the_usual_drop_is_reached_by_the_share_that_it_names(bright, brightness, pixels, quantile: float) -> None:
    settings = SearchSettings(RegionLimits(max_area=0.2))
    drop = usual_drop(bright, brightness, pixels, settings, quantile, regions_each=300)
    search = Search(1, brightness, pixels, settings)
    rng = np.random.default_rng(9)
    patch = choose_occluder("background", bright[0], 0.2, rng).patch(bright[0])
    assert not patch.any()
    search.begin(np.array([0]), [bright[0]], [patch])
    regions = settings.limits.random(np.full(2000, 0.2), rng)
    fell = search.clean_score[0] - search.scores(np.zeros(2000, int), regions)
    assert 0 <= fell.min() and fell.max() <= 0.22
    assert (fell > drop + 0.005).mean() < quantile + 0.04 and (fell > drop - 0.005).mean() > quantile - 0.04


def test_the_usual_drop_depends_on_the_seed_alone_and_falls_with_the_quantile(bright, brightness, pixels) -> None:
    def measure(**kwargs: float) -> float:
        return usual_drop(bright, brightness, pixels, SearchSettings(), **kwargs)

    assert measure() == measure() != measure(seed=1)
    assert measure(quantile=0.1) > measure(quantile=0.5) > measure(quantile=0.9)


def test_the_usual_drop_takes_evenly_spaced_targets(video, brightness, pixels) -> None:
    seen: list[str] = []

    class Spy(TargetSet):
        def subset(self, indices) -> TargetSet:
            found = super().subset(indices)
            seen.extend(found.ids)
            return found

    usual_drop(Spy(TargetSet.from_sequence(video)._entries), brightness, pixels, SearchSettings(), at_most=3)
    assert seen == ["noise-0/000001", "noise-0/000003", "noise-0/000004"]
