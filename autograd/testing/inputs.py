"""The inputs that an op takes: as its case draws them, or arrays for which it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..primitive import Op, registry
from . import strategies  # first: it says so where Hypothesis is missing
from .cases import CASES
from .opcase import Inputs

if TYPE_CHECKING:
    from hypothesis import strategies as st

__all__ = ["op_inputs"]


def op_inputs(op: Op | str) -> st.SearchStrategy[Inputs]:
    """Valid inputs `(args, options)` of an op: of the engine's own as their cases say.

    For any other op, arrays that broadcast together, or square ones, or equal ones, positive or of
    both signs, with all elements apart: where the op takes them and its value is finite.
    """
    known: Any = registry[op] if isinstance(op, str) else op
    name = getattr(known, "name", None)
    if name in CASES and registry.get(name) is known:
        return CASES[name].inputs
    return strategies.generic_inputs(known)
