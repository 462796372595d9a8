"""The command `explore`: what it refuses, and how it ends."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from agents.cli import run_command
from tracker.errors import InputError


def test_without_gradio_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install 'occlusion-search\[explore\]'"):
        run_command(["explore"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "no/such/folder"], "'no/such/folder' does not exist"),
        (["--port", "70000"], "--port is 70000; it must lie between 1 and 65535"),
    ],
)
def test_bad_input_is_one_sentence(words, said):
    pytest.importorskip("gradio", reason="Gradio is not installed (occlusion-search[explore])")
    with pytest.raises(InputError, match=said):
        run_command(["explore", *words])


def test_a_taken_port_is_one_sentence():
    pytest.importorskip("gradio", reason="Gradio is not installed (occlusion-search[explore])")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} is taken; give another --port."):
            run_command(["explore", "--port", str(port), "--no-browser", "--device", "cpu"])


def test_an_interrupt_ends_it_quietly(tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed (occlusion-search[explore])")
    command = [sys.executable, "-m", "agents.cli", "explore", "--no-browser", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("The page is http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
    assert said.strip() == "occlusion-search: interrupted; the page is closed."
