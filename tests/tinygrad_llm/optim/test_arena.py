"""Parameters side by side in memory, and parameters that stay where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import Tensor
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import Arena
from tinygrad_llm.optim.arena import Scattered

SHAPES = {"table": (4, 3), "bias": (3,), "matrix": (2, 2), "one": (), "shift": (5,)}


def leaves() -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    return {name: Tensor(np.asarray(rng.normal(size=shape)), requires_grad=True)
            for name, shape in SHAPES.items()}


def in_order(view: np.ndarray, flat: np.ndarray) -> int:
    """Return where in `flat` a view begins."""
    assert np.shares_memory(view, flat) and view.flags.c_contiguous
    return (view.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // 8


@pytest.mark.parametrize("kind", ["data", "gradients", "zeros"])
def test_matrices_lie_side_by_side_and_so_do_the_rest(kind: str) -> None:
    arena = Arena(leaves())
    buffers = arena.zeros() if kind == "zeros" else getattr(arena, kind)
    matrices, rest = buffers.flat
    assert arena.groups == [["table", "matrix"], ["bias", "one", "shift"]]
    assert matrices.shape == (16,) and rest.shape == (9,)
    assert [in_order(buffers[n], matrices) for n in ("table", "matrix")] == [0, 12]
    assert [in_order(buffers[n], rest) for n in ("bias", "one", "shift")] == [0, 3, 4]
    assert {name: array.shape for name, array in buffers.items()} == SHAPES


def test_parameters_keep_their_values_and_become_views() -> None:
    ps = leaves()
    before = {name: p.data.copy() for name, p in ps.items()}
    arena = Arena(ps)
    for name, p in ps.items():
        assert p is arena.parameters[name] and p.data is arena.data[name]
        np.testing.assert_array_equal(p.data, before[name])
    arena.data.flat[0] *= 2
    np.testing.assert_array_equal(ps["matrix"].data, 2 * before["matrix"])
    assert all((array == 0).all() for array in arena.gradients.values())


def test_other_dtypes_and_libraries_lie_apart() -> None:
    ps = {"a": Tensor(np.ones(2), requires_grad=True),
          "b": Tensor(np.ones(3, np.float32), requires_grad=True),
          "c": Tensor(strict_cupy.asarray(np.ones(4)), requires_grad=True),
          "d": Tensor(np.ones(5), requires_grad=True)}
    arena = Arena(ps)
    assert arena.groups == [["a", "d"], ["b"], ["c"]]
    assert [flat.dtype for flat in arena.data.flat] == [np.float64, np.float32, np.float64]
    assert isinstance(arena.zeros().flat[2], strict_cupy.ndarray)


def test_a_model_still_computes_the_same() -> None:
    model = GPT(GPTConfig(vocab_size=7, context=5, layers=1, heads=1, width=4), seed=1)
    ids = np.array([[1, 2, 3]])
    before = model(ids).data
    Arena(parameters(model))
    np.testing.assert_array_equal(model(ids).data, before)
    assert model.head is model.wte.weight


def stretches(layout: Any, labels: dict[str, Any], *buffers: Any) -> list[tuple[Any, list[Any]]]:
    return [(label, [array.copy() for array in arrays])
            for label, arrays in layout.stretches(labels.get, *buffers)]


def test_neighbours_with_the_same_label_are_one_stretch() -> None:
    ps = leaves()
    arena = Arena(ps)
    for i, p in enumerate(ps.values()):
        p.grad = np.full(p.shape, float(i))
    buffer = arena.zeros()
    buffer.flat[1] += np.arange(9)
    found = stretches(arena, {"table": 1, "matrix": 1, "bias": 2, "shift": 2}, buffer)
    assert [(label, arrays[0].size) for label, arrays in found] == [(1, 16), (2, 3), (2, 5)]
    assert [arrays[1].tolist() for _, arrays in found] == [
        12 * [0.0] + 4 * [2.0], 3 * [1.0], 5 * [4.0]]
    assert found[2][1][2].tolist() == [4, 5, 6, 7, 8]


def test_stretches_are_views_that_can_be_written() -> None:
    arena = Arena(leaves())
    for _, (data, *_) in arena.stretches(lambda name: 0):
        data[...] = 7
    assert all((p.data == 7).all() for p in arena.parameters.values())


def test_a_gradient_in_its_place_is_not_copied() -> None:
    arena = Arena(leaves())
    p = arena.parameters["bias"]
    arena.gradients["bias"][...] = [1, 2, 3]
    p.grad = arena.gradients["bias"]
    (_, (_, gradient)), = stretches(arena, {"bias": 1})
    assert gradient.tolist() == [1, 2, 3]
    p.grad = Tensor(np.array([4.0, 5, 6]))  # as a recorded backward pass leaves it
    (_, (_, gradient)), = stretches(arena, {"bias": 1})
    assert gradient.tolist() == [4, 5, 6] and arena.gradients["bias"].tolist() == [4, 5, 6]


def test_data_that_was_replaced_or_exchanged_is_taken_in() -> None:
    arena = Arena(leaves())
    bias, shift, table, matrix = (arena.parameters[n] for n in ("bias", "shift", "table", "matrix"))
    bias.data = np.array([5.0, 6.0, 7.0])
    other = Tensor(np.zeros((2, 2)), requires_grad=True)
    arena.parameters["matrix"].data, other.data = other.data, matrix.data
    before = table.data.copy(), shift.data.copy()
    stretches(arena, {})
    assert bias.data is arena.data["bias"] and bias.data.tolist() == [5, 6, 7]
    assert matrix.data is arena.data["matrix"] and (matrix.data == 0).all()
    np.testing.assert_array_equal(table.data, before[0])
    np.testing.assert_array_equal(shift.data, before[1])


def test_two_that_exchanged_their_arrays() -> None:
    ps = {name: Tensor(np.full(2, float(i)), requires_grad=True) for i, name in enumerate("ab")}
    arena = Arena(ps)
    ps["a"].data, ps["b"].data = ps["b"].data, ps["a"].data
    stretches(arena, {})
    assert arena.data.flat[0].tolist() == [1, 1, 0, 0]
    assert ps["a"].data is arena.data["a"] and ps["b"].data is arena.data["b"]


@pytest.mark.parametrize("make", [Arena, Scattered])
def test_another_shape_is_refused_before_anything_is_yielded(make: Any) -> None:
    layout = make(leaves())
    layout.parameters["shift"].data = np.ones(4)
    with pytest.raises(ValueError, match=r"shift had the shape \(5,\) and was given data of shape "
                                         r"\(4,\); make a new optimizer"):
        next(layout.stretches(lambda name: 0))


@pytest.mark.parametrize("make", [Arena, Scattered])
def test_a_tensor_has_one_name(make: Any) -> None:
    p = leaves()["bias"]
    with pytest.raises(ValueError, match="a Tensor has two names"):
        make({"a": p, "b": p})


def test_scattered_parameters_stay_where_they_are() -> None:
    ps = leaves()
    arrays = {name: p.data for name, p in ps.items()}
    layout = Scattered(ps)
    buffer = layout.zeros()
    for i, p in enumerate(ps.values()):
        p.grad = np.full(p.shape, float(i))
    found = stretches(layout, {"table": 1, "one": 1, "shift": 2}, buffer)
    assert [(label, arrays[0].shape) for label, arrays in found] == [
        (1, (4, 3)), (1, (1,)), (2, (5,))], "a number is a row of one"
    assert all((arrays[1] == i).all() for i, (_, arrays) in zip((0, 3, 4), found, strict=True))
    for _, (data, _, own) in layout.stretches(lambda name: 0, buffer):
        data[...] = own[...] = 3
    for name, p in ps.items():
        assert p.data is arrays[name] and (p.data == 3).all() and (buffer[name] == 3).all()


def test_scattered_parameters_may_be_any_view() -> None:
    base = np.zeros((3, 8))
    p = Tensor(base[:, ::2].T, requires_grad=True)
    p.grad = np.ones((4, 3))
    for _, (data, gradient) in Scattered({"p": p}).stretches(lambda name: 0):
        data += gradient
    assert base.sum() == 12 and (base[:, 1::2] == 0).all()


W = Tensor(np.ones(2), requires_grad=True)


@pytest.mark.parametrize("make", [Arena, Scattered])
@pytest.mark.parametrize("wrong, error, words", [
    ([W, W], TypeError, r"expected parameters by name.*nn\.parameters\(model\).*got list"),
    (W, TypeError, "got Tensor"), ({}, ValueError, "there are no parameters"),
    ({"w": np.ones(2)}, TypeError, "w: expected a Tensor, got ndarray"),
    ({"w": Tensor(np.ones(2))}, ValueError, "w: a constant of float64.*requires_grad=True"),
    ({"ids": Tensor([1, 2])}, ValueError, "ids: a constant of int64"),
    ({"w": W * 2}, ValueError, "w: the result of multiply is no parameter"),
    ({0: W}, TypeError, "expected a parameter's name, got 0"),
    ({"w": Tensor(np.broadcast_to(1.0, (2,)), requires_grad=True)}, ValueError, "w: .*read-only"),
])
def test_only_leaves_by_name_are_parameters(make: Any, wrong: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make(wrong)
