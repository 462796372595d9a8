"""The notebooks of docs/tutorials as pages of the site, and their outputs made again.

`python docs/notebook_pages.py` runs every notebook and stores its outputs. MkDocs loads this file as a hook and
builds one page for each notebook: its Markdown, its code, and the stored outputs.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).parent / "tutorials"
SECONDS_PER_CELL = 300


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Replace each notebook by a page and the pictures of its outputs; MkDocs calls it once a build."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)
        stem = file.src_uri.removesuffix(".ipynb")
        page, pictures = notebook_page(json.loads(Path(str(file.abs_src_path)).read_text(encoding="utf-8")), stem)
        files.append(File.generated(config, f"{stem}.md", content=page))
        for name, data in pictures.items():
            files.append(File.generated(config, name, content=data))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links to notebooks into links to their pages; MkDocs calls it for each page."""
    return re.sub(r"\]\(([^):]+)\.ipynb([)#])", r"](\1.md\2", markdown)


def notebook_page(notebook: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook to Markdown.

    Args:
        notebook: The content of the file (nbformat 4).
        stem: Path of the page without its suffix; pictures are named after it. The comment in the first line of a
            cell describes its pictures.

    Returns:
        The page, and the pictures' bytes by path.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        caption = source.partition("\n")[0].removeprefix("# ") if source.startswith("# ") else ""
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{stem}_{len(pictures)}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![{caption}]({Path(name).name})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n", pictures


def run_notebook(file: Path) -> dict[str, Any]:
    """Run a notebook in a temporary folder with a fresh kernel and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell raises.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=SECONDS_PER_CELL, startup_timeout=SECONDS_PER_CELL, kernel_name="python3",
            record_timing=False, coalesce_streams=True, resources={"metadata": {"path": folder}},
        )  # fmt: skip
        client.execute(env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))})
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/jpeg", None)  # Pillow's second copy of a picture
    return notebook


if __name__ == "__main__":
    import nbformat

    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(run_notebook(path), path)
        print(path)
