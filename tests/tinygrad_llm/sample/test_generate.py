"""Text from a model, with a cache and without, beside full forward passes over the window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample import Chooser, Sampling, choose_all, generate

GREEDY = Sampling(temperature=0)


def model() -> GPT:
    return GPT(GPTConfig(vocab_size=9, context=4, layers=1, heads=1, width=8), seed=2)


def test_generation_is_a_function_of_the_seed() -> None:
    def text(seed: int) -> list[int]:
        return list(generate(model(), [1, 2], 12, Sampling(), np.random.default_rng(seed)))

    assert text(1) == text(1) != text(2) and len(text(1)) == 12


def test_greedy_takes_the_likeliest_in_a_window_that_loses_its_older_half() -> None:
    m, rng = model(), np.random.default_rng(0)
    ids = [3, 1, 4, 1, 5]
    got = list(generate(m, ids, 6, Sampling(temperature=0), rng))
    ids += got
    windows = [ids[1:5], ids[3:6], ids[3:7], ids[5:8], ids[5:9], ids[7:10]]
    assert got == [int(m(np.array([window])).data[0, -1].argmax()) for window in windows]
    assert list(generate(m, ids, 0, Sampling(), rng)) == []


def test_a_context_of_one() -> None:
    m = GPT(GPTConfig(vocab_size=9, context=1, layers=1, heads=1, width=8), seed=2)
    got = list(generate(m, [1, 2], 5, Sampling(temperature=0), np.random.default_rng(0)))
    likeliest = m(np.arange(9)[:, None]).data[:, 0].argmax(axis=-1)
    assert got == [likeliest[token] for token in [2, *got[:-1]]]


@pytest.mark.parametrize("prompt, count, kind, words", [
    ([], 1, ValueError, "at least one token"), ([1], -1, ValueError, "count must be .* got -1"),
    ([0, 9], 1, IndexError, r"lie in \[0, 9\), got 0 to 9; .*another tokenizer"),
    ([-1], 1, IndexError, "got -1 to -1"), ([1.5], 1, TypeError, "integer"),
    (np.ones((1, 2), int), 1, TypeError, "integer"), ("ROMEO", 1, TypeError, "integer"),
])
def test_impossible_texts_are_refused_before_the_first_token(
        prompt: Any, count: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        generate(model(), prompt, count, Sampling(), np.random.default_rng(0))


def test_an_id_that_ends_a_text_is_not_written() -> None:
    m = model()
    text = [*generate(m, [1, 2], 12, Sampling(temperature=0), np.random.default_rng(0))]
    ending = Sampling(temperature=0, ends=[text[5]])
    got = [*generate(m, [1, 2], 12, ending, np.random.default_rng(0))]
    assert got == text[: text.index(text[5])]


def made(config: GPTConfig, dtype: Any = np.float64, scale: float = 0.4, seed: int = 0) -> GPT:
    """Return a model with weights at which none of its terms is negligible, biases included."""
    model, rng = GPT(config), np.random.default_rng(seed)
    for name, p in parameters(model).items():
        p.data = (scale * rng.standard_normal(p.shape)).astype(dtype)
        if ".ln_" in name and name.endswith("weight"):
            p.data += 1
    return model


@st.composite
def configs(draw: st.DrawFn) -> GPTConfig:
    heads = draw(st.integers(1, 3))
    return GPTConfig(vocab_size=draw(st.integers(1, 9)), context=draw(st.integers(1, 9)),
                     layers=draw(st.integers(1, 3)), heads=heads,
                     width=heads * draw(st.integers(1, 5)), bias=draw(st.booleans()))


def written_out(model: GPT, prompt: Sequence[int], count: int, sampling: Sampling,
                seed: int) -> Iterator[int]:
    """`generate` by its definition: the window as its docstring says, and full forward passes."""
    context, rng = model.config.context, np.random.default_rng(seed)
    window = list(prompt)[-context:]
    chooser = Chooser(sampling, prompt, model.config.vocab_size, rng)
    for _ in range(count):
        token, = choose_all(model(np.array([window])).data[:, -1], [chooser])
        chooser.take(token)
        yield token
        if len(window) == context:
            window = window[context - context // 2 :]  # the newer half, rounded down
        window.append(token)


@given(configs(), st.data())
def test_the_text_is_that_of_full_forward_passes(config: GPTConfig, data: st.DataObject) -> None:
    model = made(config, seed=data.draw(st.integers(0, 99)))
    prompt = data.draw(st.lists(st.integers(0, config.vocab_size - 1), min_size=1,
                                max_size=2 * config.context + 1))
    count = data.draw(st.integers(0, 3 * config.context))
    sampling = data.draw(st.sampled_from([GREEDY, Sampling(), Sampling(0.7, 3, 0.9)]))
    expected = list(written_out(model, prompt, count, sampling, seed=5))
    for cache in (True, False):
        rng = np.random.default_rng(5)
        assert list(generate(model, prompt, count, sampling, rng, cache=cache)) == expected


@pytest.mark.parametrize("sampling, kinds", [(GREEDY, 4), (Sampling(), 30)])
def test_in_float32_a_longer_text_is_the_same(sampling: Sampling, kinds: int) -> None:
    model = made(GPTConfig(vocab_size=65, context=32, layers=4, heads=4, width=64), np.float32, 0.2)
    texts = [list(generate(model, [1], 150, sampling, np.random.default_rng(0), cache=cache))
             for cache in (True, False)]
    assert texts[0] == texts[1] and len(set(texts[0])) > kinds


def test_the_weights_are_only_read() -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=2, heads=2, width=4))
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    list(generate(model, [1], 9, GREEDY, np.random.default_rng(0)))
    for name, p in parameters(model).items():
        np.testing.assert_array_equal(p.data, before[name], err_msg=name)


def test_on_another_device_the_text_is_the_same() -> None:
    config = GPTConfig(vocab_size=11, context=6, layers=2, heads=2, width=8)
    texts = []
    for move in (np.array, strict_cupy.asarray):
        model = made(config)
        for p in parameters(model).values():
            p.data = move(p.data)
        texts += [list(generate(model, [3, 1], 14, GREEDY, cache=cache)) for cache in (True, False)]
    assert texts == texts[:1] * 4


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_told(bad: float, cache: bool) -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    model.h[0].mlp.down.weight.data[1, 2] = bad
    text = generate(model, [1], 5, Sampling(), np.random.default_rng(0), cache=cache)
    with np.errstate(all="ignore"), pytest.raises(UserError, match="largest logit is nan.*earlier"):
        next(text)


def test_a_row_of_nan_is_told_when_its_token_comes() -> None:
    model = made(GPTConfig(vocab_size=5, context=8, layers=1, heads=1, width=4))
    model.head = Tensor(model.head.data.copy())
    second = list(generate(model, [1], 2, GREEDY, np.random.default_rng(0)))[1]
    model.wte.weight.data[second] = np.nan
    text = generate(model, [1], 5, GREEDY, np.random.default_rng(0))
    with pytest.raises(UserError, match="largest logit is nan"):
        list(text)


@pytest.mark.parametrize("cache", [True, False])
def test_other_options_end_a_text_too(cache: bool) -> None:
    prompt, rng = [1, 2], np.random.default_rng(0)
    for sampling, length in ((Sampling(max_tokens=3), 3), (Sampling(past_context="stop"), 3)):
        assert len(list(generate(model(), prompt, 9, sampling, rng, cache=cache))) == length
    with pytest.raises(ValueError, match="stop strings .* give the Batcher the tokenizer"):
        generate(model(), prompt, 9, Sampling(stop="a"), cache=cache)
    seeded = Sampling(seed=3)
    assert len({tuple(generate(model(), prompt, 9, seeded, cache=c)) for c in (cache, True)}) == 1
