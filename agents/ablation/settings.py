"""The settings of a run of the ladder, shared by all arms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tracker.errors import InputError
from tracker.processes import Workers, check_workers
from tracker.training.settings import SintTraining

if TYPE_CHECKING:
    from tracker.models.backbones import Precision
    from tracker.models.sint import SintConfig

    from .occlusion_sweep import SweepSettings

HEAVY_COVER = (0.3, 0.5)
"""Covered shares of the target of the primary measure, both ends included."""

HEAVY_NAME = "30-50%"
"""The same in the names of measures."""

PRIMARY_MEASURE = f"sweep, unseen, {HEAVY_NAME}"
"""The measure of the claims, chosen before the run: overlap where 30 to 50 % of the target is covered by occluders
that no arm trains with."""

PRIMARY_CONTRASTS = (("hardest", "sint"), ("vae-hptn", "vae-random"))
"""The claims, as (arm, arm that is subtracted): the best recipe on real frames is better than plain training; the
agent of SINT++ is better than chance."""

MEASURES = ("sweep", "ope", "tre", "tre-all", "vot")
"""Evaluations of a network: the occlusion sweep; one pass over the judging videos; 20 starts in time over those
with occlusions; the same over all of them; one pass over VOT-2014."""

LAYER_RATES: dict[str, tuple[tuple[str, float], ...]] = {
    "head": (("conv*", 0.0), ("*", 1.0)),
    "all": (("*", 1.0),),
    "sint": (),
}
"""Multiples of the learning rate by pattern (see `SintTraining.layer_rates`) for each choice of trained layers."""

_WITHOUT_EFFECT = (
    "data", "judge", "otb", "vot", "out", "only", "seeds", "measures", "bank", "attributes", "workers", "allow",
)  # fmt: skip
"""Settings that do not change the figures, folders apart, whose contents do."""


def _default_sweep() -> SweepSettings:
    from .occlusion_sweep import SweepSettings

    return SweepSettings()


@dataclass(frozen=True)
class LadderRun:
    """The settings of a run; plain data, so that it goes to other processes.

    Attributes:
        data: A folder with the folders train and otb of annotated videos; with --judge, --otb or --vot, the
            training videos.
        judge: Evaluation videos; nothing is trained on them.
        out: Folder for the results.
        attributes: A JSON file of the evaluation videos' attributes, {NAME: {"attributes": [...]}}, for the
            figures of OCC and MB.
        otb: In place of --judge, the whole of OTB-100, for the figures of the paper.
        vot: The whole of VOT-2014; without --judge and --otb these are the evaluation videos.
        only: Only these arms, such as sint vae vae-random vae-hptn vae-grid; all by default.
        seeds: Trainings of each arm, with the seeds 0 to this less 1.
        measures: Evaluations of each network: sweep, ope, tre (of the videos whose attributes have OCC), tre-all
            (of all videos), vot; by default sweep and ope, with --otb also tre-all, with --vot also vot.
        steps: Steps of a training.
        learning_rate: Initial learning rate; it falls to 0.
        layers: Layers that move: head (all but the convolutions), all, or sint (SINT's own choice).
        interpolation: Share of the trained weights in the final ones; the rest is the initial weights.
        pasted: Number of training videos that are made by pasting targets into other videos
            (`tracker.data.pasting`); none where there is one training video alone.
        share: Share of the pairs whose second frame shows a generated positive.
        boxes_per_frame: Boxes of each frame of a pair.
        features: The network: slim, vgg16, ...
        weights: Its weights, which every arm starts from.
        bank: A folder of manifolds by train-vae; by default OUT/bank, where missing ones are trained.
        epochs: Updates of a manifold that is trained; the paper's 20,000 take hours a video on a CPU.
        per_video: Targets of a video whose samples are made into hard positives, evenly spaced.
        agent: The agent of HPTN's arm: pretrained or an agent's safetensors file, which hold no code; or the
            folder of a training run or an agent's zip file, which are pickles: loading one executes code, so load
            only files that you trust.
        sweep: Settings of the occlusion sweep.
        workers: Number of processes of this machine, or a Ray cluster.
        device: Where the networks run.
        precision: Arithmetic of the networks; auto takes bfloat16 where the hardware has it.
        allow: Names of your own code that files of agents, runs and hyper-parameters may contain.

    Raises:
        InputError: If a number is out of range, `data` lacks the two folders and no evaluation videos are given,
            `judge` and `otb` both are, or a measure is unknown or lacks the attributes or videos that it takes.
    """

    data: Path
    judge: Path | None = None
    out: Path = Path("out/reproduce")
    attributes: Path | None = None
    otb: Path | None = None
    vot: Path | None = None
    only: tuple[str, ...] = ()
    seeds: int = 3
    measures: tuple[str, ...] = ()
    steps: int = 300
    learning_rate: float = 0.1
    layers: Literal["head", "all", "sint"] = "head"
    interpolation: float = 1.0
    pasted: int = 15
    share: float = 0.5
    boxes_per_frame: int = 32
    features: str = "slim"
    weights: str | None = None
    bank: Path | None = None
    epochs: int = 1000
    per_video: int = 24
    agent: str = "pretrained"
    sweep: SweepSettings = field(default_factory=_default_sweep)
    workers: Workers = 1
    device: str = "cpu"
    precision: Precision = "auto"
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "per_video"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")
        if self.pasted < 0:
            raise InputError(f"--pasted is {self.pasted}; it must be 0 or more.")
        check_workers(self.workers)
        if not 0 <= self.share <= 1:
            raise InputError(f"--share is {self.share:g}; it must lie between 0 and 1.")
        if self.layers not in LAYER_RATES:
            raise InputError(f"--layers is '{self.layers}'; choose {', '.join(LAYER_RATES)}.")
        if unknown := [name for name in self.measures if name not in MEASURES]:
            raise InputError(f"'{unknown[0]}' is no measure; choose {', '.join(MEASURES)}.")
        if "tre" in self.measures and self.attributes is None:
            raise InputError(
                "The measure tre takes the videos with occlusions; give --attributes, or take tre-all."
            )
        if "vot" in self.measures and self.vot is None:
            raise InputError("The measure vot takes the videos of VOT-2014; give --vot, or leave it out.")
        self.training(0)
        if self.judge is not None and self.otb is not None:
            raise InputError(
                f"Two folders of evaluation videos, '{self.judge}' and '{self.otb}'; give --judge or --otb."
            )
        if self._given is None and not (self.train.is_dir() and self.test.is_dir()):
            raise InputError(
                f"'{self.data}' has no folders train and otb; give --judge a folder of videos to judge with."
            )

    @property
    def train(self) -> Path:
        """Folder of the training videos."""
        return self.data / "train" if self._given is None else self.data

    @property
    def test(self) -> Path:
        """Folder of the evaluation videos."""
        return self.data / "otb" if self._given is None else self._given

    def videos(self, measure: str) -> Path:
        """Folder of the videos that a measure takes."""
        return self.vot if measure == "vot" and self.vot is not None else self.test

    @property
    def _given(self) -> Path | None:
        return self.judge or self.otb or self.vot

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The chosen measures; by default every measure that the given folders allow."""
        if self.measures:
            return self.measures
        found = ["sweep", "ope"]
        if self.otb is not None:
            found.append("tre-all")
        if self.vot not in (None, self.test):
            found.append("vot")
        return tuple(found)

    def training(self, seed: int) -> SintTraining:
        """The settings of one training; the last step counts, so that all arms have the same budget."""
        return SintTraining(
            self.steps, "sgd", self.learning_rate, schedule="cosine", layer_rates=LAYER_RATES[self.layers],
            boxes_per_frame=self.boxes_per_frame, flip=0.5, hard_share=self.share,
            validate_every=self.steps, keep="last", interpolation=self.interpolation, seed=seed,
        )  # fmt: skip

    @property
    def network(self) -> SintConfig:
        """The network and its input."""
        from tracker.models.sint import SintConfig

        return SintConfig(self.features)

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

    def result_file(self, arm: str, seed: int, measure: str) -> Path:
        """File of a network's figures by one measure."""
        return self.out / "results" / arm / f"{seed}" / f"{measure}.json"

    def record(self) -> dict[str, Any]:
        """The settings that change the figures, as plain data; arithmetic and device as they were resolved."""
        import torch

        from tracker.models.backbones import resolve_precision

        content = {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}
        device = torch.device(self.device)
        content["device"] = device.type
        content["precision"] = str(resolve_precision(self.precision, device)).removeprefix("torch.")
        # The identity of a file is its digest, not its folder.
        for name, given in (("weights", self.weights), ("agent", self.agent)):
            content[name] = given if given is None or not Path(given).exists() else Path(given).name
        content["primary"] = {"measure": PRIMARY_MEASURE, "contrasts": [list(pair) for pair in PRIMARY_CONTRASTS]}
        return content
