"""A Tensor as an array: its making, its attributes, its copies, and the ways off the tape."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, no_grad
from autograd.tensor import STATE, watched


def parameter(*shape: int) -> Tensor:
    return Tensor(np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape), requires_grad=True)


def test_no_grad_is_for_its_thread_and_block_only() -> None:
    x = parameter(2)
    seen = []
    with pytest.raises(KeyError), no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
        raise KeyError
    assert seen == [True] and (x * 2).requires_grad


def test_what_would_lose_the_tape_in_silence_is_refused() -> None:
    x = parameter(3)
    with pytest.raises(TypeError, match=r"x\.data"):
        np.asarray(x)
    with pytest.raises(TypeError):
        np.exp(x)
    with pytest.raises(TypeError, match=r"cannot be written into.*x\.at\[index\]\.set"):
        x[0] = 1.0
    assert isinstance(np.ones(3) * x, Tensor) and isinstance(np.float64(2) - x, Tensor)


@pytest.mark.parametrize("data, words", [
    ([1, 2], "only floating point.*int64"), (True, "only floating point.*bool"),
    (1j, "complex gradients are not supported"), ("text", "expected real numbers"),
    ([None], "expected real numbers"),
])
def test_what_cannot_require_gradients_is_refused(data: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Tensor(data, requires_grad=True)


def test_a_leaf_can_be_copied_and_pickled_but_a_computation_cannot() -> None:
    x = parameter(3)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        (other * 2).sum().backward()
        assert other.grad.tolist() == [2, 2, 2] and other.data is not x.data and x.grad is None
    with pytest.raises(TypeError, match="multiply.*cannot be copied or pickled; detach"):
        copy.deepcopy(x * 2)
    code = ("import pickle, sys; x = pickle.load(sys.stdin.buffer); (x * 2).sum().backward(); "
            "assert x.grad.tolist() == [2, 2, 2]")
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(x), check=True)


def test_comparisons_and_conversions_are_off_the_tape() -> None:
    x = parameter(3)
    assert (x > 1).tolist() == [False, True, True] and isinstance(x == x, np.ndarray)
    assert x[1].item() == 2.0 and float(x[0]) == 1.0 and len(x) == 3 and int(x[2]) == 3
    assert not x.detach().requires_grad and [float(v) for v in x] == [1, 2, 3]
    assert not x.astype(int).requires_grad
    assert {x: 1}[x] == 1  # hashed by identity, though == compares elements


def test_gradients_have_the_shape_of_their_tensor() -> None:
    x = parameter(3)
    with pytest.raises(ValueError, match=r"grad: expected the shape of the Tensor, \(3,\)"):
        x.grad = np.ones(2)
    x.data = np.ones((2, 3))
    with pytest.raises(RuntimeError, match="data of a leaf was replaced by an array of another"):
        (x * x).sum().backward()


def test_numpy_functions_say_where_to_go() -> None:
    x = parameter(3)
    for call in (np.sum, lambda x: np.reshape(x, 3), lambda x: np.array_equal(x, x),
                 lambda x: np.stack([x, x])):
        with pytest.raises(TypeError, match=r"np\.\w+ does not take Tensors.*use autograd\."):
            call(x)
    assert np.shape(x) == (3,) and np.ndim(x) == 1 and np.size(x) == 3


def test_formatting_and_constructor() -> None:
    assert f"{Tensor(0.12345):.2f}" == "0.12" and f"{Tensor([1.0])}" == "Tensor([1.])"
    with pytest.raises(TypeError, match=r"name the dtype: Tensor\(data, dtype="):
        Tensor([1.0], "float32")  # type: ignore[arg-type]


def test_an_observer_that_is_empty_still_observes() -> None:
    class Names(list[str]):
        def computed(self, op: Any, args: Any, options: Any, y: Any) -> None:
            self.append(op.name)

        def pulled(self, node: Any, g: Any, parts: Any) -> None:
            self.append(f"{node.op.name}, backward")

    names = Names()
    STATE.watch = names
    try:
        (parameter(2) * 2).sum().backward()
    finally:
        STATE.watch = None
    assert not watched
    assert names == ["multiply", "sum", "sum, backward", "multiply, backward"]
