"""The videos of a training: those to train on, and those held out for validation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..data.lists import LISTS
from ..data.readers import open_sequences
from ..data.sequences import Sequence
from ..errors import InputError

HELD_OUT = ("fernando", "hand2", "sunshade")
"""The validation videos of the networks that the package ships, so that figures stay comparable."""


def held_out_names(names: Iterable[str], validation: Iterable[str] = ()) -> list[str]:
    """Choose the videos to hold out.

    Args:
        names: All videos.
        validation: Those to hold out; none takes `HELD_OUT` where all of them are there, else the last fifth
            of the videos in alphabetical order.

    Raises:
        InputError: If one of `validation` is not among `names`, or nothing is left to train on.

    >>> held_out_names(["c", "a", "b"])
    ['c']
    >>> held_out_names(["sunshade", "a", "hand2", "fernando"])
    ['fernando', 'hand2', 'sunshade']
    """
    known, chosen = sorted(names), sorted(set(validation))
    if missing := sorted(set(chosen) - set(known)):
        raise InputError(
            f"The validation video '{missing[0]}' is not among the {len(known)} videos that can be used."
        )
    if not chosen:
        chosen = list(HELD_OUT) if set(HELD_OUT) < set(known) else known[-max(1, len(known) // 5) :]
    if not set(known) - set(chosen):
        raise InputError(f"Of {len(known)} videos none is left to train on; give more, or hold out fewer.")
    return chosen


def open_folder(data: str | Path, validation: Iterable[str] = ()) -> tuple[list[Sequence], list[Sequence]]:
    """Open a folder of annotated videos: those to train on, and those held out (`held_out_names`).

    Videos that cannot be opened, or show their target in a single frame, are left out with a warning.

    Raises:
        InputError: If none can be used, one to hold out cannot, or nothing is left to train on.
    """
    sequences = open_sequences(data, _check_pair)
    held_out = held_out_names(sequences, validation)
    train = [sequence for name, sequence in sequences.items() if name not in held_out]
    return train, [sequences[name] for name in held_out]


def check_disjoint(train: Iterable[Sequence], held_out: Iterable[Sequence]) -> None:
    """Raise an `InputError` if a video of the same name is both trained on and held out."""
    if both := {sequence.name for sequence in train} & {sequence.name for sequence in held_out}:
        raise InputError(f"The video '{min(both)}' is trained on and held out; it can be one of them.")


def _check_pair(sequence: Sequence) -> None:
    if len(sequence.present) < 2:
        raise InputError(f"'{sequence.name}' shows its target in a single frame, and training takes pairs.")


def otb_names(names: Iterable[str]) -> list[str]:
    """Return the names that OTB has too, ignoring case: a network trained on them cannot be judged on OTB."""
    known = {name.partition("-")[0].casefold() for name in LISTS["tb100"]}
    return [name for name in names if name.partition("-")[0].casefold() in known]
