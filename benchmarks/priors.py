"""Pictures of the priors that the package ships, and of the belief about one target as its queries are answered.

Usage: python benchmarks/priors.py --data DIR --out docs/pictures
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.common.output import check_folder
from agents.common.scripts import check_counts, run_script
from agents.policies.belief import load_prior
from agents.policies.belief.pictures import average_target, draw_belief, draw_priors
from occlusion_env import SearchArguments, TargetSet, load_targets
from occlusion_env.envs.building import load_networks
from occlusion_env.search.core import Search
from tracker.data.readers import list_targets
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError

NAMES = {"slim": "SINT, slim network", "vgg16": "SINT, VGG-16", "siamfc": "SiamFC"}
WEIGHTS = Path(__file__).parents[1] / "agents/weights"


@dataclass
class Arguments:
    """What to draw.

    Attributes:
        data: The training videos of the priors; their average target is drawn under the maps.
        out: Folder for prior.png and belief.png.
        target: Targets as the environments take them; the belief about one of them is drawn.
        number: Which of them.
    """

    data: Path
    out: Path
    target: str = "drawn:9"
    number: int = 12


def main(given: Arguments) -> None:
    """Draw both."""
    check_folder(given.out, given.data)
    check_counts(0, number=given.number)
    shown = load_targets(given.target)
    if given.number >= len(shown):
        raise InputError(f"--number is {given.number}; '{given.target}' has the targets 0 to {len(shown) - 1}.")
    target = shown[given.number]
    videos = [load_targets(str(path)) for path, _ in list_targets(given.data).values()]
    targets = TargetSet.join(each.subset(evenly_spaced(len(each), 8)) for each in videos)
    priors = {title: load_prior(WEIGHTS / f"prior_{name}.safetensors").prior for name, title in NAMES.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    draw_priors(given.out / "prior.png", priors, average_target(targets))
    networks = load_networks(SearchArguments())
    search = Search(1, networks.scorer, networks.features, SearchArguments().settings)
    search.begin_random([target], np.random.default_rng(0))
    draw_belief(given.out / "belief.png", load_prior(WEIGHTS / "prior_slim.safetensors"), search, target.crop)


if __name__ == "__main__":
    run_script(main, Arguments)
