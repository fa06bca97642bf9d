"""Each fused op, forward and backward, against PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.functional import (
    causal_attention,
    dropout,
    embedding,
    flash_attention,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    softmax_cross_entropy,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}

both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def assert_close(ours: Any, theirs: Any, dtype: str, what: str) -> None:
    """Fail unless the largest difference is tiny beside the largest element."""
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype == np.dtype(dtype), what
    assert ours.shape == theirs.shape, what
    scale = max(abs(theirs).max(initial=0), np.finfo(dtype).tiny)
    error = abs(ours - theirs).max(initial=0) / scale
    assert error <= TOLERANCE[dtype], f"{what}: relative error {error:.2e}"


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], arrays: Sequence[np.ndarray],
            dtype: str) -> None:
    """Compare the result, and every gradient for a random cotangent."""
    xs = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    ts = [torch.from_numpy(a.astype(dtype)).requires_grad_() for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    assert_close(y.data, t, dtype, "result")
    g = normal(*y.shape, seed=99).astype(dtype) if y.ndim else np.array(-1.7, dtype)
    y.backward(g)
    t.backward(torch.from_numpy(g))
    for i, (x, u) in enumerate(zip(xs, ts, strict=True)):
        assert_close(x.grad, u.grad, dtype, f"gradient of argument {i}")


@both_dtypes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(), (1,), (13,), (2, 3, 5)])
def test_linear(leading: tuple[int, ...], bias: bool, dtype: str) -> None:
    arrays = [normal(*leading, 11), normal(7, 11), normal(7)]
    compare(linear, F.linear, arrays if bias else arrays[:2], dtype)


@both_dtypes
@pytest.mark.parametrize("rows", [1, 17, 256, 257, 3001])  # a small table has a way of its own
def test_embedding(rows: int, dtype: str) -> None:
    ids = np.random.default_rng(rows).integers(rows, size=(5, 9))
    ids[1, 2:] = ids[0, 0]  # one row looked up many times
    compare(lambda w: embedding(ids, w), lambda w: F.embedding(torch.from_numpy(ids), w),
            [normal(rows, 7)], dtype)


@both_dtypes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.7])
@pytest.mark.parametrize("shape", [(11,), (3, 5, 11), (4, 3)])
def test_layer_norm(shape: tuple[int, ...], eps: float, bias: bool, dtype: str) -> None:
    columns = shape[-1]
    arrays = [3 * normal(*shape) + 0.5, normal(columns), normal(columns, seed=1)]
    compare(lambda *args: layer_norm(*args, eps=eps),
            lambda x, w, b=None: F.layer_norm(x, (columns,), w, b, eps),
            arrays if bias else arrays[:2], dtype)


@both_dtypes
@pytest.mark.parametrize("approximate", ["tanh", "none"])
@pytest.mark.parametrize("scale", [1.0, 5.0, 100.0])
def test_gelu(scale: float, approximate: str, dtype: str) -> None:
    compare(lambda x: gelu(x, approximate=approximate),
            lambda x: F.gelu(x, approximate=approximate), [scale * normal(3, 7, 31)], dtype)


@both_dtypes
@pytest.mark.parametrize("attention", [causal_attention, flash_attention], ids=["causal", "flash"])
@pytest.mark.parametrize("scale", [1.0, 6.0])  # 6: most of a row's probability in one place
@pytest.mark.parametrize(("batch", "time", "heads", "depth"),
                         [(1, 1, 1, 1), (3, 11, 3, 5), (2, 37, 1, 7), (1, 2, 5, 3), (1, 200, 3, 8)])
def test_attention(batch: int, time: int, heads: int, depth: int, scale: float, attention: Any,
                   dtype: str) -> None:
    def theirs(qkv: Any) -> Any:
        q, k, v = qkv.view(batch, time, 3, heads, depth).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return o.transpose(1, 2).reshape(batch, time, heads * depth)

    compare(lambda qkv: attention(qkv, heads=heads), theirs,
            [scale * normal(batch, time, 3 * heads * depth)], dtype)


@both_dtypes
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize(("leading", "classes"), [((7,), 3), ((3, 5), 13), ((11, 101), 131)])
def test_softmax_cross_entropy(leading: tuple[int, ...], classes: int, ignored: float,
                               ignore_index: int, dtype: str) -> None:
    rng = np.random.default_rng(classes)
    targets = rng.integers(classes, size=leading)
    targets[rng.random(leading) < ignored] = ignore_index

    def theirs(z: Any) -> Any:
        return F.cross_entropy(z.reshape(-1, classes), torch.from_numpy(targets.reshape(-1)),
                               ignore_index=ignore_index)

    compare(lambda z: softmax_cross_entropy(z, targets, ignore_index=ignore_index), theirs,
            [4 * normal(*leading, classes)], dtype)


@both_dtypes
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize(("leading", "classes"), [((7,), 3), ((3, 5), 13), ((11, 101), 131)])
def test_linear_cross_entropy(leading: tuple[int, ...], classes: int, ignored: float,
                              ignore_index: int, dtype: str) -> None:
    rng = np.random.default_rng(classes)
    targets = rng.integers(classes, size=leading)
    targets[rng.random(leading) < ignored] = ignore_index

    def theirs(x: Any, w: Any) -> Any:
        return F.cross_entropy(F.linear(x, w).reshape(-1, classes),
                               torch.from_numpy(targets.reshape(-1)), ignore_index=ignore_index)

    compare(lambda x, w: linear_cross_entropy(x, w, targets, ignore_index=ignore_index), theirs,
            [2 * normal(*leading, 19), normal(classes, 19)], dtype)


@both_dtypes
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_dropout(p: float, dtype: str) -> None:
    """Where both keep an element they scale it alike; which ones they keep is their own affair."""
    x = Tensor(normal(40, 50).astype(dtype), requires_grad=True)
    y = dropout(x, p=p, key=1)
    t = torch.from_numpy(x.data).requires_grad_()
    u = F.dropout(t, p)
    kept, both = y.data != 0, (y.data != 0) & (u.detach().numpy() != 0)
    np.testing.assert_allclose(y.data[both], u.detach().numpy()[both], rtol=1e-4)
    y.backward(np.ones_like(x.data))
    assert np.array_equal(x.grad != 0, kept) and kept.mean() == pytest.approx(1 - p, abs=0.03)
