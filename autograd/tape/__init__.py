"""Reading the tape: what was recorded behind a Tensor, and what its backward pass will do."""

from .explain import Explanation, explain
from .trace import Trace, trace

__all__ = ["Explanation", "Trace", "explain", "trace"]
