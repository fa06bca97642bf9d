from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms.int_table import IntTable, pair_keys

# Close together and far apart; 0 is what free slots hold.
KEYS = st.sets(st.integers(0, 40) | st.integers(0, 2**64 - 1) | st.integers(0, 40).map(
    lambda i: i << 32), max_size=300).map(lambda keys: np.array(sorted(keys), np.uint64))


@given(KEYS, KEYS)
def test_it_is_a_dict(known: np.ndarray, asked: np.ndarray) -> None:
    values = np.arange(len(known), dtype=np.int32)[::-1]
    expected = dict(zip(known.tolist(), values.tolist(), strict=True))
    table = IntTable(known, values)
    for keys in (known, asked):
        assert table.find(keys).tolist() == [expected.get(key, -1) for key in keys.tolist()]


def test_many_keys_and_none() -> None:
    keys = np.arange(200_000, dtype=np.uint64) * np.uint64(977)
    table = IntTable(keys, np.arange(200_000, dtype=np.int32))
    assert (table.find(keys) == np.arange(200_000)).all()
    assert (table.find(keys + np.uint64(1)) == -1).all()
    for turn in range(40):  # whichever comes first may lose its slot
        keys = np.roll(np.arange(40, dtype=np.uint64), turn)
        assert IntTable(keys, keys.astype(np.int32)).find(keys).tolist() == keys.tolist()
    nothing = IntTable(np.zeros(0, np.uint64), np.zeros(0, np.int32))
    assert nothing.find(np.arange(3, dtype=np.uint64)).tolist() == [-1, -1, -1]


def test_keys_that_no_table_of_this_size_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three keys of the same two slots: a larger table has more of them."""
    def slots(self: IntTable, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        few = np.uint64(64) - self._shift  # 4 keys want 2 of 16 slots, but 4 of 32
        one = keys % (np.uint64(1) if few < 5 else np.uint64(2))
        return one, one + np.uint64(2)
    monkeypatch.setattr(IntTable, "_slots", slots)
    keys = np.arange(4, dtype=np.uint64)
    table = IntTable(keys, np.arange(4, dtype=np.int32))
    assert table.find(keys).tolist() == [0, 1, 2, 3] and len(table._keys) == 32


def test_keys_of_pairs_are_distinct() -> None:
    left, right = np.meshgrid([0, 1, 255, 2**31 - 1], [0, 1, 255, 2**31 - 1])
    assert len(np.unique(pair_keys(left.astype(np.int32), right.astype(np.int32)))) == 16
