from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.characters.alphabet import BYTE_ORDER
from tinygrad_llm.text.cut.patterns import PATTERNS
from tinygrad_llm.text.training.bpe import train_bpe

TEXT = "She sells sea shells by the sea shore; it's 1999, naïve 東京!\n" * 5


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=30),
       st.sampled_from([*PATTERNS, r"\w+|\W"]))
def test_any_text_comes_back(texts: list[str], other: str, pattern: str) -> None:
    tokenizer = train_bpe([*texts, TEXT], 300, pattern=pattern, progress=False)
    for text in (*texts, TEXT, other):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_are_bytes_then_merges_then_special_tokens() -> None:
    tokenizer = train_bpe([TEXT], 280, special_tokens=["<|end|>", "<|pad|>"], progress=False)
    assert tokenizer.vocab_size == 280
    assert tokenizer.special_tokens == {"<|end|>": 278, "<|pad|>": 279}
    assert [tokenizer.decode_bytes([id]) for id in range(256)] == [bytes([b]) for b in BYTE_ORDER]
    assert isinstance(tokenizer.model, BPE) and tokenizer.model.merges
    joined = [a + b for a, b in tokenizer.model.merges]
    assert [tokenizer.decode_bytes([id]) for id in range(256, 278)] == joined
    assert tokenizer.encode("sea<|end|>", special="allow")[-1] == 278
    fewer = train_bpe([TEXT], 270, progress=False)
    assert isinstance(fewer.model, BPE) and fewer.model.merges == tokenizer.model.merges[:14]


def test_merges_do_not_cross_the_pattern() -> None:
    whole = train_bpe(["a b " * 20], 300, pattern=r"(?s).+", progress=False)
    assert whole.decode_bytes([258]) == b"a b "  # of "a " and "b "
    words = train_bpe(["a b " * 20], 300, progress=False)
    assert words.vocab_size == 258 and words.decode_bytes([257, 256]) == b" a b"


def test_files_and_texts_and_one_of_them_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    expected = train_bpe([TEXT], 300, progress=False).encode(TEXT)
    for sources in ([tmp_path / "text"], tmp_path / "text", TEXT, iter([TEXT])):
        assert train_bpe(sources, 300, progress=False).encode(TEXT) == expected


def test_stopping_early_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = train_bpe(["abcabc abc"], 300, special_tokens=["<s>"], min_frequency=3)
    assert tokenizer.vocab_size == 259 and tokenizer.special_tokens == {"<s>": 258}
    printed = capsys.readouterr().err
    assert "stopped after 2 of 43 merges: no pair is left that comes 3 times" in printed
    train_bpe(["abcabc abc"], 300, progress=False)
    assert capsys.readouterr().err == ""


def test_it_survives_being_saved(tmp_path: Path) -> None:
    for name in PATTERNS:
        tokenizer = train_bpe([TEXT], 300, pattern=name, special_tokens=["<|end|>"], progress=False)
        tokenizer.save(tmp_path / "tokenizer.json")
        again = type(tokenizer).load(tmp_path / "tokenizer.json")
        assert again.encode(TEXT + "<|end|>", special="allow") == tokenizer.encode(
            TEXT + "<|end|>", special="allow")


@pytest.mark.parametrize(("options", "message"), [
    ({"vocab_size": 255}, r"vocab_size must be in \[256, 1048576\], got 255"),
    ({"vocab_size": 257, "special_tokens": ["<a>", "<b>"]}, r"in \[258, .* got 257: .* and 2"),
    ({"special_tokens": "<a>"}, r"got the text '<a>'; for one token give \['<a>'\]"),
    ({"special_tokens": ["<a>", "<a>"]}, "<a>"),
    ({"special_tokens": [""]}, "empty"),
    ({"min_frequency": -1}, "min_frequency must not be negative"),
    ({"max_token_length": 0}, "max_token_length must be at least 1"),
    ({"sources": []}, "no text to train on"),
    ({"sources": ["", ""]}, "no text to train on"),
    ({"pattern": "("}, "not a regular expression"),
    ({"workers": 0}, "workers must be at least 1"),
])
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_bpe(**{"sources": [TEXT], "vocab_size": 300, "progress": False,
                     **options})  # type: ignore[arg-type]
