"""Starts commands in processes that have imported everything: a server that forks, and its client.

Importing torch takes seconds, a fork milliseconds. The server is this file run as a program; it makes networks and
recipes tiny, reads a JSON request a line and answers with the process's number, then with its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from tracker.data.sequences import Sequence

ROOT = Path(__file__).resolve().parents[2]

_TINY = "--weights tiny.safetensors --device cpu"
COMMANDS = {
    "generate": f"generate --data data --agent best-of-4-random --batch 4 --per-target 4 --out out {_TINY}",
    "generate, 2 workers": "generate --data data --agent best-of-4-random --batch 4 --per-target 4 --workers 2"
    " --out out --scorer dark_scorer:Dark --device cpu",
    "train": "train --env OcclusionSearchOracle-v0 -n 240 --eval-freq 60 --eval-episodes 2 --n-eval-envs 2"
    " --save-freq 40 --log-folder out --device cpu --hyperparams learning_starts:20 batch_size:8"
    " --env-kwargs drop:0.95",
    "train-vae": "train-vae --data data --epochs 30 --device cpu --out out --json out.json",
    "train-tracker": "train-tracker --data data --validation c --features slim --steps 6 --side 64"
    f" --validate-every 2 --checkpoint-seconds 0 --out out --json out.json {_TINY}",
    "train-siamfc": "train-siamfc --data data --validation c --weights siamfc.safetensors --steps 4 --pairs 1"
    " --hard-positives best-of-2-random --checkpoint-seconds 0 --out out --json out.json --device cpu",
    "fit-prior": f"fit-prior --data data --per-sequence 2 --folds 2 --out out.safetensors {_TINY}",
    "benchmark run": "benchmark run --tracker mil --data data --out out --json out.json --device cpu",
    "benchmark report": "benchmark report --results results --annotations data --out out --json out.json",
    "demo": f"demo --quick --out out {_TINY}",
    "evaluate": "evaluate --data judge --agent centre --per-sequence 1 --seeds 1 --checks none --out out --json"
    f" out.json {_TINY}",
    "evaluate-vae": "evaluate-vae --data judge --epochs 10 --samples 4 --held-out 2 --out out --json out.json "
    + _TINY,
    "reproduce": "reproduce --data data --judge judge --only sint vae adv-net --seeds 1 --steps 2"
    f" --boxes-per-frame 8 --epochs 2 --per-video 1 --sweep-frames 1 --out out --json out.json {_TINY}",
    "track": "track --data data/a/img --box 33,25,24,18 --tracker mil --out out.mp4 --boxes out.txt",
}
"""Every command that takes long on real data, on a few tiny frames, by its name."""

_SCORER = """
import os
import time

import torch

class Dark:
    input_size = 16
    device = torch.device("cpu")

    def embed(self, crops):
        if os.path.exists("slow"):
            open(f"busy-{os.getpid()}", "w").close()
            time.sleep(60)
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return candidates[:, 0]

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))
"""
"""A scorer without a network, which takes a minute where there is a file `slow`."""


@dataclass(frozen=True)
class Run:
    """A command that has ended.

    Attributes:
        code: Exit code; the negative number of the signal that ended it.
        seconds: From its start to its end.
        printed: Standard output.
        errors: Standard error.
        outliving: Processes of its session that were still there `OUTLIVE` seconds after its end.
    """

    code: int
    seconds: float
    printed: str
    errors: str
    outliving: int


OUTLIVE = 20
"""Seconds in which processes of a command end after it: a worker that starts ends once it has imported torch."""


class Launcher:
    """The client.

    Args:
        folder: Current folder of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        )  # fmt: skip

    def start(self, arguments: list[str], stdout: str = "file", stderr: str = "file") -> int:
        """Start a command; returns its process's number.

        Args:
            arguments: Of `occlusion-search`; with `--workers 2` the networks have their own size, because spawned
                workers import them anew.
            stdout: `file`; `closed`; or `unread`, a pipe whose reader has left.
            stderr: The same.
        """
        assert self._server.stdin is not None
        request = {"arguments": arguments, "folder": str(self.folder), "stdout": stdout, "stderr": stderr}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        pid = self._answer()
        self._began = time.monotonic()
        return pid

    def end(self, pid: int) -> Run:
        """Wait for the end of the command."""
        code = self._answer()
        seconds = time.monotonic() - self._began
        deadline = time.monotonic() + OUTLIVE
        while (left := processes_of(pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for each in left:
            os.kill(each, signal.SIGKILL)
        printed, errors = ((self.folder / f"{name}.txt").read_text() for name in ("stdout", "stderr"))
        return Run(code, seconds, printed, errors, len(left))

    def run(self, arguments: list[str], kill_after: float | None = None, number: int = signal.SIGKILL) -> Run:
        """Run a command to its end, or send its process (not its workers) a signal after so many seconds."""
        pid = self.start(arguments)
        if kill_after is not None:
            time.sleep(kill_after)
            if pid in processes_of(pid):
                os.kill(pid, number)
        return self.end(pid)

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.kill()
        self._server.wait()
        self._server.stdin.close()
        self._server.stdout.close()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def write_inputs(
    folder: Path, make_video: Callable[..., Sequence], write_otb: Callable[[Path, Sequence], Path]
) -> None:
    """Write what `COMMANDS` read: videos, weights, a scorer, results of a tracker."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    for seed, name in enumerate(("data/a", "data/b", "data/c", "judge/d", "judge/e")):
        video = make_video(6, 96, 72, seed)
        write_otb(folder / name, video)
        if name.startswith("data"):
            (folder / "results/still/ope").mkdir(parents=True, exist_ok=True)
            rows = np.repeat(video.boxes[:1] + [1, 1, 0, 0], len(video), axis=0)
            np.savetxt(folder / f"results/still/ope/{Path(name).name}.txt", rows, "%g", ",")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, kind in zip(("tiny", "siamfc"), _tiny_networks(), strict=True):
            save_file(kind().state_dict(), folder / f"{name}.safetensors")
    (folder / "dark_scorer.py").write_text(_SCORER)


def _tiny_networks() -> tuple[Callable[[], nn.Module], Callable[[], nn.Module]]:
    """The tiny backbone and the tiny SiamFC of other tests."""
    import runpy

    tests = ROOT / "tests" / "training"
    return runpy.run_path(str(tests / "conftest.py"))["Tiny"], runpy.run_path(str(tests / "test_siamfc.py"))[
        "Tiny"
    ]


def processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def _serve() -> None:
    """Answer requests until the client leaves."""
    _prepare()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(**request)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(arguments: list[str], folder: str, **streams: str) -> None:
    """Be the command, with the signals of a terminal's: a test run in the background ignores some."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, handler)
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        sink = os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if streams[name] == "unread":
            reader, sink = os.pipe()
            os.close(reader)
        os.dup2(sink, number)
        os.close(sink)
        if streams[name] == "closed":
            os.close(number)
            setattr(sys, name, None)  # as Python starts
        else:
            setattr(sys, name, open(number, "w", closefd=False))
    sys.argv = ["occlusion-search", *arguments]
    if "--workers" in arguments:
        import tracker.models.backbones.loading

        setattr(tracker.models.backbones.loading, "Slim", tracker.models.backbones.Slim)  # noqa: B010
    from agents.cli import main

    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        code = 1
        if sys.stderr is not None:
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except OSError:
                    code = 120
        from concurrent.futures import process

        process._python_exit()  # type: ignore[attr-defined]  # as at Python's own end
        os._exit(code if isinstance(code, int) else 1)


def _prepare() -> None:
    """Import what commands import when they run, and make it tiny."""
    from functools import partial

    import torch

    import agents.ablation.making
    import agents.ablation.report
    import agents.cli
    import agents.demo
    import agents.demo_settings
    import agents.evaluation.pictures
    import agents.evaluation.run
    import agents.hard_positives.generation_run
    import agents.manifolds.evaluation
    import agents.manifolds.pictures
    import agents.tracking
    import agents.training.run
    import tracker.models.backbones.loading
    import tracker.models.siamfc
    import tracker.training
    import vae

    torch.set_num_threads(1)
    slim, siamfc = _tiny_networks()
    setattr(tracker.models.backbones.loading, "Slim", slim)  # noqa: B010
    setattr(tracker.models.siamfc, "SiamFCNet", siamfc)  # noqa: B010
    setattr(agents.demo_settings, "QUICK", agents.demo_settings.Effort(8, 4, 20, 2, 20, 2, 2))  # noqa: B010
    making = agents.ablation.making
    making.train_adversary = partial(making.train_adversary, steps=2, batch=2)
    setattr(vae, "VAEConfig", partial(vae.VAEConfig, hidden=32))  # noqa: B010
    assert vae.VAEBank.train.__kwdefaults__ is not None
    vae.VAEBank.train.__kwdefaults__["checkpoint_seconds"] = 0.1


if __name__ == "__main__":
    _serve()
