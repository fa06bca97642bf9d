"""The standard losses, as compositions."""

from __future__ import annotations

__all__: list[str] = []
