"""Convolution in one and two dimensions."""

from __future__ import annotations

__all__: list[str] = []
