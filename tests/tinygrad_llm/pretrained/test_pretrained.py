"""A model from elsewhere and what came with it."""

from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.pretrained.pretrained import Pretrained


def test_a_model_alone_is_float32() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    alone = Pretrained(model)
    assert alone.model is model and alone.tokenizer is None and alone.chat_template is None
    assert (alone.generation, alone.storage) == ({}, "float32")
    assert Pretrained(model).generation is not alone.generation
