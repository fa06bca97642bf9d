"""A batch in slices: where it is cut, how slices are weighed, and the sums over them."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor, fold_in
from tinygrad_llm.host.threads import workers
from tinygrad_llm.train import Objective
from tinygrad_llm.train.slices import (
    Slice,
    batch_losses,
    cut,
    default_slices,
    mean_loss,
    slice_bounds,
    sum_over_slices,
)

BATCH = np.arange(7.0), np.arange(14).reshape(7, 2)


def whole(slices: int, batch: Any = BATCH, count: Any = lambda batch: len(batch[0])) -> list[Slice]:
    return cut(batch, count, slices)


# where a batch is cut


@given(st.integers(1, 40), st.data())
def test_bounds_cover_the_batch_in_sizes_that_differ_by_one(length: int, data: st.DataObject
                                                            ) -> None:
    slices = data.draw(st.integers(1, length))
    bounds = slice_bounds(length, slices)
    assert [i for rows in bounds for i in range(length)[rows]] == list(range(length))
    sizes = [rows.stop - rows.start for rows in bounds]
    assert len(sizes) == slices and min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("slices", [-1, 0, 8])
def test_impossible_numbers_of_slices(slices: int) -> None:
    with pytest.raises(ValueError, match="a batch of 7 rows can be cut into 1 to 7 slices, got"):
        slice_bounds(7, slices)


@dataclass
class Pair:
    ids: np.ndarray
    weights: np.ndarray
    note: str = "stays"


@pytest.mark.parametrize("make", [
    lambda x, y: (x, y), lambda x, y: [x, {"y": y}], lambda x, y: {"b": x, "a": (y, None)}, Pair,
], ids=["tuple", "list", "dict", "dataclass"])
def test_every_array_of_a_tree_is_cut_at_the_same_rows(make: Any) -> None:
    x, y = BATCH
    parts = cut(make(x, y), lambda batch: 1, 3)
    assert len(parts) == 3
    for part, rows in zip(parts, (slice(0, 2), slice(2, 4), slice(4, 7)), strict=True):
        expected = make(x[rows], y[rows])
        assert type(part.batch) is type(expected)
        assert str(part.batch) == str(expected)


@pytest.mark.parametrize("batch, words", [
    ((np.ones(3), np.ones((2, 3))), r"all of one length; got \(3,\), \(2, 3\)"),
    ((np.ones(3), 2.0), r"got \(3,\), \(\)"), (np.float64(1.0), r"got \(\)"), ((), "got no array"),
])
def test_batches_that_cannot_be_cut(batch: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cut(batch, lambda batch: 1, 1)


def test_a_batch_without_rows() -> None:
    with pytest.raises(ValueError, match="a batch of 0 rows can be cut into 1 to 0 slices"):
        cut(np.ones((0, 3)), lambda batch: 1)


def test_by_default_the_number_suits_the_largest_array() -> None:
    sizes = {(12, 64): 2, (16, 256): 4, (64, 256): 16, (2, 256): 2, (1, 1024): 1, (12, 1024): 8,
             (2, 8): 1, (100, 1024): 16, (1, 1): 1, (0, 5): 1}
    assert {size: default_slices(*size) for size in sizes} == sizes
    assert default_slices(12, 64, 3) == 3 * default_slices(4, 64) == 6
    assert len(cut((np.ones(16), np.ones((16, 256))), lambda batch: 1)) == 4
    assert len(cut((np.ones(16), np.ones((16, 256))), lambda batch: 1, accumulate=2)) == 4
    assert len(cut((np.ones(16), np.ones((16, 256))), lambda batch: 1, accumulate=8)) == 16
    assert len(cut(np.ones((2, 8)), lambda batch: 1)) == 1


def test_a_batch_on_a_gpu_stays_whole_and_uncounted() -> None:
    batch = strict_cupy.asarray(np.ones((12, 64))), strict_cupy.asarray(np.ones(12))

    def count(batch: Any) -> float:
        raise AssertionError("the host would wait for this")

    (part,) = cut(batch, count, 3, key=5)
    assert part.batch is batch and part.share == 1 and part.key == fold_in(5, 0)


# how slices are weighed


def test_a_share_is_the_part_of_the_terms() -> None:
    counts = np.array([1, 0, 2, 2, 0, 0, 3])
    parts = cut({"counts": counts}, lambda batch: int(batch["counts"].sum()), 3, key=9)
    assert [part.share for part in parts] == [1 / 8, 4 / 8, 3 / 8]
    assert [part.key for part in parts] == [fold_in(9, s) for s in range(3)]
    assert {part.key for part in cut(BATCH, lambda batch: 1, 3)} == {None}


def test_weights_may_be_fractions() -> None:
    parts = cut(np.array([0.5, 0.25, 0.25]), np.sum, 2)
    assert [part.share for part in parts] == [0.5, 0.5]


def test_slices_in_which_nothing_counts_are_left_out() -> None:
    counts = np.array([0, 0, 3, 0, 1, 0])
    parts = cut(counts, np.sum, 3, key=9)
    assert [part.share for part in parts] == [3 / 4, 1 / 4]
    assert [part.key for part in parts] == [fold_in(9, 1), fold_in(9, 2)], "keys stay with places"
    assert cut(np.zeros(4), np.sum, 2) == []


# sums over slices


def leaves(count: int = 3) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    parameters = {f"p{i}": Tensor(np.ones(1), requires_grad=True) for i in range(count)}
    return parameters, {name: np.full(1, np.nan) for name in parameters}


def test_results_are_weighted_and_gradients_added() -> None:
    parameters, into = leaves(2)
    parts = cut(np.array([1.0, 2.0, 5.0]), np.sum, 3)

    def body(part: Slice, add: Any) -> float:
        add(1, part.batch * 10)
        return float(part.batch[0])

    with workers(2):
        total = sum_over_slices(parts, body, parameters, into)
    assert total == 1 / 8 * 1 + 2 / 8 * 2 + 5 / 8 * 5
    assert parameters["p1"].grad is into["p1"] and into["p1"] == 80
    assert parameters["p0"].grad is None, "nothing was added to it"


def test_no_slice_at_all() -> None:
    parameters, into = leaves()
    total = sum_over_slices([], lambda part, add: math.nan, parameters, into)
    assert total == 0 and type(total) is float
    assert all(p.grad is None for p in parameters.values())


def test_parameters_that_only_some_slices_touch() -> None:
    parameters, into = leaves()

    def body(part: Slice, add: Any) -> float:
        add(int(part.batch[0]), np.ones(1) * part.share)
        return 0.0

    with workers(2):
        sum_over_slices(cut(np.array([0, 2, 2, 0]), len, 4), body, parameters, into)
    assert parameters["p0"].grad == parameters["p2"].grad == 0.5
    assert parameters["p1"].grad is None


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_reaches_the_caller_and_leaves_no_gradients(threads: int) -> None:
    parameters, into = leaves()
    for p in parameters.values():
        p.grad = np.ones(1)

    def body(part: Slice, add: Any) -> float:
        add(0, np.ones(1))
        if part.batch[0] == 2:
            raise IndexError("of slice 2")
        add(1, np.ones(1))
        return 0.0

    before = threading.active_count()
    with pytest.raises(IndexError, match="of slice 2"), workers(threads):
        sum_over_slices(cut(np.arange(5), len, 5), body, parameters, into)
    assert all(p.grad is None for p in parameters.values())
    assert threading.active_count() == before


# the mean over batches


class Scale:
    w = Tensor(np.array(2.0), requires_grad=True)

    def loss(self, batch: Any) -> Any:
        x, weights = batch
        return self.w * float((x * weights).sum() / weights.sum())


WEIGHTED = Objective(lambda model, batch, key: model.loss(batch), lambda batch: batch[1].sum())


@pytest.mark.parametrize("slices", [None, 1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_mean_loss_is_that_of_the_batches(slices: int | None, threads: int) -> None:
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=4), rng.integers(1, 5, size=4)) for _ in range(3)]
    expected = np.mean([2 * np.average(x, weights=weights) for x, weights in batches])
    with workers(threads):
        got = mean_loss(batch_losses(Scale(), WEIGHTED, lambda i: batches[i], 3, slices))
    assert got == pytest.approx(expected, rel=1e-13)


def test_a_mean_loss_records_nothing_and_has_no_key() -> None:
    def loss(model: Any, batch: Any, key: int | None) -> Any:
        result = Scale().loss(batch)
        assert key is None and result.node is None
        return result

    batch = np.ones(4), np.array([1, 1, 0, 0])
    assert mean_loss(batch_losses(None, Objective(loss, WEIGHTED.count), lambda i: batch, 2,
                                  slices=2)) == 2
