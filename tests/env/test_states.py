from __future__ import annotations

import tracemalloc
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.nn import functional

from occlusion_env import ENV_ID, Search, SearchSettings
from occlusion_env.search.memory import image_key, region_keys
from occlusion_env.search.states import CropState, RoiState, States, Window
from tracker.cache import ENTRY_BYTES, ByteCache
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor, Slim

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])
REGIONS = np.array([[0.1, 0.2, 0.5, 0.4], [0.0, 0.0, 0.3, 0.3], [0.6, 0.7, 0.4, 0.3]])


@pytest.fixture(scope="module")
def slim() -> Slim:
    torch.manual_seed(0)
    return Slim().eval().requires_grad_(False)


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 12, 12, generator=generator)
    return functional.interpolate(coarse, size=112, mode="bilinear")


def extractor(slim: Slim, layer: str = "fc7") -> FeatureExtractor:
    return FeatureExtractor(slim, layer, "fp32")


def test_a_window_of_the_region_alone_is_the_region_resized(images) -> None:
    window = Window(1.0, 112)
    assert window.margin == 0 and window.with_margin(images) is images
    cut = window.cut(images, np.array([1]), np.array([[0.25, 0.5, 0.5, 0.25]]), 28)
    expected = functional.interpolate(images[1:, :, 56:84, 28:84], size=(28, 28), mode="area")
    assert cut.shape == (1, 3, 28, 28) and torch.allclose(cut, expected, atol=0.02)


@pytest.mark.parametrize("context", [1.5, 2.0, 3.0])
def test_a_wider_window_keeps_the_region_in_its_middle_and_repeats_the_border(images, context: float) -> None:
    window = Window(context, 112)
    padded = window.with_margin(images)
    assert torch.equal(window.without_margin(padded), images)
    inner = np.array([[0.4, 0.4, 0.2, 0.2]])
    wide = np.array([[0.5 - 0.1 * context, 0.5 - 0.1 * context, 0.2 * context, 0.2 * context]])
    rows = np.array([0])
    assert torch.allclose(
        window.cut(padded, rows, inner, 30), Window(1.0, 112).cut(images, rows, wide, 30), atol=1e-4
    )
    beyond = window.cut(padded, rows, WHOLE, 64)
    edge = round(64 * (1 - 1 / context) / 2) - 2
    assert torch.allclose(beyond[..., 0], beyond[..., edge], atol=1e-5), "columns left of the target are alike"


def test_the_window_of_every_region_lies_inside_the_margin() -> None:
    for context in (1.0, 1.1, 1.7, 8.0):
        window = Window(context, 50)
        corners = window.corners(np.concatenate([REGIONS, WHOLE]))
        assert corners.min() >= -window.margin - 1e-3 and corners.max() <= 50 + window.margin + 1e-3


def test_the_crop_state_is_the_network_on_the_cut_out_region(slim, images) -> None:
    features, window = extractor(slim), Window(1.0, 112)
    state = CropState(features, window)
    rows = np.array([0, 1, 1])
    found = state.read(state.prepare(images), rows, REGIONS)
    for index, row in enumerate(rows):
        alone = features(window.cut(images[row : row + 1], np.array([0]), REGIONS[index : index + 1], 112))
        assert torch.allclose(found[index], alone[0], atol=1e-4)
    assert (found[1] != found[2]).any()


@pytest.mark.parametrize("layer", ["fc7", "fc6", "pool5"])
def test_the_roi_state_of_a_whole_target_is_that_of_the_crop_state(slim, images, layer: str) -> None:
    """On a whole map the pooling is the network's own, so both ways end at the same features."""
    window = Window(1.0, 112)
    roi, crop = RoiState(extractor(slim, layer), window), CropState(extractor(slim, layer), window)
    rows, whole = np.array([0, 1]), np.repeat(WHOLE, 2, axis=0)
    found = roi.read(roi.prepare(images), rows, whole)
    assert found.shape == (2, roi.length) and roi.length == crop.length
    assert torch.allclose(found, crop.read(images, rows, whole), atol=2e-3)


def test_the_roi_state_sees_the_region(slim, images) -> None:
    window = Window(1.0, 112)
    state = RoiState(extractor(slim, "conv5"), window)
    assert state.length == 128 * 49
    blank = images.clone()
    blank[:, :, :, 80:] = 0.5  # no cell of the left region sees it
    left, right = np.array([[0.0, 0.0, 0.2, 0.2]]), np.array([[0.8, 0.0, 0.2, 0.2]])
    row = np.array([0])
    sources = state.prepare(images), state.prepare(blank)
    assert torch.allclose(*(state.read(source, row, left) for source in sources), atol=1e-4)
    assert not torch.allclose(*(state.read(source, row, right) for source in sources), atol=0.1)


def test_context_in_the_roi_state_is_a_wider_window(slim, images) -> None:
    narrow, wide = (RoiState(extractor(slim), Window(context, 112)) for context in (1.0, 2.0))
    row = np.array([1])
    inner, outer = np.array([[0.4, 0.3, 0.2, 0.2]]), np.array([[0.3, 0.2, 0.4, 0.4]])
    found = wide.read(wide.prepare(Window(2.0, 112).with_margin(images)), row, inner)
    assert torch.allclose(found, narrow.read(narrow.prepare(images), row, outer), atol=1e-3)


def test_roi_states_need_a_network(pixels) -> None:
    with pytest.raises(InputError, match="roi"):
        RoiState(pixels, Window(1.0, 40))


class Reader:
    """The mean of an image, times the region's x; counts what it is asked for."""

    length = 2
    costly = True

    def __init__(self) -> None:
        self.read_regions, self.prepared = [], 0

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        self.prepared += len(images)
        return images.mean(dim=(1, 2, 3))

    def read(self, sources: torch.Tensor, rows: np.ndarray, regions: np.ndarray) -> torch.Tensor:
        self.read_regions += regions[:, 0].round(3).tolist()
        means = sources[torch.from_numpy(np.asarray(rows))].numpy()
        return torch.from_numpy(np.stack([means * regions[:, 0], means], axis=1).astype(np.float32))


def test_only_what_is_not_remembered_is_computed() -> None:
    reader = Reader()
    states = States(reader, ByteCache(10_000))
    sources = torch.tensor([1.0, 10.0])
    keys = [b"a", b"b", b"a", b"b", b"a"]
    regions = np.array([[x, 0, 1, 1] for x in (0.1, 0.1, 0.2, 0.1, 0.1)])

    def take(indices: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        return sources, np.array([0, 1, 0, 1, 0])[indices]

    found = states.features(keys, regions, take)
    assert found[:, 0].tolist() == pytest.approx([0.1, 1.0, 0.2, 1.0, 0.1])
    assert found[:, 1].tolist() == [1, 10, 1, 10, 1]
    assert reader.read_regions == [0.1, 0.1, 0.2], "each state once, also within a batch"
    again = states.features(keys[::-1], regions[::-1], take)
    assert (again == found[::-1]).all() and len(reader.read_regions) == 3
    found[:] = 7
    assert (states.features(keys[:1], regions[:1], take) == again[-1:]).all(), "the memory is not the caller's"


def test_maps_are_prepared_once_an_image() -> None:
    reader = Reader()
    states = States(reader, ByteCache(10_000))
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    assert states.prepare(images, [b"a", b"b", b"c"]).tolist() == [0, 1, 2] and reader.prepared == 3
    assert states.prepare(images[[2, 0]], [b"c", b"a"]).tolist() == [2, 0] and reader.prepared == 3
    forgetful = States(Reader(), ByteCache(0))
    assert forgetful.prepare(images, [b"a", b"b", b"c"]).tolist() == [0, 1, 2]
    assert forgetful.prepare(images[:1], [b"a"]).tolist() == [0]


@pytest.mark.parametrize("wrong", [lambda x: x * float("nan"), lambda x: x[:, :1], lambda x: x[:1]])
def test_features_of_the_wrong_kind_are_refused(wrong) -> None:
    reader = Reader()
    read = reader.read
    reader.read = lambda *args: wrong(read(*args))
    with pytest.raises(InputError, match="feature"):
        States(reader, ByteCache(0)).features([b"a"] * 2, REGIONS[:2], lambda i: (torch.ones(1), np.zeros(2, int)))


def test_the_least_recently_used_goes_first() -> None:
    full = 100 + 3 * ENTRY_BYTES
    cache = ByteCache(full)
    for key in "abc":
        cache.put(key, key.upper(), 30)
    assert cache.get("a") == "A" and (len(cache), cache.bytes) == (3, 90 + 3 * ENTRY_BYTES)
    cache.put("d", "D", 40)
    assert [cache.get(key) for key in "abcd"] == ["A", None, "C", "D"] and cache.bytes == full
    assert (cache.hits, cache.misses) == (4, 1)
    cache.put("e", "E", full - ENTRY_BYTES + 1)
    assert cache.get("e") is None and cache.bytes == full, "what is larger than the memory is not kept"
    cache.put("a", "other", 1)
    assert cache.get("a") == "A" and cache.bytes == full
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


@pytest.mark.parametrize("numbers", [0, 1, 48, 1000])
def test_the_memory_takes_what_it_says(numbers: int) -> None:
    """Keys and objects are counted too: where values are small they are most of it."""
    limit, rng = 4_000_000, np.random.default_rng(0)
    images = [rng.bytes(48) for _ in range(16)]
    tracemalloc.start()
    cache = ByteCache(limit)
    for index in range(2 * limit // ENTRY_BYTES):
        value = np.ones(numbers, np.float32) if numbers else float(index)
        cache.put(("feature", images[index % 16], rng.bytes(16)), value, 4 * numbers or 8)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert limit - 4 * numbers - ENTRY_BYTES <= cache.bytes <= limit
    assert 0.6 * limit < taken < 1.05 * limit


def test_what_stands_for_images_and_regions() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert image_key(image) == image_key(image.copy()) == image_key(np.asfortranarray(image))
    assert image_key(image) != image_key(image.reshape(5, 4, 3)) and image_key(image) != image_key(image + 1)
    near = REGIONS + 1e-9
    assert region_keys(REGIONS) == region_keys(near) and len(set(region_keys(REGIONS))) == 3
    assert region_keys(REGIONS) != region_keys(REGIONS + 1e-5)


@pytest.mark.parametrize("state", ["crop", "roi"])
def test_two_targets_with_one_name_are_not_mixed_up(slim, brightness, make_target, black, state: str) -> None:
    """The memory goes by the pixels, not by the id."""
    search = Search(1, brightness, extractor(slim), SearchSettings(state=state))
    seen = []
    for level in (40, 200):
        image = np.full((30, 30, 3), 90, np.uint8)
        image[:15, :15] = level
        search.begin(np.array([0]), [make_target(image)], [black])
        seen.append((search.observe()[0], search.clean_score[0]))
    assert (seen[0][0] != seen[1][0]).any() and seen[0][1] != seen[1][1]


@pytest.mark.parametrize("kwargs", [{}, {"state": "roi"}])
def test_pixels_show_the_unoccluded_region(kwargs: dict[str, Any]) -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, drop=0.1, observation="pixels", pixels=32, **kwargs)
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:50, 10:50] = (10, 120, 240)
    image[10:50, 30:50] = (200, 50, 0)
    own = {"image": image, "box": (10, 10, 40, 40), "patch": np.full((8, 8, 3), 255, np.uint8)}
    shown = env.reset(options=own | {"region": (0.25, 0.25, 0.5, 0.5)})[0]
    assert shown.shape == (32, 32, 3) and shown.dtype == np.uint8 and env.observation_space.contains(shown)
    assert np.abs(shown[:, :15].astype(int) - (10, 120, 240)).max() <= 1
    assert np.abs(shown[:, 17:].astype(int) - (200, 50, 0)).max() <= 1
    assert gym.make(ENV_ID, drop=0.1, observation="pixels", pixels=0).observation_space.shape == (112, 112, 3)


def test_the_parts_of_an_observation_are_the_same_by_every_name() -> None:
    seen = {}
    for name in ("features", "features+region", "dict"):
        env = gym.make(ENV_ID, drop=0.1, observation=name, history=2, precision="fp32")
        env.reset(seed=0)
        env.step(3)
        seen[name] = env.step(0)[0]
        length = env.unwrapped.feature_length
        assert env.observation_space.contains(seen[name])
    plain, flat, parts = seen["features"], seen["features+region"], seen["dict"]
    assert list(parts) == ["features", "history", "region"]
    assert np.allclose(flat[:-4], plain, atol=1e-5) and (flat[-4:] == parts["region"]).all()
    assert np.allclose(np.concatenate([parts["features"], parts["history"]]), plain, atol=1e-5)
    assert parts["region"] == pytest.approx([0.35, 0.35, 0.5, 0.5])
    assert parts["history"].reshape(2, 9).argmax(axis=1).tolist() == [0, 3] and len(plain) == length + 18


def test_names_from_elsewhere(tmp_path, monkeypatch) -> None:
    """A scorer, targets, features and an observation of one's own, by `module:name`; a process makes each once."""
    (tmp_path / "own_parts.py").write_text(
        "import numpy as np, torch\n"
        "from gymnasium import spaces\n"
        "from occlusion_env import load_targets\n"
        "calls = []\n"
        "class Red:\n"
        "    input_size, device = 16, torch.device('cpu')\n"
        "    def embed(self, crops):\n"
        "        return crops.mean(dim=(2, 3))\n"
        "    def compare(self, exemplars, candidates):\n"
        "        return candidates[:, 0]\n"
        "    def __call__(self, exemplars, candidates):\n"
        "        return self.compare(self.embed(exemplars), self.embed(candidates))\n"
        "def scorer():\n"
        "    calls.append('scorer')\n"
        "    return Red()\n"
        "class Tiny:\n"
        "    input_size, length = 2, 12\n"
        "    def __call__(self, crops):\n"
        "        return crops.flatten(1)\n"
        "def targets():\n"
        "    return load_targets('synthetic').subset([5, 6])\n"
        "class Score:\n"
        "    def __init__(self, search):\n"
        "        self.search, self.space = search, spaces.Box(0, 1, (1,), np.float64)\n"
        "    def __call__(self, slots):\n"
        "        return self.search.score[slots][:, None]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kwargs = {
        "scorer": "own_parts:scorer",
        "targets": "own_parts:targets",
        "features": "own_parts:Tiny",
        "phi": 0.1,
    }
    envs = gym.make_vec(ENV_ID, num_envs=2, **kwargs)
    first, second = envs, gym.make(ENV_ID, disable_env_checker=True, **kwargs)
    assert first.search.scorer is second.unwrapped.search.scorer
    assert len(first.targets) == 2 and first.observation_space.shape == (2, 12 + 90)
    first.reset(seed=0)
    assert 0 < first.search.score.min() <= first.search.score.max() < 1
    own = gym.make(ENV_ID, observation="own_parts:Score", **kwargs)
    observation, info = own.reset(seed=0)
    assert observation.tolist() == [info["score"]]
    import own_parts

    assert own_parts.calls == ["scorer"]
