"""The twin of GPT's writer beside its definition, the model that computes the whole text anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor
from autograd.tensor import values
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample import Chooser, Sampling, choose_all, generate
from tinygrad_llm.sample.gpt_writer import GPTWriter, writer

GREEDY = Sampling(temperature=0)
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-12}  # a norm of two columns enlarges what is rounded


def made(config: GPTConfig, dtype: Any = np.float64, scale: float = 0.4, seed: int = 0) -> GPT:
    """Return a model with weights at which none of its terms is negligible, biases included."""
    model, rng = GPT(config), np.random.default_rng(seed)
    for name, p in parameters(model).items():
        p.data = (scale * rng.standard_normal(p.shape)).astype(dtype)
        if ".ln_" in name and name.endswith("weight"):
            p.data += 1
    return model


@st.composite
def configs(draw: st.DrawFn) -> GPTConfig:
    heads = draw(st.integers(1, 3))
    return GPTConfig(vocab_size=draw(st.integers(1, 9)), context=draw(st.integers(1, 9)),
                     layers=draw(st.integers(1, 3)), heads=heads,
                     width=heads * draw(st.integers(1, 5)), bias=draw(st.booleans()))


@given(configs(), st.sampled_from([np.float32, np.float64]), st.data())
def test_each_step_gives_the_logits_of_a_full_forward_pass(config: GPTConfig, dtype: Any,
                                                           data: st.DataObject) -> None:
    model = made(config, dtype, seed=data.draw(st.integers(0, 99)))
    twin = writer(model)
    assert twin is not None
    for _ in range(2):  # the second text finds what the first has left behind
        ids = data.draw(st.lists(st.integers(0, config.vocab_size - 1), min_size=1,
                                 max_size=config.context))
        first = data.draw(st.integers(0, len(ids)))
        twin.length = 0  # as if new: a text may also begin with a step
        for t in range(max(first, 1), len(ids) + 1):
            got = twin.step(ids[t - 1]) if t > first else twin.begin(ids[:t])
            assert got.dtype == dtype and twin.length == t
            expected = model(np.array([ids[:t]])).data[0, -1]
            np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[dtype]
                                       * max(1, np.abs(expected).max()))


@pytest.mark.long
def test_at_a_usual_width_float32_stays_within_1e_5() -> None:
    model = made(GPTConfig(vocab_size=65, context=64, layers=4, heads=4, width=128), np.float32,
                 0.1)
    ids = np.random.default_rng(1).integers(0, 65, 64)
    twin = GPTWriter(model)
    twin.begin(ids[:9].tolist())
    for t in range(9, 64):
        expected = model.next_logits(ids[None, : t + 1]).data[0]
        assert np.abs(twin.step(ids[t]) - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.3


def written_out(model: GPT, prompt: Sequence[int], count: int, sampling: Sampling,
                seed: int) -> Iterator[int]:
    """`generate` by its definition: the window as its docstring says, and full forward passes."""
    context, rng = model.config.context, np.random.default_rng(seed)
    window = list(prompt)[-context:]
    chooser = Chooser(sampling, prompt, model.config.vocab_size, rng)
    for _ in range(count):
        token, = choose_all(model(np.array([window])).data[:, -1], [chooser])
        chooser.take(token)
        yield token
        if len(window) == context:
            window = window[context - context // 2 :]  # the newer half, rounded down
        window.append(token)


@given(configs(), st.data())
def test_the_text_is_that_of_full_forward_passes(config: GPTConfig, data: st.DataObject) -> None:
    model = made(config, seed=data.draw(st.integers(0, 99)))
    prompt = data.draw(st.lists(st.integers(0, config.vocab_size - 1), min_size=1,
                                max_size=2 * config.context + 1))
    count = data.draw(st.integers(0, 3 * config.context))
    sampling = data.draw(st.sampled_from([GREEDY, Sampling(), Sampling(0.7, 3, 0.9)]))
    expected = list(written_out(model, prompt, count, sampling, seed=5))
    for cache in (True, False):
        rng = np.random.default_rng(5)
        assert list(generate(model, prompt, count, sampling, rng, cache=cache)) == expected


@pytest.mark.parametrize("sampling, kinds", [(GREEDY, 4), (Sampling(), 30)])
def test_in_float32_a_longer_text_is_the_same(sampling: Sampling, kinds: int) -> None:
    model = made(GPTConfig(vocab_size=65, context=32, layers=4, heads=4, width=64), np.float32, 0.2)
    texts = [list(generate(model, [1], 150, sampling, np.random.default_rng(0), cache=cache))
             for cache in (True, False)]
    assert texts[0] == texts[1] and len(set(texts[0])) > kinds


@pytest.mark.parametrize("scale", [4.0, 60.0])
def test_numbers_far_from_the_usual_neither_warn_nor_differ(scale: float) -> None:
    """Scores lie far apart, GELU's exponential overflows in float32."""
    model = made(GPTConfig(vocab_size=7, context=6, layers=2, heads=2, width=8), np.float32, scale)
    twin = GPTWriter(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin.begin([3])
        for t, token in enumerate([1, 4, 1, 5]):
            got = twin.step(token)
            expected = model(np.array([[3, 1, 4, 1, 5][: t + 2]])).data[0, -1]
            np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())


def test_an_untied_head_and_another_eps_are_read() -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    model.head = Tensor(np.cos(np.arange(20.0)).reshape(5, 4))
    model.ln_f.eps, model.h[0].ln_1.eps, model.h[0].ln_2.eps = 0.5, 0.3, 0.2
    twin = GPTWriter(model)
    twin.begin([1, 2])
    np.testing.assert_allclose(twin.step(3), model(np.array([[1, 2, 3]])).data[0, -1],
                               rtol=1e-12)


def test_the_weights_are_only_read() -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=2, heads=2, width=4))
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    list(generate(model, [1], 9, GREEDY, np.random.default_rng(0)))
    for name, p in parameters(model).items():
        np.testing.assert_array_equal(p.data, before[name], err_msg=name)


def test_a_model_on_another_device_goes_without() -> None:
    config = GPTConfig(vocab_size=11, context=6, layers=2, heads=2, width=8)
    texts = []
    for move in (np.array, strict_cupy.asarray):
        model = made(config)
        for p in parameters(model).values():
            p.data = move(p.data)
        assert (writer(model) is not None) == (move is np.array)
        texts.append(list(generate(model, [3, 1], 14, GREEDY, np.random.default_rng(0))))
    assert texts[0] == texts[1]


class Replaced:
    """Something that stands in a layer's place, and does the same at each position."""

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def __call__(self, x: Any, *options: Any) -> Any:
        x = values(x)
        first = x[..., None] if x.ndim == 2 else x[..., :1]
        return Tensor(np.cos(first + np.arange(self.columns)))


@pytest.mark.parametrize("replaced", ["h.0", "h.0.mlp", "h.1.mlp.down", "h.1.attn.qkv",
                                      "h.0.attn.out", "h.1.ln_2", "wte", "ln_f"])
def test_a_model_with_a_replaced_part_is_written_by_its_own_call(replaced: str) -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=2, heads=2, width=4))
    *path, last = replaced.split(".")
    owner: Any = model
    for name in path:
        owner = owner[int(name)] if name.isdecimal() else getattr(owner, name)
    substitute = Replaced(12 if last == "qkv" else 4)
    if last.isdecimal():
        owner[int(last)] = substitute
    else:
        setattr(owner, last, substitute)
    assert writer(model) is None
    got = list(generate(model, [1, 2], 7, GREEDY, np.random.default_rng(0)))
    assert got == list(written_out(model, [1, 2], 7, GREEDY, seed=0))


def test_the_twin_writes_only_with_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: GPTWriter, token: int) -> None:
        raise AssertionError("the twin writes")

    monkeypatch.setattr(GPTWriter, "step", refuse)
    model, rng = made(GPTConfig(5, 4, 1, 1, 4)), np.random.default_rng(0)
    assert len(list(generate(model, [1], 3, GREEDY, rng, cache=False))) == 3
    with pytest.raises(AssertionError, match="the twin writes"):
        list(generate(model, [1], 3, GREEDY, rng))


def test_other_kinds_of_numbers_and_models_go_without() -> None:
    config = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)
    half, mixed = made(config, np.float16), made(config)
    mixed.h[0].mlp.up.weight.data = mixed.h[0].mlp.up.weight.data.astype(np.float32)
    other = type("Other", (GPT,), {})(config)
    for model in (half, mixed, other):
        assert writer(model) is None
        assert len(list(generate(model, [1], 6, GREEDY, np.random.default_rng(0)))) == 6


@pytest.mark.parametrize("options", [{"norm": "rms"}, {"positions": "rotary"}, {"mlp": "swiglu"},
                                     {"positions": "sinusoidal"}, {"mlp": "relu_squared"}])
def test_a_gpt_with_later_parts_goes_without(options: dict[str, str]) -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4, **options))
    assert writer(model) is None
    got = list(generate(model, [1, 2], 7, GREEDY, np.random.default_rng(0)))
    assert got == list(written_out(model, [1, 2], 7, GREEDY, seed=0))


@pytest.mark.parametrize("option", [{"window": 1}, {"scale": 2.0}, {"soft_cap": 0.5}])
def test_an_attention_with_options_goes_without(option: dict[str, float]) -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    assert writer(model) is not None
    vars(model.h[0].attn).update(option)
    assert writer(model) is None


def test_frozen_weights_are_weights_too() -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    frozen = model.h[0].attn.out
    frozen.weight = Tensor(strict_cupy.asarray(frozen.weight.data))
    assert writer(model) is None


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_told(bad: float, cache: bool) -> None:
    model = made(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    model.h[0].mlp.down.weight.data[1, 2] = bad
    text = generate(model, [1], 5, Sampling(), np.random.default_rng(0), cache=cache)
    with np.errstate(all="ignore"), pytest.raises(UserError, match="largest logit is nan.*earlier"):
        next(text)


def test_a_row_of_nan_is_told_when_its_token_comes() -> None:
    model = made(GPTConfig(vocab_size=5, context=8, layers=1, heads=1, width=4))
    model.head = Tensor(model.head.data.copy())
    second = list(generate(model, [1], 2, GREEDY, np.random.default_rng(0)))[1]
    model.wte.weight.data[second] = np.nan
    text = generate(model, [1], 5, GREEDY, np.random.default_rng(0))
    with pytest.raises(UserError, match="largest logit is nan"):
        list(text)


def test_impossible_lengths() -> None:
    twin = GPTWriter(made(GPTConfig(vocab_size=5, context=3, layers=1, heads=1, width=4)))
    for ids in ([], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match=f"expected 1 to 3 tokens.* got {len(ids)}"):
            twin.begin(ids)
    twin.begin([1, 2])
    twin.step(3)
    with pytest.raises(ValueError, match="context of 3 tokens is full; begin again"):
        twin.step(4)
