"""What covers the targets of a batch, and which of several occlusions is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.hard_positives.transforms import (
    Background,
    Contrasting,
    Cutouts,
    HardPositiveBatch,
    Lookalikes,
    OccludedMargin,
    OccludedScore,
)
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.occluders import choose_occluder
from occlusion_env.scene.targets import TargetSet
from tracker.data.images import to_images
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError
from tracker.scorers import load_scorer

BOXES = np.array([[20.0, 10.0, 16.0, 12.0], [2.0, 30.0, 12.0, 12.0]])


class Brightness:
    """Knows images by their mean."""

    input_size = 8
    device = torch.device("cpu")

    def embed(self, crops: Tensor) -> Tensor:
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return -(exemplars - candidates).abs()[:, 0]

    def __call__(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


@pytest.fixture
def images() -> Tensor:
    """Dark on the left, bright on the right; the targets white and black."""
    found = torch.linspace(0.2, 0.8, 64).expand(2, 3, 48, 64).clone()
    for image, (x, y, w, h), colour in zip(found, BOXES.astype(int), (1.0, 0.0), strict=True):
        image[:, y : y + h, x : x + w] = colour
    return found


def test_background_is_none_of_the_target_and_each_patch_its_own(images: Tensor) -> None:
    found = Background()(images, BOXES, 0.25, 5, np.random.default_rng(0))
    assert found.shape == (2, 5, 3, 64, 64)
    assert 0.15 < found.min() and found.max() < 0.85
    assert len({round(float(patch.mean()), 4) for patch in found[0]}) > 2
    full = Background()(images[:1], np.array([[0.0, 0.0, 64.0, 48.0]]), 0.25, 2, np.random.default_rng(0))
    assert torch.allclose(full, images[:1].mean(dim=(2, 3))[:, None, :, None, None].expand_as(full), atol=1e-6)


def test_lookalikes_are_nearest_to_the_target(images: Tensor) -> None:
    plain = Background()(images, BOXES, 0.25, 16, np.random.default_rng(0)).mean(dim=(2, 3, 4))
    alike = Lookalikes(Brightness())(images, BOXES, 0.25, 1, np.random.default_rng(0)).mean(dim=(2, 3, 4))
    assert float(alike[0, 0]) == pytest.approx(float(plain[0].max()))
    assert float(alike[1, 0]) == pytest.approx(float(plain[1].min()))


def test_contrasting_pieces_differ_most_from_the_target(images: Tensor) -> None:
    """The white target takes the darkest background, the black one the brightest, and the next ones follow."""
    found = Contrasting()(images, BOXES, 0.5, 3, np.random.default_rng(0)).mean(dim=(2, 3, 4))
    assert found.shape == (2, 3)
    assert (found[0] < 0.25).all() and (found[1] > 0.75).all()
    assert (found[0].diff() >= 0).all() and (found[1].diff() <= 0).all()
    # As the occluder `contrast` of the environment: the same draws, the same piece.
    frames = ArrayFrames([to_images(images)[0]] * 2)
    video = Sequence("x", frames, np.repeat(BOXES[:1], 2, axis=0), np.ones(2), "x", "exact")
    target = TargetSet.from_sequence(video)[0]
    piece = choose_occluder("contrast", target, 0.5, np.random.default_rng(0)).patch(target)
    patch = Contrasting(256)(images[:1], BOXES[:1], 0.5, 1, np.random.default_rng(0))[0]
    np.testing.assert_allclose(to_images(patch)[0], piece, atol=2)


def test_a_target_without_background_is_covered_by_the_mean_colour(images: Tensor) -> None:
    """Few pieces are taken again in turn."""
    full = np.array([[0.0, 0.0, 64.0, 48.0]])
    found = Contrasting()(images[:1], full, 0.25, 2, np.random.default_rng(0))
    assert torch.allclose(found, images[:1].mean(dim=(2, 3))[:, None, :, None, None].expand_as(found), atol=1e-6)
    few = Contrasting(4)(images[:1], BOXES[:1], 0.25, 300, np.random.default_rng(0))
    assert few.shape == (1, 300, 3, 64, 64)
    assert Contrasting()(images[:0], BOXES[:0], 0.25, 2, np.random.default_rng(0)).shape == (0, 2, 3, 64, 64)


@pytest.mark.parametrize("among", [0, 257, 2.5, True, None])
def test_a_number_of_pieces_is_checked(among: Any) -> None:
    with pytest.raises(InputError, match="among is .*; it must be a whole number from 1 to 256"):
        Contrasting(among)


@pytest.mark.parametrize("source", [Contrasting, "contrast"])
def test_a_source_draws_patches(source: Any) -> None:
    with pytest.raises(InputError, match="source is .*; give an object that draws patches"):
        HardPositiveBatch(source=source)


def test_cutouts_are_those_given(images: Tensor) -> None:
    crops = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (51, 102)])
    found = Cutouts(crops)(images, BOXES, 0.25, 30, np.random.default_rng(0))
    assert {round(float(each.mean()), 3) for each in found.flatten(0, 1)} == {0.2, 0.4}
    for bad in (crops[:0], crops[:, :32]):
        with pytest.raises(InputError, match="cutouts are"):
            Cutouts(bad)


def test_the_worst_pair_of_region_and_patch_is_pasted(images: Tensor) -> None:
    """By a matcher that only knows brightness the worst patch is the one least like the target."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.from_numpy(BOXES).float()
    plan = HardPositiveBatch("best of 12 random", Brightness(), patches=12).plan(images, boxes, None, generator)
    means = plan.patches.mean(dim=(1, 2, 3))
    assert means[0] < 0.45 < 0.55 < means[1]
    one = HardPositiveBatch("best of 12 random", Brightness()).plan(
        images, boxes, None, torch.Generator().manual_seed(0)
    )
    assert len(one) == 2 and (plan.regions[:, 2:].prod(axis=1) == pytest.approx(0.25))


def test_no_patch_is_copied_for_each_candidate(images: Tensor) -> None:
    """Exhaustive search has hundreds of candidates; each of their patches would take 48 KiB."""
    given = []

    def objective(
        images: Tensor, boxes: np.ndarray, exemplars: Tensor | None, patches: Tensor, regions: np.ndarray
    ) -> Tensor:
        given.append((patches.shape, regions.shape))
        return torch.arange(regions.shape[0] * regions.shape[1]).reshape(regions.shape[:2]).flip(1)

    plan = HardPositiveBatch("grid", patches=2, objective=objective).plan(images, torch.from_numpy(BOXES).float())
    ((patches, regions),) = given
    assert patches == (2, 2, 3, 64, 64) and regions[1] > 100
    grid = RegionLimits().grid(0.25)
    assert (plan.regions == grid[-1]).all()


def test_candidates_take_the_patches_in_turn(images: Tensor) -> None:
    """With the same region for each, the judged scores are those of the patches."""
    patches = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]).expand(2, -1, -1, -1, -1)
    regions = np.tile([0.2, 0.2, 0.5, 0.5], (2, 5, 1))
    for objective in (OccludedScore(Brightness()), OccludedMargin(load_scorer(precision="fp32"))):
        left = objective(images, BOXES, None, patches, regions)
        assert left.shape == (2, 5)
        torch.testing.assert_close(left[:, 2:], left[:, :3])
        assert (left[:, 0] - left[:, 1]).abs().min() > 1e-3


def test_the_area_is_drawn_between_least_and_largest(images: Tensor) -> None:
    boxes = torch.from_numpy(BOXES).float().repeat(20, 1)
    batch = HardPositiveBatch("random", limits=RegionLimits(max_area=0.5), least_area=0.1)
    area = (
        batch.plan(images.repeat(20, 1, 1, 1), boxes, None, torch.Generator().manual_seed(0))
        .regions[:, 2:]
        .prod(1)
    )
    assert 0.1 <= area.min() < 0.2 and 0.4 < area.max() <= 0.5


def test_what_random_covers_by_default(images: Tensor) -> None:
    boxes = torch.from_numpy(BOXES).float().repeat(40, 1)
    plan = HardPositiveBatch("random").plan(
        images.repeat(40, 1, 1, 1), boxes, None, torch.Generator().manual_seed(0)
    )
    area = plan.regions[:, 2:].prod(axis=1)
    assert 0.05 <= area.min() < 0.1 and 0.5 < area.max() <= 0.6


def test_what_does_not_go_together() -> None:
    with pytest.raises(InputError, match="least_area is 0.4"):
        HardPositiveBatch("random", limits=RegionLimits(), least_area=0.4)
    with pytest.raises(InputError, match="covers the largest area"):
        HardPositiveBatch("grid", Brightness(), least_area=0.1)
    with pytest.raises(InputError, match="takes one patch"):
        HardPositiveBatch("hill climbing", Brightness(), patches=4)
    with pytest.raises(InputError, match="patches is 0"):
        HardPositiveBatch("random", patches=0)


@pytest.mark.parametrize("method", ["random", "best of 4 random", "grid"])
def test_a_batch_without_a_target_stays_as_it_is(images: Tensor, method: str) -> None:
    sint = load_scorer()
    batch = HardPositiveBatch(method, sint, source=Lookalikes(sint))
    assert torch.equal(batch(images, torch.zeros(2, 4)), images)
