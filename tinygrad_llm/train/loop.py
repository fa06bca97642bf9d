"""The loop of a run: steps, and between them what is due: a validation loss, a sample, a save."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import exp
from typing import Any

import numpy as np
from tqdm import tqdm

from autograd import fold_in

from ..host.errors import UserError
from ..host.threads import workers
from ..optim import cosine_with_warmup
from ..sample import Sampling, generate
from ..sample.prompt import prompt_ids, stream_text
from .checkpoint import save_checkpoint
from .log import MetricsLog, Pace, plot_loss, read_metrics
from .run import DROPOUT, SAMPLES, TRAIN_BATCHES, VALIDATION_BATCHES, Run
from .slices import mean_loss
from .step import Diverged, train_step

Say = Callable[[str], None]


def train(run: Run, say: Say = tqdm.write, threads: int | None = None) -> bool:
    """Do the steps that are left; return False where Ctrl-C ended the run before the last.

    `threads`, by default all cores, change the time that it takes and not a bit of the result.
    Raises UserError where the loss stops being finite (before that update) and where a file
    cannot be written; the last checkpoint stays whole.
    """
    log = MetricsLog(run.folder / "metrics.jsonl", run.step)
    if run.data.validation is None:
        say("the text is too short to keep a part of it back: no validation loss")
    try:
        with _interrupt_flag() as interrupted, _progress_bar(run) as bar, workers(threads):
            _do_steps(run, log, say, bar, interrupted)
            finished = run.step >= run.config.run.steps
            if finished and run.config.run.final_eval_batches:
                _evaluate(run, run.config.run.final_eval_batches, log, say)
            _save(run)
    finally:
        log.close()
    if not plot_loss(read_metrics(run.folder / "metrics.jsonl"), run.folder / "loss.png"):
        say('no loss.png: for the picture, pip install "tinygrad_llm[plot]"')
    return finished


def _do_steps(run: Run, log: MetricsLog, say: Say, bar: tqdm[Any],
              interrupted: Callable[[], bool]) -> None:
    """Train until the last step, or until Ctrl-C is pressed."""
    settings, batches = run.config.run, run.batches(run.data.train, TRAIN_BATCHES)
    pace = Pace(run.config.data.batch * run.config.context)
    while run.step < settings.steps and not interrupted():
        lr = _learning_rate(run)
        loss, norm = _step(run, batches.at(run.step), lr)
        pace.step()
        bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        bar.update()
        if run.step % settings.log_every == 0 or run.step in (1, settings.steps):
            log.write(step=run.step, loss=loss, lr=lr, grad_norm=norm,
                      tokens_per_s=pace.tokens_per_second())
        with pace.stopped():
            _evaluate_sample_save(run, log, say)


def _learning_rate(run: Run) -> float:
    """Return the learning rate of the next step."""
    settings = run.config.optimizer
    return cosine_with_warmup(run.step, peak=settings.learning_rate, warmup=settings.warmup,
                              final=settings.min_learning_rate, steps=run.config.run.steps)


def _step(run: Run, batch: Any, lr: float) -> tuple[float, float]:
    """Do the next step; return its loss and the gradient's norm."""
    config = run.config
    key = fold_in(run.key(DROPOUT), run.step) if config.model.get("dropout") else None
    try:
        result = train_step(run.model, run.optimizer, run.objective, batch, lr=lr,
                            clip=config.optimizer.clip, key=key,
                            slices=config.run.slices)
    except Diverged as error:
        raise UserError(
            f"step {run.step + 1}: {error}; stopped before the update. Try a smaller "
            f"--learning-rate (it was {lr:.3g}) or a longer --warmup; the last checkpoint is in "
            f"{run.folder / 'checkpoint'}"
        ) from error
    run.step += 1
    return result


def _evaluate_sample_save(run: Run, log: MetricsLog, say: Say) -> None:
    """Do what is due after this step, unless it is the last, after which all is done anyway."""
    settings = run.config.run

    def due(every: int) -> bool:
        return every > 0 and run.step % every == 0 and run.step < settings.steps

    if due(settings.eval_every):
        _evaluate(run, settings.eval_batches, log, say)
    if due(settings.sample_every):
        say(f"--- a sample after {run.step} steps ---\n{sample_text(run)}\n---")
    if due(settings.checkpoint_every):
        _save(run)


def _evaluate(run: Run, count: int, log: MetricsLog, say: Say) -> None:
    if run.data.validation is None:
        return
    loss = validation_loss(run, count)
    log.write(step=run.step, val_loss=loss, batches=count)
    say(f"step {run.step}: validation loss {loss:.4f} over {count} batches "
        f"(perplexity {exp(loss):.2f})")


def _save(run: Run) -> None:
    save_checkpoint(run.folder / "checkpoint", run.model, run.optimizer, run.step)


def validation_loss(run: Run, count: int) -> float:
    """Return the mean loss, in nats a token, over the first `count` validation batches."""
    assert run.data.validation is not None
    batches = run.batches(run.data.validation, VALIDATION_BATCHES)
    return mean_loss(run.model, run.objective, batches.at, count, run.config.run.slices)


def sample_text(run: Run) -> str:
    """Return a sample of text from the model as it is now."""
    tokenizer = run.data.tokenizer
    rng = np.random.Generator(np.random.Philox(fold_in(run.key(SAMPLES), run.step)))
    ids = generate(run.model, prompt_ids(tokenizer), run.config.run.sample_tokens,
                   Sampling(temperature=0.8), rng)
    return "".join(stream_text(tokenizer, ids)).strip("\n")


def _progress_bar(run: Run) -> tqdm[Any]:
    return tqdm(total=run.config.run.steps, initial=run.step, unit="step", desc="training",
                dynamic_ncols=True, mininterval=0.1 if sys.stderr.isatty() else 10)


@contextmanager
def _interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; a second press stops at once.

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
