"""gradcheck and check_op in all their forms, and what a failure tells."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd as ag
from autograd import Tensor, check_grads, logsumexp, primitive, softmax, sum, tanh
from autograd.primitive import Op
from autograd.testing import GradientError, arrays, check_op, gradcheck
from autograd.testing.failure import literal

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


def energy(x: Any, y: Any = 1.0, power: int = 2) -> Any:
    return sum(tanh(x) ** power) * y


def wrong(x: Any, /) -> Any:
    return np.sin(x)


@pytest.fixture
def bad() -> Op:
    op = primitive(wrong)
    op.vjp(lambda g, x: g * ag.where(ag.greater(x, 1.5), 0.5, ag.cos(x)))
    return op


def test_a_call_is_checked_and_returns_the_value(bad: Op) -> None:
    assert float(gradcheck(energy, X, 2.0)) == float(energy(X, 2.0))
    assert float(gradcheck(energy, X, power=3, order=3)) == float(energy(X, power=3))
    assert gradcheck(energy, Tensor(X)) is not None
    gradcheck(ag.take, X, np.array([0, 2]), axis=1)
    gradcheck(ag.getitem, X, (slice(None), [0, 0]))
    gradcheck(lambda p: {"y": p["x"] * p["k"]}, {"x": X, "k": 3})
    with pytest.raises(GradientError, match="order 1, argument 0, element"):
        gradcheck(bad, X)


def test_a_function_is_checked_at_each_call(bad: Op) -> None:
    @gradcheck(order=1)
    def f(x: Any) -> Any:
        return bad(x)

    assert f.__name__ == "f" and np.array_equal(f(X[0]), np.sin(X[0]))
    with pytest.raises(GradientError):
        f(X)
    assert gradcheck(energy)(X, power=1).shape == ()


@gradcheck(arrays((2, 3)), arrays((3,)))
def test_drawn_by_position(x: Any, y: Any) -> Any:
    """A test made by the decorator: pytest has to collect it."""
    return tanh(x) * y


@gradcheck(x=arrays(), n=st.integers(1, 3))
def test_drawn_by_name(x: Any, n: int) -> Any:
    return x**n


def test_a_drawn_test_can_be_collected() -> None:
    assert test_drawn_by_position.__name__ == "test_drawn_by_position"
    assert "pytest has to collect" in str(test_drawn_by_position.__doc__)
    assert not inspect.signature(test_drawn_by_position).parameters
    assert test_drawn_by_position.__module__ == __name__


def test_drawn_inputs_find_and_shrink(bad: Op) -> None:
    @gradcheck(arrays(low=-3, high=3), scale=st.sampled_from([1.0, 2.0]))
    def scaled(x: Any, scale: float) -> Any:
        return bad(x) * scale

    with pytest.raises(GradientError) as caught:
        scaled()
    assert caught.value.subject is not None
    assert caught.value.subject.inputs[0].size == 1, "the smallest shape, after shrinking"
    with pytest.raises(GradientError):
        gradcheck(bad, arrays((50,), 1, 3))


def test_the_message_tells_all_and_its_program_fails_again(bad: Op) -> None:
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
    assert "# wrong: see " in code and "test_gradcheck.py, line" in code
    with pytest.raises(GradientError, match="order 1, argument 0"):
        exec(code, {"wrong": bad})


def test_the_derivation_is_told(bad: Op) -> None:
    class WithMaths(type(bad)):  # type: ignore[misc]
        derivation = r"$\bar x = \bar y \cos x$"

    bad.__class__ = WithMaths
    with pytest.raises(GradientError, match=r"Its derivation:\n    \$.bar x = .bar y .cos x\$"):
        gradcheck(bad, X, order=1)


def test_a_kink_is_called_a_kink() -> None:
    with pytest.raises(GradientError, match="f has no derivative here: it has a kink"):
        gradcheck(ag.absolute, np.array([1.0, 0.0]))
    gradcheck(ag.absolute, np.array([1e-5, -1e-6]))


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


def test_ops_are_proved_in_one_line() -> None:
    @primitive
    def hypotenuse(a: Any, b: Any, /, *, scale: float = 1.0) -> Any:
        return np.sqrt(a * a + b * b) * scale

    hypotenuse.vjp(lambda g, a, y, scale: g * a / y * scale**2,
                   lambda g, b, y, scale: g * b / y * scale**2)
    check_op(hypotenuse)
    check_op("hypotenuse", oracle=np.hypot, order=3)
    check_op(hypotenuse, inputs=st.tuples(arrays((2, 1), 1, 2), arrays((3,), 1, 2)))
    check_op(hypotenuse, inputs=st.tuples(st.tuples(arrays((2,), 1, 2), arrays((2,), 1, 2)),
                                          st.just({"scale": 2.0})))
    check_op(energy)
    hypotenuse.vjp(lambda g, a, y, scale: g * a / y * scale**2,
                   lambda g, b, y, scale: g * b / y * scale)
    check_op(hypotenuse)
    with pytest.raises(GradientError, match=r"argument 1.*\n(.*\n)*.*scale=2.0"):
        check_op(hypotenuse, inputs=st.tuples(st.tuples(arrays((2,), 1, 2), arrays((2,), 1, 2)),
                                              st.just({"scale": 2.0})))


def test_an_op_whose_inputs_cannot_be_guessed_says_so() -> None:
    picky = primitive(lambda x, /: x.reshape(7, 11, 13))
    with pytest.raises(ValueError, match="pass inputs="):
        check_op(picky)


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


@pytest.mark.parametrize("f, x, order", [
    (lambda x: (x + 1e8) - 1e8, [1.3, 0.7], 2),  # rounded to steps of 1.5e-8
    (lambda x: softmax(30 * x), [1.9, -1.7, 0.4, -0.2], 3),  # derivatives far smaller than terms
    (lambda x: logsumexp(100 * x), [0.3, 1.8, -0.5], 3),
    (lambda x: x * np.array([1e8, 1e-8]), [1e-8, 1e8], 2),  # moved by more than x is
    (lambda x: (x * x).mean() - x.mean() ** 2, [1e4, 1e4 + 0.5, 1e4 - 0.7], 2),
])
def test_no_false_alarm_where_terms_cancel(f: Any, x: list[float], order: int) -> None:
    for seed in range(5):
        check_grads(f, np.array(x), order=order, seed=seed)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_kink_is_not_taken_for_noise(offset: float) -> None:
    with pytest.raises(GradientError, match="it has a kink"):
        check_grads(lambda x: ag.absolute(x - 1) + offset, np.array([1.0]))


def test_calls_that_would_check_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match="no number or array"):
        check_grads(tanh)
    with pytest.raises(ValueError, match="order must be at least 1"):
        gradcheck(tanh, 1.0, order=0)
    with pytest.raises(KeyError, match="no op is called 'tahn'"):
        check_op("tahn")


def test_infinite_options_are_written_as_code() -> None:
    assert literal({"ord": np.inf, "fill": -np.inf}) == "{'ord': np.inf, 'fill': -np.inf}"
    assert literal(float("nan")) == "np.nan"
