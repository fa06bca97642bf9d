"""What a run remembers of its trouble."""

from __future__ import annotations

from tinygrad_llm.train.faults.trouble import Trouble


def test_it_is_restored_by_writing_into_it() -> None:
    trouble, other = Trouble(), Trouble()
    trouble.left_out += 3
    for name, array in other.state().items():
        array[...] = trouble.state()[name]
    assert int(other.left_out) == 3 and int(other.handled) == 0
