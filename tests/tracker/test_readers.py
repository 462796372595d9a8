from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Sequence as Sequence_
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.data.images import write_png
from tracker.data.readers import list_targets, open_sequences
from tracker.data.sequences import Sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

WIDTH, HEIGHT, COUNT = 32, 24, 4
RED = (255, 0, 0)
SQUARES = [(5 + t, 3 + 2 * t, 6, 4) for t in range(COUNT)]
"""Where the red square is in each frame, 0-based."""


def picture(t: int) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    x, y, w, h = SQUARES[t]
    frame[y : y + h, x : x + w] = RED
    return frame


def write_frames(folder: Path, names: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, name in enumerate(names or [f"{t + 1:04d}.png" for t in range(COUNT)]):
        write_png(folder / name, picture(t % COUNT))


def lines(rows: Sequence_[tuple[float, ...]], separator: str = ",") -> str:
    return "".join(separator.join(f"{value:g}" for value in row) + "\n" for row in rows)


def one_based(rows: list[tuple[int, int, int, int]]) -> list[tuple[float, ...]]:
    return [(x + 1, y + 1, w, h) for x, y, w, h in rows]


def polygons() -> list[tuple[float, ...]]:
    """Diamonds that touch the middle of each side of the squares."""
    return [(x, y + h / 2, x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h) for x, y, w, h in SQUARES]


def make_otb(folder: Path, separator: str = ",") -> Path:
    write_frames(folder / "img")
    (folder / "groundtruth_rect.txt").write_text(lines(one_based(SQUARES), separator))
    return folder


def make_vot(folder: Path, frames: str = ".") -> Path:
    write_frames(folder / frames)
    (folder / "groundtruth.txt").write_text(lines(polygons()))
    return folder


def make_lasot(folder: Path) -> Path:
    write_frames(folder / "img")
    (folder / "groundtruth.txt").write_text(lines(one_based(SQUARES)))
    (folder / "full_occlusion.txt").write_text("0,0,1,0\n")
    (folder / "out_of_view.txt").write_text("0,0,0,0\n")
    (folder / "nlp.txt").write_text("a red square")
    return folder


def make_tnl2k(folder: Path) -> Path:
    write_frames(folder / "imgs")
    (folder / "groundtruth.txt").write_text(lines(SQUARES))
    (folder / "language.txt").write_text("the red square")
    return folder


def make_tc128(folder: Path) -> Path:
    write_frames(folder / "img")
    (folder / f"{folder.name}_gt.txt").write_text(lines(one_based(SQUARES)))
    (folder / f"{folder.name}_frames.txt").write_text(f"1,{COUNT}\n")
    return folder


def make_uav123(folder: Path, part: str = "UAV123") -> Path:
    write_frames(folder / "data_seq" / part / "bike1")
    (folder / "anno" / part).mkdir(parents=True)
    (folder / "anno" / part / "bike1.txt").write_text(lines(one_based(SQUARES)))
    return folder / "anno" / part / "bike1.txt"


def make_trackingnet(folder: Path) -> Path:
    write_frames(folder / "frames" / "abc-d_0", [f"{t}.png" for t in range(8, 8 + COUNT)])
    (folder / "anno").mkdir()
    (folder / "anno" / "abc-d_0.txt").write_text(lines(SQUARES))
    return folder / "anno" / "abc-d_0.txt"


def make_got10k(folder: Path) -> Path:
    write_frames(folder)
    (folder / "groundtruth.txt").write_text(lines(one_based(SQUARES)))
    (folder / "absence.label").write_text("0\n0\n1\n0\n")
    (folder / "cover.label").write_text("8\n4\n8\n7\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\n")
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for t in range(COUNT):
        writer.write(picture(t)[..., ::-1].copy())
    writer.release()
    return path


def assert_red(sequence: Sequence) -> None:
    """Every present target's crop is the red square, to the pixel."""
    assert len(sequence) == COUNT
    for t in sequence.present:
        assert (sequence.crop(int(t)) == RED).all()
        x, y, w, h = sequence.boxes[t]
        assert ((x, y, w, h) == np.array(SQUARES[t])).all()


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", ";"])
def test_otb(tmp_path: Path, separator: str) -> None:
    sequence = open_sequence(make_otb(tmp_path / "Toy", separator))
    assert_red(sequence)
    assert sequence.name == "Toy" and sequence.box_source == "annotation"
    assert sequence.origin == str(tmp_path / "Toy") and (sequence.visibility == 1).all()


def test_otb_mixed_lines_and_an_absent_target(tmp_path: Path) -> None:
    folder = make_otb(tmp_path / "Toy")
    (folder / "groundtruth_rect.txt").write_bytes(
        b"\xef\xbb\xbf6,4,6,4\r\n7 6\t6,4\r\n\r\n0,0,0,0\r\n9\t10\t6\t4\r\n\r\n"
    )
    sequence = open_sequence(folder)
    assert_red(sequence)
    assert sequence.visibility.tolist() == [1, 1, 0, 1]


def test_otb_with_several_targets(tmp_path: Path) -> None:
    folder = make_otb(tmp_path / "Jogging")
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth_rect.1.txt")
    other = [(1.0, 1.0, 3.0, 3.0)] * COUNT
    (folder / "groundtruth_rect.2.txt").write_text(lines(other))
    assert_red(open_sequence(folder))
    assert open_sequence(folder).name == "Jogging-1"
    second = open_sequence(folder, target=2)
    assert second.name == "Jogging-2" and second.exemplar_box.tolist() == [0, 0, 3, 3]
    with pytest.raises(InputError, match="no target 3; it has 1, 2"):
        open_sequence(folder, target=3)


def test_otb_whose_first_file_is_empty(tmp_path: Path) -> None:
    folder = make_otb(tmp_path / "Human4")
    (folder / "groundtruth_rect.txt").rename(folder / "groundtruth_rect.2.txt")
    (folder / "groundtruth_rect.1.txt").write_text("")
    sequence = open_sequence(folder)
    assert_red(sequence)
    assert sequence.name == "Human4-2"
    with pytest.raises(InputError, match="groundtruth_rect.1.txt' is empty"):
        open_sequence(folder, target=1)


def test_otb_ranges_of_frame_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "David"
    write_frames(folder / "img", [f"{number:04d}.png" for number in (298, 299, 300, 301, 770, 771)])
    (folder / "groundtruth_rect.txt").write_text(lines([(1.0, 1, 3, 3)] * 3))
    sequence = open_sequence(folder)
    assert [sequence.frames.name(t) for t in range(3)] == ["0300.png", "0301.png", "0770.png"]
    (folder / "groundtruth_rect.txt").write_text(lines([(1.0, 1, 3, 3)] * 6))
    assert len(open_sequence(folder)) == 6


@pytest.mark.parametrize("frames", [".", "color"])
def test_vot(tmp_path: Path, frames: str) -> None:
    folder = make_vot(tmp_path / "toy", frames)
    sequence = open_sequence(folder)
    assert_red(sequence)
    assert sequence.name == "toy" and (sequence.visibility == 1).all()
    (folder / "groundtruth.txt").write_text(lines([tuple(map(float, row)) for row in SQUARES]))
    assert_red(open_sequence(folder))


@pytest.mark.parametrize("name", ["occlusion.tag", "occlusion.label"])
def test_vot_occlusion_and_absence(tmp_path: Path, name: str) -> None:
    folder = make_vot(tmp_path / "toy")
    rows = lines(polygons()).splitlines()
    rows[2] = "nan,nan,nan,nan"
    (folder / "groundtruth.txt").write_text("\n".join(rows))
    (folder / name).write_text("0\n1\n1\n0\n")
    sequence = open_sequence(folder)
    assert_red(sequence)
    assert sequence.visibility.tolist() == [1, 0.5, 0, 1]
    (folder / name).write_text("0\n1\n")
    with pytest.raises(InputError, match="has 2 labels but there are 4 boxes"):
        open_sequence(folder)
    (folder / name).write_text("0\n2\n0\n0\n")
    with pytest.raises(InputError, match="Label 2 .* is '2'; it must be a whole number, 0 to 1"):
        open_sequence(folder)


def test_got10k(tmp_path: Path) -> None:
    sequence = open_sequence(make_got10k(tmp_path / "GOT-10k_Train_000001"))
    assert_red(sequence)
    assert sequence.visibility.tolist() == [1, 0.5, 0, 0.875]


def test_a_folder_of_images_with_all_boxes(tmp_path: Path) -> None:
    write_frames(tmp_path / "mine", ["f2.png", "f9.png", "f10.png", "f11.png"])
    (tmp_path / "mine" / "notes.txt").write_text("not a frame")
    (tmp_path / "mine" / "._f2.png").write_text("not a frame either")
    boxes = tmp_path / "boxes.txt"
    boxes.write_text(lines([tuple(map(float, row)) for row in SQUARES]))
    choices: list[Any] = [SQUARES, np.array(SQUARES), boxes, str(boxes)]
    for choice in choices:
        sequence = open_sequence(tmp_path / "mine", choice)
        assert_red(sequence)
        assert sequence.box_source == "annotation" and sequence.name == "mine"
    assert [sequence.frames.name(t) for t in (0, 2)] == ["f2.png", "f10.png"]
    assert len(open_sequence(tmp_path / "mine", SQUARES, max_frames=2)) == 2


def test_a_given_box_takes_the_place_of_the_annotation(tmp_path: Path) -> None:
    folder = make_otb(tmp_path / "Toy")
    sequence = open_sequence(folder, [(0, 0, 5, 5)] * COUNT)
    assert sequence.exemplar_box.tolist() == [0, 0, 5, 5]


def test_a_video_with_all_boxes(video: Path) -> None:
    sequence = open_sequence(video, SQUARES)
    assert len(sequence) == COUNT and sequence.name == "clip"
    for t in range(COUNT):
        red, green, blue = sequence.crop(t)[1:-1, 1:-1].reshape(-1, 3).mean(axis=0)
        assert red > 200 and green < 60 and blue < 60


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence]:
    exact = synthetic_sequence(seed=1, frames=8)
    folder = tmp_path_factory.mktemp("moving") / "cat"
    folder.mkdir()
    for t in range(len(exact)):
        write_png(folder / f"{t}.png", exact.frames[t])
    return folder, exact


@pytest.mark.parametrize("kind", ["text", "numbers", "array", "file"])
def test_the_first_box_is_followed(moving: tuple[Path, Sequence], kind: str, tmp_path: Path) -> None:
    folder, exact = moving
    text = ",".join(f"{value:.6f}" for value in exact.exemplar_box)
    (tmp_path / "first.txt").write_text(text + "\n")
    choices: dict[str, Any] = {
        "text": text,
        "numbers": tuple(exact.exemplar_box),
        "array": exact.exemplar_box[None],
        "file": tmp_path / "first.txt",
    }
    sequence = open_sequence(folder, choices[kind], max_frames=5, progress=False)
    assert sequence.box_source == "tracked" and len(sequence) == 5
    assert [sequence.frames.name(t) for t in range(5)] == [f"{t}.png" for t in range(5)]
    assert sequence.exemplar_box == pytest.approx(exact.exemplar_box, abs=1e-5)
    assert np.abs(sequence.boxes[:, :2] - exact.boxes[:5, :2]).max() < 30


def test_one_image_needs_no_following(tmp_path: Path) -> None:
    write_frames(tmp_path / "one", ["a.png"])
    sequence = open_sequence(tmp_path / "one", SQUARES[0])
    assert len(sequence) == 1 and sequence.box_source == "annotation"


def test_targets_are_listed_in_their_own_layouts(tmp_path: Path) -> None:
    made = [make_got10k(tmp_path / "c"), make_otb(tmp_path / "a"), make_vot(tmp_path / "b")]
    write_frames(tmp_path / "plain")
    (tmp_path / "file.txt").write_text("")
    assert [path for path, _ in list_targets(tmp_path).values()] == sorted(made)
    with pytest.raises(InputError, match="none' does not exist"):
        list_targets(tmp_path / "none")


ANNOTATIONS = {
    "otb": (make_otb, "groundtruth_rect.txt", 1),
    "vot": (make_vot, "groundtruth.txt", 0),
    "got10k": (make_got10k, "groundtruth.txt", 1),
    "lasot": (make_lasot, "groundtruth.txt", 1),
    "tnl2k": (make_tnl2k, "groundtruth.txt", 0),
    "tc128": (make_tc128, "toy_gt.txt", 1),
    "uav123": (make_uav123, "", 1),
    "trackingnet": (make_trackingnet, "", 0),
    "given": (make_vot, "groundtruth.txt", 0),
    "video": (make_vot, "groundtruth.txt", 0),
}
"""What makes each layout, its annotation inside of that, and where its coordinates count from."""


def annotated(kind: str, folder: Path, rows: str | bytes, video: Path) -> Callable[[], Sequence]:
    """Write rows of an annotation in a layout, and return what opens it."""
    make, name, _ = ANNOTATIONS[kind]
    made = make(folder)
    for label in ("absence.label", "cover.label", "full_occlusion.txt", "out_of_view.txt"):
        (made / label).unlink(missing_ok=True) if made.is_dir() else None
    file = made / name if name else made
    file.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    source = video if kind == "video" else made
    return lambda: open_sequence(source, file if kind in ("given", "video") else None)


ABSENT_ROWS = [
    "nan,nan,nan,nan", "NaN\tNaN\tNaN\tNaN", "NAN NAN NAN NAN", "-nan;-nan;-nan;-nan", "0,0,0,0", "1,1,-1,-1",
    "7,6,0,4", "7,6,6,-4", "-1,-1,-1,-1", "0.0000,0.0000,0.0000,0.0000", "NA,NA,NA,NA", "None,None,None,None",
    ",,,",
    "-nan(ind),-nan(ind),-nan(ind),-nan(ind)",
]  # fmt: skip


@pytest.mark.parametrize("row", ABSENT_ROWS)
@pytest.mark.parametrize("kind", list(ANNOTATIONS))
def test_an_absent_target_in_every_spelling(tmp_path: Path, video: Path, kind: str, row: str) -> None:
    opened = annotated(kind, tmp_path / "toy", f"6,4,6,4\n7,6,6,4\n{row}\n9,10,6,4\n", video)()
    assert opened.visibility.tolist() == [1, 1, 0, 1] and opened.boxes[2].tolist() == [0, 0, 0, 0]
    first = 6.0 - ANNOTATIONS[kind][2]
    assert opened.boxes[:, 0].tolist() == [first, first + 1, 0, first + 3]


def test_an_absent_target_in_an_array_of_boxes(tmp_path: Path) -> None:
    write_frames(tmp_path / "mine")
    boxes = [SQUARES[0], (np.nan,) * 4, (1, 1, -1, -1), SQUARES[3]]
    assert_red(open_sequence(tmp_path / "mine", boxes))
    assert open_sequence(tmp_path / "mine", boxes).present.tolist() == [0, 3]


@pytest.mark.parametrize("row", ["nan,nan,nan,nan", "1,1,-1,-1", "0,0,0,0"])
@pytest.mark.parametrize("kind", list(ANNOTATIONS))
def test_a_target_that_is_absent_at_the_start(tmp_path: Path, video: Path, kind: str, row: str) -> None:
    opener = annotated(kind, tmp_path / "toy", f"{row}\n" + "7,6,6,4\n" * 3, video)
    with pytest.raises(InputError, match="'(toy|clip|bike1|abc-d_0)' starts without its target"):
        opener()


@pytest.mark.parametrize(
    "rows",
    [
        b"6,4,6,4\r\n7,6,6,4\r\n8,8,6,4\r\n9,10,6,4\r\n\r\n\r\n",
        b"6,4,6,4\r7,6,6,4\r8,8,6,4\r9,10,6,4",
        b"\xef\xbb\xbf6 4 6 4\n7\t6\t6\t4\n8; 8; 6; 4\n9, 10, 6, 4,\n",
        "6,4,6,4\r\n7,6,6,4\r\n8,8,6,4\r\n9,10,6,4\r\n".encode("utf-16"),
        b"  6.0 , 4.0 , 6 , 4 \n7e0,6,6,4\n\n8,8,6,4\n \t \n9,10,6,4",
    ],
)
@pytest.mark.parametrize("kind", list(ANNOTATIONS))
def test_line_ends_separators_and_encodings(tmp_path: Path, video: Path, kind: str, rows: bytes) -> None:
    opened = annotated(kind, tmp_path / "toy", rows, video)()
    first = 6 - ANNOTATIONS[kind][2]
    assert opened.boxes[:, 0].tolist() == [first, first + 1, first + 2, first + 3]
    assert (opened.visibility == 1).all()


def test_frames_that_change_their_size(tmp_path: Path) -> None:
    """Each box is held against its own frame: 40,30 is inside the second and outside the others."""
    folder = tmp_path / "Zoom"
    (folder / "img").mkdir(parents=True)
    for t, (width, height) in enumerate([(32, 24), (64, 48), (32, 24)]):
        write_png(folder / "img" / f"{t}.png", np.full((height, width, 3), 10 * t, np.uint8))
    truth = folder / "groundtruth_rect.txt"
    truth.write_text("5,5,9,9\n41,31,9,9\n5,5,9,9\n")
    sequence = open_sequence(folder)
    assert sequence.crop(1).shape == (9, 9, 3) and sequence.frames.size(1) == (64, 48)
    truth.write_text("5,5,9,9\n5,5,9,9\n41,31,9,9\n")
    with pytest.raises(InputError, match="Line 3 of .* lies outside the image of 32 x 24 pixels"):
        open_sequence(folder)


def test_the_test_split_of_got10k(tmp_path: Path) -> None:
    """One row and no label file: only the first box is known, and it counts from 1."""
    folder = tmp_path / "GOT-10k_Test_000001"
    write_frames(folder)
    (folder / "groundtruth.txt").write_text("6.0000,4.0000,6.0000,4.0000\n")
    sequence = open_sequence(folder)
    assert len(sequence) == COUNT and sequence.box_source == "first"
    assert sequence.exemplar_box.tolist() == list(map(float, SQUARES[0])) and sequence.present.tolist() == [0]
    assert len(open_sequence(folder, max_frames=2)) == 2


def test_absence_alone_means_absent_in_got10k(tmp_path: Path) -> None:
    folder = make_got10k(tmp_path / "toy")
    (folder / "cover.label").write_text("0\n" * COUNT)
    assert open_sequence(folder).visibility.tolist() == [1, 1, 0, 1]
    (folder / "cover.label").write_text("0\n8\n0\n0\n")
    assert open_sequence(folder).visibility.tolist() == [1 / 16, 1, 0, 1 / 16]


def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path) -> None:
    write_frames(tmp_path / "plain" / "clip")
    known = "OTB .groundtruth_rect.txt, img/., .*VOT .groundtruth.txt.*, pysot .JSON"
    for place in (tmp_path / "plain", tmp_path / "plain" / "clip"):
        for opener in (list_targets, open_sequences, open_sequence):
            with pytest.raises(InputError, match=known):
                opener(place)


def test_a_bad_sequence_is_named_and_left_out(tmp_path: Path) -> None:
    make_otb(tmp_path / "a")
    make_otb(tmp_path / "b")
    make_lasot(tmp_path / "c")
    (tmp_path / "c" / "full_occlusion.txt").write_text("0,1")
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("6,4,6,4\n" * 3)
    with pytest.warns(UserWarning) as warned:
        assert list(open_sequences(tmp_path)) == ["a"]
    assert [str(one.message)[:34] for one in warned] == [
        f"The sequence '{n}' is left out: '{tmp_path}"[:34] for n in "bc"
    ]
    assert "3 boxes but" in str(warned[0].message) and "full_occlusion.txt' has 2 labels" in str(warned[1].message)
    (tmp_path / "a" / "groundtruth_rect.txt").write_text("6,4,6\n")
    with pytest.raises(InputError, match="Line 1 of .* has 3 numbers"):
        open_sequences(tmp_path)


BAD_LINES = [
    ("7,6,6", "Line 2 of '{file}' has 3 numbers; it must have 4"),
    ("7,6,6,four", "Line 2 of '{file}' holds something that is not a number: '7,6,6,four'"),
    ("7,6,nan,4", "Line 2 of '{file}' holds a number that is not finite"),
    ("7,6,6,inf", "Line 2 of '{file}' holds a number that is not finite"),
    ("90,6,6,4", "Line 2 of '{file}' .* lies outside the image of 32 x 24 pixels"),
]


@pytest.mark.parametrize(("line", "says"), BAD_LINES)
@pytest.mark.parametrize("kind", sorted({*ANNOTATIONS} - {"video"}))
def test_bad_lines(tmp_path: Path, video: Path, kind: str, line: str, says: str) -> None:
    opener = annotated(kind, tmp_path / "toy", f"6,4,6,4\n{line}\n8,8,6,4\n9,10,6,4\n", video)
    with pytest.raises(InputError, match=says.format(file=".*txt")):
        opener()


@pytest.mark.parametrize("kind", sorted({*ANNOTATIONS} - {"video"}))
def test_counts_that_differ(tmp_path: Path, video: Path, kind: str) -> None:
    opener = annotated(kind, tmp_path / "fewer" / "toy", "6,4,6,4\n" * 3, video)
    with pytest.raises(InputError, match="has 3 boxes but .* has 4 frames; give one box a frame"):
        opener()
    opener = annotated(kind, tmp_path / "more" / "toy", "6,4,6,4\n" * 5, video)
    with pytest.raises(InputError, match="has 5 boxes but .* has 4 frames; give one box a frame"):
        opener()
    opener = annotated(kind, tmp_path / "none" / "toy", "\n", video)
    with pytest.raises(InputError, match="is empty; write one box a line"):
        opener()


@pytest.mark.parametrize("kind", sorted({*ANNOTATIONS} - {"video", "given"}))
def test_the_first_box_alone(tmp_path: Path, video: Path, kind: str) -> None:
    sequence = annotated(kind, tmp_path / "toy", "6,4,6,4\n", video)()
    assert len(sequence) == COUNT and sequence.box_source == "first" and sequence.present.tolist() == [0]


@pytest.mark.parametrize(
    ("box", "says"),
    [
        (None, "has no annotation file .* give the target's box in the first frame as x,y,w,h"),
        ("1,2,3", "'1,2,3' is not a box; give four numbers"),
        ("a,b,c,d", "is not a box"),
        ("boxes.txt", "'boxes.txt' is neither a box x,y,w,h nor a file of boxes that exists"),
        (Path("boxes.txt"), "file of boxes 'boxes.txt' does not exist"),
        ((1, 2, 3), r"an array \[3\]"),
        ((1, 2, "x", 4), "not a number"),
        (np.zeros((0, 4)), r"an array \[0, 4\]"),
        ("1,2,0,5", "The box '1,2,0,5' .* has no area"),
        ("0,0,0,0", "The box '0,0,0,0' .* has no area"),
        ("99,2,5,5", "The box '99,2,5,5' .* outside the image of 32 x 24"),
        ((1, 2, float("nan"), 5), "The box of the first frame .* not finite"),
        ([(1, 2, 5, 5), (99, 2, 5, 5)] * 2, "Row 1 of the boxes .* outside the image"),
        ([(1, 2, 5, 5), (1, 2, float("nan"), 5)] * 2, "Row 1 of the boxes holds a number that is not finite"),
        ([(1, 2, 5, 5)] * 3, "The array of boxes has 3 boxes but .* has 4 frames"),
        ([(0, 0, 0, 0)] + SQUARES[1:], "starts without its target"),
    ],
)
def test_bad_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Any, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "mine")
    with pytest.raises(InputError, match=says) as caught:
        open_sequence(tmp_path / "mine", box, progress=False)
    assert "\n" not in str(caught.value)


def test_bad_places(tmp_path: Path, video: Path) -> None:
    with pytest.raises(InputError, match="none' does not exist; give a folder of frames or a video file"):
        open_sequence(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty' holds no images; give a folder of frames"):
        open_sequence(tmp_path / "empty")
    make_otb(tmp_path / "set" / "Toy")
    with pytest.raises(InputError, match="set' holds no images; give one of its 1 sequences, such as '.*Toy'"):
        open_sequence(tmp_path / "set")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match="neither a folder nor a video file"):
        open_sequence(tmp_path / "a.txt")
    with pytest.raises(InputError, match="layout 'davis' is unknown; known are auto, otb"):
        open_sequence(video, layout="davis")
    with pytest.raises(InputError, match="clip.avi' is not laid out as OTB"):
        open_sequence(video, layout="otb")
    with pytest.raises(InputError, match="is a folder; give a video file"):
        open_sequence(tmp_path, layout="video")
    with pytest.raises(InputError, match="clip.avi' has no annotation; give the target's box"):
        open_sequence(video)
    with pytest.raises(InputError, match="is not laid out as OTB .groundtruth_rect.txt, img/."):
        open_sequence(tmp_path, layout="otb")
    with pytest.raises(InputError, match="is not laid out as GOT-10k .groundtruth.txt, absence"):
        open_sequence(tmp_path, layout="got10k")
    with pytest.raises(InputError, match="Only OTB's folders and pysot's JSON have numbered targets"):
        open_sequence(video, SQUARES, target=2)
    with pytest.raises(InputError, match="max_frames is 0"):
        open_sequence(video, SQUARES, max_frames=0)
    for frame in (tmp_path / "set" / "Toy" / "img").iterdir():
        frame.unlink()
    with pytest.raises(InputError, match="Toy' holds no images of theirs"):
        open_sequence(tmp_path / "set" / "Toy")


def test_a_video_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\x00" * 4000)
    with pytest.raises(InputError, match="broken.mp4' cannot be decoded"):
        open_sequence(tmp_path / "broken.mp4", "1,1,5,5")


def test_an_image_that_is_cut_short(tmp_path: Path) -> None:
    """Found when the folder is opened, so that the sequence can be left out; more behind the end is no harm."""
    folder = tmp_path / "Toy"
    (folder / "img").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for t in range(2):
        cv2.imwrite(str(folder / "img" / f"{t}.jpg"), noise)
    (folder / "groundtruth_rect.txt").write_text("5,5,9,9\n" * 2)
    whole = (folder / "img" / "1.jpg").read_bytes()
    for length in (len(whole) // 2, len(whole) - 20):
        (folder / "img" / "1.jpg").write_bytes(whole[:length])
        with pytest.raises(InputError, match="1.jpg' cannot be read"):
            open_sequence(folder)
    (folder / "img" / "1.jpg").write_bytes(whole + b"a camera's own notes" * 9)
    assert len(open_sequence(folder)) == 2
    (folder / "img" / "1.jpg").unlink()
    cv2.imwrite(str(folder / "img" / "1.png"), noise)
    (folder / "img" / "1.png").write_bytes((folder / "img" / "1.png").read_bytes()[:-200])
    with pytest.raises(InputError, match="1.png' cannot be read"):
        open_sequence(folder)
    (folder / "img" / "0.jpg").write_bytes(whole[:300])
    with pytest.raises(InputError, match="0.jpg' cannot be read"):
        open_sequence(folder)


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("OCCLUSION_SEARCH_DATA")
    if not folder:
        pytest.skip("OCCLUSION_SEARCH_DATA is not set")
    return Path(folder)


@pytest.mark.data
def test_real_otb(data: Path) -> None:
    sequence = open_sequence(data / "otb" / "David")
    assert len(sequence) == 471 and sequence.frames[0].shape == (240, 320, 3)
    assert sequence.exemplar_box.tolist() == [128, 79, 64, 78]
    assert sequence.exemplar().shape == (78, 64, 3)
    assert sequence.present.size == 471


@pytest.mark.data
@pytest.mark.parametrize(("part", "count"), [("otb", 15), ("train", 18)])
def test_every_real_sequence_opens(data: Path, part: str, count: int) -> None:
    found = list_targets(data / part)
    assert len(found) == count
    for path, number in found.values():
        sequence = open_sequence(path, target=number, max_frames=3)
        assert len(sequence) == 3 and sequence.exemplar(64).shape == (64, 64, 3)
