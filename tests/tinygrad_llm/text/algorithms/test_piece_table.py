"""A table finds the pieces that were put in, and no others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms import piece_table
from tinygrad_llm.text.algorithms.piece_table import LONGEST, PieceTable

PIECES = st.lists(st.binary(min_size=1, max_size=20) | st.sampled_from(
    [b"a", b"a\0", b"a\0\0", b"abcdefgh", b"abcdefgh\0", b"abcdefghijklmno", b"abcdefghijklmnop"]),
    unique=True, max_size=60)


def find(table: PieceTable, pieces: list[bytes]) -> list[int]:
    lengths = np.array([len(p) for p in pieces], np.intp)
    return table.find(b"".join(pieces), np.cumsum(lengths) - lengths, lengths).tolist()


@given(PIECES, PIECES)
def test_found_are_those_that_were_added(known: list[bytes], asked: list[bytes]) -> None:
    table = PieceTable()
    table.add(known[:7], [[i, -i] for i in range(len(known[:7]))])
    table.add(known[7:], [[i] for i in range(len(known[7:]))])
    assert list(table.entries) == known
    for piece, entry in zip(asked + known, find(table, asked + known), strict=True):
        if entry >= 0:
            assert known[entry] == piece
        else:
            assert piece not in known or len(piece) > LONGEST
    expected = [[i, -i] for i in range(len(known[:7]))] + [[i] for i in range(len(known[7:]))]
    order = np.arange(len(known), dtype=np.int32)[::-1]
    assert table.ids(order).tolist() == [i for e in order for i in expected[e]]


def test_pieces_that_want_the_same_slot(monkeypatch) -> None:
    monkeypatch.setattr(piece_table, "_slot",
                        lambda words, slots: np.zeros(words[0].shape, np.intp))
    table, pieces = PieceTable(), [bytes([65 + i]) for i in range(20)]
    table.add(pieces, [[i] for i in range(20)])
    found = find(table, pieces)
    assert sorted(e for e in found if e >= 0) and len([e for e in found if e >= 0]) == 8
    assert all(e in (-1, i) for i, e in enumerate(found))
    assert find(table, [b"z"]) == [-1]
    assert list(table.entries) == pieces  # the dict knows those that found no slot


def test_it_grows() -> None:
    table = PieceTable(limit=1000)
    for first in range(0, 3000, 100):
        pieces = [str(i).encode() for i in range(first, first + 100)]
        table.add(pieces, [[i] for i in range(first, first + 100)])
        assert find(table, pieces) == list(range(first, first + 100))
    assert find(table, [b"0", b"1234", b"2999", b"3000"]) == [0, 1234, 2999, -1]
    assert table.is_full


def test_bytes_count_too() -> None:
    table = PieceTable(limit=1000)
    table.add([b"x" * 60_000], [[1]])
    assert not table.is_full
    table.add([b"y" * 10_000], [[1]])
    assert table.is_full
