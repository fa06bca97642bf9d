"""The gradient suite: every op in the registry, by construction, through the public `check_op`.

Values against NumPy; rules against central differences and the complex step in float64 at natural
scale; the plain pass against the recorded one, which for a fused op is the hand-derived pair
against its reference; the second order for all and the third for some; float32 stays float32. A
fused op with a twin is tested twice: by the twin, and by its plain pair.
"""

from __future__ import annotations

import pytest
from cases import CASES
from guards import guarded_ops
from hypothesis import given

from autograd import plain_ops, registry
from autograd.primitive import Nondifferentiable
from autograd.testing import check_op, expressions, gradcheck
from autograd.testing.expression import Expression


def test_every_op_has_a_case() -> None:
    ours = {name for name, op in registry.items()
            if op.forward.__module__.startswith(("autograd.", "tinygrad_llm."))}
    assert set(CASES) == ours, "each op needs an OpCase in tests/cases.py, and only ops do"


def test_every_op_with_a_guard_states_second_derivatives() -> None:
    stated = {name.rpartition(".")[2] for name, case in CASES.items() if case.curvatures}
    guarded = {n for n in guarded_ops() if not isinstance(registry.get(n), Nondifferentiable)}
    assert len(guarded) > 50
    assert guarded <= stated, "a guard differentiates as a constant: state what is true there"


@pytest.mark.parametrize("name", sorted(CASES))
def test_op(name: str) -> None:
    check_op(registry[name], CASES[name])


@pytest.mark.parametrize("name", sorted(n for n in CASES if getattr(registry[n], "twins", None)))
def test_plain_pair(name: str) -> None:
    with plain_ops():
        check_op(registry[name], CASES[name])


@given(f=expressions())
def test_ops_in_chains(f: Expression) -> None:
    gradcheck(f, *f.inputs)
