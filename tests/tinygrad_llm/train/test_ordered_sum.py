"""Sums in the order of their parts' numbers, in whatever order the parts come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd.deferred import Deferred
from tinygrad_llm.train import ordered_sum
from tinygrad_llm.train.ordered_sum import OrderedSum


@given(st.permutations(range(5)))
def test_parts_are_added_in_their_order_whenever_they_come(order: Sequence[int]) -> None:
    parts = [np.array([x], dtype=np.float32) for x in (1e8, 1.0, -1e8, 3.0, 1e-3)]
    expected = parts[0].copy()
    for part in parts[1:]:
        expected += part
    sums = OrderedSum([np.empty(1, dtype=np.float32)])
    for number in order:
        sums.add(number, 0, parts[number])
    assert sums.waiting_bytes == 0
    sums.finish()
    assert sums.totals[0] == expected and sums.added == [5]
    assert parts[0] == np.float32(1e8), "no part was written into"


def test_parts_from_many_threads() -> None:
    parts = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    sums = OrderedSum([np.empty(7, dtype=np.float32)])
    barrier = threading.Barrier(4)

    def work(own: range) -> None:
        barrier.wait()
        for number in own:
            sums.add(number, 0, parts[number])

    threads = [threading.Thread(target=work, args=(range(i, 40, 4),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = parts[0].copy()
    for part in parts[1:]:
        expected += part
    assert sums.added == [40] and sums.totals[0].tobytes() == expected.tobytes()


def written(value: float, log: list[str], sparse: bool = False) -> Deferred:
    """A deferred part of one number, which logs what happens to it."""
    def write(total: np.ndarray, add: bool) -> None:
        log.append("added" if add else "set")
        total[...] = total + value if add else value

    return Deferred(np.empty(1), write, sparse)


def test_deferred_parts_are_written_into_the_total() -> None:
    log: list[str] = []
    sums = OrderedSum([np.full(1, np.nan)])
    sums.add(0, 0, written(1.0, log))
    sums.add(1, 0, written(2.0, log))
    assert sums.totals[0] == 3.0 and log == ["set", "added"]


@pytest.mark.parametrize("sparse, expected", [(False, ["set", "set"]), (True, ["set", "added"])])
def test_an_early_part_is_made_into_an_array_by_its_own_thread(
        sparse: bool, expected: list[str]) -> None:
    log: list[str] = []
    sums = OrderedSum([np.full(1, np.nan)])
    sums.add(1, 0, written(2.0, log, sparse))
    assert len(log) == (0 if sparse else 1)
    sums.add(0, 0, written(1.0, log))
    assert sums.totals[0] == 3.0 and log == expected


def test_a_slice_numbers_its_parts_place_by_place() -> None:
    x = [np.array([v], np.float32) for v in (1e8, 1.0, -1e8, 3.0)]
    sums = OrderedSum([np.empty(1, np.float32), np.full(1, 7.0)], slices=2)
    with sums.slice(0) as first, sums.slice(1) as second:
        second(0, x[1])
        second(0, x[3])
        first(0, x[0])
        first(0, x[2])
    sums.finish()
    assert sums.totals[0] == ((x[0] + x[1]) + x[2]) + x[3] and sums.added == [4, 0]
    assert sums.totals[1] == 7.0, "a place without parts is left as it is"


def test_parts_before_which_one_never_comes_are_added_at_the_end() -> None:
    sums = OrderedSum([np.empty(1)], slices=3)
    with sums.slice(0):
        pass
    for s in (2, 1):
        with sums.slice(s) as add:
            add(0, np.array([float(s)]))
    assert sums.added == [0]
    sums.finish()
    assert sums.totals[0] == 3.0 and sums.added == [2]


def with_slice_1_ahead(sums: OrderedSum, slice_0: Callable[[], None]) -> None:
    """Run slice 0 in this thread while slice 1, far ahead, waits in another."""
    entered = threading.Event()

    def ahead() -> None:
        with sums.slice(1) as add:
            add(0, np.array([2.0]))  # this one is left behind
            entered.set()
            add(1, np.array([3.0]))  # before this one the slice waits

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ahead)
        assert entered.wait(10)
        with pytest.raises(TimeoutError):
            job.result(0.05)
        slice_0()
        job.result(10)


def test_a_slice_far_ahead_waits_for_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_sum, "AHEAD", 4)
    sums = OrderedSum([np.empty(1), np.empty(1)], slices=2)

    def behind() -> None:
        with sums.slice(0) as add:
            add(1, np.array([10.0]))
            add(0, np.array([20.0]))

    with_slice_1_ahead(sums, behind)
    assert [total.item() for total in sums.totals] == [22.0, 13.0]


def test_a_slice_that_failed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_sum, "AHEAD", 4)
    sums = OrderedSum([np.empty(1), np.empty(1)], slices=2)

    def failing() -> None:
        with pytest.raises(ZeroDivisionError), sums.slice(0):
            raise ZeroDivisionError

    with_slice_1_ahead(sums, failing)
    sums.finish()
    assert [total.item() for total in sums.totals] == [2.0, 3.0]
