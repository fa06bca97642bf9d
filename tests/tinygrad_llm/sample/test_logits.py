"""Filters of logits, each against its definition, written out token by token."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.sample import logits as filters
from tinygrad_llm.sample.logits import (
    add_bias,
    cut,
    draw,
    draw_rows,
    finite_largest,
    forbid,
    greedy,
    keep,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    largest,
    log_softmax,
    penalize_counts,
    penalize_repetition,
    repeated,
    scale_by_temperature,
    softmax,
)

INF = float("inf")
number = st.integers(-5, 5).map(float) | st.floats(-50, 50) | st.just(-INF)  # ties, impossible ones
logits_of = st.lists(number, min_size=1, max_size=8).filter(lambda z: max(z) > -INF).map(np.array)
limits = st.floats(0.01, 1)


def kept(z: np.ndarray) -> list[int]:
    return np.flatnonzero(z > -INF).tolist()


def shares(z: np.ndarray) -> list[float]:
    """Return the probabilities, by their definition."""
    total = sum(exp(x - max(z)) for x in z)
    return [exp(x - max(z)) / total for x in z]


@draws(100, 40)
@given(logits_of, st.integers(1, 9))
def test_top_k_keeps_the_k_largest(z: np.ndarray, k: int) -> None:
    threshold = sorted(z)[-min(k, len(z))]
    np.testing.assert_array_equal(keep_top_k(z, k), [x if x >= threshold else -INF for x in z])
    assert largest(z, k).tolist() == [v for v, x in enumerate(z) if x >= threshold]


@draws(100, 40)
@given(logits_of, limits)
def test_top_p_keeps_the_smallest_nucleus(z: np.ndarray, p: float) -> None:
    p_of, chosen = shares(z), []
    for v in sorted(range(len(z)), key=lambda v: -z[v]):  # of equals the first id first
        if sum(p_of[u] for u in chosen) < p - 1e-12 and p_of[v] > 0:
            chosen.append(v)
    got = keep_top_p(z, p)
    assert kept(got) == sorted(chosen) or abs(
        sum(p_of[v] for v in kept(got)) - p) < 1e-9  # where rounding decides
    assert all(got[v] == z[v] for v in kept(got))


@draws(100, 40)
@given(logits_of, st.floats(0, 1))
def test_min_p_keeps_what_has_a_share_of_the_largest(z: np.ndarray, p: float) -> None:
    p_of = shares(z)
    edge = [v for v, share in enumerate(p_of) if abs(share - p * max(p_of)) < 1e-12]
    expected = [v for v, share in enumerate(p_of) if share >= p * max(p_of) and z[v] > -INF]
    assert set(kept(keep_min_p(z, p))) ^ set(expected) <= set(edge)
    assert int(z.argmax()) in kept(keep_min_p(z, p))


@draws(100, 40)
@given(logits_of, limits)
def test_typical_keeps_the_tokens_nearest_to_the_entropy(z: np.ndarray, p: float) -> None:
    p_of = shares(z)
    entropy = -sum(q * log(q) for q in p_of if q > 0)
    far = [abs(-log(q) - entropy) if q > 0 else INF for q in p_of]
    order, mass, last = sorted(range(len(z)), key=lambda v: far[v]), 0.0, 0
    for last, v in enumerate(order):  # noqa: B007
        mass += p_of[v]
        if mass >= p - 1e-9:
            break
    got = kept(keep_typical(z, p))
    sure = [v for v in range(len(z)) if far[v] < far[order[last]] - 1e-9]
    possible = [v for v in range(len(z)) if far[v] <= far[order[last]] + 1e-9]
    assert set(sure) <= set(got) and (set(got) <= set(possible) or abs(mass - p) < 1e-8)
    assert got and all(z[v] > -INF for v in got)


@draws(100, 40)
@given(logits_of, st.floats(0.05, 20), st.data())
def test_the_repetition_penalty(z: np.ndarray, r: float, data: st.DataObject) -> None:
    seen = data.draw(st.lists(st.booleans(), min_size=len(z), max_size=len(z)))
    expected = [x if not s else x / r if x >= 0 else x * r for x, s in zip(z, seen, strict=True)]
    ids = np.flatnonzero(seen)[::-1]
    np.testing.assert_array_equal(penalize_repetition(z, ids, r), expected)


@draws(100, 40)
@given(logits_of, st.floats(-3, 3), st.floats(-3, 3), st.data())
def test_presence_and_frequency_penalties(z: np.ndarray, presence: float, frequency: float,
                                          data: st.DataObject) -> None:
    """mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence, as OpenAI writes it."""
    c = data.draw(st.lists(st.integers(0, 3), min_size=len(z), max_size=len(z)))
    expected = [x - n * frequency - float(n > 0) * presence for x, n in zip(z, c, strict=True)]
    ids = np.array([v for v in range(len(z)) if c[v] or v % 2], int)  # with some that are new
    got = penalize_counts(z, ids, np.array(c)[ids], presence, frequency)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@draws(100, 40)
@given(st.lists(st.integers(0, 2), max_size=12), st.integers(1, 5))
def test_tokens_that_would_repeat_an_n_gram(ids: list[int], n: int) -> None:
    there = {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
    start = ids[len(ids) - n + 1 :] if n > 1 else []
    expected = {v for v in range(3) if len(start) == n - 1 and (*start, v) in there}
    assert set(repeated(ids, n).tolist()) == expected


def test_biases_bans_and_masks() -> None:
    z = np.array([[1.0, 2, 3], [-INF, 1, 2]], dtype=np.float32)
    ids = np.array([2, 0])
    np.testing.assert_array_equal(add_bias(z, ids, np.array([-2, 0.5])),
                                  np.array([[1.5, 2, 1], [-INF, 1, 0]], np.float32), strict=True)
    assert [kept(row) for row in forbid(z, ids)] == [[1], [1]]
    assert [kept(row) for row in z] == [[0, 1, 2], [1, 2]]
    mask = np.array([[True, False, True], [True, True, False]])
    assert [kept(row) for row in keep(z, mask)] == [[0, 2], [1]]
    assert [kept(row) for row in keep(z, mask[0])] == [[0, 2], [2]]


@given(logits_of)
def test_greedy_keeps_the_first_of_the_largest(z: np.ndarray) -> None:
    assert kept(greedy(z)) == [z.tolist().index(max(z))]


def test_all_kinds_of_numbers_stay_what_they_are() -> None:
    z = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    ids = np.arange(3)
    for got in (add_bias(z, ids, np.ones(3)), penalize_repetition(z, ids, 1.5), forbid(z, ids),
                penalize_counts(z, ids, ids, 0.5, 0.1), keep(z, z > 0), greedy(z),
                keep_top_k(z, 3), keep_top_p(z, 0.5), keep_min_p(z, 0.1), keep_typical(z, 0.5)):
        assert got.dtype == np.float32 and got.shape == z.shape


def test_half_precision_keeps_what_float64_does() -> None:
    """Sums of float16 stand still at 2,048 equals, and have no larger number than 65,504."""
    rng = np.random.default_rng(0)
    for z in (rng.normal(size=70_000), np.zeros(70_000), rng.normal(size=300) * 30):
        half = z.astype(np.float16)
        for filter in (lambda z: keep_top_p(z, 0.9), lambda z: keep_min_p(z, 0.01),
                       lambda z: keep_typical(z, 0.9)):
            np.testing.assert_array_equal(filter(half), filter(half.astype(float)))
        np.testing.assert_array_equal(softmax(half), softmax(half.astype(float)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_penalties_that_the_type_of_the_logits_cannot_hold(dtype: Any) -> None:
    """They make infinities, and no NaN of them."""
    z, ids = np.array([1, -2, 0, -INF], dtype), np.arange(4)
    for got, expected in (
            (penalize_repetition(z, ids, 1e300), [0, -INF, 0, -INF]),
            (penalize_repetition(z, ids, 1e-300), [INF, 0, 0, -INF]),
            (add_bias(z, ids, np.array([1e300, -1e300, 0, 1e300])), [INF, -INF, 0, -INF]),
            (penalize_counts(z, ids, ids, 0.0, 1e308), [1, -INF, -INF, -INF])):
        np.testing.assert_array_equal(got, np.array(expected, dtype), strict=True)


FILTERS: dict[str, Any] = {
    "greedy": greedy, "temperature": lambda z: scale_by_temperature(z, 0.7),
    "top k": lambda z: keep_top_k(z, 3), "top p": lambda z: keep_top_p(z, 0.7),
    "min p": lambda z: keep_min_p(z, 0.2), "typical": lambda z: keep_typical(z, 0.6),
    "softmax": softmax, "log softmax": log_softmax, "cut": lambda z: cut(z, 0.7, 5, 0.9, 0.1, 0.9),
}


@pytest.mark.parametrize("name", FILTERS)
def test_batches_are_filtered_row_by_row(name: str) -> None:
    z = np.random.default_rng(0).normal(size=(2, 3, 17)) * 3
    z[0, 1, ::2], z[1, 2] = -INF, np.round(z[1, 2])
    np.testing.assert_array_equal(FILTERS[name](z), [[FILTERS[name](row) for row in part]
                                                     for part in z])


def test_what_reaches_p_exactly_is_enough() -> None:
    assert kept(keep_top_p(np.zeros(4), 0.5)) == [0, 1]
    assert kept(keep_typical(np.log([0.2, 0.2, 0.6]), 0.65)) == [0, 1, 2]  # equals stay
    z = np.log([0.05, 0.15, 0.3, 0.5])  # 0.3 is the most typical, and enough
    assert kept(keep_typical(z, float(np.exp(log_softmax(z)[2])))) == [2]
    assert kept(keep_min_p(np.array([2.0, 1, 2]), 1)) == [0, 2]


def test_nearly_all_of_what_rounding_leaves_below_1() -> None:
    for z in np.random.default_rng(0).normal(size=(50, 40)):
        assert len(kept(keep_typical(z, 1 - 2.0**-53))) >= 39
        assert len(kept(keep_top_p(z, 1 - 2.0**-53))) >= 39


@given(logits_of)
def test_limits_that_cut_nothing(z: np.ndarray) -> None:
    for got in (keep_top_k(z, len(z)), keep_top_p(z, 1), keep_min_p(z, 0), keep_typical(z, 1)):
        np.testing.assert_array_equal(got, z)


def test_the_order_of_the_cuts() -> None:
    """Each of what the one before it left, at the temperature; another order keeps others."""
    z = np.log([0.4, 0.3, 0.2, 0.06, 0.04])
    assert kept(cut(z, 1.0, top_k=3, top_p=0.72)) == [0, 1]  # 0.7 / 0.9 is enough
    assert kept(keep_top_k(keep_top_p(z, 0.72), 3)) == [0, 1, 2]
    assert kept(cut(z, 0.5, top_p=0.8)) == [0, 1] and kept(cut(z, 1.0, top_p=0.8)) == [0, 1, 2]
    assert kept(cut(np.log([0.5, 0.3, 0.1, 0.1]), 1.0, top_p=0.6, min_p=0.5)) == [0, 1]
    assert kept(cut(z, 3.0, min_p=0.5)) == [0, 1, 2, 3]
    assert kept(cut(z, 1.0, top_p=0.7, typical_p=0.5)) == kept(
        keep_typical(keep_top_p(z, 0.7), 0.5)) == [0]
    assert kept(cut(z, 0, 2, 0.1, 0.1)) == [0]


def test_softmax_is_its_logarithms_exponential() -> None:
    z = np.array([[700.0, -900, 3, -INF], [0, 0, 0, 0]])
    np.testing.assert_allclose(softmax(z), [shares(row) for row in z])
    np.testing.assert_allclose(np.exp(log_softmax(z)), softmax(z))


class Given:
    """A generator whose next number is given."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


def chosen_by(u: float, z: np.ndarray) -> int:
    """Return the token that u chooses: alone, and in a row of several."""
    token = draw(z, Given(u))
    assert type(token) is int
    assert draw_rows(np.array([z[::-1], z]), np.array([0.5, u]))[1] == token
    return token


@draws(100, 40)
@given(logits_of, st.floats(0, 1, exclude_max=True) | st.just(1 - 2.0**-53))
def test_draw_inverts_the_cumulative_distribution(z: np.ndarray, u: float) -> None:
    token = chosen_by(u, z)
    before, p_of = sum(shares(z)[:token]), shares(z)[token]
    assert z[token] > -INF and before - 1e-12 <= u <= before + p_of + 1e-12


@pytest.mark.parametrize("tail", [1, 5, 60])
def test_no_uniform_draws_an_impossible_token(tail: int) -> None:
    """At either end, and where the sum of many shares is not 1 by its rounding."""
    rng = np.random.default_rng(tail)
    for _ in range(200):
        z = np.concatenate([np.full(tail, -INF), rng.normal(size=50) * 9, np.full(tail, -INF)])
        for u in (0.0, 5e-324, 2.0**-53, 1 - 2.0**-53):
            assert tail <= chosen_by(u, z) < 50 + tail
    tiny = np.array([-INF, 0.0, -745.2, -800, -INF])  # exp gives 0 for the last two
    assert {chosen_by(u, tiny) for u in (0.0, 0.5, 1 - 2.0**-53)} == {1}


def test_sums_that_fall_choose_no_impossible_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU adds in another order, so that a running sum may fall where a share is 0."""
    def wavering(p: np.ndarray, axis: int) -> np.ndarray:
        return np.add.accumulate(p, axis) * np.array([1, 1.01, 1, 1.01])

    monkeypatch.setattr(filters.np, "cumsum", wavering)
    z = np.array([0.0, -INF, 0.0, -INF])
    found = {chosen_by(u, z) for u in [*np.linspace(0, 0.999, 999), 1 - 2.0**-53]}
    assert found == {0, 2}


CHI_SQUARE_99_9 = (0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32)  # exceeded once in 1000


@pytest.mark.parametrize("options", [
    (1.0,), (0.5,), (2.0,), (1.0, 4), (0.7, 5, 0.9), (1.0, None, 0.8), (1.5, None, None, 0.2),
    (1.0, None, None, None, 0.7)])
def test_draws_follow_the_distribution(options: tuple[Any, ...]) -> None:
    z, n = np.array([0.5, -1, 2, 1, 1.5, -0.5, 0, 1.2]), 20_000
    left = cut(z, *options)
    uniforms = np.random.default_rng(0).random(n)
    counts = np.bincount(draw_rows(np.broadcast_to(left, (n, 8)), uniforms), minlength=8)
    expected = n * np.array(shares(left))
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert statistic < CHI_SQUARE_99_9[int(possible.sum()) - 1]


def test_impossible_arguments() -> None:
    one = np.ones(2)
    for call in (lambda: scale_by_temperature(one, 0), lambda: keep_top_k(one, 0),
                 lambda: keep_top_p(one, 0), lambda: keep_top_p(one, 1.1),
                 lambda: keep_min_p(one, -1), lambda: keep_min_p(one, 2),
                 lambda: keep_typical(one, 0), lambda: keep_typical(one, 2)):
        with pytest.raises(ValueError):
            call()


def test_which_logits_leave_a_choice() -> None:
    fine = [0.0, -INF, 1e308]
    assert finite_largest(np.array([fine, fine[::-1]]))
    assert not finite_largest(np.array([fine, [float("nan"), 1, 2]]))
    assert not finite_largest(np.array([[1, INF, 2], fine]))
    assert not finite_largest(np.array([fine, [-INF] * 3]))
