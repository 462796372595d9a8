"""What a Hugging Face Space needs, and the page's own sentences."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from tracker.errors import InputError

SPACE = Path(__file__).resolve().parents[2] / "space"


@pytest.fixture(autouse=True)
def gradio():
    return pytest.importorskip("gradio", reason="Gradio is not installed (occlusion-search[explore])")


def test_the_card_names_what_is_there():
    card = yaml.safe_load((SPACE / "README.md").read_text().split("---")[1])
    assert card["sdk"] == "gradio" and (SPACE / card["app_file"]).exists()
    assert len(card["short_description"]) <= 60, "the Hub refuses a longer one"
    assert (SPACE / "requirements.txt").read_text().split() == ["occlusion-search[explore]"]


def test_the_app_serves_the_page():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(SPACE.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(command, cwd=SPACE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(f":{port}" in line for line in process.stdout), "it says where it runs"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                page = answer.read().decode()
        finally:
            process.terminate()
    assert "Where is the matcher blind?" in page and "Compare me with the methods" in page


def test_a_failure_is_one_sentence(capsys):
    from agents.explore.page import describe_failure

    assert describe_failure(InputError("No video.")) == "No video."
    assert "No such file" in describe_failure(FileNotFoundError(2, "No such file or directory", "a"))
    assert "unexpectedly (KeyError)" in describe_failure(KeyError("bug"))
    assert "KeyError" in capsys.readouterr().err
