"""YAML of plain values within limits: it runs no code, and a small file cannot expand to a large one."""

from __future__ import annotations

from typing import Any

import yaml

from tracker.errors import InputError, shorten

_MOST_CHARACTERS = 2**20
_MOST_IN_A_VALUE = 10_000
_MOST_VALUES = 100_000
_MOST_LEVELS = 50


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Parse YAML.

    Args:
        text: One document, of at most 1 MiB.
        loader: Makes the values.

    Raises:
        InputError: If it is longer, has more than 100,000 values (those of an alias are counted each time), 50
            levels, or 10,000 characters in a value, or an alias inside its own anchor.
        yaml.YAMLError: If it is no YAML, or holds something else than the loader's plain values.
        ValueError: If a value is of no type that its tag or form says.

    >>> parse_yaml("{a: &list [1, 2], b: *list}")
    {'a': [1, 2], 'b': [1, 2]}
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"The YAML has {len(text)} characters; give at most {_MOST_CHARACTERS}.")
    _check_size(text, loader)
    return yaml.load(text, loader)


def _check_size(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Count the values that `yaml.load` would construct, from the stream of events."""
    values = 0
    sizes: dict[str, int] = {}
    inside: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in inside):
                raise InputError(f"The YAML's alias {shorten(event.anchor)} lies inside its own anchor.")
            values += sizes.get(str(event.anchor), 0)
        elif isinstance(event, yaml.NodeEvent):
            values += 1
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, values))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
            if anchor is not None:
                sizes[anchor] = values - before + 1
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > _MOST_IN_A_VALUE:
                raise InputError(
                    f"The YAML's value {shorten(event.value)} has {len(event.value)} characters; give at most"
                    f" {_MOST_IN_A_VALUE}."
                )
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(inside) > _MOST_LEVELS:
            raise InputError(f"The YAML has more than {_MOST_LEVELS} levels; give fewer.")
        if values > _MOST_VALUES:
            raise InputError(f"The YAML has more than {_MOST_VALUES} values, aliases counted; give fewer.")
