"""Twins of fused ops on NumPy, where a measured share of a training step pays for them.

Each computes what the plain pair in the op's own file does, by blocks that fit a core's cache, on
several threads, in place. `docs/speed.md` says what each brings.
"""

from . import (
    attention,
    chunked_cross_entropy,
    embedding,
    experts,
    geglu,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    rms_norm,
    rotary,
    split,
    swiglu,
)

__all__ = ["attention", "chunked_cross_entropy", "embedding", "experts", "geglu", "gelu",
           "layer_norm", "linear", "linear_cross_entropy", "rms_norm", "rotary", "split", "swiglu"]
