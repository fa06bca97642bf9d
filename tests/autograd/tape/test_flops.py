"""Estimates of work: products, elementwise ops, rearrangements, factorisations, fused ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tapes import leaf

import autograd as ag
from autograd import Tensor, checkpoint, matmul, tanh
from autograd.fused import Fused
from autograd.graph import newest_first
from autograd.tape.flops import BACKWARD, FORWARD, flops


def work(y: Tensor) -> tuple[float, float]:
    assert y.node is not None
    return flops(y.node, {})


A, B, V, S = leaf(3, 4), leaf(4, 5), leaf(6), leaf(2, 4, 4)


@pytest.mark.parametrize("make, forward, backward", [
    (lambda: A @ B, 2 * 3 * 4 * 5, 2 * (2 * 3 * 4 * 5)),
    (lambda: A @ B.data, 120, 120),
    (lambda: A @ np.ones(4), 24, 24),
    (lambda: np.ones(4) @ B, 40, 40),
    (lambda: S @ np.ones((4, 1)), 2 * 2 * 4 * 4, 64),
    (lambda: tanh(A), 12, 24),
    (lambda: A + A, 12, 0),
    (lambda: A * B.data[:, :1].T, 12, 12),
    (lambda: ag.reshape(A, -1), 0, 0),
    (lambda: A.T, 0, 0),
    (lambda: A.sum(), 12, 12),
    (lambda: ag.softmax(A), 4 * 12, 4 * 12),
    (lambda: ag.einsum("ij,jk->ik", A, B), 120, 240),
    (lambda: ag.einsum("ij->i", A), 2 * 12, 2 * 12),
    (lambda: ag.einsum("ij->ji", A), 12, 12),
    (lambda: ag.einsum("i,j->ij", V, V), 2 * 36, 2 * 2 * 36),
    (lambda: ag.convolve(V, np.ones(3)), 2 * 6 * 3, 36),
    (lambda: ag.sort(leaf(2, 8)), 16 * 3, 2 * 48),
    (lambda: ag.linalg.inv(S * 0.1 + np.eye(4)), 2 * 2 * 64, 2 * 256),
    (lambda: ag.linalg.cholesky(np.eye(3) + leaf(3, 3) * 0.1), 9, 18),
    (lambda: ag.linalg.solve(np.eye(4) + S, np.ones((4, 3))), 2 * 64 * 2 / 3 + 2 * 24 * 4, None),
])
def test_one_op(make: Any, forward: float, backward: float | None) -> None:
    got = work(make())
    assert got[0] == pytest.approx(forward)
    assert got[1] == pytest.approx(2 * forward if backward is None else backward)


def test_a_fused_op_counts_as_its_reference_and_is_remembered() -> None:
    calls = []

    def reference(a: Any, b: Any) -> Any:
        calls.append(1)
        return tanh(matmul(a, b))

    op = Fused(reference, lambda a, b: (np.tanh(a @ b), None))
    known: dict[Any, tuple[float, float]] = {}
    for _ in range(2):
        assert flops(op(A, B).node, known) == (120 + 15, 240 + 30)
    assert len(calls) == 1
    assert flops(op(A, B.data).node, known) == (120 + 15, 120 + 30) and len(calls) == 2


def test_leaves_and_calls_under_checkpoint_count_nothing() -> None:
    y = checkpoint(tanh)(A)
    assert y.node is not None
    assert [flops(node, {}) for node in newest_first([y.node])] == [(0, 0)] * 3


def test_the_tables_name_ops_that_exist() -> None:
    known = {op.name for op in ag.registry.values()}
    assert set(FORWARD) <= known and set(BACKWARD) <= known
