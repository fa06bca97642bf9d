"""Small models, those that write, their texts by definition, and interrupts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from autograd import Tensor
from autograd.tensor import values
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import CausalSelfAttention, parameters
from tinygrad_llm.nn.cache import quantized
from tinygrad_llm.sample import Chooser, Sampling, choose_all
from tinygrad_llm.text import CharTokenizer

GREEDY = Sampling(temperature=0, max_tokens=5)
VOCABULARY = 9
LETTERS = CharTokenizer("abcdefghi")

SIZES: dict[str, Any] = {"vocab_size": 7, "context": 12, "layers": 2, "heads": 4, "width": 16}
CONFIGS = {
    "learnt": GPTConfig(**SIZES),
    "sinusoidal": GPTConfig(**SIZES, positions="sinusoidal", norm="rms", mlp="swiglu"),
    "rotary": GPTConfig(**SIZES, positions="rotary"),
    "grouped": LlamaConfig(**SIZES, key_heads=2, qkv_bias=True, qk_norm=True),
    "window": LlamaConfig(**SIZES, key_heads=1, window=4, rope_scaling="linear factor=2"),
    "gemma 2": LlamaConfig(**SIZES, key_heads=2, window=3, layer_pattern="LG", soft_cap=2.0,
                           logit_cap=3.0, post_norms=True, norm_offset=1.0, tied=False),
    "yarn": LlamaConfig(**SIZES, rope_scaling="yarn factor=4 original=3", window=1),
    "experts": LlamaConfig(**SIZES, experts=3, expert_inner=8,
                           rope_scaling="llama3 factor=8 low=1 high=4 original=4"),
}
"""Models whose parts differ: positions, windows, caps, experts."""


def made(config: Any, seed: int = 0, scale: float = 0.4, dtype: Any = np.float64) -> Any:
    """Return a model whose likeliest token stands out."""
    model = (GPT if isinstance(config, GPTConfig) else Llama)(config)
    rng = np.random.default_rng(seed)
    for name, p in parameters(model).items():
        p.data = scale * rng.standard_normal(p.shape)
        if "norm" in name or ".ln_" in name:
            p.data += 1
        p.data = p.data.astype(dtype)
    return model


@contextmanager
def rounding(bits: int | None) -> Iterator[None]:
    """With bits, have every call of a model round keys and values as a cache of 8 bits does."""
    def rounded(x: Any) -> Tensor:
        q, s = quantized(values(x))
        return Tensor((q * s).astype(x.dtype))

    def of(*args: Any) -> Any:
        q, k, v = heads_of(*args)
        return q, rounded(k), rounded(v)

    heads_of = CausalSelfAttention.heads_of
    with pytest.MonkeyPatch.context() as patch:
        if bits:
            patch.setattr(CausalSelfAttention, "heads_of", of)
        yield


def gpt(context: int = 8, seed: int = 0) -> GPT:
    return made(GPTConfig(VOCABULARY, context, layers=2, heads=2, width=8), seed)


def llama(context: int = 8, seed: int = 0, window: int = 0) -> Llama:
    return made(LlamaConfig(VOCABULARY, context, layers=2, heads=4, key_heads=2, width=16,
                            window=window, layer_pattern="LG" if window else "L"), seed)


@st.composite
def models(draw: st.DrawFn) -> Any:
    context, seed = draw(st.integers(1, 9)), draw(st.integers(0, 99))
    return (gpt(context, seed) if draw(st.booleans())
            else llama(context, seed, draw(st.integers(0, 4))))


def slowly(model: Any, prompt: Sequence[int], sampling: Sampling) -> tuple[list[int], str]:
    """Return a text by its definition, full forward passes over the window, and why it ended."""
    context = model.config.context
    chooser, window, ids = Chooser(sampling, prompt, VOCABULARY), [*prompt], []
    while len(ids) != sampling.max_tokens:
        z = model(np.array([window])).data[:, -1]
        token, = choose_all(z, [chooser])
        if token in sampling.ends:
            return ids, "end"
        chooser.take(token, z[0])
        ids.append(token)
        if len(window) == context:
            if sampling.past_context == "stop":
                return ids, "length"
            window = window[context - context // 2 :]
        window.append(token)
    return ids, "length"


def samplings(stop: bool = True) -> st.SearchStrategy[Sampling]:
    return st.builds(
        Sampling, temperature=st.sampled_from([0.0, 0.0, 0.8]), seed=st.integers(0, 99),
        top_k=st.sampled_from([None, 3]), repetition_penalty=st.sampled_from([1.0, 1.5]),
        max_tokens=st.integers(0, 14), ends=st.sampled_from([(), (3,), (1, 4)]),
        past_context=st.sampled_from(["slide", "stop"] if stop else ["slide"]))


def prompts(context: int) -> st.SearchStrategy[list[int]]:
    """Return prompts of which many begin alike, or are the same."""
    return st.integers(1, context).flatmap(lambda size: st.sampled_from(
        [[1, 2, 3, 4, 5, 6, 7, 8, 0][:size], [1, 2, 3, 0, 0, 0, 1, 1, 1][:size]])) | st.lists(
        st.integers(0, VOCABULARY - 1), min_size=1, max_size=context)


def interrupted_at(line: int, folder: str, work: Callable[[], Any]) -> int:
    """Raise KeyboardInterrupt before the so-manieth line of a folder that `work` comes to.

    Returns how many lines it came to.
    """
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if folder not in Path(frame.f_code.co_filename).parts:
            return None
        if event == "line":
            count += 1
            if count == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        assert count == line
    finally:
        sys.settrace(before)
    return count
