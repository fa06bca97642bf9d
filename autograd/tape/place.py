"""Where a value was computed: the line in the user's code, the layer, and the arguments."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..primitive import Composite
from .failing import nested_to_host, not_finite
from .walk import parts

__all__ = ["Origin", "Place", "ranged"]


class Place(NamedTuple):
    """A line of code, and the function around it."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{_short(self.filename)}:{self.line}, in {self.function}"

    @property
    def text(self) -> str:
        """The line itself."""
        return linecache.getline(self.filename, self.line).strip()


def _short(path: str) -> str:
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path


_HOME = str(Path(__file__).parents[1]) + os.sep


class Origin:
    """The origin of a value: the op, its arguments, and the place of the call.

    It lives as long as the value's node does, as one of its hooks, which hands gradients on.
    """

    def __init__(self, op: Any, args: Sequence[Any], options: dict[str, Any],
                 frame: FrameType | None) -> None:
        self.op, self.args, self.options = op, args, options
        self.places: list[Place] = []  # the innermost line outside autograd, and the call of that
        self.layers: list[Any] = []  # the objects being called, the innermost first
        self.inside = ""  # the op of autograd's own that is written in terms of this one
        root, left = "", False  # the package of the innermost line; whether the walk has left it
        while frame is not None:
            code = frame.f_code
            if not code.co_filename.startswith(_HOME):
                package = frame.f_globals.get("__name__", "").partition(".")[0]
                place = Place(code.co_filename, frame.f_lineno, code.co_name)
                if not self.places:
                    self.places, root = [place], package
                elif package != root and not left:
                    left = True
                    library = hasattr(sys.modules.get(root), "__path__")
                    if library and "site-packages" not in code.co_filename:  # no runner of tests
                        self.places.append(place)
                self._enter(frame)
            elif code is Composite.__call__.__code__ and not self.places:
                self.inside = frame.f_locals["self"].name
            frame = frame.f_back

    def _enter(self, frame: FrameType) -> None:
        if frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
            layer = frame.f_locals.get("self")
            if callable(layer) and not any(layer is known for known in self.layers):
                self.layers.append(layer)

    def __call__(self, g: Any) -> Any:
        """Return the gradient as it is: this is a hook only to live as long as its node."""
        return g

    def line(self) -> str:
        """Return the file and the line in short."""
        place = self.places[0] if self.places else None
        return f"{Path(place.filename).name}:{place.line}" if place else "before the block"

    def given(self) -> bool:
        """Whether an argument or option is not finite itself."""
        return not_finite([*self.args, *self.options.values()]) is not None

    def path(self) -> str:
        """Return the names by which the called layers hold each other: "h.0.attn.qkv"."""
        names: list[str] = []
        inner = self.layers[0] if self.layers else None
        for outer in self.layers[1:]:
            if (name := held(outer, inner)) is not None:
                names.insert(0, name)
                inner = outer
        return ".".join(names)

    def name(self, i: int) -> str:
        """Return the name of argument i, with the parameter's name if the layer holds it."""
        if not self.args:
            return f"argument {i + 1}"
        if i >= len(self.args):
            return f"option {list(self.options)[i - len(self.args)]}"
        own = held(self.layers[0], self.args[i]) if self.layers else None
        known = f" ({'.'.join(filter(None, [self.path(), own]))})" if own else ""
        return f"argument {i + 1}{known}"

    def story(self) -> list[str]:
        """Return the lines that say from where the op was called."""
        lines = [f"{'called from' if i else 'at'} {place}:  {place.text}"
                 for i, place in enumerate(self.places)] or ["computed before detect_anomaly began"]
        if self.inside:
            lines.append(f"as a part of {self.inside}")
        if path := self.path():
            lines.append(f"module {path}")
        return lines

    def inputs(self) -> list[str]:
        """Return a line for each argument: shape, dtype and range."""
        lines = [f"{self.name(i)}: {ranged(x)}" for i, x in enumerate(self.args)]
        return lines + [f"option {name}: {ranged(x)}" for name, x in self.options.items()]


def ranged(x: Any) -> str:
    """Return the dtype, the shape and the range of an array or Tensor, and others as they are."""
    x = nested_to_host(x)
    if not isinstance(x, np.ndarray):
        return f"{x!r:.80}"
    finite = x[np.isfinite(x)]
    ends = [finite.min(), finite.max()] if finite.size else []
    found = [" to ".join(dict.fromkeys(f"{float(end):.6g}" for end in ends)), not_finite(x)]
    return f"{x.dtype}{list(x.shape)}: {' and '.join(filter(None, found)) or 'empty'}"


def held(outer: Any, inner: Any, depth: int = 4) -> str | None:
    """Return the attributes, items and keys by which `outer` holds `inner`, the first in order."""
    stack, seen = [(outer, "", 0)], {0}
    while stack and len(seen) < 5000:
        thing, name, steps = stack.pop()
        if thing is inner and steps:
            return name
        if steps < depth and id(thing) not in seen:
            seen.add(id(thing))
            stack += [(value, f"{name}.{key}" if name else str(key), steps + 1)
                      for key, value in reversed(parts(thing))]
    return None
