"""Steps in 16 bits: masters and copies, and every place where a number is rounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from small_runs import silent, small, train_until, weights, write_text

from autograd import Tensor, no_grad
from autograd.backward import pull_back
from autograd.deferred import Deferred
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters, subkey, with_parameters
from tinygrad_llm.optim import AdamW, Arena, clip_scale, global_norm
from tinygrad_llm.train import (
    load_model,
    loss_scale,
    next_token,
    resume_run,
    start_run,
    train,
    train_step,
)
from tinygrad_llm.train.objective import Skipped
from tinygrad_llm.train.precision import Precision, check_precision

HALF = {"bfloat16": bfloat16, "float16": np.float16}
SIZES: dict[str, Any] = {"vocab_size": 13, "context": 8, "layers": 2, "heads": 2, "width": 16}
IDS, TARGETS = np.random.default_rng(0).integers(0, 13, (2, 4, 8))
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**SIZES, dropout=0.1), 1),
    "gpt, sinusoidal": lambda: GPT(GPTConfig(**SIZES, positions="sinusoidal", mlp="geglu"), 1),
    "llama": lambda: Llama(LlamaConfig(**SIZES, key_heads=1, qk_norm=True), 1),
    "gemma": lambda: Llama(LlamaConfig(**SIZES, logit_cap=5.0, soft_cap=5.0, norm_offset=1.0,
                                       embed_scale=4.0, post_norms=True), 1),
    "experts": lambda: Llama(LlamaConfig(**SIZES, experts=4, tied=False), 1),
}


def step_of(precision: Precision, objective: Any = next_token, batch: Any = (IDS, TARGETS),
            **options: Any) -> tuple[float, float]:
    """Do a step; where float16 overflows, until it does not."""
    while True:
        try:
            with precision.quiet():
                return train_step(precision.rounded(), precision.optimizer, objective, batch,
                                  scale=precision.scale, **options)
        except Skipped:
            assert precision.scale.size > 2**8


def bits(model: Any) -> dict[str, bytes]:
    return {name: p.data.tobytes() for name, p in parameters(model).items()}


@pytest.mark.parametrize("name", HALF)
def test_a_step_is_one_of_the_masters_with_the_gradients_of_rounded_copies(name: str) -> None:
    """Against the definition, bit for bit: round, differentiate, sum in float32, update."""
    model, twin = MODELS["gpt"](), MODELS["gpt"]()
    precision = Precision.of(name, model, AdamW(Arena(parameters(model))))
    optimizer = AdamW(Arena(parameters(twin)))
    for step in range(3):
        size = precision.scale.size
        loss, norm = step_of(precision, lr=1e-2, clip=0.5, key=step, slices=1)
        copies = {key: Tensor(p.data.astype(HALF[name]), requires_grad=True)
                  for key, p in parameters(twin).items()}
        right = next_token.loss(with_parameters(twin, copies), (IDS, TARGETS),
                                subkey(step, 0))
        grads = pull_back([right], [size], [*copies.values()], rounded=False)
        for p, g in zip(parameters(twin).values(), grads, strict=True):
            p.grad = g.astype(np.float32)
        right_norm = global_norm(parameters(twin).values()) / size
        optimizer.update(1e-2, clip_scale(right_norm, 0.5) / size)
        assert loss == float(right) and norm == pytest.approx(right_norm, rel=1e-6)
    assert bits(model) == bits(twin)
    assert all(p.dtype == np.float32 for p in parameters(model).values())
    assert {a.dtype for a in optimizer.m.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("kind", MODELS)
def test_a_step_comes_near_that_of_float32(name: str, kind: str) -> None:
    losses = {}
    for which in ("float32", name):
        model = MODELS[kind]()
        precision = Precision.of(which, model, AdamW(Arena(parameters(model))))
        losses[which] = [step_of(precision, lr=1e-2, clip=1.0, key=7)
                         for _ in range(5)]
    (loss, norm), (right, right_norm) = (np.transpose(losses[which]) for which in (name, "float32"))
    np.testing.assert_allclose(loss, right, rtol=0.01)
    np.testing.assert_allclose(norm, right_norm, rtol=0.2)
    assert loss[-1] < loss[0] - 0.1


def test_in_float32_nothing_is_copied() -> None:
    model = MODELS["gpt"]()
    optimizer = AdamW(parameters(model))
    precision = Precision.of("float32", model, optimizer)
    assert precision.model is model and precision.optimizer is optimizer
    assert precision.rounded() is model and precision.scale.size == 1


@pytest.mark.parametrize("name", HALF)
def test_threads_change_no_bit(name: str) -> None:
    found = []
    for threads in (1, 2, 3):
        model = MODELS["gpt"]()
        precision = Precision.of(name, model, AdamW(Arena(parameters(model))))
        with workers(threads):
            for step in range(2):
                step_of(precision, lr=1e-2, clip=1.0, key=step, slices=4)
        found.append(bits(model))
    assert found[0] == found[1] == found[2]


def test_updates_that_16_bits_lose_add_up_in_the_masters() -> None:
    """A weight of 1 moves by 1/1000 a step: in bfloat16, whose next number is 1 - 1/256, never."""
    model = SimpleNamespace(w=Tensor(np.ones((1, 1), np.float32), requires_grad=True))
    precision = Precision.of("bfloat16", model, AdamW(parameters(model), weight_decay=0.0))
    objective = SimpleNamespace(loss=lambda model, batch, key: model.w.sum().astype(np.float32),
                                count=lambda batch: 1)
    for _ in range(10):
        step_of(precision, objective, np.ones((1, 1)), lr=1e-3, clip=0.0, key=None)
    assert model.w.data.item() == pytest.approx(0.99, abs=1e-5)
    assert precision.rounded().w.data.item() == bfloat16(0.99)
    assert bfloat16(1) - bfloat16(1e-3) == 1


# the table of roundings

DOCS = Path(__file__).parents[3] / "docs" / "training.md"


def table() -> dict[str, set[str]]:
    """Return the types of each op's results, as docs/training.md has them."""
    rows = re.findall(r"^\| `(\w+)` \| (16 bits|float32|both) \|", DOCS.read_text(encoding="utf-8"),
                      re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return {op: {"16 bits", "float32"} if kind == "both" else {kind} for op, kind in rows}


def nodes(loss: Tensor) -> Iterator[Any]:
    """Yield the nodes of a record."""
    seen, stack = set(), [loss.node]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.parents)


@pytest.mark.parametrize("name", HALF)
def test_the_table_of_roundings_has_each_op_of_a_step_with_its_types(name: str) -> None:
    met: dict[str, set[str]] = {}
    for make in MODELS.values():
        model = Precision.of(name, (m := make()), AdamW(parameters(m))).model
        losses = []
        for model.loss_chunk in (0, 4):
            losses.append(next_token.loss(model, (IDS, TARGETS), 3))
        for node in chain.from_iterable(map(nodes, losses)):
            assert node.dtype in (np.float32, HALF[name]), node
            if node.op is None:
                assert node.dtype == HALF[name], "a weight"
            else:
                kind = "float32" if node.dtype == np.float32 else "16 bits"
                met.setdefault(node.op.name, set()).add(kind)
    assert met == table()



@pytest.mark.parametrize("kind", MODELS)
def test_gradients_of_weights_are_float32_but_for_those_that_the_table_names(kind: str) -> None:
    model = Precision.of("bfloat16", (m := MODELS[kind]()), AdamW(parameters(m))).model
    leaves, rounded = parameters(model), set()

    def deliver(i: int, part: Any) -> None:
        if part.dtype != np.float32:
            assert not isinstance(part, Deferred)
            rounded.add([*leaves][i])

    pull_back([next_token.loss(model, (IDS, TARGETS), 3)], [None], [*leaves.values()],
              deliver=deliver)
    named = {"gpt": {"wpe.weight"}, "gemma": {key for key in leaves if "norm" in key or
                                              "post" in key}}
    assert rounded == named.get(kind, set())


# what a device has

@pytest.mark.parametrize(("name", "capability", "way_out"), [
    ("bfloat16", "75", "bfloat16 takes a GPU of compute capability 8.0, and this one has 7.5; use "
                       "float16 or float32"),
    ("bfloat16", "52", "has 5.2; use float32"), ("float16", "52", "float16 takes a GPU of .* 5.3")])
def test_a_precision_that_the_device_lacks(name: str, capability: str, way_out: str) -> None:
    gpu = SimpleNamespace(cuda=SimpleNamespace(
        Device=lambda: SimpleNamespace(compute_capability=capability)))
    with pytest.raises(UserError, match=way_out):
        check_precision(name, gpu)
    check_precision("float32", gpu)
    check_precision(name)  # the CPU emulates it
    gpu.cuda.Device = lambda: SimpleNamespace(compute_capability="90")
    check_precision(name, gpu)


def test_an_unknown_precision(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no 'bfloat'; did you mean 'bfloat16'"):
        check_precision("bfloat")
    with pytest.raises(UserError, match="no 'fp16'; known are float32, bfloat16, float16"):
        small(tmp_path, precision="fp16")


# runs

@pytest.mark.parametrize("stop_at", [1, 2, 4])
@pytest.mark.parametrize("name", HALF)
def test_a_run_that_is_resumed_ends_with_the_same_bits(
        name: str, stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 with overflows before, at and behind the step where it is stopped."""
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**27)
    monkeypatch.setattr(loss_scale, "PATIENCE", 2)
    text, left_out = write_text(tmp_path), []
    whole = start_run(small(text, precision=name), tmp_path / "whole")
    assert train(whole, silent)
    run = start_run(small(text, precision=name, checkpoint_every=1), tmp_path / "run")
    train_until(run, stop_at)
    resumed = resume_run(tmp_path / "run", {})
    left_out.append(int(resumed.trouble.left_out))
    assert resumed.step == stop_at and train(resumed, silent)
    left_out.append(int(resumed.trouble.left_out))
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert resumed.loss_scale.state() == whole.loss_scale.state()
    assert resumed.batch == whole.batch and resumed.step == 6
    if name == "float16":
        assert 0 < left_out[0] < left_out[1]  # some before and some behind


@pytest.mark.parametrize("first", ["float32", *HALF])
@pytest.mark.parametrize("second", ["float32", *HALF])
def test_a_run_may_go_on_in_another_precision(first: str, second: str, tmp_path: Path) -> None:
    text = write_text(tmp_path)
    assert train(start_run(small(text, precision=first, steps=3), tmp_path / "run"), silent)
    run = resume_run(tmp_path / "run", {"precision": second, "steps": 6})
    said = f"steps were computed in {first} up to step 3, and are in {second} from here on"
    assert (said in run.notes) == (first != second)
    assert train(run, silent)
    model, _, config = load_model(tmp_path / "run")
    assert config.run.precision == second
    assert {p.dtype for p in parameters(model).values()} == {np.dtype(np.float32)}
    some = next(iter(parameters(model).values())).data
    assert (some != some.astype(HALF.get(second, bfloat16))).any()  # the masters
    with no_grad():
        assert np.isfinite(model(np.array([[1, 2]])).data).all()
