"""What a run is made with: noted once, whole, and compared setting by setting."""

import json

import pytest

from tracker import records
from tracker.errors import InputError
from tracker.records import difference, note_run


def test_a_difference_names_the_setting_and_both_values():
    assert difference({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [2]}}) == "b.c was [1] and is [2]"
    assert difference({"a": 1}, {}) == "a was 1 and is absent"
    assert difference({"a": {"x": 1}}, {"a": None}) == 'a was {"x": 1} and is null'
    assert difference({"a": (1, 2)}, {"a": (1, 2)}) is None


def test_a_run_is_noted_once_and_another_one_is_refused(tmp_path):
    file = tmp_path / "run.json"
    note_run(file, {"steps": 3, "rates": (1, 2)}, tmp_path)
    note_run(file, {"steps": 3, "rates": (1, 2)}, tmp_path)
    with pytest.raises(InputError, match=r"with other settings: steps was 3 and is 4; give another --out"):
        note_run(file, {"steps": 4, "rates": (1, 2)}, tmp_path)


def test_a_kill_while_a_run_is_noted_leaves_no_truncated_note(tmp_path, monkeypatch):
    """Every byte is written before the file has its name."""
    file, seen = tmp_path / "run.json", []
    original = records.replacing_file

    def watched(path):
        seen.append(path.exists())
        return original(path)

    monkeypatch.setattr(records, "replacing_file", watched)
    note_run(file, {"steps": 3}, tmp_path)
    assert seen == [False] and json.loads(file.read_text()) == {"steps": 3}
