"""How many inputs a property draws: fewer in the profile dev and without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import settings

DEV = settings.default.max_examples < 25
"""Whether the profile is none of the thorough ones (see conftest)."""


def draws(many: int, dev: int) -> Any:
    """Have a property draw `many` inputs, or what a thorough profile does; in dev so few."""
    return settings(max_examples=dev if DEV else max(many, settings.default.max_examples))


@contextmanager
def at_least(many: int) -> Iterator[None]:
    """Have the properties that are made inside draw so many inputs, in any profile.

    Few draws miss, now and then, what is wrong for half of all inputs.
    """
    settings.register_profile("at least", settings.default,
                              max_examples=max(many, settings.default.max_examples))
    settings.load_profile("at least")
    try:
        yield
    finally:
        settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
