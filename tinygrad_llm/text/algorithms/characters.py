"""A token is a character.

The vocabulary is the sorted characters of a text, a character's id its place among them. Encoding
is one gather: UTF-32 spells every character as its code point, and a table over all code points
holds the ids.

Python strings may hold lone surrogates (U+D800 to U+DFFF), which no UTF encodes by default;
`surrogatepass` lets them through, so they are characters like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError

CODE_POINTS = 0x110000
SHOWN = 5


class Characters:
    """The model whose tokens are the sorted `characters`.

    Raises ValueError where `characters` are not single, distinct and sorted.

    >>> Characters("abn").encode_piece("banana")
    (1, 0, 2, 0, 2, 0)
    """

    def __init__(self, characters: Sequence[str]) -> None:
        if any(not isinstance(c, str) or len(c) != 1 for c in characters):
            raise ValueError("characters must be strings of length 1")
        if list(characters) != sorted(set(characters)):
            raise ValueError("characters must be sorted and distinct, as sorted(set(text)) is")
        self.characters = tuple(characters)
        self._ids = np.full(CODE_POINTS, -1, np.int32)
        self._ids[_code_points("".join(characters))] = np.arange(len(characters))

    @property
    def vocab(self) -> dict[str, int]:
        """The id of each character."""
        return {character: id for id, character in enumerate(self.characters)}

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of the characters of `piece`; UserError as in `encode_text`."""
        return tuple(self.encode_text(piece).tolist())

    def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
        """Return (id, start, end) of each character of `piece`; UserError as in `encode_text`."""
        return [(id, at, at + 1) for at, id in enumerate(self.encode_text(piece).tolist())]

    def encode_text(self, text: str) -> NDArray[np.int32]:
        """Return the ids of the N characters of `text`, int32 of shape (N,).

        Raises UserError where the text has characters that this model lacks.
        """
        points = _code_points(text)
        ids: NDArray[np.int32] = self._ids[points]
        unseen = ids < 0
        if unseen.any():
            raise UserError(self._unseen_message(points[unseen], int(unseen.argmax())))
        return ids

    def _unseen_message(self, unseen: NDArray[np.uint32], first: int) -> str:
        points = np.unique(unseen)
        names = ", ".join(_name(int(point)) for point in points[:SHOWN])
        more = f" and {len(points) - SHOWN} more" if len(points) > SHOWN else ""
        return (
            f"encode: {len(points)} of the text's characters not in the {len(self.characters)} "
            f"known: {names}{more}; the first, {_name(int(unseen[0]))}, is at position {first}; "
            "take them out of the text, or prepare data and train anew on text that has them"
        )


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of the N characters of `text`, uint32 of shape (N,), read-only."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _name(point: int) -> str:
    return f"{chr(point)!r} (U+{point:04X})"
