"""Each twin is held to its plain pair, by construction: one that enters the registry is tested.

Inputs are those of the op's case, in both precisions and in any memory layout. Where the twin cuts
its work is drawn with them: the limits of its modules and of `host.threads` are whole numbers with
names in capitals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import strict_cupy
from cases import CASES
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from autograd import Fused, Tensor, plain_ops, registry
from autograd.testing.layouts import LAYOUTS, laid_out
from tinygrad_llm.host.threads import workers

TWINS = sorted(name for name in CASES if isinstance(op := registry[name], Fused) and op.twins)
WAITS = {"experts"}  # for the number of rows of each
TOLERANCE = {"float64": 1e-10, "float32": 2e-5}

LIMITS = {(module, name): value
          for module in ("tinygrad_llm.host.threads", *sorted(sys.modules))
          if module.startswith(("tinygrad_llm.functional.cpu.", "tinygrad_llm.host.threads"))
          for name, value in vars(sys.modules[module]).items()
          if name.isupper() and type(value) is int}


@st.composite
def small_limits(draw: Any) -> dict[tuple[str, str], int]:
    """Draw a number for each limit: few rows or bytes, or what it is."""
    return {place: draw(st.sampled_from([1, 2, 40, 400, value])) for place, value in LIMITS.items()}


@contextmanager
def limited(limits: dict[tuple[str, str], int]) -> Iterator[None]:
    """Set the limits inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in limits.items():
            patch.setattr(sys.modules[module], name, value)
        yield


@st.composite
def calls(draw: Any, name: str, dtype: str) -> tuple[list[Any], dict[str, Any], np.ndarray]:
    """Draw arguments, options and a cotangent of an op; none of the arrays may be written into."""
    def floating(x: np.ndarray) -> np.ndarray:
        y = laid_out(x.astype(dtype), draw(st.sampled_from(LAYOUTS)))
        y.flags.writeable = False
        return y

    args, options = draw(CASES[name].inputs)
    args = [floating(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in args]
    with plain_ops():
        shape = np.shape(registry[name](*args, **options))
    g = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
    if draw(st.booleans()):
        return args, options, floating(g)
    return args, options, np.broadcast_to(np.array(1.7, dtype), shape)  # as a sum sends it


def passes(name: str, args: list[Any], options: dict[str, Any], g: np.ndarray,
           uses: int) -> list[np.ndarray]:
    """Return the result of the op and the gradients, added over so many calls."""
    leaves = [Tensor(x, requires_grad=True) if isinstance(x, np.ndarray) and x.dtype.kind == "f"
              else x for x in args]
    ys = [registry[name](*leaves, **options) for _ in range(uses)]
    sum(ys[1:], ys[0]).backward(g)
    return [ys[0].data, *[leaf.grad for leaf in leaves if isinstance(leaf, Tensor)]]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", TWINS)
@draws(200, dev=40)
@given(data=st.data(), limits=small_limits(), uses=st.integers(1, 3))
def test_a_twin_computes_what_its_plain_pair_does(
        name: str, dtype: str, data: st.DataObject, limits: dict[tuple[str, str], int],
        uses: int) -> None:
    call = data.draw(calls(name, dtype))
    with plain_ops():
        expected = passes(name, *call, uses)
    found = []
    for threads in (1, 3):
        with limited(limits), workers(threads):
            found.append(passes(name, *call, uses))
    for one, three, e in zip(*found, expected, strict=True):
        np.testing.assert_array_equal(one, three, "the number of threads shows", strict=True)
        assert (one.shape, one.dtype) == (e.shape, e.dtype)
        size = max(1.0, float(np.abs(e).max(initial=0)))
        np.testing.assert_allclose(one, e, rtol=0, atol=TOLERANCE[dtype] * size)


@pytest.mark.parametrize("name", TWINS)
@draws(40, dev=15)
@given(data=st.data())
def test_arguments_of_several_types_give_the_types_of_the_plain_pair(
        name: str, data: st.DataObject) -> None:
    args, options, g = data.draw(calls(name, "float32"))
    kinds = st.sampled_from(["float16", "float32", "float64"])
    args = [x.astype(data.draw(kinds)) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
            for x in args]
    with plain_ops():
        g = g.astype(registry[name](*args, **options).dtype)
        expected = passes(name, args, options, g, 1)
    for one, e in zip(passes(name, args, options, g, 1), expected, strict=True):
        assert (one.shape, one.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(one, e, rtol=0, atol=0.02 * max(
            1.0, float(np.abs(e).max(initial=0))))


@pytest.mark.parametrize("name", TWINS)
@given(data=st.data())
def test_a_twin_computes_its_own_librarys_arrays_and_rests_inside_plain_ops(
        name: str, data: st.DataObject) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RecursionError("the twin computes")

    args, options, g = data.draw(calls(name, "float64"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry[name].twins, "numpy", (refuse, refuse))
        with plain_ops():
            passes(name, args, options, g, 1)
        on_device = [strict_cupy.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
        options = {key: strict_cupy.asarray(x) if isinstance(x, np.ndarray) else x
                   for key, x in options.items()}
        with nullcontext() if name in WAITS else strict_cupy.no_sync():
            assert isinstance(registry[name](*on_device, **options), strict_cupy.ndarray)
        with pytest.raises(RecursionError, match="the twin computes"):
            registry[name](*args, **options)
