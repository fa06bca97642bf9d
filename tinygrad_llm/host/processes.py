"""Processes to share work with, that begin afresh, end with their parent, and heed no Ctrl-C.

Started afresh rather than forked: a fork copies locks that other threads may hold. And without the
caller's script, which a process that multiprocessing starts would otherwise import as its own: one
without `if __name__ == "__main__":` would run again in each.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_MAIN_LOCK = threading.Lock()  # what __main__ names is the same for all threads


class Processes(ProcessPoolExecutor):
    """`workers` processes, started as tasks are submitted; `begin(*args)` is called first in each.

    What is sent to them must not be defined in the caller's script (see `needs_main`). Leaving the
    block ends each after the task that it is at.
    """

    def __init__(self, workers: int, begin: Callable[..., object] | None = None, *args: Any
                 ) -> None:
        ways = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
        super().__init__(workers, context, _begin_process, (begin, args))

    def submit(self, function: Callable[..., T], /, *args: Any, **keywords: Any) -> Future[T]:
        """Have function(*args, **keywords) called by a process."""
        with _main_left_out():
            return super().submit(function, *args, **keywords)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, whatever the user presses meanwhile.

        A second Ctrl-C would end the wait for the thread that ends the processes, Python would
        take it for ended (as Thread.join does), and then wait for them forever when it exits.
        """
        with _uninterrupted():
            super().shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End the processes; tasks that none of them has begun are dropped."""
        self.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Keep processes that start meanwhile from importing the caller's script as their own."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    with _MAIN_LOCK:
        kept: dict[str, Any] = {name: vars(main).pop(name) for name in names if name in vars(main)}
        main.__spec__ = None  # where spawn.get_preparation_data looks first, then at __file__
        try:
            yield
        finally:
            vars(main).update(kept)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let nothing come of Ctrl-C during the block; only a process's first thread can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def _begin_process(begin: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
    """Begin a process: leave Ctrl-C to its parent, and do not outlive that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def needs_main(value: Any) -> bool:
    """Whether `value` cannot be sent to Processes: a class or function in it is the script's."""
    finder = _MainFinder(io.BytesIO())
    try:
        finder.dump(value)
    except (pickle.PicklingError, AttributeError, TypeError):  # lambdas, open files
        return True
    return finder.found


class _MainFinder(pickle.Pickler):
    """Looks for classes and functions of the caller's script."""

    found = False

    def persistent_id(self, value: Any) -> None:
        """Note where a value is defined; it is asked for each one that is pickled."""
        if callable(value) and getattr(value, "__module__", None) == "__main__":
            self.found = True
