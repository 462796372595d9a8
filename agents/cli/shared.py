"""Arguments, notes and interrupts that the commands share."""

from __future__ import annotations

import inspect
import sys
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from tracker.cluster import RayCluster
from tracker.errors import InputError, describe_error, shorten
from tracker.processes import Workers

from .signals import exit_code, interruption

if TYPE_CHECKING:
    from tracker.data.sequences import Sequence as Video


LARGEST_SEED = 2**32 - 1
"""The largest seed that numpy's global generator takes."""


def _device(words: list[str]) -> str:
    """Refuse a device that this machine does not have, before a command does anything."""
    from tracker.models.backbones import resolve_device

    if words[0] != "auto":
        resolve_device(words[0])
    return words[0]


def _seed(words: list[str]) -> int:
    """Refuse a seed that a library would refuse in mid-run."""
    seed = int(words[0])
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed is {seed}; it must lie between 0 and {LARGEST_SEED}.")
    return seed


def _parsed_by(parse: Callable[[list[str]], Any], kind: type, metavar: str) -> PrimitiveConstructorSpec[Any]:
    """A word of the command line that a function checks."""
    return PrimitiveConstructorSpec(
        1, metavar, parse, lambda value: isinstance(value, kind), lambda value: [str(value)]
    )


_DEVICES = "auto|cpu|cuda|cuda:N|mps"
Device = Annotated[
    str,
    tyro.conf.arg(metavar=_DEVICES, help="Where the networks run."),
    _parsed_by(_device, str, _DEVICES),
]
Seed = Annotated[
    int, tyro.conf.arg(metavar="INT", help="Seed of all random numbers."), _parsed_by(_seed, int, "INT")
]


def _ray(words: list[str]) -> RayCluster:
    """Read `[ADDRESS] [cpus=N] [gpus=SHARE]`."""
    kinds = {"cpus": int, "gpus": float}
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "address", word
        if name in given or (equals and name not in kinds):
            raise InputError(f"--ray {shorten(word)} is not understood; give [ADDRESS] [cpus=N] [gpus=SHARE].")
        try:
            given[name] = kinds.get(name, str)(value)
        except ValueError:
            raise InputError(
                f"--ray {shorten(word)} has no number; give [ADDRESS] [cpus=N] [gpus=SHARE]."
            ) from None
    return RayCluster(**given)


def _ray_words(cluster: RayCluster | None) -> list[str]:
    """The words that `_ray` reads, for the help."""
    if cluster is None:
        return ["None"]
    address = [] if cluster.address is None else [cluster.address]
    return [*address, f"cpus={cluster.cpus}", f"gpus={cluster.gpus:g}"]


WorkerCount = Annotated[int, tyro.conf.arg(help="Number of processes of this machine.")]
_RAY = "[ADDRESS] [cpus=N] [gpus=SHARE]"
Ray = Annotated[
    RayCluster | None,
    tyro.conf.arg(
        metavar=_RAY,
        help="Run on the nodes of a Ray cluster in place of --workers; without ADDRESS, Ray starts on this"
        " machine. A job gets one processor and no GPU, or as many as given, such as gpus=0.25. All nodes must see"
        " the data and OUT.",
    ),
    PrimitiveConstructorSpec("*", _RAY, _ray, lambda value: isinstance(value, RayCluster | None), _ray_words),
]


def choose_workers(workers: int, ray: RayCluster | None) -> Workers:
    """The processes or the cluster that a command runs on.

    Raises:
        InputError: If both are given.
    """
    if ray is None:
        return workers
    if workers != 1:
        raise InputError("--workers is of this machine and --ray of a cluster; leave one of them out.")
    return ray


Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    tyro.conf.arg(help="Arithmetic of the networks; auto takes bfloat16 where the hardware has it."),
]
Json = Annotated[Path | None, tyro.conf.arg(help="Write the figures to this file too.")]
Open = Annotated[bool, tyro.conf.arg(help="Show the page in a browser at the end.")]
BaseWeights = Annotated[
    str | None, tyro.conf.arg(help="The initial weights of the training, for weights that train-tracker wrote.")
]
Allow = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="MODULE:NAME ...",
        help="Names of your own code that files of agents, runs and hyper-parameters may contain.",
    ),
]

_OF_FIELDS = {"seed": Seed, "device": Device, "precision": Precision, "allow": Allow}
"""Types of the flags of fields with these names."""


def flags_from_fields(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command with keyword arguments a flag for each field of the settings that one of them holds.

    The type of that argument is a dataclass whose docstring describes the fields under `Attributes`. The flags
    have their names, types, defaults and descriptions; a field with a default factory has no flag. An argument of
    the command with the name of a field replaces the field's flag, and the command passes it on.

    Raises:
        InputError: From the settings, when the command is called, before it does anything.
    """
    kinds = get_type_hints(command, include_extras=True)
    (holder,) = (name for name, kind in kinds.items() if is_dataclass(kind))
    settings: Any = kinds[holder]
    own = inspect.signature(command).parameters
    taken = [field for field in fields(settings) if field.default_factory is MISSING and field.name not in own]
    # Of the taken fields alone: what the others need may be imported for type checkers only, as torch is slow.
    notes = SimpleNamespace(
        __annotations__={field.name: field.type for field in taken if field.name not in _OF_FIELDS}
    )
    types = get_type_hints(notes, vars(sys.modules[settings.__module__]), include_extras=True) | _OF_FIELDS
    parameters: list[inspect.Parameter] = []
    for name, each in own.items():
        if name != holder:
            parameters.append(each.replace(annotation=kinds[name]))
            continue
        for field in taken:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(each.replace(name=field.name, default=default, annotation=types[field.name]))

    @wraps(command)
    def run(**given: Any) -> None:
        made = settings(**{field.name: given.pop(field.name) for field in taken if field.name in given})
        command(**given, **{holder: made})

    about, heading, examples = inspect.cleandoc(command.__doc__ or "").partition("\nExamples:\n")
    told = inspect.cleandoc(settings.__doc__ or "").partition("\nAttributes:\n")[2].partition("\n\n")[0]
    del run.__wrapped__  # its annotations and docstring are not the flags'
    run.__doc__ = f"{about.rstrip()}\n{told}\n{heading}{examples}"
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return run


NOTHING_WRITTEN = "nothing was written"
GOES_ON = "run the same command again to resume"


@contextmanager
def on_interrupt(state: str | Callable[[], str] = NOTHING_WRITTEN) -> Iterator[None]:
    """End a command that is interrupted or terminated, or refused disk or memory, and say what it leaves.

    The exit code is 130, 143 or 2.

    Args:
        state: What was written and how to go on, without a full stop; a function is called at the interrupt.
    """
    try:
        yield
    except Exception as error:
        sentence = None if isinstance(error, ValueError | BrokenPipeError) else describe_error(error)
        if sentence is None:
            raise
        said = state if isinstance(state, str) else state()
        print(f"occlusion-search: error: {sentence.rstrip('.')}; {said}.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        said = state if isinstance(state, str) else state()
        print(f"occlusion-search: {interruption(interrupt)}; {said}.", file=sys.stderr)
        sys.exit(exit_code(interrupt))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int = 0, title: str = "") -> None:
    """Print a table whose columns but the first are aligned to the right.

    Args:
        headings: Of the columns.
        rows: Cells of each row; lines separate the rows where a cell has several lines.
        width: Least width in characters; a terminal may be wider.
        title: Printed above the table.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(headings[0], title=title or None, show_lines=any("\n" in cell for row in rows for cell in row))
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, width)).print(table)


def warn(sentence: str) -> None:
    """Print a warning to the standard error."""
    print(f"occlusion-search: warning: {sentence}", file=sys.stderr)


def note(sentence: str) -> None:
    """Print a note to the standard error."""
    print(f"occlusion-search: note: {sentence}", file=sys.stderr)


def open_page(page: Path) -> None:
    """Show a page in a browser; where there is none, say so."""
    try:
        shown = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        shown = False
    if not shown:
        note(f"this machine has no browser for --open; the page is {page}")


def warn_of_otb(train: Iterable[Video]) -> None:
    """Say so where videos that a tracker is trained on have the names of OTB's."""
    from tracker.training import otb_names

    if shared := otb_names(sequence.name for sequence in train):
        warn(f"{', '.join(shared)} are names of OTB's targets; a tracker trained on them cannot be judged on OTB.")
