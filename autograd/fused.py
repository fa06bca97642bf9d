"""Fused ops: a hand-derived forward and backward pair, with its definition beside it.

    def reference(x, w, b, /, *, eps=1e-5):        # the same maths in primitives
        ...

    @fused(reference)
    def layer_norm(x, w, b, /, *, eps=1e-5):       # array code; also returns what backward needs
        ...
        return y, (n, r, w)

    @layer_norm.vjp
    def backward(g, saved):                        # array code; one gradient for each argument
        ...
        return dx, dw, db

    @layer_norm.check
    def check(x, w, b, /, *, eps=1e-5):            # raises where the arguments do not fit
        ...

The ordinary backward pass runs the pair. A recorded backward pass differentiates the reference
instead, so a fused op has derivatives of every order without a second derivation, and the
reference is at once the oracle that the pair is tested against.

This pair is the plain one: the derivation's symbols in array code that every library understands.
A library may have a faster *twin* of it, `layer_norm.twin("numpy", forward, backward)`, in blocks,
in buffers, on threads, or as a kernel. Where the arguments are that library's arrays, the twin
computes instead; where its forward returns NotImplemented, the plain pair does. Inside
`with plain_ops():` the plain pair computes everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .backend import namespace, widened, wider
from .backward import pull_back
from .broadcast import identity
from .graph import Node
from .primitive import Op
from .tensor import STATE, Tensor, at_depth, constant, recording

Forward = Callable[..., Any]
Backward = Callable[[Any, Any], Any]


@contextmanager
def plain_ops() -> Iterator[None]:
    """Inside the block, fused ops compute with their plain pairs; the twins rest.

    A backward pass goes with its forward pass, wherever it runs: each knows what the other saved.
    """
    before, STATE.plain = STATE.plain, True
    try:
        yield
    finally:
        STATE.plain = before


class Fused(Op):
    """An op with a hand-derived pair and a reference; made by `@fused(reference)`."""

    def __init__(self, reference: Callable[..., Any], forward: Forward, picks: bool = False
                 ) -> None:
        super().__init__(forward)
        self.reference, self.picks = reference, picks
        self.forward_wide = widened(self._forward)
        self.rule: Backward | None = None
        self.twins: dict[str, tuple[Forward, Backward]] = {}
        self.takes_half = False
        self.checks: Callable[..., None] | None = None

    def vjp(self, rule: Backward) -> Backward:
        """Give the backward pass: from `(g, saved)` to one gradient for each array argument."""
        self.rule = rule
        return rule

    def check(self, function: Callable[..., None]) -> Callable[..., None]:
        """Give the check of the arguments, which raises where they do not fit; for every pair."""
        self.checks = function
        return function

    def twin(self, library: str, forward: Forward, backward: Backward, *,
             half: bool = False) -> None:
        """Have another pair compute where the arrays belong to a library, as "numpy" or "cupy".

        It takes and returns what the plain pair does, but for what it saves. `forward` may return
        NotImplemented for arguments that it leaves to the plain pair. With `half`, NumPy's twin
        takes all arguments, those of half precision as they lie in memory: a large matrix among
        them need not be copied to float32 whole.
        """
        self.twins[library] = forward, backward
        self.takes_half = half

    @property
    def derivation(self) -> str:
        """The derivation, which stands at the top of the op's own file or in its docstring."""
        module = inspect.getdoc(inspect.getmodule(self.forward)) or ""
        return module if r"\bar" in module else super().derivation

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the op: on arrays plainly, on Tensors with a record of it."""
        args = self.separate(args, options)
        if options:
            self.take_constants(options)
        arrays = [arg.data if isinstance(arg, Tensor) else self.accepted(arg, i, args)
                  for i, arg in enumerate(args)]
        as_given = (self.picks or namespace(*arrays) is not np  # NumPy's float16 is slow as well
                    or (self.takes_half and not STATE.plain))
        forward = self._forward if as_given else self.forward_wide
        y, (saved, backward) = self.compute(forward, arrays, options)
        if not any(isinstance(arg, Tensor) for arg in args):
            return y
        parents = tuple(arg.node if isinstance(arg, Tensor) else None for arg in args)
        result = constant(self.checked(y, args, options))
        if STATE.recording and any(parent is not None for parent in parents):
            kept = (saved, args, options, backward)
            result.node = Node(self, parents, kept, result.shape, result.dtype)
        if STATE.watch is not None:
            STATE.watch.computed(self, args, options, result)
        return result

    def _forward(self, *arrays: Any, **options: Any) -> tuple[Any, list[Any]]:
        """Return the result, and a list of what its backward pass needs and that pass."""
        if self.checks is not None:
            self.checks(*arrays, **options)
        computed: Any = NotImplemented
        if self.twins and not STATE.plain:
            forward, backward = self.twins.get(namespace(*arrays).__name__, (None, self.rule))
            computed = NotImplemented if forward is None else forward(*arrays, **options)
        if computed is NotImplemented:
            computed, backward = self.forward(*arrays, **options), self.rule
        if not isinstance(computed, tuple) or len(computed) != 2:
            raise TypeError(f"{self.name}: a fused op's function returns a pair, the result and "
                            f"what its backward pass needs, got {type(computed).__name__}")
        return computed[0], [computed[1], backward]

    def pull(self, node: Node, g: Any, members: Collection[Node], record: bool) -> Sequence[Any]:
        """Return the gradients of the node's parents that are members; on Tensors if `record`."""
        saved, args, options, backward = node.kept
        if record:
            needed = [parent in members for parent in node.parents]
            return self._pull_reference(args, options, g, needed)
        if backward is None:
            raise TypeError(f"{self.name}: has no backward rule; give one with @{self.name}.vjp")
        parts = backward(g if self.picks else wider(g), saved)
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
            y = widened(self.reference)(*inputs, **options)
            wrt = [x for x, wanted in zip(inputs, needed, strict=True) if wanted]
            parts = iter(pull_back([y], [g], wrt, record=True))
        return [next(parts) if wanted else None for wanted in needed]


def fused(reference: Callable[..., Any], *, picks: bool = False) -> Callable[[Forward], Fused]:
    """Make a fused op of a hand-derived forward, given the same maths in primitives.

    On the host it computes in float32 where its arguments have half precision, unless it only
    `picks` elements, for which a large table would be copied.
    """
    return lambda forward: Fused(reference, forward, picks)
