"""An average of weights against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizing import random_parameters

from autograd import Tensor
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.optim import EMA, Arena


@pytest.mark.parametrize("layout", [dict, Arena])
def test_its_definition(layout: Any) -> None:
    ps, rng, d = random_parameters(), np.random.default_rng(0), 0.8
    layout(ps)
    average, past = EMA(ps, d), []
    for t in range(1, 8):
        for p in ps.values():
            p.data += rng.normal(size=p.shape)
        past.append({name: p.data.copy() for name, p in ps.items()})
        average.update()
        for name in ps:
            expected = sum(d ** (t - i) * past[i - 1][name] for i in range(1, t + 1))
            expected = expected * (1 - d) / (1 - d**t)
            np.testing.assert_allclose(average.average[name], expected, rtol=1e-12, atol=1e-14)
            assert t > 1 or (average.average[name] == ps[name].data).all()


def test_the_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BLOCK_BYTES", 128), ("_WORTH_HANDING_OUT", 256)):
        monkeypatch.setattr(threads, name, value)

    def averaged(count: int) -> list[bytes]:
        ps = random_parameters()
        ema = EMA(ps, 0.9)
        with workers(count):
            for _ in range(4):
                for p in ps.values():
                    p.data *= 1.1
                ema.update()
        return [array.tobytes() for array in ema.state().values()]

    assert averaged(1) == averaged(2) == averaged(4)


def test_the_state_restores_it() -> None:
    ps = random_parameters()
    ema, other = EMA(ps, 0.9), EMA(ps, 0.9)
    ema.update()
    for name, array in other.state().items():
        array[...] = ema.state()[name]
    for p in ps.values():
        p.data *= 3
    ema.update()
    other.update()
    assert int(other.steps) == 2
    assert [a.tolist() for a in ema.state().values()] == [
        a.tolist() for a in other.state().values()]


def test_of_half_precision_the_average_has_float32() -> None:
    p = Tensor(np.ones(3, np.float16), requires_grad=True)
    ema = EMA({"p": p}, 0.999)
    ema.update()
    p.data[...] = 1.001
    for _ in range(100):
        ema.update()
    assert ema.average["p"].dtype == np.float32
    assert 1.0005 < ema.average["p"][0] < float(p.data[0])


def test_in_place_for_a_while() -> None:
    ps = random_parameters()
    arena = Arena(ps)
    ema = EMA(ps, 0.5)
    ema.update()
    places = {name: p.data for name, p in ps.items()}
    for p in ps.values():
        p.data *= 2
    with pytest.raises(KeyboardInterrupt), ema.in_place():
        assert all((2 * p.data == places[name]).all() for name, p in ps.items())
        raise KeyboardInterrupt
    assert all(p.data is places[name] is arena.data[name] for name, p in ps.items())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_decays_out_of_their_bounds(decay: float) -> None:
    with pytest.raises(ValueError, match=r"EMA: decay must be in \(0, 1\)"):
        EMA(random_parameters(), decay)
