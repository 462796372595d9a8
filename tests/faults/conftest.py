"""Budget, watchdog and summary of the fault tests."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tracker.data.sequences import Sequence

from .launcher import Launcher, write_inputs

BUDGET = "OCCLUSION_SEARCH_FAULTS"
SECONDS = 20.0
"""Wall-clock limit of one input."""

MEMORY = 3 * 2**30
"""Bytes of address space that one input may add."""

LONGEST = 600
"""Characters of an error's sentence."""

FOREIGN = "foreign_file"
"""A module that lies in the current folder; importing it is a failure."""

LOADED = "foreign_loaded"
"""A module that is imported already; reading an attribute of it is a failure."""

_RUNS_CODE = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pickle.find_class", "pty.spawn",
    "subprocess.Popen",
)  # fmt: skip
_HARMLESS = ("git", "uname")
"""Programs that tell a result's commit and machine."""

_CHANGES_FILES = (
    "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree",
    "shutil.move", "shutil.copyfile",
)  # fmt: skip


class _Hang(BaseException):
    """The time limit of an input is over; product code must not catch it."""


class Watchdog:
    """Runs calls on hostile input and records what they do beside their result.

    Attributes:
        folder: The current folder of the calls; it holds the module `FOREIGN`.
        counts: `inputs`, `calls`, `refused`, `tracebacks`, `sentences` (refusals that are not one short sentence)
            and `foreign` (imports, processes, unpickling, and writes outside the temporary folder).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self._active = False
        self._events: list[str] = []
        self._roots = tuple({os.path.realpath(tempfile.gettempdir()), tempfile.gettempdir(), "/dev/"})
        sys.addaudithook(self._audit)

    def __call__(self, call: Callable[[], Any], *documented: type[BaseException]) -> Any:
        """Run a call.

        Args:
            call: What to run.
            documented: Errors of other libraries that are documented for this call, beside `InputError`.

        Returns:
            The result; `None` if the input was refused.

        Raises:
            AssertionError: If anything but a result or one sentence came.
        """
        from tracker.errors import InputError
        from vae.errors import VAEError

        self.counts["calls"] += 1
        found, refusal, fault = None, None, None
        with self._watched():
            try:
                found = call()
            except (InputError, VAEError) as error:
                refusal = str(error)
            except documented:
                self.counts["refused"] += 1
            except _Hang:
                fault = f"still running after {SECONDS:g} s:\n{traceback.format_exc()}"
            except Exception:
                fault = traceback.format_exc()
        if self._events:
            self._fail("foreign", f"the input reached beyond its files: {self._events[:5]}")
        elif fault is not None:
            self._fail("tracebacks", fault)
        elif refusal is not None:
            self.counts["refused"] += 1
            if wrong := sentence_fault(refusal):
                self._fail("sentences", wrong)
        return found

    def _fail(self, kind: str, fault: str) -> None:
        self.counts[kind] += 1
        raise AssertionError(fault)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        def stop(*_: object) -> None:
            raise _Hang

        before = os.getcwd()
        self._events = []
        limits = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        handler = signal.signal(signal.SIGALRM, stop)
        os.chdir(self.folder)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        self._active = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._active = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, limits)
            os.chdir(before)
            signal.signal(signal.SIGALRM, handler)

    def foreign(self, what: str) -> None:
        """Record a use of a module that only the input names."""
        if self._active:
            self._events.append(what)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "import":
            if str(args[0]).partition(".")[0] in (FOREIGN, "antigravity", "this"):
                self._events.append(f"import {args[0]}")
        elif event == "exec":
            file = getattr(args[0], "co_filename", "")
            if str(file).startswith(str(self.folder)):
                self._events.append(f"exec {file}")
        elif event == "open":
            path, mode, flags = args
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and isinstance(path, str | bytes | os.PathLike):
                self._outside(event, path)
        elif event in _CHANGES_FILES:
            self._outside(event, args[0])
        elif event.startswith(_RUNS_CODE) and not (event == "subprocess.Popen" and args[0] in _HARMLESS):
            self._events.append(f"{event} {str(args)[:200]}")

    def _outside(self, event: str, path: Any) -> None:
        if isinstance(path, int) or "__pycache__" in os.fsdecode(path):
            return
        full = os.path.join(os.getcwd(), os.fsdecode(path))
        if not full.startswith(self._roots) and not os.path.realpath(full).startswith(self._roots):
            self._events.append(f"{event} {full}")


class _Loaded(types.ModuleType):
    """An imported module that reports each attribute that is read."""

    watchdog: Watchdog | None = None

    def __getattr__(self, name: str) -> Any:
        if self.watchdog is not None and not name.startswith("__"):
            self.watchdog.foreign(f"{LOADED}.{name}")
        raise AttributeError(name)


def sentence_fault(text: str) -> str | None:
    """What keeps an error's text from being one short sentence that names something; `None` if nothing does."""
    if not text.isprintable():
        return f"more than one line, or characters that cannot be printed: {text!r:.400}"
    if len(text) > LONGEST:
        return f"{len(text)} characters: {text:.400}..."
    return None if len(text.split()) >= 4 else f"says nothing: {text!r}"


@pytest.fixture(scope="session")
def watchdog(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Watchdog]:
    """What runs calls on hostile input; it has a module of its own in the current folder and one in memory."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads /proc")
    import matplotlib.pyplot  # noqa: F401  # makes its own folders in the person's home
    import torchvision  # noqa: F401

    folder = tmp_path_factory.mktemp("hostile")
    (folder / f"{FOREIGN}.py").write_text("loaded = True\n\n\ndef run():\n    raise SystemExit(99)\n")
    watch = Watchdog(folder)
    loaded = _Loaded(LOADED)
    loaded.watchdog = watch
    sys.modules[LOADED] = loaded
    sys.path.insert(0, str(folder))
    yield watch
    sys.path.remove(str(folder))
    del sys.modules[LOADED]
    request.config.stash[_COUNTS] = dict(watch.counts)


_COUNTS = pytest.StashKey[dict[str, int]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a pytest-xdist worker to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = session.config.stash.get(_COUNTS, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up the counts of pytest-xdist's workers."""
    total = Counter(node.config.stash.get(_COUNTS, {}))
    total.update(getattr(node, "workeroutput", {}).get("faults", {}))
    node.config.stash[_COUNTS] = dict(total)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the counts where a budget is set, and what the soak measured."""
    counts = config.stash.get(_COUNTS, {})
    if not os.environ.get(BUDGET):
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    soaks = [value for report in reports for name, value in report.user_properties if name == "soak"]
    for soak in soaks:
        terminalreporter.write_line("soak: " + json.dumps(soak))
    if soaks:
        terminalreporter.write_line(f"soak: {sum(soak['steps'] for soak in soaks)} environment steps")
    if counts:
        names = ("inputs", "calls", "refused", "tracebacks", "sentences", "foreign")
        terminalreporter.write_line("fuzz: " + json.dumps({name: counts.get(name, 0) for name in names}))


@pytest.fixture(scope="module")
def launcher(
    tmp_path_factory: pytest.TempPathFactory,
    make_video: Callable[..., Sequence],
    write_otb: Callable[[Path, Sequence], Path],
) -> Iterator[Launcher]:
    """What starts the commands of a module's tests, in a folder with their inputs."""
    folder = tmp_path_factory.mktemp("commands")
    write_inputs(folder, make_video, write_otb)
    found = Launcher(folder)
    yield found
    found.close()
