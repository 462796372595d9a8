"""Nothing in a file of another's runs, and no file leads out of its folder; pickles (.zip, .pkl) excepted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from stable_baselines3 import DQN

import agents.cli
from agents.dqn.algorithm import load_hyperparameters
from agents.policies.loading import load_agent, load_policy
from agents.policies.pretrained import load_pretrained, save_pretrained
from agents.training.environment import TrainingEnvironment
from agents.training.run import TrainRequest, resume, train
from agents.training.runs import RunFolder
from occlusion_env import ENV_ID, ORACLE_ENV_ID, SearchArguments
from occlusion_env.naming import look_up
from tracker.data.images import write_png
from tracker.errors import InputError
from tracker.evaluation import read_annotations
from tracker.training.hard_positives import read_hard_positives

ARGUMENTS = ("observation", "state", "reward", "scorer", "features", "targets")
NAMES = ("evil:Observation", "os:abort", "agents.foo:bar", "evil.sub:Observation", "3evil:Observation")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder, importable, that leaves a file when it is imported; the file."""
    mark = tmp_path / "ran"
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text(
        f"from tracker.errors import InputError\n"
        f"def Observation(search):\n    raise InputError('It ran.')\n"
        f"open({str(mark)!r}, 'a').close()\n"
    )
    (tmp_path / "evil" / "sub.py").write_text("Observation = abs\n")
    (tmp_path / "3evil.py").write_text(f"open({str(mark)!r}, 'a').close()\nObservation = abs\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("evil", "3evil")]:
        monkeypatch.delitem(sys.modules, name)
    return mark


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run the command line in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        code = 0
        try:
            agents.cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def model() -> DQN:
    env = gym.make(ORACLE_ENV_ID, max_steps=3, history=1)
    return DQN("MlpPolicy", env, policy_kwargs={"net_arch": [4]}, buffer_size=10, seed=0)


@pytest.fixture
def card(model: DQN, tmp_path: Path) -> Callable[..., Path]:
    """Write an agent whose card holds the given arguments of the environment."""

    def write(**kwargs: Any) -> Path:
        file = tmp_path / "agent.safetensors"
        save_pretrained(file, model, TrainingEnvironment(SearchArguments(max_steps=3)), {})
        content = json.loads(file.with_suffix(".json").read_text())
        content["env_kwargs"] |= kwargs
        file.with_suffix(".json").write_text(json.dumps(content))
        return file

    return write


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_card_imports_nothing(evil: Path, card: Callable[..., Path], argument: str, name: str) -> None:
    file = card(**{argument: name})
    for load in (load_pretrained, load_agent, load_policy):
        with pytest.raises(InputError, match=r"agent\.json' names .*--allow"):
            load(str(file))
    assert not evil.exists() and "evil" not in sys.modules


@pytest.mark.parametrize(
    "value",
    [
        "os:abort ",
        "os.abort",
        "os::abort",
        "os:path.join",
        ":abort",
        "agents.policies.belief:Drop",
        ["os:abort"],
        7,
        None,
    ],
)
def test_other_spellings_are_no_names(evil: Path, card: Callable[..., Path], value: object) -> None:
    """They are refused by the card or where the name is looked up."""
    with pytest.raises(InputError):
        load_agent(str(card(observation=value)))
    with pytest.raises(InputError):
        load_agent(str(card(scorer=value)))


def test_what_the_caller_names_may_be_in_the_card(evil: Path, card: Callable[..., Path]) -> None:
    file = card(observation="evil:Observation")
    assert (
        load_pretrained(file, allowed=["evil:Observation"]).environment.arguments.observation == "evil:Observation"
    )
    assert not evil.exists(), "not before it is used"
    load_agent(str(file), allowed=["evil:Observation"])
    assert evil.exists()
    with pytest.raises(InputError, match="--allow"):
        load_pretrained(file, allowed=["evil:Other"])


@pytest.mark.parametrize("command", ["evaluate", "generate", "enjoy"])
def test_commands_refuse_a_card_with_names(
    run: Call, evil: Path, card: Callable[..., Path], write_otb: Any, make_video: Any, tmp_path: Path, command: str
) -> None:
    data = write_otb(tmp_path / "ball", make_video())
    file = card(observation="evil:Observation")
    given = {
        "evaluate": ["--data", data, "--agent", file],
        "generate": ["--data", data, "--agent", file],
        "enjoy": ["--agent", file],
    }[command]
    code, _, error = run(command, *given)
    assert code == 2 and "'evil:Observation'" in error and "--allow evil:Observation" in error
    assert not evil.exists()
    _, _, error = run(command, *given, "--allow", "evil:Observation")
    assert "It ran." in error and evil.exists()


def test_the_belief_is_built_in(card: Callable[..., Path]) -> None:
    assert load_pretrained(card(observation="belief")).environment.arguments.observation == "belief"
    env = gym.make(ENV_ID, observation="belief", precision="fp32")
    assert type(env.unwrapped.search.observation).__name__ == "BeliefObservation"


def test_a_package_of_the_same_name_is_no_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text(f"open({str(mark)!r}, 'a').close()\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "agents"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"'agents' is hidden by"):
        look_up("observation", "belief", {"belief": "agents.policies.belief:BeliefObservation"})
    assert not mark.exists()


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    request = TrainRequest(
        env=ORACLE_ENV_ID, n_timesteps=40, log_folder=str(tmp_path / "logs"), save_freq=10, eval_freq=-1,
        env_kwargs={"max_steps": 3}, hyperparams={"learning_starts": 5, "policy_kwargs": {"net_arch": [4]}},
    )  # fmt: skip
    found = train(request)
    found.model.unlink()  # as if it had been cut off
    return found


def change(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.suffix == ".json" else yaml.safe_load(file.read_text())
    content.update(values)
    file.write_text(json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content))


@pytest.mark.parametrize("name", ["config.yml", "args.yml", "environment.json"])
def test_a_run_imports_nothing(run: Call, evil: Path, run_folder: RunFolder, name: str) -> None:
    file = run_folder.parameters / name
    change(file, env_kwargs={"max_steps": 3, "reward": "evil:Reward"})
    if name != "environment.json":  # a resume compares that one alone
        with pytest.raises(InputError, match="--allow evil:Reward"):
            resume(run_folder.path)
        (run_folder.parameters / "environment.json").unlink()
    with pytest.raises(InputError, match="--allow evil:Reward"):
        TrainingEnvironment.of_run(run_folder)
    run_folder.checkpoints()[-1].model.rename(run_folder.model)
    for given in (
        ["enjoy", "-f", run_folder.path.parents[1], "--env", ORACLE_ENV_ID],
        ["export-agent", "--agent", run_folder.path],
    ):
        code, _, error = run(*given)
        assert code == 2 and "--allow evil:Reward" in error
    assert not evil.exists()


def test_a_run_with_its_own_code_is_resumed_where_the_command_allows_it(
    run: Call, evil: Path, tmp_path: Path
) -> None:
    Path("mine.py").write_text(
        "from occlusion_env.search.observations import PixelsObservation\n"
        "from occlusion_env.mdp.rewards import DifferenceReward as Mine\n"
    )
    given = ["train", "--env", ORACLE_ENV_ID, "-n", 20, "-f", "logs", "--save-freq", 10, "--eval-freq", -1,
             "--env-kwargs", "reward:mine:Mine", "--hyperparams", "learning_starts:5"]  # fmt: skip
    code, _, error = run(*given)
    assert code == 0, error
    folder = RunFolder.find(tmp_path / "logs", "dqn", ORACLE_ENV_ID)
    folder.model.unlink()
    change(folder.parameters / "args.yml", n_timesteps=30)
    code, _, error = run("train", "--resume", folder.path)
    assert code == 2 and "--allow mine:Mine" in error
    code, _, error = run("train", "--resume", folder.path, "--allow", "mine:Mine")
    assert code == 0, error


def test_a_run_keeps_to_its_folder(run_folder: RunFolder, tmp_path: Path) -> None:
    """The folder of its parameters and the names of its files are those of its environment."""
    change(run_folder.parameters / "args.yml", env="../../elsewhere")
    with pytest.raises(InputError, match="no folder of a run"):
        RunFolder.open(run_folder.path)


def test_the_module_of_an_id_is_not_imported(run: Call, evil: Path, tmp_path: Path) -> None:
    code, _, error = run("train", "--env", "evil:Evil-v0")
    assert code == 2 and "is no environment" in error and not evil.exists()


@pytest.mark.parametrize(
    "section",
    [
        {"env_kwargs": {"observation": "evil:Observation"}},
        {"td_target": "evil:target"},
        {"policy_kwargs": {"optimizer_class": "evil:Optimizer"}},
        {"replay_buffer_class": "evil:Buffer"},
    ],
)
@pytest.mark.parametrize("place", ["default", "occlusion-search"])
def test_a_hyper_parameter_file_imports_nothing(evil: Path, section: dict[str, Any], place: str) -> None:
    Path("mine.yml").write_text(yaml.safe_dump({"default": {"n_timesteps": 10}} | {place: section}))
    with pytest.raises(InputError, match="'mine.yml' names 'evil:.*--allow"):
        load_hyperparameters("mine.yml")
    with pytest.raises(InputError, match="'mine.yml' names 'evil:.*--allow"):
        train(TrainRequest(conf_file="mine.yml", log_folder="logs"))
    assert not evil.exists() and not Path("logs").exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.abort []", "!!python/name:os.abort", "!!python/module:evil"]
)
def test_no_tag_of_yaml_runs_anything(run: Call, evil: Path, tag: str, run_folder: RunFolder) -> None:
    Path("mine.yml").write_text(f"default:\n  n_timesteps: {tag}\n")
    with pytest.raises(InputError):
        load_hyperparameters("mine.yml")
    code, _, _ = run("train", "--hyperparams", f"gamma:{tag}")
    assert code == 2
    (run_folder.parameters / "config.yml").write_text(f"n_timesteps: {tag}\n")
    with pytest.raises(InputError):
        resume(run_folder.path)
    assert not evil.exists()


def test_images_lie_in_the_folder_of_their_record(tmp_path: Path, make_video: Any) -> None:
    folder, image = tmp_path / "positives", make_video().frames[0]
    folder.mkdir()
    for place in (tmp_path / "secret.png", folder / "own.png"):
        write_png(place, image)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    source = {"video": "ball", "frame": 0, "box": [1, 1, 4, 4]}
    for name in (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "../positives/../secret.png",
        3,
        "a\0b",
    ):
        (folder / "metadata.jsonl").write_text(json.dumps({"file_name": name, "source": source}) + "\n")
        with pytest.raises(InputError, match=r"Line 1 of .*is no path inside of"):
            read_hard_positives(folder)
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "own.png", "source": source}) + "\n")
    assert len(read_hard_positives(folder)) == 1


def test_the_names_of_targets_lead_nowhere(tmp_path: Path) -> None:
    """Files of results have their targets' names."""
    entry = {"boxes": [[1, 1, 2, 2]]}
    names = ["../ball", "/etc/passwd", "..", "a/b", "", "a\0"]
    (tmp_path / "truth.json").write_text(json.dumps({name: entry for name in [*names, "ball"]}))
    found = read_annotations(tmp_path / "truth.json")
    assert list(found) == ["ball"] and set(found.left_out) == set(names)


@pytest.mark.parametrize("command", ["train", "enjoy", "evaluate", "generate", "export-agent", "reproduce"])
def test_the_help_of_a_command_that_takes_an_agent_says_what_is_run(run: Call, command: str) -> None:
    code, text, _ = run(command, "--help")
    words = " ".join(text.replace("│", " ").split())
    assert code == 0 and "pickles" in words and "that you trust" in words
