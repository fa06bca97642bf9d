"""The report of a failed check: all that is known, at the simplest input, as a program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import autograd as ag
from autograd import check_grads, primitive
from autograd.primitive import Op
from autograd.tensor import values
from autograd.testing import GradientError, arrays, gradcheck
from autograd.testing.failure import Subject, literal, program, simpler

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


def wrong(x: Any, /) -> Any:
    return np.sin(x)


@pytest.fixture
def bad() -> Op:
    op = primitive(wrong)
    op.vjp(lambda g, x: g * ag.where(ag.greater(x, 1.5), 0.5, ag.cos(x)))
    return op


@pytest.mark.parametrize("x", [
    X, X.T, X[:, ::2], X.astype(np.float32), np.array(0.1), np.zeros((0, 3)), 3, "ij->i", None,
    np.array([True, False]), [X, (1, slice(0, 2))], {"a": np.array([np.nan, np.inf, -np.inf])},
    np.float32, np.dtype("int64"), (X,), np.int64(4), Ellipsis,
])
def test_literals_read_back(x: Any) -> None:
    back = eval(literal(x), {"np": np})
    for a, b in zip(ag.tree.flatten([x])[0], ag.tree.flatten([back])[0], strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        if isinstance(a, np.ndarray):
            assert a.flags.c_contiguous == b.flags.c_contiguous


def test_infinite_options_are_written_as_code() -> None:
    assert literal({"ord": np.inf, "fill": -np.inf}) == "{'ord': np.inf, 'fill': -np.inf}"
    assert literal(float("nan")) == "np.nan"


def test_the_message_has_all_and_its_program_fails_again(bad: Op) -> None:
    with pytest.raises(GradientError) as caught:
        gradcheck(bad, np.linspace(-2, 2, 40).reshape(4, 10), order=1)
    error, text = caught.value, str(caught.value)
    assert error.check == "central differences" and error.order == 1 and error.argument == 0
    x = error.subject.inputs[0]  # type: ignore[union-attr]
    assert x.shape == (1, 1) and x[0, 0] in (1.8, 1.9, 2.0), "minimised: one element, rounded"
    assert error.expected == pytest.approx(np.cos(error.x)) and error.got == 0.5
    first = text.splitlines()[0]
    for part in ("wrong: order 1, argument 0, element (0, 0) = ", "expected -0.", "got 0.5",
                 "error ", "relative ", "tolerance "):
        assert part in first, part
    code = "\n".join(line[4:] for line in text.split("To see it again:\n")[1].splitlines())
    assert "# wrong: see " in code and "test_failure.py, line" in code
    with pytest.raises(GradientError, match="order 1, argument 0"):
        exec(code, {"wrong": bad})


def test_the_derivation_is_shown(bad: Op) -> None:
    class WithMaths(type(bad)):  # type: ignore[misc]
        derivation = r"$\bar x = \bar y \cos x$"

    bad.__class__ = WithMaths
    with pytest.raises(GradientError, match=r"Its derivation:\n    \$.bar x = .bar y .cos x\$"):
        gradcheck(bad, X, order=1)


def test_minimising_keeps_the_failure_it_began_with(bad: Op) -> None:
    """|x| is wrong at 0 for another reason than the planted one."""
    crooked = primitive(lambda x, /: np.abs(x))
    crooked.vjp(lambda g, x: g * ag.sign(x) * 1.5)
    with pytest.raises(GradientError) as caught:
        gradcheck(crooked, np.array([[0.7, -0.3]]), order=1)
    assert caught.value.x in (1, -1) and "kink" not in str(caught.value)


def test_inside_hypothesis_numbers_are_left_to_it(bad: Op) -> None:
    @settings(database=None)
    @given(x=arrays((2, 2), 1.6, 3))
    def test(x: Any) -> None:
        check_grads(bad, x)

    with pytest.raises(GradientError, match=r"check_grads\(wrong, x, order=2\)"):
        test()


def test_simpler_inputs_have_fewer_rows_first_and_then_plainer_numbers() -> None:
    found = list(simpler((np.array([[0.37, 2.0], [1.0, 3.0]]), "text", 7)))
    shapes = [x.shape for x, _, _ in found]
    assert shapes[0] == (1, 2) and (2, 1) in shapes and shapes[-1] == (2, 2)
    assert all(text == "text" and n == 7 for _, text, n in found)
    plain = [x.tolist() for x, _, _ in found if x.shape == (2, 2)]
    assert plain[0] == [[1, 1], [1, 1]] and [[0.4, 2], [1, 3]] in plain


def test_a_program_imports_what_is_public_and_prints_a_wrong_value() -> None:
    subject = Subject(ag.sum, (np.array([1.0, 2.0]),), {"axis": 0}, order=1, seed=3)
    scope: dict[str, Any] = {}
    exec(program(subject), scope)
    assert scope["sum"] is ag.sum and scope["x"].tolist() == [1, 2]
    assert program(subject).endswith("gradcheck(sum, x, axis=0, order=1, seed=3)")
    assert program(subject, value_only=True).endswith("print(sum(x, axis=0))")


def test_an_order_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="gradcheck: order must be at least 1, got 0"):
        Subject(ag.sum, (), {}, order=0)


def test_local_functions_and_ops_are_written_out() -> None:
    scale, offsets = 2.0, np.array([0.5])

    def helper(x: Any) -> Any:
        return ag.tanh(x) * scale

    op = primitive(lambda x, /: np.sin(scale * x))
    op.vjp(lambda g, x: g * ag.cos(scale * x))

    def broken(x: Any, y: Any) -> Any:
        return helper(x) + values(y) + op(x) + offsets

    for f, xs in [(broken, (X, X[0])), (op, (X,)), (lambda x: values(helper(x)), (X,))]:
        with pytest.raises(GradientError) as caught:
            gradcheck(f, *xs)
        code = program(caught.value.subject)  # type: ignore[arg-type]
        assert "test_failure.py, line" in code
        with pytest.raises(GradientError, match="order 1, argument [01], element") as again:
            exec(code, {})
        assert str(again.value).splitlines()[0].partition("(error")[0] == (
            str(caught.value).splitlines()[0].partition("(error")[0])


def test_what_cannot_be_written_out_is_pointed_at() -> None:
    hidden = object()
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda x: values(x) if hidden else x, X)
    assert "# f: see " in str(caught.value) and "f =" not in str(caught.value)
