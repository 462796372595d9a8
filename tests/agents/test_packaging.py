"""What a user installs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what git tracks or would track, so that nothing stale gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        + ["--wheel-dir", str(folder), str(folder / "source")],
        check=True,
    )
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_holds_exactly_the_four_packages(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"agents", "occlusion_env", "tracker", "vae"}


def test_the_wheel_holds_what_the_code_reads(wheel):
    for package in ("agents", "occlusion_env", "tracker", "vae"):
        assert f"{package}/py.typed" in wheel
    assert "agents/hyperparams/paper.yml" in wheel and "agents/hyperparams/demo.yml" in wheel
    assert {f"agents/explore/{name}" for name in ("page.css", "keys.js", "plane.js", "region.js")} <= set(wheel)
    assert 1e6 < wheel["tracker/weights/slim.safetensors"] < 6e6
    assert "tracker/weights/slim.json" in wheel


def imports(package):
    """Names of first-party packages that a package's modules import."""
    import ast

    found = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            found |= {name.split(".")[0] for name in names}
    return found & {"agents", "occlusion_env", "tracker", "vae"} - {package}


def test_imports_run_one_way():
    assert imports("vae") == set()
    assert imports("tracker") == set()
    assert imports("occlusion_env") == {"tracker"}
    assert imports("agents") == {"occlusion_env", "tracker", "vae"}


def test_importing_any_package_but_vae_loads_no_torch():
    script = "import sys, tracker, occlusion_env, agents; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_pickle_is_written_or_read_by_our_code():
    for package in ("agents", "occlusion_env", "tracker", "vae"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text()
            assert "import pickle" not in text and "torch.save" not in text
            assert "torch.load" not in text.replace("weights_only=True", "") or "weights_only=True" in text
