"""An objective: a loss function with its count."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tinygrad_llm.train import Objective


def test_an_objective_is_two_functions() -> None:
    def loss(model: float, batch: list[int], key: int | None) -> float:
        return model * sum(batch)

    objective = Objective(loss, count=len)  # type: ignore[arg-type]
    assert objective.count([1, 2]) == 2 and objective.loss(0.5, [1, 2], None) == 1.5
    with pytest.raises(FrozenInstanceError):
        objective.count = sum  # type: ignore[misc]
