"""From text on the disk to batches of token windows."""

from .batches.random_windows import Batches, split
from .read.corpus import read_corpus
from .read.plays import render_play
from .tokens.token_file import open_tokens, write_tokens

__all__ = ["Batches", "open_tokens", "read_corpus", "render_play", "split", "write_tokens"]
