"""The rooms of the house: what may import what, and how many files a room may have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "tracker": [{""}, {"data"}, {"models"}, {"scorers"}, {"trackers"}, {"training", "evaluation"}],
    "vae": [{""}, {"training", "pictures"}, {"bank"}],
    "occlusion_env": [{""}, {"mdp"}, {"scene"}, {"search"}, {"envs"}],
    "agents": [
        {"common"}, {"dqn"}, {"training"}, {"policies"}, {"evaluation", "manifolds"}, {"hard_positives"},
        {"stress", "ablation"}, {"explore"}, {""}, {"cli"},
    ],
}  # fmt: skip
"""The rooms of each package from the lowest floor to the highest; "" are the files beside the rooms. A room
imports from lower floors alone."""

PACKAGES = {
    "tracker": set(),
    "vae": set(),
    "occlusion_env": {"tracker"},
    "agents": {"tracker", "vae", "occlusion_env"},
}
"""The other packages that a package imports from."""

MOST_FILES = 12


def modules() -> dict[str, Path]:
    """Every module by its name; a package is its `__init__`."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files
    }


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """The modules of the house that a module imports anywhere in it, also for type checking."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
            base = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found = [f"{source}.{alias.name}" for alias in node.names]
            found = [each if each in MODULES else source for each in found]
        else:
            continue
        yield from (each for each in found if each.split(".")[0] in PACKAGES and each != name)


def room(name: str) -> str:
    """The room of a module within its package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or MODULES[name].name == "__init__.py" and len(parts) > 1 else ""


def floor(name: str) -> int:
    """The floor of a module's room."""
    package = name.split(".")[0]
    (number,) = (number for number, rooms in enumerate(FLOORS[package]) if room(name) in rooms)
    return number


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name])
def test_a_room_imports_from_lower_floors(name: str) -> None:
    package = name.split(".")[0]
    assert any(room(name) in rooms for rooms in FLOORS[package]), f"{name} is in no room of FLOORS"
    for other in imported(name):
        target = other.split(".")[0]
        if target != package:
            assert target in PACKAGES[package], f"{name} imports {other}"
        elif other == package:
            pytest.fail(f"{name} imports {other}, which re-exports rooms of every floor; import the module itself")
        elif (room(other), other.split(".")[0]) != (room(name), package):
            assert floor(other) < floor(name), f"{name} imports {other}, which is not below it"


def test_no_module_imports_itself_through_others() -> None:
    """Depth-first search; a module on the path that is reached again closes a circle."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in imported(name):
                if other in MODULES and "." in other:
                    visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        if "." in name:
            visit(name, ())


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in MODULES.values()}), ids=lambda folder: str(folder.relative_to(ROOT))
)
def test_a_room_has_at_most_a_dozen_files(folder: Path) -> None:
    files = [file.name for file in folder.glob("*.py") if file.name not in ("__init__.py", "__main__.py")]
    assert len(files) <= MOST_FILES, f"{folder.relative_to(ROOT)} has {len(files)}: {files}"
