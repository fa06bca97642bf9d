"""Functions put together from ops at random: they test what one rule hands to the next."""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from ..primitive import Op
from ..tensor import values

SMOOTH = (
    "multiply", "add", "subtract", "divide", "tanh", "exp", "log", "sqrt", "sin", "cos", "arctan",
    "erf", "sigmoid", "softplus", "square", "power", "sum", "mean", "var", "logsumexp", "softmax",
    "matmul", "transpose", "concatenate", "negative",
)
"""Ops that have no kinks, by name; those that are registered are put into expressions."""

INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "power": "**"}
_LARGEST = 10.0


class Step(NamedTuple):
    """One call of an op: of earlier values, given by their numbers."""

    op: Op
    operands: tuple[int, ...]
    options: dict[str, Any]

    def __call__(self, nodes: list[Any]) -> Any:
        """Apply the op."""
        xs = [nodes[i] for i in self.operands]
        return self.op(*([xs] if self.op.variadic else xs), **self.options)


class Expression:
    """A function made of ops, with inputs to begin from; it prints as Python code.

    >>> from autograd import registry
    >>> y = Expression([np.ones(2), np.ones(2)])
    >>> y.append(registry["multiply"], (0, 1)), y.append(registry["tanh"], (2,))
    (True, True)
    >>> y
    y = tanh(x0 * x1)
    >>> float(y(0.0, 3.0))
    0.0
    """

    def __init__(self, inputs: list[np.ndarray], steps: tuple[Step, ...] = ()) -> None:
        self.inputs = tuple(inputs)
        self.steps = list(steps)
        self._nodes = list(inputs)

    def append(self, op: Op, operands: tuple[int, ...], options: dict[str, Any] | None = None,
               ) -> bool:
        """Add a step; unless the op does not take such values, or is large or undefined nearby."""
        step = Step(op, operands, options or {})
        try:
            with np.errstate(all="ignore"):
                near = [np.asarray(values(step([x + shift for x in self._nodes])))
                        for shift in (-0.05, 0.05, 0.0)]
        except (TypeError, ValueError, IndexError):
            return False
        if not all(y.dtype == float and (np.abs(y) <= _LARGEST).all() for y in near):
            return False
        self.steps.append(step)
        self._nodes.append(near[-1])
        return True

    def __call__(self, *xs: Any) -> Any:
        """Compute the last step at other inputs."""
        nodes = list(xs)
        for step in self.steps:
            nodes.append(step(nodes))
        return nodes[-1]

    def pruned(self) -> Expression:
        """Return the expression without the inputs and steps that its result does not need."""
        first, needed = len(self.inputs), {len(self._nodes) - 1}
        for i in range(len(self.steps) - 1, -1, -1):
            if first + i in needed:
                needed |= set(self.steps[i].operands)
        number = {old: new for new, old in enumerate(sorted(needed))}
        steps = [Step(s.op, tuple(number[i] for i in s.operands), s.options)
                 for i, s in enumerate(self.steps) if first + i in needed]
        return Expression([x for i, x in enumerate(self.inputs) if i in needed], tuple(steps))

    def lines(self) -> list[str]:
        """Return Python code: a line for each value that is used twice, and one for the result."""
        uses = Counter(i for step in self.steps for i in step.operands)
        code, found = [f"x{i}" for i in range(len(self.inputs))], []
        for i, step in enumerate(self.steps, len(self.inputs)):
            text = _call(step, [code[k] for k in step.operands])
            if uses[i] > 1:
                found.append(f"t{i} = {text}")
                text = f"t{i}"
            code.append(text)
        return [*found, f"y = {code[-1]}"]

    def __repr__(self) -> str:
        return "; ".join(self.lines())

    def source(self) -> str:
        """Return the definition of this function as Python code."""
        names = sorted({step.op.name for step in self.steps if step.op.name not in INFIX})
        head = [f"from autograd import {', '.join(names)}"] if names else []
        xs = ", ".join(f"x{i}" for i in range(len(self.inputs)))
        return "\n".join([*head, "", f"def f({xs}):", *[f"    {line}" for line in self.lines()],
                          "    return y"])


def _call(step: Step, xs: list[str]) -> str:
    name = step.op.name
    if name in INFIX and not step.options:
        return f" {INFIX[name]} ".join(x if _atomic(x) else f"({x})" for x in xs)
    arguments = [f"[{', '.join(xs)}]"] if step.op.variadic else list(xs)
    arguments += [f"{key}={value!r}" for key, value in step.options.items()]
    return f"{name}({', '.join(arguments)})"


def _atomic(code: str) -> bool:
    """Whether the code is a name or a call, which needs no parentheses inside a formula."""
    return isinstance(ast.parse(code, mode="eval").body, (ast.Name, ast.Call))
