"""The command: `python -m autograd.testing.mutate`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from ...tape.page import write_in_one_step
from .plant import mutate
from .run import Judged, Report, Session, Settings, in_parallel
from .score import CHECKS

_HELP = """\
Plant systematic faults in derivative rules, and report which check kills each.

A mutant is a rule with one fault in it: a sign, a factor, a lost term, transpose or sum, a changed
comparison, an index off by one, one residual for another. It is killed if a check fails on inputs
drawn from the op's OpCase. A mutant that survives shows an input that the case never draws, or a
piece of the rule that does nothing; or it is equivalent, and its reason is entered in a table.
"""
_EXAMPLES = """\
examples:
  python -m autograd.testing.mutate                       all rules of the engine
  python -m autograd.testing.mutate matmul 'log*'         the ops of these names, all of them where
                                                          several have one name
  python -m autograd.testing.mutate tanh --list           show the mutants, try none
  python -m autograd.testing.mutate --cases my_cases.py   the rules of your ops: the file imports
                                                          them and defines {"op": OpCase(...)}
                                                          under the name CASES
the columns: how many mutants were killed by
  error      an exception, or a gradient whose shape does not fit
  first      differences of the op's values
  edges      the gradients that the case states for kinks and limits
  curvatures the second derivatives that it states there
  recorded   the recorded backward pass, which must agree with the plain one
  alone      a pass in which only one of several arguments is differentiated
  added      a pass in which the gradients of two calls are added up
  dtype      a gradient that is not float32 where the arguments are
  second     differences of the gradient; third: of its derivative, where the case asks for it
and then
  equal      equivalent: listed with a reason (EQUIVALENT in equivalent.py, or in the module of
             --cases: {(rule, change): reason}), unkilled, and equal on twice as many inputs
  alive      survivors; with any of these, or where something or all could not be judged, exit
             status 1
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m autograd.testing.mutate", description=_HELP, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("ops", nargs="*", metavar="OP", help="names or patterns; all that have a case if left out")
    add("--cases", action="append", default=[], metavar="MODULE_OR_FILE",
        help="a module that defines CASES for more ops, whose rules are meant if no OP is given")
    add("--examples", type=int, default=200, metavar="N", help="inputs drawn for each op (200)")
    add("--seed", type=int, default=0, metavar="S", help="another seed draws other inputs")
    add("--json", type=Path, metavar="FILE", help="write every mutant and its verdict")
    add("--list", action="store_true", help="print the mutants and stop")
    add("-j", "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.parent}")
    settings = Settings(tuple(args.ops), tuple(args.cases), args.examples, args.seed)
    try:
        session = Session(settings)
    except (ValueError, ImportError, OSError) as error:
        parser.error(str(error))
    if args.list:
        return _list(session)
    start = time.perf_counter()
    try:
        with tqdm(total=len(session.units), unit="rule", disable=None) as bar:
            report = in_parallel(session, max(1, args.jobs), lambda done: bar.update(len(done)))
    except KeyboardInterrupt:
        print("stopped before the end; nothing is reported", file=sys.stderr)
        return 130
    _print(report, time.perf_counter() - start)
    if args.json:
        _write(args.json, report, settings)
    return 1 if report.survivors or report.problems or not report.outcomes else 0


def _list(session: Session) -> int:
    for note in session.notes:
        print(note)
    for unit in session.units:
        mutate(unit)
        if unit.why_not:
            print(f"{unit.name} ({unit.place}): not mutated: {unit.why_not}")
        for m in unit.mutants:
            print(f"{m.id}  {m.place}  {m.unit}  {m.category}: {m.diff}")
    return 0


_COLUMNS = ("ops", "rules", "mutants", *CHECKS, "equal", "alive")


def _print(report: Report, seconds: float) -> None:
    modules: dict[str, list[Judged]] = {}
    for unit in report.units:
        modules.setdefault(unit.module, []).append(unit)
    wide = max([len("all"), *map(len, modules)])
    print(f"{'':{wide}}", *[f"{c:>{max(7, len(c))}}" for c in _COLUMNS])
    for name, units in [*modules.items(), ("all", report.units)]:
        row = _row(units)
        print(f"{name:{wide}}", *[f"{row[c] or '.':>{max(7, len(c))}}" for c in _COLUMNS])
    kinds = Counter(outcome.category for outcome in report.outcomes)
    print("\nfaults: " + ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()))
    print(f"{len(report.outcomes)} mutants in {seconds:.0f} s")
    _section("named", report.notes)
    _section("not mutated", [f"{u.name} ({u.place}): {u.why_not}"
                             for u in report.units if u.why_not])
    _section("problems", report.problems)
    _section("survivors", [f"{o.id}  {o.unit}  {o.place}  {o.category}\n      {o.diff}"
                           for o in report.survivors])


def _row(units: Sequence[Judged]) -> Counter[str]:
    outcomes = [outcome for unit in units for outcome in unit.outcomes]
    row = Counter(o.killed_by or ("equal" if o.equivalent else "alive") for o in outcomes)
    row["ops"] = len({op for unit in units for op in unit.ops})
    row["rules"], row["mutants"] = len(units), len(outcomes)
    return row


def _section(title: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"\n{title}: {len(lines)}")
        for line in lines:
            print(f"  {line}")


def _write(path: Path, report: Report, settings: Settings) -> None:
    """Write the report whole or not at all."""
    found = {"settings": asdict(settings), "totals": dict(_row(report.units)),
             "problems": report.problems, "units": [asdict(unit) for unit in report.units]}
    write_in_one_step(path, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
