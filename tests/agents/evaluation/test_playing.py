"""What an agent that plays is shown, and what of its episodes is drawn."""

import gymnasium as gym
import numpy as np
from PIL import Image

import occlusion_env  # noqa: F401
from agents.evaluation.playing import play, write_gif

ORACLE = "OcclusionSearchOracle-v0"


class Player:
    """Moves at random, and remembers what it was given."""

    def __init__(self):
        self.observation_space = gym.make(ORACLE).observation_space
        self.rng, self.starts = np.random.default_rng(0), []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.starts.append(bool(episode_start[0]))
        return self.rng.integers(8), state


class Masked(Player):
    """Takes the first move that it is told would change the region."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False, action_masks=None):
        assert action_masks.shape == (9,)
        return action_masks.argmax(), state


def test_episodes_follow_one_another_from_the_seed():
    player = Player()
    episodes = list(play(player, ORACLE, {"max_steps": 4}, 18, seed=2, pictures=2))
    assert [episode.length for episode in episodes] == [4] * 5, "the last one is played to its end"
    assert player.starts == [True, False, False, False] * 5
    assert len({episode.first["target_index"] for episode in episodes}) > 1, "seeded once, not at each reset"
    again = play(Player(), ORACLE, {"max_steps": 4}, 18, seed=2)
    assert [each.first["target_index"] for each in again] == [each.first["target_index"] for each in episodes]
    assert [len(episode.frames) for episode in episodes] == [5, 5, 0, 0, 0]
    assert episodes[0].first["action_index"] == -1 != episodes[0].last["action_index"]


def test_a_masked_agent_is_told_what_would_change_nothing():
    """From the right border the first move that changes anything is the one back."""
    episodes = [next(play(Masked(), ORACLE, {"max_steps": steps}, steps)) for steps in (3, 4)]
    assert [episode.last["action_index"] for episode in episodes] == [0, 1]  # right, left


def test_the_last_picture_of_a_gif_stays_longer(tmp_path):
    frames = [np.full((8, 9, 3), shade, np.uint8) for shade in (0, 100, 200)]
    write_gif(tmp_path / "a.gif", frames, seconds=0.4, pause=1.5)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 and gif.size == (9, 8) and gif.info["loop"] == 0
        shown = []
        for frame in range(3):
            gif.seek(frame)
            shown.append(gif.info["duration"])
    assert shown == [400, 400, 1500]
