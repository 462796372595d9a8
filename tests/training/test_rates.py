from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tracker.errors import InputError
from tracker.models.backbones import load_backbone
from tracker.models.sint import Sint, SintConfig
from tracker.training import SintTraining
from tracker.training.rates import frozen_convolution, make_optimizer, multipliers


def test_sints_multipliers_of_vgg(vgg_file: Path) -> None:
    """conv1_1 to conv4_2 stand, conv4_3 and conv5 move by 0.01 (bias 0.02), fc6 by 1 (bias 2)."""
    backbone = Sint.load(SintConfig("vgg16", fc_size=8, fc_rank=2), vgg_file).backbone
    rates = multipliers(backbone)
    moving = {"conv4_3": 0.01, "conv5_1": 0.01, "conv5_2": 0.01, "conv5_3": 0.01, "fc6": 1.0}
    assert {layer: rate for layer, rate in rates.items() if rate} == moving and len(rates) == 14
    assert frozen_convolution(backbone, rates) == "conv4_2"
    optimizer = make_optimizer(backbone, rates, SintTraining())
    assert isinstance(optimizer, torch.optim.SGD)
    found = {
        id(p): (group["lr"], group["weight_decay"], group["momentum"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    by_name = {name: found.get(id(p)) for name, p in backbone.named_parameters()}
    assert by_name["features.19.weight"] is None and by_name["features.0.bias"] is None
    assert by_name["features.21.weight"] == pytest.approx((1e-6, 5e-6, 0.9))
    assert by_name["features.28.bias"] == pytest.approx((2e-6, 0, 0.9))
    assert by_name["added.3.weight"] == pytest.approx((1e-4, 5e-4, 0.9))
    assert by_name["added.3.bias"] == pytest.approx((2e-4, 0, 0.9))
    assert [p.requires_grad for p in backbone.parameters()] == [value is not None for value in by_name.values()]


def test_layers_behind_fc6_stand_and_patterns_overrule(tiny_file: Path) -> None:
    backbone = load_backbone("slim", tiny_file)
    assert multipliers(backbone)["fc7"] == 0 and multipliers(backbone)["conv4"] == 0.01
    rates = multipliers(backbone, [("conv5", 0.5), ("conv*", 0.1), ("fc8", 2)])
    assert rates == {f"conv{i}": 0.1 for i in range(1, 5)} | {"conv5": 0.5, "fc6": 1, "fc7": 0, "fc8": 2}
    assert frozen_convolution(backbone, rates) is None
    assert frozen_convolution(backbone, multipliers(backbone, [("conv*", 0)])) == "conv5"


def test_what_cannot_move_is_told(tiny_file: Path) -> None:
    backbone = load_backbone("slim", tiny_file)
    with pytest.raises(InputError, match="'conv9'.*conv1, conv2"):
        multipliers(backbone, [("conv9", 1)])
    with pytest.raises(InputError, match="'conv1' is -1"):
        multipliers(backbone, [("conv1", -1)])
    with pytest.raises(InputError, match="No layer moves"):
        make_optimizer(backbone, multipliers(backbone, [("*", 0)]), SintTraining())
    adam = make_optimizer(backbone, multipliers(backbone), SintTraining(optimizer="adamw"))
    assert isinstance(adam, torch.optim.AdamW)


@pytest.mark.filterwarnings("ignore:The net 'torchvision")
def test_a_torchvision_net_moves_from_its_first_compared_stage_on() -> None:
    backbone = load_backbone("torchvision:resnet18", "random")
    backbone.add_fc6(4, 2, torch.Generator())
    rates = multipliers(backbone)
    assert rates["layer2"] == rates["layer3"] == 0.01 and rates["fc6"] == 1
    assert rates["body.conv1.weight"] == 0 and sum(rate > 0 for rate in rates.values()) == 3
    assert frozen_convolution(backbone, rates) is None
    assert frozen_convolution(backbone, multipliers(backbone, [("layer*", 0)])) == "layer3"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"optimizer": "adam"}, "'adam'"),
        ({"schedule": "step"}, "'step'"),
        ({"loss": "triplet"}, "'triplet'"),
        ({"learning_rate": 0}, "learning rate is 0"),
        ({"boxes_per_frame": 1}, "boxes_per_frame is 1"),
        ({"flip": 1.5}, "flip is 1.5"),
        ({"momentum": -1}, "momentum is -1"),
    ],
)
def test_settings_out_of_range(change: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        SintTraining(**change)
