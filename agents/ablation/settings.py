"""The settings of a run of the ladder, shared by all arms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tracker.errors import InputError
from tracker.models.backbones import Precision, resolve_precision
from tracker.models.sint import SintConfig
from tracker.training import SintTraining

from .occlusion_sweep import SweepSettings

PRIMARY_MEASURE = "sweep, unseen"
"""The measure of the claims, chosen before the run: overlap under occluders that no arm trains with."""

PRIMARY_CONTRASTS = (("vae-hptn", "sint"), ("vae-hptn", "vae-random"))
"""The claims, as (arm, arm that is subtracted): SINT++ is better than SINT; the agent is better than chance."""

_WITHOUT_EFFECT = ("train", "judge", "out", "arms", "seeds", "bank", "attributes", "workers", "allowed")
"""Settings that do not change the figures, folders apart, whose contents do."""


@dataclass(frozen=True)
class LadderRun:
    """The settings of a run; plain data, so that it goes to other processes.

    Attributes:
        train: Folder of the training videos.
        judge: Folder of the judging videos; nothing is trained on them.
        out: Folder for the results.
        arms: Names of `arms.ARMS`; all if empty.
        seeds: Number of trainings of each arm, with the seeds 0 to this less 1.
        steps: Steps of a training.
        learning_rate: Of a layer whose multiplier is 1, with a cosine schedule to 0.
        share: Probability that the second frame of a pair is changed.
        boxes_per_frame: See `SintTraining`.
        features: Name of the network.
        weights: Its weights, which every arm starts from.
        bank: A folder of manifolds by `train-vae`; missing ones are trained there. `None` takes `out/bank`.
        epochs: Updates of a manifold.
        per_video: Targets of a video whose samples become hard positives, evenly spaced.
        agent: Searches in HPTN's arm; see `loading.load_agent`.
        attributes: JSON file of the judging videos' attributes (`tracker.evaluation.read_annotations`).
        sweep: Settings of the occlusion sweep.
        workers: Number of processes.
        device: Of the networks.
        precision: Arithmetic of the networks.
        allowed: See `loading.load_agent`.

    Raises:
        InputError: If a number is out of range.
    """

    train: Path
    judge: Path
    out: Path
    arms: tuple[str, ...] = ()
    seeds: int = 3
    steps: int = 300
    learning_rate: float = 4e-3
    share: float = 0.5
    boxes_per_frame: int = 32
    features: str = "slim"
    weights: str | None = None
    bank: Path | None = None
    epochs: int = 1000
    per_video: int = 24
    agent: str = "pretrained"
    attributes: Path | None = None
    sweep: SweepSettings = field(default_factory=SweepSettings)
    workers: int = 1
    device: str = "cpu"
    precision: Precision = "auto"
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "per_video", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")
        if not 0 <= self.share <= 1:
            raise InputError(f"--share is {self.share:g}; it must lie between 0 and 1.")
        self.training(0)

    def training(self, seed: int) -> SintTraining:
        """The settings of one training; the last step counts, so that all arms have the same budget."""
        return SintTraining(
            self.steps, "sgd", self.learning_rate, schedule="cosine",
            # All layers of the slim network are trained; of others those that SINT trains.
            layer_rates=(("*", 1.0),) if self.features == "slim" else (),
            boxes_per_frame=self.boxes_per_frame, flip=0.5, hard_share=self.share,
            validate_every=self.steps, keep="last", seed=seed,
        )  # fmt: skip

    @property
    def network(self) -> SintConfig:
        """The network and its input."""
        return SintConfig.fast(self.features)

    @property
    def bank_folder(self) -> Path:
        """Folder of the manifolds."""
        return self.out / "bank" if self.bank is None else self.bank

    @property
    def adversary_file(self) -> Path:
        """File of the rotation adversary."""
        return self.out / "adversary.safetensors"

    def positives_folder(self, arm: str) -> Path:
        """Folder of an arm's hard positives."""
        return self.out / "positives" / arm

    def network_folder(self, arm: str, seed: int) -> Path:
        """Folder of a trained network."""
        return self.out / "networks" / arm / f"{seed}"

    def result_file(self, arm: str, seed: int) -> Path:
        """File of a network's figures."""
        return self.out / "results" / arm / f"{seed}.json"

    def record(self) -> dict[str, Any]:
        """The settings that change the figures, as plain data; arithmetic and device as they were resolved."""
        content = {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}
        device = torch.device(self.device)
        content["device"] = device.type
        content["precision"] = str(resolve_precision(self.precision, device)).removeprefix("torch.")
        # The identity of a file is its digest, not its folder.
        for name, given in (("weights", self.weights), ("agent", self.agent)):
            content[name] = given if given is None or not Path(given).exists() else Path(given).name
        content["primary"] = {"measure": PRIMARY_MEASURE, "contrasts": [list(pair) for pair in PRIMARY_CONTRASTS]}
        return content
