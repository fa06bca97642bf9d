"""All models keep the promises of the interface."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.characters import Characters
from tinygrad_llm.text.algorithms.model import Model
from tinygrad_llm.text.algorithms.scored_bpe import ScoredBPE
from tinygrad_llm.text.algorithms.spelled import Spelled
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.algorithms.wordpiece import WordPiece

PIECES = [("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5), ("▁a", -3.0)]
MODELS: list[Model] = [
    BPE({bytes([b]): b for b in range(256)} | {b"ab": 256}, [(b"a", b"b")]),
    CharBPE({"?": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")], unk_token="?"),
    ScoredBPE(PIECES, 0, unmatched=[0]), Unigram(PIECES, 0),
    WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "##a": 3, "ab": 4}),
    Spelled(CharBPE({"?": 0, "a": 1, "b": 2, "Ã": 3, "©": 4}, [], unk_token="?")),
    Characters("\nabxé▁"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@given(piece=st.text("abé▁x\n", max_size=12))
def test_spans_have_the_ids_and_cover_the_piece(model: Model, piece: str) -> None:
    spans = model.piece_spans(piece)
    assert tuple(id for id, _, _ in spans) == model.encode_piece(piece)
    assert set(model.encode_piece(piece)) <= set(model.vocab.values())
    covered = {at for _, start, end in spans for at in range(start, end)}
    assert covered == set(range(len(piece)))
    assert [start for _, start, _ in spans] == sorted(start for _, start, _ in spans)
    assert model.encode_piece("") == () and model.piece_spans("") == []
