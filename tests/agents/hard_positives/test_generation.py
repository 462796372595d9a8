"""Hard positives by both searches, and that their records are enough to make them again."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from agents.hard_positives.generation import HardPositiveGenerator
from agents.hard_positives.records import HardPositive, remake_hard_positive, write_hard_positives
from agents.policies.baselines import Querying, rank_by_contrast
from agents.policies.rollout import Agent
from occlusion_env.mdp.actions import ACTIONS, TRIGGER, RegionLimits
from occlusion_env.scene.occluders import OCCLUDERS
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import SearchSettings
from tracker.data.boxes import iou
from tracker.data.images import crop, read_image
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.scorers.outputs import score_images


class Brightness:
    """A matcher that likes bright targets: the mean of the candidate."""

    input_size = 32
    device = torch.device("cpu")

    def embed(self, crops):
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return candidates[:, 0]

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Place:
    """Features that tell nothing; the scripted policies do not look."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.zeros(len(crops), self.length)


class Scripted:
    """Plays a fixed list of action names, then the trigger."""

    def __init__(self, *names: str) -> None:
        self.names, self.time = names, 0

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        if episode_start is not None and episode_start.all():
            self.time = 0
        action = ACTIONS.index(self.names[self.time]) if self.time < len(self.names) else TRIGGER
        self.time += 1
        return np.full(len(observation), action), state


STILL = Scripted()


def video(name: str, seed: int, box=(20.0, 20.0, 40.0, 40.0), count: int = 5) -> Sequence:
    """A white target on a background that is darker the farther to the right, with noise."""
    rng = np.random.default_rng(seed)
    ramp = np.broadcast_to(np.linspace(200, 20, 160)[None, :, None], (100, 160, 3))
    frames = []
    for _ in range(count):
        frame = np.clip(ramp + rng.integers(-15, 16, ramp.shape), 0, 255).astype(np.uint8)
        x, y, w, h = (int(value) for value in box)
        frame[y : y + h, x : x + w] = rng.integers(230, 256, (h, w, 3))
        frames.append(frame)
    return Sequence(name, ArrayFrames(frames), np.tile(box, (count, 1)), np.ones(count), "test", "exact")


@pytest.fixture
def targets() -> TargetSet:
    return TargetSet.from_sequence(video("ramp", 0))


def find(targets: TargetSet, *names: str, second: tuple[str, ...] | None = None, **kwargs) -> list[HardPositive]:
    patch_policy = None if second is None else Scripted(*second)
    return generate(Scripted(*names), targets, Brightness(), Place(), patch_policy=patch_policy, **kwargs)


def generate(policy, targets: TargetSet, scorer, features, settings=None, seed: int = 5, **kwargs):
    """One hard positive a target."""
    generator = HardPositiveGenerator(policy, scorer, features=features, settings=settings, **kwargs)
    return list(generator.of_targets(targets, seed=seed))


KEYS = {
    "file_name", "target", "source", "view", "context", "box", "region", "occluder", "actions", "triggered",
    "queries", "searched_with", "background", "score_before", "score_after", "seed", "draw",
}  # fmt: skip


def test_hard_positives_are_what_their_records_say(targets: TargetSet, tmp_path) -> None:
    script = ["right", "down"] * 4
    found = find(targets, *script, answer="last")
    assert [hard.target.id for hard in found] == list(targets.ids)
    count = write_hard_positives(tmp_path / "hard_positives", found)
    lines = (tmp_path / "hard_positives" / "metadata.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert count == len(records) == 4
    for record, hard in zip(records, found, strict=True):
        assert set(record) == KEYS
        assert record["source"]["video"] == "ramp" and record["source"]["box"] == [20, 20, 40, 40]
        assert record["actions"] == [*script, "trigger"] and record["triggered"] and record["seed"] == 5
        assert record["background"] is None and record["occluder"] == record["searched_with"]
        image = read_image(tmp_path / "hard_positives" / record["file_name"])
        assert image.shape == (40, 40, 3) and (image == hard.image).all()
        again = score_images(Brightness(), [hard.target.exemplar], [image])
        assert again[0] == pytest.approx(record["score_after"], abs=1e-5)
        assert record["score_after"] < record["score_before"] - 0.05
        assert record["region"] == pytest.approx([0.5, 0.5, 0.5, 0.5])
        assert (image[:19] == hard.target.crop[:19]).all() and (
            image[20:, 20:] != hard.target.crop[20:, 20:]
        ).any()


def test_batches_do_not_change_the_result(targets: TargetSet) -> None:
    whole = find(targets, second=("right", "smaller"))
    parts = find(targets, second=("right", "smaller"), batch=3)
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a.image, b.image) and a.record() == b.record()
    boxes = {hard.searched_with.box for hard in whole}
    assert len(boxes) == 4
    assert boxes != {h.searched_with.box for h in generate(STILL, targets, Brightness(), Place(), seed=6)}


def test_the_second_search_finds_what_to_occlude_the_region_of_the_first_with() -> None:
    targets = TargetSet.from_sequence(video("ramp", 0, count=13))
    first = find(targets, "left", "up")
    both = find(targets, "left", "up", second=("right",) * 19)
    for one, two in zip(first, both, strict=True):
        assert (one.region == two.region).all() and one.background is None
        assert two.searched_with == one.searched_with == one.occluder
        episode = two.background
        assert episode is not None and episode.boxes.shape == (len(episode.episode.actions) + 1, 4)
        assert iou(episode.boxes, two.target.box).max() == 0
        # It starts beside the target with the region's size, and the farther right the darker.
        assert episode.boxes[0, 2:] == pytest.approx([20, 20])
        assert episode.boxes[-1, 0] > episode.boxes[0, 0] or episode.boxes[0, 0] > 135
        best = episode.boxes[episode.episode.scores.argmin()]
        if two.occluder != one.occluder:
            assert two.occluder.box == tuple(best)
            assert (two.patch == crop(two.target.frame, best, 64)).all()
        assert two.score_after <= one.score_after + 1e-3
    assert sum(two.score_after < one.score_after - 0.01 for one, two in zip(first, both, strict=True)) >= 4


def test_best_and_last(targets: TargetSet) -> None:
    """Shrinking uncovers the target, so the best region is the first; a worse patch is dropped."""
    best = find(targets, "smaller", "smaller", second=("left",) * 19)
    last = find(targets, "smaller", "smaller", second=("left",) * 19, answer="last")
    for one, two in zip(best, last, strict=True):
        assert one.region == pytest.approx([0.25, 0.25, 0.5, 0.5])
        assert two.region == pytest.approx([0.34, 0.34, 0.32, 0.32])
        assert two.occluder.box == tuple(two.background.boxes[-1])
        assert one.score_after < two.score_after
        lowest = min(one.episode.scores.min(), one.background.episode.scores.min())
        assert one.score_after == pytest.approx(lowest, abs=0.01)
    with pytest.raises(InputError, match="middle"):
        find(targets, answer="middle")


@pytest.mark.parametrize("occluder", OCCLUDERS)
@pytest.mark.parametrize("second", [None, ("right", "bigger", "down")])
def test_a_hard_positive_is_made_again_from_its_record_and_the_video(
    occluder: str, second: tuple[str, ...] | None, tmp_path
) -> None:
    """Bit for bit, from what was written and nothing else; the video is opened anew."""

    def videos() -> TargetSet:
        return TargetSet.from_sequence(video("ramp", 0)) + TargetSet.from_sequence(
            video("other", 1, (90.3, 31.7, 41.9, 33.2))
        )

    script = ("fatter", "up", "left")
    found = find(videos(), *script, second=second, occluder=occluder)
    write_hard_positives(tmp_path / "out", found)
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 8
    for line in lines:
        record = json.loads(line)
        image = read_image(tmp_path / "out" / record["file_name"])
        again = remake_hard_positive(record, videos())
        assert again.shape == image.shape and (again == image).all()
        assert (record["background"] is not None) == (second is not None)
        kind = "background" if occluder == "contrast" else occluder
        assert record["searched_with"]["kind"] == kind
    kinds = {json.loads(line)["occluder"]["kind"] for line in lines}
    assert kinds <= {kind, "background"} and (second is not None or kinds == {kind})


def test_both_searches_can_be_gone_through_again(targets: TargetSet) -> None:
    """The records hold the actions and where the second search started: that leads to the same boxes."""
    script, second = ("right", "taller"), ("up", "right", "smaller")
    for hard in find(targets, *script, second=second):
        record = hard.record()
        assert record["actions"] == [*script, "trigger"]
        assert record["background"]["actions"] == [*second, "trigger"] and record["background"]["triggered"]
        assert record["background"]["queries"] == len(np.unique(hard.background.boxes.round(9), axis=0))
        assert record["background"]["start"] == hard.background.boxes[0].tolist()


def test_a_synthetic_video_with_networks(tmp_path) -> None:
    from tracker.models.backbones import FeatureExtractor
    from tracker.scorers import load_scorer

    scorer = load_scorer()
    features = FeatureExtractor(scorer.backbone, "fc7")
    targets = TargetSet.from_sequence(synthetic_sequence(3, frames=6))
    found = generate(
        Scripted("right", "fatter"), targets, scorer, features, SearchSettings(history=2),
        patch_policy=Agent("second", lambda search: Scripted("down", "right"), SearchSettings(history=4)),
    )  # fmt: skip
    again = TargetSet.from_sequence(synthetic_sequence(3, frames=6))
    for hard in found:
        assert (remake_hard_positive(json.loads(json.dumps(hard.record())), again) == hard.image).all()
        assert hard.score_after < hard.score_before


@pytest.mark.parametrize(("name", "queries"), [("random", 1), ("best-of-6-random", 6), ("contrast", 3)])
def test_a_method_finds_the_patch(targets: TargetSet, name: str, queries: int) -> None:
    alone = generate(STILL, targets, Brightness(), Place())
    found = generate(STILL, targets, Brightness(), Place(), patch_policy=name)
    for one, two in zip(alone, found, strict=True):
        assert (one.region == two.region).all() and one.searched_with == two.searched_with
        record = two.record()["background"]
        assert record["queries"] == queries and record["actions"] == [] and not record["triggered"]
        assert two.score_after <= one.score_after + 1e-6
        if two.occluder != one.occluder:
            assert record["start"] == list(two.occluder.box)
        assert iou(two.background.boxes, two.target.box).max() == 0


def test_no_patch_of_a_query_method_makes_a_hard_positive_easier(targets: TargetSet) -> None:
    """A random patch is no match for the contrasting one of the first search, whichever answer is wanted."""
    alone = generate(STILL, targets, Brightness(), Place(), occluder="contrast", answer="last")
    found = generate(
        STILL, targets, Brightness(), Place(), occluder="contrast", answer="last", patch_policy="random"
    )
    assert all(
        two.background.episode.best.score > one.score_after + 0.02 for one, two in zip(alone, found, strict=True)
    )
    assert [hard.score_after for hard in found] == [hard.score_after for hard in alone]
    # An agent's last patch is the answer, also where it is worse.
    for one, two in zip(alone, find(targets, second=("left",), occluder="contrast", answer="last"), strict=True):
        assert two.occluder.box == tuple(two.background.boxes[-1]) and two.score_after > one.score_after


def test_contrast_takes_the_darkest_piece_for_a_white_target(targets: TargetSet) -> None:
    """The farther right the darker; its first query is already below the best of many random patches."""
    one = Querying(rank_by_contrast, 1)
    found = generate(STILL, targets, Brightness(), Place(), patch_policy=one)
    random = generate(STILL, targets, Brightness(), Place(), patch_policy="best of 20 random")
    for hard, other in zip(found, random, strict=True):
        x, _, w, h = hard.occluder.box
        assert x + w > 145 and [w, h] == pytest.approx([7, 7]), "0.35 of the region's 20 pixels"
        assert hard.score_after < other.score_after
    assert len({hard.occluder for hard in found}) == 4, "every target draws its own pieces"
    first = generate(STILL, targets, Brightness(), Place(), occluder="contrast")
    assert all(hard.occluder.box[0] > 130 and hard.background is None for hard in first)


def test_methods_for_the_patch_and_for_the_region_are_not_mixed_up(targets: TargetSet) -> None:
    for wrong in ("grid", "smoke", "belief"):
        with pytest.raises(
            InputError, match=f"'{wrong}' finds no patch; choose contrast, random, best of K random"
        ):
            HardPositiveGenerator(scorer=Brightness(), patch_policy=wrong)
    with pytest.raises(InputError, match="'contrast' is no method"):
        HardPositiveGenerator("contrast", Brightness())
    with pytest.raises(InputError, match="Contrast ranks patches; give another method"):
        generate(Querying(rank_by_contrast, 1), targets, Brightness(), Place())


def test_the_patch_of_a_large_region_is_searched_with_other_settings(targets: TargetSet) -> None:
    """The region keeps to the limits of its own search, the boxes to the step of theirs."""
    wide = SearchSettings(limits=RegionLimits(max_area=0.6))
    second = Agent("second", lambda search: Scripted("right"), SearchSettings(limits=RegionLimits(step=0.5)))
    for hard in generate(STILL, targets, Brightness(), Place(), wide, patch_policy=second):
        assert hard.region[2] * hard.region[3] == pytest.approx(0.6)
        (first, *_), (moved, *_) = hard.background.boxes[:2]
        assert moved - first == pytest.approx(min(0.5 * hard.background.boxes[0, 2], 160 - first - 40 * 0.6**0.5))


def test_a_target_without_background_keeps_the_first_patch() -> None:
    targets = TargetSet.from_sequence(video("full", 0, (0.0, 0.0, 160.0, 100.0)))
    found = find(targets + TargetSet.from_sequence(video("ramp", 0)), second=("right",))
    assert [hard.background is None for hard in found] == [True] * 4 + [False] * 4
    assert found[0].occluder.kind == "mean" == found[0].searched_with.kind
    assert (remake_hard_positive(found[0].record(), targets) == found[0].image).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("region"), "region"),
        (lambda record: record.update(region="all"), "garbles"),
        (lambda record: record.update(target="nobody/000001"), "nobody/000001.*video"),
        (lambda record: record.pop("occluder"), "occluder"),
        (lambda record: record.update(occluder={"kind": "noise"}), "no occluder"),
        (lambda record: record["occluder"].update(kind="smoke"), "'smoke' is no occluder"),
        (lambda record: record["occluder"].update(box=[1, 2]), "no occluder"),
        (lambda record: record["occluder"].update(kind="cutout", target="x/000001"), "x/000001"),
    ],
)
def test_a_record_that_cannot_be_used_is_told(targets: TargetSet, change: Callable, message: str) -> None:
    record = json.loads(json.dumps(find(targets)[0].record()))
    change(record)
    with pytest.raises(InputError, match=message):
        remake_hard_positive(record, targets)


def test_a_scorer_that_fails_is_named(targets: TargetSet) -> None:
    class Broken(Brightness):
        def embed(self, crops):
            raise RuntimeError("no memory")

    with pytest.raises(InputError, match=r"Broken failed \(RuntimeError: no memory\)"):
        generate(STILL, targets, Broken(), Place())


def test_a_cutout_needs_another_video(targets: TargetSet) -> None:
    with pytest.raises(InputError, match="cutout.*another video than 'ramp'"):
        find(targets, occluder="cutout")
    with pytest.raises(InputError, match="smoke"):
        find(targets, occluder="smoke")
