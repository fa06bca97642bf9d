"""Is this gradient right? Gradient testing for functions and for ops of your own."""

from .check import check_grads

__all__ = ["check_grads"]
