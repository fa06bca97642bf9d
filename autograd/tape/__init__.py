"""Reading the tape: what was recorded behind a Tensor, and what its backward pass will do."""

from .anomaly import AnomalyError, detect_anomaly
from .explain import Explanation, explain
from .trace import Trace, trace

__all__ = ["AnomalyError", "Explanation", "Trace", "detect_anomaly", "explain", "trace"]
