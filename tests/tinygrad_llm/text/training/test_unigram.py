from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut import blocks
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.text.training.unigram import SPACE, count_words, train_unigram

TEXT = "the cat sat on the mat\n\n  the other cats sat\n" * 9
TEXTS = st.text(st.sampled_from(" \nab<0x41>é中\U0001f600\t\u3000")) | st.text()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_unigram([TEXT], 300, special_tokens=["<s>"], progress=False)


@given(TEXTS.filter(lambda text: SPACE not in text))
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, special="text")) == text


def test_ids_are_in_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert [tokenizer.token(id) for id in (0, 1, 2, 257)] == ["<unk>", "<s>", "<0x00>", "<0xFF>"]
    assert 270 < tokenizer.vocab_size <= 300
    ids = tokenizer.encode("the cat<s>", special="allow")
    assert [tokenizer.token(id) for id in ids] == ["the", "▁cat", "<s>"]
    assert [tokenizer.token(id) for id in tokenizer.encode("é")] == ["<0xC3>", "<0xA9>"]
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    for text in (TEXT, "a\U0001f600 é", " x"):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == text


@given(st.lists(TEXTS.filter(lambda text: SPACE not in text), max_size=3))
def test_words_are_counted_as_the_tokenizer_cuts_them(tokenizer: Tokenizer, texts: list[str]
                                                      ) -> None:
    assert tokenizer.normalizer and tokenizer.pre_tokenizer
    expected = Counter(word for text in texts
                       for word in tokenizer.pre_tokenizer(tokenizer.normalizer(text)))
    assert count_words(texts) == expected


def test_files_are_counted_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    whole = count_words([TEXT])
    monkeypatch.setattr(blocks.blocks_of_sources, "__defaults__", (16, blocks.SAFE_CUT))
    assert count_words([path]) == count_words([TEXT]) == whole
    assert whole["▁"] == 9 and whole["\n\n"] == 9 and whole["the"] == 9 and whole["▁the"] == 18


def test_without_bytes_characters_are_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = train_unigram([TEXT], 18, byte_fallback=False, progress=False)
    assert tokenizer.encode("é") == [0] and tokenizer.vocab_size == 18
    assert not capsys.readouterr().err
    few = train_unigram([TEXT], 99, byte_fallback=False)
    assert f"stopped at {few.vocab_size} of 99 tokens" in capsys.readouterr().err


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text to train on"):
        train_unigram([""], 300)
    with pytest.raises(UserError, match="vocab_size must be more than 257"):
        train_unigram([TEXT], 257)
    with pytest.raises(UserError, match="'▁' cannot be a special token"):
        train_unigram([TEXT], 300, special_tokens=[SPACE])
    with pytest.raises(UserError, match="lone surrogate"):
        train_unigram(["a\ud800"], 300)
    with pytest.raises(UserError, match="cannot read"):
        train_unigram([tmp_path / "none.txt"], 300)
