"""A training step on the arrays of a strict CuPy, and the waits for the device in it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strict_cupy
from strict_cupy import no_sync, sync_log

from autograd import plain_ops, to_host
from tinygrad_llm.functional import rotary
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import Rotary, lengths_of, load_parameters, parameters, positions_of
from tinygrad_llm.optim import (
    EMA,
    OPTIMIZERS,
    AdamW,
    Arena,
    clip_by_global_norm,
    make_optimizer,
)
from tinygrad_llm.sample import Chooser, Sampling, choose_all
from tinygrad_llm.sample import logits as filters
from tinygrad_llm.train import next_token, train_step

pytestmark = pytest.mark.uncut
CONFIGS = {
    "small table": GPTConfig(vocab_size=11, context=6, layers=2, heads=2, width=8, dropout=0.1),
    "large table": GPTConfig(vocab_size=1030, context=6, layers=1, heads=1, width=4, bias=False),
    "later parts": GPTConfig(vocab_size=11, context=6, layers=1, heads=2, width=8, norm="rms",
                             positions="sinusoidal", mlp="relu_squared"),
    "llama": LlamaConfig(vocab_size=11, context=6, layers=2, heads=4, key_heads=2, width=16,
                         qk_norm=True, qkv_bias=True, dropout=0.1),
    "gemma 2": LlamaConfig(vocab_size=11, context=6, layers=2, heads=2, width=8, tied=False,
                           norm_offset=1.0, activation="gelu_tanh", window=3, layer_pattern="LG",
                           soft_cap=2.0, logit_cap=3.0, post_norms=True, embed_scale=2.0),
}
EXPERTS = LlamaConfig(vocab_size=11, context=6, layers=2, heads=2, width=8, experts=3,
                      expert_inner=4, shared_inner=2)
Move = Callable[[np.ndarray], Any]


def made(config: Any, move: Move) -> tuple[Any, AdamW]:
    """Return a model whose parameters were moved, and its optimizer."""
    kind: Any = GPT if isinstance(config, GPTConfig) else Llama
    model = kind(config, seed=3)
    for p in parameters(model).values():
        p.data = move(p.data)
    return model, AdamW(Arena(parameters(model)))


def batch(config: Any, move: Move, seed: int = 0) -> tuple[Any, Any]:
    """Return token ids and targets in which some tokens occur more than once."""
    ids = np.random.default_rng(seed).integers(0, 11, (2, config.context + 1))
    return move(ids[:, :-1]), move(ids[:, 1:])


def trained(config: Any, move: Move) -> dict[str, Any]:
    """Return everything that three steps leave behind."""
    model, optimizer = made(config, move)
    results = [train_step(model, optimizer, next_token, batch(config, move, seed), lr=0.01,
                          clip=0.5, key=seed) for seed in range(3)]
    left = {f"p.{name}": p.data for name, p in parameters(model).items()}
    left |= {f"m.{name}": m for name, m in optimizer.m.items()}
    left |= {f"v.{name}": v for name, v in optimizer.v.items()}
    return {"loss and norm": np.array(results)} | left


@pytest.mark.parametrize("config", [*CONFIGS.values(), EXPERTS], ids=[*CONFIGS, "experts"])
def test_training_is_the_same(config: Any) -> None:
    with plain_ops():  # which compute there, as there is no kernel yet
        expected = trained(config, np.array)
    got = trained(config, strict_cupy.asarray)
    assert got.keys() == expected.keys()
    for name, e in expected.items():
        assert name == "loss and norm" or isinstance(got[name], strict_cupy.ndarray), name
        np.testing.assert_array_equal(to_host(got[name]), e, err_msg=name, strict=True)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_loss_backward_and_update_never_wait(config: Any) -> None:
    model, optimizer = made(config, strict_cupy.asarray)
    with no_sync():
        loss = model.loss(*batch(config, strict_cupy.asarray), 1)
        loss.backward()
    clip_by_global_norm(optimizer.parameters.values(), 0.5)
    with no_sync():
        optimizer.update(0.01)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_and_the_average_of_weights_do_the_same(name: str) -> None:
    """On a GPU a vector's blocks are one, and only Adafactor waits: for the size of its update."""
    def stepped(move: Move) -> dict[str, Any]:
        model, _ = made(EXPERTS, move)
        optimizer = make_optimizer(name, Arena(parameters(model)), {})
        average, rng = EMA(optimizer.parameters, 0.9), np.random.default_rng(0)
        for _ in range(3):
            for p in optimizer.parameters.values():
                p.grad = move(rng.normal(size=p.shape).astype(np.float32))
            with nullcontext() if name == "adafactor" else no_sync():
                optimizer.update(0.01, scale=0.5)
                average.update()
        return {f"p.{n}": p.data for n, p in parameters(model).items()} | optimizer.state() | {
            f"average.{n}": a for n, a in average.average.items()}

    expected, got = stepped(np.array), stepped(strict_cupy.asarray)
    assert got.keys() == expected.keys()
    for key, e in expected.items():
        assert key.startswith("steps.") or isinstance(got[key], strict_cupy.ndarray), key
        np.testing.assert_array_equal(to_host(got[key]), e, err_msg=key, strict=True)


def test_where_a_step_waits() -> None:
    """The loss is looked at once, and so is each parameter's norm; nothing else is."""
    config = CONFIGS["small table"]
    model, optimizer = made(config, strict_cupy.asarray)
    with sync_log() as waits:
        train_step(model, optimizer, next_token, batch(config, strict_cupy.asarray), lr=0.01,
                   clip=0.5, key=1)
    assert Counter(waits) == {"float() in finite": 1,
                              "float() in _squared.<locals>.squared": len(optimizer.parameters)}


def test_saved_parameters_are_loaded_onto_the_device() -> None:
    config = CONFIGS["small table"]
    model, _ = made(config, strict_cupy.asarray)
    arrays = {name: np.cos(p.data) for name, p in parameters(GPT(config, seed=4)).items()}
    load_parameters(model, arrays)
    for name, p in parameters(model).items():
        assert isinstance(p.data, strict_cupy.ndarray)
        np.testing.assert_array_equal(to_host(p.data), arrays[name])


@pytest.mark.parametrize("scaling", [
    "", "dynamic factor=4", "yarn factor=4", "llama3 factor=8 low=1 high=4"])
def test_positions_and_their_angles_are_the_same_and_never_wait(scaling: str) -> None:
    documents, made = np.array([[0, 0, 3, 3, 3, 0], [5, 5, 5, 5, 5, 5]]), Rotary(
        8, scaling=scaling, context=4)
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 8)).astype(np.float32)

    def turned(move: Move) -> Any:
        positions = positions_of(move(documents))
        cos, sin = made.at(positions, lengths_of(move(documents)))
        return rotary(move(x), cos=cos, sin=sin)

    with plain_ops():
        expected = turned(np.array)
    moved = {id(a): strict_cupy.asarray(a) for a in (documents, x)}
    with no_sync():
        got = turned(lambda a: moved[id(a)])
    assert isinstance(got, strict_cupy.ndarray)
    np.testing.assert_array_equal(to_host(got), expected)


LOGITS = np.random.default_rng(0).normal(size=(3, 17)) * 3
IDS = np.array([3, 5, 16])
UNIFORMS = np.random.default_rng(2).random(3)
FILTERS: dict[str, Callable[[Any, Any], Any]] = {
    "add_bias": lambda z, to: filters.add_bias(z, IDS, IDS + 0.5),
    "penalize_repetition": lambda z, to: filters.penalize_repetition(z, IDS, 1.5),
    "penalize_counts": lambda z, to: filters.penalize_counts(z, IDS, IDS % 3, 0.5, 0.25),
    "forbid": lambda z, to: filters.forbid(z, IDS),
    "keep": lambda z, to: filters.keep(z, LOGITS > 0),
    "greedy": lambda z, to: filters.greedy(z),
    "scale_by_temperature": lambda z, to: filters.scale_by_temperature(z, 0.7),
    "keep_top_k": lambda z, to: filters.keep_top_k(z, 5),
    "keep_top_p": lambda z, to: filters.keep_top_p(z, 0.8),
    "keep_min_p": lambda z, to: filters.keep_min_p(z, 0.1),
    "keep_typical": lambda z, to: filters.keep_typical(z, 0.8),
    "cut": lambda z, to: filters.cut(z, 0.7, 9, 0.9, 0.01, 0.9),
    "softmax": lambda z, to: filters.softmax(z),
    "log_softmax": lambda z, to: filters.log_softmax(z),
    "draw_rows": lambda z, to: filters.draw_rows(z, to(UNIFORMS)),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_logits_are_the_same_and_never_wait(name: str) -> None:
    with no_sync():
        got = FILTERS[name](strict_cupy.asarray(LOGITS), strict_cupy.asarray)
    assert isinstance(got, strict_cupy.ndarray)
    np.testing.assert_array_equal(to_host(got), FILTERS[name](LOGITS, np.asarray))


@pytest.mark.parametrize("options", [
    {"temperature": 0}, {}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9}])
def test_choosing_tokens_waits_twice(options: dict[str, Any]) -> None:
    """For the answer whether the logits are finite, and for the tokens."""
    def choosers() -> list[Chooser]:
        return [Chooser(Sampling(seed=seed, **options), [1], 17) for seed in range(3)]

    expected = choose_all(LOGITS, choosers())
    with sync_log() as waits:
        got = choose_all(strict_cupy.asarray(LOGITS), choosers())
    assert got == expected and all(type(token) is int for token in got)
    assert waits == ["bool() in finite_largest", "get() in to_host"]


def test_choosing_tokens_with_all_options_is_the_same() -> None:
    def choosers() -> list[Chooser]:
        made = [Chooser(Sampling(seed=seed, top_k=9, repetition_penalty=1.5, presence_penalty=0.5,
                                 no_repeat_ngram=2, logit_bias={3: 1.0}, banned=[4], ends=[5],
                                 min_tokens=seed, logprobs=2), [1, 2, 1], 17) for seed in range(3)]
        return [*made[:2], Chooser(Sampling(temperature=0), [1], 17)]

    def texts(logits: Any) -> list[Any]:
        ours, found = choosers(), []
        for _ in range(3):
            tokens = choose_all(logits, ours)
            for row, token, chooser in zip(logits, tokens, ours, strict=True):
                chooser.take(token, row)
            found.append((tokens, [chooser.choices[:] for chooser in ours]))
        return found

    assert texts(strict_cupy.asarray(LOGITS)) == texts(LOGITS)


SCRIPT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cupy":
            raise SystemExit(f"{name} was imported")  # which no `except ImportError` catches

sys.meta_path.insert(0, Refuse())

import numpy as np
import autograd, tinygrad_llm
from tinygrad_llm.cli import main
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import next_token, train_step

model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4))
ids = np.array([[0, 1, 2, 3, 4]])
batch = ids[:, :-1], ids[:, 1:]
train_step(model, AdamW(parameters(model)), next_token, batch, lr=0.1, clip=1.0, key=None)
assert "cupy" not in sys.modules
print("trained")
"""


def test_the_cpu_path_never_imports_cupy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=Path(__file__).parents[2],
                          capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
