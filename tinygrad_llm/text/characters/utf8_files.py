"""Files of UTF-8, read in chunks of text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from os import PathLike

from ...host.errors import UserError

CHUNK = 1 << 16  # bytes


def read_chunks(path: str | PathLike[str], errors: str = "strict", size: int = CHUNK
                ) -> Iterator[str]:
    """Yield the text of a UTF-8 file in chunks; line ends stay as they are.

    `errors` is what to do with bytes that are no UTF-8: strict, replace, ignore, backslashreplace
    (Python's error handlers). Raises UserError where the file cannot be read, for an unknown
    policy, and under "strict" for such bytes, naming the offset of the first.
    """
    if errors not in ("strict", "replace", "ignore", "backslashreplace"):
        raise UserError(f"unknown policy {errors!r} for bytes that are no UTF-8; known are strict, "
                        f"replace, ignore and backslashreplace")
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    before = 0
    try:
        with open(path, "rb") as file:
            while data := file.read(size):
                pending = len(decoder.getstate()[0])
                try:
                    yield decoder.decode(data)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, before - pending + error.start, error) from error
                before += len(data)
        try:
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, before - len(error.object) + error.start, error) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; "
                        f"give the path of a text file") from error


def _not_utf8(path: str | PathLike[str], offset: int, error: UnicodeDecodeError) -> UserError:
    return UserError(f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset "
                     f"{offset}; convert it, for instance with iconv -t UTF-8, or choose what "
                     f'to do with such bytes: errors="replace", "ignore" or "backslashreplace"')
