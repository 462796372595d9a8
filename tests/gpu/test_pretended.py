import copy

import pytest
import torch
from torch import nn


def test_basic(pretended):
    x = torch.randn(3, 3).to("cuda:1")
    assert x.device == torch.device("cuda:1")
    y = torch.zeros(3, device="cuda")
    assert y.device.index == 0
    with pytest.raises(RuntimeError, match="same device"):
        x + y
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.zeros(3)
    assert (x + torch.tensor(1.0)).device == x.device
    with pytest.raises((RuntimeError, TypeError)):
        x.numpy()
    assert x.cpu().numpy().shape == (3, 3)
    assert x[torch.tensor([0, 2])].shape == (2, 3)
    net = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
        .to("cuda:1")
        .to(memory_format=torch.channels_last)
    )
    ps = list(net.parameters())
    opt = torch.optim.Adam(net.parameters(), 0.1)
    before = ps[0].detach().cpu().clone()
    with torch.autocast("cuda", torch.float32, enabled=False):
        loss = net(torch.randn(2, 3, 8, 8, device="cuda:1")).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    assert float(loss.detach()) > 0
    assert not torch.equal(before, ps[0].detach().cpu())
    twin = copy.deepcopy(net)
    assert next(twin.parameters()).device.index == 1
    with torch.inference_mode():
        assert net(torch.randn(2, 3, 8, 8).to(x)).shape == (2, 2)
    net.cpu()
    assert next(net.parameters()).device.type == "cpu"
    z = torch.zeros(2, 3)
    z.copy_(x[:2])
    z[:] = 0
    x[0] = z[0]
