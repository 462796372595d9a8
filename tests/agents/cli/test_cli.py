"""Bad input: one clear sentence, exit code 2, and nothing written."""

import dataclasses
import inspect
import io
import re
import subprocess
import sys
import time
from weakref import WeakSet

import numpy as np
import pytest
from tqdm import tqdm

from agents.ablation.settings import LadderRun
from agents.cli.commands import COMMANDS as FUNCTIONS
from agents.cli.commands import GROUPS, RENAMED, rename_flags
from agents.cli.streams import ProgressLines
from agents.demo_settings import Demo
from tracker.data.images import write_png
from tracker.training.settings import SiamFCTraining, SintTraining

COMMANDS = (
    "demo",
    "doctor",
    "train-vae",
    "evaluate-vae",
    "train-tracker",
    "train-siamfc",
    "track",
    "check-tracker",
    "benchmark",
)


@pytest.fixture
def video(tmp_path, make_video, write_otb):
    write_otb(tmp_path / "in" / "other", make_video(frames=8, seed=1))
    return write_otb(tmp_path / "in" / "clip", make_video(frames=8))


def damage_count(video):
    lines = (video / "groundtruth_rect.txt").read_text().splitlines()
    (video / "groundtruth_rect.txt").write_text("\n".join(lines[:-2]))


def damage_line(text):
    def damage(video):
        lines = (video / "groundtruth_rect.txt").read_text().splitlines()
        lines[3] = text
        (video / "groundtruth_rect.txt").write_text("\n".join(lines))

    return damage


def damage_jpeg(video):
    from PIL import Image

    for png in sorted((video / "img").iterdir()):
        Image.open(png).save(png.with_suffix(".jpg"))
        png.unlink()
    victim = video / "img" / "0005.jpg"
    victim.write_bytes(victim.read_bytes()[:300])


def damage_images(video):
    for png in (video / "img").iterdir():
        png.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_count, ("6", "8")),
        (damage_line("900,900,5,5"), ("outside", "4")),
        (damage_line("10,nan,5,5"), ("4",)),
        (damage_line("10,ten,5,5"), ("4",)),
        (damage_jpeg, ("0005.jpg",)),
        (damage_images, ("image",)),
    ],
)
def test_damaged_sequences(run, video, tmp_path, damage, words):
    damage(video)
    code, _, error = run("demo", "--quick", "--data", video, "--out", tmp_path / "out")
    assert code == 2
    sentence = [line for line in error.splitlines() if line.startswith("occlusion-search: error: ")]
    assert len(sentence) == 1 and sentence[0].endswith(".")
    for word in words:
        assert word in sentence[0]
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "missing"], "'missing' does not exist"),
        (["--box", "1,2,3,4"], "--box needs --data"),
        (["--data", "in/clip", "--box", "1,2,3"], "is not a box"),
        (["--data", "in/clip", "--box", "500,2,3,4"], "outside"),
        (["--layer", "conv9"], "no layer 'conv9'"),
        (["--weights", "missing.safetensors"], "'missing.safetensors' does not exist"),
        (["--weights", "corrupt.safetensors"], "'corrupt.safetensors' is corrupt"),
        (["--steps", "3"], "--steps 20 or more"),
        (["--features", "vgg16"], "VGG-16 needs weights"),
        (["--json", "missing/report.json"], "'missing/report.json' cannot be written"),
    ],
)
def test_bad_arguments(run, video, tmp_path, arguments, words):
    (tmp_path / "corrupt.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    code, _, error = run("demo", "--quick", "--out", "out", *arguments)
    assert code == 2 and words in error
    assert "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"in", "corrupt.safetensors"}


def test_unwritable_out(run, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, error = run("demo", "--quick", "--out", "file/out")
    assert code == 2 and "cannot be written" in error
    code, _, error = run("demo", "--quick", "--out", ".")
    assert code == 2 and "holds other files" in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_cuda(run, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    code, _, error = run("demo", "--quick", "--device", "cuda", "--out", "out")
    assert code == 2 and "no device 'cuda'" in error
    assert not (tmp_path / "out").exists()


REQUIRED = {
    "fit-prior": ["--data", "d", "--out", "o.safetensors"],
    "train-vae": ["--data", "d", "--out", "o"],
    "train-tracker": ["--data", "d", "--validation", "v", "--out", "o"],
    "train-siamfc": ["--data", "d", "--validation", "v", "--weights", "w", "--out", "o"],
    "evaluate-vae": ["--data", "d", "--out", "o"],
    "evaluate": ["--data", "t", "--agent", "a"],
    "generate": ["--data", "d", "--out", "o", "--agent", "random"],
    "reproduce": ["--data", "d", "--out", "o"],
    "benchmark run": ["--tracker", "mil", "--data", "d", "--out", "o"],
    "benchmark export": ["--results", "r", "--layout", "pysot", "--out", "o"],
    "benchmark vot": ["--tracker", "mil", "--workspace", "w"],
    "stress": ["--tracker", "mil", "--data", "d", "--out", "o"],
    "track": ["--data", "v", "--out", "o.mp4"],
    "check-tracker": ["--tracker", "mil"],
}
"""What the commands cannot do without."""

WITH_DEVICE = [name for name, function in FUNCTIONS.items() if "device" in inspect.signature(function).parameters]


def test_every_command_with_a_network_has_a_device():
    assert {"train", "tune", "enjoy", "play", "demo", "explore", *REQUIRED} - {"benchmark export"} == set(
        WITH_DEVICE
    )


@pytest.mark.parametrize("name", WITH_DEVICE)
@pytest.mark.parametrize("device", ["cuda:77", "tpu"])
def test_a_device_that_is_not_there_is_one_sentence(run, tmp_path, name, device):
    code, _, error = run(*name.split(), *REQUIRED.get(name, []), "--device", device)
    said = " ".join(error.replace("│", " ").split())
    assert code == 2 and "Traceback" not in said
    told = f"'{device}' is no device; choose auto" if device == "tpu" else f"There is no device '{device}' on this"
    assert told in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "missing"), [
    ("track", "--data and --out are missing"),
    ("track --data x --out=y", ""),
    ("benchmark vot --tracker mil", "--workspace is missing"),
    ("train-siamfc --data x --out y", "--weights is missing"),
])  # fmt: skip
def test_a_missing_option_is_one_sentence(run, words, missing):
    code, out, error = run(*words.split())
    assert (code, out) == (2, "") and missing in error and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["nonsense"], ["demo", "--nonsense"], ["demo", "--seed", "x"]])
def test_the_parser_itself_exits_with_2(run, arguments):
    assert run(*arguments)[0] == 2


def test_interrupt(run, monkeypatch, tmp_path):
    import agents.demo

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(agents.demo, "synthetic_sequence", interrupted)
    code, _, error = run("demo", "--quick", "--out", "out")
    assert code == 130 and "nothing was written" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["", "train", "evaluate", "benchmark run"])
def test_a_reader_that_ends_early_leaves_no_traceback(tmp_path, command):
    """`--help | head -1`: the reader closes the pipe before anything is written."""
    script = "import sys; sys.stdin.close(); from agents.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command.split(), "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() != 1
    process.stderr.close()


def test_an_interrupt_says_what_was_written(run, monkeypatch, tmp_path, video):
    """Each command that writes says so, with the way to go on; the fallback says nothing about files."""
    import agents.evaluation.playing
    import agents.evaluation.run
    import agents.hard_positives.generation_run
    import agents.manifolds.bank
    import agents.policies.belief
    import tracker.training

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module, name in (
        (agents.evaluation.run, "compare"), (agents.hard_positives.generation_run, "_make_block"),
        (tracker.training, "train_sint"), (agents.manifolds.bank, "train_bank"),
        (agents.policies.belief, "score_grids"),
        (agents.evaluation.playing, "play"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, interrupted)
    tracker_run = ("train-tracker", "--validation", "other", "--out", "net")
    prior = ("fit-prior", "--out", "a.safetensors", "--folds", 2)
    data, cpu = ("--data", video.parent), ("--device", "cpu")
    for arguments, said in (
        (("evaluate", "--data", video.parent, *cpu), "run the same command again to resume"),
        (("generate", *data, *cpu), "run the same command again to resume"),
        ((*tracker_run, *data, *cpu), "run the same command again to resume from the last checkpoint in net"),
        (
            ("train-vae", *data, "--out", "bank", *cpu),
            "the models so far are in bank; run the same command again to resume",
        ),
        (("evaluate-vae", *data, "--epochs", 1, "--out", "vae", *cpu), "the models so far are in vae"),
        ((*prior, *data, *cpu), "nothing was written"),
        (("enjoy", "--agent", "pretrained", "-n", 1, *cpu), "nothing was written"),
    ):  # fmt: skip
        code, _, error = run(*arguments)
        assert code == 130 and said in error.splitlines()[-1], (arguments[0], error)
        assert ("nothing was written" in error) == (said == "nothing was written")
    assert not (tmp_path / "a.safetensors").exists()
    monkeypatch.setattr("agents.cli.run_command", interrupted)
    code, _, error = run("doctor")
    assert code == 130 and error == "occlusion-search: interrupted.\n"


def test_an_interrupted_training_names_its_folder(run, monkeypatch, tmp_path):
    from agents.dqn.algorithm import SquaredErrorDQN

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(SquaredErrorDQN, "train", interrupted)
    given = ("train", "--env", "OcclusionSearchOracle-v0", "-n", 60, "--hyperparams", "learning_starts:8")
    folder = "logs/dqn/OcclusionSearchOracle-v0_"
    code, _, error = run(*given, "--save-freq", 1000, "--eval-freq", -1)
    assert code == 130 and f"interrupted; go on with --resume {folder}1." in error
    assert list((tmp_path / f"{folder}1").glob("rl_model_*_steps.zip"))
    code, _, error = run(*given, "--save-freq", -1, "--eval-freq", -1)
    assert code == 130 and f"the episodes so far are in {folder}2, and no checkpoint" in error
    assert not list((tmp_path / f"{folder}2").glob("*.zip"))


def test_a_training_ends_with_the_agent_beside_other_methods(run):
    given = ("--steps", 60, "--n-envs", 4, "--eval-freq", 30, "--eval-episodes", 1)
    code, out, _ = run("train", "--algo", "dqn", *given, "--hyperparams", "learning_starts:16")
    assert code == 0
    for words in (
        "which it was not trained on",
        "random regions 0.",
        "the best constant region",
        "the belief 0.",
        "Next:",
    ):
        assert words in out
    own = ("--env-kwargs", "targets:drawn:1", "--eval-env-kwargs", "targets:drawn:1")
    code, out, _ = run("train", "--algo", "dqn", *given, "--hyperparams", "learning_starts:16", *own)
    assert code == 0 and "On the targets that chose its best model: " in out, "it may have been trained on them"


def test_doctor(run, tmp_path):
    import json

    code, _, _ = run("doctor", "--json", "findings.json")
    findings = json.loads((tmp_path / "findings.json").read_text())["findings"]
    assert code == (1 if findings else 0)


def test_help_is_quick_and_imports_no_torch():
    script = (
        "import sys, agents.cli\nsys.argv = ['x', '--help']\ntry: agents.cli.main()\nexcept SystemExit: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("False")
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("words", [[], ["benchmark"]])
def test_a_group_without_a_command_shows_its_help_as_an_error(run, words):
    code, out, error = run(*words)
    assert code == 2 and not out and " ".join(["usage: occlusion-search", *words, "COMMAND"]) in error


@pytest.mark.parametrize("command", ["benchmark", *FUNCTIONS])
def test_every_command_explains_itself(run, command):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0 and f"usage: occlusion-search {command}" in " ".join(out.split())
    assert out.splitlines()[-3] == "examples:"
    assert all(line.startswith(f"  occlusion-search {command}") for line in out.splitlines()[-2:])


def test_an_image_folder_with_one_box_of_a_moving_target_too_small_to_follow(run, tmp_path):
    (tmp_path / "in").mkdir()
    for t in range(3):
        write_png(tmp_path / "in" / f"{t}.png", np.full((30, 30, 3), t, np.uint8))
    code, _, error = run("demo", "--quick", "--data", "in", "--box", "3,3,2,2", "--out", "out")
    assert code == 2 and "follow" in error


def test_the_root_has_one_line_a_command_in_groups(run):
    code, out, _ = run("--help")
    lines = out.splitlines()
    assert code == 0 and max(map(len, lines)) < 80
    for group, names in GROUPS.items():
        start = lines.index(f"{group}:") + 1
        assert [line[2:20].strip() for line in lines[start : start + len(names)]] == list(names)
    assert lines[-3] == "examples:" and all(line.startswith("  occlusion-search ") for line in lines[-2:])
    assert run("-h")[:2] == (0, out) and run()[0] == 2 and run()[2] == out


def test_the_version(run):
    assert re.fullmatch(r"occlusion-search (\d+\.\d+.*|unknown)\n", run("--version")[1])


@pytest.mark.parametrize(("words", "sentence"), [
    ("evalute", "There is no command 'evalute'; did you mean 'evaluate'?"),
    ("benchmark scroe --json x", "There is no command 'benchmark scroe'; did you mean 'benchmark score'?"),
    ("xyzzy --out x", "There is no command 'xyzzy'; `occlusion-search --help` lists all."),
    ("train-backbone --data x", "`python tools/train_slim.py`"),
    ("train-vae --at-once 4 --data x", "--at-once of train-vae is gone; give --workers N"),
    ("evaluate-vae --data x --epochs 5 --at_once=4", "`train-vae --frames training --workers N`, and give --bank"),
])  # fmt: skip
def test_a_wrong_or_former_command_is_one_sentence(run, words, sentence):
    code, out, error = run(*words.split())
    assert (code, out) == (2, "") and sentence in error and error.count("\n") == 1


@pytest.mark.parametrize(("name", "old"), [(name, old) for name, flags in RENAMED.items() for old in flags])
def test_a_flag_of_the_last_version_is_its_new_name_with_a_note(run, name, old):
    new = RENAMED[name][old]
    assert new[2:] in inspect.get_annotations(FUNCTIONS[name])
    for words in ([old, "x"], [f"{old}=x"]) if old.startswith("--") else (["x"],):
        changed, notes = rename_flags(name, [*words, "--out", "y"])
        assert changed == [word.replace(old, new) if old in word else word for word in words] + ["--out", "y"] or (
            changed == [new, "x", "--out", "y"]
        )
        assert notes == [f"{old} is now {new}; the old name goes in the next version."]
    assert rename_flags(name, [new, "x"]) == ([new, "x"], [])


def test_the_note_is_on_the_standard_error(run):
    code, out, error = run("check-tracker", "camshift")
    assert (
        code == 2 and out == "" and "note: NAME is now --tracker" in error and "'camshift' is no tracker" in error
    )


@pytest.mark.parametrize(("name", "settings", "without"), [
    ("train-tracker", SintTraining, {"layer_rates"}), ("train-siamfc", SiamFCTraining, set()),
    ("reproduce", LadderRun, {"device", "sweep"}), ("demo", Demo, {"effort"}),
])  # fmt: skip
def test_the_fields_of_the_settings_are_flags(name, settings, without):
    flags = inspect.signature(FUNCTIONS[name]).parameters
    for field in dataclasses.fields(settings):
        if field.name not in without:
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            assert flags[field.name].default == default and f"    {field.name}: " in FUNCTIONS[name].__doc__
    assert "sweep" not in flags and "effort" not in flags and "settings" not in flags


def test_a_setting_out_of_range_is_one_sentence(run, tmp_path):
    given = ("train-siamfc", "--data", "d", "--weights", "w", "--out", "o")
    code, _, error = run(*given, "--pairs", 0)
    assert code == 2 and error.count("\n") == 1 and "The setting pairs is 0; it must be at least 1" in error
    code, _, error = run(*given, "--seed", -1)
    assert code == 2 and "--seed is -1; it must lie between 0 and" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [("-n", "-f", "-i"), ("--n-timesteps", "--log-folder", "--trained-agent")])
def test_flags_of_rl_zoo_need_no_note(run, flags):
    """They reach the command: the last of them names an agent that is not there."""
    code, _, error = run("train", flags[0], 9, flags[1], "logs", flags[2], "no.zip")
    assert code == 2 and "note" not in error and "no agent 'no.zip'" in error


def test_progress_in_a_log_is_a_line_every_ten_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(tqdm, "_instances", WeakSet())  # a bar that another test left takes a line of its own
    log = io.StringIO()
    stream = ProgressLines(log)
    with tqdm(total=40, desc="outer", file=stream, mininterval=0) as bar:
        for step in range(40):
            clock[0] = float(step)
            bar.update()
            for _ in tqdm(range(3), desc="inner", file=stream, mininterval=0, leave=False):
                pass
            if step == 15:
                tqdm.write("a word", file=stream)
    print("done", file=stream)
    lines = log.getvalue().split("\n")
    assert [line.split(":")[0] for line in lines] == ["outer", "a word", "outer", "outer", "done", ""]
    assert "\r" not in log.getvalue() and "\x1b" not in log.getvalue()
