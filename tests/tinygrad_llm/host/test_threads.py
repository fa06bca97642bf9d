"""Pieces on several threads: the same bits, errors that arrive, and nothing left behind."""

from __future__ import annotations

import contextvars
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor, no_grad, plain_ops
from autograd.tape import detect_anomaly
from autograd.tensor import STATE, at_depth
from tinygrad_llm.host import threads as host_threads
from tinygrad_llm.host.blas import loaded_blas
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.machine import THREADS_VARIABLE, usable_cores
from tinygrad_llm.host.threads import (
    check_threads,
    each,
    matmul,
    over_rows,
    workers,
    workers_unless_open,
)

THREADS = [1, 2, 4]
BLAS = loaded_blas()


@pytest.fixture(autouse=True)
def on_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the place of the fixture that runs other tests in a block; leave no thread behind."""
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    before, limits = set(threading.enumerate()), blas_threads()
    yield
    assert set(threading.enumerate()) == before
    assert blas_threads() == limits
    assert host_threads._current_pool() is None and not host_threads._LOCAL.in_piece


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut what is small."""
    monkeypatch.setattr(host_threads, "BLOCK_BYTES", 256)
    monkeypatch.setattr(host_threads, "_WORTH_HANDING_OUT", 512)
    monkeypatch.setattr(host_threads, "_WORTH_A_SPLIT", 64)
    monkeypatch.setattr(host_threads, "_PIECE", 2)


def blas_threads() -> list[int]:
    return [library.num_threads for library in BLAS.controller.lib_controllers]


def run_script(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, text=True,
                          capture_output=True, env={**os.environ, **env})


def meet(*names: str) -> Callable[[], str]:
    """Return a function that returns once as many threads have called it as there are names."""
    barrier = threading.Barrier(len(names), timeout=10)

    def arrive() -> str:
        return names[barrier.wait()]

    return arrive


# the same results, in order

@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_each_gives_results_in_order(threads: int, count: int) -> None:
    with workers(threads) as given:
        assert given == threads
        assert each(count, lambda i: i * i) == [i * i for i in range(count)]
    assert each(count, lambda i: i * i) == [i * i for i in range(count)]


def test_each_begins_a_piece_once_and_on_all_threads() -> None:
    arrive, begun = meet("a", "b", "c"), []

    def body(i: int) -> str:
        begun.append(i)
        return arrive()

    with workers(3):
        assert sorted(each(3, body)) == ["a", "b", "c"]  # else the barrier breaks
        assert sorted(each(3, body)) == ["a", "b", "c"]
    assert sorted(begun) == [0, 0, 1, 1, 2, 2]


def arrays(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(shape) * 8
    return values.astype(dtype)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "bool"])
@given(rows=st.integers(0, 70), inner=st.integers(0, 20), columns=st.integers(0, 70))
def test_a_product_has_the_same_bits_on_any_number_of_threads(
        dtype: str, rows: int, inner: int, columns: int) -> None:
    a, b = arrays(rows, inner, dtype=dtype), arrays(inner, columns, dtype=dtype)
    expected = a @ b
    found = []
    for threads in THREADS:
        with workers(threads):
            found.append(matmul(a, b))
            out = np.empty((columns, rows), dtype).T
            assert matmul(a, b, out) is out
            found.append(out)
    assert all(y.dtype == expected.dtype and y.shape == expected.shape for y in found)
    assert all(y.tobytes() == found[0].tobytes() for y in found[::2])
    assert all(y.tobytes() == found[1].tobytes() for y in found[1::2])
    if rows and inner and columns:
        tolerance = {"float16": 0.5, "float32": 1e-3}.get(dtype, 1e-9)
        for y in found[:2]:
            np.testing.assert_allclose(y.astype(float), expected.astype(float), 1e-2, tolerance)


@pytest.mark.usefixtures("small")
def test_a_product_takes_views_and_mixed_types() -> None:
    a, b = arrays(64, 40)[::2, ::2].T, arrays(48, 64)[:, ::2].T
    with workers(2):
        np.testing.assert_allclose(matmul(a, b), a @ b, rtol=1e-4, atol=1e-3)
        mixed = matmul(a, b.astype(np.float64))
        assert mixed.dtype == np.float64
        np.testing.assert_allclose(mixed, a @ b.astype(np.float64))
        slot = np.zeros((20, 100), np.float32)
        matmul(a, b, out=slot[:, 7:55])
    np.testing.assert_allclose(slot[:, 7:55], a @ b, rtol=1e-4, atol=1e-3)
    assert not slot[:, :7].any() and not slot[:, 55:].any()


@pytest.mark.parametrize("shape, cuts", [((40, 3, 8), 16), ((8, 3, 30), 8), ((5, 9, 5), 2),
                                         ((3, 9, 3), 1), ((3, 3, 3), 1)])
def test_a_product_is_cut_along_its_longer_side(
        small: None, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int],
        cuts: int) -> None:
    pieces, real = [], np.matmul

    def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        pieces.append((len(a), b.shape[1]))
        return real(a, b, out=out)

    monkeypatch.setattr(np, "matmul", product)
    a, b = arrays(*shape[:2]), arrays(*shape[1:])
    rows, columns = len(a), b.shape[1]
    with workers(2):
        np.testing.assert_allclose(matmul(a, b), np.dot(a, b), rtol=1e-4, atol=1e-3)
    assert len(pieces) == cuts
    if rows >= columns:
        assert sum(n for n, _ in pieces) == rows and {m for _, m in pieces} == {columns}
    else:
        assert sum(m for _, m in pieces) == columns and {n for n, _ in pieces} == {rows}
    pieces.clear()
    matmul(a, b)
    with workers(2):
        each(2, lambda i: matmul(a, b))
    assert pieces == [(rows, columns)] * 3, "only in a block, and outside of pieces"


@pytest.mark.parametrize("a, b, out, message", [
    ((2, 3), (4, 5), None, r"matrices \(N, K\) and \(K, M\), got \(2, 3\) and \(4, 5\)"),
    ((2, 2, 3), (3, 5), None, "for stacks of them"),
    ((3,), (3, 5), None, "expected matrices"),
    ((2, 3), (3, 5), (3, 5), r"out of shape \(2, 5\), got \(3, 5\)")])
def test_a_product_says_which_shapes_it_takes(
        a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matmul(np.ones(a), np.ones(b), None if out is None else np.ones(out))


@pytest.mark.usefixtures("small")
@given(shape=st.tuples(st.integers(0, 300), st.integers(0, 5), st.integers(0, 5)))
def test_blocks_of_rows_are_all_rows_in_order(shape: tuple[int, ...]) -> None:
    x, found = arrays(*shape), []
    for threads in [0, *THREADS]:
        sums = np.zeros(x.shape[1:], np.float32)
        y = np.zeros_like(x)

        def body(rows: slice, y: np.ndarray = y) -> tuple[slice, np.ndarray]:
            assert x[rows].nbytes <= max(256, x[0].nbytes if len(x) else 0)
            np.exp(x[rows], out=y[rows])
            return rows, y[rows].sum(0)

        if threads:
            with workers(threads):
                parts = over_rows(body, x)
        else:
            parts = over_rows(body, x)
        assert [i for rows, _ in parts for i in range(rows.start, rows.stop)] == list(range(len(x)))
        for _, part in parts:
            sums += part
        np.testing.assert_array_equal(y, np.exp(x))
        found.append(sums.tobytes())
    assert set(found) == {found[0]}


@pytest.mark.usefixtures("small")
def test_rows_of_a_gpu_are_one_block() -> None:
    x = strict_cupy.asarray(np.ones((100, 100)))
    with workers(2):
        assert over_rows(lambda rows: rows, x) == [slice(0, 100)]
        y = matmul(x, x)
    assert isinstance(y, strict_cupy.ndarray)


def test_large_products_and_blocks_are_cut_as_they_come() -> None:
    x = arrays(1024, 1100)
    with workers(2):
        blocks = over_rows(lambda rows: rows.stop - rows.start, x)
        y = matmul(x, x.T)
    assert sum(blocks) == 1024 and len(set(blocks[:-1])) == 1 and len(blocks) > 2
    np.testing.assert_allclose(y, x @ x.T, rtol=1e-3, atol=1)


@pytest.mark.parametrize("shape", [(7, 5, 3), (70, 9, 33), (1, 4, 1), (0, 3, 2), (100, 384, 31)])
def test_a_product_has_the_same_bits_whether_it_is_added_or_set(
        shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_threads, "_TERM_BYTES", 1000)
    rng = np.random.default_rng(0)
    a = rng.normal(size=shape[1::-1]).astype(np.float32).T
    b = rng.normal(size=shape[1:]).astype(np.float32)
    start = rng.normal(size=(shape[0], shape[2])).astype(np.float32)
    made, added = np.empty_like(start), start.copy()
    host_threads.write_product(a, b, made, False)
    host_threads.write_product(a, b, added, True)
    np.testing.assert_allclose(made, a @ b, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(added, start + made)


# inside a piece

def test_no_more_than_so_many_pieces_are_under_way() -> None:
    barrier, seen = threading.Barrier(2, timeout=10), set[str]()

    def body(i: int) -> int:
        seen.add(threading.current_thread().name)
        barrier.wait()  # two at a time, or this breaks
        return i

    with workers(4):
        assert each(6, body, at_once=2) == [*range(6)]
        assert len(seen) <= 3
        in_piece = each(3, lambda i: host_threads._LOCAL.in_piece, at_once=1)
        assert in_piece == [False] * 3, "one at a time may be cut"


def test_pieces_are_not_cut_again_but_a_single_one_may_be() -> None:
    def threads_inside(i: int) -> set[str]:
        return set(each(4, lambda j: threading.current_thread().name))

    with workers(2):
        assert all(len(names) == 1 for names in each(2, threads_inside))
        arrive = meet("a", "b")
        assert each(1, lambda i: sorted(each(2, lambda j: arrive()))) == [["a", "b"]]


def test_a_block_in_a_piece_has_one_thread() -> None:
    def body(i: int) -> tuple[int, set[str]]:
        with workers(4) as threads:
            return threads, set(each(4, lambda j: threading.current_thread().name))

    with workers(2):
        for threads, names in each(3, body):
            assert threads == 1 and len(names) == 1
        arrive = meet("a", "b")
        each(2, lambda i: arrive())


def test_blocks_lie_in_one_another() -> None:
    with workers(2):
        with workers(3) as threads:
            assert threads == 3
            arrive = meet("a", "b", "c")
            each(3, lambda i: arrive())
        arrive = meet("a", "b")
        each(2, lambda i: arrive())


def test_workers_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "3")

    def threads() -> int:
        pool = host_threads._current_pool()
        return 1 if pool is None else pool.threads

    with workers_unless_open():
        assert threads() == 3
    with workers(2):
        with workers_unless_open():
            assert threads() == 2
        assert threads() == 2
        with workers_unless_open():
            assert each(2, lambda i: threads()) == [1, 1]
    assert threads() == 1

    def in_piece(i: int) -> int:
        with workers_unless_open():
            return threads()

    with workers(2):
        assert each(2, in_piece) == [1, 1]


def test_pieces_see_what_is_switched_for_the_caller() -> None:
    arrive = meet("a", "b")
    x = Tensor([1.0, 2.0], requires_grad=True)
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="default")

    def state(i: int) -> tuple[Any, ...]:
        arrive()
        return (STATE.recording, STATE.depth, STATE.watch, name.get(), (x * x).requires_grad,
                STATE.plain)

    with workers(2):
        assert each(2, state) == [(True, 0, None, "default", True, False)] * 2
        token = name.set("set")
        with no_grad(), at_depth(2), plain_ops():
            assert each(2, state) == [(False, 2, None, "set", False, True)] * 2
        name.reset(token)
        with detect_anomaly():
            assert each(2, state) == [(True, 0, STATE.watch, "default", True, False)] * 2
        helpers = getattr(host_threads._current_pool(), "helpers")  # noqa: B009  (it is None for one thread)
        assert helpers.submit(lambda: vars(STATE)).result() == {}, "nothing is kept alive"
        assert each(2, state) == [(True, 0, None, "default", True, False)] * 2


def test_what_a_piece_switches_is_not_seen_by_others() -> None:
    arrive = meet("a", "b")

    def body(i: int) -> bool:
        with no_grad():
            arrive()
            arrive()
        return STATE.recording

    with workers(2):
        assert each(2, body) == [True, True]
        with no_grad():
            assert each(2, body) == [False, False]
        assert each(2, body) == [True, True]


def test_warnings_that_are_errors_are_errors_in_pieces() -> None:
    arrive = meet("a", "b")

    def body(i: int) -> str:
        arrive()
        try:
            np.log(np.zeros(3))
        except FloatingPointError:
            return "error"
        return "silence"

    with workers(2):
        with np.errstate(divide="raise"):
            assert each(2, body) == ["error"] * 2
        with np.errstate(divide="ignore"):
            assert each(2, body) == ["silence"] * 2


# errors and interrupts

class Wrong(Exception):
    pass


@pytest.mark.parametrize("threads", THREADS)
def test_the_first_error_arrives_with_its_own_traceback(threads: int) -> None:
    def fails(i: int) -> None:
        if i in (3, 5):
            raise Wrong(i)

    with workers(threads):
        for _ in range(20):
            with pytest.raises(Wrong) as caught:
                each(50, fails)
            assert caught.value.args == (3,)
            assert "fails" in [frame.name for frame in traceback.extract_tb(caught.tb)]
            assert caught.value.__context__ is None
        assert each(3, lambda i: i) == [0, 1, 2], "the block can still be used"


@pytest.mark.parametrize("failing", ["MainThread", "helper"])
def test_after_an_error_no_piece_is_begun_and_those_begun_are_waited_for(failing: str) -> None:
    arrive, begun, ended = meet("a", "b"), [], []

    def body(i: int) -> None:
        begun.append(i)
        if i < 2:
            arrive()
        if (threading.current_thread() is threading.main_thread()) == (failing == "MainThread"):
            raise Wrong
        time.sleep(0.05)
        ended.append(i)

    with workers(2):
        with pytest.raises(Wrong):
            each(100, body)
        assert sorted(begun) == [0, 1] and len(ended) == 1


def test_an_error_leaves_the_block_and_no_circle() -> None:
    class Held:
        pass

    kept: list[weakref.ref[Held]] = []

    def body(i: int) -> None:
        held = Held()
        kept.append(weakref.ref(held))
        raise Wrong

    gc.disable()
    try:
        try:
            with workers(2):
                each(4, body)
        except Wrong:
            pass
        assert kept and all(held() is None for held in kept)
    finally:
        gc.enable()


def test_results_and_bodies_are_let_go() -> None:
    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)
    arrive = meet("a", "b")
    gc.disable()
    try:
        with workers(2):
            each(2, lambda i, held=held: (arrive(), held))  # type: ignore[misc]
            del held
            each(2, lambda i: arrive())  # a helper may hold its last task until it has the next
            assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
def test_any_kind_of_exception_comes_through(error: type[BaseException]) -> None:
    arrive = meet("a", "b")

    def body(i: int) -> None:
        arrive()
        if threading.current_thread() is not threading.main_thread():
            raise error("here")

    with workers(2), pytest.raises(error, match="here"):
        each(2, body)


def test_an_interrupt_goes_before_an_error() -> None:
    arrive = meet("a", "b")

    def body(i: int) -> None:
        arrive()
        raise Wrong if i == 0 else KeyboardInterrupt

    with workers(2), pytest.raises(KeyboardInterrupt):
        each(2, body)


def test_an_interrupt_within_a_piece() -> None:
    arrive, ended = meet("a", "b"), []

    def body(i: int) -> None:
        if i < 2:
            arrive()
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        ended.append(i)

    with workers(2):
        with pytest.raises(KeyboardInterrupt):
            each(100, body)
        assert len(ended) == 1


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_while_the_others_are_waited_for(times: int) -> None:
    arrive, ended = meet("a", "b"), []
    main = threading.main_thread()

    def body(i: int) -> None:
        arrive()
        if threading.current_thread() is not main:
            for _ in range(times):  # the main thread is waiting by now, or about to
                time.sleep(0.05)
                signal.pthread_kill(main.ident or 0, signal.SIGINT)
            time.sleep(0.05)
            ended.append(i)

    with pytest.raises(KeyboardInterrupt), workers(2):
        each(2, body)
    assert len(ended) == 1, "if not by `each`, it is waited for at the end of the block"


def test_ctrl_c_ends_a_process_that_is_at_work() -> None:
    script = """
import os, signal, sys, threading, time
from tinygrad_llm.host.threads import each, workers
before = threading.active_count()
def body(i):
    if i == 20:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.002)
try:
    with workers(3):
        each(100000, body)
except KeyboardInterrupt:
    print("interrupted", threading.active_count() - before)
"""
    done = run_script(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted 0\n", "")


# blocks in several threads, and blocks that are never left

def test_two_threads_have_their_own_workers() -> None:
    def work(k: int) -> list[int]:
        with workers(2):
            return [sum(each(5, lambda i: i * k)) for _ in range(20)]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(8))) == [[10 * k] * 20 for k in range(8)]


def test_a_block_that_is_never_left_does_not_hinder_the_end() -> None:
    script = """
from tinygrad_llm.host.threads import each, workers
block = workers(3)
block.__enter__()
print(each(3, lambda i: i))
"""
    done = run_script(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 1, 2]\n", "")


# forks

@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("where", ["block", "piece"])
@pytest.mark.parametrize("end", ["sys.exit(7)", "os._exit(7)"])
def test_a_fork_goes_on_alone(where: str, end: str) -> None:
    script = f"""
import os, sys, threading
import numpy as np
from tinygrad_llm.host import threads as host_threads
from tinygrad_llm.host.threads import each, matmul, workers

host_threads._WORTH_A_SPLIT = 1
x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)

def fork():
    return os.fork() if threading.current_thread() is threading.main_thread() else None

def main():
    with workers(3):
        barrier = threading.Barrier(3)
        each(3, lambda i: barrier.wait(10))
        y = matmul(x, x)
        child = fork() if {where!r} == "block" else next(
            c for c in each(3, lambda i: (barrier.wait(10), fork())[1]) if c is not None)
        if child == 0 and {where!r} == "piece":
            os._exit(1)
        assert each(50, lambda i: i) == list(range(50))
        assert (matmul(x, x) == y).all()
        if child == 0:
            names = set(each(50, lambda i: threading.current_thread().name))
            assert len(names) == 1, names
    with workers(2):
        assert (matmul(x, x) == y).all()
    (x @ x).sum()
    if child == 0:
        {end}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (7 if {where!r} == "block" else 9)

if {where!r} == "piece":
    real = os.fork
    def forked():
        child = real()
        if child == 0:
            assert each(5, lambda i: i) == list(range(5))
            with workers(4) as threads:
                assert threads == 1
            os._exit(9)
        return child
    os.fork = forked
main()
print("parent done")
"""
    done = run_script(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "parent done\n", "")


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_processes_of_multiprocessing_work_alone_or_with_their_own_workers() -> None:
    script = """
import multiprocessing
from tinygrad_llm.host.threads import each, workers

def square(i):
    with workers(2):
        return each(3, lambda j: i * j), each(1, lambda j: i)

with workers(2):
    each(5, lambda i: i)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, range(3)))
"""
    done = run_script(script)
    assert done.stdout == "[([0, 0, 0], [0]), ([0, 1, 2], [1]), ([0, 2, 4], [2])]\n", done.stderr
    assert done.returncode == 0


# how many

def test_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_threads(None) == usable_cores()
    assert check_threads(3) == check_threads(np.int64(3)) == 3  # type: ignore[arg-type]
    assert check_threads(1000) == 1000, "more than there are cores"
    for text, threads in (("3", 3), (" 2 ", 2), ("", usable_cores()), ("  ", usable_cores())):
        monkeypatch.setenv(THREADS_VARIABLE, text)
        assert check_threads(None) == threads
        assert check_threads(5) == 5
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    with workers() as threads:
        assert threads == 2


@pytest.mark.parametrize("threads", [0, -1, True, False, 2.0, "2", "x", "", float("nan"), [2]])
def test_what_is_no_number_of_threads(threads: Any) -> None:
    with (pytest.raises(ValueError, match="threads must be a whole number from 1, got"),
          workers(threads)):
        raise AssertionError


@pytest.mark.parametrize("text", ["0", "-1", "2.0", "x", "1e3", "²"])
def test_what_is_no_number_in_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, text)
    with pytest.raises(UserError, match=f"{THREADS_VARIABLE} must be a whole number from 1"):
        check_threads(None)
    assert check_threads(2) == 2
