"""Stochastic rounding: its expectation, its edges, and runs whose weights are bfloat16 alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from small_runs import silent, small, train_until, weights, write_text

from autograd import Tensor, random_bits
from tinygrad_llm.cli import main
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.threads import BLOCK_BYTES
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import OPTIMIZERS, SGD, make_optimizer
from tinygrad_llm.train import load_model, resume_run, start_run, train
from tinygrad_llm.train.folder.checkpoint import save_checkpoint
from tinygrad_llm.train.rounding import RoundedArena, rounded
from tinygrad_llm.train.run import WarmStart, open_run

LARGEST = float(np.finfo(np.float32).max)
LARGEST_16 = 3.3895313892515355e38
EVERY = np.arange(2**16, dtype=np.uint16)


def by_all(x: float) -> np.ndarray:
    """Return what each of all random words makes of a number, in float64."""
    return rounded(np.full(2**16, x, np.float32), EVERY).astype(float)


@pytest.mark.parametrize("x", [
    1.001, -1.001, 0.02, 255.9, 1.9999, -3.9999, 1e-3, 6e4, 3.3e38, 1.2e-38, -1.17e-38,
    1e-39, -3e-40, 1.4e-45])
def test_the_mean_over_all_random_words_is_the_number_itself(x: float) -> None:
    """Exactly: r of 2^16 words round away from 0. Subnormals and steps of the exponent are such."""
    found, x32 = by_all(x), float(np.float32(x))
    assert found.mean() == pytest.approx(x32, rel=1e-12, abs=0)
    a, b = np.unique(found)
    assert a < x32 < b
    assert np.nextafter(a.astype(bfloat16), b.astype(bfloat16)) == b


def test_the_mean_over_drawn_bits_is_the_number_itself() -> None:
    n, x = 1_000_000, np.float32(1 + 3 / 1024)  # 3/8 of the way from 1 to 1 + 1/128
    found = rounded(np.full(n, x), random_bits(n, 7)).astype(float)
    spread = np.sqrt(3 / 8 * 5 / 8) / 128
    assert abs(found.mean() - x) < 3 * spread / np.sqrt(n)


def test_numbers_of_bfloat16_stay_whatever_is_drawn() -> None:
    numbers = EVERY.view(bfloat16)
    for u in (0, 1, 2**15, 2**16 - 1):
        found = rounded(numbers.astype(np.float32), np.full(2**16, u, np.uint16))
        finite = ~np.isnan(numbers.astype(np.float32))
        np.testing.assert_array_equal(found.view(np.uint16)[finite], EVERY[finite])
        assert np.isnan(found.astype(np.float32)[~finite]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_numbers_stay_finite_and_what_is_not_stays_as_it_is(sign: int) -> None:
    assert {*by_all(sign * LARGEST)} == {sign * LARGEST_16}
    assert {*by_all(sign * np.inf)} == {sign * np.inf}
    for bits in (0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF800001, 0x7FC00000):
        nan = np.full(2**16, bits, np.uint32).view(np.float32)
        assert np.isnan(rounded(nan, EVERY).astype(np.float32)).all()


def sgd_of(w: np.ndarray, key: int = 3) -> tuple[Tensor, SGD]:
    p = Tensor(w.astype(bfloat16), requires_grad=True)
    return p, SGD(RoundedArena({"w": p}, None, key), momentum=0.0, weight_decay=0.0)


def test_updates_that_rounding_to_the_nearest_loses_add_up_in_the_mean() -> None:
    """A weight of 1 moves by 1/1000 a step, a quarter of the way to its neighbour."""
    p, optimizer = sgd_of(np.ones(100_000))
    for _ in range(10):
        p.grad = np.ones(100_000, np.float32)
        optimizer.update(lr=1e-3)
    assert p.dtype == bfloat16 and bfloat16(1) - bfloat16(1e-3) == 1
    assert p.data.astype(float).mean() == pytest.approx(0.99, abs=1e-4)
    assert len(np.unique(p.data.astype(float))) > 3


def test_no_block_of_a_large_parameter_draws_the_bits_of_another() -> None:
    block = BLOCK_BYTES // 4
    p, optimizer = sgd_of(np.ones(2 * block))
    p.grad = np.full(2 * block, 1e-3, np.float32)
    optimizer.update(lr=1.0)
    first, second = p.data.reshape(2, block)
    assert 0.61 < (first == second).mean() < 0.63  # by chance .256^2 + .744^2


def test_each_step_each_parameter_and_each_seed_draw_bits_of_their_own() -> None:
    found = []
    for key, names in ((3, "ab"), (4, "a")):
        ps = {n: Tensor(np.ones(500).astype(bfloat16), requires_grad=True) for n in names}
        optimizer = SGD(RoundedArena(ps, None, key), momentum=0.0, weight_decay=0.0)
        for _ in range(2):
            for p in ps.values():
                p.data[...] = 1
                p.grad = np.full(500, 1e-3, np.float32)
            optimizer.update(lr=1.0)
            found += [p.data.tobytes() for p in ps.values()]
    assert len({*found}) == 6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_takes_its_float32_step_from_weights_of_bfloat16(name: str) -> None:
    rng = np.random.default_rng(1)
    start = {n: rng.normal(size=s).astype(bfloat16) for n, s in (
        ("m", (20, 30)), ("v", (30,)), ("frozen", (3,)), ("x", ()))}
    grads = {n: rng.normal(size=a.shape).astype(np.float32) for n, a in start.items()}
    here, there = ({n: Tensor(a.astype(kind), requires_grad=True) for n, a in start.items()}
                   for kind in (bfloat16, np.float32))
    layout: Any = RoundedArena(here, None, 3)
    for ps, optimizer in ((here, make_optimizer(name, layout, {})),
                          (there, make_optimizer(name, there, {}))):
        for n, p in ps.items():
            p.grad = None if n == "frozen" else grads[n]
        optimizer.update(lr=0.01)
        assert {a.dtype for kind in optimizer.averages().values()
                for a in kind.values()} <= {np.dtype(np.float32)}
    assert not layout.wide  # no float32 copy outlives the update
    for n, p in here.items():
        found, right = p.data.astype(float), there[n].data.astype(float)
        assert p.dtype == bfloat16 and (np.abs(found - right) <= 2**-7 * np.abs(right)).all()
        assert (n == "frozen") == bool((found == start[n].astype(float)).all())


# runs

SIXTEEN = {"precision": "bfloat16", "stochastic_rounding": True}


@pytest.mark.parametrize("stop_at", [1, 4])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_is_resumed_ends_with_the_same_bits_on_any_threads(
        optimizer: str, stop_at: int, tmp_path: Path) -> None:
    text, options = write_text(tmp_path), {**SIXTEEN, "optimizer": optimizer, "ema": 0.9}
    whole = start_run(small(text, **options), tmp_path / "whole")
    assert train(whole, silent, threads=1)
    run = start_run(small(text, **options, checkpoint_every=1), tmp_path / "run")
    train_until(run, stop_at, threads=2)
    resumed = resume_run(tmp_path / "run", {})
    assert resumed.step == stop_at and train(resumed, silent, threads=3)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert {name: a.tobytes() for name, a in resumed.state().items()} == {
        name: a.tobytes() for name, a in whole.state().items()}
    assert {p.dtype for p in parameters(resumed.model).values()} == {np.dtype(bfloat16)}


def test_its_checkpoint_serves_whatever_a_checkpoint_serves(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, folder = write_text(tmp_path), tmp_path / "run"
    run = start_run(small(text, **SIXTEEN, ema=0.9), folder)
    assert train(run, silent)
    file = next((folder / "checkpoint").glob("weights-*6.safetensors"))
    count = sum(p.size for p in parameters(run.model).values())
    assert b'"BF16"' in file.read_bytes() and b'"F32"' not in file.read_bytes()
    assert 2 * count < file.stat().st_size < 4 * count + 2000
    exact, (kept, _, _) = load_model(folder)[0], load_model(folder, stored=None)
    for name, p in parameters(run.model).items():
        assert parameters(exact)[name].data.tobytes() == p.data.astype(np.float32).tobytes()
        assert parameters(kept)[name].dtype == (bfloat16 if p.ndim > 1 else np.float32)
    averaged = load_model(folder, "ema", None)[0]
    assert {p.dtype for p in parameters(averaged).values()} == {np.dtype(np.float32)}
    said = capsys.readouterr()
    for args in (["eval"], ["sample", "-n", "5", "--seed", "1"],
                 ["export", "--out", str(tmp_path / "out")]):
        assert main([args[0], str(folder), *args[1:]]) == 0, said
    loss = open_run(folder).model.loss(*[np.array([[1, 2, 3]])] * 2)
    assert float(loss) == float(run.model.loss(*[np.array([[1, 2, 3]])] * 2))  # as it was trained
    started = start_run(small(text), tmp_path / "more", init=WarmStart(folder))
    assert {p.dtype for p in parameters(started.model).values()} == {np.dtype(np.float32)}
    assert train(started, silent)
    again = start_run(small(text, **SIXTEEN), tmp_path / "third", init=WarmStart(tmp_path / "more"))
    assert train(again, silent)


def test_moments_may_lie_in_files_and_memory_is_as_without(tmp_path: Path) -> None:
    text, found = write_text(tmp_path), []
    for offload in (False, True):
        run = start_run(small(text, **SIXTEEN, offload_moments=offload), tmp_path / f"{offload}")
        assert train(run, silent)
        found.append(weights(tmp_path / f"{offload}"))
    assert found[0] == found[1]


def test_another_precision_is_refused(tmp_path: Path) -> None:
    for precision in ("float32", "float16"):
        with pytest.raises(UserError, match=f"precision is {precision}; give --precision bfloat16"):
            small(tmp_path, stochastic_rounding=True, precision=precision)
    text = write_text(tmp_path)
    run = start_run(small(text, precision="bfloat16"), tmp_path / "run")
    save_checkpoint(tmp_path / "run/checkpoint", run.model, run, 0)
    with pytest.raises(UserError, match="stochastic_rounding = False, which cannot become True"):
        resume_run(tmp_path / "run", {"stochastic_rounding": True})
