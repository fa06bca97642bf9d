from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.spelled import Spelled
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.characters.alphabet import BYTE_TO_CHAR, printable

MERGES = [(b"a", b"b"), (b"\xc3", b"\xa9"), (b" ", b"ab"), (b"ab", b"ab")]
TOKENS = {bytes([b]): b for b in range(256)}
TOKENS.update((left + right, 256 + i) for i, (left, right) in enumerate(MERGES))
BYTES = BPE(TOKENS, MERGES)
SPELLED = Spelled(CharBPE({printable(token): id for token, id in TOKENS.items()},
                          [(printable(a), printable(b)) for a, b in MERGES]))


@given(st.text("ab é中\U0001f600\n", max_size=30) | st.text(max_size=20))
def test_spelled_characters_are_merged_as_bytes_are(piece: str) -> None:
    assert SPELLED.encode_piece(piece) == BYTES.encode_piece(piece)
    assert SPELLED.piece_spans(piece) == BYTES.piece_spans(piece)
    assert SPELLED.vocab == BYTES.vocab


def test_a_token_spans_the_characters_that_it_has_bytes_of() -> None:
    assert Spelled(CharBPE({c: i for i, c in enumerate(BYTE_TO_CHAR)}, [])).piece_spans("é!") == [
        (0xC3, 0, 1), (0xA9, 0, 1), (ord("!"), 1, 2)]
    both = Spelled(CharBPE({"a": 0, "Ã": 1, "aÃ": 2, "©": 3}, [("a", "Ã")]))
    assert both.piece_spans("aé") == [(2, 0, 2), (3, 1, 2)]


def test_other_models_see_the_spelling_too() -> None:
    unigram = Spelled(Unigram([("<unk>", 0.0), ("Ġa", -1.0), ("Ã©", -1.5)], 0))
    assert unigram.encode_piece(" aé") == (1, 2) and unigram.vocab["Ġa"] == 1
    assert unigram.piece_spans(" aéx") == [(1, 0, 2), (2, 2, 3), (0, 3, 4)]
