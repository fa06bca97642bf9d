"""Looks at a run between its steps: validation losses, samples, and signals that end them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from small_runs import small, write_text

from autograd import Tensor, fold_in
from tinygrad_llm.data import Batches
from tinygrad_llm.host.stop_signals import Stop
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import start_run
from tinygrad_llm.train.evaluation import (
    Stopped,
    loss_of_text,
    perplexity,
    sample_text,
    validation_loss,
    validation_losses,
)
from tinygrad_llm.train.slices import mean_loss


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


def test_the_validation_loss_is_that_of_its_definition(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    assert run.data.validation is not None
    assert validation_loss(run, 2) == validation_loss(run, 2)
    batches = Batches(run.data.validation, 2, 8, fold_in(1337, 2))
    losses = []
    for i in range(2):
        x, y = batches.at(i)
        z = run.model(x).data
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        losses.append(-np.log(np.take_along_axis(p, y[..., None], -1)).mean())
    assert validation_loss(run, 2) == pytest.approx(np.mean(losses), rel=1e-5)


def test_evaluation_and_samples_record_nothing(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    validation_loss(run, 1)
    sample_text(run)
    assert all(isinstance(p, Tensor) and p.grad is None for p in parameters(run.model).values())


def test_the_first_losses_are_those_of_fewer_batches(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    assert mean_loss(validation_losses(run, 5)[:2]) == validation_loss(run, 2)


def test_a_signal_ends_an_evaluation_before_the_next_batch(text: Path, tmp_path: Path) -> None:
    run, stop = start_run(small(text), tmp_path / "run"), Stop()
    assert validation_losses(run, 3, stop) == validation_losses(run, 3)
    assert sample_text(run, stop) == sample_text(run)
    stop.signal = 15
    with pytest.raises(Stopped):
        validation_losses(run, 1000, stop)
    with pytest.raises(Stopped):
        sample_text(run, stop)


@pytest.mark.parametrize("loss, expected", [(0.0, 1.0), (2.0, math.e**2), (709.0, math.exp(709)),
                                            (710.0, math.inf), (1e300, math.inf)])
def test_a_perplexity_has_no_bounds(loss: float, expected: float) -> None:
    assert perplexity(loss) == expected or math.isclose(perplexity(loss), expected)
    assert math.isnan(perplexity(math.nan))


def test_the_loss_of_a_text_is_the_mean_over_its_tokens() -> None:
    model = GPT(GPTConfig(vocab_size=7, context=5, layers=1, heads=1, width=8))
    ids = np.random.default_rng(3).integers(7, size=14)
    total = 0.0
    for start in range(0, 13, 5):  # 5, 5 and 3 tokens
        window = ids[start : start + 6][None]
        total += float(model.loss(window[:, :-1], window[:, 1:])) * (window.shape[1] - 1)
    assert loss_of_text(model, ids, 5) == pytest.approx(total / 13, rel=1e-6)
    exact = loss_of_text(model, ids[:6], 5)
    assert exact == pytest.approx(float(model.loss(ids[None, :5], ids[None, 1:6])), rel=1e-6)
