"""Every op that PyTorch has too, against PyTorch's: the result, and the gradients by all arguments.

Inputs are drawn from the op's own OpCase, so away from ties and kinks, where conventions differ.
Where the two differ otherwise, PyTorch's side is adapted, which is said below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autograd import Tensor, pull_back, registry
from autograd.primitive import Nondifferentiable
from autograd.tensor import values
from autograd.testing.cases import CASES

torch = pytest.importorskip("torch")
F, special = torch.nn.functional, torch.special
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore::UserWarning")]


# from NumPy's conventions to PyTorch's


def axes_of(x: Any, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(i % x.ndim for i in (axis if isinstance(axis, tuple) else (axis,)) if x.ndim)


def gathered(x: Any, axis: Any) -> Any:
    """Return x with the axes made one, the last: PyTorch takes `dim=()` for all axes."""
    axes = axes_of(x, axis)
    kept = [i for i in range(x.ndim) if i not in axes]
    lengths = [*(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axes)]
    return x.permute((*kept, *axes)).reshape(lengths)


def reduction(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, which reduces the last axis, with NumPy's options.

    What `where` chooses is made a shorter row, and `initial` is one more element of it.
    """
    def reduce(x: Any, axis: Any = None, keepdims: bool = False, where: Any = None,
               initial: Any = None, **options: Any) -> Any:
        rows = gathered(x, axis)
        if where is None and initial is None:
            y = f(rows, **options)
        else:
            chosen = torch.as_tensor(True if where is None else where, dtype=torch.bool)
            first = rows.new_tensor([] if initial is None else [initial])
            shape = (math.prod(rows.shape[:-1]), rows.shape[-1])
            masks = gathered(chosen.expand(x.shape), axis).reshape(shape)
            parts = [f(torch.cat([row[mask], first]), **options)
                     for row, mask in zip(rows.reshape(shape), masks, strict=True)]
            y = torch.stack(parts).reshape(rows.shape[:-1]) if parts else rows.sum(-1)
        axes = axes_of(x, axis)
        return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y

    return reduce


def logsumexp(x: Any, b: Any = None, **options: Any) -> Any:
    x = x if b is None else x + torch.log(torch.tensor(np.array(b)))
    return reduction(lambda x: torch.logsumexp(x, -1))(x, **options)


def along(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, which takes an axis, with None for x flattened; NumPy flattens a number too."""
    return lambda x, axis=None, **options: (
        f(x.reshape(-1), 0, **options) if axis is None or not x.ndim else f(x, axis, **options))


def standing(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, which works along the last axis, for any axes, all if None; the shape stays."""
    def over(x: Any, axis: Any = -1, **options: Any) -> Any:
        axes = axes_of(x, axis)
        order = [i for i in range(x.ndim) if i not in axes] + list(axes)
        y = f(gathered(x, axis), **options).reshape([x.shape[i] for i in order])
        return y.permute([order.index(i) for i in range(x.ndim)])

    return over


def degrees(f: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's variances have correction=1 by default."""
    def moment(x: Any, ddof: float = 0, correction: float | None = None) -> Any:
        return f(x, -1, correction=ddof if correction is None else correction)

    return reduction(moment)


def positions(shape: Sequence[int], index: Any) -> Any:
    """Return where `x[index]` lies in x flattened; PyTorch has no slices that run backwards."""
    def plain(part: Any) -> Any:
        if isinstance(part, (tuple, list)):
            return type(part)(map(plain, part))
        return part.numpy() if isinstance(part, torch.Tensor) else part

    return torch.tensor(np.array(np.arange(math.prod(shape)).reshape(tuple(shape))[plain(index)]))


def getitem(x: Any, index: Any) -> Any:
    return x.reshape(-1)[positions(x.shape, index)]


def scattered(x: Any, index: Any, v: Any, reduce: str) -> Any:
    where = positions(x.shape, index)
    v = torch.broadcast_to(v, where.shape).reshape(-1)
    return x.reshape(-1).scatter_reduce(0, where.reshape(-1), v, reduce).reshape(x.shape)


def scatter_set(x: Any, index: Any, v: Any) -> Any:
    """Of places that occur more than once PyTorch leaves open which value stays; here the last."""
    where = positions(x.shape, index)
    v, where = torch.broadcast_to(v, where.shape).reshape(-1), where.reshape(-1)
    last = {int(place): k for k, place in enumerate(where)}
    flat, keep = x.reshape(-1), torch.tensor(list(last.values()), dtype=torch.long)
    return flat.index_put((where[keep],), v[keep]).reshape(x.shape)


def put_along_axis(x: Any, indices: Any, v: Any, axis: int | None) -> Any:
    if axis is None:
        return scatter_set(x, np.unravel_index(indices.numpy() % x.numel(), x.shape), v)
    grid = list(np.indices(tuple(indices.shape), sparse=True))
    grid[axis] = indices.numpy()
    return scatter_set(x, tuple(grid), v)


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    n = x.numel() if axis is None else x.shape[axis]
    indices = indices.clip(0, max(n - 1, 0)) if mode == "clip" else indices % max(n, 1)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis % x.ndim)
    y = x.index_select(axis, indices.reshape(-1))
    return y.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def reshape(x: Any, shape: Any, order: str = "C") -> Any:
    shape = (shape,) if isinstance(shape, int) else shape
    if order == "F":
        return x.permute(*reversed(range(x.ndim))).reshape(shape[::-1]).permute(
            *reversed(range(len(shape))))
    return x.reshape(shape)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % x.ndim, start + x.ndim if start < 0 else start
    return x.movedim(axis, start - (axis < start))


def expand_dims(x: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple) else (axis,)
    for place in sorted(i % (x.ndim + len(axes)) for i in axes):
        x = x.unsqueeze(place)
    return x


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """PyTorch wants as many shifts as axes."""
    if axis is None or (isinstance(shift, int) and isinstance(axis, int)):
        return torch.roll(x, shift, axis)
    count = max(len(v) for v in (shift, axis) if not isinstance(v, int))
    shifts, dims = ((v,) * count if isinstance(v, int) else tuple(v) for v in (shift, axis))
    return torch.roll(x, shifts * (count // len(shifts)), dims * (count // len(dims)))


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    widths, fills = (np.broadcast_to(np.asarray(v), (x.ndim, 2)).tolist()
                     for v in (pad_width, constant_values))
    for axis, (before, after) in enumerate(widths):
        if mode == "constant":
            x = F.pad(x.movedim(axis, -1), (before, 0), value=fills[axis][0])
            x = F.pad(x, (0, after), value=fills[axis][1]).movedim(-1, axis)
        else:  # PyTorch's other modes are for the last axes of images only
            source = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)
            x = x.index_select(axis, torch.as_tensor(source))
    return x


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    one = list(x.shape)
    one[axis] = 1
    prepend, append = (v if v is None or getattr(v, "ndim", 0) else torch.as_tensor(v).expand(one)
                       for v in (prepend, append))
    return torch.diff(x, n, axis, prepend, append)


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """PyTorch's `split` takes the lengths of the pieces; this one takes what NumPy's does."""
    return torch.tensor_split(x, indices_or_sections, axis)


def meshgrid(*xs: Any, indexing: str, sparse: bool) -> Any:
    if not sparse:
        return torch.meshgrid(*[x.reshape(-1) for x in xs], indexing=indexing)
    places = list(range(len(xs)))
    if indexing == "xy":
        places[:2] = places[:2][::-1]
    return tuple(x.reshape([x.numel() if i == place else 1 for i in range(len(xs))])
                 for x, place in zip(xs, places, strict=True))


def matrix(x: Any) -> Any:
    """NumPy takes a vector for a matrix of equal rows."""
    return x.expand(len(x), len(x)) if x.ndim == 1 else x


def on_diagonal(x: Any, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    return torch.diagonal_scatter(torch.zeros(shape, dtype=x.dtype), x, offset, axis1, axis2)


def average(x: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Any:
    if weights is None:
        return TORCH["mean"](x, axis, keepdims)
    if weights.shape != x.shape:
        axes = axes_of(x, axis)
        order = sorted(range(len(axes)), key=lambda k: axes[k])
        weights = weights.permute(order).reshape([x.shape[i] if i in axes else 1
                                                  for i in range(x.ndim)])
    add = TORCH["sum"]
    return add(x * weights, axis, keepdims) / add(weights.expand(x.shape), axis, keepdims)


def cumulative(f: Callable[..., Any], first: float) -> Callable[..., Any]:
    def run(x: Any, axis: int | None = None, include_initial: bool = False) -> Any:
        axis = 0 if axis is None else axis
        y = f(x, axis)
        start = torch.full_like(x.narrow(axis, 0, 1), first) if x.shape[axis] else torch.full(
            [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], first, dtype=x.dtype)
        return torch.cat([start, y], axis) if include_initial else y

    return run


def quantile(unit: float, f: Callable[..., Any] = torch.quantile) -> Callable[..., Any]:
    def of(x: Any, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear") -> Any:
        assume(method in ("linear", "lower", "higher", "nearest", "midpoint"))  # all it has
        q = torch.as_tensor(np.asarray(q, dtype=float)) / unit
        flat = gathered(x, axis)
        y = f(flat, q.reshape(-1), -1, interpolation=method)
        axes = axes_of(x, axis)
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
        return y.reshape([*q.shape, *shape])

    return of


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    return tuple(torch.topk(x, k, axis, largest=largest))


def sort(x: Any, axis: int | None = -1, descending: bool = False, stable: Any = None) -> Any:
    return along(torch.sort)(x, axis, descending=descending)[0]


def dot(a: Any, b: Any) -> Any:
    if not a.ndim or not b.ndim:
        return a * b
    return torch.tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


def inner(a: Any, b: Any) -> Any:
    return torch.inner(a, b) if a.ndim and b.ndim else a * b


def kron(a: Any, b: Any) -> Any:
    """PyTorch's own fails for some shapes as soon as a gradient is wanted."""
    ndim = max(a.ndim, b.ndim)
    m, n = ([1] * (ndim - x.ndim) + list(x.shape) for x in (a, b))
    a = a.reshape([k for side in m for k in (side, 1)])
    return (a * b.reshape([k for side in n for k in (1, side)])).reshape(
        [i * k for i, k in zip(m, n, strict=True)])


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1,
          axis: int | None = None) -> Any:
    """PyTorch has no vectors of two components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = a.movedim(axisa, -1), b.movedim(axisb, -1)
    flat = a.shape[-1] == b.shape[-1] == 2
    a, b = (F.pad(v, (0, 3 - v.shape[-1])) for v in (a, b))
    y = torch.linalg.cross(*torch.broadcast_tensors(a, b))
    return y[..., 2] if flat else y.movedim(-1, axisc)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if not isinstance(axes, int):
        axes = [[v] if isinstance(v, int) else list(v) for v in axes]
    return torch.tensordot(a, b, axes)


def einsum(subscripts: str, *xs: Any, optimize: Any = True) -> Any:
    return torch.einsum(subscripts.replace(" ", ""), *xs)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = a.reshape(-1), v.reshape(-1)  # a number counts as a vector of one
    a, v = (a, v) if len(a) >= len(v) else (v, a)
    y = F.conv1d(a[None, None], v.flip(0)[None, None], padding=len(v) - 1)[0, 0]
    start = {"full": 0, "same": (len(v) - 1) // 2, "valid": len(v) - 1}[mode]
    return y[start : start + {"full": len(y), "same": len(a), "valid": len(a) - len(v) + 1}[mode]]


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    if len(v) > len(a):
        return correlate(v, a, mode).flip(0)
    return convolve(a, v.flip(0), mode)


def sliding_windows(x: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
    lead, dims = x.ndim - len(kernel), len(kernel)
    for i, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        x = x.unfold(lead + i, d * (k - 1) + 1, s)[..., ::d]
    return x.permute(*range(lead + dims, lead + 2 * dims), *range(lead + dims))


def fold(x: Any, size: Any, stride: Any, dilation: Any) -> Any:
    """The derivative of the windows by x, which PyTorch computes."""
    dims = len(size)
    zero = torch.zeros((*x.shape[dims : x.ndim - dims], *size), dtype=x.dtype, requires_grad=True)
    y = sliding_windows(zero, x.shape[:dims], stride, dilation)
    return torch.autograd.grad(y, zero, x, create_graph=True)[0]


def pool(f: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch pools three or four axes."""
    def over(x: Any, kernel: Any, stride: Any = None, **options: Any) -> Any:
        y = f(x.reshape(1, -1, *x.shape[-2:]), kernel, stride, **options)
        return y.reshape(*x.shape[:-2], *y.shape[-2:])

    return over


def mirrored(a: Any, upper: bool = False) -> Any:
    """NumPy reads one triangle only; PyTorch's gradient is for a symmetric argument."""
    return a.triu() + a.triu(1).mT if upper else a.tril() + a.tril(-1).mT


def signs(theirs: Any, ours: np.ndarray) -> Any:
    """Return -1 for each column that LAPACK, which is free to, has turned round in PyTorch."""
    return torch.sign((theirs.detach() * torch.tensor(ours)).sum(-2, keepdim=True))


def eigh(a: Any, UPLO: str = "L") -> Any:
    w, v = torch.linalg.eigh(mirrored(a, UPLO == "U"))
    return w, v * signs(v, np.linalg.eigh(a.detach().numpy(), UPLO)[1])


def svd(a: Any, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    if not compute_uv:
        return torch.linalg.svdvals(a)
    u, s, vh = torch.linalg.svd(a, full_matrices=full_matrices)
    turn = signs(u, np.linalg.svd(a.detach().numpy(), full_matrices=full_matrices)[0])
    return u * turn, s, vh * turn.mT


def packed_eigh(a: Any, UPLO: str) -> Any:
    w, v = eigh(a, UPLO)
    return torch.cat([w[..., None, :], v], -2)


def packed_svd(a: Any) -> Any:
    u, s, vh = svd(a)
    return torch.cat([u, s[..., None, :], vh.mT], -2)


def packed_qr(a: Any, mode: str) -> Any:
    q, r = torch.linalg.qr(a, mode)
    return torch.cat([q.mT, r], -1)


def qr(a: Any, mode: str = "reduced") -> Any:
    return torch.linalg.qr(a)[1] if mode == "r" else tuple(torch.linalg.qr(a, mode))


def solve(a: Any, b: Any) -> Any:
    """PyTorch takes any b of one axis less than a for vectors, NumPy only one of one axis."""
    return torch.linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else torch.linalg.solve(a, b)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    axes = axes_of(x, axis)
    if len(axes) == 2 and not (ord is None and axis is None):
        return torch.linalg.matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    return torch.linalg.vector_norm(x, 2 if ord is None else ord, axes, keepdims)


def vector_norm(x: Any, ord: Any = 2) -> Any:
    return torch.linalg.vector_norm(x, ord, -1)


def cond(x: Any, p: Any = None) -> Any:
    """PyTorch's cannot be differentiated by the other norms."""
    if p in (None, 2, -2):
        return torch.linalg.cond(x, p)
    return torch.linalg.matrix_norm(x, p) * torch.linalg.matrix_norm(torch.linalg.inv(x), p)


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    return torch.linalg.tensorsolve(a, b, dims=axes)


def layer_norm(x: Any, w: Any, b: Any, eps: float) -> Any:
    return F.layer_norm(x, x.shape[-1:], w, b, eps)


def cross_entropy(z: Any, t: Any, axis: int, reduction: str, ignore_index: int,
                  label_smoothing: float = 0.0, weight: Any = None,
                  of: Any = F.cross_entropy) -> Any:
    """PyTorch has the classes in axis 1, and no mean of no rows."""
    z = z.movedim(axis, -1)
    shape, hard = z.shape[:-1], not t.is_floating_point()
    t = t if hard else t.movedim(axis, -1).reshape(-1, z.shape[-1])
    if hard and reduction == "mean" and bool((t == ignore_index).all()):
        return z.sum() * 0
    options = {"label_smoothing": label_smoothing} if of is F.cross_entropy else {}
    options |= {"ignore_index": ignore_index} if hard else {}
    y = of(z.reshape(-1, z.shape[-1]), t.reshape(-1) if hard else t, reduction=reduction,
           weight=None if weight is None else torch.tensor(np.array(weight)), **options)
    return y.reshape(shape) if reduction == "none" else y


def nll_loss(z: Any, t: Any, **options: Any) -> Any:
    return cross_entropy(z, t, of=F.nll_loss, **options)


def with_logits(z: Any, t: Any, pos_weight: Any, reduction: str) -> Any:
    weight = None if pos_weight is None else torch.as_tensor(float(pos_weight), dtype=z.dtype)
    return F.binary_cross_entropy_with_logits(z, t, pos_weight=weight, reduction=reduction)


def margin(x: Any, t: Any, reduction: str) -> Any:
    y = F.relu(1 - t * x)
    return {"mean": y.mean, "sum": y.sum, "none": lambda: y}[reduction]()


def heaviside(x: Any, h: Any) -> Any:
    """PyTorch's has no derivative."""
    return torch.where(x > 0, 1.0, torch.where(x < 0, 0.0, h))


def floor_divide(a: Any, b: Any) -> Any:
    """PyTorch refuses a derivative, which is 0."""
    a, b = torch.as_tensor(a).detach(), torch.as_tensor(b).detach()
    return torch.floor_divide(a, b)


def clip(x: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    """PyTorch wants a bound, and not one that x is broadcast to."""
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else torch.maximum(x, torch.as_tensor(low))
    return x * 1 if high is None else torch.minimum(x, torch.as_tensor(high))


def solve_triangular(a: Any, b: Any, trans: Any, lower: bool, unit_diagonal: bool) -> Any:
    transposed = trans in (1, "T")
    x = b[:, None] if b.ndim == 1 else b
    y = torch.linalg.solve_triangular(a.mT if transposed else a, x, upper=lower == transposed,
                                      unitriangular=unit_diagonal)
    return y[..., 0] if b.ndim == 1 else y


TORCH: dict[str, Callable[..., Any]] = {
    # each element
    "identity": lambda x: x * 1, "astype": lambda x, dtype: x.to(
        {np.dtype(v): getattr(torch, v) for v in ("float64", "float32", "int64")}[np.dtype(dtype)]),
    "absolute": torch.abs, "fabs": torch.abs, "sign": torch.sign, "where": torch.where,
    "maximum": torch.maximum, "minimum": torch.minimum, "fmax": torch.fmax, "fmin": torch.fmin,
    "heaviside": heaviside, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc,
    "rint": torch.round, "round": lambda x, decimals=0: torch.round(x, decimals=decimals),
    "modf": lambda x: (torch.frac(x), torch.trunc(x)), "_fraction": torch.frac,
    "_whole": torch.trunc, "nan_to_num": torch.nan_to_num,
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log,
    "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p,
    "logaddexp": torch.logaddexp, "logaddexp2": torch.logaddexp2, "xlogy": torch.xlogy,
    "add": torch.add, "subtract": torch.subtract, "multiply": torch.multiply,
    "divide": torch.divide, "positive": torch.positive, "negative": torch.negative,
    "reciprocal": torch.reciprocal, "power": torch.pow,
    "square": torch.square, "sqrt": torch.sqrt,
    "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3), "hypot": torch.hypot,
    "floor_divide": floor_divide, "remainder": torch.remainder, "fmod": torch.fmod,
    "divmod": lambda a, b: (floor_divide(a, b), torch.remainder(a, b)),
    "copysign": torch.copysign, "ldexp": lambda x, n: x * 2.0 ** torch.as_tensor(n),
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "arcsin": torch.arcsin,
    "arccos": torch.arccos, "arctan": torch.arctan, "arctan2": torch.arctan2,
    "deg2rad": torch.deg2rad, "rad2deg": torch.rad2deg, "sinh": torch.sinh, "cosh": torch.cosh,
    "tanh": torch.tanh, "arcsinh": torch.arcsinh, "arccosh": torch.arccosh,
    "arctanh": torch.arctanh, "sinc": torch.sinc, "erf": torch.erf, "erfc": torch.erfc,
    "erfinv": torch.erfinv, "ndtr": special.ndtr, "logit": torch.logit, "gammaln": torch.lgamma,
    "digamma": torch.digamma, "polygamma": torch.polygamma,
    "_polygamma": lambda x, order: torch.polygamma(order, x),
    "clip": clip,
    # shapes
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "sum_to": lambda x, shape: x.sum_to_size(shape),
    "reshape": reshape, "ravel": torch.ravel,
    "swapaxes": lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
    "transpose": lambda x, axes=None: x.permute(
        tuple(reversed(range(x.ndim))) if axes is None else axes),
    "matrix_transpose": lambda x: x.mT, "moveaxis": torch.movedim,
    "rollaxis": rollaxis, "expand_dims": expand_dims,
    "squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
    "atleast_1d": torch.atleast_1d, "atleast_2d": torch.atleast_2d, "atleast_3d": torch.atleast_3d,
    "flip": lambda x, axis=None: x.flip(axes_of(x, axis)), "fliplr": torch.fliplr,
    "flipud": torch.flipud, "roll": roll, "rot90": lambda x, k=1, axes=(0, 1): torch.rot90(
        x, k, axes), "tile": lambda x, reps: x.tile((reps,) if isinstance(reps, int) else reps),
    "repeat": lambda x, repeats, axis=None: torch.repeat_interleave(
        x, torch.as_tensor(repeats) if not isinstance(repeats, int) else repeats, axis),
    "broadcast_arrays": torch.broadcast_tensors,
    "meshgrid": meshgrid,
    "concatenate": lambda *xs, axis=0: torch.cat(
        [x.reshape(-1) for x in xs] if axis is None else xs, axis or 0),
    "stack": torch.stack, "vstack": torch.vstack, "hstack": torch.hstack, "dstack": torch.dstack,
    "column_stack": torch.column_stack,
    "append": lambda x, v, axis=None: torch.cat(
        [x.reshape(-1), v.reshape(-1)] if axis is None else [x, v], axis or 0),
    "split": split, "array_split": split, "vsplit": split,
    "hsplit": lambda x, indices_or_sections: split(x, indices_or_sections, int(x.ndim > 1)),
    "dsplit": lambda x, indices_or_sections: split(x, indices_or_sections, 2),
    "unstack": torch.unbind, "pad": pad,
    "_pad": lambda x, widths, value: pad(x, widths, constant_values=value), "diff": diff,
    "trapezoid": lambda y, x=None, dx=1.0, axis=-1: torch.trapezoid(
        y, dx=dx, dim=axis) if x is None else torch.trapezoid(y, x, dim=axis),
    "tril": lambda x, k=0: matrix(x).tril(k), "triu": lambda x, k=0: matrix(x).triu(k),
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: x.diagonal(offset, axis1, axis2),
    "_on_diagonal": on_diagonal, "diag": lambda x, k=0: x.diag(k),
    "diagflat": lambda x, k=0: x.diagflat(k),
    "trace": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
    # reductions
    "sum": reduction(lambda x: x.sum(-1)), "mean": reduction(lambda x: x.mean(-1)),
    "average": average, "max": reduction(lambda x: x.amax(-1)),
    "min": reduction(lambda x: x.amin(-1)),
    "ptp": reduction(lambda x: x.amax(-1) - x.amin(-1)), "var": degrees(torch.var),
    "std": degrees(torch.std), "logsumexp": logsumexp,
    "_weighted_logsumexp": lambda x, b, **options: reduction(lambda x: x.sum(-1))(
        b * x.exp(), **options).log(),
    "prod": reduction(lambda x: x.prod(-1)), "cumsum": along(torch.cumsum),
    "cummax": along(lambda x, axis: torch.cummax(x, axis).values),
    "cummin": along(lambda x, axis: torch.cummin(x, axis).values),
    "logcumsumexp": along(torch.logcumsumexp), "cumprod": along(torch.cumprod),
    "cumulative_sum": cumulative(torch.cumsum, 0.0),
    "cumulative_prod": cumulative(torch.cumprod, 1.0),
    "nansum": reduction(lambda x: x.nansum(-1)), "nanmean": reduction(lambda x: x.nanmean(-1)),
    "median": reduction(lambda x: torch.quantile(x, 0.5, -1)),
    "nanmedian": reduction(lambda x: torch.nanquantile(x, 0.5, -1)),
    "quantile": quantile(1.0), "percentile": quantile(100.0),
    "_lerp": torch.lerp, "full_like": lambda x, v: v.expand(x.shape),
    "nanquantile": quantile(1.0, torch.nanquantile),
    "nanpercentile": quantile(100.0, torch.nanquantile), "sort": sort, "topk": topk,
    # elements
    "getitem": getitem, "take": take,
    "_scatter": lambda v, index, shape: scattered(
        torch.zeros(shape, dtype=v.dtype), index, v, "sum"),
    "scatter_add": lambda x, index, v: scattered(x, index, v, "sum"), "scatter_set": scatter_set,
    "scatter_max": lambda x, index, v: scattered(x, index, v, "amax"),
    "scatter_min": lambda x, index, v: scattered(x, index, v, "amin"),
    "take_along_axis": lambda x, indices, axis=-1: torch.take_along_dim(
        *((x.ravel(), indices.ravel(), 0) if axis is None else (x, indices % x.shape[axis], axis))),
    "put_along_axis": put_along_axis,
    "compress": lambda condition, x, axis=None: take(
        x, torch.nonzero(torch.as_tensor(condition))[:, 0], axis),
    "extract": lambda condition, x: x.reshape(-1)[torch.nonzero(
        torch.as_tensor(condition).reshape(-1))[:, 0]],
    "masked_fill": lambda x, mask, value: torch.where(torch.as_tensor(mask), value, x),
    # products
    "matmul": torch.matmul, "matvec": lambda a, x: (a @ x[..., None])[..., 0],
    "vecmat": lambda x, a: (x[..., None, :] @ a)[..., 0, :],
    "vecdot": lambda a, b, axis=-1: (
        a.movedim(axis, -1) * b.movedim(axis, -1)).sum(-1),
    "dot": dot, "inner": inner, "vdot": lambda a, b: torch.vdot(a.reshape(-1), b.reshape(-1)),
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)), "tensordot": tensordot,
    "kron": kron, "cross": cross, "einsum": einsum,
    "_einsum": lambda *xs, operands, result, optimize=True: einsum(
        ",".join(operands) + "->" + result, *xs),
    # linear algebra
    "inv": torch.linalg.inv, "solve": solve, "det": torch.linalg.det,
    "slogdet": lambda a: tuple(torch.linalg.slogdet(a)),
    "_slogdet": lambda a: torch.stack(tuple(torch.linalg.slogdet(a))),
    "solve_triangular": solve_triangular,
    "pinv": lambda a, rcond=None, rtol=None: torch.linalg.pinv(a, rtol=1e-15),
    "tensorinv": lambda a, ind=2: torch.linalg.tensorinv(a, ind), "tensorsolve": tensorsolve,
    "cholesky": lambda a, upper=False: torch.linalg.cholesky(mirrored(a, upper), upper=upper),
    "eigh": eigh, "_eigh": packed_eigh,
    "eigvalsh": lambda a, UPLO="L": torch.linalg.eigvalsh(mirrored(a, UPLO == "U")),
    "qr": qr, "_qr": packed_qr, "svd": svd, "_svd": packed_svd, "svdvals": torch.linalg.svdvals,
    "norm": norm, "vector_norm": reduction(vector_norm),
    "_p_norm": reduction(lambda x, p: vector_norm(x, p)),
    "matrix_norm": lambda x, keepdims=False, ord="fro": torch.linalg.matrix_norm(
        x, ord, keepdim=keepdims),
    "cond": cond, "matrix_power": torch.linalg.matrix_power,
    "multi_dot": torch.linalg.multi_dot,
    "autograd.ops.linalg.cross": lambda a, b, axis=-1: torch.linalg.cross(
        *torch.broadcast_tensors(a, b), dim=axis),
    "autograd.ops.linalg.diagonal": lambda x, offset=0: torch.linalg.diagonal(x, offset=offset),
    "autograd.ops.linalg.trace": lambda x, offset=0: torch.linalg.diagonal(
        x, offset=offset).sum(-1),
    # convolutions
    "convolve": convolve, "correlate": correlate, "sliding_windows": sliding_windows,
    "fold": fold, "conv1d": F.conv1d, "conv2d": F.conv2d, "max_pool2d": pool(F.max_pool2d),
    "avg_pool2d": pool(F.avg_pool2d),
    # activations
    "softmax": standing(lambda x: x.softmax(-1)), "log_softmax": standing(
        lambda x: x.log_softmax(-1)),
    "standardize": standing(lambda x, eps: F.layer_norm(x, x.shape[-1:], eps=eps)),
    "layer_norm": layer_norm, "rms_norm": lambda x, w, eps: F.rms_norm(x, x.shape[-1:], w, eps),
    "glu": lambda x, axis=-1: F.glu(x, axis), "sigmoid": torch.sigmoid, "softplus": F.softplus,
    "log_sigmoid": F.logsigmoid,
    "silu": F.silu, "gelu": F.gelu, "mish": F.mish, "relu": F.relu, "leaky_relu": F.leaky_relu,
    "elu": F.elu, "selu": F.selu, "softsign": F.softsign, "hard_tanh": F.hardtanh,
    # losses
    "mse_loss": F.mse_loss, "l1_loss": F.l1_loss, "huber_loss": F.huber_loss,
    "smooth_l1_loss": F.smooth_l1_loss, "hinge_loss": margin,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": with_logits, "cross_entropy": cross_entropy,
    "nll_loss": nll_loss, "kl_div": F.kl_div,
    "cosine_similarity": lambda a, b, axis=-1, eps=1e-8: F.cosine_similarity(a, b, axis, eps),
}

ONLY_OURS = {
    "_concatenate", "_huber", "_log_power", "_ratio_power", "_recurrence", "_sinc_derivative",
    "array", "bend_by", "block", "choose", "corrcoef", "cov", "delete", "ediff1d", "geomspace",
    "gradient", "insert", "interp", "length", "linspace", "logspace", "lstsq", "nancumprod",
    "nancumsum", "nanmax", "nanmin", "nanprod", "nanstd", "nanvar", "partition", "polyval",
    "root_mean_square", "select", "times", "unique", "unwrap", "vander",
}
"""Ops that PyTorch has not, or only in a form from which it would have to be built again."""


def differentiable() -> set[str]:
    return {name for name, op in registry.items() if not isinstance(op, Nondifferentiable)
            and op.forward.__module__.startswith("autograd.")}


def test_no_op_is_forgotten() -> None:
    assert not set(TORCH) & ONLY_OURS
    assert set(TORCH) | ONLY_OURS == differentiable()


def both(args: Any) -> tuple[Any, Any, list[Tensor], list[Any]]:
    """Return the arguments for us and for PyTorch, and the leaves of each: its float arrays."""
    leaves: list[Tensor] = []
    others: list[Any] = []

    def ours(x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return type(x)(map(ours, x))
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            leaves.append(Tensor(x, requires_grad=True))
            return leaves[-1]
        return x

    def theirs(x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return type(x)(map(theirs, x))
        if not isinstance(x, (np.ndarray, np.generic, float)):
            return x
        tensor = torch.tensor(np.array(x))
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            others.append(tensor.requires_grad_())
        return tensor

    return ours(args), theirs(args), leaves, others


def each(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


LOOSE = {"digamma": 1e-8, "polygamma": 1e-8, "_polygamma": 1e-8}
"""PyTorch's trigamma function is right to nine digits."""


def assert_close(ours: Any, theirs: Any, rtol: float, what: str) -> None:
    assert ours.shape == tuple(theirs.shape), what
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol / 10, err_msg=what)


@pytest.mark.parametrize("name", sorted(TORCH))
@given(data=st.data())
def test_op(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    rtol = LOOSE.get(name, 1e-10)
    mine, their, leaves, others = both(args)
    ys, ts = each(registry[name](*mine, **options)), each(TORCH[name](*their, **options))
    assert len(ys) == len(ts)
    for y, t in zip(ys, ts, strict=True):
        assert_close(values(y), t, rtol, "result")
    rng = np.random.default_rng(0)
    pairs = [(y, t, rng.normal(size=y.shape)) for y, t in zip(ys, ts, strict=True)
             if isinstance(y, Tensor) and y.node is not None]
    got = pull_back([y for y, _, _ in pairs], [g for _, _, g in pairs], leaves)
    traced = [(t, torch.tensor(g)) for _, t, g in pairs if t.requires_grad]
    expected = torch.autograd.grad([t for t, _ in traced], others, [g for _, g in traced],
                                   allow_unused=True) if traced and others else [None] * len(others)
    for i, (g, e, leaf) in enumerate(zip(got, expected, others, strict=True)):
        zero = torch.zeros_like(leaf)
        assert_close(zero.numpy() if g is None else g, zero if e is None else e, rtol,
                     f"gradient by argument {i}")
