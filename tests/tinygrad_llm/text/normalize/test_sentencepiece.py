import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.aligned import Aligned
from tinygrad_llm.text.normalize.sentencepiece import SentencePieceDecoder, SentencePieceNormalizer

texts = st.text("ab ▁\tAB", max_size=20)


def charsmap(rules: dict[str, str]) -> bytes:
    """Return a precompiled map whose double array has a block of 512 units for each node."""
    nodes: dict[bytes, int] = {b"": 0}
    for old in rules:
        for size in range(1, len(old.encode()) + 1):
            nodes.setdefault(old.encode()[:size], len(nodes))
    units = [0] * (512 * (len(nodes) + 1))
    replacements = b""
    place = {b"": 0}
    for node, number in nodes.items():  # shorter ones first, so a node's parent is placed
        at = place[node]
        base = 512 * (number + 1)
        units[at] |= (at ^ base) << 10
        for child in nodes:
            if len(child) == len(node) + 1 and child.startswith(node):
                place[child] = base ^ child[-1]
                units[place[child]] = child[-1]
        if node.decode(errors="replace") in rules:
            units[at] |= 1 << 8
            units[base] = 1 << 31 | len(replacements)
            replacements += rules[node.decode()].encode() + b"\0"
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + replacements


RULES = {"\t": " ", "A": "a", "AB": "x", "B": "", "b ": "  b"}


@pytest.fixture(scope="module")
def rules() -> bytes:
    return charsmap(RULES)


@st.composite
def normalizers(draw: st.DrawFn) -> SentencePieceNormalizer:
    flags = [draw(st.booleans()) for _ in range(4)]
    kept = tuple(draw(st.lists(st.sampled_from(["A", "ab", " a", "  "]), unique=True)))
    chosen = draw(st.sets(st.sampled_from(sorted(RULES))))
    rules = {old: RULES[old] for old in sorted(chosen)}
    return SentencePieceNormalizer(charsmap(rules) if rules else b"", *flags, kept)


@given(normalizers(), texts)
def test_whole_texts_and_chunks_agree(normalizer: SentencePieceNormalizer, text: str) -> None:
    aligned = normalizer.align(Aligned.of(text))
    assert aligned.text == normalizer(text)
    assert all(0 <= a <= b <= len(text) for a, b in zip(aligned.starts, aligned.ends, strict=True))
    assert sorted(aligned.starts.tolist()) == aligned.starts.tolist()


def test_the_longest_string_of_the_map(rules: bytes) -> None:
    plain = SentencePieceNormalizer(rules, False, False, False)
    assert plain("ABA\tBb a") == "xa   ba"


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("  a   b ", {}, "▁a▁b"),
        ("  a   b ", {"remove_extra_whitespaces": False}, "▁▁▁a▁▁▁b▁"),
        ("  a   b ", {"add_dummy_prefix": False}, "a▁b"),
        ("  a   b ", {"escape_whitespaces": False}, " a b"),
        ("  a   b ", {"as_suffix": True}, "a▁b▁"),
        ("", {}, ""),
        ("   ", {}, ""),
        ("   ", {"as_suffix": True}, ""),
        ("   ", {"remove_extra_whitespaces": False}, "▁▁▁▁"),
        ("a▁ ▁", {}, "▁a"),  # a "▁" at the end is a space too
        ("▁a", {}, "▁▁a"),
        ("a <x> b", {"kept": ("<x>", " <")}, "▁a▁<x>▁b"),
    ],
)
def test_whitespace(text: str, settings: dict[str, bool], expected: str) -> None:
    assert SentencePieceNormalizer(**settings)(text) == expected  # type: ignore[arg-type]
    aligned = SentencePieceNormalizer(**settings).align(Aligned.of(text))  # type: ignore[arg-type]
    assert aligned.text == expected


def test_a_text_that_vanishes(rules: bytes) -> None:
    """A deleted character is no space: the dummy prefix has been written, and a suffix stays."""
    assert SentencePieceNormalizer(rules)("B") == ""
    assert SentencePieceNormalizer(rules, as_suffix=True)("B") == "▁"
    assert SentencePieceNormalizer(rules, remove_extra_whitespaces=False)("B") == "▁"


def test_spans() -> None:
    aligned = SentencePieceNormalizer().align(Aligned.of("  a   b "))
    assert aligned.text == "▁a▁b"
    assert list(zip(aligned.starts.tolist(), aligned.ends.tolist(), strict=True)) == [
        (2, 2), (2, 3), (3, 4), (6, 7)
    ]  # fmt: skip


def test_a_broken_map_is_refused() -> None:
    with pytest.raises(UserError, match="precompiled map"):
        SentencePieceNormalizer(b"\0\0\0")


def decoder(strips_first: bool = True, strips_all: bool = True) -> SentencePieceDecoder:
    return SentencePieceDecoder(frozenset({"<s>"}), True, "<unk>", " ⁇ ", strips_first, strips_all)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["▁a", "b", "▁c"], "ab c"),
        (["<s>", "▁a", "<s>", "▁b"], "a b"),
        (["<0xC3>", "<0xA9>", "▁b"], "é b"),
        (["a", "<0xC3>", "b", "<0xA9>", "<0xFF>"], "a\ufffdb\ufffd\ufffd"),
        (["<unk>", "▁a"], " ⁇  a"),
        ([], ""),
    ],
)
def test_decoder(tokens: list[str], expected: str) -> None:
    assert decoder()(tokens) == [expected]


def test_leading_spaces() -> None:
    tokens = ["▁", "▁", "▁a"]
    assert decoder()(tokens) == ["a"]
    assert decoder(strips_all=False)(tokens) == ["  a"]
    assert decoder(strips_first=False, strips_all=False)(tokens) == ["   a"]


def test_exact_bytes() -> None:
    assert decoder()(["<0xC3>", "a"], lossy=False) == ["\udcc3a"]
