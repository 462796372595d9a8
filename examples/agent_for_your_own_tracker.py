"""An agent for a tracker of your own: a prior is fitted to your matcher, an agent is trained on it, and evaluated.

Put your matcher in the place of `Matcher`; here it is the correlation of two grey images. Then

1. `fit-prior` scores occlusions of training targets: the prior of the belief over regions for your matcher;
2. `train` trains an agent that observes this belief (`Observation` below);
3. `evaluate` compares it, on other videos, with random regions and grid search.

These are commands of the package; they take your matcher as `agent_for_your_own_tracker:scorer`, a name that
Python must be able to import (PYTHONPATH). Hard positives need no agent: `generate --prior
OUT/prior.safetensors --scorer agent_for_your_own_tracker:scorer`.

Usage: python examples/agent_for_your_own_tracker.py TRAIN JUDGE [--out DIR] [--steps N]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from your_own_tracker import GreyCorrelation

from agents.policies.belief import BeliefObservation, FittedPrior, load_prior


class Matcher(GreyCorrelation):
    """Your matcher: the members of `tracker.Scorer`."""


def scorer() -> Matcher:
    """Load its network here."""
    return Matcher()


class Observation(BeliefObservation):
    """The belief with the prior of your matcher."""

    def prior(self) -> FittedPrior:
        """The file that `fit-prior` wrote."""
        return load_prior(os.environ["PRIOR"])


@dataclass
class Arguments:
    """What to run.

    Attributes:
        train: A folder of annotated sequences to train on, two or more.
        judge: Annotated sequences that nothing was trained on.
        out: Folder for all that comes out.
        steps: Steps of the agent's training.
        per_sequence: Targets of a sequence, for the prior (336 scored occlusions each) and in the evaluation.
    """

    train: tyro.conf.Positional[Path]
    judge: tyro.conf.Positional[Path]
    out: Path = Path("out/agent")
    steps: int = 20_000
    per_sequence: int = 2


def main(given: Arguments) -> None:
    """Fit, train, evaluate."""
    name, prior = Path(__file__).stem, given.out / "prior.safetensors"
    given.out.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    names = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PRIOR": str(prior)}

    def command(*words: object) -> None:
        subprocess.run([sys.executable, "-m", "agents.cli", *map(str, words)], check=True, env=names)

    matcher, count = ["--scorer", f"{name}:scorer"], ["--per-sequence", given.per_sequence]
    command("fit-prior", "--data", given.train, *matcher, *count, "--out", prior)
    # A fall of the score by a standard deviation of the drops earns 1.
    scale = 1 / json.loads(prior.with_suffix(".json").read_text())["unit"]
    seen = [f"scorer:{name}:scorer", f"observation:{name}:Observation", f"reward_scale:{scale:.4g}"]
    length = ["--n-timesteps", given.steps, "--eval-freq", -1, "--log-folder", given.out / "logs"]
    command("train", "--conf-file", "tuned", "--targets", given.train, *length, "--env-kwargs", *seen)
    judged = [*count, "--seeds", 1, "--checks", "none"]
    judged += ["--agent", given.out / "logs/dqn/OcclusionSearch-v0_1", "--allow", f"{name}:Observation"]
    command("evaluate", "--targets", given.judge, *matcher, *judged, "--out", given.out / "evaluation")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
