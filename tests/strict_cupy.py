"""A module that plays CuPy on a machine without a GPU: NumPy's arithmetic, CuPy's rules.

`autograd.namespace` finds an array's library by its type, so an array made with `asarray` here
takes the code under test through this module, and whatever CuPy would refuse, or do otherwise
than NumPy without a word, raises StrictError:

- host and device mixed: `np.asarray(x)`, `np.exp(x)`, `x + numpy_array`, `x[[0, 1]]`, a number
  where CuPy wants an array;
- what CuPy has not: a name, a parameter, a ufunc's `where=`, `multiply.at`, `maximum.reduce`,
  a batched 16-bit matrix product;
- what CuPy does in silence: it wraps an index out of bounds around, and leaves open which of two
  values `x[[0, 0]] = v` keeps;
- inside `no_sync()`: everything for which the host must wait for the device, such as `float(x)`.

CuPy itself is not needed: its names and parameters are in `strict_cupy_surface.json`, written by
`freeze_cupy_surface.py`. What is not played: several devices, streams, submodules, rounding.
"""

from __future__ import annotations

import inspect
import json
import operator
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

SURFACE = json.loads(Path(__file__).with_name("strict_cupy_surface.json").read_text("utf-8"))


class StrictError(Exception):
    """CuPy would refuse this, or silently do something else than NumPy."""


# waiting for the device


class _State(threading.local):
    forbidden = False
    log: list[str] | None = None


_STATE = _State()


@contextmanager
def no_sync() -> Iterator[None]:
    """Inside `with no_sync():` whatever makes the host wait for the device raises."""
    before, _STATE.forbidden = _STATE.forbidden, True
    try:
        yield
    finally:
        _STATE.forbidden = before


@contextmanager
def sync_log() -> Iterator[list[str]]:
    """Give a list that receives an entry, "what in which function", for every wait."""
    before, _STATE.log = _STATE.log, []
    try:
        yield _STATE.log
    finally:
        _STATE.log = before


def _wait(what: str) -> None:
    """Note that the host waits here for the device."""
    if _STATE.forbidden:
        raise StrictError(f"{what} waits for the device, inside no_sync()")
    if _STATE.log is not None:
        _STATE.log.append(f"{what} in {_caller()}")


def _caller() -> str:
    """Return the function that made this module wait, conversions such as __float__ left out."""
    frame = sys._getframe(2)
    while frame.f_back and (frame.f_globals["__name__"] == __name__
                            or frame.f_code.co_name.startswith("__")):
        frame = frame.f_back
    return frame.f_code.co_qualname


# from device to host and back


def _host(x: Any, where: str) -> Any:
    """Return what NumPy computes with in place of x; refuse arrays that are NumPy's already."""
    if isinstance(x, ndarray):
        return x._data
    if isinstance(x, np.ndarray):
        raise StrictError(f"{where}: got a NumPy array among device arrays; CuPy raises TypeError")
    if isinstance(x, (list, tuple)):
        return type(x)(_host(part, where) for part in x)
    return x


def _device(result: Any, *sources: Any) -> Any:
    """Return NumPy's result as device arrays; one that is a source's own data is that source."""
    if isinstance(result, (list, tuple)):
        return [*map(_device, result)] if isinstance(result, list) else (*map(_device, result),)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    for source in sources:
        if isinstance(source, ndarray) and source._data is result:
            return source
    return ndarray(np.asarray(result))  # a reduction gives an array without axes, not a number


def _run(function: Callable[..., Any], where: str, args: tuple[Any, ...],
         options: dict[str, Any]) -> Any:
    """Call a NumPy function for device arrays."""
    host = [_host(x, where) for x in args]
    try:
        result = function(*host, **{name: _host(x, where) for name, x in options.items()})
    except IndexError as error:
        raise StrictError(f"{where}: {error}; CuPy wraps it around in silence") from error
    return _device(result, *args, *options.values())


@cache
def _signature(parameters: str) -> inspect.Signature:
    return inspect.signature(eval(f"lambda {parameters}: 0"))


def _check_parameters(where: str, parameters: str, args: tuple[Any, ...],
                      options: dict[str, Any]) -> None:
    try:
        _signature(parameters).bind(*args, **options)
    except TypeError as error:
        raise StrictError(f"{where}: {error}; CuPy's parameters are ({parameters})") from error


# the array


class ndarray:
    """An array of a device that is not there; its methods are bound from the surface, below."""

    __slots__ = ("__weakref__", "_data")
    __array_ufunc__ = None  # numpy_number * x comes to __rmul__, and np.exp(x) raises
    __hash__ = None

    def __init__(self, data: np.ndarray) -> None:
        self._data = data

    @property
    def data(self) -> Any:
        raise StrictError("x.data is a device pointer in CuPy; it is never the array's values")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise StrictError("a device array is not turned into a NumPy array in silence; use to_host")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        raise StrictError(f"np.{function.__name__}(x) on a device array; use namespace(x)")

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        with _bounds(index):
            return _device(self._data[_key(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            raise StrictError("x[i] = v: v is a list; CuPy raises ValueError")
        key, host = _key(index), _host(value, "x[i] = v")
        with _bounds(index):
            if np.ndim(host):
                _check_distinct(self._data, key)
            self._data[key] = host

    def get(self, *_: Any, **__: Any) -> np.ndarray:
        """Return a copy on the host."""
        _wait("get()")
        return self._data.copy()


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _key(index: Any) -> Any:
    """Return the index for NumPy; lists and NumPy arrays are refused, masks make the host wait."""
    for part in _parts(index):
        if isinstance(part, list):
            raise StrictError("x[list]: CuPy copies the list to the device each time")
        if isinstance(part, (bool, np.bool_)) or (isinstance(part, ndarray) and part.dtype == bool):
            _wait("x[mask]")
    return _host(index, "x[index]")


@contextmanager
def _bounds(index: Any) -> Iterator[None]:
    """Refuse an index out of bounds in an array, which CuPy would wrap around in silence."""
    try:
        yield
    except IndexError as error:
        if any(isinstance(part, ndarray) for part in _parts(index)):
            raise StrictError(f"{error}; CuPy wraps it around in silence") from error
        raise


def _check_distinct(data: np.ndarray, key: Any) -> None:
    if any(isinstance(part, np.ndarray) and part.dtype != bool for part in _parts(key)):
        places = np.arange(data.size).reshape(data.shape)[key]
        if np.unique(places).size != places.size:
            raise StrictError("x[i] = v: i has duplicates, and CuPy leaves open which value stays; "
                              "use add.at")


# conversions: the host waits


def _conversion(convert: Callable[[Any], Any], what: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any) -> Any:
        _wait(what)
        return convert(self._data, *args)

    return method


for _what in (float, int, bool, complex, repr, str):
    setattr(ndarray, f"__{_what.__name__}__", _conversion(_what, f"{_what.__name__}()"))
for _name in ("item", "tolist", "tobytes", "tofile", "dump", "dumps"):
    setattr(ndarray, _name, _conversion(getattr(np.ndarray, _name), f"{_name}()"))
ndarray.__index__ = _conversion(operator.index, "index()")
ndarray.__format__ = _conversion(format, "format()")


# operators: both operands on the device, or one of them a number

_NUMBERS = (bool, int, float, complex, np.generic)


def _check_operand(x: Any, where: str) -> None:
    if isinstance(x, np.ndarray):
        raise StrictError(f"{where}: the other operand is a NumPy array; CuPy raises TypeError")
    if not isinstance(x, (ndarray, *_NUMBERS)):
        raise StrictError(f"{where}: unsupported type {type(x).__name__}")


def _check_product(a: Any, b: Any) -> None:
    """Refuse what CuPy 14 cannot do (bfloat16) or does after copies to float32 (float16)."""
    sixteen_bits = any(x.dtype.kind in "fV" and x.dtype.itemsize == 2 for x in (a, b))
    if sixteen_bits and max(a.ndim, b.ndim) > 2:
        raise StrictError("matmul: batched and of 16 bits; reshape to two axes")


def _operator(compute: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def method(self: ndarray, *others: Any) -> Any:
        for other in others:
            if not isinstance(other, ndarray) and getattr(other, "__array_ufunc__", 0) is None:
                return NotImplemented  # a Tensor, whose own operator records
            _check_operand(other, compute.__name__)
        if compute in (operator.matmul, operator.imatmul):
            _check_product(self, *others)
        operands = (*others, self) if reflected else (self, *others)
        return _run(compute, compute.__name__, operands, {})

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or",
              "xor", "lshift", "rshift"):
    _plain = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _operator(_plain))
    setattr(ndarray, f"__r{_name}__", _operator(_plain, reflected=True))
    setattr(ndarray, f"__i{_name}__", _operator(getattr(operator, f"__i{_name}__")))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))


# methods and attributes that CuPy's array has and NumPy's too

_WAITING = frozenset({  # the shape of the result depends on values
    "argwhere", "compress", "extract", "flatnonzero", "intersect1d", "nonzero", "setdiff1d",
    "trim_zeros", "union1d", "unique", "unique_all", "unique_counts", "unique_inverse",
    "unique_values"})


def _method(name: str, parameters: str) -> Callable[..., Any]:
    host = getattr(np.ndarray, name)

    def method(self: ndarray, *args: Any, **options: Any) -> Any:
        _check_parameters(f"x.{name}", parameters, args, options)
        if name in _WAITING:
            _wait(f"{name}()")
        return _run(host, f"x.{name}", (self, *args), options)

    return method


def _attribute(name: str) -> property:
    return property(lambda self: _device(getattr(self._data, name)))


_UNPLAYED = frozenset({"device", "flat"})

for _name, _parameters in SURFACE["methods"].items():
    if _name not in vars(ndarray) and hasattr(np.ndarray, _name):
        setattr(ndarray, _name, _method(_name, _parameters))
for _name in SURFACE["attributes"]:
    if _name not in vars(ndarray) and hasattr(np.ndarray, _name) and _name not in _UNPLAYED:
        setattr(ndarray, _name, _attribute(_name))


# functions


class _Ufunc:
    """An elementwise function: fewer options than NumPy's, and `at`, `reduce` for a few only."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.host = getattr(np, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        unknown = sorted(set(options) - set(SURFACE["ufunc options"]))
        if unknown:
            raise StrictError(f"{self.__name__}: CuPy's ufuncs have no {', '.join(unknown)}=")
        for x in args:
            _check_operand(x, self.__name__)
        return _run(self.host, self.__name__, args, options)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        dtypes = SURFACE["at"].get(self.__name__, "")
        if a.dtype.name not in dtypes.split():
            raise StrictError(f"{self.__name__}.at: CuPy has it for {dtypes or 'no dtype'}, "
                              f"not for {a.dtype}")
        operands = (a._data, _key(indices), *([] if b is None else [_host(b, "at")]))
        with _bounds(indices):
            self.host.at(*operands)

    def reduce(self, *args: Any, **options: Any) -> Any:
        return self._combine("reduce", args, options)

    def accumulate(self, *args: Any, **options: Any) -> Any:
        return self._combine("accumulate", args, options)

    def _combine(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        where = f"{self.__name__}.{method}"
        if self.__name__ not in SURFACE[method]:
            raise StrictError(f"{where}: CuPy has it only for {', '.join(SURFACE[method])}")
        _check_parameters(where, SURFACE["ufunc methods"][method], args, options)
        return _run(getattr(self.host, method), where, args, options)


_ARRAY_PARAMETERS = frozenset({  # how CuPy names a first parameter that must be a device array
    "a", "x", "m", "v", "arr", "array", "ary", "prototype", "condition"})
_TWO_ARRAYS = frozenset({"dot", "inner", "matmul", "outer", "take_along_axis", "tensordot", "vdot"})
_ON_DEVICE = frozenset({"allclose", "array_equal", "array_equiv"})  # CuPy's answer is an array


def _function(name: str, parameters: str) -> Callable[..., Any]:
    host = getattr(np, name)

    @wraps(host)
    def function(*args: Any, **options: Any) -> Any:
        _check_parameters(name, parameters, args, options)
        _check_arrays(name, parameters, args)
        if name == "matmul":
            _check_product(*args[:2])
        if name in _WAITING or (name == "where" and len(args) == 1):
            _wait(f"{name}()")
        result = _run(host, name, args, options)
        return _device(np.asarray(result)) if name in _ON_DEVICE else result

    return function


def _check_arrays(name: str, parameters: str, args: tuple[Any, ...]) -> None:
    """Refuse a number or a list in the place of an array, which NumPy would convert."""
    first = parameters.partition(",")[0]
    if first == "tup":
        operands = tuple(args[0])
    elif name in _TWO_ARRAYS:
        operands = args[:2]
    else:
        operands = args[:1] if first in _ARRAY_PARAMETERS else ()
    for x in operands:
        if not isinstance(x, ndarray):
            raise StrictError(f"{name}: CuPy takes device arrays here, got {type(x).__name__}")


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool = False) -> ndarray:
    """Return a as a device array: itself if it is one of that dtype already, else a copy."""
    if isinstance(a, ndarray) and not copy and (dtype is None or a.dtype == dtype):
        return a
    parts = a if isinstance(a, (list, tuple)) else [a]
    on_device = any(isinstance(part, ndarray) for part in parts)
    return ndarray(np.array(_host(a, "asarray") if on_device else a, dtype, order=order or "K"))


def array(obj: Any, dtype: Any = None) -> ndarray:
    """Return a copy of obj as a device array."""
    return asarray(obj, dtype, copy=True)


def asnumpy(a: Any) -> np.ndarray:
    """Return a on the host."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


class _Linalg:
    """CuPy's linalg; its results are tuples without names, and a singular matrix raises nothing."""

    def __getattr__(self, name: str) -> Any:
        if name not in SURFACE["linalg"]:
            raise AttributeError(f"CuPy {SURFACE['cupy']} has no linalg.{name}")
        parameters, host = SURFACE["linalg"][name], getattr(np.linalg, name)

        @wraps(host)
        def function(*args: Any, **options: Any) -> Any:
            _check_parameters(f"linalg.{name}", parameters, args, options)
            operands = args[: 2 if parameters.startswith("a, b") else 1]
            if not all(isinstance(x, ndarray) for x in operands):
                raise StrictError(f"linalg.{name}: CuPy takes device arrays here")
            if name == "solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
                raise StrictError("linalg.solve: CuPy does not broadcast stacks of matrices")
            try:
                return _run(host, f"linalg.{name}", args, options)
            except np.linalg.LinAlgError as error:
                if "ingular" in str(error) or "definite" in str(error):
                    raise StrictError(f"linalg.{name}: {error}; CuPy returns numbers without "
                                      f"meaning in silence") from error
                raise

        return function


linalg = _Linalg()


@cache
def __getattr__(name: str) -> Any:
    parameters = SURFACE["functions"].get(name)
    known = parameters is not None or name in SURFACE["ufuncs"] or name in SURFACE["values"]
    if not known:
        raise AttributeError(f"CuPy {SURFACE['cupy']} has no {name!r}")
    if not hasattr(np, name):
        raise AttributeError(f"{name!r} is CuPy's own; NumPy has nothing to play it with")
    if name in SURFACE["ufuncs"]:
        return _Ufunc(name)
    return getattr(np, name) if parameters is None else _function(name, parameters)
