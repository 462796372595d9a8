"""The folder of a run: numbered, found again, and read only where it is one."""

import pytest

from agents.training.runs import Checkpoint, RunFolder
from tracker.errors import InputError

ENV = "OcclusionSearch-v0"


def test_runs_are_numbered_after_the_last(tmp_path):
    first, second = (RunFolder.create(tmp_path, "dqn", ENV) for _ in range(2))
    assert [run.path.name for run in (first, second)] == [f"{ENV}_1", f"{ENV}_2"]
    assert first.parameters.is_dir() and first.path.parent == tmp_path / "dqn"
    (tmp_path / "dqn" / f"{ENV}_11").mkdir()
    (tmp_path / "dqn" / f"{ENV}_12.old").mkdir()
    (tmp_path / "dqn" / f"Other{ENV}_40").mkdir()
    (tmp_path / "dqn" / f"{ENV}_old_50").mkdir()
    assert RunFolder.create(tmp_path, "dqn", ENV).path.name == f"{ENV}_12"
    assert RunFolder.create(tmp_path, "ppo", ENV).path.name == f"{ENV}_1", "each algorithm counts for itself"


def test_a_run_is_found_by_its_number_the_last_by_default(tmp_path):
    for number in (2, 9, 10):
        (tmp_path / "dqn" / f"{ENV}_{number}").mkdir(parents=True)
    assert RunFolder.find(tmp_path, "dqn", ENV).path.name == f"{ENV}_10", "by number, not by letters"
    assert RunFolder.find(tmp_path, "dqn", ENV, 2).path.name == f"{ENV}_2"
    with pytest.raises(InputError, match="no run 3 of dqn"):
        RunFolder.find(tmp_path, "dqn", ENV, 3)
    with pytest.raises(InputError, match="no run of a2c"):
        RunFolder.find(tmp_path, "a2c", ENV)


def test_what_a_run_was_started_with_is_read_again(tmp_path):
    run = RunFolder.create(tmp_path, "qrdqn", ENV)
    config = {"learning_rate": 1e-4, "env_kwargs": {"reward": "paper", "phi": None}}
    run.write_parameters(config, {"algo": "qrdqn", "env": ENV, "seed": 3}, "occlusion-search train")
    again = RunFolder.open(run.path)
    assert again == run and again.config() == config and again.arguments()["seed"] == 3
    assert (run.parameters / "command.txt").read_text() == "occlusion-search train"
    names = ["args.yml", "command.txt", "config.yml", "parameters.json"]
    assert sorted(file.name for file in run.parameters.iterdir()) == names


@pytest.mark.parametrize(
    "content", [None, "algo: dqn\n", "- a list\n", "algo: [1\n", "!!python/object/apply:os.abort []\n"]
)
def test_another_folder_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / ENV).mkdir()
        (tmp_path / ENV / "args.yml").write_text(content)
    with pytest.raises(InputError, match="is no folder of a run"):
        RunFolder.open(tmp_path)


def test_a_config_that_is_missing_or_broken_is_named(tmp_path):
    run = RunFolder.create(tmp_path, "dqn", ENV)
    with pytest.raises(InputError, match=r"config.yml' does not exist"):
        run.config()
    (run.parameters / "config.yml").write_text("- 1\n")
    with pytest.raises(InputError, match=r"config.yml' is no YAML of plain values"):
        run.config()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file' cannot be written .*--log-folder"):
        RunFolder.create(tmp_path / "file", "dqn", ENV)


def test_checkpoints_by_steps_and_monitors_by_number(tmp_path):
    run = RunFolder.create(tmp_path, "dqn", ENV)
    for steps in (900, 1000, 20):
        (run.path / f"rl_model_{steps}_steps.zip").touch()
    for stray in ("rl_model_replay_buffer_5000_steps.pkl", "rl_model_x_steps.zip", ".rl_model_7_steps.zip.tmp"):
        (run.path / stray).touch()
    assert run.checkpoints() == [Checkpoint(run.path, steps) for steps in (20, 900, 1000)]
    for number in (10, 0, 2):
        (run.path / f"{number}.monitor.csv").touch()
    assert [file.name for file in run.monitors] == ["0.monitor.csv", "2.monitor.csv", "10.monitor.csv"]
    last = run.checkpoints()[-1]
    assert last.model.is_file() and last.replay_buffer.name == "rl_model_replay_buffer_1000_steps.pkl"
