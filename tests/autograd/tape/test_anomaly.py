"""Anomaly mode names the op, the line and the layer, and writes a test that fails until mended."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, grad, log, no_grad, primitive, sqrt, vjp, where
from autograd.primitive import Primitive, registry
from autograd.tape.anomaly import AnomalyError, detect_anomaly
from autograd.tape.failing import Failure, not_finite
from autograd.tape.source import exact_literal
from autograd.tensor import STATE
from tinygrad_llm.functional import causal_attention, linear
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters

ROOT = Path(__file__).parents[3]


def leaf(x: Any, dtype: Any = "float64") -> Tensor:
    return Tensor(np.array(x, dtype=dtype), requires_grad=True)


def found(f: Callable[[], Any], folder: Path, **options: Any) -> AnomalyError:
    with pytest.raises(AnomalyError) as caught, detect_anomaly(folder, **options):
        f()
    assert STATE.watch is None
    return caught.value


def run_file(error: AnomalyError, mend: str = "") -> tuple[int, str]:
    """Run the written test in a process of its own, after `mend` has been executed there."""
    assert error.file is not None, str(error)
    code = f"import sys, pytest\n{mend}\nsys.exit(pytest.main(['-q', '-W', 'error', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-c", code, str(error.file)], cwd=error.file.parent,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True)
    return done.returncode, done.stdout + done.stderr


def fails(error: AnomalyError) -> str:
    """Execute the written test here: it must fail by its assertion, not by anything else."""
    assert error.file is not None, str(error)
    source, names = error.file.read_text(), {"__name__": "written"}
    exec(compile(source, str(error.file), "exec"), names)
    (test,) = [f for name, f in names.items() if name.startswith("test_")]
    with pytest.raises(AssertionError):
        test()  # type: ignore[operator]
    return source.partition("import annotations")[2]  # without the story, which quotes this file


# values


@pytest.mark.parametrize("f, op, kind, argument", [
    (lambda: log(leaf([[0.5, 2.0], [-1.0, 3.0]])), "log", "NaN", "np.array(-1.0)"),
    (lambda: leaf([1.0, 0.0]) / leaf([2.0, 0.0]), "divide", "NaN", "np.array(0.0)"),
    (lambda: leaf([1.0, 0.0]) - np.array(np.inf) + np.inf, "add", "NaN out of infinities",
     "np.array(-inf)"),
    (lambda: log(leaf([0.5, 0.0])), "log", "-inf", "np.array(0.0)"),
    (lambda: ag.exp(leaf([1.0, 800.0])), "exp", "inf", "np.array(800.0)"),
    (lambda: leaf([1e200, 1.0]).astype("float32"), "astype", "inf", "np.array(1e+200)"),
    (lambda: (leaf([1e308, 2.0, 1e308]) * 1.0).sum(), "sum", "inf", "np.array([1e+308, 1e+308])"),
    (lambda: leaf([[4.0, -9.0]]) ** np.array([0.5]), "power", "NaN", "np.array(0.5)"),
])
def test_a_value(f: Any, op: str, kind: str, argument: str, tmp_path: Path) -> None:
    error = found(f, tmp_path)
    assert error.op == op and f"{op} made {kind}" in str(error)
    assert error.location is not None and error.location.filename == __file__
    assert "leaf(" in error.location.text and error.location.text in str(error)
    assert error.module_path == ""
    source = fails(error)
    assert argument in source and ("np.isfinite" in source) != ("infinities" in kind)
    assert list(tmp_path.iterdir()) == [error.file]


def test_infinity_may_be_allowed_and_minus_infinity_may_be_a_mask(tmp_path: Path) -> None:
    visible = np.tril(np.ones((3, 3), dtype=bool))
    with detect_anomaly(tmp_path):
        scores = where(visible, leaf(np.ones((3, 3))), -np.inf)
        ag.exp(scores - scores.data.max(-1, keepdims=True)).sum().backward()
        causal_attention(leaf(np.ones((1, 4, 6))), heads=2).sum().backward()
        (leaf([1.0]) + np.array([-np.inf])).max()
        (leaf([1.0, 2.0]) * np.array([1.0, np.inf])).sum().backward()  # an infinite slope, given
    with detect_anomaly(tmp_path, inf=False):
        log(leaf([0.0]))
        sqrt(leaf([0.0])).sum().backward()
    assert not list(tmp_path.iterdir())


def test_integers_comparisons_and_untouched_nans_are_left_alone(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        x = leaf([1.0, np.nan])
        assert list(x > 0) == [True, False]
        where(np.array([True, False]), x, 0.0).sum()
        Tensor(np.array([1, 2])) + 3
        log(np.array([0.0]))  # an array alone is not watched: nothing is recorded


def test_what_came_in_is_not_blamed_on_the_op(tmp_path: Path) -> None:
    error = found(lambda: ag.tanh(leaf([[0.0, 1.0], [np.nan, 1.0]])), tmp_path)
    assert "NaN came into tanh as argument 1: 1 of 4 elements, the first at [1, 0]" in str(error)
    assert error.file is None and not list(tmp_path.iterdir())
    error = found(lambda: leaf([1.0]) + np.array([np.nan]), tmp_path)
    assert "NaN came into add as argument 2" in str(error)
    error = found(lambda: leaf([np.inf]) * 2, tmp_path)  # a weight that diverged, not a mask
    assert "inf came into multiply as argument 1" in str(error)


def test_options_and_integer_arguments_are_written(tmp_path: Path) -> None:
    x = leaf([[1.0, 2.0], [1e308, 3.0], [5.0, 1e307]])
    error = found(lambda: (x * 1.7).sum(axis=(0, 1)), tmp_path)
    source = fails(error)
    assert error.op == "sum" and "axis=(0, 1)" in source
    index = np.array([0, 0, 2])
    error = found(lambda: ag.scatter_add(leaf([1e308, 0.0, 0.0]), index,
                                         leaf([1e308, 0.0, 1.0])), tmp_path)
    assert error.op == "scatter_add" and "x2 = np.array(0)\n" in fails(error)


# gradients


def trap() -> None:
    x = leaf([[0.0, 2.0], [3.0, 4.0]])
    where(x.data > 0, log(x), 0.0).sum().backward()


@pytest.mark.parametrize("f, op, kind, hint", [
    (lambda: sqrt(leaf([4.0, 0.0])).sum().backward(), "sqrt", "inf", "slope"),
    (lambda: ((leaf([0.0, 0.0]) ** 2).sum() ** 0.5).backward(), "power", "inf", "double where"),
    (lambda: grad(lambda x: sqrt(x * x))(0.0), "sqrt", "inf", "slope"),
    (trap, "log", "NaN", "double where"),
])
def test_a_gradient(f: Any, op: str, kind: str, hint: str, tmp_path: Path) -> None:
    error = found(f, tmp_path, inf=f is not trap)
    assert error.op == op
    assert f"the derivative of {op} made {kind} in the gradient of argument 1" in str(error)
    assert hint in str(error) and error.location is not None
    assert error.location.filename == __file__
    assert "np.array(0.0)" in fails(error)


def test_the_way_of_the_gradient_is_told(tmp_path: Path) -> None:
    error = found(trap, tmp_path, inf=False)
    assert "the gradient came by where (test_anomaly.py:" in str(error)
    assert ") <- sum (test_anomaly.py:" in str(error)


def test_a_gradient_that_overflows_only_in_the_sum_over_its_uses(tmp_path: Path) -> None:
    def f() -> None:
        x, b = leaf(np.ones((3, 4)), "float32"), leaf(np.ones(4), "float32")
        (x + b).backward(np.full((3, 4), 3e38, dtype="float32"))

    error = found(f, tmp_path)
    assert error.op == "add" and "summing it over broadcast axes" in str(error)
    fails(error)
    error = found(lambda: (leaf([1.0]) * 2).backward(np.array([np.nan])), tmp_path)
    assert "the gradient that reached multiply holds NaN" in str(error) and error.file is None


def test_an_op_within_an_op_is_told_with_the_users_line(tmp_path: Path) -> None:
    error = found(lambda: ag.average(leaf([1.0, 2.0]), weights=np.zeros(2)), tmp_path)
    assert error.op == "divide" and "as a part of average" in str(error)
    assert error.location is not None and "ag.average(leaf" in error.location.text
    error = found(lambda: leaf([0.0]) / 0.0, tmp_path)
    assert "\n  as a part of" not in str(error) and "\n  called from" not in str(error)


def test_a_recorded_backward_pass_tells_both_lines(tmp_path: Path) -> None:
    def f() -> None:
        y = sqrt(leaf([0.0, 1.0])).sum()
        y.backward(record=True)

    error = found(f, tmp_path)
    assert error.op == "divide" and "in the derivative of sqrt" in str(error)
    assert error.location is not None and error.location.text == "y.backward(record=True)"
    assert "y = sqrt(leaf([0.0, 1.0])).sum()" in str(error)
    fails(error)
    assert found(lambda: grad(grad(lambda x: x**1.5))(0.0), tmp_path).op == "power"


def test_what_was_computed_before_the_block_is_named_without_its_line(tmp_path: Path) -> None:
    y = sqrt(leaf([0.0]))
    error = found(lambda: y.sum().backward(), tmp_path)
    assert error.op == "sqrt" and error.location is None and error.file is None
    assert "computed before detect_anomaly began" in str(error)


# layers


def gpt(name: str, value: float) -> None:
    model = GPT(GPTConfig(11, context=8, layers=2, heads=2, width=16), seed=1)
    parameters(model)[name].data[...] = value
    ids = np.arange(16).reshape(2, 8) % 11
    model.loss(ids, ids).backward()


@pytest.mark.parametrize("name", [
    "h.0.attn.qkv.weight", "h.1.mlp.up.weight", "h.1.ln_2.weight", "ln_f.weight"])
def test_the_layer_is_named_as_parameters_are(name: str, tmp_path: Path) -> None:
    error = found(lambda: gpt(name, 3e38), tmp_path)
    assert error.module_path == name.removesuffix(".weight")
    assert f"module {error.module_path}" in str(error) and f"({name})" in str(error)
    assert error.location is not None and error.location.filename.endswith("layers.py")
    assert f"called from {os.path.relpath(__file__)}:" in str(error)
    assert f"from tinygrad_llm.functional.{error.op} import" in fails(error)


def test_the_gradient_of_a_layer_and_a_broken_weight(tmp_path: Path) -> None:
    error = found(lambda: gpt("h.1.attn.out.weight", np.nan), tmp_path)
    assert error.module_path == "h.1.attn.out"
    assert "NaN came into linear as argument 2 (h.1.attn.out.weight)" in str(error)
    model = GPT(GPTConfig(11, context=8, layers=2, heads=2, width=16), seed=1)
    ids = np.zeros((1, 8), dtype=int)

    def f() -> None:
        y = model.h[1](model.h[0](model.wte(ids)))
        y.backward(np.full(y.shape, 3e38, dtype="float32"))

    error = found(f, tmp_path)
    assert error.module_path == "mlp.down"  # the outermost object that was called is h.1
    fails(error)


# the block


def test_the_state_is_restored(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        outer = STATE.watch
        with pytest.raises(ZeroDivisionError), detect_anomaly(inf=False):
            assert STATE.watch is not outer
            raise ZeroDivisionError
        assert STATE.watch is outer
        with pytest.raises(AnomalyError):
            log(leaf([-1.0]))
        assert STATE.watch is outer and STATE.recording
        seen = []
        other = threading.Thread(target=lambda: seen.append(STATE.watch))
        other.start()
        other.join()
        assert seen == [None]
        with warnings.catch_warnings(), no_grad(), pytest.raises(AnomalyError, match="log made"):
            warnings.simplefilter("error")
            log(leaf([-2.0]))
    assert STATE.watch is None


def test_as_a_decorator(tmp_path: Path) -> None:
    @detect_anomaly(tmp_path / "new" / "folder")
    def loss(x: Tensor) -> Any:
        return log(x).sum()

    for _ in range(2):
        with pytest.raises(AnomalyError):
            loss(leaf([-1.0]))
    assert float(loss(leaf([1.0]))) == 0 and STATE.watch is None


def test_what_is_remembered_goes_with_the_graph(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        middle = leaf([1.0, 2.0]) * 3
        watched = weakref.ref(middle.data)
        loss = sqrt(middle).sum()
        del middle
        gc.disable()
        try:
            assert watched() is not None
            loss.backward()
            assert watched() is None
        finally:
            gc.enable()


def test_hooks_and_anomaly_mode_go_together(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        x = leaf([4.0])
        y = sqrt(x)
        y.register_hook(lambda g: g * 2)
        y.sum().backward(retain=True)
        y.sum().backward()
    assert x.grad.tolist() == [1.0]


# the written file


def test_the_file_fails_and_passes_once_the_op_is_mended(tmp_path: Path) -> None:
    error = found(lambda: gpt("h.0.attn.qkv.weight", 3e38), tmp_path)
    code, said = run_file(error)
    assert code == 1 and "1 failed" in said and "assert" in said, said
    mend = ("import numpy as np\nfrom tinygrad_llm.functional.linear import linear\n"
            "old = linear.forward\n"
            "def new(*args):\n    y, saved = old(*args)\n    return np.nan_to_num(y), saved\n"
            "linear.forward = new")
    code, said = run_file(error, mend)
    assert code == 0, said
    error = found(trap, tmp_path, inf=False)
    assert run_file(error)[0] == 1
    mend = ("from autograd import log\n"
            "log.vjp(lambda g, x: g / (x + (x == 0)))")
    code, said = run_file(error, mend)
    assert code == 0, said


def test_an_op_that_cannot_be_imported_is_embedded(tmp_path: Path) -> None:
    @primitive
    def inverse(x, /, *, power=1):  # type: ignore[no-untyped-def]
        return 1 / x**power

    @inverse.vjp
    def _(g, x, power):  # type: ignore[no-untyped-def]
        return -power * g / x ** (power + 1)

    assert isinstance(inverse, Primitive)
    error = found(lambda: inverse(leaf([1.0, 0.0]), power=2), tmp_path)
    source = fails(error)
    assert "def inverse(x" in source and "power=2" in source
    error = found(lambda: inverse(leaf([1.0, 1e-200])).sum().backward(), tmp_path)
    assert "@inverse.vjp" in fails(error)


def test_what_cannot_be_written_is_told_and_does_not_hide_the_anomaly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = found(lambda: log(leaf([-1.0])), tmp_path / "file")
    assert error.file is None and "no test was written:" in str(error)
    assert error.op == "log" and STATE.watch is None


def test_large_arguments_are_cut_in_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(300, 200)) * 1e155, rng.normal(size=(100, 200)) * 1e154
    error = found(lambda: linear(leaf(x), leaf(w)), tmp_path)
    assert error.op == "linear" and len(fails(error)) < 1500
    x = rng.normal(size=(40, 50, 60))
    x[17, 3, 9] = -20
    error = found(lambda: log(leaf(x + 10)), tmp_path)
    assert "np.array(-1" in fails(error)


@pytest.mark.parametrize("f, numbers", [
    (lambda: ag.exp(leaf([1.0, 712.3456789])), "np.array(710.0)"),
    (lambda: leaf([1.712345e308]) * 2.0, "np.array(1.7e+308)"),  # 2e308 would be another fault
    (lambda: log(leaf([[-0.123456]], "float32")), 'np.array(-0.1, dtype="float32")'),
])
def test_numbers_are_made_simple(f: Any, numbers: str, tmp_path: Path) -> None:
    assert numbers in fails(found(f, tmp_path))


def test_a_failure_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fail"):
        Failure(registry["log"], [np.ones(3)], {}, "NaN", np.array([np.nan] * 3)).smallest()


@pytest.mark.parametrize("x", [
    np.array([0.1, np.nan, -np.inf, 1e-310]), np.array([[1, 2]], dtype="int32"), np.zeros((0, 3)),
    np.array([0.1, 1 / 3, -0.0], dtype="float32"), np.array(True), np.ones((4, 5), dtype="float16"),
    np.array([], dtype="uint8"), np.float32(0.1), (1, None, ...), [1.5, slice(None, 2)],
    (np.array([2]),), np.dtype("float32"), np.float64, "text", np.inf,
])
def test_literals_come_back_exactly(x: Any) -> None:
    again = eval(exact_literal(x), {"np": np, "nan": np.nan, "inf": np.inf})
    if isinstance(x, (np.ndarray, np.generic)):
        assert again.dtype == x.dtype and again.shape == x.shape
        assert again.tobytes() == x.tobytes()
    else:
        assert repr(again) == repr(x)


def test_not_finite_looks_into_nests() -> None:
    assert not_finite([1, (np.array([np.inf]), None), np.nan]) == "NaN"
    assert not_finite((np.inf, "x", slice(None))) == "inf"
    assert not_finite([np.array([1, 2]), 3.0, vjp]) is None


def test_inside_a_checkpointed_call(tmp_path: Path) -> None:
    x = leaf([1.0, 0.0])
    error = found(lambda: ag.checkpoint(sqrt)(x).sum().backward(), tmp_path)
    assert error.op == "sqrt" and "the derivative of sqrt made inf" in str(error)
