"""The page of a training run."""

from __future__ import annotations

import shlex
from pathlib import Path

from occlusion_env import BACKGROUND_ENV_ID, ENV_IDS
from tracker.evaluation.report.page import PageTable, Picture, Section, write_index
from tracker.files import read_text

from .learning_curves import read_evaluations, read_monitors
from .runs import RunFolder

_LAST = 100
"""Episodes at the end of training that the page tells of."""

_FILES = {
    "{env}.zip": "the agent when training ended",
    "best_model.zip": "the agent with the highest mean return on the selection videos",
    "evaluations.npz": "the returns of these evaluations",
    "*.monitor.csv": "every training episode",
    "rl_model_*_steps.zip": "checkpoints; --resume continues from the last one",
    "replay_buffer.pkl": "the replay memory when training ended",
    "{env}/": "hyper-parameters, arguments and the training environment",
}


def write_training_page(run: RunFolder) -> Path:
    """Write `index.html` into the folder of a run that is complete.

    Returns:
        The file.

    Raises:
        InputError: If a file of the run cannot be read.
    """
    episodes = read_monitors(run.monitors)
    count = len(episodes["steps"])
    arguments, config = run.arguments(), run.config()
    steps = int(episodes["steps"][-1]) if count else 0
    lead = f"{count:,} episodes in {steps:,} environment steps"
    sections = []
    if count:
        minutes = float(episodes["seconds"][-1]) / 60
        lead += f" and {minutes:.1f} minutes; the last {min(_LAST, count)} episodes have a mean return of"
        lead += f" {episodes['return'][-_LAST:].mean():.3f}"
        curve = Picture(
            run.learning_curve.name, run.learning_curve.read_bytes(), "Learning curves of the agent.",
            "Blue: training episodes, with exploration. Orange: evaluations without it, where there are some.",
        )  # fmt: skip
        text = (
            "The return is the sum of an episode's rewards; the score drop is the matcher's score of the uncovered"
            " target less that at the end of the episode."
        )
        sections.append(Section("Learning curve", [text], [curve]))
    if run.evaluations.is_file():
        found = read_evaluations(run.evaluations)
        means = found["results"].mean(axis=1)
        best = int(means.argmax())
        lead += (
            f". The best evaluation, after {int(found['timesteps'][best]):,} steps, has a mean return of"
            f" {means[best]:.3f}"
        )
        table = PageTable(
            f"{found['results'].shape[1]} episodes without exploration, the same each time, on the videos that"
            " choose best_model.zip.",
            ["steps", "mean return", "standard deviation", "mean length"],
            [
                [f"{int(step):,}", f"{row.mean():.3f}", f"{row.std():.3f}", f"{lengths.mean():.1f}"]
                for step, row, lengths in zip(
                    found["timesteps"], found["results"], found["ep_lengths"], strict=True
                )
            ],
        )
        sections.append(Section("Evaluations", (), (), [table]))
    files = {name.format(env=run.env_id): told for name, told in _FILES.items()}
    there = [[name, told] for name, told in files.items() if any(run.path.glob(name.rstrip("/")))]
    sections.append(Section("Files", (), (), [PageTable("In this folder.", ["file", "holds"], there)]))
    command, over_background = run.parameters / "command.txt", run.env_id == BACKGROUND_ENV_ID
    names = run.import_paths()
    allow = ["--allow", *names] if names else []

    def line(*words: str) -> str:
        return shlex.join(["occlusion-search", *words, *allow])

    patch = "patch-" if over_background else ""
    agent = ("--agent", str(run.model), "--algo", run.algo, "--env", run.env_id)
    steps_on = [
        ("Watch an episode", line("enjoy", *agent, "--gif", "episode.gif")),
        ("Make hard positives with it", line("generate", f"--{patch}agent", str(run.path), "--data", "DIR")),
    ]
    if not over_background:
        compare = line("evaluate", "--agent", str(run.path), "--data", "DIR")
        told = "Compare it with the belief and other methods, on videos that it was not trained on"
        steps_on.insert(0, (told, compare))
    return write_index(
        run.path,
        f"Training of {run.algo} in {run.env_id}, run {run.path.name.rpartition('_')[2]}",
        f"{lead}.",
        sections,
        read_text(command) if command.is_file() else "not recorded",
        settings=[
            ("seed", str(arguments.get("seed"))),
            *((name, str(value)) for name, value in config.items()),
        ],
        next_steps=steps_on if run.env_id in ENV_IDS else (),
    )
