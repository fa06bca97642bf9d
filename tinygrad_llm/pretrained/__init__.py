"""Weights in the files of other projects: Hugging Face's folders, and GGUF."""

from .folder import from_pretrained, save_pretrained
from .pretrained import Pretrained

__all__ = ["Pretrained", "from_pretrained", "save_pretrained"]
