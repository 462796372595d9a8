"""Agents that hurt other people's matchers: trained on each, and transferred from SINT.

For SiamFC and Nano: a prior of the belief over regions is fitted to occlusions of the training videos
(`fit-prior`), an agent that observes the belief is trained on that scorer (`train`), and it is compared on other
videos with random regions and grid search (`evaluate`). For SINT the agent is the one that ships. All are the
commands that a person uses for a tracker of their own; what was done is not done again, and a folder whose results
were made with other arguments is refused.

Usage: python benchmarks/scorers.py --train DIR --judge DIR --weights DIR --json benchmarks/results/scorers.json
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from agents.output import claim_folder
from agents.results import write_result
from agents.versions import versions
from tracker import InputError
from tracker.identity import code_version, folder_digests
from tracker.judging.running import weights_digest


@dataclass(frozen=True)
class Plan:
    """What is spent on a matcher.

    Attributes:
        scorer: Its name for the commands.
        observation: What an agent trained on it sees; `None` where the one that ships is that agent.
        prior: Options of `fit-prior`.
        steps: Of the agent's training.
        judged: Targets a sequence, unless `--judged` says otherwise.
    """

    scorer: str
    observation: str | None = None
    prior: tuple[str, ...] = ()
    steps: int = 0
    judged: int = 2


PLANS = {
    "sint": Plan("sint"),
    "siamfc": Plan(
        "matchers:siamfc", "matchers:SiamFCBelief", ("--per-sequence", "2"), 15_000, 2,
    ),
    "nano": Plan(
        "matchers:nano", "matchers:NanoBelief", ("--per-sequence", "1"), 6_000, 1,
    ),
}  # fmt: skip


@dataclass
class Arguments:
    """What to run.

    Attributes:
        train: Videos to train on.
        judge: Sequences to judge on; nothing may have been trained on them.
        weights: Folder of SiamFC's and Nano's weights.
        out: Folder for predictors, agents and evaluations.
        only: Which matchers.
        judged: Targets a sequence.
        json: Receives the figures of all matchers that are judged.
    """

    train: Path
    judge: Path
    weights: Path
    out: Path = Path("out/scorers")
    only: tuple[str, ...] = tuple(PLANS)
    judged: int | None = None
    json: Path | None = None


def main(given: Arguments) -> None:
    """Train what is not trained yet, judge, and write the figures down."""
    if unknown := set(given.only) - set(PLANS):
        raise InputError(f"'{min(unknown)}' is no matcher; choose {', '.join(PLANS)}.")
    claim_folder(given.out, "settings.json", identity(given), "results of other arguments", versions())
    for variable, folder in (("WEIGHTS", given.weights), ("PRIORS", given.out), ("TRAIN", given.train)):
        os.environ[f"OCCLUSION_SEARCH_{variable}"] = str(folder)
    results: dict[str, Any] = {}
    for name in given.only:
        plan, commands = PLANS[name], []
        chosen = "pretrained"
        if plan.observation is not None:
            commands.append(fit_prior(given, name, plan))
            chosen = str(given.out / name / "logs/dqn/OcclusionSearch-v0_1")
            commands.append(agent(given, name, plan))
        judged = given.judged or plan.judged
        evaluation = given.out / name / f"evaluation-{judged}"
        words = [
            "evaluate", "--targets", str(given.judge), "--scorer", plan.scorer, "--agent", chosen,
            "--per-sequence", str(judged), "--seeds", "1",
            "--checks", "none", "--out", str(evaluation),
        ]  # fmt: skip
        commands.append(command(*words))
        found = json.loads((evaluation / "evaluation.json").read_text())
        results[name] = summary(given, name, plan, found) | {"commands": commands}
    write_result(given.json or given.out / "scorers.json", "scorers", {"matchers": results})


def identity(given: Arguments) -> dict[str, Any]:
    """Everything that changes the figures; which matchers, and how many targets are judged, is in the folders."""
    return {
        "train": folder_digests(given.train),
        "judge": folder_digests(given.judge),
        "weights": weights_digest(given.weights),
        "plans": {name: asdict(plan) for name, plan in PLANS.items()},
        "code": code_version("tracker", "occlusion_env", "agents"),
        "scripts": [weights_digest(Path(__file__).with_name(name))[:12] for name in ("scorers.py", "matchers.py")],
    }


def fit_prior(given: Arguments, name: str, plan: Plan) -> str:
    """Fit the prior of the belief."""
    file = given.out / f"{name}.safetensors"
    words = ["fit-prior", "--data", str(given.train), "--scorer", plan.scorer, *plan.prior]
    return command(*words, "--out", str(file), done=file.is_file())


def agent(given: Arguments, name: str, plan: Plan) -> str:
    """Train an agent on it."""
    logs = given.out / name / "logs"
    run = logs / "dqn/OcclusionSearch-v0_1"
    if (run / "OcclusionSearch-v0").is_dir() and any(run.glob("rl_model_*_steps.zip")):
        finished = (run / "OcclusionSearch-v0.zip").is_file()
        command("train", "--resume", str(run), done=finished)
        return (run / "OcclusionSearch-v0/command.txt").read_text()
    return command(
        "train", "--algo", "dqn", "--conf-file", "tuned", "--n-timesteps", str(plan.steps), "--targets",
        "matchers:training_targets", "--env-kwargs", f"scorer:{plan.scorer}", f"observation:{plan.observation}",
        f"reward_scale:{1 / unit(given, name):.4g}", "patches:1", "--hyperparams", "gradient_steps:32",
        "learning_starts:1000", "--eval-freq", "-1", "--save-freq", "2000", "--log-folder", str(logs),
    )  # fmt: skip


def unit(given: Arguments, name: str) -> float:
    """Standard deviation of a matcher's score drops within a target, by its prior's card."""
    return float(json.loads((given.out / f"{name}.json").read_text())["unit"])


def command(*words: str, done: bool = False) -> str:
    """Run a command of the package, unless it is done; returns how it reads."""
    if not done:
        here = Path(__file__).resolve().parent
        paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        subprocess.run([sys.executable, "-m", "agents.cli", *words], check=True, env=environment)
    return shlex.join(["occlusion-search", *words])


def summary(given: Arguments, name: str, plan: Plan, found: dict[str, Any]) -> dict[str, Any]:
    """The rows that count, by what they are, and how far each makes the score fall."""
    methods = dict(found["methods"])
    clean = methods.pop("clean")["score"]
    trained = next((row for row in methods if row.startswith("dqn/")), "pretrained")
    titles = {trained: "trained on it"}
    keys = ("score", "queries", "area", "closure", "interval")
    card = given.out / f"{name}.json"
    return {
        "clean": clean,
        "interval_method": found["interval_method"],
        "targets": found["targets"],
        "per_sequence": found["per_sequence"],
        "methods": {
            titles.get(row, row): {"drop": round(clean - figures["score"], 6)}
            | {key: figures[key] for key in keys}
            for row, figures in methods.items()
        },
        "training_steps": plan.steps or None,
        "prior": json.loads(card.read_text()) if card.is_file() else None,
        "sequences": {
            sequence: {
                "clean": row["clean"],
                "scores": {titles.get(method, method): each["score"] for method, each in row["methods"].items()},
            }
            for sequence, row in found["sequences"].items()
        },
    }


if __name__ == "__main__":
    given = tyro.cli(Arguments)
    try:
        main(given)
    except InputError as error:
        sys.exit(f"scorers.py: error: {error}")
