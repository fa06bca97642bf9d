from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.batches.epochs import EpochBatches, feistel, permuted, round_keys
from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.host.errors import UserError

seeds = st.integers(0, 2**64 - 1)


@given(st.integers(1, 3000), seeds, st.integers(0, 2**70))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    order = permuted(np.arange(size), size, seed, epoch)
    assert sorted(order.tolist()) == list(range(size))


@given(st.integers(2, 12), seeds)
def test_a_feistel_network_is_a_bijection_of_its_bits(bits: int, seed: int) -> None:
    numbers = np.arange(2**bits, dtype=np.uint64)
    found = feistel(numbers, bits, round_keys(seed, 0))
    assert sorted(found.tolist()) == numbers.tolist()


def test_a_feistel_network_is_its_definition() -> None:
    """One number at a time, on Python's integers."""
    keys = round_keys(3, 4)
    assert keys.shape == (8, 2)
    for number in range(2**7):
        left, right = number >> 3, number % 2**3
        for (a, b), (c, d) in zip(keys[::2].tolist(), keys[1::2].tolist(), strict=True):
            left ^= (right * a + b) % 2**64 >> 60
            right ^= (left * c + d) % 2**64 >> 61
        assert feistel(np.array([number], np.uint64), 7, keys).tolist() == [left << 3 | right]


@pytest.mark.parametrize("size, epochs", [(3, 300), pytest.param(5, 2400, marks=pytest.mark.long)])
def test_every_order_of_a_few_windows_is_as_likely(size: int, epochs: int) -> None:
    counts = Counter(tuple(permuted(np.arange(size), size, 7, epoch).tolist())
                     for epoch in range(epochs))
    assert set(counts) == set(permutations(range(size)))
    expected = epochs / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    degrees = len(counts) - 1
    assert chi_squared < degrees + 4 * (2 * degrees) ** 0.5 + 4


@pytest.mark.parametrize("size", [100, 1000])
def test_places_and_neighbours_are_spread(size: int) -> None:
    """Over many epochs every place sees all windows, and neighbours do not stay neighbours."""
    orders = np.array([permuted(np.arange(size), size, 0, epoch) for epoch in range(400)])
    deviation = np.sqrt((size**2 - 1) / 12 / len(orders))
    assert (np.abs(orders.mean(0) - (size - 1) / 2) < 4.5 * deviation).all()
    together = (np.diff(orders) == 1).mean()
    assert together < 3 / size


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {permuted(np.arange(50), 50, seed, epoch).tobytes()
              for seed in (0, 1, 2**63, 2**64 - 1) for epoch in (0, 1, 2**64, 2**64 + 1)}
    assert len(orders) == 16


def test_the_order_never_changes() -> None:
    """Runs are resumed by later versions: these numbers may not change."""
    assert permuted(np.arange(8), 8, 1, 0).tolist() == [5, 0, 7, 2, 6, 1, 4, 3]
    many = permuted(np.array([0, 10**9, 10**12 - 1]), 10**12, seed=5, epoch=3)
    assert many.tolist() == [425788281874, 570652067422, 714200019832]


def windows_of(count: int, context: int, extra: int = 0) -> np.ndarray:
    return np.arange(count * context + 1 + extra % context)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), seeds,
       st.integers(0, 8))
def test_every_window_once_an_epoch(count: int, batch: int, context: int, readers: int, seed: int,
                                    extra: int) -> None:
    batches = EpochBatches(windows_of(count, context, extra), batch, context, seed)
    assert batches.windows == count
    steps = -(-3 * count // (batch * readers))
    dealt = np.concatenate([batches.windows_at(step, reader, readers)
                            for step in range(steps) for reader in range(readers)])
    for epoch in range(3):
        one = dealt[epoch * count:(epoch + 1) * count]
        assert sorted(one.tolist()) == list(range(count))
        assert one.tolist() == permuted(np.arange(count), count, seed, epoch).tolist()


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), seeds, st.integers(0, 2**63))
def test_readers_share_a_step_between_them(count: int, batch: int, readers: int, seed: int,
                                           step: int) -> None:
    tokens = windows_of(count, 3)
    apart = [EpochBatches(tokens, batch, 3, seed).at(step, reader, readers)
             for reader in range(readers)]
    x, y = EpochBatches(tokens, batch * readers, 3, seed).at(step)
    assert np.array_equal(np.concatenate([one[0] for one in apart]), x)
    assert np.array_equal(np.concatenate([one[1] for one in apart]), y)
    if batch * readers <= count and count % (batch * readers) == 0:
        starts = [set(one[0][:, 0].tolist()) for one in apart]
        assert len(set.union(*starts)) == batch * readers  # disjoint


@given(st.integers(2, 200), st.integers(1, 7), st.integers(1, 9), seeds, st.integers(0, 2**64 - 1))
def test_windows_are_rows_of_the_text(n: int, batch: int, context: int, seed: int,
                                      step: int) -> None:
    context = min(context, n - 1)
    x, y = EpochBatches(np.arange(n), batch, context, seed).at(step)
    assert x.dtype == y.dtype == np.int32 and x.shape == y.shape == (batch, context)
    assert x.flags.c_contiguous and y.flags.c_contiguous
    assert np.array_equal(y, x + 1) and (x[:, 0] % context == 0).all() and y.max() < n
    assert np.array_equal(x, x[:, :1] + np.arange(context))


def test_boundaries_follow_the_documents(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 10, 4, end_of_text=9) as writer:
        for length in (1, 6, 0, 2, 5):
            writer.add([1] * length)
    batches = EpochBatches(open_shards(tmp_path), 3, 6, seed=0)
    assert batches.windows == 3
    for step in range(4):
        x, _ = batches.at(step)
        segments = batches.boundaries(step)
        assert segments.shape == x.shape and segments.dtype == np.int32
        new = np.diff(segments, axis=1) == 1
        assert np.array_equal(new, x[:, :-1] == 9) and (segments[:, 0] == 0).all()
    with pytest.raises(ValueError, match="only ShardedTokens"):
        EpochBatches(np.arange(9), 3, 2, seed=0).boundaries(0)


def test_shards_and_arrays_give_the_same_batches(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 1000, 3001)
    with ShardWriter(tmp_path, 1000, 256) as writer:
        writer.add(ids)
    mapped, plain = EpochBatches(open_shards(tmp_path), 4, 7, 3), EpochBatches(ids, 4, 7, 3)
    for step in (0, 1, 106, 107, 10**12):
        for one, other in zip(mapped.at(step), plain.at(step), strict=True):
            assert np.array_equal(one, other)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="3 tokens are too few: .*--context 3 .* need 4"):
        EpochBatches(np.arange(3), 1, 3, 0)


@pytest.mark.parametrize(("batch", "context", "seed"), [(0, 1, 0), (1, 0, 0), (1, 1, -1),
                                                        (1, 1, 2**64)])
def test_impossible_settings_are_refused(batch: int, context: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        EpochBatches(np.arange(9), batch, context, seed)


@pytest.mark.parametrize(("step", "reader", "readers"), [(-1, 0, 1), (2**64, 0, 1), (0, 1, 1),
                                                         (0, -1, 2), (0, 0, 0)])
def test_impossible_places_are_refused(step: int, reader: int, readers: int) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, "):
        EpochBatches(np.arange(9), 2, 2, 0).at(step, reader, readers)
