"""Gradients that are written where they belong instead of being made: all the ways they may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, checkpoint, fused, grad
from autograd.backward import pull_back
from autograd.deferred import Deferred, accumulate

made: list[str] = []


@pytest.fixture
def scaled() -> Iterator[Any]:
    """An op 3 x whose rule returns a Deferred."""

    def reference(x: Any, /) -> Any:
        return 3 * x

    @fused(reference)
    def thrice(x: Any, /) -> Any:
        return 3 * x, x

    @thrice.vjp
    def _(g: Any, x: Any) -> Any:
        def write(total: Any, add: bool) -> None:
            made.append("added" if add else "set")
            if add:
                total += 3 * g
            else:
                total[...] = 3 * g

        return Deferred(x, write)

    made.clear()
    yield thrice


def leaf() -> Tensor:
    return Tensor(np.array([1.0, -2.0]), requires_grad=True)


def twos(log: list[bool] | None = None) -> Deferred:
    """A gradient of twos; `log` receives whether each write adds."""
    def write(total: Any, add: bool) -> None:
        if log is not None:
            log.append(add)
        if add:
            total += 2
        else:
            total[...] = 2

    return Deferred(np.zeros((2, 3), np.float32), write)


def test_it_knows_its_shape_and_makes_its_array() -> None:
    g = twos()
    assert g.shape == (2, 3) and g.dtype == np.float32 and not g.sparse
    made = g.array()
    assert made.tolist() == [[2] * 3] * 2 and made.dtype == np.float32
    assert g.array() is not made


@pytest.mark.parametrize("owned", [False, True])
def test_sums_of_arrays_and_deferred_ones(owned: bool) -> None:
    ones = np.ones((2, 3), np.float32)
    log: list[bool] = []
    total = accumulate(ones, twos(log), owned)
    assert (total == 3).all() and log == [True]
    assert (total is ones) == owned and (ones == (3 if owned else 1)).all()
    log.clear()
    total = accumulate(twos(log), np.ones((2, 3), np.float32), False)
    assert (total == 3).all() and log == [False]
    log.clear()
    assert (accumulate(twos(log), twos(log), False) == 4).all() and log == [False, True]


def test_sums_of_arrays_are_written_only_into_what_is_owned() -> None:
    a, b = np.ones(2), np.ones(2)
    assert accumulate(a, b, False).tolist() == [2, 2] and a.tolist() == [1, 1]
    assert accumulate(a, b, True) is a and a.tolist() == [2, 2]
    number = np.array(1.0)
    assert accumulate(number, np.array(2.0), True) == 3 and number == 1


def test_as_the_only_gradient(scaled: Any) -> None:
    x = leaf()
    scaled(x).sum().backward()
    assert type(x.grad) is np.ndarray and x.grad.tolist() == [3, 3]
    scaled(x).sum().backward()
    assert x.grad.tolist() == [6, 6]


@pytest.mark.parametrize("uses", [
    lambda f, x: f(x) + f(x),
    lambda f, x: f(x) + 3 * x,
    lambda f, x: 3 * x + f(x),
    lambda f, x: f(x) + f(x) + f(x) - 3 * x,
    lambda f, x: x + f(x) + 2 * x,
])
def test_added_to_others_in_any_order(scaled: Any, uses: Any) -> None:
    x = leaf()
    uses(scaled, x).sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_a_gradient_that_others_hold_is_not_written_into(scaled: Any) -> None:
    x, y = leaf(), leaf()
    g = np.ones(2)
    total = scaled(x) + (x + y)  # a sum hands g itself to x and y
    got = pull_back([total], [g], [x, y])
    assert got[0].tolist() == [4, 4] and got[1].tolist() == [1, 1] and g.tolist() == [1, 1]


def test_for_a_value_that_was_computed(scaled: Any) -> None:
    x = leaf()
    (scaled(x * x) * 2).sum().backward()
    assert x.grad.tolist() == [12, -24]


def test_through_a_broadcast_a_hook_a_cast_and_a_checkpoint(scaled: Any) -> None:
    x = leaf()
    x.register_hook(lambda g: g * 10)
    (scaled(x) + x).sum().backward()
    assert x.grad.tolist() == [40, 40]
    single = Tensor(np.ones(2, np.float32), requires_grad=True)
    scaled(single).sum().backward()
    assert single.grad.dtype == np.float32
    x = leaf()
    checkpoint(scaled)(x).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert grad(lambda x: (scaled(x) ** 2).sum())(np.ones(2)).tolist() == [18, 18]


def test_recorded_passes_use_the_reference(scaled: Any) -> None:
    x = leaf()
    (scaled(x) ** 2).sum().backward(record=True)
    assert made == []
    x = leaf()
    (scaled(x) ** 2).sum().backward(retain=True)
    assert x.grad.tolist() == [18, -36] and made == ["set"]


def test_delivered_part_by_part_but_in_full_where_there_is_a_hook(scaled: Any) -> None:
    x, y, z = leaf(), leaf(), leaf()
    z.register_hook(lambda g: g)
    parts: list[tuple[int, Any]] = []
    total = (scaled(x) + x + scaled(z) + z + 2.0 * y * x).sum()
    assert pull_back([total], [None], [x, y, z], deliver=lambda i, g: parts.append((i, g))) == [
        None, None, None]
    assert sorted(i for i, _ in parts) == [0, 0, 0, 1, 2]
    assert sum(isinstance(g, Deferred) for _, g in parts) == 1
    sums = [np.zeros(2) for _ in range(3)]
    for i, g in parts:
        if isinstance(g, Deferred):
            g.write(sums[i], True)
        else:
            sums[i] += g
    expected = grad(lambda x, y, z: (4 * x + 4 * z + 2.0 * y * x).sum(), argnums=(0, 1, 2))(
        x.data, y.data, z.data)
    for s, e in zip(sums, expected, strict=True):
        assert s.tolist() == e.tolist()


def test_an_embedding_of_a_large_table() -> None:
    from tinygrad_llm.functional import embedding

    rng = np.random.default_rng(0)
    w = Tensor(rng.normal(size=(300, 2)), requires_grad=True)
    ids, others = rng.integers(0, 300, (2, 50))
    g = rng.normal(size=(50, 2))
    expected = np.zeros((300, 2))
    np.add.at(expected, ids, g)
    np.add.at(expected, others, g)
    ((embedding(ids, w) + embedding(others, w)) * g).sum().backward()
    np.testing.assert_allclose(w.grad, expected, rtol=1e-12)
