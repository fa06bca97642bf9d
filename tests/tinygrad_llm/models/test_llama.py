"""The whole model: derivatives of the composition, and what a Llama must satisfy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from whole_models import IDS, TARGETS, difference, loss_of, natural_scale, rng, with_weights

from autograd import Tensor, checkpoint, grad, no_grad, pull_back, vjp
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import MLP, parameters, with_parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import make_config, next_token, train_step
from tinygrad_llm.train.slices import batch_losses

SIZES: dict[str, Any] = {"vocab_size": 7, "context": 5, "layers": 2, "heads": 2, "width": 8}
CONFIGS = {
    "llama 2": LlamaConfig(**SIZES, tied=False),
    "grouped": LlamaConfig(**{**SIZES, "heads": 4, "width": 16, "layers": 1}, key_heads=2),
    "qwen 2": LlamaConfig(**SIZES, qkv_bias=True, window=2, layer_pattern="GL"),
    "qwen 3": LlamaConfig(**SIZES, qk_norm=True, head_width=6, key_heads=1),
    "every bias": LlamaConfig(**SIZES, qkv_bias=True, out_bias=True, mlp_bias=True, inner=5,
                              rotary_interleaved=True),
    "gemma 2": LlamaConfig(**SIZES, norm_offset=1.0, activation="gelu_tanh", window=3,
                           layer_pattern="LG", scale=0.7, soft_cap=2.0, logit_cap=1.5,
                           post_norms=True, embed_scale=math.sqrt(8)),
    "speedrun": LlamaConfig(**SIZES, tied=False, zero_outputs=True, activation="relu_squared",
                            qk_norm=True, logit_cap=2.0),
    "scaled": LlamaConfig(**SIZES, theta=500.0, rope_scaling="linear factor=4"),
    "experts": LlamaConfig(**SIZES, experts=3, experts_per_token=2, expert_inner=4,
                           shared_inner=2, balance=0.3),
}
every = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@every
def test_every_parameter_has_the_right_gradient(config: LlamaConfig) -> None:
    model, names, weights = natural_scale(config)
    loss = loss_of(model, names, None, "training_loss")
    gradients = grad(loss, tuple(range(len(weights))))(*weights)
    for i, (name, w) in enumerate(zip(names, weights, strict=True)):
        v = rng.standard_normal(w.shape)
        vs = [v if k == i else np.zeros_like(u) for k, u in enumerate(weights)]
        expected = float(difference(lambda *ws: loss(*ws).data, weights, vs, 2e-5))
        assert float((gradients[i] * v).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-8), name


@every
def test_a_cache_changes_nothing(config: LlamaConfig) -> None:
    model, names, weights = natural_scale(config)
    model = with_weights(model, names, weights)
    with no_grad():
        cache = model.cache(rows=len(IDS))
        parts = [model(IDS[:, a:b], cache=cache).data for a, b in ((0, 2), (2, 3), (3, 5))]
        np.testing.assert_allclose(np.concatenate(parts, 1), model(IDS).data, rtol=1e-9)


@every
def test_no_position_depends_on_a_later_token(config: LlamaConfig) -> None:
    model, names, weights = natural_scale(config)
    model = with_weights(model, names, weights)
    embedded = Tensor(rng.standard_normal((1, 5, config.width)), requires_grad=True)
    model.wte = lambda ids: embedded
    logits = model(IDS[:1])
    for t in range(5):
        (dx,) = pull_back([logits[:, t]], [np.ones((1, 7))], [embedded], retain=True)
        assert (dx[:, t + 1 :] == 0).all(), "a gradient reaches a later token"


@pytest.mark.parametrize("config", [*CONFIGS.values(), LlamaConfig(
    **SIZES, rope_scaling="dynamic factor=4 original=2"), *[
    GPTConfig(**SIZES, positions=positions) for positions in ("learnt", "sinusoidal", "rotary")]])
@draws(25, dev=3)
@given(rows=st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=2, max_size=2))
def test_documents_in_one_row_are_as_if_alone(config: Any, rows: list[list[int]]) -> None:
    """Each document's rows, and the sum of all gradients; also where documents take turns."""
    documents = np.array(rows)
    if getattr(config, "window", 0):
        documents.sort(axis=1)  # a window is one of places
    model, names, weights = natural_scale(config)
    leaves = [Tensor(w, requires_grad=True) for w in weights]
    model, g = with_weights(model, names, leaves), np.cos(np.arange(80.0)).reshape(2, 5, 8)

    def run(ids: np.ndarray, g: np.ndarray, **options: Any) -> tuple[Any, list[Any]]:
        x = model.hidden(ids, **options)
        return x.data, [0 if d is None else d for d in pull_back([x], [g], leaves)]

    g = np.repeat(g, config.width // 8, axis=2)
    packed, gradients = run(IDS, g, documents=documents)
    for b, row in enumerate(documents):
        for n in set(row.tolist()):
            alone, parts = run(IDS[b : b + 1, row == n], g[b : b + 1, row == n])
            np.testing.assert_allclose(packed[b, row == n], alone[0], rtol=1e-9, atol=1e-12)
            gradients = [d - part for d, part in zip(gradients, parts, strict=True)]
    for name, rest in zip(names, gradients, strict=True):
        np.testing.assert_allclose(rest, 0, atol=1e-9, err_msg=name)


@every
def test_the_lens_of_the_last_layer_is_the_model(config: LlamaConfig) -> None:
    model, names, weights = natural_scale(config)
    model = with_weights(model, names, weights)
    final, stream = model.norm_f, []
    model.norm_f = lambda x: stream.append(x) or final(x)
    logits = model(IDS)
    np.testing.assert_array_equal(model.lens(stream[0]).data, logits.data)


def test_only_shared_distances_matter() -> None:
    """Rotary positions: moving all of a text by some places changes no logit."""
    model, names, weights = natural_scale(CONFIGS["llama 2"])
    model = with_weights(model, names, weights)
    here = model(IDS).data
    rotary = model.rotary.at
    model.rotary.at = lambda places, *rest: rotary(places + 3, *rest)
    np.testing.assert_allclose(model(IDS).data, here, rtol=1e-9)


def test_the_load_balancing_loss_is_of_training_alone() -> None:
    model = Llama(CONFIGS["experts"], 3)
    loss, trained = float(model.loss(IDS, TARGETS)), float(model.training_loss(IDS, TARGETS))
    assert loss < trained < loss + 0.3 * 3 * 2
    measured = batch_losses(model, next_token, lambda i: (IDS, TARGETS), 1, slices=1)
    assert sum(measured[0]) == pytest.approx(loss, rel=1e-6)
    dense = Llama(CONFIGS["llama 2"], 3)
    assert float(dense.loss(IDS, TARGETS)) == float(dense.training_loss(IDS, TARGETS))


@pytest.mark.parametrize("whole", [True, False])
def test_blocks_and_layers_that_are_recomputed_keep_the_balance(whole: bool) -> None:
    """A list that is handed in is another one inside of `checkpoint`: additions would be lost."""
    found = []
    for wrap in (lambda part: part, checkpoint):
        model: Any = Llama(CONFIGS["experts"], 3)
        own = parameters(model)
        if whole:
            model.h = [wrap(block) for block in model.h]
        for block in [] if whole else model.h:
            block.mlp = wrap(block.mlp)
        loss = model.training_loss(IDS, TARGETS)
        loss.backward()
        found.append([loss.data, *(p.grad for p in own.values())])
    for expected, got in zip(*found, strict=True):
        np.testing.assert_array_equal(got, expected)


@every
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_recomputed_blocks_have_the_same_masks_routes_and_gradients(config: LlamaConfig,
                                                                    dtype: str) -> None:
    drawn, found = Llama(replace(config, dropout=0.3), 3), list[list[bytes]]()
    model = with_parameters(drawn, {name: Tensor(p.data.astype(dtype), requires_grad=True)
                                    for name, p in parameters(drawn).items()})
    for model.recompute in (False, True):
        for p in parameters(model).values():
            p.grad = None
        loss = model.training_loss(IDS, TARGETS, 11)
        loss.backward()
        found.append([loss.data.tobytes(), *(p.grad.tobytes() for p in parameters(model).values())])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["llama 2", "experts"])
def test_the_loss_in_chunks_is_the_same(name: str) -> None:
    model, names, weights = natural_scale(CONFIGS[name])
    expected, pull = vjp(loss_of(model, names, None, "training_loss"), *weights)
    model.loss_chunk = 3
    loss, pull_chunks = vjp(loss_of(model, names, None, "training_loss"), *weights)
    assert float(loss) == pytest.approx(float(expected), rel=1e-13)
    for got, wanted in zip(pull_chunks(1.0), pull(1.0), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_the_loss_at_initialisation_is_that_of_a_uniform_guess() -> None:
    config = LlamaConfig(vocab_size=512, context=32, layers=4, heads=4, width=64)
    ids = rng.integers(0, 512, (8, 33))
    losses = [float(Llama(config, seed).loss(ids[:, :-1], ids[:, 1:])) for seed in range(3)]
    assert np.mean(losses) == pytest.approx(math.log(512), rel=0.01)


def test_what_begins_at_zero_leaves_the_stream_as_it_is() -> None:
    """The blocks add nothing, all tokens are equally likely, and nothing else is drawn anew."""
    config = CONFIGS["speedrun"]
    model, usual = Llama(config, 3), Llama(replace(config, zero_outputs=False), 3)
    x = rng.standard_normal((1, 5, 8)).astype(np.float32)
    for block in model.h:
        np.testing.assert_array_equal(block(Tensor(x)).data, x)
    assert float(model.loss(IDS, TARGETS)) == pytest.approx(math.log(7), rel=1e-6)
    begun = {name: p.data for name, p in parameters(model).items()}
    zeros = {name for name, array in begun.items() if not array.any()}
    assert zeros == {"head", *(f"h.{i}.{part}.weight" for i in (0, 1)
                               for part in ("attn.out", "mlp.down"))}
    for name, p in parameters(usual).items():
        assert name in zeros or np.array_equal(begun[name], p.data), name
    tied = Llama(replace(config, tied=True), 3)
    np.testing.assert_array_equal(tied.head.data, begun["wte.weight"])


def test_without_a_gate_the_mlp_has_as_many_parameters() -> None:
    gated, plain = (sum(p.size for p in parameters(Llama(LlamaConfig(
        5, width=96, activation=activation), None)).values())
        for activation in ("silu", "relu_squared"))
    assert gated == plain
    config = LlamaConfig(5, width=8, inner=12, mlp_bias=True, activation="relu_squared")
    mlp = Llama(config).h[0].mlp
    assert isinstance(mlp, MLP) and mlp.up.weight.shape == (12, 8) and mlp.down.bias is not None


@pytest.mark.parametrize("name", ["llama 2", "experts"])
def test_one_batch_is_learnt_by_heart(name: str) -> None:
    options = {"experts": 4, "expert_inner": 32} if name == "experts" else {}
    model = Llama(LlamaConfig(vocab_size=11, context=8, layers=2, heads=2, width=32,
                              balance=0.0, **options), seed=3)
    ids = np.random.default_rng(5).integers(0, 11, (4, 9))
    optimizer = AdamW(parameters(model), weight_decay=0.0)
    loss = math.inf
    for _ in range(200):
        loss, _ = train_step(model, optimizer, next_token, (ids[:, :-1], ids[:, 1:]), lr=3e-3,
                             clip=1.0, key=None)
    assert loss < 0.01


@pytest.mark.parametrize("preset", ["tiny", "baby"])
def test_presets_have_as_many_parameters_as_those_of_gpt(preset: str) -> None:
    sizes = [sum(p.size for p in parameters(make_config({"preset": name}).new_model(65, None))
                 .values()) for name in (preset, f"{preset}-llama")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_dropout_acts_only_with_a_key() -> None:
    model = Llama(LlamaConfig(**SIZES, dropout=0.5))
    plain = model(IDS).data
    assert np.array_equal(plain, model(IDS).data)
    assert not np.array_equal(plain, model(IDS, 1).data)
    assert np.array_equal(model(IDS, 1).data, model(IDS, 1).data)


@pytest.mark.parametrize("sizes, words", [
    ({"width": 10, "heads": 4}, "multiple of heads.*8 and 12"), ({"layers": 0}, "at least 1"),
    ({"dropout": 1.0}, r"\[0, 1\)"), ({"key_heads": 3}, "key_heads must divide heads, got 3 and 4"),
    ({"key_heads": 8}, "key_heads must divide heads, got 8 and 4"),
    ({"width": 12}, "the width of a head must be even, got 3"),
    ({"head_width": 5}, "must be even, got 5"), ({"window": -1}, "window must be at least 0"),
    ({"window": 3, "layer_pattern": "LX"}, r"letters L \(local\) and G \(global\), got 'LX'"),
    ({"layer_pattern": ""}, "layer_pattern must be letters"),
    ({"activation": "relu"}, "activation must be silu, gelu_tanh, gelu, relu_squared, got 'relu'"),
    ({"experts": 2, "experts_per_token": 3}, r"experts_per_token must lie in \[1, 2\]"),
    ({"rope_scaling": "linar factor=2"}, "linar"), ({"norm_eps": -1e-5}, "norm_eps must be at le"),
    ({"embed_scale": 0.0}, "embed_scale must lie above 0, got 0.0; 1 leaves"),
    ({"embed_scale": math.nan}, "embed_scale must lie above 0, got nan"),
    ({"layer_pattern": "LG"}, "give the window, or leave 'LG' out"),
    ({"experts": 2, "mlp_bias": True}, "experts have no biases; leave mlp_bias out"),
    ({"experts": 2, "activation": "relu_squared"}, "experts are gated, and relu_squared is with"),
    ({"experts_per_token": 9}, "or leave experts_per_token = 9 out"),
    ({"expert_inner": 8}, "or leave expert_inner = 8 out"),
    ({"shared_inner": 8}, "or leave shared_inner = 8 out"),
    ({"normalize_experts": False}, "or leave normalize_experts = False out"),
])
def test_impossible_sizes(sizes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LlamaConfig(vocab_size=5, **sizes)


@pytest.mark.parametrize("model", [Llama(CONFIGS["llama 2"]), GPT(GPTConfig(**SIZES))])
def test_wrong_inputs(model: Any) -> None:
    with pytest.raises(ValueError, match=r"T at most the context of 5, got \(1, 6\)"):
        model(np.zeros((1, 6), int))
    with pytest.raises(ValueError, match=r"expected the document of each id, \(1, 3\)"):
        model.hidden(np.zeros((1, 3), int), documents=np.zeros((1, 2), int))
    with pytest.raises(TypeError, match="expected ids as an array of integers .* got list"):
        model([[0, 1]])
    with pytest.raises(TypeError, match="expected documents as an array of integers .* got list"):
        model.hidden(np.zeros((1, 2), int), documents=[[0, 1]])
    cache = model.cache()
    with no_grad():
        model(np.zeros((1, 2), int), cache=cache)
        with pytest.raises(ValueError, match="no cache, got .* and 2 cached"):
            model.hidden(np.zeros((1, 2), int), cache=cache, documents=np.zeros((1, 2), int))
