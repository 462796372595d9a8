"""Hard positives of a folder of videos, by several processes; a run that was cut off goes on.

    OUT/
      settings.json                what decides the images; a folder with others is refused
      <video>/000012-0.png         target of frame 12, hard positive number 0; see `folder_name`
      .parts/<video>-000000.jsonl  the records of a block of targets, written when all its images are there
      metadata.jsonl               all records, written when the run ends; `datasets` reads it as an imagefolder

A block is made again where its records are missing, with the same draws, so a run may be killed at any time.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as PILImage
from tqdm import tqdm

import vae
from occlusion_env.arguments import SearchArguments
from occlusion_env.building import load_networks
from occlusion_env.targets import TargetSet
from tracker.backbones import resolve_device, resolve_precision
from tracker.errors import InputError
from tracker.files import replacing_file
from tracker.identity import code_version, folder_digests
from tracker.judging.running import weights_digest
from tracker.readers import list_targets, open_sequence, open_usable
from tracker.sequences import evenly_spaced

from .evaluation import Agent
from .generation import HardPositiveGenerator, WhichAnswer
from .hard_positives import HardPositive, folder_name
from .loading import agent_digest, load_agent
from .methods import METHODS, Method, as_method, random_count
from .output import claim_folder
from .processes import process_pool

__all__ = ["GenerationReport", "GenerationRun", "generate_hard_positives", "method_of", "names_method"]

METADATA = "metadata.jsonl"
SETTINGS = "settings.json"
_PARTS = ".parts"
_JPEG_QUALITY = 95

ImageFormat = Literal["png", "jpeg"]


@dataclass(frozen=True)
class GenerationRun:
    """What to make hard positives of, and how; plain data, so that it goes to other processes.

    Attributes:
        data: A folder of annotated sequences, or one.
        out: Folder for the results.
        agent: Finds the region: a name of `methods.METHODS`, or what `loading.load_agent` takes.
        arguments: The scorer, the network of the state, the occluder, the device; the targets do not matter.
        bank: A folder of models by `train-vae`; `None` occludes the targets as they are.
        per_target: Hard positives of each target.
        per_sequence: Targets of a sequence at most, evenly spaced over its frames after the first; `None` for all.
        answer: See `HardPositiveGenerator`.
        seed: Of what is drawn.
        image_format: `png` keeps every pixel; `jpeg` (quality 95) is smaller.
        workers: Processes.
        batch: Searches side by side in each; a block has as many hard positives, or those of one target.
        allowed: See `loading.load_agent`.
    """

    data: Path
    out: Path
    agent: str = "best of 20 random"
    arguments: SearchArguments = field(default_factory=SearchArguments)
    bank: Path | None = None
    per_target: int = 1
    per_sequence: int | None = None
    answer: WhichAnswer = "best"
    seed: int = 0
    image_format: ImageFormat = "png"
    workers: int = 1
    batch: int = 32
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a run of nothing.

        Raises:
            InputError: Naming the number.
        """
        for name, value in (
            ("per_target", self.per_target), ("per_sequence", self.per_sequence), ("workers", self.workers),
            ("batch", self.batch),
        ):  # fmt: skip
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more.")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must be 0 or more.")

    @property
    def per_block(self) -> int:
        """Targets of a block."""
        return max(1, self.batch // self.per_target)


@dataclass(frozen=True)
class GenerationReport:
    """What came of a run.

    Attributes:
        images: Hard positives in the folder.
        made: How many of them were made now.
        seconds: That took, the start of the processes included.
        before: Mean score of the targets as they were.
        after: Of the hard positives.
        failed: Why, by sequence.
    """

    images: int
    made: int
    seconds: float
    before: float
    after: float
    failed: dict[str, str]


@dataclass(frozen=True)
class _Block:
    """Targets `low` to `high` of a sequence; its images and its records have names of their own."""

    name: str
    path: Path
    number: int | None
    low: int
    high: int

    def part(self, out: Path) -> Path:
        """The file of its records."""
        return out / _PARTS / f"{self.name}-{self.low:06d}.jsonl"


def names_method(agent: str) -> bool:
    """Whether `GenerationRun.agent` is a name of `methods.METHODS`, and no agent's file."""
    plain = agent.replace("-", " ")
    return random_count(agent) is not None or (plain in METHODS and not Path(agent).exists())


def method_of(
    agent: str,
    device: str = "cpu",
    weights: Mapping[str, str | None] | None = None,
    allowed: Collection[str] = (),
) -> Method | Agent:
    """A method by name, or an agent by file.

    Args:
        agent: See `GenerationRun`.
        device: Where an agent runs.
        weights: See `loading.load_agent`.
        allowed: See `loading.load_agent`.

    Raises:
        InputError: If it is neither, or the weights are others than in training.
    """
    if names_method(agent):
        return as_method(agent)
    return load_agent(agent, device=device, weights=weights, allowed=allowed)


def generate_hard_positives(run: GenerationRun) -> GenerationReport:
    """Make the hard positives of every sequence that are not there yet.

    Images and records are written when they are made; at most two blocks a process are under way.

    Raises:
        InputError: If there is no sequence, something named cannot be loaded, the folder holds another run's
            results, or all sequences failed.
    """
    there = list_targets(run.data)
    _worker(run)  # What is wrong with the arguments is said before the folder is claimed.
    _claim(run)
    for left_by_a_kill in run.out.rglob(".*.tmp"):
        left_by_a_kill.unlink()
    failed: dict[str, str] = {}
    blocks: list[_Block] = []
    for name, (path, number) in there.items():
        try:
            count = len(_chosen(run, path, number))
        except InputError as error:
            failed[name] = str(error)
            continue
        blocks += [
            _Block(name, path, number, low, min(low + run.per_block, count))
            for low in range(0, count, run.per_block)
        ]
    total = sum(block.high - block.low for block in blocks) * run.per_target
    missing = [block for block in blocks if not block.part(run.out).is_file()]
    done = total - sum(block.high - block.low for block in missing) * run.per_target
    made = 0
    with tqdm(total=total, initial=done, desc="hard positives", unit="image", smoothing=0.05) as bar:
        for block, outcome in _outcomes(run, missing, failed):
            if isinstance(outcome, str):
                failed[block.name] = outcome
                outcome = 0
            made += outcome
            bar.update((block.high - block.low) * run.per_target)
            bar.set_postfix_str(block.name)
        seconds = bar.format_dict["elapsed"]
    sums, images = np.zeros(2), 0
    with replacing_file(run.out / METADATA) as temporary, temporary.open("w") as table:
        for block in blocks:
            for line in _lines(block.part(run.out)):
                table.write(line + "\n")
                record = json.loads(line)
                sums += record["score_before"], record["score_after"]
                images += 1
        if not images:
            raise InputError(next(iter(failed.values())))
    before, after = (sums / images).tolist()
    return GenerationReport(images, made, seconds, before, after, failed)


def _outcomes(
    run: GenerationRun, blocks: list[_Block], failed: dict[str, str]
) -> Iterator[tuple[_Block, int | str]]:
    """Each block and how many images it gave, or why it failed; the rest of a failed sequence is passed over."""
    if run.workers == 1:
        for block in blocks:
            yield block, failed[block.name] if block.name in failed else _make_block(run, block)
        return
    waiting: dict[Future[int | str], _Block] = {}
    rest = iter(blocks)
    with process_pool(run.workers, "fewer --workers or a smaller --batch") as pool:
        while True:
            for block in itertools.islice(rest, 2 * run.workers - len(waiting)):
                waiting[pool.submit(_make_block, run, block)] = block
            if not waiting:
                return
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()


@lru_cache(maxsize=1)
def _worker(run: GenerationRun) -> HardPositiveGenerator:
    """What a process makes hard positives with."""
    arguments, device = run.arguments, run.arguments.device
    method = as_method(method_of(run.agent, device, {arguments.features: arguments.weights}, run.allowed))
    networks = load_networks(arguments)
    bank = None
    if run.bank is not None:
        if not run.bank.is_dir():
            raise InputError(f"There is no bank '{run.bank}'; give the folder that train-vae wrote.")
        bank = vae.VAEBank(run.bank)
    return HardPositiveGenerator(
        method, networks.scorer, arguments.occluder, bank,
        features=method.features or (networks.features if method.looks else None),
        settings=method.settings or arguments.settings, answer=run.answer, batch=run.batch,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _chosen(run: GenerationRun, path: Path, number: int | None) -> TargetSet:
    """The targets of a sequence."""
    whole = TargetSet.from_sequence(open_sequence(path, target=number))
    return whole if run.per_sequence is None else whole.subset(evenly_spaced(len(whole), run.per_sequence))


@lru_cache(maxsize=1)
def _everything(run: GenerationRun) -> TargetSet:
    """All targets that can be used, which cut-outs are taken from."""
    places = list_targets(run.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The report names the sequences that cannot be used.
        usable = open_usable({name: partial(_chosen, run, *place) for name, place in places.items()})
    return TargetSet.join(usable.values())


def _make_block(run: GenerationRun, block: _Block) -> int | str:
    """Make a block; how many images it gave, or why it failed."""
    try:
        targets = _chosen(run, block.path, block.number).subset(range(block.low, block.high))
        others = _everything(run) if run.arguments.occluder == "cutout" else None
        folder = run.out / folder_name(block.name)
        folder.mkdir(exist_ok=True)
        lines = []
        for positive in _worker(run).of_targets(targets, run.per_target, run.seed, others):
            name = f"{positive.target.source.frame:06d}-{positive.draw}.{run.image_format}"
            _write(folder / name, positive, run.image_format)
            lines.append(json.dumps({"file_name": f"{folder.name}/{name}", **positive.record()}) + "\n")
    except (InputError, vae.VAEError) as error:
        return str(error)
    with replacing_file(block.part(run.out)) as temporary:
        temporary.write_text("".join(lines))
    return len(lines)


def _write(path: Path, positive: HardPositive, image_format: ImageFormat) -> None:
    with replacing_file(path) as temporary:
        PILImage.fromarray(positive.image).save(temporary, format=image_format, quality=_JPEG_QUALITY)


def _lines(part: Path) -> list[str]:
    return part.read_text().splitlines() if part.is_file() else []


def _claim(run: GenerationRun) -> None:
    """Note what the folder's images are made with; refuse a folder whose images are made with something else."""
    arguments = asdict(run.arguments)
    for name in ("targets", "cache_mb"):
        del arguments[name]
    device = resolve_device(run.arguments.device)
    arguments["device"] = device.type
    arguments["precision"] = str(resolve_precision(run.arguments.precision, device)).removeprefix("torch.")
    weights = arguments["weights"]
    models = {}
    if run.bank is not None:
        bank = vae.VAEBank(run.bank)
        models = {name: bank.record(name) for name in bank}
    made_with = {
        "data": folder_digests(run.data),
        "agent": run.agent,
        "bank": {name: model.weights_digest for name, model in models.items()},
        "per_target": run.per_target,
        "per_sequence": run.per_sequence,
        "answer": run.answer,
        "seed": run.seed,
        "image_format": run.image_format,
        "batch": run.batch,
        **arguments,
        "weights": weights_digest(weights) if weights and Path(weights).exists() else weights,
        "agent_file": agent_digest(run.agent),
        "code": code_version("tracker", "vae", "occlusion_env", "agents"),
    }
    claim_folder(run.out, SETTINGS, made_with, "hard positives of another run")
    (run.out / _PARTS).mkdir(exist_ok=True)
