"""Layers: plain classes with `__call__`; their parameters are found by walking them."""

from .attention import CausalSelfAttention, Rotate
from .cache import Cache, LayerCache, last_of, places_of
from .experts import MixtureOfExperts
from .init import normal
from .layers import (
    MLP,
    Embedding,
    GatedMLP,
    LayerNorm,
    Linear,
    RMSNorm,
    drop,
    gated_inner,
    subkey,
)
from .parameters import load_parameters, parameters, with_parameters
from .positions import Rotary, lengths_of, positions_of, sinusoidal
from .replace import replace
from .stored import WideEmbedding, store_weights

__all__ = ["MLP", "Cache", "CausalSelfAttention", "Embedding", "GatedMLP", "LayerCache",
           "LayerNorm", "Linear", "MixtureOfExperts", "RMSNorm", "Rotary", "Rotate",
           "WideEmbedding", "drop", "gated_inner", "last_of", "lengths_of", "load_parameters",
           "normal", "parameters", "places_of", "positions_of", "replace", "sinusoidal",
           "store_weights", "subkey", "with_parameters"]
