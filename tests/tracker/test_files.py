"""The one writer of files, and its twin in `vae`, which stands alone."""

import errno
import inspect
import os
import stat
import threading
from pathlib import Path

import pytest
from safetensors import SafetensorError

import tracker.files
import tracker.models.backbones.hardware
import vae.devices
import vae.files

WRITERS = [tracker.files.replacing_file, vae.files.replacing_file]
writers = pytest.mark.parametrize("replacing_file", WRITERS, ids=["tracker", "vae"])


@pytest.fixture
def umask():
    """Set the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def write(replacing_file, path, text="new"):
    with replacing_file(path) as temporary:
        temporary.write_text(text)


def test_the_twins_share_their_rules():
    """`vae` imports nothing of `tracker`, so each has its own copy of what it needs."""
    for name in ("_start_of", "_flush"):
        assert len({inspect.getsource(getattr(module, name)) for module in (tracker.files, vae.files)}) == 1
    assert tracker.files._TEMPORARY == vae.files._TEMPORARY
    units = [tracker.models.backbones.hardware._cpu_has_bf16_units, vae.devices._cpu_has_bf16_units]
    assert len({inspect.getsource(function) for function in units}) == 1


@writers
@pytest.mark.parametrize("mask, expected", [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, replacing_file, mask, expected):
    umask(mask)
    write(replacing_file, tmp_path / "a.txt")
    with replacing_file(tmp_path / "b.txt") as temporary:  # as safetensors does
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (mode(tmp_path / "a.txt"), mode(tmp_path / "b.txt")) == (expected, expected)


@writers
def test_a_replaced_file_keeps_its_mode(tmp_path, umask, replacing_file):
    file = tmp_path / "a.txt"
    file.write_text("old")
    file.chmod(0o640)
    write(replacing_file, file)
    assert (file.read_text(), mode(file)) == ("new", 0o640)


@writers
def test_a_link_stays_and_its_file_is_replaced(tmp_path, replacing_file):
    (tmp_path / "there").mkdir()
    real, link, second = tmp_path / "there" / "real.txt", tmp_path / "link.txt", tmp_path / "second.txt"
    real.write_text("old")
    link.symlink_to(Path("there") / "real.txt")
    second.symlink_to(link)
    write(replacing_file, second)
    assert (second.is_symlink(), link.is_symlink(), real.is_symlink()) == (True, True, False)
    assert real.read_text() == "new"
    dangling = tmp_path / "dangling.txt"
    dangling.symlink_to(tmp_path / "there" / "made.txt")
    write(replacing_file, dangling)
    assert dangling.is_symlink() and (tmp_path / "there" / "made.txt").read_text() == "new"
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["made.txt", "real.txt"]


def test_devices_and_links_to_them_stay(tmp_path):
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    write(tracker.files.replacing_file, link)
    write(tracker.files.replacing_file, Path(os.devnull))
    assert link.is_symlink() and stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    write(tracker.files.replacing_file, pipe)
    reader.join(10)
    assert found == ["new"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_is_written_into_behind_what_was_printed(capfd):
    print("before")
    write(tracker.files.replacing_file, Path("/dev/stdout"), "new\n")
    print("behind")
    assert capfd.readouterr().out == "before\nnew\nbehind\n"
    assert Path("/dev/stdout").is_symlink()


@writers
def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path, replacing_file):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), replacing_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


@writers
def test_errors_of_the_disk_name_the_file(tmp_path, replacing_file):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "missing" / "a.txt", tmp_path / "file" / "a.txt", tmp_path):
        with pytest.raises(OSError) as caught:
            write(replacing_file, place)
        assert caught.value.filename == str(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    "replacing_file, reason",
    [(WRITERS[0], "No space left"), (WRITERS[1], "Invalid argument")],
    ids=["tracker", "vae"],
)
def test_errors_of_a_device_name_it(replacing_file, reason):
    with pytest.raises(OSError, match=reason) as caught:
        write(replacing_file, Path("/dev/full"))
    assert caught.value.filename == "/dev/full"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@writers
def test_the_disk_has_the_file_before_its_name(tmp_path, monkeypatch, replacing_file):
    done = []

    def fsync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        synchronise(descriptor)

    def rename(source, target):
        done.append("name")
        replace(source, target)

    synchronise, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    write(replacing_file, tmp_path / "a.txt")
    assert done == ["file", "name", "folder"]
    done.clear()
    with tracker.files.replacing_file(tmp_path / "b.txt", durable=False) as temporary:
        temporary.write_text("new")
    assert done == ["name"]


@writers
def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch, replacing_file):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        if refuse:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    refuse = False
    write(replacing_file, tmp_path / "a.txt")
    refuse = True
    with pytest.raises(OSError, match="No space left") as caught:
        write(replacing_file, tmp_path / "a.txt", "newer")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "new")]


@writers
def test_disk_errors_of_libraries_in_rust_name_the_file(tmp_path, replacing_file):
    path = tmp_path / "a.safetensors"
    with pytest.raises(OSError, match="No space left") as caught, replacing_file(path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(SafetensorError), replacing_file(path):
        raise SafetensorError("Error while serializing")


@writers
def test_a_long_name(tmp_path, replacing_file):
    write(replacing_file, tmp_path / ("n" * 250 + ".txt"))
    assert len(list(tmp_path.iterdir())) == 1
