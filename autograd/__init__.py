"""Reverse-mode automatic differentiation over NumPy and CuPy arrays, small enough to read.

>>> from autograd import grad, tanh
>>> print(f"{grad(grad(tanh))(0.5):.12f}")
-0.726861981384
"""

# mypy: implicit-reexport

import builtins
from typing import TYPE_CHECKING, NoReturn

from . import ops, tape, testing
from .backend import fold_in, namespace, random_bits, to_host
from .backward import pull_back
from .checkpoint import checkpoint
from .fused import Fused, fused, plain_ops
from .mistakes import no_name as _no_name
from .ops import *  # noqa: F403
from .ops import linalg
from .primitive import Primitive, composite, nondifferentiable, primitive, registry
from .tape import AnomalyError, Explanation, Trace, detect_anomaly, explain
from .tape import trace as trace  # type: ignore[assignment]  # the matrix trace stays in ops
from .tensor import Tensor, no_grad
from .testing import check_grads
from .transforms import (
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

__project__ = "tinygrad_llm"
"""Which project this `autograd` belongs to: another package on PyPI has the same import name."""

if not TYPE_CHECKING:  # type checkers read the imports above
    __all__ = [
        "AnomalyError", "Explanation", "Fused", "Primitive", "Tensor", "Trace", "check_grads",
        "checkpoint", "composite", "detect_anomaly", "elementwise_grad", "explain", "fold_in",
        "fused", "grad", "hessian", "hvp", "jacobian", "jvp", "linalg", "namespace", "no_grad",
        "nondifferentiable", "ops", "plain_ops", "primitive", "pull_back", "random_bits",
        "registry", "tape",
        "testing", "to_host", "trace", "value_and_grad", "vjp",
        *[name for name in ops.__all__ if not hasattr(builtins, name) and name != "trace"],
    ]

    def __getattr__(name: str) -> NoReturn:
        raise AttributeError(_no_name(__name__, name), name=name)
