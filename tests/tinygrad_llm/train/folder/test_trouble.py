"""What a run remembers of its trouble."""

from __future__ import annotations

from math import isnan
from statistics import median

import numpy as np
import pytest

from tinygrad_llm.train.folder.trouble import LONGEST, Trouble


def test_it_is_restored_by_writing_into_it() -> None:
    trouble, other = Trouble(), Trouble()
    trouble.left_out += 3
    trouble.note(0, 2.5)
    for name, array in other.state().items():
        array[...] = trouble.state()[name]
    assert int(other.left_out) == 3 and int(other.handled) == 0 and other.median(1, 1) == 2.5


@pytest.mark.parametrize("window", [1, 4, 5, LONGEST])
def test_the_median_is_that_of_the_last_losses(window: int) -> None:
    trouble, losses = Trouble(), np.random.default_rng(0).normal(size=LONGEST + 20).tolist()
    for step, loss in enumerate(losses):
        found = trouble.median(step, window)
        assert isnan(found) if step < window else found == median(losses[step - window:step])
        trouble.note(step, loss)
