"""What all optimizers have in common, of each of them, in an arena and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimizing import SHAPES, bits, give_gradients, random_parameters

from autograd import Tensor
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.optim import SGD, Adafactor, AdamW, Arena, Lion, Muon, Optimizer

KINDS: dict[str, Callable[..., Optimizer]] = {
    "adamw": AdamW, "sgd": SGD, "lion": Lion, "adafactor": Adafactor, "muon": Muon,
    "sgd-plain": lambda ps, **given: SGD(ps, momentum=0.0, decoupled=False, **given),
    "adafactor-relative": lambda ps, **given: Adafactor(ps, relative_step=True, **given),
    "muon-plain": lambda ps, **given: Muon(ps, nesterov=False, adamw_for="", **given)}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
both_layouts = pytest.mark.parametrize("layout", [dict, Arena])


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_arena_changes_no_bit(kind: Any, dtype: Any) -> None:
    ps, qs = random_parameters(dtype=dtype), random_parameters(dtype=dtype)
    plain, arena = kind(ps), kind(Arena(qs))
    for step in range(4):
        for side in (ps, qs):
            give_gradients(side, step)
            if step == 1:
                side["wide.weight"].grad = side["one"].grad = None
        plain.update(0.1, scale=0.7)
        arena.update(0.1, scale=0.7)
    assert bits(ps, plain) == bits(qs, arena)
    assert {n: int(t) for n, t in arena.steps.items()} == {
        n: 3 if n in ("wide.weight", "one") else 4 for n in SHAPES}
    assert all(a.dtype == dtype for n, a in arena.state().items() if not n.startswith("steps."))


@every_kind
@both_layouts
def test_the_bits_do_not_depend_on_the_threads(kind: Any, layout: Any,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BLOCK_BYTES", 128), ("_WORTH_HANDING_OUT", 256)):
        monkeypatch.setattr(threads, name, value)

    def updated(count: int) -> dict[str, bytes]:
        ps = random_parameters()
        optimizer = kind(layout(ps))
        with workers(count):
            for step in range(3):
                give_gradients(ps, step)
                optimizer.update(0.1)
        return bits(ps, optimizer)

    assert updated(1) == updated(2) == updated(4)


@every_kind
@both_layouts
def test_the_state_restores_an_optimizer(kind: Any, layout: Any) -> None:
    ps, qs = random_parameters(), random_parameters(2)
    optimizer, other = kind(layout(ps)), kind(layout(qs))
    for step in range(3):
        give_gradients(ps, step)
        optimizer.update(0.1)
    saved = {name: array.copy() for name, array in optimizer.state().items()}
    for name, array in other.state().items():
        array[...] = saved[name]
    for name, q in qs.items():
        q.data[...] = ps[name].data
    for side, own in ((ps, optimizer), (qs, other)):
        give_gradients(side, 9)
        own.update(0.1)
    assert bits(ps, optimizer) == bits(qs, other)
    assert any((array != saved[name]).any() for name, array in optimizer.state().items())


@every_kind
@both_layouts
def test_a_parameter_without_a_gradient_stays_with_all_that_it_has(kind: Any, layout: Any) -> None:
    ps = random_parameters()
    optimizer = kind(layout(ps))
    give_gradients(ps, 0)
    optimizer.update(0.1)
    before = bits(ps, optimizer)
    optimizer.update(0.1)
    assert bits(ps, optimizer) == before and all(p.grad is None for p in ps.values())


@every_kind
@both_layouts
def test_the_scale_is_that_of_the_gradients(kind: Any, layout: Any) -> None:
    ps, qs = random_parameters(), random_parameters()
    scaled, plain = kind(layout(ps)), kind(layout(qs))
    for step in range(3):
        give_gradients(ps, step)
        give_gradients(qs, step, scale=0.25)
        scaled.update(0.1, scale=0.25)
        plain.update(0.1)
    for name, array in scaled.state().items():
        np.testing.assert_allclose(array, plain.state()[name], rtol=1e-12, err_msg=name)
    for name, p in ps.items():
        np.testing.assert_allclose(p.data, qs[name].data, rtol=1e-12, err_msg=name)


@every_kind
@both_layouts
def test_only_matrices_decay_unless_a_group_says_so(kind: Any, layout: Any) -> None:
    ps = random_parameters()
    before = {name: p.data.copy() for name, p in ps.items()}
    optimizer = kind(layout(ps), weight_decay=0.5, groups="norm*: decay=2; wide*: decay=0 lr=3")
    for p in ps.values():
        p.grad = np.zeros(p.shape)
    optimizer.update(0.1)
    rate = {"wte.weight": 0.5} if kind is Muon else {}  # the rate of what AdamW takes there
    rate |= {"norm.weight": 0.5} if "Muon" in type(optimizer).__name__ else {}
    for name, p in ps.items():
        decay = {"norm.weight": 1.0, "wide.weight": 0.0, "one": 0.0}.get(name, 0.5)
        np.testing.assert_allclose(p.data, before[name] * (1 - 0.1 * rate.get(name, 1) * decay),
                                   rtol=1e-12, err_msg=name)


@every_kind
@both_layouts
def test_a_groups_rate_is_a_factor_of_all_rates(kind: Any, layout: Any) -> None:
    ps, qs, rs = (random_parameters() for _ in range(3))
    halves = kind(layout(ps), groups="*: lr=2; w*: lr=0.5; tall*: lr=0")
    low, high = kind(layout(qs)), kind(layout(rs))
    for step in range(3):
        for side in (ps, qs, rs):
            give_gradients(side, step)
        halves.update(0.02)
        low.update(0.01)
        high.update(0.04)
    for name, p in ps.items():
        expected = (random_parameters()[name].data if name == "tall.weight"
                    else qs[name].data if name[0] == "w" else rs[name].data)
        np.testing.assert_allclose(p.data, expected, rtol=1e-12, err_msg=name)


@every_kind
@both_layouts
def test_a_step_of_nonsense_changes_nothing(kind: Any, layout: Any) -> None:
    ps = random_parameters()
    optimizer = kind(layout(ps))
    give_gradients(ps, 0)
    before = bits(ps, optimizer)
    for lr, scale in ((-0.1, 1.0), (float("nan"), 1.0), (0.1, float("inf")), (0.1, -1.0)):
        with pytest.raises(ValueError, match=f"{type(optimizer).__name__}: (lr|scale) must be at "
                                             f"least 0"):
            optimizer.update(lr, scale)
    assert bits(ps, optimizer) == before and all(p.grad is not None for p in ps.values())


@every_kind
@both_layouts
def test_parameters_of_float16_are_refused_before_anything_changes(kind: Any, layout: Any) -> None:
    """Squares of their gradients are 0, and infinities would come without a word."""
    ps = random_parameters(dtype=np.float16)
    optimizer = kind(layout(ps))
    give_gradients(ps, 0)
    before = bits(ps, optimizer)
    with pytest.raises(ValueError, match="float16 is too narrow for updates: .* give float32"):
        optimizer.update(0.1)
    assert bits(ps, optimizer) == before


@pytest.mark.parametrize("kind, settings, error, words", [
    (SGD, {"momentum": 1.0}, ValueError, r"SGD: momentum must be in \[0, 1\), got 1.0"),
    (SGD, {"nesterov": 1}, TypeError, "SGD: nesterov must be True or False, got 1"),
    (Lion, {"beta2": -0.1}, ValueError, r"Lion: beta2 must be in \[0, 1\)"),
    (Adafactor, {"clip_update": 0}, ValueError, "Adafactor: clip_update must be above 0, got 0"),
    (Adafactor, {"decay_power": "0.8"}, TypeError, "Adafactor: decay_power must be a number"),
    (Muon, {"newton_schulz": 0}, ValueError, "newton_schulz must be a whole number from 1, got 0"),
    (Muon, {"newton_schulz": 2.5}, ValueError, "a whole number from 1, got 2.5"),
    (Muon, {"adamw_rate": -1.0}, ValueError, "Muon: adamw_rate must be at least 0"),
    (Muon, {"eps": 0.0}, ValueError, "Muon: eps must be above 0"),
    (Muon, {"adamw_for": "wte* lm_haed*"}, ValueError, "no parameter has a name like 'lm_haed"),
])
def test_settings_out_of_their_bounds(kind: Any, settings: Any, error: type[Exception],
                                      words: str) -> None:
    with pytest.raises(error, match=words):
        kind(random_parameters(), **settings)


def test_what_is_kept_beside_a_matrix_is_as_small_as_promised() -> None:
    rows, columns = 40, 30

    def numbers(kind: Any, **given: Any) -> int:
        ps = {"h.weight": Tensor(np.ones((rows, columns)), requires_grad=True)}
        return sum(a.size for n, a in kind(ps, **given).state().items() if n[:5] != "steps")

    assert numbers(AdamW) == 2 * rows * columns
    assert numbers(SGD) == numbers(Lion) == numbers(Muon) == rows * columns
    assert numbers(SGD, momentum=0.0) == 0 and numbers(Adafactor) == rows + columns


@pytest.mark.parametrize("kind, settings", [
    (AdamW, {}), (SGD, {"momentum": 0.0}), (SGD, {"momentum": 0.9}), (Lion, {}), (Adafactor, {}),
    (Muon, {"adamw_for": "wte* tall*"})])
@both_layouts
def test_what_is_kept_is_known_before_it_is_made(kind: Any, settings: Any, layout: Any) -> None:
    ps = random_parameters()
    state = kind(layout(ps), **settings).state()
    assert {n: a.shape for n, a in state.items() if n[:5] != "steps"} == {
        f"{part}.{name}": shape for name, p in ps.items()
        for part, shape in kind.kept(name, p.shape, settings).items()}
