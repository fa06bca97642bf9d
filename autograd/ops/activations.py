"""What networks are made of, as compositions: softmax, activations, norms."""

from __future__ import annotations

__all__: list[str] = []
