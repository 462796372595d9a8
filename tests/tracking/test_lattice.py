"""The lattice's scores are those of SINT's descriptor, box by box."""

import numpy as np
import pytest
import torch

from tracker.models.backbones import load_backbone
from tracker.models.sint import sint_embedding
from tracker.trackers.sint.lattice import Lattice, LatticeMatcher


@pytest.fixture(scope="module")
def slim():
    return load_backbone("slim")


@pytest.fixture(scope="module")
def maps(slim):
    image = torch.rand(1, 3, 176, 176, generator=torch.Generator().manual_seed(3))
    image = torch.nn.functional.avg_pool2d(image, 9, 1, 4)
    with torch.inference_mode():
        return image, slim.maps(image, slim.sint_layers)


def rois(corners):
    return torch.from_numpy(np.insert(corners, 0, 0, axis=1)).float()


def all_corners(lattice):
    shape = (len(lattice.sizes), lattice.rows, lattice.columns)
    scale, row, column = (index.ravel() for index in np.indices(shape))
    return lattice.corners(scale, row, column), shape


@pytest.mark.parametrize(
    ("size", "reach"),
    [((90, 60), 14.0), ((112, 120), 8.0), ((130, 50), 9.0), ((150, 140), 3.0)],
    ids=["bins below a cell", "of a cell", "across alone above", "above"],
)
@torch.inference_mode()
def test_scores_are_the_cosines_of_the_descriptors(slim, maps, size, reach):
    """RoI-align averages `ceil(cells a bin)` samples; a bin of the slim net's maps is a cell at 112 pixels."""
    image, found = maps
    size = np.array(size, dtype=float)
    lattice = Lattice.reaching((86.0, 89.0), size, (0.9, 1.0, 1.1), reach, 14)
    alone = Lattice.reaching((87.0, 90.0), size, (1.0,), 0.0, 14)
    matcher = LatticeMatcher(slim, found, alone, keep=10_000)
    scores = matcher.score(found, lattice)
    corners, shape = all_corners(lattice)
    exemplar = sint_embedding(slim, image, rois(all_corners(alone)[0]))
    expected = (sint_embedding(slim, image, rois(corners)) @ exemplar[0]).view(shape)
    assert scores.shape == shape
    inside = torch.from_numpy(((corners >= 0) & (corners <= 176)).all(1)).view(shape)
    assert inside.float().mean() > 0.3
    torch.testing.assert_close(scores[inside], expected[inside], atol=1e-5, rtol=0)
    assert expected[inside].max() - expected[inside].min() > 0.05


@torch.inference_mode()
def test_a_smaller_keep_scores_the_best_alone(slim, maps):
    _, found = maps
    size = np.array([80.0, 80.0])
    lattice = Lattice.reaching((88.0, 88.0), size, (1.0,), 20.0, 14)
    alone = Lattice.reaching((80.0, 90.0), size, (1.0,), 0.0, 14)
    whole = LatticeMatcher(slim, found, alone, keep=10_000).score(found, lattice)
    some = LatticeMatcher(slim, found, alone, keep=9).score(found, lattice)
    kept = torch.isfinite(some)
    assert kept.sum() == 9
    torch.testing.assert_close(some[kept], whole[kept])
    assert (some[~kept] == -torch.inf).all()


@torch.inference_mode()
def test_the_exemplar_finds_itself(slim, maps):
    _, found = maps
    size = np.array([70.0, 84.0])
    alone = Lattice.reaching((84.0, 96.0), size, (1.0,), 0.0, 14)
    lattice = Lattice.reaching((84.0 - 3 * 70 / 14, 96.0 + 2 * 84 / 14), size, (1.0,), 40.0, 14)
    scores = LatticeMatcher(slim, found, alone).score(found, lattice)
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    corners = lattice.corners(*(np.array([index]) for index in best))[0]
    np.testing.assert_allclose(corners, [49, 54, 119, 138], atol=1e-9)
    assert scores.max() == pytest.approx(1.0, abs=1e-5)


def test_a_lattice_reaches_as_far_as_asked():
    lattice = Lattice.reaching((50.0, 60.0), np.array([28.0, 14.0]), (0.5, 1.0), 10.0, 14)
    corners, shape = all_corners(lattice)
    assert shape == (2, 21, 11)
    ones = corners.reshape(*shape, 4)[1]
    np.testing.assert_allclose(ones[0, 0], [50 - 10 - 14, 60 - 10 - 7, 50 - 10 + 14, 60 - 10 + 7])
    np.testing.assert_allclose(ones[-1, -1], [50 + 10 - 14, 60 + 10 - 7, 50 + 10 + 14, 60 + 10 + 7])
    np.testing.assert_allclose(corners.reshape(*shape, 4)[0, 10, 5], [43, 56.5, 57, 63.5])


def test_a_tiny_target_asks_for_no_more_than_four_boxes_each_way():
    lattice = Lattice.reaching((50.0, 60.0), np.array([0.5, 60.0]), (1.0,), 112.0, 14)
    assert (lattice.columns, lattice.rows) == (113, 55)
