"""Values outside of their range are refused, and what is not finite is neither saved nor used."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agents.dqn.algorithms import load_model
from agents.policies.belief import DropPredictor, FittedPrior, load_prior, save_prior
from agents.policies.loading import load_agent
from agents.training.run import TrainRequest, train
from occlusion_env import ORACLE_ENV_ID
from occlusion_env.search.belief import Prior
from tracker.errors import InputError
from tracker.models.backbones import Slim, load_backbone, save_weights
from tracker.models.siamfc import SiamFCNet, load_siamfc

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(("algo", "hyperparams"), [
    *[("dqn", {"gamma": value}) for value in (NAN, 5, -0.1, True, None, [1])],
    *[("dqn", {"learning_rate": value}) for value in (INF, NAN, -1, 0, "lin_nan", "lin_-1", "lin_inf")],
    *[("dqn", {"exploration_fraction": value}) for value in (7, -1, 0, NAN)],
    *[("dqn", {"tau": value}) for value in (NAN, 4, 0)],
    *[("dqn", {"gradient_steps": value}) for value in (0, -7)],
    *[("dqn", {"train_freq": value}) for value in (0, -3, [0, "step"], [4, "episode"], [4, "weeks"], [])],
    *[("dqn", {"max_grad_norm": value}) for value in (NAN, -1, 0)],
    *[("dqn", {name: 0}) for name in ("batch_size", "target_update_interval", "buffer_size", "n_steps")],
    *[("dqn", {f"exploration_{end}_eps": value}) for end in ("initial", "final") for value in (3, NAN)],
    ("dqn", {"learning_starts": -5}),
    ("dqn", {"stats_window_size": -1}),
    ("dqn", {"optimize_memory_usage": 1}),
    ("dqn", {"policy_kwargs": {"optimizer_kwargs": {"betas": [5, NAN]}}}),
    ("dqn", {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": INF}}}),
    *[("dqn", {"policy_kwargs": {"net_arch": [width]}}) for width in (0, -3, NAN)],
    ("ppo", {"policy_kwargs": {"net_arch": {"pi": [0], "vf": [3]}}}),
    *[("qrdqn", {"policy_kwargs": {"n_quantiles": count}}) for count in (0, -2)],
    *[("ppo", {"clip_range": value}) for value in (NAN, "lin_-3", 0, None)],
    ("ppo", {"clip_range_vf": -1}),
    *[("ppo", {"ent_coef": value}) for value in (NAN, -INF, INF, -1)],
    ("ppo", {"vf_coef": INF}),
    ("ppo", {"gae_lambda": 3}),
    ("ppo", {"target_kl": NAN}),
    ("ppo", {"n_epochs": 0}),
    ("a2c", {"rms_prop_eps": NAN}),
])  # fmt: skip
def test_hyperparameters_out_of_range(tmp_path, algo, hyperparams):
    given = TrainRequest(
        algo, ORACLE_ENV_ID, 10, hyperparams=hyperparams, n_envs=2, eval_freq=-1, log_folder=str(tmp_path / "logs")
    )
    (name,) = hyperparams
    if name == "policy_kwargs":
        name = f"{next(iter(hyperparams[name]))}|cannot be made"
    with pytest.raises(InputError, match=name):
        train(given)
    assert not list(tmp_path.glob("logs/*/*"))


@pytest.mark.parametrize("changed", [
    {"seed": -1}, {"seed": 2**32}, {"eval_episodes": 0}, {"n_eval_envs": -2}, {"n_envs": 0}, {"n_timesteps": -1},
])  # fmt: skip
def test_requests_out_of_range(changed):
    (name,) = changed
    with pytest.raises(InputError, match=name):
        replace(TrainRequest(env=ORACLE_ENV_ID), **changed).resolve()


def test_what_is_within_its_range_is_taken():
    for algo, hyperparams in (
        ("dqn", {"max_grad_norm": INF, "gradient_steps": -1, "gamma": 1, "learning_rate": "lin_1e-3"}),
        ("ppo", {"target_kl": None, "clip_range_vf": None, "ent_coef": 0}),
        ("qrdqn", {"max_grad_norm": None, "train_freq": [4, "step"]}),
    ):
        TrainRequest(algo, ORACLE_ENV_ID, 10, hyperparams=hyperparams).resolve()


TINY = {"policy_kwargs": {"net_arch": [4]}, "learning_rate": 1e30}


@pytest.mark.parametrize(("algo", "hyperparams"), [
    ("dqn", {"learning_starts": 4, "batch_size": 4, "buffer_size": 20}),
    ("ppo", {"n_steps": 8, "batch_size": 8, "n_epochs": 2}),
    ("a2c", {"n_steps": 4}),
])  # fmt: skip
@pytest.mark.parametrize("eval_freq", [-1, 8])
def test_an_agent_that_diverges_is_not_saved(tmp_path, algo, hyperparams, eval_freq):
    given = TrainRequest(
        algo, ORACLE_ENV_ID, 48, hyperparams={**TINY, **hyperparams}, n_envs=1, save_freq=16, n_eval_envs=1,
        log_folder=str(tmp_path), eval_freq=eval_freq, eval_episodes=1,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"has diverged and its agent is not written: '.*' holds values that are"):
        train(given)
    assert not list(tmp_path.rglob(f"{ORACLE_ENV_ID}.zip"))
    for file in tmp_path.rglob("*.zip"):  # of the steps before it diverged
        load_model(algo, file)


def test_an_agent_with_nan_is_not_loaded(tmp_path):
    given = TrainRequest(
        "dqn", ORACLE_ENV_ID, 2, hyperparams={"policy_kwargs": {"net_arch": [4]}}, n_envs=1, eval_freq=-1,
        log_folder=str(tmp_path),
    )  # fmt: skip
    run = train(given)
    model = load_model("dqn", run.model)
    with torch.no_grad():
        next(model.policy.parameters()).fill_(NAN)
    model.save(run.model)
    for load in (lambda: load_model("dqn", run.model), lambda: load_agent(str(run.path), device="cpu")):
        with pytest.raises(InputError, match="cannot be used: 'q_net.* not finite; train again"):
            load()
    with pytest.raises(InputError, match="cannot be used: 'q_net"):
        train(replace(given, trained_agent=str(run.model)))


@pytest.mark.parametrize(("make", "load"), [
    (Slim, lambda file: load_backbone("slim", file)),
    (SiamFCNet, load_siamfc),
])  # fmt: skip
@pytest.mark.parametrize("value", [NAN, -INF])
def test_weights_with_nan_are_not_loaded(tmp_path, make, load, value):
    state = {name: each.contiguous() for name, each in make().state_dict().items()}
    name = next(name for name in state if name.endswith("bias"))
    state[name][0] = value
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    with pytest.raises(InputError, match=f"weights.safetensors' cannot be used: '{name}' holds values"):
        load(file)
    with pytest.raises(InputError, match=f"not written: '{name}' holds values that are not finite"):
        save_weights(tmp_path / "new.safetensors", state)
    assert [each.name for each in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_prior_with_nan_is_neither_saved_nor_loaded(tmp_path):
    file, regions = tmp_path / "prior.safetensors", np.tile([0.0, 0.0, 0.5, 0.5], (2, 1))
    predictor = DropPredictor(width=2, hidden=2)
    fitted = FittedPrior(Prior(regions, np.zeros(2), np.zeros(2), np.eye(2)), predictor, {"unit": 1.0})
    save_prior(file, fitted)
    state = load_file(file)
    for name in state:
        save_file({**state, name: torch.full_like(state[name], NAN)}, file)
        with pytest.raises(InputError, match="cannot be used"):
            load_prior(file)
    with torch.no_grad():
        next(predictor.parameters()).fill_(NAN)
    with pytest.raises(InputError, match="not written"):
        save_prior(tmp_path / "other.safetensors", fitted)
    assert not list(tmp_path.glob("*other*"))
