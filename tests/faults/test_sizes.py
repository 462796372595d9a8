"""Absurd sizes are refused by one sentence with the value and the bound, before anything is allocated."""

from __future__ import annotations

import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file
from scipy.io import savemat
from stable_baselines3 import DQN

import vae
from agents.cli.agents.train import key_values
from agents.dqn.algorithm import load_hyperparameters
from agents.hard_positives.generation_run import GenerationRun
from agents.policies.belief import DropPredictor, FittedPrior, load_prior, save_prior
from agents.policies.pretrained import check_layers, load_pretrained, save_pretrained
from agents.training.environment import TrainingEnvironment
from agents.training.learning_curves import read_evaluations
from agents.training.run import TrainRequest, resume, train
from agents.training.runs import RunFolder
from occlusion_env import ORACLE_ENV_ID, RegionLimits, SearchArguments, TargetSet
from occlusion_env.search.belief import Prior
from tracker.data import images, video
from tracker.data.images import MOST_PIXELS, crop, image_size, read_image
from tracker.data.sequences import Sequence
from tracker.data.video import VideoReader
from tracker.errors import InputError, shorten
from tracker.evaluation import result_files
from tracker.evaluation.result_files import read_mat
from tracker.models.backbones import load_weights
from tracker.models.sint import SintConfig
from tracker.trackers.following import open_sequence
from tracker.trackers.registry import load_tracker
from tracker.training.settings import SiamFCTraining, SintTraining
from vae.errors import shorten as vae_shorten

GIB = 2**30


def str_of(value: object) -> str:
    """A test's name, also for numbers that Python does not write."""
    return shorten(value)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """No more than 2 GiB of addresses beyond what the process has: a missing check fails, and harms nobody."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(call: Callable[[], object], *words: object, error: type[ValueError] = InputError) -> None:
    """The call ends in one short sentence that holds the words."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert len(text) < 600 and "\n" not in text, text
    for word in words:
        assert str(word) in text, text


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("history", 10**9, 1000),
        ("max_steps", 10**18, 10**6),
        ("pixels", 10**6, 4096),
        ("patches", 10**20, 10**6),
        ("patches", 10**5000, 10**6),
        ("cache_mb", 1e30, 2**20),
    ],
    ids=str_of,
)
def test_arguments_of_the_environment(name: str, value: int, bound: int) -> None:
    refused(lambda: SearchArguments(**{name: value}), name, bound)
    refused(lambda: gym.make(ORACLE_ENV_ID, **{name: value}), name, bound)


@pytest.mark.parametrize("value", [10**9, 10**30])
def test_many_environments(value: int) -> None:
    refused(
        lambda: gym.make_vec(ORACLE_ENV_ID, num_envs=value, vectorization_mode="vector_entry_point"), "num_envs"
    )
    refused(lambda: train(TrainRequest(env=ORACLE_ENV_ID, n_envs=value, eval_freq=-1)), "n_envs", 10_000)


def test_grids() -> None:
    limits = RegionLimits()
    refused(lambda: limits.grid(0.25, places=10**6), 10**6)
    refused(lambda: limits.grid(0.25, shapes=10**12), 10**12)
    refused(lambda: vae.prior_grid(10**9), 10**9, 1000, error=vae.VAEError)


LAYERS = [
    ([10**9], 65_536),
    ([8] * 100_000, 100),
    ([65_536, 65_536], 2**28),
    ([10**5000], 65_536),
    ([0], 65_536),
    (["64"], 65_536),
    ([None], 65_536),
    (10**9, "list"),
    ({"pi": [10**9]}, 65_536),
    ([[[[10**9]]]], 65_536),
]


@pytest.mark.parametrize(("layers", "bound"), LAYERS, ids=str_of)
def test_layers(layers: Any, bound: object) -> None:
    refused(lambda: check_layers(layers), "net_arch", bound)
    kwargs = {"policy_kwargs": {"net_arch": layers}}
    refused(lambda: train(TrainRequest(env=ORACLE_ENV_ID, hyperparams=kwargs, eval_freq=-1)), "net_arch", bound)


@pytest.mark.parametrize("name", ["batch_size", "buffer_size", "n_steps"])
def test_counts_of_hyper_parameters(name: str, tmp_path: Path) -> None:
    request = TrainRequest(env=ORACLE_ENV_ID, n_timesteps=10**13, hyperparams={name: 10**12}, eval_freq=-1)
    refused(lambda: train(request), name, "at most")


def test_settings_of_commands(tmp_path: Path) -> None:
    for name, bound in (("per_target", "at most"), ("workers", "between 1 and 1000"), ("batch", "at most")):
        refused(lambda name=name: GenerationRun(tmp_path, tmp_path / "out", **{name: 10**9}), bound)
    for name in ("image_pairs", "boxes_per_frame"):
        refused(lambda name=name: SintTraining(**{name: 10**9}), name, "at most 10000")
    refused(lambda: SiamFCTraining(pairs=10**9), "pairs", "at most 10000")


def test_the_card_of_an_agent(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", gym.make(ORACLE_ENV_ID), policy_kwargs={"net_arch": [4]}, buffer_size=10)
    file = tmp_path / "agent.safetensors"
    save_pretrained(file, model, TrainingEnvironment(SearchArguments()), {})
    card = json.loads(file.with_suffix(".json").read_text())
    for change in (
        {"net_arch": [10**9]},
        {"net_arch": [1] * 100_000},
        {"net_arch": [60_000, 60_000]},
        {"observation_length": 10**12},
        {"observation_length": -1},
        {"actions": 10**9},
    ):
        file.with_suffix(".json").write_text(json.dumps(card | change))
        refused(lambda: load_pretrained(file), "agent.json", "give")


def test_the_card_of_a_prior(tmp_path: Path) -> None:
    file, regions = tmp_path / "prior.safetensors", np.tile([0.0, 0.0, 0.5, 0.5], (2, 1))
    prior = Prior(regions, np.zeros(2), np.zeros(2), np.eye(2))
    save_prior(file, FittedPrior(prior, DropPredictor(width=2, hidden=3), {"unit": 1.0}))
    card = json.loads(file.with_suffix(".json").read_text())
    for name in ("parts", "width", "hidden"):
        file.with_suffix(".json").write_text(json.dumps(card | {"predictor": card["predictor"] | {name: 10**9}}))
        refused(lambda: load_prior(file), name, 10**9, 2048)
    for unit in ("1", True, 0):
        file.with_suffix(".json").write_text(json.dumps(card | {"predictor": card["predictor"] | {"unit": unit}}))
        refused(lambda: load_prior(file), "unit", "above 0")
    file.with_suffix(".json").write_text(json.dumps(card))
    tensors = load_file(file)
    for dtype in (torch.float32, torch.float8_e4m3fn):
        save_file(tensors | {"regions": torch.tensor(1.0).to(dtype)}, file)
        refused(lambda: load_prior(file), "regions", "fit it again")


@pytest.mark.parametrize(
    "record",
    [{"side": 10**9}, {"context": 1e300}, {"context": float("nan")}, {"fc_size": 10**9}, {"fc_rank": 10**5000}],
)
def test_the_card_of_a_tracker(record: dict[str, Any]) -> None:
    refused(lambda: SintConfig.from_record(record), "give" if {"side", "context"} & set(record) else "must be")


@pytest.mark.parametrize(
    "values",
    [{"latent": 10**9}, {"hidden": 10**9}, {"image_size": 10**9}, {"image_size": 10**5, "hidden": 10**6},
     {"latent": 10**5000}, {"architecture": "conv", "channels": [10**6, 10**6, 10**6, 10**6]}],
    ids=str_of,
)  # fmt: skip
def test_the_sizes_of_a_vae(values: dict[str, Any], tmp_path: Path) -> None:
    """Of a configuration, and of a bank's file."""

    def use() -> object:
        return vae.VAE(vae.VAEConfig.from_dict(values))

    refused(use, "at most", error=vae.VAEError)
    if values.get("latent") == 10**5000:
        return  # json refuses to write it
    (tmp_path / "config.json").write_text(json.dumps(values))
    refused(lambda: vae.VAE.load(tmp_path), "at most", error=vae.VAEError)


def test_the_recipe_of_a_vae() -> None:
    for name in ("epochs", "samples"):
        refused(lambda name=name: vae.TrainingConfig(**{name: 10**12}), name, "at most", error=vae.VAEError)


HUGE = [(0.0, 0.0, 100_000.0, 100_000.0), (-99_000.0, 3.0, 99_010.0, 10.0), (10.0, 10.0, 5.0, 1e300)]


@pytest.mark.parametrize("box", HUGE)
def test_a_box_far_beyond_its_frame(
    box: tuple[float, ...], make_video: Any, write_otb: Any, tmp_path: Path
) -> None:
    """Refused with the frame's size by crops, sequences, targets, readers and trackers."""
    clip = make_video()
    frame, words = clip.frames[0], ("64 x 48", 256)
    refused(lambda: crop(frame, box), *words)
    refused(lambda: crop(frame, box, 64), "64 x 48", 1024)
    boxes = clip.boxes.copy()
    boxes[2] = box
    refused(
        lambda: Sequence("far", clip.frames, boxes, clip.visibility, "here", "exact"), "frame 2 of 'far'", *words
    )
    folder = write_otb(tmp_path / "far", clip)
    (folder / "groundtruth_rect.txt").write_text(
        "".join(",".join(f"{v:g}" for v in row + [1, 1, 0, 0]) + "\n" for row in boxes)
    )
    refused(lambda: TargetSet.from_sequence(open_sequence(folder)), *words)
    tracker = load_tracker("sint-slim", device="cpu")
    refused(lambda: tracker.init(frame, box), *words)
    refused(lambda: load_tracker("mil").init(frame, box), *words)


def test_a_box_that_sticks_out_is_cut_out() -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    assert crop(frame, (-100, -100, 250, 250)).shape == (250, 250, 3)
    assert crop(frame, (-300, -300, 1000, 1000), 8).shape == (8, 8, 3)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size, with pixels of one row of 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 25)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def claim(data: bytes, pattern: bytes, new: bytes) -> bytes:
    """Put other bytes where a header says the size."""
    at = data.index(pattern)
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize("size", [(10_000, 10_000), (13_000, 13_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp"])
def test_an_image_that_claims_a_giant_size(
    kind: str, size: tuple[int, int], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    file = tmp_path / f"giant.{kind}"
    width, height = size
    if kind == "png":
        file.write_bytes(png(*size))
    else:
        small = tmp_path / "small"
        PILImage.new("RGB", (8, 8)).save(small, kind)
        data = small.read_bytes()
        if kind != "bmp" and max(size) > 65_535:
            pytest.skip("the format cannot say it")
        if kind == "jpeg":
            at = data.index(b"\xff\xc0") + 5
            data = data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
        elif kind == "gif":
            data = data[:6] + struct.pack("<HH", width, height) + data[10:]
        else:
            data = data[:18] + struct.pack("<ii", width, height) + data[26:]
        file.write_bytes(data)
    for read in (read_image, image_size):
        refused(lambda read=read: read(file), "giant", MOST_PIXELS, "scale it down")
    assert not recwarn.list


def test_frames_that_claim_a_giant_size(make_video: Any, write_otb: Any, tmp_path: Path) -> None:
    folder = write_otb(tmp_path / "giant", make_video())
    (folder / "img" / "0003.png").write_bytes(png(60_000, 60_000))
    refused(lambda: open_sequence(folder), "0003.png", MOST_PIXELS)


def test_a_video_of_a_giant_size(make_video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bound that a small video exceeds: by its header, and where only its frames say it."""
    file = tmp_path / "giant.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(make_video().frames[0], format="rgb24")))
        container.mux(stream.encode())
    assert len(list(VideoReader(file))) == 1
    monkeypatch.setattr(images, "MOST_PIXELS", 1000)
    refused(lambda: VideoReader(file), "giant.mp4", "64 x 48", 1000)
    monkeypatch.setattr(images, "MOST_PIXELS", MOST_PIXELS)
    monkeypatch.setattr(video, "MOST_PIXELS", 1000)
    assert not list(VideoReader(file)), "the decoder refuses them"


def test_a_weights_file_that_claims_a_giant_size(tmp_path: Path) -> None:
    file = tmp_path / "giant.safetensors"
    for shape, end in (([10**6, 10**6], 4 * 10**12), ([10**6, 10**6], 16)):
        head = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        file.write_bytes(struct.pack("<Q", len(head)) + head + bytes(16))
        refused(lambda: load_weights(file), "giant", "corrupt")
    file.write_bytes(struct.pack("<Q", 10**15) + b"{}")
    refused(lambda: load_weights(file), "giant", "corrupt")


def test_an_archive_of_evaluations_that_claims_a_giant_size(tmp_path: Path) -> None:
    """A bomb (128 MiB of zeros), a header that claims more, a pickle, and what is damaged."""
    file, small = tmp_path / "evaluations.npz", {"results": np.zeros((1, 2)), "ep_lengths": np.zeros((1, 2))}
    np.savez(file, timesteps=np.zeros(1), **small)
    assert read_evaluations(file)["results"].shape == (1, 2)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("timesteps.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (2**24,)})
        for _ in range(128):
            member.write(bytes(2**20))
    assert file.stat().st_size < 2**18
    refused(lambda: read_evaluations(file), "evaluations.npz", 2**27 + 128, "timesteps")
    with zipfile.ZipFile(file, "w") as archive, archive.open("timesteps.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    refused(lambda: read_evaluations(file), "evaluations.npz", 8 * 10**12)
    np.savez(file, timesteps=np.array([print], dtype=object), **small)
    refused(lambda: read_evaluations(file), "no evaluations")
    for content in (b"", b"PK\x03\x04", b"\x80\x04."):
        file.write_bytes(content)
        refused(lambda: read_evaluations(file), "no evaluations")


@pytest.mark.parametrize("compress", [False, True])
def test_a_result_of_matlab_that_unpacks_to_much(
    compress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ball.mat"
    savemat(file, {"results": {"type": "rect", "res": np.ones((5, 4))}}, do_compression=compress)
    assert read_mat(file)[0].shape == (5, 4)
    monkeypatch.setattr(result_files, "_MOST_UNPACKED", 2**22)
    savemat(file, {"results": {"type": "rect", "res": np.ones((2**18, 4))}}, do_compression=compress)
    if compress:
        assert file.stat().st_size < 2**16
        refused(lambda: read_mat(file), "ball.mat", 2**22)
    else:
        assert len(read_mat(file)[0]) == 2**18, "its size on the disk is its size"
    file.write_bytes(file.read_bytes()[:300])
    refused(lambda: read_mat(file), "ball.mat")


BOMB = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
TEXTS = {
    "aliases": (BOMB, "100000 values"),
    "merges": (
        BOMB.replace("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "{x: 1}") + "default:\n  <<: *a11\n",
        "100000 values",
    ),
    "itself": ("default: &a [1, *a]\n", "lies inside its own anchor"),
    "deep": ("[" * 100_000, "50 levels"),
    "deep mappings": ("{a: " * 100_000, "50 levels"),
    "deep blocks": ("- " * 100_000 + "1", "50 levels"),
    "long": ("a: [" + "1, " * 2**19 + "1]", "characters"),
    "long value": ("default: {gamma: '" + "x" * 20_000 + "'}", "20000 characters"),
    "long number": ("default: {gamma: " + "9" * 9_000 + "}", ""),
    "base 60": ("default: {gamma: " + ":".join(["59"] * 4_000) + "}", "characters"),
    "a list": ("[1, 2]", ""),
    "a text": ("hello", ""),
    "nothing": ("", ""),
    "no YAML": ("{", ""),
    "a number": ("default: 7", ""),
    "names": ("default: {1: 2}", "1"),
    "kwargs": ("default: {n_timesteps: 10, env_kwargs: [1]}", "env_kwargs"),
    "names in kwargs": ("default: {n_timesteps: 10, env_kwargs: {1: 2}}", "env_kwargs"),
    "policy": ("default: {n_timesteps: 10, policy: [1]}", "policy"),
    "loss": ("default: {n_timesteps: 10, loss: {a: 1}}", "loss"),
    "target": ("default: {n_timesteps: 10, td_target: [1]}", "td_target"),
    "binary": ("default: {n_timesteps: !!binary aGVsbG8=}", "n_timesteps"),
    "a set": ("default: {n_timesteps: !!set {1, 2}}", "n_timesteps"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_yaml_has_limits(name: str, tmp_path: Path) -> None:
    """Of hyper-parameter files, runs and the command line; aliases in their measure are used."""
    text, words = TEXTS[name]
    file = tmp_path / "mine.yml"
    file.write_text(text)
    request = TrainRequest(env=ORACLE_ENV_ID, conf_file=str(file), log_folder=str(tmp_path / "logs"), eval_freq=-1)
    refused(lambda: train(request), words)
    folder = tmp_path / "run" / ORACLE_ENV_ID
    folder.mkdir(parents=True)
    (folder / "args.yml").write_text(yaml.safe_dump({"algo": "dqn", "env": ORACLE_ENV_ID}))
    (folder / "config.yml").write_text(text if "default" not in text else text.replace("default:", "", 1))
    refused(lambda: resume(folder.parent))
    refused(lambda: key_values("--env-kwargs", (f"gamma:{text}", "gamma:{")), "--env-kwargs")


def test_anchors_of_ordinary_files_are_used(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("base: &base {n_timesteps: !!float 1e3, gamma: 0.5}\ndefault:\n  <<: *base\n  gamma: 0.9\n")
    assert load_hyperparameters(str(file)) == {"n_timesteps": 1000.0, "gamma": 0.9}


DEEP = "[" * 200_000
WRONG = [DEEP, '{"a":' * 200_000, "[]", "7", "null", "NaN", '"text"', "{}", '{"env_kwargs": 3}',
         '{"env_kwargs": ["a"]}',
         '{"env_kwargs": {}, "layer": []}', '{"env_kwargs": {}, "videos": 3}', '{"env_kwargs": {"weights": [1]}}',
         '{"env_kwargs": {"reward": {}}}', '{"env_kwargs": {}, "observation_length": 1e999}', "\udc80",
         "9" * 10_000]  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
def test_json_of_wrong_types_and_depths(text: str, tmp_path: Path) -> None:
    """Of cards and of the records of runs."""
    raw = text.encode("utf-8", "surrogateescape")
    (tmp_path / "agent.safetensors").write_bytes(b"")
    (tmp_path / "agent.json").write_bytes(raw)
    refused(lambda: load_pretrained(tmp_path / "agent.safetensors"), "agent.json")
    refused(lambda: load_prior(tmp_path / "agent.safetensors"), "agent.json")
    folder = tmp_path / "run" / ORACLE_ENV_ID
    folder.mkdir(parents=True)
    (folder / "args.yml").write_text(yaml.safe_dump({"algo": "dqn", "env": ORACLE_ENV_ID}))
    (folder / "config.yml").write_text("{}")
    (folder / "environment.json").write_bytes(raw)
    if text != '{"env_kwargs": {}, "observation_length": 1e999}':  # a run does not look at it
        refused(lambda: TrainingEnvironment.of_run(RunFolder.open(folder.parent)), ORACLE_ENV_ID)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "x"),
        ("n_timesteps", [1]),
        ("env_kwargs", [1]),
        ("log_folder", 3),
        ("hyperparams", "x"),
        ("colour", 1),
    ],
)
def test_a_run_with_arguments_of_wrong_types(name: str, value: object, tmp_path: Path) -> None:
    folder = tmp_path / "run" / ORACLE_ENV_ID
    folder.mkdir(parents=True)
    (folder / "args.yml").write_text(yaml.safe_dump({"algo": "dqn", "env": ORACLE_ENV_ID} | {name: value}))
    (folder / "config.yml").write_text("{}")
    refused(lambda: resume(folder.parent), "args.yml")


def test_a_file_that_does_not_end(tmp_path: Path) -> None:
    (tmp_path / "agent.safetensors").write_bytes(b"")
    (tmp_path / "agent.json").symlink_to("/dev/zero")
    refused(lambda: load_pretrained(tmp_path / "agent.safetensors"), "agent.json", "give a file")
    refused(lambda: load_hyperparameters("/dev/zero"), "/dev/zero", "give a file")


def test_values_in_sentences_are_cut() -> None:
    bomb: list[object] = [1]
    for _ in range(60):
        bomb = [bomb] * 10
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (bomb, deep, "x" * 10**6, 10**10_000, -(10**10_000), {"a" * 1000: bomb}, [10**10_000]):
        for cut in (shorten, vae_shorten):
            assert 0 < len(cut(value)) < 110
        refused(lambda value=value: SearchArguments(observation=[value]), "observation")
