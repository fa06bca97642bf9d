"""Muon against its definition, and the singular values that its iteration makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizing import give_gradients, random_parameters

from autograd import Tensor
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.optim import AdamW, Arena, Muon
from tinygrad_llm.optim.muon import orthogonalized

BAND = 0.68, 1.21


def quintic(s: Any, times: int = 5) -> Any:
    for _ in range(times):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


def random_matrix(values: Any, rows: int, columns: int, seed: int) -> tuple[Any, Any, Any]:
    """Return singular vectors for these values: of the rows (R, N), of the columns (N, C)."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.normal(size=(size, len(values))))[0] for size in (rows, columns))
    return u, v.T, (u * values) @ v.T


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=6), st.integers(0, 5),
       st.integers(0, 5), st.integers(0, 2**32))
def test_the_iteration_acts_on_the_singular_values_alone(values: list[float], rows: int,
                                                         columns: int, seed: int) -> None:
    s, n = np.array(values), len(values)
    u, vt, x = random_matrix(s, n + rows, n + columns, seed)
    expected = (u * quintic(s / np.sqrt((s**2).sum()))) @ vt
    np.testing.assert_allclose(orthogonalized(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_value_from_the_stated_one_on_lands_in_the_band(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for shape in ((40, 40), (64, 24), (24, 64)):
        s = np.exp(rng.uniform(np.log(0.0016), 0, size=24))
        s = s[s > 0.0016 * np.sqrt((s**2).sum())]  # after the division by the norm
        _, _, x = random_matrix(s, *shape, 1)
        found = np.linalg.svd(orthogonalized(x.astype(dtype)), compute_uv=False)[:len(s)]
        assert len(s) > 15 and BAND[0] < found.min() and found.max() < BAND[1], found


def test_the_numbers_of_the_derivation() -> None:
    s = np.linspace(0, 1.2024, 100_001)
    once = quintic(s, 1)
    assert s[once.argmax()] == pytest.approx(0.5545, abs=1e-4) and once.max() <= 1.2024
    inside = once[s >= 0.5545]
    assert inside.min() == pytest.approx(0.6818, abs=1e-4) and inside.max() <= 1.2024
    growth = once[1:] / s[1:]
    assert (np.diff(growth[s[1:] <= 0.5545]) < 0).all()
    assert growth[s[1:] <= 0.5545].min() == pytest.approx(2.17, abs=0.01)
    small = quintic(np.linspace(0.0016, 1, 100_001))
    assert BAND[0] < small.min() and small.max() < BAND[1] and quintic(0.0014) < BAND[0]
    cubic = (15 * s - 10 * s**3 + 3 * s**5) / 8
    np.testing.assert_allclose(1 - cubic, (1 - s) ** 3 * (8 + 9 * s + 3 * s**2) / 8, atol=1e-14)


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize("nesterov", [False, True])
def test_its_definition(layout: Any, nesterov: bool) -> None:
    ps, qs = random_parameters(), random_parameters()
    settings: dict[str, Any] = {"weight_decay": 0.3, "beta1": 0.7, "beta2": 0.8, "eps": 1e-3}
    optimizer = Muon(layout(ps), momentum=0.8, nesterov=nesterov, adamw_rate=0.25, **settings)
    adamw = AdamW(qs, **settings)
    expected = {name: p.data.copy() for name, p in ps.items()}
    m = {name: np.zeros(p.shape) for name, p in ps.items()}
    for t in range(1, 6):
        lr = 0.1 / t
        give_gradients(ps, t)
        give_gradients(qs, t)
        gradients = {name: p.grad for name, p in ps.items()}
        optimizer.update(lr)
        adamw.update(0.25 * lr)
        for name, p in ps.items():
            if name in ("wte.weight", "norm.weight", "one"):
                np.testing.assert_allclose(p.data, qs[name].data, rtol=1e-12, err_msg=name)
                continue
            m[name] = 0.8 * m[name] + 0.2 * gradients[name]
            d = 0.8 * m[name] + 0.2 * gradients[name] if nesterov else m[name]
            u, s, vt = np.linalg.svd(d, full_matrices=False)
            norm = np.sqrt((s**2).sum(-1, keepdims=True))
            o = (u * quintic(s / norm)[..., None, :]) @ vt
            tall = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
            expected[name] = (1 - lr * 0.3) * expected[name] - lr * tall * o
            np.testing.assert_allclose(p.data, expected[name], rtol=1e-9, atol=1e-11, err_msg=name)
    assert {n for n in optimizer.state() if n[:2] == "v."} == {
        "v.wte.weight", "v.norm.weight", "v.one"}


def test_which_matrices_adamw_takes_is_a_setting() -> None:
    assert set(Muon(random_parameters(), adamw_for="*.weight").v) == {
        "wte.weight", "wide.weight", "tall.weight", "norm.weight", "one"}
    assert set(Muon(random_parameters(), adamw_for="").v) == {"norm.weight", "one"}
    with pytest.raises(UserError, match="adamw_for: no parameter has a name like 'wtee"):
        Muon(random_parameters(), adamw_for="wte* wtee*")


@pytest.mark.parametrize("layout", [dict, Arena])
def test_maps_that_lie_in_one_matrix_are_stepped_apart(layout: Any) -> None:
    """As three matrices of their own would be: q, k and v of grouped heads, and what is left."""
    rng = np.random.default_rng(0)
    for rows in ((4, 4, 4), (4, 2), (4,), (3,)):
        maps = {f"map{i}": rng.normal(size=(n, 4)) for i, n in enumerate(rows)}
        packed = np.concatenate([*maps.values()])
        ps = {name: Tensor(w, requires_grad=True) for name, w in maps.items()}
        qs = {"attn.qkv.weight": Tensor(packed, requires_grad=True)}
        whole = {"attn.qkv.weight": Tensor(packed.copy(), requires_grad=True)}
        ours, alone, together = Muon(layout(qs)), Muon(layout(ps)), Muon(whole, squares="")
        for t in range(3):
            gradients = [rng.normal(size=p.shape) for p in ps.values()]
            for p, g in zip(ps.values(), gradients, strict=True):
                p.grad = g
            for p in (*qs.values(), *whole.values()):
                p.grad = np.concatenate(gradients)
            for optimizer in (ours, alone, together):
                optimizer.update(0.1 / (t + 1))
        expected = np.concatenate([p.data for p in ps.values()])
        np.testing.assert_allclose(qs["attn.qkv.weight"].data, expected, rtol=1e-12)
        assert np.allclose(whole["attn.qkv.weight"].data, expected) == (len(rows) == 1)
    with pytest.raises(UserError, match="squares: no parameter has a name like 'kqv'"):
        Muon(random_parameters(), squares="kqv")


def test_gradients_of_zero_make_no_noise() -> None:
    ps = random_parameters(dtype=np.float32)
    before, optimizer = {n: p.data.copy() for n, p in ps.items()}, Muon(ps, weight_decay=0.0)
    for p in ps.values():
        p.grad = np.zeros_like(p.data)
    optimizer.update(0.1)
    for name, p in ps.items():
        assert (p.data == before[name]).all()
