"""From texts to a byte-level BPE tokenizer of one's own: count, merge, put together.

Ids 0 to 255 are the bytes in GPT-2's order, the next ones the merges as they were made, and the
special tokens come last. So adding a special token, or one more merge, leaves all other ids alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from ...host.errors import UserError
from .. import decoders
from ..algorithms.bpe import BPE
from ..characters.alphabet import BYTE_ORDER
from ..cut import pretokenizers
from ..cut.patterns import GPT2, PATTERNS
from ..special import AddedToken, AddedTokens
from ..tokenizer import Tokenizer
from .bpe_merges import BYTES, LARGEST_VOCABULARY, check_sizes, learn_merges
from .pretoken_counts import Source, count_pretokens


def train_bpe(sources: Iterable[Source] | Source, vocab_size: int, *, pattern: str = GPT2,
              special_tokens: Sequence[str] = (), min_frequency: int = 2,
              max_token_length: int | None = None, workers: int | None = None,
              progress: bool = True) -> Tokenizer:
    """Return a tokenizer of `vocab_size` tokens that is trained on texts (str) and files (Path).

    The 256 bytes and the special tokens are among the `vocab_size`. There are fewer where no pair
    is left that comes `min_frequency` times and makes a token of at most `max_token_length` bytes;
    `progress` reports that. `pattern`, or a name in `patterns.PATTERNS`, sets the borders that no
    merge crosses. Special tokens in the texts are text like any other. The result does not depend
    on `workers`, the number of processes that count.

    Raises UserError for sizes that make no sense, where there is no text, or it cannot be read.

    >>> tokenizer = train_bpe(["low lower lowest low"], 260, special_tokens=["<|end|>"],
    ...                       progress=False)
    >>> [tokenizer.token(id) for id in (256, 257, 258, 259)]
    ['lo', 'low', 'Ġlow', '<|end|>']
    """
    pattern = PATTERNS.get(pattern, pattern)
    merged_size = _size_without(special_tokens, vocab_size)
    check_sizes(merged_size, min_frequency, max_token_length)
    _added(special_tokens, merged_size)  # to report what is wrong with them before counting
    counts = count_pretokens(sources, pattern, workers=workers, progress=progress)
    if not counts:
        raise UserError("there is no text to train on: all sources are empty")
    merges = learn_merges(counts, merged_size, min_frequency=min_frequency,
                        max_token_length=max_token_length, progress=progress)
    if progress and BYTES + len(merges) < merged_size:
        tqdm.write(f"stopped after {len(merges)} of {merged_size - BYTES} merges: no pair is left "
                   f"that comes {max(1, min_frequency)} times; more text gives more tokens",
                   file=sys.stderr)
    tokens = [bytes([byte]) for byte in BYTE_ORDER] + [a + b for a, b in merges]
    model = BPE({token: id for id, token in enumerate(tokens)}, merges)
    return Tokenizer(model, pre_tokenizer=_pre_tokenizer(pattern), decoder=decoders.ByteLevel(),
                     added=_added(special_tokens, len(tokens)))


def _size_without(special_tokens: Sequence[str], vocab_size: int) -> int:
    """Return the size without the special tokens; UserError where that is too small."""
    if isinstance(special_tokens, str):
        raise UserError(f"special_tokens must be a list of texts, got the text {special_tokens!r}; "
                        f"for one token give [{special_tokens!r}]")
    least = BYTES + len(special_tokens)
    if not least <= vocab_size <= LARGEST_VOCABULARY:
        raise UserError(f"vocab_size must be in [{least}, {LARGEST_VOCABULARY}], got {vocab_size}: "
                        f"{BYTES} bytes and {len(special_tokens)} special tokens have an id each, "
                        f"and merges come on top")
    return vocab_size - len(special_tokens)


def _added(special_tokens: Sequence[str], first_id: int) -> AddedTokens:
    return AddedTokens(AddedToken(content, id)
                       for id, content in enumerate(special_tokens, start=first_id))


def _pre_tokenizer(pattern: str) -> pretokenizers.PreTokenizer:
    """Return the pre-tokenizer that cuts at the pattern, as tokenizer.json spells it if it can."""
    if pattern == GPT2:
        return pretokenizers.ByteLevel(add_prefix_space=False)
    return pretokenizers.Pattern(pattern)
