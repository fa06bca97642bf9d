"""Every op refuses what is not an array of real numbers, and says which op and what it got."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from cases import CASES, floating
from hypothesis import given, settings
from hypothesis import strategies as st

from autograd import Tensor, registry
from autograd.primitive import Nondifferentiable

DIFFERENTIABLE = sorted(n for n in CASES if not isinstance(registry.get(n), Nondifferentiable))
SEVERAL_RESULTS = {"atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "meshgrid",
                   "gradient"}
STRANGE = ["text", None, object(), {"a": 1.0}, np.array(["a", "b"]), np.array([None, 1.0])]


def may_be_none(name: str, position: int) -> bool:
    """Whether the parameter at a position has the default None."""
    parameters = list(inspect.signature(registry[name].forward).parameters.values())
    if registry[name].variadic:
        return True  # there an axis may follow by position
    return position < len(parameters) and parameters[position].default is None


def refused(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        registry[name](*args, **options)
    message = str(caught.value)
    assert message.startswith(f"{registry[name].name}:"), message
    return message


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@settings(max_examples=3)
@given(data=st.data())
def test_what_is_no_array_is_refused(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    for i in floating(args):
        for strange in STRANGE:
            if strange is None and may_be_none(name, i):
                continue
            if name == "diff" and 0 in (options.get("n"), *args[1:2]):
                continue  # it returns x then, and looks at nothing else
            changed = [Tensor(x) if k in floating(args) else x for k, x in enumerate(args)]
            changed[i] = strange
            refused(name, tuple(changed), options)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@settings(max_examples=3)
@given(data=st.data())
def test_complex_arrays_are_refused_where_a_gradient_is_asked(name: str,
                                                              data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    if len(floating(args)) < 2 or name.startswith("_") or name in SEVERAL_RESULTS:
        return  # a Tensor itself is never complex
    for i in floating(args):
        changed = [Tensor(x, requires_grad=True) if k in floating(args) else x
                   for k, x in enumerate(args)]
        changed[i] = args[i] * 1j
        assert "complex" in refused(name, tuple(changed), options)
