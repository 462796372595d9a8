"""Arms of a comparison: agents that were trained alike, each with another seed."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Member", "arms_of", "read_members"]


@dataclass(frozen=True)
class Member:
    """An agent that a command names.

    Attributes:
        spec: What `loading.load_agent` takes.
        arm: The arm that it belongs to; `None` where it stands alone.
        number: Its number in the arm, from 1.
    """

    spec: str
    arm: str | None = None
    number: int = 1

    @property
    def name(self) -> str | None:
        """What its rows are called; `None` for the agent's own name."""
        return None if self.arm is None else f"{self.arm}, training {self.number}"


def read_members(given: Many[str]) -> list[Member]:
    """Read `ARM=AGENT` or `AGENT`, each; a path that exists is one, whatever is in its name.

    >>> [member.name for member in read_members(["roi=runs/1", "pretrained", "roi=runs/2"])]
    ['roi, training 1', None, 'roi, training 2']
    """
    members: list[Member] = []
    for text in given:
        arm, equals, spec = text.partition("=")
        if arm and spec and not Path(text).exists():
            members.append(Member(spec, arm, 1 + sum(member.arm == arm for member in members)))
        else:
            members.append(Member(text))
    return members


def arms_of(members: Many[Member]) -> dict[str, list[str]]:
    """The names of each arm's agents."""
    found: dict[str, list[str]] = {}
    for member in members:
        if member.arm is not None and member.name is not None:
            found.setdefault(member.arm, []).append(member.name)
    return found
