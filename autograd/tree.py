"""Containers of arrays: what transforms take and return besides single arrays.

A tree is a number, an array or a Tensor, or a tuple, list, dict or dataclass of trees. Anything
else in it (None, a string, a flag) belongs to its structure and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

from .tensor import Tensor


def flatten(tree: Any) -> tuple[list[Any], Callable[[Iterable[Any]], Any]]:
    """Return the leaves of a tree, and the function that puts others in their places.

    >>> leaves, rebuild = flatten({"a": 2.0, "b": (0.5, None)})
    >>> leaves, rebuild(["A", "B"])
    ([2.0, 0.5], {'a': 'A', 'b': ('B', None)})
    """
    leaves: list[Any] = []
    mapped(leaves.append, tree)

    def rebuild(values: Iterable[Any]) -> Any:
        remaining = iter(values)
        return mapped(lambda _: next(remaining), tree)

    return leaves, rebuild


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """Return the tree with f applied to each leaf: in order, in a dict in the order of its keys."""
    if isinstance(tree, tuple):
        parts = [mapped(f, part) for part in tree]
        make = getattr(type(tree), "_make", type(tree))  # a namedtuple has its own
        return make(parts)
    if isinstance(tree, list):
        return [mapped(f, part) for part in tree]
    if isinstance(tree, dict):
        new_dict = copy(tree)
        new_dict.update({key: mapped(f, tree[key]) for key in sorted(tree, key=repr)})
        return new_dict
    if is_dataclass(tree) and not isinstance(tree, type):
        new: Any = copy(tree)
        for field in fields(tree):
            if hasattr(tree, field.name):
                object.__setattr__(new, field.name, mapped(f, getattr(tree, field.name)))
        return new
    return f(tree) if is_leaf(tree) else tree


def is_leaf(x: Any) -> bool:
    """Whether x is a number (a bool is a flag), an array or a Tensor."""
    if isinstance(x, (Tensor, int, float, complex)):
        return not isinstance(x, bool)
    return hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, type)


def same_structure(tree: Any, other: Any) -> bool:
    """Whether `other` has leaves at the places where `tree` has them, in the same containers."""
    return bool(_shape_of(tree) == _shape_of(other))


def _shape_of(tree: Any) -> Any:
    if isinstance(tree, (tuple, list)):
        return list if isinstance(tree, list) else type(tree), [_shape_of(part) for part in tree]
    if isinstance(tree, dict):
        return dict, {key: _shape_of(part) for key, part in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree), [_shape_of(getattr(tree, f.name, None)) for f in fields(tree)]
    return is_leaf(tree)
