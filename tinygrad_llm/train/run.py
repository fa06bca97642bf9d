"""A run and its folder: start one, go on with one, load its model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autograd import fold_in
from autograd.backend import Array

from ..data import Batches, read_corpus
from ..data.batches.epochs import EpochBatches
from ..data.prepared import (
    Prepared,
    Tokens,
    bpe_of,
    is_prepared,
    open_prepared,
    open_tokenizer,
    prepare,
)
from ..data.read.corpus import SHAKESPEARE
from ..data.tokens.shards import ShardedTokens
from ..host.errors import UserError, did_you_mean, quoted
from ..host.files import (
    Scratch,
    remove_scratch,
    remove_temporaries,
    sha256_of,
    write_in_one_step,
)
from ..host.lock import locked
from ..host.machine import Memory, memory_of_process
from ..models import LanguageModel, architecture, architecture_of
from ..nn import Rotary, store_weights
from ..optim import EMA, Arena, Optimizer, Schedule
from ..optim.schedule import WSD
from ..text.tokenizer import Tokenizer
from .config import TrainConfig, make_config, read_settings, to_toml, without_tables
from .folder.background import Background
from .folder.checkpoint import (
    Stateful,
    load_checkpoint,
    read_state,
    remove_unnamed,
    save_checkpoint,
    stray_weights,
)
from .folder.data_record import check_record, check_tokenizer, describe, write_record
from .folder.trouble import Trouble
from .loss_scale import LossScale
from .objective import Objective
from .precision import FLOAT32, TYPES, Precision
from .rounding import RoundedArena, in_bfloat16
from .settings import OptimizerSettings, settings
from .slices import default_slices
from .step import next_token

# The uses of the run's seed, each with a key of its own.
WEIGHTS, TRAIN_BATCHES, VALIDATION_BATCHES, DROPOUT, SAMPLES, ROUNDING = range(6)


@dataclass
class Run:
    """A run that is ready for its next step.

    `saved` is the step of the checkpoint that holds the run as it is or last was, `newest` that of
    the newest in the folder, as far as the run knows. `notes` are sentences about its settings that
    its user should read, `stopped_by` is the number of the signal that ended it, if one did.
    `before` is the memory of the process before it had the model, `most` at the end of the steps;
    `seconds` are those of the steps. `trouble` counts the batches that were left out, `loss_scale`
    is for steps in float16; `others` is what a checkpoint keeps beside them and the optimizer's
    averages, by name. `background` writes checkpoints.
    """

    folder: Path
    config: TrainConfig
    data: Prepared
    model: LanguageModel
    optimizer: Optimizer
    step: int = 0
    objective: Objective = next_token
    saved: int | None = None
    newest: int | None = None
    notes: tuple[str, ...] = ()
    stopped_by: int = 0
    before: Memory | None = None
    most: int = 0
    seconds: list[float] = field(default_factory=list)
    trouble: Trouble = field(default_factory=Trouble)
    others: dict[str, Stateful] = field(default_factory=dict)
    background: Background = field(default_factory=Background)
    loss_scale: LossScale = field(default_factory=LossScale)

    @cached_property
    def precision(self) -> Precision:
        """What a step works on: the model and its optimizer, or copies of 16 bits."""
        return Precision.of(self.config.run.precision, self.model, self.optimizer, self.loss_scale)

    def state(self) -> dict[str, Array]:
        """Return all that a checkpoint keeps beside the weights, by name."""
        beside: dict[str, Stateful] = {"trouble": self.trouble, "loss_scale": self.loss_scale,
                                       **self.others}
        return self.optimizer.state() | {f"{part}.{name}": array for part, kept in beside.items()
                                         for name, array in kept.state().items()}

    @property
    def batch(self) -> int:
        """The number of the batch that the next step takes."""
        return self.step + int(self.trouble.left_out)

    @property
    def ema(self) -> EMA | None:
        """The average of the weights, if the run keeps one."""
        found = self.others.get("ema")
        return found if isinstance(found, EMA) else None

    def key(self, use: int) -> int:
        """Return the key of one use of the seed."""
        return fold_in(self.config.run.seed, use)

    def batches(self, tokens: Tokens, use: int) -> Batches | EpochBatches:
        """Return the batches of one use of the seed: of shards, every window once an epoch."""
        sizes = self.config.data.batch, self.config.context
        if isinstance(tokens, ShardedTokens):
            return EpochBatches(tokens, *sizes, self.key(use))
        return Batches(tokens, *sizes, self.key(use))


@dataclass(frozen=True)
class WarmStart:
    """The run whose weights and tokenizer a new run begins with, and which checkpoint of it."""

    folder: Path
    checkpoint: str = "last"

    def model_settings(self) -> dict[str, Any]:
        """Return the settings of its model by name. Raises UserError where there is no run.

        The rows of its token table are among them.
        """
        if not holds_run(self.folder):
            raise UserError(f"there is no run in {self.folder} to begin with; check --init")
        config = make_config(read_settings(self.folder / "config.toml"))
        return {**config.model, "token_rows": config.data.token_rows}

    def load(self, run: Run) -> None:
        """Put its weights into the new run's model. Raises UserError where they do not fit."""
        here, there = (sha256_of(folder / "tokenizer.json")
                       for folder in (run.data.folder, self.folder))
        if here != there:
            raise UserError(f"the data in {run.data.folder} was made with another tokenizer than "
                            f"the run in {self.folder}; build it with 'tinygrad-llm data build "
                            f"... --tokenizer {self.folder / 'tokenizer.json'}'")
        self._check_positions(run)
        load_checkpoint(self.folder / "checkpoint", run.model, which=self.checkpoint, may_differ=(
            "dropout", "balance", "context", "theta", "rope_scaling"))

    def _check_positions(self, run: Run) -> None:
        """Raise UserError where another context would change the scaling unsaid."""
        theirs = self.model_settings()
        former = run.config.model.get("rope_scaling")
        if not former or theirs.get("rope_scaling") != former:
            return
        there, here = (Rotary(2, scaling=former, context=settings["context"]).options
                       for settings in (theirs, run.config.model))
        if there != here:
            numbers = [f"{name}={there[name]:.15g}" for name in there if there[name] != here[name]]
            raise UserError(f"rope_scaling {former!r} depends on the context, which was "
                            f"{theirs['context']} and is {run.config.context}; name the numbers "
                            f"of the former: --rope-scaling \"{former} {' '.join(numbers)}\"")


def start_run(config: TrainConfig, folder: Path, overwrite: bool = False,
              init: WarmStart | None = None) -> Run:
    """Prepare the data and the folder of a new run; `overwrite` deletes a former one there.

    With `init` its weights are another run's; a text is cut by that run's tokenizer. Raises
    UserError where the folder already holds a run, another process is at work there, the data or
    the weights cannot be used, or the learning rate lies below its minimum; the folder then is as
    it was.
    """
    config = with_slices(config)
    if folder.is_file():
        raise UserError(f"--out {folder} is a file; name a folder")
    own, place = (folder / "data").resolve(), Path(_place(config.data.data)).resolve()
    if is_prepared(folder) or own in (place, *place.parents):
        raise UserError(f"{folder} holds data, which a run in it would write over; name another "
                        f"folder with --out")
    check_rates(config)
    try:
        with _held(folder), _set_aside(folder) if overwrite else nullcontext():
            _remove_strays(folder)
            return _start(config, folder, init)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; name another folder with "
                        f"--out") from error


def check_rates(config: TrainConfig) -> None:
    """Raise UserError where the learning rate lies below its minimum."""
    rates = config.optimizer
    if _rises(rates):
        raise UserError(f"the learning rate {rates.learning_rate:g} lies below min_learning_rate "
                        f"{rates.min_learning_rate:g}, so it would rise to the end; give a smaller "
                        f"--min-learning-rate, a tenth of it for instance")


def _rises(rates: OptimizerSettings) -> bool:
    """Whether the rate's end lies above its peak."""
    return rates.schedule != "constant" and rates.learning_rate < rates.min_learning_rate


def rehearse(config: TrainConfig, init: WarmStart | None = None
             ) -> tuple[TrainConfig, int, Memory]:
    """Read the data of a run as `start_run` does, and leave nothing.

    Returns the settings with the number of slices, the size of the vocabulary, and the memory of
    the process while the data is open. Raises UserError where a run could not be started.
    """
    check_rates(config)
    tokenizer = open_tokenizer(init.folder / "tokenizer.json") if init else None
    with TemporaryDirectory() as folder:
        data = _open_data(config, Path(folder), tokenizer)
        found = with_slices(config), data.tokenizer.vocab_size, memory_of_process()
        del data  # Windows deletes no file that is mapped
        return found


def _start(config: TrainConfig, folder: Path, init: WarmStart | None) -> Run:
    if holds_run(folder):
        raise UserError(f"{folder} already holds a run; go on with it with --resume, name another "
                        f"folder with --out, or delete it with --overwrite")
    tokenizer = open_tokenizer(init.folder / "tokenizer.json") if init else None
    had = {name for name in OWN if (folder / name).exists()}
    try:
        place, data = _place(config.data.data), _open_data(config, folder, tokenizer)
        config = replace(config, data=replace(config.data, data=place))
        run = _new_run(config, folder, data)
        if init:
            init.load(run)
            if (init.folder / PRETRAINED).is_dir():
                shutil.copytree(init.folder / PRETRAINED, folder / PRETRAINED)
        data.copy_tokenizer(folder / "tokenizer.json")
        write_record(folder, data, describe(data))
        write_in_one_step(folder / "config.toml", [to_toml(config).encode()])  # now it holds a run
    except BaseException:
        for name in OWN:
            if name not in had:
                _remove(folder / name)
        raise
    return replace(run, notes=tuple(_notes(run)))


PRETRAINED = "pretrained"
"""What came beside the weights of a model from elsewhere, for its export."""
OWN = ("config.toml", "data.json", "tokenizer.json", "metrics.jsonl", "loss.png", "checkpoint",
       "data", PRETRAINED)
"""What a run has in its folder; anything else there is its user's."""


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """Delete the run in a folder once the block has made a new one; bring it back if it fails."""
    aside = folder / "overwritten"
    if aside.exists():
        raise UserError(f"{aside} is what an --overwrite that was interrupted had set aside; move "
                        f"its content back to {folder}, or delete it")
    aside.mkdir()
    _move(folder, aside)
    try:
        yield
    except BaseException:
        for name in OWN:
            _remove(folder / name)
        _move(aside, folder)
        aside.rmdir()
        raise
    _remove(aside)


def _remove_strays(folder: Path) -> None:
    """Remove what processes that were killed have left in a run's folder."""
    for place in (folder, folder / "data", folder / PRETRAINED):
        remove_temporaries(place)
    remove_unnamed(folder / "checkpoint")


def _move(source: Path, target: Path) -> None:
    for name in OWN:
        if (source / name).exists():
            (source / name).rename(target / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; a folder that was made for that and stays empty goes."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(folder):
            yield
    finally:
        with suppress(OSError):  # of the first that is not empty
            for place in missing:
                place.rmdir()


def lock(folder: Path) -> AbstractContextManager[None]:
    """Hold a run's folder. Raises UserError where another process does."""
    return locked(folder / "lock", "wait until it ends, or name another folder with --out")


def resume_run(folder: Path, given: Mapping[str, Any], checkpoint: str = "last") -> Run:
    """Open a run where a checkpoint left it, with the settings in `given` changed.

    `checkpoint` is "last", "best" or a step. Raises UserError where there is no run, another
    process is at work on it, the data is not what it was trained on, or `given` changes what the
    weights depend on.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run to resume in {folder}; start one without --resume")
    with lock(folder):
        _remove_strays(folder)
        saved = make_config(read_settings(folder / "config.toml"))
        _require_data(saved, folder)
        config = with_slices(_changed(saved, without_tables(given), folder))
        data = _open_data(config, folder, _own_tokenizer(folder), resumed=True)
        content = check_record(folder, data)
        run = _new_run(config, folder, data)
        if stray_weights(folder / "checkpoint") or (folder / "checkpoint/state.json").exists():
            run.newest = read_state(folder / "checkpoint")["step"]
            run.step = load_checkpoint(folder / "checkpoint", run.model, run, checkpoint)
            run.optimizer.rest()
            run.saved = run.step
        elif checkpoint != "last":
            raise UserError(f"the run in {folder} has no checkpoint yet; leave --checkpoint out")
        if run.step > config.run.steps and config.run.steps != saved.run.steps:
            raise UserError(f"the run in {folder} is at step {run.step}, past --steps "
                            f"{config.run.steps}; give more")
        write_record(folder, data, content)
        write_in_one_step(folder / "config.toml", [to_toml(config).encode()])
        run.notes = tuple(_notes(run, saved))
        return run


def _notes(run: Run, before: TrainConfig | None = None) -> Iterator[str]:
    """Yield sentences about a learning rate that may go another way than its user expects."""
    rates, steps = run.config.optimizer, run.config.run.steps
    if _rises(rates):
        yield (f"the learning rate {rates.learning_rate:g} lies below min_learning_rate "
               f"{rates.min_learning_rate:g}: it rises to the end")
    if steps <= rates.warmup:
        yield (f"the warmup of {rates.warmup} steps is as long as the run of {steps} or longer: "
               f"the learning rate only rises, to {learning_rate(run.config, steps - 1):.3g} of "
               f"{rates.learning_rate:g}; give a smaller --warmup")
    if before is not None and run.step < steps:
        was, now = learning_rate(before, run.step), learning_rate(run.config, run.step)
        if run.step and before.run.precision != run.config.run.precision:
            yield (f"steps were computed in {before.run.precision} up to step {run.step}, and are "
                   f"in {run.config.run.precision} from here on")
        if run.step and not isclose(was, now, rel_tol=0.01):
            yield (f"the learning rate jumps from {was:.3g} to {now:.3g} at step {run.step + 1}: "
                   f"its schedule is that of {steps} steps from the beginning")


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    rates = config.optimizer
    return Schedule(rates.schedule, rates.learning_rate, rates.min_learning_rate, rates.warmup,
                    config.run.steps, rates.cooldown).rate(step)


def _changed(saved: TrainConfig, given: Mapping[str, Any], folder: Path) -> TrainConfig:
    """Return the saved configuration with other settings, if they can be changed in a run."""
    values = saved.flat()
    values["data"] = _place(values["data"])
    fixed = {*saved.model, "preset", "seed", "tokenizer", "vocab_size", "token_rows", "optimizer",
             "adamw_for", "momentum", "ema", "stochastic_rounding"}
    if isinstance(given.get("data"), str):
        given = {**given, "data": _place(given["data"])}
        if not is_prepared(given["data"]):  # whose tokens are compared by their content
            fixed.add("data")
    for name, value in given.items():
        if name in fixed and value != values.get(name, value):
            raise UserError(f"the run in {folder} has {name} = {values[name]!r}, which cannot "
                            f"become {value!r} when resuming; start another run with --out")
    if given.get("schedule", WSD) != WSD:
        values.pop("cooldown", None)
    parts = given.get("accumulate", 1)
    if given.get("batch", saved.data.batch) != saved.data.batch or (
            type(parts) is int and parts > 0 and saved.run.slices % parts):
        given = {"slices": 0, **given}  # the number suited the former batch
    return make_config({**values, **given})


def load_model(folder: Path, checkpoint: str = "last", stored: str | None = FLOAT32
               ) -> tuple[LanguageModel, Tokenizer, TrainConfig]:
    """Return the model of a run's checkpoint, with its tokenizer and settings.

    `checkpoint` is "last", "best" or a step; `stored` is the type of the matrices, see
    `nn.store_weights`, None for that of the run's weights. Raises UserError where there is none, a
    file is damaged or not the run's, or a weight is beyond the type's range.
    """
    model, tokenizer, config, _ = _loaded(folder, checkpoint, stored)
    return model, tokenizer, config


def open_run(folder: Path, checkpoint: str = "last", stored: str | None = None) -> Run:
    """Return a run with its data and the weights of a checkpoint, to be looked at.

    The model computes as in the run, unless `stored` names a type, see `load_model`. Raises
    UserError as `load_model` does, and where the data is not what it was trained on.
    """
    model, _, config, step = _loaded(folder, checkpoint, stored, as_trained=True)
    _require_data(config, folder)
    data = _open_data(config, folder, _own_tokenizer(folder), resumed=True)
    check_record(folder, data)
    weights = architecture(config.arch).weights(model)
    return Run(folder, config, data, model, config.new_optimizer(weights), step)


def write_run(folder: Path, model: LanguageModel, tokenizer: Tokenizer,
              beside: Mapping[str, bytes]) -> None:
    """Make a run of a model from elsewhere: to sample, to evaluate, to begin other runs with.

    `beside` are the files that came with it, which are kept for its export. Raises UserError where
    the folder holds a run or cannot be written.
    """
    sizes = {name: value for name, value in asdict(model.config).items()
             if name in settings(architecture_of(model)) and name != "vocab_size"}
    rows = model.config.vocab_size
    config = make_config({"arch": architecture_of(model), **sizes, "data": "",
                          "token_rows": rows if rows > tokenizer.vocab_size else 0})
    try:
        with _held(folder):
            refuse_former(folder)
            (folder / PRETRAINED).mkdir(exist_ok=True)
            for name, content in beside.items():
                write_in_one_step(folder / PRETRAINED / name, [content])
            tokenizer.save(folder / "tokenizer.json")
            save_checkpoint(folder / "checkpoint", model, None, 0)
            write_in_one_step(folder / "config.toml", [to_toml(config).encode()])
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; name another folder with "
                        f"--out") from error


def refuse_former(folder: Path) -> None:
    """Raise UserError where a folder holds what a new run would write over."""
    if folder.is_file():
        raise UserError(f"--out {folder} is a file; name a folder")
    if holds_run(folder):
        raise UserError(f"{folder} already holds a run; name another folder with --out")
    if is_prepared(folder):
        raise UserError(f"{folder} holds data; name another folder with --out")


def _require_data(config: TrainConfig, folder: Path) -> None:
    """Raise UserError for a run that was made of a model from elsewhere."""
    if not config.data.data:
        raise UserError(f"the run in {folder} is a model that was imported, without data of its "
                        f"own: give --data to eval, and begin a training with it by 'tinygrad-llm "
                        f"train --init {folder} --data TEXT --out NEW'")


def _loaded(folder: Path, checkpoint: str, stored: str | None, as_trained: bool = False
            ) -> tuple[LanguageModel, Tokenizer, TrainConfig, int]:
    if not holds_run(folder):
        if (folder / "config.json").is_file():
            raise UserError(f"{folder} is a model's folder, and no run; make one of it with "
                            f"'tinygrad-llm import {quoted(folder)} --out "
                            f"{quoted(Path('runs', folder.resolve().name))}'")
        raise UserError(f"there is no run in {folder}; train one with 'tinygrad-llm train --out "
                        f"{quoted(folder)}', or give the folder of another")
    config = make_config(read_settings(folder / "config.toml"))
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    check_tokenizer(folder)
    model = config.new_model(tokenizer.vocab_size, seed=None)
    if stored is not None and stored not in TYPES:
        raise UserError(f"--weights: there is no type {stored!r}{did_you_mean(stored, TYPES)}")
    rounded = config.run.stochastic_rounding and checkpoint != "ema"
    if stored is None and rounded and as_trained:
        model = in_bfloat16(model)
    elif (kind := stored or ("bfloat16" if rounded else FLOAT32)) != FLOAT32:
        store_weights(model, TYPES[kind])
    try:
        with np.errstate(over="raise"):
            step = load_checkpoint(folder / "checkpoint", model, which=checkpoint)
    except FloatingPointError:
        raise UserError(f"the run in {folder} has weights beyond the range of {stored}; give "
                        f"--weights bfloat16 or float32") from None
    return model, tokenizer, config, step


def holds_run(folder: Path) -> bool:
    """Whether a run was started in `folder`."""
    return (folder / "config.toml").exists() or (folder / "checkpoint").exists()


def with_slices(config: TrainConfig) -> TrainConfig:
    """Settle the number of slices, so that it is written down with the other settings."""
    slices = config.run.slices or default_slices(
        config.data.batch, config.context, config.memory.accumulate)
    return replace(config, run=replace(config.run, slices=slices))


def _place(data: str) -> str:
    """Return where the data lies from whatever folder the run goes on; a corpus keeps its name."""
    if "\0" in data:
        raise UserError(f"data: {data!r} is no path: it has a zero byte")
    return data if data == SHAKESPEARE and not is_prepared(data) else str(Path(data).absolute())


def _open_data(config: TrainConfig, folder: Path, tokenizer: Tokenizer | None = None,
               resumed: bool = False) -> Prepared:
    own = [folder / "data"] if resumed else []  # which a start that failed may have left
    for place in (Path(config.data.data), *own):
        if is_prepared(place):
            if config.data.tokenizer != "char" and not resumed:
                raise UserError(f"{place} has a tokenizer already; leave --tokenizer and "
                                f"--vocab-size out, or name a text with --data")
            return _without_short_validation(open_prepared(place), config.context)
    if resumed and config.data.data != SHAKESPEARE and not Path(config.data.data).exists():
        raise UserError(f"the data of the run in {folder} is no longer in {config.data.data}; name "
                        f"its new place with --data")
    text = read_corpus(config.data.data)
    if config.data.tokenizer == "bpe" and tokenizer is None:
        tokenizer = bpe_of(text, config.data.vocab_size or 4096)
    elif config.data.tokenizer == "bpe" and not resumed:
        raise UserError("--init brings a tokenizer; leave --tokenizer and --vocab-size out")
    return prepare(text, folder / "data", config.context, tokenizer)


def _own_tokenizer(folder: Path) -> Tokenizer | None:
    """Return a run's tokenizer, by which its text is cut once more if its tokens are lost."""
    path = folder / "tokenizer.json"
    return open_tokenizer(path) if path.is_file() else None


def _without_short_validation(data: Prepared, context: int) -> Prepared:
    """Leave out a validation part of shards that is shorter than one window."""
    short = isinstance(data.validation, ShardedTokens) and len(data.validation) < context + 1
    return replace(data, validation=None) if short else data


def _new_run(config: TrainConfig, folder: Path, data: Prepared) -> Run:
    """Return a run before its first step. Raises UserError where the model does not fit."""
    before = memory_of_process()
    try:
        model = config.new_model(data.tokenizer.vocab_size, fold_in(config.run.seed, WEIGHTS))
        remove_scratch(folder)
        model = in_bfloat16(model) if config.run.stochastic_rounding else model
        weights, scratch = architecture(config.arch).weights(model), Scratch(folder)
        options = weights, scratch if config.memory.offload_moments else None
        optimizer = config.new_optimizer(
            RoundedArena(*options, fold_in(config.run.seed, ROUNDING))
            if config.run.stochastic_rounding else Arena(*options))
        others: dict[str, Stateful] = {} if not config.optimizer.ema else {
            "ema": EMA(optimizer.parameters, config.optimizer.ema)}
        run = Run(folder, config, data, model, optimizer, before=before, others=others)
        _ = run.precision  # which has copies of the weights
    except MemoryError as error:
        raise UserError(f"a model of these sizes does not fit in memory ({error}); choose a "
                        f"smaller one") from error
    return run
