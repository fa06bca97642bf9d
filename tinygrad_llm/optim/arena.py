"""Where parameters lie in memory, and their gradients and averages beside them.

A model has some fifty to some hundred parameters. `Arena(parameters)` lays them side by side, in a
few long arrays, and their gradients in others of the same layout:

    data       | wte.weight          | h.0.attn.qkv.weight    | h.0.attn.out.weight | ...
    gradients  | wte.weight          | h.0.attn.qkv.weight    | h.0.attn.out.weight | ...

So a step of an optimizer is one walk over memory, and whatever treats all elements alike (an
optimizer, a scaling, a partition among machines) needs to know about arrays only, not about names.
An optimizer asks for arrays of its own with `zeros`. Those that are given plain parameters use
`Scattered`, which leaves each of them where it is. `Arena(parameters, scratch)` has the optimizer's
arrays in files (see `host.files`): of four arrays two are then in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array
from autograd.tensor import values

from ..host.files import Scratch

Label = TypeVar("Label")


class Arena:
    """Parameters side by side, matrices apart from the rest: `data` of each becomes a view.

    `gradients` has such views too, by name: a gradient that is written there and put into `grad` is
    not copied. A parameter that is later given another array is taken in again at the next step.
    Raises TypeError for anything but Tensors by name; ValueError for one that is no leaf requiring
    gradients, that is read-only, or that has two names.
    """

    def __init__(self, parameters: Mapping[str, Tensor], scratch: Scratch | None = None) -> None:
        self.parameters, self.scratch = _checked(parameters), scratch
        alike: dict[Any, list[str]] = {}
        for name, p in self.parameters.items():
            alike.setdefault((namespace(p.data), p.dtype, p.ndim >= 2), []).append(name)
        self.groups = list(alike.values())
        self.data, self.gradients = (Buffers(self.parameters, self.groups) for _ in range(2))
        for name in self.parameters:
            self._take_in([name])  # one by one: no second copy of the model

    def zeros(self) -> Buffers:
        """Return another array of zeros for each parameter, in the same layout."""
        return Buffers(self.parameters, self.groups, self.beside)

    def beside(self, like: Array, *shape: int) -> Array:
        """Return zeros for an optimizer, of the library and the type of `like`."""
        if self.scratch is None or type(like) is not np.ndarray:
            return zeros_like(like, *shape)
        return self.scratch.zeros(shape, like.dtype)

    def rest(self, *arrays: Array) -> None:
        """Have arrays that lie in files take no memory until they are next used."""
        if self.scratch is not None:
            self.scratch.rest(*arrays)

    def settle(self, steps: Mapping[str, Any]) -> None:
        """Do nothing: the stretches are the parameters' own data, and the update is done."""

    def stretches(self, label: Callable[[str], Label | None],
                  *buffers: Buffers) -> Iterator[tuple[Label, list[Array]]]:
        """Yield for neighbours with the same label that label, and their part of all arrays.

        Of `data`, `gradients` and the `buffers`, in this order. Parameters whose label is None are
        left out. Raises ValueError where a parameter was given data of another shape.
        """
        self._take_in([n for n, p in self.parameters.items() if p.data is not self.data[n]])
        kinds = self.data, self.gradients, *buffers
        for group, names in enumerate(self.groups):
            start = 0
            for same, run in groupby(names, lambda name: self._with_gradient(name, label)):
                stop = start + sum(self.parameters[name].size for name in run)
                if same is not None:
                    yield same, [kind.flat[group][start:stop] for kind in kinds]
                start = stop

    def _with_gradient(self, name: str, label: Callable[[str], Label | None]) -> Label | None:
        """Bring a parameter's gradient into its place; return the label."""
        gradient = self.parameters[name].grad
        if gradient is not None and gradient is not self.gradients[name]:
            self.gradients[name][...] = values(gradient)
        return label(name)

    def _take_in(self, names: Iterable[str]) -> None:
        """Copy the parameters' data to its place."""
        found = {name: self.parameters[name].data for name in names}
        for name, data in found.items():
            _check_shape(name, data, self.data[name])
        # Copies first: two parameters may have exchanged their arrays.
        for name, data in {name: data.copy() for name, data in found.items()}.items():
            self.data[name][...] = data
            self.parameters[name].data = self.data[name]


class Buffers(dict[str, Array]):
    """An array for each parameter, by name: views of the arrays `flat`, one for each group."""

    def __init__(self, parameters: Mapping[str, Tensor], groups: Iterable[Sequence[str]],
                 zeros: Callable[..., Array] | None = None) -> None:
        self.flat: list[Array] = []
        for names in groups:
            first, size = parameters[names[0]].data, sum(parameters[name].size for name in names)
            flat, start = (zeros or zeros_like)(first, size), 0
            for name in names:
                p = parameters[name]
                self[name] = flat[start : start + p.size].reshape(p.shape)
                start += p.size
            self.flat.append(flat)


def zeros_like(like: Array, *shape: int) -> Array:
    """Return zeros of the library and the type of an array."""
    zeros: Array = namespace(like).zeros(shape, dtype=like.dtype)
    return zeros


class Scattered:
    """Parameters that stay where they are, each a stretch of its own; otherwise as `Arena`."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.parameters = _checked(parameters)
        self.gradients = self.zeros()

    beside = staticmethod(zeros_like)

    def zeros(self) -> Buffers:
        """Return an array of zeros for each parameter."""
        return Buffers(self.parameters, [[name] for name in self.parameters])

    def rest(self, *arrays: Array) -> None:
        """Do nothing: all arrays are in memory."""

    def settle(self, steps: Mapping[str, Any]) -> None:
        """Do nothing, as of an `Arena`."""

    def stretches(self, label: Callable[[str], Label | None],
                  *buffers: Buffers) -> Iterator[tuple[Label, list[Array]]]:
        """Yield each parameter's label, and its data, its gradient and its part of the buffers."""
        for name, p in self.parameters.items():
            _check_shape(name, p.data, self.gradients[name])
        for name, p in self.parameters.items():
            arrays = [p.data, values(p.grad), *(buffer[name] for buffer in buffers)]
            if (same := label(name)) is not None:
                yield same, [a if p.ndim else a.reshape(1) for a in arrays]


def _checked(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters; raise TypeError or ValueError for what no step can update."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f"expected parameters by name, such as nn.parameters(model) or "
                        f"{{'w': w}}, got {type(parameters).__name__}")
    if not parameters:
        raise ValueError("there are no parameters; nn.parameters(model) finds a model's")
    for name, p in parameters.items():
        _check_parameter(name, p)
    if len({id(p) for p in parameters.values()}) < len(parameters):
        raise ValueError("a Tensor has two names, under which it would be updated twice; name tied "
                         "weights once, as nn.parameters does")
    return dict(parameters)


def _check_parameter(name: Any, p: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"expected a parameter's name, got {name!r}")
    if not isinstance(p, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(p).__name__}; make it with "
                        f"Tensor(array, requires_grad=True)")
    if p.node is None:
        raise ValueError(f"{name}: a constant of {p.dtype} receives no gradient; make it with "
                         f"requires_grad=True, or leave it out")
    if p.node.op is not None:
        raise ValueError(f"{name}: the result of {p.node.op.name} is no parameter, its gradient "
                         f"goes to what it was computed from; give that, or Tensor(x.data, "
                         f"requires_grad=True)")
    if not getattr(p.data.flags, "writeable", True):
        raise ValueError(f"{name}: its array is read-only and cannot be updated; give a copy")


def _check_shape(name: str, data: Array, place: Array) -> None:
    if data.shape != place.shape:
        raise ValueError(f"{name} had the shape {place.shape} and was given data of shape "
                         f"{data.shape}; make a new optimizer")
