"""Other people's trackers as scorers, and what tells a broken one."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from tracker.errors import InputError
from tracker.models import siamfc
from tracker.scorers import Scorer, load_scorer
from tracker.scorers.check import check_scorer
from tracker.scorers.foreign import (
    ConfidenceScorer,
    EmbeddingScorer,
    SiamFCScorer,
    border_colour,
    place_on_canvas,
)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))


def crops(count: int = 4, side: int = 32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    return functional.interpolate(coarse, side, mode="bilinear")


def test_a_network_with_an_embedding() -> None:
    module = net().train()
    module[1].eval()
    scorer = EmbeddingScorer(module, 32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    assert isinstance(scorer, Scorer) and scorer.device == torch.device("cpu") and check_scorer(scorer) == []
    images = crops()
    found = scorer.embed(images)
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    by_hand = copy.deepcopy(module).eval()((images - mean) / std).flatten(1)
    assert torch.allclose(found, by_hand / by_hand.norm(dim=1, keepdim=True), atol=1e-5)
    assert not found.requires_grad
    assert scorer(images, images.roll(1, 0)).tolist() == pytest.approx(
        functional.cosine_similarity(by_hand, by_hand.roll(1, 0)).tolist(), abs=1e-5
    )


def test_the_network_stays_the_callers() -> None:
    """Its modes and statistics are as before, and a step of training changes the scores."""
    module = net().train()
    module[1].eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    scorer = EmbeddingScorer(module, 32)
    before = scorer(crops(), crops(seed=1))
    assert module.training and module[3].training and not module[1].training
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    with torch.no_grad():
        module[0].weight.mul_(torch.linspace(-1, 2, 8)[:, None, None, None])
    assert not torch.allclose(scorer(crops(), crops(seed=1)), before, atol=1e-3)


def test_what_an_embedding_cannot_be() -> None:
    class Two(nn.Module):
        def forward(self, images):
            return images, images

    for make, message in (
        (lambda: EmbeddingScorer(net(), 0), "input_size is 0"),
        (lambda: EmbeddingScorer(net(), 9, std=(1, 0, 1)), "std"),
        (lambda: EmbeddingScorer(Two(), 9).embed(crops(1, 9)), "Two returned a tuple"),
    ):
        with pytest.raises(InputError, match=message):
            make()


@pytest.fixture(scope="module")
def siam() -> SiamFCScorer:
    torch.manual_seed(0)
    return SiamFCScorer(siamfc.SiamFCNet().eval(), "cpu", "fp32")


def test_siamfc_is_the_trackers_response(siam) -> None:
    """The exemplar is the middle of the search input, and the peak that of the cross-correlation."""
    images = crops(3, 64)
    embedded = siam.embed(images)
    assert embedded.shape == (3, 256, 10, 10)
    canvas = place_on_canvas(images, siamfc.SEARCH) * 255
    with torch.no_grad():
        kernel = siam.net(canvas[:1, :, 64:191, 64:191])
        response = functional.conv2d(siam.net(canvas), kernel)
        own = kernel.square().sum()
    assert response.shape == (3, 1, 17, 17)
    found = siam.compare(embedded[:1].expand(3, -1, -1, -1), embedded)
    middle = response[..., 6:11, 6:11]
    assert found.tolist() == pytest.approx((middle.amax(dim=(1, 2, 3)) / own).tolist(), rel=1e-3)
    assert siam(images, images).tolist() == pytest.approx([1] * 3, abs=1e-3)
    assert isinstance(siam, Scorer)


def test_siamfc_needs_its_own_weights(tmp_path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(InputError, match="nothing.safetensors"):
        SiamFCScorer.load(tmp_path / "nothing.safetensors")
    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not those of SiamFC"):
        SiamFCScorer.load(tmp_path / "a.safetensors")
    save_file({k: v.contiguous() for k, v in siamfc.SiamFCNet().state_dict().items()}, tmp_path / "b.safetensors")
    assert SiamFCScorer.load(tmp_path / "b.safetensors", "cpu").input_size == 64


class Template:
    """A tracker that is as sure as the two pictures are alike where the target was."""

    def __init__(self) -> None:
        self.score, self.calls = 0.0, []

    def init(self, image, box):
        self.box, self.image = [int(v) for v in box], image.astype(float)
        self.calls.append(("init", image.shape, tuple(self.box)))

    def update(self, image):
        x, y, w, h = self.box
        part = np.s_[y - h // 2 : y + h + h // 2, x - w // 2 : x + w + w // 2]
        self.score = 1 - np.abs(self.image[part] - image[part]).mean() / 255
        self.calls.append(("update", image.shape))
        return self.box


def test_a_tracker_that_tells_its_confidence() -> None:
    tracker = Template()
    scorer = ConfidenceScorer(tracker, input_size=32, surroundings=3)
    assert isinstance(scorer, Scorer) and check_scorer(scorer) == []
    assert check_scorer(lambda: ConfidenceScorer(Template, 32)) == []
    images, others = crops(), crops(seed=1)
    tracker.calls.clear()
    found = scorer(images, others)
    assert tracker.calls == [("init", (96, 96, 3), (40, 40, 16, 16)), ("update", (96, 96, 3))] * 4
    assert found.tolist() == pytest.approx((1 - (images - others).abs().mean(dim=(1, 2, 3))).tolist(), abs=0.01)
    assert torch.equal(scorer.embed(images), images)
    for make, message in (
        (lambda: ConfidenceScorer(object), "object lacks init, update or score"),
        (lambda: ConfidenceScorer(Template, surroundings=0.5), "surroundings 0.5"),
        (lambda: ConfidenceScorer(Template, core=0), "core 0"),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_crops_on_a_canvas() -> None:
    images = torch.zeros(1, 3, 4, 4)
    images[0, 0, 0] = 1
    assert border_colour(images)[0, :, 0, 0].tolist() == pytest.approx([6 / 16, 0, 0])
    canvas = place_on_canvas(images, 10)
    assert torch.equal(canvas[..., 3:7, 3:7], images) and canvas[0, 0, 0, 0] == pytest.approx(6 / 16)


def test_as_an_environments_scorer(monkeypatch, tmp_path) -> None:
    (tmp_path / "my_scorer.py").write_text(
        "from torch import nn\nfrom tracker.scorers.foreign import EmbeddingScorer\n"
        "def make():\n    return EmbeddingScorer(nn.Conv2d(3, 4, 5), 24)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = load_networks(SearchArguments(scorer="my_scorer:make", device="cpu")).scorer
    assert isinstance(found, EmbeddingScorer) and found.input_size == 24


class Right:
    """A scorer that keeps to the rules; what is broken below differs in one of them."""

    input_size = 16
    device = torch.device("cpu")

    def embed(self, crops):
        return functional.normalize(crops.flatten(1) - 0.4)

    def compare(self, exemplars, candidates):
        return (exemplars * candidates).sum(dim=1)

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


def broken(**parts) -> Scorer:
    return type("Broken", (Right,), parts)()


def raising(*_):
    raise RuntimeError("no memory")


def writing(self, crops):
    found = Right.embed(self, crops)
    crops[:, :, 0] = 0
    return found


PARAMETER = nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    ("parts", "finding"),
    [
        ({"input_size": 0}, "input_size is 0; it must be"),
        ({"device": "cpu"}, "device is 'cpu'; it must be a torch.device"),
        ({"compare": None}, "compare cannot be called"),
        ({"embed": raising}, r"embed raised RuntimeError: no memory; it must take"),
        ({"embed": lambda self, c: Right.embed(self, c)[:1]}, r"embed made \[1, 768\] of 4 crops"),
        ({"embed": lambda self, c: c.numpy()}, "embed gave a ndarray; it must give a tensor"),
        ({"embed": lambda self, c: Right.embed(self, c) * torch.nan}, "embed gave a number that is not finite"),
        ({"embed": lambda self, c: Right.embed(self, c).to("meta")}, "embed gave a tensor on meta"),
        ({"embed": writing}, "embed writes into the crops"),
        ({"embed": lambda self, c: Right.embed(self, c) * PARAMETER}, "keeps gradients"),
        ({"embed": lambda self, c: Right.embed(self, c) - Right.embed(self, c).mean(0)}, "A crop embedded alone"),
        ({"compare": lambda self, e, c: e @ c.T}, r"shape \[16, 16\] for 16 pairs"),
        ({"compare": lambda self, e, c: Right.compare(self, e, c)[:, None]}, r"compare gave the shape \[16, 1\]"),
        ({"compare": lambda self, e, c: Right.compare(self, e, c).log()}, "compare gave a number that is not"),
        ({"compare": lambda self, e, c: Right.compare(self, e, c) - c.mean() - len(e)}, "own pair only"),
        ({"compare": lambda self, e, c: Right.compare(self, e, c) + 0.1 * torch.rand(len(e))}, "deterministic"),
        ({"compare": lambda self, e, c: -Right.compare(self, e, c)}, "scores higher against another target than"),
        ({"compare": lambda self, e, c: Right.compare(self, e, e)}, "half covered score as the whole"),
        ({"__call__": lambda self, e, c: self.compare(e.flatten(1), c.flatten(1))}, "something else than embed"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(parts: dict, finding: str) -> None:
    found = check_scorer(broken(**parts))
    assert any(re.search(finding, each) for each in found), found


def test_a_scorer_that_cannot_be_called() -> None:
    parts = {name: value for name, value in vars(Right).items() if name != "__call__"}
    assert check_scorer(type("Silent", (), parts)()) == [
        "The scorer cannot be called; give it a __call__ that compares what it has embedded."
    ]


def test_what_is_whole_is_not_blamed() -> None:
    assert check_scorer(Right()) == [] and check_scorer(Right) == []
    assert check_scorer(load_scorer(device="cpu")) == []
    assert check_scorer(raising) == ["Making the scorer raised RuntimeError: no memory."]
    with pytest.raises(InputError, match="nowhere"):
        check_scorer(lambda: SiamFCScorer.load("nowhere"))
