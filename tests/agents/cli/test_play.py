"""Playing by keys: the command, Gymnasium's `play`, and the render mode `human`, without a display."""

import json
import re
import sys

import gymnasium as gym
import numpy as np
import pytest

import occlusion_env  # noqa: F401

ORACLE = "OcclusionSearchOracle-v0"


@pytest.fixture
def keyboard(monkeypatch):
    """Presses keys in a window that SDL does not show; `QUIT` closes it."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    pygame = pytest.importorskip("pygame", reason="the extra 'play' is not installed")
    pygame.display.init()

    def press(*keys):
        for key in keys:
            if key == "QUIT":
                pygame.event.post(pygame.event.Event(pygame.QUIT))
                continue
            code = pygame.K_ESCAPE if key == "ESCAPE" else ord(key)
            for kind in (pygame.KEYDOWN, pygame.KEYUP):
                pygame.event.post(pygame.event.Event(kind, key=code))

    yield press
    pygame.quit()


@pytest.mark.parametrize("end", ["ESCAPE", "QUIT"])
def test_an_episode_by_keys(run, keyboard, tmp_path, end):
    keyboard(*"dz1s ", end)  # z and 1 are no keys of actions
    code, out, err = run("play", "--env", ORACLE, "--json", "played.json")
    assert code == 0 and not err, err
    keys, episode, last = out.splitlines()
    assert "d right" in keys and "space trigger" in keys and "Escape" in keys
    assert "3 actions, trigger" in episode and last.startswith("1 episodes: largest score drop")
    (row,) = json.loads((tmp_path / "played.json").read_text())["episodes"]
    env = gym.make(ORACLE)
    env.reset(seed=0)
    total = sum(env.step(action)[1] for action in (0, 3, 8))
    assert row["actions"] == 3 and row["return"] == pytest.approx(total)


def test_the_person_stands_beside_the_other_methods(run, keyboard):
    keyboard(" ", "ESCAPE")
    code, out, err = run("play", "--data", "drawn:9", "--device", "cpu")
    assert code == 0, err
    assert re.search(r"queries, mean: you \d\.\d{3}, random regions \d\.\d{3}", out)


def test_a_game_without_an_episode(run, keyboard):
    keyboard("d", "ESCAPE")
    code, out, _ = run("play", "--env", ORACLE)
    assert code == 0 and out.endswith("No episode was played to its end\n")


def test_the_last_episode_is_played_to_its_end(run, keyboard):
    keyboard(*"ddd")
    code, out, _ = run("play", "--env", ORACLE, "-n", 1, "--env-kwargs", "max_steps:3")
    assert code == 0 and "3 actions, out of steps" in out


@pytest.mark.parametrize("driver", ["offscreen", "none such"])
def test_no_display(run, monkeypatch, driver):
    pygame = pytest.importorskip("pygame", reason="the extra 'play' is not installed")
    pygame.display.quit()
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    if driver == "offscreen":  # SDL's choice where there is no display
        monkeypatch.setattr(pygame.display, "init", lambda: None)
        monkeypatch.setattr(pygame.display, "get_driver", lambda: driver)
    else:
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    code, out, err = run("play", "--env", ORACLE)
    assert code == 2 and not out and "There is no display to play on" in err and "Traceback" not in err


def test_without_pygame(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    code, _, err = run("play", "--env", ORACLE)
    assert code == 2 and "needs pygame: pip install 'occlusion-search[play]'" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--env", "CartPole-v1"), "no environment of this package"), (("-n", 0), "--steps is 0")],
)
def test_bad_arguments(run, arguments, words):
    code, _, err = run("play", *arguments)
    assert code == 2 and words in err


def test_gymnasiums_play(keyboard):
    """It takes the action of the key that is held down, once a frame."""
    import pygame
    from gymnasium.utils.play import play

    env = gym.make(ORACLE, render_mode="rgb_array")
    taken, following = [], [(pygame.KEYUP, "d"), (pygame.KEYDOWN, " "), (pygame.KEYDOWN, "\x1b")]

    def post(kind, key):
        pygame.event.post(pygame.event.Event(kind, key=ord(key)))

    def record(before, after, action, reward, terminated, truncated, info):
        taken.append((action, info["action_index"], terminated))
        for event in following[2:] if terminated else following[:2]:
            post(*event)

    post(pygame.KEYDOWN, "d")
    play(env, wait_on_player=True, fps=1000, callback=record, seed=0)
    assert taken == [(0, 0, False), (8, 8, True)]


def test_the_render_mode_human(keyboard):
    import pygame

    env = gym.make(ORACLE, render_mode="human")
    env.reset(seed=0)
    env.step(0)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    drawn = env.unwrapped.render()
    assert shown.shape == (430, 624, 3) and (np.abs(shown.astype(int) - drawn) <= 1).all()
    env.close()
