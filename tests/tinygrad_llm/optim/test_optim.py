from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.optim import AdamW, clip_by_global_norm, cosine_with_warmup


def leaf(values: object, gradient: object = None) -> Tensor:
    x = Tensor(np.array(values, dtype=float), requires_grad=True)
    x.grad = None if gradient is None else np.array(gradient, dtype=float)
    return x


def test_adamw_against_its_definition() -> None:
    rng = np.random.default_rng(0)
    p, bias = leaf(rng.normal(size=(2, 3))), leaf(rng.normal(size=3))
    expected = {"p": p.data.copy(), "bias": bias.data.copy()}
    m, v = dict.fromkeys(expected, 0.0), dict.fromkeys(expected, 0.0)
    optimizer = AdamW({"p": p, "bias": bias}, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.3)
    for t in range(1, 6):
        lr = 0.1 / t
        for name, x in (("p", p), ("bias", bias)):
            x.grad = g = rng.normal(size=x.shape)
            m[name] = 0.8 * m[name] + 0.2 * g
            v[name] = 0.9 * v[name] + 0.1 * g**2
            m_hat, v_hat = m[name] / (1 - 0.8**t), v[name] / (1 - 0.9**t)
            decay = 0.3 if name == "p" else 0.0
            expected[name] = (expected[name] - lr * decay * expected[name]
                              - lr * m_hat / (np.sqrt(v_hat) + 1e-3))
        optimizer.update(lr)
        np.testing.assert_allclose(p.data, expected["p"], rtol=1e-12)
        np.testing.assert_allclose(bias.data, expected["bias"], rtol=1e-12)
        assert p.grad is None


def test_a_step_without_gradient_does_not_count() -> None:
    p, q = leaf([[1.0]]), leaf(2.0, 0.5)
    optimizer = AdamW({"p": p, "q": q})
    optimizer.update(0.1)
    assert p.data.tolist() == [[1.0]]
    p.grad = np.array([[0.3]])
    optimizer.update(0.1)  # its first step: m_hat / sqrt(v_hat) is 1
    assert p.data.item() == pytest.approx(1 - 0.1 * 0.1 - 0.1, rel=1e-6)
    assert q.data.item() == pytest.approx(2 - 0.1, rel=1e-6)


def test_clipping_scales_all_gradients_together() -> None:
    a, b, c = leaf([0, 0], [3.0, 0]), leaf([0], [4.0]), leaf([0])
    assert clip_by_global_norm([a, b, c], 10.0) == 5.0 and a.grad.tolist() == [3, 0]
    assert clip_by_global_norm([a, b, c], 1.0) == 5.0
    np.testing.assert_allclose([*a.grad, *b.grad], [0.6, 0, 0.8], rtol=1e-15)
    b.grad = np.array([math.nan])
    assert math.isnan(clip_by_global_norm([a, b], 1.0)) and a.grad[0] == pytest.approx(0.6)
    a.grad, b.grad = np.array([30.0, 40]), None
    assert clip_by_global_norm([a, b], 0.0) == 50.0 and a.grad.tolist() == [30, 40]


def test_schedule() -> None:
    rates = [cosine_with_warmup(s, peak=1.0, final=0.1, warmup=4, steps=24) for s in range(26)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[14] == pytest.approx(0.55) and rates[24] == rates[25] == 0.1
    assert all(a > b for a, b in itertools.pairwise(rates[4:25]))
    assert cosine_with_warmup(0, peak=1.0, final=0.0, warmup=0, steps=1) == 1.0


def test_parameters_that_are_given_other_arrays() -> None:
    a, b = leaf([0.0, 0.0], [0.0, 0.0]), leaf([1.0, 1.0], [0.0, 0.0])
    optimizer = AdamW({"a": a, "b": b})
    a.data, b.data = b.data, a.data
    optimizer.update(0.1)
    assert a.data.tolist() == [1, 1] and b.data.tolist() == [0, 0]
    a.data = np.array([5.0, 6.0])
    optimizer.update(0.1)
    assert a.data.tolist() == [5, 6] and a.data is optimizer.data["a"]
    a.data = np.ones(1)
    with pytest.raises(ValueError, match=r"a had the shape \(2,\) and was given data of shape"):
        optimizer.update(0.1)


def test_a_tensor_has_one_name() -> None:
    p = leaf([1.0])
    with pytest.raises(ValueError, match="a Tensor has two names"):
        AdamW({"a": p, "b": p})
