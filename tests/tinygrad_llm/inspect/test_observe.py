"""What is observed is what the model computes: each array against a direct computation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import Tensor, detect_anomaly, no_grad, plain_ops
from autograd.tensor import STATE
from tinygrad_llm.functional import attention, split_heads
from tinygrad_llm.inspect.observe import Look, observe, probabilities
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import CausalSelfAttention, parameters, replace, with_parameters

SIZES: dict[str, Any] = {"vocab_size": 11, "context": 9, "layers": 3, "heads": 4, "width": 16}
MODELS: dict[str, Any] = {
    "gpt": lambda: GPT(GPTConfig(**SIZES)),
    "gpt, one of each": lambda: GPT(GPTConfig(11, 9, 1, 1, 4, bias=False)),
    "gpt, rotary": lambda: GPT(GPTConfig(**SIZES, norm="rms", positions="rotary", mlp="swiglu")),
    "llama": lambda: Llama(LlamaConfig(**SIZES, key_heads=2, tied=False)),
    "gemma 2": lambda: Llama(LlamaConfig(
        **SIZES, key_heads=1, head_width=6, window=3, layer_pattern="LG", soft_cap=2.0,
        logit_cap=1.5, scale=0.7, post_norms=True, embed_scale=4.0, norm_offset=1.0)),
    "qwen 3, experts": lambda: Llama(LlamaConfig(
        **SIZES, key_heads=2, qkv_bias=True, qk_norm=True, experts=4, experts_per_token=2,
        shared_inner=8)),
}
IDS = np.array([3, 1, 4, 1, 5, 9, 2])


def natural_scale(name: str) -> Any:
    """A model in float64 whose parameters lie near 0.5: nothing in it is negligible."""
    model, draw = MODELS[name](), np.random.default_rng(1)
    for p in parameters(model).values():
        p.data = p.data.astype(float) + 0.4 * draw.standard_normal(p.shape)
    return model


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return natural_scale(request.param)


class Kept:
    """An attention layer that keeps what it was given and what it returned."""

    def __init__(self, layer: CausalSelfAttention) -> None:
        self.layer = layer

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        self.x, self.y = x, self.layer(x, *args, **options)
        return self.y


def test_shapes(model: Any) -> None:
    look, c = observe(model, IDS, runners_up=4), model.config
    size, some = len(IDS), 4
    assert {name: np.shape(value) for name, value in vars(look).items() if name != "gradients"} == {
        "ids": (size,), "vocabulary": (), "attention": (c.layers, c.heads, size, size),
        "lens_ids": (c.layers + 1, size, some), "lens_p": (c.layers + 1, size, some),
        "log_p": (c.layers + 1, size - 1), "ranks": (size - 1,), "stream": (c.layers + 1, size),
        "attention_out": (c.layers, size), "mlp_out": (c.layers, size),
        "stream_gradients": (c.layers + 1, size - 1)}
    assert observe(model, IDS, runners_up=50).lens_ids.shape[2] == c.vocab_size


def test_the_probabilities_are_those_of_the_layer(model: Any) -> None:
    """p v, sent through the layer's last map, is what the layer returns."""
    look = observe(model, IDS)
    np.testing.assert_allclose(look.attention.sum(-1), 1, rtol=1e-12)
    later = np.triu_indices(len(IDS), 1)
    assert (look.attention[:, :, *later] == 0).all() and look.attention.std() > 0.1
    names = replace(model, CausalSelfAttention, lambda name, layer: Kept(layer))
    assert len(names) == len(look.attention)
    with no_grad():
        model.hidden(IDS[None])
        for p, block in zip(look.attention, model.h, strict=True):
            layer, x = block.attn.layer, block.attn.x
            packed, depth = layer.qkv(x), layer.out.weight.shape[1] // len(p)
            groups = (packed.shape[-1] // depth - len(p)) // 2
            v = split_heads(packed, first=len(p) + groups, count=groups, depth=depth).data[0]
            o = np.einsum("hts,shd->thd", p, v.repeat(len(p) // groups, 1))
            y = layer.out(o.reshape(1, len(IDS), -1))
            np.testing.assert_allclose(y.data, block.attn.y.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [
    {}, {"window": 2}, {"soft_cap": 0.7, "scale": 1.3},
    {"documents": np.array([[0, 0, 0, 1, 1, 1, 1], [4, 4, 4, 4, 4, 4, 7]])},
])
def test_probabilities_of_any_options(options: dict[str, Any]) -> None:
    draw = np.random.default_rng(0)
    q = draw.standard_normal((2, 7, 6, 3))
    k, v = draw.standard_normal((2, 2, 7, 2, 3))
    p = probabilities(q, k, options)
    o = np.einsum("bhts,bshd->bthd", p, v.repeat(3, 2))
    np.testing.assert_allclose(o, attention(q, k, v, **options), rtol=1e-12)
    assert p.shape == (2, 6, 7, 7)


def test_the_last_row_of_the_lens_is_the_model(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with no_grad():
        z = model(IDS[None]).data[0]
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    for at_once in (1 << 24, 3 * p.shape[1]):
        monkeypatch.setitem(observe.__globals__, "LOGITS_AT_ONCE", at_once)
        look = observe(model, IDS, runners_up=p.shape[1])
        np.testing.assert_array_equal(look.lens_ids[-1], np.argsort(-p, -1))
        np.testing.assert_allclose(look.lens_p[-1], -np.sort(-p, -1), rtol=1e-6)
        own = np.take_along_axis(p[:-1], IDS[1:, None], 1)
        np.testing.assert_allclose(look.log_p[-1], np.log(own[:, 0]), rtol=1e-6)
        np.testing.assert_array_equal(look.ranks, (p[:-1] > own).sum(1))


def test_the_lens_is_a_model_of_fewer_layers(model: Any) -> None:
    """Behind n blocks it has what the model would say that has no others."""
    look, blocks = observe(model, IDS), model.h
    for n in range(len(blocks) + 1):
        model.h = blocks[:n]
        with no_grad():
            z = model(IDS[None]).data[0]
        log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
        np.testing.assert_array_equal(look.lens_ids[n][:, 0], z.argmax(-1))
        np.testing.assert_allclose(
            look.log_p[n], np.take_along_axis(log_p[:-1], IDS[1:, None], 1)[:, 0], rtol=1e-6)


def test_norms_of_activations(model: Any) -> None:
    """The stream, cut after each block, and what is added between two cuts."""
    look, blocks, streams = observe(model, IDS), list(model.h), []
    norm = "ln_f" if hasattr(model, "ln_f") else "norm_f"
    setattr(model, norm, lambda x: x)
    with no_grad():
        for n in range(len(blocks) + 1):
            model.h = blocks[:n]
            streams.append(model.hidden(IDS[None]).data[0])
        np.testing.assert_allclose(look.stream, [rms(x) for x in streams], rtol=1e-6)
        for n, block in enumerate(list(blocks)):
            block.mlp = lambda x: 0 * x
            model.h = blocks[: n + 1]
            middle = model.hidden(IDS[None]).data[0]
            np.testing.assert_allclose(look.attention_out[n], rms(middle - streams[n]), rtol=1e-6)
            np.testing.assert_allclose(look.mlp_out[n], rms(streams[n + 1] - middle), rtol=1e-6)
            blocks[n] = lambda x, *args, y=streams[n + 1][None]: y


def rms(x: Any) -> Any:
    return np.sqrt((x * x).mean(-1))


def test_norms_of_gradients(model: Any) -> None:
    look = observe(model, IDS)
    assert not any(p.grad is not None for p in parameters(model).values())
    loss = model.loss(IDS[None, :-1], IDS[None, 1:])
    assert -look.log_p[-1].mean() == pytest.approx(float(loss.data), rel=1e-6)
    loss.backward()
    assert look.gradients == {name: pytest.approx(np.sqrt((p.grad ** 2).sum()), rel=1e-6)
                              for name, p in parameters(model).items()}


def test_gradients_of_the_stream() -> None:
    """Beside a central difference along the gradient's direction, at one place of one layer."""
    model = natural_scale("gpt")
    look, block = observe(model, IDS), model.h[1]
    push = np.zeros((1, len(IDS) - 1, 16))
    slopes = []
    for c in range(16):
        for step in (1e-5, -1e-5):
            push[...] = 0
            push[0, 2, c] = step
            model.h[1] = lambda x, *args: block(x + push, *args)
            with no_grad():
                slopes.append(float(model.loss(IDS[None, :-1], IDS[None, 1:]).data) / step / 2)
    gradient = np.array(slopes).reshape(16, 2).sum(1)
    assert look.stream_gradients[1, 2] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_the_model_and_its_watch_stay_as_they_were(model: Any) -> None:
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    blocks = list(model.h)
    with detect_anomaly():
        watch = STATE.watch
        observe(model, IDS)
        assert STATE.watch is watch
    with no_grad():
        assert observe(model, IDS).gradients, "also where nothing is recorded"
    assert model.h == blocks and type(model.h[0].attn) is CausalSelfAttention
    assert {name: p.data.tobytes() for name, p in parameters(model).items()} == {
        name: array.tobytes() for name, array in before.items()}


def test_documents_do_not_see_each_other(model: Any) -> None:
    """Each is what it is alone, but for the token between them, which both count."""
    look = observe(model, IDS, documents=[5, 5, 5, 7, 7, 7, 7])
    for part in (slice(0, 3), slice(3, 7)):
        alone = observe(model, IDS[part])
        np.testing.assert_allclose(look.attention[..., part, part], alone.attention, rtol=1e-10)
        np.testing.assert_allclose(look.lens_p[:, part], alone.lens_p, rtol=1e-6)
    assert (look.attention[..., 3:, :3] == 0).all()
    loss = model.loss(IDS[None, :-1], IDS[None, 1:], documents=np.array([[5, 5, 5, 7, 7, 7]]))
    loss.backward()
    assert -look.log_p[-1].mean() == pytest.approx(float(loss.data), rel=1e-6)
    assert look.gradients["wte.weight"] == pytest.approx(
        np.linalg.norm(model.wte.weight.grad), rel=1e-6)


def test_a_single_token(model: Any) -> None:
    look = observe(model, [3])
    assert look.attention.shape[2:] == (1, 1) and (look.attention == 1).all()
    assert look.log_p.shape[1] == 0 and look.stream_gradients.shape[1] == 0
    assert look.gradients == {} and look.lens_ids.shape[1] == 1


def test_frozen_weights_have_no_gradient() -> None:
    model = natural_scale("gpt")
    own = parameters(model)
    model = with_parameters(model, {name: Tensor(p.data) for name, p in own.items()
                                    if name.startswith(("w", "h.0."))})
    look = observe(model, IDS)
    assert look.gradients.keys() == parameters(model).keys()
    assert (look.stream_gradients[0] == 0).all() and (look.stream_gradients[2] > 0).all()


@pytest.mark.parametrize("name", ["gpt", "gemma 2"])
def test_on_a_device(name: str) -> None:
    with plain_ops():
        expected = observe(natural_scale(name), IDS)
    model = natural_scale(name)
    for p in parameters(model).values():
        p.data = strict_cupy.asarray(p.data)
    got = observe(model, IDS)
    for part, e in vars(expected).items():
        if part == "gradients":
            assert getattr(got, part) == pytest.approx(e, rel=1e-12)
        else:
            np.testing.assert_allclose(getattr(got, part), e, rtol=1e-6, err_msg=part)


@pytest.mark.parametrize("ids, words", [
    ([], "1 to 9 tokens"), (np.zeros(10, int), "the model's context"),
    (np.zeros((1, 3), int), r"got shape \(1, 3\)"),
])
def test_wrong_texts(ids: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        observe(MODELS["gpt"](), ids)


def test_ids_are_integers() -> None:
    with pytest.raises(TypeError, match="expected integer ids, got float64"):
        observe(MODELS["gpt"](), [1.0, 2.0])


def test_models_that_cannot_be_observed() -> None:
    model = MODELS["gpt"]()
    model.h[1].attn = lambda x, *args: x
    with pytest.raises(ValueError, match="one call of attention in each of 3 blocks, got 2"):
        observe(model, IDS)
    del model.h[1].attn
    with pytest.raises(ValueError, match="GPT has no list `h` of blocks with `attn`"):
        observe(model, IDS)


def test_a_look_is_plain_arrays(model: Any) -> None:
    look = observe(model, IDS)
    assert isinstance(look, Look)
    assert all(type(value) is np.ndarray for name, value in vars(look).items()
               if name not in ("gradients", "vocabulary"))
