"""An agent is given the environment that its card or its run records, by every command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN

import occlusion_env
from agents.dqn.algorithms import load_model
from agents.evaluation.comparison import compare
from agents.evaluation.methods import query_methods
from agents.hard_positives.generation import HardPositiveGenerator
from agents.hard_positives.transforms import HardPositiveBatch
from agents.policies.belief import BeliefObservation, FittedPrior, shipped_prior
from agents.policies.loading import load_agent, load_policy
from agents.policies.pretrained import PRETRAINED, load_pretrained, save_pretrained
from agents.training.environment import TrainingEnvironment
from agents.training.run import TrainRequest, train
from agents.training.runs import RunFolder
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import Search
from occlusion_env.search.observations import OBSERVATIONS
from tracker.errors import InputError


def exported(folder: Path, name: str, env_id: str = occlusion_env.ENV_ID, **kwargs: object) -> Path:
    """An agent with random weights, exported as `export-agent` does it."""
    env = gym.make(env_id, device="cpu", **kwargs)
    unwrapped = env.unwrapped
    arguments = SearchArguments.from_keywords({"device": "cpu", **kwargs})
    record = TrainingEnvironment.of_search(arguments, unwrapped.search, unwrapped.targets)
    model = DQN("MlpPolicy", env, policy_kwargs={"net_arch": [4]}, buffer_size=10, seed=3)
    save_pretrained(folder / f"{name}.safetensors", model, record, {"algo": "dqn"})
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="module")
def agents(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("agents")
    return {
        layer: exported(folder, layer, layer=layer, max_steps=3, occluder=occluder, precision="fp32")
        for layer, occluder in (("fc6", "background"), ("pool5", "noise"))
    }


@pytest.fixture
def targets(make_video) -> TargetSet:
    return TargetSet.from_sequence(make_video(frames=3))


@pytest.fixture
def data(tmp_path, make_video, write_otb) -> Path:
    write_otb(tmp_path / "data" / "clip", make_video(frames=3))
    return tmp_path / "data"


def test_the_card_holds_what_the_agent_was_trained_in(agents) -> None:
    card = json.loads(agents["fc6"].with_suffix(".json").read_text())
    assert card["layer"] == card["env_kwargs"]["layer"] == "fc6" and card["weights"].startswith("sha256:")
    for name in ("scorer", "occluder", "observation", "features", "max_steps", "reward", "max_area"):
        assert name in card["env_kwargs"], name
    assert list(card["videos"]) == ["synthetic-0"]
    again = load_pretrained(agents["fc6"]).environment
    assert again.record() == {name: card[name] for name in again.record()}


def test_an_agent_gets_its_own_layer_wherever_it_acts(agents, targets) -> None:
    """fc6 and fc7 of the slim net are equally long, so that a wrong one breaks nothing visibly."""
    arguments = SearchArguments(device="cpu", precision="fp32")
    networks = load_networks(arguments)
    assert networks.features.layer == "fc7"
    agent = load_agent(str(agents["fc6"]), device="cpu")
    assert agent.features.layer == "fc6"
    seen = []
    watched = replace(agent, observe=lambda search: seen.append(search.features.layer) or search.observe())
    compare(networks, list(targets), [watched], methods={})
    assert set(seen) == {"fc6"}
    own = HardPositiveGenerator(agent, networks.scorer)
    assert own.features.layer == "fc6" and len(list(own.of_targets(targets))) == 2
    wrong = HardPositiveGenerator(agent, networks.scorer, features=networks.features)
    with pytest.raises(InputError, match=r"fc6.safetensors' was trained with layer fc6 and is given fc7"):
        list(wrong.of_targets(targets))


def test_a_transform_shows_an_agent_its_own_layer(agents) -> None:
    agent = load_agent(str(agents["fc6"]), device="cpu")
    seen = []
    watched = replace(agent, observe=lambda search: seen.append(search.features.layer) or search.observe())
    scorer = load_networks(SearchArguments(device="cpu", precision="fp32")).scorer
    images = torch.randint(256, (2, 3, 60, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[10.0, 10.0, 30.0, 30.0]] * 2)
    covered = HardPositiveBatch(watched, scorer, p=1.0)(images, boxes)
    assert set(seen) == {"fc6"} and (covered != images).any()


def test_other_weights_and_another_observation_are_refused_by_name(agents, targets, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    import tracker

    shipped = Path(tracker.__file__).parent / "weights" / "slim.safetensors"
    state = load_file(shipped)
    save_file(state | {"conv1.bias": state["conv1.bias"] + 1}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"was trained with weights sha256:\w+ and is given sha256:\w+"):
        load_agent(str(agents["fc6"]), device="cpu", weights={"slim": str(tmp_path / "other.safetensors")})
    for precision in ("fp32", "bf16"):
        features = load_networks(SearchArguments(device="cpu", layer="fc6", precision=precision)).features
        load_agent(str(agents["fc6"]), device="cpu").trained._check_features(features, "x")
    agent = load_agent(str(agents["fc6"]), device="cpu")
    scorer = load_networks(SearchArguments(device="cpu", precision="fp32")).scorer
    for name, value in (("observation", "features+region"), ("history", 9), ("context", 1.5), ("state", "roi")):
        settings = SearchArguments(**{"max_steps": 3, name: value}).settings
        said = rf"was trained with {name} \S+ and is given {re.escape(str(value))}"
        with pytest.raises(InputError, match=said):
            list(HardPositiveGenerator(agent, scorer, settings=settings).of_targets(targets))


def test_generate_takes_layer_and_occluder_from_the_card(run, agents, data, tmp_path) -> None:
    """An agent on pool5 (2,304 numbers) once broke here, as the features were fc7's."""
    given = ("generate", "--data", data, "--agent", agents["pool5"], "--device", "cpu", "--precision", "fp32")
    code, _, err = run(*given, "--out", tmp_path / "a")
    assert code == 0 and "warning" not in err, err
    lines = (tmp_path / "a" / "metadata.jsonl").read_text().splitlines()
    assert {json.loads(line)["occluder"]["kind"] for line in lines} == {"noise"}
    code, _, err = run(*given, "--out", tmp_path / "b", "--occluder", "mean")
    assert code == 0 and "warning: " in err and "was trained with the occluder noise and acts on mean" in err


def test_an_agent_of_the_second_search_finds_patches_and_no_regions(run, data, tmp_path) -> None:
    patch = exported(tmp_path, "patch", occlusion_env.BACKGROUND_ENV_ID, max_steps=3, drop=0.02, step=0.4)
    region = exported(tmp_path, "region", max_steps=3)
    command = ["generate", "--data", data, "--device", "cpu", "--out", tmp_path / "out"]
    code, _, errors = run(*command, "--agent", "random", "--patch-agent", patch)
    assert code == 0, errors
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    for found in (json.loads(line)["background"] for line in lines):
        assert 1 <= len(found["actions"]) <= 3 and 1 <= found["queries"] <= 4
    assert load_pretrained(patch).environment.searches == "patch"
    for more, name, trained, wanted in (
        (["--agent", "random", "--patch-agent", region], "region", "region", "patch"),
        (["--agent", patch], "patch", "patch", "region"),
    ):
        code, _, errors = run(*command[:-1], tmp_path / "other", *more)
        message = f"The agent '{name}' was trained to search for a {trained}, and a {wanted} is searched for; give"
        assert code == 2 and message in " ".join(errors.split()), errors
    code, _, errors = run(
        "evaluate", "--data", data, "--agent", patch, "--device", "cpu", "--out", tmp_path / "ev"
    )
    assert code == 2 and "'patch' was trained to search for a patch" in " ".join(errors.split()), errors
    assert not (tmp_path / "ev").exists()
    old = {
        name: value for name, value in load_pretrained(region).environment.record().items() if name != "searches"
    }
    assert TrainingEnvironment.from_record(old).searches == "region"
    with pytest.raises(InputError, match="searches is 'colour'; it must be region or patch"):
        TrainingEnvironment.from_record({**old, "searches": "colour"})


def test_train_names_the_commands_of_the_second_search(run, data, tmp_path) -> None:
    """A run of `BackgroundSearch-v0` is watched there and finds patches; `evaluate` searches for regions."""
    command = ["train", "--algo", "ppo", "--env", "BackgroundSearch-v0", "--data", data, "--device", "cpu"]
    command += ["--env-kwargs", "drop:0.02", "max_steps:3", "--hyperparams", "n_steps:4", "batch_size:4"]
    code, printed, errors = run(*command, "-n", 8, "--n-envs", 2, "--eval-freq", -1, "--out", tmp_path / "logs")
    assert code == 0, errors
    folder = tmp_path / "logs" / "ppo" / "BackgroundSearch-v0_1"
    page = (folder / "index.html").read_text()
    for text in (printed, page):
        assert "occlusion-search generate --patch-agent" in text and "occlusion-search evaluate" not in text
    assert "--env BackgroundSearch-v0 --gif" in page
    assert json.loads((folder / "BackgroundSearch-v0" / "environment.json").read_text())["searches"] == "patch"
    given = ["generate", "--data", data, "--device", "cpu", "--agent", "random", "--out", tmp_path / "out"]
    code, _, errors = run(*given, "--patch-agent", folder)
    assert code == 0, errors


def test_evaluate_refuses_another_layer_and_takes_the_occluder(run, agents, data, tmp_path) -> None:
    given = (
        "evaluate", "--data", data, "--per-sequence", 1, "--seeds", 1, "--checks", "none",
        "--device", "cpu", "--agent", agents["pool5"], "--json", tmp_path / "a.json",
    )  # fmt: skip
    code, _, err = run(*given, "--layer", "fc7", "--out", tmp_path / "a")
    assert code == 2 and "was trained with layer pool5 and --layer is fc7" in err
    code, _, err = run(*given, "--out", tmp_path / "a")
    assert code == 0, err
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["occluder"] == "noise" and content["agents"]["pool5"]["steps"] <= 3


def test_enjoy_refuses_another_layer_and_names_both(run, agents) -> None:
    given = ("enjoy", "--agent", agents["fc6"], "--data", "drawn", "-n", 1, "--device", "cpu")
    code, _, err = run(*given, "--env-kwargs", "layer:fc7")
    assert code == 2 and "was trained with layer fc6 and is given fc7" in err
    code, out, err = run(*given)
    assert code == 0 and "1 episodes" in out, err


def test_export_ships_the_model_that_evaluate_judges(run, tmp_path) -> None:
    small = {"learning_starts": 8, "policy_kwargs": {"net_arch": [4]}}
    found = train(TrainRequest(
        env="OcclusionSearchOracle-v0", n_timesteps=60, hyperparams=small, eval_freq=20, eval_episodes=2,
        log_folder=str(tmp_path / "logs"),
    ))  # fmt: skip
    wanted = load_model("dqn", found.best_model)
    code, out, err = run("export-agent", "--agent", found.path, "--out", tmp_path / "a.safetensors")
    assert code == 0 and "best_model.zip" in out, err
    card = json.loads((tmp_path / "a.json").read_text())
    assert card["model"] == "best_model.zip" and card["steps"] == wanted.num_timesteps
    seen = np.random.default_rng(0).normal(size=(60, *wanted.observation_space.shape)).astype(np.float32)
    exported_policy = load_pretrained(tmp_path / "a.safetensors").policy
    evaluated = load_policy(found.path, device="cpu")
    assert evaluated.name.endswith("best_model")
    for policy in (exported_policy, evaluated.policy):
        assert np.array_equal(
            policy.predict(seen, deterministic=True)[0], wanted.predict(seen, deterministic=True)[0]
        )
    assert card["videos"] and card["selection_videos"] and not set(card["videos"]) & set(card["selection_videos"])


def test_the_shipped_card_says_what_the_agent_was_trained_on() -> None:
    card = load_pretrained(PRETRAINED).card
    assert len(card["videos"]) == 15 and len(card["selection_videos"]) == 3
    assert card["env_kwargs"]["observation"] == "belief"
    assert {"layer", "weights", "env_kwargs", "recipe"} <= set(card)


def test_a_model_with_a_schedule_of_another_package_is_played(tmp_path, monkeypatch) -> None:
    """As RL Zoo's `lin_5e-4`: its class need not be there."""
    import sys
    import types

    module = types.ModuleType("elsewhere")
    exec("class Linear:\n    def __call__(self, progress):\n        return progress", module.__dict__)
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    module.Linear.__module__ = "elsewhere"
    env = gym.make("OcclusionSearchOracle-v0")
    model = DQN("MlpPolicy", env, learning_rate=module.Linear(), policy_kwargs={"net_arch": [4]}, buffer_size=10)
    model.save(tmp_path / "dqn.zip")
    monkeypatch.delitem(sys.modules, "elsewhere")
    loaded = load_model("dqn", tmp_path / "dqn.zip", "cpu")
    seen = np.ones((1, *env.observation_space.shape), np.float32)
    assert loaded.predict(seen, deterministic=True)[0] == model.predict(seen, deterministic=True)[0]
    assert load_agent(str(tmp_path / "dqn.zip"), device="cpu").name == "dqn"


def test_a_run_of_rl_zoo_is_read_without_running_anything(tmp_path) -> None:
    """RL Zoo writes ordered mappings as Python objects."""
    run = RunFolder.create(tmp_path, "dqn", "OcclusionSearchOracle-v0")
    ordered = "!!python/object/apply:collections.OrderedDict\n- - - algo\n    - dqn\n  - - env\n    - {env}\n"
    ordered += "  - - env_kwargs\n    - max_steps: 4\n  - - tuple\n    - !!python/tuple [1, 2]\n"
    ordered += "  - - activation_fn\n    - !!python/name:torch.nn.modules.activation.ReLU ''\n"
    (run.parameters / "args.yml").write_text(ordered.format(env=run.env_id))
    config = "!!python/object/apply:collections.OrderedDict\n- - - gamma\n    - 0.9\n  - - env_kwargs\n"
    (run.parameters / "config.yml").write_text(config + "    - history: 3\n")
    found = RunFolder.open(run.path)
    assert found == run and found.env_kwargs() == {"history": 3, "max_steps": 4} and found.environment() is None
    assert found.arguments()["tuple"] == [1, 2]
    (run.parameters / "config.yml").write_text(config + "    - {}\n  - - normalize\n    - true\n")
    with pytest.raises(InputError, match="RL Zoo's 'normalize'"):
        found.agent_file()
    for bad in ("!!python/object/apply:os.system [ls]", "!!python/object/apply:collections.OrderedDict [1]",
                "!!python/name:os.system"):  # fmt: skip
        (run.parameters / "config.yml").write_text(bad + "\n")
        with pytest.raises(InputError, match="no YAML of plain values"):
            found.config()


def test_enjoy_plays_a_run_of_rl_zoo(run, tmp_path) -> None:
    small = {"learning_starts": 8, "policy_kwargs": {"net_arch": [4]}}
    found = train(TrainRequest(
        env="OcclusionSearchOracle-v0", n_timesteps=20, hyperparams=small, eval_freq=-1,
        log_folder=str(tmp_path / "zlogs"), env_kwargs={"max_steps": 3},
    ))  # fmt: skip
    (found.parameters / "environment.json").unlink()
    for name in ("args.yml", "config.yml"):
        plain = found.arguments() if name == "args.yml" else found.config()
        pairs = "".join(f"  - - {key}\n    - {json.dumps(value)}\n" for key, value in plain.items())
        text = "!!python/object/apply:collections.OrderedDict\n-" + pairs[1:]
        (found.parameters / name).write_text(text)
    code, out, err = run("enjoy", "--env", "OcclusionSearchOracle-v0", "-f", tmp_path / "zlogs", "-n", 6)
    assert code == 0 and "; 3 actions" in out, err


class OtherPrior(BeliefObservation):
    """The belief with another prior of the same matcher."""

    def prior(self) -> FittedPrior:
        fitted = super().prior()
        return replace(fitted, prior=replace(fitted.prior, offset=fitted.prior.offset + 0.01))


class OtherMatchersPrior(OtherPrior):
    """The belief with the prior of another matcher."""

    def prior(self) -> FittedPrior:
        fitted = super().prior()
        return replace(fitted, card={**fitted.card, "matcher": "Other"})


def test_an_agent_starts_where_it_was_trained_to(tmp_path, targets) -> None:
    """At the constant region of the prior; its card holds the price too, and no split of its own videos."""
    kwargs = {"observation": "belief", "start": "prior", "reward": "record", "query_price": 0.002, "history": 0}
    file = exported(tmp_path, "agent", split="test", max_steps=2, **kwargs)
    card = json.loads(file.with_suffix(".json").read_text())
    assert {name: card["env_kwargs"][name] for name in kwargs} == kwargs and "split" not in card["env_kwargs"]
    assert list(card["videos"]) == ["synthetic-1"]
    networks = load_networks(SearchArguments(device="cpu"))
    methods = query_methods(networks.scorer, shipped_prior(networks.scorer, RegionLimits()), 1)
    found = compare(networks, list(targets), [load_agent(file)], methods={"constant": methods["constant"]})
    for episode, region in zip(found.episodes["agent"], found.trials["constant"].regions, strict=True):
        assert np.array_equal(episode.trail[0], region)


def test_an_agent_is_refused_another_prior_of_its_matcher(monkeypatch) -> None:
    """The shipped agent's card holds the shipped prior; that of another matcher is in its own units."""
    trained = load_pretrained(PRETRAINED, "cpu").environment
    parts = load_networks(replace(trained.arguments, device="cpu"))

    def search() -> Search:
        return Search(1, parts.scorer, parts.features, trained.arguments.settings)

    assert trained.prior == search().observation.prior_record
    assert TrainingEnvironment.from_record(trained.record()) == trained
    trained.check(search(), "The agent")
    monkeypatch.setitem(OBSERVATIONS, "belief", OtherPrior)
    with pytest.raises(
        InputError, match=f"The agent was trained with prior {trained.prior['digest']} and is given"
    ):
        trained.check(search(), "The agent")
    monkeypatch.setitem(OBSERVATIONS, "belief", OtherMatchersPrior)
    trained.check(search(), "The agent")
    for wrong in ("text", {"digest": "0"}):
        with pytest.raises(InputError, match="says prior is"):
            TrainingEnvironment.from_record({**trained.record(), "prior": wrong})
