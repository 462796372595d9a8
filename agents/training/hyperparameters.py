"""Checks of hyper-parameters before a run starts: names, types and ranges."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from occlusion_env.naming import look_up
from tracker.errors import InputError, shorten

from ..dqn.algorithm import TARGETS
from ..dqn.algorithms import check_layers

ZOO_ONLY = ("normalize", "env_wrapper", "vec_env_wrapper", "frame_stack", "callback", "monitor_kwargs")
"""Hyper-parameters that only RL Zoo reads."""

_SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")
_INTEGERS_INSIDE = ("net_arch", "n_quantiles", "n_steps")
_OF_THE_REQUEST = (
    "self", "args", "kwargs", "env", "policy", "seed", "device", "tensorboard_log", "_init_setup_model",
)  # fmt: skip
"""Arguments of an algorithm's constructor that are no hyper-parameters."""

_COUNTS = {
    "batch_size": 10**6,
    "buffer_size": 10**8,
    "n_steps": 10**6,
    "n_epochs": 10**6,
    "target_update_interval": 10**12,
    "stats_window_size": 10**6,
}
"""Hyper-parameters that are counts, and their largest values: memory grows with the first three."""

_FRACTION = (lambda x: 0 <= x <= 1, "lie between 0 and 1")
_POSITIVE_FRACTION = (lambda x: 0 < x <= 1, "be above 0 and at most 1")
_POSITIVE = (lambda x: 0 < x < math.inf, "be above 0 and finite")
_NOT_NEGATIVE = (lambda x: 0 <= x < math.inf, "be 0 or more, and finite")
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("gamma", "gae_lambda", "exploration_initial_eps", "exploration_final_eps"), _FRACTION),
    **dict.fromkeys(("tau", "exploration_fraction"), _POSITIVE_FRACTION),
    **dict.fromkeys((*_SCHEDULED, "target_kl", "rms_prop_eps"), _POSITIVE),
    **dict.fromkeys(("ent_coef", "vf_coef", "learning_starts"), _NOT_NEGATIVE),
    "max_grad_norm": (lambda x: x > 0, "be above 0"),  # an infinite one clips nothing
    "gradient_steps": (lambda x: x == -1 or x >= 1, "be at least 1, or -1 for as many as environment steps"),
}
"""Ranges outside which Stable-Baselines3 would train to nonsense or stop in mid-run."""


def convert_hyperparameter(name: str, value: Any) -> Any:
    """Convert a hyper-parameter of RL Zoo's format to what Stable-Baselines3 takes.

    `lin_NUMBER` becomes a schedule, a list `train_freq` a tuple, and integral floats of `..._kwargs` integers.

    Raises:
        InputError: If a schedule or a mapping is written in another way.
    """
    if name in _SCHEDULED and isinstance(value, str):
        try:
            start = float(value.removeprefix("lin_"))
        except ValueError:
            raise InputError(f"{name} is '{value}'; give a number, or lin_NUMBER, which falls to 0.") from None
        return LinearSchedule(start, 0.0, 1.0) if value.startswith("lin_") else start
    if name == "train_freq" and isinstance(value, list):
        return tuple(to_integers(value))
    if name.endswith("_kwargs"):
        if not isinstance(value, dict | None):
            raise InputError(f"{name} is {value!r}; write it as a YAML mapping, code is not run.")
        return {key: to_integers(part) if key in _INTEGERS_INSIDE else part for key, part in (value or {}).items()}
    return value


def to_integers(value: Any) -> Any:
    """Replace integral floats by integers: RL Zoo's files write `!!float 1e7` for a count.

    >>> to_integers({"pi": [64.0, 32]}), to_integers(0.5)
    ({'pi': [64, 32]}, 0.5)
    """
    if isinstance(value, dict):
        return {key: to_integers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [to_integers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_hyperparameters(kind: type[BaseAlgorithm], algo: str, given: dict[str, Any]) -> None:
    """Refuse unknown hyper-parameters, values of the wrong type, and values out of range.

    The names and types are those of the constructors of `kind`; the ranges are in `_RANGES` and `_COUNTS`.
    Integral floats become integers in place.

    Args:
        kind: The algorithm's class.
        algo: Its name.
        given: Hyper-parameters, converted by `convert_hyperparameter`.

    Raises:
        InputError: Naming the first wrong one.
    """
    declared = declared_arguments(kind)
    for name, value in given.items():
        _check_name(name, declared, algo)
        parameter = declared[name]
        value = given[name] = _check_type(name, value, parameter)
        if value is not None or parameter.default is not None:
            _check_range(name, value)
    if "td_target" in given:
        look_up("td_target", given["td_target"], TARGETS)
    for name, value in (given.get("policy_kwargs") or {}).items():
        if name in ("net_arch", "n_quantiles") and value is not None:
            check_layers([value] if name == "n_quantiles" else value, name)


def declared_arguments(kind: type[BaseAlgorithm]) -> dict[str, inspect.Parameter]:
    """Hyper-parameters of an algorithm's class by name: those of its constructor and of its bases'."""
    bases = [base for base in kind.__mro__ if issubclass(base, BaseAlgorithm) and base is not BaseAlgorithm]
    found: dict[str, inspect.Parameter] = {}
    for base in bases:
        if "__init__" in vars(base):
            found = {**inspect.signature(base.__init__).parameters, **found}
    return {name: parameter for name, parameter in found.items() if name not in _OF_THE_REQUEST}


def _check_name(name: str, declared: dict[str, inspect.Parameter], algo: str) -> None:
    if name in ZOO_ONLY:
        raise InputError(f"The hyper-parameter '{name}' is RL Zoo's alone; train with `python -m rl_zoo3.train`.")
    if name not in declared:
        near = difflib.get_close_matches(name, declared, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"choose {', '.join(sorted(declared))}."
        raise InputError(f"'{name}' is no hyper-parameter of {algo}; {remedy}")


def _check_type(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """Refuse a value of another type than the constructor's; returns it, an integral float as an integer."""
    count = name in _COUNTS
    if count or name == "train_freq" or parameter.annotation in (int, "int"):
        value = to_integers(value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name != "train_freq" and (not whole or (count and value < 1)):
            raise InputError(f"{name} is {value!r}; it must be a whole number{', at least 1' * count}.")
        if count and value > _COUNTS[name]:
            raise InputError(f"{name} is {shorten(value)}; it must be at most {_COUNTS[name]}.")
    elif isinstance(parameter.default, bool):
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; it must be true or false.")
    elif isinstance(value, str) and isinstance(parameter.default, int | float):
        raise InputError(f"{name} is {value!r}; it must be a number.")
    return value


def _check_range(name: str, value: Any) -> None:
    number: Any = value.start if isinstance(value, LinearSchedule) else value
    if name in _RANGES:
        fits, sentence = _RANGES[name]
        if not (isinstance(number, int | float) and not isinstance(number, bool) and fits(number)):
            raise InputError(f"{name} is {number!r}; it must {sentence}.")
    if name == "train_freq":
        count = number[0] if isinstance(number, tuple) and number else number
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(
                f"train_freq is {number!r}; it must be a whole number, at least 1, or such a number and a unit."
            )
    if name.endswith("_kwargs"):
        _check_finite_numbers(name, number or {})


def _check_finite_numbers(name: str, value: Any) -> None:
    """Refuse a number inside a mapping that is not finite."""
    if isinstance(value, dict):
        for key, part in value.items():
            _check_finite_numbers(f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_finite_numbers(name, part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} holds {value}; it must be finite.")
