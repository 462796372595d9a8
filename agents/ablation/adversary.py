"""The Adv-Net of Table 1: a spatial transformer that rotates the target against the matcher, then occlusion.

A-Fast-RCNN's ASTN (Wang et al. 2017, section 4.2), limited to rotations of at most 10 degrees, at the image level:
a small network predicts the angle from the target. It is trained by gradient ascent on the matcher's distance,
through the sampler, with the matcher frozen; then it is frozen while the matcher is trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from occlusion_env.scene.targets import TargetSet
from tracker.data.images import resize, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import load_weights
from tracker.models.sint import Sint, sint_embedding
from tracker.training import FrameTransform

LARGEST = math.radians(10)
"""The largest rotation, as in A-Fast-RCNN."""

_SIDE = 32


class RotationAdversary(nn.Module):
    """Predicts the rotation of targets; the initial rotation is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(),
        )  # fmt: skip
        self.say = nn.Linear(64, 1)
        nn.init.zeros_(self.say.weight)
        nn.init.zeros_(self.say.bias)

    def forward(self, crops: Tensor) -> Tensor:
        """Targets `[N, 3, H, W]` in [0, 1] to angles `[N]` in radians, between -10 and 10 degrees."""
        small = functional.interpolate(crops, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        return LARGEST * torch.tanh(self.say(self.look(small - 0.5)))[:, 0]


def rotated(images: Tensor, boxes: Tensor, angles: Tensor) -> Tensor:
    """Rotate the contents of boxes about their centres; pixels from around the box move in, the rest stays.

    Args:
        images: `[N, 3, H, W]`.
        boxes: `[N, 4]`, `(x, y, w, h)` in pixels.
        angles: `[N]`, in radians.

    Returns:
        `[N, 3, H, W]`; gradients reach the angles.
    """
    height, width = images.shape[-2:]
    x, y, w, h = (value[:, None, None] for value in boxes.to(images).unbind(1))
    across = torch.arange(width, device=images.device)[None, None, :] + 0.5
    down = torch.arange(height, device=images.device)[None, :, None] + 0.5
    from_x, from_y = across - (x + w / 2), down - (y + h / 2)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    source_x = x + w / 2 + cos * from_x + sin * from_y
    source_y = y + h / 2 - sin * from_x + cos * from_y
    grid = torch.stack([2 * source_x / width - 1, 2 * source_y / height - 1], dim=3)
    turned = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    within = (from_x.abs() < w / 2) & (from_y.abs() < h / 2)
    return torch.where(within[:, None], turned, images)


def train_adversary(
    sint: Sint, targets: TargetSet, steps: int = 150, batch: int = 16, seed: int = 0, learning_rate: float = 1e-3
) -> RotationAdversary:
    """Train the adversary: rotations that minimise the matcher's score.

    Args:
        sint: The matcher; it is not changed.
        targets: The targets, each with its exemplar.
        steps: Updates (Adam).
        batch: Targets a step.
        seed: Seed of the weights and of the draws.
        learning_rate: Of Adam.

    Raises:
        InputError: If there is no target.
    """
    if not len(targets):
        raise InputError("There is no target to rotate; give videos with targets after their first frame.")
    device, side = sint.backbone.mean.device, sint.backbone.input_size
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adversary = RotationAdversary().to(device)
    optimizer = torch.optim.Adam(adversary.parameters(), learning_rate)
    whole = torch.tensor([[0.0, 0.0, side, side]], device=device).expand(batch, 4)
    for _ in range(steps):
        drawn = torch.randint(len(targets), (batch,), generator=generator).tolist()
        chosen = [targets[index] for index in drawn]
        crops, exemplars = (
            torch.cat([to_tensor(resize(image, side, side), device) for image in images])
            for images in ([t.crop for t in chosen], [t.exemplar for t in chosen])
        )
        with torch.no_grad():
            exemplar = sint_embedding(sint.backbone, exemplars)
        rotated_target = sint_embedding(sint.backbone, rotated(crops, whole, adversary(crops)))
        score = (exemplar * rotated_target).sum(dim=1).mean()
        optimizer.zero_grad()
        score.backward(inputs=list(adversary.parameters()))
        optimizer.step()
    return adversary.eval().requires_grad_(False)


def load_adversary(file: Path, device: str | torch.device = "cpu") -> RotationAdversary:
    """Load the weights of an adversary, which `tracker.models.backbones.save_weights` wrote.

    Raises:
        InputError: If the file is missing or holds something else.
    """
    adversary = RotationAdversary()
    try:
        adversary.load_state_dict(load_weights(file))
    except RuntimeError:
        raise InputError(f"The weights in '{file}' are not those of the rotation adversary.") from None
    return adversary.to(device).eval().requires_grad_(False)


@dataclass
class RotateAndOcclude:
    """Adv-Net's positives: rotated by the adversary, then occluded.

    Attributes:
        adversary: Predicts the angles.
        occlude: The occlusion.
        p: Probability that a target is rotated.
    """

    adversary: RotationAdversary = field(repr=False)
    occlude: FrameTransform
    p: float = 0.5

    @torch.no_grad()
    def __call__(self, images: Tensor, boxes: Tensor, exemplars: Tensor, generator: torch.Generator) -> Tensor:
        """Rotate and occlude frames; see `tracker.training.FrameTransform`."""
        corners = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        index = torch.arange(len(images), device=images.device)[:, None].to(corners)
        crops = roi_align(images, torch.cat([index, corners], dim=1), _SIDE, aligned=True)
        turned = torch.rand(len(images), generator=generator).lt(self.p).to(images.device)
        found = torch.where(turned[:, None, None, None], rotated(images, boxes, self.adversary(crops)), images)
        return self.occlude(found, boxes, exemplars, generator)
