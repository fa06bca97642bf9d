"""gradcheck and check_op in all their forms."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draws import at_least
from hypothesis import assume
from hypothesis import strategies as st

import autograd as ag
from autograd import Tensor, check_grads, primitive, sum, tanh
from autograd.primitive import Op
from autograd.testing import GradientError, arrays, check_op, check_vjp, gradcheck

ROOT = Path(__file__).parents[3]
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
    with pytest.raises(GradientError, match=r"order 1, argument 0, element"):
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
    def scaled(x: Any, scale: float) -> Any:
        return bad(x) * scale

    with at_least(50), pytest.raises(GradientError) as caught:
        gradcheck(arrays(low=-3, high=3), scale=st.sampled_from([1.0, 2.0]))(scaled)()
    assert caught.value.subject is not None
    assert caught.value.subject.inputs[0].size == 1, "the smallest shape, after shrinking"
    with pytest.raises(GradientError):
        gradcheck(bad, arrays((50,), 1, 3))


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
    with pytest.raises(GradientError, match=r"argument 1.*\n(.*\n)*.*scale=0.5"):
        check_op(hypotenuse)
    check_op(hypotenuse, options={"scale": 1.0})
    with pytest.raises(GradientError, match=r"argument 1.*\n(.*\n)*.*scale=2.0"):
        check_op(hypotenuse, inputs=st.tuples(st.tuples(arrays((2,), 1, 2), arrays((2,), 1, 2)),
                                              st.just({"scale": 2.0})))


@pytest.mark.long
def test_arrays_by_name_are_differentiated_by(bad: Op) -> None:
    for f in (lambda x, n: bad(x) * n, lambda n, x: bad(x) * n):
        with pytest.raises(GradientError, match=r"element .* of x:"):
            gradcheck(f, x=arrays((2,), 1.6, 3), n=arrays((2,), 1, 2))
    with pytest.raises(GradientError, match="argument 0, element .* of x"):
        gradcheck(lambda x, n: bad(x) * n, x=arrays((2,), 1.6, 3), n=st.just(3))


def test_nothing_to_differentiate_by_is_refused(bad: Op) -> None:
    with pytest.raises(TypeError, match="no floating point number or array to differentiate by"):
        gradcheck(lambda *, x: bad(x), x=arrays((2,), 1.6, 3))
    with pytest.raises(TypeError, match="no floating point number or array to differentiate by"):
        gradcheck(lambda x: bad(x), np.array([1, 2]))


FAILING = """\
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from autograd import primitive
from autograd.testing import arrays, check_grads, check_op, check_vjp, gradcheck

@primitive
def cube(x, /, *, scale=1.0):
    return scale * x**3

def rule(g, x, scale):
    return 2 * scale * g * x**2

cube.vjp(rule)

@primitive
def broken(x, /):
    return x + 1

broken.vjp(lambda g: g @ np.ones((7, 5)))

@primitive
def unwilling(x, /):
    if x.ndim > 3:
        raise RuntimeError("four axes are too many")
    return x + 1

unwilling.vjp(lambda g: g)

@gradcheck(arrays((2, 3)), arrays((3,)))
def test_drawn(x, scale):
    return cube(x) * scale

@gradcheck(w=arrays((2, 3)), n=st.integers(1, 2))
def test_drawn_by_name(w, n):
    return cube(w) * n

@gradcheck
def energy(p, np=1):
    return (cube(p["w"]) * p["b"]).sum()

def test_call():
    energy({"w": np.ones((20, 3)), "b": 2.0})

def test_op():
    check_op(cube)

def test_point():
    check_grads(cube, np.ones((20, 3)))

@gradcheck(arrays((2, 3)))
def test_raises(x):
    return broken(x)

def test_op_raises():
    check_op(unwilling)

def test_pair():
    check_vjp(lambda x: x**3, lambda g, x: 2 * g * x**2, np.ones(3))

def power(x, *, n=3):
    return x**n

def power_vjp(g, x, *, n=3):
    return g * 3 * x**2

def test_pair_of_names():
    check_vjp(power, power_vjp)
"""
SCREEN = 35


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest prints for each test of a file in which all of them fail."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "test_mine.py").write_text(FAILING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_mine.py"], cwd=folder,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    parts = re.split(r"^_{3,} (test_\w+) _{3,}$", done.stdout.partition("short test summary")[0],
                     flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert {*found} == {*re.findall(r"def (test_\w+)", FAILING)}, done.stdout
    return found


def snippet(printed: str) -> str:
    lines = [line.removeprefix("E").strip() for line in printed.splitlines()]
    rest = lines[lines.index("To see it again:") + 1 :]
    end = next(i for i, line in enumerate(rest) if line.startswith(("gradcheck(", "check_")))
    return "\n".join(rest[: end + 1])


@pytest.mark.parametrize("name, wanted", [
    ("test_drawn", ["argument 0, element", " of x: expected", "scale = np.array"]),
    ("test_drawn_by_name", ["argument 0, element", " of w: expected", "n=1"]),
    ("test_call", ["argument 1, element", " of p['w']: expected", "gradcheck(energy, p, order=2)"]),
    ("test_op", ["argument 0, element", " of x: expected"]),
    ("test_point", ["argument 0, element", " of x: expected"]),
    ("test_raises", ["raised an error: ValueError: matmul", ", in <lambda>: broken.vjp"]),
    ("test_op_raises", ["raised an error: RuntimeError: four axes", ", in unwilling: raise"]),
    ("test_pair_of_names", ["argument 0, element", "check_vjp(power, power_vjp, x, n="]),
])
def test_a_failure_is_one_screen_and_its_snippet_runs(name: str, wanted: list[str],
                                                      failures: dict[str, str]) -> None:
    printed = failures[name]
    assert all(part in printed for part in wanted), printed
    assert len(printed.splitlines()) <= SCREEN, printed
    with pytest.raises(GradientError) as again:
        exec(snippet(printed), {})
    assert str(again.value).splitlines()[0] in printed


def test_a_pair_of_lambdas_is_one_screen(failures: dict[str, str]) -> None:
    assert len(failures["test_pair"].splitlines()) <= SCREEN


def test_the_test_itself_can_be_checked_at_inputs(bad: Op) -> None:
    @gradcheck(arrays((2,)))
    def drawn(x: Any) -> Any:
        return bad(x)

    @gradcheck
    def each(x: Any) -> Any:
        return bad(x)

    for f in (drawn, each):
        for check in (gradcheck, check_grads):
            check(f, X[0])
            with pytest.raises(GradientError, match="argument 0, element .* of x: expected"):
                check(f, X)


def test_an_assumption_and_a_skipped_test_are_no_failures() -> None:
    @gradcheck(arrays((1,)))
    def assuming(x: Any) -> Any:
        assume(float(ag.tensor.values(x)[0]) > 0)
        return ag.log(x)

    assuming()
    with pytest.raises(unittest.SkipTest):
        gradcheck(lambda x: unittest.TestCase().skipTest("today"), X)


def test_an_op_whose_inputs_cannot_be_guessed_says_so() -> None:
    picky = primitive(lambda x, /: x.reshape(7, 11, 13))
    with pytest.raises(ValueError, match="pass inputs="):
        check_op(picky)


def test_calls_that_would_check_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match="no number or array"):
        check_grads(tanh)
    with pytest.raises(ValueError, match="order must be at least 1"):
        gradcheck(tanh, 1.0, order=0)
    with pytest.raises(KeyError, match="no op is called 'tahn'"):
        check_op("tahn")


def product(a: Any, b: Any) -> Any:
    return a @ b


def product_vjp(g: Any, a: Any, b: Any) -> Any:
    return g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g


def test_a_pair_of_plain_functions_is_proved() -> None:
    check_vjp(lambda x: x**3, lambda g, x: 3 * g * x**2)
    check_vjp(lambda x: x**3, lambda g, x: (3 * g * x**2,), 0.7)
    check_vjp(product, product_vjp, X, X.T)
    check_vjp(product, product_vjp, arrays((2, 3)), arrays((3, 1)))
    check_vjp(lambda x, i: x[i], lambda g, x, i: (np.bincount(i, g, len(x)), None),
              X[0], np.array([2, 0, 2]))
    check_vjp(lambda x, n=2: x**n, lambda g, x, n=2: n * g * x ** (n - 1))
    check_vjp(lambda x, n: x**n, lambda g, x, n: n * g * x ** (n - 1), X, n=3)
    check_vjp(lambda p: {"s": np.sin(p), "c": [np.cos(p)]},
              lambda g, p: g["s"] * np.cos(p) - g["c"][0] * np.sin(p))


@pytest.mark.parametrize("vjp, message", [
    (lambda g, x: 2 * g * x**2, "argument 0, element .* central differences"),
    (lambda g, x: 3 * g * x**2 * (1 if g.flags.c_contiguous else 2), "same numbers in C order"),
    (lambda g, x: 3 * np.maximum(g, -2) * x**2, "linearity"),
    (lambda g, x: (3 * g * x**2, None), "a gradient for each of the 1 arguments .* returned 2"),
    (lambda g, x: (3 * g * x**2).sum(0, keepdims=True),
     r"has \(\d, \d\), its gradient \(1, \d\); sum over"),
    (lambda g, x: np.multiply(g, 3 * x**2, out=g), "raised an error|read-only"),
    (lambda g, x: g @ np.ones((9, 9)), "raised an error: ValueError"),
])
def test_a_wrong_pair_is_refuted(vjp: Any, message: str) -> None:
    with pytest.raises(GradientError, match=f"(?s)order 1.*{message}"):
        check_vjp(lambda x: x**3, vjp, X)
    with pytest.raises(GradientError, match="order 1"):
        check_vjp(lambda x: x**3, vjp, arrays((2, 3)))
    with pytest.raises(GradientError, match="order 1"):
        check_vjp(lambda x: x**3, vjp)


def test_a_pair_is_wrong_for_an_option_alone() -> None:
    def scaled(x: Any, *, how: str = "up") -> Any:
        return x * 2 if how == "up" else x / 2

    def wrong(g: Any, x: Any, *, how: str = "up") -> Any:
        return g * 2

    with pytest.raises(GradientError, match="how='down'"):
        check_vjp(scaled, wrong, how=["up", "down"])
    with pytest.raises(GradientError, match="how='down'"):
        check_vjp(scaled, wrong, X, how="down")
    check_vjp(scaled, wrong, how="up")
    with pytest.raises(TypeError, match="check_vjp: scaled has no option 'hwo'"):
        check_vjp(scaled, wrong, hwo="up")


def test_a_pair_that_cannot_be_checked_says_why() -> None:
    for xs in ((), (X,)):
        with pytest.raises(TypeError, match="float32 for float64 arguments.*jax_enable_x64"):
            check_vjp(lambda x: x.astype(np.float32), lambda g, x: g, *xs)
    with pytest.raises(ValueError, match="pass strategies behind it"):
        check_vjp(lambda x: x.reshape(7, 11, 13), lambda g, x: g)
