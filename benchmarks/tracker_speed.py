"""How much one feature map a frame saves against one forward pass a candidate.

Three programs give candidates of the same frames SINT's whole score (both convolutions, and fc6 where the network
has one), in turn, on one machine:

- naive: every candidate is cut out of the frame, resized to the network's input and run through the network;
- rings: SINT's candidates, pooled from one feature map by RoI-align (`candidates="rings"`);
- lattice: every shift by a bin, read off one resampled map (`candidates="lattice"`, `keep` all of them).

A ratio is the time of the naive program for as many candidates over that of the other program. The naive program
is timed on some of the candidates (`--naive`), and its time is scaled to their number. `tracker` is a frame's time
with `SintTracker`'s defaults, which compare fc6 for the best 64 candidates alone; it has no ratio, as the naive
program scores every candidate fully.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from agents.common.output import check_json_path
from agents.common.results import write_result
from agents.common.scripts import check_counts, run_script
from agents.common.versions import device_name
from tracker import crop, synthetic_sequence
from tracker.data.images import to_tensor
from tracker.models.backbones import precision_name
from tracker.models.sint import Sint, SintConfig
from tracker.scorers import SintScorer
from tracker.trackers.sint.rings import ring_boxes
from tracker.trackers.sint.tracker import SintTracker, TrackingSettings

ALL = 1_000_000
"""More candidates than any lattice has."""


def naive_scores(
    scorer: SintScorer, exemplar: torch.Tensor, frame: NDArray[np.uint8], boxes: NDArray[np.float64], batch: int
) -> torch.Tensor:
    """One crop and one place in a batch for every candidate."""
    crops = np.stack([crop(frame, box, scorer.input_size) for box in boxes])
    parts = [to_tensor(crops[low : low + batch], scorer.device) for low in range(0, len(crops), batch)]
    return torch.cat([scorer.embed(part) @ exemplar[0] for part in parts]).cpu()


def main(
    features: Literal["slim", "vgg16"] = "slim",
    weights: str | None = None,
    frames: int = 8,
    rounds: int = 5,
    naive: int = 128,
    batch: int = 32,
    device: str = "auto",
    threads: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Time the programs.

    Args:
        features: The network.
        weights: Its weights, see `tracker.load_backbone`.
        frames: Frames a round.
        rounds: Rounds; the median counts.
        naive: Crops that the naive program is timed on, a frame.
        batch: Crops in one forward pass of the naive program.
        device: Where the network runs, see `tracker.models.backbones.resolve_device`.
        threads: Threads of PyTorch; as many as it takes itself by default.
        json_file: Write the figures here.
    """
    check_json_path(json_file)
    check_counts(frames=frames, rounds=rounds, naive=naive, batch=batch, threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)
    video = synthetic_sequence(0, frames + 1, 480, 360)
    images = [video.frames[t] for t in range(len(video))]
    config = SintConfig(features, fc_size=None if features == "vgg16" else 512)
    sint = Sint.load(config, weights, device)
    sint.eval().requires_grad_(False)
    scorer = SintScorer(sint.backbone)
    exemplar = scorer.embed(to_tensor(video.exemplar(scorer.input_size), scorer.device))
    trackers = {
        "rings": SintTracker(sint, TrackingSettings(candidates="rings")),
        "lattice": SintTracker(sint, TrackingSettings(candidates="lattice", keep=ALL)),
        "tracker": SintTracker(sint, TrackingSettings(candidates="lattice")),
    }
    first = video.boxes[0]
    rings = ring_boxes(first[:2] + first[2:] / 2, first[2:], (480, 360))
    some = rings[np.linspace(0, len(rings) - 1, min(naive, len(rings))).astype(int)]

    def track(tracker: SintTracker) -> Callable[[], None]:
        def follow() -> None:
            for image in images[1:]:
                tracker.update(image)

        return follow

    def cut() -> None:
        for image in images[1:]:
            naive_scores(scorer, exemplar, image, some, batch)

    programs = {"naive": cut, **{name: track(tracker) for name, tracker in trackers.items()}}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(rounds + 1):
        for name, program in programs.items():
            if name != "naive":
                trackers[name].init(images[0], first)
            start = time.perf_counter()
            program()
            if round_:
                times[name].append((time.perf_counter() - start) / frames)
    frame_s = {name: statistics.median(found) for name, found in times.items()}
    crop_s = frame_s["naive"] / len(some)
    result: dict[str, Any] = {
        "features": features,
        "device": device_name(scorer.device),
        "precision": precision_name("auto", scorer.device),
        "fc6": bool(sint.backbone.fully_connected),
        "naive_ms_a_candidate": 1e3 * crop_s,
    }
    for name, tracker in trackers.items():
        count, settings = tracker.candidate_count, tracker.settings
        whole = count if settings.candidates == "rings" or not result["fc6"] else min(settings.keep, count)
        result[name] = {"candidates": count, "fully_scored": whole, "ms_a_frame": 1e3 * frame_s[name]}
        if whole == count:
            result[name] |= {"naive_ms_a_frame": 1e3 * crop_s * count, "ratio": crop_s * count / frame_s[name]}
    print(json.dumps(result, indent=2))
    write_result(json_file, "tracker_speed", result)


if __name__ == "__main__":
    run_script(main)
