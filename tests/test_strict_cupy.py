"""The stand-in for CuPy refuses what CuPy refuses, and computes what NumPy computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict_cupy as xp
from strict_cupy import StrictError, no_sync, sync_log

from autograd import Tensor, namespace, to_host

HOST = np.arange(12, dtype=np.float32).reshape(3, 4)


def device(values: Any = HOST, dtype: Any = None) -> Any:
    return xp.asarray(values, dtype)


def with_duplicates() -> None:
    x = device()
    x[device([0, 2, 2])] = device()


def in_place_with_duplicates() -> None:
    x = device()
    x[device([0, 0])] += device()[:2]


def out_of_bounds_in_setitem() -> None:
    x = device()
    x[device([7])] = 0.0


def host_value() -> None:
    x = device()
    x[0] = HOST[0]


def list_value() -> None:
    x = device()
    x[0] = [1.0, 2.0, 3.0, 4.0]


PLANTED: dict[str, Callable[[], Any]] = {
    # host and device mixed
    "np.asarray(x)": lambda: np.asarray(device()),
    "np.array([x])": lambda: np.array([device()]),
    "np.concatenate([x])": lambda: np.concatenate([device()]),
    "np.shape(x)": lambda: np.shape(device()),
    "np.sum(x)": lambda: np.sum(device()),
    "np.where(x, ...)": lambda: np.where(device() > 1, 1.0, 0.0),
    "x + numpy": lambda: device() + HOST,
    "numpy + x": lambda: HOST + device(),
    "x += numpy": lambda: device().__iadd__(HOST),
    "x ** numpy without axes": lambda: device() ** np.array(2.0),
    "x == numpy": lambda: device() == HOST,
    "x + list": lambda: device() + list(range(4)),
    "exp(numpy)": lambda: xp.exp(HOST),
    "exp(list)": lambda: xp.exp([1.0]),
    "exp(x, out=numpy)": lambda: xp.exp(device(), out=HOST.copy()),
    "stack([x, numpy])": lambda: xp.stack([device(), HOST]),
    "concatenate([x, number])": lambda: xp.concatenate([device(), 1.0], axis=None),
    "where(x, numpy, 0)": lambda: xp.where(device() > 1, HOST, 0.0),
    "x.dot(numpy)": lambda: device().dot(HOST.T),
    "sum(numpy)": lambda: xp.sum(HOST),
    "sum(list)": lambda: xp.sum([1.0, 2.0]),
    "reshape(number)": lambda: xp.reshape(1.0, (1,)),
    "dot(x, number)": lambda: xp.dot(device(), 2.0),
    "add.at(x, i, numpy)": lambda: xp.add.at(device(), device([0]), HOST[:1]),
    "x[numpy]": lambda: device()[np.array([0, 1])],
    "x[list]": lambda: device()[[0, 1]],
    "x[0] = numpy": host_value,
    "x[0] = list": list_value,
    "x.data": lambda: device().data,
    # what CuPy has not
    "max(initial=)": lambda: xp.max(device(), initial=0.0),
    "sum(where=)": lambda: xp.sum(device(), where=device() > 1),
    "x.sum(where=)": lambda: device().sum(where=device() > 1),
    "x.max(initial=)": lambda: device().max(initial=0.0),
    "einsum(out=)": lambda: xp.einsum("ij->i", device(), out=xp.empty(3)),
    "take(mode=)": lambda: xp.take(device(), device([0]), mode="clip"),
    "take_along_axis() without its axis": lambda: xp.take_along_axis(device(), device([[0]])),
    "add(where=)": lambda: xp.add(device(), device(), where=device() > 1),
    "exp(order=)": lambda: xp.exp(device(), order="C"),
    "multiply.at": lambda: xp.multiply.at(device(), device([0]), device()[:1]),
    "add.at of int16": lambda: xp.add.at(device(dtype=np.int16), device([0]), 1),
    "maximum.at of float16": lambda: xp.maximum.at(device(dtype=np.float16), device([0]), 1.0),
    "maximum.reduce": lambda: xp.maximum.reduce(device()),
    "logical_or.accumulate": lambda: xp.logical_or.accumulate(device()),
    "add.reduce(initial=)": lambda: xp.add.reduce(device(), initial=0.0),
    "batched 16-bit matmul": lambda: xp.matmul(device(dtype=np.float16)[None],
                                               device(dtype=np.float16).T[None]),
    "batched 16-bit @": lambda: device(dtype=np.float16)[None] @ device(dtype=np.float16).T,
    # what CuPy does in silence
    "x[i] = v with duplicates": with_duplicates,
    "x[i] += v with duplicates": in_place_with_duplicates,
    "x[i] out of bounds": lambda: device()[device([7])],
    "x[i] = v out of bounds": out_of_bounds_in_setitem,
    "take out of bounds": lambda: xp.take(device(), device([7]), axis=0),
    "add.at out of bounds": lambda: xp.add.at(device(), device([7]), 1.0),
}

WAITING: dict[str, Callable[[], Any]] = {
    "float()": lambda: float(device(1.0)),
    "int()": lambda: int(device(1)),
    "bool()": lambda: bool(device(1.0)),
    "if": lambda: 1 if device(1.0) > 0 else 0,
    "in": lambda: 3.0 in device([1.0, 2.0]),
    "min()": lambda: min(device(1.0), 2.0),
    "index()": lambda: [1, 2][device(1)],
    "slice()": lambda: device()[: device(2)],
    "item()": lambda: device(1.0).item(),
    "get()": lambda: device().get(),
    "tolist()": lambda: device().tolist(),
    "to_host()": lambda: to_host(device()),
    "repr()": lambda: f"{device()!r}",
    "format()": lambda: f"{device(1.0):.2f}",
    "x[mask]": lambda: device()[device() > 1],
    "x[mask] = v": lambda: device().__setitem__(device() > 1, 0.0),
    "where(x)": lambda: xp.where(device() > 1),
    "nonzero(x)": lambda: xp.nonzero(device()),
    "x.nonzero()": lambda: device().nonzero(),
    "unique(x)": lambda: xp.unique(device()),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_is_caught(name: str) -> None:
    with pytest.raises(StrictError):
        PLANTED[name]()


@pytest.mark.parametrize("name", ["vecdot", "block", "float128", "no_such_thing"])
def test_missing_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"has no '{name}'"):
        getattr(xp, name)


@pytest.mark.parametrize("name", ["ctypes", "setflags", "newbyteorder"])
def test_missing_member_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(device(), name)


def test_numpy_ufunc_on_a_device_array_is_refused() -> None:
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(device())


@pytest.mark.parametrize("name", WAITING)
def test_waiting_is_refused_inside_no_sync_only(name: str) -> None:
    with sync_log() as waits:
        WAITING[name]()
    assert waits, "outside no_sync() the wait is allowed, and noted"
    with no_sync(), pytest.raises(StrictError, match="waits for the device"):
        WAITING[name]()
    WAITING[name]()


def test_the_log_names_what_waited_and_where() -> None:
    def learn(x: Any) -> float:
        return float(x)

    with sync_log() as waits:
        learn(device(1.0))
        learn(Tensor(device(1.0)))
    assert [wait.replace("<locals>.", "") for wait in waits] == [
        "float() in test_the_log_names_what_waited_and_where.learn"] * 2


LEGAL: dict[str, Callable[[Any, Callable[..., Any]], Any]] = {
    "operators": lambda m, put: -(2 * put(HOST) - 1) ** 2 / 3.0 + np.float32(1),
    "comparisons": lambda m, put: (put(HOST) > 3) | (put(HOST) == 1),
    "matmul": lambda m, put: put(HOST) @ put(HOST).T,
    "16-bit matmul of two axes": lambda m, put: (
        put(HOST).astype(m.float16) @ put(HOST).astype(m.float16).T),
    "reductions": lambda m, put: put(HOST).sum(axis=0) + m.max(put(HOST), axis=-1, keepdims=True),
    "a reduction over all": lambda m, put: m.mean(put(HOST)),
    "einsum": lambda m, put: m.einsum("ij,ij->i", put(HOST), put(HOST), optimize=True),
    "indices": lambda m, put: put(HOST)[put(np.array([2, 0, 0])), put(np.array([1, 2, 3]))],
    "slices": lambda m, put: put(HOST)[1:, None, ::-1],
    "pad": lambda m, put: m.pad(put(HOST), ((0, 1), (1, 0)), mode="constant", constant_values=7),
    "concatenate": lambda m, put: m.concatenate([put(HOST), put(HOST)], axis=1),
    "where": lambda m, put: m.where(put(HOST) > 3, put(HOST), -m.inf),
    "makers": lambda m, put: m.eye(4) + m.full((4, 4), 2.0) + m.arange(4) + m.zeros((4, 1)),
    "sort": lambda m, put: m.take_along_axis(put(HOST), m.argsort(-put(HOST), axis=-1), axis=-1),
    "reduce": lambda m, put: m.add.reduce(put(HOST), axis=1),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_use_computes_what_numpy_computes(name: str) -> None:
    expected = LEGAL[name](np, np.asarray)
    with no_sync():
        got = LEGAL[name](xp, xp.asarray)
    assert isinstance(got, xp.ndarray) and got.dtype == expected.dtype
    np.testing.assert_array_equal(to_host(got), expected, strict=np.ndim(expected) > 0)


def test_legal_writing() -> None:
    x = device()
    with no_sync():
        x[device([0, 2])] = device()[:2]
        x[:, 1] *= 2.0
        x[device([0, 0])] = 5.0  # one value for both: whichever stays
        xp.add.at(x, device([1, 1, 1]), 1.0)
        xp.sqrt(x, out=x)
    expected = HOST.copy()
    expected[[0, 2]] = HOST[:2]
    expected[:, 1] *= 2
    expected[0] = 5
    expected[1] += 3
    np.testing.assert_array_equal(to_host(x), np.sqrt(expected))


def test_a_reduction_gives_an_array_without_axes() -> None:
    for y in (device().sum(), xp.dot(device()[0], device()[0]), device()[0, 0],
              xp.array_equal(device(), device()), xp.allclose(device(), device())):
        assert isinstance(y, xp.ndarray) and y.shape == ()


def test_identity_of_arrays_is_kept() -> None:
    x = before = device()
    assert xp.asarray(x) is x and xp.exp(x, out=x) is x and x.astype(x.dtype, copy=False) is x
    x += 1
    assert x is before
    assert xp.array(x) is not x and x[1:].base is not None and x.copy().base is None


def test_an_upload_is_a_copy() -> None:
    host = HOST.copy()
    x = device(host)
    host[:] = 0
    np.testing.assert_array_equal(to_host(x), HOST)


def test_the_library_is_found_from_the_array() -> None:
    assert namespace(device()) is xp and namespace(1.0, device()) is xp
    assert isinstance(to_host(device()), np.ndarray)
    assert isinstance(Tensor(device()) * 2, Tensor) and isinstance(
        device() * Tensor(device()), Tensor)


def test_an_integer_out_of_bounds_is_an_index_error_as_in_cupy() -> None:
    with pytest.raises(IndexError):
        device()[7]


def test_the_surface_says_which_cupy_it_is_of() -> None:
    assert xp.SURFACE["cupy"] == "14.2.0"
    assert {"sum", "einsum", "asarray"} <= xp.SURFACE["functions"].keys()
