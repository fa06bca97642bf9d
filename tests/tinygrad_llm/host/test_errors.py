"""Errors that are meant for the person at the keyboard."""

from __future__ import annotations

import pytest

from tinygrad_llm.host.errors import UserError, did_you_mean


def test_a_user_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no such file"):
        raise UserError("no such file")


def test_the_nearest_name_or_all() -> None:
    assert did_you_mean("stpes", ["seed", "steps"]) == "; did you mean 'steps'?"
    assert did_you_mean("zzz", iter(["seed", "steps"])) == "; known are seed, steps"
    assert did_you_mean("zzz", {"seed": 1}) == "; known are seed"
