"""What is odd about single folders of OTB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tracker.data.images import write_png
from tracker.data.readers import list_targets
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

ROW = "2,2,5,5\n"


def make(folder: Path, numbers: range | list[int], rows: dict[str, int], digits: int = 4) -> Path:
    (folder / "img").mkdir(parents=True)
    image = np.zeros((12, 16, 3), np.uint8)
    write_png(folder / "first.png", image)
    content = (folder / "first.png").read_bytes()
    for number in numbers:
        (folder / "img" / f"{number:0{digits}d}.png").write_bytes(content)
    for name, count in rows.items():
        (folder / f"groundtruth_rect{name}.txt").write_text(ROW * count)
    return folder


@pytest.mark.parametrize(
    ("name", "there", "first", "last"),
    [
        ("David", 770, 300, 770),
        ("Football1", 81, 1, 74),
        ("Freeman3", 474, 1, 460),
        ("Freeman4", 297, 1, 283),
        ("Diving", 231, 1, 215),
    ],
)
def test_ranges(tmp_path: Path, name: str, there: int, first: int, last: int) -> None:
    count = last - first + 1
    folder = make(tmp_path / name, range(1, there + 1), {"": count})
    sequence = open_sequence(folder)
    assert len(sequence) == count
    assert (sequence.frames.name(0), sequence.frames.name(-1)) == (f"{first:04d}.png", f"{last:04d}.png")
    exact = make(tmp_path / "cut" / name, range(first, last + 1), {"": count})
    assert len(open_sequence(exact)) == count
    renumbered = make(tmp_path / "new" / name, range(1, count + 1), {"": count})
    assert len(open_sequence(renumbered)) == count


@pytest.mark.parametrize(("name", "first"), [("BlurCar1", 247), ("BlurCar3", 3), ("BlurCar4", 18)])
def test_folders_that_start_late(tmp_path: Path, name: str, first: int) -> None:
    sequence = open_sequence(make(tmp_path / name, range(first, first + 30), {"": 30}))
    assert len(sequence) == 30 and sequence.frames.name(0) == f"{first:04d}.png"
    longer = open_sequence(make(tmp_path / "all" / name, range(1, first + 30), {"": 30}))
    assert len(longer) == 30 and longer.frames.name(0) == f"{first:04d}.png"


def test_tiger1_starts_behind_five_hidden_frames(tmp_path: Path) -> None:
    folder = make(tmp_path / "Tiger1", range(1, 355), {"": 354})
    (folder / "groundtruth_rect.txt").write_text("9,9,2,2\n" * 5 + ROW * 349)
    sequence = open_sequence(folder)
    assert len(sequence) == 349 and sequence.frames.name(0) == "0006.png"
    assert sequence.exemplar_box.tolist() == [1, 1, 5, 5]
    (folder / "groundtruth_rect.txt").write_text(ROW * 349)
    assert open_sequence(folder).frames.name(0) == "0006.png"
    cut = make(tmp_path / "cut" / "Tiger1", range(6, 355), {"": 349})
    assert len(open_sequence(cut)) == 349
    renumbered = make(tmp_path / "new" / "Tiger1", range(1, 350), {"": 349})
    assert len(open_sequence(renumbered)) == 349 and open_sequence(renumbered).frames.name(0) == "0001.png"


def test_board_has_names_of_five_digits(tmp_path: Path) -> None:
    folder = make(tmp_path / "Board", [*range(1, 4), *range(9998, 10002)], {"": 7}, digits=5)
    sequence = open_sequence(folder)
    assert [sequence.frames.name(t) for t in (0, 4, 6)] == ["00001.png", "09999.png", "10001.png"]


def test_blurcar1_mixes_delimiters(tmp_path: Path) -> None:
    folder = make(tmp_path / "BlurCar1", range(247, 250), {})
    (folder / "groundtruth_rect.txt").write_text("2\t2\t5\t5\n2 2 5 5\n2,2,5,5\n")
    assert (open_sequence(folder).boxes == [1, 1, 5, 5]).all()


def test_two_targets_in_one_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "Skating2", range(1, 4), {".1": 3, ".2": 3})
    assert list_targets(tmp_path) == {"Skating2-1": (folder, 1), "Skating2-2": (folder, 2)}


def test_two_copies_of_a_folder_for_its_two_targets(tmp_path: Path) -> None:
    """As pysot wants them: each copy holds both files, and its name says which is meant."""
    for name in ("Jogging-1", "Jogging-2"):
        folder = make(tmp_path / name, range(1, 4), {".1": 3})
        (folder / "groundtruth_rect.2.txt").write_text("4,4,5,5\n" * 3)
    found = list_targets(tmp_path)
    assert found == {"Jogging-1": (tmp_path / "Jogging-1", 1), "Jogging-2": (tmp_path / "Jogging-2", 2)}
    second = open_sequence(tmp_path / "Jogging-2")
    assert second.name == "Jogging-2" and second.exemplar_box.tolist() == [3, 3, 5, 5]
    assert open_sequence(tmp_path / "Jogging-1").exemplar_box.tolist() == [1, 1, 5, 5]


def test_a_folder_for_each_target(tmp_path: Path) -> None:
    """As the OTB authors' Python toolkit has them."""
    for name in ("Jogging-1", "Jogging-2"):
        make(tmp_path / name, range(1, 4), {"": 3})
    assert list(list_targets(tmp_path)) == ["Jogging-1", "Jogging-2"]
    assert open_sequence(tmp_path / "Jogging-2").name == "Jogging-2"


@pytest.mark.parametrize("name", ["Human4", "Human4-2"])
def test_human4_has_an_empty_first_file(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / name, range(1, 4), {".1": 0, ".2": 3})
    assert list_targets(tmp_path) == {"Human4-2": (folder, 2)}
    assert open_sequence(folder).name == "Human4-2"


def test_the_same_target_twice(tmp_path: Path) -> None:
    make(tmp_path / "Jogging", range(1, 4), {".1": 3, ".2": 3})
    make(tmp_path / "Jogging-2", range(1, 4), {"": 3})
    with pytest.raises(InputError, match="both hold the target Jogging-2"):
        list_targets(tmp_path)


def test_targets_of_other_formats(tmp_path: Path) -> None:
    folder = tmp_path / "ball"
    folder.mkdir()
    (folder / "groundtruth.txt").write_text("1,1,5,5\n")
    assert list_targets(tmp_path) == {"ball": (folder, None)} == list_targets(folder)
