"""A file of records that grows, and that a resumed run writes anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..train.log.metrics import finite, record_of

TAIL = 256  # bytes before the place in the file that must still be the same


class Follower:
    """Reads a metrics file from where it last was.

    A file that was rewritten is noticed, as it is shorter or has other bytes before that place.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.offset, self.tail = path, 0, b""
        self.last: dict[str, Any] = {}

    def news(self) -> tuple[bool, list[dict[str, Any]]]:
        """Return whether the file begins anew, and the records of the lines that are new and whole.

        Lines that hold no record are left out.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset - len(self.tail))
                read = file.read()
                if anew := not read.startswith(self.tail):
                    file.seek(0)
                    self.offset, self.tail, read = 0, b"", file.read()
        except OSError:  # it is not there yet, or no more
            anew, read = self.offset > 0, b""
            self.offset, self.tail = 0, b""
        whole = read[: read.rfind(b"\n") + 1]
        self.offset += len(whole) - len(self.tail)
        lines, self.tail = whole[len(self.tail):].splitlines(), whole[-TAIL:]
        records = [finite(record) for record in map(record_of, lines) if record is not None]
        if anew:
            self.last = {}
        self.last = records[-1] if records else self.last
        return anew, records
