"""Models on the Hub: the local round trip, the model card, and the calls of `huggingface_hub`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vae
from agents.policies.loading import load_agent
from agents.policies.pretrained import PretrainedAgent, load_pretrained
from tracker.errors import InputError
from tracker.hub import HubModel
from tracker.models.sint import Sint, SintConfig, load_sint


@pytest.fixture
def hub():
    return pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


def slim() -> Sint:
    return Sint.load(SintConfig("slim", side=64))


def torchvision_net() -> Sint:
    sint = Sint.load(SintConfig("torchvision:squeezenet1_1", side=64, fc_size=8), "random")
    with torch.no_grad():
        for parameter in sint.parameters():
            parameter.add_(0.01)
    return sint


def manifold() -> vae.VAE:
    return vae.VAE(vae.VAEConfig(image_size=8, hidden=4), torch.Generator().manual_seed(3))


def state(model: HubModel | vae.VAE) -> dict[str, torch.Tensor]:
    if isinstance(model, PretrainedAgent):
        return model.policy.q_net.state_dict()
    return (model.backbone if isinstance(model, Sint) else model).state_dict()


@pytest.mark.filterwarnings("ignore:.*starts from random weights")
@pytest.mark.parametrize("make", [slim, torchvision_net, manifold, load_pretrained])
def test_the_local_round_trip(hub, make, tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path / "model")
    files = sorted(file.name for file in (tmp_path / "model").iterdir())
    assert "README.md" in files and "config.json" in files
    assert {Path(name).suffix for name in files} == {".md", ".json", ".safetensors"}
    again = type(model).from_pretrained(tmp_path / "model")
    assert type(again) is type(model)
    first, second = state(model), state(again)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    again.save_pretrained(tmp_path / "again")
    for name in files:
        if name.endswith(".safetensors"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    text = (tmp_path / "model" / "README.md").read_text()
    card = hub.ModelCard(text)
    assert card.data.library_name == "occlusion-search" and type(model).__name__ in text
    assert json.loads(text.split("```json\n")[1].split("```")[0]) == json.loads(json.dumps(model.card))


def test_the_files_are_those_of_the_package(hub, tmp_path: Path) -> None:
    """A folder is what `--weights`, `--agent` and `VAE.load` take."""
    slim().save_pretrained(tmp_path / "sint")
    assert load_sint(tmp_path / "sint").config == SintConfig("slim", side=64)
    load_pretrained().save_pretrained(tmp_path / "agent")
    assert load_agent(tmp_path / "agent" / "agent.safetensors").settings == load_agent("pretrained").settings
    manifold().save_pretrained(tmp_path / "vae")
    images = vae.VAE.load(tmp_path / "vae").generate([[0.0, 0.0]])
    assert np.array_equal(images, manifold().generate([[0.0, 0.0]]))


def test_what_is_uploaded_and_downloaded(hub, tmp_path: Path, monkeypatch) -> None:
    """The library's calls, with the network cut."""
    uploaded: dict[str, bytes] = {}

    class Api:
        def __init__(self, **options) -> None:
            assert options.get("token") == "secret"

        def create_repo(self, repo_id, private=None, exist_ok=False):
            assert repo_id == "user/name" and private
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, repo_id, folder_path, **options):
            uploaded.update({file.name: file.read_bytes() for file in Path(folder_path).iterdir()})
            return "commit"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert manifold().push_to_hub("user/name", private=True, token="secret") == "commit"
    assert sorted(uploaded) == ["README.md", "config.json", "model.safetensors"]

    def download(name, revision, allow_patterns, **options):
        assert (name, revision, allow_patterns) == ("user/name", "v1", ["*.json", "*.safetensors"])
        (tmp_path / "snapshot").mkdir()
        for file, content in uploaded.items():
            (tmp_path / "snapshot" / file).write_bytes(content)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_bytes(uploaded["config.json"])
    again = vae.VAE.from_pretrained("user/name", revision="v1", device="cpu")
    assert torch.equal(again.mean.weight, manifold().mean.weight)


def test_files_of_something_else_are_one_sentence(hub, tmp_path: Path) -> None:
    manifold().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds 0 trained networks|There is no"):
        Sint.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="There is no agent"):
        PretrainedAgent.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(vae.VAEError, match="damaged"):
        vae.VAE.from_pretrained(tmp_path)


@pytest.mark.parametrize(("make", "error"), [(slim, InputError), (manifold, vae.VAEError)])
def test_without_the_library(make, error, tmp_path: Path, monkeypatch) -> None:
    model = make()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: model.save_pretrained(tmp_path), lambda: type(model).from_pretrained(tmp_path)):
        with pytest.raises(error, match=r"is not installed; install occlusion-search\[hub\]"):
            call()
    assert not list(tmp_path.iterdir())
