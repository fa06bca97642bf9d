"""Standard output and standard error that never stop the work.

A reader that has gone (`| head -2`, a closed terminal), a stream that was closed before the start
(`>&-`), and characters that its encoding lacks (Cyrillic under cp1252) raise at the next `print`:
hours of work would end for a line that is not read.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GONE = {errno.EPIPE, errno.EIO, errno.EBADF} | ({errno.EINVAL} if os.name == "nt" else set())
"""The errors of a stream that has no reader; Windows calls a closed pipe invalid."""


class SteadyStream:
    """A text stream that never raises: what cannot be written is replaced, or dropped.

    A character that the encoding lacks becomes a question mark. After another failure, which stays
    in `error`, nothing more is written. A missing stream, as Python has it after `>&-`, takes all.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream if stream is not None else _Nowhere()
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        """Write the text, if that is possible; return its length."""
        if self.error is None:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # a ValueError of a stream that was closed
                self.error = error
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError as error:
            encoding = error.encoding
            self.stream.write(text.encode(encoding, "replace").decode(encoding))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the texts one after another."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what is buffered, if that is possible."""
        if self.error is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self.error = error

    @property
    def lost(self) -> OSError | None:
        """The error for which text was lost that a reader waits for, as of a full disk."""
        error = self.error
        return error if isinstance(error, OSError) and error.errno not in GONE else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Lines:
    """A stream for a progress bar where there is no terminal: each of its drawings is a line."""

    def write(self, text: str) -> int:
        """Write the text to standard error as one line, if it has any."""
        if line := text.replace("\x1b[A", "").strip("\r\n "):  # \x1b[A: a line up
            sys.stderr.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        sys.stderr.flush()


class _Nowhere(io.TextIOBase):
    """A stream that drops everything."""

    def write(self, text: str) -> int:
        """Drop the text; return its length."""
        return len(text)


@contextmanager
def steady_output() -> Iterator[SteadyStream]:
    """Inside the block, standard output and error are steady, and a missing input is empty.

    Gives the output. Afterwards the streams are as before; where the output's reader has gone, its
    buffer goes nowhere, so that Python does not complain of it when it exits.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = (s if isinstance(s, SteadyStream) else SteadyStream(s) for s in before[1:])
    sys.stdin = before[0] if before[0] is not None else io.TextIOWrapper(io.BytesIO())
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in (out, err):
            stream.flush()
            if stream.error is not None:
                _empty(stream.stream)


def reader_is_gone() -> bool:
    """Whether standard output, inside a block of `steady_output`, can no longer be written."""
    return getattr(sys.stdout, "error", None) is not None


def write_at_once(line: str) -> None:
    """Write a line to standard error past all buffers, from a signal's handler for instance.

    A handler may run in the middle of another write, where a stream refuses a second one.
    """
    data = f"\n{line}\n"
    with suppress(OSError, ValueError, AttributeError, RuntimeError):
        try:
            os.write(sys.stderr.fileno(), data.encode("ascii", "replace"))
        except io.UnsupportedOperation:  # a stream without a file, as a notebook's
            sys.stderr.write(data)


def _empty(stream: Any) -> None:
    """Let what a broken stream still holds go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
            stream.flush()
        finally:
            os.close(nowhere)
