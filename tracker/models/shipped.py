"""The SINT networks that the package ships: the slim net, the tracker's, and an fc6 for VGG-16's convolutions."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import torch

from .backbones import load_backbone, load_weights
from .backbones.base import fingerprint
from .sint import Sint, SintConfig, load_sint, trained_weights


def shipped_sint(
    features: str = "slim",
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    base_weights: str | Path | None = None,
) -> Sint:
    """SINT over a backbone, ready for inference.

    What `train-tracker` wrote is loaded by the card beside it (`load_sint`). To a backbone's weights the parts
    that the package ships are added. The slim net is whole. VGG-16's weights often come as convolutions alone:
    where they are those that the shipped fc6 was trained on, it is added. Other networks have the third part of
    the descriptor if their weights hold an fc6, and the two convolutions if not.

    Args:
        features: The backbone's name.
        weights: Its weights (`load_backbone`), or what `train-tracker` wrote.
        device: Where it runs.
        base_weights: Initial weights of the training that wrote `weights`; not needed for the slim net.

    Raises:
        InputError: See `load_backbone` and `load_sint`; if the card names another backbone than `features`.
    """
    if trained := trained_weights(weights, base_weights):
        return load_sint(trained, base_weights, device, features)
    backbone = load_backbone(features, weights, device)
    folder = resources.files("tracker") / "weights"
    card = folder / f"sint_{features}.json"
    if backbone.fully_connected:
        sint = Sint(SintConfig(features), backbone)
    elif card.is_file() and (content := json.loads(card.read_text()))["base"]["weights"] == fingerprint(backbone):
        sint = Sint(SintConfig.from_record(content["config"]), backbone)
        with resources.as_file(folder / f"sint_{features}.safetensors") as file:
            backbone.load_state_dict({**backbone.state_dict(), **load_weights(file)})
    else:
        sint = Sint(SintConfig(features, fc_size=None), backbone)
    return sint.eval().requires_grad_(False)


def shipped_tracker_sint(device: str | torch.device = "cpu") -> Sint:
    """The slim SINT of the tracker `sint`: its layer fc6 was trained further, on covered targets.

    The scorer stays the slim net, which agents and priors were fitted to.
    """
    return load_sint(Path(str(resources.files("tracker"))) / "weights" / "sint.safetensors", device=device)
