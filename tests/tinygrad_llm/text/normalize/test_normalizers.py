import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.aligned import Aligned
from tinygrad_llm.text.characters.alphabet import unprintable
from tinygrad_llm.text.normalize.normalizers import (
    NFC,
    NFD,
    NFKC,
    NFKD,
    BertNormalizer,
    ByteLevel,
    Lowercase,
    Nmt,
    Normalizer,
    Prepend,
    Replace,
    Sequence,
    Strip,
    StripAccents,
)

NORMALIZERS: list[Normalizer] = [
    NFC(), NFD(), NFKC(), NFKD(), Lowercase(), StripAccents(), Strip(), Strip(left=False),
    Strip(right=False), Prepend("▁"), Prepend(""), Replace(" ", "▁"), Replace("ab", ""),
    Replace("", "-"), Replace(r"\s+", " ", is_regex=True),
    Replace("x*|(?<=a)", "--", is_regex=True),
    BertNormalizer(), BertNormalizer(lowercase=False), BertNormalizer(strip_accents=False),
    BertNormalizer(clean_text=False, handle_chinese_chars=False, lowercase=False,
                   strip_accents=True),
    Nmt(), ByteLevel(),
    Sequence((NFKD(), StripAccents(), Lowercase(), Strip(), Prepend("▁"), Replace(" ", "▁"))),
]  # fmt: skip

difficult = st.sampled_from("ab x\t\n\r\x00\x1c\x85\xa0\u00adÀéİΣςŞßﬁ²½Ω\u2126가각ᄀ\u1161\u11a8"
                            "中文\uf900かガｶﾞ\u3099\u0301\u0316\u0323\u0344\u0345\u0f73\u0f71"
                            "\u0903\u09be\u093c\u0e33\u200b\u200d\ufe0f\ufeff\ufffd\u2028\u2581"
                            "\u05c1\u05bc\ufb2c\u08d3\u1734\U0001d15e\U0001f600\U00011938")
any_text = st.text(difficult | st.characters(exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@given(text=any_text)
def test_the_aligned_text_is_the_normalised_one(normalizer: Normalizer, text: str) -> None:
    a = normalizer.align(Aligned.of(text))
    assert a.text == normalizer(text)
    assert (a.starts <= a.ends).all()
    for bounds in (a.starts, a.ends):
        assert (bounds[1:] >= bounds[:-1]).all()
        assert ((bounds >= 0) & (bounds <= len(text))).all()


@pytest.mark.parametrize("normalizer", [NFC(), NFD(), NFKC(), NFKD(), Lowercase(), ByteLevel(),
                                        BertNormalizer()], ids=repr)
@given(text=any_text)
def test_a_span_normalises_to_what_came_from_it(normalizer: Normalizer, text: str) -> None:
    """Characters with one span in common are the normal form of that span of the source."""
    a = normalizer.align(Aligned.of(text))
    groups: dict[tuple[int, int], str] = {}
    for char, start, end in zip(a.text, a.starts.tolist(), a.ends.tolist(), strict=True):
        groups[start, end] = groups.get((start, end), "") + char
    for (start, end), made in groups.items():
        if start < end:
            expected = normalizer(text[start:end])
            if isinstance(normalizer, BertNormalizer):  # spaces beside Chinese came from nowhere
                expected = expected.strip(" ") or " "
            assert made == expected


@given(any_text, any_text)
def test_composed_normalisers_align_as_one_after_the_other(before: str, after: str) -> None:
    both = Sequence((NFKD(), Lowercase()))
    a = both.align(Aligned.of(before + "|" + after))
    cut = a.text.index("|", len(both(before)) if "|" in before else 0)
    assert a.text[:cut] == both(before)
    assert a.starts[cut] == len(before) and a.ends[cut] == len(before) + 1


def spans(normalizer: Normalizer, text: str) -> list[tuple[str, int, int]]:
    a = normalizer.align(Aligned.of(text))
    return list(zip(a.text, a.starts.tolist(), a.ends.tolist(), strict=True))


def test_where_characters_come_from() -> None:
    assert spans(Lowercase(), "İ!") == [("i", 0, 1), ("\u0307", 0, 1), ("!", 1, 2)]
    assert spans(Replace("ab", "xyz"), "cabd") == [
        ("c", 0, 1), ("x", 1, 3), ("y", 1, 3), ("z", 1, 3), ("d", 3, 4)]
    assert spans(Prepend("▁"), "a") == [("▁", 0, 0), ("a", 0, 1)]
    assert spans(Sequence((Strip(), Prepend("▁"))), "  a ") == [("▁", 2, 2), ("a", 2, 3)]
    assert spans(ByteLevel(), "aé") == [("a", 0, 1), ("Ã", 1, 2), ("©", 1, 2)]
    assert spans(BertNormalizer(), "É中\0B") == [
        ("e", 0, 1), (" ", 1, 1), ("中", 1, 2), (" ", 3, 3), ("b", 3, 4)]


def test_bert_does_what_its_settings_say() -> None:
    text = "Éa\u00ad\t中\ufffd\u3000B\U0002b820\U0002b920"
    assert BertNormalizer()(text) == "ea  中  b\U0002b820 \U0002b920 "
    assert BertNormalizer(lowercase=False)(text) == "Éa  中  B\U0002b820 \U0002b920 "
    assert BertNormalizer(strip_accents=False)(text) == "éa  中  b\U0002b820 \U0002b920 "
    assert BertNormalizer(lowercase=False, strip_accents=True)(text)[0] == "E"
    assert BertNormalizer(handle_chinese_chars=False)(text) == "ea 中 b\U0002b820\U0002b920"
    assert BertNormalizer(clean_text=False)("A\0\tb") == "a\0\tb"


@pytest.mark.parametrize(("text", "cleaned"), [
    ("a\u2028b\u2029c\xa0d\u202fe\u1680", "a b c d e "), ("a\x85b\x0bc\x1cd\x7f", "abcd"),
    ("a\r\n\tb", "a   b"), ("\u200d\ufeff\ue000\U000e0001x", "x"),
    ("\u0378\U000e01f0", "\u0378\U000e01f0"),  # not assigned
])  # fmt: skip
def test_bert_cleans(text: str, cleaned: str) -> None:
    assert BertNormalizer(lowercase=False)(text) == cleaned


def test_nmt() -> None:
    assert Nmt()("a\x01\tb\u200bc\u2581\x7f\x8f\x9fd\ufeff\x0b\x00") == "a b c d \x00"


def test_strip() -> None:
    assert Strip()(" \u3000a b\n") == "a b" and Strip()(" \n") == ""
    assert Strip(right=False)(" a ") == "a " and Strip(left=False)(" a ") == " a"
    assert Strip()("\x1ca\x1f") == "\x1ca\x1f"  # spaces to str.strip, not to Unicode


def test_prepend_leaves_nothing_alone() -> None:
    assert Prepend("▁")("") == "" and Prepend("▁")(" ") == "▁ "


def test_replace() -> None:
    assert Replace("a.", "-")("a.ab") == "-ab"
    assert Replace("a.", r"$0\0", is_regex=True)("abac") == r"$0\0$0\0"  # content is literal
    assert Replace("x*", "-", is_regex=True)("abxx c") == "-a-b- -c-"
    assert Replace("^|$", "-", is_regex=True)("a\nb") == "-a-\n-b-"  # Oniguruma's: every line
    assert Replace("", "-")("ab") == "-a-b-" and Replace("", "-")("") == ""
    with pytest.raises(UserError, match="pattern"):
        Replace("(", "", is_regex=True)


@given(any_text)
def test_byte_level_spells_the_bytes(text: str) -> None:
    assert unprintable(ByteLevel()(text)) == text.encode()


@pytest.mark.parametrize("method", [ByteLevel(), lambda text: ByteLevel().align(Aligned.of(text))])
def test_byte_level_refuses_lone_surrogates(method: Normalizer) -> None:
    with pytest.raises(UserError, match=r"lone surrogate, U\+DC80, at position 2, .*replace"):
        method("ab\udc80")


def test_the_other_normalisers_leave_lone_surrogates_alone() -> None:
    for normalizer in NORMALIZERS:
        if not isinstance(normalizer, ByteLevel):
            assert "\udc80" in normalizer("É\udc80\U0001f600")


@pytest.mark.parametrize("text", ["\u0301\u0316" * 25_000, "\u1161" * 50_000, " " * 50_000,
                                  "\u0344" * 25_000, "é" * 50_000])
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    start = time.process_time()
    for normalizer in NORMALIZERS:
        assert normalizer.align(Aligned.of(text)).text == normalizer(text)
    assert time.process_time() - start < 0.25 * len(NORMALIZERS)
