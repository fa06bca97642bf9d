r"""WordPiece: a word as the longest tokens that its beginning and then its rest begin with.

The vocabulary $V$ holds tokens that begin a word and tokens that go on with one, these spelled with
"##" in front. A word $w$ of $n$ characters is cut where the longest token ends, again and again:

$$ e_0 = 0, \qquad
   e_{k+1} = \max \{ e > e_k : w_{0:e} \in V \text{ if } k = 0,\
             \text{"##"} w_{e_k:e} \in V \text{ if } k > 0 \} $$

Where that set is empty, or $n$ is above a bound, all of the word is one [UNK]: no look back for a
shorter first token with which the rest might have gone well.

Only lengths that tokens have are tried, so a word costs at most n * lengths look-ups, each of so
many characters: a long word costs what its characters cost as shorter words.

Sources: Schuster and Nakajima, "Japanese and Korean voice search", ICASSP 2012 (the model); Devlin
et al., "BERT", NAACL 2019, and the code published with it (longest match first, the bound).
"""

from __future__ import annotations

from collections.abc import Mapping

from ...host.errors import UserError


class WordPiece:
    """The model over `vocab`, from tokens as files spell them to ids.

    >>> vocab = {"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3}
    >>> WordPiece(vocab).encode_piece("unaffable")
    (1, 2, 3)
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        unk_token: str = "[UNK]",
        continuing_subword_prefix: str = "##",
        max_input_chars_per_word: int = 100,
    ) -> None:
        self.vocab = dict(vocab)
        self.unk_token = unk_token
        self.continuing_subword_prefix = prefix = continuing_subword_prefix
        self.max_input_chars_per_word = max_input_chars_per_word
        # "##b" can also begin a word, a word "##b"; "##" alone goes on with nothing.
        self._begins = {token: id for token, id in self.vocab.items() if token}
        self._goes_on = {
            token[len(prefix) :]: id
            for token, id in self.vocab.items()
            if token.startswith(prefix) and token != prefix
        }
        self._begin_lengths = _lengths(self._begins)
        self._go_on_lengths = _lengths(self._goes_on)

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of one word; UserError where it needs [UNK] and there is none."""
        return tuple(id for id, _, _ in self.piece_spans(piece))

    def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
        """Return (id, start, end) of each token of one word: it covers piece[start:end]."""
        if len(piece) > self.max_input_chars_per_word:
            return [(self._unknown(piece), 0, len(piece))]
        spans = []
        start, tokens, lengths = 0, self._begins, self._begin_lengths
        while start < len(piece):
            for length in lengths:  # longest first
                id = tokens.get(piece[start : start + length])
                if id is not None:
                    break
            else:
                return [(self._unknown(piece), 0, len(piece))]
            end = min(start + length, len(piece))  # a slice may have been cut short by the end
            spans.append((id, start, end))
            start, tokens, lengths = end, self._goes_on, self._go_on_lengths
        return spans

    def _unknown(self, piece: str) -> int:
        if self.unk_token not in self.vocab:
            raise UserError(
                f"the word {piece[:50]!r} is not made of tokens, and the token for such words, "
                f"{self.unk_token!r}, is not in the vocabulary; add it, or name the one that is"
            )
        return self.vocab[self.unk_token]


def _lengths(tokens: Mapping[str, int]) -> list[int]:
    return sorted({len(token) for token in tokens}, reverse=True)
