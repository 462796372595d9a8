"""The generator of hard positives: images, boxes, targets, manifolds, and any policy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import vae
from agents import HardPositiveGenerator, remake_hard_positive
from agents.hard_positives import pictures
from agents.hard_positives.image_targets import image_targets
from agents.manifolds.target_samples import Manifolds
from agents.policies.baselines import BASELINES, HillClimbing, Querying, RandomRegions
from agents.policies.belief import BeliefSearch
from agents.policies.methods import as_method
from agents.policies.rollout import Agent
from occlusion_env.mdp.actions import ACTIONS, TRIGGER
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search, SearchSettings
from tracker.errors import InputError
from tracker.scorers import SintScorer


class Brightness:
    """A matcher that likes bright targets, and counts what it embeds."""

    input_size = 32
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.embedded: list[int] = []

    def embed(self, crops):
        self.embedded.append(len(crops))
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return 1 - (exemplars - candidates)[:, 0].abs()

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class Place:
    """Features that tell nothing."""

    input_size = 8
    length = 4

    def __call__(self, crops):
        return torch.zeros(len(crops), self.length)


class Right:
    """A policy: twice to the right, then the trigger."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        times = np.zeros(len(observation), int) if state is None else state[0]
        action = np.where(times < 2, ACTIONS.index("right"), TRIGGER)
        return action, (times + 1,)


BLACK = np.zeros((9, 9, 3), np.uint8)
BOXES = np.array([[20, 10, 40, 30], [5, 5, 30, 30], [50.4, 20.6, 29.5, 39.7]])


@pytest.fixture
def images() -> list[np.ndarray]:
    """Dark noise with a target that is dark on the left and bright on the right; of different sizes."""
    rng = np.random.default_rng(0)
    made = []
    for number, (x, y, w, h) in enumerate(BOXES.astype(int)):
        image = rng.integers(0, 60, (70 + number, 100 + 3 * number, 3), dtype=np.uint8)
        ramp = np.linspace(60, 230, w).astype(np.uint8)
        image[y : y + h, x : x + w] = ramp[None, :, None]
        made.append(image)
    return made


def test_images_and_boxes_to_hard_positives(images) -> None:
    make = HardPositiveGenerator("grid", Brightness())
    found = make(images, BOXES, draws=2, seed=3)
    assert len(found) == 6 and found.regions.shape == (6, 4)
    assert [one.draw for one in found] == [0, 1] * 3
    assert [one.target.id for one in found] == [f"image-{n:06d}/000000" for n in (0, 0, 1, 1, 2, 2)]
    assert found.scores_before == pytest.approx(np.ones(6))
    assert (found.scores_after < 0.9).all()
    # The bright side is covered, and nothing else changes.
    assert (found.regions[:, 0] + found.regions[:, 2] > 0.99).all()
    for number, one in enumerate(found):
        x, y, w, h = BOXES[number // 2]
        left, top = round(x), round(y)
        target = images[number // 2][top : round(y + h), left : round(x + w)]
        assert one.image.shape == target.shape and (one.target.crop == target).all()
        assert (one.image[:, : target.shape[1] // 4] == target[:, : target.shape[1] // 4]).all()
        assert (one.image != target).any()
    assert found[0].occluder != found[1].occluder


def test_each_can_be_made_again_from_its_record_bit_for_bit(images) -> None:
    for method in ("random", "best-of-5-random", Right()):
        found = HardPositiveGenerator(method, Brightness(), features=Place())(images, BOXES, draws=2, seed=1)
        again = image_targets(images, BOXES)
        for record, one in zip(json.loads(json.dumps([one.record() for one in found])), found, strict=True):
            assert (remake_hard_positive(record, again) == one.image).all()
            assert record["seed"] == 1 and record["draw"] == one.draw


def test_the_contact_sheet_says_how_the_region_was_found(images, tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.append(figure))
    for method in ("best-of-5-random", Right()):
        found = HardPositiveGenerator(method, Brightness(), features=Place())(images, BOXES, seed=1)
        pictures.draw_contact_sheet(tmp_path / "sheet.png", list(found), "title", rows=1)
    queried, stepped = (figure.axes[2].get_xlabel() for figure in drawn)
    assert queried == "best of 5 queries"
    assert stepped.startswith("best at step ") and stepped.endswith(" of 3")


def test_exemplars_of_any_size_are_what_is_compared_with(images) -> None:
    dark = [np.zeros((80, 200, 3), np.uint8), np.zeros((3, 4, 3), np.uint8), np.zeros((70, 100, 3), np.uint8)]
    make = HardPositiveGenerator("grid", Brightness())
    found = make(images, BOXES, dark, names=["a", "b", "c"])
    assert [one.target.id for one in found] == ["a/000001", "b/000001", "c/000001"]
    for one, exemplar in zip(found, dark, strict=True):
        assert (one.target.exemplar == exemplar).all()
    # Against a dark exemplar a bright target hurts most: the dark side is covered, if any.
    assert found.scores_before == pytest.approx([0.43] * 3, abs=0.05)
    assert (found.regions[:, 0] < 0.4).all()


def test_what_is_drawn_for_a_target_is_its_own(images) -> None:
    """Whatever the batch, the other targets, and the number of draws."""
    for method in ("random", Querying(RandomRegions, 2), "best of 3 random"):
        whole = HardPositiveGenerator(method, Brightness())(images, BOXES, draws=3, seed=5)
        small = HardPositiveGenerator(method, Brightness(), batch=2)(images, BOXES, draws=3, seed=5)
        alone = HardPositiveGenerator(method, Brightness())(
            images[1:2], BOXES[1:2], names=["image-000001"], seed=5
        )
        for one, two in zip(whole, small, strict=True):
            assert (one.image == two.image).all() and one.region.tolist() == two.region.tolist()
        assert (alone[0].image == whole[3].image).all()
        assert len({tuple(one.region) for one in whole}) == 9
        other = HardPositiveGenerator(method, Brightness())(images, BOXES, draws=3, seed=6)
        assert not (other.regions == whole.regions).all(axis=1).any()


def test_the_best_of_many_hurts_more_than_one(images) -> None:
    one, many, all_ = (
        HardPositiveGenerator(method, Brightness())(images, BOXES, draws=4).scores_after.mean()
        for method in ("random", "best of 30 random", "grid")
    )
    assert one > many + 0.02 and many >= all_ - 0.01


def test_every_forward_pass_is_batched(images) -> None:
    scorer = Brightness()
    HardPositiveGenerator("best of 10 random", scorer)(images, BOXES, draws=4)
    assert len(scorer.embedded) <= 5, scorer.embedded


def test_a_policy_acts_in_its_own_search(images) -> None:
    settings = SearchSettings(history=3)
    agent = Agent("right", lambda search: Right(), settings, Place())
    make = HardPositiveGenerator(agent, Brightness(), answer="last")
    assert make.settings is settings and make.features is agent.features
    found = make(images, BOXES)
    assert [one.episode.actions for one in found] == [("right", "right", "trigger")] * 3
    assert found.regions[:, 0] == pytest.approx([0.45] * 3)
    best = HardPositiveGenerator(Right(), Brightness(), features=Place())(images, BOXES)
    assert (best.scores_after <= found.scores_after + 1e-9).all()


def test_targets_come_one_batch_at_a_time(images) -> None:
    class Watched(TargetSet):
        read: list[int] = []

        def __getitem__(self, index):
            self.read.append(index)
            return super().__getitem__(index)

    targets = Watched(image_targets(images * 4, np.tile(BOXES, (4, 1)))._entries)
    found = HardPositiveGenerator("centre", Brightness(), batch=3).of_targets(targets)
    next(found)
    assert Watched.read == [0, 1, 2]
    assert len(list(found)) == 11


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> vae.VAEBank:
    made = vae.VAEBank(tmp_path_factory.mktemp("bank"))
    crops = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), dtype=np.uint8)
    made.train(
        "a", crops, model_config=vae.VAEConfig(image_size=16, hidden=12, latent=3),
        training=vae.TrainingConfig(epochs=3),
    )  # fmt: skip
    return made


def test_samples_of_a_manifold(images, bank) -> None:
    make = HardPositiveGenerator("random", Brightness(), vae_bank=bank)
    found = make(images[:1], BOXES[:1], names=["a"], draws=5, seed=2)
    codes = {one.target.source.code for one in found}
    assert len(codes) == 5 and None not in codes
    real = image_targets(images[:1], BOXES[:1], names=["a"])
    for one in found:
        assert one.target.crop.shape == (30, 40, 3) and (one.target.crop != real[0].crop).any()
        record = json.loads(json.dumps(one.record()))
        again = remake_hard_positive(record, real, Manifolds(vae.VAEBank(bank.folder)))
        assert (again == one.image).all()
        with pytest.raises(InputError, match="give the bank"):
            remake_hard_positive(record, real)
    record["source"]["code"] = [0.0]
    with pytest.raises(InputError, match="has 1 numbers, and the model 3"):
        remake_hard_positive(record, real, Manifolds(bank))
    with pytest.raises(InputError, match="no model of the video 'b'"):
        make(images[:1], BOXES[:1], names=["b"])


def test_samples_are_drawn_around_their_own_target(images, bank) -> None:
    """The mean of many codes of a target is its own mean, within the deviation of q(z|x)."""
    target = image_targets(images[:1], BOXES[:1], names=["a"])[0]
    manifolds, rng = Manifolds(bank), np.random.default_rng(0)
    codes = np.array([manifolds.draw(target, rng).source.code for _ in range(400)])
    from tracker.data.images import resize

    mu, sigma = bank["a"].posterior(resize(target.crop, 16, 16)[None])
    assert codes.mean(axis=0) == pytest.approx(mu[0], abs=4 * float(sigma[0].max()) / 20)
    assert codes.std(axis=0) == pytest.approx(sigma[0], rel=0.15)


def test_the_belief_is_the_default(images) -> None:
    """Its prior is chosen at the first call and stays; without a matcher it is SINT's."""
    make = HardPositiveGenerator(scorer=Brightness())
    with pytest.warns(
        UserWarning,
        match="Brightness at .*; one is fitted to grid search on 3 of the targets",
    ):
        found = make(images, BOXES, draws=2, seed=1)
    assert {one.record()["queries"] for one in found} == {10}
    assert (found.regions[:, 0] + found.regions[:, 2] > 0.99).all()
    make.scorer.embedded.clear()
    make(images, BOXES, seed=1)
    assert sum(make.scorer.embedded) < 3 * 15
    for given in (None, "sint"):
        assert isinstance(HardPositiveGenerator(scorer=given).scorer, SintScorer)


def test_a_wanted_drop(images) -> None:
    make = HardPositiveGenerator(BeliefSearch(queries=20, wanted=0.05), Brightness())
    with pytest.warns(UserWarning, match="no prior"):
        found = make(images, BOXES, seed=1)
    assert found.scores_before - found.scores_after == pytest.approx([0.05] * 3, abs=0.02)
    with pytest.raises(InputError, match="A search for the patch lowers the score below a wanted drop"):
        HardPositiveGenerator(BeliefSearch(wanted=0.05), Brightness(), patch_policy=Right())


def test_methods_by_name() -> None:
    assert as_method("random") == BASELINES["random"] and as_method("best-of-7-random") == Querying(
        RandomRegions, 7
    )
    assert as_method(Querying(HillClimbing, 9)).queries == 9 and as_method("grid") is BASELINES["grid"]
    assert as_method("hill-climbing").looks is False and as_method(Right()).looks is True


def test_random_regions_have_the_largest_area() -> None:
    search = Search(2, Brightness(), Place(), SearchSettings())
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    targets = list(image_targets([image, image], [[5, 5, 20, 20]] * 2))
    search.begin(np.arange(2), targets, [np.zeros((64, 64, 3), np.uint8)] * 2)
    found = Querying(RandomRegions, 6).find(search, [np.random.default_rng(1), np.random.default_rng(1)])
    assert found[0].last.region.tolist() == found[1].last.region.tolist()
    assert found[0].last.region[2] * found[0].last.region[3] == pytest.approx(0.25)
    assert found[0].actions == () and found[0].best.score == search.scores([0], found[0].last.region[None])[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HardPositiveGenerator("smoke", Brightness()), "'smoke' is no method; choose belief, random"),
        (lambda: HardPositiveGenerator("best of 0 random", Brightness()), "0 queries"),
        (lambda: HardPositiveGenerator("random", Brightness(), "smoke"), "'smoke' is no occluder"),
        (lambda: HardPositiveGenerator("random", Brightness(), answer="middle"), "middle"),
        (lambda: HardPositiveGenerator("random", Brightness(), batch=0), "batch of 0"),
        (lambda: HardPositiveGenerator("random", "smoke"), "'smoke' is no scorer; give sint"),
        (lambda: next(HardPositiveGenerator("random").of_targets("drawn")), "'drawn'; give a TargetSet"),
        (lambda: HardPositiveGenerator("random")([BLACK], [[1, 1, 5, 5]], draws=1.5), "draws is 1.5"),
        (lambda: HardPositiveGenerator("attribution", Brightness())([BLACK], [[1, 1, 5, 5]]), "is no SintScorer"),
        (lambda: image_targets([BLACK], [[1, 1, 5]]), r"1 images, boxes \[1, 3\]"),
        (lambda: image_targets([BLACK], [[1, 1, 0, 5]]), "box of frame 0 of 'image-000000'"),
        (lambda: image_targets([BLACK[..., 0]], [[1, 1, 5, 5]]), "Image 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
