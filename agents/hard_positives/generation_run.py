"""Hard positives of a folder of videos, by several processes; a run that was cut off goes on.

    OUT/
      prior.safetensors, .json     the prior of the belief, unless another file was given
      settings.json                what decides the images; a folder with others is refused
      <video>/000012-0.png         target of frame 12, hard positive number 0; see `folder_name`
      .parts/<video>-000000.json   the records of a block of targets and the digests of its images, written when
                                   all of them are there
      metadata.jsonl               all records, written when the run ends; `datasets` reads it as an imagefolder

A block is made again where its records are missing, with the same draws, so a run may be killed at any time; so it
is, with a warning, where a file of it is damaged.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import warnings
from collections.abc import Collection, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

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
from tracker.records import read_record, warn_of_damage, write_record
from tracker.scorers import Scorer
from tracker.trackers.following import open_sequence

from ..common.output import check_claimable, claim_folder
from ..common.processes import process_pool
from ..policies.baselines import Querying
from ..policies.belief.files import check_prior, describe_search, load_prior, prior_digest, save_prior
from ..policies.belief.method import QUERIES, BeliefSearch
from ..policies.loading import agent_digest, load_agent
from ..policies.methods import Method, as_method, is_method, random_count
from ..policies.rollout import Agent
from .generation import HardPositiveGenerator, WhichAnswer
from .records import HardPositive, folder_name

__all__ = ["GenerationReport", "GenerationRun", "generate_hard_positives", "method_of", "names_method"]

METADATA = "metadata.jsonl"
SETTINGS = "settings.json"
PRIOR = "prior.safetensors"
_PARTS = ".parts"
_JPEG_QUALITY = 95
_MOST = {"per_target": 10_000, "workers": 1_000, "batch": 10_000}

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
        prior: File of the belief's prior; `None` takes what `BeliefSearch.with_prior` finds.
        queries: Scorer queries of the belief a hard positive.
        drop: Wanted drop of the score, for the belief and other query methods; `None` for the largest.
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
    workers: int = 1
    batch: int = 32
    allowed: tuple[str, ...] = ()
    prior: Path | None = None
    queries: int = QUERIES
    drop: float | None = None

    def __post_init__(self) -> None:
        """Refuse a run of nothing.

        Raises:
            InputError: Naming the number.
        """
        for name, value in (
            ("per_target", self.per_target), ("per_sequence", self.per_sequence), ("workers", self.workers),
            ("batch", self.batch), ("queries", self.queries),
        ):  # fmt: skip
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more.")
            if name in _MOST and value is not None and value > _MOST[name]:
                raise InputError(
                    f"--{name.replace('_', '-')} is {shorten(value)}; it must be at most {_MOST[name]}."
                )
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
        return out / _PARTS / f"{self.name}-{self.low:06d}.json"


def names_method(agent: str) -> bool:
    """Whether `GenerationRun.agent` is a name of `methods.METHODS`, and no agent's file."""
    return random_count(agent) is not None or (is_method(agent) and not Path(agent).exists())


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
    generator = _worker(run)  # What is wrong with the arguments is said before the folder is claimed.
    if isinstance(generator.method, BeliefSearch):
        run = _claim_with_prior(run, generator)
    else:
        _claim(run, None)
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
    missing = [block for block in blocks if not _is_done(run.out, block)]
    done = total - sum(block.high - block.low for block in missing) * run.per_target
    made = 0
    with (
        closing(_outcomes(run, missing, failed)) as outcomes,
        tqdm(total=total, initial=done, desc="hard positives", unit="image", smoothing=0.05) as bar,
    ):
        for block, outcome in outcomes:
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
            for record in (read_record(block.part(run.out)) or {}).get("records", ()):
                table.write(json.dumps(record) + "\n")
                sums += record["score_before"], record["score_after"]
                images += 1
        if not images:
            raise InputError(next(iter(failed.values())))
    before, after = (sums / images).tolist()
    return GenerationReport(images, made, seconds, before, after, failed)


def _claim_with_prior(run: GenerationRun, generator: HardPositiveGenerator) -> GenerationRun:
    """Choose the prior of the belief; it is written into the folder, where every process finds the same one."""
    stored = run.out / PRIOR
    if not (run.out / SETTINGS).is_file():
        check_claimable(run.out)
    elif run.prior is None and stored.is_file():
        try:
            fitted = load_prior(stored)
        except InputError:  # its making is repeated, and gives the same one
            warn_of_damage(stored)
        else:
            _claim(run, prior_digest(fitted))
            return replace(run, prior=stored)
    generator.choose_prior(lambda: _everything(run))
    method = generator.method
    if not isinstance(method, BeliefSearch) or method.fitted is None:
        # No prior can be fitted; every process queries random regions, and none tries again.
        _claim(run, None)
        return replace(run, agent=f"best of {run.queries} random")
    _claim(run, prior_digest(method.fitted))
    if run.prior is not None:
        return run
    save_prior(stored, method.fitted)
    return replace(run, prior=stored)


def _outcomes(
    run: GenerationRun, blocks: list[_Block], failed: dict[str, str]
) -> Generator[tuple[_Block, int | str], None, None]:
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
    if isinstance(method, BeliefSearch):
        method = _belief(run, networks.scorer)
    elif isinstance(method, Querying):
        method = replace(method, wanted=run.drop)
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


def _belief(run: GenerationRun, scorer: Scorer) -> BeliefSearch:
    """The belief, with the prior that was given."""
    if run.prior is None:
        return BeliefSearch(None, run.queries, run.drop)
    fitted, arguments = load_prior(run.prior), run.arguments
    check_prior(fitted, describe_search(scorer, arguments.settings.limits, arguments.occluder), f"'{run.prior}'")
    return BeliefSearch(fitted, run.queries, run.drop)


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
        records, digests = [], {}
        for positive in _worker(run).of_targets(targets, run.per_target, run.seed, others):
            name = f"{folder.name}/{positive.target.source.frame:06d}-{positive.draw}.{run.image_format}"
            digests[name] = _write(run.out / name, positive, run.image_format)
            records.append({"file_name": name, **positive.record()})
    except (InputError, vae.VAEError) as error:
        return str(error)
    write_record(block.part(run.out), {"records": records, "images": digests})
    return len(records)


def _write(path: Path, positive: HardPositive, image_format: ImageFormat) -> str:
    """Write an image; returns its digest."""
    content = io.BytesIO()
    PILImage.fromarray(positive.image).save(content, format=image_format, quality=_JPEG_QUALITY)
    with replacing_file(path, durable=False) as temporary:
        temporary.write_bytes(content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def _is_done(out: Path, block: _Block) -> bool:
    """Whether a block's records and images are there; of a damaged one the records are deleted, with a warning."""
    part = block.part(out)
    found = read_record(part)
    if found is None:
        part.unlink(missing_ok=True)
        return False
    for name, digest in found["images"].items():
        image = out / name
        if not image.is_file() or hashlib.sha256(image.read_bytes()).hexdigest() != digest:
            warn_of_damage(image)
            part.unlink()
            return False
    return True


def _claim(run: GenerationRun, prior: str | None) -> None:
    """Note what the folder's images are made with; refuse a folder whose images are made with something else.

    Args:
        run: The run.
        prior: Digest of the belief's prior.
    """
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
        "data": folder_digests(run.data, content_digest),
        "agent": run.agent,
        "prior": prior,
        "queries": run.queries,
        "drop": run.drop,
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
