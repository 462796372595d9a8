"""SINT++ in one file: manifolds, samples, the search for occlusions, hard positives, training, evaluation.

`occlusion-search reproduce` does this for every arm of the paper's ablation, with seeds, intervals and a report.
The defaults show the stages on rendered videos in a minute; they are too small for a difference between the two
trackers.

Usage: python examples/11_the_whole_pipeline.py [TRAIN_VIDEOS TEST_VIDEOS] [--epochs 1000] [--steps 500]

Prints:

    Training 3 manifolds
    12 hard positives of new samples
    covered                0%    10%    20%    30%    40%    50%
    ...
    SINT++  background  0.991  0.973  0.956  0.949  0.964  0.894
    SINT++  cutout      0.991  0.986  0.982  0.972  0.970  0.964
    SINT++  side        0.991  0.989  0.975  0.959  0.961  0.936
    SINT++  texture     0.991  0.959  0.960  0.966  0.941  0.893
"""

import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from videos import rendered_videos

from agents import HardPositiveGenerator
from agents.ablation.occlusion_sweep import SweepSettings, occlusion_sweep
from agents.cli.streams import ProgressLines
from agents.manifolds.bank import find_videos, train_bank
from agents.policies.loading import load_agent
from occlusion_env import TargetSet
from occlusion_env.scene.shapes import other_videos
from tracker import load_scorer, open_sequences
from tracker.data.sequences import evenly_spaced
from tracker.models.sint import SintConfig, load_sint
from tracker.trackers.sint.tracker import SintTracker
from tracker.training import SintTraining, open_folder, take_hard_positives, train_sint
from vae import TrainingConfig, VAEBank


@dataclass
class Arguments:
    """Videos and amount of training.

    Attributes:
        train: Folder of annotated videos to train on, a part of them for validation; rendered ones by default.
        test: Folder of other annotated videos; rendered ones by default.
        out: Folder for the results.
        epochs: Updates of each manifold.
        steps: Steps of the tracker's training.
        per_video: Hard positives of each video.
        boxes_per_frame: Boxes of each frame of a training pair.
        frames: Test frames of each video.
    """

    train: tyro.conf.Positional[Path | None] = None
    test: tyro.conf.Positional[Path | None] = None
    out: Path = Path("out/examples/pipeline")
    epochs: int = 50
    steps: int = 10
    per_video: int = 4
    boxes_per_frame: int = 16
    frames: int = 1


def main(given: Arguments) -> None:
    """Print how well SINT and SINT++ find targets that are 0 to 50 % covered."""
    train_videos = given.train or rendered_videos(Path("out/examples/videos"), range(4))
    test_videos = given.test or rendered_videos(Path("out/examples/test_videos"), range(4, 6))
    train, held_out = open_folder(train_videos)
    print(f"Training {len(train)} manifolds", flush=True)
    # Section 4.1: the manifold of each video's target.
    bank = VAEBank(given.out / "bank")
    videos = {sequence.name: path for sequence in train for path in [find_videos(train_videos)[sequence.name]]}
    train_bank(bank, videos, training=TrainingConfig(epochs=given.epochs))
    # Section 4.2: new samples of the targets, each occluded where an agent finds the score lowest.
    every = [TargetSet.from_sequence(sequence) for sequence in train]
    targets = TargetSet.join(each.subset(evenly_spaced(len(each), given.per_video)) for each in every)
    generator = HardPositiveGenerator(load_agent("pretrained"), load_scorer(), vae_bank=bank)
    positives = take_hard_positives((hard.image, hard.record()) for hard in generator.of_targets(targets))
    print(f"{len(positives)} hard positives of new samples", flush=True)
    # Section 5: SINT trained with them and without, evaluated on other videos.
    settings = SintTraining(
        given.steps, learning_rate=4e-3, schedule="cosine", layer_rates=(("*", 1.0),), flip=0.5, keep="last",
        boxes_per_frame=given.boxes_per_frame, validate_every=given.steps,
    )  # fmt: skip
    sweep = SweepSettings(frames=given.frames)
    print("covered             " + "  ".join(f"{level:>5.0%}" for level in sweep.levels))
    for name, hard in (("SINT", []), ("SINT++", positives)):
        train_sint(train, held_out, given.out / name, SintConfig(), settings, hard_positives=hard)
        tracker = SintTracker(load_sint(given.out / name))
        test = list(open_sequences(test_videos).values())
        swept = occlusion_sweep(tracker, test, sweep, other_videos([*test, *held_out]))
        for kind in sweep.kinds:
            found = np.mean([target.overlap[kind] for target in swept], axis=0)
            print(f"{name:<7} {kind:<11} " + "  ".join(f"{overlap:.3f}" for overlap in found), flush=True)


if __name__ == "__main__":
    # Where the output is no terminal, a progress bar becomes a line every ten seconds.
    with redirect_stderr(sys.stderr if sys.stderr.isatty() else ProgressLines(sys.stderr)):
        main(tyro.cli(Arguments))
