"""Arrays in other memory layouts hold the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autograd.testing.layouts import LAYOUTS, laid_out, repeated, same_layout

X = np.arange(6.0).reshape(2, 3)

LAYOUT_FACTS: dict[str, Callable[[np.ndarray], bool]] = {
    "F": lambda x: x.flags.f_contiguous and not x.flags.c_contiguous,
    "wide": lambda x: not x.flags.c_contiguous and x.strides[-1] > x.itemsize,
    "reversed": lambda x: min(x.strides) < 0,
    "inner": lambda x: x.base is not None and not x.flags.contiguous,
    "read-only": lambda x: not x.flags.writeable,
    "C": lambda x: x.flags.c_contiguous and x.flags.writeable,
}


@pytest.mark.parametrize("layout", LAYOUT_FACTS)
def test_the_numbers_stay_and_the_layout_is_another(layout: str) -> None:
    y = laid_out(X, layout)
    assert np.array_equal(X, y) and LAYOUT_FACTS[layout](y)
    assert same_layout(X, y) == (layout in ("C", "read-only"))


def test_layout_names_are_the_documented_ones() -> None:
    assert {*LAYOUTS, "read-only"} == set(LAYOUT_FACTS)


def test_one_number_stands_in_the_place_of_all() -> None:
    assert repeated(X, None).strides == (0, 0) and (repeated(X, None) == X[0, 0]).all()
    assert repeated(X, 0).strides == (0, 8) and repeated(X, 0).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert repeated(np.float64(3.0), None).shape == ()


def test_axes_of_one_element_have_no_layout() -> None:
    assert same_layout(np.zeros((1, 3)), np.zeros((3, 3))[:1])
    assert not same_layout(np.zeros((2, 3)), np.zeros((3, 2)).T)
