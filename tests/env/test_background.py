from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from occlusion_env import ACTIONS, BACKGROUND_ENV_ID, SearchSettings, TargetSet
from occlusion_env.envs.background import BackgroundSearch
from occlusion_env.scene.occluders import occlude_image
from occlusion_env.scene.oracle import OracleFeatures, OracleScorer
from occlusion_env.scene.targets import Source, Target, load_targets
from occlusion_env.search.threshold import usual_drop
from tracker.data.boxes import iou
from tracker.data.images import crop, resize, to_tensor
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError

TRIGGER = ACTIONS.index("trigger")


def make(**kwargs: Any) -> gym.Env:
    """The environment over slim features; `drop` saves measuring one."""
    kwargs = {"drop": 0.02, "info_names": True} | kwargs
    return gym.make(BACKGROUND_ENV_ID, disable_env_checker=True, **kwargs)


def cheap(**kwargs: Any) -> dict[str, Any]:
    """Arguments under which nothing is a network."""
    return {
        "targets": "oracle",
        "features": "occlusion_env.scene.oracle:OracleFeatures",
        "scorer": Brightness(),
        "drop": 0.02,
    } | kwargs


class Brightness:
    """A scorer worked out by hand: the mean brightness of the candidate."""

    input_size = 40
    device = OracleScorer().device

    def embed(self, crops):
        return crops.mean(dim=(1, 2, 3))[:, None]

    def compare(self, exemplars, candidates):
        return candidates[:, 0]

    def __call__(self, exemplars, candidates):
        return self.compare(self.embed(exemplars), self.embed(candidates))


def box_of(search: BackgroundSearch, slot: int = 0) -> np.ndarray:
    return search.boxes()[slot]


@pytest.fixture
def ramp() -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A frame that is darker the farther to the right, with a white target left of its middle."""
    frame = np.broadcast_to(np.linspace(250, 0, 200)[None, :, None], (120, 200, 3)).astype(np.uint8).copy()
    frame[40:80, 60:100] = 255
    return frame, (60, 40, 40, 40)


def test_the_search_reads_darker_patches_further_right(ramp) -> None:
    """The score is the brightness, so the box must go right, round the target, and the reward says so."""
    frame, box = ramp
    env = make(**cheap()).unwrapped
    _, info = env.reset(seed=1, options={"image": frame, "box": box})
    seen = [info["score"]]
    names = [*["up"] * 9, *["right"] * 40] if info["region"][0] < 0.5 else ["right"] * 40
    for name in names[:19]:
        before = info
        _, reward, _, _, info = env.step(ACTIONS.index(name))
        moved_right = info["region"][0] > before["region"][0] + 1e-6
        if name == "right":
            assert reward == (1.0 if moved_right else -1.0)
            assert (info["score"] < before["score"]) == moved_right
        seen.append(info["score"])
    assert seen[-1] < seen[0] < info["clean_score"]
    assert info["target"] == "image" and info["target_index"] == -1


def test_the_score_is_that_of_the_patch_under_the_box_pasted_over_the_region(ramp) -> None:
    frame, box = ramp
    rng = np.random.default_rng(0)
    frame = frame // 2 + rng.integers(0, 100, frame.shape, dtype=np.uint8)
    env = make(**cheap()).unwrapped
    region = (0.1, 0.2, 0.5, 0.4)
    env.reset(seed=0, options={"image": frame, "box": box, "region": region})
    assert env.search.covered.tolist() == [list(region)]
    for action in rng.integers(0, 8, 12):
        _, _, _, _, info = env.step(int(action))
        x, y, w, h = info["region"] * [200, 120, 200, 120]
        patch = resize(frame[round(y) : round(y + h), round(x) : round(x + w)], 64, 64)
        assert (env.search.patches()[0] == patch).all()
        pasted = occlude_image(crop(frame, box), patch, np.array(region))
        assert info["score"] == pytest.approx(float(to_tensor(pasted).mean()), abs=1e-3)


def test_a_box_never_touches_the_target() -> None:
    envs = gym.make_vec(BACKGROUND_ENV_ID, num_envs=8, autoreset_mode="SameStep", **cheap(step=0.5))
    envs.reset(seed=3)
    envs.action_space.seed(0)
    boxes = []
    for _ in range(150):
        envs.step(envs.action_space.sample())
        search = envs.unwrapped.search
        for box, target in zip(search.boxes(), search.targets, strict=True):
            assert iou(box, target.box) == 0
            assert (box[:2] >= -1e-9).all() and (box[:2] + box[2:] <= 96 + 1e-9).all()
            boxes.append(box)
    sides = np.array(boxes)[:, 2:] / 20
    assert sides.prod(axis=1).max() <= 1 + 1e-9 and sides.min() >= 0.3 - 1e-9
    assert sides.prod(axis=1).min() < 0.3 and np.ptp(np.array(boxes)[:, 0]) > 60


def test_the_first_box_is_random_and_as_large_as_the_region() -> None:
    env = make(**cheap()).unwrapped
    starts = [env.reset(seed=seed)[1] for seed in range(20)]
    assert len({tuple(info["region"]) for info in starts}) == 20
    assert {tuple(box_of(env.search)[2:].round(6)) for _ in range(5) if env.reset()} == {(20.0, 20.0)}
    again = env.reset(seed=7)[1]
    assert (again["region"] == starts[7]["region"]).all() and again["target"] == starts[7]["target"]


def test_the_state_is_the_background_under_the_box(ramp) -> None:
    """The frame's own colours under the box, whatever the target looks like."""
    frame, box = ramp
    env = make(**cheap(history=2)).unwrapped
    observation, info = env.reset(seed=5, options={"image": frame, "box": box})
    x, y, w, h = info["region"] * [200, 120, 200, 120]
    expected = frame[int(y) : int(y + h), int(x) : int(x + w)].mean() / 255 * 2 - 1
    assert observation[:48].mean() == pytest.approx(expected, abs=0.03)
    other = frame.copy()
    other[40:80, 60:100] = 0
    same, _ = env.reset(seed=5, options={"image": other, "box": box})
    assert same == pytest.approx(observation, abs=1e-5)
    observation, *_, info = env.step(ACTIONS.index("smaller"))
    assert observation[48:].reshape(2, 9)[0].argmax() == ACTIONS.index("smaller")
    shown = make(**cheap(observation="features+region")).reset(seed=5, options={"image": frame, "box": box})
    assert shown[0][-4:] == pytest.approx(shown[1]["region"], abs=1e-6)


def test_phi_is_what_random_boxes_reach() -> None:
    """Oracle frames are even noise: patches differ little, so the drop hardly differs from the mean fall."""
    targets, settings = load_targets("oracle"), SearchSettings()
    drop = usual_drop(targets, Brightness(), OracleFeatures(), settings, 0.1, search_class=BackgroundSearch)
    lower = usual_drop(targets, Brightness(), OracleFeatures(), settings, 0.9, search_class=BackgroundSearch)
    assert 0 < lower < drop < 0.3
    env = make(**cheap(drop=None)).unwrapped
    falls = []
    for seed in range(300):
        info = env.reset(seed=seed)[1]
        falls.append(info["clean_score"] - info["score"] >= env.drop)
    assert env.drop == drop and 0.03 < np.mean(falls) < 0.2
    assert info["phi"] == pytest.approx(info["clean_score"] - drop)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_n_environments_give_the_data_of_n_single_ones(mode: AutoresetMode) -> None:
    kwargs = {"precision": "fp32", "targets": "synthetic:1", "max_steps": 6, "drop": 0.02, "info_names": True}
    native = gym.make_vec(BACKGROUND_ENV_ID, num_envs=4, autoreset_mode=mode, **kwargs)
    singles = SyncVectorEnv([lambda: make(**kwargs)] * 4, autoreset_mode=mode)
    (first, info), (expected, other) = native.reset(seed=9), singles.reset(seed=9)
    rng = np.random.default_rng(2)
    for _ in range(25):
        assert first == pytest.approx(expected, abs=1e-3)
        for key in ("score", "phi", "region", "clean_score", "previous_score"):
            assert info[key] == pytest.approx(other[key], abs=1e-5)
        assert info["target"].tolist() == other["target"].tolist()
        assert info["action"].tolist() == other["action"].tolist()
        actions = rng.integers(0, 9, 4)
        first, reward, *ends, info = native.step(actions)
        expected, paid, *ended, other = singles.step(actions)
        assert reward.tolist() == paid.tolist()
        assert all((a == b).all() for a, b in zip(ends, ended, strict=True))


def test_action_masks_are_the_moves_that_change_the_box(ramp) -> None:
    frame, box = ramp
    env = make(**cheap()).unwrapped
    env.reset(seed=1, options={"image": frame, "box": box})
    for _ in range(50):
        *_, info = env.step(ACTIONS.index("left"))
    assert info["region"][0] * 200 in (pytest.approx(0, abs=1e-6), pytest.approx(100, abs=1e-4))
    masks = env.action_masks()
    assert not masks[ACTIONS.index("left")] and masks[ACTIONS.index("right")] and masks[TRIGGER]
    assert not masks[ACTIONS.index("bigger")]


def test_rendering(ramp) -> None:
    env = make(**cheap(render_mode="rgb_array"))
    env.reset(seed=0)
    before = env.render()
    env.step(0)
    assert before.shape == (430, 624, 3) and (before != env.render()).any()


def filled(name: str = "full", shape: tuple[int, int] = (60, 80), box=None) -> TargetSet:
    frames = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    box = (0.0, 0.0, float(shape[1]), float(shape[0])) if box is None else box
    sequence = Sequence(name, ArrayFrames(frames), np.tile(box, (3, 1)), np.ones(3), "test", "exact")
    return TargetSet.from_sequence(sequence)


def test_targets_without_background_are_not_drawn_and_refused_when_asked_for() -> None:
    full, roomy = filled(), filled("roomy", box=(10.0, 10.0, 20.0, 20.0))
    env = make(**cheap(targets=full + roomy)).unwrapped
    assert {env.reset(seed=seed)[1]["target"][:5] for seed in range(20)} == {"roomy"}
    for wanted in ({"target": full.ids[0]}, {"image": np.zeros((30, 30, 3), np.uint8), "box": (0, 0, 30, 30)}):
        with pytest.raises(InputError, match=r"(full/000001|image).*no room"):
            env.reset(options=wanted)
    assert env.reset(seed=0)[1]["action"] == "reset"
    with pytest.raises(InputError, match="None of the targets leaves room"):
        make(**cheap(targets=full, drop=None)).reset(seed=0)
    with pytest.raises(InputError, match="no room"):
        make(**cheap(targets=full)).reset(seed=0)


def test_a_smaller_region_needs_less_room() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    target = Target("own", frame[:88], frame[:88], frame, Source("own", 0, "0", (0.0, 0.0, 100.0, 88.0)))
    assert not BackgroundSearch.has_room(target, SearchSettings())
    assert BackgroundSearch.has_room(target, SearchSettings(), np.array([0.4, 0.4, 0.3, 0.3]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"occluder": "noise"}, "occluder"),
        ({"patches": 2}, "patches"),
        ({"max_area": 2}, "max_area"),
        ({"foo": 1}, "foo"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**cheap(**arguments))
    with pytest.raises(InputError, match=message):
        gym.make_vec(BACKGROUND_ENV_ID, num_envs=2, **cheap(**arguments))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": np.zeros((4, 4, 3), np.uint8)}, "patch"),
        ({"region": (0, 0, 1, 1)}, "region"),
        ({"region": (0, 0, float("nan"), 0.4)}, "region"),
        ({"region": "all"}, "region"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], message: str) -> None:
    env = make(**cheap())
    with pytest.raises(InputError, match=message):
        env.reset(options=options)
    assert env.reset(seed=0)[1]["action"] == "reset"


def test_a_box_that_touches_the_target_is_refused() -> None:
    targets = load_targets("oracle")
    search = BackgroundSearch(1, Brightness(), OracleFeatures(), SearchSettings())
    target = targets[0]
    on_it = target.box / 96
    with pytest.raises(InputError, match="touches the target"):
        search.begin(np.array([0]), [target], regions=on_it[None])
    with pytest.raises(InputError, match="draw_boxes"):
        search.begin(np.array([0]), [target])


@pytest.mark.parametrize("box", [(20.0, 20.0, 40.0, 40.0), (4.0, 3.0, 86.0, 80.0)])
def test_drawn_boxes_are_of_the_covered_regions_size(box: tuple[float, ...]) -> None:
    """Small ones have 0.35 of its sides, and all keep the limits, also where its own size does not fit."""
    frame = np.zeros((96, 96, 3), np.uint8)
    target = Target("own", frame[:40], frame[:40], frame, Source("own", 0, "0", box))
    search, rng = BackgroundSearch(1, Brightness(), OracleFeatures(), SearchSettings()), np.random.default_rng(0)
    covered, many = np.array([[0.1, 0.3, 0.8, 0.25]]), np.zeros(300, dtype=np.int64)
    first = search.draw_boxes([target], [rng], covered)
    search.begin(np.array([0]), [target], regions=first, covered=covered)
    room = search._background.rows(many)
    region = np.array([0.8 * box[2], 0.25 * box[3]])
    for boxes, side in ((search.random_regions(many, rng) * 96, 1.0), (search.small_boxes(many, rng) * 96, 0.35)):
        assert room.holds(boxes).all() and len(np.unique(boxes.round(9), axis=0)) > 290
        fits = (box[2] < 50) or side < 1
        assert np.allclose(boxes[:, 2:], side * region) == fits
