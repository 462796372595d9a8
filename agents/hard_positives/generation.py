"""The generator of hard positives: batches of targets, any policy, any matcher (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import replace
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.background import BackgroundSearch
from occlusion_env.envs.building import find_scorer, load_networks
from occlusion_env.scene.occluders import OCCLUDERS, choose_occluder, occlude_image
from occlusion_env.scene.targets import Target, TargetSet
from occlusion_env.search.core import Search, Searched, SearchSettings
from tracker.data.images import resize, to_tensor
from tracker.errors import InputError, shorten
from tracker.models.backbones import FeatureExtractor
from tracker.scorers import Scorer
from tracker.scorers.outputs import check_scores, scorer_errors

from ..common.randomness import generator
from ..manifolds.target_samples import Manifolds
from ..policies.belief.method import BeliefSearch
from ..policies.methods import Method, NoFeatures, as_method, as_patch_method
from ..policies.rollout import Agent, Answer, Policy
from .image_targets import image_targets
from .records import HardPositive, HardPositives, PatchEpisode
from .views import CROP, View

Image = NDArray[np.uint8]
WhichAnswer = Literal["best", "last"]


class HardPositiveGenerator:
    """Makes hard positives of images and boxes, of targets, or of samples from the targets' manifolds.

    Args:
        policy: Finds the region: any algorithm of Stable-Baselines3 or another object with its `predict`, an
            `Agent` (`agents.policies.loading.load_agent`), a `Method` of `agents.policies.methods`, or a name of
            `agents.policies.methods.METHODS`, such as `best of 20 random`. `belief` is
            `agents.policies.belief.BeliefSearch()`, whose prior is chosen for the matcher at the first call;
            give a `BeliefSearch` for a prior of your own, another number of queries, or a wanted drop.
        scorer: The matcher: `module:function`, a `Scorer`, or `sint`, over the slim network. `None` means `sint`.
        occluder: Covers the target in the first search, one of `occlusion_env.scene.occluders.OCCLUDERS`.
        vae_bank: Models by the names of the videos. With it, each hard positive shows a new sample of its target,
            drawn from q(z|x) of the target and decoded (section 4.1), in the target's place.
        features: State features of the policy's training; by default those of its run, or the package's own.
            A method that reads no state needs none.
        settings: Search settings of the policy's training; by default those of its run, or the defaults.
        patch_policy: Searches the background for the patch once the region is found (question ii of section 4.2):
            a name of `agents.policies.methods.PATCH_METHODS`, such as `contrast`, or what `policy` takes, trained
            in `BackgroundSearch-v0`. `None` keeps the patch of the first search, as does a target whose frame
            leaves no room for a search.
        answer: Result of a search: the visited region with the lowest score (a patch of the second search only if
            its score is below that of the first), or the region where an agent's search ended, as in the paper (of
            the second search in every case). A query method's answer is always its best.
        batch: Number of searches in a batch.
        view: The part of the frame that the images show: the target's crop, a search region or the frame. It
            changes no search and no score.

    Raises:
        InputError: If `answer`, `occluder`, the scorer or a policy's name is unknown, `batch` is below 1, an agent
            was trained for the other search, or there is a wanted drop beside a patch policy, which lowers the
            score further.
    """

    def __init__(
        self,
        policy: Policy | Agent | Method | str = "belief",
        scorer: Scorer | str | None = None,
        occluder: str = "background",
        vae_bank: vae.VAEBank | None = None,
        *,
        features: FeatureExtractor | None = None,
        settings: SearchSettings | None = None,
        patch_policy: Policy | Agent | Method | str | None = None,
        answer: WhichAnswer = "best",
        batch: int = 32,
        view: View = CROP,
    ) -> None:
        if answer not in ("best", "last"):
            raise InputError(f"'{answer}' is no answer of a search; choose best or last.")
        if occluder not in OCCLUDERS:
            raise InputError(f"'{occluder}' is no occluder; choose {', '.join(OCCLUDERS)}.")
        if batch < 1:
            raise InputError(f"A batch of {batch} searches cannot be; give 1 or more.")
        self.method = as_method(policy)
        self.patch_method = None if patch_policy is None else as_patch_method(patch_policy)
        _check_trained(self.method, "region")
        _check_trained(self.patch_method, "patch")
        self.scorer = find_scorer(SearchArguments(scorer="sint" if scorer is None else scorer))
        self.occluder = occluder
        self.manifolds = None if vae_bank is None else Manifolds(vae_bank)
        self.settings = settings or self.method.settings or SearchSettings()
        self.answer: WhichAnswer = answer
        self.batch = batch
        self.view = view
        if self.patch_method is not None and getattr(self.method, "wanted", None) is not None:
            raise InputError("A search for the patch lowers the score below a wanted drop; leave one of them out.")
        self._prior_chosen = False
        looks = self.method.looks or (self.patch_method is not None and self.patch_method.looks)
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
            names: Names in the records, and of the bank's videos; `image-000000` and so on if `None`.
            draws: Hard positives of each.
            seed: Random seed.

        Returns:
            N times `draws`, all of the first image first.

        Raises:
            InputError: If the numbers of images and boxes differ, one cannot be used, or the scorer fails.
        """
        targets = image_targets(images, boxes, exemplars, names)
        return HardPositives(self.of_targets(targets, draws, seed))

    def of_targets(
        self, targets: TargetSet, draws: int = 1, seed: int = 0, others: TargetSet | None = None
    ) -> Iterator[HardPositive]:
        """Make hard positives of targets, one batch in memory at a time.

        Args:
            targets: The targets.
            draws: Hard positives of each; they differ in the patch, and in the policy's draws.
            seed: Random seed. Each hard positive has its own generator, seeded by this, its target's id and its
                number among the target's.
            others: Targets of other videos for the occluder `cutout`; `targets` if `None`.

        Yields:
            All of the first target first.

        Raises:
            InputError: If these are no targets, the scorer fails, there is no model of a video, or `draws` is no
                whole number above 0.
        """
        if not isinstance(targets, TargetSet):
            raise InputError(f"targets is {shorten(targets)}; give a TargetSet, such as load_targets('drawn').")
        if not isinstance(draws, Integral) or isinstance(draws, bool) or draws < 1:
            raise InputError(f"draws is {shorten(draws)}; it must be a whole number, at least 1.")
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
            yield from self._occlude(search, chosen, [draw for _, draw in part], seed, others)

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

    def _occlude(
        self, search: Search, targets: list[Target], draws: list[int], seed: int, others: TargetSet
    ) -> Iterator[HardPositive]:
        """Occlude a batch of targets: search the regions, then the patches, then score the results."""
        generators = [generator(seed, t.id, str(draw)) for t, draw in zip(targets, draws, strict=True)]
        if (manifolds := self.manifolds) is not None:
            targets = [manifolds.draw(t, rng) for t, rng in zip(targets, generators, strict=True)]
        share = self.settings.limits.max_area
        first = [
            choose_occluder(self.occluder, target, share, rng, others)
            for target, rng in zip(targets, generators, strict=True)
        ]
        slots = np.arange(len(targets))
        patches = [occluder.patch(target, others) for occluder, target in zip(first, targets, strict=True)]
        search.begin(slots, targets, patches)
        before = search.clean_score.copy()
        episodes = self.method.find(search, generators)
        answers: list[Answer] = [getattr(episode, self.answer) for episode in episodes]
        regions = np.stack([answer.region for answer in answers])
        second = self._search_patches(targets, generators, regions)
        occluders = list(first)
        for i, found in enumerate(second):
            if found is None:
                continue
            ended = self.answer == "last" and bool(found.episode.actions)  # a query method has no last state
            if ended or found.episode.best.score < answers[i].score:
                occluders[i] = found.occluder(self.answer)
                patches[i] = occluders[i].patch(targets[i], others)
        images = [
            occlude_image(target.crop, patch, region)
            for target, patch, region in zip(targets, patches, regions, strict=True)
        ]
        side = self.scorer.input_size
        with scorer_errors(self.scorer):
            stacked = np.stack([resize(image, side, side) for image in images])
            embedded = self.scorer.embed(to_tensor(stacked, self.scorer.device))
            scores = self.scorer.compare(search.exemplar_embeddings(slots), embedded)
        after = check_scores(self.scorer, scores, len(images))
        for i, target in enumerate(targets):
            yield HardPositive(
                self.view.show(target, images[i]), target, regions[i], occluders[i], patches[i], episodes[i],
                first[i], second[i], float(before[i]), float(after[i]), seed, draws[i], self.view,
            )  # fmt: skip

    def _search_patches(
        self, targets: Many[Target], generators: Many[np.random.Generator], regions: NDArray[np.float64]
    ) -> list[PatchEpisode | None]:
        """The second search of each target; `None` without a patch policy, or where the frame has no room."""
        found: list[PatchEpisode | None] = [None] * len(targets)
        if (method := self.patch_method) is None:
            return found
        settings = self.settings
        if method.settings is not None:  # the agent's, but the first search's limits
            limits = replace(settings.limits, step=method.settings.limits.step)
            settings = replace(method.settings, limits=limits)
        rows = [i for i, target in enumerate(targets) if BackgroundSearch.has_room(target, settings, regions[i])]
        if not rows:
            return found
        search = BackgroundSearch(len(rows), self.scorer, method.features or self.features, settings)
        chosen, covered, draws = [targets[i] for i in rows], regions[rows], [generators[i] for i in rows]
        boxes = search.draw_boxes(chosen, draws, covered)
        search.begin(np.arange(len(rows)), chosen, regions=boxes, covered=covered)
        for i, target, episode in zip(rows, chosen, method.find(search, draws), strict=True):
            height, width = target.frame.shape[:2]
            found[i] = PatchEpisode(episode.trail * [width, height, width, height], episode)
        return found


def _check_trained(method: Method | None, wanted: Searched) -> None:
    """Refuse an agent that was trained for the other search; see `TrainingEnvironment.check_searches`."""
    if isinstance(method, Agent) and method.trained is not None:
        method.trained.check_searches(wanted, f"The agent '{method.name}'")
