"""An agent for a tracker of your own: what hurts it is learned, an agent is trained on it, and both are judged.

Put your matcher in the place of `Matcher`; here it is the correlation of two grey images. Then

1. `train-foresight` covers targets at random and learns what that does to your matcher's score;
2. `train` trains an agent that sees what that network foretells (`Foresight` below);
3. `evaluate` compares it, on other videos, with random regions, with exhaustive search, and with the agent that
   the package ships: that was trained on SINT, and is told your matcher's scores in SINT's scale.

These are commands of the package; your matcher is to them `agent_for_your_own_tracker:scorer`, a name that Python
must be able to import (PYTHONPATH). The first says what the unit of your scores is: give your scorer that
attribute.

Usage: python examples/agent_for_your_own_tracker.py TRAIN JUDGE [--out DIR] [--steps N]
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from your_own_tracker import GreyCorrelation

import agents.foresight
from agents.foresight import DropPredictor, load_predictor


class Matcher(GreyCorrelation):
    """Your matcher: the members of `tracker.Scorer`, and the unit."""

    unit = 0.29
    """How far its scores spread, as `train-foresight` has measured it."""


def scorer() -> Matcher:
    """Load its network here."""
    return Matcher()


class Foresight(agents.foresight.Foresight):
    """What an agent for it sees."""

    def predictor(self) -> DropPredictor:
        """The network that `train-foresight` wrote."""
        return load_predictor(os.environ["FORESIGHT"])


@dataclass
class Arguments:
    """What to run.

    Attributes:
        train: A folder of annotated sequences to train on, two or more.
        judge: Annotated sequences that nothing was trained on.
        out: Folder for all that comes out.
        samples: Scored random occlusions a target; your matcher is asked so often, and once a step of training.
        steps: Steps of the agent's training.
        per_sequence: Targets a sequence, in training the foresight and in judging.
    """

    train: tyro.conf.Positional[Path]
    judge: tyro.conf.Positional[Path]
    out: Path = Path("out/agent")
    samples: int = 40
    steps: int = 20_000
    per_sequence: int = 10


def main(given: Arguments) -> None:
    """Learn, train, judge."""
    name, predictor = Path(__file__).stem, given.out / "foresight.safetensors"
    given.out.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    names = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "FORESIGHT": str(predictor)}

    def command(*words: object) -> None:
        subprocess.run([sys.executable, "-m", "agents.cli", *map(str, words)], check=True, env=names)

    learned = ["--per-sequence", given.per_sequence, "--patches", 1, "--regions", given.samples, "--folds", 2]
    matcher = ["--scorer", f"{name}:scorer"]
    command("train-foresight", "--targets", given.train, *matcher, *learned, "--out", predictor)
    seen = [f"scorer:{name}:scorer", f"observation:{name}:Foresight", f"reward_scale:{1 / Matcher.unit}"]
    length = ["--n-timesteps", given.steps, "--eval-freq", -1, "--log-folder", given.out / "logs"]
    command("train", "--conf-file", "tuned", "--targets", given.train, *length, "--env-kwargs", *seen)
    judged = ["--per-sequence", given.per_sequence, "--seeds", 1, "--last", "none", "--checks", "none"]
    judged += ["--agent", "pretrained", given.out / "logs/dqn/OcclusionSearch-v0_1"]
    command("evaluate", "--targets", given.judge, *matcher, *judged, "--out", given.out / "evaluation")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
