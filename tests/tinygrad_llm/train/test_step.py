"""One update: of any model with any loss, in any number of slices, on any number of threads."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import numpy as np
import pytest
import strict_cupy

import autograd as ag
from autograd import Tensor, grad, to_host
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters, with_parameters
from tinygrad_llm.optim import AdamW, clip_by_global_norm
from tinygrad_llm.train import Objective, next_token, ordered_sum, train_step
from tinygrad_llm.train.objective import Diverged, Skipped
from tinygrad_llm.train.step import IGNORED, next_token_loss, targets_that_count

CONFIG = GPTConfig(vocab_size=11, context=16, layers=2, heads=2, width=8, dropout=0.1)
RNG = np.random.default_rng(0)
IDS, TARGETS = RNG.integers(0, 11, (2, 6, 16))
TARGETS[0, :5] = TARGETS[4] = -100


def gpt_in_float64() -> GPT:
    model = GPT(CONFIG, seed=1)
    return with_parameters(model, {
        name: Tensor(p.data.astype(np.float64), requires_grad=True)
        for name, p in parameters(model).items()})


class TwoLayers:
    """A model that is no language model: x (B, 3) to (B, 2), by plain ops."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.up = Tensor(rng.normal(size=(3, 5)), requires_grad=True)
        self.down = Tensor(rng.normal(size=(5, 2)), requires_grad=True)
        self.idle = Tensor(np.ones(3), requires_grad=True)

    def __call__(self, x: Any) -> Any:
        return ag.tanh(x @ self.up) @ self.down


def squared_error(model: Any, batch: Any, key: int | None) -> Any:
    """The mean over the places that `used` marks, of which rows have 0 to 2: NaN for none."""
    used = batch["used"]
    return ag.sum(used * (model(batch["x"]) - batch["y"]) ** 2) / np.float64(used.sum())


REGRESSION = Objective(squared_error, lambda batch: int(batch["used"].sum()))
BATCH = {"x": RNG.normal(size=(6, 3)), "y": RNG.normal(size=(6, 2)),
         "used": np.array([[1, 1], [0, 1], [0, 0], [1, 1], [0, 0], [1, 0]])}
MODELS = {"mlp": (TwoLayers, REGRESSION, BATCH),
          "gpt": (gpt_in_float64, next_token, (IDS, TARGETS))}


class Watched(AdamW):
    """Keeps the gradients and the scale of an update, and does nothing else."""

    def update(self, lr: float, scale: float = 1.0) -> None:
        self.seen = {name: None if p.grad is None else p.grad.copy()
                     for name, p in self.parameters.items()}
        self.scale = scale


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest) -> tuple[Any, Objective, Any]:
    make, objective, batch = MODELS[request.param]
    return make(), objective, batch


def test_a_step_is_at_most_ten_lines() -> None:
    lines = inspect.getsource(train_step).split('"""')[2].strip().splitlines()
    assert len([line for line in lines if line.strip()]) <= 10


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 5, 6])
def test_slices_add_up_to_the_batch(case: Any, slices: int) -> None:
    model, objective, batch = case
    whole = objective.loss(model, batch, None)
    whole.backward()
    expected = {name: p.grad for name, p in parameters(model).items()}
    norm = np.sqrt(sum((g**2).sum() for g in expected.values() if g is not None))
    optimizer = Watched(parameters(model))
    with workers(2):
        got = train_step(model, optimizer, objective, batch, lr=0.1, clip=0.5, key=None,
                         slices=slices)
    assert got == pytest.approx((float(whole), norm), rel=1e-12)
    assert optimizer.scale == pytest.approx(0.5 / norm, rel=1e-12) and norm > 0.5
    for name, e in expected.items():
        if e is None:
            assert name == "idle" and optimizer.seen[name] is None
        else:
            np.testing.assert_allclose(optimizer.seen[name], e, rtol=1e-10, atol=1e-14)


def test_the_gradient_is_the_derivative() -> None:
    model = TwoLayers()
    optimizer = Watched(parameters(model))
    train_step(model, optimizer, REGRESSION, BATCH, lr=0.1, clip=0.0, key=None, slices=4)

    def loss(up: Any) -> Any:
        return squared_error(with_parameters(model, {"up": up}), BATCH, None)

    np.testing.assert_allclose(optimizer.seen["up"], grad(loss)(model.up.data).data, rtol=1e-12)
    assert optimizer.scale == 1.0


def test_a_step_is_backward_clip_and_update(case: Any) -> None:
    model, objective, batch = case
    twin = with_parameters(model, {name: Tensor(p.data.copy(), requires_grad=True)
                                   for name, p in parameters(model).items()})
    optimizer, twins = AdamW(parameters(model)), AdamW(parameters(twin))
    for _ in range(3):
        loss = objective.loss(twin, batch, None)
        loss.backward()
        norm = clip_by_global_norm(parameters(twin).values(), 0.5)
        twins.update(0.01)
        got = train_step(model, optimizer, objective, batch, lr=0.01, clip=0.5, key=None, slices=1)
        assert got == pytest.approx((float(loss), norm), rel=1e-10)
    for p, q in zip(parameters(model).values(), parameters(twin).values(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-9, atol=1e-12)
        assert p.grad is None


@pytest.mark.parametrize("slices", [1, 2, 3, 6])
@pytest.mark.parametrize("name", MODELS)
def test_the_bits_do_not_depend_on_the_threads(name: str, slices: int) -> None:
    make, objective, batch = MODELS[name]

    def trained(threads: int) -> list[bytes]:
        model = make()
        optimizer = AdamW(parameters(model))
        with workers(threads):
            steps = [train_step(model, optimizer, objective, batch, lr=0.01, clip=0.5, key=i,
                                slices=slices) for i in range(4)]
        return [repr(steps).encode(), *(p.data.tobytes() for p in parameters(model).values())]

    one = trained(1)
    assert trained(2) == one
    assert trained(4) == one


def test_the_bits_of_products_in_several_blocks_do_not_depend_on_the_threads(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_TERM_BYTES", 1 << 17)
    config = GPTConfig(vocab_size=300, context=64, layers=2, heads=2, width=192)
    batch = tuple(np.random.default_rng(0).integers(0, 300, (2, 8, 64)))

    def bits(count: int) -> list[bytes]:
        model = GPT(config)
        optimizer = Watched(parameters(model))
        with workers(count):
            result = train_step(model, optimizer, next_token, batch, lr=0.1, clip=0.0, key=None,
                                slices=4)
        return [repr(result).encode(), *(g.tobytes() for g in optimizer.seen.values())]

    one = bits(1)
    for count in (2, 4, 2, 4):
        assert bits(count) == one


def test_slices_far_ahead_wait_and_add_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def bits(threads: int) -> list[bytes]:
        model = gpt_in_float64()
        optimizer = Watched(parameters(model))
        with workers(threads):
            train_step(model, optimizer, next_token, (IDS, TARGETS), lr=0.1, clip=0.0, key=1,
                       slices=6)
        return [g.tobytes() for g in optimizer.seen.values()]

    one = bits(1)
    monkeypatch.setattr(ordered_sum, "AHEAD", -1)
    for _ in range(5):
        assert bits(4) == one


def accumulated(case: Any, accumulate: int, key: int | None, slices: int | None = 6,
                threads: int = 2) -> tuple[Any, dict[str, np.ndarray | None]]:
    """Return the loss and the norm of a step, and its gradients."""
    model, objective, batch = case
    optimizer = Watched(parameters(model))
    with workers(threads):
        result = train_step(model, optimizer, objective, batch, lr=0.1, clip=0.5, key=key,
                            slices=slices, accumulate=accumulate)
    return result, optimizer.seen


@pytest.mark.parametrize("accumulate", [2, 3, 6])
def test_parts_add_up_to_the_batch(case: Any, accumulate: int) -> None:
    """Of which some have no target that counts, and others few."""
    model, objective, batch = case
    whole = objective.loss(model, batch, None)
    whole.backward()
    expected = {name: p.grad for name, p in parameters(model).items()}
    (loss, _), found = accumulated(case, accumulate, None, slices=None)
    assert loss == pytest.approx(float(whole), rel=1e-12)
    for name, e in expected.items():
        if e is not None:
            np.testing.assert_allclose(found[name], e, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_parts_of_several_slices_have_the_bits_and_the_masks_of_a_step_at_once(
        case: Any, accumulate: int) -> None:
    expected, whole = accumulated(case, 1, key=3)
    for n in (1, 2, 4):
        got, found = accumulated(case, accumulate, key=3, threads=n)
        assert got == expected
        for name, e in whole.items():
            assert (found[name] is None and e is None) or np.array_equal(found[name], e), name


def test_parts_of_one_slice_have_its_masks_and_are_the_same_to_rounding() -> None:
    case = gpt_in_float64(), next_token, (IDS, TARGETS)
    (loss, norm), whole = accumulated(case, 1, key=3)
    for n in (1, 2):
        got, found = accumulated(case, 6, key=3, threads=n)
        assert got == pytest.approx((loss, norm), rel=1e-12)
        for name, e in whole.items():
            np.testing.assert_allclose(found[name], e, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_recomputed_blocks_and_chunks_have_the_same_bits_on_any_number_of_threads(
        accumulate: int) -> None:
    def gradients(recompute: bool, rows: int, n: int) -> Any:
        model = gpt_in_float64()
        model.recompute, model.loss_chunk = recompute, rows
        result, found = accumulated((model, next_token, (IDS, TARGETS)), accumulate, 3, threads=n)
        return [repr(result).encode(), *(g.tobytes() for g in found.values())]

    assert gradients(True, 0, 1) == gradients(False, 0, 2), "those of a step that keeps all"
    for rows in (0, 5):
        one = gradients(True, rows, 1)
        for n in (2, 4, 2, 4):
            assert gradients(True, rows, n) == one


def test_one_part_is_under_way_at_a_time() -> None:
    now, most, lock = [0], [0], threading.Lock()

    def loss(model: Any, batch: Any, key: int | None) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return squared_error(model, batch, key)

    full = {**BATCH, "used": np.ones((6, 2))}
    for accumulate, expected in ((1, 4), (2, 3), (3, 2), (6, 1)):
        most[0] = 0
        accumulated((TwoLayers(), Objective(loss, REGRESSION.count), full), accumulate, None,
                    threads=4)
        assert most[0] == expected


def test_on_a_gpu_parts_are_what_is_cut() -> None:
    model = TwoLayers()
    _, expected = accumulated((model, REGRESSION, BATCH), 3, None, slices=3)
    seen = []

    def loss(model: Any, batch: Any, key: int | None) -> Any:
        seen.append(len(batch["x"]))
        return squared_error(model, batch, key)

    for p in parameters(model).values():
        p.data = strict_cupy.asarray(p.data)
    batch = {name: strict_cupy.asarray(array) for name, array in BATCH.items()}
    _, found = accumulated((model, Objective(loss, REGRESSION.count), batch), 3, None, threads=4)
    assert seen == [2, 2, 2], "the second part counts: its last row has two targets"
    for name in ("up", "down"):
        np.testing.assert_allclose(to_host(found[name]), expected[name], rtol=1e-12)


def test_dropout_differs_between_slices() -> None:
    model = gpt_in_float64()
    batch = np.tile(IDS[:1], (2, 1)), np.tile(TARGETS[1:2], (2, 1))
    seen = []

    def loss(model: Any, batch: Any, key: int | None) -> Any:
        result = next_token.loss(model, batch, key)
        seen.append((key, float(result)))
        return result

    train_step(model, Watched(parameters(model)), Objective(loss, next_token.count), batch, lr=0.1,
               clip=0.0, key=5, slices=2)
    assert len(set(seen)) == 2, "the same rows under different keys"


@pytest.mark.parametrize("slices", [1, 3])
def test_a_batch_in_which_nothing_counts_changes_nothing(case: Any, slices: int) -> None:
    model, objective, batch = case
    if isinstance(batch, dict):
        batch = {**batch, "used": np.zeros_like(batch["used"])}  # of which the loss is NaN
    else:
        batch = batch[0], np.full_like(batch[1], -100)
    before = [p.data.tobytes() for p in parameters(model).values()]
    optimizer = AdamW(parameters(model))
    assert train_step(model, optimizer, objective, batch, lr=0.1, clip=1.0, key=None,
                      slices=slices) == (0.0, 0.0)
    assert [p.data.tobytes() for p in parameters(model).values()] == before
    assert {int(t) for t in optimizer.steps.values()} == {0}


@pytest.mark.parametrize("poison, words", [
    ("weight", "the loss is nan"), ("hook", "the gradient's norm is inf"),
])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_that_diverges_touches_no_weight(poison: str, words: str, threads: int) -> None:
    model = TwoLayers()
    optimizer = AdamW(parameters(model))
    train_step(model, optimizer, REGRESSION, BATCH, lr=0.1, clip=1.0, key=None, slices=3)
    if poison == "weight":
        model.up.data[0, 0] = np.nan
    else:
        model.down.register_hook(lambda g: g + np.inf)
    before = [a.tobytes() for a in (*(p.data for p in parameters(model).values()),
                                    *optimizer.state().values())]
    with pytest.raises(Diverged, match=words), workers(threads):
        train_step(model, optimizer, REGRESSION, BATCH, lr=0.1, clip=1.0, key=None, slices=3)
    assert before == [a.tobytes() for a in (*(p.data for p in parameters(model).values()),
                                            *optimizer.state().values())]
    if poison == "weight":
        assert all(p.grad is None for p in parameters(model).values())
    else:
        assert np.isfinite(model.up.grad).all() and np.isinf(model.down.grad).all()


def test_an_error_in_a_slice_leaves_no_gradients() -> None:
    model = gpt_in_float64()
    model.loss(IDS, TARGETS).backward()
    with pytest.raises(IndexError, match="must lie in"), workers(2):
        train_step(model, AdamW(parameters(model)), next_token, (IDS, TARGETS + 11), lr=0.1,
                   clip=1.0, key=None, slices=3)
    assert all(p.grad is None for p in parameters(model).values())


FEW_IDS = np.array([[1, 2, 3], [4, 0, 1]])
FEW = np.array([[2, IGNORED, 4], [IGNORED, IGNORED, 0]])


def test_the_loss_is_the_mean_over_the_targets_that_count() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4), seed=1)
    z = model(FEW_IDS).data.astype(float)
    losses = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, FEW[..., None] % 5, -1)[..., 0]
    got = float(next_token.loss(model, (FEW_IDS, FEW), None))
    assert got == pytest.approx(losses[FEW != IGNORED].mean(), rel=1e-5)


def test_a_key_turns_dropout_on() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4, dropout=0.5))
    batch = FEW_IDS, FEW_IDS
    assert float(next_token_loss(model, batch)) != float(next_token_loss(model, batch, 1))


def test_the_count_is_of_targets_that_are_not_ignored() -> None:
    assert targets_that_count((FEW_IDS, FEW)) == 3
    assert next_token.count((FEW_IDS, np.full_like(FEW_IDS, IGNORED))) == 0
    on_device = strict_cupy.asarray(FEW)
    count = targets_that_count((strict_cupy.asarray(FEW_IDS), on_device))
    assert count == 3 and type(count) is int


def test_what_is_ignored_here_is_ignored_by_the_loss() -> None:
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
    assert float(next_token_loss(model, (FEW_IDS, np.full_like(FEW_IDS, IGNORED)))) == 0


def test_what_is_raised_before_the_update_keeps_it_from_happening() -> None:
    model = TwoLayers()
    optimizer, seen = AdamW(parameters(model)), []
    before = [p.data.copy() for p in parameters(model).values()]

    def refuse(loss: float, norm: float) -> None:
        seen.append((loss, norm))
        raise Skipped("not today")

    with pytest.raises(Skipped):
        train_step(model, optimizer, REGRESSION, BATCH, lr=0.1, clip=0.5, key=None,
                   before_update=refuse)
    assert all(map(np.array_equal, before, (p.data for p in parameters(model).values())))
    assert not any(t for t in optimizer.steps.values())
    again = train_step(model, optimizer, REGRESSION, BATCH, lr=0.1, clip=0.5, key=None)
    assert again == seen[0], "the loss and the norm are those of the step"
