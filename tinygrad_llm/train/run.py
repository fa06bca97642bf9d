"""A run and its folder: start one, go on with one, load its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autograd import fold_in

from ..data import Batches, read_corpus
from ..data.batches.epochs import EpochBatches
from ..data.prepared import (
    Prepared,
    Tokens,
    is_prepared,
    open_prepared,
    open_tokenizer,
    prepare,
)
from ..data.tokens.shards import ShardedTokens
from ..host.errors import UserError
from ..host.files import write_in_one_step
from ..models import LanguageModel, architecture
from ..optim import AdamW, Arena
from ..text.tokenizer import Tokenizer
from .checkpoint import load_checkpoint
from .config import TrainConfig, make_config, read_settings, to_toml, without_tables
from .objective import Objective
from .slices import default_slices
from .step import next_token

# The uses of the run's seed, each with a key of its own.
WEIGHTS, TRAIN_BATCHES, VALIDATION_BATCHES, DROPOUT, SAMPLES = range(5)


@dataclass
class Run:
    """A run that is ready for its next step."""

    folder: Path
    config: TrainConfig
    data: Prepared
    model: LanguageModel
    optimizer: AdamW
    step: int = 0
    objective: Objective = next_token

    def key(self, use: int) -> int:
        """Return the key of one use of the seed."""
        return fold_in(self.config.run.seed, use)

    def batches(self, tokens: Tokens, use: int) -> Batches | EpochBatches:
        """Return the batches of one use of the seed: of shards, every window once an epoch."""
        sizes = self.config.data.batch, self.config.context
        if isinstance(tokens, ShardedTokens):
            return EpochBatches(tokens, *sizes, self.key(use))
        return Batches(tokens, *sizes, self.key(use))


def start_run(config: TrainConfig, folder: Path) -> Run:
    """Prepare the data and the folder of a new run.

    Raises UserError where the folder already holds a run, or the data cannot be used; the folder
    then is as it was.
    """
    config = _with_slices(config)
    if folder.is_file():
        raise UserError(f"--out {folder} is a file; name a folder")
    if holds_run(folder):
        raise UserError(f"{folder} already holds a run; go on with it with --resume, or name "
                        f"another folder with --out")
    try:
        data = _open_data(config, folder)
        folder.mkdir(parents=True, exist_ok=True)
        data.copy_tokenizer(folder / "tokenizer.json")
        write_in_one_step(folder / "config.toml", [to_toml(config).encode()])
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; name another folder with "
                        f"--out") from error
    return _new_run(config, folder, data)


def resume_run(folder: Path, given: Mapping[str, Any]) -> Run:
    """Open a run where its checkpoint left it, with the settings in `given` changed.

    Raises UserError where there is no run, or `given` changes what the weights depend on.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run to resume in {folder}; start one without --resume")
    saved = make_config(read_settings(folder / "config.toml"))
    config = _with_slices(_changed(saved, without_tables(given), folder))
    run = _new_run(config, folder, _open_data(config, folder))
    if (folder / "checkpoint" / "state.json").exists():
        run.step = load_checkpoint(folder / "checkpoint", run.model, run.optimizer)
    write_in_one_step(folder / "config.toml", [to_toml(config).encode()])
    return run


def _changed(saved: TrainConfig, given: Mapping[str, Any], folder: Path) -> TrainConfig:
    """Return the saved configuration with other settings, if they can be changed in a run."""
    values = saved.flat()
    fixed = {*saved.model, "preset", "data", "seed"}
    for name, value in given.items():
        if name in fixed and value != values[name]:
            raise UserError(f"the run in {folder} has {name} = {values[name]!r}, which cannot "
                            f"become {value!r} when resuming; start another run with --out")
    if given.get("batch", saved.data.batch) != saved.data.batch:
        given = {"slices": 0, **given}  # the number suited the former batch
    return make_config({**values, **given})


def load_model(folder: Path) -> tuple[LanguageModel, Tokenizer, TrainConfig]:
    """Return the model of a run's last checkpoint, with its tokenizer and settings.

    Raises UserError where there is none, or it is damaged.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run in {folder}; train one with "
                        f"'tinygrad-llm train --out {folder}', or check --run")
    config = make_config(read_settings(folder / "config.toml"))
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    model = config.new_model(tokenizer.vocab_size)
    load_checkpoint(folder / "checkpoint", model)
    return model, tokenizer, config


def holds_run(folder: Path) -> bool:
    """Whether a run was started in `folder`."""
    return (folder / "config.toml").exists() or (folder / "checkpoint").exists()


def _with_slices(config: TrainConfig) -> TrainConfig:
    """Settle the number of slices, so that it is written down with the other settings."""
    slices = config.run.slices or default_slices(config.data.batch, config.context)
    return replace(config, run=replace(config.run, slices=slices))


def _open_data(config: TrainConfig, folder: Path) -> Prepared:
    for place in (config.data.data, folder / "data"):
        if is_prepared(place):
            return _without_short_validation(open_prepared(place), config.context)
    return prepare(read_corpus(config.data.data), folder / "data", config.context)


def _without_short_validation(data: Prepared, context: int) -> Prepared:
    """Leave out a validation part of shards that is shorter than one window."""
    short = isinstance(data.validation, ShardedTokens) and len(data.validation) < context + 1
    return replace(data, validation=None) if short else data


def _new_run(config: TrainConfig, folder: Path, data: Prepared) -> Run:
    """Return a run before its first step."""
    model = config.new_model(data.tokenizer.vocab_size, fold_in(config.run.seed, WEIGHTS))
    arena, chosen = Arena(architecture(config.arch).weights(model)), config.optimizer
    optimizer = AdamW(arena, beta1=chosen.beta1, beta2=chosen.beta2, eps=chosen.eps,
                      weight_decay=chosen.weight_decay)
    return Run(folder, config, data, model, optimizer)
