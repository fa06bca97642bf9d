"""Each mutant that is listed as equivalent exists; the run shows that none of them is killed."""

from __future__ import annotations

import pytest

from autograd.testing.mutate.equivalent import EQUIVALENT
from autograd.testing.mutate.plant import find_units, mutate


@pytest.mark.long
def test_every_entry_is_a_mutant_and_has_a_reason() -> None:
    units = {unit.name: unit for unit in find_units()}
    named = {name for name, _ in EQUIVALENT}
    assert named <= set(units)
    made = set()
    for name in named:
        mutate(units[name])
        made |= {(name, mutant.diff) for mutant in units[name].mutants}
        units[name].mutants = []
    assert set(EQUIVALENT) <= made
    assert all(len(reason) > 20 and not reason.endswith(".") for reason in EQUIVALENT.values())
