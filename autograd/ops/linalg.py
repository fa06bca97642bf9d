r"""Linear algebra: inv, solve, det, the decompositions, norms and their kin.

Names and semantics are those of `numpy.linalg`: matrices are in the last two axes, and the axes
before them make a stack. A rule is found by writing the differential of the result as a function
of $dA$ and bringing $\bar Y \cdot dY = \sum_{ij} \bar Y_{ij}\,dY_{ij}$ into the form
$\bar A \cdot dA$, for which two moves suffice: $X \cdot BC = B^\top X \cdot C =
X C^\top \cdot B$ and $X \cdot B = X^\top \cdot B^\top$.

A node of the record has one result. So `eigh`, `svd`, `qr` and `slogdet` are cut out of one array
that a primitive returns, for example of the eigenpairs $(w_i, v_i)$ as columns: the decomposition
is computed once, and kept for the rule.

Where a matrix is singular, NumPy raises `LinAlgError`; CuPy, which would have to wait for the
answer, returns numbers without meaning. Where eigenvalues or singular values are equal, or singular
values 0, a second derivative is right where it exists, else NaN; on CuPy that part is left out.

Sources: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008; Seeger et al., "Auto-differentiating linear algebra", arXiv:1710.08717.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import inf, nan, prod
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy import broadcast_shapes
from numpy.lib.array_utils import normalize_axis_tuple

from ..backend import Array, Shape, namespace, widened
from ..backward import pull_back
from ..broadcast import astype
from ..mistakes import no_name
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import STATE, Tensor, constant, values
from . import reduce
from .kinks import bend, bend_by
from .piecewise import absolute, equal, sign, times, where
from .products import cross as cross_of_axes
from .products import matmul as matmul  # re-exported, as array libraries have them in linalg too
from .products import outer as outer
from .products import tensordot as tensordot
from .products import vecdot as vecdot
from .shape import (
    as_arrays,
    concatenate,
    expand_dims,
    flip,
    reshape,
    squeeze,
    swapaxes,
    transpose,
    tril,
    triu,
)
from .shape import diagonal as diagonal_of_axes
from .shape import matrix_transpose as matrix_transpose

__all__ = [
    "EighResult", "LstsqResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cond",
    "det", "eigh", "eigvalsh", "inv", "lstsq", "matrix_norm", "matrix_power", "matrix_rank",
    "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vector_norm",
]

Order = Any
"""Which norm: a number, inf, or the name of a norm of matrices. It is a constant."""


class EighResult(NamedTuple):
    """The result of `eigh`."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """The result of `qr`."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """The result of `svd`."""

    U: Any
    S: Any
    Vh: Any


class SlogdetResult(NamedTuple):
    """The result of `slogdet`."""

    sign: Any
    logabsdet: Any


def _t(x: Any) -> Any:
    """Return the transposed matrices."""
    return swapaxes(x, -1, -2)


def _lower(x: Any) -> Array:
    r"""Return $\Phi$: 1 below the diagonal of matrices like x, 1/2 on it, 0 above."""
    xp, n = namespace(values(x)), x.shape[-1]
    return xp.tri(n, dtype=x.dtype) - 0.5 * xp.eye(n, dtype=x.dtype)


def _diag(w: Any) -> Any:
    """Return matrices with w on the diagonal."""
    return w[..., None] * namespace(values(w)).eye(w.shape[-1], dtype=w.dtype)


def _reciprocal(x: Any) -> Any:
    """Return 1 / x, but 0 where x is 0."""
    zero = equal(x, 0)
    return where(zero, 0.0, 1 / where(zero, 1.0, x))


# systems of equations


@primitive
def inv(a: Array, /) -> Array:
    r"""Return the inverse of each matrix; LinAlgError where it has none.

    From $AY = I$: $dA\,Y + A\,dY = 0$, so $dY = -Y\,dA\,Y$ and
    $\bar A = -Y^\top \bar Y\, Y^\top$.
    """
    return namespace(a).linalg.inv(a)


inv.vjp(lambda g, y: -(_t(y) @ g @ _t(y)))


@primitive
def solve(a: Array, b: Array, /) -> Array:
    r"""Return y with a y = b; b is one vector, or matrices of columns; LinAlgError if singular.

    From $AY = B$: $dA\,Y + A\,dY = dB$, so $dY = A^{-1}(dB - dA\,Y)$, therefore
    $\bar B = A^{-\top} \bar Y$ and $\bar A = -A^{-\top} \bar Y Y^\top$.
    """
    xp = namespace(a, b)
    a, b = xp.asarray(a), xp.asarray(b)
    if a.ndim < 2 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"expected matrices (..., n, n), and a vector (n,) or matrices "
                         f"(..., n, k), got {a.shape} and {b.shape}")
    x = b[:, None] if b.ndim == 1 else b
    lead = broadcast_shapes(a.shape[:-2], x.shape[:-2])  # CuPy leaves this to the caller
    x = xp.linalg.solve(xp.broadcast_to(a, lead + a.shape[-2:]),
                        xp.broadcast_to(x, lead + x.shape[-2:]))
    return x[..., 0] if b.ndim == 1 else x


@solve.vjp
def _(g: Any, a: Any, y: Any, shapes: tuple[Shape, ...],
      wanted: tuple[bool, bool]) -> tuple[Any, Any]:
    vector = len(shapes[1]) == 1
    if vector:
        g, y = g[..., None], y[..., None]
    db = solve(_t(a), g)
    da = -(db @ _t(y)) if wanted[0] else None
    return da, db[..., 0] if vector else db


@composite
def solve_triangular(a: Any, b: Any, trans: int | str = 0, lower: bool = False,
                     unit_diagonal: bool = False) -> Any:
    r"""Return y with T y = b, T being the upper triangle of a, or with `lower` the lower one.

    `trans` 1 or "T" takes the transpose of T, and `unit_diagonal` ones on the diagonal. Nothing
    else of a is read. $T\,dy = db - dT\,y$, so $\bar b = T^{-\top} \bar y$ and
    $\bar T = -\bar b\,y^\top$, of which a receives what was read. LinAlgError where the diagonal
    has a 0. (NumPy has no substitution of its own: `solve` finds nothing to eliminate in an upper
    triangle, and a lower one with its rows and columns in reverse order is one.)
    """
    if trans not in (0, 1, "N", "T"):
        raise ValueError(f"trans is 0 or 'N', or 1 or 'T' for the transpose, got {trans!r}")
    a, b = as_arrays([a, b])
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"expected square matrices, got {a.shape}")
    off = int(unit_diagonal)
    t = tril(a, -off) if lower else triu(a, off)
    t = t + namespace(values(a)).eye(a.shape[-1], dtype=a.dtype) if unit_diagonal else t
    transposed = trans in (1, "T")
    t = _t(t) if transposed else t
    if lower == transposed:
        return solve(t, b)
    rows = -1 if b.ndim == 1 else -2
    return flip(solve(flip(t, (-2, -1)), flip(b, rows)), rows)


class LstsqResult(NamedTuple):
    """The result of `lstsq`."""

    x: Any
    residuals: Any
    rank: Any
    s: Any


@composite
def lstsq(a: Any, b: Any, rcond: float | None = None) -> LstsqResult:
    r"""Return (x, residuals, rank, s) where x is what brings a x nearest to b, the shortest such x.

    b is a vector, or a matrix of columns. $x = A^+ b$, with the derivative of `pinv`; of full rank
    n, $dx = A^+ (db - dA\,x) + (A^\top A)^{-1} dA^\top (b - A x)$, so with the gradient $\bar x$ of
    x $\bar b = (A^+)^\top \bar x$ and
    $\bar A = (b - A x)\,\bar x^\top (A^\top A)^{-1} - \bar b\,x^\top$.

    `residuals` are the sums of $(b - Ax)^2$ for each column, none unless the rank is n < m; `s` the
    singular values of a, of which those up to `rcond` times the largest count as 0; it is the
    longer side times the precision of the dtype unless given. The rank is a constant; where it
    changes, x jumps.
    """
    a, b = map(_as_floats, as_arrays([a, b]))
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise ValueError(f"expected a matrix (m, n), and a vector (m,) or a matrix (m, k), got "
                         f"{a.shape} and {b.shape}")
    xp, (m, n), s = namespace(values(a)), a.shape, svdvals(a)
    eps = float(xp.finfo(a.dtype).eps)
    cut = max(m, n) * eps if rcond is None else eps if rcond < 0 else rcond  # -1 is NumPy's for eps
    x, rank = matmul(pinv(a, cut), b), xp.asarray((values(s) > cut * values(s)[:1]).sum())
    residuals = xp.zeros(0, dtype=a.dtype)
    if int(rank) == n < m:
        residuals = reduce.sum((b - matmul(a, x)) ** 2, 0, keepdims=b.ndim == 1)
    tracked = isinstance(x, Tensor)
    residuals, rank = (constant(v) if tracked and not isinstance(v, Tensor) else v
                       for v in (residuals, rank))
    return LstsqResult(x, residuals, rank, s)


@primitive
def pinv(a: Array, /, rcond: float | None = None, *, rtol: float | None = None) -> Array:
    r"""Return the Moore-Penrose inverse; singular values up to `rcond` times the largest are 0.

    `rcond` is 1e-15 unless given, under this name or as `rtol`. As long as the rank does not change
    (where it does, Y jumps), differentiating $Y = YAY$ and the symmetry of $AY$ and $YA$ gives

    $dY = -Y\,dA\,Y + YY^\top dA^\top (I - AY) + (I - YA)\,dA^\top Y^\top Y$, so
    $\bar A = -Y^\top \bar Y Y^\top + (I - AY)\,\bar Y^\top Y Y^\top
    + Y^\top Y \bar Y^\top (I - YA)$, I being the identity matrix. Raises LinAlgError, where that is
    asked for, if `rcond` cut singular values that are not 0: then Y is another matrix's inverse.

    Source: Golub, Pereyra, "The differentiation of pseudo-inverses", 1973, theorem 4.3.
    """
    if rcond is not None and rtol is not None:
        raise ValueError("`rcond` and `rtol` are two names of one option; give one of them")
    cut = rtol if rcond is None else rcond
    return namespace(a).linalg.pinv(a, 1e-15 if cut is None else cut)


@pinv.vjp
def _(g: Any, a: Any, y: Any) -> Any:
    _check_nothing_was_cut(values(a), values(y))
    p, pt, gt = y, _t(y), _t(g)
    da = gt @ p @ pt
    da = da - a @ (p @ da)
    right = pt @ p @ gt
    return da + right - (right @ p) @ a - pt @ g @ pt


def _check_nothing_was_cut(a: Array, y: Array) -> None:
    if namespace(a) is not np or not a.size:
        return  # a GPU would have to wait for the answer
    lost, size = (np.abs(x).max((-2, -1)) for x in (a @ y @ a - a, a))
    if (lost > np.finfo(a.dtype).eps ** 0.5 * size).any():
        raise np.linalg.LinAlgError(
            "pinv: `rcond` cut singular values that are not 0, and the derivative is that of the "
            "whole matrix; compute u, s, vh = linalg.svd(a, full_matrices=False) and from these "
            "what you need of it, or give a smaller `rcond`")


@composite
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Return the inverse of a, read as a matrix from its last axes to its first `ind` axes."""
    if ind <= 0:
        raise ValueError(f"`ind` must be positive, got {ind}")
    rows, columns = a.shape[:ind], a.shape[ind:]
    return reshape(inv(reshape(a, (prod(rows), prod(columns)))), (*columns, *rows))


@composite
def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Any:
    """Return x with `tensordot(a, x, x.ndim) = b`; `axes` of a are moved to its end first."""
    if axes is not None:
        last = normalize_axis_tuple(axes, a.ndim)
        a = transpose(a, (*(i for i in range(a.ndim) if i not in last), *last))
    unknown = a.shape[b.ndim :]
    if prod(unknown) != prod(b.shape) or a.shape[: b.ndim] != b.shape:
        raise ValueError(f"expected a of shape b.shape + x.shape with as many elements in x as in "
                         f"b, got {a.shape} and {b.shape}")
    return reshape(solve(reshape(a, (prod(unknown),) * 2), reshape(b, -1)), unknown)


# determinants


@primitive
def det(a: Array, /) -> Array:
    r"""Return the determinant.

    $dy = y \operatorname{tr}(A^{-1} dA)$ (Jacobi), so
    $\bar A = \bar y\,y\,A^{-\top}$. The product $y\,A^{-\top}$ is the cofactors, which a singular
    matrix has too: see `_cofactors`. On a GPU, where the host would have to wait to know, it has
    no gradient.
    """
    return namespace(a).linalg.det(a)


@det.vjp
def _(g: Any, a: Any, y: Any) -> Any:
    xp, size = namespace(values(y)), abs(values(y))
    if xp is np:
        lost = ~(size > np.finfo(size.dtype).tiny) | np.isinf(size)
        if (lost & np.isfinite(values(a)).all((-2, -1))).any():
            return g[..., None, None] * _cofactors(a)
    return (g * y)[..., None, None] * _t(inv(a))


def _cofactors(a: Any) -> Any:
    r"""Return the cofactors of matrices, singular ones too, and with a determinant that overflows.

    Let U and V be the singular vectors of the k smallest singular values, constants that make

    $K = \begin{pmatrix} A & U \\ V^\top & 0 \end{pmatrix}$ invertible. With the blocks $B_{ij}$ of
    $K^{-1}$, Jacobi's complementary minor gives $\det A = \det K \det B_{22}$. From
    $d \det K = \det K \operatorname{tr}(B_{11} dA)$ and $dB_{22} = -B_{21}\,dA\,B_{12}$,

    $C = \det K\,\bigl(\det B_{22}\,B_{11} - B_{12} \operatorname{adj}(B_{22})\,B_{21}\bigr)^\top$.
    """
    xp, n = namespace(values(a)), a.shape[-1]
    u, s, vt = xp.linalg.svd(values(a))
    rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)
    k = max(1, n - int(rank.min()))
    lower = xp.concatenate([vt[..., -k:, :], xp.zeros((*a.shape[:-2], k, k), s.dtype)], -1)
    bordered = concatenate([concatenate([a, u[..., -k:]], axis=-1), lower], axis=-2)
    b = inv(bordered)
    small, adjugate = _det_and_adjugate(b[..., n:, n:])
    c = small * b[..., :n, :n] - b[..., :n, n:] @ adjugate @ b[..., n:, :n]
    return det(bordered)[..., None, None] * _t(c)


def _det_and_adjugate(w: Any) -> tuple[Any, Any]:
    """Return both of small matrices by products alone (Faddeev, Le Verrier), so at 0 too."""
    k = w.shape[-1]
    one = namespace(values(w)).eye(k, dtype=w.dtype)
    m, product = one, w
    for i in range(1, k):
        m = product - trace(product)[..., None, None] / i * one
        product = w @ m
    sign = (-1) ** (k - 1)
    return sign * trace(product)[..., None, None] / k, sign * m


@composite
def slogdet(a: Any) -> SlogdetResult:
    r"""Return (sign, logabsdet): the determinant's sign and the logarithm of its magnitude.

    With $\ell = \ln|\det A|$: $d\ell = \operatorname{tr}(A^{-1} dA)$ (Jacobi), so
    $\bar A = \bar\ell\,A^{-\top}$ with the gradient $\bar\ell$ of logabsdet. The sign has the
    derivative 0.
    """
    both = _slogdet(a)
    return SlogdetResult(both[0], reduce.real(both[1]))


@primitive
def _slogdet(a: Array, /) -> Array:
    """Return the sign and the logarithm, in this order, from which `slogdet` is cut; see there."""
    xp = namespace(a)
    sign, logabsdet = xp.linalg.slogdet(a)
    return xp.stack([sign, logabsdet])


_slogdet.vjp(lambda g, a: g[1][..., None, None] * _t(inv(a)))


# symmetric matrices: one triangle is read


def _onto_triangle(s: Any, upper: bool) -> Any:
    r"""Return the gradient by the elements that were read, from S with $dL = S \cdot dA$.

    An element off the diagonal stands for its mirror image too, and receives both.
    """
    return triu(s) + triu(_t(s), 1) if upper else tril(s) + tril(_t(s), -1)


@primitive
def cholesky(a: Array, /, *, upper: bool = False) -> Array:
    r"""Return the lower triangular L with $A = LL^\top$, or $L^\top$ if `upper`.

    Of the symmetric A only the lower (`upper`: upper) triangle is read, as in NumPy, and only its
    elements receive a gradient; pass `(a + a.T) / 2` for a symmetric one. LinAlgError unless A is
    positive definite.

    $dA = dL\,L^\top + L\,dL^\top$, so $L^{-1} dA\,L^{-\top} = X + X^\top$ with the lower triangular
    $X = L^{-1} dL$. That is $X = \Phi(L^{-1} dA\,L^{-\top})$ where $\Phi$ takes the lower triangle
    and half of the diagonal. Hence $\bar A = \operatorname{tri}(S)$ with
    $S = L^{-\top} \Phi(L^\top \bar L)\,L^{-1}$, where $\bar L$ is $\bar y$, for `upper` transposed,
    and tri adds to each element of the triangle that was read the one that mirrors it.
    """
    factor = namespace(a).linalg.cholesky(_t(a) if upper else a)
    return _t(factor) if upper else factor


@cholesky.vjp
def _(g: Any, y: Any, upper: bool) -> Any:
    lt, g = (y, _t(g)) if upper else (_t(y), g)
    s = solve(lt, lt @ g * _lower(g))
    return _onto_triangle(solve(lt, _t(s)), upper)


@composite
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    r"""Return (eigenvalues, eigenvectors) of symmetric matrices, eigenvalues in rising order.

    Of A only the lower (`UPLO="U"`: upper) triangle is read, as in NumPy, and only its elements
    receive a gradient; pass `(a + a.T) / 2` for a symmetric one.

    $A = V \Lambda V^\top$ with $V^\top V = I$, the identity matrix, so $\Omega = V^\top dV$ is
    antisymmetric and $V^\top dA\,V = d\Lambda + \Omega\Lambda - \Lambda\Omega$, where V has the
    eigenvectors as columns and the diagonal matrix $\Lambda$ the eigenvalues $\lambda_i$. The
    diagonal gives $d\lambda$, the rest $\Omega_{ij} = F_{ij} (V^\top dA\,V)_{ij}$ with
    $F_{ij} = [\lambda_i \ne \lambda_j] / (\lambda_j - \lambda_i)$:

    $\bar A = \operatorname{tri}\bigl(V\,(\operatorname{diag}\bar\lambda
    + F \odot (V^\top \bar V))\,V^\top\bigr)$

    with the gradients $\bar\lambda$ and $\bar V$ of the two results; tri adds to each element of
    the triangle that was read the one that mirrors it.

    Where two eigenvalues are equal, their vectors can be rotated into each other and have no
    derivative. There F is 0, which is right for functions of the eigenvalues, and of the space that
    the vectors span together; it is not for $V f(\Lambda) V^\top$, whose derivative has the slope
    of the function f there.
    """
    pairs = _eigh(a, UPLO)
    return EighResult(reduce.real(pairs[..., 0, :]), pairs[..., 1:, :])


@primitive
def _eigh(a: Array, /, UPLO: str) -> Array:
    """Return the eigenpairs as columns, from which `eigh` is cut; see there."""
    xp = namespace(a)
    w, v = xp.linalg.eigh(a, UPLO)
    return xp.concatenate([w[..., None, :], v], axis=-2)


@_eigh.vjp
def _(g: Any, a: Any, y: Any, UPLO: str) -> Any:
    w, v = y[..., 0, :], y[..., 1:, :]
    dw, dv = g[..., 0, :], g[..., 1:, :]
    f = _reciprocal(w[..., None, :] - w[..., None])
    s = v @ (_diag(dw) + f * (_t(v) @ dv)) @ _t(v)
    return _onto_triangle(_bend_of_equals(s, dw, y, a, v, v, UPLO, (0,)), UPLO in "Uu")


@primitive
def eigvalsh(a: Array, /, UPLO: str = "L") -> Array:
    r"""Return the eigenvalues of symmetric matrices in rising order; A is read as by `eigh`.

    With the eigenvectors $v_i$, the columns of V, $dy_i = v_i^\top dA\,v_i$, so
    $\bar A = \operatorname{tri}(V \operatorname{diag}(\bar y) V^\top)$ with tri as in `eigh`. The
    vectors are computed in the backward pass only.
    """
    return namespace(a).linalg.eigvalsh(a, UPLO)


@eigvalsh.vjp
def _(g: Any, a: Any, y: Any, UPLO: str) -> Any:
    v = eigh(a, UPLO).eigenvectors
    s = _bend_of_equals(v * g[..., None, :] @ _t(v), g, y, a, v, v, UPLO)
    return _onto_triangle(s, UPLO in "Uu")


# matrices of any shape


@composite
def qr(a: Any, mode: str = "reduced") -> Any:
    r"""Return (Q, R) with a = Q R, Q's columns orthonormal and R upper triangular.

    With k the smaller of a's sides, Q has k columns and R k rows; with `mode="complete"` Q is
    square, and where it has additional columns, which are arbitrary, a gradient is refused.
    `mode="r"` returns R alone.

    Cut A and R behind column k, so that U has the first k columns of R and W the others:
    $A = (X\;Z)$, $R = (U\;W)$, $X = QU$ and $Z = QW$. In
    $dX = dQ\,U + Q\,dU$ the matrix $Q^\top dQ$ is antisymmetric and $dU\,U^{-1}$ upper triangular,
    which fixes both; $W = Q^\top Z$ adds $Z \bar W^\top$ to the gradient by Q. So, with
    $P = \bar Q + Z \bar W^\top$ and $M = U \bar U^\top - P^\top Q$,

    $$\bar A = (\bar X\;\bar Z), \qquad
    \bar X = \bigl(P + Q \operatorname{copyltu} M\bigr) U^{-\top}, \qquad \bar Z = Q \bar W$$

    with the gradients $\bar Q$ and $(\bar U\;\bar W)$ of the two results, of which $\bar U$ has the
    first k columns and $\bar W$ the others; copyltu mirrors the lower triangle into the upper one.
    The first k columns of A must be independent.

    Sources: Walter, Lehmann, "Algorithmic differentiation of linear algebra functions", 2010; for
    more columns than rows Roberts, Roberts, "QR and LQ decomposition matrix backpropagation",
    arXiv:2009.10071.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"mode {mode!r} is not one of 'reduced', 'complete', 'r'")
    m = a.shape[-2]
    both = _qr(a, "reduced" if mode == "r" else mode)
    r = both[..., m:]
    return r if mode == "r" else QRResult(_t(both[..., :m]), r)


@primitive
def _qr(a: Array, /, mode: str) -> Array:
    """Return in row i column i of Q, then row i of R, from which `qr` is cut; see there."""
    xp = namespace(a)
    q, r = xp.linalg.qr(a, mode)
    return xp.concatenate([_t(q), r], axis=-1)  # row i: the column q_i, then the row r_i


@_qr.vjp
def _(g: Any, y: Any, shape: Shape) -> Any:
    m, k = shape[-2], min(shape[-2:])
    if y.shape[-2] != k:
        raise ValueError(f"qr: mode='complete' adds columns to Q that are arbitrary and have no "
                         f"derivative, for shape {shape}; use mode='reduced'")
    q, u, v = _t(y[..., :m]), y[..., m : m + k], y[..., m + k :]
    dq, du, dv = _t(g[..., :m]), g[..., m : m + k], g[..., m + k :]
    dq = dq + q @ (v @ _t(dv))
    low = (u @ _t(du) - _t(dq) @ q) * _lower(u)
    dx = _t(solve(u, _t(dq + q @ (low + _t(low)))))
    return concatenate([dx, q @ dv], axis=-1)


@composite
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    r"""Return (U, S, Vh) with $A = U \operatorname{diag}(S) V^\top$, singular values falling.

    With k the smaller of A's sides, U has k columns and Vh k rows; `full_matrices` (NumPy's
    default) adds arbitrary ones up to square matrices, and where it adds any, a gradient is
    refused. Without `compute_uv` this is `svdvals`.

    V is the transpose of Vh, $s_i$ are the singular values and I is the identity matrix.
    $U^\top dU$ and $V^\top dV$ are antisymmetric; with $C = U^\top dA\,V$ and
    $E_{ij} = [s_i \ne s_j] / (s_j^2 - s_i^2)$: $ds_i = C_{ii}$,
    $dU = U\,\bigl(E \odot (CS + SC^\top)\bigr) + (I - UU^\top)\,dA\,V S^{-1}$ and
    $dV = V\,\bigl(E \odot (SC + C^\top S)\bigr) + (I - VV^\top)\,dA^\top U S^{-1}$. So

    $\bar A = U\,\bigl(\operatorname{diag}\bar s + (E \odot P)\,S + S\,(E \odot Q)\bigr)\,V^\top
    + (I - UU^\top)\,\bar U S^{-1} V^\top + U S^{-1} \bar V^\top (I - VV^\top)$

    with the gradients $\bar U$, $\bar s$ and $\bar V$ of the three results,
    $P = U^\top\bar U - \bar U^\top U$ and $Q = V^\top\bar V - \bar V^\top V$.

    The middle is $\tfrac12 (P + Q)_{ij} / (s_j - s_i) + \tfrac12 (P - Q)_{ij} / (s_j + s_i)$. Where
    two singular values are equal, or one is 0, the vectors have no derivative; what is divided by 0
    is 0 there (see `eigh`, which says where that is right). $U V^\top$ has one, its part divides by
    the sum.

    Source: Townsend, "Differentiating the singular value decomposition", 2016.
    """
    if not compute_uv:
        return svdvals(a)
    m, n = a.shape[-2:]
    if full_matrices and m != n:
        if isinstance(a, Tensor) and a.requires_grad and STATE.recording:
            raise ValueError("full_matrices=True adds singular vectors that are arbitrary and have "
                             "no derivative; use full_matrices=False")
        parts = namespace(values(a)).linalg.svd(values(a))
        return SVDResult(*(constant(x) if isinstance(a, Tensor) else x for x in parts))
    triplets = _svd(a)
    return SVDResult(triplets[..., :m, :], reduce.real(triplets[..., m, :]),
                     _t(triplets[..., m + 1 :, :]))


@primitive
def _svd(a: Array, /) -> Array:
    """Return U, S and V, one below the other, from which `svd` is cut; see there."""
    xp = namespace(a)
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    return xp.concatenate([u, s[..., None, :], _t(vh)], axis=-2)  # column i: u_i, s_i, v_i


@_svd.vjp
def _(g: Any, a: Any, y: Any, shape: Shape) -> Any:
    m, n = shape[-2:]
    u, s, v = y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]
    du, ds, dv = g[..., :m, :], g[..., m, :], g[..., m + 1 :, :]
    row, column = s[..., None, :], s[..., None]
    ru, rv = _t(u) @ du, _t(v) @ dv
    pu, pv = ru - _t(ru), rv - _t(rv)
    core = _diag(ds) + 0.5 * (_reciprocal(row - column) * (pu + pv)
                              + _reciprocal(row + column) * (pu - pv))
    da = u @ core @ _t(v)
    if m > n:
        da = da + (du - u @ ru) * _reciprocal(row) @ _t(v)
    if m < n:
        da = da + u @ _t((dv - v @ rv) * _reciprocal(row))
    return _bend_of_zeros(_bend_of_equals(da, ds, y, a, u, v, row=(m,)), ds, y, a, u, v, (m,))


@primitive
def svdvals(a: Array, /) -> Array:
    r"""Return the singular values in falling order.

    With the singular vectors $u_i$ and $v_i$, the columns of U and V, $dy_i = u_i^\top dA\,v_i$, so
    $\bar A = U \operatorname{diag}([y > 0] \odot \bar y)\,V^\top$: at 0, where a singular value has
    a kink as |x| has, the derivative is taken as 0. The vectors are computed in the backward pass
    only.
    """
    return namespace(a).linalg.svd(a, compute_uv=False)


@svdvals.vjp
def _(g: Any, a: Any, y: Any) -> Any:
    u, _, vh = svd(a, full_matrices=False)
    da = u * (g * sign(y))[..., None, :] @ vh
    return _bend_of_zeros(_bend_of_equals(da, g, y, a, u, _t(vh)), g, y, a, u, _t(vh))


# second derivatives where eigenvalues or singular values are equal, or 0: see `kinks`


def _bend_of_equals(part: Any, g: Any, y: Any, a: Any, u: Any, v: Any, triangle: str = "",
                    row: tuple[int, ...] = ()) -> Any:
    r"""Return part, $X = U \operatorname{diag}(g)\,V^\top$, with its true derivative by A.

    With $M = U^\top dA\,V$, symmetric or made so, dX has the part
    $U (C \odot M) V^\top$, $C_{ij} = (g_i - g_j) / (y_i - y_j)$, which was left out where
    $y_i = y_j$. Let Q subtract from each value the mean of those that equal it, and $J = dg / dy$.
    L is smooth if it does not change when equals are exchanged: $Qg = 0$ and $QJ = cQ$, with one c
    for equals. Then $C_{ij} = c_i$; if not, dX is NaN. The values are y, or its row of this number.
    """
    if not isinstance(part, Tensor):
        return part
    w = values(y)[(..., *row, slice(None))]
    xp = namespace(w)
    eye = xp.eye(w.shape[-1], dtype=bool)
    same = (w[..., None] == w[..., None, :]) & ~eye
    same = same if triangle else same & (w != 0)[..., None]  # of zeros: see below
    if xp is not np:
        return part  # a GPU would have to wait for the answer
    if not same.any():
        return part
    u, v = values(u), values(v)

    def by_a(s: Any) -> Any:
        h = values(g)[..., None]
        q = eye - (same | eye) / (1 + same.sum(-1))[..., None]
        j = _rates(g, y, row)
        c = (diagonal(q @ j) / xp.maximum(diagonal(q), 0.5))[..., None]
        error = (q @ j - c * q).max((-2, -1))  # of the elements, whose sum is 0
        smooth = (error <= 1e-6 * xp.abs(j).max((-2, -1))) & ~(same & (h != _t(h))).any((-2, -1))
        c = xp.where(smooth[..., None, None], c * same, nan)
        m = _t(u) @ s @ v
        c = xp.where(values(s).any((-2, -1))[..., None, None], c, 0)
        da = u @ (0.5 * (m + _t(m)) * c) @ _t(v)
        return _onto_triangle(da, triangle in "Uu") if triangle else da

    return _bent(part, a, by_a)


def _bend_of_zeros(part: Any, g: Any, y: Any, a: Any, u: Any, v: Any,
                   row: tuple[int, ...] = ()) -> Any:
    r"""Return part, $X = U \operatorname{diag}(g)\,V^\top$, with its true derivative where y is 0.

    Let P and Q project onto what the $u_i$ and $v_i$ with $y_i > 0$ leave. If there g is 0 and
    $J = dg / dy$ is $c I$, L has the part $\tfrac c2 |P\,dA\,Q|^2$, so $dX = c\,P\,dA\,Q$; if
    not, L has no second derivative.
    """
    if not isinstance(part, Tensor):
        return part
    zero = values(y)[(..., *row, slice(None))] == 0
    xp = namespace(zero)
    if xp is not np:
        return part
    if not zero.any():
        return part

    def rest(u: Any) -> Array:
        u = xp.where(zero[..., None, :], 0, u)
        return xp.eye(u.shape[-2], dtype=u.dtype) - u @ _t(u)

    u, v = values(u), values(v)
    p, q = rest(u), rest(v)

    def by_a(s: Any) -> Any:
        c = _common_rate(g, _rates(g, y, row), zero)
        m = p @ s @ q
        if row:  # of `_svd`, which moves the zeros themselves
            m = m - u @ (_t(u) @ s @ v * _diag(zero.astype(u.dtype))) @ _t(v)
        return m * xp.where(values(m) == 0, 0, c)

    return _bent(part, a, by_a)


def _common_rate(g: Any, j: Array, zero: Array) -> Array:
    """Return c with J = c I and g = 0 where y is 0, as matrices; NaN where there is none."""
    xp = namespace(zero)
    j = xp.where(zero[..., None], j, 0)
    c = diagonal(j).sum(-1) / xp.maximum(zero.sum(-1), 1)
    error = xp.abs(j - c[..., None, None] * _diag(zero.astype(j.dtype))).max((-2, -1))
    smooth = (error <= 1e-6 * xp.abs(c)) & ~(zero & (values(g) != 0)).any(-1)
    return xp.where(smooth, c, nan)[..., None, None]


def _bent(part: Any, a: Any, by_a: Any) -> Any:
    """Return part with the derivative `by_a`, whose own is not known and so NaN."""
    def once(s: Any) -> Any:
        da = by_a(s)
        return da + bend_by(a, a.shape, lambda t: nan * t) if isinstance(s, Tensor) else da

    return part + bend_by(a, a.shape, once)


def _rates(g: Any, y: Any, row: tuple[int, ...]) -> Array:
    """Return $dg_i / dy_j$ of each vector of a stack, one backward pass for each i."""
    xp, slopes = namespace(values(g)), []
    for unit in xp.eye(g.shape[-1]):
        slope = pull_back([g], [xp.broadcast_to(unit, g.shape)], [y], retain=True)[0]
        slopes.append(xp.zeros(g.shape) if slope is None else slope[(..., *row, slice(None))])
    return xp.stack(slopes, axis=-2)


# norms


@composite
def norm(x: Any, ord: Order = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the norm of vectors (one axis) or matrices (two axes); see the ops of these names.

    Without `ord` and `axis`, that of x as one vector. The derivative at 0 is taken as 0.
    """
    if axis is None:
        if ord is None:
            return vector_norm(x, axis=None, keepdims=keepdims)
        axis = tuple(range(values(x).ndim))
    axes = normalize_axis_tuple(axis, values(x).ndim)
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        return _matrix_norm(x, axes, "fro" if ord is None else ord, keepdims)
    raise ValueError(f"`ord` is for one axis (vectors) or two (matrices), got {len(axes)}; "
                     f"name them with `axis`")


@composite
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Order = 2) -> Any:
    r"""Return $(\sum_i |x_i|^p)^{1/p}$ over the axes, p being `ord`; over all if `axis` is None.

    `ord` may also be inf (the largest magnitude), -inf (the smallest) and 0 (how many are not 0).
    The derivative is taken as 0 by elements that are 0, and at x = 0.
    """
    x = _as_floats(x)
    if isinstance(ord, str):
        raise ValueError(f"a vector has no norm {ord!r}; `ord` is a number")
    if ord == inf or ord == -inf:
        extreme = reduce.max if ord > 0 else reduce.min
        return extreme(absolute(x), axis, keepdims=keepdims)
    if ord == 0:
        return reduce.sum(absolute(sign(x)), axis, keepdims=keepdims)
    if ord == 1:
        return reduce.sum(absolute(x), axis, keepdims=keepdims)
    if ord == 2:
        return reduce.length(x, axis, keepdims=keepdims)
    return _p_norm(x, ord, axis, keepdims)


@primitive
@widened
def _p_norm(x: Array, /, p: float, axis: Any, keepdims: bool) -> Array:
    r"""Return $y = (\sum_i |x_i|^p)^{1/p}$ over the axes.

    $y^p = \sum_i |x_i|^p$, so $dy = \sum_i \operatorname{sign}(x_i) (|x_i| / y)^{p-1} dx_i$ and
    $\bar x_i = [y \ne 0]\,\bar y \operatorname{sign}(x_i) (|x_i| / y)^{p-1}$, 0 at the kink.
    """
    xp = namespace(x)
    s = reduce.square_scale(x, axis, p)
    z = x if s is None else x / s
    y = xp.power(xp.sum(xp.power(xp.abs(z), p), axis=axis, keepdims=keepdims), 1 / p)
    return y if s is None else y * xp.reshape(s, y.shape)


@_p_norm.vjp
@widened
def _(g: Any, x: Any, y: Any, shape: Shape, p: float, axis: Any, keepdims: bool) -> Any:
    def fit(r: Any) -> Any:
        return reduce.spread(r, shape, axis, keepdims)

    length = fit(where(equal(y, 0), inf, y))
    return bend(fit(g) * _ratio_power(x, length, p - 1, True), g, y, x, slope=nan, fit=fit)


@primitive
def _ratio_power(a: Array, b: Array, /, p: float, odd: bool) -> Array:
    r"""Return $y = |a / b|^p$ for b > 0, times the sign of a if odd, which is 0 at 0.

    With s, 1 if odd and else the sign of a, $dy = p\,s\,|a / b|^{p-1}\,da / b - p\,y\,db / b$, so
    $\bar a = \bar y\,p\,s\,|a / b|^{p-1} / b$ and $\bar b = -\bar y\,p\,y / b$.
    """
    xp = namespace(a, b)
    ratio = xp.abs(a / b)
    if odd:  # the sign is 0 there, and 0 times infinity is not
        return xp.sign(a) * xp.power(xp.where(xp.equal(ratio, 0), 1, ratio), p)
    return xp.power(ratio, p)


@_ratio_power.vjp
def _(g: Any, a: Any, b: Any, y: Any, p: float, odd: bool) -> tuple[Any, Any]:
    if p == 0:
        return None, None
    return times(g, _ratio_power(a, b, p - 1, not odd)) * p / b, -g * p * y / b


@composite
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Order = "fro") -> Any:
    """Return a norm of each matrix.

    `ord`: "fro" (of the elements as one vector), "nuc" (the sum of the singular values), 2 or -2
    (the largest or smallest one), 1 or -1 (the largest or smallest sum of a column's magnitudes),
    inf or -inf (of a row's). At kinks the derivative is that of the ops it is made of: 0 for |0|
    and for a singular value 0, equal parts where several are the largest.
    """
    ndim = values(x).ndim
    if ndim < 2:
        raise ValueError(f"expected matrices, got {ndim} axes")
    return _matrix_norm(x, (ndim - 2, ndim - 1), ord, keepdims)


def _matrix_norm(x: Any, axes: tuple[int, ...], ord: Any, keepdims: bool) -> Any:
    x = _as_floats(x)
    if ord in ("fro", "f"):
        return reduce.length(x, axes, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        others = tuple(i for i in range(x.ndim) if i not in axes)
        s = svdvals(transpose(x, (*others, *axes)))
        by = {"nuc": reduce.sum, 2: reduce.max, -2: reduce.min}[ord]
        return expand_dims(by(s, -1), tuple(sorted(axes))) if keepdims else by(s, -1)
    if ord not in (1, -1, inf, -inf):
        raise ValueError(f"matrices have no norm {ord!r}; `ord` is 'fro', 'nuc', 1, 2, inf or the "
                         f"negative of one of these numbers")
    down, along = axes if ord in (1, -1) else axes[::-1]
    extreme = reduce.max if ord > 0 else reduce.min
    y = extreme(reduce.sum(absolute(x), down, keepdims=True), along, keepdims=True)
    return y if keepdims else squeeze(y, axes)


def _as_floats(x: Any) -> Any:
    (x,) = as_arrays([x])
    return astype(x, float) if x.dtype.kind in "biu" else x


@composite
def cond(x: Any, p: Order = None) -> Any:
    """Return the condition number: by `p` as in `norm`, the norm of x times that of its inverse.

    Without `p`, or with 2, the largest singular value by the smallest; with -2 the reverse.
    LinAlgError for a singular x and another p.
    """
    if values(x).size == 0:
        raise ValueError("an empty matrix has no condition number")
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)


@nondifferentiable
def matrix_rank(a: Array, /, tol: Any = None, *, rtol: Any = None) -> Array:
    """Return how many singular values exceed `tol`, a number or one for each matrix.

    `tol` is `rtol` times the largest singular value; `rtol` the larger side times the precision of
    the dtype. A vector has rank 1, or 0 if it is all 0.
    """
    xp = namespace(a)
    a = xp.asarray(a)
    if a.ndim < 2:
        return xp.any(a != 0).astype(int)
    s = xp.linalg.svd(a, compute_uv=False)
    if tol is None:
        rtol = max(a.shape[-2:]) * xp.finfo(s.dtype).eps if rtol is None else rtol
        tol = (xp.max(s, axis=-1) if s.size else s.sum(-1)) * xp.asarray(rtol)
    return xp.count_nonzero(s > xp.asarray(tol)[..., None], axis=-1)


# products of several


@composite
@widened
def matrix_power(a: Any, n: int) -> Any:
    """Return the matrix multiplied n times with itself; a negative n does so with its inverse."""
    n = index(n)
    x = values(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"expected square matrices, got {x.shape}")
    if n == 0:
        xp = namespace(x)
        one = xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype), x.shape).copy()
        return constant(one) if isinstance(a, Tensor) else one
    square, n = (inv(a), -n) if n < 0 else (a, n)
    y = None
    while n:
        if n % 2:
            y = square if y is None else y @ square
        n //= 2
        square = square @ square if n else None
    return y


@composite
def multi_dot(arrays: Sequence[Any]) -> Any:
    """Return the product of two or more matrices, in the order that takes the fewest operations.

    The first may be a vector (a row) and the last (a column).
    """
    if len(arrays) < 2:
        raise ValueError(f"expected at least two arrays, got {len(arrays)}")
    if any(x.ndim != 2 for x in arrays[1:-1]) or any(x.ndim not in (1, 2) for x in arrays):
        raise ValueError(f"expected matrices, at the ends also vectors, got shapes "
                         f"{[x.shape for x in arrays]}")
    first, last = arrays[0], arrays[-1]
    sides = [first.shape[0] if first.ndim == 2 else 1, *(x.shape[0] for x in arrays[1:]),
             last.shape[1] if last.ndim == 2 else 1]

    @cache
    def best(i: int, j: int) -> tuple[int, int]:
        """Return the cost of the product of the arrays i to j, and the last one left of the cut."""
        return min(((best(i, k)[0] + best(k + 1, j)[0] + sides[i] * sides[k + 1] * sides[j + 1], k)
                    for k in range(i, j)), default=(0, i))

    def product(i: int, j: int) -> Any:
        cut = best(i, j)[1]
        return arrays[i] if i == j else matmul(product(i, cut), product(cut + 1, j))

    return product(0, len(arrays) - 1)


# in NumPy's linalg, unlike in NumPy itself, these take the last two axes


@composite
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Return the diagonal of each matrix as the last axis."""
    return diagonal_of_axes(x, offset, -2, -1)


@composite
def trace(x: Any, /, *, offset: int = 0) -> Any:
    """Return the sum of the diagonal of each matrix."""
    return reduce.sum(diagonal(x, offset=offset), -1)


@composite
def cross(a: Any, b: Any, /, *, axis: int = -1) -> Any:
    """Return the vectors perpendicular to both, which have three components along the axis."""
    a, b = as_arrays([a, b])
    lengths = [x.shape[axis] for x in (a, b)]
    if lengths != [3, 3]:
        raise ValueError(f"expected vectors of 3 components, got {lengths[0]} and {lengths[1]}; "
                         f"autograd.cross takes 2 as well")
    return cross_of_axes(a, b, axis=axis)


if not TYPE_CHECKING:  # type checkers report unknown names themselves

    def __getattr__(name: str) -> NoReturn:
        raise AttributeError(no_name("autograd.linalg", name), name=name)
