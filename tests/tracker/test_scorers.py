from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tracker.errors import InputError
from tracker.models.backbones import Backbone, Slim, load_backbone, roi_pool
from tracker.models.sint import join_parts, sint_embedding
from tracker.scorers import Scorer, SintScorer, load_scorer, shared_backbone


@pytest.fixture(scope="module")
def slim() -> Backbone:
    torch.manual_seed(0)
    return Slim().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def scorer(slim) -> SintScorer:
    return SintScorer(slim, "fp32")


@pytest.fixture(scope="module")
def crops() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(3, 3, 1, 1, generator=generator).expand(3, 3, 112, 112)
    return torch.cat([torch.rand(3, 3, 112, 112, generator=generator), flat])


def test_it_is_a_scorer(scorer) -> None:
    assert isinstance(scorer, Scorer) and scorer.input_size == 112 and scorer.device.type == "cpu"
    assert not isinstance(object(), Scorer)


def test_embeddings_are_unit_vectors_of_three_parts(scorer, crops) -> None:
    found = scorer.embed(crops)
    assert found.shape == (6, 192 * 49 + 128 * 49 + 256) and found.dtype == torch.float32
    assert found.norm(dim=1) == pytest.approx([1] * 6, abs=1e-5)
    for part in found.split([192 * 49, 128 * 49, 256], dim=1):
        assert part.square().sum(dim=1) == pytest.approx([1 / 3] * 6, abs=1e-5)


def test_the_embedding_by_hand(slim, scorer, crops) -> None:
    layers = slim(crops, ["conv4", "conv5", "fc6"])
    parts = [roi_pool(layers["conv4"]).flatten(1), roi_pool(layers["conv5"]).flatten(1), layers["fc6"]]
    by_hand = torch.cat([part / part.norm(dim=1, keepdim=True) for part in parts], dim=1) / 3**0.5
    assert torch.allclose(scorer.embed(crops), by_hand, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores(slim, crops, precision) -> None:
    scorer = SintScorer(slim, precision)
    first, second = crops[:5], crops[1:]
    score = scorer(first, second)
    assert score.shape == (5,) and score.dtype == torch.float32
    assert scorer(crops, crops.clone()) == pytest.approx([1] * 6, abs=1e-5)
    assert score.abs().max() <= 1 and score.max() < 0.9999
    assert torch.allclose(scorer(second, first), score, atol=1e-6)


def test_comparing_is_the_cosine(scorer) -> None:
    first, second = torch.tensor([[0.6, 0.8], [1.0, 0.0]]), torch.tensor([[0.8, 0.6], [-1.0, 0.0]])
    assert scorer.compare(first, second).tolist() == pytest.approx([0.96, -1])


def test_join_parts() -> None:
    found = join_parts([torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, -2.0, 0.0]])])
    half = 0.5**0.5
    assert found[0].tolist() == pytest.approx([0.6 * half, 0.8 * half, 0, -half, 0])


def test_a_box_of_the_whole_image_is_the_image(scorer, crops) -> None:
    boxes = torch.tensor([[1, 0, 0, 112, 112], [0, 0, 0, 112, 112]]).float()
    assert torch.allclose(scorer.embed(crops, boxes), scorer.embed(crops)[[1, 0]], atol=1e-5)


def test_regions_of_a_larger_image(scorer, crops) -> None:
    """What lies in the box counts, not what lies elsewhere; far from the border it is nearly the crop's own."""
    image = torch.full((1, 3, 240, 240), 0.5)
    image[0, :, 64:176, 64:176] = crops[0]
    boxes = torch.tensor([[0, 64, 64, 176, 176], [0, 0, 0, 60, 60]]).float()
    found = scorer.embed(image, boxes)
    assert found.shape[0] == 2
    own, elsewhere = scorer.compare(scorer.embed(crops[:1]).expand(2, -1), found).tolist()
    assert own > 0.97 and own > elsewhere + 0.02


def test_without_fully_connected_layers_two_parts_are_compared(vgg_file: Path) -> None:
    backbone = load_backbone("vgg16", vgg_file)
    found = SintScorer(backbone, "bf16").embed(
        torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    )
    assert found.shape == (1, 2 * 512 * 49) and found.norm().item() == pytest.approx(1, abs=1e-4)
    assert found[:, : 512 * 49].square().sum().item() == pytest.approx(0.5, abs=1e-4)


def test_the_embedding_can_be_trained(crops) -> None:
    torch.manual_seed(2)
    net = Slim()
    embedded = sint_embedding(net, crops[:2])
    (1 - (embedded[0] * embedded[1]).sum()).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert gradients["conv1.weight"].abs().max() > 0 and gradients["fc6.weight"].abs().max() > 0
    assert gradients["fc7.weight"] is None


def test_scoring_leaves_no_graph(scorer, crops) -> None:
    assert not scorer.embed(crops[:1]).requires_grad


def test_one_process_loads_a_network_once() -> None:
    assert (
        load_scorer().backbone is load_scorer(device="cpu" if not torch.cuda.is_available() else "auto").backbone
    )
    assert shared_backbone("slim", None, "cpu") is shared_backbone("slim", None, "cpu")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"features": "x"}, "'x'"),
        ({"weights": "/no/file"}, "/no/file"),
        ({"device": "tpu"}, "tpu"),
        ({"precision": "int8"}, "int8"),
    ],
)
def test_bad_arguments_are_named(kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_scorer(**kwargs)


def test_the_score_falls_as_more_is_covered(scorer, crops) -> None:
    target = functional.interpolate(crops[:1, :, ::8, ::8], size=112, mode="bilinear")
    scores = []
    for width in (0, 30, 60, 112):
        covered = target.clone()
        covered[..., :width] = 0.5
        scores.append(scorer(target, covered).item())
    assert scores[0] == pytest.approx(1, abs=1e-5) and scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1] > scores[2] > scores[3]
