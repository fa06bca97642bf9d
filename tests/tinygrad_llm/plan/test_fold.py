"""A folded model: two of a kind, which stand for all."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.nn import parameters
from tinygrad_llm.plan.fold import Counted, fold, kind_of
from tinygrad_llm.train import make_config


def folded(**settings: Any) -> list[Any]:
    model = make_config({"width": 16, **settings}).new_model(11, seed=None)
    fold(model)
    found: list[Any] = model.h
    return found


def counts(parts: list[Any]) -> list[int]:
    return [part.count if isinstance(part, Counted) else 0 for part in parts]


def test_the_second_stands_for_all_others() -> None:
    assert counts(folded(layers=5)) == [1, 4, 0, 0, 0]
    assert counts(folded(layers=2)) == [1, 1]
    assert counts(folded(layers=1)) == [1], "where it begins and ends is noted"


def test_kinds_are_counted_apart() -> None:
    parts = folded(arch="llama", layers=8, window=3, layer_pattern="LLG")
    assert counts(parts) == [1, 5, 1, 0, 0, 1, 0, 0]  # L L G L L G L L


def test_weights_are_random_and_those_that_are_left_out_are_not_there() -> None:
    model = make_config({"layers": 9, "width": 16}).new_model(11, seed=None)
    fold(model)
    found = parameters(model)
    assert all(p.data.std() > 0.01 for p in found.values() if p.ndim > 1)
    assert sum(name.endswith("qkv.weight") for name in found) == 2
    assert model.head is model.wte.weight  # type: ignore[attr-defined]


def test_a_kind_is_its_class_shapes_and_settings() -> None:
    def part(**parts: Any) -> Any:
        return SimpleNamespace(**parts)

    weight = Tensor(np.zeros((2, 3)), requires_grad=True)
    one = part(weight=weight, window=3, inner=[part(eps=0.5)])
    assert kind_of(one) == kind_of(part(weight=Tensor(np.ones((2, 3))), window=3,
                                        inner=[part(eps=0.5)]))
    for other in (part(weight=weight, window=4, inner=[part(eps=0.5)]),
                  part(weight=weight, window=3, inner=[part(eps=0.25)]),
                  part(weight=Tensor(np.ones((3, 2))), window=3, inner=[part(eps=0.5)]),
                  part(weight=weight, window=3, inner=[part(eps=0.5)], more=None),
                  part(weight=weight, window=3, inner=(part(eps=0.5),))):
        assert kind_of(one) != kind_of(other)
    assert kind_of(part(more=[])) == kind_of(part(more=[])) != kind_of(part(more={}))
    assert kind_of(Stateless()) == kind_of(Stateless()) != kind_of(part())
    assert kind_of(partial(max, 1)) != kind_of(partial(max, 2))


class Stateless:
    pass


def test_parts_that_refer_in_a_circle() -> None:
    model = make_config({"layers": 4, "width": 16}).new_model(11, seed=None)
    for block in model.h:  # type: ignore[attr-defined]
        block.model = model
    assert kind_of(model) == kind_of(model)
    fold(model)
    assert sum(counts(model.h)) == 4, "all are counted"  # type: ignore[attr-defined]
