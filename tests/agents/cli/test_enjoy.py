import json
import re

import pytest
from PIL import Image

from agents.training.run import TrainRequest, train

ORACLE = "OcclusionSearchOracle-v0"


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    small = {"learning_starts": 20, "policy_kwargs": {"net_arch": [8]}}
    train(TrainRequest(env=ORACLE, n_timesteps=120, hyperparams=small, log_folder=str(folder), eval_freq=60,
                       env_kwargs={"max_steps": 5, "observation": "features+region"}, save_freq=50))  # fmt: skip
    return folder


def test_an_agent_plays_and_leaves_a_gif(run, logs, tmp_path):
    code, out, err = run("enjoy", "--env", ORACLE, "-f", logs, "-n", 30, "--gif", "episode.gif", "--load-best")
    assert code == 0, err
    *episodes, summary, where = out.splitlines()
    assert len(episodes) >= 6 and all("clean +1.000 -> start" in line for line in episodes)
    assert summary.startswith(f"{len(episodes)} episodes: largest score drop") and "episode.gif" in where
    with Image.open(tmp_path / "episode.gif") as gif:
        length = int(episodes[0].split("; ")[1].split()[0])
        assert gif.n_frames <= length + 1 and gif.size[0] > 100


def test_the_best_of_an_episode_stands_beside_random_regions_the_constant_and_the_belief(run, tmp_path):
    line = ["--agent", "pretrained", "--data", "drawn:9", "--steps", 1, "--device", "cpu", "--json", "found.json"]
    code, out, err = run("enjoy", *line)
    assert code == 0, err
    episode, last = out.splitlines()[0], out.splitlines()[-1]
    found = dict(re.findall(r"(agent|random regions|one query|belief)\)? (-?\d\.\d{3})", last))
    assert set(found) == {"agent", "random regions", "one query", "belief"}
    clean, start, best, random = (
        float(re.search(rf"{name} ([+-][\d.]+)", episode)[1])
        for name in ("clean", "start", "best", "random search")
    )
    assert best <= start and float(found["agent"]) == pytest.approx(clean - best, abs=2e-3), (
        "the best of the trail"
    )
    assert float(found["random regions"]) == pytest.approx(clean - random, abs=2e-3)
    (row,) = json.loads((tmp_path / "found.json").read_text())["episodes"]
    assert row["best"] == pytest.approx(row["lowest"]["agent"]) == pytest.approx(best, abs=1e-3)
    assert float(found["belief"]) >= float(found["one query"]) - 0.05 and run("enjoy", *line)[1] == out


def test_no_gif_into_the_run_that_is_played(run, logs):
    inside = logs / "dqn" / f"{ORACLE}_1" / f"{ORACLE}.zip"
    before = inside.read_bytes()
    for gif in (inside, inside.with_suffix(".gif")):
        code, _, err = run("enjoy", "--env", ORACLE, "-f", logs, "--gif", gif)
        assert code == 2 and "lies in the input" in err and "give another --gif" in err
    assert inside.read_bytes() == before and not inside.with_suffix(".gif").exists()


def test_a_file_and_its_own_arguments(run, logs, tmp_path):
    of_run = logs / "dqn" / f"{ORACLE}_1" / f"{ORACLE}.zip"
    code, _, err = run("enjoy", "--env", ORACLE, "--agent", of_run, "-n", 5)
    assert code == 0, err
    model = tmp_path / "elsewhere.zip"
    model.write_bytes(of_run.read_bytes())
    arguments = ("enjoy", "--env", ORACLE, "--agent", model, "-n", 5, "--stochastic")
    code, _, err = run(*arguments)
    assert code == 2 and "give the --env-kwargs that it was trained with" in err
    code, out, _ = run(*arguments, "--env-kwargs", "observation:features+region", "--data", "oracle:3")
    assert code == 0 and "oracle-3/" in out


def test_the_shipped_agent_in_a_drawn_scene(run, tmp_path):
    """`--agent pretrained` knows the state that it was trained with; its GIF is small enough for a README."""
    code, out, err = run("enjoy", "--agent", "pretrained", "--data", "drawn", "-n", 1, "--gif", "episode.gif")
    assert code == 0, err
    assert out.startswith("drawn-0/") and "clean +0." in out
    assert 10_000 < (tmp_path / "episode.gif").stat().st_size < 1_500_000
    with Image.open(tmp_path / "episode.gif") as gif:
        assert gif.n_frames > 10 and gif.size == (624, 430)


@pytest.mark.parametrize(("given", "message"), [
    (("--exp-id", 7), "There is no run 7 of dqn"),
    (("--algo", "ppo"), "There is no run of ppo"),
    (("--agent", "no.zip"), "There is no agent 'no.zip'"),
    (("--agent", "no.safetensors"), "There is no agent 'no.safetensors'"),
    (("--load-checkpoint", 77), "has no checkpoint of 77 steps; it has "),
    (("--gif", "e.txt"), "--gif is 'e.txt'; give FILE.gif"),
    (("-n", 0), "--steps is 0"),
    (("--env-kwargs", "reward"), "'reward' is no KEY:VALUE"),
    (("--gif", "nowhere/e.gif"), "give --gif a file in a folder"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence(run, logs, given, message):
    code, _, err = run("enjoy", "--env", ORACLE, "-f", logs, *given)
    assert code == 2 and message in err and "Traceback" not in err
