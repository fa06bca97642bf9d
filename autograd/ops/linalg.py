"""Decompositions and what follows from them: inv, solve, det, eigh, svd and their kin."""

from __future__ import annotations

__all__: list[str] = []
