"""Preparations for the arms' trainings: manifolds, their samples (occluded or not), the rotation adversary."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.scene.occluders import PATCH_SIZE
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.core import SearchSettings
from tracker.data.images import resize
from tracker.data.readers import open_usable
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.evaluation.running import weights_digest
from tracker.models.backbones import save_weights
from tracker.models.shipped import shipped_sint
from tracker.models.sint import Sint
from tracker.records import read_record, write_record
from tracker.training import open_folder

from ..common.output import is_intact, replacing_folder
from ..common.randomness import generator
from ..evaluation.methods import query_methods
from ..hard_positives.generation import HardPositiveGenerator
from ..hard_positives.generation_run import method_of
from ..hard_positives.records import write_hard_positives, write_images
from ..manifolds.bank import train_bank
from ..manifolds.target_samples import Manifolds
from ..policies.belief import BeliefSearch
from ..policies.methods import Method
from .adversary import train_adversary
from .arms import Arm
from .settings import LadderRun


def ladder_targets(run: LadderRun) -> TargetSet:
    """The targets of the hard positives: some of each usable training video, evenly spaced."""
    train, _ = open_folder(run.train)
    openers = {sequence.name: partial(_some_targets, sequence, run.per_video) for sequence in train}
    return TargetSet.join(open_usable(openers).values())


def _some_targets(sequence: Sequence, count: int) -> TargetSet:
    every = TargetSet.from_sequence(sequence)
    return every.subset(evenly_spaced(len(every), count))


def cutouts(run: LadderRun) -> NDArray[np.uint8]:
    """Crops of the training videos' targets, `uint8[N, 64, 64, 3]`, which cover other targets."""
    return np.stack([resize(target.crop, PATCH_SIZE, PATCH_SIZE) for target in ladder_targets(run)])


def _training_paths(run: LadderRun) -> dict[str, Path]:
    train, _ = open_folder(run.train)
    return {Path(sequence.origin).name: Path(sequence.origin) for sequence in train}


def make_bank(run: LadderRun) -> None:
    """Train the manifolds that are missing or damaged.

    Raises:
        InputError: If one cannot be trained.
    """
    bank = vae.VAEBank(run.bank_folder, run.device)
    paths = _training_paths(run)
    missing = {name: paths[name] for name in paths if name not in bank or bank.damaged_file(name) is not None}
    if not missing:
        return
    report = train_bank(bank, missing, training=vae.TrainingConfig(epochs=run.epochs), workers=run.workers)
    for name, reason in report.failed.items():
        raise InputError(f"The manifold of '{name}' could not be trained: {reason}")


def bank_digests(run: LadderRun) -> dict[str, str]:
    """The digest of each training video's manifold."""
    bank = vae.VAEBank(run.bank_folder, run.device)
    return {name: bank.record(name).weights_digest for name in sorted(_training_paths(run))}


def make_positives(run: LadderRun, arm: Arm) -> None:
    """Make an arm's hard positives: samples of the targets' manifolds, occluded by the arm's method.

    The samples are the same for every arm: the draws for a target are seeded by its id.
    """
    folder = run.positives_folder(arm.name)
    shutil.rmtree(folder, ignore_errors=True)  # incomplete or damaged
    bank = vae.VAEBank(run.bank_folder, run.device)
    targets = ladder_targets(run)
    with replacing_folder(folder, "hard positives") as work:
        if arm.samples == "nothing":
            manifolds = Manifolds(bank)
            samples = (manifolds.draw(target, generator(0, target.id, "0")) for target in targets)
            # The keys of `HardPositive.record` that a sample without occlusion has.
            write_images(
                work, ((each.crop, {"target": each.id, "source": asdict(each.source)}) for each in samples)
            )
        else:
            write_hard_positives(work, _generator(run, arm, bank, targets).of_targets(targets))
    _write_digest(folder)


def _generator(run: LadderRun, arm: Arm, bank: vae.VAEBank, targets: TargetSet) -> HardPositiveGenerator:
    assert arm.samples is not None
    arguments = SearchArguments(
        features=run.features, weights=run.weights, device=run.device, precision=run.precision
    )
    networks = load_networks(arguments)
    if arm.samples == "constant":
        method = _constant_region(networks, targets)
    else:
        method = method_of(run.agent if arm.samples == "agent" else arm.samples, run.device, allowed=run.allow)
    features = method.features or networks.features
    return HardPositiveGenerator(method, networks.scorer, vae_bank=bank, features=features)


def _constant_region(networks: Networks, targets: TargetSet) -> Method:
    """The constant region of the matcher's prior, which `BeliefSearch.with_prior` chooses."""
    limits = SearchSettings().limits
    found = BeliefSearch().with_prior(networks.scorer, networks.features, limits, "background", lambda: targets)
    if isinstance(found, BeliefSearch) and found.fitted is not None:
        return query_methods(networks.scorer, found.fitted)["constant"]
    return found


def make_adversary(run: LadderRun) -> None:
    """Train the rotation adversary against the network that all arms start from."""
    save_weights(run.adversary_file, train_adversary(start_network(run), ladder_targets(run)).state_dict())
    _write_digest(run.adversary_file)


def is_made(path: Path) -> bool:
    """Whether a file or a folder is intact, by the digest beside it; a damaged one gives a warning."""
    noted = read_record(path.with_suffix(".json"))
    return noted is not None and is_intact(path, noted["digest"])


def _write_digest(path: Path) -> None:
    write_record(path.with_suffix(".json"), {"digest": weights_digest(path)})


def start_network(run: LadderRun) -> Sint:
    """The network that all arms start from."""
    return shipped_sint(run.features, run.weights, run.device)
