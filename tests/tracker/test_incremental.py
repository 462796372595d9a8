from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tracker.models.backbones import Chain, IncrementalMaps, autocast, load_backbone
from tracker.scorers import IncrementalScorer, SintScorer, load_scorer
from tracker.scorers.sint import IncrementalSintScorer


class Small(Chain):
    """Every kind of layer: strides, wide windows, poolings of two sizes, and borders that a pooling leaves out."""

    name = "small"
    input_size = 52
    convolutions = ("a", "b", "c", "d", "e")
    sint_layers = ("d", "e")
    fully_connected = ()
    poolings = {"b": 2, "c": 3, "e": 2}

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 5, stride=2, padding=1)
        self.b = nn.Conv2d(6, 7, 3, padding=1)
        self.c = nn.Conv2d(7, 8, 5, padding=2)
        self.d = nn.Conv2d(8, 8, 3, padding=1)
        self.e = nn.Conv2d(8, 5, 3, padding=1)


class Fine(Chain):
    """As VGG-16 begins: two convolutions, a pooling, and again."""

    name = "fine"
    input_size = 48
    convolutions = ("a", "b", "c", "d", "e", "f")
    sint_layers = ("d", "f")
    fully_connected = ()
    poolings = {"c": 2, "e": 2}

    def __init__(self) -> None:
        super().__init__()
        for name, (before, after) in zip(
            self.convolutions, [(3, 6), (6, 6), (6, 8), (8, 8), (8, 9), (9, 9)], strict=True
        ):
            setattr(self, name, nn.Conv2d(before, after, 3, padding=1))


def made(kind: type[Chain]) -> Chain:
    torch.manual_seed(0)
    net = kind().eval().requires_grad_(False)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.bias, 0.1, 0.5)  # so that a padding that is not the network's own would show
    return net


def occluded(image: Tensor, rng: np.random.Generator) -> tuple[Tensor, tuple[int, ...]]:
    """A random rectangle of noise, often at a border; sometimes a line, sometimes all."""
    side = image.shape[-1]
    height, width = (
        rng.integers(1, side + 1, 2) if rng.uniform() < 0.8 else ((1, side), (side, side))[rng.choice(2)]
    )
    top, left = (int(rng.choice([0, side - size, rng.integers(0, side - size + 1)])) for size in (height, width))
    covered = image.clone()
    covered[..., top : top + height, left : left + width] = torch.from_numpy(
        rng.uniform(size=(1, 3, height, width)).astype(np.float32)
    )
    return covered, (top, left, int(height), int(width))


@pytest.mark.parametrize("kind", [Small, Fine])
@pytest.mark.parametrize("side", [52, 53, 54, 55])
def test_a_changed_part_gives_the_maps_of_the_whole_pass(kind: type[Chain], side: int) -> None:
    net, rng = made(kind), np.random.default_rng(side)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    for name in net.convolutions[1:]:
        maps = IncrementalMaps(net, name)
        known = maps.compute(image)
        clean = net.maps(image, [name])[name]
        assert torch.allclose(known[-1], clean, atol=1e-5)
        changes = 0
        for _ in range(40):
            covered, place = occluded(image, rng)
            whole = net.maps(covered, [name])[name]
            found = maps.update(covered, image, known)
            assert found.shape == whole.shape and torch.allclose(found, whole, atol=1e-5), (name, place)
            changes += bool((whole - known[-1]).abs().max() > 1e-3)
        assert changes > 30
        assert torch.allclose(known[-1], clean, atol=1e-5), "what is known stays as it is"


def test_only_what_sees_the_change_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(Fine)
    image = torch.rand(1, 3, 48, 48)
    maps = IncrementalMaps(net, "f")
    known = maps.compute(image)
    covered = image.clone()
    covered[..., 20:28, 24:36] = 0
    seen: list[tuple[str | None, int, int]] = []
    run = net.apply_layer
    monkeypatch.setattr(
        net, "apply_layer", lambda layer, x, *more: seen.append((layer.name, *x.shape[2:])) or run(layer, x, *more)
    )
    maps.update(covered, image, known)
    # 8 x 12 pixels are 12 x 16 cells behind two convolutions, which see 16 x 20; and so on, to the border.
    assert seen == [
        ("a", 16, 20), ("b", 14, 18), (None, 12, 16),
        ("c", 16, 18), ("d", 14, 16), (None, 12, 14),
        ("e", 10, 10), ("f", 12, 11),
    ]  # fmt: skip


def test_where_nothing_is_seen_the_known_map_is_the_answer() -> None:
    net = made(Small)
    image = torch.rand(1, 3, 52, 52)
    maps = IncrementalMaps(net, "e")
    known = maps.compute(image)
    assert maps.update(image.clone(), image, known) is known[-1]
    edge = image.clone()
    edge[..., -1] = 0  # 52 pixels are 25 cells, of which the pooling behind them takes 24
    assert torch.allclose(net.maps(edge, ["e"])["e"], known[-1], atol=1e-6)
    assert maps.update(edge, image, known) is known[-1]


@pytest.fixture(scope="module")
def vgg(vgg_file: Path) -> Chain:
    backbone = load_backbone("vgg16", vgg_file)
    assert isinstance(backbone, Chain)
    return backbone


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_the_scorer_embeds_as_the_one_that_sees_whole_images(vgg: Chain, precision: str, tolerance: float) -> None:
    whole, partly = SintScorer(vgg, precision), IncrementalSintScorer(vgg, precision)
    rng = np.random.default_rng(2)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    known = partly.know(images)
    assert torch.allclose(torch.stack([each.embedding for each in known]), whole.embed(images), atol=tolerance)
    of = [0, 1, 1, 0, 1]
    covered = torch.cat([images[:1], *(occluded(images[row : row + 1], rng)[0] for row in of[1:])])
    found = partly.embed_changed(covered, [known[row] for row in of])
    assert torch.allclose(found, whole.embed(covered), atol=tolerance) and found.dtype == torch.float32
    assert torch.allclose(found[0], known[0].embedding, atol=tolerance)
    assert (found[1:] - whole.embed(images)[of[1:]]).abs().amax(dim=1).min() > 1e-3, "it does change"
    alone = torch.cat([partly.embed_changed(covered[i : i + 1], [known[of[i]]]) for i in range(5)])
    assert torch.allclose(alone, found, atol=tolerance)
    assert known[0].nbytes > known[0].embedding.nbytes + known[0].image.nbytes


def test_vgg_on_a_cpu_is_incremental_and_slim_is_not(vgg_file: Path) -> None:
    assert isinstance(load_scorer("vgg16", vgg_file, "cpu"), IncrementalScorer)
    assert not isinstance(load_scorer("slim", device="cpu"), IncrementalScorer)


def test_maps_are_kept_in_the_arithmetic_of_the_pass(vgg: Chain) -> None:
    maps = IncrementalMaps(vgg, "conv4_3")
    with torch.inference_mode(), autocast(torch.device("cpu"), torch.bfloat16):
        known = maps.compute(torch.rand(1, 3, 64, 64))
    assert {each.dtype for each in known} == {torch.bfloat16}
