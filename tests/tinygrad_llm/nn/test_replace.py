"""Parts of plain objects are found by class and replaced in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import Linear, parameters, replace


class Doubled:
    """A layer in the place of another: twice what that returns."""

    def __init__(self, inner: Linear) -> None:
        self.inner = inner

    def __call__(self, x: Any) -> Any:
        return 2 * self.inner(x)


def gpt() -> GPT:
    return GPT(GPTConfig(vocab_size=5, context=4, layers=2, heads=1, width=4))


def test_each_part_of_the_class_is_replaced_under_its_name() -> None:
    m, asked = gpt(), []
    names = replace(m, Linear, lambda name, part: asked.append(name) or Doubled(part))
    assert names == asked == [f"h.{i}.{part}" for i in range(2)
                              for part in ("attn.qkv", "attn.out", "mlp.up", "mlp.down")]
    assert all(isinstance(part, Doubled) for part in (m.h[0].attn.qkv, m.h[1].mlp.down))
    assert "h.0.attn.qkv.inner.weight" in parameters(m)


def test_the_model_computes_with_what_was_put_in() -> None:
    m, ids = gpt(), np.array([[1, 2, 3]])
    for p in parameters(m).values():
        p.data = np.cos(np.arange(p.size)).reshape(p.shape)
    before = m(ids).data
    replace(m, Linear, lambda name, part: Doubled(part) if name == "h.1.mlp.down" else part)
    after = m(ids).data
    m.h[1].mlp.down.inner.weight.data *= 0.5
    m.h[1].mlp.down.inner.bias.data *= 0.5
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(m(ids).data, before, rtol=1e-12)


def test_what_is_tied_stays_tied() -> None:
    shared = Linear(2, 2, np.random.default_rng(0))
    model: dict[str, Any] = {"a": shared, "b": [shared]}
    made: list[Doubled] = []
    assert replace(model, Linear, lambda name, part: made.append(Doubled(part)) or made[-1]) == [
        "a", "b.0"]
    assert model["a"] is model["b"][0] and len(made) == 1


def test_a_tuple_cannot_be_changed() -> None:
    model = {"pair": (Linear(1, 1, np.random.default_rng(0)),)}
    with pytest.raises(TypeError, match="pair.0 stands in a tuple, .*make it a list"):
        replace(model, Linear, lambda name, part: Doubled(part))


def test_a_circle_ends() -> None:
    m = gpt()
    m.itself = m
    assert len(replace(m, Linear, lambda name, part: part)) == 8
