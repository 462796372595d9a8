"""The score taken apart by place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tracker.models.backbones import load_backbone
from tracker.scorers import SintScorer
from tracker.scorers.attribution import cell_contributions, embedded_contributions


@pytest.fixture(scope="module")
def scorer() -> SintScorer:
    return SintScorer(load_backbone("slim"), "fp32")


@pytest.fixture(scope="module")
def crops() -> Tensor:
    coarse = torch.rand(4, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=112, mode="bilinear")


def test_cells_and_fc6_add_up_to_the_score(scorer, crops) -> None:
    found = cell_contributions(scorer, crops[:2], crops[2:])
    assert found.shape == (2, 2, 7, 7) and found.dtype == torch.float32
    fc6 = (scorer.embed(crops[:2]) * scorer.embed(crops[2:]))[:, -256:].sum(dim=1)
    assert torch.allclose(found.sum(dim=(1, 2, 3)) + fc6, scorer(crops[:2], crops[2:]), atol=1e-5)


def test_without_fc6_the_cells_are_the_whole_score(vgg_file: Path) -> None:
    scorer = SintScorer(load_backbone("vgg16", vgg_file), "fp32")
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = cell_contributions(scorer, crops[:1], crops[1:])
    assert found.sum() == pytest.approx(scorer(crops[:1], crops[1:]).item(), abs=1e-5)


def test_a_part_of_a_target_with_itself_is_a_third_each(scorer, crops) -> None:
    """Each part is a unit vector before the three are joined, so each weighs the same."""
    found = cell_contributions(scorer, crops, crops)
    assert found.sum(dim=(2, 3)) == pytest.approx(torch.full((4, 2), 1 / 3), abs=1e-5)
    assert (found >= 0).all()


def test_places_are_where_they_are(scorer, crops) -> None:
    """Two targets that share their upper right quarter alone are alike there: rows go down, columns right."""
    other = crops[2:3].clone()
    other[:, :, :56, 56:] = crops[:1, :, :56, 56:]
    alone = cell_contributions(scorer, crops[:1], crops[2:3])[0].sum(dim=0)
    shared = cell_contributions(scorer, crops[:1], other)[0].sum(dim=0)
    gain = shared - alone
    assert gain[:3, 4:].mean() > 2 * gain.abs().mean()
    assert gain[:3, 4:].mean() > 10 * max(gain[:3, :3].mean(), gain[4:, 4:].mean(), gain[4:, :3].mean())


def test_embedded_pairs_give_the_same(scorer, crops) -> None:
    exemplars, candidates = scorer.embed(crops[:2]), scorer.embed(crops[2:])
    found = embedded_contributions(scorer.backbone, exemplars, candidates)
    assert torch.equal(found, cell_contributions(scorer, crops[:2], crops[2:]))
