r"""Products that sum: each is linear in every argument.

For $y = B(a, b)$ with B linear in both, $dy = B(da, b) + B(a, db)$, so each adjoint is a product of
$\bar y$ with the other argument. All are defined everywhere.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from numpy import broadcast_shapes
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..backend import Array, Shape, namespace, widened
from ..broadcast import broadcast_to
from ..primitive import composite, describe, primitive
from ..tensor import values
from .arithmetic import power, sqrt
from .piecewise import where
from .reduce import conjugate, mean, real, square_scale
from .shape import (
    as_arrays,
    concatenate,
    diagonal,
    moveaxis,
    reshape,
    roll,
    swapaxes,
    transpose,
    zeros_like,
)

__all__ = [
    "corrcoef", "cov", "cross", "dot", "einsum", "inner", "kron", "matmul", "matvec", "outer",
    "polyval", "tensordot", "vander", "vdot", "vecdot", "vecmat",
]


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
def matvec(a: Any, x: Any) -> Any:
    r"""Return $y_i = \sum_j a_{ij} x_j$ over the last axes; the axes before them broadcast.

    $dy_i = \sum_j da_{ij}\,x_j + \sum_j a_{ij}\,dx_j$, so $\bar a_{ij} = \bar y_i\,x_j$ and
    $\bar x_j = \sum_i a_{ij}\,\bar y_i$.
    """
    a, x = as_arrays([a, x])
    _check_stacks(a, x)
    return matmul(a, x[..., None])[..., 0]


@composite
def vecmat(x: Any, a: Any) -> Any:
    r"""Return $y_j = \sum_i x_i a_{ij}$ over the last axes; the axes before them broadcast.

    $dy_j = \sum_i dx_i\,a_{ij} + \sum_i x_i\,da_{ij}$, so $\bar x_i = \sum_j a_{ij}\,\bar y_j$ and
    $\bar a_{ij} = x_i\,\bar y_j$.
    """
    x, a = as_arrays([x, a])
    _check_stacks(a, x)
    return matmul(conjugate(x)[..., None, :], a)[..., 0, :]


def _check_stacks(matrices: Any, vectors: Any) -> None:
    if matrices.ndim < 2 or not vectors.ndim:
        raise ValueError(f"expected matrices and vectors, got shapes {matrices.shape} and "
                         f"{vectors.shape}; matmul takes vectors on both sides")


@composite
def vecdot(a: Any, b: Any, axis: int = -1) -> Any:
    r"""Return $\sum_i a_i b_i$ along an axis of both; the other axes broadcast.

    $dy = \sum_i (b_i\,da_i + a_i\,db_i)$, so $\bar a_i = \bar y\,b_i$ and $\bar b_i = \bar y\,a_i$.
    """
    a, b = (moveaxis(x, axis, -1) for x in as_arrays([a, b]))
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"the axes differ in length: {a.shape[-1]} and {b.shape[-1]}")
    return einsum("...i,...i->...", conjugate(a), b)


@composite
def dot(a: Any, b: Any) -> Any:
    """Return the sum of products over the last axis of a and the last but one, or only one, of b.

    Unlike `matmul`, no axes broadcast: the result has all the others of a, then those of b. With a
    number it is a * b.
    """
    a, b = as_arrays([a, b])
    if not a.ndim or not b.ndim:
        return a * b
    return matmul(a, b) if b.ndim <= 2 else tensordot(a, b, ((-1,), (-2,)))


@composite
def inner(a: Any, b: Any) -> Any:
    """Return the sum of products over the last axes of both; with a number it is a * b."""
    a, b = as_arrays([a, b])
    return tensordot(a, b, ((-1,), (-1,))) if a.ndim and b.ndim else a * b


@composite
def vdot(a: Any, b: Any) -> Any:
    r"""Return $\sum_i a_i b_i$ over all elements, both flattened.

    $dy = \sum_i (b_i\,da_i + a_i\,db_i)$, so $\bar a_i = \bar y\,b_i$ and $\bar b_i = \bar y\,a_i$.
    """
    a, b = as_arrays([a, b])
    return matmul(conjugate(reshape(a, -1)), reshape(b, -1))


@composite
def outer(a: Any, b: Any) -> Any:
    r"""Return the matrix $y_{ij} = a_i b_j$ of all products, both flattened.

    $dy_{ij} = da_i\,b_j + a_i\,db_j$, so $\bar a_i = \sum_j \bar y_{ij}\,b_j$ and
    $\bar b_j = \sum_i \bar y_{ij}\,a_i$.
    """
    a, b = as_arrays([a, b])
    return reshape(a, (a.size, 1)) * reshape(b, (1, b.size))


@composite
def tensordot(a: Any, b: Any, axes: int | Sequence[Any] = 2) -> Any:
    """Return the sum of products over axes of a paired with axes of b, by one matrix product.

    `axes` is `(axes of a, axes of b)`, or n: the last n of a, in order, with the first n of b.
    """
    a, b = as_arrays([a, b])
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"axes={axes} is more than the operands have: {a.shape}, {b.shape}")
        axes = range(a.ndim - axes, a.ndim), range(axes)
    mine, others = [normalize_axis_tuple(tuple(pair) if isinstance(pair, Sequence) else pair, ndim)
                    for pair, ndim in zip(axes, (a.ndim, b.ndim), strict=True)]
    summed = [a.shape[i] for i in mine]
    if summed != [b.shape[i] for i in others]:
        raise ValueError(f"the paired axes differ in length: {summed} and "
                         f"{[b.shape[i] for i in others]}")
    rows = [i for i in range(a.ndim) if i not in mine]
    columns = [i for i in range(b.ndim) if i not in others]
    shape = [a.shape[i] for i in rows], [b.shape[i] for i in columns]
    a = reshape(transpose(a, (*rows, *mine)), (prod(shape[0]), prod(summed)))
    b = reshape(transpose(b, (*others, *columns)), (prod(summed), prod(shape[1])))
    return reshape(matmul(a, b), (*shape[0], *shape[1]))


@composite
def kron(a: Any, b: Any) -> Any:
    """Return b multiplied by each element of a, in blocks: the Kronecker product."""
    a, b = as_arrays([a, b])
    ndim = max(a.ndim, b.ndim)
    m, n = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    blocks = (reshape(a, tuple(k for i in m for k in (i, 1)))
              * reshape(b, tuple(k for j in n for k in (1, j))))
    return reshape(blocks, tuple(i * j for i, j in zip(m, n, strict=True)))


@composite
@widened
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1,
          axis: int | None = None) -> Any:
    r"""Return the vectors perpendicular to both, $y_i = a_{i+1} b_{i+2} - a_{i+2} b_{i+1}$ mod 3.

    The vectors lie along `axisa`, `axisb` and, in the result, `axisc`; or all along `axis`. One
    with two components has a third of 0; where both have two, the result is the third alone.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_arrays([a, b])
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if not {a.shape[-1], b.shape[-1]} <= {2, 3}:
        raise ValueError(f"expected vectors of 2 or 3 components, got {a.shape[-1]} and "
                         f"{b.shape[-1]}")
    if a.shape[-1] == b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (x if x.shape[-1] == 3 else concatenate((x, zeros_like(x[..., :1])), axis=-1)
            for x in (a, b))
    y = roll(a, -1, -1) * roll(b, -2, -1) - roll(a, -2, -1) * roll(b, -1, -1)
    return moveaxis(y, -1, normalize_axis_index(axisc, y.ndim))


@composite
@widened
def polyval(p: Any, x: Any) -> Any:
    r"""Return $y = p_0 x^{n-1} + p_1 x^{n-2} + \dots + p_{n-1}$, by Horner's rule.

    n is the length of p.
    """
    p, x = as_arrays([p, x])
    if not p.ndim:
        raise ValueError("expected the coefficients along an axis, got a number")
    y = where(zeros_like(x, dtype=bool), x, p[:1].sum(0))
    for i in range(1, p.shape[0]):
        y = y * x + p[i]
    return y


@composite
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    r"""Return the matrix of the powers of a vector, $y_{ij} = x_i^{N - 1 - j}$; N is its length.

    With `increasing` $y_{ij} = x_i^j$.
    """
    (x,) = as_arrays([x])
    if x.ndim != 1:
        raise ValueError(f"expected a vector, got shape {x.shape}")
    count = x.shape[0] if N is None else operator.index(N)
    if count < 0:
        raise ValueError(f"N must be 0 or more, got {N}")
    powers = namespace(values(x)).arange(count)
    powers = powers if increasing else powers[::-1]
    return power(x[:, None], powers.astype(x.dtype) if x.dtype.kind == "f" else powers)


@composite
@widened
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False,
        ddof: int | None = None) -> Any:
    r"""Return the covariances $\frac{1}{n - d} \sum_k (x_{ik} - \mu_i) (x_{jk} - \mu_j)$.

    $\mu_i = \langle x_i \rangle$. The rows $x_i$ of `m`, and of `y` below them, are the variables,
    the n columns their observations; the other way round without `rowvar`. d is `ddof`; if None 1,
    or 0 with `bias`. Not finite unless n > d.
    """
    x = _centred_rows(m, y, rowvar)
    degrees = x.shape[1] - (int(not bias) if ddof is None else ddof)
    c = matmul(x, conjugate(x).T) / max(degrees, 0)
    return c[0, 0] if c.shape == (1, 1) else c


def _centred_rows(m: Any, y: Any, rowvar: bool) -> Any:
    """Return the variables of m and y as rows, each less its mean."""
    rows = [_variables(x, rowvar) for x in as_arrays([m] if y is None else [m, y])]
    x = concatenate(rows, axis=0)
    return x - mean(x, 1, keepdims=True)


def _variables(x: Any, rowvar: bool) -> Any:
    if x.ndim > 2:
        raise ValueError(f"expected at most two axes, got shape {x.shape}")
    x = reshape(x, (1, -1)) if x.ndim < 2 else x
    return x if rowvar or x.shape[0] == 1 else x.T


@composite
@widened
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    r"""Return the correlations $c_{ij} / \sqrt{c_{ii} c_{jj}}$, c the covariances: see `cov`."""
    x = _centred_rows(x, y, rowvar)
    s = square_scale(values(x), 1)
    x = x if s is None else x / s
    c = matmul(x, conjugate(x).T)
    if c.shape == (1, 1):
        return c[0, 0] / c[0, 0]
    s = sqrt(real(diagonal(c)))
    return c / s[:, None] / s


@composite
def einsum(subscripts: str | Any, *xs: Any, optimize: Any = True) -> Any:
    r"""Return Einstein's sum: of $a$ and $b$ for "ij,jk->ik", $y_{ik} = \sum_j a_{ij} b_{jk}$.

    Letters may repeat within an operand (a diagonal), be left out of the result (a sum), and
    "..." stands for axes that broadcast. Without "->" the result has the letters that occur once,
    in alphabetical order, as in NumPy. `einsum(a, [0, 1], b, [1, 2], [0, 2])` says the same with
    numbers below 52 in place of letters. `optimize` is NumPy's, of more than one operand: in which
    order they are multiplied; the derivatives choose their own.

    y is linear in each operand, so each gradient is again a sum of products, of $\bar y$ and the
    others: for "ij,jk->ik" of $a$ and $b$,
    $dy_{ik} = \sum_j da_{ij}\,b_{jk} + \sum_j a_{ij}\,db_{jk}$, so
    $\bar a_{ij} = \sum_k \bar y_{ik}\,b_{jk}$ and $\bar b_{jk} = \sum_i \bar y_{ik}\,a_{ij}$. A
    letter that an operand has twice picked a diagonal: for "ii->i",
    $\bar a_{ij} = [i = j]\,\bar y_i$.
    """
    if not isinstance(subscripts, str):
        subscripts, xs = _in_letters((subscripts, *xs))
    xs = tuple(as_arrays(xs))
    operands, result = _explicit(subscripts, [x.ndim for x in xs])
    return _einsum(*xs, operands=operands, result=result, optimize=optimize)


@primitive
@widened
def _einsum(*xs: Array, operands: tuple[str, ...], result: str, optimize: Any = True) -> Array:
    """Return the sum of products of `einsum`, each operand with its letters; see there."""
    xp = namespace(*xs)
    if len({x.dtype for x in xs}) > 1:  # an operand that is summed first must not be in its own:
        dtype = xp.result_type(*xs)  # True + True would be True, and uint8 would overflow
        xs = tuple(x.astype(dtype) for x in xs)
    return xp.einsum(",".join(operands) + "->" + result, *xs,
                     optimize=optimize if len(xs) > 1 else False)


@_einsum.vjp
def _(g: Any, xs: tuple[Any, ...], shapes: tuple[Shape, ...], wanted: tuple[bool, ...],
      operands: tuple[str, ...], result: str) -> list[Any]:
    return [_einsum_rule(g, i, xs, shapes, operands, result) if want else None
            for i, want in enumerate(wanted)]


def _einsum_rule(g: Any, i: int, xs: tuple[Any, ...], shapes: tuple[Shape, ...],
                 operands: tuple[str, ...], result: str) -> Any:
    """Return the gradient of operand i: again a sum of products, of g and the other operands.

    A letter that only operand i has was summed out: its gradient repeats along it, a product
    with ones. A letter that operand i has twice picked a diagonal: its gradient is on that
    diagonal only, a product with the identity matrix.
    """
    xp = namespace(values(g))
    terms = [(result, g)] + [(operands[k], xs[k]) for k in range(len(xs)) if k != i]
    seen, mine, spare = set("".join(letters for letters, _ in terms)), "", _unused_letters(operands)
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


def _in_letters(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return subscripts and operands for `operand, sublist, operand, sublist, ..., [result]`."""
    def spelt(places: Sequence[Any]) -> str:
        return "".join("..." if i is Ellipsis else _LETTERS[i] for i in places)

    left = ",".join(spelt(places) for places in args[1::2])
    if len(args) % 2 == 0:
        return left, args[::2]
    return f"{left}->{spelt(args[-1])}", args[:-1:2]


def _unused_letters(operands: tuple[str, ...]) -> Any:
    used = set("".join(operands))
    return (letter for letter in _LETTERS if letter not in used)


def _explicit(subscripts: str, ndims: list[int]) -> tuple[tuple[str, ...], str]:
    """Return the operands' letters and the result's, ellipses and an implied result spelt out."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != len(ndims):
        raise ValueError(f"{subscripts!r} names {len(operands)} operand(s), got {len(ndims)}")
    spare = _unused_letters(tuple(operands))
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
