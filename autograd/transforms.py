"""Functions of functions: from f to its gradient, any number of times.

Each takes a function that computes with autograd's ops and returns a function. Arguments may be
Python floats, arrays or Tensors: called with plain values the results are plain arrays, called
with a Tensor they are Tensors that remember how they were computed, so that transforms nest.
Inside another transform the result of an inner one is recorded in any case. Elsewhere, leaves that
the function sees only by closure are constants of a plain result; pass a Tensor to record them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from .backend import namespace
from .backward import pull_back, seed
from .broadcast import identity
from .graph import Leaf
from .tensor import STATE, Tensor, constant, recorded, recording, values


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    r"""Return a function that computes $(f(x), \nabla f(x))$ for a scalar-valued f.

    `argnums` chooses the positional argument to differentiate by; a tuple of them gives a tuple
    of gradients. The gradient by an argument that f does not depend on is zero. Raises TypeError
    for an integer argument and ValueError where f's result is not a scalar.
    """

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        y, inputs, nested = _run(f, args, chosen, kwargs, "grad")
        gradients = _pull(y, seed(y, None, "grad"), inputs, nested, retain=False)
        return _result(y, nested), gradients[0] if isinstance(argnums, int) else gradients

    return transformed


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    r"""Return a function that computes $\nabla f(x)$ for a scalar-valued f (see value_and_grad).

    >>> float(grad(grad(lambda x: x**3))(2.0))
    12.0
    """
    with_value = value_and_grad(f, argnums)

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        return with_value(*args, **kwargs)[1]

    return transformed


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    r"""Return $f(x_1, \dots)$ and the function $g \mapsto (g^\top \partial f/\partial x_1, \dots)$.

    The second result may be called any number of times; its g has the shape of f's result.
    """
    y, inputs, nested = _run(f, primals, tuple(range(len(primals))), {}, "vjp")

    def pull(g: Any) -> tuple[Any, ...]:
        return _pull(y, seed(y, g, "vjp"), inputs, nested or isinstance(g, Tensor), retain=True)

    return _result(y, nested), pull


def _run(f: Callable[..., Any], args: tuple[Any, ...], chosen: tuple[int, ...],
         kwargs: dict[str, Any], name: str) -> tuple[Tensor, list[Tensor], bool]:
    """Call f with the chosen arguments on the tape; tell whether the result is to be recorded."""
    missing = [i for i in chosen if not -len(args) <= i < len(args)]
    if missing:
        raise TypeError(f"{name}: argument {missing[0]} is to be differentiated, but the function "
                        f"was called with {len(args)} positional argument(s)")
    given = [*args, *kwargs.values()]
    nested = any(isinstance(arg, Tensor) for arg in given) or STATE.depth > 0
    traced = list(args)
    with recording(True):
        for i in chosen:
            traced[i] = _traced(args[i], i, name)
    with recording(True), _inside_transform():
        y = f(*traced, **kwargs)
    if not isinstance(y, Tensor):
        if not hasattr(y, "dtype") and not isinstance(y, (bool, int, float)):
            raise TypeError(f"{name}: the function must return a Tensor or a number, "
                            f"got {type(y).__name__}")
        y = constant(namespace(y).asarray(y))
    return y, [traced[i] for i in chosen], nested


def _traced(x: Any, position: int, name: str) -> Tensor:
    """Return x as a new place in the record: the tape of this transform begins there."""
    data = namespace(values(x)).asarray(values(x))
    if data.dtype.kind not in "fV":
        what = "complex" if data.dtype.kind == "c" else f"{data.dtype}"
        raise TypeError(
            f"{name}: argument {position} is {what}, but only real floating point values can be "
            f"differentiated by; " + ("complex gradients are not supported" if what == "complex"
                                      else "write 3.0 for 3, or convert with .astype('float64')")
        )
    if isinstance(x, Tensor) and x.node is not None:
        return identity(x)  # type: ignore[no-any-return]
    return recorded(data, Leaf(data.shape, data.dtype))


def _pull(y: Tensor, g: Any, inputs: list[Tensor], nested: bool, retain: bool) -> tuple[Any, ...]:
    parts = pull_back([y], [g], inputs, record=nested and STATE.recording, retain=retain)
    zero = [namespace(x.data).zeros_like(x.data) for x in inputs]
    found = [z if part is None else part for part, z in zip(parts, zero, strict=True)]
    return tuple(_result(part, nested) for part in found)


def _result(part: Any, nested: bool) -> Any:
    if nested:
        keep = isinstance(part, Tensor) and STATE.recording
        return part if keep else constant(values(part))
    return namespace(values(part)).asarray(values(part))


@contextmanager
def _inside_transform() -> Iterator[None]:
    STATE.depth += 1
    try:
        yield
    finally:
        STATE.depth -= 1
