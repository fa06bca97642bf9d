"""The Tensor: an array together with its place in the recorded computation."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

from . import mistakes
from .backend import Array, Shape, namespace
from .graph import Leaf, Node


class Watch(Protocol):
    """An observer of every value that an op computes and every gradient that a rule returns."""

    def computed(self, op: Any, args: Sequence[Any], options: dict[str, Any], y: Tensor) -> None:
        """Receive y, which `op` has computed from its arguments."""

    def pulled(self, node: Node, g: Any, parts: Sequence[Any]) -> None:
        """Receive the gradients of the node's parents, which its op's rule made from g."""


watched: list[Any] = []
"""One entry for each thread with a watch. Ops test this first: it costs less than `STATE.watch`."""


class _State(threading.local):
    """Switches of the current thread only."""

    recording = True
    plain = False
    """Whether fused ops compute with their plain pairs (see `fused.plain_ops`)."""
    depth = 0
    """How many transforms are running the user's function at this moment, one inside another."""
    _watch: Watch | None = None

    @property
    def watch(self) -> Watch | None:
        """The observer of every value and gradient, if there is one (see `tape/anomaly.py`)."""
        return self._watch

    @watch.setter
    def watch(self, watch: Watch | None) -> None:
        if (watch is None) != (self._watch is None):
            watched.append(self) if watch is not None else watched.pop()
        self._watch = watch


STATE = _State()


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Switch recording on or off for the current thread inside the `with` block."""
    before, STATE.recording = STATE.recording, on
    try:
        yield
    finally:
        STATE.recording = before


@contextmanager
def at_depth(depth: int) -> Iterator[None]:
    """Inside the block it is as if `depth` transforms were running the function."""
    before, STATE.depth = STATE.depth, depth
    try:
        yield
    finally:
        STATE.depth = before


def no_grad() -> Any:
    """Inside `with no_grad():` nothing is recorded: results are constants and keep no memory."""
    return recording(False)


class Tensor(mistakes.Guarded):
    """An array, and the node that says how it was computed (None for a constant).

    `Tensor(data)` is a constant; `Tensor(data, requires_grad=True)` is a leaf whose `grad` a
    backward pass fills. `data` is a number, a nested list or an array (NumPy's or CuPy's; shared,
    not copied: what is written into it between a forward and its backward pass falsifies
    gradients, as ops keep their arguments). Only floating point data can require gradients:
    integer data raises TypeError.
    """

    __slots__ = ("__weakref__", "_grad", "data", "node")

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            data = data.data
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(f"Tensor: requires_grad is True or False, got {requires_grad!r}; name "
                            f"the dtype: Tensor(data, dtype=...)")
        library, data = namespace(data), mistakes.plain(data, "Tensor")
        self.data: Array = library.asarray(data, dtype=dtype)
        _check_real(self.data, data)
        self.node: Node | None = None
        if requires_grad:
            if not _is_floating(self.data):
                raise TypeError(
                    f"Tensor: only floating point data can require gradients, got "
                    f"{self.data.dtype}; convert it first: Tensor(x.astype('float64'), "
                    f"requires_grad=True)"
                )
            self.node = Leaf(self.data.shape, self.data.dtype, weakref.ref(self))

    # what it is
    @property
    def shape(self) -> Shape:
        """The lengths of the axes."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The element type."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size  # type: ignore[no-any-return]

    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass reaches this Tensor."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> NoReturn:
        raise AttributeError("requires_grad: a Tensor is a constant or a leaf from its beginning; "
                             "make Tensor(x.data, requires_grad=True), or x.detach()")

    @property
    def grad(self) -> Any:
        """The gradient that backward passes have added up for this leaf; None before the first."""
        return getattr(self, "_grad", None)

    @grad.setter
    def grad(self, value: Any) -> None:
        if self.node is None:
            raise ValueError("grad: this Tensor is a constant; make it with requires_grad=True")
        if value is not None and getattr(value, "shape", ()) != self.shape:
            raise ValueError(f"grad: expected the shape of the Tensor, {self.shape}, "
                             f"got {getattr(value, 'shape', ())}")
        self._grad = value

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Have a backward pass call `hook(g)` with this Tensor's complete gradient.

        What the hook returns takes the gradient's place, unless it is None; it must have the same
        shape. A hook must not write into g, which others may hold too. Call the result to remove
        the hook. Raises RuntimeError for a constant, which no gradient reaches.
        """
        if self.node is None:
            raise RuntimeError("register_hook: this Tensor is a constant, no gradient reaches it; "
                               "make it with requires_grad=True, or compute it from one that is")
        if not callable(hook):
            raise TypeError(f"register_hook: expected a function of the gradient, got {hook!r}")
        hooks = self.node.hooks = self.node.hooks or []

        def checked(g: Any) -> Any:
            new = hook(g)
            if new is None:
                return g
            if getattr(new, "shape", None) != g.shape:
                raise ValueError(f"register_hook: the hook must return a gradient of the shape "
                                 f"{g.shape} or None, got {getattr(new, 'shape', new)}")
            if not isinstance(g, Tensor):
                return values(new).astype(g.dtype, copy=False)
            return new if isinstance(new, Tensor) else constant(new.astype(g.dtype, copy=False))

        hooks.append(checked)
        return lambda: hooks.remove(checked) if checked in hooks else None

    def __reduce__(self) -> Any:
        """Copy or unpickle a constant as a constant, a leaf as a new leaf with its gradient."""
        if self.node is not None and self.node.op is not None:
            self.node.__reduce__()
        return _copied, (self.data, self.node is not None, self.grad)

    # leaving the tape
    def detach(self) -> Tensor:
        """Return the same data as a constant."""
        return constant(self.data)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.data.item()

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def _number(self, kind: str) -> Array:
        """Return the data; refuse where `array[i] = x` or `math.sin(x)` would lose a derivative."""
        if self.data.size != 1:
            raise TypeError(f"a Tensor of shape {self.shape} is not turned into {kind}; use the "
                            f"function of autograd for one of math's, or x.data for the values")
        recorded = self.node is not None and STATE.recording
        if recorded and (reason := mistakes.number(sys._getframe(2), kind, STATE.depth > 0)):
            raise mistakes.LostDerivativeError(reason)
        return self.data

    def __format__(self, spec: str) -> str:
        return format(self.data.item() if spec and self.ndim == 0 else str(self), spec)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a Tensor without axes; use float(x) or x.item()")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        body = repr(self.data)
        body = body[body.find("(") + 1 : -1] if body.startswith("array(") else body
        return f"Tensor({body}, requires_grad=True)" if self.node is not None else f"Tensor({body})"

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # bound by ops/operators.py, one table; backward by backward.py
        T: Tensor
        mT: Tensor
        at: Any
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]: ...
        def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Any: ...
        def __rand__(self, other: Any) -> Any: ...
        def __or__(self, other: Any) -> Any: ...
        def __ror__(self, other: Any) -> Any: ...
        def __xor__(self, other: Any) -> Any: ...
        def __rxor__(self, other: Any) -> Any: ...
        def __invert__(self) -> Any: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...
        def __eq__(self, other: object) -> Any: ...
        def __ne__(self, other: object) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def swapaxes(self, axis1: int, axis2: int) -> Tensor: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def astype(self, dtype: Any, copy: bool = True) -> Tensor: ...
        def ravel(self, order: str = "C") -> Tensor: ...
        def flatten(self, order: str = "C") -> Tensor: ...
        def repeat(self, repeats: Any, axis: int | None = None) -> Tensor: ...
        def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor: ...
        def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor: ...
        def take(self, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Tensor: ...
        def copy(self) -> Tensor: ...
        def dot(self, other: Any) -> Tensor: ...
        def sum(self, axis: Any = None, dtype: Any = None, *, keepdims: bool = False,
                initial: Any = None, where: Any = None) -> Tensor: ...
        def mean(self, axis: Any = None, dtype: Any = None, *, keepdims: bool = False,
                 where: Any = None) -> Tensor: ...
        def prod(self, axis: Any = None, dtype: Any = None, *, keepdims: bool = False,
                 initial: Any = None, where: Any = None) -> Tensor: ...
        def max(self, axis: Any = None, *, keepdims: bool = False, initial: Any = None,
                where: Any = None) -> Tensor: ...
        def min(self, axis: Any = None, *, keepdims: bool = False, initial: Any = None,
                where: Any = None) -> Tensor: ...
        def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False,
                correction: float | None = None, dtype: Any = None, mean: Any = None,
                where: Any = None) -> Tensor: ...
        def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False,
                correction: float | None = None, dtype: Any = None, mean: Any = None,
                where: Any = None) -> Tensor: ...
        def cumsum(self, axis: int | None = None, dtype: Any = None) -> Tensor: ...
        def cumprod(self, axis: int | None = None, dtype: Any = None) -> Tensor: ...
        def clip(self, a_min: Any = None, a_max: Any = None, *, min: Any = None,
                 max: Any = None) -> Tensor: ...
        def round(self, decimals: int = 0) -> Tensor: ...
        def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Array: ...
        def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Array: ...
        def argsort(self, axis: int | None = -1, *, descending: bool = False,
                    stable: bool | None = None) -> Array: ...
        def argpartition(self, kth: Any, axis: int | None = -1) -> Array: ...
        def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Array: ...
        def any(self, axis: Any = None, *, keepdims: bool = False,
                where: Any = None) -> Array: ...
        def all(self, axis: Any = None, *, keepdims: bool = False,
                where: Any = None) -> Array: ...
        def tolist(self) -> Any: ...
        def backward(
            self, g: Any = None, *, record: bool = False, retain: bool = False
        ) -> None: ...


def constant(data: Array) -> Tensor:
    """Return `data`, an array already, as a Tensor without a node."""
    return recorded(data, None)


def recorded(data: Array, node: Node | None) -> Tensor:
    """Return a Tensor made of an array and its node, without the checks of the constructor."""
    tensor = object.__new__(Tensor)
    tensor.data = data if not isinstance(data, np.generic) else np.asarray(data)
    tensor.node = node
    return tensor


def _check_real(array: Array, given: Any) -> None:
    kind = getattr(array.dtype, "kind", None)
    if kind is None:
        raise TypeError(f"Tensor: expected an array of NumPy or CuPy, got "
                        f"{type(given).__module__}.{type(given).__name__}; convert it first")
    if kind not in "biufV" or (kind == "V" and array.dtype.names):
        raise TypeError(
            f"Tensor: expected real numbers, got dtype {array.dtype}; "
            + ("complex gradients are not supported, differentiate the real and the imaginary "
               "part" if kind == "c" else "convert the data to a numeric array first")
        )


def _copied(data: Array, requires_grad: bool, grad: Any) -> Tensor:
    tensor = Tensor(data, requires_grad)
    if requires_grad:
        tensor.grad = grad
    return tensor


def values(x: Any) -> Any:
    """Return the array of a Tensor, and anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def _is_floating(array: Array) -> bool:
    return bool(array.dtype.kind == "f" or array.dtype.name == "bfloat16")
