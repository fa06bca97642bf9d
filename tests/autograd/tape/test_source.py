"""Source brings back values, exactly, and ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import grad, primitive, tanh
from autograd.tape.source import exact_literal, source_of, written_out


@pytest.mark.parametrize("x", [
    np.array([0.1, np.nan, -np.inf, 1e-310]), np.array([[1, 2]], dtype="int32"), np.zeros((0, 3)),
    np.array([0.1, 1 / 3, -0.0], dtype="float32"), np.array(True), np.ones((4, 5), dtype="float16"),
    np.array([], dtype="uint8"), np.float32(0.1), (1, None, ...), [1.5, slice(None, 2)],
    (np.array([2]),), np.dtype("float32"), np.float64, "text", np.inf,
])
def test_literals_come_back_exactly(x: Any) -> None:
    again = eval(exact_literal(x), {"np": np, "nan": np.nan, "inf": np.inf})
    if isinstance(x, (np.ndarray, np.generic)):
        assert again.dtype == x.dtype and again.shape == x.shape
        assert again.tobytes() == x.tobytes()
    else:
        assert repr(again) == repr(x)


@pytest.mark.parametrize("x, text", [
    (np.ones((4, 5)), 'np.full((4, 5), 1.0, dtype="float64")'),
    (np.array([0.1], np.float32), 'np.array([0.1], dtype="float32")'),
    (np.array([1, 2]), "np.array([1, 2])"), ((1,), "(1,)"), ([], "[]"),
    (slice(1, None, 2), "slice(1, None, 2)"), (np.int8, "np.int8"), (float, "float"),
])
def test_literals_are_short(x: Any, text: str) -> None:
    assert exact_literal(x) == text


@pytest.mark.parametrize("x", [object(), len, {"a": 1}, 1j])
def test_what_cannot_be_written_is_refused(x: Any) -> None:
    with pytest.raises(ValueError, match="cannot be written as source"):
        exact_literal(x)


def test_public_ops_are_imported() -> None:
    assert source_of(ag.log, set()) == (["from autograd import log"], "log")
    assert source_of(ag.log, {"vjp"}) == (["from autograd import log, vjp"], "log")
    lines, name = source_of(ag.registry["_qr"], {"vjp"})
    assert (lines, name) == (["from autograd import vjp", "from autograd.ops.linalg import _qr"],
                             "_qr")


def test_ops_of_no_module_are_embedded_with_what_they_name() -> None:
    @ag.primitive
    def shifted(x: Any, /) -> Any:
        return np.add(x, offset)

    @shifted.vjp
    def _(g: Any) -> Any:
        return multiply(g, 1.0)

    lines, name = source_of(shifted, {"vjp"})
    text = "\n".join(lines)
    assert name == "shifted" and text.startswith("from autograd import")
    assert "@ag.primitive" in text and "@shifted.vjp" in text
    assert "# to be brought in by you: offset" in lines and "multiply" in lines[0]


offset, multiply = object, ag.multiply


def test_local_definitions_are_written_out() -> None:
    weights = np.array([2.0, 3.0])

    def weighted(x: Any) -> Any:
        return (tanh(x) * weights).sum()

    lines = written_out(weighted, "loss")
    assert "from autograd import tanh" in lines and "weights = np.array([2.0, 3.0])" in lines
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    assert scope["loss"](np.ones(2)) == weighted(np.ones(2))
    cube = primitive(lambda x, /: x**3)
    cube.vjp(lambda g, x: 3 * g * x**2)
    exec("\n".join(written_out(cube, "op")), scope)
    assert grad(scope["op"])(2.0) == 12.0


def test_what_has_no_source_is_refused() -> None:
    hidden = object()
    with pytest.raises(ValueError, match="object cannot be written|cannot be written as source"):
        written_out(lambda x: hidden, "f")
    with pytest.raises(ValueError, match="the source of f is not to be found"):
        written_out(eval("lambda x: x"), "f")
