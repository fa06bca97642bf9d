"""The layers' arithmetic: fused ops, one derivation a file."""

from .attention.causal import causal_attention
from .attention.flash import flash_attention
from .dropout import dropout
from .embedding import embedding
from .gelu import gelu
from .layer_norm import layer_norm
from .linear import linear
from .loss.linear_cross_entropy import linear_cross_entropy
from .loss.softmax_cross_entropy import softmax_cross_entropy

__all__ = ["causal_attention", "dropout", "embedding", "flash_attention", "gelu", "layer_norm",
           "linear", "linear_cross_entropy", "softmax_cross_entropy"]
