"""Fused ops: a hand-derived forward and backward pair, with its definition beside it.

    def reference(x, w, b, /, *, eps=1e-5):        # the same maths in primitives
        ...

    @fused(reference)
    def layer_norm(x, w, b, /, *, eps=1e-5):       # array code; also returns what backward needs
        ...
        return y, (n, r, w)

    @layer_norm.vjp
    def _(g, saved):                               # array code; one gradient for each argument
        ...
        return dx, dw, db

The ordinary backward pass runs the pair. A recorded backward pass differentiates the reference
instead, so a fused op has derivatives of every order without a second derivation, and the
reference is at once the oracle that the pair is tested against.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from .backward import pull_back
from .broadcast import identity
from .graph import Node
from .primitive import Op
from .tensor import STATE, Tensor, at_depth, constant, recording


class Fused(Op):
    """An op with a hand-derived pair and a reference; made by `@fused(reference)`."""

    def __init__(self, reference: Callable[..., Any], forward: Callable[..., Any]) -> None:
        super().__init__(forward)
        self.reference = reference
        self.rule: Callable[[Any, Any], Any] | None = None

    def vjp(self, rule: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Give the backward pass: from `(g, saved)` to one gradient for each array argument."""
        self.rule = rule
        return rule

    @property
    def derivation(self) -> str:
        """The derivation, which stands at the top of the op's own file or in its docstring."""
        module = inspect.getdoc(inspect.getmodule(self.forward)) or ""
        return module if r"\bar" in module else super().derivation

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the op: on arrays plainly, on Tensors with a record of it."""
        args = self.separate(args, options)
        arrays = [arg.data if isinstance(arg, Tensor) else self.accepted(arg, i, args)
                  for i, arg in enumerate(args)]
        computed = self.compute(self.forward, arrays, options)
        if not isinstance(computed, tuple) or len(computed) != 2:
            raise TypeError(f"{self.name}: a fused op's function returns a pair, the result and "
                            f"what its backward pass needs, got {type(computed).__name__}")
        y, saved = computed
        if not any(isinstance(arg, Tensor) for arg in args):
            return y
        parents = tuple(arg.node if isinstance(arg, Tensor) else None for arg in args)
        result = constant(self.checked(y, args, options))
        if STATE.recording and any(parent is not None for parent in parents):
            result.node = Node(self, parents, (saved, args, options), result.shape, result.dtype)
        if STATE.watch is not None:
            STATE.watch.computed(self, args, options, result)
        return result

    def pull(self, node: Node, g: Any, members: Collection[Node], record: bool) -> Sequence[Any]:
        """Return the gradients of the node's parents that are members; on Tensors if `record`."""
        saved, args, options = node.kept
        if record:
            needed = [parent in members for parent in node.parents]
            return self._pull_reference(args, options, g, needed)
        if self.rule is None:
            raise TypeError(f"{self.name}: has no backward rule; give one with @{self.name}.vjp")
        parts = self.rule(g, saved)
        parts = parts if isinstance(parts, (tuple, list)) else (parts,)
        if len(parts) != len(args):
            raise TypeError(
                f"{self.name}: its rule must return {len(args)} gradients, one for each array "
                f"argument, got {len(parts)}; return None for an argument without derivative"
            )
        return parts

    def _pull_reference(self, args: Sequence[Any], options: dict[str, Any], g: Tensor,
                        needed: Sequence[bool]) -> Sequence[Any]:
        with recording(True), at_depth(STATE.depth + 1):
            # New places in the record, so that the walk below ends at the arguments, even where
            # one of them was itself computed from another.
            inputs = [identity(arg) if wanted else arg
                      for arg, wanted in zip(args, needed, strict=True)]
            y = self.reference(*inputs, **options)
            wrt = [x for x, wanted in zip(inputs, needed, strict=True) if wanted]
            parts = iter(pull_back([y], [g], wrt, record=True))
        return [next(parts) if wanted else None for wanted in needed]


def fused(reference: Callable[..., Any]) -> Callable[[Callable[..., Any]], Fused]:
    """Make a fused op of a hand-derived forward, given the same maths in primitives."""
    return lambda forward: Fused(reference, forward)
