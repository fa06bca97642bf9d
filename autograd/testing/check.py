r"""Gradient checks: a small one for each way in which a gradient can be wrong.

Take $f: \mathbb R^n \to \mathbb R^m$ with Jacobian J, a random cotangent c and a direction v.
Reverse mode computes $J^\top c$, calls of f give $Jv \approx (f(x + hv) - f(x - hv)) / 2h$, and the
two must agree: $c^\top (J v) = (J^\top c)^\top v$. With $v = e_i$ this names the wrong element,
with a random v it costs the same at any size and misses an error only if that is orthogonal to v.

Order 2 checks the function $x \mapsto (w_i \, (J^\top c)_i)_i$ with random w in the same way, and
so on: one routine serves every order. That function is computed by a recorded backward pass, whose
value is first held against the plain one's: they run different code in a fused op.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..backend import Array, to_host
from ..ops import concatenate, reshape
from ..tensor import Tensor, no_grad, values
from ..transforms import jvp, vjp
from ..tree import flatten
from .differences import EPS, STEP, derivative, noise, rounding
from .failure import GradientError, NotCheckable, Subject, explained, unwrapped
from .layouts import LAYOUTS, REPEATED, WORDS, laid_out, read_only, repeated, same_layout

NO_DERIVATIVE = "f has no derivative here: it has a kink or a jump, or is not finite"


@dataclass
class Effort:
    """The amount of checks where the caller does not say; set by the profile of the plugin."""

    order: int = 2
    elements: int = 8
    """Up to this many, each element gets differences of its own; beyond, random directions do."""
    directions: int = 1
    half: bool = False
    """Whether ops are checked in float16 as well."""


effort = Effort()


def check_grads(f: Callable[..., Any], *xs: Any, order: int = 2, seed: int = 0) -> None:
    """Raise GradientError, an AssertionError, unless f's gradients are right up to `order`.

    `xs` are numbers, arrays, or tuples, lists and dicts of them; they are taken as float64. f may
    return the same (what is not floating point is ignored), and must be smooth within 2e-3
    max(1, |x|) of xs. The message names the check, the order, the argument, the element and both
    values, and ends with a program that fails again, on an input made as small as it gets.

    >>> from autograd import exp, tanh
    >>> x = {"w": np.array([0.5, -1.0]), "b": 0.3}
    >>> check_grads(lambda x: tanh(x["w"]) * exp(x["b"]), x, order=3)
    """
    __tracebackhide__ = True
    leaves, rebuild = flatten(xs)
    if not leaves:
        raise TypeError("check_grads: got no number or array to differentiate by")
    inputs = rebuild([np.array(to_host(values(x)), dtype=float) for x in leaves])
    explained(Subject(unwrapped(f), inputs, {}, order, seed, "check_grads"), check_point)


def check_point(subject: Subject) -> None:
    """Check f at the inputs by every check there is for functions, up to the order asked for."""
    (f, given), rng = first_point(subject), np.random.default_rng(subject.seed)
    if not given:
        return
    point = Point(f, [np.array(x, order="C") for x in given], rng)
    for order in range(1, subject.order + 1):
        if order == 1:
            check_repeatable(point)
        check_differences(point)
        if order < subject.order:
            check_recorded(point)
        if order == 1:
            check_alone(point)
            check_linear(point)
            check_complex_step(point)
            check_layouts(point, given)
            if subject.order > 1:
                check_tangents(point)
                check_adjoint(point)
        else:
            check_layout(point, "F")
        if order < subject.order:
            point = point.next()


def first_point(subject: Subject) -> tuple[Callable[..., Any], list[Array]]:
    """Return f as a function from its floating point leaves to one array, and these leaves."""
    leaves, rebuild = flatten(subject.inputs)
    chosen = [i for i, x in enumerate(leaves) if is_floating(x)]

    def f(*xs: Any) -> Any:
        for i, x in zip(chosen, xs, strict=True):
            leaves[i] = x
        return joined(flatten(subject.f(*rebuild(leaves), **subject.options))[0])

    return f, [np.asarray(to_host(values(leaves[i])), dtype=float) for i in chosen]


def is_floating(x: Any) -> bool:
    """Whether x is differentiated by: a float, or floating point array or Tensor."""
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind == "f")


def joined(parts: list[Any]) -> Any:
    """Return the floating point parts as one array or Tensor."""
    if not parts:
        raise NotCheckable("the function must return the array, or container of arrays, to be "
                           "differentiated; it returned none")
    parts = [p if isinstance(p, Tensor) else np.asarray(p) for p in parts]
    parts = [p for p in parts if p.dtype.kind in "fc"]
    if len(parts) == 1:
        return parts[0]
    return concatenate(*[reshape(p, -1) for p in parts]) if parts else np.zeros(())


def plain_vjp(f: Callable[..., Any], *xs: Array) -> tuple[Array, Callable[[Any], Any]]:
    """Return f(x) and its pull-back by the rules on plain arrays, whatever f sees by closure."""
    with no_grad():
        y, pull = vjp(f, *xs)
    return y, no_grad()(pull)


class Point:
    """f at the point `xs`, with the cotangent c, the value y and the gradients g there."""

    def __init__(self, f: Callable[..., Any], xs: list[Array], rng: Any, order: int = 1,
                 weight: float = 1.0, size: float = 0.0) -> None:
        self.f, self.rng, self.order = f, rng, order
        self.xs = [read_only(x) for x in xs]
        with _writing_reported(order):
            self.y, self.pull = plain_vjp(f, *self.xs)
            self.c = read_only(rng.uniform(0.5, 1.5, self.y.shape)
                                * rng.choice([-1.0, 1.0], self.y.shape))
            self.gradients = self.pull(self.c)
        # of a single number the derivative itself is reported, not that of a weighted sum
        self.weight = weight * float(self.c.item()) if self.y.size == 1 else 1.0
        self.g = _flat(self.gradients)
        flat = _flat(self.xs)
        self.scale = np.maximum(1, np.abs(flat))
        self.v = self.direction()
        terms = [np.abs(self.c * self.y).sum(),
                 np.abs(self.g * (np.abs(flat) + STEP * self.scale)).sum(),
                 noise(lambda t: self.c * self.value(self.v, t), self.c * self.y) / EPS]
        # a derivative that is all but 0 may be the difference of terms as large as f's own
        self.size = max(size, float(np.nan_to_num(terms, posinf=0.0).sum()))

    def split(self, v: Array) -> list[Array]:
        """Return a vector of all elements as arrays of the shapes of xs."""
        ends = np.cumsum([x.size for x in self.xs])[:-1]
        return [part.reshape(x.shape) for part, x in zip(np.split(v, ends), self.xs, strict=True)]

    def value(self, v: Array, t: complex) -> Array:
        """Return f(x + t v)."""
        moved = [np.asarray(x + t * part) for x, part in zip(self.xs, self.split(v), strict=True)]
        return np.asarray(values(self.f(*moved)))

    def direction(self) -> Array:
        """Return a random direction with no element near 0, as long as the elements of x."""
        n = self.scale.size
        return self.rng.uniform(0.5, 1.5, n) * self.rng.choice([-1.0, 1.0], n) * self.scale

    def slope(self, v: Array) -> tuple[float, float]:
        """Return $c^T J v$ by differences, and its tolerance."""
        value, tolerance = derivative(lambda t: (self.c * self.value(v, t)).sum(),
                                      (self.c * self.y).sum(), self.size)
        return float(value), float(tolerance)

    @cached_property
    def tangent(self) -> tuple[Array, Array]:
        """J v by differences, and its tolerance for each element of y."""
        return derivative(lambda t: self.value(self.v, t), self.y, np.abs(self.y) + self.size)

    @cached_property
    def pushed(self) -> Array:
        r"""J v by reverse mode alone: $u \mapsto J^\top u$ is linear, and its transpose is J."""
        with no_grad():
            return np.asarray(jvp(self.f, tuple(self.xs), tuple(self.split(self.v)))[1])

    def next(self) -> Point:
        """Return the gradient, weighted at random, as the function that the next order checks."""
        weights = [self.rng.uniform(0.5, 1.5, x.shape) for x in self.xs]

        def gradient(*xs: Any) -> Any:
            inner = [x if isinstance(x, Tensor) else Tensor(x) for x in xs]
            parts = vjp(self.f, *inner)[1](self.c)
            return joined([part * w for part, w in zip(parts, weights, strict=True)])

        single = self.y.size == 1 and self.scale.size == 1
        weight = self.weight * float(_flat(weights)[0]) if single else 1.0
        return Point(gradient, self.xs, self.rng, self.order + 1, weight, self.size)

    def compare(self, check: str, expected: Any, got: Any, tolerance: Any, **more: Any) -> None:
        """Raise GradientError unless the values agree; name the worst element."""
        if (np.shape(expected) == np.shape(got) and np.array_equal(expected, got)) or (
                np.all(_ratio(expected, got, tolerance) <= 1)):
            return
        ratio = np.broadcast_to(_ratio(expected, got, tolerance), np.shape(got))
        i = np.unravel_index(int(ratio.argmax()), ratio.shape)
        expected, got, tolerance = (np.broadcast_to(a, ratio.shape)[i]
                                    for a in (expected, got, tolerance))
        raise GradientError(check, self.order, expected=expected, got=got, tolerance=tolerance,
                            **{"index": tuple(map(int, i)), **more})

    def compare_gradients(self, check: str, expected: list[Any], got: list[Any],
                          tolerance: float, **more: Any) -> None:
        """Compare the gradients of all arguments, element by element."""
        for i, (x, e, a) in enumerate(zip(self.xs, expected, got, strict=True)):
            if np.array_equal(e, a):
                continue
            worst = _ratio(e, a, tolerance)
            at = x.reshape(-1)[int(worst.argmax())] if x.size else None
            rounded = tolerance + 2**12 * EPS * np.abs(e)
            self.compare(check, e, a, rounded, argument=i, x=at, **more)


def _ratio(expected: Any, got: Any, tolerance: Any) -> Any:
    """Return error / tolerance: more than 1 where values differ, inf where one is not finite."""
    with np.errstate(all="ignore"):
        ratio = np.abs(np.subtract(got, expected)) / tolerance
    return np.where(np.isfinite(got) & np.isfinite(ratio), ratio, np.inf)


def _flat(parts: Any) -> Array:
    return np.concatenate([np.zeros(0), *[np.reshape(values(part), -1) for part in parts]])


@contextmanager
def _writing_reported(order: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise GradientError("read-only inputs and cotangent", order, note=(
            f"the function or its rule writes into an array it was given ({error}); an array may "
            "be in use elsewhere: compute a new one")) from error


def check_repeatable(point: Point) -> None:
    """Calling f again must give the same bits, in the value and in the gradients."""
    y, pull = plain_vjp(point.f, *point.xs)
    same = [np.array_equal(a, b, equal_nan=True) for a, b in
            [(y, point.y), *zip(pull(point.c), point.gradients, strict=True)]]
    if not all(same):
        what = "the value" if not same[0] else "the gradient"
        raise GradientError("the same call again", note=f"{what} is another one the second time; "
                            "pass the seed or generator of what is random as an argument")


def check_differences(point: Point) -> None:
    r"""$c^\top J v$ by differences is $(J^\top c)^\top v$: for each $v = e_i$, or for random v."""
    n = point.scale.size
    few = n <= effort.elements and point.order == 1
    for v in np.diag(point.scale) if few else [point.direction() for _ in range(effort.directions)]:
        expected, tolerance = point.slope(v)
        if _ratio(expected, point.g @ v, tolerance) > 1:
            _raise_at_element(point, v, "central differences")


def _raise_at_element(point: Point, v: Array, check: str) -> None:
    """Halve the direction v for as long as a half of it is wrong too; report what is left."""
    def wrong(chosen: Array) -> tuple[float, float, float]:
        part = np.zeros_like(v)
        part[chosen] = v[chosen]
        expected, tolerance = point.slope(part)
        return expected, float(point.g @ part), tolerance

    left = np.flatnonzero(v)
    while len(left) > 1:
        half = max(np.array_split(left, 2), key=lambda chosen: _ratio(*wrong(chosen)))
        if _ratio(*wrong(half)) <= 1:
            break
        left = half
    i = int(left[0])
    argument = int(np.searchsorted(np.cumsum([x.size for x in point.xs]), i, side="right"))
    x = point.xs[argument]
    index = np.unravel_index(i - sum(x.size for x in point.xs[:argument]), x.shape)
    by = (v[i] if len(left) == 1 else 1.0) * point.weight
    expected, got, tolerance = np.divide(wrong(left), by)
    of = "" if point.y.size == 1 else " of a weighted sum of the results"
    raise GradientError(check, point.order, of=of, argument=argument, index=tuple(map(int, index)),
                        x=float(x[index]), expected=expected, got=got, tolerance=abs(tolerance),
                        note="" if np.isfinite(expected) else NO_DERIVATIVE)


def check_recorded(point: Point) -> None:
    """The recorded backward pass must compute what the plain one does."""
    again = vjp(point.f, *[Tensor(x) for x in point.xs])[1](point.c)
    point.compare_gradients("the plain backward pass, but by the recorded one",
                            list(point.gradients), [values(part) for part in again],
                            rounding(point.size))


def check_alone(point: Point) -> None:
    """The gradient by one argument is the same where no other is asked for (see `wanted`)."""
    for i, x in enumerate(point.xs if len(point.xs) > 1 else ()):
        before, after = point.xs[:i], point.xs[i + 1 :]
        alone = plain_vjp(lambda x, a=before, b=after: point.f(*a, x, *b), x)[1](point.c)
        got = [alone[0] if j == i else g for j, g in enumerate(point.gradients)]
        point.compare_gradients("all gradients together, but alone", list(point.gradients), got,
                                rounding(point.size))


def check_linear(point: Point) -> None:
    r"""$J^\top c$ is linear in c: nothing in a rule may depend on how large its gradient is.

    A rule that clips or squares g fails $J^\top (c' - 1024 c) = J^\top c' - 1024 \, J^\top c$.
    """
    other = point.rng.uniform(-1, 1, point.y.shape)
    expected = [a - 1024 * b for a, b in zip(point.pull(other), point.gradients, strict=True)]
    point.compare_gradients("linearity in the cotangent", expected,
                            list(point.pull(other - 1024 * point.c)), 1024 * rounding(point.size))


def check_layouts(point: Point, given: list[Array]) -> None:
    """The same numbers in another memory layout give the same value and the same gradients.

    `given` are the inputs as the caller laid them out. Where a copy in C order can be computed,
    arrays whose elements are one number in memory, with strides of 0, must give what it gives.
    """
    _compare_laid_out(point, given, point.c, ["given"] * len(given), "C")
    for layout in LAYOUTS[1:]:
        check_layout(point, layout)
    for axis in {None, 0, point.y.ndim - 1} if point.y.ndim > 1 else {None}:
        c = repeated(point.c, axis) if point.y.size > 1 else point.c
        if not same_layout(c, point.c):
            point.compare_gradients("a copy of the cotangent", list(point.pull(np.array(c))),
                                    list(point.pull(c)), rounding(point.size),
                                    note=f"the cotangent is {WORDS[REPEATED]}")
    for axis in (0, -1):
        xs = [repeated(x, axis) if x.size > 1 else x for x in point.xs]
        _compare_with_copies(point, xs)


def check_layout(point: Point, layout: str) -> None:
    """Lay out the inputs and the cotangent in one way, together in F order and each by itself.

    Several inputs are laid out each in another way.
    """
    c, n = laid_out(point.c, layout), len(point.xs)
    if layout == "F":
        _compare_laid_out(point, [laid_out(x, "F") for x in point.xs], c, ["F"] * n, "F")
    if point.order == 1:
        turn = LAYOUTS.index(layout)
        names = [LAYOUTS[(turn + i) % len(LAYOUTS)] for i in range(n)]
        xs = [laid_out(x, name) for x, name in zip(point.xs, names, strict=True)]
        _compare_laid_out(point, xs, point.c, names, "C")
        _compare_laid_out(point, point.xs, c, ["C"] * n, layout)


def _compare_laid_out(point: Point, xs: list[Array], c: Array, names: list[str], of_c: str) -> None:
    """Compare with the point what the same numbers give, laid out as the names say."""
    otherwise = [not same_layout(x, old) for x, old in zip(xs, point.xs, strict=True)]
    note = ", ".join([f"argument {i} is {WORDS[name]}" for i, name in enumerate(names)
                      if otherwise[i]] + [f"the cotangent is {WORDS[of_c]}"] * (
                          not same_layout(c, point.c)))
    if not note:
        return
    try:
        y, pull = plain_vjp(point.f, *map(read_only, xs)) if any(otherwise) else (
            point.y, point.pull)
        gradients = list(pull(read_only(c)))
    except ValueError as error:
        if "negative" in str(error) and min([*c.strides, *(s for x in xs for s in x.strides)]) < 0:
            return  # the tensors of another library, as PyTorch's, have no such strides
        raise
    check = "the same numbers in C order"
    if y.shape == point.y.shape:
        point.compare(check, point.y, y, rounding(point.size) + 2**12 * EPS * np.abs(point.y),
                      note=note)
    point.compare_gradients(check, list(point.gradients), gradients, rounding(point.size),
                            note=note)


def _compare_with_copies(point: Point, xs: list[Array]) -> None:
    """Compare inputs with strides of 0 with their copies, where the copies can be computed."""
    if all(same_layout(x, old) for x, old in zip(xs, point.xs, strict=True)):
        return
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are equal, as of a singular matrix
        try:
            y, pull = plain_vjp(point.f, *[read_only(np.array(x)) for x in xs])
            expected = pull(point.c)
        except Exception:  # numbers that f does not take
            return
        found = _flat((y, *expected))
        size = float(np.abs(found).max(initial=0))
        if not np.isfinite(found).all() or size > 1e3 * (1 + point.size) or (
                y.shape != point.y.shape):  # rounding may decide what so large a number is
            return
        y_b, pull = plain_vjp(point.f, *map(read_only, xs))
        got = list(pull(point.c))
    note = f"the arguments are {WORDS[REPEATED]}"
    point.compare("copies of the arguments", y, y_b, rounding(point.size + size), note=note)
    point.compare_gradients("copies of the arguments", list(expected), got,
                            rounding(point.size + size), note=note)


def check_complex_step(point: Point) -> None:
    r"""Where f is analytic, $Jv = \operatorname{Im} f(x + ihv) / h$ exactly, with h = 1e-100.

    Nothing cancels, so the tolerance is that of the rule's own rounding: errors show that
    differences cannot see. f counts as analytic here if it takes complex arrays and agrees with
    the differences. How far its derivative can be trusted is found by moving x by some roundings,
    and from fourth differences of values 3e-4 x apart, which leave only rounding: $\sin x / x$ near
    0 has the same error at all numbers nearby. A rule may round as f itself does: $1 - y^2$ of a y
    near 1 is right to the bits of y.
    """
    found = [_imaginary(point, shift) for shift in (0, 8 * EPS, *_APART)]
    known = [part for part in found if part is not None]
    if len(known) < len(found):
        return
    dy, moved, *apart = known
    if np.any(_ratio(point.tangent[0], dy, point.tangent[1]) > 1):
        return
    curve = np.stack([*apart[:2], dy, *apart[2:]])
    rough = np.abs(np.diff(curve, 4, axis=0)).max(0) / 70**0.5
    astray = (np.abs(point.c) * (np.abs(moved - dy) + 4 * rough)).sum()
    tolerance = 8 * astray + 2**12 * EPS * (
        np.abs(point.c * dy).sum() + np.abs(point.g * point.v).sum()
        + np.abs(point.c * point.y).sum())
    point.compare("the complex step", (point.c * dy).sum(), point.g @ point.v,
                  tolerance + 1e-90, index=None)


_APART = (-6e-4, -3e-4, 3e-4, 6e-4, 9e-4, 12e-4)


def _imaginary(point: Point, shift: float) -> Array | None:
    h = 1e-100
    uneven = point.v / point.scale  # moved by the same factor, terms might still cancel
    inner = [np.asarray(x * (1 + shift * u) + 1j * h * v) for x, u, v in
             zip(point.xs, point.split(uneven), point.split(point.v), strict=True)]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")  # of a complex number cast to a real one
            dy = np.imag(point.f(*inner)) / h
    except Exception:  # a function of real numbers may do anything with complex ones
        return None
    return dy if dy.shape == point.y.shape and np.isfinite(dy).all() else None


def check_tangents(point: Point) -> None:
    """J v, computed by transposing the recorded backward pass, is that of differences."""
    expected, tolerance = point.tangent
    point.compare("differences along a random direction", expected, point.pushed, tolerance)


def check_adjoint(point: Point) -> None:
    r"""The dot-product test, free of differences: $c^\top (J v) = (J^\top c)^\top v$."""
    products = point.g * point.v
    point.compare("the dot-product test", products.sum(), (point.c * point.pushed).sum(),
                  rounding(point.size) + 2**12 * EPS * np.abs(products).sum(), index=None)
