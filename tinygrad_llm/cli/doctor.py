"""`tinygrad-llm doctor`: say what is installed and what is missing."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb does; it has no arguments."""
    parser.description = "Say what is installed and what is missing."
    parser.set_defaults(verb=doctor)


def doctor(args: argparse.Namespace) -> int:
    """Print versions, threads, the GPU, and whose `autograd` is imported."""
    from ..host.installed import describe_setup

    print(describe_setup())
    return 0
