"""Mutation testing of derivatives: faults planted in every rule, and the checks that find them.

    python -m autograd.testing.mutate                          the engine's own rules
    python -m autograd.testing.mutate matmul 'log*'            some of them
    python -m autograd.testing.mutate --cases my_cases.py      the rules of your own ops

A gradient check that passes says little until one knows what it would have caught. Here each rule
is changed in every way that a derivation goes wrong: a sign, a factor, a lost term, a transpose or
a sum forgotten, `>` for `>=`, one residual for another. A mutant that no check kills is a hole in
the inputs of its `OpCase`, a superfluous piece of the rule, or equivalent to it for a reason that
can be stated, and then stands with this reason in a table, which is tested in turn.
"""

from .run import Report, mutation_score

__all__ = ["Report", "mutation_score"]
