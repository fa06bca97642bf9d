"""A batch in slices: the same mean and gradient, and the same bits on any number of threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters, with_parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import ordered_sum, train_step
from tinygrad_llm.train.slices import (
    default_slices,
    loss_and_gradients,
    mean_loss,
    slice_bounds,
    token_shares,
)

CONFIG = GPTConfig(vocab_size=11, context=16, layers=2, heads=2, width=8, dropout=0.1)
RNG = np.random.default_rng(0)
IDS, TARGETS = RNG.integers(0, 11, (2, 6, 16))
TARGETS[0, :5] = TARGETS[4] = -100


def model_in_float64() -> GPT:
    model = GPT(CONFIG, seed=1)
    return with_parameters(model, {
        name: Tensor(p.data.astype(np.float64), requires_grad=True)
        for name, p in parameters(model).items()})


def gradients(model: GPT, slices: int, key: int | None = None) -> tuple[float, list[Any]]:
    ps = list(parameters(model).values())
    into = [np.full_like(p.data, np.nan) for p in ps]
    loss = loss_and_gradients(model, ps, IDS, TARGETS, key=key, slices=slices, into=into)
    assert all(p.grad is array for p, array in zip(ps, into, strict=True))
    return loss, into


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 5, 6])
def test_slices_add_up_to_the_batch(slices: int) -> None:
    model = model_in_float64()
    whole = model.loss(IDS, TARGETS)
    whole.backward()
    expected = [p.grad for p in parameters(model).values()]
    with workers(2):
        loss, got = gradients(model, slices)
    assert loss == pytest.approx(float(whole), rel=1e-13)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("slices", [1, 2, 3, 6])
def test_the_bits_do_not_depend_on_the_threads(slices: int) -> None:
    def trained(threads: int | None) -> list[bytes]:
        model = GPT(CONFIG, seed=1)
        optimizer = AdamW(parameters(model))
        if threads is None:
            steps = [train_step(model, optimizer, IDS, TARGETS, lr=0.01, clip=0.5, key=i,
                                slices=slices) for i in range(4)]
        else:
            with workers(threads):
                steps = [train_step(model, optimizer, IDS, TARGETS, lr=0.01, clip=0.5, key=i,
                                    slices=slices) for i in range(4)]
        return [repr(steps).encode(), *(p.data.tobytes() for p in parameters(model).values())]

    one = trained(1)
    assert trained(2) == one
    assert trained(4) == one


def test_dropout_differs_between_slices() -> None:
    model = model_in_float64()
    same = np.tile(IDS[:1], (2, 1)), np.tile(TARGETS[1:2], (2, 1))
    ps = list(parameters(model).values())
    alone = [float(model.loss(same[0][:1], same[1][:1], key)) for key in range(2)]
    loss = loss_and_gradients(model, ps, *same, key=5, slices=2,
                              into=[np.empty_like(p.data) for p in ps])
    assert loss not in alone


def test_no_target_that_counts() -> None:
    model = model_in_float64()
    ps = list(parameters(model).values())
    loss = loss_and_gradients(model, ps, IDS, np.full_like(TARGETS, -100), key=None, slices=2,
                              into=[np.empty_like(p.data) for p in ps])
    assert loss == 0 and all((p.grad == 0).all() for p in ps)


def test_a_parameter_that_the_loss_does_not_depend_on_has_no_gradient() -> None:
    model, idle = model_in_float64(), Tensor(np.ones(3), requires_grad=True)
    ps = [idle, *parameters(model).values()]
    loss_and_gradients(model, ps, IDS, TARGETS, key=None, slices=2,
                       into=[np.empty_like(p.data) for p in ps])
    assert idle.grad is None and all(p.grad is not None for p in ps[1:])


class Lookup:
    """A model in which a slice touches only the parameters that its tokens name."""

    def __init__(self) -> None:
        self.p = [Tensor(np.ones(2), requires_grad=True) for _ in range(3)]

    def loss(self, ids: Any, targets: Any, key: int | None = None) -> Any:
        return sum((self.p[int(i)].sum() for i in ids[:, 0]), 0.0)


def test_parameters_that_only_some_slices_touch() -> None:
    model = Lookup()
    ids = np.array([[0], [2], [2], [0]])
    with workers(2):
        loss_and_gradients(model, model.p, ids, ids, key=None, slices=4,  # type: ignore[arg-type]
                           into=[np.empty(2) for _ in model.p])
    assert model.p[0].grad.tolist() == model.p[2].grad.tolist() == [0.5, 0.5]
    assert model.p[1].grad is None


def test_an_error_in_a_slice_reaches_the_caller() -> None:
    model = model_in_float64()
    before = threading.active_count()
    with pytest.raises(IndexError, match="must lie in"), workers(2):
        train_step(model, AdamW(parameters(model)), IDS, TARGETS + 11, lr=0.1, clip=1.0, key=None,
                   slices=3)
    assert threading.active_count() == before


def test_the_mean_loss_is_that_of_the_batches() -> None:
    model = model_in_float64()
    batches = [(IDS, TARGETS), (TARGETS % 11, IDS)]
    expected = np.mean([float(model.loss(*batch)) for batch in batches])
    for slices in (1, 4):
        with workers(2):
            got = mean_loss(model, lambda i: batches[i], 2, slices)
        assert got == pytest.approx(expected, rel=1e-13)


def test_cuts() -> None:
    assert [s.stop - s.start for s in slice_bounds(7, 3)] == [2, 2, 3]
    for slices in (0, 8):
        with pytest.raises(ValueError, match="can be cut into 1 to 7 slices, got"):
            slice_bounds(7, slices)
    assert token_shares(TARGETS, slice_bounds(6, 2)) == [43 / 75, 32 / 75]


def test_default_slices() -> None:
    sizes = {(12, 64): 2, (16, 256): 4, (64, 256): 16, (2, 256): 2, (1, 1024): 1, (12, 1024): 8,
             (2, 8): 1, (100, 1024): 16, (1, 1): 1}
    assert {size: default_slices(*size) for size in sizes} == sizes


def test_the_bits_of_products_in_several_blocks_do_not_depend_on_the_threads(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_TERM_BYTES", 1 << 17)
    config = GPTConfig(vocab_size=300, context=64, layers=2, heads=2, width=192)
    ids, targets = np.random.default_rng(0).integers(0, 300, (2, 8, 64))

    def bits(threads: int) -> list[bytes]:
        model = GPT(config)
        ps = list(parameters(model).values())
        into = [np.empty_like(p.data) for p in ps]
        with workers(threads):
            loss = loss_and_gradients(model, ps, ids, targets, key=None, slices=4, into=into)
        return [repr(loss).encode(), *(array.tobytes() for array in into)]

    one = bits(1)
    for count in (2, 4, 2, 4):
        assert bits(count) == one


def test_a_failure_leaves_no_gradients() -> None:
    model = model_in_float64()
    ps = list(parameters(model).values())
    gradients(model, 2)
    with pytest.raises(IndexError):
        loss_and_gradients(model, ps, IDS, TARGETS + 11, key=None, slices=2,
                           into=[np.empty_like(p.data) for p in ps])
    assert all(p.grad is None for p in ps)


def test_who_is_far_ahead_waits_and_is_not_left_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_sum, "_AHEAD", -1)
    model = model_in_float64()
    with workers(1):
        expected = gradients(model, 6)
    with workers(4):
        for _ in range(5):
            loss, got = gradients(model, 6)
            assert loss == expected[0]
            assert all((a == b).all() for a, b in zip(got, expected[1], strict=True))
        ps = list(parameters(model).values())
        wrong = TARGETS.copy()
        wrong[1] = 11  # one slice fails, in the midst of the others
        with pytest.raises(IndexError):
            loss_and_gradients(model, ps, IDS, wrong, key=None, slices=6,
                               into=[np.empty_like(p.data) for p in ps])
        lookup = Lookup()  # no slice gives a part of every parameter
        ids = np.array([[0], [2], [2], [0]])
        loss_and_gradients(lookup, lookup.p, ids, ids, key=None, slices=4,  # type: ignore[arg-type]
                           into=[np.empty(2) for _ in lookup.p])
        assert lookup.p[0].grad.tolist() == [0.5, 0.5]
