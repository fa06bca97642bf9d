"""Gradients of other libraries, proved by `check_vjp`: the examples of docs/checking.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd.testing import GradientError, arrays, check_vjp

PAGE = (Path(__file__).parents[3] / "docs" / "checking.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.oracle


def example(library: str) -> str:
    """Return the page's block of code that imports the library."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    return next(block for block in blocks if f"import {library}" in block)


def run(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code, scope)
    return scope


def test_a_function_of_pytorch() -> None:
    pytest.importorskip("torch")
    scope = run(example("torch"))
    check_vjp(scope["f"], scope["vjp"], np.array([[0.3, -1.2]]))
    check_vjp(scope["f"], scope["vjp"], arrays((2, 3)))


@pytest.mark.parametrize("right, wrong", [
    ("return 3 * g * x**2", "return 2 * g * x**2"),
    ("return 3 * g * x**2", "return 3 * g * x**2 * (1 if g.is_contiguous() else 2)"),
    ("return 3 * g * x**2", "return 3 * g * x**2 * (1 if x.ndim < 4 else 2)"),
    ("return 3 * g * x**2", "return 3 * g * (x**2 if abs(x).min() > 1e-5 else x)"),
    ("return 3 * g * x**2", "return (3 * g * x**2).sum(0)"),
])
def test_a_wrong_function_of_pytorch(right: str, wrong: str) -> None:
    pytest.importorskip("torch")
    code = example("torch")
    assert right in code
    with pytest.raises(GradientError, match="order 1.*"):
        run(code.replace(right, wrong))


def test_a_function_of_jax() -> None:
    pytest.importorskip("jax")
    scope = run(example("jax"))
    check_vjp(scope["cube"], scope["vjp"], np.array([[0.3, -1.2]]))
    check_vjp(scope["cube"], scope["vjp"], arrays((2, 3)))


def test_a_wrong_function_of_jax() -> None:
    pytest.importorskip("jax")
    code = example("jax")
    right = "lambda x, g: (3 * g * x**2,)"
    assert right in code
    for wrong in ("lambda x, g: (2 * g * x**2,)", "lambda x, g: (3 * g * abs(x)**2.001,)"):
        with pytest.raises(GradientError, match="order 1, argument 0, element"):
            run(code.replace(right, wrong))
    with pytest.raises(TypeError, match="returned float32 for float64 arguments.*jax_enable_x64"):
        run(code.replace('"jax_enable_x64", True', '"jax_enable_x64", False'))
