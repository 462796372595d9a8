"""Hard positives in a person's own training code: one image at a time, and a batch at a time."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from agents.hard_positives.transforms import HardPositiveBatch, HardPositiveTransform
from agents.hard_positives.transforms.batch import AREAS
from agents.policies.belief import BeliefSearch
from agents.policies.methods import as_method
from occlusion_env.mdp.actions import ACTIONS, RegionLimits
from tracker.errors import InputError

BOX = (30, 20, 24, 16)


class LeftHalf:
    """A matcher that goes by the left third of a crop alone: how bright it is."""

    input_size = 24
    device = torch.device("cpu")

    def embed(self, crops):
        return crops[..., :8].mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return 1 - (exemplars - candidates)[:, 0].abs()

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


class GoLeft:
    """A policy: left until it ends."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full(len(observation), ACTIONS.index("left")), state


def image(seed: int = 0, height: int = 60, width: int = 90) -> torch.Tensor:
    """A white target in dark noise, uint8."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(0, 90, (3, height, width), generator=generator, dtype=torch.uint8)
    x, y, w, h = BOX
    made[:, y : y + h, x : x + w] = 255
    return made


def sample(seed: int = 0, boxes=(BOX,)) -> dict:
    where = tv_tensors.BoundingBoxes(torch.tensor(boxes).reshape(-1, 4), format="XYWH", canvas_size=(60, 90))
    return {"image": tv_tensors.Image(image(seed)), "target": (where, seed)}


def covered(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The box of the changed pixels, `x, y, w, h`."""
    rows, columns = torch.where((before != after).any(dim=0))
    assert len(rows)
    left, top = columns.min(), rows.min()
    return torch.stack([left, top, columns.max() + 1 - left, rows.max() + 1 - top])


def test_only_a_part_of_the_target_changes() -> None:
    given = sample()
    before = given["image"].clone()
    torch.manual_seed(0)
    found = HardPositiveTransform(p=1)(given)
    assert type(found["image"]) is tv_tensors.Image and found["image"].dtype == torch.uint8
    assert torch.equal(given["image"], before)
    assert found["target"][0] is not None and torch.equal(found["target"][0], given["target"][0])
    changed = (found["image"] != before).any(dim=0)
    x, y, w, h = BOX
    outside = changed.clone()
    outside[y : y + h, x : x + w] = False
    assert not outside.any()
    assert 0.15 * w * h < changed.sum() <= 0.3 * w * h
    # What covers it is of the image's background.
    assert found["image"][:, changed].max() < 90


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_dtypes(dtype) -> None:
    whole = v2.functional.to_dtype(image(), dtype, scale=True)
    torch.manual_seed(1)
    found = HardPositiveBatch()(whole[None], torch.tensor([BOX]))
    torch.manual_seed(1)
    bytes_ = HardPositiveBatch()(image()[None], torch.tensor([BOX]))
    assert found.dtype == dtype
    if dtype.is_floating_point:
        assert (found.float() * 255 - bytes_.float()).abs().max() < (0.51 if dtype == torch.float32 else 0.7)
    assert torch.equal((found != whole[None]).any(dim=1), (bytes_ != image()[None]).any(dim=1))


def test_formats_pil_and_which_box() -> None:
    two = [(2, 2, 10, 10), BOX]
    torch.manual_seed(0)
    one = HardPositiveTransform(p=1, target=1)(sample(boxes=two))["image"]
    corners = tv_tensors.BoundingBoxes(
        torch.tensor([[x, y, x + w, y + h] for x, y, w, h in two]), format="XYXY", canvas_size=(60, 90)
    )
    picture = PILImage.fromarray(image().permute(1, 2, 0).numpy())
    torch.manual_seed(0)
    other, same = HardPositiveTransform(p=1, target=1)(picture, corners)
    assert isinstance(other, PILImage.Image) and torch.equal(same, corners)
    assert torch.equal(v2.functional.pil_to_tensor(other), one)
    x, y, _, _ = covered(image(), one)
    assert x >= 30 and y >= 20
    first = HardPositiveTransform(p=1)(sample(boxes=two))["image"]
    assert covered(image(), first)[0] <= 12


WHERE = tv_tensors.BoundingBoxes(torch.tensor([BOX]), format="XYWH", canvas_size=(60, 90))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pil_image_keeps_its_mode_changed_or_not(mode: str) -> None:
    picture = PILImage.fromarray(image().permute(1, 2, 0).numpy()).convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(PILImage.linear_gradient("L").resize(picture.size))
    torch.manual_seed(0)
    found = [HardPositiveTransform(p=0.5)(picture, WHERE)[0] for _ in range(12)]
    assert {one.mode for one in found} == {mode} and {one.size for one in found} == {picture.size}
    before = np.asarray(picture)
    changed = [(np.asarray(one) != before) for one in found]
    assert 1 < sum(change.any() for change in changed) < 12
    x, y, w, h = BOX
    for change in changed:
        change = change.reshape(60, 90, -1)
        assert not change[:y].any() and not change[:, :x].any() and not change[y + h :, x + w :].any()
        if mode in ("LA", "RGBA"):
            assert not change[..., -1].any(), "alpha stays"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("wrap", [tv_tensors.Image, torch.Tensor.clone])
def test_a_tensor_keeps_its_type_shape_and_dtype(dtype, channels: int, wrap) -> None:
    colours = image()[:1].expand(3, -1, -1)  # grey, as many cameras deliver it in three channels
    alpha = torch.arange(90, dtype=torch.uint8).expand(1, 60, 90)
    whole = torch.cat([colours[: 1 if channels < 3 else 3], *([alpha] if channels in (2, 4) else [])])
    given = wrap(v2.functional.to_dtype(whole, dtype, scale=True))
    torch.manual_seed(0)
    found, _ = HardPositiveTransform(p=1)(given, WHERE)
    assert (type(found), found.dtype, found.shape) == (type(given), dtype, given.shape)
    torch.manual_seed(0)
    as_rgb, _ = HardPositiveTransform(p=1)(
        tv_tensors.Image(v2.functional.to_dtype(colours, dtype, scale=True)), WHERE
    )
    assert torch.equal(found[0].as_subclass(torch.Tensor), as_rgb[0].as_subclass(torch.Tensor))
    assert (found[0] != given[0]).any()
    if channels in (2, 4):
        assert torch.equal(found[-1], given[-1])


@pytest.mark.parametrize("p", [0, 1])
@pytest.mark.parametrize("mode", ["1", "P", "I", "I;16", "F", "CMYK", "YCbCr"])
def test_other_modes_are_refused_whether_their_turn_comes_or_not(mode: str, p: float) -> None:
    with pytest.raises(InputError, match=f"the mode {mode}; convert it to RGB, RGBA, L, LA"):
        HardPositiveTransform(p=p)(PILImage.new(mode, (90, 60)), WHERE)


@pytest.mark.parametrize(
    "given, message",
    [
        (torch.zeros(60, 90), r"an image \[60, 90\]"),
        (torch.zeros(5, 60, 90), r"an image \[5, 60, 90\]"),
        (torch.zeros(1, 60, 90, dtype=torch.int16), "int16"),
        (torch.zeros(3, 60, 90, dtype=torch.bool), "bool"),
        (np.zeros((60, 90), np.uint8), "0 images"),
    ],
)
def test_what_is_no_image(given, message: str) -> None:
    with pytest.raises(InputError, match=message):
        HardPositiveTransform(p=0)(given, WHERE)


def test_labels_in_tensors_stay() -> None:
    label = torch.tensor([3, 4])
    found = HardPositiveTransform(p=1)(
        {**sample(), "label": label, "mask": tv_tensors.Mask(torch.ones(1, 60, 90))}
    )
    assert found["label"] is label and found["mask"].all()
    found = HardPositiveTransform(p=1)({"image": image(), "boxes": WHERE, "label": label})
    assert found["label"] is label and not torch.equal(found["image"], image())


def test_p_and_the_seed() -> None:
    transform = HardPositiveTransform(p=0.3)
    torch.manual_seed(3)
    changed = [not torch.equal(transform(sample())["image"], image()) for _ in range(200)]
    assert 35 < sum(changed) < 85
    torch.manual_seed(3)
    assert changed == [not torch.equal(transform(sample())["image"], image()) for _ in range(200)]
    torch.manual_seed(4)
    assert changed != [not torch.equal(transform(sample())["image"], image()) for _ in range(200)]
    assert torch.equal(HardPositiveTransform(p=0)(sample())["image"], image())


def test_without_a_target_nothing_changes() -> None:
    for boxes in ((), [(10, 10, 0, 5)], [(200, 10, 20, 20)]):
        assert torch.equal(HardPositiveTransform(p=1)(sample(boxes=boxes))["image"], image())
    with pytest.raises(InputError, match="0 images and 1 sets of boxes"):
        HardPositiveTransform()(sample()["target"])
    with pytest.raises(InputError, match="1 images and 0 sets"):
        HardPositiveTransform()(sample()["image"])


class Images(Dataset):
    def __init__(self, transform) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index):
        made = sample(index)
        return self.transform(made["image"], made["target"][0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_the_workers_of_a_data_loader(method: str) -> None:
    transform = (
        HardPositiveTransform(p=0.5, method="best of 4 random", scorer=LeftHalf())
        if method == "fork"
        else HardPositiveTransform()
    )

    def epoch(seed: int) -> torch.Tensor:
        loader = DataLoader(
            Images(transform), batch_size=4, num_workers=2, multiprocessing_context=method,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return torch.cat([images for images, _ in loader])

    first = epoch(0)
    changed = [not torch.equal(one, image(seed)) for seed, one in enumerate(first)]
    assert any(changed) and not all(changed)
    if method == "fork":
        assert torch.equal(first, epoch(0)) and not torch.equal(first, epoch(1))


def test_the_belief_is_the_default_where_there_is_a_scorer() -> None:
    """Its prior is chosen at the first batch; without a scorer regions are random, of 5 to 60 %."""
    images = torch.stack([image(seed) for seed in range(4)])
    boxes = torch.tensor([BOX] * 4)
    module = HardPositiveBatch(scorer=LeftHalf())
    with pytest.warns(
        UserWarning,
        match="LeftHalf at .*; one is fitted to grid search on 4 of the targets",
    ):
        found = module.plan(images, boxes)
    area = found.regions[:, 2] * found.regions[:, 3]
    assert area == pytest.approx([0.25] * 4) and (found.regions[:, 0] < 0.2).all()
    again = module.plan(images[:1], boxes[:1])  # one alone is enough now
    assert len(again) == 1 and module.method.fitted.card["targets"] == 4
    softer = HardPositiveBatch(BeliefSearch(module.method.fitted, 20, wanted=0.1), LeftHalf())
    covered_less = softer.plan(images, boxes).regions
    assert (covered_less[:, 0] > found.regions[:, 0]).any()
    without = HardPositiveBatch()
    assert (
        without.method == as_method("random") and (without.least_area, without.settings.limits.max_area) == AREAS
    )
    assert HardPositiveTransform(scorer="sint").batch.method == as_method("belief")


def test_it_is_pickled_with_its_policy() -> None:
    transform = pickle.loads(pickle.dumps(HardPositiveTransform(1, "grid", scorer="sint")))
    assert transform.batch.p == 1 and "list_grid" in repr(transform)


@pytest.mark.parametrize("method", ["best of 40 random", "grid", "hill climbing", "best-of-40-random", GoLeft()])
def test_methods_cover_what_the_matcher_goes_by(method) -> None:
    images = torch.stack([image(seed) for seed in range(6)])
    boxes = torch.tensor([BOX] * 6, dtype=torch.float32)
    torch.manual_seed(0)
    plan = HardPositiveBatch(method, LeftHalf()).plan(images, boxes)
    assert len(plan) == 6 and (plan.regions[:, 0] < 0.12).all()
    assert RegionLimits().holds(plan.regions).all()
    torch.manual_seed(0)
    random = HardPositiveBatch().plan(images, boxes)
    assert random.regions[:, 0].max() > 0.2
    occluded = HardPositiveBatch(method, LeftHalf()).apply_to(images, plan)
    for row in range(6):
        x, *_ = covered(images[row], occluded[row])
        assert x < 30 + 0.13 * 24


def test_the_worst_of_the_drawn_is_found_by_hand() -> None:
    """Exhaustive search over tensors agrees with that of the environment, up to how crops are resized."""
    images = torch.stack([image(seed) for seed in range(4)]).float() / 255
    boxes = torch.tensor([BOX] * 4, dtype=torch.float32)
    module = HardPositiveBatch("grid", LeftHalf())
    torch.manual_seed(0)
    plan = module.plan(images, boxes)
    rng = np.random.default_rng(0)
    found = module._search(images, boxes.double().numpy(), plan.patches, None, rng)
    scorer = LeftHalf()

    def score(regions: np.ndarray) -> torch.Tensor:
        from occlusion_env.scene.occluders import occlude

        crops = images[:, :, 20:36, 30:54]
        crops = torch.nn.functional.interpolate(crops, (24, 24), mode="nearest")
        return scorer(crops, occlude(crops, plan.patches, torch.from_numpy(regions).float()))

    assert torch.allclose(score(plan.regions), score(found), atol=0.02)
    assert (score(plan.regions) < 0.4).all()


def test_exemplars_are_what_is_compared_with() -> None:
    """Against a black exemplar the worst is to leave the left alone."""
    images = torch.stack([image(seed) for seed in range(4)])
    boxes = torch.tensor([BOX] * 4)
    black = torch.zeros(4, 3, 30, 30, dtype=torch.uint8)
    torch.manual_seed(0)
    plan = HardPositiveBatch("best of 40 random", LeftHalf()).plan(images, boxes, black)
    assert (plan.regions[:, 0] >= 0.33 - 1e-6).all()


def test_a_batch_is_the_images_one_by_one_and_p_picks_some() -> None:
    images = torch.stack([image(seed) for seed in range(40)])
    boxes = torch.tensor([BOX] * 40)
    module = HardPositiveBatch(p=0.5)
    plan = module.plan(images, boxes, generator=torch.Generator().manual_seed(0))
    whole = module.apply_to(images, plan)
    rows = plan.rows.tolist()
    assert 10 < len(rows) < 30
    for row in range(40):
        assert torch.equal(whole[row], images[row]) == (row not in rows)
    from dataclasses import replace

    for place, row in enumerate(rows):
        single = replace(
            plan, rows=torch.tensor([0]), boxes=plan.boxes[place : place + 1],
            patches=plan.patches[place : place + 1],
        )  # fmt: skip
        alone = module.apply_to(images[row : row + 1], single)[0]
        assert (alone.int() - whole[row].int()).abs().max() <= 1
    again = module(images, boxes, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, whole) and not torch.equal(whole, images)


def test_a_target_that_fills_its_image_is_covered_by_the_mean_colour() -> None:
    whole = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    found = HardPositiveBatch("centre")(whole, torch.tensor([[0.0, 0, 20, 20]]))
    assert torch.allclose(found[0, :, 10, 10], whole.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.equal(found[..., :5, :], whole[..., :5, :])


def test_the_area_is_the_limits() -> None:
    limits = RegionLimits(max_area=0.09, max_aspect=1)
    plan = HardPositiveBatch("random", limits=limits).plan(image()[None], torch.tensor([BOX]))
    assert plan.regions[0, 2:] == pytest.approx([0.3, 0.3])
    assert plan.boxes[0, 2:].tolist() == pytest.approx([0.3 * 24, 0.3 * 16])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HardPositiveTransform(p=1.5), "p is 1.5"),
        (lambda: HardPositiveTransform(method="smoke"), "'smoke' is no method"),
        (lambda: HardPositiveTransform(method="grid"), "give a scorer"),
        (lambda: HardPositiveBatch(GoLeft()), "give a scorer"),
        (lambda: HardPositiveBatch()(torch.rand(3, 5, 5), torch.zeros(1, 4)), r"float32\[3, 5, 5\]"),
        (lambda: HardPositiveBatch()(torch.rand(2, 3, 5, 5), torch.zeros(1, 4)), r"\[1, 4\] for 2 images"),
        (lambda: HardPositiveBatch()(torch.rand(2, 3, 5, 5), torch.zeros(2, 4), torch.rand(1, 3, 5, 5)), "exempl"),
        (
            lambda: HardPositiveBatch()(np.zeros((1, 3, 5, 5)), torch.zeros(1, 4)),
            "images is a ndarray; give a tensor",
        ),
        (lambda: HardPositiveBatch()(torch.rand(1, 3, 5, 5), [[0, 0, 2, 2]]), "boxes is a list; give a tensor"),
        (lambda: as_method(3), "int finds no region"),
    ],
)
def test_what_cannot_be_is_told(make, message) -> None:
    with pytest.raises(InputError, match=message):
        make()
