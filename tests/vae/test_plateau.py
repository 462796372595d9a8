import numpy as np
import pytest

from vae import Plateau, TrainingConfig, VAEConfig, VAEError, fit
from vae.images import Images

SMALL = VAEConfig(image_size=16, hidden=16)


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([5.0] * 10, False),
        ([5.0] * 20, True),
        ([5.0] * 21, False),
        ([9.0] * 10 + [5.0] * 10, False),
        ([9.0] * 10 + [8.0] * 10, False),
        ([9.0] * 10 + [8.1] * 10, True),
        ([5.0] * 10 + [9.0] * 10, True),
        ([99.0] * 10 + [9.0] * 10 + [8.5] * 10, True),
    ],
)
def test_the_rule(losses: list[float], stops: bool) -> None:
    assert Plateau(window=10, tolerance=1.0).is_reached(losses) is stops


def test_noise_within_a_window_is_smoothed() -> None:
    noisy = np.linspace(100, 60, 40) + np.tile([20.0, -20.0], 20)
    assert not Plateau(window=10, tolerance=5.0).is_reached(noisy[:20])
    assert not Plateau(window=10, tolerance=5.0).is_reached(noisy)


def test_a_training_stops_at_the_end_of_a_window_and_again_there(crops: Images) -> None:
    rule = Plateau(window=20, tolerance=30.0)
    recipe = TrainingConfig(epochs=2000, plateau=rule)
    first, again = (fit(crops, model_config=SMALL, training=recipe) for _ in range(2))
    done = len(first.history.loss)
    assert 40 <= done < 2000
    assert done % 20 == 0
    assert rule.is_reached(first.history.loss)
    assert not any(rule.is_reached(first.history.loss[:epoch]) for epoch in range(20, done, 20))
    np.testing.assert_array_equal(first.history.loss, again.history.loss)
    longer = fit(crops, model_config=SMALL, training=TrainingConfig(epochs=done + 5))
    np.testing.assert_array_equal(longer.history.loss[:done], first.history.loss)


@pytest.mark.parametrize(
    ("values", "name"),
    [({"window": 0}, "window"), ({"tolerance": -1.0}, "tolerance"), ({"tolerance": float("nan")}, "tolerance")],
)
def test_bad_values_are_refused_by_name(values: dict[str, float], name: str) -> None:
    with pytest.raises(VAEError, match=f"^{name} must be "):
        Plateau.from_dict(values)
    with pytest.raises(VAEError, match="Plateau has no patience"):
        TrainingConfig.from_dict({"plateau": {"patience": 3}})


def test_a_recipe_with_a_rule_to_a_dict_and_back() -> None:
    recipe = TrainingConfig(plateau=Plateau(window=7))
    assert recipe.to_dict()["plateau"] == {"window": 7, "tolerance": 1.0}
    assert TrainingConfig.from_dict(recipe.to_dict()) == recipe
