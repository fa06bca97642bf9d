"""Where a value was computed: the line, the layer as parameters are named, the arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anomalies import fails, found, leaf

import autograd as ag
from autograd.tape import AnomalyError, detect_anomaly
from autograd.tape.place import Origin, Place, held, ranged
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters


def gpt(name: str, value: float) -> None:
    model = GPT(GPTConfig(11, context=8, layers=2, heads=2, width=16), seed=1)
    parameters(model)[name].data[...] = value
    ids = np.arange(16).reshape(2, 8) % 11
    model.loss(ids, ids).backward()


@pytest.mark.parametrize("name", [
    "h.0.attn.qkv.weight", "h.1.mlp.up.weight", "h.1.ln_2.weight", "ln_f.weight"])
def test_the_layer_is_named_as_parameters_are(name: str, tmp_path: Path) -> None:
    error = found(lambda: gpt(name, 3e38), tmp_path)
    assert error.module_path == name.removesuffix(".weight")
    assert f"module {error.module_path}" in str(error) and f"({name})" in str(error)
    assert error.location is not None and error.location.filename.endswith("layers.py")
    assert f"called from {os.path.relpath(__file__)}:" in str(error)
    assert f"from tinygrad_llm.functional.{error.op} import" in fails(error)


def test_the_gradient_of_a_layer_and_a_broken_weight(tmp_path: Path) -> None:
    error = found(lambda: gpt("h.1.attn.out.weight", np.nan), tmp_path)
    assert error.module_path == "h.1.attn.out"
    assert "NaN came into linear as argument 2 (h.1.attn.out.weight)" in str(error)
    model = GPT(GPTConfig(11, context=8, layers=2, heads=2, width=16), seed=1)
    ids = np.zeros((1, 8), dtype=int)

    def f() -> None:
        y = model.h[1](model.h[0](model.wte(ids)))
        y.backward(np.full(y.shape, 3e38, dtype="float32"))

    error = found(f, tmp_path)
    assert error.module_path == "mlp.down"  # the outermost object that was called is h.1
    fails(error)


def test_an_op_within_an_op_is_named_with_the_users_line(tmp_path: Path) -> None:
    error = found(lambda: ag.average(leaf([1.0, 2.0]), weights=np.zeros(2)), tmp_path)
    assert error.op == "divide" and "as a part of average" in str(error)
    assert error.location is not None and "ag.average(leaf" in error.location.text
    with pytest.raises(AnomalyError) as caught, detect_anomaly(tmp_path):
        leaf([0.0]) / 0.0
    assert "\n  as a part of" not in str(caught.value)
    assert "\n  called from" not in str(caught.value)


def test_a_place_is_short_below_here_and_whole_elsewhere() -> None:
    here = Place(__file__, 1, "f")
    assert str(here) == f"{os.path.relpath(__file__)}:1, in f"
    assert here.text == __doc__ or here.text == f'"""{__doc__}"""'
    assert str(Place("/else/where.py", 3, "g")) == "/else/where.py:3, in g"
    assert Place("/else/where.py", 3, "g").text == ""


@pytest.mark.parametrize("x, text", [
    (np.array([1.0, -2.5]), "float64[2]: -2.5 to 1"), (np.zeros((2, 2)), "float64[2, 2]: 0"),
    (np.array([np.nan, 3.0]), "float64[2]: 3 and NaN"), (np.zeros(0), "float64[0]: empty"),
    (np.array([np.inf, -np.inf]), "float64[2]: inf"), (np.array(7), "int64[]: 7"),
    (leaf([0.5]), "float64[1]: 0.5"), ("axis", "'axis'"), (None, "None"),
])
def test_ranges(x: Any, text: str) -> None:
    assert ranged(x) == text


class Layer:
    """An object with others in its attributes, items and keys."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)


def test_objects_are_found_by_the_names_that_hold_them() -> None:
    w, b = object(), object()
    model = Layer(h=[Layer(w=b), Layer(parts={"weight": w})])
    assert held(model, w) == "h.1.parts.weight" and held(model, b) == "h.0.w"
    assert held(model, object()) is None and held(model, model) is None
    assert held(Layer(a=Layer(b=Layer(c=Layer(d=Layer(e=w))))), w) is None, "too deep"
    model.itself = model  # a circle ends
    assert held(model, object()) is None


def test_an_origin_names_its_arguments_and_options() -> None:
    x, w = leaf([1.0]), leaf([2.0])
    origin = Origin(ag.sum, (x, w), {"axis": 0}, None)
    assert [origin.name(i) for i in range(3)] == ["argument 1", "argument 2", "option axis"]
    assert origin.line() == "before the block" and origin.path() == ""
    assert origin.inputs() == ["argument 1: float64[1]: 1", "argument 2: float64[1]: 2",
                               "option axis: 0"]
    assert not origin.given() and Origin(ag.log, (leaf([np.inf]),), {}, None).given()
    origin.layers = [Layer(weight=w)]
    assert origin.name(1) == "argument 2 (weight)"
    g = np.ones(1)
    assert origin(g) is g
