from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut.pretokenizers import BertPreTokenizer
from tinygrad_llm.text.normalize.normalizers import BertNormalizer
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.text.training.wordpiece import _count_words, train_wordpiece
from tinygrad_llm.text.training.wordpiece_vocabulary import SPECIAL_TOKENS


def test_a_vocabulary_that_stays_small_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    train_wordpiece(["the cat"], 100)
    assert "stopped at 14 of 100 tokens: no pair is left that comes 2" in capsys.readouterr().err


def test_from_texts_and_files_to_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The café, the CAFÉ!\r\nthe\u00a0end the end" * 9)
    tokenizer = train_wordpiece([tmp_path / "text.txt", "the end"], 60, lowercase=True,
                                special_tokens=["[DOC]"], progress=False)
    assert [tokenizer.token(id) for id in range(6)] == [*SPECIAL_TOKENS, "[DOC]"]
    ids = tokenizer.encode("The Café [DOC]", special="allow", template=True)
    assert [tokenizer.token(id) for id in ids] == ["[CLS]", "the", "cafe", "[DOC]", "[SEP]"]
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode("The end, unknown") == tokenizer.encode("The end, unknown")
    cased = train_wordpiece(["The the É"], 60, progress=False)
    assert {"T", "É"} < cased.model.vocab.keys()


@given(st.lists(st.text("aB éß,.\t\n\r\x1c\x85\u2028\u3000中", max_size=30), max_size=4))
def test_words_are_counted_as_the_tokenizer_cuts_them(texts: list[str]) -> None:
    for lowercase in (False, True):
        normalizer, cut = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
        expected = Counter(word for text in texts for word in cut(normalizer(text)))
        assert _count_words(texts, normalizer) == expected


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text to train on"):
        train_wordpiece(["", " \n"], 100)
    with pytest.raises(UserError, match=r"lone surrogate, '\\ud800', at position 1"):
        train_wordpiece(["a\ud800"], 100)
    with pytest.raises(UserError, match="cannot read"):
        train_wordpiece([tmp_path / "none.txt"], 100)
