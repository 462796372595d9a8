"""The benchmarks' scripts: they refuse to go on with results of other arguments, and what SiamFC's sweep shows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.ablation.sweep_occluders import KINDS
from agents.policies.belief import FittedPrior
from agents.policies.belief.method import BeliefProposer
from occlusion_env.mdp.actions import RegionLimits
from occlusion_env.scene.shapes import other_videos
from occlusion_env.search.belief import Prior
from tracker.errors import InputError
from tracker.models.siamfc import SiamFCNet

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path: Path, make_video: Any, write_otb: Any) -> Path:
    for seed, name in enumerate(("train/a", "judge/b")):
        write_otb(tmp_path / name, make_video(frames=3, seed=seed))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net").write_bytes(b"numbers")
    return tmp_path


class Stop(Exception):
    """The work that follows."""


def stop(*_: object, **__: object) -> None:
    raise Stop


@pytest.mark.parametrize(("name", "work"), [("siamfc", "train")])
def test_results_of_other_arguments_are_refused(
    name: str, work: str, data: Path, monkeypatch: pytest.MonkeyPatch, make_video: Any, write_otb: Any
) -> None:
    module = script(name)
    monkeypatch.setattr(module, work, stop)
    for variable in ("WEIGHTS", "PRIORS", "TRAIN"):
        monkeypatch.setenv(f"OCCLUSION_SEARCH_{variable}", "")
    weights = data / "weights" / "net" if name == "siamfc" else data / "weights"
    given = {"train": data / "train", "judge": data / "judge", "weights": weights, "out": data / "out"}
    for _ in range(2):
        with pytest.raises(Stop):
            module.main(module.Arguments(**given))
    if name == "siamfc":
        with pytest.raises(InputError, match=r"other arguments \(steps was 200 and is 300\); give another --out"):
            module.main(module.Arguments(**given, steps=300))
    (data / "weights" / "net").write_bytes(b"other numbers")
    with pytest.raises(InputError, match="weights was .* and is"):
        module.main(module.Arguments(**given))
    (data / "weights" / "net").write_bytes(b"numbers")
    write_otb(data / "train" / "c", make_video(frames=3, seed=5))
    with pytest.raises(InputError, match="train.c was not set and is"):
        module.main(module.Arguments(**given))


def test_siamfc_is_swept_with_seen_and_unseen_occluders(make_video: Any) -> None:
    module = script("siamfc")
    videos = [make_video(frames=4, width=160, height=120, seed=seed) for seed in range(2)]
    net = SiamFCNet().eval().requires_grad_(False)
    found = module.localised(net, videos[0], 2, 0, other_videos(videos[1:]))
    assert list(found) == list(KINDS)
    for overlaps in found.values():
        assert overlaps.shape == (6, 2) and (0 <= overlaps).all() and (overlaps <= 1).all()
        assert np.array_equal(overlaps[0], found["background"][0])


def test_the_claims_of_siamfcs_sweep_are_corrected_apart_from_the_rest() -> None:
    module = script("siamfc")
    rng = np.random.default_rng(0)
    gains = {"released": 0.0, "fine-tuned": 0.0, "random occlusion": 0.03, "hardest of 8": 0.03}
    level = rng.uniform(0.4, 0.8, (10, 6, 1))
    rows = {
        arm: dict(zip("abcdefghij", (level + gain + rng.normal(0, 0.06, (10, 6, 3))).tolist(), strict=True))
        for arm, gain in gains.items()
    }
    found = module.sweep_figures(rows, module.PRIMARY_CONTRASTS)
    differences = found["differences"]
    claim = differences["random occlusion less fine-tuned"]["all covered"]
    assert claim["p_holm"] < 0.05 and claim["interval"][0] > 0
    assert differences["hardest of 8 less random occlusion"]["all covered"]["p_holm"] > 0.05
    none = module.sweep_figures(rows, ())
    assert none["differences"]["random occlusion less fine-tuned"]["all covered"]["p_holm"] > claim["p_holm"]


def test_closure_less_the_price_of_the_queries_is_a_mean_over_videos() -> None:
    """Two videos of unequal numbers of targets, worked out by hand."""
    module = script("stopping")
    drops = np.array([[0.1, 0.5], [0.1, 0.3], [0.2, 0.6]])
    judged = module.Judged(drops, np.array([0.1, 0.1, 0.2]), drops, ["a", "a", "b"])
    assert judged.gap == pytest.approx((0.4 + 0.2 + 0.4) / 3)
    best, queries = np.array([0.3, 0.2, 0.6]), np.array([2.0, 4.0, 5.0])
    assert judged.closure(best) == pytest.approx([(0.25 - 0.1) / (0.4 - 0.1), 1.0])
    assert judged.net(best, queries) == pytest.approx([0.5 - 0.03, 1.0 - 0.05])
    assert judged.net(best[:, None], queries[:, None]).shape == (2, 1)


def test_the_stopping_rule_of_the_benchmark_is_that_of_the_belief() -> None:
    module = script("stopping")
    rng, grid = np.random.default_rng(0), RegionLimits().grid(0.25)
    centre = grid[:, :2] + grid[:, 2:] / 2
    covariance = 0.01 * np.exp(-((np.linalg.norm(centre[:, None] - centre[None], axis=2) / 0.3) ** 2))
    prior = Prior(grid, np.zeros(len(grid)), np.zeros(len(grid)), covariance + 1e-6 * np.eye(len(grid)))
    drops = rng.multivariate_normal(prior.mean, prior.covariance, 6)
    judged = module.Judged(drops, drops.mean(axis=1), np.zeros_like(drops), ["a"] * 6)
    best, queries = module.stop(*module.query_belief(prior, judged), 0.02)
    proposals = BeliefProposer(FittedPrior(prior, None), query_price=0.02)(None, np.arange(6), [], 336)
    proposed, found, counts = next(proposals), np.full(6, -np.inf), np.zeros(6)
    while (asked := ~np.isnan(proposed[:, 0, 0])).any():
        place = [(grid == region).all(axis=1).argmax() for region in proposed[:, 0]]
        answers = np.where(asked, drops[np.arange(6), place], np.nan)[:, None]
        found, counts = np.fmax(found, answers[:, 0]), counts + asked
        proposed = proposals.send(answers)
    assert counts.tolist() == queries.tolist() and len(set(counts)) > 1
    assert found == pytest.approx(best)
