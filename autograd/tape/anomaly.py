r"""Anomaly mode: in which op the first NaN or infinity was born, and a test that shows it.

    with detect_anomaly():
        model.loss(ids, targets).backward()

An op is at fault where finite arguments went in and something else came out: in its value, or in
its rule, from a finite gradient $\bar y$ to an infinite $\bar x$. An infinity that was given is
passed on in peace, because $-\infty$ is how scores are masked; a NaN that was given, or an infinity
in a leaf (a weight that diverged), is reported as what came in. An overflow inside an op may also
end as 0, by a division: NumPy reports the overflow, and where a wider dtype has another number
than 0, the op is at fault as well. Then the arguments are cut down to
the smallest that still fail, and written as a test file that fails until the op is mended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ..backend import to_host
from ..broadcast import sum_to
from ..fused import Fused
from ..graph import Leaf, Node
from ..primitive import Primitive
from ..tensor import STATE, Tensor, recording, values
from .failing import Failure, not_finite
from .place import Origin, Place, ranged
from .pytest_file import write_test

__all__ = ["AnomalyError", "detect_anomaly"]


class AnomalyError(ArithmeticError):
    """A value or a gradient stopped being finite.

    `op` is the op's name, `location` the user's line that computed it, `module_path` the layer, as
    parameters are named ("h.0.attn"; empty outside of any), `file` the test that was written.
    """

    op: str
    location: Place | None
    module_path: str
    file: Path | None


@contextmanager
def detect_anomaly(folder: str | Path | None = None, *, inf: bool = True) -> Iterator[None]:
    """Inside the block, the first op whose value or gradient stops being finite raises.

    The AnomalyError names the op, the line, the layer and the arguments. The smallest arguments
    that fail are written to `folder` (the current one by default) as a pytest file. With
    `inf=False` only NaN counts. NumPy's own warnings are silent meanwhile. Values are looked at
    one by one and arguments are kept until the backward pass: for finding a fault, not for speed.
    An overflow that became 0 counts as an infinity, where NumPy computes and reports it.
    May also be written above a function, as `@detect_anomaly()`. Counts for this thread only.
    """
    before, watch = STATE.watch, _AnomalyWatch(Path(folder or "."), inf)
    try:
        STATE.watch = watch
        with np.errstate(all="ignore", over="call", call=watch.overflow):
            yield
    finally:
        STATE.watch = before


class _AnomalyWatch:
    """Looks at every value and every gradient (see `tensor.Watch`)."""

    def __init__(self, folder: Path, inf: bool) -> None:
        self.folder, self.inf = folder, inf
        self.users: dict[int, tuple[int, str]] = {}  # serial -> the node that g came from, its op
        self.last = -1
        self.overflowed = False

    def overflow(self, *_: Any) -> None:
        """Note that NumPy has met an overflow, since an op was last looked at."""
        self.overflowed = True

    def computed(self, op: Any, args: Sequence[Any], options: dict[str, Any], y: Tensor) -> None:
        """Raise where y is the first value that is not finite."""
        kind, overflowed = not_finite(y), self.overflowed
        self.overflowed = False
        if y.node is None and kind is None and not overflowed:
            return
        origin = Origin(op, args, options, sys._getframe(1))
        if y.node is not None:
            y.node.hooks = [origin, *(y.node.hooks or ())]
        if kind is None:
            if overflowed and not origin.given():
                self.look_for_zeros(origin, f"{op.name} made", Failure(op, args, options, "0", y))
            return
        for i, x in enumerate([*args, *options.values()]):
            leaf = isinstance(x, Tensor) and isinstance(x.node, Leaf)
            if (came := not_finite(x)) == kind == "NaN" or (came and leaf and self.inf):
                self.report(origin, f"{came} came into {op.name} as {origin.name(i)}", came, x)
        given = origin.given()
        if kind == "NaN" or (self.inf and not given):
            what = f"{op.name} made {_signed(y, kind)} out of " + (
                "infinities" if given else "finite numbers")
            self.report(origin, what, kind, y, within=_pulled_in(sys._getframe(1)),
                        failure=Failure(op, args, options, kind, y, inf=self.inf))

    def pulled(self, node: Node, g: Any, parts: Sequence[Any]) -> None:
        """Raise where one of the parts is the first gradient that is not finite."""
        origin, overflowed = _origin_of(node), self.overflowed
        self.overflowed = False
        if node.serial > self.last:  # a sweep goes from new to old: this is another one
            self.users = {}
        self.last, name, arrived = node.serial, node.op.name, not_finite(g)
        if arrived == "NaN":
            self.report(origin, f"the gradient that reached {name} holds NaN, given to backward or "
                        f"made by adding up several uses", arrived, g, node=node)
        for i, (part, parent) in enumerate(zip(parts, node.parents, strict=False)):
            if part is None or parent is None:
                continue
            self.users.setdefault(parent.serial, (node.serial, f"{name} ({origin.line()})"))
            kind = not_finite(part) or not_finite(_fitted(values(part), parent))
            if overflowed and not kind and not arrived and not origin.given():
                what = f"in the gradient of {origin.name(i)} the derivative of {name} made"
                failure = Failure(node.op, origin.args, origin.options, "0", part, i, g)
                self.look_for_zeros(origin, what, failure, node=node, g=g)
            if kind == "NaN" or (kind and self.inf and not arrived and not origin.given()):
                self.report(origin, f"the derivative of {name} made {_signed(part, kind)} "
                            f"in the gradient of {origin.name(i)}", kind, part, node=node, g=g,
                            failure=Failure(node.op, origin.args, origin.options, kind, part, i, g,
                                            inf=self.inf))

    def look_for_zeros(self, origin: Origin, what: str, failure: Failure, **where: Any) -> None:
        """Raise where the op's result is 0 because of an overflow on the way to it."""
        if not self.inf or not (failure.wrong == 0).any():
            return
        try:
            STATE.watch = None
            with recording(True), np.errstate(all="ignore"):
                lost = failure.lost(failure.args, failure.g)
        except Exception:  # the op cannot be computed again, or not in another dtype
            return
        finally:
            STATE.watch = self
        if lost.any():
            failure.wrong = np.where(lost, 0.0, 1.0)
            self.report(origin, f"{what} 0 out of an overflow", "0", failure.wrong,
                        failure=failure, **where)

    def report(self, origin: Origin, what: str, kind: str, array: Any, *, node: Node | None = None,
               within: Origin | None = None, failure: Failure | None = None, g: Any = None) -> None:
        """Raise AnomalyError, with all that is known."""
        story = [f"{what}: {_counted(array, kind)}", *origin.story()]
        if within is not None:
            story += [f"in the derivative of {within.op.name}, which was computed", *within.story()]
        story += origin.inputs() + ([f"gradient from above: {ranged(g)}"] if g is not None else [])
        if node is not None and (chain := self.chain(node)):
            story.append(f"the gradient came by {chain}")
        if failure is not None and (hint := _hint(origin, within, kind, array, g)):
            story.append(f"hint: {hint}")
        error = AnomalyError()
        error.op, error.location = origin.op.name, origin.places[0] if origin.places else None
        error.module_path, error.file = (within.path() if within else "") or origin.path(), None
        if failure is not None and origin.args:
            try:
                STATE.watch = None
                error.file = write_test(failure.smallest(), self.folder, story)
                story.append(f"the smallest input that fails is in {error.file}")
            except Exception as reason:  # whatever goes wrong in writing must not hide the anomaly
                story.append(f"no test was written: {reason}")
            finally:
                STATE.watch = self
        error.args = ("\n  ".join(story),)
        raise error

    def chain(self, node: Node) -> str:
        """Return the ops that the gradient came through, the last first."""
        ways: list[str] = []
        serial = node.serial
        while serial in self.users and len(ways) < 7:
            serial, way = self.users[serial]
            ways.append(way)
        return " <- ".join(ways[:6] + ["..."] * (len(ways) > 6))


# what is not finite


def _places_of(x: Any, kind: str) -> np.ndarray:
    x = to_host(values(x))
    return np.argwhere({"NaN": np.isnan, "inf": np.isinf, "0": np.logical_not}[kind](x))


def _signed(x: Any, kind: str) -> str:
    return "-inf" if kind == "inf" and bool((values(x) == -np.inf).any()) else kind


def _counted(x: Any, kind: str) -> str:
    x = to_host(values(x))
    if not len(found := _places_of(x, kind)):
        return "in summing it over broadcast axes or converting it to the argument's dtype"
    return f"{len(found)} of {x.size} elements, the first at {found[0].tolist()}"


def _fitted(part: Any, parent: Node) -> Any:
    """Return the gradient as the engine will fit it to its argument, where that changes it."""
    try:
        if part.dtype == parent.dtype and part.shape == parent.shape:
            return None
        return sum_to(part, parent.shape).astype(parent.dtype)
    except (ValueError, AttributeError):
        return None  # the engine's own error will say it better


_INFINITE_SLOPE = ("the slope at 0 is infinite; add a small number before the root, or use the "
                   "double where: where(x == 0, 0, sqrt(where(x == 0, 1, x)))")
_HINTS = {
    "log": "the logarithm needs x > 0; log1p, logsumexp and log_softmax avoid log(0), and a where "
           "around it needs one inside: where(x > 0, log(where(x > 0, x, 1)), 0)",
    "divide": "a division by 0, or by something too near it; divide by where(b == 0, 1, b)",
    "exp": "e**x overflows above 709 (float32: 88); subtract the maximum first, as logsumexp does",
    "sqrt": "the root of a negative number, which rounding may have made: sqrt(maximum(x, 0))",
    "power": "a root of a negative number, a negative power of 0, or an overflow",
    "derivative of sqrt": _INFINITE_SLOPE,
    "derivative of power": _INFINITE_SLOPE,
}
_HINTS |= {"log2": _HINTS["log"], "log10": _HINTS["log"], "exp2": _HINTS["exp"]}


def _hint(origin: Origin, within: Origin | None, kind: str, array: Any, g: Any) -> str:
    name = origin.op.name
    if kind == "0":
        return ("a count, a square or a factor is too large for the dtype and was divided by; "
                "compute with x.astype('float32') or wider, and convert the result")
    if within is not None and (known := _HINTS.get(f"derivative of {within.op.name}")):
        return known
    if g is None:
        return _HINTS.get(name, "an overflow, or a division by 0" if kind == "inf" else "")
    found = _places_of(array, kind)
    if g.shape == array.shape and len(found) and not to_host(values(g))[tuple(found[0])]:
        return ("the gradient that arrives there is 0, and 0 times an infinite slope is NaN: where "
                "does not hide what its other branch computes; give that a harmless argument, the "
                "double where: where(x > 0, log(where(x > 0, x, 1)), 0)")
    return _HINTS.get(f"derivative of {name}", "")


def _origin_of(node: Node) -> Origin:
    """Return the origin of a node's value, an empty one if it was computed before the block."""
    origin = next((hook for hook in node.hooks or () if isinstance(hook, Origin)), None)
    return origin or Origin(node.op, (), {}, None)


def _pulled_in(frame: FrameType | None) -> Origin | None:
    """Return the origin of the op whose rule is running, in a recorded backward pass."""
    while frame is not None:
        if frame.f_code in (Primitive.pull.__code__, Fused.pull.__code__):
            return _origin_of(frame.f_locals["node"])
        frame = frame.f_back
    return None
