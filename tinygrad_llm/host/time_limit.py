"""A limit on the processor time that a block may take: the last resort against endless work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def time_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Raise `error` inside the block whenever this process has computed for `seconds` in it.

    Time that the process waits or is stopped does not count. Compiled code that never looks for
    signals is not interrupted; Python's own code and `re` are. Blocks must not be nested. Where
    there is no such timer, on Windows and in other threads than the first, nothing is limited.
    """
    if not hasattr(signal, "setitimer") or (
            threading.current_thread() is not threading.main_thread()):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise error

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
