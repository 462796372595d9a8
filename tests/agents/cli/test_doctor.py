import importlib

from agents import doctor
from agents.doctor import PACKAGES, examine

HEALTHY = {name: ["occlusion-search"] for name in PACKAGES} | {"cv2": ["opencv-python"]}


def test_this_installation_has_one_owner_a_name():
    assert [finding for finding in examine() if "import name" in finding] == []


def test_a_second_owner_is_named():
    findings = examine(HEALTHY | {"agents": ["openai-agents", "occlusion-search"]})
    assert len(findings) == 1
    assert "'agents'" in findings[0] and "openai-agents" in findings[0]


def test_opencv_missing_or_twice():
    assert "missing" in examine({**HEALTHY, "cv2": []})[0]
    both = examine({**HEALTHY, "cv2": ["opencv-python", "opencv-contrib-python"]})
    assert "opencv-contrib-python and opencv-python share" in both[0]


def test_a_package_without_its_init_is_found(tmp_path, monkeypatch):
    (tmp_path / "halved").mkdir()
    (tmp_path / "halved" / "part.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "PACKAGES", ("halved", "not_there"))
    findings = examine({"cv2": ["opencv-python"]})
    assert ["'halved' has no __init__.py" in findings[0], "'not_there' has" in findings[1]] == [True, True]
    (tmp_path / "halved" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert len(examine({"cv2": ["opencv-python"]})) == 1
