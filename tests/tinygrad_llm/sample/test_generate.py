"""Text from a model: the writer by its own call, with a cache and without, and the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import to_host
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample import Sampling, generate
from tinygrad_llm.sample.generate import Writer


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


@pytest.mark.parametrize("cached", [True, False])
def test_a_writer_gives_the_logits_of_a_full_forward_pass(cached: bool) -> None:
    m = GPT(GPTConfig(vocab_size=9, context=6, layers=2, heads=2, width=8), seed=3)
    writer, ids = Writer(m, cached), [3, 1, 4, 1, 5, 8]
    got = writer.begin(ids[:3]) if cached else writer.begin(ids)
    for t in range(3, 6) if cached else ():
        np.testing.assert_allclose(got, m(np.array([ids[:t]])).data[0, -1], rtol=1e-4, atol=1e-6)
        got = writer.step(ids[t])
    np.testing.assert_allclose(got, m(np.array([ids])).data[0, -1], rtol=1e-4, atol=1e-6)
    assert writer.length == (6 if cached else 0)
    writer.begin(ids[:2])
    assert writer.length == (2 if cached else 0)


def test_a_writer_may_begin_with_a_step() -> None:
    m = model()
    for cached in (True, False):
        np.testing.assert_allclose(Writer(m, cached).step(5), m(np.array([[5]])).data[0, -1],
                                   rtol=1e-5)


def test_a_writer_on_a_device_stays_there() -> None:
    m, there = model(), model()
    for p in parameters(there).values():
        p.data = strict_cupy.asarray(p.data)
    writer = Writer(there)
    writer.begin([1, 2])
    got = writer.step(3)
    assert isinstance(got, strict_cupy.ndarray)
    np.testing.assert_allclose(to_host(got), m(np.array([[1, 2, 3]])).data[0, -1], rtol=1e-4)
