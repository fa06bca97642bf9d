"""AdamW and clipping against PyTorch's, on the same gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.optim import AdamW, Arena, clip_by_global_norm

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

SHAPES = {"table": (13, 7), "matrix": (5, 3), "bias": (11,), "cube": (2, 3, 5), "one": (1,)}


def pairs(rng: np.random.Generator) -> dict[str, tuple[Tensor, Any]]:
    """Return float64 parameters, ours and PyTorch's, with the same values."""
    arrays = {name: np.asarray(rng.standard_normal(shape)) for name, shape in SHAPES.items()}
    return {name: (Tensor(a.copy(), requires_grad=True), torch.tensor(a, requires_grad=True))
            for name, a in arrays.items()}


def give_gradients(both: dict[str, tuple[Tensor, Any]], rng: np.random.Generator,
                   scale: float) -> None:
    """Put the same random gradients into both; some elements never receive any."""
    for p, t in both.values():
        g = np.asarray(scale * rng.standard_normal(p.shape))
        g.reshape(-1)[3::5] = 0
        p.grad, t.grad = g.copy(), torch.tensor(g)


def torch_adamw(tensors: list[Any], lr: float, betas: tuple[float, float], eps: float,
                weight_decay: float) -> Any:
    return torch.optim.AdamW(
        [{"params": [t for t in tensors if t.ndim >= 2], "weight_decay": weight_decay},
         {"params": [t for t in tensors if t.ndim < 2], "weight_decay": 0.0}],
        lr=lr, betas=betas, eps=eps)


@pytest.mark.parametrize(("beta1", "beta2", "eps", "weight_decay"), [
    (0.9, 0.95, 1e-8, 0.1), (0.9, 0.999, 0.3, 0.5), (0.0, 0.5, 1e-3, 0.0),
])
@pytest.mark.parametrize("layout", [dict, Arena])
def test_twenty_steps(layout: Any, beta1: float, beta2: float, eps: float,
                      weight_decay: float) -> None:
    rng = np.random.default_rng(1)
    both = pairs(rng)
    ours = AdamW(layout({name: p for name, (p, _) in both.items()}), beta1=beta1, beta2=beta2,
                 eps=eps, weight_decay=weight_decay)
    theirs = torch_adamw([t for _, t in both.values()], 1.0, (beta1, beta2), eps, weight_decay)
    for step in range(20):
        lr = 0.05 * (1 + step % 7)
        give_gradients(both, rng, scale=10.0 ** (step % 4 - 2))
        ours.update(lr)
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()
        for name, (p, t) in both.items():
            np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12, atol=1e-13,
                                       err_msg=f"{name} after step {step + 1}")
            assert p.dtype == np.float64
            assert p.grad is None


def test_only_matrices_decay() -> None:
    both = pairs(np.random.default_rng(2))
    before = {name: p.data.copy() for name, (p, _) in both.items()}
    for p, _ in both.values():
        p.grad = np.zeros(p.shape)
    AdamW({name: p for name, (p, _) in both.items()}, weight_decay=0.5).update(0.1)
    for name, (p, _) in both.items():
        kept = 0.95 if p.ndim >= 2 else 1.0
        np.testing.assert_allclose(p.data, kept * before[name], rtol=1e-15, err_msg=name)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_clipping(scale: float) -> None:
    rng = np.random.default_rng(3)
    both = pairs(rng)
    give_gradients(both, rng, scale)
    before = {name: p.grad.copy() for name, (p, _) in both.items()}
    limit = 1.0
    norm = clip_by_global_norm([p for p, _ in both.values()], limit)
    their_norm = float(torch.nn.utils.clip_grad_norm_([t for _, t in both.values()], limit))
    assert norm == pytest.approx(their_norm, rel=1e-13)
    for name, (p, t) in both.items():
        if norm <= limit:
            assert (p.grad == before[name]).all()
        # PyTorch divides by the norm + 1e-6 and so stays a little below the limit.
        slack = (norm + 1e-6) / norm if norm > limit else 1.0
        np.testing.assert_allclose(p.grad, slack * t.grad.numpy(), rtol=1e-12, err_msg=name)


def test_a_parameter_without_a_gradient_is_left_out_of_clipping() -> None:
    rng = np.random.default_rng(4)
    both = pairs(rng)
    give_gradients(both, rng, 1.0)
    both["matrix"][0].grad = both["matrix"][1].grad = None
    norm = clip_by_global_norm([p for p, _ in both.values()], 1.0)
    assert norm == pytest.approx(
        float(torch.nn.utils.clip_grad_norm_([t for _, t in both.values()], 1.0)), rel=1e-13)
    assert both["matrix"][0].grad is None
