"""A token is a character.

The vocabulary is the sorted characters of a text, a character's id its place among them. Encoding
is one gather: UTF-32 spells every character as its code point, and a table over all code points
holds the ids. Decoding is the gather the other way.

Python strings may hold lone surrogates (U+D800 to U+DFFF), which no UTF encodes by default;
`surrogatepass` lets them through in both directions, so they are characters like any other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ...host.files import write_in_one_step

CODE_POINTS = 0x110000
SHOWN = 5


class CharTokenizer:
    """Characters to ids and back, over the sorted tuple `characters`.

    Raises ValueError where `characters` are not single, distinct and sorted.

    >>> tokenizer = CharTokenizer.from_text("banana")
    >>> tokenizer.encode("ban").tolist()
    [1, 0, 2]
    >>> tokenizer.decode([2, 0, 1])
    'nab'
    """

    def __init__(self, characters: Sequence[str]) -> None:
        if any(not isinstance(c, str) or len(c) != 1 for c in characters):
            raise ValueError("characters must be strings of length 1")
        if list(characters) != sorted(set(characters)):
            raise ValueError("characters must be sorted and distinct, as sorted(set(text)) is")
        self.characters = tuple(characters)
        self._points = _code_points("".join(characters))
        self._ids = np.full(CODE_POINTS, -1, np.int32)
        self._ids[self._points] = np.arange(len(characters))

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Return the tokenizer whose characters are those of `text`."""
        return cls(sorted(set(text)))

    @property
    def vocab_size(self) -> int:
        """The number of characters; ids are 0 to vocab_size - 1."""
        return len(self.characters)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the ids of the N characters of `text`, int32 of shape (N,).

        Raises UserError where the text has characters that this tokenizer lacks.
        """
        points = _code_points(text)
        ids: NDArray[np.int32] = self._ids[points]
        unseen = ids < 0
        if unseen.any():
            raise UserError(self._unseen_message(points[unseen], int(unseen.argmax())))
        return ids

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the text whose characters have these ids; `decode(encode(text)) == text`.

        Raises ValueError for ids that are not whole numbers in one row, or out of range.
        """
        array = np.asarray(ids)
        if array.ndim != 1:
            raise ValueError(f"decode: ids must have shape (N,), got {array.shape}; go row by row")
        if array.size == 0:
            return ""
        if array.dtype.kind not in "iu":
            raise ValueError(f"decode: ids must be integers, got {array.dtype}")
        outside = (array < 0) | (array >= self.vocab_size)
        if outside.any():
            first = int(outside.argmax())
            raise ValueError(
                f"decode: id {array[first]} at position {first} is not in [0, {self.vocab_size}); "
                "these ids come from another tokenizer"
            )
        spelled: bytes = self._points[array].tobytes()
        return spelled.decode("utf-32-le", "surrogatepass")

    def save(self, path: str | Path) -> None:
        """Write the characters to `path` as JSON, in one step: never half a file."""
        vocabulary = {"type": "char", "characters": self.characters}
        write_in_one_step(path, [json.dumps(vocabulary).encode()])

    @classmethod
    def load(cls, path: str | Path) -> CharTokenizer:
        """Return the tokenizer saved at `path`.

        Raises UserError where the file is missing or is no saved character tokenizer.
        """
        try:
            vocabulary = json.loads(Path(path).read_bytes())
            if not isinstance(vocabulary, dict) or vocabulary.get("type") != "char":
                raise ValueError('expected an object with "type": "char"')
            if not isinstance(vocabulary.get("characters"), list):
                raise ValueError('expected "characters" to be a list')
            return cls(vocabulary["characters"])
        except OSError as error:
            reason = error.strerror or str(error)
        except (ValueError, RecursionError) as error:
            reason = str(error)
        raise UserError(
            f"{path} cannot be read as a character tokenizer: {reason}; "
            "give the file that preparing the data wrote, or prepare the data again"
        )

    def _unseen_message(self, unseen: NDArray[np.uint32], first: int) -> str:
        points = np.unique(unseen)
        names = ", ".join(_name(int(point)) for point in points[:SHOWN])
        more = f" and {len(points) - SHOWN} more" if len(points) > SHOWN else ""
        return (
            f"encode: {len(points)} of the text's characters not in the {self.vocab_size} known: "
            f"{names}{more}; the first, {_name(int(unseen[0]))}, is at position {first}; "
            "take them out of the text, or prepare data and train anew on text that has them"
        )


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of the N characters of `text`, uint32 of shape (N,), read-only."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _name(point: int) -> str:
    return f"{chr(point)!r} (U+{point:04X})"
