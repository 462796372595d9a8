from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from occlusion_env import ACTIONS, ENV_ID, OcclusionSearchVectorEnv
from occlusion_env.scene.targets import load_targets
from occlusion_env.search.core import Search, SearchSettings
from occlusion_env.search.embedding import TargetEmbedding
from tracker.models.backbones import Chain, FeatureExtractor, KnownMaps, load_backbone
from tracker.scorers import IncrementalScorer, KnownImage, SintScorer
from tracker.scorers.sint import IncrementalSintScorer

TRIGGER = ACTIONS.index("trigger")


class Colours:
    """An incremental scorer that writes down what it is shown; an embedding is the mean colour."""

    input_size = 4
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.whole: list[int] = []
        self.known: list[int] = []
        self.changed: list[int] = []

    def embed(self, crops: Tensor) -> Tensor:
        self.whole.append(len(crops))
        return crops.mean(dim=(2, 3))

    def know(self, crops: Tensor) -> list[KnownImage]:
        self.known.append(len(crops))
        return [
            KnownImage(row, KnownMaps(crop[None], [])) for row, crop in zip(crops.mean((2, 3)), crops, strict=True)
        ]

    def embed_changed(self, crops: Tensor, known: Any) -> Tensor:
        self.changed.append(len(crops))
        for crop, image in zip(crops, known, strict=True):
            # The images here have the colour of their target in the first row.
            assert torch.equal(crop[:, 0], image.maps.image[0, :, 0])
        return crops.mean(dim=(2, 3))

    def compare(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return 1 - (exemplars - candidates).abs().mean(dim=1)

    def __call__(self, exemplars: Tensor, candidates: Tensor) -> Tensor:
        return self.compare(self.embed(exemplars), self.embed(candidates))


def images(*colours: float) -> Tensor:
    """Targets of these colours, their last row black."""
    found = torch.tensor(colours).view(-1, 1, 1, 1).repeat(1, 3, 4, 4)
    found[:, :, -1] = 0
    return found


def test_a_target_is_shown_whole_once_and_then_only_what_changed() -> None:
    scorer = Colours()
    assert isinstance(scorer, IncrementalScorer)
    embedding = TargetEmbedding(scorer, 3)
    colours = {0: 0.1, 1: 0.2, 2: 0.1}

    def targets(slots: np.ndarray) -> Tensor:
        return images(*(colours[slot] for slot in slots))

    embedding.begin(np.arange(3), [b"a", b"b", b"a"])
    keys = [None, *embedding.keys(np.array([1, 0, 2])), None]
    shown = images(0.9, 0.2, 0.1, 0.1, 0.8)
    assert torch.allclose(embedding.embed(shown, keys, targets), shown.mean(dim=(2, 3)))
    assert (scorer.known, scorer.changed, scorer.whole) == ([1, 1], [3], [2])
    # Another target takes a slot: the old one is evicted.
    old = embedding.keys(np.array([1]))
    embedding.begin(np.array([1]), [b"c"])
    colours[1] = 0.3
    shown = images(0.2, 0.3)
    keys = old + embedding.keys(np.array([1]))
    assert torch.allclose(embedding.embed(shown, keys, targets), shown.mean(dim=(2, 3)))
    assert (scorer.known, scorer.changed, scorer.whole) == ([1, 1, 1], [3, 1], [2, 1])


def test_a_target_for_which_there_is_no_room_is_shown_whole() -> None:
    scorer = Colours()
    size = 4 * (3 + 3 * 16)
    embedding = TargetEmbedding(scorer, 3, limit=2 * size)
    embedding.begin(np.arange(3), [b"a", b"b", b"c"])
    for _ in range(2):
        embedding.embed(
            images(0.1, 0.2, 0.3),
            embedding.keys(np.arange(3)),
            lambda slots: images(*(0.1 * (1 + slots)).tolist()),
        )
    assert (scorer.known, scorer.changed, scorer.whole) == ([1, 1], [2, 2], [1, 1])


@pytest.fixture(scope="module")
def slim() -> Chain:
    backbone = load_backbone("slim")
    assert isinstance(backbone, Chain)
    return backbone


def trajectory(scorer: SintScorer, mode: AutoresetMode, count: int = 2, **kwargs: Any) -> list[Any]:
    envs = gym.make_vec(
        ENV_ID, num_envs=count, scorer=scorer, precision="fp32", drop=0.05, max_steps=3, history=1,
        autoreset_mode=mode, **kwargs,
    )  # fmt: skip
    assert isinstance(envs, OcclusionSearchVectorEnv)
    rng = np.random.default_rng(1)
    found: list[Any] = [envs.reset(seed=3)]
    for _ in range(8):
        actions = rng.integers(0, 9, count)
        actions[rng.uniform(size=count) < 0.1] = TRIGGER
        found.append(envs.step(actions))
    return found


@pytest.mark.parametrize(
    ("mode", "kwargs"),
    [
        (AutoresetMode.SAME_STEP, {"cache_mb": 0, "occluder": "noise"}),
        (AutoresetMode.NEXT_STEP, {"patches": 2}),
    ],
)
def test_an_incremental_scorer_changes_no_data(
    slim: Chain, mode: AutoresetMode, kwargs: Any, assert_close
) -> None:
    ours = trajectory(IncrementalSintScorer(slim, "fp32"), mode, **kwargs)
    assert_close(ours, trajectory(SintScorer(slim, "fp32"), mode, **kwargs))


def test_scores_of_many_regions_come_from_one_whole_pass(slim: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = IncrementalSintScorer(slim, "fp32")
    whole: list[int] = []
    embed, know = scorer.embed, scorer.know
    monkeypatch.setattr(scorer, "embed", lambda crops: whole.append(len(crops)) or embed(crops))
    monkeypatch.setattr(scorer, "know", lambda crops: whole.append(len(crops)) or know(crops))
    settings = SearchSettings()
    search = Search(2, scorer, FeatureExtractor(slim, "fc7", "fp32"), settings)
    plain = Search(2, SintScorer(slim, "fp32"), search.features, settings)
    targets = load_targets("synthetic")
    for each in (search, plain):
        each.begin(np.arange(2), [targets[0], targets[5]], [np.full((64, 64, 3), 128, np.uint8)] * 2, drop=0.1)
    regions = settings.limits.grid(0.2, 4, 5)
    slots = np.arange(len(regions)) % 2
    found = search.scores(slots, regions)
    assert np.allclose(found, plain.scores(slots, regions), atol=1e-5) and np.ptp(found) > 0.01
    assert sum(whole) == 3, "an exemplar and two targets"
