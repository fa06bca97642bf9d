"""Gradient checks as one line: of a call, of a test over drawn inputs, of an op of your own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from ..primitive import Nondifferentiable, Op, registry
from ..tree import flatten
from .check import check_point, effort
from .failure import GradientError, Subject, explained, smallest
from .opcase import Inputs, OpCase
from .opchecks import check_dtype, check_edge, check_forward, check_tape


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
    if given and callable(given[0]) and not is_strategy(given[0]):
        f, *inputs = given
        if any(is_strategy(x) for x in (*inputs, *options.values())):
            return drawn_test(f, tuple(inputs), options, order, seed)()
        if inputs:
            return _checked(f, tuple(inputs), options, order, seed)

        @wraps(f)
        def checking(*args: Any, **named: Any) -> Any:
            return _checked(f, args, options | named, order, seed)

        return checking
    if given or any(is_strategy(x) for x in options.values()):
        return lambda f: drawn_test(f, given, options, order, seed)
    return lambda f: gradcheck(f, order=order, seed=seed, **options)


def _checked(f: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any],
             order: int | None, seed: int) -> Any:
    leaves, rebuild = flatten(inputs)
    inputs = rebuild([np.asarray(x) if isinstance(x, float) else x for x in leaves])
    explained(Subject(f, inputs, options, _or_usual(order), seed), check_subject)
    return f(*inputs, **options)


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


def is_strategy(x: Any) -> bool:
    """Whether x draws values; Hypothesis is not imported to find out."""
    return any(kind.__name__ == "SearchStrategy" and kind.__module__.startswith("hypothesis.")
               for kind in type(x).__mro__)


def drawn_test(f: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any],
               order: int | None, seed: int) -> Callable[..., None]:
    """Return a test without arguments: f is checked at inputs drawn from the strategies given."""
    from hypothesis import strategies as st

    def mixed(x: Any) -> Any:
        return x if is_strategy(x) else st.just(x)

    drawn = st.tuples(st.tuples(*map(mixed, given)),
                      st.fixed_dictionaries({k: mixed(x) for k, x in options.items()}))

    def check(inputs: Inputs) -> None:
        explained(Subject(f, *inputs, _or_usual(order), seed), check_subject)

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
        try:
            inner()
        except GradientError as error:
            failure = smallest(error, check_subject)
        else:
            return
        raise failure

    test.__name__, test.__doc__, test.__module__ = str(name), f.__doc__, f.__module__
    return test


def check_op(op: Any, case: OpCase | None = None, *, inputs: Any = None,
             oracle: Callable[..., Any] | None = None, order: int | None = None) -> None:
    """Prove an op: draw inputs for it and run every check at each.

    >>> from autograd import logaddexp, tanh
    >>> check_op(logaddexp)
    >>> check_op(tanh, oracle=np.tanh, order=3)

    `inputs` is a strategy for an array, for the tuple of the op's arguments, or for a pair of such
    a tuple and a dict of options; without it there are arrays at natural scale whose shapes
    broadcast together, or for which the op works. `oracle` computes the same with NumPy. An OpCase
    has all of these. Raises GradientError for the first check that fails.
    """
    if isinstance(op, str) and op not in registry:
        raise KeyError(f"check_op: no op is called {op!r}")
    op = registry[op] if isinstance(op, str) else op
    if case is not None:
        inputs, oracle, order = inputs or case.inputs, oracle or case.oracle, order or case.order
        for args, options, cotangent, expected in case.edges:
            explained(Subject(op, args, options),
                      partial(check_edge, cotangent=cotangent, expected=expected))

    def check(drawn: Any) -> None:
        subject = Subject(op, *_as_inputs(drawn), _or_usual(order), oracle=oracle)
        explained(subject, check_subject)

    if inputs is None:
        _check_at_found_inputs(check, op)
    else:
        property_test(check, inputs, op)()


def _check_at_found_inputs(check: Callable[[Any], None], op: Any) -> None:
    from .inputs import op_inputs  # says so where Hypothesis is missing

    test = property_test(check, op_inputs(op), op)
    from hypothesis.errors import Unsatisfiable

    try:
        test()
    except Unsatisfiable:
        raise ValueError(f"check_op: found no arrays that {op!r} takes and where it is finite; "
                         f"pass inputs=, a strategy that draws its arguments") from None


def _as_inputs(drawn: Any) -> Inputs:
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[1], dict):
        return drawn
    return drawn if isinstance(drawn, tuple) else (drawn,), {}
