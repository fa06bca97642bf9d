"""AdamW against its definition, with parameters in an arena and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.optim import AdamW, Arena


def leaf(values: object, gradient: object = None) -> Tensor:
    x = Tensor(np.array(values, dtype=float), requires_grad=True)
    x.grad = None if gradient is None else np.array(gradient, dtype=float)
    return x


@pytest.mark.parametrize("arena", [False, True])
def test_adamw_against_its_definition(arena: bool) -> None:
    rng = np.random.default_rng(0)
    p, bias = leaf(rng.normal(size=(2, 3))), leaf(rng.normal(size=3))
    expected = {"p": p.data.copy(), "bias": bias.data.copy()}
    m, v = dict.fromkeys(expected, 0.0), dict.fromkeys(expected, 0.0)
    ps = {"p": p, "bias": bias}
    optimizer = AdamW(Arena(ps) if arena else ps, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.3)
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


@pytest.mark.parametrize("arena", [False, True])
def test_a_step_without_gradient_does_not_count(arena: bool) -> None:
    ps = {"p": leaf([[1.0]]), "q": leaf(2.0, 0.5)}
    optimizer, (p, q) = AdamW(Arena(ps) if arena else ps), ps.values()
    optimizer.update(0.1)
    assert p.data.tolist() == [[1.0]]
    p.grad = np.array([[0.3]])
    optimizer.update(0.1)  # its first step: m_hat / sqrt(v_hat) is 1
    assert p.data.item() == pytest.approx(1 - 0.1 * 0.1 - 0.1, rel=1e-6)
    assert q.data.item() == pytest.approx(2 - 0.1, rel=1e-6)


def random_gradients(ps: dict[str, Tensor], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for p in ps.values():
        p.grad = np.asarray(rng.normal(size=p.shape), dtype=p.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_arena_changes_no_bit(dtype: Any) -> None:
    shapes = {"table": (40, 3), "bias": (3,), "matrix": (2, 2), "one": (), "cube": (2, 3, 4)}
    rng = np.random.default_rng(1)
    ps = {name: Tensor(np.asarray(rng.normal(size=shape), dtype=dtype), requires_grad=True)
          for name, shape in shapes.items()}
    qs = {name: Tensor(p.data.copy(), requires_grad=True) for name, p in ps.items()}
    plain, arena = AdamW(ps), AdamW(Arena(qs))
    for step in range(4):
        for side in (ps, qs):
            random_gradients(side, step)
            if step == 1:
                side["matrix"].grad = side["one"].grad = None
        plain.update(0.1, scale=0.7)
        arena.update(0.1, scale=0.7)
    assert {n: p.data.tobytes() for n, p in ps.items()} == {n: q.data.tobytes()
                                                           for n, q in qs.items()}
    assert {n: a.tobytes() for n, a in plain.state().items()} == {
        n: a.tobytes() for n, a in arena.state().items()}
    assert {n: int(t) for n, t in arena.steps.items()} == {
        "table": 4, "bias": 4, "matrix": 3, "one": 3, "cube": 4}


@pytest.mark.parametrize("arena", [False, True])
def test_the_scale_is_that_of_the_gradients(arena: bool) -> None:
    sides = [{"p": leaf([[1.0, 2.0]]), "q": leaf([3.0])} for _ in range(2)]
    scaled, plain = (AdamW(Arena(ps) if arena else ps, eps=1.0) for ps in sides)
    for step in range(3):
        for ps in sides:
            random_gradients(ps, step)
        for p in sides[1].values():
            p.grad *= 0.25
        scaled.update(0.1, scale=0.25)
        plain.update(0.1)
    for name, p in sides[0].items():
        np.testing.assert_allclose(p.data, sides[1][name].data, rtol=1e-12)


def test_making_an_optimizer_moves_nothing() -> None:
    p = leaf([[1.0, 2.0]], [[0.5, 0.5]])
    before = p.data
    optimizer = AdamW({"p": p})
    assert p.data is before
    optimizer.update(0.1)
    assert p.data is before and before.tolist() != [[1.0, 2.0]]


@pytest.mark.parametrize("arena", [False, True])
def test_the_bits_do_not_depend_on_the_threads(arena: bool,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BLOCK_BYTES", 256), ("_WORTH_HANDING_OUT", 512)):
        monkeypatch.setattr(threads, name, value)

    def updated(count: int) -> list[bytes]:
        ps = {"a": leaf(np.arange(300.0).reshape(100, 3)), "b": leaf(np.ones((7, 5)))}
        optimizer = AdamW(Arena(ps) if arena else ps)
        with workers(count):
            for step in range(3):
                random_gradients(ps, step)
                optimizer.update(0.1)
        return [p.data.tobytes() for p in ps.values()]

    assert updated(1) == updated(2) == updated(4)


@pytest.mark.parametrize("arena", [False, True])
def test_the_state_restores_an_optimizer(arena: bool) -> None:
    def made() -> tuple[dict[str, Tensor], AdamW]:
        ps = {"a": leaf([[1.0, 2.0], [3.0, 4.0]]), "b": leaf([5.0])}
        return ps, AdamW(Arena(ps) if arena else ps)

    ps, optimizer = made()
    for step in range(3):
        random_gradients(ps, step)
        optimizer.update(0.1)
    qs, other = made()
    assert set(other.state()) == {"m.a", "m.b", "v.a", "v.b", "steps.a", "steps.b"}
    for name, array in other.state().items():
        array[...] = optimizer.state()[name]
    for name, q in qs.items():
        q.data = ps[name].data.copy()
    for side, own in ((ps, optimizer), (qs, other)):
        random_gradients(side, 9)
        own.update(0.1)
    assert {n: p.data.tolist() for n, p in ps.items()} == {n: q.data.tolist()
                                                          for n, q in qs.items()}


@pytest.mark.parametrize("arena", [False, True])
def test_parameters_that_are_given_other_arrays(arena: bool) -> None:
    ps = {"a": leaf([0.0, 0.0], [0.0, 0.0]), "b": leaf([1.0, 1.0], [0.0, 0.0])}
    optimizer, (a, b) = AdamW(Arena(ps) if arena else ps), ps.values()
    a.data, b.data = b.data, a.data
    optimizer.update(0.1)
    assert a.data.tolist() == [1, 1] and b.data.tolist() == [0, 0]
    a.data = np.array([5.0, 6.0])
    a.grad = np.zeros(2)
    optimizer.update(0.1)
    assert a.data.tolist() == [5, 6]
    a.data = np.ones(1)
    a.grad = np.zeros(1)
    with pytest.raises(ValueError, match=r"a had the shape \(2,\) and was given data of shape"):
        optimizer.update(0.1)


def test_gradients_have_the_parameters_shapes_and_can_be_handed_over() -> None:
    p = leaf([[1.0, 2.0]])
    optimizer = AdamW({"p": p})
    assert optimizer.gradients["p"].shape == (1, 2) and optimizer.parameters["p"] is p
    optimizer.gradients["p"][...] = [[0.5, -0.5]]
    p.grad = optimizer.gradients["p"]
    optimizer.update(0.1)
    assert optimizer.m["p"] == pytest.approx(np.array([[0.05, -0.05]]))


def test_a_tensor_has_one_name() -> None:
    p = leaf([1.0])
    with pytest.raises(ValueError, match="a Tensor has two names"):
        AdamW({"a": p, "b": p})


@pytest.mark.parametrize("settings, error, words", [
    ({"beta1": 1.0}, ValueError, r"beta1 must be in \[0, 1\), got 1.0"),
    ({"beta2": 1}, ValueError, r"beta2 must be in \[0, 1\), got 1"),
    ({"beta2": -0.1}, ValueError, "beta2"), ({"beta1": float("nan")}, ValueError, "beta1.*nan"),
    ({"eps": -1.0}, ValueError, "eps must be above 0, got -1.0"), ({"eps": 0}, ValueError, "eps"),
    ({"eps": float("inf")}, ValueError, "eps"), ({"beta1": "0.9"}, TypeError, "beta1.*'0.9'"),
    ({"weight_decay": -0.1}, ValueError, "weight_decay must be at least 0"),
    ({"weight_decay": True}, TypeError, "weight_decay"), ({"beta1": (0.9, 0.95)}, TypeError, "0.9"),
])
def test_settings_out_of_their_bounds(settings: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        AdamW({"p": leaf([1.0])}, **settings)


@pytest.mark.parametrize("lr, scale", [(-0.1, 1.0), (float("nan"), 1.0), (0.1, float("inf")),
                                       (0.1, -1.0)])
def test_a_step_of_nonsense_changes_nothing(lr: float, scale: float) -> None:
    p = leaf([1.0], [1.0])
    optimizer = AdamW({"p": p})
    with pytest.raises(ValueError, match="AdamW: (lr|scale) must be at least 0"):
        optimizer.update(lr, scale)
    assert p.data.tolist() == [1.0] and p.grad is not None and int(optimizer.steps["p"]) == 0


def test_numpy_numbers_are_numbers() -> None:
    p = leaf([1.0], [1.0])
    AdamW({"p": p}, beta1=np.float32(0.5), eps=np.float64(1e-3)).update(np.float64(0.1))
    assert p.data[0] < 1
