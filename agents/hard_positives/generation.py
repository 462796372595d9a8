"""Making hard positives: N targets at once, by any policy, against any matcher (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.background import BackgroundSearch, has_background
from occlusion_env.envs.building import load_networks
from occlusion_env.scene.occluders import OCCLUDERS, Occluder, choose_occluder, occlude_image
from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import Search, SearchSettings
from tracker.data.images import resize, to_tensor
from tracker.errors import InputError
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer, load_scorer
from tracker.scorers.outputs import blaming, check_scores

from ..evaluation.comparison import generator
from ..manifolds.target_samples import Manifolds
from ..policies.belief.method import BeliefSearch
from ..policies.methods import Method, NoFeatures, as_method
from ..policies.rollout import Agent, Answer, Policy, Rollout, roll_out
from .image_targets import image_targets
from .records import HardPositive, HardPositives, PatchEpisode

__all__ = ["HardPositiveGenerator", "PatchPolicy", "find_hard_positives"]

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


class HardPositiveGenerator:
    """Makes hard positives of images and boxes, of targets, or of what a manifold makes of them.

    Args:
        policy: Finds the region: any algorithm of Stable-Baselines3 or what has its `predict`, an `Agent`
            (`agents.policies.loading.load_agent`), a `Method` of `agents.policies.methods`, or a name of
            `agents.policies.methods.METHODS`, such as `best of 20 random`. `belief` is
            `agents.policies.belief.BeliefSearch()`, whose prior is chosen for the matcher at the first call;
            give a `BeliefSearch` for a prior of your own, another number of queries, or a wanted drop.
        scorer: The matcher; SINT over the slim network if `None`.
        occluder: What covers the target in the first search, one of `occlusion_env.scene.occluders.OCCLUDERS`.
        vae_bank: Models by the names of the videos. With it, each hard positive is made of a new sample of its
            target, drawn from q(z|x) of the target and decoded (section 4.1), in the target's place.
        features: The state's features that the policy was trained with; those of its run, or the package's own
            where none is known. What does not look at the state needs none.
        settings: Of the search that the policy was trained in; those of its run, or the defaults.
        patch_policy: Finds the patch; `None` keeps the one of the first search, as does a target whose frame
            leaves no room for a search.
        answer: What of a search is taken: the region that hurt most of those it has been to (a patch of the second
            search only if it hurts more than that of the first), or the one where it ended, as printed.
        batch: Searches side by side.

    Raises:
        InputError: If `answer`, `occluder` or the policy's name is unknown, `batch` is below 1, or there is a
            wanted drop beside a patch policy, which lowers the score further.
    """

    def __init__(
        self,
        policy: Policy | Agent | Method | str = "belief",
        scorer: Scorer | None = None,
        occluder: str = "background",
        vae_bank: vae.VAEBank | None = None,
        *,
        features: FeatureExtractor | None = None,
        settings: SearchSettings | None = None,
        patch_policy: PatchPolicy | None = None,
        answer: WhichAnswer = "best",
        batch: int = 32,
    ) -> None:
        if answer not in ("best", "last"):
            raise InputError(f"'{answer}' is no answer of a search; choose best or last.")
        if occluder not in OCCLUDERS:
            raise InputError(f"'{occluder}' is no occluder; choose {', '.join(OCCLUDERS)}.")
        if batch < 1:
            raise InputError(f"A batch of {batch} searches cannot be; give 1 or more.")
        self.method = as_method(policy)
        self.scorer: Scorer = load_scorer() if scorer is None else scorer
        self.occluder = occluder
        self.manifolds = None if vae_bank is None else Manifolds(vae_bank)
        self.settings = settings or self.method.settings or SearchSettings()
        self.patch_policy = patch_policy
        self.answer: WhichAnswer = answer
        self.batch = batch
        if patch_policy is not None and getattr(self.method, "wanted", None) is not None:
            raise InputError("A patch policy lowers the score below a wanted drop; leave one of them out.")
        self._prior_chosen = False
        looks = self.method.looks or patch_policy is not None
        self.features: FeatureExtractor = (
            features
            or self.method.features
            or (load_networks(SearchArguments(device=str(self.scorer.device))).features if looks else NoFeatures())  # type: ignore[assignment]
        )

    def __call__(
        self,
        images: Iterable[Image],
        boxes: ArrayLike,
        exemplars: Iterable[Image] | None = None,
        names: Iterable[str] | None = None,
        draws: int = 1,
        seed: int = 0,
    ) -> HardPositives:
        """Make hard positives of the targets in images.

        Args:
            images: N images `uint8[H, W, 3]`, of any sizes.
            boxes: `[N, 4]`, `(x, y, w, h)` in pixels, 0-based.
            exemplars: N images of the targets, which the matcher compares with; the targets themselves if `None`.
            names: What the records call them, and the videos of the bank; `image-000000` and so on if `None`.
            draws: Hard positives of each.
            seed: Of what is drawn.

        Returns:
            N times `draws`, all of the first image first.

        Raises:
            InputError: If the numbers of images and boxes differ, one cannot be used, or the scorer fails.
        """
        targets = image_targets(images, boxes, exemplars, names)
        return HardPositives(tuple(self.of_targets(targets, draws, seed)))

    def of_targets(
        self, targets: TargetSet, draws: int = 1, seed: int = 0, others: TargetSet | None = None
    ) -> Iterator[HardPositive]:
        """Make hard positives of targets, one batch in memory at a time.

        Args:
            targets: What to occlude.
            draws: Hard positives of each; they differ in what covers the target, and in what the policy draws.
            seed: Of what is drawn; each hard positive has a generator of its own, of the seed, its target's id and
                its number among the target's.
            others: Where the occluder `cutout` takes another video's target; `targets` if `None`.

        Yields:
            All of the first target first.

        Raises:
            InputError: If the scorer fails, there is no model of a video, or `draws` is below 1.
        """
        if draws < 1:
            raise InputError(f"{draws} hard positives a target are too few; give 1 or more.")
        others = targets if others is None else others
        self.choose_prior(lambda: others)
        pairs = [(number, draw) for number in range(len(targets)) for draw in range(draws)]
        search: Search | None = None
        for low in range(0, len(pairs), self.batch):
            part = pairs[low : low + self.batch]
            if search is None or len(search) != len(part):
                search = Search(len(part), self.scorer, self.features, self.settings)
            cut = {number: targets[number] for number, _ in part}
            chosen = [cut[number] for number, _ in part]
            yield from self._together(search, chosen, [draw for _, draw in part], seed, others)

    def choose_prior(self, targets: Callable[[], TargetSet]) -> None:
        """Choose the prior of a belief for the matcher, once; see `BeliefSearch.with_prior`.

        Args:
            targets: Returns the targets that a prior may be fitted to.

        Raises:
            InputError: If the given prior was fitted for another matcher, other limits or another occluder.
        """
        if self._prior_chosen or not isinstance(self.method, BeliefSearch):
            return
        limits = self.settings.limits
        self.method = self.method.with_prior(self.scorer, self.features, limits, self.occluder, targets)
        self._prior_chosen = True

    def _together(
        self, search: Search, targets: list[Target], draws: list[int], seed: int, others: TargetSet
    ) -> Iterator[HardPositive]:
        generators = [generator(seed, t.id, str(draw)) for t, draw in zip(targets, draws, strict=True)]
        if (manifolds := self.manifolds) is not None:
            targets = [manifolds.drawn(t, rng) for t, rng in zip(targets, generators, strict=True)]
        share = self.settings.limits.max_area
        first = [
            choose_occluder(self.occluder, target, share, rng, others)
            for target, rng in zip(targets, generators, strict=True)
        ]
        slots = np.arange(len(targets))
        covers = [o.patch(t, others) for o, t in zip(first, targets, strict=True)]
        search.begin(slots, targets, covers)
        before = search.clean_score.copy()
        episodes = self.method.find(search, generators)
        where = [_answer(episode, self.answer) for episode in episodes]
        with_what = _search_patches(
            self.patch_policy, targets, generators, where, self.scorer, self.features, self.settings
        )
        occluders = [
            _better(mine, region, theirs, self.answer)
            for mine, region, theirs in zip(first, where, with_what, strict=True)
        ]
        patches = [
            cover if occluder is mine else occluder.patch(target, others)
            for cover, mine, occluder, target in zip(covers, first, occluders, targets, strict=True)
        ]
        images = [
            occlude_image(target.crop, patch, region.region)
            for target, patch, region in zip(targets, patches, where, strict=True)
        ]
        side = self.scorer.input_size
        with blaming(self.scorer):
            stacked = np.stack([resize(image, side, side) for image in images])
            embedded = self.scorer.embed(to_tensor(stacked, self.scorer.device))
            scores = self.scorer.compare(search.exemplar_embeddings(slots), embedded)
        after = check_scores(self.scorer, scores, len(images))
        for i, target in enumerate(targets):
            yield HardPositive(
                images[i], target, where[i].region, occluders[i], patches[i], episodes[i], first[i], with_what[i],
                float(before[i]), float(after[i]), seed, draws[i],
            )  # fmt: skip


def find_hard_positives(
    policy: Policy | Agent | Method | str,
    targets: TargetSet,
    scorer: Scorer,
    features: FeatureExtractor | None = None,
    settings: SearchSettings | None = None,
    seed: int = 0,
    batch: int = 32,
    progress: bool = False,
    *,
    patch_policy: PatchPolicy | None = None,
    occluder: str = "background",
    answer: WhichAnswer = "best",
) -> list[HardPositive]:
    """One hard positive a target, in their order; see `HardPositiveGenerator`.

    Raises:
        InputError: If the scorer fails, or `answer` or `occluder` is unknown.
    """
    making = HardPositiveGenerator(
        policy, scorer, occluder, features=features, settings=settings, patch_policy=patch_policy, answer=answer,
        batch=batch,
    )  # fmt: skip
    found = making.of_targets(targets, seed=seed)
    return list(tqdm(found, total=len(targets), desc="hard positives", unit="target", disable=not progress))


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
