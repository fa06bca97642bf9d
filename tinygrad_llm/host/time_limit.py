"""A limit on the processor time that a block may take: the last resort against endless work."""

from __future__ import annotations

import signal
import threading
from typing import Any

_error: Exception = TimeoutError()  # of the block that is limited


def _stop(number: int, frame: Any) -> None:
    raise _error


class TimeLimit:
    """Raises `error` inside its block whenever this process has computed for `seconds` in it.

    Time that the process waits or is stopped does not count. Compiled code that never looks for
    signals is not interrupted; Python's own code and `re` are. Blocks must not be nested. Where
    there is no such timer, on Windows and in other threads than the first, nothing is limited.
    """

    def __init__(self, seconds: float, error: Exception) -> None:
        self.seconds, self.error = seconds, error

    def __enter__(self) -> None:
        """Start the timer: 2 us, since there is a block for each document."""
        global _error
        self.limits = hasattr(signal, "setitimer") and (
            threading.current_thread() is threading.main_thread())
        if self.limits:
            _error = self.error
            if signal.getsignal(signal.SIGVTALRM) is not _stop:
                signal.signal(signal.SIGVTALRM, _stop)
            signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds, self.seconds)

    def __exit__(self, *error: object) -> None:
        """Stop the timer."""
        if self.limits:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
