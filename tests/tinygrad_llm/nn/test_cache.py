"""Keys and values that are kept: a model's call with a cache is its call on everything so far."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import pytest
import strict_cupy
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from writers import CONFIGS, SIZES, rounding

from autograd import Tensor, no_grad, to_host
from autograd.tensor import values
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import Cache, parameters
from tinygrad_llm.nn.cache import quantized

DYNAMIC = LlamaConfig(**SIZES, rope_scaling="dynamic factor=4")
CALL = np.random.default_rng(5)


@once
def made(config: Any, dtype: Any = np.float64) -> Any:
    """Return a model at natural scale."""
    model: Any = (GPT if isinstance(config, GPTConfig) else Llama)(config)
    rng = np.random.default_rng(0)
    for p in parameters(model).values():
        p.data = (0.4 * rng.standard_normal(p.shape)).astype(dtype)
    return model


def model(**sizes: Any) -> Any:
    """Return a GPT in float64 at natural scale."""
    return made(GPTConfig(**sizes))


@once
def logits_of(config: Any, ids: tuple[int, ...], dtype: Any = np.float64, bits: int | None = None
              ) -> np.ndarray:
    """Return the logits (T, V) of a text without a cache; with bits, of rounded keys and values."""
    with no_grad(), rounding(bits):
        return made(config, dtype)(np.array([ids])).data[0]


class History:
    """A cache whose rows hold texts, and each call compared with the model's on the whole text."""

    def __init__(self, config: Any, data: st.DataObject, dtype: Any, tolerance: float,
                 **how: Any) -> None:
        self.config, self.dtype, self.tolerance = config, dtype, tolerance
        self.model, self.draw, self.bits = made(config, dtype), data.draw, how.get("bits")
        self.cache = self.model.cache(**how)
        self.texts: list[tuple[int, ...]] = [()] * self.cache.rows
        self.tops = [0] * self.cache.rows

    def call(self) -> None:
        """Add ids of different numbers to some rows, or one to each."""
        start, stop = sorted(self.draw(st.integers(0, self.cache.rows)) for _ in range(2))
        room = [self.cache.capacity - len(text) for text in self.texts[start:stop]]
        if not room or min(room) < 1:
            return
        counts = [self.draw(st.integers(1, n)) for n in room]
        if self.draw(st.booleans()):
            counts = [min(counts)] * len(counts)
        ids = CALL.integers(0, 7, (stop - start, max(counts) + self.draw(st.integers(0, 1))))
        padded = len(set(counts)) > 1 or ids.shape[1] > counts[0]
        part = self.cache.part(start, stop, counts if padded else None)
        with no_grad():
            if self.draw(st.booleans()):
                got = self.model.next_logits(ids, part).data[:, None]
            else:
                got = self.model(ids, cache=part).data
        for b, (row, count) in enumerate(zip(range(start, stop), counts, strict=True)):
            self.texts[row] += tuple(ids[b, :count].tolist())
            self.tops[row] = max(self.tops[row], len(self.texts[row]))
            expected = logits_of(self.config, self.texts[row], self.dtype, self.bits)[-count:]
            mine = got[b, :count] if got.shape[1] > 1 else got[b]
            np.testing.assert_allclose(mine, expected[-len(mine):], self.tolerance, self.tolerance)
        self.check()

    def check(self) -> None:
        assert self.cache.lengths.tolist() == [len(text) for text in self.texts]
        assert self.cache.length == max(map(len, self.texts))

    def change(self) -> None:
        """Do one of the things that are done to rows."""
        rows = st.integers(0, self.cache.rows - 1)
        row, other = self.draw(rows), self.draw(rows)
        what = self.draw(st.sampled_from(["truncate", "clear", "copy_row", "reorder", "grow",
                                          "write"]))
        if what == "truncate":
            self.truncate(row, self.draw(st.integers(0, len(self.texts[row]))))
        elif what == "clear":
            self.cache.clear(row)
            self.texts[row], self.tops[row] = (), 0
        elif what == "copy_row":
            self.cache.copy_row(row, other)
            self.texts[other], self.tops[other] = self.texts[row], self.tops[row]
        elif what == "reorder":
            order = self.draw(st.lists(rows, max_size=self.cache.rows))
            self.cache.reorder(order)
            for kept in (self.texts, self.tops):
                kept[: len(order)] = [kept[n] for n in order]  # type: ignore[call-overload]
        elif what == "grow":
            self.cache.grow(rows=min(self.cache.rows + 1, 4), capacity=12)
            added = self.cache.rows - len(self.texts)
            self.texts, self.tops = self.texts + [()] * added, self.tops + [0] * added
        elif row != other and self.tops[row] <= min(layer.slots for layer in self.cache.layers):
            kept = self.cache.read(row, 0, len(self.texts[row]))
            self.cache.clear(other)
            self.cache.write(other, kept)
            self.texts[other], self.tops[other] = self.texts[row], len(self.texts[row])
        self.check()

    def truncate(self, row: int, length: int) -> None:
        slots, top = min(layer.slots for layer in self.cache.layers), self.tops[row]
        if slots < top and 0 < length < min(top - 1, len(self.texts[row])):
            with pytest.raises(ValueError, match="slots of a window have lost what position"):
                self.cache.truncate(row, length)
            return
        self.cache.truncate(row, length)
        self.texts[row] = self.texts[row][:length]
        self.tops[row] = self.tops[row] if length else 0


@draws(40, dev=6)
@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data(), rows=st.integers(1, 3), capacity=st.integers(5, 12), rotate=st.booleans(),
       kind=st.sampled_from([(np.float64, 1e-10, None), (np.float64, 1e-10, 8),
                             (np.float32, 1e-4, None)]))
def test_whatever_happens_to_rows_each_call_is_that_on_the_whole_text(
        name: str, data: st.DataObject, rows: int, capacity: int, rotate: bool,
        kind: tuple[Any, float, int | None]) -> None:
    """With 8 bits, it is that on the whole text with rounded keys and values."""
    history = History(CONFIGS[name], data, *kind[:2], rows=rows, capacity=capacity,
                      rotate=rotate, bits=kind[2])
    for _ in range(6):
        history.call()
        if data.draw(st.booleans()):
            history.change()


@draws(20, dev=3)
@pytest.mark.parametrize("config", [*CONFIGS.values(), DYNAMIC], ids=[*CONFIGS, "dynamic"])
@given(counts=st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=3), min_size=1,
                       max_size=3))
def test_texts_of_different_lengths_are_each_as_alone(config: Any, counts: list[list[int]]) -> None:
    """Even where the padding's table row is NaN: nothing of it is kept or seen."""
    lively, rng = made(config), np.random.default_rng(2)
    table = lively.wte.weight.data
    cache, alone = lively.cache(rows=3), [lively.cache() for _ in range(3)]
    for some in counts:
        ids = rng.integers(0, 6, (3, max(some)))
        for b, count in enumerate(some):
            ids[b, count:] = 6
        try:
            table[6], kept = np.nan, table[6].copy()
            with no_grad(), np.errstate(invalid="ignore"):
                got = lively.next_logits(ids, cache.part(0, 3, some)).data[:, :6]
                for b, count in enumerate(some):
                    one = lively.next_logits(ids[b : b + 1, :count], alone[b]).data[0, :6]
                    np.testing.assert_allclose(got[b], one, 1e-10, 1e-10)
        finally:
            table[6] = kept
    assert cache.lengths.tolist() == np.sum(counts, 0).tolist()


def test_under_a_dynamic_rule_pieces_of_a_prompt_are_turned_as_all_of_it() -> None:
    whole, pieces = (made(DYNAMIC).cache(rows=2) for _ in range(2))
    texts = CALL.integers(0, 7, (2, 11))
    pieces.begun[:] = 8, 5  # it has learnt 3 positions
    with no_grad():
        for row, first in enumerate((8, 5)):
            got = [made(DYNAMIC)(texts[row : row + 1, start:stop], cache=pieces.part(row, row + 1))
                   for start, stop in ((0, 1), (1, first - 1), (first - 1, first), (first, 11))]
            expected = logits_of(DYNAMIC, tuple(texts[row, :first].tolist()))
            np.testing.assert_allclose(np.concatenate([values(x)[0] for x in got])[:first],
                                       expected, 1e-10, 1e-10)
            made(DYNAMIC)(texts[row : row + 1, :first], cache=whole.part(row, row + 1))
            for i in range(first, 11):
                x = made(DYNAMIC)(texts[row : row + 1, i : i + 1], cache=whole.part(row, row + 1))
                np.testing.assert_allclose(x.data[0, 0], got[-1].data[0, i - first], 1e-10, 1e-10)
    assert whole.begun.tolist() == pieces.begun.tolist() == [8, 5]
    pieces.clear(0)
    assert pieces.begun.tolist() == [0, 5]


def test_what_a_cleared_row_held_is_gone() -> None:
    """Also NaN, which would come through a probability of 0."""
    for config in (CONFIGS["learnt"], CONFIGS["window"]):
        m, ids = made(config), np.array([[1, 2, 3], [4, 5, 6]])
        cache = m.cache(rows=2)
        with no_grad():
            m(ids, cache=cache)
            m(ids, cache=cache)
            for layer in cache.layers:
                for a in layer.arrays:
                    a[1, :, :6] = np.nan
            cache.clear(1)
            got = m.next_logits(ids[:, :1], cache).data
        expected = logits_of(config, (1, 2, 3, 1, 2, 3, 1))[-1], logits_of(config, (4,))[-1]
        np.testing.assert_allclose(got, expected, 1e-10)
        assert cache.lengths.tolist() == [7, 1]


def texts_of(config: Any, texts: list[list[int]], **how: Any) -> Cache:
    """Return a cache whose rows hold these texts."""
    cache: Cache = made(config).cache(rows=len(texts), **how)
    for row, text in enumerate(texts):
        with no_grad():
            made(config)(np.array([text]), cache=cache.part(row, row + 1))
    return cache


def assert_next(config: Any, cache: Cache, texts: list[list[int]], counts: Any = None) -> None:
    """Check what a call for 3, or for each row's own number of ids, makes of what is kept."""
    ids, counts = CALL.integers(0, 7, (len(texts), 3)), counts or [3] * len(texts)
    with no_grad():
        got = made(config).next_logits(ids, cache.part(0, len(texts), counts)).data
    for row, (text, count) in enumerate(zip(texts, counts, strict=True)):
        whole = (*text, *ids[row, :count].tolist())
        np.testing.assert_allclose(got[row], logits_of(config, whole)[-1], 1e-10, 1e-10)


def poison(cache: Cache, row: int, *positions: int) -> None:
    """Make what is kept of some positions NaN."""
    for layer in cache.layers:
        for a in layer.arrays:
            a[row, :, [position % layer.slots for position in positions]] = np.nan


@pytest.mark.parametrize("name", ["learnt", "window"])
def test_what_a_row_was_cut_from_is_gone_also_nan(name: str) -> None:
    """A query of a longer row would have it times a probability of 0."""
    config, texts = CONFIGS[name], [[1, 2, 3, 4, 5], [6, 5, 4]]
    for cut in range(3):
        cache = texts_of(config, texts, rotate=False)
        poison(cache, 1, *range(cut, 3))
        cache.truncate(1, cut)
        assert_next(config, cache, [texts[0], texts[1][:cut]], [1, 1])


@pytest.mark.parametrize("name", ["learnt", "window"])
@pytest.mark.parametrize("longer", [0, 1])
def test_a_row_that_becomes_another_keeps_nothing_of_its_own(name: str, longer: int) -> None:
    """Neither NaN behind what it gets, nor what it had been cut from; nor does it get too little.

    Rows come from before the call, also where they change places, and each can be cut after it.
    """
    config, texts = CONFIGS[name], [[1, 2, 3], [6, 5, 4]]
    texts[longer] = [0, 1, 2, 3, 4, 5]
    cache = texts_of(config, [*texts, [2, 2]], rotate=False)
    poison(cache, 1, *range(1, len(texts[1])))
    cache.copy_row(0, 1)
    assert_next(config, cache, [texts[0], texts[0], [2, 2]], [1, 2, 1])
    cache = texts_of(config, [*texts, [2, 2]], rotate=False)
    cache.truncate(longer, 4)
    cache.reorder([1, 0])
    cache.truncate(1 - longer, 2)
    cut = [texts[1][:], texts[0][:], [2, 2]]
    cut[1 - longer] = cut[1 - longer][:2]
    assert_next(config, cache, cut, [3, 1, 2])


def test_a_window_that_has_moved_can_be_cut_by_one_position_and_no_more() -> None:
    """By a part too, whose rows know what they have held; to nothing, always."""
    config, text = CONFIGS["window"], [1, 2, 3, 4, 5, 6, 0]  # a window of 4
    cache = texts_of(config, [[2], text])
    part = cache.part(1, 2)
    for _ in range(2):
        for refused in (5, 1):
            with pytest.raises(ValueError, match=f"lost what position {refused} of row 0 .* 7;"):
                part.truncate(0, refused)
        part.truncate(0, 6)
    cache.copy_row(1, 0)
    assert_next(config, cache, [text[:6]] * 2, [1, 2])
    for row, refused in ((0, 5), (1, 6)):
        with pytest.raises(ValueError, match=f"have lost what position {refused} of row {row}"):
            cache.truncate(row, refused)
    for impossible in (-1, 9):
        with pytest.raises(ValueError, match="row 0 has 8 positions, so it cannot be cut to"):
            part.truncate(0, impossible)
    part.truncate(0, 0)
    assert cache.lengths.tolist() == [7, 0] and cache.part(1, 1).rows == 0
    with no_grad():
        got = made(config).next_logits(np.array([[5, 6]]), part).data[0]
    np.testing.assert_allclose(got, logits_of(config, (5, 6))[-1], 1e-10, 1e-10)


@pytest.mark.parametrize("name", ["learnt", "window"])
def test_rows_that_are_added_are_empty_and_those_that_were_there_go_on(name: str) -> None:
    config, texts = CONFIGS[name], [[1, 2, 3, 4, 5], [6]]
    for bits in (None, 8):
        cache = texts_of(config, texts, capacity=6, bits=bits)
        cache.grow(rows=3, capacity=12)
        assert cache.rows == 3 and cache.lengths.tolist() == [5, 1, 0]
        assert [layer.slots for layer in cache.layers] == [12 if name == "learnt" else 4] * 2
        if bits is None:
            assert_next(config, cache, [*texts, []], [3, 1, 2])
    cache = texts_of(config, texts, capacity=6)
    cache.truncate(0, 4)
    cache.grow(rows=3)
    assert_next(config, cache, [texts[0][:4], texts[1], []], [2, 3, 1])


def test_room_is_reserved_by_doubling() -> None:
    cache = made(CONFIGS["learnt"]).cache(rows=1, capacity=2)
    for positions, capacity in ((2, 2), (3, 4), (4, 4), (11, 11), (12, 12)):
        cache.reserve(positions, most=12)
        assert cache.capacity == capacity


def test_what_is_written_into_a_row_must_fit_and_leaves_it_empty_otherwise() -> None:
    config = CONFIGS["learnt"]
    kept = texts_of(config, [[1, 2, 3]]).read(0, 0, 3)
    cache = made(config).cache(rows=2, capacity=2)
    with pytest.raises(ValueError, match="would have 3 positions, and there is room for 2; grow"):
        cache.write(1, kept)
    assert cache.lengths.tolist() == [0, 0]
    cache.write(1, [(k[:2], v[:2]) for k, v in kept])
    assert cache.lengths.tolist() == [0, 2] and cache.part(1, 1).rows == 0
    assert made(config).cache(capacity=1).capacity == 1


def test_a_step_in_a_window_that_has_moved_copies_nothing() -> None:
    layer = made(CONFIGS["window"]).cache().layers[0]
    k = np.zeros((1, 1, 1, 4))
    for length in (3, 4, 9):
        layer.lengths[:] = length
        assert np.shares_memory(layer.extend(k, k)[0], layer.arrays[0])


def test_a_window_keeps_no_more_than_it_sees() -> None:
    config = CONFIGS["gemma 2"]  # a window of 3, and every second layer sees all
    rotated, whole = made(config).cache(rows=2), made(config).cache(rows=2, rotate=False)
    assert [layer.slots for layer in rotated.layers] == [3, 12]
    assert [layer.slots for layer in whole.layers] == [12, 12]
    assert rotated.nbytes == 2 * (3 + 12) * 2 * 2 * 4 * 8
    assert rotated.bytes_per_token == whole.bytes_per_token == 2 * 2 * 2 * 4 * 8
    with no_grad():
        made(config)(np.zeros((2, 8), int), cache=rotated)
    with pytest.raises(ValueError, match="row 1 keeps the positions 5 to 7, got 4 to 6"):
        rotated.read(1, 4, 7)
    rotated.read(1, 5, 8)


def test_a_step_of_rows_that_are_alike_copies_nothing() -> None:
    cache = made(CONFIGS["grouped"]).cache(rows=3)
    layer, k = cache.layers[0], np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    layer.extend(k[:, :2], -k[:, :2])
    cache.advance(2)
    keys, values, offset = layer.extend(k[:, 2:], -k[:, 2:])
    np.testing.assert_array_equal(keys, k)
    np.testing.assert_array_equal(values, -k)
    assert np.shares_memory(keys, layer.arrays[0]) and offset is None
    part = cache.part(1, 3)
    assert np.shares_memory(part.layers[1].arrays[1], cache.layers[1].arrays[1])
    part.advance(3)
    assert cache.lengths.tolist() == [2, 5, 5] and part.rows == 2


@pytest.mark.parametrize("name", ["learnt", "sinusoidal", "gemma 2", "window", "dynamic"])
@pytest.mark.parametrize("bits", [None, 8])
def test_a_device_keeps_its_own_arrays_and_never_waits(name: str, bits: int | None) -> None:
    m = made({**CONFIGS, "dynamic": DYNAMIC}[name])
    ids = CALL.integers(0, 7, (2, 9))
    calls: list[tuple[Any, Any]] = [(ids[:, :3], [1, 3]), (ids[:, 3:4], None), (ids[:, 4:], [5, 1])]
    moved = [(strict_cupy.asarray(some), counts) for some, counts in calls]

    def run(calls: list[tuple[Any, Any]]) -> list[Any]:
        cache = m.cache(rows=2, bits=bits)
        results = [m.next_logits(some, cache.part(0, 2, counts)).data for some, counts in calls]
        cache.reorder([1, 0])
        cache.truncate(0, 4)
        return [*results, m.next_logits(calls[1][0], cache).data]

    with no_grad():
        expected = run(calls)
        before = {name: p.data for name, p in parameters(m).items()}
        try:
            for p in parameters(m).values():
                p.data = strict_cupy.asarray(p.data)
            with strict_cupy.no_sync():
                got = run(moved)
        finally:
            for name, p in parameters(m).items():
                p.data = before[name]
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(to_host(a), e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_in_8_bits_scales_have_32_and_what_is_read_is_of_the_models_kind(dtype: Any) -> None:
    cache = made(CONFIGS["grouped"], dtype).cache(bits=8)
    with no_grad():
        made(CONFIGS["grouped"], dtype)(np.array([[1, 2]]), cache=cache)
    assert [a.dtype for a in cache.layers[0].arrays] == [np.int8] * 2 + [np.float32] * 2
    assert {x.dtype for two in cache.read(0, 0, 2) for x in two} == {np.dtype(dtype)}
    assert quantized(np.ones((2, 3), dtype))[1].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_kept_numbers_are_of_the_models_kind(dtype: Any) -> None:
    m, ids = made(CONFIGS["grouped"], dtype), np.array([[1, 2, 3], [4, 5, 6]])
    cache = m.cache(rows=2)
    with no_grad():
        m.next_logits(ids[:, :2], cache.part(0, 2, [1, 2]))
        got = m.next_logits(ids[:, 2:], cache).data
    assert {a.dtype for layer in cache.layers for a in layer.arrays} == {np.dtype(dtype)}
    expected = [logits_of(CONFIGS["grouped"], text)[-1] for text in ((1, 3), (4, 5, 6))]
    np.testing.assert_allclose(got, expected, atol=0.05 if dtype == np.float16 else 1e-4)


@given(x=hnp.arrays(st.sampled_from([np.float32, np.float64]), (3, 2, 5),
                    elements=st.floats(-2.0**60, 2.0**60, width=32)))
def test_eight_bits_are_off_by_half_a_scale_at_most(x: np.ndarray) -> None:
    q, s = quantized(x)
    assert q.dtype == np.int8 and s.shape == (3, 2, 1) and abs(q.astype(int)).max() <= 127
    kind = np.finfo(x.dtype)
    assert (abs(x - s * q.astype(x.dtype)) <= s * (0.5 + 127 * kind.eps) + kind.tiny).all()
    np.testing.assert_array_equal(s, abs(x).max(-1, keepdims=True) / 127)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_eight_bits_do_not_hide_what_is_not_finite(bad: float) -> None:
    q, s = quantized(np.array([[1, bad, 3], [0, 0, 0]]))
    np.testing.assert_array_equal(q * s, [[np.nan] * 3, [0, 0, 0]])


def test_eight_bits_take_a_quarter_and_change_little() -> None:
    """The bytes of float32, but for a scale a head; what they change is measured, not derived."""
    config = LlamaConfig(vocab_size=50, context=64, layers=2, heads=4, key_heads=2, width=128)
    m, ids = Llama(config, seed=1), CALL.integers(0, 50, (2, 60))
    whole, small = m.cache(rows=2), m.cache(rows=2, bits=8)
    assert small.bytes_per_token == whole.bytes_per_token * (32 + 4) // (4 * 32)
    assert (whole.nbytes, small.nbytes) == (2 * 64 * whole.bytes_per_token,
                                            2 * 64 * small.bytes_per_token)
    with no_grad():
        exact, got = (m.next_logits(ids, cache).data for cache in (whole, small))
    assert 0 < abs(got - exact).max() < 0.01 * abs(exact).max()


# what does not fit


def test_the_context_counts_what_is_cached() -> None:
    m = model(vocab_size=7, context=4, layers=1, heads=1, width=4)
    cache = m.cache(rows=2, capacity=9)
    with no_grad():
        m(np.array([[1, 2, 3]]), cache=cache.part(1, 2))
        with pytest.raises(ValueError, match=r"context of 4, got \(2, 2\) after 3 that are cached"):
            m(np.array([[1, 2], [1, 2]]), cache=cache)
        m(np.array([[1, 2], [1, 2]]), cache=cache.part(0, 2, [2, 1]))
    assert cache.lengths.tolist() == [2, 4]


def test_what_does_not_fit_is_refused_and_leaves_the_cache_as_it_was() -> None:
    m = made(CONFIGS["learnt"])
    cache, ids = m.cache(rows=2, capacity=3), np.array([[1, 2], [3, 4]])
    with no_grad():
        m(ids, cache=cache)
        before = [a.copy() for layer in cache.layers for a in layer.arrays]
        for bad, part, message in (
                (ids, cache, "would have 4 positions, and there is room for 3; grow"),
                (ids[:1], cache, r"expected ids for 2 rows, got 1; model.cache\(rows=1\)"),
                (ids, cache.part(0, 2, [1, 2]), "would have 4 positions, .* room for 3"),
                (ids, cache.part(0, 2, [0, 1]), r"count must lie in \[1, 2\], .*got \[0, 1\]"),
                (ids, cache.part(0, 2, [1, 3]), r"count must lie in \[1, 2\], .*got \[1, 3\]")):
            with pytest.raises(ValueError, match=message):
                m(bad, cache=part)
    for a, b in zip(before, (a for layer in cache.layers for a in layer.arrays), strict=True):
        np.testing.assert_array_equal(a, b)
    assert cache.lengths.tolist() == [2, 2]


def test_rows_and_positions_that_do_not_exist_are_refused() -> None:
    cache = made(CONFIGS["learnt"]).cache(rows=2)
    with no_grad():
        made(CONFIGS["learnt"])(np.array([[1, 2]]), cache=cache.part(1, 2))
    for call in (lambda: cache.part(1, 3), lambda: cache.part(-1, 1), lambda: cache.part(2, 1),
                 lambda: cache.clear(2), lambda: cache.copy_row(0, 2), lambda: cache.reorder([2]),
                 lambda: cache.copy_row(-1, 0), lambda: cache.copy_row(0, -1),
                 lambda: cache.reorder([0, 1, 1]), lambda: cache.truncate(-1, 1),
                 lambda: cache.write(2, cache.read(1, 0, 1)),
                 lambda: cache.truncate(-1, 0), lambda: cache.read(2, 0, 0)):
        with pytest.raises(IndexError, match="cache: expected rows inside 0 to"):
            call()
    for call, message in (
            (lambda: cache.part(0, 2, [1]), r"a count for each of 2 rows, got \[1\]"),
            (lambda: cache.truncate(1, 3), "row 1 has 2 positions, so it cannot be cut to 3"),
            (lambda: cache.read(1, 1, 3), "row 1 keeps the positions 0 to 1, got 1 to 2"),
            (lambda: cache.write(1, cache.read(1, 0, 1)), "row 1 has 2 positions; clear it"),
            (lambda: cache.grow(rows=1), "2 rows of 12 positions, which cannot shrink to 1 of 12"),
            (lambda: cache.grow(capacity=11), "cannot shrink to 2 of 11"),
            (lambda: cache.part(0, 2).grow(capacity=13), r"a part cannot grow; call grow\(\) of"),
            (lambda: made(CONFIGS["learnt"]).cache(rows=-1), "at least 1, got -1 and 12"),
            (lambda: made(CONFIGS["learnt"]).cache(capacity=0), "at least 1, got 1 and 0"),
            (lambda: made(CONFIGS["learnt"]).cache(bits=4), "bits is 8, or None .*, got 4")):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_gradient_would_be_lost_and_is_refused() -> None:
    m = model(vocab_size=7, context=4, layers=1, heads=1, width=4)
    with pytest.raises(RuntimeError, match=r"no gradient flows into kept keys.*no_grad\(\)"):
        m(np.array([[1, 2]]), cache=m.cache())
    k = Tensor(np.zeros((1, 1, 1, 4)))
    m.cache().layers[0].extend(k, k)  # a constant has none
    for pair in ((k, m.wte.weight), (m.wte.weight, k)):
        with pytest.raises(RuntimeError, match="no gradient flows"):
            m.cache().layers[0].extend(*(x if x is k else x[None, :1, None] for x in pair))


def test_a_cache_without_layers_or_rows_is_empty() -> None:
    assert Cache([], heads=1, depth=1).length == 0
    empty = made(CONFIGS["learnt"]).cache(rows=0)
    assert empty.length == empty.nbytes == 0 < empty.bytes_per_token
    with no_grad():
        assert made(CONFIGS["learnt"])(np.zeros((0, 3), int), cache=empty).shape == (0, 3, 7)
