"""A model over characters behind a ByteLevel pre-tokenizer: it sees bytes, spelled printably.

`bpe.BPE` works on bytes themselves and is what byte-level files want. Some have what it cannot
say: a vocabulary without all 256 bytes, an unknown token, another kind of model. They are read to
the letter: each piece is spelled in the printable alphabet, and a model over characters takes it.
"""

from __future__ import annotations

from ..characters.alphabet import printable
from .model import Model


class Spelled:
    """`model` over the printable spelling of a piece's bytes.

    >>> from tinygrad_llm.text.algorithms.char_bpe import CharBPE
    >>> Spelled(CharBPE({"a": 0, "Ã": 1, "©": 2}, [])).piece_spans("aé!")
    [(0, 0, 1), (1, 1, 2), (2, 1, 2)]
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def vocab(self) -> dict[str, int]:
        """The model's tokens, in the printable alphabet."""
        return self.model.vocab

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of one pre-token."""
        return self.model.encode_piece(printable(piece.encode()))

    def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
        """Return (id, start, end): the characters that each token covers a byte of."""
        place = [i for i, c in enumerate(piece) for _ in c.encode()]  # of every byte
        found = self.model.piece_spans(printable(piece.encode()))
        return [(id, place[start], place[end - 1] + 1) if start < end else (id, 0, 0)
                for id, start, end in found]
