"""Signals that ask for an end: noted, acknowledged at once, and heeded where nothing is lost.

    Ctrl-C (SIGINT), kill and job schedulers (SIGTERM), a closed terminal (SIGHUP), Ctrl-Break or a
    closed window on Windows (SIGBREAK)
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .output import write_at_once

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Stop:
    """True once a signal has asked for an end; `signal` is its number, 0 before."""

    signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0


@contextmanager
def stop_signals(first: str, again: str) -> Iterator[Stop]:
    """Note the signals during the block, and give what says whether one has come.

    Each is answered on standard error at once: the first with one line, later ones, of which
    nothing comes, with another. A hangup that is ignored stays so, as under `nohup`. Only a
    process's first thread can take signals: elsewhere, none is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, frame: Any) -> None:
        asked, stop.signal = bool(stop), stop.signal or number
        write_at_once(f"{signal.Signals(number).name}: {again if asked else first}")

    numbers = [number for name in NAMES if (number := getattr(signal, name, None)) is not None
               and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield stop
    finally:
        for number, former in before.items():
            signal.signal(number, former if former is not None else signal.SIG_DFL)
