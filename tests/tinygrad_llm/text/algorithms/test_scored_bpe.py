import itertools

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms.scored_bpe import ScoredBPE

names = st.text("ab▁", min_size=1, max_size=4)
scored = st.dictionaries(names, st.sampled_from([-1.0, -2.0, -3.0, -4.0]), max_size=12)


def by_definition(pieces: list[tuple[str, float]], always: set[int], text: str) -> list[str]:
    """Join strings: the piece of the highest score first, the leftmost of equal scores."""
    scores = dict(pieces[1:])
    atoms = {pieces[id][0] for id in always}
    parts: list[tuple[str, bool]] = []  # a string, and whether it is a user-defined piece
    at = 0
    while at < len(text):
        longest = max((a for a in atoms if text.startswith(a, at)), key=len, default="")
        parts.append((longest or text[at], bool(longest)))
        at += len(parts[-1][0])
    while True:
        joins = [
            (-scores[left + right], k)
            for k, ((left, a), (right, b)) in enumerate(itertools.pairwise(parts))
            if left + right in scores and not a and not b
        ]
        if not joins:
            return [part for part, _ in parts]
        k = min(joins)[1]
        parts[k : k + 2] = [(parts[k][0] + parts[k + 1][0], False)]


@given(scored, st.data(), st.text("ab▁x", max_size=25))
def test_the_definition(scores: dict[str, float], data: st.DataObject, text: str) -> None:
    pieces = [("<unk>", 0.0), *scores.items()]
    ids = range(1, len(pieces))
    always = data.draw(st.sets(st.sampled_from(ids), max_size=3)) if ids else set()
    model = ScoredBPE(pieces, 0, unmatched=[0], always=always)
    expected: list[tuple[int, str]] = []
    for part in by_definition(pieces, always, text):
        id = model.vocab.get(part, 0)
        if id == 0 and expected and expected[-1][0] == 0:
            expected[-1] = (0, expected[-1][1] + part)
        else:
            expected.append((id, part))
    spans = model.piece_spans(text)
    assert [(id, text[start:end]) for id, start, end in spans] == expected
    assert model.encode_piece(text) == tuple(id for id, _ in expected)


def test_equal_scores_go_to_the_left() -> None:
    pieces = [("?", 0.0), ("a", -9.0), ("b", -9.0), ("ab", -1.0), ("ba", -1.0)]
    assert ScoredBPE(pieces, 0, unmatched=[0]).encode_piece("bab") == (4, 2)


def test_characters_need_not_be_pieces() -> None:
    model = ScoredBPE([("?", 0.0), ("ab", -1.0), ("abc", -2.0)], 0, unmatched=[0])
    assert model.piece_spans("abcba?ab") == [(2, 0, 3), (0, 3, 6), (1, 6, 8)]


def test_byte_fallback() -> None:
    pieces = [("?", 0.0), *((f"<0x{byte:02X}>", 0.0) for byte in range(256)), ("ab", -1.0)]
    model = ScoredBPE(pieces, 0, byte_fallback=True, unmatched=range(257))
    assert model.piece_spans("éab") == [(1 + 0xC3, 0, 1), (1 + 0xA9, 0, 1), (257, 1, 3)]
    assert model.encode_piece("<0x41>") == tuple(1 + ord(c) for c in "<0x41>")


def test_user_defined_pieces_are_not_merged() -> None:
    pieces = [("?", 0.0), ("a", -9.0), ("b", -9.0), ("ab", 0.0), ("bb", -1.0), ("abb", -2.0)]
    assert ScoredBPE(pieces, 0, unmatched=[0]).encode_piece("abb") == (5,)
    assert ScoredBPE(pieces, 0, unmatched=[0], always=[4]).encode_piece("abb") == (1, 4)
    assert ScoredBPE(pieces, 0, unmatched=[0], always=[4, 5]).encode_piece("abb") == (5,)


def test_unused_pieces_are_taken_apart() -> None:
    pieces = [("?", 0.0), ("a", -9.0), ("b", -9.0), ("ab", -1.0), ("abb", -2.0)]
    assert ScoredBPE(pieces, 0, unmatched=[0]).encode_piece("abb") == (4,)
    assert ScoredBPE(pieces, 0, unmatched=[0], unused=[4]).encode_piece("abb") == (3, 2)
    assert ScoredBPE(pieces, 0, unmatched=[0], unused=[3, 4]).piece_spans("abb") == [
        (1, 0, 1), (2, 1, 2), (2, 2, 3)
    ]  # fmt: skip
    assert ScoredBPE(pieces, 0, unmatched=[0], unused=[1]).encode_piece("ba") == (2, 0)
