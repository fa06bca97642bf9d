"""Every op computes the same with the arrays of a strict CuPy as with NumPy's.

So no rule calls NumPy on an array of unknown kind, mixes host and device, or asks for what CuPy
has not; and inside `no_sync()`, none makes the host wait for the device. A fused op computes with
its plain pair there, bit for bit, not with its twin on NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import strict_cupy
from cases import CASES
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from autograd import (
    Fused,
    Tensor,
    grad,
    namespace,
    plain_ops,
    pull_back,
    registry,
    sum,
    tanh,
    to_host,
)
from autograd.primitive import Nondifferentiable
from autograd.tensor import values

DIFFERENTIABLE = sorted(n for n in CASES if not isinstance(registry.get(n), Nondifferentiable))


def moved(x: Any, move: Callable[[np.ndarray], Any]) -> Any:
    """Return x with `move` applied to each array in it."""
    if isinstance(x, dict):
        return {name: moved(part, move) for name, part in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(moved(part, move) for part in x)
    return move(x) if isinstance(x, np.ndarray) else x


def as_leaves(x: Any, leaves: list[Tensor]) -> Any:
    """Return x with each floating point array in it as a leaf, which `leaves` receives."""
    if isinstance(x, (list, tuple)):
        return type(x)(as_leaves(part, leaves) for part in x)
    if not hasattr(x, "dtype") or x.dtype.kind != "f":
        return x
    leaves.append(Tensor(x, requires_grad=True))
    return leaves[-1]


def outputs(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    y = registry[name](*args, **options)
    return list(y) if isinstance(y, (list, tuple)) else [y]


def slopes(ys: list[Any]) -> list[Any]:
    """Return a cotangent for each y: different numbers, of the same kind."""
    return [namespace(y.data).asarray(np.cos(1.0 + np.arange(y.size)).reshape(y.shape))
            for y in ys]


def forward(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    return [values(y) for y in outputs(name, args, options)]


def first_order(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    leaves: list[Tensor] = []
    ys = outputs(name, as_leaves(args, leaves), options)
    for y, g in zip(ys, slopes(ys), strict=True):
        if y.requires_grad:
            y.backward(g, retain=True)
    return [leaf.grad for leaf in leaves]


def second_order(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    leaves: list[Tensor] = []
    ys = outputs(name, as_leaves(args, leaves), options)
    parts = pull_back(ys, slopes(ys), leaves, record=True)
    parts = [part for part in parts if part is not None and part.requires_grad]
    found = pull_back([sum(part * part) for part in parts], [part.data.sum() * 0 + 1
                                                             for part in parts], leaves)
    return [g for g in found if g is not None]


def waiting_allowed(name: str, args: tuple[Any, ...]) -> AbstractContextManager[Any]:
    """Return no_sync(), except where a shape depends on values, as with a mask."""
    if name in ("nonzero", "flatnonzero", "argwhere", "unique", "lstsq", "experts"):
        return nullcontext()
    index = args[1] if name in ("getitem", "scatter_add") else ()
    parts = index if isinstance(index, tuple) else (index,)
    masked = any(isinstance(part, np.ndarray) and part.dtype == bool for part in parts)
    return nullcontext() if masked else strict_cupy.no_sync()


def check_same(compute: Callable[..., list[Any]], name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    with plain_ops():
        expected = compute(name, moved(args, np.array), options)
    with waiting_allowed(name, args):
        if isinstance(registry[name], Fused):  # of other ops, what is in options is of the host
            options = moved(options, strict_cupy.asarray)
        got = compute(name, moved(args, strict_cupy.asarray), options)
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert (g is None) == (e is None)
        if g is not None:
            assert isinstance(g, strict_cupy.ndarray)
            assert g.dtype == e.dtype and g.shape == e.shape
            np.testing.assert_array_equal(to_host(g), e)


@pytest.mark.parametrize("name", sorted(CASES))
@draws(25, dev=2)
@given(data=st.data())
def test_values(name: str, data: st.DataObject) -> None:
    check_same(forward, name, data)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@draws(25, dev=2)
@given(data=st.data())
def test_gradients(name: str, data: st.DataObject) -> None:
    check_same(first_order, name, data)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@draws(25, dev=2)
@given(data=st.data())
def test_gradients_of_gradients(name: str, data: st.DataObject) -> None:
    check_same(second_order, name, data)


def test_transforms_nest() -> None:
    def energy(x: Any) -> Any:
        return sum(x**3 * tanh(x))

    x = np.linspace(-2.0, 2.0, 5)
    expected = grad(lambda x: sum(grad(energy)(x) ** 2))(x)
    with strict_cupy.no_sync():
        got = grad(lambda x: sum(grad(energy)(x) ** 2))(strict_cupy.asarray(x))
    np.testing.assert_array_equal(to_host(got), expected)
