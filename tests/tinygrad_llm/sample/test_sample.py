from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.sample import Sampling, generate
from tinygrad_llm.sample.logits import (
    draw,
    keep_top_k,
    keep_top_p,
    scale_by_temperature,
    softmax,
)

logits_of = st.lists(st.integers(-5, 5), min_size=1, max_size=8).map(
    lambda z: np.array(z, dtype=float))


@given(logits_of, st.integers(1, 9))
def test_top_k_keeps_the_k_largest(z: np.ndarray, k: int) -> None:
    kept = np.isfinite(keep_top_k(z, k))
    threshold = sorted(z)[-min(k, len(z))]
    assert np.array_equal(kept, z >= threshold)


@given(logits_of, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_nucleus(z: np.ndarray, p: float) -> None:
    kept = np.isfinite(keep_top_p(z, p))
    probability = softmax(z)
    assert kept.any() and probability[kept].sum() >= p - 1e-9
    assert probability[kept].min() >= probability[~kept].max(initial=0) - 1e-15
    if kept.sum() > 1:  # without its least member the nucleus is too small
        assert probability[kept].sum() - probability[kept].min() < p + 1e-9


def test_batches_of_logits_are_cut_row_by_row() -> None:
    z = np.array([[1.0, 2, 3], [3.0, 1, 2]])
    assert np.isfinite(keep_top_k(z, 1)).tolist() == [[False, False, True], [True, False, False]]
    assert np.isfinite(keep_top_p(z, 0.7)).tolist() == [[False, True, True], [True, False, True]]


def test_what_reaches_p_exactly_is_enough() -> None:
    assert np.isfinite(keep_top_p(np.zeros(4), 0.5)).sum() == 2


def test_draw_follows_the_distribution() -> None:
    rng = np.random.default_rng(0)
    z = np.log(np.array([0.1, 0.0001, 0.6, 0.2999]))
    counts = np.bincount([draw(z, rng) for _ in range(20_000)], minlength=4)
    np.testing.assert_allclose(counts / 20_000, np.exp(z), atol=0.012)
    z[2] = -np.inf
    assert 2 not in [draw(z, rng) for _ in range(200)]
    assert draw(np.array([-np.inf, 0.0]), rng) == 1


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


@pytest.mark.parametrize("options, words", [
    ({"temperature": -0.1}, "temperature must be at least 0"), ({"top_k": 0}, "at least 1"),
    ({"top_p": 0.0}, r"\(0, 1\]"), ({"top_p": 1.5}, r"\(0, 1\]"),
])
def test_impossible_settings(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**options)


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
def test_impossible_texts_are_told_before_the_first_token(
        prompt: Any, count: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        generate(model(), prompt, count, Sampling(), np.random.default_rng(0))


def test_impossible_arguments() -> None:
    for call in (lambda: scale_by_temperature(np.ones(2), 0), lambda: keep_top_k(np.ones(2), 0),
                 lambda: keep_top_p(np.ones(2), 0)):
        with pytest.raises(ValueError):
            call()


def test_temperatures_that_are_no_number_or_nearly_none() -> None:
    with pytest.raises(ValueError, match="temperature must be at least 0, got nan"):
        Sampling(float("nan"))
    logits = np.array([1.0, 3.0, 2.9], dtype=np.float32)
    for temperature in (1e-40, 1e-300):
        assert Sampling(temperature).choose(logits, np.random.default_rng(0)) == 1
