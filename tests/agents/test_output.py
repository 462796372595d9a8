import os
import stat
import sys
from pathlib import Path

import pytest

from agents.cli import main
from agents.output import check_apart, check_file, check_folder, check_json_path, replacing_folder, write_json
from tracker.errors import InputError


def write(out, text="x"):
    with replacing_folder(out, mark="report.json") as folder:
        (folder / "report.json").write_text(text)


def test_the_folder_appears_whole(tmp_path):
    with replacing_folder(tmp_path / "a" / "b", mark="report.json") as folder:
        (folder / "report.json").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "report.json").read_text() == "1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_an_earlier_result_is_replaced_whole(tmp_path):
    write(tmp_path / "out", "old")
    (tmp_path / "out" / "stale.png").write_text("stale")
    write(tmp_path / "out", "new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert (tmp_path / "out" / "report.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_earlier_result_and_nothing_else(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "out", mark="report.json") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert (tmp_path / "out" / "report.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        write(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path / "missing" / "a.json")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path)


def test_json(tmp_path):
    write_json(tmp_path / "a.json", {"ratio": 2.0})
    assert (tmp_path / "a.json").read_text() == '{\n  "ratio": 2.0\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_folders_have_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o077)
    try:
        write(tmp_path / "out")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
        (tmp_path / "out").chmod(0o750)
        write(tmp_path / "out", "new")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
        write_json(tmp_path / "a.json", {})
        assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_link_to_a_folder_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "report.json").is_file()


def test_devices_take_output(tmp_path):
    for device in ("/dev/null", "/dev/stdout"):
        check_json_path(Path(device))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        check_json_path(tmp_path / "file" / "a.json")


def test_an_output_that_would_destroy_an_input(tmp_path):
    data = tmp_path / "data"
    (data / "clip").mkdir(parents=True)
    video, inside = data / "a.mp4", data / "clip" / "boxes.txt"
    video.write_text("frames")
    inside.write_text("1,1,2,2")
    (tmp_path / "soft.mp4").symlink_to(video)
    (tmp_path / "hard.mp4").hardlink_to(video)
    (tmp_path / "folder").symlink_to(data)
    for out in (video, data / "clip" / ".." / "a.mp4", tmp_path / "soft.mp4", tmp_path / "hard.mp4"):
        with pytest.raises(InputError, match="is an input"):
            check_file(out, None, "imagenet", video, option="--out")
    with pytest.raises(InputError, match="is an input"):
        check_apart(tmp_path / "folder", data)
    for out, given in ((tmp_path, data), (tmp_path / "folder", video), (data, data / "clip")):
        with pytest.raises(InputError, match="contains the input"):
            check_apart(out, given)
    with pytest.raises(InputError, match="exists in the input"):
        check_json_path(inside, tmp_path / "folder")
    for out in (data / "new.json", tmp_path / "other.mp4"):
        check_json_path(out, data, video)
    for out in (data / "results", tmp_path / "results"):
        check_apart(out, data, video)
    check_json_path(Path("/dev/null"), "/dev/null")
    assert (video.read_text(), inside.read_text()) == ("frames", "1,1,2,2")


def test_no_output_among_the_frames_of_an_input(tmp_path, make_video, write_otb):
    """The folder of a sequence, and that of its frames; an earlier result inside the data may go on."""
    write_otb(tmp_path / "data" / "a", make_video(frames=2))
    (tmp_path / "data" / "results").mkdir()
    (tmp_path / "data" / "results" / "closure.png").write_bytes(b"")
    for out in (tmp_path / "data" / "a", tmp_path / "data" / "a" / "img"):
        with pytest.raises(InputError, match="belongs to a sequence of the input .*give another --out"):
            check_folder(out, tmp_path / "data")
    for out in (tmp_path / "data" / "results", tmp_path / "data" / "a" / "new"):
        check_folder(out, tmp_path / "data")


COMMANDS = {
    "track": "--video {clip} --box 1,1,4,4 --out {clip}",
    "track --boxes": "--video {clip} --box 1,1,4,4 --out {new}.mp4 --boxes {clip}",
    "generate": "--data {data} --out {data}",
    "demo": "--sequence {data}/clip.mp4 --box 1,1,4,4 --out {data}",
    "demo --json": "--sequence {clip} --box 1,1,4,4 --out {new} --json {clip}",
    "evaluate": "--targets {data} --out {data}",
    "evaluate-vae": "--data {data} --out {data}",
    "reproduce": "--data {data} --judge {data} --out {data}",
    "train-backbone": "--data {data} --teacher {clip} --out {data}",
    "fit-prior": "--data {data} --weights {weights} --out {weights}",
    "train-siamfc": "--data {new} --weights {weights} --out {data}",
    "train-tracker": "--data {data} --out {data}",
    "train-vae": "--data {data} --out {data}",
    "enjoy": "--model {weights} --gif {weights}",
    "check-tracker": "sint-slim --weights {weights} --json {weights}",
    "benchmark run": "--tracker mil --data {data} --out {data}",
    "benchmark run --json": "--tracker mil --data {data} --out {new} --json {weights}",
    "benchmark score": "--results {data} --annotations {weights} --json {weights}",
    "benchmark report": "--results {data} --annotations {weights} --out {data}",
    "benchmark report --json": "--results {data} --annotations {weights} --out {new} --json {clip}",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_destroys_its_input(tmp_path, monkeypatch, capsys, command):
    data = tmp_path / "data"
    data.mkdir()
    places = {"data": data, "clip": data / "clip.mp4", "weights": data / "w.safetensors", "new": tmp_path / "new"}
    for name in ("clip", "weights"):
        places[name].write_text(name)
    for mark in ("report.html", "report.json"):  # an earlier report in the folder is no leave to replace it
        (data / mark).write_text("{}")
    words = command.split(" --")[0].split() + COMMANDS[command].format(**places).split()
    monkeypatch.setattr(sys, "argv", ["occlusion-search", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "error: '" in (said := capsys.readouterr().err) and "input" in said, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert [places[name].read_text() for name in ("clip", "weights")] == ["clip", "weights"]


def test_a_full_disk_is_one_sentence(monkeypatch, capsys):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr(sys, "argv", ["occlusion-search", "doctor", "--json", "/dev/full"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "'/dev/full': No space left on device." in capsys.readouterr().err


FOLDERS = {
    "generate": "--data {data}",
    "demo": "--sequence {clip} --box 1,1,4,4",
    "evaluate": "--targets {data}",
    "evaluate-vae": "--data {data}",
    "reproduce": "--data {data} --judge {data}",
    "train-backbone": "--data {data} --teacher {clip}",
    "train-siamfc": "--data {data} --weights {clip}",
    "train-tracker": "--data {data}",
    "train-vae": "--data {data}",
    "benchmark run": "--tracker mil --data {data}",
    "benchmark report": "--results {data} --annotations {clip}",
}
FILES = {
    "track": "--video {clip} --box 1,1,4,4 --out",
    "enjoy": "--model pretrained --gif",
    "fit-prior": "--data {data} --out",
    "check-tracker": "mil --json",
    "doctor": "--json",
}


@pytest.mark.parametrize("command", [*FOLDERS, *FILES])
def test_places_that_no_command_can_write(tmp_path, monkeypatch, capsys, command):
    """A folder where a file is, or below one; a file where a folder is, below a file, or in no folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clip.mp4").write_text("clip")
    for name in ("file", "file.mp4", "file.safetensors"):
        (tmp_path / name).write_text("x")
    ending = {"track": ".mp4", "fit-prior": ".safetensors"}.get(command, "")
    (tmp_path / f"folder{ending}").mkdir()
    arguments = {**FOLDERS, **FILES}[command].format(data=tmp_path / "data", clip=tmp_path / "data" / "clip.mp4")
    places = ["file", "file/below"]
    if command in FILES:
        places = [f"folder{ending}", f"file/below{ending}", f"nowhere/x{ending}"]
    before = sorted(tmp_path.rglob("*"))
    for place in places:
        out = ["--out"] if command in FOLDERS else []
        words = [*command.split(), *arguments.split(), *out, str(tmp_path / place)]
        monkeypatch.setattr(sys, "argv", ["occlusion-search", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1, said
        assert f"'{tmp_path / place}' " in said and ("cannot be written" in said or "is a file" in said)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_must_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match="cannot be written, because of"):
        check_folder(tmp_path / "a" / "b")
    with pytest.raises(InputError, match="cannot be written"):
        check_file(tmp_path / "a.json", option="--json")
