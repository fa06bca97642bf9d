from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import autograd
from autograd import Tensor, no_grad, pull_back


def parameter(*shape: int) -> Tensor:
    return Tensor(np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape), requires_grad=True)


def test_backward_adds_up_over_uses_and_over_calls() -> None:
    x = parameter(3)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3, 5, 7]
    (2 * x).sum().backward()
    assert x.grad.tolist() == [5, 7, 9]
    x.grad = None
    assert x.grad is None


def test_leaf_gradients_share_no_memory() -> None:
    a, b = parameter(3), parameter(3)
    g = np.ones(3)
    (a + b).backward(g)
    a.grad *= 10
    assert b.grad.tolist() == [1, 1, 1] and g.tolist() == [1, 1, 1]
    c = parameter(2, 3)
    autograd.broadcast_to(c.sum(0), (4, 3)).sum().backward()
    c.grad += 1  # a broadcast view would refuse to be written into
    assert (c.grad == 5).all()


def test_sums_do_not_write_into_gradients_that_others_hold() -> None:
    """Adding hands one array to both arguments; what x receives later must not reach z."""
    x, z = parameter(3), parameter(3)
    older = x * 3
    sum_of_both = x + z
    g = np.ones(3)
    (sum_of_both + older).backward(g)
    assert x.grad.tolist() == [4, 4, 4] and z.grad.tolist() == [1, 1, 1] and g.tolist() == [1] * 3
    y = x * 1.0
    ((y + y) + (y + z)).sum().backward()
    assert x.grad.tolist() == [7, 7, 7] and z.grad.tolist() == [2, 2, 2]


def test_backward_can_be_recorded() -> None:
    x = Tensor(2.0, requires_grad=True)
    (x**3).backward(record=True)
    first = x.grad
    assert isinstance(first, Tensor) and float(first) == 12
    x.grad = None
    first.backward()
    assert float(x.grad) == 12


def test_a_used_graph_says_so_and_retain_keeps_it() -> None:
    x = parameter(3)
    y = (x * x).sum()
    y.backward(retain=True)
    y.backward()
    assert x.grad.tolist() == [4, 8, 12]
    with pytest.raises(RuntimeError, match="already used this graph.*retain=True"):
        y.backward()
    z = x * 2
    z.sum().backward()
    with pytest.raises(RuntimeError, match="multiply: .*already used"):
        (z * 3).sum().backward()
    with pytest.raises(RuntimeError, match="multiply: .*already used"):
        pull_back([z * 3], [np.ones(3)], [x])


def test_backward_without_a_scalar_or_a_record_is_refused() -> None:
    x = parameter(2, 3)
    with pytest.raises(ValueError, match=r"expected a scalar, got shape \(2, 3\).*cotangent"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"shape of the result, \(2, 3\); got \(3,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        Tensor(1.0).backward()
    with no_grad():
        y = x.sum()
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


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


def test_complex_results_are_refused() -> None:
    with pytest.raises(TypeError, match="multiply: the result is complex.*not supported"):
        parameter(2) * 1j


def test_comparisons_and_conversions_are_off_the_tape() -> None:
    x = parameter(3)
    assert (x > 1).tolist() == [False, True, True] and isinstance(x == x, np.ndarray)
    assert x[1].item() == 2.0 and float(x[0]) == 1.0 and len(x) == 3 and int(x[2]) == 3
    assert not x.detach().requires_grad and [float(v) for v in x] == [1, 2, 3]
    assert not x.astype(int).requires_grad
    assert {x: 1}[x] == 1  # hashed by identity, though == compares elements


def test_methods_are_the_ops() -> None:
    x = parameter(2, 3)
    assert np.array_equal(x.T.data, x.data.T)
    assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == (3, 2)
    assert x.transpose(1, 0).shape == x.transpose((1, 0)).shape == x.transpose().shape == (3, 2)
    for method in ("sum", "mean", "max", "min", "var"):
        for options in ({}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}):
            assert np.array_equal(getattr(x, method)(**options).data,
                                  getattr(x.data, method)(**options))
    assert np.array_equal((2**x / -x + abs(x) @ np.ones(3)[:, None]).data,
                          2**x.data / -x.data + x.data @ np.ones((3, 1)))


def test_a_used_graph_is_freed_without_the_cycle_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = parameter(3)
        y = autograd.tanh(x * 2)
        node = weakref.ref(y)
        loss = y.sum()
        loss.backward()
        del y, loss
        assert node() is None
    finally:
        gc.enable()


def test_residuals_are_freed_as_the_sweep_goes() -> None:
    x = parameter(3)
    y = autograd.exp(x)
    kept = weakref.ref(y.data)
    loss = (y * y).sum()
    del y
    assert kept() is not None  # the product's rule keeps its factors
    loss.backward()
    assert kept() is None


def test_a_rule_keeps_only_what_it_names() -> None:
    x = parameter(3)
    a = x + 1
    dropped = weakref.ref(a)
    y = autograd.tanh(a)  # its rule names y, not x
    del a
    assert dropped() is None
    y.sum().backward()
    assert np.allclose(x.grad, 1 - np.tanh(x.data + 1) ** 2)


def test_a_wanted_intermediate_is_not_used_up() -> None:
    x = parameter(3)
    h = autograd.exp(x)
    (gh,) = autograd.pull_back([(h * h).sum()], [None], [h])
    h.backward(gh)
    assert np.allclose(x.grad, 2 * np.exp(2 * x.data))


def test_gradients_of_numbers_stay_arrays() -> None:
    x = Tensor(2.0, requires_grad=True)
    for _ in range(3):
        (x * x).backward()
    assert type(x.grad) is np.ndarray and float(x.grad) == 12


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


def test_other_kinds_of_arrays_are_refused_or_made_plain() -> None:
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    for other in (np.ma.masked_array(np.ones((2, 2)), False), np.ones((2, 2)).view(np.matrix)):
        with pytest.raises(TypeError, match=r"rules of its own.*pass np\.asarray"):
            x * other

    class Mine(np.ndarray):
        pass

    (x * np.full((2, 2), 3.0).view(Mine)).sum().backward()
    assert type(x.grad) is np.ndarray and (x.grad == 3).all()


def test_ops_are_pickled_and_copied_by_name() -> None:
    assert pickle.loads(pickle.dumps(autograd.tanh)) is autograd.tanh
    assert copy.deepcopy(autograd.matmul) is autograd.matmul
