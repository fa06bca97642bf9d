"""Cases of the ops in `autograd.ops.convolution`."""

from __future__ import annotations

from ..opcase import OpCase

CASES: dict[str, OpCase] = {}
