"""Folders of the user: nothing in them is deleted, and they stay the folders that they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vae.files
from agents.common.output import MARKER, check_file, check_folder, claim_folder, replacing_folder
from tracker.errors import InputError
from tracker.files import remove_leftovers, replacing_file, temporary_folder

DEAD = "abcd1234.99999999-1.occlusion-search"
"""End of the name of a temporary folder of a process that has ended."""


def write(out, *names, text="x", result="demo"):
    with replacing_folder(out, result) as folder:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def is_complete(folder):
    return json.loads((folder / MARKER).read_text())["work"] is None


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


@pytest.fixture
def mount(tmp_path):
    """Mount a small file system, where root may."""
    mounted = []

    def mount(name, options="size=1m"):
        place = tmp_path / name
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if sys.platform != "linux" or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not permitted")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ["report.json", "report.html", "metadata.jsonl", "metadata.csv", "settings.json"])
def test_a_file_with_the_name_of_ours_does_not_make_a_folder_ours(tmp_path, name):
    (tmp_path / name).write_text("mine")
    (tmp_path / "thesis.tex").write_text("years of work")
    for attempt in (
        lambda: write(tmp_path, "report.json"),
        lambda: check_folder(tmp_path, result="demo"),
        lambda: claim_folder(tmp_path, "settings.json", {"seed": 0}, "results of something else"),
    ):
        with pytest.raises(InputError, match=r"holds other files|is not JSON"):
            attempt()
    assert files(tmp_path) == {name: "mine", "thesis.tex": "years of work"}


def test_what_others_put_into_a_result_stays(tmp_path):
    """The rule: files that the marker lists are replaced, edited or not; all others stay."""
    write(tmp_path, "report.json", "pictures/a.png", "pictures/b.png", "old/c.png", text="old")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "pictures" / "mine.png").write_text("mine")
    (tmp_path / "report.json").write_text("edited")
    write(tmp_path, "report.json", "pictures/a.png", text="new")
    expected = {"report.json": "new", "pictures/a.png": "new", "notes.txt": "mine", "pictures/mine.png": "mine"}
    assert files(tmp_path) == expected and not (tmp_path / "old").exists()
    # What would be in the way of a new file is not replaced, and the earlier result stays.
    with pytest.raises(InputError, match=r"'.*mine\.png' is not a file of the earlier result"):
        write(tmp_path, "added/x.png", "pictures/mine.png", text="newer")
    assert files(tmp_path) == expected and not (tmp_path / "added").exists()


def test_links_in_a_result_are_not_followed(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    write(out, "report.json", "pictures/a.png", "pictures/b.png", text="old")
    (out / "pictures").rename(other)
    (out / "pictures").symlink_to(other)
    with pytest.raises(InputError, match=r"'.*pictures' is not a file of the earlier result"):
        write(out, "report.json", "pictures/a.png", text="new")
    write(out, "report.json", text="new")
    assert files(other) == {"a.png": "old", "b.png": "old"} and (out / "pictures").is_symlink()


def test_a_result_of_another_kind_is_refused(tmp_path):
    write(tmp_path, "report.html", result="benchmark report")
    for attempt in (lambda: write(tmp_path, "report.json"), lambda: check_folder(tmp_path, result="demo")):
        with pytest.raises(InputError, match="holds the result of benchmark report"):
            attempt()
    with pytest.raises(InputError, match="holds other files"):
        claim_folder(tmp_path, "settings.json", {}, "x")


BAD = {"result": "demo", "replaced": [], "work": None, "written_by": "occlusion-search"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        '"x"',
        "\xff",
        *(
            json.dumps(BAD | change)
            for change in (
                {"files": ["../mine.txt"]},
                {"files": ["/etc/hostname"]},
                {"files": ["a", 3]},
                {"files": "report.json"},
                {"files": [], "work": "../other"},
                {"files": [], "work": 3},
                {"files": [], "result": None},
                {"files": [], "replaced": None},
                {"files": [], "more": 1},
                {"files": [], "written_by": "me"},
                {},
            )
        ),
    ],
    ids=range(17),
)
def test_a_damaged_marker_is_refused(tmp_path, text):
    (tmp_path / "mine.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match="is damaged"):
        write(out, "report.json")
    assert (tmp_path / "mine.txt").read_text() == "mine" and [path.name for path in out.iterdir()] == [MARKER]


@pytest.mark.parametrize("kind", ["folder", "link", "current", "mount"])
def test_the_folder_stays_the_one_that_it_is(tmp_path, monkeypatch, request, kind):
    out = tmp_path / "out"
    if kind == "mount":
        request.getfixturevalue("mount")("out", "size=20m")
        (out / "lost+found").mkdir(mode=0o700)
    else:
        out.mkdir(mode=0o750)
    given, identity = out, out.stat()
    if kind == "link":
        given = tmp_path / "link"
        given.symlink_to(out)
    if kind == "current":
        monkeypatch.chdir(out)
        given = Path(".")
    for text in ("old", "new"):
        check_folder(given, result="demo")
        write(given, "report.json", "pictures/a.png", text=text)
        assert files(out) == {"report.json": text, "pictures/a.png": text}
    after = out.stat()
    assert (after.st_ino, after.st_dev, after.st_mode) == (identity.st_ino, identity.st_dev, identity.st_mode)
    assert given.is_symlink() == (kind == "link")
    if kind == "mount":
        with replacing_file(out / "lost+found" / "a.json") as temporary:
            temporary.write_text("{}")


def test_a_second_mount_of_an_input(tmp_path, mount):
    """The same folder at another path is found by its identity."""
    data = mount("data")
    (data / "clip").mkdir()
    (tmp_path / "other").mkdir()
    subprocess.run(["mount", "--bind", str(data), str(tmp_path / "other")], check=True)
    try:
        for out in (tmp_path / "other", tmp_path / "other" / "new"):
            with pytest.raises(InputError, match=r"is an input|lies in"):
                check_folder(out, data)
    finally:
        subprocess.run(["umount", str(tmp_path / "other")], check=True)


MOMENTS = range(9)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_replacing_that_was_cut_off_is_completed(tmp_path, moment):
    """A process that ends before its n-th rename leaves the earlier result or one that the next run completes."""
    out = tmp_path / "out"
    write(out, "a.txt", "pictures/b.png", "old/c.png", text="old")
    old, new = files(out), {"a.txt": "new", "pictures/b.png": "new", "more/d.png": "new"}
    program = f"""
import os
from pathlib import Path
from agents.common.output import replacing_folder
left, real = {moment}, (os.replace, Path.unlink)
def cut(real):
    def call(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*arguments, **named)
    return call
with replacing_folder(Path({str(out)!r}), "demo") as folder:
    for name in {sorted(new)}:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("new")
    os.replace, Path.unlink = map(cut, real)
"""
    code = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120).returncode
    assert code == (9 if moment < 6 else 0)
    if moment == 0:
        assert is_complete(out) and files(out).items() >= old.items()
    assert is_complete(out) == (moment == 0 or moment >= 6)
    # The next run completes it at its start, even if it fails then.
    with pytest.raises(RuntimeError), replacing_folder(out, "demo"):
        raise RuntimeError
    assert files(out) == (old if moment == 0 else new)
    assert is_complete(out) and not [path for path in out.rglob(".*") if path.name != MARKER]
    write(out, "a.txt", text="newest")
    assert files(out) == {"a.txt": "newest"}


def test_a_replacing_that_lost_its_work(tmp_path):
    """If the temporary folder was removed as well, all that is there of both results can be replaced."""
    write(tmp_path, "a.txt", "b.txt", text="old")
    marker = json.loads((tmp_path / MARKER).read_text())
    (tmp_path / MARKER).write_text(
        json.dumps(
            marker | {"files": ["a.txt", "c.txt"], "replaced": ["a.txt", "b.txt"], "work": f".result.{DEAD}"}
        )
    )
    assert not is_complete(tmp_path)
    with pytest.raises(RuntimeError), replacing_folder(tmp_path, "demo"):
        raise RuntimeError
    assert files(tmp_path) == {"a.txt": "old", "b.txt": "old"} and not is_complete(tmp_path)
    write(tmp_path, "c.txt", text="new")
    assert files(tmp_path) == {"c.txt": "new"} and is_complete(tmp_path)


def test_a_marker_cannot_name_a_folder_to_be_deleted(tmp_path):
    """A marker that came from elsewhere says that `photos` is temporary."""
    (tmp_path / "photos" / "new").mkdir(parents=True)
    (tmp_path / "photos" / "new" / "a.png").write_text("mine")
    for work in ("photos", ".", "photos/new"):
        (tmp_path / MARKER).write_text(json.dumps(BAD | {"files": ["a.png"], "work": work}))
        with pytest.raises(InputError, match=r"is being written by another process|is damaged"):
            write(tmp_path, "a.png")
    assert files(tmp_path) == {"photos/new/a.png": "mine"}


def test_a_replacing_of_a_living_process_is_left_alone(tmp_path):
    write(tmp_path, "a.txt", text="old")
    work = temporary_folder(tmp_path / "result")
    (work / "new").mkdir()
    (work / "new" / "a.txt").write_text("new")
    marker = json.loads((tmp_path / MARKER).read_text())
    (tmp_path / MARKER).write_text(json.dumps(marker | {"replaced": ["a.txt"], "work": work.name}))
    with pytest.raises(InputError, match="is being written by another process"):
        write(tmp_path, "a.txt", text="other")
    assert (tmp_path / "a.txt").read_text() == "old" and (work / "new" / "a.txt").read_text() == "new"


@pytest.mark.parametrize("remove", [remove_leftovers, vae.files.remove_leftovers], ids=["tracker", "vae"])
def test_leftovers_are_those_of_ended_processes_alone(tmp_path, remove):
    left = [tmp_path / f".a.json.{DEAD}", tmp_path / "x" / "y" / f".b.png.{DEAD}"]
    living = temporary_folder(tmp_path / "a.json")
    dead_start = living.name.replace(f".{os.getpid()}-", f".{os.getpid()}-9")  # an earlier process of this number
    users = [
        f"a.{DEAD}",
        ".tmp",
        ".a.json.1.tmp",
        ".a.json.tmp",
        ".a.json.12-3.occlusion-search",
        ".occlusion-search",
    ]
    for folder in (*left, tmp_path / dead_start, *(tmp_path / name for name in users)):
        folder.mkdir(parents=True)
        (folder / "half").write_text("x")
    (tmp_path / "linked").symlink_to(tmp_path / "x")
    (tmp_path / f".c.{DEAD}").write_text("a user's file, as ours are folders")
    outside = tmp_path / "link"
    outside.symlink_to(left[0])
    remove(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*users, living.name, "x", "linked", "link", f".c.{DEAD}"])
    assert os.listdir(tmp_path / "x" / "y") == []


def test_a_file_of_vae_that_is_being_written_is_no_leftover(tmp_path):
    with vae.files.replacing_file(tmp_path / "a.json") as temporary:
        for remove in (remove_leftovers, vae.files.remove_leftovers):
            remove(tmp_path)
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["a.json"]


def test_leftovers_of_one_file(tmp_path):
    mine, other = tmp_path / f".a.json.{DEAD}", tmp_path / f".b.json.{DEAD}"
    for folder in (mine, other, tmp_path / "x" / mine.name):
        folder.mkdir(parents=True)
    check_file(tmp_path / "a.json", option="--json")
    assert not mine.exists() and other.exists() and (tmp_path / "x" / mine.name).exists()


def test_what_a_library_leaves_beside_a_file_lies_in_its_temporary_folder(tmp_path):
    """safetensors writes to a name of its own beside the file and renames it."""
    seen = set()
    with replacing_file(tmp_path / "w.safetensors") as temporary:
        temporary.write_text("x")
        (temporary.parent / ".tmpAbc123").write_text("what a kill leaves")
        seen = {path.parent for path in tmp_path.rglob("*") if path.is_file()}
    assert seen == {temporary.parent} and temporary.parent.parent == tmp_path
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_place_that_only_looks_writable(tmp_path, mount):
    """The file system is read-only, which no permission tells."""
    place = mount("disk", "size=20m,ro")
    for check in (lambda: check_folder(place / "a" / "b"), lambda: check_file(place / "a.json", option="--json")):
        with pytest.raises(InputError, match=r"cannot be written.*Read-only file system"):
            check()
