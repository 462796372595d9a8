"""The command `train-vae`."""

from __future__ import annotations

import json

import pytest

import vae


@pytest.fixture
def data(tmp_path, make_video, write_otb):
    for name, seed in (("a", 0), ("b", 1)):
        write_otb(tmp_path / "data" / name, make_video(frames=6, seed=seed))
    return tmp_path / "data"


def test_a_bank_with_pictures(run, data, tmp_path):
    command = ["train-vae", "--data", data / "a", "--out", "bank", "--epochs", 2, "--device", "cpu"]
    code, out, err = run(*command, "--pictures", "--json", "made.json")
    assert code == 0, err
    assert "Models trained: 1; there already: 0; in the bank bank: 1." in out
    assert "a (6 crops)" in err
    bank = vae.VAEBank(tmp_path / "bank")
    assert tuple(bank) == ("a",) and bank["a"].config == vae.VAEConfig()
    assert bank.record("a").images == 6
    files = ("manifold.png", "traversal.gif", "traversal.mp4", "reconstructions.png")
    for file in files:
        assert (tmp_path / "bank" / "a" / file).stat().st_size > 1000
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["trained"] == ["a"] and made["models"]["a"]["training"]["epochs"] == 2

    stamps = {file: (tmp_path / "bank" / "a" / file).stat().st_mtime_ns for file in files}
    code, out, _ = run(*command, "--pictures")
    assert code == 0 and "Models trained: 0; there already: 1" in out
    assert stamps == {file: (tmp_path / "bank" / "a" / file).stat().st_mtime_ns for file in files}


def test_other_settings_are_refused_then_replaced(run, data, tmp_path):
    command = ["train-vae", "--data", data / "a", "--out", "bank", "--device", "cpu", "--architecture", "conv"]
    assert run(*command, "--epochs", 2)[0] == 0
    code, out, err = run(*command, "--epochs", 3)
    assert code == 1 and "epochs 2 (asked is 3)" in err and "failures.json" in err
    assert vae.VAEBank(tmp_path / "bank").record("a").epochs == 2
    assert run(*command, "--epochs", 3, "--replace")[0] == 0
    assert vae.VAEBank(tmp_path / "bank").record("a").epochs == 3


def test_one_broken_video_is_told_of_at_the_end(run, data, tmp_path):
    (data / "a" / "img" / "0002.png").write_bytes(b"x")
    command = ["train-vae", "--data", data, "--out", "bank", "--epochs", 2, "--latent", 3, "--device", "cpu"]
    command += ["--architecture", "conv"]
    code, out, err = run(*command)
    assert code == 1 and "Models trained: 1" in out
    assert "- a failed: " in err and "0002.png" in err and "Traceback" not in err
    bank = vae.VAEBank(tmp_path / "bank")
    assert tuple(bank) == ("b",) and set(bank.failures()) == {"a"}
    assert bank["b"].config.latent == 3 and not (tmp_path / "bank" / "b" / "manifold.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "missing"], "'missing' does not exist"),
        (["--data", "empty"], "empty"),
        (["--data", "data", "--only", "c"], "no sequence c; it has a, b"),
        (["--data", "data", "--epochs", "0"], "epochs must be"),
        (["--data", "data", "--latent", "0"], "latent must be"),
        (["--data", "data", "--out", "file"], "is a file"),
        (["--data", "data", "--json", "no/where.json"], "cannot be written"),
        (["--data", "data", "--max-crops", "0"], "at least 1"),
    ],
)
def test_bad_arguments(run, data, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    out = [] if "--out" in arguments else ["--out", "bank"]
    code, _, err = run("train-vae", *arguments, *out)
    assert code == 2 and words in err and "Traceback" not in err
    assert not (tmp_path / "bank").exists()


def test_several_processes_train_what_one_trains(run, data, tmp_path):
    """A failed video among them, which is in the file of failures alone."""
    (data / "a" / "img" / "0002.png").write_bytes(b"x")
    command = ["train-vae", "--data", data, "--epochs", 3, "--device", "cpu"]
    for workers in (1, 2):
        code, out, err = run(*command, "--out", f"bank{workers}", "--workers", workers)
        assert code == 1 and "Models trained: 1" in out and "- a failed: " in err and "Traceback" not in err
    one, two = (vae.VAEBank(tmp_path / f"bank{workers}") for workers in (1, 2))
    assert tuple(one) == tuple(two) == ("b",) and set(two.failures()) == {"a"}
    for file in ("model.safetensors", "codes.safetensors", "config.json"):
        assert (one.path("b") / file).read_bytes() == (two.path("b") / file).read_bytes()
    code, out, _ = run(*command, "--only", "b", "--out", "bank2", "--workers", 2)
    assert code == 0 and "Models trained: 0; there already: 1" in out


def test_processes_and_a_cluster_exclude_each_other(run, data, tmp_path):
    code, _, err = run("train-vae", "--data", data, "--out", "bank", "--workers", 2, "--ray")
    assert code == 2 and "--workers is of this machine and --ray of a cluster; leave one of them out" in err
    for words, wrong in (("gpu=1", "'gpu=1' is not understood"), ("cpus=x", "'cpus=x' has no number")):
        code, _, err = run("train-vae", "--data", data, "--out", "bank", "--ray", words)
        assert code == 2 and "--ray" in err and wrong in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "bank").exists()
