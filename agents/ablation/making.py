"""What the arms need before they train: manifolds, their samples (occluded or not), the rotation adversary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.scene.occluders import PATCH_SIZE
from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import SearchSettings
from tracker.data.images import resize, write_png
from tracker.data.readers import open_usable
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.evaluation.running import weights_digest
from tracker.models.shipped import shipped_sint
from tracker.models.sint import Sint
from tracker.records import read_record, warn_of_damage, write_record
from tracker.training import open_folder

from ..common.output import replacing_folder
from ..evaluation.comparison import generator
from ..evaluation.methods import query_methods
from ..hard_positives.generation import HardPositiveGenerator
from ..hard_positives.generation_run import method_of
from ..hard_positives.records import write_hard_positives
from ..manifolds.bank import default_at_once, train_bank
from ..manifolds.target_samples import Manifolds
from ..policies.belief import BeliefSearch
from ..policies.methods import Method, as_method
from .adversary import save_adversary, train_adversary
from .arms import Arm
from .settings import LadderRun

__all__ = ["bank_digests", "cutouts", "is_made", "ladder_targets", "make_adversary", "make_bank", "make_positives"]

_MARK = "metadata.jsonl"


def ladder_targets(run: LadderRun) -> TargetSet:
    """The targets that hard positives are made of: some of each training video that has any."""
    train, _ = open_folder(run.train)
    openers = {sequence.name: partial(_some, sequence, run.per_video) for sequence in train}
    return TargetSet.join(open_usable(openers).values())


def cutouts(run: LadderRun) -> NDArray[np.uint8]:
    """The targets of the training videos, to cover others with: `uint8[N, 64, 64, 3]`."""
    return np.stack([resize(target.crop, PATCH_SIZE, PATCH_SIZE) for target in ladder_targets(run)])


def _training_paths(run: LadderRun) -> dict[str, Path]:
    """The folders of the training videos, by their names."""
    train, _ = open_folder(run.train)
    return {Path(sequence.origin).name: Path(sequence.origin) for sequence in train}


def make_bank(run: LadderRun) -> None:
    """Train the manifolds that are not there yet.

    Raises:
        InputError: If one cannot be trained.
    """
    bank = vae.VAEBank(run.bank_folder, run.device)
    paths = _training_paths(run)
    missing = {
        name: path for name, path in paths.items() if name not in bank or bank.damaged_file(name) is not None
    }
    if not missing:
        return
    report = train_bank(
        bank, missing, training=vae.TrainingConfig(epochs=run.epochs), at_once=default_at_once(run.device)
    )
    for name, reason in report.failed.items():
        raise InputError(f"The manifold of '{name}' could not be trained: {reason}")


def bank_digests(run: LadderRun) -> dict[str, str]:
    """The digest of each training video's manifold."""
    bank = vae.VAEBank(run.bank_folder, run.device)
    return {name: bank.record(name).weights_digest for name in sorted(_training_paths(run))}


def make_positives(run: LadderRun, arm: Arm) -> None:
    """Make an arm's hard positives.

    Every arm's are made of the same samples of the same targets: what is drawn for one follows from its target.
    """
    folder = run.positives_folder(arm.name)
    shutil.rmtree(folder, ignore_errors=True)  # half-made or damaged
    bank = vae.VAEBank(run.bank_folder, run.device)
    targets = ladder_targets(run)
    with replacing_folder(folder, "hard positives") as work:
        if arm.samples == "nothing":
            manifolds = Manifolds(bank)
            _write_samples(work, (manifolds.drawn(target, generator(0, target.id, "0")) for target in targets))
        else:
            _write_occluded(work, run, arm, bank, targets)
    _note(folder)


def _write_occluded(work: Path, run: LadderRun, arm: Arm, bank: vae.VAEBank, targets: TargetSet) -> None:
    """Samples of the manifolds, occluded as the arm has it."""
    assert arm.samples is not None
    arguments = SearchArguments(
        features=run.features, weights=run.weights, device=run.device, precision=run.precision
    )
    parts = load_networks(arguments)
    if arm.samples == "constant":
        method = _constant_region(parts, targets)
    else:
        agent = run.agent if arm.samples == "agent" else arm.samples
        method = as_method(method_of(agent, run.device, allowed=run.allowed))
    maker = HardPositiveGenerator(method, parts.scorer, vae_bank=bank, features=method.features or parts.features)
    # The folder is there: what it holds is written one level down, then moved.
    write_hard_positives(work / "all", maker.of_targets(targets))
    for file in (work / "all").iterdir():
        file.rename(work / file.name)
    (work / "all").rmdir()


def _constant_region(networks: Networks, targets: TargetSet) -> Method:
    """The constant region of the matcher's prior; see `BeliefSearch.with_prior` for where that comes from."""
    limits = SearchSettings().limits
    found = BeliefSearch().with_prior(networks.scorer, networks.features, limits, "background", lambda: targets)
    if isinstance(found, BeliefSearch) and found.fitted is not None:
        return query_methods(networks.scorer, found.fitted)["constant"]
    return found


def make_adversary(run: LadderRun) -> None:
    """Train the rotation adversary against the network that all arms start from."""
    sint = start_network(run)
    save_adversary(run.adversary_file, train_adversary(sint, ladder_targets(run)))
    _note(run.adversary_file)


def is_made(path: Path) -> bool:
    """Return whether a file or a folder is there as it was made; a damaged one is not, with a warning."""
    if (noted := read_record(_note_of(path))) is None:
        return False
    if path.exists() and weights_digest(path) == noted["digest"]:
        return True
    warn_of_damage(path)
    return False


def _note(path: Path) -> None:
    """Note the digest of what was made."""
    write_record(_note_of(path), {"digest": weights_digest(path)})


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def start_network(run: LadderRun) -> Sint:
    """The network that all arms start from."""
    return shipped_sint(run.features, run.weights, run.device)


def _some(sequence: Sequence, count: int) -> TargetSet:
    whole = TargetSet.from_sequence(sequence)
    return whole.subset(evenly_spaced(len(whole), count))


def _write_samples(folder: Path, samples: Iterable[Target]) -> None:
    """Samples as they are, in the form of `write_hard_positives`."""
    with (folder / _MARK).open("w") as lines:
        for number, sample in enumerate(samples, 1):
            name = f"{number:06d}.png"
            write_png(folder / name, sample.crop)
            source = {**asdict(sample.source), "box": list(sample.source.box)}
            lines.write(json.dumps({"file_name": name, "target": sample.id, "source": source}) + "\n")
