from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tracker.data.sequences import Sequence
from tracker.errors import InputError
from tracker.evaluation.annotations import read_annotations


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file(tmp_path: Path) -> None:
    rows = [[1, 1, 5, 6], [0, 1, 5, 6], [1, -3, 5, 6], [2, 2, 0, 6], [2, 2, 5, -1], [0, 0, 0, 0], [0.5, 0.5, 1, 1]]
    file = write(tmp_path / "a.json", {"b": {"boxes": rows, "attributes": ["OCC"]}, "a": {"boxes": rows[:1]}})
    found = read_annotations(file)
    assert list(found) == ["a", "b"] and len(found["b"]) == 7
    assert found["b"].valid.tolist() == [True, False, False, False, False, False, True]
    assert found["b"].boxes[0].tolist() == [0, 0, 5, 6] and found["b"].boxes[5].tolist() == [0, 0, 0, 0]
    assert found["b"].attributes == ("OCC",) and found["a"].attributes is None


def test_a_folder(tmp_path: Path, make_video: Callable[..., Sequence], write_otb: Callable) -> None:
    video = make_video(frames=4)
    write_otb(tmp_path / "all" / "One", video)
    two = write_otb(tmp_path / "all" / "Jogging", video)
    (two / "groundtruth_rect.txt").rename(two / "groundtruth_rect.1.txt")
    (two / "groundtruth_rect.2.txt").write_text("2,3,9,9\n0,3,9,9\n0 0 0 0\n1\t1\t9\t9\n")
    (tmp_path / "all" / "notes").mkdir()
    found = read_annotations(tmp_path / "all")
    assert list(found) == ["Jogging-1", "Jogging-2", "One"]
    assert (found["One"].boxes == video.boxes).all() and found["One"].valid.all()
    assert found["Jogging-2"].boxes[0].tolist() == [1, 2, 9, 9]
    assert found["Jogging-2"].valid.tolist() == [True, False, False, True]
    assert {annotation.attributes for annotation in found.values()} == {None}
    labels = write(tmp_path / "labels.json", {"One": {"attributes": ["MB"]}, "Jogging-2": ["OCC", "MB"]})
    found = read_annotations(tmp_path / "all", labels)
    assert found["One"].attributes == ("MB",) and found["Jogging-2"].attributes == ("OCC", "MB")
    assert found["Jogging-1"].attributes is None
    assert list(read_annotations(tmp_path / "all" / "One")) == ["One"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([1], "holds no annotations by name"),
        ({}, "holds no annotated target"),
        ({"a": 3}, "'a' in .* has no boxes; write"),
        ({"a": {"boxes": []}}, "not rows of four numbers"),
        ({"a": {"boxes": [[1, 2, 3]]}}, "not rows of four numbers"),
        ({"a": {"boxes": [[1, 2, 3, "x"]]}}, "not rows of four numbers"),
        ({"a": {"boxes": [[1, 2, 3, 4], [1, 2, 3]]}}, "not rows of four numbers"),
        ({"a": {"boxes": [[1, 2, 3, 4]], "attributes": "OCC"}}, "attributes of 'a' .* not a list of texts"),
    ],
)
def test_bad_files(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_annotations(write(tmp_path / "a.json", content))


def test_bad_sources(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_annotations(tmp_path / "none.json")
    with pytest.raises(InputError, match="holds no annotated target"):
        read_annotations(tmp_path)


@pytest.mark.data
def test_folders_agree_with_the_file(data_root: Path) -> None:
    """The 15 OTB folders, with OTB's own frame ranges, hold what the file of annotations holds."""
    file = read_annotations(data_root / "golden" / "otb100_annotations.json")
    folders = read_annotations(data_root / "otb", data_root / "golden" / "otb100_annotations.json")
    assert len(folders) == 15
    for name, annotation in folders.items():
        assert annotation.boxes == pytest.approx(file[name].boxes), name
        assert (annotation.valid == file[name].valid).all() and annotation.attributes == file[name].attributes
