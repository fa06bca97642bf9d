"""The BLAS that NumPy multiplies with, held to one thread while `workers` share the work."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController


class Blas:
    """The BLAS, held to one thread as long as a block is open in any thread of the process."""

    def __init__(self) -> None:
        np.dot(np.ones((2, 2)), np.ones((2, 2)))  # so that the library is loaded
        self.controller = ThreadpoolController().select(user_api="blas")
        self.lock = threading.Lock()
        self.blocks = 0
        self.before: list[int] = []

    def hold(self) -> bool:
        """Hold BLAS, of which some count for each thread apart; return whether that is possible."""
        found = self.controller.lib_controllers
        for library in found:
            if library.num_threads != 1:
                library.set_num_threads(1)
        return bool(found) and all(library.num_threads == 1 for library in found)

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold BLAS inside the block; the last block that is left sets it as it was."""
        with self.lock:
            if not self.blocks:
                self.before = [library.num_threads for library in self.controller.lib_controllers]
            self.blocks += 1
            held = self.hold()
            self.disclaim()
        try:
            yield held
        finally:
            with self.lock:
                self.blocks -= 1
                if not self.blocks:
                    for library, number in zip(self.controller.lib_controllers, self.before,
                                               strict=True):
                        library.set_num_threads(number)
                    self.disclaim()

    def disclaim(self) -> None:
        """Let other threads set the number, too.

        To threadpoolctl from 3.7 on, OpenBLAS belongs to the thread that first set its number,
        until that leaves a block of its `limit`: what others set is ignored, and so would be the
        last block's restoring where another thread opened the first. This one limits nothing.
        """
        with self.controller.limit(limits=None):
            pass


@cache
def loaded_blas() -> Blas:
    """Return the BLAS of this process."""
    return Blas()


@cache
def warn_of_free_blas() -> None:
    """Warn, once, the caller of the block that was to hold BLAS."""
    warnings.warn("BLAS cannot be held to one thread (threadpoolctl does not know it, or another "
                  "thread has limited it): using one thread, and BLAS its own", RuntimeWarning,
                  stacklevel=4)
