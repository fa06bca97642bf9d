r"""From texts to a unigram tokenizer of one's own: count words, learn pieces, put together.

A space is spelled "\u2581", as in SentencePiece, and begins the word after it; line breaks are
words of their own, and so are the other spaces of a run. No piece crosses from word to word.
Nothing else is changed, and characters that are no piece are spelled in bytes, so that decoding
gives the text back (but for a "\u2581" in it, which becomes a space; and tokenizer.json cannot say
that a text's own "<0x41>" is no byte, which matters where "<", "0" or "x" is no piece).

Ids: <unk>, the special tokens, the 256 bytes <0x00> to <0xFF>, and the pieces, the most probable
first.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from ...host.errors import UserError
from .. import decoders
from ..algorithms.unigram import Unigram
from ..cut.blocks import blocks_of_sources
from ..cut.pretokenizers import Split
from ..normalize.normalizers import Replace
from ..special import AddedToken, AddedTokens
from ..tokenizer import Tokenizer
from .pretoken_counts import Source
from .unigram_pieces import learn_pieces

SPACE = "\u2581"
UNKNOWN = "<unk>"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
WORDS = f"{SPACE}?[^{SPACE}\n]+|{SPACE}+(?={SPACE})|{SPACE}+|\n+"
COVERAGE = 0.9995  # SentencePiece's character_coverage
_SAFE_CUT = re.compile(r"[^\W_](?=[ \n])")  # a word ends there in any text
_NEVER = -1000.0  # log-probability of the tokens that spell bytes: text never becomes them itself


def train_unigram(sources: Iterable[Source], vocab_size: int, *, max_piece_length: int = 16,
                  character_coverage: float = COVERAGE, byte_fallback: bool = True,
                  special_tokens: Sequence[str] = (), progress: bool = True) -> Tokenizer:
    """Return a tokenizer of `vocab_size` tokens that is trained on texts (str) and files (paths).

    byte_fallback: spell characters that are no piece in bytes; else they become <unk>. For the
    other arguments see `unigram_pieces.learn_pieces`. Raises UserError where there is no text, it
    cannot be read, the characters leave no room, or "\u2581" is to be a special token.
    """
    head = _first_tokens(special_tokens, byte_fallback, vocab_size)
    words = count_words(sources)
    if not words:
        raise UserError("there is no text to train on: all sources are empty")
    pieces = learn_pieces(words, vocab_size - len(head), max_piece_length=max_piece_length,
                          character_coverage=character_coverage,
                          progress=progress and sys.stderr.isatty())
    scores = [(token, _NEVER if token in BYTES else 0.0) for token in head]
    model = Unigram([*scores, *(piece for piece in pieces if piece[0] not in head)], 0,
                    byte_fallback=byte_fallback, unmatched=range(len(head)))
    if progress and len(model.pieces) < vocab_size:
        tqdm.write(f"stopped at {len(model.pieces)} of {vocab_size} tokens: the text has no more "
                   "pieces that come twice; more text gives more tokens", file=sys.stderr)
    return Tokenizer(
        model, normalizer=Replace(" ", SPACE), pre_tokenizer=Split(WORDS, is_regex=True),
        decoder=decoders.Sequence((decoders.Replace(SPACE, " "), decoders.ByteFallback(),
                                   decoders.Fuse())),
        added=AddedTokens(AddedToken(token, id) for id, token in enumerate(head)
                          if token not in BYTES))


def _first_tokens(special_tokens: Sequence[str], byte_fallback: bool, vocab_size: int
                  ) -> dict[str, None]:
    """Return the tokens before the pieces, in order; UserError where they leave no room."""
    if SPACE in special_tokens:
        raise UserError(f"{SPACE!r} cannot be a special token: pieces spell a space by it; take it "
                        "out")
    head = dict.fromkeys([UNKNOWN, *special_tokens, *(BYTES if byte_fallback else ())])
    if vocab_size <= len(head):
        raise UserError(f"vocab_size must be more than {len(head)}, those of {UNKNOWN}, the "
                        f"special tokens and the bytes, got {vocab_size}")
    return head


def count_words(sources: Iterable[Source]) -> Counter[str]:
    """Return how often each word comes in the sources, spaces spelled as in pieces."""
    word = re.compile(WORDS)
    counts: Counter[str] = Counter()
    for block in blocks_of_sources(sources, safe=_SAFE_CUT):
        counts.update(word.findall(block.replace(" ", SPACE)))
    return counts
