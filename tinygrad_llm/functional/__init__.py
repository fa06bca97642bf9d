"""The layers' arithmetic: fused ops, one derivation a file; their twins on NumPy in `cpu`."""

from . import cpu
from .attention import attention
from .dropout import dropout
from .embedding import embedding
from .experts import experts
from .geglu import geglu
from .gelu import gelu
from .layer_norm import layer_norm
from .linear import linear
from .loss.chunked_cross_entropy import chunked_cross_entropy
from .loss.linear_cross_entropy import linear_cross_entropy
from .loss.load_balance import load_balance
from .loss.softmax_cross_entropy import softmax_cross_entropy
from .packed import causal_attention, flash_attention
from .relu_squared import relu_squared
from .rms_norm import rms_norm
from .rotary import rotary
from .split import split_heads
from .swiglu import swiglu

__all__ = ["attention", "causal_attention", "chunked_cross_entropy", "cpu", "dropout", "embedding",
           "experts", "flash_attention", "geglu", "gelu", "layer_norm", "linear",
           "linear_cross_entropy", "load_balance", "relu_squared", "rms_norm", "rotary",
           "softmax_cross_entropy", "split_heads", "swiglu"]
