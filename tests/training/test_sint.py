from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tracker.errors import InputError
from tracker.models.backbones import load_backbone
from tracker.models.sint import Sint, SintConfig, join_parts, load_sint, save_sint, to_rois, view_of
from tracker.scorers import SintScorer


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_the_papers_configuration() -> None:
    paper = SintConfig.paper()
    assert (paper.features, paper.view, paper.side, paper.pools, paper.fc_size) == ("vgg16", "frame", 512, 2, 4096)
    assert SintConfig.paper("alexnet").pools == 0 and SintConfig.paper("torchvision:resnet18").pools is None
    fast = SintConfig()
    assert (fast.features, fast.view, fast.pools) == ("slim", "search", None)


def test_a_configuration_survives_json_and_refuses_what_it_does_not_know() -> None:
    config = SintConfig("vgg16", side=300, fc_size=64, fc_rank=8)
    assert SintConfig.from_record(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(InputError, match="'colour'.*features, view"):
        SintConfig.from_record({"colour": 1})
    for wrong, match in (
        ({"view": "all"}, "'all'"),
        ({"side": 8}, "8 pixels"),
        ({"context": 0.5}, "0.5 times"),
        ({"fc_size": 0}, "fc_size is 0"),
        ({"fc_size": None, "fc_rank": 3}, "no size"),
    ):
        with pytest.raises(InputError, match=match):
            SintConfig.from_record(wrong)


def test_a_warped_frame_takes_its_boxes_along() -> None:
    """SINT's input: aspect not kept, boxes scaled with the frame."""
    frame = np.zeros((60, 120, 3), np.uint8)
    frame[20:40, 30:90] = 255
    view = view_of(SintConfig(view="frame", side=240), frame, (30, 20, 60, 20))
    assert view.image.shape == (240, 240, 3)
    corners = view.corners([(30, 20, 60, 20)])
    assert_allclose(corners, [[60, 80, 180, 160]])
    assert view.image[82:158, 62:178].min() == 255 and view.image[:78].max() == 0 and view.image[:, :58].max() == 0


def test_a_search_region_keeps_the_aspect_and_takes_its_boxes_along() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 100, (80, 100, 3), dtype=np.uint8)
    frame[30:40, 40:60] = 255
    view = view_of(SintConfig(side=120, context=3), frame, (40, 30, 20, 10))
    assert view.scale == (2, 2) and view.origin == (20, 5)
    (corners,) = view.corners([(40, 30, 20, 10)])
    assert_allclose(corners, [40, 50, 80, 70])
    bright = np.argwhere(view.image.min(axis=2) > 200)
    assert_allclose(bright.min(axis=0), [50, 40], atol=1)
    assert_allclose(bright.max(axis=0) + 1, [70, 80], atol=1)


def test_a_search_region_beyond_the_border_repeats_it() -> None:
    frame = np.full((40, 40, 3), 9, np.uint8)
    frame[0] = 200
    view = view_of(SintConfig(side=90), frame, (0, 0, 10, 10))
    assert view.origin == (-10, -10) and view.image[:25].min() == 200 and view.image[-20:].max() == 9


def test_rois_carry_the_index_of_their_image() -> None:
    rois = to_rois([np.array([[1.0, 2, 3, 4]]), np.array([[5.0, 6, 7, 8], [0, 0, 1, 1]])])
    assert rois.dtype == torch.float32
    assert rois.tolist() == [[0, 1, 2, 3, 4], [1, 5, 6, 7, 8], [1, 0, 0, 1, 1]]


def test_the_descriptor_is_the_backbones_three_parts(tiny_file: Path) -> None:
    sint = Sint.load(SintConfig(side=64), tiny_file)
    images = noise(2, 3, 112, 112)
    rois = torch.tensor([[0, 0.0, 0, 112, 112], [1, 10, 10, 50, 40]])
    found = sint(images, rois)
    assert found.shape == (2, 6 * 49 + 5 * 49 + 8) and torch.allclose(found.norm(dim=1), torch.ones(2))
    layers = sint.backbone(images, ["conv4", "conv5", "fc6"])
    whole = [sint.backbone.pool(name, layers[name]).flatten(1) for name in ("conv4", "conv5")]
    by_hand = join_parts([*whole, layers["fc6"]])
    assert torch.allclose(found[0], by_hand[0], atol=1e-5)
    assert torch.allclose(SintScorer(sint.backbone, "fp32").embed(images), by_hand, atol=1e-5)


def test_an_fc6_is_made_where_there_is_none(vgg_file: Path) -> None:
    plain = Sint.load(SintConfig("vgg16", side=64, fc_size=16), vgg_file, seed=1)
    small = Sint.load(SintConfig("vgg16", side=64, fc_size=16, fc_rank=4), vgg_file)
    without = Sint.load(SintConfig("vgg16", side=64, fc_size=None), vgg_file)
    again = Sint.load(SintConfig("vgg16", side=64, fc_size=16), vgg_file, seed=1)
    other = Sint.load(SintConfig("vgg16", side=64, fc_size=16), vgg_file, seed=2)

    def weights(sint: Sint) -> torch.Tensor:
        return sint.backbone.get_parameter("added.0.weight")

    assert torch.equal(weights(plain), weights(again)) and not torch.equal(weights(plain), weights(other))
    assert weights(plain).std().item() == pytest.approx((1 / 25088) ** 0.5, rel=0.05)
    assert sum(p.numel() for p in small.backbone.added.parameters()) == 512 * 4 + 4 + 4 * 49 * 16 + 16
    images, rois = noise(1, 3, 64, 64), torch.tensor([[0, 8.0, 8, 40, 40]])
    parts = 2 * 512 * 49
    assert [sint(images, rois).shape[1] for sint in (plain, small, without)] == [parts + 16, parts + 16, parts]
    assert plain.base == without.base == small.base


def test_fc6_can_be_left_out_of_a_net_that_has_one(tiny_file: Path) -> None:
    sint = Sint.load(SintConfig(side=64, fc_size=None), tiny_file)
    assert sint(noise(1, 3, 64, 64)).shape[1] == (6 + 5) * 49


def test_a_trained_slim_net_is_read_as_a_backbone(tiny_file: Path, tmp_path: Path) -> None:
    sint = Sint.load(SintConfig(side=64), tiny_file)
    with torch.no_grad():
        sint.backbone.get_parameter("fc6.bias").add_(1)
    file = save_sint(tmp_path, sint, ["fc6.bias"], {"note": 1})
    assert file.name == "slim.safetensors" and json.loads((tmp_path / "slim.json").read_text())["note"] == 1
    net = load_backbone("slim", file)
    assert torch.equal(net.get_parameter("fc6.bias"), sint.backbone.get_parameter("fc6.bias").half().float())
    back = load_sint(tmp_path)
    assert back.config == sint.config and back.base == sint.base
    assert torch.equal(back.backbone.get_parameter("conv1.weight"), net.get_parameter("conv1.weight"))


def test_of_another_net_only_what_was_trained_is_written(vgg_file: Path, tmp_path: Path) -> None:
    sint = Sint.load(SintConfig("vgg16", side=64, fc_size=8, fc_rank=2), vgg_file, seed=5)
    moved = "features.28.bias"
    with torch.no_grad():
        sint.backbone.get_parameter(moved).add_(0.25)
    trained = [name for name, _ in sint.backbone.named_parameters() if name.startswith("added") or name == moved]
    file = save_sint(tmp_path, sint, trained, {})
    assert file.stat().st_size < 40_000
    back = load_sint(file, vgg_file)
    images = noise(1, 3, 64, 64)
    assert torch.equal(back(images), sint(images)) and not any(p.requires_grad for p in back.parameters())
    assert torch.equal(load_sint(tmp_path, vgg_file)(images), sint(images))


def test_other_base_weights_and_broken_files_are_refused(vgg_file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    sint = Sint.load(SintConfig("vgg16", side=64, fc_size=8, fc_rank=2), vgg_file)
    trained = [name for name, _ in sint.backbone.named_parameters() if name.startswith("added")]
    file = save_sint(tmp_path, sint, trained, {})
    other = load_file(vgg_file)
    other["features.0.bias"] = other["features.0.bias"] + 1
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="sint.safetensors.*other weights"):
        load_sint(file, tmp_path / "other.safetensors")
    save_file({"added.0.bias": torch.zeros(99)}, file)
    with pytest.raises(InputError, match="not those of the network"):
        load_sint(file, vgg_file)
    (tmp_path / "sint.json").write_text("{}")
    with pytest.raises(InputError, match="no card"):
        load_sint(file, vgg_file)
    (tmp_path / "sint.json").unlink()
    with pytest.raises(InputError, match="sint.json"):
        load_sint(file, vgg_file)
    with pytest.raises(InputError, match="0 trained networks"):
        load_sint(vgg_file.parent)
