"""From logits to text."""

from . import gpt_writer as _gpt_writer  # noqa: F401, enters the twin
from .generate import Sampling, Writer, generate

__all__ = ["Sampling", "Writer", "generate"]
