"""The README and the pages of `docs` do what they say, and become a site without a warning."""

from __future__ import annotations

import functools
import html.parser
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from agents.cli import run_command
from agents.cli.commands import COMMANDS
from tracker.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS]
MOST_WORDS = 900
"""Of the README, its blocks of code left out."""
SHORTER = {"epochs=2000": "epochs=2"}
"""What a page says for a reader's machine, and what is enough to see that it runs."""
CHECKED = {
    "search": {"observations": (16, 346), "info['region']": (4,)},
    "start/tour": {
        "observation": (346,), "video.boxes": (6, 4), "occluded": (8, 3, 240, 320), "hard.region": (4,),
    },  # fmt: skip
    "agents": {"episodes[0].frames[0]": (430, 624, 3)},
    "hard_positives": {
        "hard.regions": (2, 4), "frames.boxes": (2, 4), "anno": (12, 4), "image": (3, 240, 320),
        "occluded": (8, 3, 240, 320), "box": (1, 4),
    },
    "howto/occluder": {"occluded": (8, 3, 240, 320)},
    "howto/reward": {"observation": (346,)},
    "howto/video": {"hard": (2,)},
    "tracker": {"boxes": (3, 4)},
    "vae": {
        "images": (100, 64, 64, 3), "video.boxes": (21, 4), "between": (9, 64, 64, 3), "list(bank)": (1,),
        "samples": (20, 64, 64, 3),
    },
}  # fmt: skip
"""Expressions in the names of a page, and the shapes of their values."""
FIRST_MINUTE_TOLERANCE = 0.03
"""Between machines: bfloat16 changes a score by about .001, and now and then the region that is chosen."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT)).removeprefix("docs/").removesuffix(".md")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def run(code: str, names: dict) -> dict:
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    exec(code, names)
    return names


def readme_block(word: str) -> str:
    return next(block for block in blocks(README, "python") if word in block)


def files_of(page: Path) -> list[tuple[str, str]]:
    """The name and the content of each file that a page tells to write: a block with a title."""
    return re.findall(r'^```python title="([\w.]+)"\n(.*?)^```', page.read_text(), flags=re.DOTALL | re.MULTILINE)


def pages_with(language: str) -> list[Path]:
    return [page for page in DOCS if blocks(page, language)]


@pytest.fixture
def videos(tmp_path, monkeypatch, make_video, write_otb) -> None:
    """Videos where the pages' paths lead to, below the current folder."""
    write_otb(tmp_path / "path" / "to" / "sequence", make_video(frames=4))
    for seed in range(2):
        write_otb(tmp_path / "path" / "to" / "sequences" / f"video{seed}", make_video(frames=4, seed=seed))
    write_otb(tmp_path / "path" / "to" / "otb" / "Coke", make_video(frames=50, width=128))
    monkeypatch.chdir(tmp_path)


def test_the_block_on_the_environment_runs():
    names = run(next(block for block in blocks(ROOT / "docs/start/tour.md", "python") if "gym.make(" in block), {})
    assert names["observation"].shape == (346,) and names["picture"].ndim == 3
    assert set(names["info"]) >= {
        "score",
        "previous_score",
        "region",
        "action_index",
        "target_index",
        "is_success",
    }


def test_the_first_minute_prints_what_the_readme_says(capsys):
    run(readme_block("belief"), {})
    (promised,) = blocks(README, "text")
    numbers = r"(?<=[ >])\d\.\d+"
    printed = capsys.readouterr().out
    assert re.sub(numbers, "N", printed) == re.sub(numbers, "N", promised)
    found, expected = ([float(text) for text in re.findall(numbers, out)] for out in (printed, promised))
    assert len(found) == 12 and found == pytest.approx(expected, abs=FIRST_MINUTE_TOLERANCE)
    for _, after, random in np.reshape(found, (4, 3)):
        assert after <= random


def test_the_block_on_agents_runs():
    names = run(readme_block("VectorEnvBridge"), {})
    assert names["agent"].num_timesteps == 512 and names["actions"].shape == (8,)


def test_the_block_on_tracking_runs():
    names = run(readme_block("load_tracker").replace("frames=60", "frames=4"), {})
    assert len(names["boxes"]) == 3 and all(box.shape == (4,) for box in names["boxes"])


def test_the_readme_is_short():
    assert (
        len(re.sub(r"^```.*?^```", "", README.read_text(), flags=re.DOTALL | re.MULTILINE).split()) <= MOST_WORDS
    )


@pytest.mark.parametrize("block", blocks(README, "python"), ids=lambda block: block.split()[1])
def test_the_readme_imports_public_names(block):
    for module in re.findall(r"^(?:from|import) (\S+)", block, flags=re.MULTILINE):
        assert module.split(".")[0] not in ("tracker", "agents", "occlusion_env", "vae") or "." not in module


def test_it_begins_with_the_two_commands():
    lines = README.read_text().splitlines()
    assert lines[2] == "```sh" and lines[3].startswith("make demo ") and lines[4].startswith("make test ")


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, videos, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, content in files_of(page):
        (tmp_path / name).write_text(content)
    names: dict = {}
    for block in blocks(page, "python"):
        run(block, names)
    for name, value in CHECKED.get(name_of(page), {}).items():
        assert np.shape(eval(name, names)) == value, name


@pytest.fixture(scope="module")
def parse():
    """The command line, whose commands do nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in list(COMMANDS.items()):
            patch.setitem(COMMANDS, name, functools.wraps(function)(lambda *given, **named: None))
        yield run_command


@pytest.mark.parametrize("page", [README, *pages_with("sh")], ids=name_of)
def test_the_commands_of_a_page_have_these_flags(page, parse, capsys):
    found = [
        shlex.split(line, comments=True)
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    found = [words[1:] for words in found if words and words[0] == "occlusion-search"]
    assert found, "no command on this page"
    for words in found:
        try:
            parse(words)
        except (SystemExit, InputError) as error:
            pytest.fail(f"occlusion-search {shlex.join(words)}\n{error}\n{capsys.readouterr()}")
        assert "note:" not in capsys.readouterr().err, "a flag of the last version"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_links_lead_somewhere(page):
    base = ROOT if page.stem in ("changelog", "contributing") else page.parent
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert target.startswith("https://") or (base / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_have_as_many_cells_as_headings(page):
    width = 0
    for line in page.read_text().splitlines():
        cells = line.replace("\\|", "").count("|")
        width = (width or cells) if line.startswith("|") else 0
        assert cells == width or not line.startswith("|"), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_paths_that_a_page_names_exist(page):
    names = re.findall(
        r"(?<![\w/])((?:agents|benchmarks|docs|examples|occlusion_env|tests|tracker|vae)/[\w./-]*\w)/?[`\s]",
        page.read_text(),
    )
    assert len(names) > 10 or page.name not in ("CONTRIBUTING.md", "architecture.md")
    for name in names:
        assert (ROOT / name).exists(), name


def test_the_page_of_the_rooms_has_every_room():
    page = (ROOT / "docs/architecture.md").read_text()
    for package in ("agents", "occlusion_env", "tracker"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").is_file() and any(
                file.name != "__init__.py" for file in folder.glob("*.py")
            ):
                assert f"`{package}/{folder.name}/`" in page, folder


class Fetched(html.parser.HTMLParser):
    """What a browser would fetch of a page that comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        source = given.get("src") or (given.get("href") if tag == "link" else None) or ""
        if source.startswith(("http:", "https:", "//")):
            self.found.append(f"<{tag}> {source}")


def test_the_members_that_the_api_pages_list_exist():
    listed = []
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for module, options in re.findall(r"^::: (\S+)\n((?: +.*\n)*)", page.read_text(), flags=re.MULTILINE):
            members = (yaml.safe_load(options) or {}).get("options", {}).get("members", [])
            listed += [(module, member) for member in members]
    assert len(listed) > 50
    missing = [f"{module}.{name}" for module, name in listed if not hasattr(importlib.import_module(module), name)]
    assert not missing


def test_the_site_is_built_without_a_warning_and_asks_nobody(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    built = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*.html")}
    assert built >= {"index.html", "search.html", "agents.html", "tracker.html", "vae.html", "api/vae.html"}
    assert built >= {f"tutorials/{file.stem}.html" for file in (ROOT / "docs" / "tutorials").glob("*.ipynb")}
    assert len(list((tmp_path / "site" / "tutorials").glob("first_agent_*.png"))) == 3
    for name in built:
        text = (tmp_path / "site" / name).read_text()
        reader = Fetched()
        reader.feed(text)
        assert not reader.found, (name, reader.found)
        assert "arithmatex" not in text, f"a formula of {name} is still TeX"
    assert 'src="javascripts/iframe-worker.js"' in (tmp_path / "site" / "index.html").read_text()
    index = (tmp_path / "site" / "search" / "search_index.js").read_text()
    assert index.startswith("var __index = ") and "hill climbing" in index
    assert '<div class="language-sh highlight">' in (tmp_path / "site" / "agents.html").read_text()
    assert "<math" in (tmp_path / "site" / "search.html").read_text()
    assert "&gt;&gt;&gt; " in re.sub(r"<[^>]+>", "", (tmp_path / "site" / "api" / "vae.html").read_text())


def test_the_pictures_are_made_of_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["plots.py", "--out", str(tmp_path), "--results", str(ROOT / "benchmarks/results")]
    )
    runpy.run_path(str(ROOT / "benchmarks" / "plots.py"), run_name="__main__")
    made = {file.name for file in tmp_path.iterdir()}
    assert made == {
        "trackers.png", "manifolds.png", "ladder.png", "ladder_sweep.png", "frontier.png", "paper_state.png",
        "actions.png", "search.png", "stopping.png", "patches.png", "learning.png", "learning_curves.png",
    }  # fmt: skip
    assert all((ROOT / "docs" / "pictures" / name).is_file() for name in made)


def test_the_tests_that_make_check_runs_exist():
    names = re.findall(r"tests/\w+(?:/\w+)*\.py", (ROOT / "Makefile").read_text())
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []
