"""The figures of the README's and the pages' tables are those of `benchmarks/results`."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from agents.ablation.paper import PAPER
from agents.ablation.settings import LadderRun
from tracker.evaluation.intervals import interval

ROOT = Path(__file__).resolve().parents[1]
README, REPRODUCE = ROOT / "README.md", ROOT / "docs" / "reproduce.md"
AGENTS, LADDER, PAPERS, SIAMFC, TRACKERS, STRESS, MANIFOLDS, SPEED = (
    ROOT / "docs" / "results" / f"{name}.md"
    for name in ("agents", "ladder", "paper", "siamfc", "trackers", "stress", "vae", "performance")
)


def results(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def table(page: Path, first: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The rows of all tables whose first heading is `first`: the row's name, and heading and text of each cell."""
    heads: list[str] | None = None
    for line in page.read_text().splitlines():
        cells = [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            heads = None
        elif cells[0] == first:
            heads = cells
        elif heads and set(cells[0]) != {"-"}:
            yield cells[0], list(zip(heads[1:], cells[1:], strict=True))


def short(value: float) -> str:
    """`.034` for 0.034."""
    return f"{value:.3f}".replace("0.", ".", 1)


def signed(value: float) -> str:
    """`-.006` for -0.006."""
    return f"{value:+.3f}".replace("0.", ".", 1)


def difference(row: dict[str, Any]) -> str:
    ends = row["interval"]
    return f"{row['difference']:+.3f}" + ("" if ends is None else f" [{ends[0]:+.3f}, {ends[1]:+.3f}]")


LADDER_MEASURES = {
    "uncovered": "sweep, 0%", "seen occluders": "sweep, seen", "unseen occluders": "sweep, unseen",
    "unseen, 30 to 50 %": "sweep, unseen, 30-50%", "50 %": "sweep, seen, 50%",
    "AUC": "auc, all", "AUC on OTB": "auc, all", "OCC": "auc, OCC", "AUC, OCC": "auc, OCC",
    "precision": "precision, all",
}  # fmt: skip
"""Headings of the ladder's tables, and their measures."""


TRAININGS = {
    "nothing: the network before": "start", "its frames alone (plain SINT)": "sint",
    "VAE + random occlusion": "vae-random", "VAE + HPTN (SINT++)": "vae-hptn",
    "hardest of 8, 5 to 60 %, as it learns": "hardest",
}  # fmt: skip
"""What a network was trained on, and its arm."""


@pytest.mark.parametrize(
    ("page", "file", "heading", "less_heading", "base"),
    [
        (REPRODUCE, "ladder", "SINT trained on with", None, "sint"),
        (LADDER, "ladder", "SINT trained on with", "less plain SINT", "sint"),
        (LADDER, "ladder_all_layers", "all layers trained on with", "all layers, less plain SINT", "sint"),
        (LADDER, "ladder_patches", "trained on covers of", "less random pieces", "wide"),
    ],
)
def test_the_ladder(page: Path, file: str, heading: str, less_heading: str | None, base: str) -> None:
    arms = results(file)["arms"]
    names = {arm["title"].removeprefix("SINT + "): name for name, arm in arms.items()}
    names |= {"nothing: the network before": "start", "its frames alone (plain SINT)": "sint"}
    rows = list(table(page, heading))
    assert len(rows) == len(arms)
    for name, cells in rows:
        arm, measure = arms[names[name]], ""
        for column, text in cells:
            if column == "less plain SINT":  # In the measure of the column before.
                assert text == ("" if names[name] == "sint" else difference(arm["less"]["sint"][measure])), name
            else:
                measure = LADDER_MEASURES[column]
                assert text == f"{arm['means'][measure]:.3f}", f"{name}, {column}"
    differences = [] if less_heading is None else list(table(page, less_heading))
    assert bool(differences) == (less_heading is not None)
    for name, cells in differences:
        less = arms[names[name]]["less"][base]
        assert [text for _, text in cells] == [difference(less[LADDER_MEASURES[column]]) for column, _ in cells], (
            name
        )


def test_the_papers_figures() -> None:
    """The page has every row of `PAPER`, and ours of the sequences that were judged."""

    def pair(precision: float | None, success: float | None) -> str:
        return "" if precision is None or success is None else f"{precision:.3f} / {success:.3f}"

    rows: dict[str, dict[str, str]] = {}
    for _, cells in table(PAPERS, "training in the paper"):
        ours, *others = (text for _, text in cells)
        rows.setdefault(ours.strip("`"), {}).update(
            zip((heading for heading, _ in cells[1:]), others, strict=True)
        )
    headings = {"Fig. 6 (a)": "OTB-100 by TRE, paper", "Fig. 6 (b)": "VOT-2014 by OPE, paper"}
    for row in PAPER:
        found = rows[row.arm].pop(headings.get(row.source, f"{row.benchmark}, paper"))
        assert found == pair(row.precision, row.success), row
    arms = results("ladder_all_layers")["arms"]
    for name, cells in rows.items():
        means = arms[name]["means"] if name in arms else {}
        ours = pair(means.get("precision, all"), means.get("auc, all"))
        assert cells.pop("15 OTB sequences, ours") == ours, name
        assert set(cells.values()) <= {""}, "a benchmark that was not judged here"


def test_the_trackers() -> None:
    content = results("otb15")
    names = {
        "Nano": "nano",
        "SiamFC": "siamfc",
        "SINT, VGG-16": "sint-vgg16",
        "CSRT": "csrt",
        "SINT, slim (`sint`)": "sint",
        "SINT, slim (`sint-slim`)": "sint-slim",
    }
    names |= {"MIL": "mil", "KCF": "kcf"}
    less = {row["first"]: row["auc"] for row in content["paired_differences"] if row["second"] == "csrt"}
    rows = list(table(TRACKERS, "tracker"))
    assert [name for name, _ in rows] == sorted(names, key=lambda name: -content["trackers"][names[name]]["auc"])
    for name, cells in rows:
        row = content["trackers"][names[name]]
        expected = [f"{row['auc']:.3f}", f"{row['precision']:.3f}", f"{row['fps']:.0f}"]
        expected.append(difference(less[names[name]]) if name != "CSRT" else "")
        assert [text for _, text in cells] == expected, name
    significant = [name for name, row in less.items() if row["p_holm"] < 0.05]
    text = " ".join(TRACKERS.read_text().split())
    pairs = len(content["paired_differences"]) // 2
    assert (
        significant == ["kcf"]
        and f"over all {pairs} pairs (p = {less['kcf']['p_holm']:.2f})".replace("0.", ".") in text
    )


def test_the_stress_test() -> None:
    trackers = results("stress")["trackers"]
    names = {
        "NanoTrack v2": "nano-v2", "NanoTrack v1": "nano-v1", "SINT, VGG-16": "sint-vgg16",
        "SINT, slim": "sint-slim", "template matching": "template",
    }  # fmt: skip
    rows = list(table(STRESS, "tracker"))
    assert [names.get(name, name.lower()) for name, _ in rows] == list(trackers)
    for name, cells in rows:
        row = trackers[names.get(name, name.lower())]
        low, high = row["interval"]
        assert [text for _, text in cells] == [
            f"{short(row['occ_auc'])} [{short(low)}, {short(high)}]",
            *(short(row["curve"][share]) for share in ("0", "0.5", "0.75", "1")),
            short(row["conditions"]["cover-100"]["frozen"]["mean"]),
            short(row["recovery"]),
            f"{row['distraction']['mean']:+.2f}",
            f"{row['held']:.0%}",
        ], name
        assert row["conditions"]["cover-100"]["frozen"]["mean"] > row["curve"]["1"] - 0.0005, name
    page = (ROOT / "docs" / "stress.md").read_text()
    nano = trackers["nano-v2"]
    speed = f"{100 * nano['own_share']:.0f} % with OpenCV's Nano ({nano['frames_per_second']:.0f} frames/s)"
    assert speed in " ".join(page.split())
    significant = [each["measure"] for each in results("stress")["contrasts"] if each["p_holm"] < 0.05]
    assert f"10 differ in OccAUC and {len(significant) - 10} in recovery" in STRESS.read_text()
    assert significant.count("occ_auc") == 10


def test_what_covers_the_target_in_training() -> None:
    content = results("ladder_patches")
    less = {
        name: content["arms"][name]["less"]["wide"]["sweep, unseen, 30-50%"] for name in ("contrast", "lookalikes")
    }
    figures = {
        name: f"{signed(row['difference'])} [{', '.join(signed(end) for end in row['interval'])}]"
        for name, row in less.items()
    }
    text = " ".join(LADDER.read_text().split())
    assert f"contrasting pieces less random ones, {figures['contrast']}" in text
    assert f"the opposite choice, are {figures['lookalikes']}" in text
    assert less["contrast"]["interval"][1] < 0
    plain = content["arms"]["sint"]["means"]
    assert plain == {name: results("ladder")["arms"]["sint"]["means"][name] for name in plain}


def test_the_ladder_as_trackers() -> None:
    arms = results("ladder_tracking")["arms"]
    measures = {
        "AUC": "auc, all", "precision": "precision, all", "OCC": "auc, OCC", "OCC, 20 starts": "auc, tre",
        "MB": "auc, MB", "DEF": "auc, DEF",
    }  # fmt: skip
    rows = list(table(LADDER, "tracked after training on"))
    assert {TRAININGS[name] for name, _ in rows} == set(arms)
    for name, cells in rows:
        arm = arms[TRAININGS[name]]
        for column, text in cells[:-1]:
            assert text == f"{arm['means'][measures[column]]:.3f}", f"{name}, {column}"
        assert cells[-1][1] == ("" if TRAININGS[name] == "sint" else difference(arm["less"]["sint"]["auc, all"]))
    hard = [arms[name]["less"]["sint"] for name in ("vae-random", "vae-hptn", "hardest")]
    one, starts = ([row[measure]["difference"] for row in hard] for measure in ("auc, OCC", "auc, tre"))
    text = " ".join(LADDER.read_text().split())
    assert f"{short(min(one))} to {short(max(one))} above plain training in one pass" in text
    assert f"and {signed(min(starts))} to {signed(max(starts))} over 20 starts" in text
    first, second = (
        statistics.mean(row["auc"] for row in arms["hardest"]["seeds"][seed]["ope"].values())
        for seed in ("0", "1")
    )
    assert (
        f"by up to {short(first - second)} in AUC (the hardest of 8: {short(first)} and {short(second)})" in text
    )
    means = [short(arms[name]["means"]["auc, all"]) for name in ("hardest", "start")]
    page = " ".join((ROOT / "docs" / "models" / "slim.md").read_text().split())
    assert f"[{' and '.join(means)}]" in page and f"this seed {short(first)}" in page


def test_the_ladder_under_the_stress_test_with_several_seeds() -> None:
    content = results("stress_ladder_seeds")
    measures = {"OccAUC": "OccAUC", "blurred": "blur", "warped": "deformation"}

    def cell(row: dict[str, Any], form: Callable[[float], str]) -> str:
        return f"{form(row['mean'])} [{', '.join(form(end) for end in row['interval'])}]"

    rows = dict(table(LADDER, "five seeds, trained on"))
    assert {TRAININGS[name] for name in rows} == set(content["arms"])
    for name, cells in rows.items():
        own = content["arms"][TRAININGS[name]]
        assert [text for _, text in cells] == [cell(own[measures[column]], short) for column, _ in cells], name
    less = {(row["contrast"], row["measure"]): cell(row, signed) for row in content["contrasts"]}
    for name, cells in (differences := dict(table(LADDER, "difference"))).items():
        assert [text for _, text in cells] == [less[name, measures[column]] for column, _ in cells], name
    assert {name for name, _ in less} == set(differences)
    text = " ".join(LADDER.read_text().split())
    paper, chance = "vae-hptn less sint", "vae-hptn less vae-random"
    assert f"lie above plain frames: {less['hardest less sint', 'OccAUC']}" in text
    assert (
        f"random occlusion is {less[chance, 'OccAUC']} here too, and less plain SINT {less[paper, 'OccAUC']}"
        in text
    )
    assert f"plain SINT ({less[paper, 'blur']} and {less[paper, 'deformation']}) nor" in text
    for row in content["contrasts"]:
        low, high = row["interval"]
        assert row["seeds"] == 5 and (row["measure"] == "OccAUC" or low < 0 < high), row
    first = results("stress_ladder")["trackers"]["sint"]["sequences"]
    again = [values[0] for values in content["sequences"]["hardest"]["OccAUC"]]
    assert again == pytest.approx(list(first.values()), abs=1e-4), "seed 0 is the tracker `sint`"


GENTLE = ("blur-25", "blur-50", "deformation-10", "deformation-20")
"""Conditions without a cover."""


def test_the_ladder_under_the_stress_test() -> None:
    content = results("stress_ladder")
    names = {
        "nothing: the network before": "sint-slim", "its frames alone (plain SINT)": "sint-slim-b7db65d3",
        "VAE + random occlusion": "sint-slim-9ebbd9a2", "VAE + HPTN (SINT++)": "sint-slim-a087abe0",
        "hardest of 8, 5 to 60 %, as it learns": "sint",
    }  # fmt: skip
    rows = list(table(LADDER, "seed 0, trained on"))
    assert [names[name] for name, _ in rows] == list(names.values())
    for name, cells in rows:
        row = content["trackers"][names[name]]
        (low, high), conditions = row["interval"], row["conditions"]
        assert [text for _, text in cells] == [
            f"{short(row['occ_auc'])} [{short(low)}, {short(high)}]",
            *(short(row["curve"][share]) for share in ("0", "0.5", "0.75", "1")),
            short(row["recovery"]),
            *(short(conditions[each]["endurance"]["mean"]) for each in GENTLE),
        ], name
    before, *trained = names.values()
    blurred = {
        key: content["trackers"][key]["conditions"][GENTLE[0]]["endurance"]["mean"] for key in names.values()
    }
    gains = [blurred[key] - blurred[before] for key in trained]
    ladder, stress = (" ".join(page.read_text().split()) for page in (LADDER, STRESS))
    assert f"on the network before: {short(min(gains))} to {short(max(gains))}" in ladder
    assert all(row["p_holm"] > 0.05 for row in content["contrasts"]) and len(content["contrasts"]) == 20
    found = {name: short(content["trackers"][key]["occ_auc"]) for name, key in names.items()}
    before, own, _, agent, hardest = found.values()
    assert f"the slim net {before}, trained further on plain frames {own}, by SINT++ {agent}" in stress
    assert f"(the default tracker `sint`) {hardest}" in stress
    (gain,) = (
        row
        for row in results("stress_trained")["contrasts"]
        if row["measure"] == "occ_auc" and row["p_holm"] < 0.05
    )
    low, high = gain["interval"]
    assert f"less plain {signed(gain['mean'])} [{signed(low)}, {signed(high)}]" in stress


def test_the_sentence_on_prediction() -> None:
    found = results("stress_prediction")["spearman"]
    text = " ".join(STRESS.read_text().split())

    def rho(name: str, sign: str) -> str:
        row = found[name]
        values = [f"{value:{sign}.2f}".replace("0.", ".", 1) for value in (row["rho"], *row["interval"])]
        return f"{values[0]} [{values[1]}, {values[2]}]"

    assert f"is {rho('occ_auc', '')} for OccAUC and {rho('plain_auc', '')} for plain AUC" in text
    assert f": {rho('difference', '+')} (bootstrap" in text


def test_the_sentence_on_the_trackers() -> None:
    trackers = results("otb15")["trackers"]
    text = " ".join(README.read_text().split())
    for name, words in (
        ("nano", "Nano {}"), ("siamfc", "SiamFC {}"), ("sint-vgg16", "SINT with VGG-16 {}"), ("csrt", "CSRT {}"),
        ("sint", "slim SINT {}"),
    ):  # fmt: skip
        assert words.format(short(trackers[name]["auc"])) in text, name


def claim(row: dict[str, Any], digits: int = 3) -> tuple[str, str]:
    """The figures of a primary contrast in a sentence, and its p-value."""
    figures = f"{signed(row['difference'])} [{signed(row['low'])}, {signed(row['high'])}]"
    return figures, f"(p = {row['p_holm']:.{digits}f}".replace("0.", ".")


def test_the_sentences_on_the_two_claims() -> None:
    content = results("ladder")
    readme, ladder, reproduce = (" ".join(page.read_text().split()) for page in (README, LADDER, REPRODUCE))
    for row, forms in zip(
        content["primary"],
        (
            ("the hardest of 8 regions is {} from plain training", "`hardest` less `sint` is {}"),
            ("SINT++'s agent {} from random occlusion", "`vae-hptn` less `vae-random` {}"),
        ),
        strict=True,
    ):
        figures, p_value = claim(row)
        assert forms[0].format(figures) in readme and forms[1].format(figures) in reproduce, row
        assert figures in ladder and all(p_value in page for page in (readme, ladder, reproduce)), row
        assert row["p_holm"] > 0.05 and abs(row["high"]) < 0.01 and (row["sequences"], row["seeds"]) == (15, 10)
        deviations = [f"{row[name]:.4f}".replace("0.", ".") for name in ("sd_sequences", "sd_seeds")]
        assert all(each in ladder for each in deviations), deviations
    p_values = [
        row["p_holm"]
        for arm in content["arms"].values()
        for measures in arm["less"].values()
        for row in measures.values()
    ]
    assert min(p for p in p_values if p is not None) > 0.05
    assert f"over {content['exploratory']} contrasts" in ladder
    seconds = [seed["seconds"] for arm in content["arms"].values() for seed in arm["seeds"].values()]
    trainings = [each["training"] for each in seconds if "training" in each]
    sweeps = [each["sweep"] for each in seconds if "training" in each]
    assert f"{len(trainings)} trainings and the network before them" in ladder
    assert f"A training took {min(trainings):.0f} to {max(trainings):.0f} seconds" in ladder
    assert (
        f"its judging {min(sweeps):.0f} to {max(sweeps):.0f}, {sum(trainings + sweeps) / 3600:.1f} hours" in ladder
    )
    for row in results("ladder_all_layers")["primary"]:
        figures, p_value = claim(row, 2)
        assert figures in ladder and p_value in ladder


def test_the_recipe_of_the_ladder() -> None:
    """The page shows every recipe that was tried, and the defaults are those of the best one."""
    content = results("ladder_recipe")
    rows = dict[tuple[str, ...], tuple[str, ...]]()
    for line in REPRODUCE.read_text().replace("*", "").splitlines():
        cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
        if len(cells) == 7:
            rows[tuple(cells[:5])] = tuple(cells[5:])
    means: dict[str, list[float]] = {}
    for name, arms in content["recipes"].items():
        layers, rate, steps, share, *pasted = re.findall(r"^\w+|\d[\d.]*", name)
        means[name] = [statistics.mean(arms[arm].values()) for arm in ("sint", "hardest")]
        key = (layers, rate.removeprefix("0"), steps, share.removeprefix("0"), *(pasted or ["0"]))
        assert rows[key] == tuple(short(mean) for mean in means[name]), name
    best = max(means, key=lambda name: sum(means[name]))
    assert content["chosen"] == best == "head, rate 0.1, 300 steps, share 1, 15 pasted videos"
    default = {field.name: field.default for field in fields(LadderRun)}
    assert [default[name] for name in ("layers", "learning_rate", "steps", "interpolation", "pasted")] == [
        "head", 0.1, 300, 1.0, 15,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "file"),
    [("slim SINT", "agents"), ("VGG-16 SINT", "frontier_vgg16"), ("SiamFC", "frontier_siamfc")],
)
def test_the_frontiers(first: str, file: str) -> None:
    content = results(file)
    arms = {"DQN": "dqn", "QR-DQN": "qrdqn", "A2C": "a2c", "PPO": "ppo", "maskable PPO": "ppo_mask"}
    rows = list(table(AGENTS, first))
    assert len(rows) >= 5
    for name, cells in rows:
        method = arms.get(name.partition(" (")[0], name)
        for heading, text in cells:
            budget = heading.split()[0]
            closure, _, ends = text.partition(" ")
            assert closure == short(content["frontier"][method][budget]), f"{name}, {heading}"
            if ends:
                bounds = content["frontier_intervals"][method][budget]
                assert ends == f"[{short(bounds[0])}, {short(bounds[1])}]", f"{name}, {heading}"


def test_the_sentences_on_the_frontier() -> None:
    frontier = results("agents")["frontier"]
    text = " ".join(README.read_text().split())
    for method, budget, words in (
        ("belief", "5", "a closure of {} in 5 queries"), ("belief", "10", "and {} in 10;"),
        ("constant", "1", "one constant region has {}"), ("ppo_mask", "15", "in 15 queries maskable PPO {},"),
        ("dqn, training 1", "15", "the shipped DQN agent {}. In ten"),
        ("best of k random", "15", "the best of 15 random regions {}"),
    ):  # fmt: skip
        assert words.format(short(frontier[method][budget])) in text, method
    state = results("paper_state")["states"]["slim fc7"]
    moves = state["methods"][state["better_sequence"]]["closure"]["10"]
    assert (
        f"In ten, another comparison, nine moves that are the same for every target reach {short(moves)}" in text
    )
    page = " ".join(AGENTS.read_text().split())
    (masks,) = (row for row in results("agents")["differences"] if {row["of"], row["less"]} == {"ppo", "ppo_mask"})
    assert masks["interval"][0] < 0 < masks["interval"][1] and "from the centre ([above](#slim-sint))" in page


def test_the_state() -> None:
    states = results("state_correlation")["states"]
    rows = list(table(AGENTS, "state"))
    assert {name for name, _ in rows} == set(states)
    for name, cells in rows:
        kinds = ("features", "region", "features and region", "predictor")
        for kind, (_, text) in zip(kinds, cells, strict=True):
            row = states[name]["correlation"][kind]
            low, high = row["interval"]
            assert text == f"{row['mean']:.2f} [{low:.2f}, {high:.2f}]", f"{name}, {kind}"


def test_the_learners() -> None:
    """The columns are states, each followed by its differences from the constant region."""
    states, filled = results("paper_state")["states"], dict.fromkeys(results("paper_state")["states"], 0)
    for name, cells in table(AGENTS, "sees the paper's state"):
        found: dict[str, Any] = {}
        for heading, text in cells:
            if heading in states:
                found, filled[heading] = states[heading], filled[heading] + bool(text)
                expected = ""
                if method := found["methods"].get(name):
                    low, high = method["interval"]
                    expected = f"{short(method['closure']['10'])} [{short(low)}, {short(high)}]"
            else:
                gains = {row["contrast"]: row for row in found["contrasts"]}
                gain, expected = gains.get(f"{name}, less constant region"), ""
                if gain:
                    expected = f"{signed(gain['difference'])} [{signed(gain['low'])}, {signed(gain['high'])}]"
            assert text == expected, f"{name}, {heading}"
    assert min(filled.values()) > 10


def test_the_contrasts_of_the_learners() -> None:
    text = " ".join(AGENTS.read_text().split())
    for state in results("paper_state")["states"].values():
        for row in state["primary"]:
            ends = f"[{signed(row['low'])}, {signed(row['high'])}]"
            assert f"{signed(row['difference'])} {ends}" in text, row["contrast"]
        assert state["primary_learner"] in text


def test_the_manifolds() -> None:
    methods = results("vae")["methods"]
    names = {
        "the mean crop": "mean_crop", "PCA, 2 components": "pca",
        "blends of neighbouring crops": "crop_interpolation",
        "motion blur of real crops": "motion_blur", "VAE: reconstructions": "vae_reconstruction",
        "VAE: prior grid (Fig. 3)": "vae_prior_grid", "VAE: aggregate posterior": "vae_posterior",
        "VAE: between neighbours": "vae_neighbours",
    }  # fmt: skip
    figures = {
        "held-out MSE": "mse", "held-out SSIM": "ssim", "diversity": "diversity", "novelty": "novelty_ratio",
        "realism": "realism",
    }  # fmt: skip
    rows = list(table(MANIFOLDS, "crops made by"))
    assert {name for name, _ in rows} == set(names)
    for name, cells in rows:
        for heading, text in cells:
            found = methods[names[name]][figures[heading]]
            digits = 0.0005 if heading == "held-out MSE" else 0.005
            if found is None:
                assert text == ""
            else:
                assert float(text) == pytest.approx(found["mean"], abs=1.01 * digits), f"{name}, {heading}"
    text = " ".join(MANIFOLDS.read_text().split())
    for first, second, measure, form in (
        ("vae_posterior", "motion_blur", "realism", "(realism {}, paired over"),
        ("vae_posterior", "crop_interpolation", "novelty_ratio", "blends of neighbours ({})."),
        ("vae_reconstruction", "pca", "mse", "two principal components (MSE {})."),
    ):
        videos = [video["methods"] for video in results("vae")["videos"].values()]
        found = interval(np.array([each[first][measure] - each[second][measure] for each in videos]))
        assert found.bounds is not None and found.bounds[0] > 0, (first, second)
        figures = f"{signed(found.mean)} [{', '.join(signed(end) for end in found.bounds)}]"
        assert form.format(figures) in text, figures


def test_siamfc() -> None:
    content = results("siamfc")
    names = {
        "as released": "released", "fine-tuned": "fine-tuned",
        "and random occlusion of a quarter": "random occlusion",
        "and the hardest of 8, as it learns": "hardest of 8",
    }  # fmt: skip
    for group, sweep in content["sweep"].items():
        rows = list(table(SIAMFC, f"SiamFC, {group} occluders"))
        assert {name for name, _ in rows} == set(names)
        gains = {key: row["all covered"] for key, row in sweep["differences"].items()}
        fine = gains["fine-tuned less released"]
        low, high = fine["interval"]
        gains["released less fine-tuned"] = {"difference": -fine["difference"], "interval": [-high, -low]}
        for name, cells in rows:
            expected = [short(value) for value in sweep["arms"][names[name]]["iou"]]
            gain = gains.get(f"{names[name]} less fine-tuned")
            assert [text for _, text in cells] == [*expected, "" if gain is None else siamfc_gain(gain)], name
    text = " ".join(SIAMFC.read_text().split())
    for name, row in gains.items():
        if name in content["sweep"]["unseen"]["primary"]["contrasts"]:
            first, _, second = name.partition(" less ")
            p_value = f"{row['p_holm']:.3f}".removeprefix("0")
            assert f"{first} less {second} {siamfc_gain(row)} (p = {p_value}" in text and row["p_holm"] > 0.05
            assert max(map(abs, row["interval"])) < 0.01
    others = [row["p_holm"] for each in content["sweep"]["seen"]["differences"].values() for row in each.values()]
    assert f"over all {len(others)} differences (the least p is {short(min(others))[:3]})" in text
    for arm, form in (
        ("released", "AUC {} as released"), ("fine-tuned", "{} fine-tuned"),
        ("random occlusion", "{} with random occlusion"), ("hardest of 8", "{} with the hardest of 8"),
    ):  # fmt: skip
        assert form.format(short(content["ope"][arm]["trackers"]["siamfc"]["auc"])) in text, arm


def siamfc_gain(row: dict[str, Any]) -> str:
    """A difference of the sweep and its interval, in a cell or a sentence."""
    low, high = row["interval"]
    return f"{signed(row['difference'])} [{signed(low)}, {signed(high)}]"


def test_siamfc_by_the_stress_test() -> None:
    content = results("stress_siamfc")
    trackers, names = content["trackers"], {"as released": "released"}
    names |= {f"{arm}, seed {seed}": f"{arm}-{seed}" for arm in ("plain", "hardest") for seed in range(3)}
    rows = list(table(SIAMFC, "SiamFC, stress test"))
    assert {names[name] for name, _ in rows} == set(trackers)
    for name, cells in rows:
        row = trackers[names[name]]
        low, high = row["interval"]
        assert [text for _, text in cells] == [
            f"{short(row['occ_auc'])} [{short(low)}, {short(high)}]",
            *map(short, row["curve"].values()),
            short(row["conditions"]["cover-100"]["frozen"]["mean"]),
            short(row["recovery"]),
        ], name
    text = " ".join(SIAMFC.read_text().split())
    for row in (*content["primary"], *content["secondary"]):
        ends = f"[{signed(row['low'])}, {signed(row['high'])}]"
        assert f"{row['contrast']}: {signed(row['difference'])} {ends}" in text
    (earlier,) = results("stress_siamfc_half")["primary"]
    ends = f"[{signed(earlier['low'])}, {signed(earlier['high'])}]"
    assert f"{earlier['contrast']} {signed(earlier['difference'])} {ends} (`stress_siamfc_half.json`)" in text
    assert results("stress_siamfc_half")["choice"]["chosen"] == content["choice"]["chosen"]
    choice = content["choice"]
    for name, videos in choice["settings"].items():
        assert f"{short(statistics.mean(videos.values()))} ({name})" in text
    assert f"{short(statistics.mean(choice['released'].values()))} before training" in text
    assert max(choice["settings"], key=lambda name: sum(choice["settings"][name].values())) == choice["chosen"]


@pytest.mark.parametrize(("network", "file"), [("VGG-16", "env_speed_vgg16"), ("slim", "env_speed_slim")])
def test_the_speed_of_the_environment(network: str, file: str) -> None:
    counts = results(file)["environments"]
    keys: dict[str, Callable[[dict[str, float]], float]] = {
        "batched": lambda row: row["batched_ratio"],
        "`roi`": lambda row: row["roi_ratio"],
        "training": lambda row: row["training_ratio"],
        "training, `patches=4`": lambda row: row["patches_ratio"],
        "over `SyncVectorEnv`": lambda row: row["native_over_sync"],
    }
    rows = [row for row in table(SPEED, "network, environments") if row[0].startswith(network)]
    assert len(rows) == len(counts)
    for name, cells in rows:
        row = counts[name.split(", ")[1]]
        assert [text for _, text in cells] == [f"{keys[heading](row):.1f}" for heading, _ in cells], name


def test_the_table_on_stopping() -> None:
    methods = results("stopping")["methods"]
    rows = list(table(AGENTS, "0.01 a query"))
    assert len(rows) >= 8
    for name, cells in rows:
        found = methods[name.partition(" (")[0]]
        low, high = found["net_interval"]
        expected = [
            short(found["closure"]), f"{found['queries']:.1f}",
            f"{short(found['net'])} [{short(low)}, {short(high)}]",
        ]  # fmt: skip
        assert [text for _, text in cells] == expected, name


def test_the_sentences_on_stopping() -> None:
    content = results("stopping")
    text, readme = (" ".join(page.read_text().split()) for page in (AGENTS, README))
    for row in content["primary"]:
        figures = f"{signed(row['difference'])} [{signed(row['low'])}, {signed(row['high'])}]"
        assert f"{row['contrast']}: {figures}" in text, row
        assert row["low"] < 0 and "beats a fixed budget; agents that learn to stop do not" in readme
    (rule,) = (row for row in content["secondary"] if row["contrast"].endswith("at the price less 7 queries"))
    assert rule["low"] > 0 and "the belief's stopping rule beats a fixed budget" in readme


def test_the_tables_on_what_to_paste() -> None:
    drops = results("patches")["drops"]

    def cell(name: str, queries: int) -> str:
        row = drops[name]
        place = min(queries, len(row["mean"])) - 1
        low, high = row["interval"][place]
        return f"{short(row['mean'][place])} [{short(low)}, {short(high)}]"

    rows = list(table(AGENTS, "10 scorer queries in all"))
    assert len(rows) == 8
    for name, cells in rows:
        assert [text for _, text in cells] == [cell(name, 10)], name
    rows = list(table(AGENTS, "queries on the patch"))
    assert len(rows) == 7
    for name, cells in rows:
        assert [text for _, text in cells] == [cell(name, int(heading)) for heading, _ in cells], name


def test_the_sentences_on_what_to_paste() -> None:
    content = results("patches")
    text, drops = " ".join(AGENTS.read_text().split()), content["drops"]
    found = {row["contrast"]: row for kind in ("primary", "secondary", "exploratory") for row in content[kind]}
    shown = {
        name: f"{signed(row['difference'])} [{signed(row['interval'][0])}, {signed(row['interval'][1])}]"
        for name, row in found.items()
    }
    for row in content["primary"]:
        assert f"{row['contrast']}: {shown[row['contrast']]}" in text
    for name, before in (
        ("region fixed: 1 contrast patch less the best of 20 random", "more than the best of 20 random ones ("),
        ("10 on the region with the contrast patch, less 10 with a random one", "gains more than afterwards: "),
        ("7 with the contrast patch and 3 on contrast patches, less 10 on the region with it", "then add "),
        ("region fixed: ppo_mask less the best of 10 random, 10 queries", "maskable PPO "),
        ("region fixed: dqn less the best of 10 random, 10 queries", "DQN "),
        ("10 on the region with a random small patch, less 10 with a random one", "the size alone gains "),
        ("10 on the region with the contrast patch, less 10 with a random small one", "gain; the choice adds "),
        ("region fixed: 1 random small patch less 1 random patch", "fixed region the size gains "),
        ("region fixed: 1 contrast patch less 1 random small patch", "gain; the choice adds "),
        ("region fixed: 1 contrast patch less the best of 20 random small", "is ahead by only "),
        ("region fixed: contrast less the best of 10 random small, 10 queries", "each, contrast is ahead by "),
    ):
        assert before + shown[name] in text, name
    for size, whole, after in (
        (
            "10 on the region with a random small patch, less 10 with a random one",
            "10 on the region with the contrast patch, less 10 with a random one",
            " over a random piece of the region's size",
        ),
        (
            "region fixed: 1 random small patch less 1 random patch",
            "region fixed: 1 contrast patch less 1 random patch",
            "",
        ),
    ):
        share = found[size]["difference"] / found[whole]["difference"]
        assert f"{shown[size]}{after}, {100 * share:.0f} % of contrast's gain; the choice" in text, size
        assert abs(share - 1 / 7) < 0.01, "about a seventh"
    region = drops["region, random patch"]["mean"]
    assert f"twenty the drop grows by {short(region[19] - region[0])}" in text
    assert f"after ten adds {short(drops['contrast']['mean'][0] - region[9])}," in text
    few, many = (
        drops[f"random patch, {queries} on the region and 3 on contrast patches"]["mean"][0] for queries in (2, 17)
    )
    assert f"({short(few)} after two, {short(many)} after 17)" in text
    both = drops["contrast patch, 7 on the region and 3 on contrast patches"]["mean"][0]
    page = " ".join((ROOT / "docs" / "hard_positives.md").read_text().split())
    first = drops["region, contrast patch"]["mean"][9]
    assert f"by {short(region[9])} with a random piece, by {short(first)} with the contrasting one" in page
    assert f"by {short(both)} where three of the ten" in page
    small = drops["region, random small patch"]["mean"][9]
    assert f"A random piece of the contrasting one's size lowers it by {short(small)}:" in page
    readme = " ".join(README.read_text().split())
    assert (
        f"lowers the score by {short(first)} in ten queries, a random piece as small by {short(small)}" in readme
    )


def test_the_sentence_on_the_vae() -> None:
    content = results("vae_speed")
    speed, ends = content["one_video"], content["quality"]["programs"]
    text = " ".join(SPEED.read_text().split())
    plain, pythae, fp32 = (
        f"{speed[name]['median']:.1f}" for name in ("plain_over_fit", "pythae_over_fit", "plain_over_fit_fp32")
    )
    assert f"{plain} times as fast as a plain loop in PyTorch and {pythae} times as fast as pythae" in text
    assert f"without bf16 units: {fp32} times as fast as the plain loop" in text
    losses = {name: program["mean_training_loss_nats"] for name, program in ends.items()}
    less = {name: 100 * (losses["fit"] / losses[name] - 1) for name in losses}
    assert f"{less['pythae']:.1f} % above pythae's and {-less['plain']:.0f} % below the plain loop's" in text
    assert f"bf16 and fp32 differ by {abs(less['fit fp32']):.1f} %" in text


def test_the_tables_on_the_validation_of_the_vae() -> None:
    videos = list(results("vae_validation")["videos"].values())
    recipes = {"all 40 crops": "all crops", "32 crops, 8 held out": "a fifth held out",
               "and `patience=100`": "and patience"}  # fmt: skip
    rows = dict(table(MANIFOLDS, "trained on"))
    assert list(rows) == list(recipes)
    for name, cells in rows.items():
        found = [video[recipes[name]] for video in videos]
        kept = [row["best_epoch"] for row in found]
        first = f"{max(kept):,}" if min(kept) == max(kept) else f"{min(kept)} to {max(kept)}"
        bounds = [
            f"{statistics.mean(row[bound] for row in found):.1f}"
            for bound in ("held_out_elbo", "held_out_log_likelihood")
        ]
        assert [text.strip("*") for _, text in cells] == [first, *bounds], name
    assert (
        f"after {statistics.mean(video['and patience']['epochs'] for video in videos):.0f} epochs on average"
        in (" ".join(MANIFOLDS.read_text().split()))
    )
    samplers = {"VAE: aggregate posterior": "vae_posterior", "VAE: mixture over the codes": "vae_mixture"}
    rows = dict(table(MANIFOLDS, "samples of the models of all crops"))
    assert list(rows) == list(samplers)
    for name, cells in rows.items():
        found = [video["all crops"]["methods"][samplers[name]] for video in videos]
        expected = [
            f"{statistics.mean(row[measure] for row in found):.2f}".replace("0.", ".")
            for measure in ("diversity", "novelty_ratio", "realism")
        ]
        assert [text for _, text in cells] == expected, name


def test_the_tables_on_learning_curves() -> None:
    content = results("learning_curves")
    rows = list(table(AGENTS, "return after steps"))
    assert {name for name, _ in rows} == {name for name in content["arms"] if "," not in name}
    for name, cells in rows:
        arm = content["arms"][name]
        for heading, text in cells:
            place = arm["steps"].index(int(heading.replace(",", "")))
            low, high = arm["interval"][place]
            assert text == f"{short(arm['iqm'][place])} [{short(low)}, {short(high)}]", (name, heading)
    rows = list(table(AGENTS, "change of DQN"))
    assert [f"DQN, {name} less DQN" for name, _ in rows] == [each["contrast"] for each in content["primary"]]
    for (name, cells), primary in zip(rows, content["primary"], strict=True):
        last = content["secondary"][primary["contrast"]]["last_return"]
        expected = [
            f"{signed(each['difference'])} [{signed(each['low'])}, {signed(each['high'])}]"
            for each in (primary, last)
        ]
        assert [text for _, text in cells] == expected, name


def test_the_sentences_on_learning_curves() -> None:
    content = results("learning_curves")
    text = " ".join(AGENTS.read_text().split())
    belief = {number: content["references"][f"belief, {number} queries"]["iqm"] for number in (5, 20)}
    moves = content["references"]["random moves"]["iqm"]
    assert (
        f"random moves {short(moves)}, the belief {short(belief[5])} with 5 queries and {short(belief[20])}"
        in text
    )
    assert max(max(arm["iqm"]) for arm in content["arms"].values()) < belief[5], "no agent reaches the belief"
    gains = {each["contrast"]: each for each in content["primary"]}
    for name in ("dueling", "prioritised replay"):
        assert gains[f"DQN, {name} less DQN"]["low"] < 0, "a change that pays must ship"
    runs = [run for arm in content["arms"].values() for run in arm["runs"]]
    masked, plain = (content["arms"][name]["runs"] for name in ("maskable PPO", "PPO"))
    apart = np.array([one["mean_return"] - other["mean_return"] for one, other in zip(masked, plain, strict=True)])
    low, high = ttest_1samp(apart, 0).confidence_interval(0.95)
    figures = f"{signed(apart.mean())} [{signed(low)}, {signed(high)}]"
    assert f"cannot be told apart, neither here (mean of all evaluations, five seeds: {figures})" in text
    hours = sum(run["seconds"] for run in runs) / 3600
    assert f"the {len(runs)} trainings took {hours:.1f} hours" in text


def test_the_loader_workers() -> None:
    found = results("loader_speed")
    methods, draw, step = found["hard_positives"], found["siamfc"]["draw"], found["siamfc"]["step"]
    rows = {f"hard positives, {method}": row for method, row in methods.items()}
    rows |= {"pairs of SiamFC, drawn": draw, "pairs of SiamFC, trained on": step}
    written = dict(table(SPEED, "loader workers"))
    assert set(written) == set(rows)
    for name, cells in written.items():
        assert cells == [(workers, f"{row['a_second']:.1f}") for workers, row in rows[name].items()], name
    text = " ".join(SPEED.read_text().split())
    for method, form in (
        ("best of 4 random", "give {:.1f} times the hard positives by the best of 4"),
        ("belief", "{:.1f} times those by the belief"),
        ("random", "{:.1f} times the random ones"),
    ):
        assert form.format(methods[method]["2"]["a_second"] / methods[method]["0"]["a_second"]) in text, method
    assert f"takes {step['0']['main_process_ms']:.0f} ms, beside which" in text
    assert f"draw of {found['siamfc']['pairs']} pairs, {draw['0']['batch_ms']:.0f} ms," in text
