"""Looks at a run between its steps: the loss on text it has not seen, and text of its own."""

from __future__ import annotations

from itertools import takewhile
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from autograd import fold_in, no_grad

from ..host.stop_signals import Stop
from ..host.threads import each
from ..models import LanguageModel
from ..sample import Sampling, generate
from ..sample.prompt import prompt_ids, stream_text
from .faults.reader import PatientReader, Stopped
from .log import progress_bar
from .run import SAMPLES, VALIDATION_BATCHES, Run
from .slices import batch_losses, mean_loss


def validation_losses(run: Run, count: int, stop: Stop | None = None) -> list[list[float]]:
    """Return the losses of the first `count` validation batches, for `mean_loss`.

    Raises Stopped before the next batch once `stop` is true.
    """
    assert run.data.validation is not None
    batches = PatientReader(run.batches(run.data.validation, VALIDATION_BATCHES),
                            run.config.faults.reader_timeout, tqdm.write, stop)
    left = "remaining" if stop is None else ""  # in training, the run's own line has it
    with progress_bar(count, "validation", "batch", left, leave=False, delay=1) as bar:
        def at(i: int) -> Any:
            if stop:
                raise Stopped
            bar.update()
            return batches.at(i)

        return batch_losses(run.model, run.objective, at, count, run.config.run.slices)


def validation_loss(run: Run, count: int) -> float:
    """Return the mean loss, in nats a token, over the first `count` validation batches."""
    return mean_loss(validation_losses(run, count))


def loss_of_text(model: LanguageModel, ids: NDArray[Any], context: int) -> float:
    """Return the mean loss, in nats a token, of a text of ids (N,), cut into windows of `context`.

    Each token but the first is predicted once, from those before it in its window.
    """
    windows = [ids[start : start + context + 1] for start in range(0, len(ids) - 1, context)]

    with progress_bar(len(windows), "text", unit="window", leave=False, delay=1) as bar:
        def loss(i: int) -> float:
            window = windows[i][None]
            with no_grad():
                mean = float(model.loss(window[:, :-1], window[:, 1:]))
            bar.update()
            return mean * (len(windows[i]) - 1)

        return sum(each(len(windows), loss)) / (len(ids) - 1)


def perplexity(loss: float) -> float:
    """Return exp(loss): among how many tokens, equally likely, such a loss chooses."""
    try:
        return exp(loss)
    except OverflowError:
        return float("inf")


def sample_text(run: Run, stop: Stop | None = None) -> str:
    """Return a sample of text from the model as it is now; Stopped is raised as above."""
    tokenizer = run.data.tokenizer
    rng = np.random.Generator(np.random.Philox(fold_in(run.key(SAMPLES), run.step)))
    ids = generate(run.model, prompt_ids(tokenizer), run.config.run.sample_tokens,
                   Sampling(temperature=0.8), rng)
    text = "".join(stream_text(tokenizer, takewhile(lambda _: not stop, ids))).strip("\n")
    if stop:
        raise Stopped
    return text
