import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from stable_baselines3.common.utils import LinearSchedule

from agents.dqn import HuberDQN, SquaredErrorDQN
from agents.learning_curves import moving_average, read_monitors
from agents.playing import play
from agents.replay import LookupNStepReplayBuffer, LookupReplayBuffer
from agents.runs import RunFolder
from agents.training import TrainRequest, load_model, resume, train
from tracker.errors import InputError
from tracker.images import read_image

ORACLE = "OcclusionSearchOracle-v0"
SMALL = {"n_envs": 4, "learning_starts": 40, "batch_size": 16, "policy_kwargs": {"net_arch": [16]}}
ROLLOUT = {"n_envs": 4, "n_steps": 32, "policy_kwargs": {"net_arch": [16]}}


def request(folder, algo="dqn", **changed):
    hyperparams = dict(SMALL if algo in ("dqn", "qrdqn") else ROLLOUT) | changed.pop("hyperparams", {})
    if algo.startswith("ppo"):
        hyperparams["batch_size"] = 64
    given = {"n_timesteps": 256, "eval_freq": 128, "eval_episodes": 2, "save_freq": 100, "env": ORACLE}
    return TrainRequest(algo=algo, hyperparams=hyperparams, log_folder=str(folder), **(given | changed))


@pytest.mark.parametrize("algo", ["dqn", "ppo", "a2c", "qrdqn", "ppo_mask"])
def test_every_algorithm_leaves_rl_zoos_run_folder(tmp_path, algo):
    run = train(request(tmp_path, algo), "the command")
    assert run.path == tmp_path / algo / f"{ORACLE}_1"
    assert run.model.is_file() and run.best_model.is_file()
    assert [checkpoint.steps for checkpoint in run.checkpoints()] == [100, 200]
    kept = sorted(file.name for file in run.path.glob("*.pkl"))
    assert kept == (["rl_model_replay_buffer_200_steps.pkl"] if algo in ("dqn", "qrdqn") else [])
    with np.load(run.evaluations) as found:
        assert found["timesteps"].tolist() == [128, 256] and found["results"].shape == (2, 2)
    assert yaml.safe_load((run.parameters / "args.yml").read_text())["algo"] == algo
    assert run.config()["n_timesteps"] == 256
    assert (run.parameters / "command.txt").read_text() == "the command"
    picture = read_image(run.learning_curve)
    assert picture.shape[0] > 500 and picture.std() > 10
    model = load_model(algo, run.model)
    assert model.num_timesteps == 256
    episodes = list(play(model, ORACLE, {}, 30))
    assert sum(episode.length for episode in episodes) >= 30


def test_hyperparameters_reach_the_algorithm(tmp_path):
    given = {"td_target": "double", "loss": "huber", "n_steps": 3, "gamma": 0.8, "learning_rate": "lin_0.01"}
    import agents.training as training

    made = []
    original = training._learn
    training._learn = lambda plan, run, model, *rest: made.append(model) or original(plan, run, model, *rest)
    try:
        train(request(tmp_path, hyperparams=given, eval_freq=-1, n_timesteps=100, save_freq=-1))
        train(request(tmp_path, eval_freq=-1, n_timesteps=60, save_freq=-1, env_kwargs={"observation": "dict"},
                      hyperparams={"policy": "MultiInputPolicy"}))  # fmt: skip
        train(request(tmp_path, eval_freq=-1, n_timesteps=60, save_freq=-1))
    finally:
        training._learn = original
    agent, of_dicts, plain = made
    assert isinstance(agent, HuberDQN) and agent.td_target == "double"
    assert isinstance(agent.replay_buffer, LookupNStepReplayBuffer)
    assert (agent.replay_buffer.n_steps, agent.replay_buffer.gamma) == (3, 0.8)
    assert isinstance(agent.learning_rate, LinearSchedule) and agent.lr_schedule(0.5) == pytest.approx(0.005)
    assert isinstance(plain, SquaredErrorDQN) and isinstance(plain.replay_buffer, LookupReplayBuffer)
    assert not isinstance(of_dicts.replay_buffer, LookupReplayBuffer)


@pytest.mark.parametrize(("changed", "message"), [
    ({"algo": "sac"}, "'sac' is no algorithm"),
    ({"env": "Nothing-v0"}, "'Nothing-v0' is no environment"),
    ({"hyperparams": {"lerning_rate": 1}}, "did you mean 'learning_rate'"),
    ({"hyperparams": {"normalize": True}}, "RL Zoo's alone"),
    ({"hyperparams": {"policy_kwargs": "dict(net_arch=[3])"}}, "code is not run"),
    ({"hyperparams": {"learning_rate": "fast"}}, "give a number, or lin_NUMBER"),
    ({"hyperparams": {"loss": "cubic"}}, "'cubic' is no loss"),
    ({"hyperparams": {"td_target": "triple"}}, "no td_target"),
    ({"hyperparams": {"policy": "Mlp"}}, "no policy of dqn"),
    ({"n_timesteps": 0}, "n_timesteps is 0"),
    ({"env_kwargs": {"rewrd": "paper"}}, "did you mean 'reward'"),
    ({"exploration": "bold"}, "no exploration"),
    ({"trained_agent": "nowhere.zip"}, "There is no agent 'nowhere.zip'"),
    ({"conf_file": "nowhere.yml"}, "no hyper-parameter file"),
])  # fmt: skip
def test_what_is_wrong_is_named_before_anything_is_written(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        train(request(tmp_path / "logs", **changed))
    assert not list(tmp_path.glob("logs/*/*/*.csv"))


def test_going_on_from_an_agent(tmp_path):
    first = train(request(tmp_path, eval_freq=-1))
    second = train(request(tmp_path, eval_freq=-1, trained_agent=str(first.model), n_timesteps=20))
    assert second.path.name.endswith("_2")
    one, two = (load_model("dqn", run.model) for run in (first, second))
    assert two.num_timesteps == 20
    for a, b in zip(one.q_net.parameters(), two.q_net.parameters(), strict=True):
        assert (a == b).all()  # 20 steps are fewer than learning_starts
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be loaded as an agent"):
        train(request(tmp_path, trained_agent=str(bad)))


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    command = [sys.executable, "-m", "agents.cli", "train", "--algo", "dqn", "--env", ORACLE, "-n", "4000",
               "-f", str(tmp_path), "--save-freq", "200", "--eval-freq", "400", "--eval-episodes", "2",
               "--hyperparams", *(f"{key}:{value}" for key, value in SMALL.items())]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "dqn" / f"{ORACLE}_1"
    deadline = time.time() + 90
    while not (path / "rl_model_600_steps.zip").is_file():
        assert process.poll() is None and time.time() < deadline, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = RunFolder.open(path)
    last = run.checkpoints()[-1]
    assert 600 <= last.steps < 4000 and last.replay_buffer.is_file() and not run.model.is_file()
    # A checkpoint that was being written when the run was killed does not count.
    (path / f".rl_model_{last.steps + 200}_steps.zip.1.tmp").write_bytes(b"half")
    (path / f"rl_model_replay_buffer_{last.steps + 200}_steps.pkl").write_bytes(b"half")
    config = yaml.safe_load((run.parameters / "args.yml").read_text())
    config["n_timesteps"] = last.steps + 400  # so that the test ends soon
    (run.parameters / "args.yml").write_text(yaml.safe_dump(config))

    import agents.training as training

    seen = []
    original = training._learn

    def learn(plan, run, model, *rest):
        seen.append((model.num_timesteps, model.replay_buffer.size()))
        return original(plan, run, model, *rest)

    training._learn = learn
    try:
        resume(path)
    finally:
        training._learn = original
    # Stable-Baselines3 calls back before it stores the step's transitions.
    assert seen == [(last.steps, last.steps // 4 - 1)]
    agent = load_model("dqn", run.model)
    assert agent.num_timesteps == last.steps + 400
    assert agent.exploration_rate == pytest.approx(0.05)
    assert read_monitors(run.monitors)["steps"][-1] <= last.steps + 400
    assert [file.name for file in run.monitors] == ["0.monitor.csv", "1.monitor.csv"]
    with np.load(run.evaluations) as found:
        steps = found["timesteps"]
        assert steps[0] == 400 and steps[-1] > last.steps and (np.diff(steps) > 0).all()
    with pytest.raises(InputError, match="is complete"):
        resume(path)


def test_resuming_what_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="no folder of a run"):
        resume(tmp_path)
    run = train(request(tmp_path, save_freq=-1, eval_freq=-1, n_timesteps=40))
    run.model.unlink()
    with pytest.raises(InputError, match="has no checkpoint"):
        resume(run.path)


def test_monitors_are_read_as_curves(tmp_path):
    head = '#{"t_start": 0, "env_id": "x"}\nr,l,t,score,clean_score,action,success,queries\n'
    (tmp_path / "0.monitor.csv").write_text(
        head + "1.5,3,1,0.25,1.0,trigger,True,4\n-2,20,2,0.5,1.0,up,False,9\n1,"
    )
    found = read_monitors([tmp_path / "0.monitor.csv"])
    assert found["steps"].tolist() == [3, 23] and found["return"].tolist() == [1.5, -2]
    assert found["drop"].tolist() == [0.75, 0.5] and found["triggered"].tolist() == [1, 0]
    assert moving_average(np.array([2.0, 4.0, 6.0]), 5).tolist() == [2, 3, 4]


def test_dqn_learns_the_oracle(tmp_path):
    """A search of which the optimum is known: 0 of the planted part is left to be seen."""
    hyperparams = {"n_envs": 8, "learning_rate": 1e-3, "batch_size": 64, "gradient_steps": 4,
                   "learning_starts": 300, "target_update_interval": 200, "exploration_fraction": 0.5,
                   "policy_kwargs": {"net_arch": [128, 128]}}  # fmt: skip
    kwargs = {"reward": "difference", "observation": "features+region"}
    run = train(request(tmp_path, n_timesteps=4000, hyperparams=hyperparams, env_kwargs=kwargs, eval_freq=-1,
                        save_freq=-1))  # fmt: skip
    unseen = kwargs | {"targets": "oracle:7"}
    episodes = list(play(load_model("dqn", run.model), ORACLE, unseen, 400, seed=5))
    start, end = (np.mean([getattr(each, when)["score"] for each in episodes]) for when in ("first", "last"))
    assert start > 0.35 and end < 0.15, (start, end)
