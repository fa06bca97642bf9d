"""How many inputs a property draws: fewer in the profile dev and without one."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

DEV = settings.default.max_examples < 25
"""Whether the profile is none of the thorough ones (see conftest)."""


def draws(many: int, dev: int) -> Any:
    """Have a property draw `many` inputs, or what a thorough profile does; in dev so few."""
    return settings(max_examples=dev if DEV else max(many, settings.default.max_examples))
