"""Attention where the gradient suite does not go: invariants, extremes, what is not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attention_cases
import numpy as np
import pytest

from autograd import Tensor, plain_ops, vjp
from tinygrad_llm.functional import attention
from tinygrad_llm.functional.attention import visible
from tinygrad_llm.functional.dropout import keep_mask

pytestmark = pytest.mark.usefixtures("pair")

DOCUMENTS = np.array([[4, 4, 4, 4, 1, 1, 0, 0, 0], [7, 7, 7, 7, 7, 7, 7, 7, 2]])


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def arrays(batch: int = 2, time: int = 9, keys: int = 9, heads: int = 4, groups: int = 2,
           depth: int = 2) -> list[np.ndarray]:
    """Return queries, keys, values and a cotangent, each with numbers of its own."""
    shapes = [(time, heads), (keys, groups), (keys, groups), (time, heads)]
    return [np.random.default_rng(i).standard_normal((batch, *shape, depth))
            for i, shape in enumerate(shapes)]


def run(q: Any, k: Any, v: Any, g: Any, **options: Any) -> list[Any]:
    """Return the result and the gradients of q, k and v."""
    o, pull = vjp(lambda *args: attention(*args, **options), q, k, v)
    return [o, *pull(g)]


def assert_close(got: list[Any], expected: list[Any], tolerance: float = 1e-12) -> None:
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


# what a query sees


SEEN: list[tuple[dict[str, Any], Callable[[int, int, int], bool]]] = [
    ({}, lambda b, i, j: j <= i),
    ({"window": 3}, lambda b, i, j: i - 3 < j <= i),
    ({"documents": DOCUMENTS}, lambda b, i, j: j <= i and DOCUMENTS[b, i] == DOCUMENTS[b, j]),
    ({"window": 2, "documents": DOCUMENTS, "soft_cap": 2.0, "dropout": 0.2, "key": 1},
     lambda b, i, j: i - 2 < j <= i and DOCUMENTS[b, i] == DOCUMENTS[b, j]),
]


@pytest.mark.parametrize("options, sees", SEEN)
@pytest.mark.parametrize("place", [0, 3, 4, 8])
@pytest.mark.parametrize("depth", [1, 3])  # probabilities are computed again, or kept
def test_a_key_that_is_not_seen_has_exactly_no_gradient(
        options: dict[str, Any], sees: Callable[[int, int, int], bool], place: int,
        depth: int) -> None:
    q, k, v, g = arrays(depth=depth)
    g[:, np.arange(9) != place] = 0
    o, dq, dk, dv = run(q, k, v, g, **options)
    seen = np.array([[sees(b, place, j) for j in range(9)] for b in range(2)])
    assert not dq[:, np.arange(9) != place].any()
    assert not dk[~seen].any() and not dv[~seen].any()
    assert dv.any(axis=(2, 3))[seen].all() or "dropout" in options
    other = [np.where(seen[..., None, None], x, 1e3 * x + 5) for x in (k, v)]
    np.testing.assert_array_equal(attention(q, *other, **options)[:, place], o[:, place])


@pytest.mark.parametrize("options, sees", SEEN)
def test_visible_is_what_the_options_say(options: dict[str, Any],
                                         sees: Callable[[int, int, int], bool]) -> None:
    chosen = {name: options[name] for name in ("window", "documents") if name in options}
    for offset, first in ((None, [4, 4]), (2, [2, 2]), (np.array([0, 4]), [0, 4])):
        expected = [[[sees(b, first[b] + i, j) for j in range(9)] for i in range(5)]
                    for b in range(2)]
        seen = visible(np.zeros((2, 4, 5, 1)), 9, offset, **chosen)
        assert seen.ndim == 4 and seen.shape[1] == 1
        np.testing.assert_array_equal(np.broadcast_to(seen, (2, 1, 5, 9))[:, 0], expected)


@pytest.mark.parametrize("hidden", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("options", [{}, {"window": 2}, {"documents": np.array([[3, 5, 5]])}])
def test_nothing_of_a_key_that_is_not_seen_comes_through_whatever_it_holds(
        options: dict[str, Any], hidden: float) -> None:
    q, k, v, _ = arrays(1, 3, 3, 1, 1)
    expected = attention(q, k, v, **options)
    late, early = k.copy(), k.copy()
    late[0, 2], early[0, 0] = hidden, hidden
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(attention(q, late, v, **options)[:, :2], expected[:, :2], 1e-12)
        if options:
            np.testing.assert_allclose(attention(q, early, v, **options)[:, 2], expected[:, 2],
                                       1e-12)


def test_a_large_hidden_score_does_not_drown_the_visible_ones() -> None:
    for hidden in range(1, 7):
        q, k = np.ones((1, 7, 1, 1)), np.zeros((1, 7, 1, 1))
        k[0, hidden] = 1e5
        v = np.arange(7.0).reshape(1, 7, 1, 1)
        o = attention(q, k, v)[0, :, 0, 0]
        np.testing.assert_allclose(o[:hidden], np.arange(hidden) / 2)
        np.testing.assert_array_equal(o[hidden:], hidden)
        o = attention(q, k, v, window=2)[0, :, 0, 0]
        np.testing.assert_allclose(o[hidden + 2:], np.arange(hidden + 2, 7) - 0.5)


def test_a_window_that_holds_all_keys_is_none_and_one_of_a_key_returns_its_value() -> None:
    q, k, v, g = arrays()
    assert_close(run(q, k, v, g, window=9), run(q, k, v, g), 1e-14)
    o, dq, dk, dv = run(q, k, v, g, window=1)
    assert_close([o, dq, dk], [v.repeat(2, 2), np.zeros_like(q), np.zeros_like(k)])
    assert_close([dv], [g.reshape(2, 9, 2, 2, 2).sum(3)])


def test_documents_in_a_row_are_as_each_alone() -> None:
    q, k, v, g = (x[:1] for x in arrays())
    whole = run(q, k, v, g, documents=DOCUMENTS[:1])
    for part in (slice(0, 4), slice(4, 6), slice(6, 9)):
        assert_close([x[:, part] for x in whole], run(*(x[:, part] for x in (q, k, v, g))))
    renumbered = np.array([[1, 1, 1, 1, 0, 0, -7, -7, -7]])
    for a, e in zip(run(q, k, v, g, documents=renumbered), whole, strict=True):
        np.testing.assert_array_equal(a, e)


def test_documents_may_change_places_in_a_row() -> None:
    q, k, v, g = (x[:1] for x in arrays())
    order = np.r_[6:9, 0:4, 4:6]
    expected = [x[:, order] for x in run(q, k, v, g, documents=DOCUMENTS[:1])]
    got = run(*(x[:, order] for x in (q, k, v, g)), documents=DOCUMENTS[:1, order])
    assert_close(got, expected)


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"documents": DOCUMENTS[:, ::-1].copy()}])
def test_the_last_queries_alone_see_what_they_see_among_all(options: dict[str, Any]) -> None:
    q, k, v, _ = arrays()
    whole = attention(q, k, v, **options)
    for time in (0, 1, 4, 9):
        assert_close([attention(q[:, 9 - time:], k, v, **options)], [whole[:, 9 - time:]])
    middle = attention(q[:, 2:5], k, v, offset=2, **options)
    assert_close([middle], [whole[:, 2:5]])


def test_an_offset_for_each_sequence() -> None:
    q, k, v, g = arrays(time=3)
    for options in ({}, {"window": 2}, {"documents": DOCUMENTS, "soft_cap": 1.0}):
        both = run(q, k, v, g, offset=np.array([5, 1]), **options)
        for b, offset in enumerate((5, 1)):
            own = slice(b, b + 1)
            alone = {**options, **({"documents": DOCUMENTS[own]} if "documents" in options else {})}
            one = run(*(x[own] for x in (q, k, v, g)), offset=offset, **alone)
            assert_close([x[own] for x in both], one)
    q, k, v, g = arrays(batch=0)
    assert run(q, k, v, g, offset=np.zeros(0, int))[0].shape == q.shape


ALL = {"window": 4, "documents": DOCUMENTS, "soft_cap": 1.5, "scale": 0.8}


@pytest.mark.parametrize("offset", [None, 0, 2, 4, np.array([4, 1])])
@pytest.mark.parametrize("left_out", [(), ("window",), ("documents",), ("soft_cap", "scale")])
@pytest.mark.parametrize("heads, groups", [(4, 2), (6, 1), (3, 3)])
def test_all_options_together(offset: Any, left_out: tuple[str, ...], heads: int,
                              groups: int) -> None:
    """Against loops over what each query sees, and differences of their results."""
    q, k, v, g = arrays(time=5, heads=heads, groups=groups)
    options = {name: value for name, value in ALL.items() if name not in left_out}
    options |= {"offset": offset, "dropout": 0.2, "key": 3}
    o, *gradients = run(q, k, v, g, **options)
    assert_close([o], [attention_cases.in_loops(q, k, v, **options)])
    for i, (x, dx) in enumerate(zip((q, k, v), gradients, strict=True)):
        direction = normal(*x.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [a + step * direction if a is x else a for a in (q, k, v)]
            ends.append((attention_cases.in_loops(*moved, **options) * g).sum())
        found = (dx * direction).sum()
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7, abs=1e-8), "qkv"[i]


# heads


@pytest.mark.parametrize(
    "options", [{}, {"window": 4, "soft_cap": 1.5}, {"dropout": 0.3, "key": 5}])
def test_grouped_heads_read_the_same_keys(options: dict[str, Any]) -> None:
    q, k, v, g = arrays(heads=6)
    o, dq, dk, dv = run(q, k, v, g, **options)
    expected = run(q, k.repeat(3, 2), v.repeat(3, 2), g, **options)
    expected[2:] = [d.reshape(2, 9, 2, 3, 2).sum(3) for d in expected[2:]]
    assert_close([o, dq, dk, dv], expected)


def test_equal_heads_of_queries_give_equal_results() -> None:
    q, k, v, g = arrays()
    q[:, :, 1], g[:, :, 1] = q[:, :, 0], g[:, :, 0]
    o, dq, _, _ = run(q, k, v, g)
    assert_close([o[:, :, 1], dq[:, :, 1]], [o[:, :, 0], dq[:, :, 0]], 1e-14)
    assert abs(o[:, :, 2] - o[:, :, 0]).min() > 0


def test_a_batch_in_another_order() -> None:
    q, k, v, g = arrays(batch=3)
    order = [2, 0, 1]
    assert_close(run(*(x[order] for x in (q, k, v, g))), [x[order] for x in run(q, k, v, g)])


# numbers


def probabilities(q: np.ndarray, k: np.ndarray, **options: Any) -> np.ndarray:
    """Return p (B, T, H, S): the result for values that are the rows of the identity."""
    batch, keys, heads, depth = k.shape
    eye = np.broadcast_to(np.eye(keys)[:, None], (batch, keys, heads, keys))
    wide = [np.pad(x, ((0, 0), (0, 0), (0, 0), (0, keys - depth))) for x in (q, k)]
    return np.asarray(attention(*wide, eye, scale=depth**-0.5, **options))


def test_probabilities_sum_to_one() -> None:
    q, k, v, _ = arrays()
    for options in ({}, {"window": 3, "soft_cap": 0.7}, {"documents": DOCUMENTS, "scale": 9.0}):
        np.testing.assert_allclose(attention(q, k, np.ones_like(v), **options), 1, rtol=1e-14)


def test_equal_scores_give_the_mean_of_what_is_seen() -> None:
    v = normal(2, 9, 3, 2)
    zeros = np.zeros_like(v)
    sums = np.concatenate([zeros[:, :1], np.cumsum(v, axis=1)], axis=1)
    count = np.arange(1, 10)[:, None, None]
    np.testing.assert_allclose(attention(zeros, zeros, v), sums[:, 1:] / count, rtol=1e-11)
    last = np.maximum(np.arange(1, 10) - 4, 0)
    np.testing.assert_allclose(attention(zeros, zeros, v, window=4),
                               (sums[:, 1:] - sums[:, last]) / np.minimum(count, 4), rtol=1e-11)


def test_the_scale_multiplies_the_queries() -> None:
    q, k, v, g = arrays()
    o, dq, dk, dv = run(q, k, v, g, scale=0.3)
    expected = run(0.3 * np.sqrt(2) * q, k, v, g)
    assert_close([o, dq / (0.3 * np.sqrt(2)), dk, dv], expected)
    assert_close(run(q, k, v, g, scale=2**-0.5), run(q, k, v, g), 1e-14)


def test_a_soft_cap_bounds_the_scores_and_a_high_one_does_nothing() -> None:
    q, k, v, g = arrays()
    assert_close(run(q, k, v, g, soft_cap=1e9), run(q, k, v, g), 1e-9)
    p = probabilities(1e3 * q, 1e3 * k.repeat(2, 2), soft_cap=0.5)[:, -1]
    np.testing.assert_allclose(p.max(-1) / p.min(-1), np.e, rtol=1e-9)


def test_dropout_multiplies_the_probabilities_by_the_mask_of_its_key() -> None:
    q, k, v, g = arrays(groups=4)
    m = keep_mask((2, 4, 9, 9), 0.4, 3, q).swapaxes(1, 2)
    np.testing.assert_allclose(probabilities(q, k, dropout=0.4, key=3), m * probabilities(q, k),
                               rtol=1e-12, atol=1e-15)
    for options in ({"dropout": 0.4}, {"key": 3}, {"dropout": 0.0, "key": 3}):
        for a, e in zip(run(q, k, v, g, **options), run(q, k, v, g), strict=True):
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("depth", [1, 3])
def test_large_scores_neither_overflow_nor_lose_their_sums(depth: int) -> None:
    """Scores of 1e7 exactly, twice: as float32, 1e7 + ln 2 is 1e7 + 1."""
    q, k = np.zeros((2, 1, 8, 1, depth), np.float32)
    q[..., 0], k[..., 0] = 1e4, 1e3
    v = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1).repeat(depth, -1)
    o, _, _, dv = run(q, k, v, np.ones_like(q), scale=1.0)
    np.testing.assert_allclose(o[0, :, 0, 0], np.arange(8) / 2, rtol=1e-6)
    share = [sum(1 / (i + 1) for i in range(j, 8)) for j in range(8)]
    np.testing.assert_allclose(dv[0, :, 0, 0], share, rtol=1e-6)
    q, k, v, g = (x.astype(np.float32) for x in arrays(depth=depth))
    with np.errstate(over="raise"):
        found = run(1e4 * q, 1e4 * k, 1e4 * v, g)
    assert all(np.isfinite(x).all() for x in found)


def test_large_scores_choose_one_key() -> None:
    q, k, v = np.ones((3, 1, 3, 1, 1), np.float32)
    q *= 1e3
    k[0, :, 0, 0], v[0, :, 0, 0] = [1e3, 2e3, -5e3], [1, 2, 3]
    o, *gradients = run(q, k, v, np.ones_like(q))
    np.testing.assert_allclose(o[0, :, 0, 0], [1, 2, 2], rtol=1e-6)
    assert all(np.isfinite(d).all() for d in gradients)


def test_half_precision() -> None:
    q, k, v, g = arrays()
    got = run(*(x.astype(np.float16) for x in (q, k, v, g)), window=5, soft_cap=3.0)
    with plain_ops():
        expected = run(q, k, v, g, window=5, soft_cap=3.0)
    for a, e in zip(got, expected, strict=True):
        assert a.dtype == np.float16
        np.testing.assert_allclose(a, e, atol=0.02)


def test_the_dtype_is_that_of_all_arguments() -> None:
    q, k, v, g = arrays()
    q = q.astype(np.float32)
    o, dq, dk, dv = run(q, k, v, g)
    assert [x.dtype for x in (o, dq, dk, dv)] == [np.float64, np.float32, np.float64, np.float64]
    expected = run(q.astype(float), k, v, g)
    assert_close([o, dq, dk, dv], [expected[0], expected[1].astype(np.float32), *expected[2:]])


@pytest.mark.parametrize("depth", [1, 3])
def test_the_backward_pass_can_be_run_twice(depth: int) -> None:
    *args, g = arrays(depth=depth)
    leaves = [Tensor(x, requires_grad=True) for x in args]
    o = attention(*leaves, dropout=0.3, key=2, soft_cap=2.0)
    o.backward(g, retain=True)
    first = [leaf.grad.copy() for leaf in leaves]
    o.backward(g)
    for leaf, once in zip(leaves, first, strict=True):
        np.testing.assert_array_equal(leaf.grad, once + once)


@pytest.mark.parametrize("sizes", [{"batch": 0}, {"time": 0}, {"time": 0, "keys": 0}])
@pytest.mark.parametrize("options", [{}, {"window": 2, "soft_cap": 1.0, "dropout": 0.5, "key": 1}])
def test_empty_batches_and_no_queries_have_empty_or_zero_gradients(
        sizes: dict[str, int], options: dict[str, Any]) -> None:
    q, k, v, g = arrays(**sizes)
    o, dq, dk, dv = run(q, k, v, g, **options)
    assert o.shape == dq.shape == q.shape and dk.shape == dv.shape == k.shape
    assert not dk.any() and not dv.any()


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


X = ones(2, 3, 4, 2)


@pytest.mark.parametrize("call, words", [
    (lambda: attention(ones(3, 4, 2), X, X), r"expected q \(B, T, H, D\), .* got \(3, 4, 2\), "),
    (lambda: attention(X, X, ones(2, 3, 4, 1)), r"G divides H, got .* and \(2, 3, 4, 1\)"),
    (lambda: attention(X, ones(1, 3, 4, 2), ones(1, 3, 4, 2)), "expected q"),
    (lambda: attention(X, ones(2, 3, 3, 2), ones(2, 3, 3, 2)), "expected q"),
    (lambda: attention(X, ones(2, 3, 0, 2), ones(2, 3, 0, 2)), "expected q"),
    (lambda: attention(X, ones(2, 3, 4, 1), ones(2, 3, 4, 1)), "expected q"),
    (lambda: attention(*[ones(2, 3, 4, 0)] * 3), "expected q"),
    (lambda: attention(X, X[:, :2], X[:, :2]), "each of 3 queries needs its own place among 2"),
    (lambda: attention(X, X, X, offset=1), "got offset 1; it may be 0 to 0"),
    (lambda: attention(X[:, :1], X, X, offset=-1), "got offset -1; it may be 0 to 2"),
    (lambda: attention(X[:, :1], X, X, offset=np.array([0, 3])), r"got offset \[0 3\]; it may"),
    (lambda: attention(X, X, X, offset=np.zeros(3, int)), r"each of 2 sequences, got shape \(3,\)"),
    (lambda: attention(X, X, X, window=0), "a whole number of keys, at least 1, got 0"),
    (lambda: attention(X, X, X, window=2.0), "a whole number of keys, at least 1, got 2.0"),
    (lambda: attention(X, X, X, soft_cap=0.0), "a soft cap lies above 0, got 0.0"),
    (lambda: attention(X, X, X, soft_cap=float("nan")), "a soft cap lies above 0, got nan"),
    (lambda: attention(X, X, X, documents=np.zeros((2, 2))), r"for each key, \(2, 3\), got"),
    (lambda: attention(X, X, X, dropout=1.0, key=1), r"must lie in \[0, 1\), got 1"),
])
def test_wrong_arguments(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^attention: .*{words}"):
        call()
