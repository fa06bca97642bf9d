"""Parameters are found by walking plain objects; there is no base class to inherit from."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from autograd import Tensor, namespace
from autograd.backend import Array, wide

Model = TypeVar("Model")


def parameters(model: Any) -> dict[str, Tensor]:
    """Return `{"h.0.attn.qkv.weight": Tensor}`: every Tensor in `model` that requires gradients.

    Attributes, list and tuple items and dictionary entries are walked in their order. A Tensor
    that is found in two places (tied weights) is one parameter, under the name found first.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in _walk(model, "", seen):
        found[name] = tensor
    return found


_SKIPPED = (str, bytes, type, types.ModuleType, types.FunctionType, types.MethodType)


def children(thing: Any) -> list[tuple[Any, Any]]:
    """Return what stands in an object, a list, a tuple or a dictionary, each with its key."""
    if isinstance(thing, (*_SKIPPED, Tensor)):
        return []
    if isinstance(thing, Mapping):
        return list(thing.items())
    if isinstance(thing, (list, tuple)):
        return list(enumerate(thing))
    return list(vars(thing).items()) if hasattr(thing, "__dict__") else []


def _walk(thing: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(thing, _SKIPPED) or id(thing) in seen:
        return
    if isinstance(thing, Tensor):
        seen.add(id(thing))
        if thing.requires_grad:
            yield name, thing
        return
    if items := children(thing):
        seen.add(id(thing))
    for key, value in items:
        yield from _walk(value, f"{name}.{key}" if name else str(key), seen)


def load_parameters(model: Any, arrays: Mapping[str, Array]) -> None:
    """Write `arrays` into the parameters of `model` that have their names, in place.

    Raises ValueError, before anything is written, for names that are missing or too many, for
    other shapes, and for numbers of another kind: integers or truth values are no weights.
    """
    own = parameters(model)
    missing, extra = sorted(own.keys() - arrays.keys()), sorted(arrays.keys() - own.keys())
    other = [f"{name} {tuple(arrays[name].shape)} instead of {own[name].shape}"
             for name in own.keys() & arrays.keys() if arrays[name].shape != own[name].shape]
    kinds = [f"{name} {arrays[name].dtype} instead of {own[name].dtype}" for name in
             own.keys() & arrays.keys()
             if wide(arrays[name].dtype).kind != wide(own[name].dtype).kind]
    if missing or extra or other or kinds:
        raise ValueError(
            "the weights do not fit the model: "
            + "; ".join(f"{what}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
                        for what, names in (("missing", missing), ("not in the model", extra),
                                            ("other shape", sorted(other)),
                                            ("other kind", sorted(kinds))) if names)
        )
    for name, tensor in own.items():
        tensor.data[...] = namespace(tensor.data).asarray(arrays[name])


def with_parameters(model: Model, tensors: Mapping[str, Tensor]) -> Model:
    """Return a copy of the model that computes with `tensors` in place of its parameters.

    Those that are not named are shared with the original. So a loss becomes a function of its
    weights, for `grad` and its kin: `lambda w: with_parameters(model, {name: w}).loss(x, y)`.
    Raises KeyError for a name that the model does not have.
    """
    own = parameters(model)
    unknown = tensors.keys() - own.keys()
    if unknown:
        raise KeyError(f"the model has no parameter {sorted(unknown)[0]!r}; it has {list(own)}")
    replacements = {id(p): tensors.get(name, p) for name, p in own.items()}
    return deepcopy(model, replacements)  # what is in deepcopy's memo counts as copied already
