"""The definition of a language, a text of it, and small tokenizers of each kind."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from tinygrad_llm.sample.constrained.expressions import (
    LAST,
    Both,
    Characters,
    Choice,
    Expression,
    Repeat,
    Row,
    complement,
)
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.decoders import (
    BPEDecoder,
    ByteFallback,
    ByteLevel,
    Decoder,
    Fuse,
    Metaspace,
    Replace,
    Sequence,
    Strip,
)
from tinygrad_llm.text.decoders import WordPiece as WordPieceDecoder
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer


def ends(expression: Expression, text: str, starts: frozenset[int]) -> frozenset[int]:
    """Return the definition: where a text of the language ends that begins at one of `starts`."""
    match expression:
        case Characters(ranges):
            return frozenset(i + 1 for i in starts if i < len(text) and any(
                first <= ord(text[i]) <= last for first, last in ranges))
        case Row(parts):
            for part in parts:
                starts = ends(part, text, starts)
            return starts
        case Choice(options):
            return frozenset().union(*(ends(option, text, starts) for option in options))
        case Both(first, second):
            return frozenset().union(*(ends(first, text, frozenset([i])) & ends(
                second, text, frozenset([i])) for i in starts))
        case Repeat(part, least, most):
            for _ in range(least):
                starts = ends(part, text, starts)
            found, count = starts, least
            while starts and count != most:
                starts = ends(part, text, starts) - found
                found, count = found | starts, count + 1
            return found


def matches(expression: Expression, text: str) -> bool:
    return len(text) in ends(expression, text, frozenset([0]))


def a_text(expression: Expression, rng: Random) -> str:
    """Return a text of the language (of Both's first), its repetitions few; "#" for none."""
    match expression:
        case Characters(ranges):
            first, last = rng.choice(ranges) if ranges else (35, 35)
            return chr(rng.randint(first, min(last, first + 200)))
        case Row(parts):
            return "".join(a_text(part, rng) for part in parts)
        case Choice(options):
            return a_text(rng.choice(options), rng) if options else "#"
        case Repeat(part, least, most):
            count = rng.randint(least, least + 2 if most is None else min(most, least + 2))
            return "".join(a_text(part, rng) for _ in range(count))
        case Both(first, _):
            return a_text(first, rng)


classes = st.sampled_from([((97, 97),), ((97, 98),), ((98, 122), (233, 0x4E2D)), (),
                           ((0, LAST),), complement(((97, 97),))]).map(Characters)


def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    few = st.lists(inner, max_size=3).map(tuple)
    repeats = st.tuples(inner, st.integers(0, 3), st.sampled_from([0, 1, 2, None])).map(
        lambda r: Repeat(r[0], r[1], None if r[2] is None else r[1] + r[2]))
    return few.map(Row) | few.map(Choice) | repeats | st.builds(Both, inner, inner)


expressions = st.recursive(classes, grow, max_leaves=8)

LETTERS = "ab01{}\":, é中"
WORDS = ["ab", "ba", "a1", "01", "aé", "é中", "{\"", "\":", "\": ", ", ", "abab", "00", "中a"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LLAMA = Sequence([Replace("▁", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0)])


def _added(*tokens: str, start: int) -> AddedTokens:
    return AddedTokens([AddedToken(token, start + k) for k, token in enumerate(tokens)])


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: id for id, token in enumerate(dict.fromkeys(tokens))}


def tokenizers() -> dict[str, Tokenizer]:
    """Return a tokenizer of each kind, over LETTERS, WORDS and parts of characters."""
    byte_level = {bytes([byte]): byte for byte in range(256)}
    for piece in [*map(str.encode, WORDS), "é".encode() + b"\xe4", b"\xb8\xad"]:
        byte_level.setdefault(piece, len(byte_level))
    spelled = [word.replace(" ", "▁") for word in [*LETTERS, *WORDS]]
    fallback = _numbered(["<unk>", "<s>", *BYTES, *spelled, "▁a", "▁▁"])
    both = [*LETTERS, *WORDS]
    pieces = _numbered(["[UNK]", "[CLS]", *both, *("##" + word for word in both)])
    del pieces[" "], pieces["## "]
    suffixed = _numbered([*LETTERS, *(c + "</w>" for c in LETTERS), "ab", "ab</w>", "<unk>"])
    plain: list[tuple[str, float]] = [(token, -1.0) for token in ["<unk>", *dict.fromkeys(spelled)]]

    def char_bpe(vocab: dict[str, int], decoder: Decoder | None, added: AddedTokens | None = None
                 ) -> Tokenizer:
        return Tokenizer(CharBPE(vocab, [], unk_token="<unk>"), decoder=decoder, added=added)

    return {
        "byte-level": Tokenizer(BPE(byte_level), decoder=ByteLevel(), added=_added(
            "<|end|>", start=len(byte_level))),
        "byte fallback": char_bpe(fallback, LLAMA, _added("<s>", start=1)),
        "unigram": Tokenizer(Unigram(plain, 0), decoder=Metaspace()),
        "wordpiece": Tokenizer(WordPiece(pieces), decoder=WordPieceDecoder(cleanup=True),
                               added=_added("[CLS]", start=1)),
        "suffix": char_bpe(suffixed, BPEDecoder("</w>")),
        "characters": CharTokenizer.from_text(LETTERS),
    }
