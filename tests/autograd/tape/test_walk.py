"""The rows of a tape: names, arguments, and what keeps memory alive."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from tapes import leaf, toy

from autograd import (
    Tensor,
    checkpoint,
    concatenate,
    exp,
    fused,
    multiply,
    no_grad,
    reshape,
    tanh,
)
from autograd.tape import trace
from autograd.tape.walk import (
    amount,
    arguments,
    columns,
    constant_text,
    held,
    options,
    read_tape,
    shapes,
)


def test_a_buffer_counts_once_and_a_view_as_what_it_views() -> None:
    x = leaf(1000)
    y = exp(x)
    loss = (multiply(reshape(y, (10, 100)), y[:1] * 1.0) + reshape(y, (10, 100)) ** 2).sum()
    tape = trace(loss).tape
    assert tape.kept_bytes == 8000 + 8  # exp's y, of which the power's a is a view, and one element
    assert tape.leaf_bytes == 0
    assert trace((x * x).sum()).tape.leaf_bytes == 8000


def test_a_view_of_a_leaf_is_counted_as_one() -> None:
    x = leaf(1000)
    view = x[:10]
    assert "8 kB kept alive in 1 buffer, 8 kB of them leaves" in str(trace((view * view).sum()))


def test_constants_have_names_too() -> None:
    c = np.ones(3)
    assert "b=c" in str(trace(leaf(3) * c, names={"c": c}))


def test_residuals_of_a_fused_op_have_the_names_of_its_rule() -> None:
    @fused(lambda x: x * x)
    def _square(x: Any, /) -> Any:
        return x * x, (x, 2 * x)

    @_square.vjp
    def _(g: Any, saved: Any) -> Any:
        _, slope = saved
        return g * slope

    assert "x=x0, slope" in str(trace(_square(leaf(3))))


@pytest.mark.parametrize("what, error, words", [
    (Tensor([1.0]), RuntimeError, "nothing was recorded"), (3.0, TypeError, "expected a Tensor")])
def test_nothing_to_trace(what: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        trace(what)


def test_a_graph_that_is_used_up_or_was_never_recorded_says_so() -> None:
    loss, _ = toy()
    loss.backward()
    with pytest.raises(RuntimeError, match="already used"):
        trace(loss)
    with no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        trace(toy()[0])


class Layer:
    def __init__(self) -> None:
        self.weight, self.scale = leaf(3), 2.0


class Model:
    def __init__(self) -> None:
        self.h = [Layer(), {"out": Layer()}]
        self.tied = self.h[0].weight

    def __call__(self) -> Tensor:
        return (self.h[0].weight * self.h[1]["out"].weight).sum()


@pytest.mark.parametrize("names", [["x"], "x", 3.0, object()])
def test_names_are_a_mapping_or_hold_tensors(names: Any) -> None:
    with pytest.raises(TypeError, match="must map names"):
        trace(leaf(3), names=names)


def test_a_model_gives_its_parameters_their_names() -> None:
    loss = Model()()
    assert [row.name for row in trace(loss).rows[:2]] == ["x0", "x1"]  # it is gone
    model = Model()
    expected = ["h.0.weight", "h.1.out.weight", "v2", "v3"]
    for names in (None, model):
        assert [row.name for row in trace(model(), names=names).rows] == expected
    within = trace(model(), names={"gpt": model, "c": np.ones(3)}).rows
    assert [row.name for row in within][:2] == ["gpt.h.0.weight", "gpt.h.1.out.weight"]


def test_leaves_are_called_as_the_callers_variables_are() -> None:
    w, both, parts = leaf(3), [leaf(3), leaf(3)], {"b": leaf(3)}
    twin = Model()
    _hidden = leaf(3)
    loss = ((w * both[1] + parts["b"] * _hidden) * twin.h[0].weight).sum()
    assert {row.name for row in trace(loss).rows if row.op == "leaf"} == {
        "w", "both.1", "b", "h.0.weight", next(
            row.name for row in trace(loss).rows if row.name[0] == "x")}
    other = Model()
    loss = twin() + other()
    assert [row.name for row in trace(loss).rows if row.op == "leaf"] == [
        "h.0.weight", "h.1.out.weight", "other.h.0.weight", "other.h.1.out.weight"]


def test_given_names_come_before_the_callers() -> None:
    w = leaf(3)
    assert trace(w * w, names={"weight": w}).rows[0].name == "weight"
    assert held_names(object()) == [] and held_names([[], {}, 1, "a"]) == []


def held_names(thing: Any) -> list[str]:
    return [name for name, _ in held(thing)]


def test_a_variable_comes_before_what_holds_its_value() -> None:
    holder: Any = Model()
    model, w = Model(), holder.h[0].weight
    loss = model() + holder() * w.sum()
    assert [row.name for row in trace(loss).rows if row.op == "leaf"] == [
        "w", "h.1.out.weight", "h.0.weight", "model.h.1.out.weight"]


def test_a_notebooks_memory_names_nothing() -> None:
    model: Any = Model()
    names: dict[str, Any] = {"trace": trace, "Out": {5: model}, "exit": Layer()}
    names["exit"].memory = names
    names["model"] = model
    exec("rows = trace(model()).rows", names)
    assert [row.name for row in names["rows"][:2]] == ["h.0.weight", "h.1.out.weight"]


def test_large_variables_hide_no_model() -> None:
    numbers, text = list(range(10**6)), {str(i): [i] for i in range(10**5)}
    objects = [[object() for _ in range(900)] for _ in range(900)]
    model = Model()
    assert trace(model()).rows[0].name == "h.0.weight"
    assert len(numbers) + len(text) + len(objects) > 10**6


def test_what_holds_itself_is_walked_once() -> None:
    model: Any = Model()
    model.itself, model.h = model, [*model.h, model]
    assert held_names(model) == ["h.0.weight", "h.1.out.weight"]


def test_checkpointed_calls() -> None:
    x, w = leaf(2, 3), leaf(3, 2)
    a, b = checkpoint(lambda x: (tanh(x @ w), (x * 2).sum()))(x)
    t = trace((a * a).sum() + b, names={"x": x, "w": w})
    call = next(row for row in t.rows if row.op == "checkpoint(<lambda>)")
    assert call.kept_bytes == x.data.nbytes and "its arguments" in str(t)
    assert f"{x.data.nbytes} B of them leaves" in str(t)
    ElementTree.fromstring(t.svg())


def test_rows_come_oldest_first_with_names_and_numbers() -> None:
    loss, names = toy()
    tape = read_tape(loss, names, "test")
    assert [row.number for row in tape.rows] == list(range(11))
    assert [row.name for row in tape.rows[:4]] == ["w", "b", "v2", "v3"]
    assert tape.rows[-1].node is loss.node and tape.rows[0].op == "leaf"
    assert sorted(row.node.serial for row in tape.rows) == [row.node.serial for row in tape.rows]
    assert tape.called(names["w"]) == "w"
    assert tape.kept_bytes == sum(row.kept_bytes for row in tape.rows)


def test_calls_with_constants_options_and_several_arrays() -> None:
    x = leaf(2, 3)
    tape = read_tape(concatenate([x, x * 2.0], axis=1).sum(axis=0), {"x": x}, "test")
    calls = [tape.call(row) for row in tape.rows[1:]]
    assert calls == ["multiply(x, 2.0)", "_concatenate(x, v1, axis=1)", "sum(v2, axis=0)"]
    multiply_row, joined, total = tape.rows[1:]
    assert tape.arguments(multiply_row) == [("a", "x"), ("b", "2.0")]
    assert shapes(joined.node) == [(2, 3), (2, 3)] and shapes(multiply_row.node) == [(2, 3), ()]
    assert options(total.node) == {"axis": 0} and options(multiply_row.node) == {}
    assert [name for name, _ in arguments(joined.node)] == ["xs[0]", "xs[1]"]


@pytest.mark.parametrize("value, text", [
    (1, "1"), (0.5, "0.5"), (None, "None"), ("ij->i", "'ij->i'"), (slice(1, None), "1:"),
    (slice(None, 4, 2), ":4:2"), ((0, slice(None)), "(0, :)"), (..., "..."), (np.ones(3), "const"),
    (np.float32(0.5), "0.5"), (len, "len"), (object(), "object"), ("x" * 99, "'" + "x" * 39),
])
def test_constants_in_few_characters(value: Any, text: str) -> None:
    assert constant_text(value) == text


@pytest.mark.parametrize("size, text", [
    (0, "0 B"), (999, "999 B"), (999.5, "1 kB"), (1234, "1.23 kB"), (5e6, "5 MB"),
    (7.89e9, "7.89 GB"), (1e13, "10 TB"), (1e16, "1e+04 TB")])
def test_amounts(size: float, text: str) -> None:
    assert amount(size) == text and amount(size, "FLOP") == text.replace("B", "FLOP")


def test_columns() -> None:
    table = [["op", "n"], ["a long one", "7"], ["b", "100"]]
    assert columns(table, right=(1,)) == [
        "op            n", "a long one    7", "b           100"]
