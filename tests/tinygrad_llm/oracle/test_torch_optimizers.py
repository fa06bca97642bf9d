"""SGD, Adafactor and Muon against PyTorch's, step by step on the same gradients, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizing import give_gradients, random_parameters

from tinygrad_llm.optim import SGD, Adafactor, Arena, Muon

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle


def walk(ours: Any, theirs: Any, ps: Any, ts: Any) -> None:
    """Do twenty steps of rates and gradients of several sizes; compare after each."""
    for step in range(20):
        lr = 0.01 * (1 + step % 7)
        give_gradients(ps, step, scale=10.0 ** (step % 4 - 2))
        for name, t in ts.items():
            t.grad = torch.tensor(ps[name].grad)
        ours.update(lr)
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()
        for name, t in ts.items():
            np.testing.assert_allclose(ps[name].data, t.detach().numpy(), rtol=1e-12, atol=1e-13,
                                       err_msg=f"{name} after step {step + 1}")


def pairs() -> tuple[Any, Any]:
    ps = random_parameters()
    return ps, {n: torch.tensor(p.data, requires_grad=True) for n, p in ps.items()}


def decaying(ts: Any, decay: float) -> list[dict[str, Any]]:
    return [{"params": [t for t in ts.values() if t.ndim >= 2], "weight_decay": decay},
            {"params": [t for t in ts.values() if t.ndim < 2], "weight_decay": 0.0}]


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize(("momentum", "nesterov", "decay"), [
    (0.0, False, 0.0), (0.0, False, 0.2), (0.9, False, 0.1), (0.9, True, 0.0), (0.5, True, 0.3)])
def test_sgd(layout: Any, momentum: float, nesterov: bool, decay: float) -> None:
    ps, ts = pairs()
    theirs = torch.optim.SGD(decaying(ts, decay), lr=1.0, momentum=momentum, nesterov=nesterov)
    walk(SGD(layout(ps), momentum=momentum, nesterov=nesterov, decoupled=False,
             weight_decay=decay), theirs, ps, ts)


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize(("power", "limit", "decay"), [(0.8, 1.0, 0.0), (0.5, 1.7, 0.2)])
def test_adafactor(layout: Any, power: float, limit: float, decay: float) -> None:
    ps, ts = pairs()
    theirs = torch.optim.Adafactor(decaying(ts, decay), lr=1.0, beta2_decay=-power, d=limit,
                                   eps=(1e-30, 1e-3))
    walk(Adafactor(layout(ps), relative_step=True, decay_power=power, clip_update=limit,
                   weight_decay=decay), theirs, ps, ts)


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize(("nesterov", "steps", "decay"), [(True, 5, 0.1), (False, 3, 0.0)])
def test_muon(layout: Any, nesterov: bool, steps: int, decay: float,
              monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's rounds to bfloat16 for the iteration; here it is held to float64."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    ps, ts = pairs()
    ts = {name: t for name, t in ts.items() if name in ("wide.weight", "tall.weight")}
    theirs = torch.optim.Muon([*ts.values()], momentum=0.9, nesterov=nesterov, ns_steps=steps,
                              weight_decay=decay)
    walk(Muon(layout(ps), momentum=0.9, nesterov=nesterov, newton_schulz=steps,
              weight_decay=decay), theirs, ps, ts)
