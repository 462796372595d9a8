"""The README's Python blocks that stand alone do what they say."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def block_with(word):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return next(block for block in blocks if word in block)


def test_the_block_on_the_environment_runs():
    block = block_with("gym.make")
    names: dict = {}
    exec(block, names)
    assert names["observation"].shape == (346,)
    assert set(names["info"]) >= {"score", "previous_score", "region", "action", "target", "success"}


def test_the_block_on_agents_runs():
    names: dict = {}
    exec(block_with("VectorEnvBridge"), names)
    assert names["agent"].num_timesteps == 512


def test_the_block_on_hard_positives_runs():
    names: dict = {}
    exec(block_with("HardPositive("), names)
    assert names["occluded"].shape == (3, 240, 320) and names["box"].shape == (1, 4)


def test_the_block_on_manifolds_runs(tmp_path, monkeypatch, make_video, write_otb):
    block = block_with("VAEBank")
    write_otb(tmp_path / "path" / "to" / "sequence", make_video(frames=4))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block.replace("epochs=2000", "epochs=2"), names)
    assert names["between"].shape == (9, 64, 64, 3) and names["images"].shape == (100, 64, 64, 3)
    assert len(names["video"]) == 101 and list(names["bank"]) == ["mine"]


def test_the_block_on_tracking_runs(tmp_path, monkeypatch, make_video, write_otb):
    write_otb(tmp_path / "path" / "to" / "sequence", make_video(frames=4))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block_with("SintTracker"), names)
    assert len(names["boxes"]) == 3 and all(box.shape == (4,) for box in names["boxes"])


def test_it_begins_with_the_two_commands():
    lines = README.read_text().splitlines()
    assert lines[2] == "```sh" and lines[3].startswith("make demo ") and lines[4].startswith("make test ")


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("https://") or (README.parent / target).exists(), target
