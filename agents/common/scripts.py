"""Scripts in `benchmarks/` and `tools/`: their command lines, and bad input in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from tracker.errors import InputError, describe_error


def run_script(main: Callable[..., Any], arguments: type[Any] | None = None) -> Any:
    """Call the function of a script with the options of its command line.

    The script's docstring explains them in its help. Bad input and what the disk or the memory refuses are one
    sentence and exit code 2.

    Args:
        main: Has the options as parameters, or `arguments` as the only one.
        arguments: A dataclass of the options.

    Returns:
        What `main` returns.
    """
    description = sys.modules[main.__module__].__doc__
    try:
        if arguments is None:
            return tyro.cli(main, description=description)
        return main(tyro.cli(arguments, description=description))
    except Exception as error:
        if (sentence := describe_refusal(error)) is None:
            raise
        print(f"{Path(sys.argv[0]).name}: error: {sentence}", file=sys.stderr)
        sys.exit(2)


def check_counts(least: int = 1, **counts: int | None) -> None:
    """Refuse options below the least number.

    >>> check_counts(rounds=3, per_video=None)
    >>> check_counts(per_video=0)
    Traceback (most recent call last):
    tracker.errors.InputError: --per-video is 0; it must be at least 1.
    """
    for name, count in counts.items():
        if count is not None and count < least:
            raise InputError(f"--{name.replace('_', '-')} is {count}; it must be at least {least}.")


def check_videos(least: int = 1, **folders: Path | None) -> None:
    """Refuse folders of too few annotated videos; each is given by the name of its option.

    Raises:
        InputError: Naming the folder; also where it does not exist.
    """
    from tracker.data.readers import list_targets  # commands start without it

    for name, folder in folders.items():
        if folder is not None and (count := len(list_targets(folder))) < least:
            raise InputError(f"--{name} takes at least {least} annotated videos, and '{folder}' has {count}.")


def describe_refusal(error: Exception) -> str | None:
    """The sentence for bad input and for what the disk or the memory refuses; `None` for another error."""
    return str(error) if isinstance(error, _input_errors()) else describe_error(error)


def _input_errors() -> tuple[type[ValueError], ...]:
    """What a person's input raises; `vae` stands alone and, if it raised anything, is imported by now."""
    module = sys.modules.get("vae")
    return (InputError,) if module is None else (InputError, module.VAEError)
