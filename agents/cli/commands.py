"""The table of commands, the help of the root, and names of commands and flags that have changed."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Sequence
from importlib import import_module

from tracker.errors import InputError, shorten

Command = Callable[..., None]

GROUPS = {
    "start": ("demo", "explore", "reproduce"),
    "agents": ("train", "plot", "tune", "enjoy", "play", "evaluate"),
    "data": ("generate", "train-vae", "evaluate-vae"),
    "trackers": (
        "track", "train-tracker", "train-siamfc", "benchmark run", "benchmark score", "benchmark report",
        "benchmark export", "benchmark vot", "stress",
    ),
    "tools": ("check-tracker", "fit-prior", "export-agent", "doctor"),
}  # fmt: skip
"""The commands in the order of the root's help. `benchmark run` is the function of that name in the module
`trackers.benchmark_run`."""


def _load(group: str, name: str) -> Command:
    function = re.sub("[ -]", "_", name)
    found: Command = getattr(import_module(f".{group}.{function}", __package__), function)
    return found


COMMANDS = {name: _load(group, name) for group, names in GROUPS.items() for name in names}

RENAMED: dict[str, dict[str, str]] = {
    "demo": {"--sequence": "--data"},
    "reproduce": {"--arms": "--only"},
    "train": {"--targets": "--data"},
    "enjoy": {"--targets": "--data", "--model": "--agent"},
    "evaluate": {"--targets": "--data"},
    "track": {"--video": "--data"},
    "benchmark run": {"--sequences": "--only"},
    "benchmark report": {"--frames": "--data"},
    "check-tracker": {"NAME": "--tracker"},
    "export-agent": {"RUN": "--agent"},
}
"""Flags of the last version and their names now, by command. A word in capitals had no flag and came first."""

_GONE = {
    "train-backbone": "the slim network was trained by `python tools/train_slim.py`, which is in the repository",
}

_GONE_FLAGS = {
    ("train-vae", "--at-once"): "give --workers N to train N models at a time",
    (
        "evaluate-vae",
        "--at-once",
    ): "train the models by `train-vae --frames training --workers N`, and give --bank",
}
"""Flags of the last version that have no other name now, and what to do, by command and flag."""

_ROOT_EXAMPLES = (
    "occlusion-search demo --quick",
    "occlusion-search generate --data path/to/videos --out out/hard_positives",
)


def find_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """Split a command line into the name of its command and the words after it.

    Raises:
        InputError: If there is no such command; the nearest name is suggested.
    """
    for count in (2, 1):
        if (name := " ".join(words[:count])) in COMMANDS:
            return name, list(words[count:])
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    given = " ".join(words[: 2 if words[0] in groups else 1])
    if given in _GONE:
        raise InputError(f"There is no command {shorten(given)}: {_GONE[given]}.")
    near = difflib.get_close_matches(given, COMMANDS, 1)
    hint = f"did you mean '{near[0]}'?" if near else "`occlusion-search --help` lists all."
    raise InputError(f"There is no command {shorten(given)}; {hint}")


def rename_flags(name: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace the flags of the last version by their names now.

    Args:
        name: The command.
        words: What follows it; `--flag value` and `--flag=value`.

    Returns:
        The words, and a sentence for each flag that has another name now.

    Raises:
        InputError: If a flag is gone; the sentence says what to do.

    >>> rename_flags("evaluate", ["--targets=otb", "--seeds", "1"])
    (['--data=otb', '--seeds', '1'], ['--targets is now --data; the old name goes in the next version.'])
    """
    renamed = RENAMED.get(name, {})
    changed, notes = [], []
    for position, word in enumerate(words):
        flag, equals, value = word.partition("=")
        old = flag.replace("_", "-") if flag.startswith("--") else ""
        if (name, old) in _GONE_FLAGS:
            raise InputError(f"{old} of {name} is gone; {_GONE_FLAGS[name, old]}.")
        if old in renamed:
            word = f"{renamed[old]}{equals}{value}"
        elif position == 0 and not word.startswith("-"):
            old = next((each for each in renamed if each.isupper()), "")
            changed += [renamed[old]] if old else []
        else:
            old = ""
        if old:
            notes.append(f"{old} is now {renamed[old]}; the old name goes in the next version.")
        changed.append(word)
    return changed, list(dict.fromkeys(notes))


def check_required(name: str, words: Sequence[str]) -> None:
    """Refuse a command line without the options that a command needs.

    Args:
        name: The command.
        words: What follows it.

    Raises:
        InputError: Naming the options that are missing.
    """
    given = {word.partition("=")[0].replace("_", "-") for word in words}
    needed = inspect.signature(COMMANDS[name]).parameters.values()
    flags = [f"--{each.name.replace('_', '-')}" for each in needed if each.default is each.empty]
    missing = [flag for flag in flags if flag not in given]
    if missing and not given & {"-h", "--help"}:
        raise InputError(
            f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing;"
            f" `occlusion-search {name} --help` explains the options."
        )


def summary_of(command: Command) -> str:
    """The first line of a command's docstring."""
    return inspect.cleandoc(command.__doc__ or "").partition("\n")[0]


def examples_of(command: Command) -> list[str]:
    """The example command lines at the end of a command's docstring."""
    text = inspect.cleandoc(command.__doc__ or "").partition("\nExamples:\n")[2]
    return [line.strip() for line in re.sub(r" \\\n +", " ", text).splitlines()]


def root_help(prefix: str = "") -> str:
    """The help of the root, or of the commands that begin with a word, such as `benchmark `."""
    lines = [
        "Hard positives for visual trackers (SINT++).",
        "",
        f"usage: occlusion-search {prefix}COMMAND [options]; COMMAND --help explains its options.",
    ]
    for group, names in GROUPS.items():
        found = [name for name in names if name.startswith(prefix)]
        lines += ["", f"{group}:"] if found else []
        lines += [f"  {name:<18}{summary_of(COMMANDS[name])}" for name in found]
    examples = (
        [examples_of(COMMANDS[f"{prefix}{name}"])[0] for name in ("run", "score")] if prefix else _ROOT_EXAMPLES
    )
    return "\n".join([*lines, "", "examples:", *(f"  {example}" for example in examples)])
