"""Settings of the demo; importing them imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.models.backbones import Precision


@dataclass(frozen=True)
class Effort:
    """How much work a demo does.

    Attributes:
        max_frames: Frames of the video that are used.
        crops: Crops that the VAE learns from.
        epochs: Of the VAE; the paper's 20,000 take hours on a CPU.
        samples: Sampled targets that an agent is trained on beside the training frames (`from_scratch`).
        steps: Environment steps of that training.
        held_out: Real targets that the methods are compared on.
        unseen_samples: Sampled targets that hard positives are made of.
    """

    max_frames: int
    crops: int
    epochs: int
    samples: int
    steps: int
    held_out: int
    unseen_samples: int

    def __post_init__(self) -> None:
        """Refuse a training too short to hold an episode.

        Raises:
            InputError: If there are fewer than 20 steps.
        """
        if self.steps < 20:
            raise InputError(f"{self.steps} steps hold no episode; give --steps 20 or more.")


FULL = Effort(max_frames=120, crops=48, epochs=600, samples=32, steps=12000, held_out=24, unseen_samples=12)
QUICK = Effort(max_frames=48, crops=24, epochs=100, samples=8, steps=1000, held_out=8, unseen_samples=4)


@dataclass(frozen=True)
class Demo:
    """What to run.

    Attributes:
        out: Folder for the results; an earlier result in it is replaced.
        data: An annotated sequence (OTB, VOT, GOT-10k, LaSOT, ...), a folder of images or a video file; without it
            a synthetic video is made.
        box: Boxes, 0-based, for a video without annotation: that of the first frame, or a file of one a line.
        seed: Seed of all random numbers.
        device: Where the networks run.
        features: The network of the state and of the scorer.
        weights: A safetensors file with the network's weights; for vgg16 also `imagenet`, which fetches them.
        layer: The layer that is the state of --from-scratch; fc7, or pool5 where the weights hold convolutions
            alone.
        precision: Arithmetic of the networks; auto takes bfloat16 where the hardware has it.
        effort: How much work.
        from_scratch: Train an agent on the video with deep Q-learning (Algorithm 1), in place of the shipped
            agent; done too where the package ships no prior for the weights.
    """

    out: Path = Path("out/demo")
    data: Path | None = None
    box: str | None = None
    seed: int = 0
    device: str = "auto"
    features: Literal["slim", "vgg16"] = "slim"
    weights: str | None = None
    layer: str | None = None
    precision: Precision = "auto"
    effort: Effort = field(default_factory=lambda: FULL)
    from_scratch: bool = False
