"""The folder of a training run, laid out as RL Zoo lays it out, so that its tools read ours.

logs/<algo>/<env>_<n>/
    <env>.zip                          the agent when training ended
    best_model.zip                     the one with the highest mean return on the selection videos
    evaluations.npz                    the returns of these evaluations
    0.monitor.csv                      every training episode; 1.monitor.csv after a resume, and so on
    rl_model_<steps>_steps.zip         a checkpoint
    rl_model_replay_buffer_<steps>_steps.pkl
    rl_model_replay_buffer_<steps>_steps.json    its digest
    <env>/config.yml, args.yml, command.txt, environment.json, parameters.json
    learning_curve.png
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from occlusion_env.naming import find_import_paths
from tracker.errors import InputError, reading_errors
from tracker.evaluation.running import weights_digest
from tracker.files import read_text, replacing_file
from tracker.records import read_record, warn_of_damage, write_record

from ..common.plain_yaml import parse_yaml

_PARAMETERS = "parameters.json"

_CHANGES_OBSERVATIONS = ("normalize", "env_wrapper", "vec_env_wrapper", "frame_stack")


class _Loader(yaml.SafeLoader):
    """Reads plain YAML, and the ordered mappings and tuples that RL Zoo's files hold; nothing is run."""


def _mapping(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    """`OrderedDict([[key, value], ...])` as a dict."""
    arguments: list[Any] = [None]
    if isinstance(node, yaml.SequenceNode):
        arguments = loader.construct_sequence(node, deep=True)
    if len(arguments) > 1 or not all(isinstance(pairs, list) for pairs in arguments):
        raise yaml.constructor.ConstructorError(None, None, "no OrderedDict of pairs", node.start_mark)
    return {key: value for pairs in arguments for key, value in pairs}


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)
# The class of an activation stays a text: nothing is imported.
_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:torch.nn.", lambda _, name, node: f"torch.nn.{name}")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run; its model is written last, so that where there is one the rest is there too.

    Attributes:
        folder: The run's.
        steps: Environment steps taken.
    """

    folder: Path
    steps: int

    @property
    def model(self) -> Path:
        """The agent."""
        return self.folder / f"rl_model_{self.steps}_steps.zip"

    @property
    def replay_buffer(self) -> Path:
        """The replay memory of an off-policy algorithm."""
        return self.folder / f"rl_model_replay_buffer_{self.steps}_steps.pkl"

    @property
    def note(self) -> Path:
        """The digest of the replay memory."""
        return self.replay_buffer.with_suffix(".json")

    def damaged_file(self, has_replay_buffer: bool) -> Path | None:
        """Return the first file that is missing or not as it was written; `None` if all are.

        A replay memory without a note, as RL Zoo leaves it, is not checked.
        """
        if not is_archive(self.model):
            return self.model
        if not has_replay_buffer:
            return None
        if not self.replay_buffer.is_file():
            return self.replay_buffer
        noted = read_record(self.note)
        if noted is not None and noted["digest"] != weights_digest(self.replay_buffer):
            return self.replay_buffer
        return None


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: `logs/<algo>/<env>_<n>`.
        algo: RL Zoo's name of the algorithm.
        env_id: The environment.
    """

    path: Path
    algo: str
    env_id: str

    @classmethod
    def create(cls, log_folder: Path, algo: str, env_id: str) -> RunFolder:
        """Make the folder of a new run, numbered after the last.

        Raises:
            InputError: If it cannot be written.
        """
        parent = Path(log_folder) / algo
        number = max(_numbers(parent, env_id), default=0)
        try:
            while True:
                number += 1
                run = cls(parent / f"{env_id}_{number}", algo, env_id)
                try:
                    run.path.mkdir(parents=True)
                except FileExistsError:  # another run was quicker
                    continue
                run.parameters.mkdir()
                return run
        except OSError as error:
            raise InputError(
                f"'{log_folder}' cannot be written ({error.strerror}); give another --log-folder."
            ) from None

    @classmethod
    def find(cls, log_folder: Path, algo: str, env_id: str, exp_id: int = 0) -> RunFolder:
        """The folder of a run.

        Args:
            log_folder: See `create`.
            algo: RL Zoo's name of the algorithm.
            env_id: The environment.
            exp_id: Its number; 0 for the last.

        Raises:
            InputError: If there is none.
        """
        parent = Path(log_folder) / algo
        number = exp_id or max(_numbers(parent, env_id), default=0)
        path = parent / f"{env_id}_{number}"
        if not path.is_dir():
            which = f"run {exp_id}" if exp_id else "run"
            raise InputError(f"There is no {which} of {algo} in '{env_id}' under '{log_folder}'; train one first.")
        return cls(path, algo, env_id)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run by its path.

        Raises:
            InputError: If it is none.
        """
        path = Path(path)
        try:
            parameters = next(file.parent for file in sorted(path.glob("*/args.yml")))
            arguments = _read(parameters / "args.yml")
            if arguments["env"] != parameters.name:  # else the run's files would lie elsewhere
                raise InputError(f"'{parameters}' holds the arguments of another environment.")
            return cls(path, str(arguments["algo"]), parameters.name)
        except (StopIteration, KeyError, InputError):
            raise InputError(
                f"'{path}' is no folder of a run; give one such as logs/dqn/OcclusionSearch-v0_1."
            ) from None

    @property
    def parameters(self) -> Path:
        """The folder of what the run was started with."""
        return self.path / self.env_id

    @property
    def model(self) -> Path:
        """The agent when training ended."""
        return self.path / f"{self.env_id}.zip"

    @property
    def best_model(self) -> Path:
        """The agent with the highest mean return on the selection videos."""
        return self.path / "best_model.zip"

    def agent_file(self, last: bool = False, checkpoint: int | None = None) -> Path:
        """The model file that stands for the run: the same for every command.

        Args:
            last: Take the agent when training ended, not the best one.
            checkpoint: Take the checkpoint of so many steps.

        Returns:
            The checkpoint, or `best_model` where the run has one, else `model`, which may not exist.

        Raises:
            InputError: If RL Zoo changed the agent's observations in a way that is not recorded in plain data, or
                there is no such checkpoint.
        """
        for name in _CHANGES_OBSERVATIONS:
            if self.config().get(name):
                raise InputError(
                    f"The run '{self.path}' was trained with RL Zoo's '{name}'; play it with"
                    " `python -m rl_zoo3.enjoy`."
                )
        if checkpoint is not None:
            kept = {each.steps: each.model for each in self.checkpoints()}
            if checkpoint not in kept:
                names = ", ".join(map(str, kept)) or "none"
                raise InputError(f"'{self.path}' has no checkpoint of {checkpoint} steps; it has {names}.")
            return kept[checkpoint]
        return self.best_model if self.best_model.is_file() and not last else self.model

    @property
    def evaluations(self) -> Path:
        """The returns of the evaluations on the selection videos."""
        return self.path / "evaluations.npz"

    @property
    def replay_buffer(self) -> Path:
        """The replay memory when training ended."""
        return self.path / "replay_buffer.pkl"

    @property
    def learning_curve(self) -> Path:
        """The picture."""
        return self.path / "learning_curve.png"

    @property
    def monitors(self) -> list[Path]:
        """The logs of training episodes, oldest first."""
        found = self.path.glob("*.monitor.csv")
        return sorted(found, key=lambda file: int(file.name.split(".")[0]))

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint that is complete, by steps."""
        names = (re.fullmatch(r"rl_model_(\d+)_steps\.zip", file.name) for file in self.path.iterdir())
        return [Checkpoint(self.path, steps) for steps in sorted(int(name[1]) for name in names if name)]

    def find_series(self) -> dict[int, RunFolder]:
        """The runs beside this one of the same `train --seeds`, by seed; of two with one seed the further one.

        The later runs record the name of the first one's folder as `series`.
        """
        first = self.arguments().get("series") or self.path.name
        found: list[tuple[bool, bool, int, RunFolder]] = []
        for path in sorted(self.path.parent.glob(f"{self.env_id}_*")):
            if not path.name.removeprefix(f"{self.env_id}_").isdecimal() and path != self.path:
                continue  # a copy
            with suppress(InputError):
                run = RunFolder.open(path)
                arguments = run.arguments()
                if first in (path.name, arguments.get("series")):
                    found.append((run.model.is_file(), bool(run.checkpoints()), arguments.get("seed", 0), run))
        return {seed: run for *_, seed, run in sorted(found, key=lambda each: each[:2])}

    def write_parameters(self, config: dict[str, Any], arguments: dict[str, Any], command: str) -> None:
        """Write what the run is started with.

        Args:
            config: The hyper-parameters, plain data.
            arguments: Of the command, plain data.
            command: The command line.
        """
        texts = {"config.yml": yaml.safe_dump(config), "args.yml": yaml.safe_dump(arguments)}
        write_record(self.parameters / _PARAMETERS, texts)
        for name, text in texts.items():
            with replacing_file(self.parameters / name) as temporary:
                temporary.write_text(text)
        with replacing_file(self.parameters / "command.txt") as temporary:
            temporary.write_text(command)

    def write_environment(self, record: dict[str, Any]) -> None:
        """Write the record of the training environment, see `TrainingEnvironment`."""
        with replacing_file(self.parameters / "environment.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")

    def environment(self) -> dict[str, Any] | None:
        """The record of the training environment; `None` where the run has none, as those of RL Zoo.

        Raises:
            InputError: If the file is truncated.
        """
        file = self.parameters / "environment.json"
        if not file.is_file():
            return None
        with reading_errors(file, "the record of a training environment", "train again"):
            return dict(json.loads(read_text(file)))

    def env_kwargs(self) -> dict[str, Any]:
        """The environment's arguments: the hyper-parameters' and, over them, the command's."""
        found: dict[str, Any] = {}
        for name, content in (("config.yml", self.config()), ("args.yml", self.arguments())):
            given = content.get("env_kwargs") or {}
            if not isinstance(given, dict):
                raise InputError(f"'{self.parameters / name}' says env_kwargs is {given!r}; write a mapping.")
            found |= given
        return found

    def config(self) -> dict[str, Any]:
        """The hyper-parameters, `env_kwargs` among them."""
        return _read(self.parameters / "config.yml")

    def arguments(self) -> dict[str, Any]:
        """The arguments of the command."""
        return _read(self.parameters / "args.yml")

    def import_paths(self) -> list[str]:
        """Names `module:attribute` in its files; a command that reads it takes them with `--allow`."""
        return sorted(set(find_import_paths([self.arguments(), self.config()])))


def restore_parameters(path: Path) -> None:
    """Write the parameters of a run again where a file of them is missing or truncated, with a warning.

    Half a YAML file can be read too, and would be a run with other parameters. A file that a person edited stays.

    Args:
        path: The run's folder.
    """
    for note in sorted(Path(path).glob(f"*/{_PARAMETERS}")):
        for name, text in (read_record(note) or {}).items():
            file = note.with_name(name)
            there = file.read_text(errors="replace") if file.is_file() else ""
            if there != text and text.startswith(there):
                warn_of_damage(file)
                with replacing_file(file) as temporary:
                    temporary.write_text(text)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive whose members have their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False


def _numbers(parent: Path, env_id: str) -> list[int]:
    pattern = re.compile(re.escape(env_id) + r"_(\d+)")
    found = (pattern.fullmatch(folder.name) for folder in parent.glob(f"{env_id}_*"))
    return [int(match[1]) for match in found if match]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(read_text(file), _Loader)
    except OSError:
        raise InputError(f"'{file}' does not exist; the folder above it holds no run.") from None
    except InputError as error:
        raise InputError(f"'{file}' cannot be used: {error}") from None
    except (yaml.YAMLError, RecursionError, TypeError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"'{file}' is no YAML of plain values, as `occlusion-search train` writes it.")
    return content
