"""The scale of float16's loss, driven through literal sequences of infinities."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import Objective, train_step
from tinygrad_llm.train.loss_scale import UNSCALED, LossScale
from tinygrad_llm.train.objective import Diverged, Skipped
from tinygrad_llm.train.precision import Precision

TOP = 2.0**16


def drive(scale: LossScale, norms: list[float]) -> list[float | None]:
    """Return what steps with these norms make of them, None for one that is left out."""
    found: list[float | None] = []
    for norm in norms:
        try:
            found.append(scale.unscaled(norm))
            scale.count_update()
        except Skipped:
            found.append(None)
    return found


@pytest.mark.parametrize(("norms", "found", "size"), [
    ([TOP, 3 * TOP], [1, 3], TOP),
    ([inf, TOP], [None, 2], TOP / 2),
    ([nan, inf, nan, 8.0], [None, None, None, 8 / (TOP / 8)], TOP / 8),
    ([TOP, inf, TOP, inf, TOP], [1, None, 2, None, 4], TOP / 4),
    ([inf] * 16 + [5.0], [None] * 16 + [5], 1),
])
def test_each_overflow_halves_the_scale_and_leaves_its_step_out(
        norms: list[float], found: list[float | None], size: float) -> None:
    scale = LossScale()
    assert drive(scale, norms) == found and scale.size == size


def test_2000_updates_without_an_overflow_between_them_double_it() -> None:
    scale = LossScale()
    drive(scale, [1.0] * 1999)
    assert scale.size == TOP
    drive(scale, [inf])
    drive(scale, [1.0] * 1999)
    assert scale.size == TOP / 2
    drive(scale, [1.0])
    assert scale.size == TOP
    drive(scale, [1.0] * 4000)
    assert scale.size == 4 * TOP


def test_at_1_an_overflow_stops_and_names_the_way_out() -> None:
    scale = LossScale()
    drive(scale, [inf] * 16)
    with pytest.raises(UserError, match="--precision bfloat16 or float32") as stopped:
        scale.unscaled(nan)
    assert not isinstance(stopped.value, Diverged)  # no policy goes past it
    assert scale.size == 1


@pytest.mark.parametrize("after", range(8))
def test_one_that_is_restored_in_the_middle_goes_on_as_the_first_would(after: int) -> None:
    norms = [1.0, inf, nan, *[2.0] * 2, inf, *[1.0] * 2002]
    first, begun, restored = LossScale(), LossScale(), LossScale()
    whole = drive(first, norms)
    half = drive(begun, norms[:after])
    for name, array in restored.state().items():
        array[...] = begun.state()[name]
    assert [*half, *drive(restored, norms[after:])] == whole
    assert restored.state() == first.state()


def test_without_a_scale_gradients_that_are_not_finite_are_the_runs_own_fault() -> None:
    assert UNSCALED.unscaled(3.0) == 3 and UNSCALED.size == 1
    with pytest.raises(Diverged, match="the gradient's norm is nan"):
        UNSCALED.unscaled(nan)


def product(model: Tensor, batch: np.ndarray, key: int | None) -> Tensor:
    """A loss whose gradient of a float16 weight is the batch."""
    return (model * batch[0].astype(np.float16)).sum().astype(np.float32)


def step(precision: Precision, objective: Objective, batch: np.ndarray) -> tuple[float, float]:
    with precision.quiet():
        return train_step(precision.rounded(), precision.optimizer, objective, batch, lr=0.1,
                          clip=0.0, key=None, scale=precision.scale)


class One:
    """A model of one weight."""

    def __init__(self) -> None:
        self.w = Tensor(np.ones(1, np.float32), requires_grad=True)

    def __mul__(self, other: np.ndarray) -> Tensor:
        return self.w * other


def test_a_real_overflow_of_float16_touches_neither_weights_nor_averages() -> None:
    """3 times 2^16 is beyond float16, 3 times 2^14 is not."""
    model = One()
    optimizer = AdamW({"w": model.w})
    precision = Precision.of("float16", model, optimizer)
    objective, batch = Objective(product, lambda batch: 1), np.full((1, 1), 3, np.float32)
    before = {name: array.copy() for name, array in optimizer.state().items()}
    for size in (2.0**15, 2.0**14):
        with pytest.raises(Skipped, match=f"the scale of the loss is now {size:g}"):
            step(precision, objective, batch)
        assert precision.scale.size == size and model.w.data == 1
        assert all(np.array_equal(optimizer.state()[name], array)
                   for name, array in before.items())
    loss, norm = step(precision, objective, batch)
    assert (loss, norm) == (3, 3)
    assert optimizer.m["w"] == pytest.approx(0.3) and optimizer.steps["w"] == 1


@pytest.mark.parametrize("value", [inf, nan, 70_000.0])  # the last is beyond float16 by itself
def test_a_loss_that_is_not_finite_is_no_overflow_of_the_scale(value: float) -> None:
    model = One()
    precision = Precision.of("float16", model, AdamW({"w": model.w}))
    with pytest.raises(Diverged, match="the loss is"):
        step(precision, Objective(product, lambda batch: 1), np.full((1, 1), value, np.float32))
    assert precision.scale.size == TOP
