"""Text to numbers and back."""

from .char import CharTokenizer

__all__ = ["CharTokenizer"]
