"""RMS norm's twin in blocks of their real size, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import plain_ops, vjp
from tinygrad_llm.functional import rms_norm
from tinygrad_llm.functional.cpu.rms_norm import forward
from tinygrad_llm.host import threads

rng = np.random.default_rng(0)


@pytest.mark.parametrize("scaled", [True, False])
def test_several_blocks_of_heads_in_packed_rows(scaled: bool) -> None:
    rows = rng.normal(2, 3, (7, 300, 110))
    x, w = rows[..., :100].reshape(7, 300, 5, 20), rng.normal(size=20) if scaled else None
    assert x.nbytes > 3 * threads.BLOCK_BYTES
    args = (x, w) if scaled else (x,)
    y, pull = vjp(rms_norm, *args)
    with plain_ops():
        expected, pull_plain = vjp(rms_norm, *args)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    g = rng.normal(size=y.shape)
    for got, wanted in zip(pull(g), pull_plain(g), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_one_number_is_kept_of_a_row_that_is_not_kept_anyway() -> None:
    x = rng.normal(size=(5, 2, 12))[..., :8]
    kept, r, w = forward(x)[1]
    assert kept is x and w is None and r.shape == (10, 1)
    np.testing.assert_allclose(r[:, 0], ((x**2).mean(-1) + 1e-5).ravel() ** -0.5, rtol=1e-12)


def test_only_blocks_with_squares_out_of_range_are_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RecursionError("the slow way")

    monkeypatch.setattr("tinygrad_llm.functional.cpu.rms_norm.root_mean_square", refuse)
    forward(np.full((3, 4), 1e18, np.float32))
    forward(np.zeros((3, 4), np.float32))
    for value in (1e20, 1e-20):
        with pytest.raises(RecursionError, match="the slow way"):
            forward(np.full((3, 4), value, np.float32), eps=0.0)
