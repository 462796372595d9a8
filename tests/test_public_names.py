"""The names that a package exports: its stub, what it loads on first use, and what that costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
STUBS = sorted(
    file for package in ("tracker", "vae", "occlusion_env", "agents") for file in (ROOT / package).rglob("*.pyi")
)


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: str(stub.relative_to(ROOT)))
def test_every_name_of_a_stub_is_exported_and_found(stub: Path) -> None:
    package = importlib.import_module(".".join(stub.relative_to(ROOT).parent.parts))
    imports = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in imports for alias in node.names]
    assert sorted(names) == sorted(package.__all__)
    assert all(hasattr(package, name) for name in names)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


@pytest.mark.parametrize("package", ["tracker", "tracker.evaluation", "tracker.training", "agents.cli"])
def test_importing_a_package_imports_no_torch(package: str) -> None:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


class Still:
    """Pulls the trigger at once."""

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        return np.full(len(observation), 8), None


def test_names_of_the_last_version_still_work() -> None:
    import agents
    from occlusion_env import Search, SearchArguments, SearchSettings, load_networks, load_targets
    from tracker import load_scorer

    targets = load_targets("drawn:9").subset(range(2))
    with pytest.warns(DeprecationWarning, match="find_hard_positives is now agents.HardPositiveGenerator"):
        found = agents.find_hard_positives("random", targets, load_scorer(), None, None, 3)
    assert len(found) == 2 and all(hard.score_after < hard.score_before for hard in found)
    with pytest.warns(DeprecationWarning, match="Comparison is now agents.MethodComparison"):
        assert agents.Comparison is agents.MethodComparison
    parts = load_networks(SearchArguments())
    with pytest.warns(DeprecationWarning, match="PatchPolicy is now a policy or an"):
        patch = agents.PatchPolicy(Still(), parts.features)
    assert agents.HardPositiveGenerator("random", parts.scorer, patch_policy=patch).patch_method is patch
    with pytest.warns(DeprecationWarning, match="Setup is now occlusion_env.load_networks"):
        setup = agents.Setup(parts.scorer, parts.features)
    assert agents.compare(setup, list(targets), methods={}).clean.shape == (2,)
    search = Search(2, parts.scorer, parts.features, SearchSettings())
    with pytest.warns(DeprecationWarning, match="begin_all is now occlusion_env.Search.begin_random"):
        agents.begin_all(search, list(targets), np.random.default_rng(0), 0.1)
    assert (search.score < search.clean_score).all()
