from __future__ import annotations

import configparser
import inspect
import os
import shlex
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from agents.cli import main
from tracker import InputError
from tracker.evaluation import vot
from tracker.trackers import registry


class Region(SimpleNamespace):
    """What TraX sends, as far as `region_to_box` looks at it."""

    def __iter__(self):
        return iter(self.points)

    def bounds(self):
        return self.box

    def array(self):
        return self.pixels

    def offset(self):
        return self.at


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "config.yaml").write_text("stack: vot2014\n")
    return tmp_path


def test_a_rectangle_is_taken_as_it_is():
    assert vot.region_to_box(Region(type="rectangle", box=(1.5, 2, 3, 4))).tolist() == [1.5, 2, 3, 4]


def test_a_polygon_becomes_its_hull():
    tilted = Region(type="polygon", points=[(5, 0), (10, 4), (6, 9), (1, 5)])
    assert vot.region_to_box(tilted).tolist() == [1, 0, 9, 9]


def test_a_mask_becomes_the_box_around_its_pixels():
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2:4, 3:7] = 1
    mask = Region(type="mask", pixels=pixels, at=(10, 20))
    assert vot.region_to_box(mask).tolist() == [13, 22, 4, 2]
    with pytest.raises(InputError, match="mask is empty"):
        vot.region_to_box(Region(type="mask", pixels=np.zeros((2, 2), np.uint8), at=(0, 0)))


def test_a_region_of_another_kind_is_refused():
    with pytest.raises(InputError, match="of the kind 'special'"):
        vot.region_to_box(Region(type="special"))


@pytest.mark.parametrize(
    "answer", [[np.nan, 0, 5, 5], [0, 0, 0, 5], [0, 0, 5, -1], [1, 2, 3], [0, np.inf, 5, 5]], ids=str
)
def test_an_answer_that_is_no_box_is_an_empty_rectangle(answer):
    assert vot._answer(answer).tolist() == [0, 0, 0, 0]
    assert vot._answer([1, 2, 3, 4]).tolist() == [1, 2, 3, 4]


def test_the_entry_is_what_the_toolkit_reads(workspace):
    weights, base = workspace / "50% of it.safetensors", workspace / "base.safetensors"
    file = vot.register(workspace, "mine-1", "sint-slim", weights=weights, base_weights=base, device="cpu")
    config = configparser.ConfigParser()
    config.read(file)
    section = config["mine-1"]
    assert section["protocol"] == "trax" and float(section["timeout"]) >= 60
    words = [
        sys.executable,
        "-m",
        "tracker.evaluation.vot",
        "sint-slim",
        "--weights",
        str(weights),
        "--base-weights",
        str(base),
        "--device",
        "cpu",
    ]
    assert shlex.split(section["command"]) == words


def test_every_setting_of_a_tracker_reaches_it(monkeypatch, workspace):
    """What `load_tracker` takes goes through the command, the entry and the process that the toolkit starts."""
    (workspace / "w.safetensors").touch()
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(vot, "check_extra", lambda: None)
    given = {
        "name": "sint-vgg16", "weights": "w.safetensors", "device": "cpu", "precision": "fp32",
        "base_weights": "imagenet",
    }  # fmt: skip
    assert given.keys() == inspect.signature(registry.load_tracker).parameters.keys()
    options = [
        word for key, value in given.items() if key != "name" for word in (f"--{key.replace('_', '-')}", value)
    ]
    words = ["benchmark", "vot", "--tracker", given["name"], "--workspace", ".", "--label", "x", *options]
    monkeypatch.setattr(sys, "argv", ["occlusion-search", *words])
    main()
    config = configparser.ConfigParser()
    config.read(workspace / "trackers.ini")
    received = {}
    made = inspect.signature(registry.load_tracker)
    monkeypatch.setattr(
        registry, "load_tracker", lambda *args, **kwargs: received.update(made.bind(*args, **kwargs).arguments)
    )
    monkeypatch.setattr(vot, "serve", lambda make: make())
    vot.main(shlex.split(config["x"]["command"])[3:])
    assert received == {**given, "weights": str(workspace / "w.safetensors")}


def test_an_answer_that_keeps_gradients_is_said():
    answer = torch.tensor([1.0, 2, 3, 4], requires_grad=True)
    with pytest.raises(InputError, match="keeps gradients"):
        vot._answer(answer)


def test_other_entries_and_comments_stay(workspace):
    before = "# mine\n[other]\ncommand = run\n\n[mil]\ncommand = old\nprotocol = old\n\n[last]\ncommand = x\n"
    (workspace / "trackers.ini").write_text(before)
    vot.register(workspace, "mil", "mil")
    vot.register(workspace, "mil", "mil")
    text = (workspace / "trackers.ini").read_text()
    config = configparser.ConfigParser()
    config.read_string(text)
    assert config.sections() == ["other", "last", "mil"]
    assert config["mil"]["protocol"] == "trax" and config["other"]["command"] == "run"
    assert text.startswith("# mine\n")


def test_a_label_that_the_toolkit_would_drop_is_refused(workspace):
    with pytest.raises(InputError, match="'my tracker' is no name for vot-toolkit"):
        vot.register(workspace, "my tracker", "mil")
    assert not (workspace / "trackers.ini").exists()


def test_a_folder_that_is_no_workspace_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no VOT workspace .* vot initialize"):
        vot.register(tmp_path, "mil", "mil")


def test_the_conversation_with_the_toolkit(monkeypatch, tmp_path, make_video, write_otb):
    """A restart after a failure is a second `initialize`; the tracker is made once."""
    folder = write_otb(tmp_path / "v", make_video(frames=3))
    files = sorted((folder / "img").iterdir())
    images = [{"color": SimpleNamespace(path=lambda file=file: str(file))} for file in files]
    first, again = Region(type="rectangle", box=(21, 16, 16, 12)), Region(type="rectangle", box=(23, 16, 16, 12))
    script = [
        ("initialize", images[0], [(first, {})]),
        ("frame", images[1], None),
        ("initialize", images[2], [(again, {})]),
    ]
    sent = []
    server = SimpleNamespace(
        wait=lambda: (
            SimpleNamespace(**dict(zip(("type", "image", "objects"), script.pop(0), strict=True)))
            if script
            else SimpleNamespace(type="quit")
        ),
        status=lambda objects: sent.append(objects),
    )

    class Server:
        def __init__(self, regions, formats):
            assert regions == ["rectangle", "polygon", "mask"] and formats == ["path"]

        def __enter__(self):
            return server

        def __exit__(self, *_):
            return None

    trax, region = ModuleType("trax"), ModuleType("trax.region")
    trax.__spec__ = SimpleNamespace()
    trax.Server, trax.Image = Server, SimpleNamespace(PATH="path")
    trax.TraxStatus = SimpleNamespace(INITIALIZE="initialize", FRAME="frame", QUIT="quit")
    region.Region = SimpleNamespace(RECTANGLE="rectangle", POLYGON="polygon", MASK="mask")
    region.Rectangle = SimpleNamespace(create=lambda *box: box)
    monkeypatch.setitem(sys.modules, "trax", trax)
    monkeypatch.setitem(sys.modules, "trax.region", region)

    calls = []

    class Tracker:
        name = "fake"

        def init(self, image, box):
            calls.append(("init", image.shape, image.dtype, box.tolist()))

        def update(self, image):
            calls.append(("update", image.shape, image.dtype))
            return np.array([np.nan, 0, 1, 1])

    vot.serve(Tracker)
    assert calls == [
        ("init", (48, 64, 3), np.uint8, [21, 16, 16, 12]),
        ("update", (48, 64, 3), np.uint8),
        ("init", (48, 64, 3), np.uint8, [23, 16, 16, 12]),
    ]
    assert sent == [[((21, 16, 16, 12), {})], [((0, 0, 0, 0), {})], [((23, 16, 16, 12), {})]]


def test_without_the_extra_there_is_one_sentence(monkeypatch, workspace, capsys):
    monkeypatch.setattr(vot.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'install the extra: pip install "occlusion-search\[vot\]"'):
        vot.serve(lambda: pytest.fail("a tracker was made"))
    monkeypatch.setattr(
        sys, "argv", ["occlusion-search", "benchmark", "vot", "--tracker", "mil", "--workspace", str(workspace)]
    )
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2 and "occlusion-search[vot]" in capsys.readouterr().err
    assert not (workspace / "trackers.ini").exists()


def test_a_tracker_whose_name_the_toolkit_would_not_take_gets_a_label(monkeypatch, workspace):
    monkeypatch.setattr(vot.importlib.util, "find_spec", lambda name: True)
    arguments = ["--tracker", "sint-torchvision:resnet18", "--weights", "random", "--workspace", str(workspace)]
    monkeypatch.setattr(sys, "argv", ["occlusion-search", "benchmark", "vot", *arguments])
    main()
    text = (workspace / "trackers.ini").read_text()
    assert "[sint-torchvision-resnet18]" in text and "vot sint-torchvision:resnet18" in text


def test_the_process_follows_a_target_for_a_real_client(tmp_path, make_video, write_otb):
    """Runs where TraX is installed: the extra `vot`."""
    pytest.importorskip("trax")
    from trax.client import Client
    from trax.image import FileImage
    from trax.region import Polygon

    video = make_video(frames=4, width=128, height=96)
    files = sorted((write_otb(tmp_path / "v", video) / "img").iterdir())
    x, y, w, h = video.boxes[0]
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    log: list[str] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker.evaluation.vot", "mil", "--device", "cpu"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TRAX": "1"},
    )
    try:
        client = Client(stream=(process.stdin.fileno(), process.stdout.fileno()), log=log.append)
        answer, _ = client.initialize(
            {"color": FileImage.create(str(files[0]))}, [(Polygon.create(corners), {})], {}
        )
        assert answer[0][0].bounds() == pytest.approx(video.boxes[0])
        for t in (1, 2, 3):
            answer, _ = client.frame({"color": FileImage.create(str(files[t]))}, {}, [])
            assert answer[0][0].bounds() == pytest.approx(video.boxes[t], abs=6)
        client.quit()
        assert process.wait(20) == 0
    finally:
        process.kill()
