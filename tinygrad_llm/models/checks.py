"""What sizes of a model, and the ids that it is given, have to satisfy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from autograd.backend import Array

from ..nn import Cache


def require_at_least(least: int, config: Any, *names: str) -> None:
    """Raise ValueError unless the fields of these names are at least so large."""
    for name in names:
        if not getattr(config, name) >= least:  # NaN too
            raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")


def require_one_of(known: Collection[str], config: Any, name: str) -> None:
    """Raise ValueError unless the field of that name is one of the known words."""
    if getattr(config, name) not in known:
        raise ValueError(f"{name} must be {', '.join(known)}, got {getattr(config, name)!r}")


def require_share(config: Any, name: str) -> None:
    """Raise ValueError unless the field of that name lies in [0, 1)."""
    if not 0 <= getattr(config, name) < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")


def require_heads_that_divide(width: int, heads: int) -> None:
    """Raise ValueError unless the heads have equal shares of the width."""
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got width {width} and heads {heads}; "
                         f"{width - width % heads} and {width + heads - width % heads} would be")


def check_ids(model: str, ids: Array, context: int, cache: Cache | None, documents: Any) -> None:
    """Raise unless ids are an array (B, T) and fit the context, beside those that are cached."""
    for name, given in (("ids", ids), ("documents", documents)):
        if given is not None and not hasattr(given, "shape"):
            raise TypeError(f"{model}: expected {name} as an array of integers (B, T), got "
                            f"{type(given).__name__}; numpy.asarray makes one")
    time, cached = ids.shape[-1], 0 if cache is None else cache.length
    longest = time if cache is None else cache.ends(time).max(initial=0)
    if ids.ndim != 2 or longest > context:
        raise ValueError(f"{model}: expected ids (B, T) with T at most the context of {context}, "
                         f"got {tuple(ids.shape)}"
                         + (f" after {cached} that are cached" if cached else ""))
    if documents is not None and (cache is not None or documents.shape != ids.shape):
        raise ValueError(f"{model}: expected the document of each id, {tuple(ids.shape)}, and no "
                         f"cache, got {tuple(documents.shape)} and {cached} cached")
