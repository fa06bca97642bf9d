"""The step written out on plain arrays beside its definition, the model's own call with a cache."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st
from written_steps import VOCAB, Replaced, asked, made, replace, same, written

from autograd import Tensor, no_grad
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import Cache, parameters
from tinygrad_llm.sample.step import attending, stepper
from tinygrad_llm.sample.step import step as step_module
from tinygrad_llm.sample.step.step import MANY, ROOMS, laid_out


@st.composite
def gpts(draw: st.DrawFn) -> GPT:
    heads = draw(st.integers(1, 3))
    return GPT(GPTConfig(
        VOCAB, context=draw(st.integers(1, 9)), layers=draw(st.integers(1, 2)), heads=heads,
        width=heads * 2 * draw(st.integers(1, 3)), bias=draw(st.booleans()),
        norm=draw(st.sampled_from(["layer", "rms"])),
        positions=draw(st.sampled_from(["learnt", "sinusoidal", "rotary"])),
        mlp=draw(st.sampled_from(["gelu", "relu_squared", "swiglu", "geglu"]))))


@st.composite
def llamas(draw: st.DrawFn) -> Llama:
    groups, yes = draw(st.integers(1, 2)), st.booleans()
    window = draw(st.integers(0, 4))
    experts = draw(st.sampled_from([0, 0, 3]))
    return Llama(LlamaConfig(
        VOCAB, context=draw(st.integers(1, 9)), layers=draw(st.integers(1, 3)),
        heads=groups * draw(st.integers(1, 3)), key_heads=groups, width=6,
        head_width=2 * draw(st.integers(1, 2)), inner=5, window=window,
        layer_pattern=draw(st.sampled_from(["L", "LG"])) if window else "L",
        activation=draw(st.sampled_from(["silu", "gelu_tanh", "gelu"] + (
            [] if experts else ["relu_squared"]))),
        norm_eps=draw(st.sampled_from([1e-5, 0.3])), norm_offset=draw(st.sampled_from([0.0, 1.0])),
        rope_scaling=draw(st.sampled_from(["", "dynamic factor=4 original=3",
                                           "llama3 factor=4 low=1 high=4 original=5"])),
        rotary_interleaved=draw(yes), tied=draw(yes), qkv_bias=draw(yes), out_bias=draw(yes),
        mlp_bias=draw(yes) and not experts, qk_norm=draw(yes), experts=experts,
        scale=draw(st.sampled_from([0, 0.7])), soft_cap=draw(st.sampled_from([0, 0.8])),
        logit_cap=draw(st.sampled_from([0, 0.9])), post_norms=draw(yes),
        embed_scale=draw(st.sampled_from([1.0, 2.5]))))


def change(data: st.DataObject, caches: list[Cache], active: int) -> int:
    """Let a row enter or leave, or the cache grow; return the number of rows that are written."""
    row = data.draw(st.integers(0, caches[0].rows - 1))
    what = data.draw(st.sampled_from(["step", "step", "clear", "copy", "truncate", "grow",
                                      "fewer", "more"]))
    length = int(caches[0].lengths[row])
    for cache in caches:
        if what == "clear":
            cache.clear(row)
        elif what == "copy":
            cache.copy_row(row, 0)
        elif what == "truncate" and all(layer.slots == cache.capacity for layer in cache.layers):
            cache.truncate(row, length // 2)
        elif what == "grow" and cache.rows < 5:
            cache.grow(rows=cache.rows + 1, capacity=cache.capacity + 1)
    step = {"fewer": -1, "more": 1}.get(what, 0)
    return min(max(1, active + step), caches[0].rows)


@given(gpts() | llamas(), st.sampled_from([np.float32, np.float64]), st.booleans(), st.data())
def test_each_step_is_the_model_s_own_call(model: Any, dtype: Any, rotate: bool,
                                           data: st.DataObject) -> None:
    made(model, dtype, seed=data.draw(st.integers(0, 99)))
    rows, context = data.draw(st.integers(1, 3)), model.config.context
    capacity = data.draw(st.integers(1, context))
    caches = [model.cache(rows, capacity, rotate=rotate) for _ in range(2)]
    counts = data.draw(st.lists(st.integers(1, capacity), min_size=rows, max_size=rows))
    ids = np.random.default_rng(0).integers(VOCAB, size=(rows, max(counts)))
    with no_grad():
        for cache in caches:
            model.hidden(ids, cache=cache.part(0, rows, counts))
    step, active = stepper(model, caches[1]), rows
    assert step is not None
    for _ in range(data.draw(st.integers(1, 12))):
        active = change(data, caches, active)
        tokens = data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=active, max_size=active))
        full = caches[0].lengths[:active].max() >= min(caches[0].capacity, context)
        if full:
            with pytest.raises(ValueError, match=r"step: a row has \d+ tokens already"):
                step(tokens)
            continue
        same(step(tokens), asked(model, tokens, caches[0]), dtype)
        np.testing.assert_array_equal(*(cache.lengths for cache in caches))
    for ours, theirs in zip(caches[1].layers, caches[0].layers, strict=True):
        for got, expected in zip(ours.arrays, theirs.arrays, strict=True):
            same(got, expected, dtype)


@pytest.mark.long
@pytest.mark.parametrize("rows", [1, 5])
def test_at_a_usual_width_float32_stays_close(rows: int) -> None:
    for model in (GPT(GPTConfig(VOCAB, 64, 4, 4, 128)),
                  Llama(LlamaConfig(VOCAB, 64, 4, 4, 128, key_heads=2, window=20))):
        written(made(model, np.float32, 0.1), rows, 60, np.float32)


@given(gpts() | llamas(), st.sampled_from([np.float32, np.float64]), st.data())
def test_reading_is_the_model_s_own_call_without_padding(model: Any, dtype: Any,
                                                         data: st.DataObject) -> None:
    made(model, dtype, seed=data.draw(st.integers(0, 99)))
    capacity = data.draw(st.integers(1, model.config.context))
    caches = [model.cache(3, capacity, rotate=False) for _ in range(2)]
    step = stepper(model, caches[1])
    assert step is not None
    assert step.reads
    rng = np.random.default_rng(0)
    for _ in range(data.draw(st.integers(1, 3))):
        change(data, caches, 1)
        room = caches[0].capacity - caches[0].lengths
        counts = {row: data.draw(st.integers(1, int(room[row])))
                  for row in data.draw(st.permutations(range(3))) if room[row]}
        texts = {row: rng.integers(VOCAB, size=count).tolist() for row, count in counts.items()}
        if not texts or min(caches[0].capacity, model.config.context) < caches[0].capacity:
            continue
        with no_grad():
            for row, ids in texts.items():
                model.hidden(np.array([ids]), cache=caches[0].part(row, row + 1))
        with patch.object(step_module, "PIECE", data.draw(st.sampled_from([3, 256]))), \
                patch.object(attending, "QUERIES", data.draw(st.sampled_from([2, 64]))):
            step.read(texts)
            step.readers.clear()
        np.testing.assert_array_equal(*(cache.lengths for cache in caches))
        for one, other in zip(caches[0].layers, caches[1].layers, strict=True):
            for expected, got in zip(one.arrays, other.arrays, strict=True):
                same(got, expected, dtype)


def test_what_rotates_or_has_no_room_is_not_read() -> None:
    model = made(Llama(LlamaConfig(VOCAB, 9, 1, 1, 4, window=2)))
    rotating, whole = stepper(model, model.cache()), stepper(model, model.cache(rotate=False))
    assert rotating is not None and not rotating.reads
    assert whole is not None and whole.reads
    with pytest.raises(ValueError, match="step: a row has 9 tokens already, of at most 9"):
        whole.read({0: [1] * 10})
    assert whole.cache.lengths.tolist() == [0]


@pytest.mark.parametrize("threads", [2, 3])
def test_reading_in_pieces_has_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    model = made(GPT(GPTConfig(VOCAB, context=999, layers=2, heads=2, width=8)), np.float32)
    caches, ids = [model.cache(2) for _ in range(2)], np.arange(2 * 400).reshape(2, 400) % VOCAB
    for cache, number in zip(caches, (1, threads), strict=True):
        step = stepper(model, cache)
        assert step is not None
        with workers(number):
            step.read(dict(enumerate(ids)))
    for one, other in zip(*(cache.layers for cache in caches), strict=True):
        for a, b in zip(one.arrays, other.arrays, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", ["h.0", "h.1.attn", "wte", "wpe"])
def test_other_blocks_attention_and_tables_have_no_step(place: str) -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=2, heads=2, width=4)))
    cache = model.cache()
    assert stepper(model, cache) is not None
    replace(model, place, Replaced(4))
    assert stepper(model, cache) is None


def test_other_numbers_models_and_caches_have_no_step() -> None:
    config = GPTConfig(VOCAB, context=4, layers=1, heads=1, width=4)
    half, moved, wide = made(GPT(config), np.float16), made(GPT(config)), made(GPT(config))
    for p in parameters(moved).values():
        p.data = strict_cupy.asarray(p.data)
    wide.wte.weight.data = wide.head.data = wide.wte.weight.data.astype(np.float32)
    for model in (half, moved, wide, type("Other", (GPT,), {})(config)):
        assert stepper(model, model.cache()) is None
    assert stepper(made(GPT(config)), made(GPT(config)).cache(bits=8)) is None


@pytest.mark.parametrize("rows", [1, 2])
def test_a_head_that_is_laid_out_anew_gives_the_same_logits(rows: int) -> None:
    written(made(GPT(GPTConfig(VOCAB, context=2 * MANY, layers=1, heads=1, width=4))), rows,
            MANY + 3)
    w = np.arange(20.0).reshape(5, 4).T
    got = laid_out(w, 2)
    np.testing.assert_array_equal(got, w)
    assert got.flags.c_contiguous and not np.shares_memory(got, w)


def test_the_weights_are_only_read_and_frozen_ones_too() -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=2, heads=2, width=4)))
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    model.h[0].attn.out.weight = Tensor(model.h[0].attn.out.weight.data)
    written(model, 2, 4)
    for name, p in parameters(model).items():
        np.testing.assert_array_equal(p.data, before[name], err_msg=name)


def test_another_number_of_rows_at_each_step() -> None:
    model = made(GPT(GPTConfig(VOCAB, context=99, layers=1, heads=1, width=4)))
    caches = [model.cache(ROOMS + 3) for _ in range(2)]
    step = stepper(model, caches[1])
    assert step is not None
    for n in [*range(1, ROOMS + 4), *range(ROOMS + 3, 0, -1)] * 2:
        same(step([n % VOCAB] * n), asked(model, [n % VOCAB] * n, caches[0]), np.float64)
    assert len(step.rooms) <= ROOMS
    with pytest.raises(IndexError, match="rows"):
        step([0] * (ROOMS + 4))


@pytest.mark.parametrize("rows", [1, 2])
def test_an_interrupted_step_leaves_the_rows_as_they_were(rows: int) -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=2, heads=2, width=4)))
    usual, broken = model.h[1].mlp.down, Replaced(4)
    broken.__dict__["columns"] = "none"  # np.arange raises
    replace(model, "h.1.mlp.down", broken)
    caches = [model.cache(rows) for _ in range(2)]
    step = stepper(model, caches[1])
    assert step is not None
    with pytest.raises(TypeError):
        step([3] * rows)
    assert caches[1].lengths.tolist() == [0] * rows
    replace(model, "h.1.mlp.down", usual)
    step = stepper(model, caches[1])
    assert step is not None
    same(step([2] * rows), asked(model, [2] * rows, caches[0]), np.float64)
