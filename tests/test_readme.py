"""The README's first Python block does what it says."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_first_block_runs():
    block = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)[0]
    names: dict = {}
    exec(block, names)
    assert names["observation"].shape == (346,)
    assert set(names["info"]) >= {"score", "previous_score", "region", "action", "target", "success"}


def test_it_begins_with_the_two_commands():
    lines = README.read_text().splitlines()
    assert lines[2] == "```sh" and lines[3].startswith("make demo ") and lines[4].startswith("make test ")


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("https://") or (README.parent / target).exists(), target
