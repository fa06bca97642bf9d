"""Models, one family a file."""

from .gpt import GPT, GPTConfig

__all__ = ["GPT", "GPTConfig"]
