"""The recorded computation, and the one walk over it that backpropagation is.

Pure Python: gradients here are anything that can be added, so the tests run it with floats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

_serials = count()


class Node:
    """One value of the recorded computation: the op that made it and the nodes it was made from.

    `op` is None for a leaf, which has no parents. `parents` has one entry for each argument of
    the op, None where that argument was a constant. `kept` is what the op's rule asked for.
    `serial` numbers nodes in the order of their creation, and an op's result is created after its
    arguments, so serial order is a topological order.
    `hooks` are functions that see its complete gradient, each returning it or another.
    """

    __slots__ = ("dtype", "hooks", "kept", "op", "parents", "serial", "shape")

    def __init__(self, op: Any, parents: Sequence[Node | None], kept: Any,
                 shape: tuple[int, ...] = (), dtype: Any = None) -> None:
        self.serial = next(_serials)
        self.op = op
        self.parents = parents
        self.kept = kept
        self.shape = shape
        self.dtype = dtype
        self.hooks: list[Callable[[Any], Any]] | None = None

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled: a Tensor that is a leaf makes a new one."""
        raise TypeError(
            f"the record of a computation (here of {getattr(self.op, 'name', 'a leaf')}) cannot be "
            f"copied or pickled; detach() the Tensor first"
        )


class Leaf(Node):
    """A value that nothing was computed for: `owner()` is the Tensor that its gradient goes to.

    The reference is weak and the gradient is the Tensor's, not the node's: so no record ever
    refers in a circle, and the last name that lets go of it frees it.
    """

    __slots__ = ("owner",)

    def __init__(self, shape: tuple[int, ...] = (), dtype: Any = None,
                 owner: Callable[[], Any] = lambda: None) -> None:
        super().__init__(None, (), None, shape, dtype)
        self.owner = owner


class RELEASED:
    """A mark in the place of `Node.kept`: a backward pass has used the node up."""


def newest_first(roots: Iterable[Node], wanted: Collection[Node] | None = None,
                 since: int = 0) -> list[Node]:
    """Return the ancestors of `roots`, themselves included, each before everything it depends on.

    With `wanted`, only nodes on a path from a root to a wanted node are returned. No node older
    than the oldest wanted one can lie on such a path, so the collection stops there. Nodes with a
    serial before `since` count as leaves. Raises RuntimeError where it meets a node that an earlier
    sweep has used up.
    """
    floor = min((node.serial for node in wanted), default=0) if wanted is not None else 0
    stack = [node for node in roots if node.serial >= floor]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.kept is RELEASED:
            raise RuntimeError(
                f"{getattr(node.op, 'name', node.op)}: a backward pass has already used this graph "
                f"and freed what it kept; compute the result again, or call backward(retain=True) "
                f"the first time"
            )
        if node.serial < since:
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen and parent.serial >= floor:
                seen.add(parent)
                stack.append(parent)
    order = sorted(seen, key=attrgetter("serial"))
    if wanted is not None:
        order = _leading_to(order, set(wanted))
    order.reverse()
    return order


def outside(roots: Iterable[Node], since: int) -> Iterator[Node]:
    """Yield the ancestors that a computation begun at the serial number `since` did not make alone.

    These are older nodes, which it saw by closure or through a global, and newer leaves whose
    Tensor is still alive, such as parameters made at a layer's first call.
    """
    seen = set(roots)
    stack = [*seen]
    while stack:
        node = stack.pop()
        if node.serial < since or (isinstance(node, Leaf) and node.owner() is not None):
            yield node
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)


def _leading_to(oldest_first: list[Node], wanted: set[Node]) -> list[Node]:
    leading = set()
    for node in oldest_first:
        if node in wanted or any(parent in leading for parent in node.parents):
            leading.add(node)
    return [node for node in oldest_first if node in leading]


def sweep(
    order: Sequence[Node],
    seeds: dict[Node, Any],
    pull: Callable[[Node, Any, Collection[Node]], Iterable[Any]],
    add: Callable[[Any, Any, bool], Any],
    wanted: Collection[Node],
    release: bool = False,
    since: int = 0,
    deliver: Callable[[Node, Any], None] | None = None,
) -> dict[Node, Any]:
    r"""Carry gradients from the newest node to the oldest; return those of the `wanted` nodes.

    For a node $y = f(a, b, \dots)$ with gradient $g = \partial L/\partial y$, `pull(y, g, members)`
    gives $g^\top \partial f/\partial a$ and so on, one for each parent (None where that is not one
    of the members), and each is added to what that parent has received from its other uses.

    Why newest first, and not simply recursing from the result: in `b = a + a; c = b + b` a
    recursion enters `b` twice and would send b's gradient on to `a` before the second half has
    arrived. Newest first, every use of a node comes before the node itself, so when its turn
    comes its gradient is complete, and each node is visited once.

    A gradient leaves the dictionary when its node's turn comes, so memory falls as the sweep
    proceeds. `add(a, b, owned)` may write into `a` when `owned`: the sum was made here, and
    nothing else refers to it. `release` also frees each node's residuals as soon as they have been
    used. Nodes with a serial before `since` count as leaves. With `deliver(node, part)` nothing is
    held until the end: each part of a wanted leaf's gradient is handed over as soon as it is made.
    """
    members = set(order)
    gradients = dict(seeds)
    owned: set[Node] = set()
    results: dict[Node, Any] = {}
    # A leaf with hooks waits until its gradient is complete: they are to see all of it.
    at_once = {n for n in wanted if n.op is None and not n.hooks} if deliver is not None else ()
    deliver = deliver or results.__setitem__
    for node in order:
        gradient = gradients.pop(node, None)
        if gradient is None:
            continue
        if node.hooks and node.serial >= since:  # an older node's gradient is not complete here
            for hook in tuple(node.hooks):
                gradient = hook(gradient)
        if node in wanted:
            deliver(node, gradient)
            if not any(parent in members for parent in node.parents):
                continue  # nothing older is wanted: its rule is not needed, nor used up
        if node.op is None or node.serial < since:
            continue
        parts = pull(node, gradient, members)
        for parent, part in zip(node.parents, parts):  # noqa: B905, one part for each parent
            if part is None or parent is None:
                continue
            if parent in at_once:
                deliver(parent, part)
            elif parent in gradients:
                gradients[parent] = add(gradients[parent], part, parent in owned)
                owned.add(parent)
            else:
                gradients[parent] = part
        if release:
            node.kept, node.parents, node.hooks = RELEASED, (), None
    return results
