"""A NumPy user's first mistakes: each is refused, inside `grad` and outside, with its way out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Tensor, grad, no_grad

A = np.array([1.0, 2.0, 3.0])


def fills(x: Any) -> Any:
    array = np.zeros(3)
    for i in range(3):
        array[i] = x[i]
    return array.sum()


def adds_in_place(x: Any) -> Any:
    z = np.zeros(3)
    z += x
    return z.sum()


def writes_into(x: Any) -> Any:
    x[0] = 1.0
    return x


MISTAKES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "np.exp(x)": (np.exp, r"np\.exp does not take Tensors.*use autograd\.exp"),
    "np.abs(x)": (np.abs, r"np\.absolute .*use autograd\.absolute"),
    "np.maximum(x, 0)": (lambda x: np.maximum(x, 0), r"use autograd\.maximum"),
    "np.add.reduce(x)": (np.add.reduce, r"np\.add\.reduce .*use autograd\.sum"),
    "np.sum(x)": (np.sum, r"np\.sum does not take Tensors.*use autograd\.sum"),
    "np.linalg.norm(x)": (np.linalg.norm, r"np\.linalg\.norm .*use autograd\.linalg\.norm"),
    "np.fft.fft(x)": (np.fft.fft, r"np\.fft\.fft .*real numbers only.*x\.data"),
    "np.histogram(x)": (np.histogram, r"no such op.*x\.data"),
    "np.stack([x, x])": (lambda x: np.stack([x, x]), r"use autograd\.stack"),
    "np.array([x, x])": (lambda x: np.array([x, x]), r"autograd\.stack for a list"),
    "autograd.sum([x, x])": (lambda x: autograd.sum([x[0], x[1]]), r"autograd\.stack\(\["),
    "nested list": (lambda x: autograd.matmul([[x[0], x[1]]], np.ones(2)), r"autograd\.stack\(\["),
    "x * [x[0], 1.0, 1.0]": (lambda x: x * [x[0], 1.0, 1.0], r"autograd\.stack\(\["),
    "z += x": (adds_in_place, r"write z = z \+ x for z \+= x"),
    "x[0] = 1": (writes_into, r"x\.at\[index\]\.set"),
    "math.sin(x[0])": (lambda x: math.sin(x[0]), r"use autograd\.sin, or math\.sin\(x\.item"),
    "math.exp(x)": (lambda x: math.exp(x), r"shape \(3,\).*function of autograd"),
    "array[i] = x[i]": (fills, r"autograd\.stack or autograd\.concatenate.*x\.item\(\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_first_mistake_is_refused_with_its_way_out(name: str) -> None:
    wrong, words = MISTAKES[name]
    with pytest.raises(TypeError, match=words):
        grad(lambda x: autograd.sum(wrong(x)))(A)
    with pytest.raises((TypeError, ValueError)) as outside:
        wrong(Tensor(A, requires_grad=True))
    error = outside.value  # NumPy puts an error of its own before the one for array[i] = x[i]
    assert re.search(words, str(error if isinstance(error, TypeError) else error.__cause__))


def test_every_function_that_a_message_names_exists() -> None:
    """For every public function of NumPy and of `math`: what is recommended must be there."""
    modules = (np, np.linalg, np.fft, math)
    functions = {f for module in modules for name, f in vars(module).items()
                 if callable(f) and hasattr(f, "__name__") and not name.startswith("_")}
    named = set()
    for function in functions:
        named |= set(re.findall(r"autograd\.(?:linalg\.)?\w+", autograd.mistakes.drops(function)))
    for method in autograd.mistakes.REDUCTIONS:
        ufunc, _, kind = method.partition(".")
        message = autograd.mistakes.drops(getattr(np, ufunc), kind)
        named |= set(re.findall(r"autograd\.\w+", message))
    for name in [*autograd.mistakes.INSTEAD, *vars(np), *vars(np.linalg)]:
        message = autograd.mistakes.no_attribute(name)
        named |= set(re.findall(r"autograd\.(?:linalg\.)?\w+", message))
    assert len(named) > 100
    for name in named:
        found: Any = autograd
        for part in name.split(".")[1:]:
            found = getattr(found, part)
        assert callable(found), name


def test_reading_a_value_is_no_mistake() -> None:
    x = Tensor(2.5, requires_grad=True)
    loss, history = x * x, np.zeros(2)
    history[0] = float(loss)
    history[1] = loss.item()
    assert history.tolist() == [6.25, 6.25] and int(loss) == 6 and f"{loss:.1f}" == "6.2"
    assert math.isfinite(loss) and math.floor(loss) == 6 and float(math.pi * x) > 7
    assert math.sqrt(float(loss)) == 2.5 and math.sin(Tensor(0.0)) == 0
    with no_grad():
        history[0] = x * 2
        assert history[0] == 5 and math.sqrt(loss) == 2.5
    history[0] = Tensor(1.0)
    assert history[0] == 1


def test_a_function_without_source_text_is_not_read() -> None:
    compiled: dict[str, Any] = {"sin": math.sin}
    exec(compile("def f(x): return sin(x)", "<nowhere>", "exec"), compiled)
    assert compiled["f"](Tensor(0.0, requires_grad=True)) == 0
    with pytest.raises(TypeError, match="not turned into float in silence"):
        grad(compiled["f"])(1.0)


def test_integers_have_no_gradient_and_so_are_indices() -> None:
    x = Tensor([2.7, 0.4], requires_grad=True)
    i = autograd.floor(x).astype(int)
    assert isinstance(i, Tensor)
    assert A[i].tolist() == [3, 1] and A[i[0]] == 3 and [10, 11, 12][i[0]] == 12
    assert len(range(i[0])) == 2 and np.zeros(i[0]).shape == (2,) and A[:2][i > 1].tolist() == [1]
    assert np.take(A, i).tolist() == [3, 1] and np.add(i, 1).tolist() == [3, 1]
    assert np.asarray(i).dtype.kind == "i"
    y = grad(lambda x: (x[autograd.argmax(x)] * A[autograd.floor(x).astype(int)]).sum())(x.data)
    assert y.tolist() == [4, 0]
    with pytest.raises(TypeError, match="an index must be an integer.*astype"):
        range(x[0])  # type: ignore[call-overload]


@pytest.mark.parametrize("operator", [
    "+", "-", "*", "/", "//", "%", "**", "@", "<", "<=", ">", ">=", "==", "!="])
def test_arrays_and_numpy_numbers_on_the_left_of_an_operator(operator: str) -> None:
    x = Tensor(np.array([1.5, 2.0, 0.5]), requires_grad=True)
    for left in (A, A.astype(np.float32), np.float64(2.0), np.array(2.0)):
        if operator == "@" and np.ndim(left) == 0:
            continue
        y = eval(f"left {operator} x", {"left": left, "x": x})
        expected = eval(f"left {operator} x", {"left": left, "x": x.data})
        plain = y.data if isinstance(y, Tensor) else y
        assert np.array_equal(plain, expected)
        assert isinstance(y, Tensor) == (operator in "+-*/%**//@") and getattr(
            y, "requires_grad", True)


@pytest.mark.parametrize("name, words", [
    ("numpy", r"x\.data"), ("exp", r"autograd\.exp\(x\)"), ("view", "reshape"),
    ("det", r"autograd\.det\(x\)"), ("nonsense", "no attribute 'nonsense'$"),
])
def test_methods_of_other_libraries(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(Tensor(A), name)
    assert not hasattr(Tensor(A), "__array_interface__")
    with pytest.raises(AttributeError, match=r"Tensor\(x\.data, requires_grad=True\)"):
        Tensor(A).requires_grad = True


def test_rounding_is_an_op() -> None:
    y = round(Tensor(2.567, requires_grad=True), 1)
    assert float(y) == 2.6 and y.requires_grad


@pytest.mark.parametrize("place, name, words", [
    (autograd, "fft", "real numbers only, and so neither FFT nor eig; there is autograd.linalg.ei"),
    (autograd.linalg, "eig", "real numbers only"), (autograd, "conj", "real numbers only"),
    (autograd, "zeros", "np.zeros makes arrays"),
    (autograd, "full", r"use autograd.full_like\(np.zeros\(shape\), value\)"),
    (autograd, "histogram", "no such op; np.histogram takes x.data"),
    (autograd, "nonsense", "has no attribute 'nonsense'$"),
])
def test_names_that_are_not_there(place: Any, name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(place, name)
    assert not hasattr(place, name)
