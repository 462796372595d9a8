"""A torchvision transform (v2) that makes hard positives of single images."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image as PILImage
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from occlusion_env.mdp.actions import RegionLimits
from tracker.errors import InputError
from tracker.scorers import Scorer

from ...policies.methods import Method
from ...policies.rollout import Agent, Policy
from .batch import HardPositiveBatch, Occlusions
from .objectives import Objective
from .patches import PatchSource

_MODES = ("RGB", "RGBA", "L", "LA")


class HardPositiveTransform(v2.Transform):
    """Covers the target with a piece of its image's background, in the region that a method finds.

    Takes any nesting with one image and one `tv_tensors.BoundingBoxes` in it, of any format; the target is the
    first box, or that of `target`. Only the image changes, and only where it is covered; it keeps its type, mode,
    shape and dtype. An image without a box stays as it is.

    The image is a `tv_tensors.Image`, a tensor that torchvision takes for one, or a PIL image of the mode RGB,
    RGBA, L or LA. Tensors are `[C, H, W]`, uint8 or floating-point in [0, 1]; 1 channel is grey, 3 are RGB, and
    the last of 2 or 4 is alpha, which stays. Other images are an error in every call.

    Random numbers come from torch's own generator, seeded by a `DataLoader` in its worker processes too.

    Args:
        p: Probability that an image is changed.
        method: Finds the region; see `HardPositiveBatch`. In worker processes give a scorer by name, which each
            loads for itself, on the CPU.
        scorer: The matcher, which compares with the unoccluded target; `random` and `centre` need none.
        limits: Largest area, least side and aspect of a region.
        target: Row of the box to cover.
        least_area: See `HardPositiveBatch`, as the three below.
        source: Draws the patches.
        patches: Number of patches.
        objective: The hardest candidate minimises it.

    Raises:
        InputError: See `HardPositiveBatch`; in a call, if an image is of another kind.
    """

    def __init__(
        self,
        p: float = 0.5,
        method: Policy | Agent | Method | str | None = None,
        scorer: Scorer | str | None = None,
        limits: RegionLimits | None = None,
        target: int = 0,
        least_area: float | None = None,
        source: PatchSource | None = None,
        patches: int = 1,
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.batch = HardPositiveBatch(method, scorer, p, limits, least_area, source, patches, objective)
        self.target = target

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Choose the region and the patch; torchvision calls it once a sample.

        Raises:
            InputError: If there is not one image and one set of boxes.
        """
        images = [each for each in flat_inputs if _is_image(each)]
        boxes = [each for each in flat_inputs if isinstance(each, tv_tensors.BoundingBoxes)]
        if len(images) != 1 or len(boxes) != 1:
            raise InputError(
                f"HardPositiveTransform was given {len(images)} images and {len(boxes)} sets of boxes; give one"
                " tv_tensors.Image, tensor or PIL image and one tv_tensors.BoundingBoxes."
            )
        rows = functional.convert_bounding_box_format(boxes[0], new_format=tv_tensors.BoundingBoxFormat.XYWH)
        row = rows.as_subclass(torch.Tensor).reshape(-1, 4)[self.target : self.target + 1 or None]
        image = _rgb(_tensor(images[0]))[None]
        # A sample without a target draws as much as one with it.
        if not len(row):
            row = torch.zeros(1, 4)
        return {"occlusions": self.batch.plan(image, row)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Paste the patch into the image."""
        occlusions: Occlusions = params["occlusions"]
        if not len(occlusions) or not _is_image(inpt):
            return inpt
        given = _tensor(inpt)
        before = _rgb(given)
        after = self.batch.apply_to(before[None], occlusions)[0]
        changed = given.clone()
        if len(given) > 2:
            changed[:3] = after
        else:
            changed[:1] = torch.where((after == before).all(dim=0), given[:1], _grey(after))
        if isinstance(inpt, PILImage.Image):
            return functional.to_pil_image(changed, mode=inpt.mode)
        return tv_tensors.wrap(changed, like=inpt) if isinstance(inpt, tv_tensors.Image) else changed


def _is_image(inpt: Any) -> bool:
    return isinstance(inpt, (tv_tensors.Image, PILImage.Image)) or type(inpt) is torch.Tensor


def _tensor(image: Any) -> torch.Tensor:
    """Return an image as `[C, H, W]`, C from 1 to 4."""
    if isinstance(image, PILImage.Image):
        if image.mode not in _MODES:
            raise InputError(
                f"HardPositiveTransform was given a PIL image of the mode {image.mode}; convert it to"
                f" {', '.join(_MODES)}."
            )
        return functional.pil_to_tensor(image)
    tensor: torch.Tensor = image.as_subclass(torch.Tensor)
    if tensor.ndim != 3 or not 1 <= len(tensor) <= 4:
        raise InputError(
            f"HardPositiveTransform was given an image {list(tensor.shape)}; give [C, H, W], C from 1 to 4."
        )
    if not (tensor.is_floating_point() or tensor.dtype == torch.uint8):
        raise InputError(
            f"HardPositiveTransform was given an image of {tensor.dtype}; give uint8, or floating-point in [0, 1]."
        )
    return tensor


def _rgb(image: torch.Tensor) -> torch.Tensor:
    """Return the colours `[3, H, W]` of an image `[C, H, W]`."""
    return image[:3] if len(image) > 2 else image[:1].expand(3, -1, -1)


def _grey(rgb: torch.Tensor) -> torch.Tensor:
    """Return the luminance `[1, H, W]` of `[3, H, W]`: exactly the value where all channels have the same."""
    luminance = functional.rgb_to_grayscale(rgb)
    return torch.where((rgb == rgb[:1]).all(dim=0), rgb[:1], luminance)
