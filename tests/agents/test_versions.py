import sys

import torch

from agents.versions import measured_with


def test_what_a_timing_hangs_on(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/x.py", "--data", "a b"])
    found = measured_with()
    assert found["command"] == "python benchmarks/x.py --data 'a b'"
    machine = found["machine"]
    assert machine["torch"] == torch.__version__.split("+")[0] and machine["threads"] == torch.get_num_threads()
    assert machine["cores"] >= 1 and machine["bf16_units"] in (True, False) and "cpu" in machine
