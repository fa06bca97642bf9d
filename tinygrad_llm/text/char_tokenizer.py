"""The tokenizer of `tinygrad-llm train` for a text of one's own: each character is a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .algorithms.characters import Characters
from .decoders import Fuse
from .tokenizer import Tokenizer


class CharTokenizer(Tokenizer):
    """A Tokenizer whose model is `Characters`, over the sorted tuple `characters`.

    Raises ValueError where `characters` are not single, distinct and sorted.

    >>> tokenizer = CharTokenizer.from_text("banana")
    >>> tokenizer.encode("ban")
    [1, 0, 2]
    >>> tokenizer.decode([2, 0, 1])
    'nab'
    """

    def __init__(self, characters: Sequence[str]) -> None:
        model = Characters(characters)
        super().__init__(model, decoder=Fuse())
        self.characters = model.characters

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Return the tokenizer whose characters are those of `text`."""
        return cls(sorted(set(text)))

    if TYPE_CHECKING:  # bound by formats/kinds.py, as Tokenizer's is
        @staticmethod
        def load(path: str | Path) -> CharTokenizer:
            """Return the character tokenizer in the file `path`; UserError where it is none."""
            raise NotImplementedError
