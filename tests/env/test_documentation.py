from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import gymnasium as gym
import pytest
from environments_page import PAGE, describe_arguments, environments_page, write_environments_page

from occlusion_env import ENV_IDS, SearchArguments

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "Description",
    "Action space",
    "Observation space",
    "Rewards",
    "Starting state",
    "Episode end",
    "Info",
    "Arguments",
    "Version history",
)


def test_the_page_is_what_the_code_says() -> None:
    """Where this fails, run `python docs/environments_page.py`."""
    assert (ROOT / PAGE).read_text() == environments_page()


def test_every_id_is_on_the_page() -> None:
    page = environments_page()
    registered = {name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("occlusion_env")}
    assert registered == set(ENV_IDS)
    for name in registered:
        assert f"\n## {name}\n" in page
    classes = {str(gym.spec(name).entry_point) for name in ENV_IDS}
    for section in SECTIONS:
        assert page.count(f"\n### {section}\n") == len(classes), section


def test_every_argument_is_described_with_its_default() -> None:
    texts = describe_arguments()
    assert sorted(texts) == sorted(each.name for each in fields(SearchArguments))
    page = environments_page()
    for each in fields(SearchArguments):
        assert page.count(f"| `{each.name}` | `{each.default!r}` | ") == 1, each.name
        assert texts[each.name].endswith("."), each.name


def test_it_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert write_environments_page(tmp_path).read_text() == environments_page()
    assert [file.name for file in (tmp_path / "docs").iterdir()] == ["environments.md"]


@pytest.mark.parametrize("name", ENV_IDS)
def test_defaults_of_an_id_are_told(name: str) -> None:
    section = environments_page().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for key, value in gym.spec(name).kwargs.items():
        assert f"| `{key}` | `{value!r}` |" in section
