"""Generator of `docs/environments.md` from docstrings: `python docs/environments_page.py`."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from occlusion_env import ENV_IDS, ORACLE_ENV_ID
from occlusion_env.envs.arguments import SearchArguments
from tracker.files import replacing_file

__all__ = ["describe_arguments", "described", "environments_page", "write_environments_page"]

PAGE = Path("docs") / "environments.md"

_ABOUT = {ORACLE_ENV_ID: "occlusion_env.scene.oracle"}
"""Modules whose docstrings describe the ids that share a class with another id."""

_HEAD = """\
# The environments

<!-- Written by `python docs/environments_page.py` from the docstrings; edit those. -->

`import occlusion_env` registers {ids}.

```python
import gymnasium as gym
import occlusion_env

env = gym.make("{first}")
envs = gym.make_vec("{first}", num_envs=16, autoreset_mode="SameStep")
```
"""

_VECTOR = """\
`gym.make` also takes `render_mode` (`None`, `rgb_array`, or `human` with pygame), and `gym.make_vec`:

| argument | default | is |
|---|---|---|
| `num_envs` | `1` | how many environments |
| `autoreset_mode` | `"NextStep"` | `"NextStep"`, `"SameStep"`, `"Disabled"`, or an `AutoresetMode` |
| `max_episode_steps` | `20` | truncates, as `gym.make` does with the same argument |
| `render_mode` | `None` | `None` or `rgb_array` |
"""


def described(thing: type | Callable[..., object], section: str) -> dict[str, str]:
    """The descriptions in a section of a docstring (Google's style), such as `Attributes` or `Args`, by name."""
    text = inspect.cleandoc(thing.__doc__ or "").partition(f"{section}:\n")[2]
    text = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if start := re.match(r"    (\w+): (.*)", line):
            name, found[start[1]] = start[1], start[2]
        elif line.startswith("        ") and name:
            found[name] += " " + line.strip()
    return found


def describe_arguments() -> dict[str, str]:
    """The description of each keyword argument, in the order of the page."""
    return {name: text for kind in SearchArguments.__mro__ for name, text in described(kind, "Attributes").items()}


def environments_page() -> str:
    """The whole page, in Markdown."""
    first, *_ = ENV_IDS
    parts = [_HEAD.format(ids=", ".join(f"`{name}`" for name in ENV_IDS), first=first)]
    seen: dict[str, str] = {}
    for name in ENV_IDS:
        spec = gym.spec(name)
        parts.append(f"## {name}\n")
        entry = str(spec.entry_point)
        parts.append(_variant(spec, seen[entry]) if entry in seen else _whole(spec, with_table=not seen))
        seen.setdefault(entry, name)
    return "\n".join(parts)


def write_environments_page(root: Path) -> Path:
    """Write the page below the repository's root."""
    with replacing_file(root / PAGE) as temporary:
        temporary.write_text(environments_page())
    return root / PAGE


def _whole(spec: EnvSpec, with_table: bool) -> str:
    """The docstring of an id's class, its headings one level lower, with the arguments where they belong."""
    assert spec.entry_point is not None
    text = inspect.cleandoc(load_env_creator(str(spec.entry_point)).__doc__ or "")
    text = text.partition("\nArgs:\n")[0].rstrip() + "\n"
    text = re.sub(r"^## ", "### ", text, flags=re.MULTILINE)
    if not with_table:
        return text
    before, heading, after = text.partition("### Version history")
    return f"{before}{_table(spec.kwargs)}\n{_VECTOR}\n{heading}{after}"


def _variant(spec: EnvSpec, original: str) -> str:
    """The description and the defaults of an id that shares its class with another."""
    about = inspect.cleandoc(importlib.import_module(_ABOUT[spec.id]).__doc__ or "") if spec.id in _ABOUT else ""
    rows = [f"| `{name}` | {_code(value)} |" for name, value in spec.kwargs.items()]
    table = "\n".join(["| argument | default |", "|---|---|", *rows])
    return f"{about}\n\n`{original}` with other defaults:\n\n{table}\n"


def _table(keywords: dict[str, Any]) -> str:
    defaults = {each.name: each.default for each in fields(SearchArguments)} | keywords
    rows = [
        f"| `{name}` | {_code(defaults[name])} | {_cell(text)} |" for name, text in describe_arguments().items()
    ]
    return "\n".join(["| argument | default | is |", "|---|---|---|", *rows]) + "\n"


def _code(value: object) -> str:
    return f"`{value!r}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(write_environments_page(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
