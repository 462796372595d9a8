from __future__ import annotations

from pathlib import Path

import pytest

from tracker.data.lists import ATTRIBUTES, INIT_OMIT, LISTS
from tracker.evaluation.annotations import read_annotations


def test_sizes() -> None:
    assert {name: len(set(targets)) for name, targets in LISTS.items()} == {
        "otb2013": 51,
        "tb50": 50,
        "tb100": 100,
        "vot2014": 25,
    }
    assert all(len(set(targets)) == len(targets) for targets in LISTS.values())
    assert len(ATTRIBUTES) == 11


def test_relations() -> None:
    assert set(LISTS["tb50"]) < set(LISTS["tb100"]) and set(LISTS["otb2013"]) < set(LISTS["tb100"])
    assert set(INIT_OMIT) < set(LISTS["tb100"])
    assert {"Jogging-1", "Jogging-2"} < set(LISTS["otb2013"])
    assert {"Skating2-1", "Skating2-2", "Human4-2"} < set(LISTS["tb50"]) and "Coke" not in LISTS["tb50"]


@pytest.mark.data
def test_against_the_annotations(data_root: Path) -> None:
    annotations = read_annotations(data_root / "golden" / "otb100_annotations.json")
    assert set(annotations) == set(LISTS["tb100"])
    files = {file.stem for file in (data_root / "golden" / "sint_plus_otb2013").glob("*.txt")}
    assert files == set(LISTS["otb2013"])
    counts = {name: sum(name in (a.attributes or ()) for a in annotations.values()) for name in ATTRIBUTES}
    assert (counts["SV"], counts["OCC"], counts["MB"], counts["LR"]) == (64, 49, 29, 9)
    assert sum(map(len, annotations.values())) == 59_035
    invalid = {name: int((~a.valid).sum()) for name, a in annotations.items() if not a.valid.all()}
    assert invalid == {"Biker": 7, "Board": 1, "Crowds": 1, "Twinnings": 1}
    for name, ranges in INIT_OMIT.items():  # they lie in the video
        assert int(ranges.split()[-1].split("-")[0]) <= len(annotations[name]) + 6, name
