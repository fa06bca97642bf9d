"""From texts to a WordPiece tokenizer of one's own, normalised and cut as BERT's."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from ...host.errors import UserError
from .. import decoders
from ..algorithms.wordpiece import WordPiece
from ..cut.blocks import AFTER_WORDS, blocks_of_sources
from ..cut.pretokenizers import BertPreTokenizer
from ..normalize.normalizers import BertNormalizer
from ..special import AddedToken, AddedTokens
from ..template import BertProcessing
from ..tokenizer import Tokenizer
from .pretoken_counts import Source
from .wordpiece_vocabulary import LIMIT_ALPHABET, SPECIAL_TOKENS, learn_vocabulary


def train_wordpiece(
    sources: Iterable[Source], vocab_size: int, *, lowercase: bool = False,
    min_frequency: int | None = None, limit_alphabet: int | None = LIMIT_ALPHABET,
    special_tokens: Sequence[str] = (), progress: bool = True,
) -> Tokenizer:
    """Return a tokenizer like BERT's that is trained on texts (str) and files (Path).

    BERT's five special tokens have the first ids, `special_tokens` the next. `lowercase` also drops
    accents. For the other arguments see `wordpiece_vocabulary`. Raises UserError where there is no
    text, it cannot be read, or the characters leave no room for tokens.
    """
    normalizer = BertNormalizer(lowercase=lowercase)
    counts = _count_words(sources, normalizer)
    if not counts:
        raise UserError("there is no text to train on: all sources are empty")
    special = list(dict.fromkeys([*SPECIAL_TOKENS, *special_tokens]))
    vocab = learn_vocabulary(counts, vocab_size, min_frequency=min_frequency,
                       limit_alphabet=limit_alphabet, special_tokens=special,
                       progress=progress and sys.stderr.isatty())
    if progress and len(vocab) < vocab_size:
        tqdm.write(f"stopped at {len(vocab)} of {vocab_size} tokens: no pair is left that comes "
                   f"{min_frequency or 2} times; more text gives more tokens", file=sys.stderr)
    return Tokenizer(
        WordPiece(vocab), normalizer=normalizer, pre_tokenizer=BertPreTokenizer(),
        decoder=decoders.WordPiece(),
        template=BertProcessing(sep=("[SEP]", vocab["[SEP]"]), cls=("[CLS]", vocab["[CLS]"])),
        added=AddedTokens(AddedToken(token, vocab[token]) for token in special))


def _count_words(sources: Iterable[Source], normalizer: BertNormalizer) -> Counter[str]:
    """Return the counts of the texts' words.

    A stretch between white space is normalised and cut once for all the places where it comes:
    neither step looks across white space.
    """
    cut = BertPreTokenizer()
    found: Counter[str] = Counter()
    for block in blocks_of_sources(sources, safe=AFTER_WORDS):
        found.update(re.findall(r"[^ \t\r\n]+", block))  # both steps take these as spaces
    counts: Counter[str] = Counter()
    for part, n in found.items():
        for word in cut(normalizer(part)):
            counts[word] += n
    return counts
