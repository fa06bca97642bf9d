"""One thread that writes a run's checkpoints while the run goes on."""

from __future__ import annotations

from threading import Thread

from .checkpoint import Saving


class Background:
    """Writes one checkpoint at a time, in a thread of its own.

    Before the arrays of a checkpoint that may still be under way are changed, `settle` is called.
    An error of the thread is raised by the next call of a method but `join`; `failed` says that
    the last checkpoint is not there.
    """

    def __init__(self) -> None:
        self._saving: Saving | None = None
        self._thread: Thread | None = None
        self._error: BaseException | None = None
        self.failed = False

    def begin(self, saving: Saving) -> None:
        """Have a checkpoint written, as soon as the one before it is done."""
        self.wait()
        self._saving, self.failed = saving, False
        self._thread = Thread(target=self._write, name="checkpoint")
        self._thread.start()

    def settle(self) -> None:
        """Copy what is not written yet; return when the arrays may be changed."""
        if self._thread is not None:
            if not self._thread.is_alive():
                self.wait()
            elif self._saving is not None:
                self._saving.settle()

    def wait(self) -> None:
        """Return when all is written. Raises UserError where that failed."""
        self.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def join(self) -> None:
        """Return when nothing is being written any more, done or failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = self._saving = None

    def _write(self) -> None:
        try:
            assert self._saving is not None
            self._saving.write()
        except BaseException as error:
            self._error, self.failed = error, True
