"""Files of results name their command, commit and format, and today's parsers take their commands."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro

from agents.cli.commands import COMMANDS, examples_of, find_command, rename_flags
from agents.common.results import FORMATS, command_line, commit, write_result

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def script(path: Path) -> Any:
    """A script of `benchmarks`."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclasses' annotations
    spec.loader.exec_module(module)
    return module


def parse(called: Callable[..., Any], words: list[str]) -> None:
    """Parse a command line without running it; what is no argument of it ends the process."""
    if inspect.isclass(called):
        tyro.cli(called, args=words)
        return

    @functools.wraps(called)
    def record(**given: Any) -> dict[str, Any]:
        return given

    tyro.cli(record, args=words)


def parse_command(line: str) -> None:
    program, *words = shlex.split(line)
    if program == "python":
        module = script(ROOT / words[0])
        settings = [getattr(module, name) for name in ("Arguments", "Settings") if hasattr(module, name)]
        parse(settings[0] if settings else module.main, words[1:])
        return
    assert program == "occlusion-search"
    name, rest = find_command(words)
    parse(COMMANDS[name], rename_flags(name, rest)[0])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_result_can_be_made_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    content = json.loads(file.read_text())
    kind, _, version = content["format"].rpartition("/")
    assert int(version) == FORMATS[kind], f"{file.name} has an old format; make it again"
    assert re.fullmatch(r"[0-9a-f]{7,40}|v[^ ]+", content["commit"]), "a commit, without -dirty"
    for line in (content["command"], *content.get("commands", ())):
        parse_command(line)
    assert "machine" in content
    assert not re.search(r'[\s"=]/\w', json.dumps(content)), "an absolute path"


def test_every_kind_of_result_that_is_written_has_a_format() -> None:
    trees = [
        ast.parse(path.read_text()) for room in ("agents", "benchmarks") for path in (ROOT / room).rglob("*.py")
    ]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    written = [
        call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "write_result"
    ]
    assert {kind.value for kind in written if isinstance(kind, ast.Constant)} == set(FORMATS)
    assert all(isinstance(kind, ast.Constant) for kind in written)


SCRIPTS = {
    shlex.split(line)[1]: line
    for line in (json.loads(file.read_text())["command"] for file in FILES)
    if line.startswith("python ")
}


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_script_refuses_a_file_that_cannot_be_written_before_it_begins(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(SCRIPTS[path])[1:]
    option = "--json-file" if "--json-file" in words else "--json"
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    monkeypatch.setattr(sys, "argv", [str(ROOT / path), *words[1:], option, "nowhere/figures.json"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / path), run_name="__main__")
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"{Path(path).name}: error: 'nowhere/figures.json' cannot be written")
        and error.count("\n") == 1
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_help_are_command_lines(name: str) -> None:
    examples = examples_of(COMMANDS[name])
    assert len(examples) == 2
    for example in examples:
        assert example.startswith(f"occlusion-search {name}")
        parse_command(example)


def test_a_command_of_another_parser_is_noticed() -> None:
    with pytest.raises(SystemExit):
        parse_command("occlusion-search reproduce --data x --sweep-frams 3")
    with pytest.raises(SystemExit):
        parse_command("python benchmarks/siamfc.py --train a --judge b --weights c --epochs 3")


def test_a_result_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["benchmarks/x.py", "--data", str(tmp_path / "a b"), f"x={tmp_path}/y", "1/2"]
    )
    write_result(tmp_path / "x.json", "ladder", {"auc": 0.5})
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["format"] == f"ladder/{FORMATS['ladder']}" and content["auc"] == 0.5
    assert content["command"] == "python benchmarks/x.py --data 'a b' x=y 1/2"
    assert content["commit"] == commit() and str(tmp_path) not in json.dumps(content)
    assert content["machine"]["threads"] >= 1 and content["machine"]["bf16_units"] in (True, False)
    with pytest.raises(KeyError):
        write_result(tmp_path / "y.json", "no such kind", {})


def test_the_command_as_a_person_types_it() -> None:
    assert command_line([str(ROOT / "agents/cli/__main__.py"), "doctor"]) == "occlusion-search doctor"
    assert command_line(["/venv/bin/occlusion-search", "doctor"]) == "occlusion-search doctor"


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists():
        assert commit().startswith("version ")
        return
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert head.startswith(commit().removesuffix("-dirty").rpartition("-g")[2])
    monkeypatch.setattr("agents.common.results._ROOT", tmp_path)
    assert commit().startswith("version ")
