import pytest

from agents.output import check_json_path, replacing_folder, write_json
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
