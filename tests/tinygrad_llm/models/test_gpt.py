"""The whole model: derivatives of the composition, and what a GPT must satisfy."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from whole_models import IDS, TARGETS, difference, loss_of, natural_scale, rng, with_weights

from autograd import Tensor, grad, pull_back, vjp
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters, with_parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import next_token, train_step

CONFIG = GPTConfig(vocab_size=7, context=5, layers=2, heads=2, width=8)


@pytest.mark.parametrize("config, key", [
    (CONFIG, None), (GPTConfig(7, 5, 1, 1, 4, bias=False), None),
    (GPTConfig(7, 5, 2, 2, 8, dropout=0.3), 11),
    (GPTConfig(7, 5, 1, 2, 8, norm="rms", positions="rotary", mlp="swiglu"), None),
    (GPTConfig(7, 5, 1, 2, 8, positions="sinusoidal", mlp="relu_squared"), None),
    (GPTConfig(7, 5, 1, 2, 8, mlp="geglu", bias=False), None),
])
def test_adjoint_dot_product(config: GPTConfig, key: int | None) -> None:
    """<g, J v> = <J^T g, v> for the map from all weights to the logits."""
    model, names, weights = natural_scale(config)
    vs = [rng.standard_normal(w.shape) for w in weights]

    def logits(*ws: Any) -> Any:
        return with_weights(model, names, ws)(IDS, key)

    y, pull = vjp(logits, *weights)
    g = rng.standard_normal(y.shape)
    forward = difference(lambda *ws: logits(*ws).data, weights, vs)
    transposed = sum((p * v).sum() for p, v in zip(pull(g), vs, strict=True))
    assert transposed == pytest.approx((g * forward).sum(), rel=1e-8)


def test_every_parameter_has_the_right_gradient() -> None:
    model, names, weights = natural_scale(CONFIG)
    loss = loss_of(model, names)
    gradients = grad(loss, tuple(range(len(weights))))(*weights)
    for i, (name, w) in enumerate(zip(names, weights, strict=True)):
        v = rng.standard_normal(w.shape)
        vs = [v if k == i else np.zeros_like(u) for k, u in enumerate(weights)]
        expected = float(difference(lambda *ws: loss(*ws).data, weights, vs))
        assert float((gradients[i] * v).sum()) == pytest.approx(expected, rel=1e-7, abs=1e-9), name


def test_hessian_vector_product_through_the_whole_model() -> None:
    model, names, weights = natural_scale(CONFIG)
    loss, every = loss_of(model, names), tuple(range(len(weights)))
    vs = [rng.standard_normal(w.shape) for w in weights]

    def slope(*ws: Any) -> Any:
        parts = grad(loss, every)(*ws)
        return sum(((p * v).sum() for p, v in zip(parts, vs, strict=True)), 0.0)

    product = grad(slope, every)(*weights)
    for name, got, expected in zip(names, product, difference_of_gradients(loss, weights, vs),
                                   strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8, err_msg=name)


def difference_of_gradients(loss: Any, weights: list[np.ndarray], vs: list[np.ndarray]) -> Any:
    every = tuple(range(len(weights)))
    flat = difference(lambda *ws: np.concatenate([g.ravel() for g in grad(loss, every)(*ws)]),
                      weights, vs, h=3e-4)
    parts = np.split(flat, np.cumsum([w.size for w in weights])[:-1])
    return [p.reshape(w.shape) for p, w in zip(parts, weights, strict=True)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_recomputed_blocks_have_the_same_masks_and_gradients_bit_for_bit(dtype: str) -> None:
    drawn = GPT(GPTConfig(7, 5, 3, 2, 8, dropout=0.3), seed=1)
    model = with_parameters(drawn, {name: Tensor(p.data.astype(dtype), requires_grad=True)
                                    for name, p in parameters(drawn).items()})

    def gradients(key: int | None) -> list[bytes]:
        for p in parameters(model).values():
            p.grad = None
        loss = model.loss(IDS, TARGETS, key)
        loss.backward()
        return [loss.data.tobytes(), *(p.grad.tobytes() for p in parameters(model).values())]

    for key in (None, 11):
        model.recompute = False
        expected = gradients(key)
        model.recompute = True
        assert gradients(key) == expected
    assert gradients(12) != expected


def test_recomputed_blocks_keep_their_input_only() -> None:
    """Of 12 layers, that is a tenth of the memory of a step; chunks save most of the logits'."""
    model = GPT(GPTConfig(5000, 32, 12, 2, 32))
    ids = rng.integers(0, 5000, (8, 32))

    def most() -> int:
        tracemalloc.start()
        try:
            model.loss(ids, ids).backward()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            for p in parameters(model).values():
                p.grad = None

    whole, logits, block = most(), 256 * 5000 * 4, 20 * 256 * 32 * 4
    model.recompute = True
    recomputed = most()
    assert whole - recomputed > 9 * block
    model.loss_chunk = 16
    assert recomputed - most() > 0.8 * logits


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_the_loss_in_chunks_is_the_same(rows: int) -> None:
    model, names, weights = natural_scale(CONFIG)
    expected, pull = vjp(loss_of(model, names), *weights)
    model.loss_chunk = rows
    loss, pull_chunks = vjp(loss_of(model, names), *weights)
    assert float(loss) == pytest.approx(float(expected), rel=1e-13)
    for got, wanted in zip(pull_chunks(1.0), pull(1.0), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-13)


def test_the_tied_table_sums_the_gradients_of_both_uses() -> None:
    model, names, weights = natural_scale(CONFIG)
    assert names[0] == "wte.weight" and not any("head" in name for name in names)
    table = Tensor(weights[0], requires_grad=True)
    others = {n: Tensor(w) for n, w in zip(names[1:], weights[1:], strict=True)}
    tied = with_parameters(model, {"wte.weight": table, **others})
    assert tied.head is tied.wte.weight is table
    tied.loss(IDS, TARGETS).backward()
    untied = with_parameters(model, {"wte.weight": Tensor(weights[0], requires_grad=True),
                                     **others})
    untied.head = Tensor(weights[0], requires_grad=True)
    untied.loss(IDS, TARGETS).backward()
    np.testing.assert_allclose(table.grad, untied.head.grad + untied.wte.weight.grad, rtol=1e-12)
    assert np.abs(untied.wte.weight.grad).max() > 1e-3


def test_no_position_depends_on_a_later_token() -> None:
    model, names, weights = natural_scale(CONFIG)
    model = with_weights(model, names, weights)
    embedded = Tensor(rng.standard_normal((1, 5, 8)), requires_grad=True)
    model.wte = lambda ids: embedded
    logits = model(IDS[:1])
    for t in range(5):
        (dx,) = pull_back([logits[:, t]], [np.ones((1, 7))], [embedded], retain=True)
        assert (dx[:, t + 1 :] == 0).all(), "a gradient reaches a later token"
        assert (np.abs(dx[:, : t + 1]).sum(-1) > 0).all()


def test_permuting_the_batch_permutes_the_result() -> None:
    model, names, weights = natural_scale(CONFIG)
    model = with_weights(model, names, weights)
    np.testing.assert_allclose(model(IDS[::-1]).data, model(IDS).data[::-1], rtol=1e-12)
    np.testing.assert_allclose(model.next_logits(IDS).data, model(IDS).data[:, -1], rtol=1e-12)


def test_the_loss_at_initialisation_is_that_of_a_uniform_guess() -> None:
    config = GPTConfig(vocab_size=512, context=32, layers=4, heads=4, width=64)
    ids = rng.integers(0, 512, (8, 33))
    losses = [float(GPT(config, seed).loss(ids[:, :-1], ids[:, 1:])) for seed in range(3)]
    assert np.mean(losses) == pytest.approx(math.log(512), rel=0.01)


def test_initialisation_is_gpt2s() -> None:
    model = GPT(GPTConfig(vocab_size=300, layers=8, width=96, heads=4))
    for name, p in parameters(model).items():
        if name.endswith("bias"):
            assert (p.data == 0).all(), name
        elif ".ln_" in name or name.startswith("ln_f"):
            assert (p.data == 1).all(), name
        else:
            residual = name.endswith(("attn.out.weight", "mlp.down.weight"))
            std = 0.02 / math.sqrt(16) if residual else 0.02
            assert p.data.std() == pytest.approx(std, rel=0.05), name
            assert abs(p.data.mean()) < std / 10
        assert p.dtype == np.float32
    other = GPT(model.config, seed=1)
    assert not np.array_equal(other.wte.weight.data, model.wte.weight.data)


def test_one_batch_is_learnt_by_heart() -> None:
    model = GPT(GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=32), seed=3)
    ids = np.random.default_rng(5).integers(0, 11, (4, 9))
    optimizer = AdamW(parameters(model), weight_decay=0.0)
    loss = math.inf
    for _ in range(200):
        loss, _ = train_step(model, optimizer, next_token, (ids[:, :-1], ids[:, 1:]), lr=3e-3,
                             clip=1.0, key=None)
    assert loss < 0.01


def test_the_same_seed_gives_the_same_bits() -> None:
    def trained(seed: int) -> list[bytes]:
        model = GPT(GPTConfig(7, 5, 2, 2, 8, dropout=0.2), seed=seed)
        optimizer = AdamW(parameters(model))
        for step in range(4):
            train_step(model, optimizer, next_token, (IDS, TARGETS), lr=1e-2, clip=1.0, key=step)
        return [p.data.tobytes() for p in parameters(model).values()]

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


def test_dropout_acts_only_with_a_key() -> None:
    model = GPT(GPTConfig(7, 5, 1, 2, 8, dropout=0.5))
    plain = model(IDS).data
    assert np.array_equal(plain, model(IDS).data)
    assert not np.array_equal(plain, model(IDS, 1).data)
    assert not np.array_equal(model(IDS, 2).data, model(IDS, 1).data)
    assert np.array_equal(model(IDS, 1).data, model(IDS, 1).data)


@pytest.mark.parametrize("sizes, words", [
    ({"width": 10, "heads": 4}, "multiple of heads.*8 and 12"), ({"layers": 0}, "at least 1"),
    ({"dropout": 1.0}, r"\[0, 1\)"),
    ({"norm": "batch"}, "norm must be layer, rms, got 'batch'"),
    ({"positions": "alibi"}, "positions must be learnt, sinusoidal, rotary, got 'alibi'"),
    ({"mlp": "relu"}, "mlp must be gelu, relu_squared, swiglu, geglu, got 'relu'"),
    ({"positions": "rotary", "width": 12}, "width / heads must be even, got 12 / 4"),
])
def test_impossible_sizes(sizes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GPTConfig(vocab_size=5, **sizes)


def test_wrong_inputs() -> None:
    model = GPT(CONFIG)
    with pytest.raises(ValueError, match=r"T at most the context of 5, got \(1, 6\)"):
        model(np.zeros((1, 6), int))
    with pytest.raises(IndexError, match=r"embedding: ids must lie in \[0, 7\), got 0 to 7"):
        model(np.array([[0, 7]]))
    with pytest.raises(TypeError, match="expected integer ids, got float64"):
        model(np.zeros((1, 2)))
