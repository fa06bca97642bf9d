"""Backpropagation: the sweep of `graph.py` applied to Tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from .backend import namespace, wide
from .broadcast import astype, sum_to
from .deferred import Deferred, accumulate
from .graph import Node, newest_first, sweep
from .mistakes import plain
from .primitive import Op, Primitive
from .tensor import STATE, Tensor, constant, recording, values

NumPyArray = np.ndarray


def backward(y: Tensor, g: Any = None, *, record: bool = False, retain: bool = False) -> None:
    r"""Add $g^\top \, \partial y / \partial x$ to `x.grad` of every leaf x that y depends on.

    `g` may be left out for a scalar y. Gradients are plain arrays; with `record` they are Tensors
    that can be differentiated again. The graph is used up and its memory freed as the sweep goes,
    unless `record` or `retain`. Raises ValueError for a non-scalar without a cotangent, and
    RuntimeError where y is a constant or its graph was used up before.
    """
    if y.node is None:
        raise RuntimeError(
            "backward: nothing was recorded for this result; it depends on no Tensor made with "
            "requires_grad=True, or was computed inside no_grad()"
        )
    start = seed(y, g, "backward")
    for leaf, gradient in _sweep_tensors([y], [start], None, record, retain).items():
        x = leaf.owner()  # type: ignore[attr-defined]
        if x is not None:
            if x.shape != leaf.shape:
                raise RuntimeError(f"backward: the data of a leaf was replaced by an array of "
                                   f"another shape: {leaf.shape}, now {x.shape}; make a new Tensor")
            gradient = _rounded(gradient, leaf.dtype)
            total = gradient if x.grad is None else x.grad + gradient
            x.grad = np.asarray(total) if isinstance(total, np.generic) else total


def pull_back(
    ys: Sequence[Tensor],
    gs: Sequence[Any],
    wrt: Sequence[Tensor],
    *,
    record: bool = False,
    retain: bool = False,
    since: int = 0,
    deliver: Callable[[int, Any], None] | None = None,
    rounded: bool = True,
) -> list[Any]:
    r"""Return $\sum_k g_k^\top \, \partial y_k / \partial x_i$ for each Tensor $x_i$ in `wrt`.

    `gs` are arrays (or Tensors) of the shapes of `ys`, or None for 1 where y is a scalar; another
    shape raises ValueError. The results are arrays, None where no y depends on that x. With
    `record` they are Tensors, recorded in turn, and can be differentiated again. The graph is used
    up unless `record` or `retain`. What was recorded before the serial number `since` counts as
    leaves. `deliver(i, part)` receives each part of x_i's gradient as soon as it is made, an array
    that may be shared or a `Deferred`, instead of their sum being returned. Parts of a leaf of half
    precision may have float32, and unless `rounded` their sum has it too.
    """
    gs = [seed(y, g, "pull_back") for y, g in zip(ys, gs, strict=True)]
    places: dict[Any, int] = {x.node: i for i, x in enumerate(wrt) if x.node is not None}
    hand_over = deliver and (lambda node, g: deliver(places[node], g))
    gradients = _sweep_tensors(ys, gs, places.keys(), record, retain, since, hand_over)
    found = [gradients.get(x.node) for x in wrt]  # type: ignore[arg-type]
    return [g if g is None or not rounded else _rounded(g, x.node.dtype)  # type: ignore[union-attr]
            for g, x in zip(found, wrt, strict=True)]


def seed(y: Tensor, g: Any, name: str) -> Any:
    """Return the cotangent to start from: `g` if it has y's shape, or 1 for a scalar y."""
    if g is None:
        if y.size != 1:
            raise ValueError(
                f"{name}: expected a scalar, got shape {y.shape}; reduce it first, for example "
                f"y.sum(), or pass a cotangent of that shape"
            )
        return namespace(y.data).ones_like(y.data)
    g = g if isinstance(g, Tensor) else namespace(y.data, g).asarray(plain(g, name))
    g = g if g.dtype == y.dtype else astype(g, y.dtype)
    if g.shape != y.shape:
        raise ValueError(f"{name}: the cotangent must have the shape of the result, {y.shape}; "
                         f"got {g.shape}")
    return g


def _sweep_tensors(ys: Sequence[Tensor], gs: Sequence[Any], wanted: Collection[Node] | None,
                   record: bool, retain: bool, since: int = 0,
                   deliver: Any = None) -> dict[Node, Any]:
    """Sweep from the nodes of `ys` to the wanted ones, or all leaves; return their gradients."""
    seeds: dict[Node, Any] = {}
    for y, g in zip(ys, gs, strict=True):
        if y.node is not None:
            g = (g if isinstance(g, Tensor) else constant(g)) if record else values(g)
            seeds[y.node] = seeds[y.node] + g if y.node in seeds else g
    order = newest_first(seeds, wanted, since)
    if wanted is None:
        wanted = {node for node in order if node.op is None}
    watch = STATE.watch
    pull = _pull_plain if not record and watch is None else partial(_pull_any, record, watch)
    with recording(record):
        gradients = sweep(order, seeds, pull, _add_recorded if record else accumulate, wanted,
                          release=not (record or retain), since=since, deliver=deliver)
    return gradients if record else _unshared(gradients, gs)


def _rounded(g: Any, dtype: Any) -> Any:
    """Return a gradient, which may have been summed in float32, in the dtype of its Tensor."""
    return g if g.dtype == dtype else astype(g, dtype)


def _add_recorded(a: Any, b: Any, owned: bool) -> Any:
    return a + b


def _pull_any(record: bool, watch: Any, node: Node, g: Any,
              members: Collection[Node]) -> list[Any]:
    """Return the gradients of a node's parents, each as an array or recorded Tensor that fits."""
    parts = node.op.pull(node, g, members, record)
    of_arrays = isinstance(node.op, Op)  # a checkpoint's parts are not
    parts = [part.array() if type(part) is Deferred else part for part in parts]
    if watch is not None and of_arrays:
        watch.pulled(node, g, parts)
    parts = _all_fitted(parts, node)
    if record and of_arrays:
        parts = [constant(part) if part is not None and not isinstance(part, Tensor) else part
                 for part in parts]
    return parts


def _pull_plain(node: Node, g: Any, members: Collection[Node]) -> Sequence[Any]:
    """Do as `_pull_any` does, for most nodes in one loop: this is where small ops spend time."""
    op = node.op
    if type(g) is Deferred:
        g = g.array()
    if type(op) is not Primitive or op.joint or not op.rules:
        return _all_fitted(op.pull(node, g, members, False), node)
    parts: list[Any] = []
    for rule, kept, parent in zip(op.rules, node.kept, node.parents):  # noqa: B905, equally long
        if rule is None or parent is None or parent not in members:
            parts.append(None)
            continue
        part = rule.function(g, kept) if rule.only_array is not None else rule.function(g, *kept)
        if type(part) is not NumPyArray or (
                part.shape != parent.shape or part.dtype is not parent.dtype):
            part = _fitted(part, parent, op.name)
        parts.append(part)
    return parts


def _unshared(gradients: dict[Node, Any], gs: Sequence[Any]) -> dict[Node, Any]:
    """Return the gradients as arrays that share no memory, so that each can be written into.

    A sum hands its gradient on to both arguments as it is; scaling one in place must stay there.
    """
    taken = {id(values(g)) for g in gs}
    for node, g in gradients.items():
        if isinstance(g, Deferred):
            gradients[node] = g = g.array()
        if isinstance(g, np.generic):
            gradients[node] = np.asarray(g)
        elif id(g) in taken or g.base is not None:
            gradients[node] = g.copy()
        taken.add(id(g))
    return gradients


def _all_fitted(parts: Sequence[Any], node: Node) -> list[Any]:
    return [_fitted(part, parent, node.op.name)
            for part, parent in zip(parts, node.parents, strict=True)]


def _fitted(part: Any, parent: Node | None, name: str) -> Any:
    """Sum a gradient over broadcast axes and cast it to its parent's dtype, where that differs.

    That of a leaf of half precision stays in float32 where its rule made it so: what a leaf's uses
    give is summed first and rounded once.
    """
    if part is None or parent is None:
        return None
    try:
        to_sum = parent.op is None and not parent.hooks and part.dtype == wide(parent.dtype)
        if type(part) is Deferred and (parent.hooks or not (to_sum or part.dtype == parent.dtype)):
            part = part.array()
        if part.shape != parent.shape:
            part = sum_to(part, parent.shape)
        return part if to_sum or part.dtype == parent.dtype else astype(part, parent.dtype)
    except (AttributeError, ValueError) as error:
        got = f"shape {part.shape}" if hasattr(part, "shape") else f"{type(part).__name__} {part!r}"
        raise TypeError(
            f"{name}: its rule returned a gradient of {got} for an argument of shape "
            f"{parent.shape}; expected that shape, or one that the argument broadcasts to"
        ) from error


setattr(Tensor, "backward", backward)  # noqa: B010, the type is declared in tensor.py
