"""The layers' arithmetic: fused ops, one derivation a file."""

from .causal_attention import causal_attention
from .dropout import dropout
from .embedding import embedding
from .gelu import gelu
from .layer_norm import layer_norm
from .linear import linear
from .softmax_cross_entropy import softmax_cross_entropy

__all__ = ["causal_attention", "dropout", "embedding", "gelu", "layer_norm", "linear",
           "softmax_cross_entropy"]
