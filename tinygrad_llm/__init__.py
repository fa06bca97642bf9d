"""A language-model framework from scratch: NumPy, its own autograd, and nothing hidden."""

from .host.own_engine import check_engine

check_engine()

__version__ = "0.1.0"
