"""The smallest arguments that fail are found for any op."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strict_cupy
from anomalies import fails, found, leaf

import autograd as ag
from autograd import log, vjp
from autograd.primitive import registry
from autograd.tape.failing import Failure, nested_to_host, not_finite
from tinygrad_llm.functional import linear


def test_large_arguments_are_cut_in_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(300, 200)) * 1e155, rng.normal(size=(100, 200)) * 1e154
    error = found(lambda: linear(leaf(x), leaf(w)), tmp_path)
    assert error.op == "linear" and len(fails(error)) < 1500
    x = rng.normal(size=(40, 50, 60))
    x[17, 3, 9] = -20
    error = found(lambda: log(leaf(x + 10)), tmp_path)
    assert "np.array(-1" in fails(error)


@pytest.mark.parametrize("f, numbers", [
    (lambda: ag.exp(leaf([1.0, 712.3456789])), "np.array(710.0)"),
    (lambda: leaf([1.712345e308]) * 2.0, "np.array(1.7e+308)"),  # 2e308 would be another fault
    (lambda: log(leaf([[-0.123456]], "float32")), 'np.array(-0.1, dtype="float32")'),
])
def test_numbers_are_made_simple(f: Any, numbers: str, tmp_path: Path) -> None:
    assert numbers in fails(found(f, tmp_path))


def test_a_failure_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fail"):
        Failure(registry["log"], [np.ones(3)], {}, "NaN", np.array([np.nan] * 3)).smallest()


def test_not_finite_looks_into_nests() -> None:
    assert not_finite([1, (np.array([np.inf]), None), np.nan]) == "NaN"
    assert not_finite((np.inf, "x", slice(None))) == "inf"
    assert not_finite([np.array([1, 2]), 3.0, vjp]) is None


def smallest(op: Any, *args: Any, kind: str = "NaN", **options: Any) -> Failure:
    with np.errstate(all="ignore"):
        return Failure(op, args, options, kind, op(*args, **options)).smallest()


def test_a_wrong_element_is_cut_out_of_any_shape() -> None:
    x = np.linspace(1, 2, 24).reshape(2, 3, 4)
    x[1, 2, 3] = -0.7654321
    failure = smallest(ag.log, x)
    assert failure.args[0].shape == () and float(failure.args[0]) == -0.8


def test_axes_that_belong_together_are_cut_together() -> None:
    a, b = np.ones((5, 7)), np.ones((7, 3))
    a[2, 4] = np.inf
    b[4, 1] = -np.inf
    b[5, 1] = np.inf
    failure = smallest(ag.matmul, a, b)
    assert [x.shape for x in failure.args] in ([(1, 1), (1, 1)], [(1,), (1,)], [(2,), (2,)])
    with np.errstate(all="ignore"):
        assert np.isnan(ag.matmul(*failure.args)).any()


def test_options_stay_as_they_are() -> None:
    x = np.full((3, 2), 1e308)
    failure = smallest(ag.sum, x, kind="inf", axis=0)
    assert failure.options == {"axis": 0} and failure.args[0].shape[0] == 2


def test_a_gradient_is_made_small_with_what_came_from_above() -> None:
    x = np.array([4.0, 0.0, 9.0])
    g = np.array([1.0, 2.0, 3.0])
    with np.errstate(all="ignore"):
        wrong = g * 0.5 / np.sqrt(x)
        failure = Failure(ag.sqrt, [x], {}, "inf", wrong, 0, g).smallest()
    assert float(failure.args[0]) == 0 and failure.g is not None and failure.g.shape == ()


def test_nests_come_to_the_host_as_they_are() -> None:
    x = strict_cupy.asarray(np.ones(2))
    made = nested_to_host([x, (leaf([1.0]), None), "text"])
    assert type(made) is list and type(made[1]) is tuple and made[2] == "text"
    assert type(made[0]) is np.ndarray and made[1][0].tolist() == [1.0]
