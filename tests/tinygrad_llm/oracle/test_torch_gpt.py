"""Whole models, and whole training steps, against the same models in PyTorch, in float64."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import next_token, train_step

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

CONFIGS = {
    "odd": GPTConfig(vocab_size=37, context=13, layers=3, heads=3, width=21),
    "no bias": GPTConfig(vocab_size=29, context=11, layers=2, heads=5, width=35, bias=False),
    "one head, one layer": GPTConfig(vocab_size=5, context=11, layers=1, heads=1, width=7),
    "large vocabulary": GPTConfig(vocab_size=1031, context=11, layers=1, heads=2, width=6),
}
LLAMAS = {
    "llama": LlamaConfig(vocab_size=37, context=13, layers=3, heads=3, width=24, inner=17),
    "grouped heads": LlamaConfig(vocab_size=29, context=11, layers=2, heads=6, width=24,
                                 key_heads=2, inner=9),
    "one head of keys": LlamaConfig(vocab_size=5, context=11, layers=1, heads=4, width=8,
                                    key_heads=1, inner=1),
}
CONFIGS |= LLAMAS
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())

BATCH, TIME = 3, 11


def to_float64_at_natural_scale(model: Any, seed: int = 5) -> None:
    """Redraw the parameters so that every part of the model matters to the result.

    Products keep the size of their input, tables, shifts and scales vary by about a half: with
    weights of size 0.02 the attention is nearly uniform and an error in it hardly shows.
    """
    rng = np.random.default_rng(seed)
    for name, p in parameters(model).items():
        z = rng.standard_normal(p.shape)
        if name.startswith(("wte", "wpe")):
            z *= 0.5
        elif p.ndim == 2:
            z /= np.sqrt(p.shape[1])
        else:
            z = 0.5 * z + (1.0 if name.endswith("weight") else 0.0)
        set_data(p, z)


def set_data(p: Tensor, data: np.ndarray) -> None:
    """Give a leaf other data; its node carries the dtype that gradients are cast to."""
    p.data = data
    assert p.node is not None
    p.node.dtype = data.dtype


def both_models(config: Any) -> tuple[Any, Any]:
    """Return our model and PyTorch's with the same float64 weights."""
    from benchmarks.rival_torch import TorchGPT, copy_weights
    from benchmarks.rival_torch_llama import TorchLlama

    ours, kind = (Llama(config), TorchLlama) if config in LLAMAS.values() else (
        GPT(config), TorchGPT)
    to_float64_at_natural_scale(ours)
    sizes = {name: size for name, size in asdict(config).items()
             if name in inspect.signature(kind).parameters}
    if kind is TorchLlama:
        sizes["key_heads"] = config.groups
    theirs = kind(**sizes).double()
    copy_weights(ours, theirs)
    return ours, theirs


def batch_of(config: Any, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    ids, targets = np.random.default_rng(seed).integers(config.vocab_size, size=(2, BATCH, TIME))
    return ids, targets


def relative_error(ours: np.ndarray, theirs: Any) -> float:
    """Return the largest difference beside the largest element."""
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype == np.float64
    assert ours.shape == theirs.shape
    return float(abs(ours - theirs).max() / abs(theirs).max())


@every_config
def test_logits(config: Any) -> None:
    ours, theirs = both_models(config)
    ids, _ = batch_of(config)
    expected = theirs(torch.from_numpy(ids))
    assert relative_error(ours(ids).data, expected) <= 1e-9
    assert relative_error(ours.next_logits(ids).data, expected[:, -1]) <= 1e-9


@every_config
@pytest.mark.parametrize("ignored", [0, 13])
def test_loss_and_every_gradient(config: Any, ignored: int) -> None:
    ours, theirs = both_models(config)
    ids, targets = batch_of(config)
    targets.reshape(-1)[:ignored] = -100
    loss = ours.loss(ids, targets)
    loss.backward()
    their_loss = theirs.loss(torch.from_numpy(ids), torch.from_numpy(targets))
    their_loss.backward()
    assert float(loss) == pytest.approx(their_loss.item(), rel=1e-12)
    expected = dict(theirs.named_parameters())
    errors = {name: relative_error(p.grad, expected[name].grad)
              for name, p in parameters(ours).items()}
    assert errors.keys() == expected.keys()
    assert max(errors.values()) <= 1e-9, errors


def test_the_tied_table_receives_the_gradient_of_both_uses() -> None:
    config = CONFIGS["odd"]
    ours, theirs = both_models(config)
    ids, targets = batch_of(config)
    ids %= 20  # later rows are never looked up: they receive the head's part alone
    ours.loss(ids, targets).backward()
    x, y = torch.from_numpy(ids), torch.from_numpy(targets)
    head = theirs.wte.weight.detach().clone().requires_grad_()
    theirs.head.weight = torch.nn.Parameter(head)  # untied
    theirs.loss(x, y).backward()
    as_table, as_head = theirs.wte.weight.grad, theirs.head.weight.grad
    assert as_table[:20].abs().max() > 0.01 < as_head.abs().max()
    assert (as_table[20:] == 0).all()
    gradient = parameters(ours)["wte.weight"].grad
    assert relative_error(gradient, as_table + as_head) <= 1e-9
    assert "head" not in parameters(ours)


def test_float32_agrees_as_far_as_float32_goes() -> None:
    config = CONFIGS["odd"]
    ours, theirs = both_models(config)
    for p in parameters(ours).values():
        set_data(p, p.data.astype(np.float32))
    theirs.float()
    ids, targets = batch_of(config)
    loss = ours.loss(ids, targets)
    loss.backward()
    their_loss = theirs.loss(torch.from_numpy(ids), torch.from_numpy(targets))
    their_loss.backward()
    assert float(loss) == pytest.approx(their_loss.item(), rel=1e-5)
    for name, p in parameters(ours).items():
        expected = theirs.get_parameter(name).grad.numpy()
        assert p.grad.dtype == np.float32
        assert abs(p.grad - expected).max() <= 1e-4 * abs(expected).max(), name


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ["odd", "no bias", "grouped heads"])
def test_ten_training_steps_stay_together(name: str, fused: bool) -> None:
    from benchmarks import rival_torch

    config = CONFIGS[name]
    ours, theirs = both_models(config)
    settings = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
    optimizer = AdamW(parameters(ours), **settings)
    their_optimizer = rival_torch.adamw(theirs, lr=3e-3, fused=fused, **settings)
    clipped = 0
    for step in range(10):
        ids, targets = batch_of(config, seed=step)
        loss, norm = train_step(ours, optimizer, next_token, (ids, targets), lr=3e-3, clip=1.0,
                                key=None)
        their_loss, their_norm = rival_torch.train_step(
            theirs, their_optimizer, torch.from_numpy(ids), torch.from_numpy(targets), clip=1.0)
        assert loss == pytest.approx(their_loss, rel=1e-7)
        assert norm == pytest.approx(their_norm, rel=1e-7)
        clipped += norm > 1
    assert clipped
    for key, p in parameters(ours).items():
        assert relative_error(p.data, theirs.get_parameter(key)) <= 1e-7, key


def test_copy_weights_refuses_another_size() -> None:
    from benchmarks.rival_torch import copy_weights

    _, theirs = both_models(CONFIGS["odd"])
    with pytest.raises(ValueError, match=r"differ in .*wte\.weight"):
        copy_weights(GPT(CONFIGS["no bias"]), theirs)
