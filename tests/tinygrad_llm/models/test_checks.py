"""The checks of a model's sizes, each with its message; that models make them is in their tests."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tinygrad_llm.models.checks import (
    require_at_least,
    require_heads_that_divide,
    require_one_of,
    require_share,
)

CONFIG = SimpleNamespace(layers=0, scale=float("nan"), dropout=1.0, norm="batch")


@pytest.mark.parametrize("check, words", [
    (lambda: require_at_least(1, CONFIG, "layers"), "layers must be at least 1, got 0"),
    (lambda: require_at_least(0, CONFIG, "layers", "scale"), "scale must be at least 0, got nan"),
    (lambda: require_share(CONFIG, "dropout"), r"dropout must lie in \[0, 1\), got 1.0"),
    (lambda: require_one_of(("layer", "rms"), CONFIG, "norm"), "norm must be layer, rms, got 'bat"),
    (lambda: require_heads_that_divide(10, 4), "got width 10 and heads 4; 8 and 12 would be"),
])
def test_what_does_not_fit_is_named(check: Callable[[], None], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check()


def test_what_fits() -> None:
    require_at_least(0, CONFIG, "layers")
    require_heads_that_divide(12, 4)
    require_one_of(("batch",), CONFIG, "norm")
