"""Drawing text from a model."""

from .generate import Sampling, generate

__all__ = ["Sampling", "generate"]
