"""Whatever a stranger's file or argument holds: a right result or one sentence, and no code of the stranger's.

Every input runs in `conftest.Watchdog`: a time limit, a memory limit, and an audit of imports, processes,
unpickling
and writes. `OCCLUSION_SEARCH_FAULTS` is the number of inputs over all tests; each test takes its share.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import math
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

import occlusion_env

BUDGET = int(os.environ.get("OCCLUSION_SEARCH_FAULTS") or 300)
FOREIGN = ("foreign_file:run", "foreign_loaded:run")
CHEAP: dict[str, Any] = {
    "targets": "oracle",
    "scorer": "occlusion_env.scene.oracle:OracleScorer",
    "features": "occlusion_env.scene.oracle:OracleFeatures",
    "drop": 0.05,
}


def fuzz(share: float, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """`hypothesis.given` with a share of the budget as the number of inputs."""

    def decorate(test: Any) -> Any:
        count = max(3, math.ceil(BUDGET * share))
        checks = list(HealthCheck)
        phases = (Phase.explicit, Phase.generate, Phase.shrink)
        limits = settings(max_examples=count, deadline=None, suppress_health_check=checks, phases=phases)

        @functools.wraps(test)
        def counted(watchdog: Any, **given_values: Any) -> None:
            watchdog.counts["inputs"] += 1
            test(watchdog, **given_values)

        return limits(given(*args, **kwargs)(counted))

    return decorate


# Bytes and values


NUMBERS = [
    b"nan", b"NaN", b"inf", b"-inf", b"1e308", b"-1e308", b"1e400", b"1e-320", b"-1", b"0", b"-0", b"", b"9" * 400,
    b"1e20", b"100000", b"2147483648", b"9223372036854775808", b"0x10", b"1_0", "\u0661\u0662".encode(),
    b"None", b"\x00",
    b"1,5", b"--1", b"a" * 1000, b'"', b"[]", b"{}", b"\xff\xfe", "\u00b2".encode(), b"\r", b"\x1b[31m",
]  # fmt: skip
SEPARATORS = [b",", b";", b"\t", b" ", b"\n", b"\r\n", b"\r", b"\x0b", b"\x0c", b"\xc2\x85", b"\xe2\x80\xa8", b"|"]
CODINGS = ["utf-16", "utf-16-le", "utf-8-sig", "utf-32", "latin-1", "cp037"]
PLACE = st.floats(0, 1)
EDIT = st.one_of(
    st.tuples(st.just("cut"), PLACE, PLACE),
    st.tuples(st.just("truncate"), PLACE, st.none()),
    st.tuples(st.just("insert"), PLACE, st.binary(min_size=1, max_size=8) | st.sampled_from(NUMBERS + SEPARATORS)),
    st.tuples(st.just("byte"), PLACE, st.integers(0, 255)),
    st.tuples(st.just("repeat"), PLACE, PLACE),
    st.tuples(st.just("number"), PLACE, st.sampled_from(NUMBERS)),
    st.tuples(st.just("separator"), PLACE, st.sampled_from(SEPARATORS)),
    st.tuples(st.just("coding"), PLACE, st.sampled_from(CODINGS)),
    st.tuples(st.just("integer"), PLACE, st.sampled_from([0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1])),
)


def edited(content: bytes, edits: list[tuple[str, float, Any]]) -> bytes:
    """Bytes after some edits."""
    for kind, place, what in edits:
        at = int(place * len(content))
        if kind == "cut":
            low, high = sorted((at, int(what * len(content))))
            content = content[:low] + content[high:]
        elif kind == "truncate":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
        elif kind == "byte":
            content = content[:at] + bytes([what]) + content[at + 1 :]
        elif kind == "repeat":
            low, high = sorted((at, int(what * len(content))))
            content = content[:high] + content[low:high] + content[high:]
        elif kind == "number":
            found = list(re.finditer(rb"[-+]?\d+(\.\d+)?", content))
            if found:
                match = found[min(int(place * len(found)), len(found) - 1)]
                content = content[: match.start()] + what + content[match.end() :]
        elif kind == "separator":
            content = re.sub(rb"[,\n]", lambda _, by=what: by, content, count=1 + int(place * 20))
        elif kind == "coding":
            content = content.decode("latin-1").encode(what, errors="ignore")
        elif kind == "integer":
            content = content[:at] + struct.pack("<Q" if what > 2**32 else "<I", what) + content[at + 4 :]
        content = content[:200_000]
    return content


def mutated(*bases: bytes) -> st.SearchStrategy[bytes]:
    """One of the contents with up to four edits, or random bytes."""
    edits = st.lists(EDIT, max_size=4)
    return st.one_of(st.builds(edited, st.sampled_from(bases), edits), st.binary(max_size=300))


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 30), st.floats(), st.text(max_size=12),
    st.sampled_from([
        10**9, 10**20, -(10**20), 2**31, 2**63, 1e308, -0.0, 1e-320, "", "nan", "1e9", "x" * 5000, "a\nb",
        "\x00", "/",
        "../../outside", "/etc/passwd", "\ud800", ".", "random", "slim", "cuda", "cuda:9", "cpu", *FOREIGN,
    ]),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner,
        max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([nested(80), [1] * 300, [], {}, [[]], [None], {"": {}}]),
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a JSON value."""
    found = [at]
    if isinstance(value, dict):
        found += [path for key in value for path in places(value[key], (*at, key))]
    if isinstance(value, list):
        found += [path for key in range(min(len(value), 6)) for path in places(value[key], (*at, key))]
    return found


def changed(value: Any, edits: list[tuple[float, str, Any]]) -> Any:
    """A JSON value after some of its parts were replaced, removed or added."""
    value = copy.deepcopy(value)
    for place, kind, new in edits:
        new = copy.deepcopy(new)
        paths = places(value)
        path = paths[min(int(place * len(paths)), len(paths) - 1)]
        if not path:
            value = new if kind == "replace" else value
            continue
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        if kind == "remove":
            del parent[path[-1]]
        elif kind == "add" and isinstance(parent, dict):
            parent[str(new)[:20]] = new
        else:
            parent[path[-1]] = new
    return value


def variants(base: Any) -> st.SearchStrategy[Any]:
    """A JSON value with up to three changes."""
    edit = st.tuples(PLACE, st.sampled_from(["replace", "replace", "replace", "remove", "add"]), VALUES)
    return st.lists(edit, min_size=1, max_size=3).map(lambda edits: changed(base, edits))


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def documents(base: Any) -> st.SearchStrategy[bytes]:
    """A JSON file: changed values, edited text, or deep nesting."""
    deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"", b"null", b"[]", b"NaN", b"\xff\xfe"])
    return st.one_of(variants(base).map(dump), variants(base).map(dump), mutated(dump(base)), deep)


@pytest.fixture(scope="module")
def here(watchdog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def picture(width: int, height: int, seed: int = 0, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """An image file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    image = PILImage.fromarray(pixels)
    (PILImage.fromarray(pixels[..., 0].astype(np.uint16) * 61) if mode == "I;16" else image.convert(mode)).save(
        stream, kind
    )
    return stream.getvalue()


# Sequences, boxes, images and videos


def check_sequence(sequence: Any) -> None:
    """Read all of a sequence that was opened."""
    assert np.isfinite(sequence.boxes).all() and len(sequence) == len(sequence.frames) > 0
    for t in range(min(len(sequence), 6)):
        assert sequence.frames[t].dtype == np.uint8
        if sequence.visibility[t]:
            assert sequence.crop(t).size > 0


ROWS = b"3,4,10,8\n4,4,10,8\n5,4,10,8\n"
POLYGONS = b"3,4,13,4,13,12,3,12\n" * 3
MASKS = b"m3,4,10,8,0,80\n3,4,10,8\nm3,4,10,8,12,30,5,2\n"
CORNERS = b'0 3 4 13 12 1 0 0 0 "x"\n0 3 4 13 12 2 1 1 0 "x"\n0 3 4 13 12 3 0 1 0 "x"\n'
LAYOUTS = {
    "otb": ("groundtruth_rect.txt", "img"),
    "otb-2": ("groundtruth_rect.2.txt", "img"),
    "vot": ("groundtruth.txt", "color"),
    "got10k": ("groundtruth.txt", "."),
    "lasot": ("groundtruth.txt", "img"),
    "tnl2k": ("groundtruth.txt", "imgs"),
    "tc128": ("one_gt.txt", "img"),
    "uav123": ("anno/one_1.txt", "data_seq/one"),
    "trackingnet": ("anno/one.txt", "frames/one"),
    "nfs": ("30/one.txt", "30/one"),
}


@pytest.fixture(scope="module")
def layouts(here: Path) -> dict[str, Path]:
    """A folder of three frames in each layout, without its annotation."""
    found = {}
    for name, (annotation, frames) in LAYOUTS.items():
        folder = here / "layouts" / name
        (folder / frames).mkdir(parents=True)
        (folder / annotation).parent.mkdir(exist_ok=True)
        for t in range(3):
            (folder / frames / f"{t + 1:04d}.png").write_bytes(picture(32, 24, t))
        found[name] = folder
    (found["got10k"] / "meta_info.ini").write_text("[METAINFO]\n")
    return found


@fuzz(0.09, st.sampled_from([*LAYOUTS, "box"]), mutated(ROWS, ROWS.replace(b",", b"\t"), POLYGONS, MASKS, CORNERS))
@example("otb", b"\x0e")
@example("box", b"1,1,1e300,1e300\n" * 3)
def test_annotations_of_sequences(watchdog, layouts, layout: str, content: bytes) -> None:
    from tracker.trackers.following import open_sequence

    folder = layouts["vot" if layout == "box" else layout]
    file = folder / ("boxes.txt" if layout == "box" else LAYOUTS[layout][0])
    file.write_bytes(content)
    arguments = {"box": file} if layout == "box" else {}
    found = watchdog(lambda: open_sequence(folder, progress=False, **arguments))
    file.unlink()
    if found is not None:
        assert len(found) == 3
        watchdog(lambda: check_sequence(found))


LABELS = {
    "absence.label": "got10k", "cover.label": "got10k", "meta_info.ini": "got10k", "occlusion.tag": "vot",
    "occlusion.label": "vot", "full_occlusion.txt": "lasot", "out_of_view.txt": "lasot", "one_frames.txt": "tc128",
}  # fmt: skip


@fuzz(0.03, st.sampled_from([*LABELS]), mutated(b"0\n1\n0\n", b"8\n0\n4\n", b"0,0,1", b"1,3"))
def test_labels_of_sequences(watchdog, layouts, name: str, content: bytes) -> None:
    from tracker.trackers.following import open_sequence

    folder = layouts[LABELS[name]]
    annotation = folder / LAYOUTS[LABELS[name]][0]
    annotation.write_bytes(ROWS)
    before = (folder / name).read_bytes() if (folder / name).exists() else None
    (folder / name).write_bytes(content)
    try:
        found = watchdog(lambda: open_sequence(folder, progress=False))
        if found is not None:
            watchdog(lambda: check_sequence(found))
    finally:
        annotation.unlink()
        (folder / name).unlink()
        if before is not None:
            (folder / name).write_bytes(before)


BOX_TEXTS = st.one_of(
    st.text(max_size=30), mutated(b"3,4,10,8").map(lambda text: text.decode("latin-1")), VALUES,
    st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), max_size=4),
)  # fmt: skip


@fuzz(
    0.03,
    BOX_TEXTS,
    st.none() | st.integers(-3, 10**20),
    st.sampled_from(["auto", "images", "otb", "vot", "lasot", "pysot", "nfs", "video", "x"]),
)
@example("a" * 5000, None, "auto")
@example("\x00", None, "auto")
def test_arguments_of_sequences(watchdog, layouts, box: Any, max_frames: Any, layout: Any) -> None:
    from tracker.trackers.following import open_sequence

    call = {"box": box, "layout": layout, "max_frames": max_frames, "progress": False}
    found = watchdog(lambda: open_sequence(layouts["vot"], **call))
    if found is not None:
        watchdog(lambda: check_sequence(found))


IMAGES = {
    "whole": picture(32, 24), "another size": picture(40, 30), "a pixel": picture(1, 1), "grey": picture(32, 24,
    0, "L"),
    "alpha": picture(32, 24, 0, "RGBA"), "palette": picture(32, 24, 0, "P"), "two tones": picture(32, 24, 0, "1"),
    "16 bits": picture(32, 24, 0, "I;16"), "jpeg": picture(32, 24, 0, "RGB", "JPEG"),
    "cmyk": picture(32, 24, 0, "CMYK", "JPEG"), "bmp": picture(32, 24, 0, "RGB", "BMP"),
    "tiff": picture(32, 24, 0, "RGB", "TIFF"), "webp": picture(32, 24, 0, "RGB", "WEBP"),
    "giant": picture(32, 24)[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + picture(32, 24)[24:],
    "wide": picture(3000, 1), "empty": b"", "text": b"no image", "half": picture(32, 24)[:400],
}  # fmt: skip
PICTURES = st.sampled_from([*IMAGES, "folder", "dangling link"]) | mutated(*IMAGES.values())
NAMES = st.sampled_from([f"{t:04d}.png" for t in range(4)]) | st.sampled_from([
    "a.jpg", "b.JPG", "9.bmp", "10.tif", "0001.webp", ".hidden.png", "frame-1.png", "\u00b2.png", "\u0661.png",
    "x.txt",
    "9" * 200 + ".png", "1" * 100 + "." + "2" * 100 + ".jpg", " .png", "a\nb.png", "x.ppm",
])  # fmt: skip


def write_frame(path: Path, content: str | bytes) -> None:
    if content == "folder":
        path.mkdir()
    elif content == "dangling link":
        path.symlink_to("nothing")
    else:
        path.write_bytes(IMAGES[content] if isinstance(content, str) else content)


@fuzz(0.06, st.dictionaries(NAMES, PICTURES, max_size=5), st.sampled_from(["box", "one box", "otb", "vot"]))
def test_frames(watchdog, here: Path, frames: dict[str, Any], layout: str) -> None:
    from tracker.trackers.following import open_sequence

    folder = here / "frames"
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / "img" if layout == "otb" else folder
    place.mkdir(parents=True)
    for name, content in frames.items():
        write_frame(place / name, content)
    rows = "1,1,20,15\n" * (1 if layout == "one box" else len(frames))
    (folder / {"otb": "groundtruth_rect.txt", "vot": "groundtruth.txt"}.get(layout, "boxes.csv")).write_text(rows)
    box = {"box": folder / "boxes.csv"} if "box" in layout else {}
    found = watchdog(lambda: open_sequence(folder, progress=False, **box))
    if found is not None:
        watchdog(lambda: check_sequence(found))


@fuzz(0.05, mutated(*IMAGES.values()), st.sampled_from(["png", "jpg", "bmp", "tiff", "webp", "ppm"]))
def test_images(watchdog, here: Path, content: bytes, suffix: str) -> None:
    from tracker.data.images import image_size, read_image

    file = here / f"image.{suffix}"
    file.write_bytes(content)
    size = watchdog(lambda: image_size(file))
    found = watchdog(lambda: read_image(file))
    if found is not None:
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
        assert size == found.shape[1::-1]


def video(suffix: str, codec: str, frames: int = 6) -> bytes:
    """A small video file."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format={"mkv": "matroska"}.get(suffix, suffix)) as container:
        out = container.add_stream(codec, rate=10)
        out.width, out.height, out.pix_fmt = 32, 24, "yuv420p"
        for t in range(frames):
            pixels = np.random.default_rng(t).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            container.mux(out.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(out.encode())
    return stream.getvalue()


VIDEOS = [video("mp4", "mpeg4"), video("avi", "mpeg4"), video("mkv", "mpeg4")]


@fuzz(0.05, mutated(*VIDEOS), st.sampled_from(["mp4", "avi", "mkv", "webm", "MOV", "ts"]))
@example(VIDEOS[1].replace(b"FMP4", b"XXXX").replace(b"fmp4", b"xxxx"), "avi")
def test_videos(watchdog, here: Path, content: bytes, suffix: str) -> None:
    from tracker.trackers.following import open_sequence

    file = here / f"video.{suffix}"
    file.write_bytes(content)
    found = watchdog(lambda: open_sequence(file, box="2,2,20,15", max_frames=3, progress=False))
    if found is not None:
        watchdog(lambda: check_sequence(found))


@fuzz(0.02, st.lists(mutated(ROWS) | st.none(), min_size=1, max_size=4), st.sampled_from([*LAYOUTS]))
def test_folders_of_sequences(watchdog, here: Path, layouts, contents: list[bytes | None], layout: str) -> None:
    from tracker.data.readers import list_targets, open_sequences

    root = here / "root"
    shutil.rmtree(root, ignore_errors=True)
    for number, content in enumerate(contents):
        shutil.copytree(layouts[layout], root / f"video-{number}")
        if content is not None:
            (root / f"video-{number}" / LAYOUTS[layout][0]).write_bytes(content)
    watchdog(lambda: list_targets(root))
    found = watchdog(lambda: open_sequences(root))
    for sequence in (found or {}).values():
        watchdog(lambda sequence=sequence: check_sequence(sequence))


PYSOT = {
    "one": {
        "img_names": ["vot/color/0001.png", "vot/color/0002.png"],
        "gt_rect": [[3, 4, 10, 8]] * 2,
        "absent": [1, 0],
    },
    "two": {"img_names": ["vot/color/0001.png"], "gt_rect": [[3, 4, 13, 4, 13, 12, 3, 12]]},
}


@fuzz(0.04, documents(PYSOT))
def test_pysots_files(watchdog, layouts, content: bytes) -> None:
    from tracker.data.readers import open_sequences

    file = layouts["vot"].parent / "OTB100.json"
    file.write_bytes(content)
    found = watchdog(lambda: open_sequences(file))
    for sequence in (found or {}).values():
        watchdog(lambda sequence=sequence: check_sequence(sequence))


# Result files and annotations


@fuzz(
    0.06,
    mutated(ROWS, b"3 4 10 8\n" * 3, b"3\t4\t10\t8\r\n" * 3, b"nan,nan,nan,nan\n" * 3),
    st.sampled_from([0, 1]),
)
def test_result_files(watchdog, here: Path, content: bytes, origin: int) -> None:
    from tracker.evaluation.annotations import Annotation
    from tracker.evaluation.result_files import read_boxes, read_times
    from tracker.evaluation.scoring import score_results

    folder = here / "results"
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").write_bytes(content)
    found = watchdog(lambda: read_boxes(folder / "one.txt", origin))
    assert found is None or (found.ndim == 2 and found.shape[1] == 4)
    watchdog(lambda: read_times(folder / "one.txt"))
    truth = {"one": Annotation("one", np.array([[2.0, 3, 10, 8]] * 3), np.ones(3, bool))}
    scores = watchdog(lambda: score_results(folder, truth))
    if scores is not None:
        assert 0 <= scores.auc <= 1 and 0 <= scores.precision <= 1


def mat_file() -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    run = {"res": np.array([[3.0, 4, 10, 8]] * 3), "type": "rect", "len": 3}
    savemat(stream, {"results": np.array([run], dtype=object)})
    return stream.getvalue()


@fuzz(0.03, mutated(mat_file()))
def test_matlab_files(watchdog, here: Path, content: bytes) -> None:
    from tracker.evaluation.result_files import read_mat

    (here / "one.mat").write_bytes(content)
    found = watchdog(lambda: read_mat(here / "one.mat"))
    assert found is None or all(boxes.shape[1:] == (4,) for boxes in found)


TRUTH = {"one": {"boxes": [[3, 4, 10, 8]] * 3, "attributes": ["OCC"]}, "two": {"boxes": [[3, 4, 10, 8]] * 2}}


@fuzz(0.04, documents(TRUTH), documents({"one": ["OCC"], "two": []}))
def test_annotation_files(watchdog, here: Path, content: bytes, attributes: bytes) -> None:
    from tracker.evaluation.annotations import read_annotations
    from tracker.evaluation.scoring import score_results

    (here / "truth.json").write_bytes(content)
    (here / "attributes.json").write_bytes(attributes)
    found = watchdog(lambda: read_annotations(here / "truth.json"))
    watchdog(lambda: read_annotations(here / "truth.json", here / "attributes.json"))
    results = here / "two results"
    results.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (results / f"{name}.txt").write_bytes(ROWS)
    if found is not None:
        watchdog(lambda: score_results(results, found))


# Cards, weights, metadata, banks and runs


ROOT = Path(occlusion_env.__file__).parents[1]


def copied(source: str, *names: str) -> list[bytes]:
    """Files that the package ships."""
    return [(ROOT / source / name).read_bytes() for name in names]


AGENT, AGENT_CARD = copied("agents/weights", "agent.safetensors", "agent.json")


def small_agent() -> tuple[bytes, dict[str, Any]]:
    """An agent of one layer, so that its weights are mutated where it matters."""
    import torch
    from gymnasium import spaces
    from safetensors.torch import save
    from stable_baselines3.dqn.policies import DQNPolicy

    arguments = {"observation": "features", "history": 2, "features": CHEAP["features"]}
    policy = DQNPolicy(spaces.Box(-1, 1, (66,)), spaces.Discrete(9), lambda _: 0.0, net_arch=[4])
    state = {name: value.contiguous() for name, value in policy.q_net.state_dict().items()}
    assert all(torch.isfinite(value).all() for value in state.values())
    card = {"env_kwargs": arguments, "observation_length": 66, "net_arch": [4], "actions": 9, "layer": None}
    return save(state), card


SMALL_AGENT, SMALL_CARD = small_agent()
ARGUMENTS = (
    "observation",
    "reward",
    "state",
    "scorer",
    "features",
    "occluder",
    "targets",
    "weights",
    "layer",
    "device",
)


@fuzz(
    0.05,
    st.just(SMALL_AGENT) | mutated(SMALL_AGENT),
    st.one_of(
        documents(SMALL_CARD),
        documents(json.loads(AGENT_CARD)),
        st.builds(
            lambda name, value: dump({**SMALL_CARD, "env_kwargs": {**SMALL_CARD["env_kwargs"], name: value}}),
            st.sampled_from(ARGUMENTS), st.sampled_from(FOREIGN) | VALUES,
        ),
        st.builds(
            lambda name, value: dump({**SMALL_CARD, name: value}),
            st.sampled_from(["net_arch", "observation_length", "actions"]), VALUES,
        ),
    ),
)  # fmt: skip
@example(SMALL_AGENT, dump({**SMALL_CARD, "env_kwargs": {"observation": FOREIGN[0]}}))
@example(SMALL_AGENT, dump({**SMALL_CARD, "net_arch": [10**9]}))
@example(SMALL_AGENT, b"[" * 100_000)
def test_cards_of_agents(watchdog, here: Path, weights: bytes, card: bytes) -> None:
    from agents.policies.loading import load_agent
    from agents.policies.pretrained import load_pretrained

    file = here / "agent.safetensors"
    file.write_bytes(weights)
    file.with_suffix(".json").write_bytes(card)
    found = watchdog(lambda: load_pretrained(file, "cpu"))
    if found is not None:
        length = found.policy.observation_space.shape[0]
        action, _ = watchdog(lambda: found.policy.predict(np.zeros((1, length), np.float32)))
        assert 0 <= action[0] < found.policy.action_space.n
    watchdog(lambda: load_agent(str(file), device="cpu"))


PRIOR, PRIOR_CARD = copied("agents/weights", "prior_slim.safetensors", "prior_slim.json")


@fuzz(0.03, st.just(PRIOR) | mutated(PRIOR), documents(json.loads(PRIOR_CARD)))
def test_cards_of_priors(watchdog, here: Path, weights: bytes, card: bytes) -> None:
    from agents.policies.belief import load_prior

    file = here / "prior.safetensors"
    file.write_bytes(weights)
    file.with_suffix(".json").write_bytes(card)
    watchdog(lambda: load_prior(file))


def slim_pair() -> tuple[bytes, bytes]:
    """The shipped network, cut so that mutations are small, and a card of a trained one."""
    root = ROOT / "tracker" / "weights"
    cards = sorted(root.glob("*.json"))
    return (root / "slim.safetensors").read_bytes()[:20_000], cards[0].read_bytes()


SLIM, SINT_CARD = slim_pair()
CONFIG = {"config": {"features": "slim"}, "base": {"weights": "sha256:0"}}


@fuzz(0.03, mutated(SLIM, AGENT[:5000]), documents(CONFIG) | documents(json.loads(SINT_CARD)), st.booleans())
def test_cards_of_trackers(watchdog, here: Path, weights: bytes, card: bytes, named: bool) -> None:
    from tracker.models.sint import load_sint, trained_weights
    from tracker.scorers import load_scorer

    folder = here / "trained"
    folder.mkdir(exist_ok=True)
    file = folder / ("sint.safetensors" if named else "slim.safetensors")
    file.write_bytes(weights)
    file.with_suffix(".json").write_bytes(card)
    watchdog(lambda: trained_weights(folder))
    watchdog(lambda: load_sint(folder))
    watchdog(lambda: load_scorer("slim", str(file)))
    shutil.rmtree(folder)


def torch_file() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, stream)
    return stream.getvalue()


HOSTILE_PICKLE = b"cforeign_file\nrun\n(tR."


@fuzz(
    0.03,
    mutated(SLIM[:4000], torch_file(), HOSTILE_PICKLE),
    st.sampled_from([".safetensors", ".pth", ".pt", ".x"]),
)
@example(HOSTILE_PICKLE, ".pth")
@example(b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", ".safetensors")
def test_weights(watchdog, here: Path, content: bytes, suffix: str) -> None:
    from tracker.models.backbones import load_backbone, load_weights

    file = here / f"weights{suffix}"
    file.write_bytes(content)
    watchdog(lambda: load_weights(file))
    watchdog(lambda: load_backbone("slim", file))


RECORD = {
    "file_name": "video/000001-0.png", "target": "oracle-0/000001",
    "source": {"video": "oracle-0", "frame": 1, "name": "1", "box": [1.0, 2.0, 20.0, 20.0], "code": None},
    "view": "region", "context": 2.0, "box": [30.0, 30.0, 20.0, 20.0], "region": [0.2, 0.2, 0.5, 0.5],
    "occluder": {"kind": "background", "box": [1.0, 1.0, 10.0, 10.0], "seed": None, "target": None},
    "actions": [0, 8], "triggered": True, "background": None, "score_before": 0.9, "score_after": 0.4, "seed": 0,
    "draw": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def oracle_targets() -> Any:
    from occlusion_env.scene.targets import load_targets

    return load_targets("oracle")


@fuzz(0.05, variants(RECORD), mutated(dump(RECORD)))
@example({**RECORD, "region": [0.1, 0.1, 0.5]}, b"\xff")
def test_metadata(watchdog, here: Path, oracle_targets, record: Any, line: bytes) -> None:
    from agents.hard_positives.records import remake_hard_positive
    from tracker.training.hard_positives import read_hard_positives

    folder = here / "positives"
    (folder / "video").mkdir(parents=True, exist_ok=True)
    (folder / "video" / "000001-0.png").write_bytes(IMAGES["whole"])
    for content in (dump(record) + b"\n", line):
        (folder / "metadata.jsonl").write_bytes(content)
        for positive in watchdog(lambda: read_hard_positives(folder)) or []:
            assert os.path.realpath(positive.image).startswith(os.path.realpath(folder)), "a path left its folder"
    found = watchdog(lambda: remake_hard_positive(record, oracle_targets))
    assert found is None or found.dtype == np.uint8


@pytest.fixture(scope="module")
def bank_files(here: Path) -> Path:
    import vae

    crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    bank = vae.VAEBank(here / "bank")
    bank.train("ball", crops, model_config=vae.VAEConfig(8, 16), training=vae.TrainingConfig(epochs=2))
    return here / "bank"


def bank_strategy() -> st.SearchStrategy[tuple[str, Callable[[bytes], bytes]]]:
    edits = st.lists(EDIT, min_size=1, max_size=3)
    change = st.one_of(
        edits.map(lambda edits: lambda content: edited(content, edits)),
        VALUES.map(lambda value: lambda content: dump(value)),
        st.lists(
            st.tuples(PLACE, st.sampled_from(["replace", "remove", "add"]), VALUES), min_size=1, max_size=2
        ).map(
            lambda edits: lambda content: dump(changed(json.loads(content), edits)) if content[:1] == b"{" else b""
        ),
    )
    files = [
        "ball/config.json",
        "ball/training.json",
        "ball/model.safetensors",
        "ball/codes.safetensors",
        "failures.json",
    ]
    return st.tuples(st.sampled_from(files), change)


@fuzz(0.05, bank_strategy(), SCALARS)
@example(("failures.json", lambda content: b"[]"), "x" * 5000)
def test_banks(watchdog, bank_files: Path, damage: Any, name: Any) -> None:
    import vae

    place, change = damage
    file = bank_files / place
    whole = file.read_bytes() if file.exists() else b"{}"
    existed = file.exists()
    try:
        file.write_bytes(change(whole))
        bank = vae.VAEBank(bank_files)
        watchdog(lambda: list(bank))
        for key in ("ball", name):
            watchdog(lambda key=key: bank[key], KeyError)
            watchdog(lambda key=key: bank.record(key), KeyError)
            watchdog(lambda key=key: bank.codes(key), KeyError)
        found = watchdog(lambda: bank.sample("ball", 2, np.random.default_rng(0)), KeyError)
        assert found is None or found[0].shape[0] == 2
        watchdog(bank.failures)
        watchdog(lambda: bank.damaged_file("ball"))
    finally:
        file.write_bytes(whole) if existed else file.unlink(missing_ok=True)


ARGS = {"algo": "dqn", "env": "OcclusionSearchOracle-v0", "seed": 0, "env_kwargs": {}, "n_timesteps": 10}
CONFIGURATION = {
    "policy": "MlpPolicy",
    "learning_rate": 1e-4,
    "env_kwargs": {"reward": "paper"},
    "n_timesteps": 10,
}
YAML_TEXTS = [
    b"algo: dqn\nenv: OcclusionSearchOracle-v0\nenv_kwargs: {reward: paper}\n",
    b"!!python/object/apply:os.system ['touch escaped']\n", b"!!python/name:foreign_file.run\n",
    b"!!python/object/apply:collections.OrderedDict\n- - [algo, dqn]\n  - [env, x]\n",
    b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((98 + i, 98 + i) + (97 + i,) * 8) for i in range(9)
    ),
    b"algo: [" * 500, b"? " * 300 + b"x", b"- " * 2000 + b"x", b"x: 0b1\ny: 12:30:45\nz: 2001-01-01\n",
    b"<<: *x\n",
    b"&a [*a]\n", b"x: 1e99999\n", b"x: " + b"9" * 5000, b"{[1]: 2}\n", b"? {a: 1}\n: 2\n", b"--- a\n--- b\n",
]  # fmt: skip


def as_yaml(value: Any) -> bytes:
    return json.dumps(value).encode()


YAMLS = st.one_of(mutated(*YAML_TEXTS), st.sampled_from(YAML_TEXTS))


@fuzz(
    0.05,
    st.just(as_yaml(ARGS)) | variants(ARGS).map(as_yaml) | YAMLS,
    st.just(as_yaml(CONFIGURATION)) | variants(CONFIGURATION).map(as_yaml) | YAMLS,
    st.none() | documents({"env_kwargs": {"reward": "paper"}, "layer": None, "weights": None, "videos": {}}),
    mutated(b'#{"t_start": 1.0}\nr,l,t,timesteps\n1.0,3,0.5,3\n2.0,4,0.9,7\n'),
)
@example(as_yaml(ARGS), as_yaml(CONFIGURATION), None, b"")
@example(as_yaml(ARGS), as_yaml(CONFIGURATION), None, b"\xff")
@example(as_yaml({**ARGS, "env_kwargs": 3}), as_yaml({**CONFIGURATION, "env_kwargs": "x"}), None, b"")
def test_run_folders(watchdog, here: Path, args: bytes, config: bytes, environment: Any, monitor: bytes) -> None:
    from agents.policies.loading import load_agent, load_policy
    from agents.training.learning_curves import read_monitors
    from agents.training.run import resume
    from agents.training.runs import RunFolder

    folder = here / "runs" / "dqn" / "run_1"
    shutil.rmtree(folder, ignore_errors=True)
    inner = folder / "OcclusionSearchOracle-v0"
    inner.mkdir(parents=True)
    for name, content in (("args.yml", args), ("config.yml", config), ("environment.json", environment)):
        if content is not None:
            (inner / name).write_bytes(content)
    (folder / "0.monitor.csv").write_bytes(monitor)
    run = watchdog(lambda: RunFolder.open(folder))
    if run is not None:
        for call in (run.config, run.arguments, run.environment, run.env_kwargs, run.agent_file, run.checkpoints):
            watchdog(call)
        watchdog(lambda: read_monitors(run.monitors))
    watchdog(lambda: load_policy(folder, device="cpu"))
    watchdog(lambda: load_agent(str(folder), device="cpu"))
    watchdog(lambda: resume(folder))


SECTION = {"OcclusionSearchOracle-v0": {"policy": "MlpPolicy", "learning_rate": 1e-4, "buffer_size": 100}}


@fuzz(0.04, YAMLS | variants(SECTION).map(as_yaml) | mutated(as_yaml(SECTION)))
def test_hyperparameter_files(watchdog, here: Path, content: bytes) -> None:
    from agents.dqn.algorithm import load_hyperparameters

    (here / "own.yml").write_bytes(content)
    found = watchdog(lambda: load_hyperparameters(str(here / "own.yml"), "OcclusionSearchOracle-v0"))
    assert found is None or isinstance(found, dict)


TINY = {
    "buffer_size": 50,
    "learning_starts": 4,
    "batch_size": 4,
    "policy_kwargs": {"net_arch": [8]},
    "learning_rate": 1e-4,
}
HYPERPARAMETERS = (
    "learning_rate", "buffer_size", "learning_starts", "batch_size", "tau", "gamma", "train_freq",
    "gradient_steps",
    "target_update_interval", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps",
    "n_steps",
    "max_grad_norm", "policy", "policy_kwargs", "n_envs", "loss", "td_target", "truncation_is_terminal", "x",
    "replay_buffer_kwargs", "verbose", "stats_window_size", "optimize_memory_usage",
)  # fmt: skip
NETWORKS = st.sampled_from([
    {"net_arch": [10**9]}, {"net_arch": [4] * 100_000}, {"net_arch": [0]}, {"net_arch": [-1]}, {"net_arch": "x"},
    {"net_arch": {"pi": [4]}}, {"activation_fn": "foreign_file.run"}, {"n_critics": 10**9}, {"x": 1},
    {"optimizer_class": 3},
])  # fmt: skip
NUMERIC = st.sampled_from(
    [math.nan, math.inf, -math.inf, -1, 0, 7, 1e30, 10**20, 1.5, True, "1e-3", "lin_x", "lin_nan", None]
)


@fuzz(0.01, st.dictionaries(st.sampled_from(HYPERPARAMETERS), NUMERIC | NETWORKS | VALUES, min_size=1, max_size=2))
@example({"learning_rate": math.inf})
@example({"gamma": math.nan})
def test_hyperparameters(watchdog, here: Path, hyperparameters: dict[str, Any]) -> None:
    import torch

    from agents.dqn.algorithms import load_model
    from agents.training.run import TrainRequest, train

    request = TrainRequest(
        env="OcclusionSearchOracle-v0", n_timesteps=12, hyperparams={**TINY, **hyperparameters}, eval_freq=-1,
        log_folder=str(here / "logs"), device="cpu",
    )  # fmt: skip
    run = watchdog(lambda: train(request))
    if run is not None:
        state = load_model("dqn", run.model, "cpu").policy.state_dict()
        assert all(torch.isfinite(value).all() for value in state.values())
    shutil.rmtree(here / "logs", ignore_errors=True)


# Environments


KEYWORDS = (
    "features", "layer", "weights", "base_weights", "observation", "pixels", "state", "context", "reward", "gamma",
    "reward_scale", "occluder", "patches", "step", "max_area", "min_side", "max_aspect", "history", "max_steps",
    "eta",
    "phi", "drop", "phi_quantile", "info_names", "cache_mb", "device", "precision", "targets", "scorer",
    "max_episode_steps", "x",
)  # fmt: skip
NAMES_OF_THE_ENVIRONMENT = st.sampled_from([
    "pixels", "dict", "features+region", "potential", "margin", "record", "difference", "roi", "crop", "cutout",
    "zero",
    "noise", "mean", "background", "drawn", "drawn:1", "drawn:x", "synthetic:-1", "oracle:9", "slim", "vgg16",
    "bf16", "fp32",
    "", ":", "a:b:c", "no_such_module:x", "math:no_such", "1:2",
])  # fmt: skip
ODD = st.sampled_from([
    10**9, 10**20, -1, 0, 1e-9, 0.5, 2.0, math.nan, math.inf, True, None, "1", b"x", [1], {"a": 1}, (1, 2), 1j,
    np.float32(0.2), np.int64(3), np.array([1.0, 2.0]), object, 10**400, np.float64("nan"),
])  # fmt: skip
IDS = st.sampled_from(["OcclusionSearchOracle-v0", "OcclusionSearch-v0", "BackgroundSearch-v0"])


def play(env: Any, steps: int = 3) -> None:
    """A few random actions in an environment that was made."""
    vector = isinstance(env, gym.vector.VectorEnv)
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation) and np.isfinite(reward).all()
        if not vector and (terminated or truncated):
            break
    env.close()


@fuzz(
    0.05,
    IDS,
    st.dictionaries(st.sampled_from(KEYWORDS), ODD | VALUES | NAMES_OF_THE_ENVIRONMENT, max_size=2),
    st.booleans(),
)
def test_arguments_of_environments(watchdog, name: str, arguments: dict[str, Any], vector: bool) -> None:
    # A program may name module:attribute; files may not, see the cards.
    if any(value in FOREIGN for value in arguments.values() if isinstance(value, str)):
        return
    given = {**CHEAP, **arguments}
    if "phi" in arguments:
        given.pop("drop") if "drop" not in arguments else None
    # Gymnasium checks the horizon itself, before the environment is made.
    documented = (gym.error.Error, *((TypeError, ValueError) if "max_episode_steps" in given else ()))
    if vector:
        env = watchdog(lambda: gym.make_vec(name, 2, "vector_entry_point", **given), *documented)
    else:
        env = watchdog(lambda: gym.make(name, disable_env_checker=True, **given), *documented)
    if env is not None:
        watchdog(lambda: play(env))


def odd_arrays() -> st.SearchStrategy[Any]:
    """Images and what somebody may take for one."""
    base = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    read_only = base.copy()
    read_only.flags.writeable = False
    return st.sampled_from([
        base, base[:, :, ::-1], base[::2, ::3], base[::-1], base.T, base[..., 0], base[..., :1], base[..., :2],
        np.dstack([base, base[..., 0]]), base.astype(np.float32) / 255, base.astype(np.float64),
        base.astype(np.int32),
        base.astype(np.uint16), base > 100, base.astype(object), base[:0], base[:, :0], base[..., :0], base[:1,
        :1],
        np.zeros((2, 3000, 3), np.uint8), read_only, base[None], np.zeros((40, 60, 3)) * np.nan, np.array(0),
        "x", None,
        base.tolist(), PILImage.fromarray(base), base.astype("S1"), np.full((9, 9, 3), 255, np.uint8),
    ])  # fmt: skip


BOXES = st.one_of(
    st.lists(
        st.floats(-50, 90) | st.sampled_from([0.0, 1e-9, 1e9, 1e308, math.nan, math.inf, -math.inf, 100_000.0]),
        min_size=3, max_size=5,
    ),
    st.sampled_from([
        (5, 5, 20, 20), (0, 0, 60, 40), (-10, -10, 100, 100), (5, 5, 0, 0), (5, 5, -3, 4), (59.5, 39.5, 1, 1),
        (0, 0, 100_000, 100_000), (-1e6, -1e6, 1e7, 1e7), (200, 200, 5, 5), None, "5,5,20,20", [[5, 5, 20, 20]],
        np.array([]),
        (5, 5, 20, 1e-3), [5, 5, "a", 3], (True, True, True, True),
    ]),
    VALUES,
)  # fmt: skip
OPTIONS = st.fixed_dictionaries({}, optional={
    "image": odd_arrays(), "box": BOXES, "exemplar": odd_arrays(), "patch": odd_arrays(), "region": BOXES,
    "target": ODD | VALUES | st.just("oracle-0/000001"),
    "reset_mask": st.sampled_from([np.array([True, False]), np.array([False, False]), np.array([1, 0]), [True,
    False], None, 3]),
    "x": st.just(1),
})  # fmt: skip
ACTIONS = st.one_of(
    st.integers(-2, 10),
    ODD,
    VALUES,
    st.sampled_from(
        [np.array([0, 1]), np.array([0.0, 1.0]), np.array([9, 0]), np.array([[0], [1]]), np.array(3), [0, 1], "up"]
    ),
)


@pytest.fixture(scope="module")
def environments(watchdog) -> dict[tuple[str, bool], Any]:
    found = {}
    for name in ("OcclusionSearchOracle-v0", "BackgroundSearch-v0"):
        found[name, False] = gym.make(name, disable_env_checker=True, render_mode="rgb_array", **CHEAP)
        for mode in gym.vector.AutoresetMode:
            found[name, mode] = gym.make_vec(name, 2, "vector_entry_point", autoreset_mode=mode, **CHEAP)
    return found


def sound(env: Any) -> None:
    """Check that an environment works as ever after whatever it was given."""
    observation, info = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    env.step(np.zeros_like(env.action_space.sample()))


@fuzz(
    0.07, st.sampled_from(["OcclusionSearchOracle-v0", "BackgroundSearch-v0"]),
    st.sampled_from([False, *gym.vector.AutoresetMode]), OPTIONS | VALUES, st.none() | ODD | st.integers(0, 9),
    st.lists(ACTIONS, max_size=4),
)  # fmt: skip
@example("OcclusionSearchOracle-v0", False, [1], None, [])
@example("OcclusionSearchOracle-v0", gym.vector.AutoresetMode.NEXT_STEP, None, object, [[0, [1]]])
def test_options_and_actions(
    watchdog, environments, name: str, mode: Any, options: Any, seed: Any, actions: list[Any]
) -> None:
    env = environments[name, mode]
    watchdog(lambda: env.reset(seed=seed, options=options), gym.error.Error)
    for action in actions:
        watchdog(lambda action=action: env.step(action), gym.error.Error)
    if not mode:
        watchdog(env.render, gym.error.Error)
    watchdog(lambda: sound(env))


# Hard positives


@fuzz(
    0.05, st.lists(odd_arrays(), max_size=3), st.lists(BOXES, max_size=3), st.none() | st.lists(odd_arrays(),
    max_size=2),
    st.none() | st.lists(st.text(max_size=4), max_size=3), ODD, ODD,
    st.sampled_from(["random", "centre", "cell", "best of 3 random", "best of 0 random",
    "best of 99999999999 random", "x"]),
)  # fmt: skip
@example([np.zeros((9, 9, 3), np.uint8)], [[0, 0, 5]], None, None, 1, 0, "random")
@example([], [], None, None, 1, 0, "best of 99999999999 random")
def test_generator(watchdog, images, boxes, exemplars, names, draws: Any, seed: Any, method: str) -> None:
    from agents import HardPositiveGenerator
    from occlusion_env.scene.oracle import OracleScorer

    make = watchdog(lambda: HardPositiveGenerator(method, OracleScorer()))
    if make is None:
        return
    with_defaults = {} if draws is None else {"draws": draws}
    # A number of hard positives is the caller's own wish.
    if isinstance(draws, int | np.integer) and draws > 100:
        with_defaults = {}
    found = watchdog(lambda: make(images, boxes, exemplars, names, seed=seed, **with_defaults))
    if found is not None:
        assert all(one.image.dtype == np.uint8 for one in found)
    watchdog(lambda: make(images, [(5, 5, 20, 20)] * len(images)))


TENSORS = st.sampled_from([
    ("uint8", (3, 40, 60)), ("float32", (3, 40, 60)), ("float64", (3, 40, 60)), ("float16", (3, 40, 60)),
    ("int64", (3, 40, 60)),
    ("bool", (3, 40, 60)), ("uint8", (1, 40, 60)), ("uint8", (2, 40, 60)), ("uint8", (4, 40, 60)), ("uint8", (5,
    40, 60)),
    ("uint8", (40, 60)), ("uint8", (3, 0, 60)), ("uint8", (3, 40, 0)), ("uint8", (0, 40, 60)), ("float32", (3,
    1, 1)),
    ("uint8", (2, 3, 40, 60)), ("complex64", (3, 40, 60)), ("bfloat16", (3, 40, 60)),
])  # fmt: skip


def tensor_of(kind: tuple[str, tuple[int, ...]], layout: str) -> Any:
    import torch

    dtype, shape = getattr(torch, kind[0]), kind[1]
    made = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    made = (made * 255).to(dtype) if not dtype.is_floating_point and dtype != torch.bool else made.to(dtype)
    if layout == "strided":
        made = made.transpose(-1, -2).contiguous().transpose(-1, -2)
    return made.requires_grad_() if layout == "grad" and dtype.is_floating_point else made


ROWS_OF_BOXES = st.lists(
    st.lists(
        st.floats(-20, 70, width=32) | st.sampled_from([0.0, 1e9, 1e30, math.nan, math.inf, 100_000.0]),
        min_size=4, max_size=4
    ),
    max_size=3,
)  # fmt: skip
LAYOUT = st.sampled_from(["plain", "strided", "grad"])


@fuzz(
    0.05,
    TENSORS,
    LAYOUT,
    ROWS_OF_BOXES,
    st.sampled_from(["XYWH", "XYXY", "CXCYWH"]),
    st.sampled_from(["tensor", "tv", "pil"]),
    st.integers(-4, 4),
)
def test_transform(watchdog, kind: Any, layout: str, boxes: Any, form: str, wrapper: str, target: int) -> None:
    import torch
    from torchvision import tv_tensors

    from agents.hard_positives.transforms import HardPositiveTransform

    image = tensor_of(kind, layout)
    if wrapper == "tv":
        image = tv_tensors.Image(image)
    if wrapper == "pil":
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        size = kind[1][-2:] if len(kind[1]) > 1 else (1, 1)
        image = PILImage.new(modes.get(kind[1][0], "CMYK"), (max(size[1], 0), max(size[0], 0)))
    rows = tv_tensors.BoundingBoxes(torch.tensor(boxes).reshape(-1, 4), format=form, canvas_size=(40, 60))
    found = watchdog(lambda: HardPositiveTransform(p=1, target=target)({"image": image, "boxes": rows}))
    if found is not None and wrapper != "pil":
        assert found["image"].shape == image.shape and found["image"].dtype == image.dtype


@fuzz(
    0.05, TENSORS, LAYOUT, ROWS_OF_BOXES, st.sampled_from(["random", "centre", "cell", "best of 2 random"]),
    ODD, st.integers(1, 3), st.none() | TENSORS,
)  # fmt: skip
@example(("uint8", (3, 40, 60)), "plain", [[5, 5, 20, 20]], "random", 10**20, 1, None)
@example(("uint8", (3, 40, 0)), "plain", [[-13.5, 0.25, 50.5, 0.25]], "random", 1, 1, None)
@example(("uint8", (3, 40, 60)), "plain", [[5, 5, 1e30, 1e30]], "random", 1, 1, None)
def test_batch(
    watchdog, kind: Any, layout: str, boxes: Any, method: str, patches: Any, count: int, exemplars: Any
) -> None:
    import torch

    from agents.hard_positives.transforms import HardPositiveBatch
    from occlusion_env.scene.oracle import OracleScorer

    images = tensor_of((kind[0], (count, *kind[1])), layout)
    given = None if exemplars is None else tensor_of((exemplars[0], (count, *exemplars[1])), layout)
    batch = watchdog(lambda: HardPositiveBatch(method, OracleScorer(), patches=patches))
    for module in (batch, watchdog(lambda: HardPositiveBatch(method, OracleScorer()))):
        if module is not None:
            found = watchdog(lambda module=module: module(images, torch.tensor(boxes).reshape(-1, 4), given))
            assert found is None or (found.shape == images.shape and found.dtype == images.dtype)


@fuzz(
    0.02,
    st.dictionaries(
        st.sampled_from(
            ["p", "method", "scorer", "limits", "target", "least_area", "source", "patches", "objective"]
        ),
        ODD | VALUES,
        min_size=1,
        max_size=2,
    ),
)
def test_arguments_of_the_transform(watchdog, arguments: dict[str, Any]) -> None:
    from agents.hard_positives.transforms import HardPositiveTransform

    if arguments.get("scorer") in FOREIGN:
        return
    watchdog(lambda: HardPositiveTransform(**arguments))


# The command line


def options_of(command: Any) -> list[str]:
    import inspect

    return ["--" + name.replace("_", "-") for name in inspect.signature(command).parameters]


def command_lines() -> dict[tuple[str, ...], list[str]]:
    """Every command and its options."""
    from agents.cli.commands import COMMANDS

    return {tuple(name.split()): options_of(command) for name, command in COMMANDS.items()}


COMMANDS = command_lines()
WORDS = st.one_of(
    st.sampled_from([
        "--help", "-h", "--", "-", "", "-1", "0", "1e9", "nan", "inf", "1" * 30, "--x", "--out", "x", "cpu",
        "cuda", "cuda:99",
        "cuda:x", "mps", "auto", "1,2,3,4", "None", "True", "[]", "{", "a:b", "reward:paper", "reward:{a: [",
        "\u00e9", "--out=",
        "--seed=-1", "a" * 3000, "\t", "a\nb", ".", "/", "/dev/null", "/nonexistent/x", "--no-load-best", "-P",
        "-f", "slim",
    ]),
    st.text(max_size=8),
)  # fmt: skip


class Parsed(Exception):
    """A command line was understood."""


@pytest.fixture(scope="module")
def parser() -> Callable[[list[str]], None]:
    """The command line with commands that do nothing."""
    from agents.cli import run_command
    from agents.cli.commands import COMMANDS as FUNCTIONS

    def idle(command: Any) -> Any:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> None:
            raise Parsed

        return run

    commands = {name: idle(command) for name, command in FUNCTIONS.items()}

    def parse(words: list[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, command in commands.items():
                patch.setitem(FUNCTIONS, name, command)
            run_command(words)

    return parse


def understood(parse: Callable[[list[str]], None], words: list[str]) -> None:
    from tracker.errors import InputError

    try:
        parse(words)
    except (Parsed, InputError):
        return
    except SystemExit as end:
        assert end.code in (0, 2), end.code


@fuzz(
    0.03,
    st.sampled_from([*COMMANDS, ("x",), ("benchmark",), ()]).flatmap(
        lambda command: st.tuples(
            st.just(command), st.lists(WORDS | st.sampled_from(COMMANDS.get(command, ["--x"])), max_size=6)
        )
    ),
)
def test_command_lines(watchdog, parser, line: tuple[tuple[str, ...], list[str]]) -> None:
    words = [*line[0], *line[1]]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        watchdog(lambda: understood(parser, words))


TINY_COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "track": (
        ["track"],
        ["--data", "{frames}", "--box", "3,4,10,8", "--out", "{out}/a.mp4", "--tracker", "kcf", "--frames", "2"],
    ),
    "score": (
        ["benchmark", "score"], ["--results", "{results}", "--annotations", "{truth}", "--json", "{out}/a.json"]
    ),
    "report": (
        ["benchmark", "report"], ["--results", "{results}", "--annotations", "{truth}", "--out", "{out}/report"]
    ),
    "run": (["benchmark", "run"], ["--tracker", "kcf", "--data", "{frames}", "--out", "{out}/run"]),
    "generate": (
        ["generate", "--per-sequence", "1"],
        ["--data", "{frames}", "--out", "{out}/generated", "--agent", "random"],
    ),
    "enjoy": (
        ["enjoy", "-n", "1"],
        ["--agent", "{agent}", "--gif", "{out}/a.gif", "--env", "OcclusionSearchOracle-v0"],
    ),
    "export-agent": (["export-agent"], ["--agent", "{frames}", "--out", "{out}/a.safetensors"]),
    "train-vae": (["train-vae", "--epochs", "1"], ["--data", "{frames}", "--out", "{out}/bank"]),
    "check-tracker": (["check-tracker"], ["--tracker", "{agent}", "--json", "{out}/b.json"]),
    "evaluate": (
        ["evaluate", "--per-sequence", "1", "--seeds", "1", "--checks", "none", "--last", "none"],
        ["--data", "{frames}", "--agent", "{agent}", "--out", "{out}/evaluation"],
    ),
}  # fmt: skip
"""What of each command stays as it is, and what is changed."""
PATHS = [
    "{frames}",
    "{truth}",
    "{results}",
    "{agent}",
    "{out}",
    "{empty}",
    "{binary}",
    "{pipe}",
    "{missing}",
    "/dev/null",
    "",
    ".",
    "{long}",
]


@pytest.fixture(scope="module")
def things(watchdog, here: Path) -> dict[str, str]:
    """What the words of commands stand for."""
    root = here / "things"
    (root / "results").mkdir(parents=True)
    (root / "results" / "one.txt").write_bytes(ROWS)
    (root / "truth.json").write_bytes(dump(TRUTH))
    frames = root / "one" / "img"
    frames.mkdir(parents=True)
    for t in range(3):
        (frames / f"{t + 1:04d}.png").write_bytes(picture(32, 24, t))
    (root / "one" / "groundtruth_rect.txt").write_bytes(ROWS)
    (root / "agent.safetensors").write_bytes(SMALL_AGENT)
    (root / "agent.json").write_bytes(dump(SMALL_CARD))
    (root / "empty").write_bytes(b"")
    (root / "binary.mp4").write_bytes(bytes(range(256)) * 4)
    return {
        "frames": str(root / "one"), "truth": str(root / "truth.json"), "results": str(root / "results"),
        "agent": str(root / "agent.safetensors"), "out": str(root / "out"), "empty": str(root / "empty"),
        "binary": str(root / "binary.mp4"), "missing": str(root / "missing"), "long": str(root / ("x" * 5000)),
        "pipe": str(root / "truth.json" / "below"),
    }  # fmt: skip


@fuzz(
    0.015,
    st.sampled_from([*TINY_COMMANDS]),
    st.lists(
        st.tuples(PLACE, st.sampled_from(["replace", "remove", "add"]), st.sampled_from(PATHS) | WORDS),
        max_size=3,
    ),
)
def test_commands(watchdog, here: Path, things, monkeypatch_session, name: str, edits: list[Any]) -> None:
    from agents.cli import main

    head, words = TINY_COMMANDS[name][0], list(TINY_COMMANDS[name][1])
    for place, kind, word in edits:
        at = int(place * len(words))
        if kind == "add":
            words.insert(at, word)
        elif at < len(words):
            words[at : at + 1] = [word] if kind == "replace" else []
    out = Path(things["out"])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    stdout, stderr = io.StringIO(), io.StringIO()
    filled = [re.sub(r"^\{(\w+)\}", lambda match: things[match[1]], word) for word in [*head, *words]]
    monkeypatch_session.setattr("sys.argv", ["occlusion-search", *filled])

    def run() -> int:
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = watchdog(run)
    assert code in (None, 0, 1, 2), code
    assert "Traceback" not in stderr.getvalue(), stderr.getvalue()
    for line in stderr.getvalue().splitlines():
        if line.startswith("occlusion-search: error: "):
            assert len(line) < 700, line


@pytest.fixture(scope="module")
def monkeypatch_session() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
