"""`tinygrad-llm sweep`: train a small grid of runs, and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import UserError, quoted
from ..host.machine import usable_cores

EXAMPLE = """the file:
  seeds = [1337, 1, 2]

  [train]
  preset = "tiny"
  steps = 500

  [grid]
  learning_rate = [1e-3, 3e-3]
  width = [64, 128]

examples:
  tinygrad-llm sweep widths.toml
  tinygrad-llm sweep widths.toml --jobs 4 --out runs/widths
  tinygrad-llm sweep widths.toml --table"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Train a run for each choice of values in [grid] and each seed, with the "
                          "settings of\n[train] besides; print a table, best first, and draw it. "
                          "Each is an ordinary run in a\nfolder of its own. Ctrl-C saves all; "
                          "started again, the sweep goes on where it was.")
    parser.epilog = EXAMPLE
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="the grid")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="the folder of the runs (default: runs/ and the file's name)")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help=f"runs at a time (as many as the {usable_cores()} cores have threads)")
    parser.add_argument("--threads", type=int, metavar="N", default=1,
                        help="threads of each run; the result is the same (1)")
    parser.add_argument("--table", action="store_true", help="train nothing; print and draw again")
    parser.set_defaults(verb=sweep)


def sweep(args: argparse.Namespace) -> int:
    """Train what is left of the sweep, unless the table alone is asked for; print the table.

    Returns 1 where a run has failed.
    """
    from ..sweep import plot, read_sweep, results, run_sweep, table
    from .train import threads_of

    found = read_sweep(args.file)
    folder = args.out or Path("runs") / args.file.stem
    if args.table and not folder.is_dir():
        raise UserError(f"there is no sweep in {folder}; leave --table out to start it, or name "
                        f"its folder with --out")
    threads = threads_of(args.threads)
    jobs = max(1, usable_cores() // threads) if args.jobs is None else args.jobs
    if jobs < 1:
        raise UserError(f"--jobs must be at least 1, got {jobs}")
    stopped_by = 0 if args.table else run_sweep(found, folder, jobs, threads)
    print(table(found, folder))
    if picture := plot(found, folder):
        print(f"drawn in {picture}")
    if stopped_by:
        print(f"stopped, and all is saved; go on with: tinygrad-llm sweep {quoted(args.file)}"
              + (f" --out {quoted(args.out)}" if args.out else ""))
        return 128 + stopped_by
    return int(any("failed" in state for one in results(found, folder) for state in one.states))
