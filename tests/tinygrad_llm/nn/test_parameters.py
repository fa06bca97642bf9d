from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.nn import load_parameters, parameters, with_parameters


class Thing:
    """Anything with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def weight(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_names_follow_the_objects_and_ties_count_once() -> None:
    shared = weight(1.0)
    circular = Thing(inner=Thing(w=shared), many=[weight(2.0), {"a": weight(3.0)}, (shared, 5)],
                     constant=Tensor(1.0), name="x", size=3, function=len)
    circular.inner.back = circular
    found = parameters(circular)
    assert list(found) == ["inner.w", "many.0", "many.1.a"]
    assert found["inner.w"] is shared


def test_load_writes_all_or_nothing() -> None:
    thing = Thing(a=weight(1.0, 2.0), b=weight(3.0))
    kept = thing.a.data
    load_parameters(thing, {"a": np.array([5.0, 6.0]), "b": np.array([7.0])})
    assert kept.tolist() == [5, 6] and thing.b.data.tolist() == [7]
    with pytest.raises(ValueError, match=r"missing: b; not in the model: c; other shape: a \(1,\) "
                                         r"instead of \(2,\)"):
        load_parameters(thing, {"a": np.zeros(1), "c": np.zeros(1)})
    assert kept.tolist() == [5, 6]


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8", "complex64"])
def test_numbers_of_another_kind_are_refused(dtype: str) -> None:
    thing = Thing(a=weight(1.0, 2.0), b=weight(3.0))
    with pytest.raises(ValueError, match=f"do not fit the model: other kind: b {dtype} instead of "
                                         f"float64$"):
        load_parameters(thing, {"a": np.zeros(2), "b": np.zeros(1, dtype)})
    assert thing.a.data.tolist() == [1, 2] and thing.b.data.tolist() == [3]
    load_parameters(thing, {"a": np.zeros(2, "float16"), "b": np.zeros(1, "float32")})
    assert thing.a.data.tolist() == [0, 0]


def test_with_parameters_leaves_the_original_alone() -> None:
    shared = weight(1.0)
    thing = Thing(a=shared, b=[shared], c=weight(2.0))
    other = with_parameters(thing, {"a": weight(9.0)})
    assert other.a is other.b[0] and other.a.data.tolist() == [9.0]
    assert other.c is thing.c and thing.a is shared
    with pytest.raises(KeyError, match="no parameter 'z'"):
        with_parameters(thing, {"z": shared})
