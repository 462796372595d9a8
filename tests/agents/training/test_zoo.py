"""RL Zoo's own command line trains with our files, and plays an agent of our run folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from agents.training.run import TrainRequest, train

HYPERPARAMS = Path(__file__).resolve().parents[3] / "agents" / "hyperparams"
ORACLE = "OcclusionSearchOracle-v0"

pytest.importorskip("rl_zoo3")


def zoo(command, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"rl_zoo3.{command}", "--gym-packages", "occlusion_env", *map(str, arguments)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_zoo_trains_with_our_files_and_we_play_its_runs(tmp_path, algo, run):
    zoo("train", "--algo", algo, "--env", ORACLE, "-conf", HYPERPARAMS / f"{algo}.yml", "-n", 64, "-f", tmp_path,
        "--eval-freq", -1, "--device", "cpu", "--seed", 1, "--env-kwargs", "max_steps:3")  # fmt: skip
    assert (tmp_path / algo / f"{ORACLE}_1" / f"{ORACLE}.zip").is_file()
    code, out, err = run("enjoy", "--algo", algo, "--env", ORACLE, "-f", tmp_path, "-n", 6, "--device", "cpu")
    assert code == 0 and "episodes: largest score drop" in out, err


@pytest.mark.parametrize("name", ["tuned", "paper"])
def test_zoo_trains_with_a_file_that_has_keys_of_ours(tmp_path, name):
    """RL Zoo reads the environment's section alone."""
    zoo("train", "--algo", "dqn", "--env", "OcclusionSearch-v0", "-conf", HYPERPARAMS / f"{name}.yml", "-n", 32,
        "-f", tmp_path, "--eval-freq", -1, "--device", "cpu", "--env-kwargs", "features:'slim'",
        "drop:0.1")  # fmt: skip
    assert (tmp_path / "dqn" / "OcclusionSearch-v0_1" / "OcclusionSearch-v0.zip").is_file()


def test_zoo_plays_an_agent_of_ours(tmp_path):
    pytest.importorskip("requests", reason="rl_zoo3.enjoy imports it and does not ask for it")
    small = {"learning_starts": 20, "policy_kwargs": {"net_arch": [8]}}
    train(TrainRequest(env=ORACLE, n_timesteps=64, hyperparams=small, log_folder=str(tmp_path), eval_freq=-1,
                       env_kwargs={"max_steps": 5}))  # fmt: skip
    out = zoo(
        "enjoy", "--algo", "dqn", "--env", ORACLE, "-f", tmp_path, "-n", 20, "--no-render", "--device", "cpu"
    )
    assert "Mean episode length" in out
