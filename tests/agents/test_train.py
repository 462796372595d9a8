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
from agents.training import TrainRequest, _cut_monitors, _plan, load_model, make_vector_env, resume, train
from occlusion_env.actions import RegionLimits
from occlusion_env.oracle import optimum
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


def test_a_device_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no device 'cuda:77' on this machine"):
        train(request(tmp_path, device="cuda:77"))
    assert not list(tmp_path.iterdir())


def test_the_same_seed_gives_the_same_agent_and_the_same_looks_at_it(tmp_path):
    first, second, other = (
        train(request(tmp_path, save_freq=-1, env_kwargs={"drop": 0.95}, seed=seed)) for seed in (1, 1, 2)
    )
    looks = [np.load(run.evaluations)["results"] for run in (first, second, other)]
    assert np.array_equal(looks[0], looks[1]) and not np.array_equal(looks[0], looks[2])
    one, same, another = (load_model("dqn", run.model).q_net.state_dict() for run in (first, second, other))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != another[name]).any() for name in one)


def test_the_looks_at_a_masked_agent_mask(tmp_path, monkeypatch):
    import agents.training as training

    made, make = [], training._evaluations
    monkeypatch.setattr(training, "_evaluations", lambda *args: made.append(make(*args)) or made[0])
    train(request(tmp_path, "ppo_mask", save_freq=-1))
    assert type(made[0]).__name__ == "MaskableEvalCallback"


def test_the_looks_have_arguments_of_their_own(tmp_path):
    kwargs = {"max_steps": 9, "reward": "difference"}
    run = train(request(tmp_path, save_freq=-1, env_kwargs=kwargs, eval_env_kwargs={"max_steps": 3}, eval_freq=16))
    with np.load(run.evaluations) as found:
        assert found["ep_lengths"].max() == 3
    assert read_monitors(run.monitors)["length"].max() == 9


def test_the_device_is_the_environments_too_unless_it_has_one(tmp_path):
    assert _plan(request(tmp_path, device="cpu")).env_kwargs["device"] == "cpu"
    given = request(tmp_path, device="cpu", env_kwargs={"device": "cuda:1"})
    assert _plan(given).env_kwargs["device"] == "cuda:1"
    assert "device" not in _plan(request(tmp_path)).env_kwargs


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
    assert plain.replay_buffer.buffer_size * 4 == 60, "no memory for more steps than there will be"
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
    ({"hyperparams": {"learning_rate": -1}}, r"dqn cannot be made .*learning rate: -1"),
    ({"hyperparams": {"policy_kwargs": {"foo": 1}}}, r"dqn cannot be made .*'foo'"),
    ({"hyperparams": {"gamma": "two"}}, "gamma is 'two'; it must be a number"),
    ({"hyperparams": {"optimize_memory_usage": "no"}}, "optimize_memory_usage is 'no'; it must be true or false"),
    ({"hyperparams": {"batch_size": 0}}, "batch_size is 0; it must be a whole number"),
    ({"hyperparams": {"buffer_size": 1.5}}, "buffer_size is 1.5; it must be a whole number"),
    ({"algo": "ppo", "hyperparams": {"n_epochs": True}}, "n_epochs is True; it must be a whole number"),
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
    assert not list(tmp_path.glob("logs/*/*"))


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
    assert RunFolder.find(tmp_path, "dqn", ORACLE) == second, "what could not start leaves no folder"


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
    # What was noted after the checkpoint did not happen; the best look before it stays the best.
    with np.load(run.evaluations) as found:
        looks = dict(found)
    noted = {"timesteps": [401, last.steps + 1], "results": [[1e6] * 2, [2e6] * 2], "ep_lengths": [[3] * 2] * 2}
    order = np.argsort([*looks["timesteps"], *noted["timesteps"]])
    np.savez(run.evaluations, **{key: np.concatenate([looks[key], noted[key]])[order] for key in noted})
    best = run.best_model.read_bytes()
    with run.monitors[0].open("a") as log:
        log.write(f"-77,{last.steps},1,0,1,up,False,1\n")
    config = yaml.safe_load((run.parameters / "args.yml").read_text())
    config["n_timesteps"] = last.steps + 400  # so that the test ends soon
    (run.parameters / "args.yml").write_text(yaml.safe_dump(config))

    import agents.training as training

    seen = []
    original = training._learn

    def learn(plan, run, model, *rest):
        seen.append((model.num_timesteps, model.replay_buffer.size(), model.seed))
        return original(plan, run, model, *rest)

    training._learn = learn
    try:
        resume(path)
    finally:
        training._learn = original
    # Stable-Baselines3 calls back before it stores the step's transitions.
    assert seen == [(last.steps, last.steps // 4 - 1, last.steps)], "new draws, not those of the start"
    agent = load_model("dqn", run.model)
    assert agent.num_timesteps == last.steps + 400
    assert agent.exploration_rate == pytest.approx(0.05)
    episodes = read_monitors(run.monitors)
    assert episodes["steps"][-1] <= last.steps + 400 and episodes["return"].min() > -77
    assert [file.name for file in run.monitors] == ["0.monitor.csv", "1.monitor.csv"]
    with np.load(run.evaluations) as found:
        steps = found["timesteps"]
        assert steps[:2].tolist() == [400, 401] and steps[-1] > last.steps and (np.diff(steps) > 0).all()
        assert last.steps + 1 not in steps
    assert run.best_model.read_bytes() == best
    with pytest.raises(InputError, match="is complete"):
        resume(path)


def test_an_interrupted_run_leaves_a_checkpoint_to_go_on_from(tmp_path, monkeypatch):
    learn, calls = SquaredErrorDQN.train, []

    def interrupted(self, *args, **kwargs):
        calls.append(self.num_timesteps)
        if len(calls) == 5:
            raise KeyboardInterrupt
        learn(self, *args, **kwargs)

    monkeypatch.setattr(SquaredErrorDQN, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, eval_freq=-1, n_timesteps=100, save_freq=1000))
    run = RunFolder.find(tmp_path, "dqn", ORACLE)
    (checkpoint,) = run.checkpoints()
    assert checkpoint.steps == calls[-1] and checkpoint.replay_buffer.is_file() and not run.model.is_file()
    assert load_model("dqn", resume(run.path).model).num_timesteps == 100


def test_nothing_is_left_among_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    train(request(tmp_path, save_freq=-1, eval_freq=-1, n_timesteps=40))
    assert not list((tmp_path / "temporary").iterdir())


def test_episodes_after_the_checkpoint_and_half_written_ones_are_cut(tmp_path):
    run = RunFolder.create(tmp_path, "dqn", ORACLE)
    head = '#{"t_start": 0, "env_id": "x"}\nr,l,t\n'
    logs = [run.path / f"{number}.monitor.csv" for number in range(3)]
    for log, rows in zip(logs, ("1,10,1\n2,10,2\n3,1", "4,5,1\n5,6,2\n6,1,3\n", "7,9,1\n"), strict=True):
        log.write_text(head + rows)
    assert _cut_monitors(run, 30) == 3, "the next log's number"
    assert [log.read_text() for log in logs] == [head + "1,10,1\n2,10,2\n", head + "4,5,1\n", head]


def test_resuming_what_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="no folder of a run"):
        resume(tmp_path)
    run = train(request(tmp_path, save_freq=-1, eval_freq=-1, n_timesteps=40))
    run.model.unlink()
    with pytest.raises(InputError, match="has no checkpoint"):
        resume(run.path)


def test_monitors_are_read_as_curves(tmp_path):
    head = '#{"t_start": 0, "env_id": "x"}\nr,l,t,score,clean_score,action_index,is_success,queries\n'
    (tmp_path / "0.monitor.csv").write_text(head + "1.5,3,1,0.25,1.0,8,True,4\n-2,20,2,0.5,1.0,2,False,9\n1,")
    found = read_monitors([tmp_path / "0.monitor.csv"])
    assert (
        found["length"].tolist() == [3, 20]
        and found["steps"].tolist() == [3, 23]
        and found["return"].tolist() == [1.5, -2]
    )
    assert found["drop"].tolist() == [0.75, 0.5] and found["triggered"].tolist() == [1, 0]
    (tmp_path / "1.monitor.csv").write_text(head + "0,5,4,0.5,1.0,2,False,9\n")
    resumed = read_monitors([tmp_path / f"{number}.monitor.csv" for number in range(2)])
    assert resumed["seconds"].tolist() == [1, 2, 6], "each log begins anew"
    assert resumed["steps"].tolist() == [3, 23, 28]
    assert moving_average(np.array([2.0, 4.0, 6.0]), 5).tolist() == [2, 3, 4]


class AtRandom:
    """Draws from the nine actions."""

    observation_space = make_vector_env(ORACLE, 1, {}).single_observation_space

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.rng.integers(9), None


def test_dqn_finds_the_oracles_optimum(tmp_path):
    """A search whose optimum is known, on targets never seen: it goes there, and pulls the trigger there."""
    hyperparams = {"n_envs": 8, "learning_rate": 1e-3, "batch_size": 64, "gradient_steps": 4,
                   "learning_starts": 500, "target_update_interval": 250, "exploration_fraction": 0.5,
                   "policy_kwargs": {"net_arch": [128, 128]}}  # fmt: skip
    run = train(request(tmp_path, n_timesteps=6000, hyperparams=hyperparams, eval_freq=-1, save_freq=-1))

    def judge(model):
        last = [each.last for each in play(model, ORACLE, {"targets": "oracle:1"}, 400, seed=5)]
        solved = [info["action_index"] == 8 and info["is_success"] for info in last]
        return np.mean([info["score"] for info in last]), np.mean(solved)

    random_score, random_solved = judge(AtRandom())
    score, solved = judge(load_model("dqn", run.model))
    assert random_score > 0.4 and random_solved < 0.3
    assert score < optimum(RegionLimits()) + 0.15 and solved > 0.7, (score, solved)
