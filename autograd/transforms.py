r"""Functions of functions: from f to its derivatives, any number of times.

Each takes a function that computes with autograd's ops. Arguments and results may be Python floats,
arrays, Tensors, or tuples, lists, dicts and dataclasses of them; a derivative has the container of
the argument it was taken by. Called with plain values the results are plain arrays, called with a
Tensor they are Tensors that remember how they were computed, so that transforms nest. So they are
inside another transform, and where the function computes with a Tensor that requires gradients and
is not among its arguments, such as a critic's weights: a penalty on `grad(critic)(x)` reaches them.
Inside `no_grad()` nothing of that is recorded.

What the function returns is differentiated, not what it might have meant: a result that depends on
no argument through ops (a comparison, an argmax, an integer, `x.data`) is a constant, whose
gradient is zero. That is the derivative, almost everywhere, of a piecewise constant function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from operator import index
from typing import Any

from .backend import namespace
from .backward import pull_back, seed
from .broadcast import identity
from .graph import Leaf, outside
from .mistakes import LostDerivativeError, plain
from .ops import multiply, reshape, stack, sum
from .tensor import STATE, Tensor, at_depth, constant, recorded, recording, values
from .tree import flatten, is_leaf, mapped, same_structure

Function = Callable[..., Any]


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0,
                   has_aux: bool = False) -> Function:
    r"""Return a function that computes $(f(x), \nabla f(x))$ for a scalar-valued f.

    `argnums` chooses the positional argument to differentiate by; a tuple of them gives a tuple
    of gradients. The gradient by an argument that f does not depend on is zero. With `has_aux` f
    returns a pair `(y, aux)` and the result is `((y, aux), gradient)`. Raises TypeError for an
    integer argument or a container as result, and ValueError for a result that is not a scalar.
    """

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = _traced_call(f, args, argnums, kwargs, "grad", has_aux)
        y = call.scalar()
        gradients = call.pull([seed(y, None, "grad")], retain=False)
        return ((call.value(), call.aux) if has_aux else call.value()), call.by_argument(gradients)

    return transformed


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    r"""Return a function that computes $\nabla f(x)$ for a scalar-valued f (see value_and_grad).

    With `has_aux` f returns a pair `(y, aux)` and the result is `(gradient, aux)`.

    >>> float(grad(grad(lambda x: x**3))(2.0))
    12.0
    """
    with_value = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, gradient = with_value(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def elementwise_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    r"""Return a function that computes $\partial y_i / \partial x_i$ where $y_i = f(x_i)$.

    For f of any shape it is the gradient of the sum of the results: $\sum_j \partial y_j /
    \partial x_i$, which is the derivative wherever $y_j$ depends on $x_j$ alone.

    >>> import numpy as np
    >>> elementwise_grad(lambda x: x**2)(np.array([1.0, 3.0])).tolist()
    [2.0, 6.0]
    """

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        call = _traced_call(f, args, argnums, kwargs, "elementwise_grad")
        ones = [namespace(y.data).ones_like(y.data) for y in call.ys]
        return call.by_argument(call.pull(ones, retain=False))

    return transformed


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    r"""Return $f(x_1, \dots)$ and the function $g \mapsto (g^\top \partial f/\partial x_1, \dots)$.

    The second result may be called any number of times; its g has the shapes of f's result. With
    `has_aux` f returns a pair `(y, aux)` and aux is the third result.
    """
    call = _traced_call(f, primals, tuple(range(len(primals))), {}, "vjp", has_aux)

    def pull(g: Any) -> Any:
        gs = call.cotangents(g)
        nested = call.nested or any(isinstance(part, Tensor) for part in gs)
        return call.by_argument(call.pull(gs, retain=True, nested=nested))

    return (call.value(), pull, call.aux) if has_aux else (call.value(), pull)


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    r"""Return $f(x)$ and the directional derivative $\sum_i \partial f/\partial x_i \, v_i$.

    `primals` is the tuple of f's arguments (or the only argument itself) and `tangents` has the
    same containers and shapes. Two backward passes make a forward one: $u \mapsto J^\top u$ is
    linear, so its own vector-Jacobian product with v is $(J^\top)^\top v = Jv$, whatever u is.

    Source: Townsend, "A new trick for calculating Jacobian vector products", 2017.
    """
    args = primals if type(primals) is tuple else (primals,)
    given = tangents if type(primals) is tuple else (tangents,)
    call = _traced_call(f, args, tuple(range(len(args))), {}, "jvp")
    vs = _leaves_like(given, args, [x.shape for x in call.inputs], "jvp: the tangents")
    nested = call.nested or any(isinstance(v, Tensor) for v in vs)
    us = [recorded(namespace(y.data).zeros_like(y.data), Leaf(y.shape, y.dtype)) for y in call.ys]
    parts = pull_back(call.ys, us, call.inputs, record=True)
    live = [(part, v) for part, v in zip(parts, vs, strict=True)
            if part is not None and part.node is not None]
    dys = pull_back([part for part, _ in live], [v for _, v in live], us,
                    record=nested and STATE.recording)
    return call.value(), call.rebuild_y(
        _returned(_or_zero(dy, y), nested) for dy, y in zip(dys, call.ys, strict=True))


def jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    r"""Return a function that computes all $\partial y_i / \partial x_j$.

    For y of shape S and x of shape D the result has the shape (*S, *D). For containers it is f's
    result with, in the place of each y, the container of the argument. One backward pass for each
    element of y.

    >>> import numpy as np
    >>> jacobian(lambda x: x**2)(np.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """

    @wraps(f)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        call = _traced_call(f, args, argnums, kwargs, "jacobian")
        return call.rebuild_y(call.by_argument(_rows(call, k)) for k in range(len(call.ys)))

    return transformed


def _rows(call: _Call, k: int) -> list[Any]:
    """Return the derivatives of result k by every input leaf: a pull with each unit cotangent."""
    y, xp = call.ys[k], namespace(call.ys[k].data)
    zeros: list[Any] = [xp.zeros_like(other.data) for other in call.ys]
    rows = []
    for i in range(y.size):
        unit = xp.zeros(y.size, dtype=y.dtype)
        unit[i] = 1
        rows.append(call.pull([*zeros[:k], unit.reshape(y.shape), *zeros[k + 1 :]], retain=True))
    found = []
    for j, x in enumerate(call.inputs):
        if rows:
            found.append(reshape(stack([row[j] for row in rows]), (*y.shape, *x.shape)))
        else:
            found.append(_returned(xp.zeros((*y.shape, *x.shape), dtype=x.dtype), call.nested))
    return found


def hessian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    r"""Return a function that computes $\partial^2 f / \partial x_i \partial x_j$ of a scalar f.

    For x of shape D the result has the shape (*D, *D); for containers and several `argnums` it is
    the jacobian of the gradient, a container of containers.
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, primals: Any, tangents: Any) -> Any:
    r"""Return the product of the Hessian of a scalar f with v, never forming the Hessian.

    $Hv = \nabla_x (\nabla f(x) \cdot v)$ costs two backward passes. `primals` is the
    tuple of f's arguments (or the only argument itself); `tangents` and the result have the same
    containers and shapes.

    >>> import numpy as np
    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 0.5])).tolist()
    [6.0, 6.0]
    """
    several = type(primals) is tuple
    args, given = (primals, tangents) if several else ((primals,), (tangents,))
    shapes = [getattr(x, "shape", ()) for x in flatten(args)[0]]
    vs = _leaves_like(given, args, shapes, "hvp: the tangents")
    every = tuple(range(len(args)))
    if any(isinstance(v, Tensor) for v in vs):  # then the result is recorded, too
        args = mapped(lambda x: x if isinstance(x, Tensor) else constant(namespace(x).asarray(x)),
                      args)

    def along(*xs: Any) -> Any:
        slopes, _ = flatten(grad(f, every)(*xs))
        total: Any = 0.0
        for slope, v in zip(slopes, vs, strict=True):
            total = total + sum(multiply(slope, v))
        return total

    products = grad(along, every)(*args)
    return products if several else products[0]


# what they share


@dataclass
class _Call:
    """A call of the user's function with some of its arguments on the tape."""

    ys: list[Tensor]
    rebuild_y: Callable[..., Any]
    inputs: list[Tensor]
    rebuild_inputs: Callable[..., Any]
    nested: bool
    aux: Any
    name: str

    def value(self) -> Any:
        """Return what the function returned; arrays in memory of their own."""
        return self.rebuild_y(
            _returned(y, self.nested) if self.nested or self._made_here(y) else y.data.copy()
            for y in self.ys)

    def _made_here(self, y: Tensor) -> bool:
        computed = y.node is not None and y.node.op is not None and y.data.base is None
        return computed and all(y.data is not x.data for x in self.inputs)

    def scalar(self) -> Tensor:
        if not is_leaf(self.rebuild_y(self.ys)):
            raise TypeError(f"{self.name}: the function must return one scalar, got a container of "
                            f"{len(self.ys)}; use has_aux=True to return more beside it")
        return self.ys[0]

    def cotangents(self, g: Any) -> list[Any]:
        if not same_structure(self.rebuild_y(self.ys), g):
            raise ValueError(f"{self.name}: expected a cotangent for each of the {len(self.ys)} "
                             f"results, in the same containers, got {type(g).__name__}")
        gs = flatten(g)[0]
        return [seed(y, part, self.name) for y, part in zip(self.ys, gs, strict=True)]

    def pull(self, gs: Sequence[Any], retain: bool, nested: bool | None = None) -> list[Any]:
        nested = self.nested if nested is None else nested
        parts = pull_back(self.ys, gs, self.inputs, record=nested and STATE.recording,
                          retain=retain)
        return [_returned(_or_zero(part, x), nested)
                for part, x in zip(parts, self.inputs, strict=True)]

    def by_argument(self, gradients: Sequence[Any]) -> Any:
        return self.rebuild_inputs(gradients)


def _traced_call(f: Function, args: tuple[Any, ...], argnums: int | Sequence[int],
                 kwargs: dict[str, Any], name: str, has_aux: bool = False) -> _Call:
    """Call f with the chosen arguments on the tape; find whether the results are to be recorded."""
    single, chosen = _positions(argnums, len(args), name)
    given = flatten([*args, *kwargs.values()])[0]
    nested = any(isinstance(x, Tensor) for x in given) or STATE.depth > 0
    traced, inputs = list(args), []
    with recording(True):
        for i in chosen:
            leaves, rebuild = flatten(args[i])
            if not leaves:
                raise TypeError(f"{name}: argument {i} holds nothing to differentiate by, "
                                f"got {type(args[i]).__name__}")
            leaves = [_traced_leaf(x, i, name) for x in leaves]
            inputs += leaves
            traced[i] = rebuild(leaves)
        with at_depth(STATE.depth + 1):
            y = _result_of(f, traced, kwargs)
    if has_aux and (not isinstance(y, tuple) or len(y) != 2):
        raise TypeError(f"{name}: with has_aux the function must return a pair (y, aux), "
                        f"got {type(y).__name__}")
    y, aux = y if has_aux else (y, None)
    ys, rebuild_y = _result_leaves(y, name)
    nested = nested or _sees_others([*ys, *flatten(aux)[0]], inputs[0].node)
    aux = aux if nested else mapped(values, aux)
    picked = args[chosen[0]] if single else tuple(args[i] for i in chosen)
    return _Call(ys, rebuild_y, inputs, flatten(picked)[1], nested, aux, name)


def _result_of(f: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call f. Where NumPy hides a Tensor's refusal behind an error of its own, say the reason."""
    try:
        return f(*args, **kwargs)
    except ValueError as error:
        if isinstance(error.__cause__, LostDerivativeError):
            raise LostDerivativeError(str(error.__cause__)) from error
        raise


def _sees_others(results: Sequence[Any], first: Any) -> bool:
    """Whether any result depends on something recorded that was made before the first input."""
    roots = [y.node for y in results if isinstance(y, Tensor) and y.node is not None]
    return STATE.recording and any(True for _ in outside(roots, first.serial))


def _positions(argnums: Any, count: int, name: str) -> tuple[bool, list[int]]:
    """Return whether `argnums` is a single position, and the positions, counted from the left."""
    single = hasattr(argnums, "__index__") and not getattr(argnums, "ndim", 0)
    try:
        chosen = [index(i) for i in ([argnums] if single else argnums)]
    except TypeError:
        raise TypeError(f"{name}: argnums must be an integer or several, got {argnums!r}") from None
    missing = [i for i in chosen if not -count <= i < count]
    if missing:
        raise TypeError(f"{name}: argument {missing[0]} is to be differentiated, but the function "
                        f"was called with {count} positional argument(s)")
    chosen = [i % count for i in chosen]
    if len(set(chosen)) < len(chosen):
        raise TypeError(f"{name}: argnums names an argument twice: {argnums!r}")
    return single, chosen


def _result_leaves(y: Any, name: str) -> tuple[list[Tensor], Callable[..., Any]]:
    leaves, rebuild = flatten(float(y) if isinstance(y, bool) else y)
    leaves = [plain(leaf, name) for leaf in leaves]
    if not leaves:
        raise TypeError(f"{name}: the function must return a Tensor or a number, or a container of "
                        f"them, got {type(y).__name__}")
    return [leaf if isinstance(leaf, Tensor) else constant(namespace(leaf).asarray(leaf))
            for leaf in leaves], rebuild


def _traced_leaf(x: Any, position: int, name: str) -> Tensor:
    """Return x as a new place in the record: the tape of this transform begins there."""
    data = namespace(values(x)).asarray(plain(values(x), name))
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


def _leaves_like(given: Any, args: Any, shapes: Sequence[Any], what: str) -> list[Any]:
    """Return the leaves of `given`, which must have the containers of `args` and these shapes."""
    leaves = [plain(leaf, what) for leaf in flatten(given)[0]]
    if not same_structure(args, given):
        raise ValueError(f"{what} must have the containers of the arguments, with a number or "
                         f"array for each of the {len(shapes)} there; got {len(leaves)} in "
                         f"{type(given).__name__}")
    for leaf, shape in zip(leaves, shapes, strict=True):
        if getattr(leaf, "shape", ()) != tuple(shape):
            raise ValueError(f"{what} must have the shapes of the arguments: expected "
                             f"{tuple(shape)}, got {getattr(leaf, 'shape', ())}")
    return leaves


def _or_zero(part: Any, x: Tensor) -> Any:
    return namespace(x.data).zeros_like(x.data) if part is None else part


def _returned(part: Any, nested: bool) -> Any:
    if nested:
        keep = isinstance(part, Tensor) and STATE.recording
        return part if keep else constant(values(part))
    return namespace(values(part)).asarray(values(part))
