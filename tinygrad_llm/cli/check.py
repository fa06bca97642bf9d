"""`tinygrad-llm check`: whether the files of a run are as they were written."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import quoted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Read every file of a run, compare those of its checkpoints with their "
                          "checksums,\nand say what is damaged and from where it can go on. "
                          "Returns 1 where something is.")
    parser.epilog = "example:\n  tinygrad-llm check runs/tiny"
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.set_defaults(verb=check)


def check(args: argparse.Namespace) -> int:
    """Print a line for each part of the run, and the way out where one is damaged."""
    from ..train.faults.check import check_run

    found, sound = check_run(args.run)
    for part, fault in found.items():
        print(f"{part:45} {f'DAMAGED: {fault}' if fault else 'sound'}")
    damaged = [part for part, fault in found.items() if fault]
    if not damaged:
        return 0
    if not any(part.startswith("checkpoint") for part in damaged):
        print("the checkpoints are sound" if sound else "there is no checkpoint yet")
    elif sound:
        first = [part for part in damaged if not part.startswith(("checkpoint", "metrics"))]
        print((f"restore {' and '.join(first)}, and " if first else "")
              + f"go on from step {sound[0]}, the newest that is sound: tinygrad-llm train "
              f"--resume --out {quoted(args.run)} --checkpoint {sound[0]}")
    else:
        print("no checkpoint is sound; restore the files, or start the run anew in another folder")
    return 1
