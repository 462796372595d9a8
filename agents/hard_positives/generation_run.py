"""Hard positives of a folder of videos, by several processes; an interrupted run is resumed.

    OUT/
      prior.safetensors, .json     the prior of the belief, unless another file was given
      settings.json                the settings that decide the images; a folder with others is refused
      <video>/000012-0.png         `View` of the target of frame 12, hard positive number 0; see `folder_name`
      .parts/<video>-000000.json   the records of a block of targets and the digests of its images, written when
                                   all of them are there
      metadata.jsonl               all records, written when the run ends; `datasets` reads it as an imagefolder

With `format="webdataset"`, in place of the images and `metadata.jsonl`:

      hard_positives-000000.tar    a shard: image and record of each hard positive, under the image's name
      .parts/hard_positives-000000.json   the records of a shard and its digest

A block or shard is made again where its records are missing, with the same draws, so a run may be killed at any
time; so it is, with a warning, where a file of it is damaged.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Sequence as Many
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as PILImage
from tqdm import tqdm

import vae
from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import load_networks
from occlusion_env.scene.targets import TargetSet
from tracker.data.identity import code_version, content_digest, folder_digests
from tracker.data.readers import list_targets, open_usable
from tracker.data.sequences import evenly_spaced
from tracker.errors import InputError, shorten
from tracker.evaluation.running import weights_digest
from tracker.files import replacing_file
from tracker.models.backbones import resolve_device, resolve_precision
from tracker.processes import Workers, check_workers, run_jobs
from tracker.records import read_record, warn_of_damage, write_record
from tracker.trackers.following import open_sequence

from ..common.output import check_claimable, claim_folder
from ..policies.baselines import Querying
from ..policies.baselines.contrast import CANDIDATES
from ..policies.belief.files import check_prior, describe_search, load_prior, prior_digest, save_prior
from ..policies.belief.method import QUERIES, BeliefSearch
from ..policies.loading import agent_digest, agent_path, load_agent, load_policy
from ..policies.methods import (
    PATCH_QUERIES,
    Method,
    as_method,
    as_patch_method,
    is_method,
    is_patch_method,
)
from .generation import HardPositiveGenerator, WhichAnswer
from .records import folder_name
from .shards import open_shard
from .views import CROP, View

METADATA = "metadata.jsonl"
SETTINGS = "settings.json"
PRIOR = "prior.safetensors"
_PARTS = ".parts"
_JPEG_QUALITY = 95
_MOST = {
    "per_target": 10_000, "per_sequence": None, "batch": 10_000, "queries": None, "patch_queries": CANDIDATES,
    "shard_size": 1_000_000,
}  # fmt: skip
"""Settings that are at least 1, and the largest value of each."""
_WITHOUT_EFFECT = ("arguments", "out", "workers", "allowed", "targets", "cache_mb")
"""Settings that do not change the images."""

ImageFormat = Literal["png", "jpeg"]
DatasetFormat = Literal["imagefolder", "webdataset"]


@dataclass(frozen=True)
class GenerationRun:
    """The settings of a run; plain data, so that it goes to other processes.

    Attributes:
        data: A folder of annotated sequences, or one.
        out: Folder for the results.
        agent: Finds the region: a name of `methods.METHODS`, or an agent for `loading.load_agent`.
        arguments: The scorer, the network of the state, the occluder, the device; `targets` is not used.
        bank: A folder of models by `train-vae`; `None` occludes the targets as they are.
        per_target: Hard positives of each target.
        per_sequence: Targets of a sequence at most, evenly spaced over its frames after the first; `None` for all.
        answer: See `HardPositiveGenerator`.
        seed: Random seed.
        image_format: `png` keeps every pixel; `jpeg` (quality 95) is smaller.
        workers: Number of processes, or a Ray cluster.
        batch: Searches in a batch of each process; a block has as many hard positives, or those of one target.
        allowed: See `loading.load_agent`.
        prior: File of the belief's prior; `None` takes the choice of `BeliefSearch.with_prior`.
        queries: Scorer queries of the belief a hard positive.
        drop: Wanted drop of the score, for the belief and other query methods; `None` for the largest.
        view: The part of the frame that the images show.
        format: `imagefolder`, a file an image; or `webdataset`, shards.
        shard_size: Most hard positives of a shard.
        patch_agent: Finds the patch once the region is found: a name of `methods.PATCH_METHODS`, or an agent that
            was trained in `BackgroundSearch-v0`, for `loading.load_agent`; `None` keeps the first patch.
        patch_queries: Scorer queries of `contrast` a hard positive.

    Raises:
        InputError: If a number is out of range.
    """

    data: Path
    out: Path
    agent: str = "belief"
    arguments: SearchArguments = field(default_factory=SearchArguments)
    bank: Path | None = None
    per_target: int = 1
    per_sequence: int | None = None
    answer: WhichAnswer = "best"
    seed: int = 0
    image_format: ImageFormat = "png"
    workers: Workers = 1
    batch: int = 32
    allowed: tuple[str, ...] = ()
    prior: Path | None = None
    queries: int = QUERIES
    drop: float | None = None
    view: View = CROP
    format: DatasetFormat = "imagefolder"
    shard_size: int = 1000
    patch_agent: str | None = None
    patch_queries: int = PATCH_QUERIES

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is not None and value < 1:
                raise InputError(f"{option} is {value}; it must be 1 or more.")
            if value is not None and most is not None and value > most:
                raise InputError(f"{option} is {shorten(value)}; it must be at most {most}.")
        check_workers(self.workers)
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must be 0 or more.")


@dataclass(frozen=True)
class GenerationReport:
    """The result of a run.

    Attributes:
        images: Number of hard positives in the folder.
        made: Number of those that this run made.
        seconds: Duration of making them, the start of the processes included.
        before: Mean score of the unoccluded targets.
        after: Mean score of the hard positives.
        failed: The reasons, by sequence.
    """

    images: int
    made: int
    seconds: float
    before: float
    after: float
    failed: dict[str, str]


_Outcome = tuple[int, dict[str, str]]
"""Number of the hard positives that were made, and the reasons of the videos that failed."""


@dataclass(frozen=True)
class _Block:
    """Targets `low` to `high` of a sequence: the unit of work of a process in an imagefolder."""

    name: str
    path: Path
    number: int | None
    low: int
    high: int

    def __len__(self) -> int:
        return self.high - self.low

    @property
    def videos(self) -> set[str]:
        return {self.name}

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.low:06d}"


@dataclass(frozen=True)
class _Shard:
    """Blocks that are written to one tar file: the unit of work of a process in a WebDataset."""

    number: int
    blocks: tuple[_Block, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def videos(self) -> set[str]:
        return {block.name for block in self.blocks}

    @property
    def stem(self) -> str:
        return f"hard_positives-{self.number:06d}"


def _part(out: Path, unit: _Block | _Shard) -> Path:
    """The file of a unit's records."""
    return out / _PARTS / f"{unit.stem}.json"


def _shards(blocks: Iterable[_Block], per_target: int, size: int) -> list[_Shard]:
    """Group blocks into shards of at most `size` hard positives, or of one block."""
    groups: list[list[_Block]] = []
    for block in blocks:
        if not groups or (sum(map(len, groups[-1])) + len(block)) * per_target > size:
            groups.append([])
        groups[-1].append(block)
    return [_Shard(number, tuple(group)) for number, group in enumerate(groups)]


def method_path(agent: str) -> Path | None:
    """The path that `method_of` reads; `None` for a name, which goes before a path of the same name."""
    return None if is_method(agent) else agent_path(agent)


def patch_method_path(agent: str) -> Path | None:
    """The path that `patch_method_of` reads; `None` for a name, which goes before a path of the same name."""
    return None if is_patch_method(agent) else agent_path(agent)


def method_of(
    agent: str,
    device: str = "cpu",
    weights: Mapping[str, str | None] | None = None,
    allowed: Collection[str] = (),
) -> Method:
    """Look up a method by its name, or load an agent from its file (`loading.load_agent`).

    Raises:
        InputError: If `agent` is neither, or the weights differ from those of its training.
    """
    return as_method(
        agent if is_method(agent) else load_agent(agent, device=device, weights=weights, allowed=allowed)
    )


def patch_method_of(
    agent: str,
    device: str = "cpu",
    weights: Mapping[str, str | None] | None = None,
    allowed: Collection[str] = (),
    queries: int = PATCH_QUERIES,
) -> Method:
    """Look up a method for the patch by its name, or load an agent from its file; `queries` are of `contrast`.

    Raises:
        InputError: If `agent` is neither, or was trained with other weights.
    """
    if (path := patch_method_path(agent)) is not None and path.exists():
        return load_policy(agent, device=device, allowed=allowed).agent(device, weights)
    method = as_patch_method(agent)
    return replace(method, queries=queries) if isinstance(method, Querying) and agent == "contrast" else method


def generate_hard_positives(run: GenerationRun) -> GenerationReport:
    """Make the hard positives of every sequence that are not there yet.

    Images and records are written when they are made; at most two blocks or shards a process are under way.

    Raises:
        InputError: If there is no sequence, something named cannot be loaded, the folder holds another run's
            results, or all sequences failed.
    """
    videos = list_targets(run.data)
    generator = _load_generator(run)  # errors in the arguments come before the folder is claimed
    run = _claim(run, generator)
    failed: dict[str, str] = {}
    blocks: list[_Block] = []
    step = max(1, run.batch // run.per_target)
    for name, (path, number) in videos.items():
        try:
            count = len(_targets(run, path, number))
        except InputError as error:
            failed[name] = str(error)
            continue
        blocks += [_Block(name, path, number, low, min(low + step, count)) for low in range(0, count, step)]
    in_shards = run.format == "webdataset"
    units: Many[_Block | _Shard] = _shards(blocks, run.per_target, run.shard_size) if in_shards else blocks
    total = sum(map(len, units)) * run.per_target
    missing = [unit for unit in units if not _is_done(run.out, unit)]
    done = total - sum(map(len, missing)) * run.per_target
    made = 0
    make: Callable[[GenerationRun, Any], _Outcome] = _make_shard if in_shards else _make_block
    jobs = ((unit, partial(make, run, unit)) for unit in missing if not unit.videos <= failed.keys())
    with (
        closing(run_jobs(run.workers, jobs, run.out, "fewer --workers or a smaller --batch")) as outcomes,
        tqdm(total=total, initial=done, desc="hard positives", unit="image", smoothing=0.05) as bar,
    ):
        for unit, (count, reasons) in outcomes:
            failed |= reasons
            made += count
            bar.update(len(unit) * run.per_target)
            bar.set_postfix_str(", ".join(sorted(unit.videos)))
        seconds = bar.format_dict["elapsed"]
    scores = []
    with ExitStack() as stack:
        table = None
        if not in_shards:
            table = stack.enter_context(stack.enter_context(replacing_file(run.out / METADATA)).open("w"))
        for unit in units:
            part = read_record(_part(run.out, unit))
            if part is None and not unit.videos & failed.keys():
                raise InputError(
                    f"The records of {unit.stem} were written and are not in '{run.out}'; give --out a folder that"
                    " all processes see, and run the command again."
                )
            for record in (part or {}).get("records", ()):
                if table is not None:
                    table.write(json.dumps(record) + "\n")
                scores.append((record["score_before"], record["score_after"]))
        if not scores:
            raise InputError(next(iter(failed.values())))
    before, after = np.mean(scores, axis=0).tolist()
    return GenerationReport(len(scores), made, seconds, before, after, failed)


def _claim(run: GenerationRun, generator: HardPositiveGenerator) -> GenerationRun:
    """Write the settings into the folder, or compare them with those that are there.

    Returns:
        The run with the belief's prior decided: it lies in the folder, where every process loads it. Where none
        can be fitted, random regions are queried, and no process tries again.
    """
    if not isinstance(generator.method, BeliefSearch):
        _write_settings(run, None)
        return run
    stored, fitted = run.out / PRIOR, None
    if not (run.out / SETTINGS).is_file():
        check_claimable(run.out)
    elif run.prior is None and stored.is_file():
        try:
            fitted = load_prior(stored)
        except InputError:  # the same one is fitted again
            warn_of_damage(stored)
    if fitted is None:
        generator.choose_prior(lambda: _all_targets(run))
        fitted = getattr(generator.method, "fitted", None)
    if fitted is None:
        _write_settings(run, None)
        return replace(run, agent=f"best of {run.queries} random")
    _write_settings(run, prior_digest(fitted))
    if run.prior is None:
        save_prior(stored, fitted)
        return replace(run, prior=stored)
    return run


def _write_settings(run: GenerationRun, prior: str | None) -> None:
    """Claim the folder with everything that decides the images; `prior` is the digest of the belief's prior."""
    settings = {**asdict(run.arguments), **asdict(run)}
    device, weights = resolve_device(run.arguments.device), run.arguments.weights
    bank = None if run.bank is None else vae.VAEBank(run.bank)
    claim_folder(
        run.out,
        SETTINGS,
        {name: value for name, value in settings.items() if name not in _WITHOUT_EFFECT}
        | {
            "data": folder_digests(run.data, content_digest),
            "prior": prior,
            "bank": {} if bank is None else {name: bank.record(name).weights_digest for name in bank},
            "device": device.type,
            "precision": str(resolve_precision(run.arguments.precision, device)).removeprefix("torch."),
            "weights": weights_digest(weights) if weights and Path(weights).exists() else weights,
            "agent_file": run.agent if is_method(run.agent) else agent_digest(run.agent),
            "patch_agent_file": (
                run.patch_agent
                if run.patch_agent is None or is_patch_method(run.patch_agent)
                else agent_digest(run.patch_agent)
            ),
            "code": code_version("tracker", "vae", "occlusion_env", "agents"),
        },
        "hard positives of another run",
    )
    (run.out / _PARTS).mkdir(exist_ok=True)


@lru_cache(maxsize=1)
def _load_generator(run: GenerationRun) -> HardPositiveGenerator:
    """The generator of a process."""
    arguments = run.arguments
    method = method_of(run.agent, arguments.device, {arguments.features: arguments.weights}, run.allowed)
    networks = load_networks(arguments)
    if isinstance(method, BeliefSearch):
        method = BeliefSearch(None if run.prior is None else load_prior(run.prior), run.queries, run.drop)
        if method.fitted is not None:
            search = describe_search(networks.scorer, arguments.settings.limits, arguments.occluder)
            check_prior(method.fitted, search, f"'{run.prior}'")
    elif isinstance(method, Querying):
        method = replace(method, wanted=run.drop)
    patch_method = None
    if run.patch_agent is not None:
        weights = {arguments.features: arguments.weights}
        patch_method = patch_method_of(run.patch_agent, arguments.device, weights, run.allowed, run.patch_queries)
    if run.bank is not None and not run.bank.is_dir():
        raise InputError(f"There is no bank '{run.bank}'; give the folder that train-vae wrote.")
    return HardPositiveGenerator(
        method, networks.scorer, arguments.occluder, None if run.bank is None else vae.VAEBank(run.bank),
        features=method.features or (networks.features if method.looks else None),
        settings=method.settings or arguments.settings, patch_policy=patch_method, answer=run.answer,
        batch=run.batch, view=run.view,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _targets(run: GenerationRun, path: Path, number: int | None) -> TargetSet:
    every = TargetSet.from_sequence(open_sequence(path, target=number))
    return every if run.per_sequence is None else every.subset(evenly_spaced(len(every), run.per_sequence))


@lru_cache(maxsize=1)
def _all_targets(run: GenerationRun) -> TargetSet:
    """The targets of all usable sequences; cutouts are taken from them, and a prior is fitted to some."""
    places = list_targets(run.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The report names the sequences that cannot be used.
        usable = open_usable({name: partial(_targets, run, *place) for name, place in places.items()})
    return TargetSet.join(usable.values())


def _make_block(run: GenerationRun, block: _Block) -> _Outcome:
    """Make a block of an imagefolder."""
    folder = run.out / folder_name(block.name)
    records, digests = [], {}
    try:
        folder.mkdir(exist_ok=True)
        for record, content in _samples(run, block):
            with replacing_file(run.out / record["file_name"], durable=False) as temporary:
                temporary.write_bytes(content)
            records.append(record)
            digests[record["file_name"]] = hashlib.sha256(content).hexdigest()
    except (InputError, vae.VAEError) as error:
        return 0, {block.name: str(error)}
    write_record(_part(run.out, block), {"records": records, "images": digests})
    return len(records), {}


def _make_shard(run: GenerationRun, shard: _Shard) -> _Outcome:
    """Make a shard; one that lacks a block which failed is made again by the next run."""
    name, failed = f"{shard.stem}.tar", {}
    records: list[dict[str, Any]] = []
    with open_shard(run.out / name) as add:
        for block in shard.blocks:
            try:
                samples = [] if block.name in failed else list(_samples(run, block))
            except (InputError, vae.VAEError) as error:
                failed[block.name] = str(error)
                continue
            for record, content in samples:
                add(record["file_name"], content)
                add(str(Path(record["file_name"]).with_suffix(".json").as_posix()), json.dumps(record).encode())
                records.append(record)
    images = {name: weights_digest(run.out / name)}
    write_record(_part(run.out, shard), {"records": records, "images": images, "failed": failed})
    return len(records), failed


def _samples(run: GenerationRun, block: _Block) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Make the hard positives of a block: the record of each, and its image's file."""
    targets = _targets(run, block.path, block.number).subset(range(block.low, block.high))
    others = _all_targets(run) if run.arguments.occluder == "cutout" else None
    folder = folder_name(block.name)
    for positive in _load_generator(run).of_targets(targets, run.per_target, run.seed, others):
        name = f"{folder}/{positive.target.source.frame:06d}-{positive.draw}.{run.image_format}"
        content = io.BytesIO()  # Pillow's errors of a full disk have no number when it writes the file itself
        PILImage.fromarray(positive.image).save(content, format=run.image_format, quality=_JPEG_QUALITY)
        yield {"file_name": name, **positive.record()}, content.getvalue()


def _is_done(out: Path, unit: _Block | _Shard) -> bool:
    """Whether a block or shard is complete; the records of a damaged one are deleted, with a warning."""
    part = _part(out, unit)
    found = read_record(part)
    if found is None or found.get("failed"):
        part.unlink(missing_ok=True)
        return False
    for name, digest in found["images"].items():
        file = out / name
        if not file.is_file() or weights_digest(file) != digest:
            warn_of_damage(file)
            part.unlink()
            return False
    return True
