"""A run, from its folder to its last step."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

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
from ..host.threads import workers
from ..models import GPT
from ..nn import parameters
from ..optim import AdamW, Arena, cosine_with_warmup
from ..sample import Sampling, generate
from ..sample.prompt import prompt_ids, stream_text
from ..text.tokenizer import Tokenizer
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfig, make_config, read_settings, to_toml, with_new_names
from .log import MetricsLog, plot_loss, read_metrics
from .objective import Objective, next_token
from .slices import default_slices, mean_loss
from .step import Diverged, train_step

# The uses of the run's seed, each with a key of its own.
_WEIGHTS, _TRAIN_BATCHES, _VALIDATION_BATCHES, _DROPOUT, _SAMPLES = range(5)


@dataclass
class Run:
    """A run that is ready for its next step."""

    folder: Path
    config: TrainConfig
    data: Prepared
    model: GPT
    optimizer: AdamW
    step: int
    objective: Objective = next_token


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


def resume_run(folder: Path, given: dict[str, Any]) -> Run:
    """Open a run where its checkpoint left it, with the settings in `given` changed.

    Raises UserError where there is no run, or `given` changes what the weights depend on.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run to resume in {folder}; start one without --resume")
    saved = make_config(read_settings(folder / "config.toml"))
    given = with_new_names(given)
    if given.get("batch", saved.batch) != saved.batch:
        given = {"slices": 0, **given}  # the number suited the former batch
    config = _with_slices(replace(saved, **given))
    for name in ("preset", "data", "seed", "layers", "heads", "width", "context", "dropout",
                 "bias"):
        if getattr(config, name) != getattr(saved, name):
            raise UserError(
                f"the run in {folder} has {name} = {getattr(saved, name)!r}, which cannot become "
                f"{getattr(config, name)!r} when resuming; start another run with --out"
            )
    run = _new_run(config, folder, _open_data(config, folder))
    if (folder / "checkpoint" / "state.json").exists():
        run.step = load_checkpoint(folder / "checkpoint", run.model, run.optimizer)
    write_in_one_step(folder / "config.toml", [to_toml(config).encode()])
    return run


def _with_slices(config: TrainConfig) -> TrainConfig:
    """Settle the number of slices, so that it is written down with the other settings."""
    return replace(config, slices=config.slices or default_slices(config.batch, config.context))


def holds_run(folder: Path) -> bool:
    """Whether a run was started in `folder`."""
    return (folder / "config.toml").exists() or (folder / "checkpoint").exists()


def load_model(folder: Path) -> tuple[GPT, Tokenizer, TrainConfig]:
    """Return the model of a run's last checkpoint, with its tokenizer and settings.

    Raises UserError where there is none, or it is damaged.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run in {folder}; train one with "
                        f"'tinygrad-llm train --out {folder}', or check --run")
    config = make_config(read_settings(folder / "config.toml"))
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    model = GPT(config.model(tokenizer.vocab_size))
    load_checkpoint(folder / "checkpoint", model)
    return model, tokenizer, config


def _open_data(config: TrainConfig, folder: Path) -> Prepared:
    for place in (config.data, folder / "data"):
        if is_prepared(place):
            return _usable(open_prepared(place), config.context)
    return prepare(read_corpus(config.data), folder / "data", config.context)


def _usable(data: Prepared, context: int) -> Prepared:
    """Leave out a validation part of shards that is shorter than one window."""
    short = isinstance(data.validation, ShardedTokens) and len(data.validation) < context + 1
    return replace(data, validation=None) if short else data


def _batches(config: TrainConfig, tokens: Tokens, use: int) -> Batches | EpochBatches:
    """Return the batches of one use of the seed: of shards, every window once an epoch."""
    settings = (config.batch, config.context, fold_in(config.seed, use))
    if isinstance(tokens, ShardedTokens):
        return EpochBatches(tokens, *settings)
    return Batches(tokens, *settings)


def _new_run(config: TrainConfig, folder: Path, data: Prepared) -> Run:
    model = GPT(config.model(data.tokenizer.vocab_size), seed=fold_in(config.seed, _WEIGHTS))
    optimizer = AdamW(Arena(parameters(model)), beta1=config.beta1, beta2=config.beta2,
                      eps=config.eps, weight_decay=config.weight_decay)
    return Run(folder, config, data, model, optimizer, step=0)


def train(run: Run, say: Callable[[str], None] = tqdm.write, threads: int | None = None) -> bool:
    """Do the steps that are left; return False where Ctrl-C ended the run before the last.

    `threads`, by default all cores, change the time that it takes and not a bit of the result.
    Raises UserError where the loss stops being finite (before that update) and where a file
    cannot be written; the last checkpoint stays whole.
    """
    config, log = run.config, MetricsLog(run.folder / "metrics.jsonl", run.step)
    batches = _batches(config, run.data.train, _TRAIN_BATCHES)
    if run.data.validation is None:
        say("the text is too short to keep a part of it back: no validation loss")
    bar = tqdm(total=config.steps, initial=run.step, unit="step", desc="training",
               dynamic_ncols=True, mininterval=0.1 if sys.stderr.isatty() else 10)
    clock, clock_step = time.perf_counter(), run.step
    try:
        with _interrupt_flag() as interrupted, bar, workers(threads):
            while run.step < config.steps and not interrupted():
                lr = cosine_with_warmup(run.step, peak=config.learning_rate,
                                        final=config.min_learning_rate, warmup=config.warmup,
                                        steps=config.steps)
                loss, norm = _step(run, batches, lr)
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update()
                if run.step % config.log_every == 0 or run.step in (1, config.steps):
                    seconds = time.perf_counter() - clock
                    tokens = (run.step - clock_step) * config.batch * config.context
                    log.write(step=run.step, loss=loss, lr=lr, grad_norm=norm,
                              tokens_per_s=round(tokens / seconds, 1))
                    clock, clock_step = time.perf_counter(), run.step
                spent = time.perf_counter()
                _do_what_is_due(run, log, say)
                clock += time.perf_counter() - spent  # the pace is that of the training alone
            finished = run.step >= config.steps
            if finished and config.final_eval_batches:
                _evaluate(run, config.final_eval_batches, log, say)
            save_checkpoint(run.folder / "checkpoint", run.model, run.optimizer, run.step)
    finally:
        log.close()
    if not plot_loss(read_metrics(run.folder / "metrics.jsonl"), run.folder / "loss.png"):
        say('no loss.png: for the picture, pip install "tinygrad_llm[plot]"')
    return finished


def _step(run: Run, batches: Batches | EpochBatches, lr: float) -> tuple[float, float]:
    config = run.config
    key = fold_in(fold_in(config.seed, _DROPOUT), run.step) if config.dropout else None
    try:
        result = train_step(run.model, run.optimizer, run.objective, batches.at(run.step), lr=lr,
                            clip=config.clip, key=key, slices=config.slices)
    except Diverged as error:
        raise UserError(
            f"step {run.step + 1}: {error}; stopped before the update. Try a smaller "
            f"--learning-rate (it was {lr:.3g}) or a longer --warmup; the last checkpoint is in "
            f"{run.folder / 'checkpoint'}"
        ) from error
    run.step += 1
    return result


def _do_what_is_due(run: Run, log: MetricsLog, say: Callable[[str], None]) -> None:
    """Do what is due after this step besides training: measure, sample, save."""
    config = run.config
    if run.step == config.steps:
        return
    if config.eval_every and run.step % config.eval_every == 0:
        _evaluate(run, config.eval_batches, log, say)
    if config.sample_every and run.step % config.sample_every == 0:
        say(f"--- a sample after {run.step} steps ---\n{sample_text(run)}\n---")
    if config.checkpoint_every and run.step % config.checkpoint_every == 0:
        save_checkpoint(run.folder / "checkpoint", run.model, run.optimizer, run.step)


def _evaluate(run: Run, count: int, log: MetricsLog, say: Callable[[str], None]) -> None:
    if run.data.validation is None:
        return
    loss = validation_loss(run, count)
    log.write(step=run.step, val_loss=loss, batches=count)
    say(f"step {run.step}: validation loss {loss:.4f} over {count} batches "
        f"(perplexity {exp(loss):.2f})")


def validation_loss(run: Run, count: int) -> float:
    """Return the mean loss, in nats a token, over the first `count` validation batches."""
    config = run.config
    assert run.data.validation is not None
    batches = _batches(config, run.data.validation, _VALIDATION_BATCHES)
    return mean_loss(run.model, run.objective, batches.at, count, config.slices)


def sample_text(run: Run) -> str:
    """Return a sample of text from the model as it is now."""
    tokenizer = run.data.tokenizer
    rng = np.random.Generator(np.random.Philox(fold_in(fold_in(run.config.seed, _SAMPLES),
                                                       run.step)))
    ids = generate(run.model, prompt_ids(tokenizer), run.config.sample_tokens,
                   Sampling(temperature=0.8), rng)
    return "".join(stream_text(tokenizer, ids)).strip("\n")


@contextmanager
def _interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed; a second press stops at once.

    A step is never cut in half: weights and averages always belong to the same step.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def handler(signum: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
