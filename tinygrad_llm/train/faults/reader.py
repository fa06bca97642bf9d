"""Reads that may hang: from a disk that fails, or a file server that is gone.

A thread that hangs in a read takes no signal and cannot be ended. So a batch is read by a thread of
its own, for which the run waits: it says which file it waits for, and can still save and stop.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter
from typing import Any

from ...data.tokens.stored import reading
from ...host.stop_signals import Stop

POLL = 0.1  # seconds between two looks at whether a signal has come


class Stopped(Exception):
    """A signal asked for an end in the middle of something, which is then repeated later."""


class PatientReader:
    """Batches by number, as `batches.at` has them; one that takes long is waited for, and said so.

    After `timeout` seconds (0: never), and each time the wait has doubled.
    """

    def __init__(self, batches: Any, timeout: float, say: Callable[[str], None],
                 stop: Stop | None) -> None:
        self.batches, self.timeout, self.say, self.stop = batches, timeout, say, stop

    def at(self, number: int) -> Any:
        """Return a batch, or raise what its reading raises.

        Raises Stopped where a signal asks for an end before it is there.
        """
        ended, found, errors = Event(), list[Any](), list[BaseException]()

        def work() -> None:
            try:
                found.append(self.batches.at(number))
            except BaseException as error:
                errors.append(error)
            ended.set()

        thread = Thread(target=work, name="reader", daemon=True)  # which keeps no process alive
        began, limit = perf_counter(), self.timeout
        thread.start()
        while not ended.wait(POLL):
            if self.stop:
                raise Stopped
            if limit and (waited := perf_counter() - began) >= limit:
                self.say(f"waiting for {reading.get(thread.ident or 0, 'a batch')} since "
                         f"{waited:.0f} s; Ctrl-C saves and stops")
                limit = 2 * waited
        for error in errors:
            raise error
        return found[0]
