"""The interface that all models share."""

from __future__ import annotations

from typing import Protocol


class Model(Protocol):
    """From a piece of normalised text, a pre-token or all of it, to the ids of its tokens."""

    @property
    def vocab(self) -> dict[str, int]:
        """The ids of the tokens, as files spell them."""

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of one piece."""

    def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
        """Return (id, start, end): the characters that each token covers a byte of."""
