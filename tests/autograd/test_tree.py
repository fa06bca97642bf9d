"""Containers come apart and together again, with all that is not a leaf in its place."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from autograd.tree import flatten, is_leaf, mapped, same_structure

Point = namedtuple("Point", ["x", "y"])


@dataclass(frozen=True)
class Layer:
    """A dataclass with leaves, a flag and a field that is not set."""

    w: Any
    name: str = "layer"
    trained: bool = True
    later: Any = field(init=False, repr=False)


X = np.ones(2)

TREES = [
    1.0, X, (1.0, X), [], [[1, 2], (3,)], {"b": 1, "a": [2.0, None]}, Point(1.0, (X, "text")),
    OrderedDict(z=1.0, a=2.0), Layer({"k": (X, 2.0)}), [Layer(1.0), None, "text", True, np.float64],
    {2: 1.0, "a": 2.0}, (Tensor(X), np.float32(3)),
]


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_what_comes_apart_goes_together_again(tree: Any) -> None:
    leaves, rebuild = flatten(tree)
    again = rebuild(leaves)
    assert repr(again) == repr(tree) and type(again) is type(tree)
    assert all(a is b for a, b in zip(flatten(again)[0], leaves, strict=True))
    assert same_structure(tree, again) and same_structure(tree, rebuild(range(len(leaves))))


def test_leaves_come_in_order_and_dicts_by_their_keys() -> None:
    tree = {"b": (1, [2, 3]), "a": Point(4, Layer(5)), "c": None}
    leaves, rebuild = flatten(tree)
    assert leaves == [4, 5, 1, 2, 3]
    made = rebuild("vwxyz")
    assert made["a"].x == "v" and made["b"] == ("x", ["y", "z"]) and list(made) == ["b", "a", "c"]


def test_containers_keep_their_kind_and_what_belongs_to_it() -> None:
    counts: defaultdict[str, float] = defaultdict(float, a=1.0)
    doubled = mapped(lambda x: 2 * x, counts)
    assert doubled == {"a": 2.0} and doubled["new"] == 0.0 and counts == {"a": 1.0}
    layer = mapped(lambda x: 2 * x, Layer(3.0))
    assert (layer.w, layer.name, layer.trained) == (6.0, "layer", True)
    assert not hasattr(layer, "later")


@pytest.mark.parametrize("x, leaf", [
    (1, True), (1.0, True), (1j, True), (X, True), (np.float32(1), True), (Tensor(1.0), True),
    (True, False), (None, False), ("text", False), (np.float64, False), (len, False), ([], False),
])
def test_leaves(x: Any, leaf: bool) -> None:
    assert is_leaf(x) is leaf and len(flatten(x)[0]) == leaf


@pytest.mark.parametrize("a, b, same", [
    (1.0, X, True), ((1, 2), (3, 4), True), ((1, 2), [1, 2], False), ((1, 2), (1,), False),
    ({"a": 1}, {"a": X}, True), ({"a": 1}, {"b": 1}, False), ({"a": 1}, OrderedDict(a=2), True),
    (1.0, None, False), (Point(1, 2), (1, 2), False), (Layer(1), Layer(2), True),
    (Layer(1), Layer(None), False), ([1, "x"], [1, "y"], True),
])
def test_structures(a: Any, b: Any, same: bool) -> None:
    assert same_structure(a, b) is same
