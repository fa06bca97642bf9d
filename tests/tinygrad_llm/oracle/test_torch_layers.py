"""Each fused op, forward and backward, against PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, plain_ops
from tinygrad_llm.functional import (
    attention,
    dropout,
    embedding,
    geglu,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    relu_squared,
    rms_norm,
    rotary,
    softmax_cross_entropy,
    swiglu,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

@pytest.fixture(params=["twin", "plain"], autouse=True)
def pair(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test with the twins on NumPy, and again with the plain pairs."""
    with plain_ops() if request.param == "plain" else nullcontext():
        yield


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
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("eps", [1e-6, 0.7])
@pytest.mark.parametrize("shape", [(11,), (3, 5, 11), (2, 5, 3, 4), (300, 700)])
def test_rms_norm(shape: tuple[int, ...], eps: float, scaled: bool, dtype: str) -> None:
    columns = shape[-1]
    compare(lambda *args: rms_norm(*args, eps=eps),
            lambda x, w=None: F.rms_norm(x, (columns,), w, eps),
            [3 * normal(*shape) + 0.5, normal(columns)][: 1 + scaled], dtype)


@both_dtypes
@pytest.mark.parametrize("scale", [1.0, 5.0, 100.0])
@pytest.mark.parametrize("shape", [(62,), (3, 7, 62), (600, 520)])
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh", "gelu"])
def test_gated_halves(activation: str, shape: tuple[int, ...], scale: float, dtype: str) -> None:
    ours, theirs = {"silu": (swiglu, F.silu),
                    "gelu_tanh": (geglu, partial(F.gelu, approximate="tanh")),
                    "gelu": (partial(geglu, approximate="none"), F.gelu)}[activation]

    def halves(x: Any) -> Any:
        gate, up = x.chunk(2, -1)
        return theirs(gate) * up

    compare(ours, halves, [scale * normal(*shape)], dtype)


@both_dtypes
def test_relu_squared(dtype: str) -> None:
    compare(relu_squared, lambda x: F.relu(x) ** 2, [3 * normal(3, 7, 31)], dtype)


@both_dtypes
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("shape", "turned", "each"), [
    ((1, 1, 1, 2), 2, False), ((2, 5, 3, 8), 8, True), ((3, 40, 2, 7), 4, False),
    ((2, 200, 4, 64), 64, False), ((2, 200, 4, 64), 16, True)])
def test_rotary(shape: tuple[int, ...], turned: int, each: bool, interleaved: bool,
                dtype: str) -> None:
    """PyTorch has none: as products of complex numbers."""
    angles = 9 * normal(*(shape if each else shape[1:])[:-2], turned // 2)
    cos, sin = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    by = torch.complex(torch.from_numpy(cos), torch.from_numpy(sin))[..., None, :]

    def theirs(x: Any) -> Any:
        pairs = x[..., :turned].reshape(*x.shape[:-1], *((-1, 2) if interleaved else (2, -1)))
        pairs = pairs if interleaved else pairs.transpose(-1, -2)
        y = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * by)
        y = y if interleaved else y.transpose(-1, -2)
        return torch.cat([y.flatten(-2), x[..., turned:]], -1)

    compare(lambda x: rotary(x, cos=cos, sin=sin, interleaved=interleaved), theirs,
            [normal(*shape)], dtype)


OPTIONS: dict[str, dict[str, Any]] = {
    "causal": {}, "window": {"window": 5}, "documents": {"documents": 4},
    "all": {"window": 9, "documents": 6, "scale": 0.9},
}


def seen(time: int, keys: int, window: int = 10**6, documents: int = 10**6, **_: Any) -> np.ndarray:
    """Return which keys each of the last queries sees, where a document has so many keys."""
    i, j = np.arange(keys - time, keys)[:, None], np.arange(keys)
    return (j <= i) & (i - j < window) & (i // documents == j // documents)


@both_dtypes
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("scale", [1.0, 6.0])  # 6: most of a row's probability in one place
@pytest.mark.parametrize(("batch", "time", "keys", "heads", "groups", "depth"), [
    (1, 1, 1, 1, 1, 1), (3, 11, 11, 3, 3, 5), (2, 37, 40, 1, 1, 7), (1, 12, 15, 6, 2, 3),
    (1, 200, 200, 4, 2, 8), (2, 9, 9, 4, 1, 16)])
def test_attention(batch: int, time: int, keys: int, heads: int, groups: int, depth: int,
                   scale: float, options: dict[str, Any], dtype: str) -> None:
    mask = torch.from_numpy(seen(time, keys, **options))
    ours = dict(options)
    if "documents" in options:
        ours["documents"] = np.tile(np.arange(keys) // options["documents"], (batch, 1))

    def theirs(*args: Any) -> Any:
        q, k, v = (x.transpose(1, 2) for x in args)
        o = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True,
                                           scale=options.get("scale"))
        return o.transpose(1, 2)

    shapes = [(time, heads), (keys, groups), (keys, groups)]
    compare(lambda *args: attention(*args, **ours), theirs,
            [scale * normal(batch, *shape, depth, seed=i) for i, shape in enumerate(shapes)], dtype)


@both_dtypes
@pytest.mark.parametrize("offset", [None, 3])
@pytest.mark.parametrize(("heads", "groups", "depth"), [(2, 2, 9), (4, 2, 2)])
def test_attention_with_a_soft_cap(heads: int, groups: int, depth: int, offset: int | None,
                                   dtype: str) -> None:
    """PyTorch's own has none: written out, with its softmax and products."""
    time, keys = 6, 12
    hidden = torch.from_numpy(~seen(time, keys if offset is None else offset + time))
    hidden = F.pad(hidden, (0, keys - hidden.shape[1]), value=True)

    def theirs(*args: Any) -> Any:
        q, k, v = (x.transpose(1, 2) for x in args)
        k, v = (x.repeat_interleave(heads // groups, 1) for x in (k, v))
        s = 1.5 * torch.tanh(q @ k.transpose(2, 3) / depth**0.5 / 1.5)
        return (s.masked_fill(hidden, -torch.inf).softmax(-1) @ v).transpose(1, 2)

    shapes = [(time, heads), (keys, groups), (keys, groups)]
    compare(lambda *args: attention(*args, soft_cap=1.5, offset=offset), theirs,
            [2 * normal(2, *shape, depth, seed=i) for i, shape in enumerate(shapes)], dtype)


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
