"""Gradient checks as one line: of a call, of a test over drawn inputs, of an op of your own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

import numpy as np

from ..graph import Node
from ..primitive import Nondifferentiable, Op, registry
from ..tensor import Tensor, recorded, values
from ..tree import flatten
from .check import check_point, effort
from .failure import GradientError, NotCheckable, Subject, explained, smallest, unwrapped
from .opcase import Inputs, OpCase
from .opchecks import check_curvature, check_dtype, check_edge, check_forward, check_tape
from .options import is_strategy


def gradcheck(*given: Any, order: int | None = None, seed: int = 0, **options: Any) -> Any:
    """Check the gradients of a function: at a point, at each call, or at inputs that are drawn.

    `gradcheck(f, x, y)` checks f at these inputs and returns f(x, y). What is floating point among
    them, also inside containers, is differentiated by; all else is handed on, as are `options`.

    >>> from autograd import exp, sum
    >>> float(gradcheck(sum, np.zeros((2, 3)), axis=None))
    0.0

    `gradcheck(f)`, or `@gradcheck` above f, is f with a check at each call.

    >>> @gradcheck
    ... def energy(x, n):
    ...     return sum(exp(x) ** n)
    >>> round(float(energy(np.array([0.0, 1.0]), 2)), 3)
    8.389

    With strategies of Hypothesis in place of inputs, `@gradcheck(arrays((2, 3)), arrays((3,)))`
    above a function of x and y makes a test of it that pytest collects and that takes no
    arguments. The function returns what is to be differentiated. Strategies may be given by name
    too, and `gradcheck(f, arrays((2, 3)))` runs such a test at once.

    Raises GradientError as `check_grads` does, up to `order` (2 unless the profile says more).
    """
    __tracebackhide__ = True
    if given and callable(given[0]) and not is_strategy(given[0]):
        f, *inputs = given
        f = unwrapped(f)
        if any(is_strategy(x) for x in (*inputs, *options.values())):
            return drawn_test(f, tuple(inputs), options, order, seed)()
        if inputs:
            return _checked(f, tuple(inputs), options, order, seed)

        @wraps(f)
        def checking(*args: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            return _checked(f, args, options | named, order, seed)

        checking.checked = f  # type: ignore[attr-defined]
        return checking
    if given or any(is_strategy(x) for x in options.values()):
        return lambda f: drawn_test(f, given, options, order, seed)
    return lambda f: gradcheck(f, order=order, seed=seed, **options)


def _checked(f: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any],
             order: int | None, seed: int) -> Any:
    __tracebackhide__ = True
    leaves, rebuild = flatten(inputs)
    inputs = rebuild([np.asarray(x) if isinstance(x, float) else x for x in leaves])
    subject = Subject(f, inputs, options, _or_usual(order), seed)
    _check_that_something_is_checked(subject)
    explained(subject, check_subject)
    return f(*inputs, **options)


def by_position(f: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Inputs:
    """Return inputs with the arrays that were given by name in their places among the others.

    >>> by_position(lambda x, n: x**n, (), {"n": 2, "x": np.zeros(1)})
    ((array([0.]),), {'n': 2})
    """
    parameters = inspect.signature(getattr(f, "forward", f)).parameters.values()
    for name in [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][len(args) :]:
        if not any(hasattr(x, "dtype") for x in flatten(named.get(name))[0]):
            break
        args, named = (*args, named[name]), {k: v for k, v in named.items() if k != name}
    return args, named


def _check_that_something_is_checked(subject: Subject) -> None:
    if not subject.paths() and not isinstance(subject.f, Nondifferentiable):
        raise NotCheckable(f"gradcheck: {subject.name} got no floating point number or array to "
                           f"differentiate by; what is given by name is a constant, unless it is "
                           f"an array for a parameter that may be given by position")


def _or_usual(order: int | None) -> int:
    return effort.order if order is None else order


def check_subject(subject: Subject) -> None:
    """Check a function; and an op by what is asked of ops beyond that."""
    if subject.oracle is not None:
        check_forward(subject)
    if isinstance(subject.f, Op):
        check_tape(subject)
    if isinstance(subject.f, Nondifferentiable):
        return
    check_point(subject)
    if isinstance(subject.f, Op):
        check_dtype(subject)
        if effort.half:
            check_dtype(subject, np.float16)


def drawn_test(f: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any],
               order: int | None, seed: int) -> Callable[..., None]:
    """Return a test without arguments: f is checked at inputs drawn from the strategies given."""
    from hypothesis import strategies as st

    def mixed(x: Any) -> Any:
        return x if is_strategy(x) else st.just(x)

    drawn = st.tuples(st.tuples(*map(mixed, given)),
                      st.fixed_dictionaries({k: mixed(x) for k, x in options.items()}))

    def check(inputs: Inputs) -> None:
        subject = Subject(f, *by_position(f, *inputs), _or_usual(order), seed)
        _check_that_something_is_checked(subject)
        explained(subject, check_subject)

    return property_test(check, drawn, f)


def property_test(check: Callable[[Any], None], inputs: Any, f: Any) -> Callable[..., None]:
    """Return a test that checks what is drawn, and reports the simplest failure."""
    from hypothesis import HealthCheck, given, settings

    @settings(deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(inputs)
    def run(drawn: Any) -> None:
        check(drawn)

    name = getattr(f, "name", None) or getattr(f, "__name__", "test")
    inner: Any = run
    inner.hypothesis.inner_test._hypothesis_internal_add_digest = f"{f.__module__}.{name}".encode()

    def test() -> None:
        __tracebackhide__ = True
        try:
            inner()
            return
        except GradientError as error:
            found = error
        failure = smallest(found, check_subject)
        failure.__dict__.pop("__notes__", None)  # Hypothesis's, of the input as it was drawn
        raise failure.with_traceback(None) from None

    test.__name__, test.__doc__, test.__module__ = str(name), f.__doc__, f.__module__
    test.checked = f  # type: ignore[attr-defined]
    return test


def check_op(op: Any, case: OpCase | None = None, *, inputs: Any = None,
             options: Mapping[str, Any] | None = None, oracle: Callable[..., Any] | None = None,
             order: int | None = None) -> None:
    """Prove an op: draw inputs for it and run every check at each.

    >>> from autograd import logaddexp, tanh
    >>> check_op(logaddexp)
    >>> check_op(tanh, oracle=np.tanh, order=3)

    `inputs` is a strategy for an array, for the tuple of the op's arguments, or for a pair of such
    a tuple and a dict of options; without it there are arrays of all shapes that the op takes, of
    up to five axes and 64 elements, at natural scale and down to 1e-6, and its options have the
    values that their annotations, their defaults and the op's code name (see `inputs`, `options`).
    `options` gives, by name, other values for options: a list to choose from, a strategy, or one
    value. `oracle` computes the same with NumPy; where it lacks an option of the op, it is asked
    for the default alone. An OpCase has all of these. Raises GradientError for the first check that
    fails.
    """
    __tracebackhide__ = True
    if isinstance(op, str) and op not in registry:
        raise KeyError(f"check_op: no op is called {op!r}")
    op = registry[op] if isinstance(op, str) else op
    if case is not None:
        inputs, oracle, order = inputs or case.inputs, oracle or case.oracle, order or case.order
        for args, named, cotangent, expected in case.edges:
            explained(Subject(op, args, named),
                      partial(check_edge, cotangent=cotangent, expected=expected))
        for args, named, f, expected in case.curvatures:
            explained(Subject(op, args, named), partial(check_curvature, f=f, expected=expected))

    def check(drawn: Any) -> None:
        __tracebackhide__ = True
        args, named = _as_inputs(drawn)
        known = oracle if inputs is not None or _takes(oracle, named) else None
        explained(Subject(op, args, named, _or_usual(order), oracle=known), check_subject)

    check_at_inputs(check, op, inputs, options or {})


def _takes(function: Any, options: Mapping[str, Any]) -> bool:
    """Whether a function has these options, as far as its signature says."""
    try:
        parameters = inspect.signature(function).parameters if options else {}
    except (TypeError, ValueError):  # of a function in C
        return False
    return all(name in parameters for name in options) or any(
        p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_vjp(f: Callable[..., Any], vjp: Callable[..., Any], *xs: Any, seed: int = 0,
              **options: Any) -> None:
    r"""Prove a pair of plain functions: y = f(x, ...) and the gradients vjp(g, x, ...), $g^\top J$.

    >>> check_vjp(lambda a, b: a @ b, lambda g, a, b: (g @ b.T, a.T @ g),
    ...           np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))

    They compute with arrays of NumPy, or convert to those of another library and back. f returns
    an array, or a container of arrays, and then g is such a container; vjp returns a gradient for
    each x, of its shape, or a tuple of them, with None for what has none. What is broadcast in f
    is to be summed in vjp: no engine stands between them. `xs` are inputs or strategies for them;
    without any they are drawn, as `check_op` does. `options` are handed to both by name; where
    inputs are drawn they are hints (see `check_op`). The first order is checked: of the second, vjp
    is the f. Raises GradientError as `check_grads` does.
    """
    __tracebackhide__ = True
    pair = Pair(f, vjp)

    def check(drawn: Any) -> None:
        __tracebackhide__ = True
        explained(Subject(pair, *_as_inputs(drawn), 1, seed, "check_vjp"), check_subject)

    if not xs:
        check_at_inputs(check, pair, None, options)
    elif any(map(is_strategy, (*xs, *options.values()))):
        check_at_inputs(check, pair, _together(xs), options)
    else:
        leaves, rebuild = flatten(xs)
        check((rebuild([np.asarray(x) if isinstance(x, float) else x for x in leaves]), options))


class Pair:
    """A function and its vector-Jacobian product as one op, to be recorded as others are."""

    proved_by = "check_vjp"

    def __init__(self, f: Callable[..., Any], vjp: Callable[..., Any]) -> None:
        self.forward, self.rule = f, vjp
        self.__name__ = str(getattr(f, "__name__", type(f).__name__))
        self.__doc__, self.__module__ = f.__doc__, getattr(f, "__module__", __name__)
        self.name = self.__name__

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *xs: Any, **options: Any) -> Any:
        """Apply f to the values; record it where there are Tensors."""
        arrays = [values(x) for x in xs]
        found, rebuild = flatten(self.forward(*arrays, **options))
        parts = [np.asarray(y) for y in found]
        wide = any(getattr(x, "dtype", None) == np.float64 for x in arrays)
        if wide and any(y.dtype == np.float32 for y in parts):
            raise NotCheckable(
                f"check_vjp: {self.name} returned float32 for float64 arguments, which is too few "
                f"digits for differences; let it compute in float64 (in jax by jax.config.update("
                f"'jax_enable_x64', True))")
        if not parts or not any(isinstance(x, Tensor) for x in xs):
            return rebuild(parts)
        y = parts[0] if len(parts) == 1 else np.concatenate([y.reshape(-1) for y in parts])
        parents = [x.node if isinstance(x, Tensor) else None for x in xs]
        kept = arrays, options, rebuild, [y.shape for y in parts]
        return recorded(y, Node(self, parents, kept, y.shape, y.dtype))

    def pull(self, node: Node, g: Any, members: Any, record: bool) -> list[Any]:
        """Return the gradients that vjp gives, one for each argument, of its shape."""
        xs, options, rebuild, shapes = node.kept
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = [g] if len(shapes) == 1 else [
            part.reshape(shape) for part, shape in zip(np.split(g, ends), shapes, strict=True)]
        made = self.rule(rebuild(parts), *xs, **options)
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        if len(made) != len(xs):
            raise TypeError(f"vjp must return a gradient for each of the {len(xs)} arguments of "
                            f"{self.name}, None for one without; it returned {len(made)}")
        made = [dx if dx is None else np.asarray(dx) for dx in made]
        for i, (dx, x) in enumerate(zip(made, xs, strict=True)):
            if dx is not None and node.parents[i] is not None and dx.shape != x.shape:
                raise TypeError(f"vjp must return gradients of the arguments' shapes: argument {i} "
                                f"has {x.shape}, its gradient {dx.shape}; sum over the axes along "
                                f"which it was broadcast")
        return made


def _together(xs: tuple[Any, ...]) -> Any:
    from hypothesis import strategies as st

    return st.tuples(*(x if is_strategy(x) else st.just(x) for x in xs)).map(lambda xs: (xs, {}))


def check_at_inputs(check: Callable[[Any], None], f: Any, inputs: Any,
                    options: Mapping[str, Any]) -> None:
    """Check f at the inputs of a strategy, or else at what is found: the corners, then drawn."""
    __tracebackhide__ = True
    if inputs is not None:
        property_test(check, _with_options(inputs, options), f)()
        return
    from .inputs import Found, known_case  # says so where Hypothesis is missing

    known = known_case(f)
    if known is not None:
        property_test(check, _with_options(known.inputs, options), f)()
        return
    found = Found(f, options)
    for corner in found.corners():
        check(corner)
    from hypothesis.errors import Unsatisfiable

    try:
        property_test(check, found.drawn(), f)()
    except Unsatisfiable:
        said = f" (it said: {found.refusal})" if found.refusal else ""
        way = "strategies behind it" if isinstance(f, Pair) else "inputs="
        raise ValueError(f"found no arrays that {f!r} takes and where it is finite{said}; pass "
                         f"{way}, to draw its arguments") from None


def _with_options(inputs: Any, options: Mapping[str, Any]) -> Any:
    """Return the strategy of inputs with options from the hints beside those that it draws."""
    if not options:
        return inputs
    from hypothesis import strategies as st

    hints = {k: x if is_strategy(x) else st.sampled_from(list(x)) if isinstance(
        x, (list, set, frozenset, range)) else st.just(x) for k, x in options.items()}

    def joined(drawn: tuple[Any, dict[str, Any]]) -> Inputs:
        args, named = _as_inputs(drawn[0])
        return args, {**named, **drawn[1]}

    return st.tuples(inputs, st.fixed_dictionaries(hints)).map(joined)


def _as_inputs(drawn: Any) -> Inputs:
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[1], dict):
        return drawn
    return drawn if isinstance(drawn, tuple) else (drawn,), {}
