"""Matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

from numpy import broadcast_shapes

from ..backend import Array, Shape, namespace
from ..broadcast import broadcast_to
from ..primitive import composite, describe, primitive
from ..tensor import values
from .shape import reshape, swapaxes

__all__ = ["einsum", "matmul"]


@primitive
def matmul(a: Array, b: Array, /) -> Array:
    r"""Return the matrix product over the last two axes; the axes before them broadcast.

    $Y = AB$, $dY = dA\,B + A\,dB$, so $\bar A = \bar Y B^\top$ and $\bar B = A^\top \bar Y$.
    An operand with one axis counts as a row on the left and as a column on the right.
    """
    xp = namespace(a, b)
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        raise ValueError(f"matmul: an operand has no axes: {describe((a, b))}; use a * b")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: inner axes differ: {a.shape} @ {b.shape}; transpose one "
                         f"operand, or did you mean a @ b.T?")
    return xp.matmul(a, b)


def _matmul_da(g: Any, b: Any, shapes: tuple[Shape, ...]) -> Any:
    if b.ndim == 1:
        return g[..., None] * b
    if len(shapes[0]) == 1:
        return matmul(b, g[..., None])[..., 0]
    return matmul(g, swapaxes(b, -1, -2))


def _matmul_db(g: Any, a: Any, shapes: tuple[Shape, ...]) -> Any:
    if a.ndim == 1:
        return a * g if len(shapes[1]) == 1 else a[:, None] * g[..., None, :]
    if len(shapes[1]) == 1:
        return matmul(swapaxes(a, -1, -2), g[..., None])[..., 0]
    if len(shapes[1]) == 2 and a.ndim > 2:  # one product instead of one for each matrix of a
        rows = prod(a.shape[:-1])
        a, g = reshape(a, (rows, a.shape[-1])), reshape(g, (rows, g.shape[-1]))
    return matmul(swapaxes(a, -1, -2), g)


matmul.vjp(_matmul_da, _matmul_db)


@composite
def einsum(subscripts: str, *xs: Any) -> Any:
    r"""Return Einstein's sum: for "ij,jk->ik", $y_{ik} = \sum_j a_{ij} b_{jk}$.

    Letters may repeat within an operand (a diagonal), be left out of the result (a sum), and
    "..." stands for axes that broadcast. Without "->" the result has the letters that occur once,
    in alphabetical order, as in NumPy.
    """
    ndims = [values(x).ndim if hasattr(values(x), "ndim") else 0 for x in xs]
    operands, result = _explicit(subscripts, ndims)
    return _einsum(*xs, operands=operands, result=result)


@primitive
def _einsum(*xs: Array, operands: tuple[str, ...], result: str) -> Array:
    return namespace(*xs).einsum(",".join(operands) + "->" + result, *xs, optimize=len(xs) > 1)


@_einsum.vjp
def _(g: Any, xs: tuple[Any, ...], shapes: tuple[Shape, ...], wanted: tuple[bool, ...],
      operands: tuple[str, ...], result: str) -> list[Any]:
    return [_einsum_rule(g, i, xs, shapes, operands, result) if want else None
            for i, want in enumerate(wanted)]


def _einsum_rule(g: Any, i: int, xs: tuple[Any, ...], shapes: tuple[Shape, ...],
                 operands: tuple[str, ...], result: str) -> Any:
    """The adjoint is again a sum of products: of g and the other operands, over their letters.

    A letter that only operand i has was summed out: its gradient repeats along it, a product
    with ones. A letter that operand i has twice picked a diagonal: its gradient is on that
    diagonal only, a product with the identity matrix.
    """
    xp = namespace(values(g))
    terms = [(result, g)] + [(operands[k], xs[k]) for k in range(len(xs)) if k != i]
    seen, mine, spare = set("".join(letters for letters, _ in terms)), "", _fresh(operands)
    for axis, letter in enumerate(operands[i]):
        length = shapes[i][axis]
        if letter in mine:
            twin = next(spare)
            terms.append((letter + twin, xp.eye(length, dtype=g.dtype)))
            letter = twin
        elif letter not in seen:
            terms.append((letter, xp.ones(length, dtype=g.dtype)))
        mine += letter
    dx = _einsum(*[x for _, x in terms], operands=tuple(s for s, _ in terms), result=mine)
    # An axis of length 1 in the others was repeated to meet this operand's.
    return broadcast_to(dx, broadcast_shapes(dx.shape, shapes[i]))


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _fresh(operands: tuple[str, ...]) -> Any:
    used = set("".join(operands))
    return (letter for letter in _LETTERS if letter not in used)


def _explicit(subscripts: str, ndims: list[int]) -> tuple[tuple[str, ...], str]:
    """Return the operands' letters and the result's, ellipses and an implied result spelt out."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != len(ndims):
        raise ValueError(f"{subscripts!r} names {len(operands)} operand(s), got {len(ndims)}")
    spare = _fresh(tuple(operands))
    extra = [ndim - len(s.replace("...", "")) for s, ndim in zip(operands, ndims, strict=True)]
    for s, ndim, more in zip(operands, ndims, extra, strict=True):
        if more < 0 or (more > 0 and "..." not in s):
            raise ValueError(f"{subscripts!r}: {s!r} does not fit an operand with {ndim} axes")
    dots = "".join(next(spare) for _ in range(max([0, *extra])))
    spelt = tuple(s.replace("...", dots[len(dots) - more:] if more else "")
                  for s, more in zip(operands, extra, strict=True))
    if arrow:
        return spelt, right.replace("...", dots)
    once = sorted(c for c in set(left) - set(",.") if left.count(c) == 1)
    return spelt, dots + "".join(once)


