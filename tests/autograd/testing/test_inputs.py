"""Inputs are found for the engine's ops and for new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from draws import at_least
from hypothesis import find, settings
from hypothesis import strategies as st

import autograd as ag
from autograd import primitive, registry
from autograd.primitive import Op
from autograd.tensor import values
from autograd.testing import GradientError, arrays, check_op, gradcheck, op_inputs
from autograd.testing.cases import CASES
from autograd.testing.inputs import Found


def test_inputs_of_an_op_with_a_case() -> None:
    (a, b), options = find(op_inputs("matmul"), lambda _: True)
    assert ag.matmul(a, b, **options) is not None
    assert op_inputs(ag.matmul) is op_inputs("matmul") is CASES["matmul"].inputs
    with pytest.raises(KeyError, match="unheard_of"):
        op_inputs("unheard_of")


def test_inputs_of_an_op_without_a_case() -> None:
    @primitive
    def solve_upper(a: Any, b: Any, /) -> Any:
        if a.ndim != 2 or a.shape[0] != a.shape[1] or b.ndim != 2:
            raise ValueError("expected a square a and a matrix b")
        return a @ b

    solve_upper.vjp(lambda g, b: g @ ag.transpose(b), lambda g, a: ag.transpose(a) @ g)
    check_op(solve_upper)
    assert find(op_inputs(solve_upper), lambda drawn: drawn[0][0].shape == (3, 3),
                settings=settings(max_examples=500, database=None))
    logarithm = primitive(lambda x, /: np.log(x))
    logarithm.vjp(lambda g, x: g / x)
    check_op(logarithm)
    distance = primitive(lambda a, b, /, power=1: np.abs(a - b) ** power)
    slope = lambda g, a, b, power: g * power * ag.absolute(a - b) ** (power - 1) * ag.sign(a - b)  # noqa: E731
    distance.vjp(slope, lambda g, a, b, power: -slope(g, a, b, power))
    check_op(distance)  # a kink where a is b, which is kept away


def test_an_op_that_shares_the_name_of_another_has_inputs_of_its_own() -> None:
    @primitive
    def matmul(x: Any, /) -> Any:
        return x

    (x,), options = find(op_inputs(matmul), lambda _: True)
    assert isinstance(x, np.ndarray) and options == {}


def square(rule: Callable[..., Any], **options: Any) -> Op:
    """x * x with a rule that goes wrong somewhere."""
    op = primitive(lambda x, /: x * x)
    op.vjp(rule)
    return op


def broken_where(condition: Callable[[Any, Any], bool]) -> Op:
    return square(lambda g, x: 2 * g * x * (1.5 if condition(values(g), values(x)) else 1))


@pytest.mark.parametrize("condition", [
    lambda g, x: x.flags.f_contiguous and not x.flags.c_contiguous,
    lambda g, x: g.flags.f_contiguous and not g.flags.c_contiguous,
    lambda g, x: g.flags.f_contiguous and x.flags.f_contiguous and g.ndim > 1 and min(
        g.shape) > 1,
    lambda g, x: min(x.strides, default=1) < 0,
    lambda g, x: min(g.strides, default=1) < 0,
    lambda g, x: 0 in g.strides and g.size > 1,
    lambda g, x: g.ndim > 1 and g.strides[0] == 0 and g.strides[-1] == 8 and min(g.shape) > 1,
    lambda g, x: 0 in x.strides and x.size > 1,
    lambda g, x: x.ndim and x.strides[-1] == 16,
    lambda g, x: g.ndim == 2 and g.base is not None and g.strides[0] == 8 * (g.shape[1] + 2),
    lambda g, x: x.ndim > 3,
    lambda g, x: x.ndim > 4,
    lambda g, x: x.ndim == 0,
    lambda g, x: 60 < x.size <= 64,
    lambda g, x: x.ndim == 2 and max(x.shape) > 12,
    lambda g, x: x.size and np.abs(x).min() <= 1e-6,
], ids=range(16))
def test_a_rule_that_is_wrong_for_some_inputs_alone_is_caught(
        condition: Callable[[Any, Any], bool]) -> None:
    with pytest.raises(GradientError, match="order 1"):
        check_op(broken_where(condition))


def test_a_rule_that_is_right_for_all_of_them_passes() -> None:
    check_op(broken_where(lambda g, x: False))


def test_memory_that_is_read_as_it_lies_is_caught() -> None:
    def rule(g: Any, x: Any) -> Any:
        return (np.ravel(values(g), "K") * 2 * np.ravel(values(x), "K")).reshape(x.shape)

    with pytest.raises(GradientError, match="the same numbers in C order"):
        check_op(square(rule), order=1)


def test_a_value_that_depends_on_the_layout_is_caught() -> None:
    op = primitive(lambda x, /: np.ravel(x, "K") * 2)
    op.vjp(lambda g, shape: 2 * ag.reshape(g, shape))
    with pytest.raises(GradientError, match="result's element .* same numbers in C order"):
        check_op(op)


@pytest.mark.parametrize("options, wrong", [
    ("*, flag: bool = False", lambda flag: flag),
    ("*, flag=True", lambda flag: not flag),
    ("*, scale: float = 1.0", lambda scale: scale != 1),
    ("*, scale=-0.25", lambda scale: scale != -0.25),
    ("*, n: int = 3", lambda n: n < 3),
    ("*, how: Literal['a', 'b', 'c'] = 'a'", lambda how: how == "c"),
    ("*, axis: int | None = None", lambda axis: axis == 0),
    ("*, axis=-1", lambda axis: axis == 1),
    ("*, axis=None", lambda axis: isinstance(axis, tuple)),
    ("n=0", lambda n: n == -2),
])
def test_a_rule_that_is_wrong_for_an_option_alone_is_caught(options: str, wrong: Any) -> None:
    name = options.removeprefix("*, ").partition("=")[0].partition(":")[0].strip()
    scope = {"Literal": Literal, "wrong": wrong}
    exec(f"def forward(x, /, {options}): return x * x\n"
         f"def rule(g, x, {name}): return 2 * g * x * (2 if wrong({name}) else 1)", scope)
    op = primitive(scope["forward"])
    op.vjp(scope["rule"])
    with pytest.raises(GradientError) as caught:
        check_op(op)
    assert wrong(caught.value.subject.options[name])  # type: ignore[union-attr]
    assert f"{name}={caught.value.subject.options[name]!r}" in str(caught.value)  # type: ignore[union-attr]


def test_options_by_a_hint() -> None:
    def make(wrong_for: Any) -> Op:
        op = primitive(lambda x, /, mode="a": x * x)
        op.vjp(lambda g, x, mode: 2 * g * x * (2 if mode == wrong_for else 1))
        return op

    check_op(make("z"), options={"mode": ["a", "b"]})
    for hint in (["a", "z"], {"z"}, "z", st.just("z")):
        with pytest.raises(GradientError, match="mode='z'"):
            check_op(make("z"), options={"mode": hint}, order=1)
    with at_least(50), pytest.raises(GradientError, match="mode='z'"):
        check_op(make("z"), inputs=arrays((2,)), options={"mode": ["a", "z"]}, order=1)
    with pytest.raises(TypeError, match="has no option 'mod'; its options are mode"):
        check_op(make("z"), options={"mod": "z"})
    with pytest.raises(ValueError, match="names no value"):
        check_op(make("z"), options={"mode": []})


def test_an_option_without_a_default_is_asked_for() -> None:
    op = primitive(lambda x, /, *, spec: x * x)
    op.vjp(lambda g, x: 2 * g * x)
    with pytest.raises(ValueError, match=r"option 'spec' .*pass options=\{'spec': \[...\]\}"):
        check_op(op)
    check_op(op, options={"spec": "anything"})


def test_optional_arrays_are_given_and_left_out() -> None:
    op = primitive(lambda x, b=None, /: x * x if b is None else x * x + b)
    op.vjp(lambda g, x: 2 * g * x, lambda g: 2 * g)
    with pytest.raises(GradientError, match="argument 1, .* of b:"):
        check_op(op)


def test_matrices_that_chain_are_not_square_alone() -> None:
    def product(a: Any, b: Any, /) -> Any:
        if (a.ndim, b.ndim) != (2, 2):
            raise ValueError("expected two matrices")
        return a @ b

    op = primitive(product)

    def rule(g: Any, a: Any, b: Any) -> Any:
        same = len({*a.shape, *b.shape}) == 1
        return g @ ag.matrix_transpose(b), (1 if same else 2) * ag.matrix_transpose(a) @ g

    op.vjp(rule)
    with pytest.raises(GradientError, match="argument 1"):
        check_op(op, order=1)


@pytest.mark.parametrize("name", ["tanh", "softmax", "matmul", "logaddexp", "hypot", "var", "sinc",
                                  "maximum", "huber_loss", "solve", "interp", "cumprod", "erf"])
def test_right_rules_pass_at_what_is_found_for_them(name: str) -> None:
    corners = list(Found(registry[name]).corners())
    assert len(corners) >= 5
    for args, options in corners:
        gradcheck(registry[name], *args, **options)


def test_an_oracle_without_the_option_is_asked_for_the_default() -> None:
    op = primitive(lambda x, /, scale=1.0: np.sin(x) * scale)
    op.vjp(lambda g, x, scale: g * ag.cos(x) * scale)
    check_op(op, oracle=np.sin)
    check_op(op, oracle=lambda x, scale=1.0: np.sin(x) * scale)
    with pytest.raises(GradientError, match="its oracle"):
        check_op(op, oracle=lambda x, scale=1.0: np.sin(x))
