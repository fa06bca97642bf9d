"""WordPiece and BERT's vocab.txt against Hugging Face's tokenizers and transformers."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import vocabulary

from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.formats import bert
from tinygrad_llm.text.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.oracle

pieces = st.text("ab#é", min_size=1, max_size=4)
# Characters that this Python knows, which all libraries then agree on.
known = st.characters(exclude_categories=("Cs", "Cn"))
texts = st.text(known, max_size=60) | st.text(
    st.sampled_from("aeé un\u0301ffable,.[]MASK#\u4e2d\t\x00"))


@given(st.sets(pieces | pieces.map("##".__add__)), st.text("ab#é", min_size=1, max_size=12),
       st.integers(1, 12))
def test_model(tokens: set[str], word: str, longest: int) -> None:
    vocab = {token: id for id, token in enumerate(["[UNK]", *sorted(tokens)])}
    oracle = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        vocab, unk_token="[UNK]", max_input_chars_per_word=longest))
    encoding = oracle.encode(word)
    spans = WordPiece(vocab, max_input_chars_per_word=longest).piece_spans(word)
    assert [(id, (start, end)) for id, start, end in spans] == list(
        zip(encoding.ids, encoding.offsets, strict=True))


@lru_cache(maxsize=1)
def both() -> tuple[Tokenizer, Any]:
    folder = vocabulary("bert")
    oracle = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    oracle.no_truncation()
    oracle.no_padding()
    return bert.load(folder / "vocab.txt"), oracle


@given(texts)
def test_vocab_txt_gives_the_ids_of_tokenizer_json(text: str) -> None:
    ours, oracle = both()
    encoding = oracle.encode(text)
    ids, offsets = ours.encode_with_offsets(text, special="allow", template=True)
    assert ids == encoding.ids
    assert offsets.tolist() == [list(span) for span in encoding.offsets]
    assert ours.encode(text, special="allow", template=True) == ids
    assert ours.decode(ids) == oracle.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("lowercase", [True, False])
def test_transformers_reads_what_is_saved(tmp_path: Path, lowercase: bool) -> None:
    transformers = pytest.importorskip("transformers")
    ours = bert.load(vocabulary("bert/vocab.txt"), lowercase=lowercase)
    bert.save(ours, tmp_path)
    theirs = transformers.BertTokenizer.from_pretrained(str(tmp_path))
    for text in ("Unaffable, É naïve!", "\u4e2d\u6587 [MASK] x", "don't\tStop\n"):
        assert ours.encode(text, special="allow", template=True) == theirs(text)["input_ids"]
