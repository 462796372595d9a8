"""Hard positives: targets with a patch where it hurts the matcher most, and the record of how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from occlusion_env.occluders import occlude_image
from occlusion_env.search import Search, SearchSettings
from occlusion_env.targets import Target, TargetSet
from tracker.backbones import FeatureExtractor
from tracker.images import resize, to_tensor, write_png
from tracker.scorers import Scorer

from .rollout import Policy, Rollout, begin_all, roll_out

__all__ = ["HardPositive", "find_hard_positives", "score_images", "write_hard_positives"]


@dataclass(frozen=True)
class HardPositive:
    """One hard positive.

    Attributes:
        image: The occluded target at its own size, `uint8[h, w, 3]`.
        target: The target as it was, with its source.
        episode: The search that led here.
        patch: What covers it, `uint8[64, 64, 3]`, resized to the region when pasted.
        patch_box: Where the patch was cut out of the target's frame; `None` where it had no background.
        score_before: The matcher's score of the target as it was.
        score_after: Of `image`.
    """

    image: NDArray[np.uint8]
    target: Target
    episode: Rollout
    patch: NDArray[np.uint8]
    patch_box: NDArray[np.float64] | None
    score_before: float
    score_after: float

    def record(self, seed: int) -> dict[str, Any]:
        """Everything but the pixels, as plain data with the same keys and types for every hard positive."""
        return {
            "target": self.target.id,
            "source": {
                **asdict(self.target.source),
                "box": list(self.target.source.box),
                "code": None if self.target.source.code is None else list(self.target.source.code),
            },
            "region": self.episode.region.round(6).tolist(),
            "patch": None if self.patch_box is None else self.patch_box.tolist(),
            "actions": list(self.episode.actions),
            "triggered": self.episode.triggered,
            "score_before": round(self.score_before, 6),
            "score_after": round(self.score_after, 6),
            "seed": seed,
        }


def score_images(
    scorer: Scorer, exemplars: Iterable[NDArray[np.uint8]], candidates: Iterable[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Score pairs of images of any size.

    Args:
        scorer: The matcher.
        exemplars: N images `uint8[h, w, 3]`.
        candidates: N images `uint8[h, w, 3]`.

    Returns:
        `float64[N]`.
    """
    side = scorer.input_size
    pairs = [np.stack([resize(image, side, side) for image in images]) for images in (exemplars, candidates)]
    scores = scorer(*(to_tensor(images, scorer.device) for images in pairs))
    return scores.double().cpu().numpy()


def find_hard_positives(
    policy: Policy,
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings | None = None,
    seed: int = 0,
    batch: int = 32,
    progress: bool = False,
) -> list[HardPositive]:
    """Search every target and paste its patch where the search ended.

    Args:
        policy: Any algorithm of Stable-Baselines3, or what has its `predict`.
        targets: What to occlude.
        scorer: The matcher.
        features: The state's features that the policy was trained with.
        settings: Of the search; must be those that the policy was trained with.
        seed: Of the patches.
        batch: Searches side by side.
        progress: Whether to show a progress bar.

    Returns:
        One a target, in their order.
    """
    rng = np.random.default_rng(seed)
    found = []
    bar = tqdm(total=len(targets), desc="hard positives", unit="target", disable=not progress)
    for low in range(0, len(targets), batch):
        chosen = list(targets.subset(range(low, min(low + batch, len(targets)))))
        search = Search(len(chosen), scorer, features, settings or SearchSettings())
        places = begin_all(search, chosen, rng, drop=0.0)
        episodes = roll_out(policy, search)
        patches = search.patches()
        images = [
            occlude_image(target.crop, patch, episode.region)
            for target, patch, episode in zip(chosen, patches, episodes, strict=True)
        ]
        after = score_images(scorer, (target.exemplar for target in chosen), images)
        found += [
            HardPositive(image, target, episode, patch, place, float(clean), float(hard))
            for image, target, episode, patch, place, clean, hard in zip(
                images, chosen, episodes, patches, places, search.clean_score, after, strict=True
            )
        ]
        bar.update(len(chosen))
    bar.close()
    return found


def write_hard_positives(folder: Path, positives: Iterable[HardPositive], seed: int) -> int:
    """Write images and `metadata.jsonl`, which `datasets.load_dataset("imagefolder")` reads.

    Args:
        folder: Is made.
        positives: The hard positives.
        seed: The seed they were made with, for the record.

    Returns:
        How many there were.
    """
    folder.mkdir(parents=True)
    count = 0
    with (folder / "metadata.jsonl").open("w") as lines:
        for count, positive in enumerate(positives, 1):  # noqa: B007
            name = f"{count:06d}.png"
            write_png(folder / name, positive.image)
            lines.write(json.dumps({"file_name": name, **positive.record(seed)}) + "\n")
    return count
