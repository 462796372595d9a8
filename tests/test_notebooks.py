"""The notebooks of the tutorials run, and their committed outputs are those of their cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from notebook_pages import NOTEBOOKS, notebook_page, run_notebook

FILES = sorted(NOTEBOOKS.glob("*.ipynb"))


def kinds(notebook: dict[str, Any]) -> list[set[str]]:
    """What each cell of code gives: text, pictures."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            found.append({kind for output in cell["outputs"] for kind in output.get("data", {"text": ""})})
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_runs_and_gives_the_outputs_that_are_committed(file: Path) -> None:
    committed = json.loads(file.read_text(encoding="utf-8"))
    assert sum(bool(outputs) for outputs in kinds(committed)) >= 3, "run python docs/notebook_pages.py"
    assert kinds(run_notebook(file)) == kinds(committed)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_committed_notebook_has_no_error_and_no_path(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert '"output_type": "error"' not in text and '"name": "stderr"' not in text
    assert str(Path.home()) not in text and str(NOTEBOOKS.parents[1]) not in text


def test_a_page_has_the_code_the_text_and_the_pictures() -> None:
    code = {"cell_type": "code", "source": ["# Two bars\n", "draw()"], "outputs": [
        {"output_type": "stream", "name": "stdout", "text": ["3 rows\n"]},
        {"output_type": "display_data", "data": {"image/png": "aGk=\n", "text/plain": ["<Figure>"]}},
    ]}  # fmt: skip
    page, pictures = notebook_page(
        {"cells": [{"cell_type": "markdown", "source": ["# Title"]}, code]}, "tutorials/bars"
    )
    assert page.split("\n\n") == [
        "# Title", "```python\n# Two bars\ndraw()\n```", "```text\n3 rows\n```", "![Two bars](bars_0.png)\n",
    ]  # fmt: skip
    assert pictures == {"tutorials/bars_0.png": b"hi"}
