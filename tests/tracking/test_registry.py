from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file

from tracker.errors import InputError
from tracker.models.backbones.base import fingerprint
from tracker.trackers.opencv import CONTRIB
from tracker.trackers.registry import OPENCV, TRACKERS, load_tracker
from tracker.trackers.sint.tracker import SintTracker

OWN = """
class Still:
    name = "still"

    def init(self, image, box):
        self.box = box

    def update(self, image):
        return self.box


def nameless():
    tracker = Still()
    tracker.__class__ = type("Nameless", (), {"update": Still.update})
    return tracker


number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module in the current folder."""
    name = f"own_tracker_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_mil_needs_nothing() -> None:
    assert load_tracker("mil").name == "mil"


def test_the_default_tracker_is_the_slim_net_with_another_fc6() -> None:
    slim, trained = load_tracker("sint-slim", device="cpu"), load_tracker("sint", device="cpu")
    assert isinstance(slim, SintTracker) and isinstance(trained, SintTracker)
    assert trained.name == "sint" and trained.settings == slim.settings
    assert trained.sint.base == fingerprint(slim.sint.backbone)
    before, after = slim.sint.state_dict(), trained.sint.state_dict()
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc6"}


def test_siamfc_takes_device_and_precision(tmp_path: Path) -> None:
    from tracker.models.siamfc import SiamFCNet
    from tracker.trackers.siamfc import SiamFCTracker

    save_file(SiamFCNet().state_dict(), tmp_path / "w.safetensors")
    tracker = load_tracker("siamfc", tmp_path / "w.safetensors", "cpu", "bf16")
    assert isinstance(tracker, SiamFCTracker) and tracker._dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        (
            "camshift",
            None,
            f"'camshift' is no tracker; choose {', '.join(TRACKERS)}, sint-torchvision:MODEL, or module:function",
        ),
        ("nano", None, "'nano' needs weights; give the folder with its two ONNX files"),
        ("siamfc", None, "'siamfc' needs weights; give its safetensors file"),
        ("mil", "w", "'mil' has no weights; leave them out"),
        ("siamfc", "nowhere", "'nowhere' does not exist"),
        ("nano", "nowhere", "'nowhere' has no nanotrack_backbone_sim.onnx"),
        ("no_such_module:f", None, "no module 'no_such_module' here or among the installed ones"),
        ("no_such.module:f", None, "no module 'no_such.module' here"),
        (":f", None, "':f' names no module"),
        ("math:tau", None, "'math' has no function 'tau'"),
        ("builtins:dict", None, "'builtins:dict' returned a dict, which lacks a name, init or update"),
        ("math:f", "w", "'math:f' is your own and loads its own weights"),
    ],
)
def test_what_is_refused(name: str, weights: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load_tracker(name, weights)
    assert "\n" not in str(caught.value)


def test_contrib_trackers_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for in_opencv, _ in CONTRIB.values():
        monkeypatch.delattr(cv2, f"Tracker{in_opencv}_create", raising=False)
    monkeypatch.delattr(cv2, "legacy", raising=False)
    assert set(OPENCV) == {*CONTRIB, "mil"}
    for name in CONTRIB:
        with pytest.raises(InputError, match="uninstall opencv-python and install opencv-contrib-python"):
            load_tracker(name)


def test_a_tracker_of_the_current_folder(own: str) -> None:
    assert load_tracker(f"{own}:Still").name == "still"
    with pytest.raises(InputError, match="returned a Nameless, which lacks"):
        load_tracker(f"{own}:nameless")
    with pytest.raises(InputError, match="has no function 'number'"):
        load_tracker(f"{own}:number")


def test_a_module_that_needs_another_says_which(own: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}.py").write_text("import not_installed_either\n")
    with pytest.raises(InputError, match=f"'{own}' needs 'not_installed_either'"):
        load_tracker(f"{own}:Still")


def test_an_error_inside_an_own_module_is_not_hidden(own: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_tracker(f"{own}:Still")


def test_opencvs_trackers_need_no_torch() -> None:
    code = "import sys; from tracker.trackers.registry import load_tracker; load_tracker('mil'); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
