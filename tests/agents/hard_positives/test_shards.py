"""`generate --format webdataset`: shards that may be killed, and that `webdataset` and `datasets` read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from agents import remake_hard_positive
from agents.hard_positives.generation_run import GenerationRun, _make_shard, generate_hard_positives
from agents.hard_positives.views import View
from occlusion_env.scene.targets import TargetSet
from tracker.errors import InputError
from tracker.trackers.following import open_sequence

from .test_generate import contents, data, records, run_of  # noqa: F401

SHARDS = ["hard_positives-000000.tar", "hard_positives-000001.tar", "hard_positives-000002.tar"]


def shards_of(data: Path, out: Path, **changes) -> GenerationRun:  # noqa: F811
    """Blocks of 2 targets in shards of at most 4 images: 4 of a; 1 of a and 2 of b; 2 of b."""
    return run_of(data, out, **{"format": "webdataset", "shard_size": 4, "batch": 2, **changes})


@pytest.mark.parametrize("view", [View(), View("region", 3.0), View("frame")])
def test_a_shard_holds_the_images_and_records_of_an_imagefolder(data, tmp_path, view) -> None:  # noqa: F811
    folder, out = tmp_path / "folder", tmp_path / "out"
    one = generate_hard_positives(run_of(data, folder, view=view, batch=2))
    report = generate_hard_positives(shards_of(data, out, view=view))
    assert (report.images, report.made, report.before, report.after) == (9, 9, one.before, one.after)
    assert sorted(file.name for file in out.iterdir()) == [".parts", *SHARDS, "settings.json"]
    found = []
    for name in SHARDS:
        with tarfile.open(out / name) as archive:
            members = archive.getmembers()
            assert all((each.mtime, each.uid, each.mode) == (0, 0, 0o644) for each in members)
            for image, record in zip(members[::2], members[1::2], strict=True):
                assert Path(image.name).with_suffix("") == Path(record.name).with_suffix("")
                found.append(json.load(archive.extractfile(record)))
                assert found[-1]["file_name"] == image.name
                assert archive.extractfile(image).read() == (folder / image.name).read_bytes()
    assert found == records(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_where_it_was_cut_off(data, tmp_path, monkeypatch, workers: int) -> None:  # noqa: F811
    """After a shard, and with one damaged or half-written, all files are those of a run in one go."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    generate_hard_positives(shards_of(data, whole))
    wanted, made = contents(whole), []

    def some(run, shard):
        if made:
            raise KeyboardInterrupt
        made.append(shard)
        return _make_shard(run, shard)

    with monkeypatch.context() as patch:
        patch.setattr("agents.hard_positives.generation_run._make_shard", some)
        with pytest.raises(KeyboardInterrupt):
            generate_hard_positives(shards_of(data, out))
    assert [file.name for file in out.glob("*.tar")] == SHARDS[:1] and not made[1:]
    (out / SHARDS[1]).write_bytes(b"half")  # without its records
    report = generate_hard_positives(shards_of(data, out, workers=workers))
    assert report.made == 5 and contents(out) == wanted
    (out / SHARDS[0]).write_bytes(wanted[SHARDS[0]][:-1])
    with pytest.warns(UserWarning, match="hard_positives-000000.tar' is damaged"):
        report = generate_hard_positives(shards_of(data, out, workers=workers))
    assert report.made == 4 and contents(out) == wanted
    assert generate_hard_positives(shards_of(data, out)).made == 0
    for changes in ({"shard_size": 5}, {"format": "imagefolder"}):
        with pytest.raises(InputError, match="hard positives of another run"):
            generate_hard_positives(shards_of(data, out, **changes))


def test_a_shard_without_a_video_that_failed_is_made_again(data, tmp_path, monkeypatch) -> None:  # noqa: F811
    whole, out = tmp_path / "whole", tmp_path / "out"
    generate_hard_positives(shards_of(data, whole))
    real = TargetSet.subset

    def damaged(self, rows):
        if set(self.videos) == {"b"}:
            raise InputError("A frame of 'b' cannot be read.")
        return real(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(TargetSet, "subset", damaged)
        report = generate_hard_positives(shards_of(data, out))
    assert report.images == 5 and report.failed == {"b": "A frame of 'b' cannot be read."}
    with tarfile.open(out / SHARDS[1]) as archive:
        assert archive.getnames() == ["a/000005-0.png", "a/000005-0.json"]
    report = generate_hard_positives(shards_of(data, out))
    assert (report.images, report.made) == (9, 5) and contents(out) == contents(whole)


def test_the_command(run, data, tmp_path) -> None:  # noqa: F811
    command = [
        "generate",
        "--data",
        data,
        "--scorer",
        "dark_scorer:Dark",
        "--device",
        "cpu",
        "--out",
        tmp_path / "o",
    ]
    command += ["--agent", "best-of-4-random", "--batch", 4]
    code, printed, errors = run(*command, "--format", "webdataset", "--shard-size", 4, "--image-format", "jpeg")
    assert code == 0, errors
    assert "9 hard positives (9 of them new" in printed and "hardest first" not in printed
    assert sorted(file.name for file in (tmp_path / "o").glob("*.*")) == [".parts", *SHARDS, "settings.json"]
    for more, message in (
        (["--format", "webdataset", "--open"], "shards have none"),
        (["--shard-size", 4], "--shard-size is of the format 'webdataset'"),
        (["--format", "webdataset", "--shard-size", 0], "--shard-size is 0; it must be 1 or more"),
        (["--format", "jpeg"], "jpeg"),
    ):
        code, _, errors = run(*command, *more)
        assert code == 2 and message in errors.replace("\n", " ")


@pytest.mark.parametrize("view", [View(), View("region"), View("frame")])
def test_webdataset_reads_the_shards(data, tmp_path, view) -> None:  # noqa: F811
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    generate_hard_positives(shards_of(data, tmp_path / "out", view=view))
    shards = str(tmp_path / "out/hard_positives-{000000..000002}.tar")
    rows = list(
        webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8").to_tuple("png", "json", "__key__")
    )
    assert [key for *_, key in rows[:2]] == ["a/000001-0", "a/000002-0"] and len(rows) == 9
    videos = TargetSet.join(TargetSet.from_sequence(open_sequence(data / name)) for name in "ab")
    for image, record, _ in rows:
        assert np.array_equal(image, remake_hard_positive(record, videos)) and record["view"] == view.name


@pytest.mark.parametrize("view", [View(), View("region"), View("frame")])
def test_datasets_reads_the_shards(data, tmp_path, view) -> None:  # noqa: F811
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    generate_hard_positives(shards_of(data, tmp_path / "out", view=view))
    loaded = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / "out/*.tar"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert len(loaded) == 9 and {row["source"]["video"] for row in loaded["json"]} == {"a", "b"}
    with tarfile.open(tmp_path / "out" / SHARDS[0]) as archive:
        image = PILImage.open(io.BytesIO(archive.extractfile("a/000001-0.png").read()))
        assert np.array_equal(np.asarray(loaded[0]["png"]), np.asarray(image))
        assert loaded[0]["json"]["box"] == json.load(archive.extractfile("a/000001-0.json"))["box"]
