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


def test_what_is_known_of_a_sequence(
    tmp_path: Path, make_video: Callable[..., Sequence], write_otb: Callable
) -> None:
    """The frames' size and where the target is absent or covered, which GOT-10k's measures need."""
    video = make_video(frames=6)
    folder = write_otb(tmp_path / "got", video)
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth.txt")
    (folder / "cover.label").write_text("8\n8\n1\n0\n0\n8\n")
    (folder / "absence.label").write_text("0\n0\n0\n0\n1\n0\n")
    (found,) = read_annotations(folder).values()
    assert found.size == video.frames.size(0)
    assert found.present.tolist() == [True, True, True, True, False, True]
    assert found.uncovered.tolist() == [True, True, True, False, False, True]
    assert found.from_frame(2).uncovered.tolist() == [True, False, False, True] and len(found.from_frame(2)) == 4


def test_absent_frames_of_a_lasot_file_of_pysot(tmp_path: Path) -> None:
    """Its `absent` is 1 where the target is there: `gt_traj[video.absent == 1]` in `OPEBenchmark`."""
    entry = {"gt_rect": [[2, 3, 9, 9], [2, 3, 9, 9], [0, 0, 0, 0]], "absent": [1, 0, 0], "attr": ["OV"]}
    (found,) = read_annotations(write(tmp_path / "LaSOT.json", {"airplane-1": entry})).values()
    assert found.valid.tolist() == [True, True, False] and found.present.tolist() == [True, False, False]
    assert found.size is None
    inverted = {**entry, "absent": [0, 1, 1]}  # 1: absent, as the reader of sequences takes it
    (found,) = read_annotations(write(tmp_path / "LaSOT.json", {"airplane-1": inverted})).values()
    assert found.present.tolist() == [True, False, False]
    del entry["absent"]
    (found,) = read_annotations(write(tmp_path / "LaSOT.json", {"airplane-1": entry})).values()
    assert found.present.tolist() == found.uncovered.tolist() == [True, True, False]
    for wrong in ([1, 0], [1, 0, 2], "110", [1, 0, None], [[1], [0], [0]]):
        with pytest.raises(InputError, match="'absent' of 'airplane-1' in .* is not a 0 or 1 for each of its 3"):
            read_annotations(write(tmp_path / "LaSOT.json", {"airplane-1": {**entry, "absent": wrong}}))


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
