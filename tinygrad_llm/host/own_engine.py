"""The check that the imported `autograd` is ours: another package on PyPI has the same name."""

from __future__ import annotations

import sys

import autograd

PROJECT = "tinygrad_llm"


def engine_is_ours() -> bool:
    """Whether the imported `autograd` is the engine that belongs to this package."""
    return getattr(autograd, "__project__", None) == PROJECT


def check_engine() -> None:
    """Raise ImportError, with the way out, unless the imported `autograd` is ours.

    From the command line the sentence alone is printed, and the process ends with exit code 2.
    """
    if engine_is_ours():
        return
    sentence = (
        f"tinygrad_llm stands on its own package named 'autograd', but the one that Python "
        f"imports, {getattr(autograd, '__file__', None) or 'a folder without files'}, is another "
        f"project's. The two cannot be installed together: run 'pip uninstall -y autograd', then "
        f"install tinygrad_llm again, or give it a virtual environment of its own."
    )
    if sys.argv[0] == "-m" or sys.argv[0].endswith("tinygrad-llm"):
        print(f"tinygrad-llm: error: {sentence}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(sentence)
