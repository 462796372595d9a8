"""The layouts of benchmarks, each on a small folder made as its authors lay theirs out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.data.images import write_png
from tracker.data.readers import LAYOUTS, list_targets, open_sequences, read_sequence
from tracker.errors import InputError

COUNT = 4
BOXES = [(5 + t, 3 + 2 * t, 6, 4) for t in range(COUNT)]
"""Of the target, 0-based."""

Rows = Iterable[Iterable[float]]


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frame") / "frame.png"
    write_png(path, np.full((24, 32, 3), 40, np.uint8))
    return path


@pytest.fixture
def frames(frame: Path) -> Any:
    """Write frames with numbers as names, each a link to the same image."""

    def write(folder: Path, numbers: Iterable[int] = range(1, COUNT + 1), form: str = "{:04d}.jpg") -> Path:
        folder.mkdir(parents=True)
        for number in numbers:
            os.link(frame, folder / form.format(number))
        return folder

    return write


def write_rows(file: Path, rows: Rows, separator: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(separator.join(f"{value:g}" for value in row) + "\n" for row in rows))
    return file


def one_based(rows: Rows = BOXES) -> list[list[float]]:
    return [[x + 1, y + 1, w, h] for x, y, w, h in rows]


def names(folder: Path, layout: str = "auto") -> list[str]:
    return list(list_targets(folder, layout))


def test_lasot(tmp_path: Path, frames: Any) -> None:
    """Folders of classes; a hidden target may have any box, as also one outside of the frame."""
    folder = tmp_path / "LaSOT" / "airplane" / "airplane-1"
    frames(folder / "img", form="{:08d}.jpg")
    write_rows(folder / "groundtruth.txt", one_based([*BOXES[:3], (900, 900, 5, 5)]))
    (folder / "full_occlusion.txt").write_text("0,0,1,0")
    (folder / "out_of_view.txt").write_text("0,0,0,1\n")
    (folder / "nlp.txt").write_text("white airplane")
    sequence = read_sequence(folder)
    assert sequence.name == "airplane-1" and sequence.visibility.tolist() == [1, 1, 0, 0]
    assert sequence.boxes.tolist() == [list(map(float, row)) for row in (*BOXES[:2], [0] * 4, [0] * 4)]
    for root in (tmp_path / "LaSOT", folder.parent, folder):
        assert list_targets(root) == {"airplane-1": (folder, None)}
    with pytest.raises(InputError, match="LaSOT' holds no images; give one of its 1 sequences, such as '.*-1'"):
        read_sequence(tmp_path / "LaSOT")
    (folder / "out_of_view.txt").write_text("0,0,0")
    with pytest.raises(InputError, match="out_of_view.txt' has 3 labels but there are 4 boxes"):
        read_sequence(folder)


def test_frames_in_img_are_lasots_unless_told_otherwise(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "toy" / "img")
    write_rows(tmp_path / "toy" / "groundtruth.txt", BOXES)
    assert read_sequence(tmp_path / "toy").boxes[0].tolist() == [4, 2, 6, 4]
    assert read_sequence(tmp_path / "toy", layout="vot").boxes[0].tolist() == [5, 3, 6, 4]
    assert open_sequences(tmp_path, layout="vot")["toy"].boxes[0].tolist() == [5, 3, 6, 4]
    (tmp_path / "toy" / "occlusion.tag").write_text("0\n" * COUNT)
    assert read_sequence(tmp_path / "toy").boxes[0].tolist() == [5, 3, 6, 4]


def test_tnl2k(tmp_path: Path, frames: Any) -> None:
    folder = tmp_path / "test" / "Arrow_Video_ZZ04_done"
    frames(folder / "imgs", form="{:05d}.png")
    write_rows(folder / "groundtruth.txt", [*BOXES[:3], (0, 0, 0, 0)])
    (folder / "language.txt").write_text("the arrow")
    assert names(tmp_path) == ["Arrow_Video_ZZ04_done"]
    sequence = read_sequence(folder)
    assert sequence.boxes[0].tolist() == [5, 3, 6, 4] and sequence.visibility.tolist() == [1, 1, 1, 0]


def test_got10k_in_its_splits(tmp_path: Path, frames: Any) -> None:
    train = tmp_path / "train" / "GOT-10k_Train_split_01" / "GOT-10k_Train_000001"
    test = tmp_path / "test" / "GOT-10k_Test_000001"
    for folder, rows in ((train, one_based()), (test, one_based()[:1])):
        frames(folder, form="{:08d}.jpg")
        write_rows(folder / "groundtruth.txt", rows)
    (train / "absence.label").write_text("0\n0\n0\n1\n")
    (tmp_path / "test" / "list.txt").write_text("GOT-10k_Test_000001\n")
    assert list_targets(tmp_path) == {train.name: (train, None), test.name: (test, None)}
    found = open_sequences(tmp_path)
    assert found[train.name].visibility.tolist() == [1, 1, 1, 0]
    assert found[test.name].box_source == "first" and len(found[test.name]) == COUNT


def test_vots_masks_polygons_and_rectangles(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "sequences" / "ball" / "color")
    (tmp_path / "sequences" / "ball" / "groundtruth.txt").write_text(
        "5,3,6,4\nm4,2,10,8,12,4,6,3,20,1\n7,7,13,7,13,11,7,11\nm0,0,0,0,0\n"
    )
    assert names(tmp_path) == ["ball"]
    sequence = read_sequence(tmp_path / "sequences" / "ball")
    # Runs in rows of 10: 2 to 5 of row 1, 2 to 4 of row 2, 5 of row 4; the region starts at 4, 2.
    assert sequence.boxes.tolist() == [[5, 3, 6, 4], [6, 3, 4, 4], [7, 7, 6, 4], [0, 0, 0, 0]]
    assert sequence.visibility.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_box_of_a_mask(tmp_path: Path, frames: Any, seed: int) -> None:
    """Encoded pixel by pixel, and the box taken from the array."""
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 6), rng.integers(1, 7))) < rng.choice([0.1, 0.5, 0.9])
    mask[rng.integers(mask.shape[0]), rng.integers(mask.shape[1])] = True
    flat = mask.ravel()
    ends = [0, *(np.flatnonzero(np.diff(flat.astype(int))) + 1), flat.size]
    runs = ([0] if flat[0] else []) + np.diff(ends).tolist()
    frames(tmp_path / "toy", [1])
    height, width = mask.shape
    (tmp_path / "toy" / "groundtruth.txt").write_text(f"m3,2,{width},{height}," + ",".join(map(str, runs)))
    rows, columns = np.nonzero(mask)
    box = [3 + columns.min(), 2 + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert read_sequence(tmp_path / "toy").boxes[0].tolist() == box


@pytest.mark.parametrize(
    "row", ["m1,2,3", "m1,2,3,4,13", "m1,2,3,4,-1,2", "m1,2,nan,4,1", "m1,2,3,4,.5,1", "m1,2,1e99,4,1", "m"]
)
def test_masks_that_are_none(tmp_path: Path, frames: Any, row: str) -> None:
    frames(tmp_path / "toy", [1])
    (tmp_path / "toy" / "groundtruth.txt").write_text(row)
    with pytest.raises(InputError, match="Line 1 of .*groundtruth.txt' is not a mask as VOT writes it"):
        read_sequence(tmp_path / "toy")


def nfs_rows(boxes: Rows, lost: Iterable[int] = (), occluded: Iterable[int] = ()) -> str:
    lines = [
        f'0 {x} {y} {x + w} {y + h} {t + 1} {int(t in lost)} {int(t in occluded)} 0 "person head 2"\n'
        for t, (x, y, w, h) in enumerate(boxes)
    ]
    return "".join(lines)


def test_nfs(tmp_path: Path, frames: Any) -> None:
    """The file of the 30 frames a second may have the rows of all 240; ten videos have a frame too many."""
    video = tmp_path / "airboard_1"
    dense = [(x + k / 8, y, w, h) for x, y, w, h in BOXES for k in range(8)]
    frames(video / "30" / video.name, form="{:05d}.jpg")
    frames(video / "240" / video.name, range(1, 34), form="{:05d}.jpg")
    for rate in ("30", "240"):
        (video / rate / f"{video.name}.txt").write_text(nfs_rows(dense, lost=[8], occluded=[16]))
    (video / "30" / "._airboard_1.txt").write_bytes(b"\0")
    (tmp_path / "__MACOSX" / "30" / "x").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "30" / "x.txt").write_bytes(b"\0")
    annotation = video / "30" / "airboard_1.txt"
    assert list_targets(tmp_path) == {"airboard_1": (annotation, None)}
    for path in (video, video / "30", annotation):
        slow = read_sequence(path)
        assert slow.boxes[[0, 2, 3]].tolist() == [list(map(float, BOXES[t])) for t in (0, 2, 3)]
        assert slow.visibility.tolist() == [1, 0, 0.5, 1] and slow.name == "airboard_1"
    fast = read_sequence(video / "240")
    assert len(fast) == 32 and fast.boxes[1].tolist() == [5.125, 3, 6, 4] and fast.visibility[8] == 0
    annotation.write_text(nfs_rows(BOXES[:2]))
    with pytest.raises(InputError, match="airboard_1.txt' has 2 boxes but .* has 4 frames"):
        read_sequence(video)
    annotation.write_text("5,3,6,4\n" * COUNT)
    with pytest.raises(InputError, match="Line 1 of .* has 4 numbers; it must have 9"):
        read_sequence(video)


def test_tc128(tmp_path: Path, frames: Any) -> None:
    folder = tmp_path / "Ball_ce2"
    frames(folder / "img", range(1, 9))
    write_rows(folder / "Ball_ce2_gt.txt", one_based())
    (folder / "Ball_ce2_frames.txt").write_text("3,6\n")
    (folder / "._Ball_ce2_gt.txt").write_bytes(b"\0")  # as macOS packs it
    sequence = read_sequence(folder)
    assert sequence.name == "Ball_ce2" and sequence.boxes[0].tolist() == [5, 3, 6, 4]
    assert [sequence.frames.name(t) for t in (0, -1)] == ["0003.jpg", "0006.jpg"]
    (folder / "Ball_ce2_frames.txt").unlink()
    with pytest.raises(InputError, match="has 4 boxes but .* has 8 frames"):
        read_sequence(folder)


def test_trackingnet(tmp_path: Path, frames: Any) -> None:
    """Chunks; frames are named 0.jpg to 10.jpg, which text does not sort; of the test chunk the first box."""
    for chunk, name, rows in (("TRAIN_0", "abc_0", [*BOXES, *BOXES, *BOXES[:3]]), ("TEST", "-x_1", BOXES[:1])):
        frames(tmp_path / chunk / "frames" / name, range(11), "{}.jpg")
        write_rows(tmp_path / chunk / "anno" / f"{name}.txt", rows)
    train = tmp_path / "TRAIN_0" / "anno" / "abc_0.txt"
    assert names(tmp_path) == ["-x_1", "abc_0"]
    for part in (tmp_path / "TRAIN_0", train.parent, train, tmp_path / "TRAIN_0" / "frames"):
        assert list_targets(part)["abc_0"][0].samefile(train) and len(list_targets(part)) == 1
    for path in (train, tmp_path / "TRAIN_0" / "frames" / "abc_0"):
        sequence = read_sequence(path)
        assert sequence.name == "abc_0" and sequence.boxes[1].tolist() == list(map(float, BOXES[1]))
        assert [sequence.frames.name(t) for t in (2, 10)] == ["2.jpg", "10.jpg"]
    assert open_sequences(tmp_path)["-x_1"].box_source == "first"
    (train.parent / "gone.txt").write_text("5,3,6,4\n")
    with pytest.raises(InputError, match="gone.txt' has boxes, but .* holds no images"):
        read_sequence(train.parent / "gone.txt")
    with pytest.raises(InputError, match="TRAIN_0' holds 2 sequences of TrackingNet .*, such as '.*abc_0.txt'"):
        read_sequence(tmp_path / "TRAIN_0")


SEGMENTS = {
    "UAV123": {"bird1": [(1, 253), (775, 1477), (1573, 2437)], "uav1": [(1, 1555), (1555, 2377), (2473, 3469)]},
    "UAV123_10fps": {"bird1": [(1, 85), (259, 493), (525, 813)], "uav1": [(1, 519), (519, 793), (825, 1157)],
                     "car1": [(1, 251), (251, 543), (543, 877)]},
}  # fmt: skip
"""First and last frames of segments, from `configSeqs.m`."""


def make_uav123(root: Path, frames: Any, part: str) -> None:
    for video, segments in SEGMENTS[part].items():
        frames(root / "data_seq" / part / video, range(1, segments[-1][1] + 1), "{:06d}.jpg")
        for number, (first, last) in enumerate(segments, start=1):
            rows = [(1 + number, 2 + t % 5, 6, 4) for t in range(first, last + 1)]
            write_rows(root / "anno" / part / f"{video}_{number}.txt", rows)
    write_rows(root / "anno" / part / "att" / "bird1_1.txt", [[0] * 12])


@pytest.mark.parametrize("part", list(SEGMENTS))
def test_segments_of_uav123(tmp_path: Path, frames: Any, part: str) -> None:
    make_uav123(tmp_path, frames, part)
    assert names(tmp_path) == [f"{video}_{n}" for video in sorted(SEGMENTS[part]) for n in (1, 2, 3)]
    for name, (path, _) in list_targets(tmp_path).items():
        sequence = read_sequence(path)
        video, number = name.split("_")
        ends = [f"{end:06d}.jpg" for end in SEGMENTS[part][video][int(number) - 1]]
        assert [sequence.frames.name(t) for t in (0, -1)] == ends
        assert sequence.name == name and sequence.boxes[0, 0] == int(number)
    anno = tmp_path / "anno" / part
    with pytest.raises(InputError, match="holds 3 sequences of UAV123 .* such as '.*uav1_1.txt'"):
        read_sequence(tmp_path / "data_seq" / part / "uav1")
    (anno / "uav1_2.txt").unlink()
    with pytest.raises(InputError, match="uav1_3.txt' is a segment of uav1 that follows on 'uav1_2.txt'.* add it"):
        read_sequence(anno / "uav1_3.txt")
    write_rows(anno / "bird1_1.txt", BOXES)
    with pytest.raises(InputError, match="before '.*bird1_2.txt' end with frame 4, and UAV123 has 253, 85"):
        read_sequence(anno / "bird1_2.txt")


def test_uav123_and_uav20l_share_frames(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "data_seq" / "UAV123" / "bike1", form="{:06d}.jpg")
    frames(tmp_path / "data_seq" / "UAV123" / "car1_s", form="{:06d}.jpg")
    nan = [math.nan] * 4
    for name, rows in {"UAV123/bike1": one_based(), "UAV20L/bike1": [*one_based()[:3], nan],
                       "UAV123/car1_s": one_based()}.items():  # fmt: skip
        write_rows(tmp_path / "anno" / f"{name}.txt", rows)
    short, long = tmp_path / "anno" / "UAV123" / "bike1.txt", tmp_path / "anno" / "UAV20L" / "bike1.txt"
    (tmp_path / "other" / "folder").mkdir(parents=True)
    for place in ("other", "other/folder", "data_seq/UAV123/bike1/000001.jpg"):
        with pytest.raises(InputError, match="holds no annotated target"):
            list_targets(tmp_path / place)
    for place in ("", "anno", "anno/UAV123", "data_seq", "data_seq/UAV123"):
        found = list_targets(tmp_path / place)
        assert found["bike1"][0].samefile(short) and list(found) == ["bike1", "car1_s"]
    assert list_targets(long.parent) == {"bike1": (long, None)} == list_targets(long)
    assert read_sequence(long).visibility.tolist() == [1, 1, 1, 0]
    assert read_sequence(tmp_path / "data_seq" / "UAV123" / "bike1").boxes.tolist() == [
        list(map(float, row)) for row in BOXES
    ]


def test_uav123_10fps_without_folders_of_parts(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "data_seq" / "bike1", form="{:06d}.jpg")
    write_rows(tmp_path / "anno" / "bike1.txt", one_based())
    assert len(open_sequences(tmp_path)["bike1"]) == COUNT


@pytest.mark.parametrize("place", ["anno/UAV123", "data_seq/UAV123/bike1"])
def test_half_of_uav123(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    for folder in (tmp_path, tmp_path / place):
        for opener in (read_sequence, list_targets):
            with pytest.raises(InputError, match="UAV123 .anno/, data_seq/."):
                opener(folder)


def test_one_annotation_that_cannot_be_opened(tmp_path: Path, frames: Any) -> None:
    """Named and left out; also beside a folder that is hidden."""
    for name in ("a", "b", ".c"):
        frames(tmp_path / name / "img")
        write_rows(tmp_path / name / "groundtruth_rect.txt", one_based())
    (tmp_path / "b" / "groundtruth_rect.txt").unlink()
    (tmp_path / "b" / "groundtruth_rect.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.warns(UserWarning, match="'b' is left out: .*groundtruth_rect.txt' cannot be read"):
        assert list(open_sequences(tmp_path)) == ["a"]


def entry(rows: Any, video: str = "Toy", **other: Any) -> dict[str, Any]:
    images = [f"{video}/img/{t + 1:04d}.jpg" for t in range(COUNT)]
    return {
        "video_dir": video,
        "init_rect": rows[0] if rows else [],
        "img_names": images,
        "gt_rect": rows,
        **other,
    }


def test_pysots_json(tmp_path: Path, frames: Any) -> None:
    for video in ("Toy", "Ball"):
        frames(tmp_path / video / "img")
    content = {"Toy": entry(one_based(), attr=["OCC"]), "Ball": entry([*one_based()[:3], [math.nan] * 4], "Ball")}
    file = tmp_path / "OTB100.json"
    file.write_text(json.dumps(content))
    assert list_targets(tmp_path) == {"Ball": (file, 2), "Toy": (file, 1)} == list_targets(file)
    found = open_sequences(file)
    assert found["Toy"].boxes.tolist() == [list(map(float, row)) for row in BOXES]
    assert found["Ball"].visibility.tolist() == [1, 1, 1, 0] and found["Ball"].name == "Ball"
    assert found["Ball"].frames.name(0) == "0001.jpg"
    with pytest.raises(InputError, match="holds 2 sequences of pysot .* such as target=1, which is Toy"):
        read_sequence(file)
    with pytest.raises(InputError, match="has no target 3; it has 1 to 2"):
        read_sequence(file, target=3)
    del content["Ball"]
    file.write_text(json.dumps(content))
    assert read_sequence(file).name == "Toy"


@pytest.mark.parametrize(
    ("name", "first"),
    [("OTB100", 4), ("LaSOT", 4), ("UAV123", 4), ("VOT2018", 5), ("NFS30", 5), ("TrackingNet", 5)],
)
def test_where_pysots_files_count_from(tmp_path: Path, frames: Any, name: str, first: float) -> None:
    """Also with the frames in a folder of the file's name."""
    frames(tmp_path / name / "Toy" / "img")
    (tmp_path / f"{name}.json").write_text(json.dumps({"Toy": entry(BOXES)}))
    assert open_sequences(tmp_path)["Toy"].boxes[0, 0] == first


@pytest.mark.parametrize("present", [1, 0])
def test_absence_in_pysots_json(tmp_path: Path, frames: Any, present: int) -> None:
    frames(tmp_path / "Toy" / "img")
    marks = [present, present, 1 - present, present]
    (tmp_path / "LaSOT.json").write_text(json.dumps({"Toy": entry(one_based(), absent=marks)}))
    assert open_sequences(tmp_path)["Toy"].visibility.tolist() == [1, 1, 0, 1]


POLYGON = [5, 5, 8, 3, 11, 5, 8, 7]


def test_polygons_in_pysots_json(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "Toy" / "img")
    (tmp_path / "VOT2018.json").write_text(json.dumps({"Toy": entry([POLYGON, *BOXES[1:]])}))
    assert open_sequences(tmp_path)["Toy"].boxes[0].tolist() == [5, 3, 6, 4]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (entry([[1, 2, 3]]), "does not have 4 or 8 numbers"),
        (entry([]), "does not have 4 or 8 numbers"),
        (entry(BOXES, absent=[1]), "one mark of absence a frame"),
        (entry(["abcd"]), "does not hold rows of numbers"),
        (entry([[1, 2, 3, None]]), "does not hold rows of numbers"),
        (entry([[1, 2, math.nan, 4]]), "Row 0 of 'Toy' in .* holds a number that is not finite"),
        (entry([[90, 2, 3, 4], *BOXES[1:]]), "Row 0 of 'Toy' in .* lies outside the image"),
        (entry(BOXES[:2]), "'Toy' in .* has 2 boxes but .* has 4 frames"),
        (entry(BOXES, "Gone"), "Gone/img/0001.jpg' does not exist"),
        ({"img_names": [], "gt_rect": BOXES}, "has boxes, but .* holds no images"),
        ({"img_names": 5, "gt_rect": BOXES}, "does not hold rows of numbers and names of images"),
    ],
)
def test_bad_entries_of_pysots_json(tmp_path: Path, frames: Any, bad: Any, says: str) -> None:
    """Named and left out beside a good one."""
    frames(tmp_path / "Toy" / "img")
    (tmp_path / "OTB.json").write_text(json.dumps({"Toy": bad, "Good": entry(one_based())}))
    with pytest.warns(UserWarning, match=says):
        assert list(open_sequences(tmp_path / "OTB.json")) == ["Good"]


def test_json_that_is_not_pysots(tmp_path: Path) -> None:
    for number, text in enumerate(["{}", "[1]", "{", '{"a": 1}', "[" * 100_000, ""]):
        (tmp_path / f"{number}.json").write_text(text)
    with pytest.raises(InputError, match="holds no annotated target"):
        list_targets(tmp_path)
    with pytest.raises(InputError, match="0.json' is neither a folder nor a video file"):
        read_sequence(tmp_path / "0.json")
    (tmp_path / "7.json").write_text(json.dumps({"../Toy": entry(BOXES)}))
    with pytest.raises(InputError, match="'../Toy' in .* cannot name a target"):
        list_targets(tmp_path / "7.json")


def test_layouts_side_by_side(tmp_path: Path, frames: Any) -> None:
    frames(tmp_path / "otb" / "Toy" / "img")
    write_rows(tmp_path / "otb" / "Toy" / "groundtruth_rect.txt", one_based())
    frames(tmp_path / "vot" / "ball")
    write_rows(tmp_path / "vot" / "ball" / "groundtruth.txt", BOXES)
    assert names(tmp_path) == ["Toy", "ball"] and names(tmp_path, "otb") == ["Toy"]
    with pytest.raises(
        InputError, match="neither it nor .* laid out as LaSOT .groundtruth.txt, .*; give a folder"
    ):
        names(tmp_path, "lasot")
    with pytest.raises(InputError, match="layout 'images' is unknown; known are auto, otb"):
        names(tmp_path, "images")
    assert "images" in LAYOUTS


# Against the boxes that the got10k toolkit reads


def read_with_got10k(name: str, root: Path, **attributes: Any) -> Any:
    """A data set of the toolkit without its checks, which want every folder of the benchmark."""
    datasets = pytest.importorskip("got10k.datasets", reason="the got10k toolkit is not installed")
    dataset = getattr(datasets, name).__new__(getattr(datasets, name))
    dataset.__dict__.update(root_dir=str(root), return_meta=False, **attributes)
    return dataset


def assert_same(dataset: Any, index: int, path: Path, origin: int, number: int | None = None) -> None:
    files, boxes = dataset[index]
    sequence = read_sequence(path, target=number)
    assert [Path(file).name for file in files] == [sequence.frames.name(t) for t in range(len(sequence))]
    shown = sequence.present
    assert len(shown) > 1
    np.testing.assert_allclose(sequence.boxes[shown] + [origin, origin, 0, 0], boxes[shown])
    assert not (np.nan_to_num(boxes[sequence.visibility == 0, 2:]) > 0).all(axis=1).any()


def test_the_toolkit_reads_the_same_sequences(tmp_path: Path, frames: Any) -> None:
    """OTB, DTB70, VOT, GOT-10k and LaSOT: one folder a sequence."""
    rows = [*one_based()[:3], [0, 0, 0, 0]]
    for name, images, annotation in [
        ("David", "img", "groundtruth_rect.txt"), ("ball", ".", "groundtruth.txt"),
        ("GOT-10k_Val_000001", ".", "groundtruth.txt"), ("cat-1", "img", "groundtruth.txt"),
    ]:  # fmt: skip
        folder = tmp_path / name
        numbers = range(1, 771) if name == "David" else range(1, 5)
        if images == ".":
            frames(folder, numbers, "{:08d}.jpg")
        else:
            frames(folder / images, numbers)
        write_rows(folder / annotation, [rows[0]] * 467 + rows if name == "David" else rows)
        lists = {
            "seq_names": [name], "seq_dirs": [str(folder)], "anno_files": [str(folder / annotation)],
            "anno_type": "rect", "subset": "val",
        }  # fmt: skip
        toolkit = {"David": "OTB", "ball": "VOT", "cat-1": "LaSOT"}.get(name, "GOT10k")
        if toolkit == "LaSOT":
            lists["seq_dirs"] = [str(folder / "img")]
        assert_same(read_with_got10k(toolkit, tmp_path, **lists), 0, folder, 0 if toolkit == "VOT" else 1)
    frames(tmp_path / "Animal1" / "img", form="{:05d}.jpg")
    write_rows(tmp_path / "Animal1" / "groundtruth_rect.txt", one_based())
    lists = {
        "seq_names": ["Animal1"], "seq_dirs": [str(tmp_path / "Animal1")],
        "anno_files": [str(tmp_path / "Animal1" / "groundtruth_rect.txt")],
    }  # fmt: skip
    assert_same(read_with_got10k("DTB70", tmp_path, **lists), 0, tmp_path / "Animal1", 1)


def test_the_toolkit_reads_the_same_segments_of_uav123(tmp_path: Path, frames: Any) -> None:
    """The toolkit has the ranges of `configSeqs.m`; here they are derived."""
    make_uav123(tmp_path, frames, "UAV123")
    datasets = pytest.importorskip("got10k.datasets", reason="the got10k toolkit is not installed")
    metas = json.loads((Path(datasets.__file__).parent / "uav123.json").read_text())
    found = list_targets(tmp_path)
    folders = [str(tmp_path / "data_seq" / "UAV123" / metas["UAV123"][name]["folder_name"]) for name in found]
    dataset = read_with_got10k(
        "UAV123", tmp_path, version="UAV123", seq_metas=metas, seq_names=list(found), seq_dirs=folders,
        anno_files=[str(path) for path, _ in found.values()],
    )  # fmt: skip
    for index, (path, _) in enumerate(found.values()):
        assert_same(dataset, index, path, 1)


def test_all_starts_of_uav123_follow_from_its_lengths() -> None:
    """The toolkit's table: but for late starts, a segment begins with the last frame of the one before."""
    from tracker.data.readers.uav123 import LATE_STARTS

    datasets = pytest.importorskip("got10k.datasets", reason="the got10k toolkit is not installed")
    metas = json.loads((Path(datasets.__file__).parent / "uav123.json").read_text())["UAV123"]
    segments = [name for name, meta in metas.items() if meta["folder_name"] != name]
    assert len(segments) == 51
    for name in segments:
        video, number = name.rsplit("_", 1)
        last = metas[f"{video}_{int(number) - 1}"]["end_frame"] if int(number) > 1 else 1
        assert metas[name]["start_frame"] == LATE_STARTS.get(name, {}).get(last, last)


@pytest.mark.parametrize("rate", [30, 240])
def test_the_toolkit_reads_the_same_nfs(tmp_path: Path, frames: Any, rate: int) -> None:
    boxes = BOXES * 3
    for name, extra in (("dense", 0), ("short", 1)):
        count = len(boxes) * (1 if rate == 30 else 8)
        frames(tmp_path / name / str(rate) / name, range(1, count + 1 + extra), "{:05d}.jpg")
        rows = [(x + k / 8, y, w, h) for x, y, w, h in boxes for k in range(8)]
        file = tmp_path / name / str(rate) / f"{name}.txt"
        file.write_text(nfs_rows(rows).replace('"person head 2"', '"ball"'))
        dataset = read_with_got10k(
            "NfS",
            tmp_path,
            fps=rate,
            seq_names=[name],
            seq_dirs=[str(file.with_suffix(""))],
            anno_files=[str(file)],
        )
        assert_same(dataset, 0, tmp_path / name / str(rate), 0)


def test_the_toolkit_reads_the_same_tc128(tmp_path: Path, frames: Any) -> None:
    folder = tmp_path / "Ball_ce2"
    frames(folder / "img", range(1, 9))
    gt = write_rows(folder / "Ball_ce2_gt.txt", one_based())
    ends = write_rows(folder / "Ball_ce2_frames.txt", [[3, 6]])
    dataset = read_with_got10k(
        "TColor128",
        tmp_path,
        seq_names=["Ball_ce2"],
        seq_dirs=[str(folder)],
        anno_files=[str(gt)],
        range_files=[str(ends)],
    )
    assert_same(dataset, 0, folder, 1)


def test_the_toolkit_reads_the_same_trackingnet(
    tmp_path: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toolkit takes a file's whole path for a number: it works inside of the folder of frames alone."""
    folder = frames(tmp_path / "TRAIN_0" / "frames" / "abc_0", range(11), "{}.jpg")
    file = write_rows(tmp_path / "TRAIN_0" / "anno" / "abc_0.txt", [*BOXES, *BOXES, *BOXES[:3]])
    monkeypatch.chdir(folder)
    dataset = read_with_got10k("TrackingNet", tmp_path, seq_names=["abc_0"], seq_dirs=[""], anno_files=[str(file)])
    assert_same(dataset, 0, file, 0)
