"""Cases of the ops in `autograd.ops.losses`."""

from __future__ import annotations

from ..opcase import OpCase

CASES: dict[str, OpCase] = {}
