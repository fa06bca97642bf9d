"""The one exception that is meant for the person at the keyboard."""

import pickle

import pytest

from tinygrad_llm.host.errors import UserError, did_you_mean, shortened
from tinygrad_llm.host.processes import Processes


def fail(sentence: str) -> None:
    raise UserError(sentence)


def test_it_is_a_value_error_and_its_message_is_complete() -> None:
    with pytest.raises(ValueError, match="^give --out a folder$") as caught:
        fail("give --out a folder")
    assert str(pickle.loads(pickle.dumps(caught.value))) == "give --out a folder"


def test_it_comes_through_from_another_process() -> None:
    with Processes(1) as pool, pytest.raises(UserError, match="^a file has changed$"):
        pool.submit(fail, "a file has changed").result()


def test_the_nearest_name_or_all() -> None:
    assert did_you_mean("stpes", ["seed", "steps"]) == "; did you mean 'steps'?"
    assert did_you_mean("zzz", iter(["seed", "steps"])) == "; known are seed, steps"
    assert did_you_mean("zzz", {"seed": 1}) == "; known are seed"


def test_values_in_messages_are_short() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shortened("a") == "'a'" and shortened("b" * 200) == f"'{'b' * 76}..."
    assert shortened(10**5000) == "a int too large to be written"
    assert shortened(deep) == "a list too large to be written"
    while deep:  # or Python would end it by recursion
        deep = deep.pop()  # type: ignore[assignment]
