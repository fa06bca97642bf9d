"""The gradient suite: every op in the registry, by construction.

Forward against NumPy; rules against central differences in float64 at natural scale; the plain
rule against the recorded one, which for a fused op is the hand-derived pair against its
reference; the second order for all and the third for some.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, floating
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor, check_grads, no_grad, pull_back, registry
from autograd.primitive import Nondifferentiable
from autograd.tensor import values

DIFFERENTIABLE = sorted(n for n in CASES if not isinstance(registry.get(n), Nondifferentiable))


def test_every_op_has_a_case() -> None:
    assert set(CASES) == set(registry), "each op needs an OpCase in tests/cases.py, and only ops do"


def each(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


def on_tape(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Tensor]]:
    """Return the arguments with every float array as a leaf, and these leaves."""
    leaves: list[Tensor] = []

    def lift(x: Any) -> Any:
        if isinstance(x, list):
            return [lift(v) for v in x]
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            leaves.append(Tensor(x, requires_grad=True))
            return leaves[-1]
        return x

    return tuple(lift(x) for x in args), leaves


@pytest.mark.parametrize("name", sorted(CASES))
@given(data=st.data())
def test_forward(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    args, options = data.draw(case.inputs)
    plain = each(registry[name](*args, **options))
    expected = each(case.oracle(*args, **options))
    lifted = each(registry[name](*on_tape(args)[0], **options))
    assert len(plain) == len(expected) == len(lifted)
    for p, e, t in zip(plain, expected, lifted, strict=True):
        np.testing.assert_allclose(p, e, rtol=1e-12, atol=1e-12)
        assert p.shape == np.shape(e) and p.dtype == np.asarray(e).dtype
        assert np.array_equal(p, values(t))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_rule_against_differences(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    args, options = data.draw(case.inputs)
    inputs = [x for x in args if isinstance(x, list)] or [args[i] for i in floating(args)]
    flat = inputs[0] if inputs and isinstance(inputs[0], list) else inputs

    def f(*xs: Any) -> Any:
        if inputs and isinstance(inputs[0], list):
            return registry[name](list(xs), **options)
        full = list(args)
        for i, x in zip(floating(args), xs, strict=True):
            full[i] = x
        return registry[name](*full, **options)

    small = name != "embedding" or flat[0].size < 100  # the large table's rule has a test below
    check_grads(f, *flat, order=case.order if small else 1)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_plain_rule_against_recorded_rule(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    lifted, leaves = on_tape(args)
    ys = [y for y in each(registry[name](*lifted, **options)) if y.node is not None]
    gs = [np.random.default_rng(1).uniform(-2, 2, y.shape) for y in ys]
    recorded = pull_back(ys, gs, leaves, record=True)
    plain = pull_back(ys, gs, leaves)
    for leaf, p, r in zip(leaves, plain, recorded, strict=True):
        if p is None:
            assert r is None
            continue
        assert p.shape == r.shape == leaf.shape
        np.testing.assert_allclose(p, r.data, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_float32_stays_float32(name: str, data: st.DataObject) -> None:
    def narrow(x: Any) -> Any:
        if isinstance(x, list):
            return [narrow(v) for v in x]
        return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x

    args, options = data.draw(CASES[name].inputs)
    options |= {"dtype": np.float32} if name == "astype" else {}
    lifted, leaves = on_tape(tuple(narrow(x) for x in args))
    ys = [y for y in each(registry[name](*lifted, **options)) if y.node is not None]
    assert all(y.dtype == np.float32 for y in ys)
    gradients = pull_back(ys, [np.ones(y.shape, np.float32) for y in ys], leaves)
    assert all(g is None or g.dtype == np.float32 for g in gradients)


@pytest.mark.parametrize("name", sorted(set(CASES) - set(DIFFERENTIABLE)))
@given(data=st.data())
def test_comparisons_leave_the_tape(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    assert not isinstance(registry[name](*on_tape(args)[0], **options), Tensor)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_nothing_is_recorded_without_need(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    lifted, leaves = on_tape(args)
    with no_grad():
        ys = each(registry[name](*lifted, **options))
    made = [y for y in ys if isinstance(y, Tensor) and not any(y is x for x in leaves)]
    assert all(y.node is None for y in made)


def test_large_table_embedding_adds_repetitions() -> None:
    table = Tensor(np.zeros((2000, 2)), requires_grad=True)
    ids = np.array([7, 1999, 7])
    registry["embedding"](ids, table).backward(np.array([[1.0, 2], [3, 4], [5, 6]]))
    expected = np.zeros((2000, 2))
    expected[7], expected[1999] = [6, 8], [3, 4]
    assert np.array_equal(table.grad, expected)
