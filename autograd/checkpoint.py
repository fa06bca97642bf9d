"""Checkpointing: pay for memory with time, by computing a part of the forward pass twice.

A backward pass needs what the forward pass computed, so a deep model keeps all of it. A
checkpointed part keeps its inputs only; when the sweep reaches it, it is computed once more. With
n layers in parts of about sqrt(n) layers, memory falls from n to 2 sqrt(n) layers' worth, for one
more forward pass.

Source: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost", 2016, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any

from .backward import pull_back
from .broadcast import identity
from .graph import Leaf, Node, outside
from .tensor import STATE, Tensor, at_depth, recorded, recording
from .tree import flatten


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, computing the same, but recomputed in the backward pass instead of remembered.

    Arguments and results may be containers of Tensors. Tensors that f sees by closure, such as a
    model's parameters, receive their gradients too. f must compute the same when called again: give
    it its random keys as arguments. Differentiable to any order.
    """

    @wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten((args, kwargs))
        if not STATE.recording:
            return f(*args, **kwargs)
        ys, rebuild_y, seen = _first_run(f, leaves, rebuild)
        tensors = [x for x in leaves if isinstance(x, Tensor) and x.node is not None]
        parents = [x.node for x in tensors] + seen
        if not parents:
            return rebuild_y(ys)
        segment = _Segment(f, leaves, rebuild, len(ys))
        core = Node(segment, parents, segment)
        return rebuild_y(
            recorded(y.data, Node(_Result(k), [core], k, y.shape, y.dtype))
            if isinstance(y, Tensor) and y.node is not None else y for k, y in enumerate(ys))

    return checkpointed


def _first_run(f: Callable[..., Any], leaves: list[Any],
               rebuild: Callable[..., Any]) -> tuple[list[Any], Callable[..., Any], list[Node]]:
    """Call f; return its results, and the nodes that it reached other than by its arguments.

    What it records is forgotten right away: only the places where it leaves the call are wanted,
    and these are older than the call itself.
    """
    start = Leaf().serial
    args, kwargs = rebuild(_at_new_places(leaves))
    ys, rebuild_y = flatten(f(*args, **kwargs))
    roots = [y.node for y in ys if isinstance(y, Tensor) and y.node is not None]
    return ys, rebuild_y, list(outside(roots, start))


def _at_new_places(leaves: Sequence[Any]) -> list[Any]:
    """Return the leaves, those with a gradient at a new place, whose op says how it is rounded."""
    return [recorded(x.data, Node(x.node.op, (), None, x.shape, x.dtype))
            if isinstance(x, Tensor) and x.node is not None else x for x in leaves]


class _Segment:
    """The op of a checkpointed call: its parents are the arguments and what f sees by closure."""

    def __init__(self, f: Callable[..., Any], leaves: list[Any],
                 rebuild: Callable[..., Any], results: int) -> None:
        self.f, self.leaves, self.rebuild, self.results = f, leaves, rebuild, results
        self.depth = STATE.depth
        self.name = f"checkpoint({getattr(f, '__name__', type(f).__name__)})"

    def pull(self, node: Node, g: _Cotangents, members: Collection[Node],
             record: bool) -> list[Any]:
        """Compute the call again, this time remembering, and pull g back through it."""
        chosen = [x for x in self.leaves if isinstance(x, Tensor) and x.node is not None]
        with recording(True), at_depth(self.depth):
            fresh = [identity(x) if record else y
                     for x, y in zip(chosen, _at_new_places(chosen), strict=True)]
            start = Leaf().serial  # newer than the new places: the walk ends there, too
            places = iter(fresh)
            args, kwargs = self.rebuild(
                next(places) if isinstance(x, Tensor) and x.node is not None else x
                for x in self.leaves)
            ys = flatten(self.f(*args, **kwargs))[0]
        if len(ys) != self.results:
            raise RuntimeError(f"{self.name}: the function returned {self.results} result(s) at "
                               f"first and {len(ys)} when called again; it must compute the same")
        others = [constant_at(parent) for parent in node.parents[len(chosen) :]]
        return pull_back([ys[k] for k in g.parts], list(g.parts.values()), [*fresh, *others],
                         record=record, since=start, rounded=False)


def constant_at(node: Node | None) -> Tensor:
    """Return a stand-in for the Tensor of a node, of which only the place is needed."""
    return recorded(None, node)


class _Result:
    """The op that picks result number k of a checkpointed call."""

    name = "checkpoint"

    def __init__(self, k: int) -> None:
        self.k = k

    def pull(self, node: Node, g: Any, members: Collection[Node],
             record: bool) -> list[_Cotangents]:
        """Send g on as the part of the call's gradient that belongs to this result."""
        return [_Cotangents({self.k: g})]


class _Cotangents:
    """The gradients of a call's results by their number; they add up like one gradient."""

    shape, dtype = (), None

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: _Cotangents) -> _Cotangents:
        """Return both: each result's gradient comes once, complete."""
        return _Cotangents({**self.parts, **other.parts})
