"""What is kept is what the parts were given and returned, and the model stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn.observed import Observed, added, can_be_observed, observed, streams_of

SIZES = {"vocab_size": 11, "context": 9, "layers": 3, "heads": 2, "width": 8}
IDS = np.array([[3, 1, 4], [1, 5, 9]])


@pytest.mark.parametrize("model", [
    GPT(GPTConfig(**SIZES)), Llama(LlamaConfig(**SIZES, post_norms=True))], ids=["gpt", "llama"])
def test_the_stream_is_the_sum_of_what_was_added(model: GPT | Llama) -> None:
    blocks = list(model.h)
    twin, kept = observed(model)
    np.testing.assert_array_equal(twin(IDS).data, model(IDS).data)
    assert model.h == blocks and not any(isinstance(part, Observed) for block in blocks
                                         for part in vars(block).values())
    streams = streams_of(kept)
    assert len(streams) == 4
    for before, after, a, m in zip(streams, streams[1:], added(kept, "attn"), added(kept, "mlp"),
                                   strict=False):
        np.testing.assert_allclose((before + a + m).data, after.data, rtol=1e-5, atol=1e-6)


def test_which_models_have_such_blocks() -> None:
    assert can_be_observed(GPT(GPTConfig(**SIZES)))
    assert not can_be_observed(object())
    assert not can_be_observed(type("Other", (), {"h": [object()]})())
    assert not can_be_observed(type("Empty", (), {"h": []})())
