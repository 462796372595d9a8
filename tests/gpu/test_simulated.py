"""The simulated GPU behaves as CUDA does where code for one can go wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.hard_positives.transforms import HardPositiveBatch
from tracker.data.synthetic import synthetic_sequence
from tracker.models.sint import Sint, SintConfig
from tracker.scorers.foreign import EmbeddingScorer
from tracker.training import LabelledFrame, SiamFCTraining
from tracker.training.frames import FrozenMaps, Views
from tracker.training.siamfc import SearchPairs, SiamFCPairs

A, B = "cuda:0", "cuda:1"


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: x + y,
        lambda x, y: x @ y,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch.where(x > 0, x, y),
        lambda x, y: x.add_(y),
        lambda x, y: nn.functional.linear(x, y),
        lambda x, y: y[x.long()],
    ],
)
def test_tensors_of_two_devices_do_not_meet(simulated: Any, operation: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = torch.ones(3, 3, device=B)
    for y in (torch.ones(3, 3), torch.ones(3, 3, device=A)):
        for context in (torch.enable_grad(), torch.inference_mode()):
            with context, pytest.raises(RuntimeError, match="on the same device"):
                operation(x, y)


def test_what_cuda_allows_of_the_cpu(simulated: Any) -> None:
    x = torch.ones(3, 3, device=B)
    assert (x + torch.tensor(1.0)).tolist() == [[2.0] * 3] * 3
    assert x[torch.tensor([0, 2])].shape == x[[0, 2]].shape == (2, 3) and x[[]].shape == (0, 3)
    y = torch.zeros(3, 3)
    y.copy_(x)
    assert y.device.type == "cpu" and y.sum() == 9
    x[0] = torch.tensor(5.0)
    assert x.cpu().numpy()[0].tolist() == [5.0] * 3
    with pytest.raises((RuntimeError, TypeError)):
        x.numpy()


def test_devices_are_reported_and_recorded(simulated: Any) -> None:
    assert torch.zeros(3, device="cuda").device == torch.zeros(3).cuda().device == torch.device(A)
    assert simulated.used == {A}
    x = torch.tensor([1.0, 2.0], device=B)
    made = (x, x * 2, x.cpu().to(x), torch.zeros_like(x), x.new_tensor([3]), torch.arange(3, device=x.device))
    assert {each.device for each in made} == {torch.device(B)} and simulated.used == {A, B}
    assert x.cpu().device == torch.device("cpu") and x.is_cuda
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.zeros(1, device="cuda:2")
    with pytest.raises(RuntimeError, match="expected a generator"):
        torch.rand(2, device=B, generator=torch.Generator())


def test_a_network_learns_and_moves(simulated: Any) -> None:
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    net = nn.Sequential(*layers).to(B).to(memory_format=torch.channels_last)
    parameters = list(net.parameters())
    before = parameters[0].detach().cpu().clone()
    optimizer = torch.optim.Adam(parameters, 0.1)
    net(torch.linspace(0, 1, 384, device=B).view(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, parameters[0].detach().cpu())
    twin = copy.deepcopy(net)
    shared = copy.copy(net)
    shared.to("cpu")
    assert {each.device.type for each in net.parameters()} == {"cpu"}, "a shallow copy moves what it shares"
    assert {each.device for each in twin.parameters()} == {torch.device(B)}


def test_images_and_maps_are_moved_before_they_are_converted(simulated: Any) -> None:
    """As bytes and half floats: a quarter and a half of what float32 takes."""
    videos = [synthetic_sequence(0, 3, 96, 72)]
    sint = Sint.load(SintConfig("slim", side=64), device=B)
    views = Views(sint.config, videos)
    maps = FrozenMaps(sint.backbone, "conv5", views, torch.float32)
    frame = LabelledFrame(0, 1, videos[0].boxes[1:2], np.array([True]), None)
    simulated.moved.clear()
    maps([frame])
    assert simulated.moved[torch.uint8] == 3 * 64 * 64
    assert simulated.moved[torch.float16] > 0 and not simulated.moved[torch.float32]

    simulated.moved.clear()
    SearchPairs.load(SiamFCPairs(videos, SiamFCTraining()).draw(0, 2), B)
    assert simulated.moved == {torch.uint8: 2 * 3 * (127**2 + 64**2 + 255**2), torch.float32: 2 * 4}

    simulated.moved.clear()
    images, exemplars = torch.zeros(2, 3, 40, 40, dtype=torch.uint8, device=B), torch.zeros(2, 3, 9, 9).half()
    boxes = torch.tensor([[5.0, 5, 20, 20]]).repeat(2, 1)
    HardPositiveBatch("best of 2 random", EmbeddingScorer(nn.Flatten(), 16))(images, boxes, exemplars)
    assert simulated.moved[torch.float16] == exemplars.numel()
