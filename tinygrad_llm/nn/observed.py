"""A model whose blocks keep what they were given and what they returned.

Any model whose blocks stand in `h`, with an attention layer `attn` and a feed-forward layer `mlp`
in each; what a block has behind them, before they are added, is called `post_attn`, `post_mlp`.
The model is not changed: a copy shares its parameters and has observers in the place of its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any


class Observed:
    """A block or a layer that also keeps what it was given and what it returned."""

    given: Any = None
    result: Any = None

    def __init__(self, part: Any) -> None:
        self.part = part

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        """Return what the part does, and keep it."""
        y = self.part(x, *args, **options)
        self.given, self.result = x, y[0] if isinstance(y, tuple) else y  # and a router's choice
        return y

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)


def can_be_observed(model: Any) -> bool:
    """Whether a model has blocks of the module's kind."""
    blocks = getattr(model, "h", ())
    return bool(blocks) and all(hasattr(block, part) for block in blocks
                                for part in ("attn", "mlp"))


def observed(model: Any) -> tuple[Any, list[Observed]]:
    """Return a copy of the model, and its blocks, which are observed."""
    blocks = []
    for block in model.h:
        block = copy(block)
        for name in ("attn", "post_attn", "mlp", "post_mlp"):
            if getattr(block, name, None) is not None:
                setattr(block, name, Observed(getattr(block, name)))
        blocks.append(Observed(block))
    twin = copy(model)
    twin.h = list(blocks)
    return twin, blocks


def streams_of(blocks: Sequence[Observed]) -> list[Any]:
    """Return the stream (B, T, C) before the first block, and behind each."""
    return [blocks[0].given, *(block.result for block in blocks)]


def added(blocks: Sequence[Observed], name: str) -> list[Any]:
    """Return what a sub-block has added to the stream (B, T, C), in each block."""
    return [(getattr(block, f"post_{name}", None) or getattr(block, name)).result
            for block in blocks]
