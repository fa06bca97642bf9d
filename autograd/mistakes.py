"""The way out of a NumPy user's first mistakes: the sentences, and how the mistakes are recognised.

A derivative is lost where a Tensor becomes a plain number or array: in NumPy's functions, in
`math`'s, and in an array that is written into. All of them are refused with what to write instead.
Tensors of integers have no derivative, and are indices, masks and sizes for NumPy and Python.
"""

from __future__ import annotations

import ast
import dis
import linecache
import math
import sys
from operator import index
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np


class LostDerivativeError(TypeError):
    """A Tensor was about to become a plain number, without its derivative."""


def plain(x: Any, name: str) -> Any:
    """Return x, an instance of a subclass of NumPy's array as such an array.

    Raises TypeError for a masked array and a matrix, also in a list: what they add would be lost.
    """
    if type(x) in (list, tuple) and x and not isinstance(x[0], (int, float)):
        for part in x:
            plain(part, name)
    if not isinstance(x, np.ndarray) or type(x) is np.ndarray:
        return x
    if isinstance(x, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(f"{name}: {type(x).__name__} has rules of its own for * and for "
                        f"reductions, which derivatives do not follow; pass np.asarray(x)"
                        + (", or x.filled(v)" if isinstance(x, np.ma.MaskedArray) else ""))
    return x.view(np.ndarray)


class _Ufunc:
    """The attribute `__array_ufunc__`: None for CuPy, a method for NumPy, which asks the class.

    For None, CuPy leaves `array * x` to `Tensor.__rmul__`. NumPy would, too, but then it answers
    `np.exp(x)` with an error of its own, which has no way out.
    """

    def __get__(self, x: Any, kind: Any = None) -> Any:
        return _ufunc if x is None else None


def _ufunc(x: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Compute `array * x` and the like as x's own operator does; refuse all other ufuncs of x."""
    operator = OPERATORS.get(ufunc.__name__)
    if operator and not options and method == "__call__":
        a, b = inputs
        return getattr(x, operator[a is not x])(b if a is x else a)
    if not _has_derivative((*inputs, *options.values())):
        return getattr(ufunc, method)(*_plain(inputs), **_plain(options))
    raise TypeError(WRITTEN if isinstance(options.get("out"), tuple) else drops(ufunc, method))


class Guarded:
    """The base of Tensor: what would lose the tape in silence is refused."""

    __slots__ = ()
    data: Any
    __array_ufunc__ = _Ufunc()

    def __array__(self, *args: Any, **options: Any) -> Any:
        if not _has_derivative(self):
            return self.data.__array__(*args, **options)
        raise TypeError(
            "a Tensor is not turned into an array in silence, because that would drop its "
            "gradient; use x.data for its values, the same function from autograd, or "
            "autograd.stack for a list of Tensors"
        )

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in (np.shape, np.ndim, np.size):
            return function(self.data)
        if _has_derivative((*args, *options.values())):
            raise TypeError(drops(function))
        return function(*_plain(args), **_plain(options))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a Tensor cannot be written into: ops may have kept its values for their gradients; "
            "use x.at[index].set(v) or where(mask, new, x), or write to x.data before "
            "anything is computed from it"
        )

    def __index__(self) -> int:
        if _has_derivative(self):
            raise TypeError(f"an index must be an integer, got a Tensor of {self.data.dtype}; "
                            f"convert it: x.astype(int)")
        return index(self.data)

    if not TYPE_CHECKING:  # type checkers report unknown attributes themselves

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(no_attribute(name), name=name, obj=self)


def _has_derivative(x: Any) -> bool:
    """Whether x holds a Tensor that is not of integers, at any depth."""
    if isinstance(x, (list, tuple)):
        return any(map(_has_derivative, x))
    return isinstance(x, Guarded) and x.data.dtype.kind not in "biu"


def _plain(x: Any) -> Any:
    """Return x with the arrays of the Tensors in it, at any depth."""
    if type(x) is dict:
        return {name: _plain(part) for name, part in x.items()}
    if type(x) in (list, tuple):
        return type(x)(map(_plain, x))
    return x.data if isinstance(x, Guarded) else x


OPERATORS = {
    **{ufunc: (f"__{name}__", f"__r{name}__") for ufunc, name in {
        "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv",
        "floor_divide": "floordiv", "remainder": "mod", "divmod": "divmod", "power": "pow",
        "matmul": "matmul", "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor",
        "left_shift": "lshift", "right_shift": "rshift"}.items()},
    "less": ("__lt__", "__gt__"), "less_equal": ("__le__", "__ge__"), "equal": ("__eq__",) * 2,
    "greater": ("__gt__", "__lt__"), "greater_equal": ("__ge__", "__le__"),
    "not_equal": ("__ne__",) * 2,
}
"""NumPy's ufuncs that an array calls for an operator, `array * x`, and the methods of x for it."""


def ours(function: Any) -> str:
    """Return the name of autograd's own function for one of NumPy's or `math`'s, or ""."""
    autograd = sys.modules[__package__]
    parts = str(getattr(function, "__module__", None) or "").split(".")[1:]
    for home in (*parts[-1:], ""):
        place = getattr(autograd, home, None) if home else autograd
        if callable(getattr(place, function.__name__, None)):
            return ".".join(filter(None, [autograd.__name__, home, function.__name__]))
    return ""


def theirs(function: Any) -> str:
    """Return how users write one of NumPy's functions: np.linalg.norm."""
    home = str(getattr(function, "__module__", None) or "numpy").removeprefix("numpy").strip("._")
    return ".".join(filter(None, ["np", "" if home.startswith("_") else home, function.__name__]))


def drops(function: Any, method: str = "__call__") -> str:
    """Return the refusal of one of NumPy's functions, which would take a Tensor's values only."""
    written, name = theirs(function), ours(function)
    if method != "__call__":
        written = f"{written}.{method}"
        name = REDUCTIONS.get(written.removeprefix("np."), "")
    out = f"use {name}" if name else "autograd has no such op: write it with those it has"
    if not name and (written.startswith("np.fft.") or written.rpartition(".")[2] in COMPLEX):
        out = "autograd has real numbers only, and so neither FFT nor eig"
    return (f"{written} does not take Tensors, as it would drop their gradient; {out}, or pass "
            f"x.data for the values")


REDUCTIONS = {"add.reduce": "autograd.sum", "multiply.reduce": "autograd.prod",
              "maximum.reduce": "autograd.max", "minimum.reduce": "autograd.min",
              "add.accumulate": "autograd.cumsum", "multiply.accumulate": "autograd.cumprod",
              "add.at": "x.at[index].add(v)", "multiply.outer": "autograd.outer"}
COMPLEX = frozenset({"eig", "eigvals", "roots", "conjugate", "angle", "real_if_close"})


WRITTEN = ("an array cannot take in a Tensor, as it would keep the value and drop the gradient; "
           "write z = z + x for z += x, and collect parts in a list, for "
           "autograd.stack or autograd.concatenate, instead of filling an array")


def number(frame: FrameType, kind: str, differentiated: bool) -> str:
    """Return why a recorded Tensor may not become a plain number here, or "" where it may.

    Inside a transform it may not. Elsewhere `float(loss)` is how one reads a value, so that only
    the calls of `math`'s functions with a derivative and the writing into an array are refused.
    """
    if _opcode(frame) == "STORE_SUBSCR":
        return f"{WRITTEN}; or write x.item() for the value"
    function = _called(frame)
    if function in _SMOOTH:
        return (f"math.{function.__name__} does not take a Tensor that requires gradients, as it "
                f"would drop them; use {ours(function) or 'the ops of autograd'}, "
                f"or math.{function.__name__}(x.item()) for the value")
    if not differentiated:
        return ""
    return (f"a Tensor that is being differentiated is not turned into {kind} in silence, because "
            f"that would drop its derivative; use an op of autograd, such as autograd.sin for "
            f"math.sin, or x.item() for its value")


_SMOOTH = frozenset(f for name, f in vars(math).items() if callable(f) and name not in {
    "ceil", "floor", "trunc", "isclose", "isfinite", "isinf", "isnan", "frexp", "modf", "gcd",
    "lcm", "comb", "perm", "factorial", "isqrt", "nextafter", "ulp", "copysign"})


def _opcode(frame: FrameType) -> str:
    return dis.opname[frame.f_code.co_code[frame.f_lasti]]


def _called(frame: FrameType) -> Any:
    """Return the function that the frame is calling, read from its source, or None.

    A built-in function has no frame of its own, so its name can only be read where it is called.
    """
    places = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    first, last, left, right = places
    if first is None or first != last or left is None:
        return None
    line = linecache.getline(frame.f_code.co_filename, first, frame.f_globals)
    try:
        call = ast.parse(line.encode()[left:right].decode().strip(), mode="eval").body
    except (SyntaxError, UnicodeDecodeError):
        return None
    if not isinstance(call, ast.Call):
        return None
    known = {**frame.f_builtins, **frame.f_globals, **frame.f_locals}
    if isinstance(call.func, ast.Name):
        return _hashable(known.get(call.func.id))
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        return _hashable(getattr(known.get(call.func.value.id), call.func.attr, None))
    return None


def _hashable(x: Any) -> Any:
    return x if callable(x) and getattr(x, "__module__", "") in ("math", "cmath") else None


INSTEAD = {
    "numpy": "x.data is its array", "cpu": "x.data is its array", "view": "use x.reshape(...)",
    "unsqueeze": "use x[None] or autograd.expand_dims", "permute": "use x.transpose(...)",
    "zero_grad": "write x.grad = None", "requires_grad_": "make Tensor(x.data, requires_grad=True)",
    "pow": "write x ** n", "t": "use x.T", "float": "use x.astype('float32')",
    "double": "use x.astype('float64')", "half": "use x.astype('float16')",
    "contiguous": "any layout will do", "clone": "use x.copy()",
    "retain_grad": "use x.register_hook", "grad_fn": "see autograd.trace(x)",
    "sort": "use autograd.sort(x), which returns a new one",
}
"""Attributes of other libraries' arrays, and what to write here."""


def no_attribute(name: str) -> str:
    """Return the message for an attribute that a Tensor has not."""
    found = f"'Tensor' object has no attribute {name!r}"
    if name in INSTEAD:
        return f"{found}; {INSTEAD[name]}"
    if not name.startswith("_"):
        for home in ("", "linalg."):
            place = sys.modules[f"{__package__}{'.ops.linalg' if home else ''}"]
            if callable(getattr(place, name, None)):
                return f"{found}; use autograd.{home}{name}(x)"
    return found


REAL_ONLY = COMPLEX | {"fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "rfft2", "fftn", "ifftn",
                       "real", "imag", "conj", "isreal", "iscomplex", "iscomplexobj", "complex64",
                       "complex128", "csingle", "cdouble", "sort_complex"}
MAKERS = frozenset({"zeros", "ones", "empty", "arange", "eye", "tri", "indices", "fromfunction",
                    "empty_like", "tril_indices", "triu_indices", "diag_indices", "random"})


def no_name(module: str, name: str) -> str:
    """Return the message for a name that autograd, or its linalg, has not, but NumPy may have."""
    found, linear = f"module {module!r} has no attribute {name!r}", module.endswith("linalg")
    if name in REAL_ONLY:
        return (f"{found}: autograd has real numbers only, and so neither FFT nor eig; there is "
                f"autograd.linalg.eigh for symmetric matrices, and a Fourier transform in real "
                f"numbers is a product with matrices of cosines and sines")
    if name == "full":
        return f"{found}; use autograd.full_like(np.zeros(shape), value)"
    if name.startswith("_") or not hasattr(np.linalg if linear else np, name):
        return found
    if name in MAKERS:
        return f"{found}; np.{name} makes arrays, which every op takes as they are"
    return (f"{found}: there is no such op; np.{'linalg.' if linear else ''}{name} takes x.data, "
            f"where no derivative is asked for")
