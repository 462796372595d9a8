"""A torchvision transform (v2) that makes hard positives of single images."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image as PILImage
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from occlusion_env.actions import RegionLimits
from tracker.errors import InputError
from tracker.scorers import Scorer

from ..baselines import Chooser
from ..evaluation import Agent
from ..methods import Method
from ..rollout import Policy
from .batch import HardPositiveBatch, Occlusions
from .hurting import Hurt
from .patches import PatchSource

__all__ = ["HardPositive"]


class HardPositive(v2.Transform):
    """Covers the target with a piece of the background of its own image, where a chosen method says.

    Takes any nesting with one image (`tv_tensors.Image`, or PIL) and one `tv_tensors.BoundingBoxes` in it, of any
    format; the target is the first box, or that of `target`. Only the image changes, and only where it is covered.
    An image without a box stays as it is. It draws from torch's own generator, so that a `DataLoader`'s seed
    decides, in worker processes too.

    Args:
        p: How often an image is changed.
        method: Says where; see `HardPositiveBatch`. In worker processes give a scorer by name, which each loads
            for itself, on the CPU.
        scorer: The matcher, which compares with the target as it is; `random` and `centre` need none.
        limits: Largest area, least side and aspect of a region.
        target: Row of the box to cover.
        least_area: See `HardPositiveBatch`, as the three below.
        source: Draws what covers.
        patches: How many are drawn.
        hurt: What tells the worst.

    Raises:
        InputError: See `HardPositiveBatch`.
    """

    _images = (tv_tensors.Image, PILImage.Image)
    # torchvision shows `make_params` these alone.
    _transformed_types = (*_images, tv_tensors.BoundingBoxes)

    def __init__(
        self,
        p: float = 0.5,
        method: Policy | Agent | Chooser | Method | str = "random",
        scorer: Scorer | str | None = None,
        limits: RegionLimits | None = None,
        target: int = 0,
        least_area: float | None = None,
        source: PatchSource | None = None,
        patches: int = 1,
        hurt: Hurt | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        self.batch = HardPositiveBatch(method, scorer, p, limits, least_area, source, patches, hurt)
        self.target = target

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Choose what to cover; torchvision calls it once a sample.

        Raises:
            InputError: If there is not one image and one set of boxes.
        """
        images = [each for each in flat_inputs if isinstance(each, self._images)]
        boxes = [each for each in flat_inputs if isinstance(each, tv_tensors.BoundingBoxes)]
        if len(images) != 1 or len(boxes) != 1:
            raise InputError(
                f"HardPositive was given {len(images)} images and {len(boxes)} sets of boxes; give one"
                " tv_tensors.Image or PIL image and one tv_tensors.BoundingBoxes."
            )
        rows = functional.convert_bounding_box_format(boxes[0], new_format=tv_tensors.BoundingBoxFormat.XYWH)
        row = rows.as_subclass(torch.Tensor).reshape(-1, 4)[self.target : self.target + 1 or None]
        image = _tensor(images[0])
        # A sample without a target draws as much as one with it.
        if not len(row):
            row = torch.zeros(1, 4)
        return {"occlusions": self.batch.plan(image, row)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Paste it into the image."""
        occlusions: Occlusions = params["occlusions"]
        if not len(occlusions) or not isinstance(inpt, self._images):
            return inpt
        changed = self.batch.apply_to(_tensor(inpt), occlusions)[0]
        if isinstance(inpt, PILImage.Image):
            return functional.to_pil_image(changed)
        return tv_tensors.wrap(changed, like=inpt)


def _tensor(image: Any) -> torch.Tensor:
    """An image as a batch of one."""
    if isinstance(image, PILImage.Image):
        return functional.pil_to_tensor(image.convert("RGB"))[None]
    return image.as_subclass(torch.Tensor)[None]
