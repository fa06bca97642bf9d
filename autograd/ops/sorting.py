"""Sorting, order statistics and choosing the largest."""

from __future__ import annotations

__all__: list[str] = []
