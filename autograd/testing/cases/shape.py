"""Cases of the ops in `autograd.ops.shape`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, pair, reals, shapes
from .piecewise import at

matrices = shapes(min_dims=2)


@st.composite
def reshaping(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    target = draw(st.sampled_from([(-1,), (x.size,), x.shape[::-1], (1, *x.shape)]))
    return (x,), {"shape": target if x.size or -1 not in target else (0,)}


@st.composite
def permuting(draw: Any) -> Inputs:
    x = draw(reals(st.one_of(st.just((1, 2, 3)), st.just((2, 1, 3)), shapes())))
    axes = draw(axes_of(x.ndim, x.ndim))
    return (x,), {"axes": draw(st.sampled_from([None, axes, axes]))}


@st.composite
def with_axes(draw: Any, *names: str, extra: int = 0) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    n = x.ndim + extra
    return (x,), {name: draw(st.integers(-n, n - 1)) for name in names}


@st.composite
def squeezing(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    return (x,), {"axis": draw(st.sampled_from([None, *ones, tuple(ones)]))}


@st.composite
def several(draw: Any, of: Any = None, least: int = 1) -> Inputs:
    """Arrays of different shapes."""
    count = draw(st.integers(least, 3))
    return tuple(draw(reals(shapes() if of is None else of)) for _ in range(count)), {}


@st.composite
def axes_of(draw: Any, ndim: int, count: int | None = None) -> Any:
    """Different axes, some counted from the end; that many, or any number."""
    order = draw(st.permutations(range(ndim)))
    chosen = order[: draw(st.integers(0, ndim)) if count is None else count]
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


@st.composite
def moving(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    source = draw(axes_of(x.ndim))
    options = {"source": source, "destination": draw(axes_of(x.ndim, len(source)))}
    if len(source) == 1:
        options = {name: axes[0] for name, axes in options.items()}
    return (x,), options


@st.composite
def rolling_axis(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    return (x,), {"axis": draw(st.integers(-x.ndim, x.ndim - 1)),
                  "start": draw(st.integers(-x.ndim, x.ndim))}


@st.composite
def flipping(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    axes = draw(axes_of(x.ndim))
    return (x,), {"axis": draw(st.sampled_from([None, axes, *axes[:1]]))}


@st.composite
def rolling(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    axes = draw(axes_of(x.ndim))
    shifts = tuple(draw(st.integers(-4, 4)) for _ in axes)
    options: list[dict[str, Any]] = [{"shift": 2, "axis": None}]
    if axes:
        options += [{"shift": shifts, "axis": axes}, {"shift": 2, "axis": axes},
                    {"shift": shifts[0], "axis": axes[0]}]
    return (x,), draw(st.sampled_from(options))


@st.composite
def turning(draw: Any) -> Inputs:
    x = draw(reals(matrices))
    return (x,), {"k": draw(st.integers(-5, 5)), "axes": draw(axes_of(x.ndim, 2))}


@st.composite
def tiling(draw: Any) -> Inputs:
    count = st.integers(0, 3)
    return (draw(reals(shapes(dims=2))),), {
        "reps": draw(st.one_of(count, st.lists(count, max_size=3).map(tuple)))}


@st.composite
def repeating(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1))) if x.ndim else None
    n, count = x.size if axis is None else x.shape[axis], st.integers(0, 3)
    each = st.lists(count, min_size=n, max_size=n)
    return (x,), {"repeats": draw(st.one_of(count, each, each.map(np.array)) if n else count),
                  "axis": axis}


@st.composite
def fitting(draw: Any) -> Inputs:
    """Arrays that broadcast together."""
    shape = draw(shapes())
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        own = tuple(1 if draw(st.booleans()) else n for n in shape)
        parts.append(draw(reals(own[draw(st.integers(0, len(own))):])))
    return tuple(parts), {}


@st.composite
def gridding(draw: Any) -> Inputs:
    count = draw(st.integers(1, 3))
    return tuple(draw(reals(shapes(dims=1))) for _ in range(count)), {
        "indexing": draw(st.sampled_from(["xy", "ij"])), "sparse": draw(st.booleans())}


@st.composite
def joining(draw: Any) -> Inputs:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    lengths = draw(st.lists(st.integers(0, 2), min_size=2, max_size=3))
    parts = [shape if axis is None else
             (*shape[: axis % len(shape)], n, *shape[axis % len(shape) + 1 :]) for n in lengths]
    return tuple(draw(reals(s)) for s in parts), {"axis": axis}


@st.composite
def stacking(draw: Any) -> Inputs:
    shape = draw(shapes(dims=2))
    count = draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return ([draw(reals(shape)) for _ in range(count)],), {"axis": axis}


@st.composite
def beside(draw: Any, axis: int, vectors: bool = True) -> Inputs:
    """Arrays that differ in length along one axis; or vectors, or numbers, where these will do."""
    kind = draw(st.sampled_from([0, 1, 2, 3]))
    shape = list(draw(shapes(min_dims=3)))
    lengths = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    if kind == 0:
        return ([draw(reals(())) for _ in lengths],), {}
    if kind == 1:
        return ([draw(reals((n if axis == 1 and not vectors else 2,))) for n in lengths],), {}
    shape = shape[: max(kind, axis + 1)]
    return ([draw(reals(tuple(n if i == axis else m for i, m in enumerate(shape))))
             for n in lengths],), {}


@st.composite
def blocks(draw: Any) -> Inputs:
    (a, b), (c, d) = draw(st.sampled_from([
        (((2, 3), (2, 1)), ((1, 3), (1, 1))), (((2,), (3,)), ((1,), (4,))),
        (((), ()), ((1,), (1,))), (((2, 1, 3), (2, 1, 2)), ((2, 2, 3), (2, 2, 2)))]))
    a, b, c, d = (draw(reals(s)) for s in (a, b, c, d))
    return (draw(st.sampled_from([[[a, b]], [[a], [a]], [c, c], a, [[c, d], [c, d]]])),), {}


@st.composite
def stepping(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    ndim = max(a.ndim, b.ndim)
    num, endpoint = draw(st.integers(0, 4)), draw(st.booleans())
    step = {"retstep": True} if num > endpoint and draw(st.booleans()) else {}  # else it is NaN
    return (a, b, num), {"endpoint": endpoint, "axis": draw(st.integers(-ndim - 1, ndim)), **step}


@st.composite
def stepping_in_powers(draw: Any, base: bool = False) -> Inputs:
    (a, b), _ = draw(pair((0.3, 3), (0.3, 3)))
    sign = 1.0 if base else draw(st.sampled_from([1.0, -1.0]))
    options = {"num": draw(st.integers(0, 4)), "endpoint": draw(st.booleans())}
    if base and draw(st.booleans()):
        options["base"] = draw(st.sampled_from([2.0, np.e]))
    ndim = max(a.ndim, b.ndim)
    options["axis"] = draw(st.integers(-ndim - 1, ndim))
    return (np.asarray(sign * a), np.asarray(sign * b)), options


@st.composite
def appending(draw: Any) -> Inputs:
    (x, v, *_), options = draw(joining())
    return (x, v), options


@st.composite
def inserting(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    places = draw(st.lists(st.integers(-n, n), min_size=1, max_size=3))
    rest = [m for i, m in enumerate(x.shape) if i != axis % x.ndim]
    if draw(st.booleans()):
        return (x, places[0], draw(reals(draw(st.sampled_from([(), (*rest,), (2, *rest)]))))), {
            "axis": axis}
    rest.insert(axis % x.ndim, len(places))
    return (x, tuple(places), draw(reals(draw(st.sampled_from([(), (*rest,)]))))), {"axis": axis}


@st.composite
def deleting(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    places = draw(st.lists(st.integers(-n, n - 1), max_size=3)) if n else []
    return (x,), {"obj": draw(st.sampled_from([*places, places, slice(0, 2)])), "axis": axis}


@st.composite
def splitting(draw: Any, equal: bool = True, at: int | None = None) -> Inputs:
    x = draw(reals(shapes(min_dims=1 if at is None else at + 1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1)) if at is None else at
    n = x.shape[axis]
    cuts = draw(st.lists(st.integers(-n, n + 1), max_size=3))
    sections = draw(st.sampled_from([k for k in range(1, 5) if not equal or n % k == 0]))
    options = {"indices_or_sections": draw(st.sampled_from([sections, cuts, sorted(cuts)]))}
    return (x,), options | ({"axis": axis} if at is None else {})


@st.composite
def unstacking(draw: Any) -> Inputs:
    x = draw(reals(shapes(least=1, min_dims=1)))
    return (x,), {"axis": draw(st.integers(-x.ndim, x.ndim - 1))}


@st.composite
def padding(draw: Any) -> Inputs:
    x = draw(reals(shapes(least=1, min_dims=1)))
    mode = draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 4)
    forms = st.one_of(width, st.tuples(width, width),
                      st.tuples(*[st.tuples(width, width)] * x.ndim))
    options = {"pad_width": draw(forms), "mode": mode}
    if mode == "constant":
        options["constant_values"] = draw(st.sampled_from(
            [0, 1.5, (1.0, -2.0), tuple((i, -1.5) for i in range(x.ndim))]))
    return (x,), options


@st.composite
def differencing(draw: Any) -> Inputs:
    x = draw(reals(shapes(least=1, min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    shape = tuple(2 if i == axis % x.ndim else n for i, n in enumerate(x.shape))
    end = st.one_of(st.none(), reals(()), reals(shape))
    prepend, append = draw(end), draw(end)
    alone = prepend is None and append is None
    return (x, draw(st.integers(0 if alone else 1, 3)), axis, prepend, append), {}


def numpy_diff(x: np.ndarray, n: int, axis: int, prepend: Any = None, append: Any = None) -> Any:
    ends = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, axis, **ends)


@st.composite
def integrating(draw: Any) -> Inputs:
    y = draw(reals(shapes(least=1, min_dims=1)))
    axis = draw(st.integers(-y.ndim, y.ndim - 1))
    x = draw(st.one_of(reals((y.shape[axis],)), reals(y.shape), st.none()))
    return (y, x), {"axis": axis, **({"dx": 0.5} if x is None else {})}


def numpy_trapezoid(y: np.ndarray, x: Any, axis: int, dx: float = 1.0) -> Any:
    y = np.moveaxis(y, axis, -1)
    steps = np.full(y.shape[-1] - 1, dx) if x is None else np.diff(
        x if x.ndim == 1 else np.moveaxis(x, axis, -1))
    return np.sum([steps[..., k] * (y[..., k] + y[..., k + 1]) / 2
                   for k in range(y.shape[-1] - 1)], axis=0) + np.zeros(y.shape[:-1])


@st.composite
def sloping(draw: Any) -> Inputs:
    shape = draw(shapes(least=1, dims=2, min_dims=1))
    f = draw(reals(tuple(n + 2 for n in shape)))
    axes = draw(axes_of(f.ndim).filter(bool))
    kinds = draw(st.sampled_from(["none", "one", "steps", "coordinates"]))
    spacings: list[Any] = [] if kinds == "none" else [draw(reals((), 0.5, 2.0)) for _ in axes]
    if kinds == "coordinates":
        spacings = [np.cumsum(draw(reals((f.shape[a],), 0.5, 2.0))) for a in axes]
    return (f, *(spacings[:1] if kinds == "one" else spacings)), {
        "axis": axes, "edge_order": draw(st.sampled_from([1, 2]))}


@st.composite
def diagonals(draw: Any) -> Inputs:
    x = draw(reals(matrices))
    axis1, axis2 = draw(axes_of(x.ndim, 2))
    return (x,), {"offset": draw(st.integers(-2, 2)), "axis1": axis1, "axis2": axis2}


@st.composite
def filling_diagonals(draw: Any) -> Inputs:
    (x,), options = draw(diagonals())
    n = np.diagonal(x, **options).shape
    return (draw(reals(n)),), {"shape": x.shape, **options}


def numpy_on_diagonal(x: np.ndarray, shape: Any, offset: int, axis1: int, axis2: int) -> np.ndarray:
    y = np.zeros(shape)
    for *rest, i in np.ndindex(*x.shape):
        index = list(rest)
        for axis, k in sorted([(axis1 % y.ndim, i + max(-offset, 0)),
                               (axis2 % y.ndim, i + max(offset, 0))]):
            index.insert(axis, k)
        y[tuple(index)] = x[(*rest, i)]
    return y


nested: st.SearchStrategy[Inputs] = st.tuples(reals(()), reals(()), reals(()), reals(())).map(
    lambda v: (([[v[0], v[1]], [v[2], v[3]]],), {}))
offsets = st.integers(-2, 2)

@st.composite
def filling(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    return (x, draw(reals(draw(st.sampled_from([x.shape, x.shape[-1:], ()]))))), {}


CASES: dict[str, OpCase] = {
    "reshape": OpCase(reshaping(), np.reshape),
    "ravel": OpCase(one(reals(shapes())), np.ravel),
    "transpose": OpCase(permuting(), np.transpose, edges=(
        at([1.0, 2.0], axes=0, g=[3.0, 4.0], expect=[[3, 4]]),)),
    "swapaxes": OpCase(with_axes("axis1", "axis2"), np.swapaxes),
    "matrix_transpose": OpCase(one(reals(matrices)), np.matrix_transpose),
    "moveaxis": OpCase(moving(), np.moveaxis),
    "rollaxis": OpCase(rolling_axis(), np.rollaxis),
    "expand_dims": OpCase(with_axes("axis", extra=1), np.expand_dims),
    "squeeze": OpCase(squeezing(), np.squeeze),
    "atleast_1d": OpCase(several(), np.atleast_1d),
    "atleast_2d": OpCase(several(), np.atleast_2d),
    "atleast_3d": OpCase(several(), np.atleast_3d),
    "flip": OpCase(flipping(), np.flip),
    "fliplr": OpCase(one(reals(matrices)), np.fliplr),
    "flipud": OpCase(one(reals(shapes(min_dims=1))), np.flipud),
    "roll": OpCase(rolling(), np.roll),
    "rot90": OpCase(turning(), np.rot90),
    "tile": OpCase(tiling(), np.tile),
    "repeat": OpCase(repeating(), np.repeat),
    "broadcast_arrays": OpCase(fitting(), np.broadcast_arrays),
    "meshgrid": OpCase(gridding(), np.meshgrid),
    "concatenate": OpCase(joining(), lambda *xs, axis: np.concatenate(xs, axis)),
    "_concatenate": OpCase(joining(), lambda *xs, axis: np.concatenate(xs, axis)),
    "stack": OpCase(stacking(), np.stack),
    "vstack": OpCase(beside(0), np.vstack),
    "hstack": OpCase(beside(1, vectors=False), np.hstack),
    "dstack": OpCase(beside(2), np.dstack),
    "column_stack": OpCase(beside(1), np.column_stack),
    "block": OpCase(blocks(), np.block),
    "linspace": OpCase(stepping(), np.linspace),
    "logspace": OpCase(stepping_in_powers(base=True), np.logspace),
    "geomspace": OpCase(stepping_in_powers(), np.geomspace),
    "append": OpCase(appending(), np.append),
    "insert": OpCase(inserting(), np.insert),
    "delete": OpCase(deleting(), np.delete),
    "split": OpCase(splitting(), np.split),
    "array_split": OpCase(splitting(equal=False), np.array_split),
    "vsplit": OpCase(splitting(at=0).filter(lambda drawn: drawn[0][0].ndim > 1), np.vsplit),
    "hsplit": OpCase(splitting(at=1), np.hsplit),
    "dsplit": OpCase(splitting(at=2), np.dsplit),
    "unstack": OpCase(unstacking(), np.unstack),
    "pad": OpCase(padding(), np.pad),
    "_pad": OpCase(one(reals((2, 3)), widths=st.just(((1, 0), (0, 2))), value=st.just(0.5)),
                   lambda x, widths, value: np.pad(x, widths, constant_values=value)),
    "diff": OpCase(differencing(), numpy_diff),
    "ediff1d": OpCase(one(reals(shapes(least=1))), np.ediff1d),
    "trapezoid": OpCase(integrating(), numpy_trapezoid),
    "gradient": OpCase(sloping(), np.gradient),
    "tril": OpCase(one(reals(shapes(min_dims=1)), k=offsets), np.tril),
    "triu": OpCase(one(reals(shapes(min_dims=1)), k=offsets), np.triu),
    "diagonal": OpCase(diagonals(), np.diagonal),
    "_on_diagonal": OpCase(filling_diagonals(), numpy_on_diagonal),
    "diag": OpCase(one(reals(shapes(dims=2, min_dims=1)), k=offsets), np.diag),
    "diagflat": OpCase(one(reals(shapes()), k=offsets), np.diagflat),
    "trace": OpCase(diagonals(), np.trace),
    "array": OpCase(nested, np.array),
    "zeros_like": OpCase(one(reals(shapes())), np.zeros_like),
    "ones_like": OpCase(one(reals(shapes())), np.ones_like),
    "full_like": OpCase(filling(), np.full_like),
}
