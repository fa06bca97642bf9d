"""Values of options come from annotations, defaults, names, and from the code."""

from __future__ import annotations

import enum
from typing import Any, Literal

import numpy as np
import pytest

import autograd as ag
from autograd import primitive
from autograd.testing.options import option_parameters, values_to_try


class Kind(enum.Enum):
    FIRST = 1
    SECOND = 2


def annotated(x: Any, /, *, how: Literal["sum", "mean"] = "mean", n: int | None = None,
              kind: Kind = Kind.FIRST, flag: bool = True, axis: int = -1) -> Any: ...


def plain(x: Any, y: Any = 1.0, *, k=0, low=-0.3, axes=None, name="a", twice=False) -> Any: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize("name, values", [
    ("how", ["mean", "sum"]), ("n", [None, 1, 2, 3]), ("kind", [*Kind]), ("flag", [True, False]),
    ("axis", [-1, 0, 1, 2, -2])])
def test_annotations(name: str, values: list[Any]) -> None:
    assert values_to_try(annotated)[name] == values


@pytest.mark.parametrize("name, values", [
    ("y", [1.0, 0.5, 1.5, 2.0]), ("k", [0, 1, -1, 2, -2]), ("low", [-0.3, -0.5, -1.5, -2.0]),
    ("axes", [None, 0, -1, 1, (0, 1)]), ("name", ["a"]), ("twice", [False, True])])
def test_defaults_and_names(name: str, values: list[Any]) -> None:
    assert values_to_try(plain)[name] == values
    assert [p.name for p in option_parameters(plain)] == ["y", "k", "low", "axes", "name", "twice"]


def test_constants_that_the_code_compares_with() -> None:
    def reduced(x: Any, /, *, how: str = "sum", power: int = 1, mode: str = "a",
                table: str = "u") -> Any:
        if how in ("mean", "sum") and power > 7 and mode != "loud":
            return {"v": x, "w": -x}[table]
        match mode:
            case "b" | "c":
                return x
        return x

    found = values_to_try(reduced)
    assert found["how"] == ["sum", "mean"] and found["table"] == ["u", "v", "w"]
    assert {7, 8, 6} <= {*found["power"]} and {"b", "c", "loud"} <= {*found["mode"]}


def test_the_code_of_a_rule_counts() -> None:
    @primitive
    def scaled(x: Any, /, *, by: float = 1.0) -> Any:
        return x * by

    def rule(g: Any, by: Any) -> Any:
        return g * (by if by <= 40 else 1)

    scaled.vjp(rule)
    assert values_to_try(scaled)["by"][:4] == [1.0, 0.5, 1.5, 2.0]
    assert {40, 41, 39} <= {*values_to_try(scaled)["by"]}


def test_options_of_an_op_are_not_its_arrays() -> None:
    assert "a" not in values_to_try(ag.matmul) and values_to_try(ag.sum)["keepdims"] == [
        False, True]
    assert np.inf not in values_to_try(ag.tanh)
