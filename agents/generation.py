"""Hard positives: targets with a patch where it hurts the matcher most, and the record of how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from occlusion_env.background import BackgroundSearch, has_background
from occlusion_env.occluders import Occluder, choose_occluder, occlude_image
from occlusion_env.scorer_checks import blaming, check_scores
from occlusion_env.search import Search, SearchSettings
from occlusion_env.targets import Target, TargetSet
from tracker.backbones import FeatureExtractor
from tracker.errors import InputError
from tracker.images import resize, to_tensor, write_png
from tracker.scorers import Scorer

from .rollout import Answer, Policy, Rollout, roll_out

__all__ = [
    "HardPositive",
    "PatchPolicy",
    "find_hard_positives",
    "remake_hard_positive",
    "score_images",
    "write_hard_positives",
]

Image = NDArray[np.uint8]
WhichAnswer = Literal["best", "last"]


@dataclass(frozen=True)
class PatchPolicy:
    """What searches the background for a patch, once the region is found (section 4.2, question ii).

    Attributes:
        policy: Trained in `BackgroundSearch-v0`.
        features: The state's features that it was trained with; those of the first search if `None`.
        settings: Of the search that it was trained in; those of the first search if `None`.
    """

    policy: Policy
    features: FeatureExtractor | None = None
    settings: SearchSettings | None = None


@dataclass(frozen=True)
class PatchEpisode:
    """The search for a patch.

    Attributes:
        boxes: Every box that the search has been to, in pixels of the target's frame, `float64[steps + 1, 4]`.
        episode: The search; its regions are these boxes, relative to the frame.
    """

    boxes: NDArray[np.float64]
    episode: Rollout


@dataclass(frozen=True)
class HardPositive:
    """One hard positive.

    Attributes:
        image: The occluded target at its own size, `uint8[h, w, 3]`.
        target: The target as it was, with its source.
        region: What is covered, `float64[4]`, relative to the target.
        occluder: What covers it.
        patch: The same as an image, `uint8[64, 64, 3]`; it is resized to the region when pasted.
        episode: The search for the region.
        searched_with: What covered the target in that search.
        background: The search for the patch; `None` where there was none.
        score_before: The matcher's score of the target as it was.
        score_after: Of `image`.
    """

    image: Image
    target: Target
    region: NDArray[np.float64]
    occluder: Occluder
    patch: Image
    episode: Rollout
    searched_with: Occluder
    background: PatchEpisode | None
    score_before: float
    score_after: float

    def record(self, seed: int) -> dict[str, Any]:
        """Everything but the pixels, as plain data with the same keys for every hard positive."""
        source, second = self.target.source, self.background
        return {
            "target": self.target.id,
            "source": {
                **asdict(source),
                "box": list(source.box),
                "code": None if source.code is None else list(source.code),
            },
            "region": self.region.tolist(),
            "occluder": self.occluder.record(),
            "actions": list(self.episode.actions),
            "triggered": self.episode.triggered,
            "searched_with": self.searched_with.record(),
            "background": None
            if second is None
            else {
                "start": second.boxes[0].tolist(),
                "actions": list(second.episode.actions),
                "triggered": second.episode.triggered,
            },
            "score_before": round(self.score_before, 6),
            "score_after": round(self.score_after, 6),
            "seed": seed,
        }


def score_images(scorer: Scorer, exemplars: Iterable[Image], candidates: Iterable[Image]) -> NDArray[np.float64]:
    """Score pairs of images of any size.

    Args:
        scorer: The matcher.
        exemplars: N images `uint8[h, w, 3]`.
        candidates: N images `uint8[h, w, 3]`.

    Returns:
        `float64[N]`.

    Raises:
        InputError: If the scorer fails, naming it.
    """
    side = scorer.input_size
    pairs = [np.stack([resize(image, side, side) for image in images]) for images in (exemplars, candidates)]
    with blaming(scorer):
        scores = scorer(*(to_tensor(images, scorer.device) for images in pairs))
    return check_scores(scorer, scores, len(pairs[0]))


def find_hard_positives(
    policy: Policy,
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings | None = None,
    seed: int = 0,
    batch: int = 32,
    progress: bool = False,
    *,
    patch_policy: PatchPolicy | None = None,
    occluder: str = "background",
    answer: WhichAnswer = "best",
) -> list[HardPositive]:
    """Search every target for the region to cover, then its frame for what to cover it with (section 4.2).

    Args:
        policy: Finds the region: any algorithm of Stable-Baselines3, or what has its `predict`.
        targets: What to occlude.
        scorer: The matcher.
        features: The state's features that the policy was trained with.
        settings: Of the search; must be those that the policy was trained with.
        seed: Of what is drawn; target i has a generator of its own, of the seed and i.
        batch: Searches side by side.
        progress: Whether to show a progress bar.
        patch_policy: Finds the patch; `None` keeps the one of the first search, as does a target whose frame
            leaves no room for a search.
        occluder: What covers the target in the first search, one of `occlusion_env.occluders.OCCLUDERS`.
        answer: What of a search is taken: the region that hurt most of those it has been to (a patch of the second
            search only if it hurts more than that of the first), or the one where it ended, as printed.

    Returns:
        One a target, in their order.

    Raises:
        InputError: If the scorer fails, or `answer` or `occluder` is unknown.
    """
    if answer not in ("best", "last"):
        raise InputError(f"'{answer}' is no answer of a search; choose best or last.")
    settings = settings or SearchSettings()
    found: list[HardPositive] = []
    bar = tqdm(total=len(targets), desc="hard positives", unit="target", disable=not progress)
    for low in range(0, len(targets), batch):
        numbers = range(low, min(low + batch, len(targets)))
        chosen = [targets[number] for number in numbers]
        generators = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(n,))) for n in numbers]
        share = settings.limits.max_area
        first = [
            choose_occluder(occluder, target, share, rng, targets)
            for target, rng in zip(chosen, generators, strict=True)
        ]
        search = Search(len(chosen), scorer, features, settings)
        search.begin(
            np.arange(len(chosen)), chosen, [o.patch(t, targets) for o, t in zip(first, chosen, strict=True)]
        )
        episodes = roll_out(policy, search)
        where = [_answer(episode, answer) for episode in episodes]
        with_what = _search_patches(patch_policy, chosen, generators, where, scorer, features, settings)
        occluders = [
            _better(mine, region, theirs, answer)
            for mine, region, theirs in zip(first, where, with_what, strict=True)
        ]
        patches = [o.patch(target, targets) for o, target in zip(occluders, chosen, strict=True)]
        images = [
            occlude_image(target.crop, patch, region.region)
            for target, patch, region in zip(chosen, patches, where, strict=True)
        ]
        after = score_images(scorer, (target.exemplar for target in chosen), images)
        found += [
            HardPositive(
                images[i], target, where[i].region, occluders[i], patches[i], episodes[i], first[i], with_what[i],
                float(search.clean_score[i]), float(after[i]),
            )
            for i, target in enumerate(chosen)
        ]  # fmt: skip
        bar.update(len(chosen))
    bar.close()
    return found


def remake_hard_positive(record: Mapping[str, Any], targets: TargetSet) -> Image:
    """Make a hard positive again from its record.

    Args:
        record: What `HardPositive.record` gave, or a line of `metadata.jsonl`.
        targets: Where its target is found by its id, and that of a cutout; `TargetSet.from_sequence` of its video
            (with the frame, where that was more than half hidden), or the samples of its manifold.

    Returns:
        The image, pixel by pixel, `uint8[h, w, 3]`.

    Raises:
        InputError: If the record cannot be used or the target is not there.
    """
    try:
        name, region = str(record["target"]), np.array(record["region"], dtype=np.float64)
        occluder = Occluder.from_record(record["occluder"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The record lacks or garbles {error}; give a line of metadata.jsonl.") from None
    if name not in (ids := targets.ids):
        raise InputError(f"There is no target '{name}' to make the hard positive of; give its video.")
    target = targets[ids.index(name)]
    return occlude_image(target.crop, occluder.patch(target, targets), region)


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


def _search_patches(
    patch_policy: PatchPolicy | None,
    targets: Many[Target],
    generators: Many[np.random.Generator],
    where: Many[Answer],
    scorer: Scorer,
    features: FeatureExtractor,
    settings: SearchSettings,
) -> list[PatchEpisode | None]:
    """The second search of each target, `None` where there is none."""
    found: list[PatchEpisode | None] = [None] * len(targets)
    if patch_policy is None:
        return found
    settings = patch_policy.settings or settings
    rows = [i for i, target in enumerate(targets) if has_background(target, settings, where[i].region)]
    if not rows:
        return found
    search = BackgroundSearch(len(rows), scorer, patch_policy.features or features, settings)
    chosen, covered = [targets[i] for i in rows], np.stack([where[i].region for i in rows])
    boxes = search.draw_boxes(chosen, [generators[i] for i in rows], covered)
    search.begin(np.arange(len(rows)), chosen, regions=boxes, covered=covered)
    for i, target, episode in zip(rows, chosen, roll_out(patch_policy.policy, search), strict=True):
        height, width = target.frame.shape[:2]
        found[i] = PatchEpisode(episode.trail * [width, height, width, height], episode)
    return found


def _answer(episode: Rollout, which: WhichAnswer) -> Answer:
    return episode.best if which == "best" else episode.last


def _better(first: Occluder, region: Answer, second: PatchEpisode | None, which: WhichAnswer) -> Occluder:
    """What covers the target in the end."""
    if second is None or (which == "best" and region.score <= second.episode.best.score):
        return first
    row = int(second.episode.scores.argmin()) if which == "best" else -1
    x, y, w, h = second.boxes[row].tolist()
    return Occluder("background", box=(x, y, w, h))
