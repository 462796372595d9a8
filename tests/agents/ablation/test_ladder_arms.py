"""What the arms show a network."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.ablation.adversary import (
    LARGEST,
    RotationAdversary,
    load_adversary,
    rotated,
    train_adversary,
)
from agents.ablation.arms import ARMS, ArmInputs, choose_arms, hardening_of
from agents.ablation.peers import Erasing, MotionBlur, RoiHoles
from agents.hard_positives.transforms import HardPositiveBatch, OccludedMargin, OccludedScore
from agents.hard_positives.transforms.objectives import Objective
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.targets import TargetSet
from tracker.errors import InputError
from tracker.models.backbones import save_weights
from tracker.models.shipped import shipped_sint
from tracker.scorers import SintScorer

BOX = torch.tensor([[60.0, 80.0, 70.0, 50.0]])


@pytest.fixture(scope="module")
def sint():  # type: ignore[no-untyped-def]
    return shipped_sint()


@pytest.fixture(scope="module")
def view() -> Tensor:
    """A view of noise, coarse enough for the network to see something."""
    coarse = torch.rand((1, 3, 28, 28), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (224, 224), mode="bilinear")


@pytest.fixture(scope="module")
def tools(tmp_path_factory):  # type: ignore[no-untyped-def]
    file = tmp_path_factory.mktemp("adversary") / "adversary.safetensors"
    adversary = RotationAdversary()
    torch.nn.init.constant_(adversary.say.bias, 3.0)
    save_weights(file, adversary.state_dict())
    return partial(ArmInputs, adversary=file, cutouts=lambda: np.full((2, 64, 64, 3), 200, np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inside() -> Tensor:
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[80:130, 60:130] = True
    return mask


FRAMES = [arm for arm in ARMS.values() if arm.harden is not None and arm.name != "roi-holes"]


@pytest.mark.parametrize("arm", FRAMES, ids=lambda arm: arm.name)
def test_frames_change_inside_the_target_alone_and_by_the_seed(arm, sint, view, tools) -> None:
    hardening = arm.harden(sint, tools(1.0)).at(0.9)
    exemplars = view[..., 80:130, 60:130]
    found = hardening.on_frames(view, BOX, exemplars, seeded())
    changed = (found != view).any(dim=1)[0]
    assert changed.any() and not (changed & ~inside()).any()
    assert torch.equal(found, hardening.on_frames(view, BOX, exemplars, seeded()))
    assert not torch.equal(found, hardening.on_frames(view, BOX, exemplars, seeded(1)))
    # Adv-Net turns and occludes, each by its share; "always" has none.
    if arm.name != "always":
        assert torch.equal(arm.harden(sint, tools(0.0)).at(0.9).on_frames(view, BOX, exemplars, seeded()), view)


def test_records_tell_the_arms_apart(sint, tools) -> None:
    told = [arm.harden(sint, tools(0.5)).record() for arm in ARMS.values() if arm.harden is not None]
    assert len(set(told)) == len(told)
    assert all("0x" not in text for text in told), "an address would make each run another one"


def test_arms_by_name() -> None:
    assert [arm.name for arm in choose_arms(())] == list(ARMS)
    assert [arm.name for arm in choose_arms(("vae", "sint"))] == ["sint", "vae"]
    with pytest.raises(InputError, match="no arm 'sint\\+'"):
        choose_arms(("sint+",))


def test_hardenings_by_name(sint, view) -> None:
    hardening = hardening_of("wide", 1.0)(sint)
    assert not torch.equal(hardening.on_frames(view, BOX, view, seeded()), view)
    for name in ("adv-net", "cutouts", "sint", "nothing"):
        with pytest.raises(InputError, match=f"no hardening '{name}'; choose roi-holes"):
            hardening_of(name, 1.0)


def test_the_curriculum_grows(sint, view, tools) -> None:
    curriculum = ARMS["curriculum"].harden(sint, tools(1.0))

    def area(progress: float) -> float:
        shown = [
            curriculum.at(progress).on_frames(view, BOX, view[..., 80:130, 60:130], seeded(seed))
            for seed in range(4)
        ]
        return float(np.mean([(each != view).any(dim=1).sum().item() for each in shown])) / (70 * 50)

    assert area(0.0) < 0.12 < area(1.0)


def test_the_hardest_hurts_more_than_a_random_one(sint, view) -> None:
    """Of the same area, drawn with the same seeds; and by the margin as by the score."""
    scorer = SintScorer(sint.backbone, "fp32")
    exemplars = view[..., 80:130, 60:130]
    place, region = BOX.double().numpy(), np.array([[[0.0, 0.0, 1e-3, 1e-3]]])

    def left(objective: Objective, batch: HardPositiveBatch) -> float:
        found = torch.cat([batch(view, BOX, exemplars, seeded(seed)) for seed in range(6)])
        nothing = torch.zeros(6, 1, 3, 64, 64)
        return float(
            objective(
                found, place.repeat(6, 0), exemplars.expand(6, -1, -1, -1), nothing, region.repeat(6, 0)
            ).mean()
        )

    for objective in (OccludedScore(scorer), OccludedMargin(scorer)):
        hardest = HardPositiveBatch("best of 8 random", p=1.0, patches=8, objective=objective)
        assert (
            left(objective, hardest)
            < left(objective, HardPositiveBatch("random", p=1.0, limits=RegionLimits())) - 0.02
        )


def test_erasing_keeps_to_its_share_of_the_target(view) -> None:
    areas = []
    for seed in range(20):
        found = Erasing(1.0)(view, BOX, view, seeded(seed))
        areas.append((found == 0).all(dim=1).sum().item() / (70 * 50))
    assert 0.015 < min(areas) and max(areas) < 0.35 and np.std(areas) > 0.02
    state = torch.random.get_rng_state()
    Erasing(1.0)(view, BOX, view, seeded())
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's draws change"


def test_motion_blur_smooths(view) -> None:
    found = MotionBlur(1.0)(view, BOX, view, seeded())[..., 80:130, 60:130]
    sharp = view[..., 80:130, 60:130]
    assert found.diff(dim=3).abs().mean() + found.diff(dim=2).abs().mean() < (
        sharp.diff(dim=3).abs().mean() + sharp.diff(dim=2).abs().mean()
    )


def test_holes_are_where_the_similarity_is_and_in_the_target_alone() -> None:
    exemplar = torch.zeros(1, 4, 7, 7)
    exemplar[..., 1:4, 2:5] = 1
    pooled = exemplar[:, None].expand(1, 3, 4, 7, 7) + 0.1
    same = torch.tensor([[True, True, False]])
    (found,) = RoiHoles(1.0, side=3, among=1).on_features([pooled], same, [exemplar], seeded())
    assert (found[0, :2, :, 1:4, 2:5] == 0).all()
    assert (found[0, :2] == 0).sum() == 2 * 4 * 9 and torch.equal(found[0, 2], pooled[0, 2])
    untouched = RoiHoles(0.0).on_features([pooled], same, [exemplar], seeded())
    assert torch.equal(untouched[0], pooled)
    drawn = {
        tuple(
            torch.nonzero(RoiHoles(1.0).on_features([pooled], same, [exemplar], seeded(s))[0][0, 0, 0] == 0)[
                0
            ].tolist()
        )
        for s in range(20)
    }
    assert 1 < len(drawn) <= 5


def test_a_quarter_turn_of_the_box() -> None:
    images = torch.arange(36.0).reshape(1, 1, 6, 6).expand(1, 3, 6, 6)
    found = rotated(images, torch.tensor([[1.0, 1.0, 4.0, 4.0]]), torch.tensor([math.pi / 2]))
    turned = images.clone()
    turned[..., 1:5, 1:5] = torch.rot90(images[..., 1:5, 1:5], 1, (2, 3))
    clockwise = images.clone()
    clockwise[..., 1:5, 1:5] = torch.rot90(images[..., 1:5, 1:5], -1, (2, 3))
    assert torch.allclose(found, turned, atol=1e-3) or torch.allclose(found, clockwise, atol=1e-3)


def test_the_adversary_starts_with_nothing_and_learns_to_turn(sint, tmp_path, make_video) -> None:
    targets = TargetSet.from_sequence(make_video(frames=6, width=128, height=96))
    crops = torch.rand((4, 3, 40, 40), generator=seeded())
    assert (RotationAdversary()(crops) == 0).all()
    before = {name: value.clone() for name, value in sint.state_dict().items()}
    learned = train_adversary(sint, targets, steps=8, batch=4, learning_rate=1e-2)
    angles = learned(crops)
    assert (angles.abs() > 0.01).all() and (angles.abs() <= LARGEST).all()
    assert all(torch.equal(sint.state_dict()[name], value) for name, value in before.items())
    save_weights(tmp_path / "a.safetensors", learned.state_dict())
    assert torch.equal(load_adversary(tmp_path / "a.safetensors")(crops), angles)
    with pytest.raises(InputError):
        load_adversary(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="no target"):
        train_adversary(sint, TargetSet(()))
