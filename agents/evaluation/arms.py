"""Arms of an evaluation: agents of the same training with different seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import InputError


@dataclass(frozen=True)
class Member:
    """An agent on the command line.

    Attributes:
        spec: An agent for `loading.load_agent`.
        arm: Its arm; `None` without one.
        name: Name of its rows; `None` for the agent's own name.
    """

    spec: str
    arm: str | None = None
    name: str | None = None


def read_members(given: Many[str]) -> list[Member]:
    """Parse texts `ARM=AGENT` or `AGENT`; an existing path is an agent, even with a `=` in its name.

    Raises:
        InputError: If an arm has an agent twice.

    >>> [member.name for member in read_members(["roi=runs/1", "pretrained", "roi=runs/2"])]
    ['roi, training 1', None, 'roi, training 2']
    """
    members: list[Member] = []
    for text in given:
        arm, equals, spec = text.partition("=")
        if arm and spec and not Path(text).exists():
            number = 1 + sum(member.arm == arm for member in members)
            members.append(Member(spec, arm, f"{arm}, training {number}"))
        else:
            members.append(Member(text))
    places: set[tuple[str | None, str]] = set()
    for member in members:
        place = member.arm, os.path.realpath(member.spec)
        if place in places:
            arm = "" if member.arm is None else f" in the arm {member.arm}"
            raise InputError(f"'{member.spec}' is given twice{arm}; give it once.")
        places.add(place)
    return members


def arms_of(members: Many[Member]) -> dict[str, list[str]]:
    """Names of the agents by arm."""
    found: dict[str, list[str]] = {}
    for member in members:
        if member.arm is not None and member.name is not None:
            found.setdefault(member.arm, []).append(member.name)
    return found
