r"""The arithmetic of an op, estimated from shapes.

The convention: 1 for each element of the largest array in an op, whatever the function (an `exp`
counts as an addition does), and 4 where it goes over the array a few times (a softmax); a matrix
product of (m, k) and (k, n) counts $2mnk$; moving elements counts nothing. Factorisations count
the leading term of the textbook algorithm for n by n.

A backward pass counts, for each argument that a gradient is wanted for, the forward pass times a
ratio: 1 for products, whose gradients are products of the same sizes; 2 where nothing else is
known (the derivative, and its product with g). A fused op counts what its reference would, a call
under `checkpoint` nothing, as what it computes is not on the tape.

Source of the factors: Golub, Van Loan, "Matrix Computations", 4th edition, 2013.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log2, prod
from typing import Any

from ..backend import Shape
from ..fused import Fused
from ..graph import Node, newest_first
from ..primitive import Op
from ..tensor import Tensor, recording, values
from .walk import arguments, kept_by_name, shapes

Count = Callable[[Sequence[Shape], Shape, Mapping[str, Any]], float]


def _largest(xs: Sequence[Shape], y: Shape, _: Mapping[str, Any]) -> float:
    return float(max(prod(shape) for shape in (*xs, y)))


def _nothing(*_: Any) -> float:
    return 0.0


def _matmul(xs: Sequence[Shape], y: Shape, _: Mapping[str, Any]) -> float:
    a, b = xs
    inner = a[-1] if a else b[-2 if len(b) > 1 else 0]  # an argument not on the tape has shape ()
    return 2.0 * prod(y) * inner


def _einsum(xs: Sequence[Shape], y: Shape, given: Mapping[str, Any]) -> float:
    lengths = {letter: n for letters, shape in zip(given["operands"], xs, strict=True)
               for letter, n in zip(letters, shape, strict=True) if n != 1}
    return float(max(len(xs), 1 + (prod(lengths.values()) > prod(y))) * prod(lengths.values()))


def _convolve(xs: Sequence[Shape], y: Shape, _: Mapping[str, Any]) -> float:
    return 2.0 * prod(xs[0]) * prod(xs[1])  # both one-dimensional


def _few_passes(xs: Sequence[Shape], y: Shape, given: Mapping[str, Any]) -> float:
    return 4 * _largest(xs, y, given)


def _sort(xs: Sequence[Shape], y: Shape, _: Mapping[str, Any]) -> float:
    return prod(y) * log2(max(2, prod(y[-1:])))


def _cubic(factor: float) -> Count:
    """A factorisation: factor * n^3 for square matrices, factor * m n min(m, n) in general."""
    def count(xs: Sequence[Shape], y: Shape, _: Mapping[str, Any]) -> float:
        *stack, m, n = xs[0] if len(xs[0]) > 1 else (1, 1)
        return factor * prod(stack) * m * n * min(m, n)
    return count


def _solve(xs: Sequence[Shape], y: Shape, given: Mapping[str, Any]) -> float:
    return _cubic(2 / 3)(xs, y, given) + 2.0 * prod(y) * (xs[0][-1] if xs[0] else 1)


FORWARD: dict[str, Count] = {
    "matmul": _matmul, "_einsum": _einsum, "solve": _solve, "inv": _cubic(2), "pinv": _cubic(22),
    "det": _cubic(2 / 3), "_slogdet": _cubic(2 / 3), "cholesky": _cubic(1 / 3), "_qr": _cubic(4),
    "_eigh": _cubic(9), "eigvalsh": _cubic(4 / 3), "_svd": _cubic(22), "svdvals": _cubic(8 / 3),
    "convolve": _convolve, "sort": _sort,
    **dict.fromkeys(("var", "logsumexp", "softmax", "log_softmax"), _few_passes),
    **dict.fromkeys(("astype", "identity", "broadcast_to", "reshape", "expand_dims", "squeeze",
                     "transpose", "swapaxes", "flip", "roll", "_concatenate", "_pad", "tril",
                     "triu", "diagonal", "_on_diagonal", "getitem", "sliding_windows"),
                    _nothing),
}
"""The ops that count something else than 1 for each element."""

BACKWARD = {**dict.fromkeys(("matmul", "_einsum", "convolve", "multiply", "negative", "subtract",
                             "sum", "mean", "var", "softmax", "log_softmax", "logsumexp"), 1.0),
            "add": 0.0, "sum_to": 0.0}
"""For each gradient that is wanted, the multiple of the forward count; 2 where not given."""


def flops(node: Node, known: dict[Any, tuple[float, float]]) -> tuple[float, float]:
    """Return the estimates for the forward and the backward pass of one node.

    `known` remembers those of fused ops, for which the reference is run once for given shapes.
    """
    if not isinstance(node.op, Op):  # a leaf, or a call under checkpoint
        return 0.0, 0.0
    xs = shapes(node)
    if isinstance(node.op, Fused):
        key = (node.op, *xs, *(parent is not None for parent in node.parents))
        if key not in known:
            known[key] = _of_reference(node, known)
        return known[key]
    forward = FORWARD.get(node.op.name, _largest)(xs, node.shape, kept_by_name(node))
    wanted = sum(parent is not None for parent in node.parents)
    return forward, forward * BACKWARD.get(node.op.name, 2.0) * wanted


def _of_reference(node: Node, known: dict[Any, tuple[float, float]]) -> tuple[float, float]:
    inputs = [x if parent is None else Tensor(values(x), requires_grad=True)
              for (_, x), parent in zip(arguments(node), node.parents, strict=True)]
    with recording(True):
        y = node.op.reference(*inputs, **node.kept[2])
    counts = [flops(inner, known) for inner in newest_first([y.node])] if y.node else []
    return sum(f for f, _ in counts), sum(b for _, b in counts)
