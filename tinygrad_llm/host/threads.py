"""Work on several cores, with results whose bits do not depend on how many there were.

    with workers(threads):                  # BLAS is held to one thread each
        each(count, body)                   # body(0), body(1), ... on the next free thread
        over_rows(body, x)                  # body(slice), over blocks of rows that fit a cache
        matmul(a, b)                        # a product in blocks

What is computed is cut into pieces by the shapes alone, never by the number of threads; a piece is
computed by one thread from beginning to end, and results come back in the order of the pieces. So
1, 2 and 4 threads give the same bits.

Pieces do not cut themselves again: inside a piece everything runs on its own thread (a single piece
is the whole, and may be cut). What is switched for the caller is switched in its pieces: recording
(`no_grad`), `np.errstate`, context variables. Where no `workers` block is open, pieces run one
after another and BLAS uses the threads it is set to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from itertools import count as counter
from typing import Any, TypeVar

import numpy as np

from autograd import namespace
from autograd.backend import Array
from autograd.tensor import STATE

from .blas import loaded_blas, warn_of_free_blas
from .errors import UserError
from .machine import THREADS_VARIABLE, keep_freed_memory, usable_cores

T = TypeVar("T")

BLOCK_BYTES = 1 << 19  # of one array in a block of rows: two or three stay in the cache of a core
_WORTH_HANDING_OUT = 1 << 22  # bytes of an array, below which handing out costs more
_WORTH_A_SPLIT = 1 << 24  # multiplications in a product, likewise
_PIECE = 96  # rows or columns of a product's piece, at least: thinner ones cost BLAS time
_TERM_BYTES = 1 << 22  # of a product that is added to something larger, at a time


class _Local(threading.local):
    """The state of one thread."""

    pool: Pool | None = None
    """Of the innermost block that it has opened; `_current_pool` skips blocks that are closed."""
    in_piece = False


_LOCAL = _Local()


class Pool:
    """Threads that wait for work; the one that opened the pool works too."""

    def __init__(self, threads: int, outer: Pool | None) -> None:
        self.threads, self.outer, self.closed = threads, outer, False
        self.process = os.getpid()
        self.helpers = (ThreadPoolExecutor(threads - 1, "worker", _begin_thread)
                        if threads > 1 else None)

    def each(self, count: int, body: Callable[[int], T], at_once: int) -> list[T]:
        """Return [body(0), body(1), ...]; the next free thread takes the next piece.

        The first piece that fails is raised, an interrupt before any. None is begun after that, and
        those under way are waited for.
        """
        results: list[Any] = [None] * count
        failed: list[tuple[bool, int, BaseException]] = []
        turns = counter()

        def take_pieces() -> None:
            while not failed and (i := next(turns)) < count:
                try:
                    results[i] = body(i)
                except BaseException as error:
                    failed.append((isinstance(error, Exception), i, error))

        jobs: list[Future[None]] = []
        try:
            self._call_helpers(min(self.threads, count, at_once) - 1, take_pieces, jobs)
            _LOCAL.in_piece = True
            take_pieces()
            _wait_for(jobs)
        except BaseException as error:  # interrupted between two pieces, or while it waited
            failed.append((False, -1, error))
            _wait_for(jobs)
        finally:
            _LOCAL.in_piece = False
        _raise_first(failed)
        return results

    def _call_helpers(self, number: int, take_pieces: Callable[[], None],
                      jobs: list[Future[None]]) -> None:
        """Have helpers take pieces; each job is noted at once, as an interrupt may come next."""
        if self.helpers is None or self.process != os.getpid():  # a fork has no threads
            return
        switches = dict(vars(STATE))
        for _ in range(number):
            jobs.append(self.helpers.submit(copy_context().run, _help, take_pieces, switches))

    def close(self) -> None:
        """End the threads."""
        self.closed = True
        if self.helpers is not None and self.process == os.getpid():
            self.helpers.shutdown(wait=True, cancel_futures=True)


def _begin_thread() -> None:
    """Begin a helping thread."""
    _LOCAL.in_piece = True
    loaded_blas().hold()


def _help(take_pieces: Callable[[], None], switches: dict[str, Any]) -> None:
    """Take pieces as the caller does, whose autograd switches are given."""
    vars(STATE).update(switches)
    try:
        take_pieces()
    finally:
        vars(STATE).clear()


def _raise_first(failed: list[tuple[bool, int, BaseException]]) -> None:
    """Raise the error of the first piece that failed, if any; the order puts interrupts first."""
    try:
        if failed:
            raise min(failed)[2]
    finally:
        failed.clear()  # the error's frames refer to the list: no circle


def _wait_for(jobs: list[Future[None]]) -> None:
    for job in jobs:
        if not job.cancel():  # where all is done before it began, it need not begin
            job.result()


def _current_pool() -> Pool | None:
    """Return the pool that is to be used here, if any."""
    if _LOCAL.in_piece:
        return None
    while (pool := _LOCAL.pool) is not None and pool.closed:
        _LOCAL.pool = pool.outer
    return pool


@contextmanager
def workers(threads: int | None = None) -> Iterator[int]:
    """Inside the block, the current thread's work is spread over `threads` cores.

    Without a number: TINYGRAD_LLM_THREADS, or all cores that this process may use. Gives the
    number. BLAS is held to one thread meanwhile, and then set as it was before. Where it cannot be
    held, a warning says so once, everything runs on one thread and BLAS uses its own.
    Leaving the block, also by an exception, ends the threads. A process that is forked inside the
    block goes on with one thread, and a block that is opened in a piece has one. Raises ValueError
    for a number below 1.
    """
    threads = check_threads(threads)
    if _LOCAL.in_piece:
        yield 1
        return
    keep_freed_memory()
    with loaded_blas().held() as held:
        if not held:
            warn_of_free_blas()
        pool = _LOCAL.pool = Pool(threads if held else 1, _LOCAL.pool)
        try:
            yield pool.threads
        finally:
            pool.close()


def workers_unless_open() -> AbstractContextManager[Any]:
    """Return the block of `workers()`, or one that does nothing inside an open one or a piece."""
    return nullcontext() if _LOCAL.in_piece or _current_pool() is not None else workers()


def check_threads(threads: int | None) -> int:
    """Return the number of threads that is meant.

    Raises ValueError unless it is at least 1: a UserError where TINYGRAD_LLM_THREADS says so.
    """
    number: Any = threads
    if threads is None:
        text = os.environ.get(THREADS_VARIABLE, "").strip()
        number = int(text) if text.isdecimal() else text or usable_cores()
    if isinstance(number, (int, np.integer)) and not isinstance(number, bool) and number >= 1:
        return int(number)
    name, kind = ("threads", ValueError) if threads is not None else (THREADS_VARIABLE, UserError)
    raise kind(f"{name} must be a whole number from 1, got {number!r}; leave it out for all "
               f"{usable_cores()} cores")


def each(count: int, body: Callable[[int], T], at_once: int | None = None) -> list[T]:
    """Return [body(0), ..., body(count - 1)], computed on all workers, by default.

    With a number `at_once`, no more of them are under way at a time; one at a time may be cut as a
    single piece may. Where one raises, the others end what they have begun, and the first error is
    raised.
    """
    most = count if at_once is None else min(count, at_once)
    pool = _current_pool() if most > 1 else None
    return [body(i) for i in range(count)] if pool is None else pool.each(count, body, most)


def over_rows(body: Callable[[slice], T], x: Array, cost: int = 1) -> list[T]:
    """Return `body(rows)` for blocks of rows of x that together are all of them.

    x, of shape (N, ...), gives the length of a row; a block of rows fits a core's cache. `cost` is
    the work for a row, 1 for a few passes over it. On a GPU, there is one block.
    """
    size = len(x)
    if type(x) is not np.ndarray or x.nbytes <= BLOCK_BYTES:
        return [body(slice(0, size))]
    step = max(1, BLOCK_BYTES * size // x.nbytes)
    blocks = [slice(i, min(i + step, size)) for i in range(0, size, step)]
    if x.nbytes * cost < _WORTH_HANDING_OUT:
        return [body(rows) for rows in blocks]
    return each(len(blocks), lambda i: body(blocks[i]))


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return the product of two matrices, cut along the longer side of the result.

    `out`, which must not share memory with a or b, takes it. Raises ValueError for shapes that do
    not fit; stacks of matrices are for the library's own matmul.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: expected matrices (N, K) and (K, M), got {a.shape} and "
                         f"{b.shape}; for stacks of them use the library's own matmul")
    (rows, inner), columns = a.shape, b.shape[1]
    if out is not None and out.shape != (rows, columns):
        raise ValueError(f"matmul: expected out of shape {(rows, columns)}, got {out.shape}")
    xp = namespace(a, b)
    if xp is not np or rows * inner * columns < _WORTH_A_SPLIT or _current_pool() is None:
        return xp.matmul(a, b, out=out)
    y = np.empty((rows, columns), np.result_type(a, b)) if out is None else out
    length, count = max(rows, columns), 16  # a power of 2: pieces come out even on as many threads
    while count > 1 and length < count * _PIECE:
        count //= 2

    def piece(i: int) -> None:
        part = slice(i * length // count, (i + 1) * length // count)
        if rows >= columns:
            np.matmul(a[part], b, out=y[part])
        else:
            np.matmul(a, b[:, part], out=y[:, part])

    each(count, piece)
    return y


def write_product(a: Array, b: Array, total: Array, add: bool) -> None:
    """Set `total` to the product of two matrices, or add it there.

    Both go by the same blocks of rows: a product has other bits when it is cut otherwise.
    """
    step = max(1, _TERM_BYTES * len(total) // max(1, total.nbytes))
    # One array for all terms: a worker may hold the last one a moment after its piece is done.
    term = namespace(a, b).empty((min(step, len(total)) * add, b.shape[1]), np.result_type(a, b))
    for start in range(0, len(total), step):
        rows = total[start : start + step]
        if add:
            rows += matmul(a[start : start + step], b, out=term[: len(rows)])
        else:
            matmul(a[start : start + step], b, out=rows)
