from typing import Any

import pytest

from vae import TrainingConfig, VAEConfig, VAEError


def test_the_defaults_are_the_papers() -> None:
    shape, recipe = VAEConfig(), TrainingConfig()
    assert (shape.input_size, shape.hidden, shape.latent) == (12288, 512, 2)
    assert (recipe.epochs, recipe.learning_rate, recipe.samples) == (20_000, 1e-3, 1)


@pytest.mark.parametrize("config", [VAEConfig(32, 16, 3), TrainingConfig(5, 0.1, 0.5, 2, 7)])
def test_a_dict_and_back(config: VAEConfig | TrainingConfig) -> None:
    assert type(config).from_dict(config.to_dict()) == config


@pytest.mark.parametrize("kind", [VAEConfig, TrainingConfig])
def test_an_unknown_name_is_refused_by_name(kind: type[VAEConfig] | type[TrainingConfig]) -> None:
    with pytest.raises(VAEError, match=f"{kind.__name__} has no hidden_units"):
        kind.from_dict({"hidden_units": 3})


def test_what_is_not_a_mapping_is_refused() -> None:
    with pytest.raises(VAEError, match="got list"):
        VAEConfig.from_dict([1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (VAEConfig, {"image_size": 0}),
        (VAEConfig, {"hidden": 1.5}),
        (VAEConfig, {"latent": True}),
        (TrainingConfig, {"epochs": 0}),
        (TrainingConfig, {"learning_rate": "1e-3"}),
        (TrainingConfig, {"learning_rate": float("nan")}),
        (TrainingConfig, {"learning_rate": 0}),
        (TrainingConfig, {"alpha": 1.0}),
        (TrainingConfig, {"alpha": False}),
        (TrainingConfig, {"samples": 0}),
        (TrainingConfig, {"seed": -1}),
        (TrainingConfig, {"seed": 2**63}),
        (TrainingConfig, {"precision": "fp16"}),
        (TrainingConfig, {"plateau": 3}),
    ],
)
def test_a_bad_value_is_refused_by_name(
    kind: type[VAEConfig] | type[TrainingConfig], values: dict[str, Any]
) -> None:
    (name,) = values
    with pytest.raises(VAEError, match=f"^{name} must be "):
        kind.from_dict(values)
