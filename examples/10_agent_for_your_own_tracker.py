"""An agent for a tracker of your own: fit a prior to your matcher, train an agent on it, and evaluate it.

Put your matcher in the place of `matcher.GreyCorrelation`. Then

1. `fit-prior` scores occlusions of training targets: the prior of the belief over regions for your matcher;
2. `train` trains an agent that observes this belief (`matcher.Observation`);
3. `evaluate` compares it, on other videos, with random regions and grid search.

These are commands of the package; they take your matcher as `matcher:scorer`, a name that Python can import
(PYTHONPATH). Hard positives need no agent: `generate --prior OUT/prior.safetensors --scorer matcher:scorer`.

Usage: python examples/10_agent_for_your_own_tracker.py [TRAIN JUDGE] [--out DIR] [--steps N]

Prints:

    $ occlusion-search fit-prior --data out/examples/videos --scorer matcher:scorer --per-sequence 1 ...
    4 targets, 1344 scorer queries. The best constant region has x 0.26, y 0.26, width 0.40, height 0.63, ...
    $ occlusion-search train --conf-file tuned --data out/examples/videos --steps 1000 ...
    Training dqn on cpu for 1000 steps in out/examples/agent/logs/dqn/OcclusionSearch-v0_1
    $ occlusion-search evaluate --data out/examples/test_videos --scorer matcher:scorer ...
    ... (a table of the methods)
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from videos import rendered_videos


@dataclass
class Arguments:
    """Videos and amount of training.

    Attributes:
        train: A folder of annotated sequences to train on, two or more; rendered ones by default.
        judge: Annotated sequences that nothing was trained on; rendered ones by default.
        out: Folder for the prior, the agent and the evaluation.
        steps: Steps of the agent's training.
        per_sequence: Targets of a sequence, for the prior (336 scored occlusions each) and in the evaluation.
    """

    train: tyro.conf.Positional[Path | None] = None
    judge: tyro.conf.Positional[Path | None] = None
    out: Path = Path("out/examples/agent")
    steps: int = 1_000
    per_sequence: int = 1


def main(given: Arguments) -> None:
    """Fit, train, evaluate."""
    train = given.train or rendered_videos(Path("out/examples/videos"), range(4))
    judge = given.judge or rendered_videos(Path("out/examples/test_videos"), range(4, 6))
    prior = given.out / "prior.safetensors"
    given.out.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    names = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PRIOR": str(prior)}

    def command(*words: object) -> None:
        line = list(map(str, words))
        print(f"$ occlusion-search {shlex.join(line)}", flush=True)
        subprocess.run([sys.executable, "-m", "agents.cli", *line], check=True, env=names)

    matcher, count = ["--scorer", "matcher:scorer"], ["--per-sequence", given.per_sequence]
    command("fit-prior", "--data", train, *matcher, *count, "--folds", 2, "--out", prior)
    # A fall of the score by a standard deviation of the drops earns 1.
    scale = 1 / json.loads(prior.with_suffix(".json").read_text())["unit"]
    arguments = ["scorer:matcher:scorer", "observation:matcher:Observation", f"reward_scale:{scale:.4g}"]
    length = ["--steps", given.steps, "--eval-freq", -1, "--out", given.out / "logs"]
    command("train", "--conf-file", "tuned", "--data", train, *length, "--env-kwargs", *arguments)
    runs = sorted((given.out / "logs/dqn").glob("OcclusionSearch-v0_*"), key=lambda run: run.stat().st_mtime)
    judged = [*count, "--seeds", 1, "--checks", "none", "--agent", runs[-1], "--allow", "matcher:Observation"]
    command("evaluate", "--data", judge, *matcher, *judged, "--prior", prior, "--out", given.out / "evaluation")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
