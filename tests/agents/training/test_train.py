import html
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3.common.utils import LinearSchedule

from agents.cli.agents.train import key_values
from agents.dqn.algorithm import HuberDQN, SquaredErrorDQN, load_hyperparameters
from agents.dqn.algorithms import load_model
from agents.dqn.replay import LookupNStepReplayBuffer, LookupReplayBuffer
from agents.evaluation.playing import play
from agents.training.environment import TrainingEnvironment
from agents.training.learning_curves import cut_monitors, moving_average, read_monitors
from agents.training.run import TrainRequest, resume, train
from agents.training.runs import RunFolder
from agents.training.vector_envs import make_vector_env, split_keywords
from occlusion_env.envs.building import find_targets
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.oracle import optimum
from occlusion_env.scene.splits import split_targets
from occlusion_env.scene.targets import TargetSet
from tracker.data.images import read_image
from tracker.errors import InputError

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
    page = (run.path / "index.html").read_text("utf-8")
    assert f"Training of {algo} in {ORACLE}, run 1" in page and "<code>the command</code>" in page
    with np.load(run.evaluations) as found:
        for steps, returns in zip(found["timesteps"], found["results"], strict=True):
            assert f'<th scope="row">{steps}</th><td class="number">{returns.mean():.3f}</td>' in page
    assert ('<th scope="row">replay_buffer.pkl</th>' in page) is run.replay_buffer.is_file()
    model = load_model(algo, run.model)
    assert model.num_timesteps == 256
    episodes = list(play(model, ORACLE, {}, 30))
    assert sum(episode.length for episode in episodes) >= 30


def test_a_device_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no device 'cuda:77' on this machine"):
        train(request(tmp_path, device="cuda:77"))
    assert not list(tmp_path.iterdir())


def test_the_next_commands_name_the_algorithm_the_environment_and_own_code(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "next_reward.py").write_text("from occlusion_env.mdp.rewards import DifferenceReward as Mine\n")
    small = ("--n-envs", 4, "--eval-episodes", 1, "--n-eval-envs", 1, "-f", "my logs")
    own = ("--env-kwargs", "reward:next_reward:Mine")
    code, out, error = run("train", "--algo", "ppo", "--env", ORACLE, "-n", 32, "--eval-freq", -1, *small, *own,
                           "--hyperparams", "n_steps:8", "batch_size:8")  # fmt: skip
    folder = Path("my logs") / "ppo" / f"{ORACLE}_1"
    printed = shlex.join(["occlusion-search", "evaluate", "--agent", str(folder), "--data", "DIR", "--allow",
                          "next_reward:Mine"])  # fmt: skip
    assert code == 0 and f"  {printed}\n" in out, error
    page = html.unescape((tmp_path / folder / "index.html").read_text("utf-8"))
    assert printed in page
    program, *words = shlex.split(re.search("occlusion-search enjoy[^<]*", page)[0])
    code, out, error = run(*words, "-n", 3)
    assert code == 0 and "oracle" in out and (tmp_path / "episode.gif").is_file(), error
    # The targets that chose its best model are played at the end.
    code, out, error = run("train", "-n", 16, "--eval-freq", 8, *small, *own)
    assert code == 0 and "On the targets that chose its best model" in out, error


def test_other_environments_are_not_compared_with_the_belief(run):
    code, out, error = run("train", "--env", "CartPole-v1", "-n", 8, "--eval-freq", -1, "--n-envs", 4)
    assert code == 0 and "The agent, its learning curve" in out and "occlusion-search evaluate" not in out, error


def test_the_same_seed_gives_the_same_agent_and_the_same_evaluations(tmp_path):
    first, second, other = (
        train(request(tmp_path, save_freq=-1, env_kwargs={"drop": 0.95}, seed=seed)) for seed in (1, 1, 2)
    )
    looks = [np.load(run.evaluations)["results"] for run in (first, second, other)]
    assert np.array_equal(looks[0], looks[1]) and not np.array_equal(looks[0], looks[2])
    one, same, another = (load_model("dqn", run.model).q_net.state_dict() for run in (first, second, other))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != another[name]).any() for name in one)


def test_the_evaluations_of_a_masked_agent_mask(tmp_path, monkeypatch):
    import agents.training.run as training

    made, make = [], training.make_evaluations
    monkeypatch.setattr(training, "make_evaluations", lambda *args: made.append(make(*args)) or made[0])
    train(request(tmp_path, "ppo_mask", save_freq=-1))
    assert "MaskableEvalCallback" in [kind.__name__ for kind in type(made[0]).__mro__]


def test_the_evaluations_have_their_own_arguments(tmp_path):
    kwargs = {"max_steps": 9, "reward": "difference"}
    run = train(request(tmp_path, save_freq=-1, env_kwargs=kwargs, eval_env_kwargs={"max_steps": 3}, eval_freq=16))
    with np.load(run.evaluations) as found:
        assert found["ep_lengths"].max() == 3
    assert read_monitors(run.monitors)["length"].max() == 9


def test_the_device_is_the_environments_too_unless_it_has_one(tmp_path):
    assert request(tmp_path, device="cpu").resolve().env_kwargs["device"] == "cpu"
    given = request(tmp_path, device="cpu", env_kwargs={"device": "cuda:1"})
    assert given.resolve().env_kwargs["device"] == "cuda:1"
    assert "device" not in request(tmp_path).resolve().env_kwargs


def test_hyperparameters_reach_the_algorithm(tmp_path):
    given = {"td_target": "double", "loss": "huber", "n_steps": 3, "gamma": 0.8, "learning_rate": "lin_0.01"}
    import agents.training.run as training

    made = []
    original = training._train_in_folder
    training._train_in_folder = lambda asked, run, model, *rest: (
        made.append(model) or original(asked, run, model, *rest)
    )
    try:
        train(request(tmp_path, hyperparams=given, eval_freq=-1, n_timesteps=100, save_freq=-1))
        train(request(tmp_path, eval_freq=-1, n_timesteps=60, save_freq=-1, env_kwargs={"observation": "dict"},
                      hyperparams={"policy": "MultiInputPolicy"}))  # fmt: skip
        train(request(tmp_path, eval_freq=-1, n_timesteps=60, save_freq=-1))
    finally:
        training._train_in_folder = original
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
    ({"hyperparams": {"learning_rate": -1}}, "learning_rate is -1; it must be above 0"),
    ({"hyperparams": {"policy_kwargs": {"foo": 1}}}, r"dqn cannot be made .*'foo'"),
    ({"hyperparams": {"gamma": "two"}}, "gamma is 'two'; it must be a number"),
    ({"hyperparams": {"optimize_memory_usage": "no"}}, "optimize_memory_usage is 'no'; it must be true or false"),
    ({"hyperparams": {"batch_size": 0}}, "batch_size is 0; it must be a whole number"),
    ({"hyperparams": {"buffer_size": 1.5}}, "buffer_size is 1.5; it must be a whole number"),
    ({"hyperparams": {"learning_starts": 1.5}}, "learning_starts is 1.5; it must be a whole number"),
    ({"hyperparams": {"truncation_is_terminal": 1}}, "truncation_is_terminal is 1; it must be true or false"),
    ({"algo": "ppo", "hyperparams": {"truncation_is_terminal": True}}, "no hyper-parameter of ppo"),
    ({"hyperparams": {"replay_buffer_kwargs": {"feature_length": 3}}}, "'feature_length', which training sets"),
    ({"algo": "ppo", "hyperparams": {"n_epochs": True}}, "n_epochs is True; it must be a whole number"),
    ({"hyperparams": {"loss": "cubic"}}, "'cubic' is no loss"),
    ({"hyperparams": {"td_target": "triple"}}, "no td_target"),
    ({"hyperparams": {"policy": "Mlp"}}, "no policy of dqn"),
    ({"n_timesteps": 0}, "n_timesteps is 0"),
    ({"env_kwargs": {"rewrd": "paper"}}, "did you mean 'reward'"),
    ({"exploration": "bold"}, "no exploration"),
    ({"trained_agent": "nowhere.zip"}, "There is no agent 'nowhere.zip'"),
    ({"conf_file": "nowhere.yml"}, "no hyper-parameter file"),
    ({"algo": "ppo", "n_envs": 1, "hyperparams": {"n_steps": 1}}, "ppo cannot be made with these"),
    ({"env": "CartPole-v1", "env_kwargs": {"targets": "drawn"}}, "no argument 'targets' .--data"),
])  # fmt: skip
def test_what_is_wrong_is_named_before_anything_is_written(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        train(request(tmp_path / "logs", **changed))
    assert not list(tmp_path.iterdir())


def trained_model(folder, monkeypatch, **changed):
    """The model after training, with its replay buffer."""
    import agents.training.run as training

    made, original = [], training._train_in_folder
    monkeypatch.setattr(training, "_train_in_folder", lambda asked, run, model, *rest: (
        made.append(model) or original(asked, run, model, *rest)
    ))  # fmt: skip
    train(request(folder, eval_freq=-1, save_freq=-1, n_timesteps=80, **changed))
    monkeypatch.setattr(training, "_train_in_folder", original)
    return made[0]


@pytest.mark.parametrize("observation", ["features", "dict"])
@pytest.mark.parametrize("switch", [
    {"truncation_is_terminal": True}, {"replay_buffer_kwargs": {"handle_timeout_termination": False}},
])  # fmt: skip
def test_a_truncated_episode_is_terminal_where_algorithm_1_has_it_so(tmp_path, monkeypatch, observation, switch):
    """Line 18: the target of the last transition is its reward."""
    kwargs = {"env_kwargs": {"max_steps": 2, "observation": observation}}
    policy = {"policy": "MultiInputPolicy"} if observation == "dict" else {}
    plain = trained_model(tmp_path, monkeypatch, hyperparams=policy, **kwargs)
    agent = trained_model(tmp_path, monkeypatch, hyperparams=policy | switch, **kwargs)
    for model, terminal in ((plain, False), (agent, True)):
        buffer = model.replay_buffer
        ends = buffer.dones[: buffer.size()].astype(bool)
        truncated = ends & ~(buffer.actions[: buffer.size(), :, 0] == 8)
        assert truncated.any()
        rows, envs = np.nonzero(truncated)
        monkeypatch.setattr(np.random, "randint", lambda *args, envs=envs, **kwargs: envs)
        batch = buffer._get_samples(rows)
        monkeypatch.undo()
        assert (batch.dones == float(terminal)).all()
        assert torch.equal(model.expected(batch), batch.rewards) == terminal


def test_the_switch_holds_for_returns_over_n_steps_and_in_papers_file(tmp_path, monkeypatch):
    given = {"truncation_is_terminal": True, "n_steps": 2}
    agent = trained_model(tmp_path, monkeypatch, hyperparams=given, env_kwargs={"max_steps": 3})
    assert isinstance(agent.replay_buffer, LookupNStepReplayBuffer)
    assert not agent.replay_buffer.timeouts.any() and agent.replay_buffer.dones.any()
    assert load_hyperparameters("paper")["truncation_is_terminal"] is True
    first = train(request(tmp_path, eval_freq=-1, n_timesteps=40))
    again = trained_model(tmp_path, monkeypatch, hyperparams={"truncation_is_terminal": True},
                          trained_agent=str(first.model))  # fmt: skip
    assert not again.replay_buffer.handle_timeout_termination


def test_integral_floats_are_integers(tmp_path):
    """RL Zoo's files write `!!float 1e7` for counts."""
    file = tmp_path / "zoo.yml"
    file.write_text(f"""{ORACLE}:
  n_timesteps: !!float 1e2
  n_envs: 4.0
  policy: MlpPolicy
  buffer_size: !!float 1e3
  learning_starts: !!float 2e1
  batch_size: 16.0
  train_freq: 2.0
  gradient_steps: 1.0
  target_update_interval: !!float 1e2
  n_steps: 2.0
  max_grad_norm: 10.0
  gamma: 1.0
  policy_kwargs: {{net_arch: [8.0]}}
""")
    plan = TrainRequest(env=ORACLE, conf_file=str(file)).resolve()
    assert (plan.n_timesteps, plan.n_envs) == (100, 4) and type(plan.n_timesteps) is int
    for name in ("buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps", "n_steps",
                 "target_update_interval"):  # fmt: skip
        assert type(plan.arguments()[name]) is int, name
    assert type(plan.arguments()["gamma"]) is float
    run = train(TrainRequest(env=ORACLE, conf_file=str(file), log_folder=str(tmp_path), eval_freq=-1))
    assert load_model("dqn", run.model).num_timesteps == 104
    quantiles = {"policy_kwargs": {"n_quantiles": 5.0, "net_arch": {"pi": [3.0]}}, "train_freq": [4.0, "step"]}
    plan = request(tmp_path, "qrdqn", hyperparams=quantiles).resolve()
    assert plan.arguments()["policy_kwargs"] == {"n_quantiles": 5, "net_arch": {"pi": [3]}}
    assert type(plan.arguments()["policy_kwargs"]["n_quantiles"]) is int
    assert plan.arguments()["train_freq"] == (4, "step")


def videos_of(run):
    record = run.environment()
    return sorted(record["videos"]), sorted(record["selection_videos"])


def test_the_best_model_is_chosen_on_videos_that_are_not_trained_on(tmp_path, make_video, write_otb, monkeypatch):
    for number in range(7):
        write_otb(tmp_path / "data" / f"clip-{number}", make_video(frames=4, seed=number))
    kwargs = {"env": "OcclusionSearch-v0", "n_timesteps": 12, "save_freq": -1, "eval_freq": 8,
              "hyperparams": {"learning_starts": 4}}  # fmt: skip
    data = {"targets": str(tmp_path / "data"), "max_steps": 2, "drop": 0.1}
    seen = {}
    import agents.training.run as training

    def evaluations(plan, run, env, *rest):
        seen["selection"] = set(training.states_of(env).targets.videos)
        return made(plan, run, env, *rest)

    made = training.make_evaluations
    monkeypatch.setattr(training, "make_evaluations", evaluations)
    run = train(request(tmp_path, env_kwargs=data, **kwargs))
    training_videos, selection = videos_of(run)
    assert len(training_videos) == 6 and len(selection) == 1 and not set(training_videos) & set(selection)
    assert seen["selection"] == set(selection)
    everything = train(request(tmp_path, env_kwargs=data, **(kwargs | {"eval_freq": -1})))
    assert len(videos_of(everything)[0]) == 7 and videos_of(everything)[1] == []
    own = {"targets": str(tmp_path / "data" / "clip-0")}
    chosen = train(request(tmp_path, env_kwargs=data, eval_env_kwargs=own, **kwargs))
    assert len(videos_of(chosen)[0]) == 7 and videos_of(chosen)[1] == ["clip-0"]


def test_a_split_is_split_again_to_choose_the_best_model(tmp_path, make_video, write_otb):
    """An agent of `split:train` has not seen the videos of `split="test"`, not even when it was chosen."""
    for number in range(7):
        write_otb(tmp_path / f"clip-{number}", make_video(frames=3, seed=number))
    data = {"targets": str(tmp_path), "split": "train"}

    def parts(own):
        keywords = split_keywords("OcclusionSearch-v0", data, own)
        return [set(find_targets(each["targets"], each.get("split")).videos) for each in keywords]

    held_out = set(find_targets(str(tmp_path), "test").videos)
    training, selection = parts({})
    assert (len(training), len(selection)) == (5, 1) and not training & selection and len(held_out) == 1
    assert not (training | selection) & held_out
    assert parts({"split": "test"}) == [training | selection, held_out]
    own = str(tmp_path / "clip-0")
    assert parts({"targets": own}) == [training | selection, {"clip-0"}]


def test_generated_and_single_videos_are_split_too(make_video):
    assert split_targets("synthetic") == ("synthetic", "synthetic:1")
    assert split_targets("oracle:7") == ("oracle:7", "oracle:8")
    one = TargetSet.from_sequence(make_video(frames=10))
    training, selection = split_targets(one)
    assert training.ids + selection.ids == one.ids and len(selection) == 3
    with pytest.raises(InputError, match="one target alone"):
        split_targets(one.subset([0]))
    two = TargetSet.join(TargetSet.from_sequence(make_video(frames=3, seed=seed)) for seed in range(2))
    assert [set(each.videos) for each in split_targets(two)] == [{"noise-0"}, {"noise-1"}]
    many = TargetSet.join(TargetSet.from_sequence(make_video(frames=2, seed=seed)) for seed in range(18))
    assert [len(set(each.videos)) for each in split_targets(many)] == [15, 3]


def test_every_evaluation_has_the_same_episodes_fifty_by_default(tmp_path, monkeypatch):
    """A policy that does not learn has the same returns each time."""
    assert TrainRequest().eval_episodes >= 50
    frozen = {"learning_starts": 10_000}
    run = train(request(tmp_path, eval_freq=64, eval_episodes=6, n_timesteps=200, hyperparams=frozen))
    with np.load(run.evaluations) as found:
        assert len(found["results"]) == 3 and (found["results"] == found["results"][0]).all()
        assert len(np.unique(found["results"][0])) > 1


def test_a_run_goes_on_with_the_hyperparameters_and_videos_that_it_began_with(tmp_path, make_video, write_otb):
    data = tmp_path / "data"
    for number in range(2):
        write_otb(data / f"clip-{number}", make_video(frames=4, seed=number))
    file = tmp_path / "own.yml"
    file.write_text("OcclusionSearch-v0:\n  policy: MlpPolicy\n  gamma: 0.5\n  learning_starts: 4\n")
    run = train(TrainRequest(
        conf_file=str(file), n_timesteps=8, log_folder=str(tmp_path), eval_freq=-1, save_freq=4,
        env_kwargs={"targets": str(data), "max_steps": 2, "drop": 0.1},
    ))  # fmt: skip
    run.model.unlink()
    file.write_text("OcclusionSearch-v0:\n  policy: MlpPolicy\n  gamma: 0.7\n  learning_starts: 4\n")
    args = yaml.safe_load((run.parameters / "args.yml").read_text())
    (run.parameters / "args.yml").write_text(yaml.safe_dump(args | {"n_timesteps": 12}))
    resume(run.path)
    assert load_model("dqn", run.model).gamma == 0.5
    run.model.unlink()
    record = run.environment()
    run.write_environment(record | {"videos": {"clip-9": "0123"}})
    with pytest.raises(InputError, match=r"began with videos {'clip-9': '0123'} .*go on with {'clip-0': '"):
        resume(run.path)


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
    unfinished = path / f".rl_model_{last.steps + 200}_steps.zip.abcd1234.99999999-1.occlusion-search"
    unfinished.mkdir()
    (unfinished / f"rl_model_{last.steps + 200}_steps.zip").write_bytes(b"half")
    (path / f"rl_model_replay_buffer_{last.steps + 200}_steps.pkl").write_bytes(b"half")
    # What was noted after the checkpoint did not happen; the best look before it stays the best.
    with np.load(run.evaluations) as found:
        looks = dict(found)
    noted = {"timesteps": [401, last.steps + 1], "results": [[1e6] * 2, [2e6] * 2], "ep_lengths": [[3] * 2] * 2}
    order = np.argsort([*looks["timesteps"], *noted["timesteps"]])
    np.savez(run.evaluations, **{key: np.concatenate([looks[key], noted[key]])[order] for key in noted})
    best = run.best_model.read_bytes()
    with run.monitors[0].open("a") as log:
        log.write(f"-77,2,1,0,1,up,False,1,{last.steps + 4}\n")
    config = yaml.safe_load((run.parameters / "args.yml").read_text())
    config["n_timesteps"] = last.steps + 400  # so that the test ends soon
    (run.parameters / "args.yml").write_text(yaml.safe_dump(config))

    import agents.training.run as training

    seen = []
    original = training._train_in_folder

    def learn(plan, run, model, *rest):
        seen.append((model.num_timesteps, model.replay_buffer.size(), model.seed))
        return original(plan, run, model, *rest)

    training._train_in_folder = learn
    try:
        resume(path)
    finally:
        training._train_in_folder = original
    assert not unfinished.exists()
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
    assert not (run.path / "index.html").exists()
    assert load_model("dqn", resume(run.path).model).num_timesteps == 100


def test_nothing_is_left_among_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    train(request(tmp_path, save_freq=-1, eval_freq=-1, n_timesteps=40))
    assert not list((tmp_path / "temporary").iterdir())


def test_episodes_after_the_checkpoint_and_truncated_rows_are_cut(tmp_path):
    """Two environments: the lengths of the episodes after 30 steps add up to less than 30."""
    run = RunFolder.create(tmp_path, "dqn", ORACLE)
    head = '#{"t_start": 0, "env_id": "x"}\nr,l,t,timesteps\n'
    logs = [run.path / f"{number}.monitor.csv" for number in range(3)]
    written = ("1,5,1,10\n2,5,2,20\n3,1", "4,5,1,30\n5,6,2,32\n6,1,3,34\n", "7,9,1,40\n")
    for log, rows in zip(logs, written, strict=True):
        log.write_text(head + rows)
    assert cut_monitors(run, 30) == 3, "the next log's number"
    assert [log.read_text() for log in logs] == [head + "1,5,1,10\n2,5,2,20\n", head + "4,5,1,30\n", head]
    assert read_monitors(logs)["steps"].tolist() == [10, 20, 30]


def test_numbers_of_yaml_need_no_point(tmp_path):
    """`1e3` is a number in YAML 1.2 and text in YAML 1.1, which the parser has."""
    file = tmp_path / "own.yml"
    file.write_text(f"{ORACLE}:\n  n_timesteps: 1e3\n  batch_size: 1E+1\n  gamma: .5\n  learning_rate: 1e-3\n")
    plan = TrainRequest(env=ORACLE, conf_file=str(file), env_kwargs={"drop": 0.1}).resolve()
    assert plan.n_timesteps == 1000 and plan.arguments()["batch_size"] == 10
    assert (plan.arguments()["gamma"], plan.arguments()["learning_rate"]) == (0.5, 0.001)
    assert key_values("--env-kwargs", ("drop:5e-2", "targets:drawn:3", "name:'1e3'")) == {
        "drop": 0.05, "targets": "drawn:3", "name": "1e3",
    }  # fmt: skip
    file.write_text(f"{ORACLE}:\n  batch_size: '1e1'\n")
    with pytest.raises(InputError, match="batch_size is '1e1'; it must be a whole number"):
        TrainRequest(env=ORACLE, conf_file=str(file)).resolve()


def test_an_unknown_hyperparameter_is_answered_with_those_that_can_be_given():
    with pytest.raises(InputError, match="choose batch_size") as raised:
        TrainRequest(env=ORACLE, algo="ppo", hyperparams={"zzz": 1}).resolve()
    for name in ("seed", "device", "tensorboard_log", "_init_setup_model"):
        assert f" {name}," not in str(raised.value)
        with pytest.raises(InputError, match=f"'{name}' is no hyper-parameter of ppo"):
            TrainRequest(env=ORACLE, algo="ppo", hyperparams={name: 1}).resolve()


class Right:
    """Moves to the right, whatever it observes."""

    def __init__(self, observation_space):
        self.observation_space = observation_space

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.int64(0), None


@pytest.mark.parametrize("horizon", [7, 30])
def test_the_horizon_of_a_training_is_that_of_its_agent(tmp_path, horizon):
    """An agent that had 30 steps in training has 30 wherever it is judged, and its observations count to 30."""
    kwargs = {"max_episode_steps": horizon, "scorer": "occlusion_env.scene.oracle:OracleScorer"}
    run = train(request(tmp_path, n_timesteps=120, save_freq=-1, env_kwargs=kwargs))
    assert TrainingEnvironment.of_run(run).arguments.settings.max_steps == horizon
    assert max(read_monitors(run.monitors)["length"]) <= horizon
    envs = make_vector_env(ORACLE, 2, run.env_kwargs())
    assert envs.search.settings.max_steps == horizon
    envs.reset(seed=0)
    ends = [envs.step(np.array([0, 0]))[3].all() for _ in range(horizon)]
    assert ends == [False] * (horizon - 1) + [True]
    for kwargs in (run.env_kwargs(), TrainingEnvironment.of_run(run).record()["env_kwargs"]):
        (episode,) = play(Right(envs.single_observation_space), ORACLE, kwargs | {"targets": "oracle"}, horizon)
        assert episode.length == horizon


def test_a_terminal_step_and_a_bootstrapped_one_contradict_each_other(tmp_path):
    both = {"truncation_is_terminal": True, "replay_buffer_kwargs": {"handle_timeout_termination": True}}
    with pytest.raises(InputError, match="handle_timeout_termination contradict each other; give one"):
        train(request(tmp_path, hyperparams=both))
    assert not list(tmp_path.glob("*/*/*"))


def test_a_log_without_its_head_is_removed(tmp_path):
    """A resumed run was killed as it opened its log."""
    run = RunFolder.create(tmp_path, "dqn", ORACLE)
    head = '#{"t_start": 0, "env_id": "x"}\nr,l,t,timesteps\n'
    (run.path / "0.monitor.csv").write_text(head + "1,5,1,10\n")
    for rest in ("", head.splitlines()[0]):
        (run.path / "1.monitor.csv").write_text(rest)
        assert cut_monitors(run, 30) == 1, "the number is free again"
        assert read_monitors(run.monitors)["steps"].tolist() == [10]


def test_an_environment_without_masks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'CartPole-v1' has no action masks; choose another --algo"):
        train(TrainRequest("ppo_mask", env="CartPole-v1", n_timesteps=64, log_folder=str(tmp_path / "logs")))
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("algo", ["dqn", "ppo_mask"])
def test_a_resumed_run_is_evaluated_at_the_steps_of_an_uninterrupted_one(tmp_path, algo):
    run = train(request(tmp_path, algo))
    run.model.unlink()
    run.checkpoints()[-1].model.unlink()
    assert run.checkpoints()[-1].steps == 100
    if algo == "dqn":
        (run.path / "rl_model_replay_buffer_200_steps.pkl").rename(run.checkpoints()[0].replay_buffer)
    run.best_model.unlink()
    resume(run.path)
    assert run.best_model.is_file()
    with np.load(run.evaluations) as found:
        assert found["timesteps"].tolist() == [128, 256]


def test_an_evaluation_that_is_cut_off_leaves_the_earlier_files(tmp_path, monkeypatch):
    """The second evaluation's files are cut off in the middle of a write, then the run goes on."""

    def save(file, **arrays):
        if len(arrays["timesteps"]) == 2:
            Path(f"{file}.npz").write_bytes(b"half")
            raise KeyboardInterrupt
        savez(file, **arrays)

    savez = np.savez
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", save)
        with pytest.raises(KeyboardInterrupt):
            train(request(tmp_path))
    run = RunFolder.find(tmp_path, "dqn", ORACLE)
    with np.load(run.evaluations) as found:
        assert found["timesteps"].tolist() == [128]
    resume(run.path)
    assert not (run.path / ".evaluation").exists() and load_model("dqn", run.best_model)


def test_the_log_says_when_an_episode_ended_with_several_environments(tmp_path, monkeypatch):
    """Resumed at 100 of 400 steps: no episode of the log ended between them in the first part."""
    run = train(request(tmp_path, n_timesteps=400, save_freq=100, eval_freq=-1, env_kwargs={"max_steps": 7}))
    before = read_monitors(run.monitors)
    assert (np.diff(before["steps"]) >= 0).all() and before["steps"][-1] <= 400
    assert (before["steps"] % 4 == 0).all() and before["steps"][0] < 7 * 4 + 1
    run.model.unlink()
    for checkpoint in run.checkpoints()[1:]:
        checkpoint.model.unlink()
    assert cut_monitors(run, 100) == 1
    kept = read_monitors(run.monitors)
    assert len(kept["steps"]) == (before["steps"] <= 100).sum() < (np.cumsum(before["length"]) <= 100).sum()


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
