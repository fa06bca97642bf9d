"""Cases of the ops in `autograd.ops.activations`."""

from __future__ import annotations

from ..opcase import OpCase

CASES: dict[str, OpCase] = {}
