"""The mixture of experts and its load-balancing loss against the blocks of transformers' models.

These compute the router's softmax in float32 whatever the model's dtype, so in float64 they are
right to seven digits. Where they are made to keep to float64, they and ours are equal to twelve.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.functional import load_balance
from tinygrad_llm.nn import MixtureOfExperts, parameters

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.oracle

from transformers_models import all_in_float64  # noqa: E402

WIDTH, INNER, SHARED, EXPERTS, BATCH, TIME = 10, 6, 14, 5, 3, 13
TOLERANCE = {"float64": 1e-12, "rounded": 2e-6, "float32": 2e-5}


def their_block(kind: str, per_token: int, **options: Any) -> Any:
    """Return one of transformers' blocks, its parameters drawn at natural scale."""
    import transformers
    from transformers.models.mixtral import modeling_mixtral
    from transformers.models.qwen2_moe import modeling_qwen2_moe
    from transformers.models.qwen3_moe import modeling_qwen3_moe

    sizes = {"hidden_size": WIDTH, "num_experts_per_tok": per_token, **options}
    if kind == "Mixtral":
        config = transformers.MixtralConfig(num_local_experts=EXPERTS, intermediate_size=INNER,
                                            **sizes)
        block = modeling_mixtral.MixtralSparseMoeBlock(config)
    elif kind == "Qwen 2":
        config = transformers.Qwen2MoeConfig(
            num_experts=EXPERTS, moe_intermediate_size=INNER,
            shared_expert_intermediate_size=SHARED, **sizes)
        block = modeling_qwen2_moe.Qwen2MoeSparseMoeBlock(config)
    else:
        config = transformers.Qwen3MoeConfig(num_experts=EXPERTS, moe_intermediate_size=INNER,
                                             **sizes)
        block = modeling_qwen3_moe.Qwen3MoeSparseMoeBlock(config)
    generator = torch.Generator().manual_seed(per_token)
    for p in block.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) / WIDTH**0.5
    return block


NAMES = {"gate.weight": "router.weight", "experts.gate_up_proj": "gate_up",
         "experts.down_proj": "down", "shared_expert.down_proj.weight": "shared.down.weight",
         "shared_expert_gate.weight": "shared_gate.weight"}


def in_our_names(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return their parameters, or the gradients of them, under our names."""
    found = {ours: np.asarray(arrays[theirs]) for theirs, ours in NAMES.items()
             if theirs in arrays}
    if "shared_expert.gate_proj.weight" in arrays:
        found["shared.gate_up.weight"] = np.concatenate(
            [arrays[f"shared_expert.{half}_proj.weight"] for half in ("gate", "up")])
    return found


def our_block(theirs: Any, per_token: int, dtype: str, **options: Any) -> MixtureOfExperts:
    """Return our layer with the parameters of theirs."""
    ours = MixtureOfExperts(WIDTH, INNER, EXPERTS, per_token, None, **options)
    arrays = in_our_names({name: p.detach() for name, p in theirs.named_parameters()})
    own = parameters(ours)
    assert own.keys() == arrays.keys()
    for name, p in own.items():
        assert p.shape == arrays[name].shape and p.node is not None
        p.data, p.node.dtype = arrays[name].astype(dtype), np.dtype(dtype)
    return ours


def assert_close(ours: Any, theirs: Any, tolerance: float, name: str) -> None:
    """Fail unless the largest difference is tiny beside the largest element, or beside 1.

    The latter where the truth is 0: by the router, where the weight of one choice is made 1.
    """
    assert ours.shape == theirs.shape, name
    assert abs(ours - theirs).max() <= tolerance * max(1, abs(theirs).max()), name


@pytest.mark.parametrize(("kind", "options", "layer"), [
    ("Mixtral", {}, {"normalize": True}),
    ("Qwen 3", {"norm_topk_prob": True}, {"normalize": True}),
    ("Qwen 3", {"norm_topk_prob": False, "hidden_act": "gelu"},
     {"normalize": False, "activation": "gelu"}),
    ("Qwen 2", {"norm_topk_prob": False}, {"normalize": False, "shared_inner": SHARED}),
    ("Qwen 2", {"norm_topk_prob": True, "hidden_act": "gelu_pytorch_tanh"},
     {"normalize": True, "shared_inner": SHARED, "activation": "gelu_tanh"})])
@pytest.mark.parametrize("per_token", [1, 2, EXPERTS])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_values_and_every_gradient(kind: str, options: dict[str, Any], layer: dict[str, Any],
                                   per_token: int, precision: str) -> None:
    dtype = "float32" if precision == "float32" else "float64"
    theirs = their_block(kind, per_token, **options)
    ours = our_block(theirs, per_token, dtype, **layer)
    theirs.to(getattr(torch, dtype))
    rng = np.random.default_rng(per_token)
    x, g = rng.normal(size=(2, BATCH, TIME, WIDTH)).astype(dtype)
    leaf, tensor = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    with all_in_float64() if precision == "float64" else nullcontext():
        y, z = ours(leaf), theirs(tensor)
    tolerance = TOLERANCE[precision]
    assert_close(y.data, z.detach().numpy(), tolerance, "result")
    y.backward(g)
    z.backward(torch.tensor(g, dtype=z.dtype))
    assert_close(leaf.grad, tensor.grad.numpy(), tolerance, "x")
    expected = in_our_names({name: p.grad for name, p in theirs.named_parameters()})
    for name, p in parameters(ours).items():
        assert_close(p.grad, expected[name], tolerance, name)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("count", "per_token"), [(4, 1), (7, 3), (3, 3)])
def test_the_load_balancing_loss(layers: int, count: int, per_token: int) -> None:
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    rng = np.random.default_rng(count)
    logits = [3 * rng.normal(size=(17, count)) for _ in range(layers)]
    tensors = [torch.tensor(z, requires_grad=True) for z in logits]
    theirs = load_balancing_loss_func(tuple(tensors), count, per_token)
    p = Tensor(np.concatenate([np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in logits]),
               requires_grad=True)
    ours = load_balance(p, chosen=np.argsort(-p.data, -1, kind="stable")[:, :per_token])
    np.testing.assert_allclose(ours.data, theirs.item(), rtol=1e-6)
    ours.backward()
    theirs.backward()
    dz = p.data * (p.grad - (p.grad * p.data).sum(-1, keepdims=True))
    np.testing.assert_allclose(dz, np.concatenate([t.grad for t in tensors]), rtol=1e-4, atol=1e-8)
