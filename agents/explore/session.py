"""What the page shows of one video: its targets, the manifold, the stress test, hard positives."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import vae
from occlusion_env.scene.targets import TargetSet
from occlusion_env.search.threshold import usual_drop
from tracker.data.sequences import Sequence, evenly_spaced
from tracker.errors import InputError
from tracker.trackers.registry import load_tracker

from ..hard_positives.generation import HardPositiveGenerator
from ..hard_positives.records import HardPositives, write_hard_positives
from ..manifolds.bank import target_crops
from ..policies.belief.method import BeliefSearch
from ..policies.methods import Method, as_method
from ..stress.corruptions.settings import QUICK, StressSettings
from ..stress.scores import TrackerStress
from ..stress.stress_test import StressTest
from .models import Models
from .target import SEED, TargetSearch
from .videos import write_got10k

Values = NDArray[np.float64]
Image = NDArray[np.uint8]

MANIFOLD_CROPS = 24
"""Crops that a manifold is learned from."""

PLANE = 16
"""Codes along a side of the decoded plane."""

HARD_POSITIVES = 12
"""Number of hard positives unless another one is chosen."""

CONDITIONS = (*QUICK, "random", "hardest")
"""Of the stress test: those of `--quick` cover the target from one side only."""

METHODS = ("belief", "agent", "random")
"""Methods that make hard positives."""


class TargetManifold(NamedTuple):
    """The VAE of one target (section 4.1).

    Attributes:
        model: The model.
        codes: `float32[N, 2]`, the codes of the crops that it was trained on.
    """

    model: vae.VAE
    codes: NDArray[np.float32]

    def plane(self) -> Image:
        """The decoded plane of the codes, z1 to the right and z2 down: `uint8[16 * 64, 16 * 64, 3]`."""
        return vae.manifold_image(self.model, PLANE, vae.codes_grid(self.codes, PLANE))

    def positions(self) -> Values:
        """Where the codes of the crops lie on the plane, `float64[N, 2]` in [0, 1]."""
        low, high = self.codes.min(axis=0), self.codes.max(axis=0)
        return ((self.codes - low) / np.maximum(high - low, 1e-9) * (PLANE - 1) + 0.5) / PLANE

    def decode(self, x: float, y: float) -> Image:
        """The image of a point of the plane, `uint8[64, 64, 3]`.

        Args:
            x: From the left edge, in [0, 1].
            y: From the upper edge, in [0, 1].
        """
        low, high = self.codes.min(axis=0), self.codes.max(axis=0)
        code = low + (np.array([x, y]) * PLANE - 0.5) / (PLANE - 1) * (high - low)
        return self.model.generate(code[None])[0]


class Session:
    """One video in the page.

    Args:
        models: The networks.
        sequence: The video.

    Attributes:
        targets: The targets of its frames after the first.
        index: Of the target that is searched.
        search: The searches of that target.
        manifold: `None` until it is learned.

    Raises:
        InputError: If the video has no target after its first frame.
    """

    def __init__(self, models: Models, sequence: Sequence) -> None:
        self.models, self.sequence = models, sequence
        self.targets = TargetSet.from_sequence(sequence)
        networks = models.networks
        self._drop = usual_drop(self.targets, networks.scorer, networks.features, models.settings)
        self.manifold: TargetManifold | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="occlusion-search-")  # removed with the session
        self.choose(len(self.targets) // 2)

    def choose(self, index: int) -> None:
        """Choose the target that is searched, and start its searches.

        Args:
            index: Into `targets`.
        """
        self.index = index
        self.search = TargetSearch(self.models, self.targets[index], self._drop)

    def learn_manifold(self, epochs: int) -> TargetManifold:
        """Train a VAE on crops of the video's target, and store it as `manifold`.

        Args:
            epochs: Passes over the crops.

        Raises:
            VAEError: If `epochs` is below 1.
        """
        present = self.sequence.present
        crops = target_crops(self.sequence, present[evenly_spaced(len(present), MANIFOLD_CROPS)])
        device = self.models.networks.scorer.device
        training = vae.TrainingConfig(epochs=epochs, seed=SEED)
        model = vae.fit(crops, training=training, device=device, progress=True).model
        self.manifold = TargetManifold(model, model.posterior(crops)[0])
        return self.manifold

    def stress(self, tracker: str, moments: int) -> tuple[TrackerStress, Values]:
        """Run the conditions `CONDITIONS` of the stress test on the video.

        Args:
            tracker: One of `tracker.trackers.registry.TRACKERS`.
            moments: Largest number of moments.

        Returns:
            The tracker's scores, and the map of the overlap that it loses where the target is covered, `[H, W]`,
            NaN where no cover lay.

        Raises:
            InputError: If the tracker cannot be loaded, the video has no moment to corrupt, or the tracker did not
                hold the target up to that moment.
        """
        load = partial(load_tracker, tracker, device=str(self.models.networks.scorer.device))
        with tempfile.TemporaryDirectory() as folder:
            data = write_got10k(Path(folder) / "video", self.sequence)
            test = StressTest(data, Path(folder) / "stress", StressSettings(moments, CONDITIONS, SEED))
            scores = test.run(load).report()
        (result,) = scores.trackers.values()
        lost = scores.sensitivity(result.name)
        if not np.isfinite(lost).any():
            raise InputError(f"{tracker} loses the target before it is covered; choose another tracker or video.")
        return result, lost

    def zip_hard_positives(self, method: str, count: int) -> tuple[Path, HardPositives]:
        """Make hard positives of evenly spaced targets, and a zip file of them.

        Args:
            method: One of `METHODS`.
            count: Largest number of hard positives.

        Returns:
            The zip file, which holds the images and `metadata.jsonl` and is removed with the session, and the hard
            positives.
        """
        chosen = self.targets.subset(evenly_spaced(len(self.targets), count))
        networks = self.models.networks
        maker = HardPositiveGenerator(self._method(method), networks.scorer, features=networks.features)
        positives = HardPositives(
            tqdm(maker.of_targets(chosen, seed=SEED), total=len(chosen), desc="hard positives")
        )
        with tempfile.TemporaryDirectory() as images:
            write_hard_positives(Path(images) / "hard_positives", positives)
            name = Path(self._folder.name) / f"hard_positives_{method}"
            return Path(shutil.make_archive(str(name), "zip", images)), positives

    def _method(self, name: str) -> Method:
        if name == "agent":
            return self.models.agent
        return BeliefSearch(self.models.fitted) if name == "belief" else as_method(name)
