"""Pretraining's loss and count, and what an objective is made of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import strict_cupy

from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.train import Objective, next_token
from tinygrad_llm.train.objective import IGNORED, next_token_loss, targets_that_count

IDS = np.array([[1, 2, 3], [4, 0, 1]])
TARGETS = np.array([[2, IGNORED, 4], [IGNORED, IGNORED, 0]])


def test_the_loss_is_the_mean_over_the_targets_that_count() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4), seed=1)
    z = model(IDS).data.astype(float)
    losses = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, TARGETS[..., None] % 5, -1)[..., 0]
    got = float(next_token.loss(model, (IDS, TARGETS), None))
    assert got == pytest.approx(losses[TARGETS != IGNORED].mean(), rel=1e-5)


def test_a_key_turns_dropout_on() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4, dropout=0.5))
    batch = IDS, IDS
    assert float(next_token_loss(model, batch)) != float(next_token_loss(model, batch, 1))


def test_the_count_is_of_targets_that_are_not_ignored() -> None:
    assert targets_that_count((IDS, TARGETS)) == 3
    assert next_token.count((IDS, np.full_like(IDS, IGNORED))) == 0
    on_device = strict_cupy.asarray(TARGETS)
    count = targets_that_count((strict_cupy.asarray(IDS), on_device))
    assert count == 3 and type(count) is int


def test_what_is_ignored_here_is_ignored_by_the_loss() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    assert float(next_token_loss(model, (IDS, np.full_like(IDS, IGNORED)))) == 0


def test_an_objective_is_two_functions() -> None:
    objective = Objective(loss=next_token_loss, count=len)
    assert objective.count([1, 2]) == 2 and objective.loss is next_token_loss
    with pytest.raises(FrozenInstanceError):
        objective.count = targets_that_count  # type: ignore[misc]
