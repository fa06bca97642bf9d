"""A model from elsewhere and what came with it."""

from pathlib import Path

import numpy as np
import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.pretrained.pretrained import (
    Pretrained,
    check_ids,
    check_kind,
    empty_model,
    parameters_of,
)
from tinygrad_llm.text import CharTokenizer

CONFIG = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)


def test_a_model_alone_is_float32() -> None:
    model = GPT(CONFIG)
    alone = Pretrained(model)
    assert alone.model is model and alone.tokenizer is None and alone.chat_template is None
    assert (alone.generation, alone.storage) == ({}, "float32")
    assert Pretrained(model).generation is not alone.generation


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_empty_model(dtype: str) -> None:
    for kind, config in ((GPT, CONFIG), (Llama, LlamaConfig(vocab_size=5, width=8, heads=2))):
        model = empty_model(config, dtype)
        assert isinstance(model, kind) and model.config == config
        for name, p in parameters_of(model).items():
            assert p.dtype == p.data.dtype == dtype, name
            assert not p.data.any() or name.endswith("weight")
        ids = np.zeros((1, 2), int)
        model.loss(ids, ids).backward()
        assert all(p.grad is not None and p.grad.dtype == dtype
                   for p in parameters_of(model).values())


def test_types_that_are_refused() -> None:
    check_kind("float64")
    with pytest.raises(UserError, match="dtype: expected float32 or float64.*got 'float16'"):
        check_kind("float16")


def test_a_tokenizer_that_has_more_ids_than_the_model() -> None:
    check_ids(CharTokenizer("abcde"), GPT(CONFIG), Path("x"))
    with pytest.raises(UserError, match="tokenizer of x has ids up to 5, .* 5 rows"):
        check_ids(CharTokenizer("abcdef"), GPT(CONFIG), Path("x"))
