import codecs
import importlib.util
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.data.select import repair
from tinygrad_llm.data.select.repair import repair_text
from tinygrad_llm.host.errors import UserError

if importlib.util.find_spec("ftfy") is None:  # importing it is repair's business
    pytest.skip("ftfy is not installed", allow_module_level=True)

PIECES = ["\r\n", "\r", "\n", " ", "\t", "\x1b[31m", "\x1b[", "0m", "\x1b", "\0", "\x7f", "\ufeff",
          "\x85", "\u2028", "\f", "\x0b", "a", "A\u0303", "\u0303", "Ã", "©", "â€™", "Ã©", "ÃƒÂ©",
          "Â ", "à", "\ud83d", "\ude00", "\u200b", "€", "é", "\xa0", "я", "РЅ", "\x80", "&amp;",
          "“", "ﬁ", "\ufffd", "中", "\u1100", "\u1161"]  # fmt: skip
messy_text = st.lists(st.one_of(st.sampled_from(PIECES), st.characters(exclude_categories=())),
                      max_size=30).map("".join)  # fmt: skip


@pytest.mark.parametrize("text, repaired", [
    ("donâ€™t schÃ¶n\nline", "don’t schön\nline"),
    ("ÃƒÂ©tÃƒÂ©", "été"),  # twice
    ("â\x80\x99tis", "’tis"),  # decoded as latin-1
    ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
    ("é\r\nè\r\n\r\nx", "é\nè\n\nx"),
    ("a \t\nb\xa0", "a\nb"),
    ("\n \na\n\n\n\n\n\nb\n\n", "a\n\n\nb"),
    ("    indented\n\ttabbed", "    indented\n\ttabbed"),
    ("\x1b[1;31mred\x1b[0m\x07", "red"),
    ("page\fpage", "page\npage"),
    ("e\u0301", "é"),
    ("\ufeffa\ud83d\ude00 \ud800", "a\U0001f600 \ufffd"),
])  # fmt: skip
def test_what_is_repaired(text: str, repaired: str) -> None:
    assert repair_text(text) == repaired


@pytest.mark.parametrize("text", [
    "“curly” ‘quotes’", "a &amp; b &lt;p>", "ﬁ ligature", "ｗｉｄｅ", "½ ² ℃", "zero\u200bwidth",
    "L'été à Zürich: naïve Ångström", "Не было ничего, кроме степи.", "天気が良い。", "שלום עולם",
    "price: 5 € or £3", "x → y ≠ z", "mañana — ¿qué?", "soft\u00adhyphen", "👨\u200d👩\u200d👧",
])  # fmt: skip
def test_what_stays(text: str) -> None:
    assert repair_text(text) == text


@given(messy_text)
@example("A\u0303©")  # composed, it is mojibake
@example("\x1b[\x1b[0m0m")
@example("a\x1c\n \x85\n\n\n\n\n")
def test_repair_is_idempotent(text: str) -> None:
    assert repair_text(repair_text(text)) == repair_text(text)


@given(messy_text)
def test_what_a_repaired_text_is(text: str) -> None:
    repaired = repair_text(text)
    assert unicodedata.is_normalized("NFC", repaired)
    repaired.encode("utf-8")
    for char in repaired:
        assert char in "\n\t" or unicodedata.category(char) != "Cc", repr(char)
    assert repaired == repaired.strip("\n") and "\n\n\n\n" not in repaired
    assert all(line == line.rstrip() for line in repaired.split("\n"))


ascii_text = st.lists(st.sampled_from([piece for piece in PIECES if piece.isascii()])
                      | st.characters(max_codepoint=127), max_size=40).map("".join)  # fmt: skip


@given(ascii_text)
def test_the_short_way_for_ascii_is_exact(text: str) -> None:
    slow = repair._repair_once(repair._repair_once(text))
    assert repair_text(text) == slow
    assert repair._fix_encoding()(text) == text


@pytest.mark.parametrize(
    "piece", ["a ", "\n", " ", "\x1b[", "é ", "Ã", "â€", "\x80", "\r", "\u0301"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    import time

    text = (piece * 100_000)[:100_000]
    start = time.process_time()
    repair_text(text)
    assert time.process_time() - start < 5


def test_ftfy_is_imported_past_a_codec_that_takes_every_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Greedy:
        @staticmethod
        def search_function(_: str) -> codecs.CodecInfo:
            return codecs.lookup("utf-8")

    greedy = sys.modules.get("future_typing.codec", Greedy)
    monkeypatch.setitem(sys.modules, "future_typing.codec", greedy)  # type: ignore[arg-type]
    repair_text("é")
    codecs.unregister(sys.modules["ftfy.bad_codecs"].search_function)
    for name in [name for name in sys.modules if name.split(".")[0] == "ftfy"]:
        monkeypatch.delitem(sys.modules, name)
    codecs.register(greedy.search_function)
    repair._fix_encoding.cache_clear()
    try:
        assert repair_text("schÃ¶n") == "schön"
        assert codecs.lookup("another name that no codec has")  # it is back
    finally:
        codecs.unregister(greedy.search_function)


def test_a_missing_ftfy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    repair._fix_encoding.cache_clear()
    assert repair_text("plain  ") == "plain"
    with pytest.raises(UserError, match=r"tinygrad_llm\[data\]"):
        repair_text("é")
