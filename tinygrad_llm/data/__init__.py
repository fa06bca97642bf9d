"""From text on the disk to batches of token windows."""

from .batches import Batches, split
from .corpus import read_corpus
from .plays import render_play
from .tokens import open_tokens, write_tokens

__all__ = ["Batches", "open_tokens", "read_corpus", "render_play", "split", "write_tokens"]
