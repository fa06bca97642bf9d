"""`tinygrad-llm train`: start a run or go on with one."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError, quoted
from ..host.machine import usable_cores

if TYPE_CHECKING:
    from ..train.config import TrainConfig
    from ..train.run import Run, WarmStart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: its own, and one for each setting of a run."""
    from ..train.config import PRESETS

    parser.description = ("Train a language model on text. Its folder gets config.toml, "
                          "metrics.jsonl,\ntokenizer.json, checkpoint/ and loss.png. Ctrl-C saves; "
                          "--resume goes on.")
    parser.epilog = "presets:\n" + "\n".join(
        fill(", ".join(f"{key} {value}" for key, value in preset.items()) or "the defaults",
             initial_indent=f"  {name:11}", subsequent_indent=13 * " ", width=80)
        for name, preset in PRESETS.items()
    ) + ("\n\nexamples:\n  tinygrad-llm train\n"
         "  tinygrad-llm train --data my_text.txt --out runs/mine --steps 500\n"
         "  tinygrad-llm train --resume --out runs/mine --steps 1000")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="the run's folder (default: runs/PRESET)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--init", type=Path, metavar="RUN",
                        help="begin with the weights, the tokenizer and the model of another run")
    parser.add_argument("--overwrite", action="store_true", help="delete a run that is in --out")
    parser.add_argument("--checkpoint", metavar="WHICH",
                        help="with --resume or --init, go on from last, best (by validation) or a "
                             "step; when resuming, what came after that step goes (last)")
    add_max_memory(parser)
    add_settings(parser)
    parser.set_defaults(verb=train)


def add_max_memory(parser: argparse.ArgumentParser) -> None:
    """Add the limit for which settings of memory are chosen."""
    parser.add_argument("--max-memory", metavar="SIZE",
                        help="choose the cheapest of the settings in [memory] with which the run "
                             "fits into it, as 2GB or 1.5GiB; those that are given stay")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, of any architecture, in a group for each table."""
    from ..models import ARCHITECTURES
    from ..train.config import OLD_NAMES
    from ..train.settings import TABLES, settings

    parser.add_argument("--config", type=Path, metavar="FILE.toml",
                        help="settings to start from; flags override them")
    parser.add_argument("--threads", type=int, metavar="N",
                        help=f"cores to use; the result is the same (all: {usable_cores()})")
    parser.usage = f"{parser.prog} [options] [--SETTING VALUE ...]"
    parsers: dict[type, Any] = {int: int, float: float, str: str, bool: _boolean}
    metavars = {int: "N", float: "X", str: "TEXT", bool: "true|false"}
    of_arch = {arch: settings(arch) for arch in ARCHITECTURES}
    known = dict[str, Any]()
    for found in of_arch.values():
        known |= {name: setting for name, setting in found.items() if name not in known}
    tables, groups = ["model", *TABLES], dict[str, Any]()
    for name, setting in sorted(known.items(), key=lambda item: tables.index(item[1].table)):
        having = [arch for arch, found in of_arch.items() if name in found]
        only = "" if len(having) == len(of_arch) else f", with --arch {' or '.join(having)}"
        title = f"settings in [{setting.table}] of the TOML file{only}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        shown = "none" if setting.default == "" else str(setting.default)
        groups[title].add_argument(
            f"--{name.replace('_', '-')}", dest=f"set_{name}", type=parsers[setting.kind],
            metavar=metavars[setting.kind],
            help=f"{setting.help} ({shown})".replace("%", "%%"))
    for old, new in OLD_NAMES.items():
        parser.add_argument(f"--{old}", dest=f"set_{new}", type=parsers[known[new].kind],
                            help=argparse.SUPPRESS)


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return known[text.lower()]


def train(args: argparse.Namespace) -> int:
    """Start a run or go on with one."""
    from ..train.loop import left_to_do
    from ..train.loop import train as run_to_the_end
    from ..train.run import WarmStart

    threads = threads_of(args.threads)
    given = given_settings(args)
    which = args.checkpoint or "last"
    init = WarmStart(args.init, which) if args.init else None
    if init:
        theirs = init.model_settings()
        if given.get("arch", theirs["arch"]) != theirs["arch"]:
            raise UserError(f"the run in {args.init} has a model of --arch {theirs['arch']}, "
                            f"which cannot become {given['arch']!r}; leave --arch out")
        given = {**theirs, **given}
    folder = args.out or Path("runs") / str(given.get("preset", "tiny"))
    if args.checkpoint is not None and not (args.resume or init):
        raise UserError("--checkpoint says where to go on: give it with --resume or --init")
    if args.resume and (args.overwrite or init):
        raise UserError("--overwrite and --init begin anew and --resume goes on; give one of them")
    if args.resume and args.max_memory is not None:
        raise UserError("--max-memory chooses settings as a run begins, and --resume goes on with "
                        "them; leave it out, or give others, as --accumulate")
    run = (_resumed(folder, given, which) if args.resume
           else _started(folder, _fitting(args, folder, given, threads, init), args.overwrite,
                         init))
    if not left_to_do(run):
        print("nothing is left to do; give more --steps to go on")
        return 0
    if run_to_the_end(run, threads=threads):
        with suppress(MemoryError):  # a run that is done stays done
            _compare(run, threads)
        print(f"done; let it write: tinygrad-llm sample {quoted(folder)}")
        return 0
    print(f"stopped after step {run.step} and saved; go on with: "
          f"tinygrad-llm train --resume --out {quoted(folder)}")
    return 128 + run.stopped_by


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line gives: its file's, and over these its flags."""
    from ..train.config import read_settings

    return (read_settings(args.config) if args.config else {}) | {
        name.removeprefix("set_"): value for name, value in vars(args).items()
        if name.startswith("set_") and value is not None}


def _compare(run: Run, threads: int) -> None:
    """Print a prediction beside what the run took; it takes a twentieth of the steps' time."""
    from ..plan import SECONDS, compared, predict

    if not (run.seconds and run.before):
        return
    plan = predict(run.config, run.data.tokenizer.vocab_size, before=run.before, threads=threads,
                   seconds=min(SECONDS, 0.05 * sum(run.seconds)), objective=run.objective)
    print(compared(plan, median(run.seconds), run.most))


def _resumed(folder: Path, given: dict[str, Any], checkpoint: str) -> Run:
    from ..train.run import resume_run

    run = resume_run(folder, given, checkpoint)
    print(f"resuming {folder} after step {run.step} of {run.config.run.steps}")
    return run


def _fitting(args: argparse.Namespace, folder: Path, given: dict[str, Any], threads: int,
             init: WarmStart | None) -> TrainConfig:
    """Return the configuration of a new run, its settings of memory chosen where it must fit."""
    from ..host.processes import Processes
    from ..plan import SECONDS, Trial, bytes_of, choose, sentence
    from ..train.config import make_config
    from ..train.run import rehearse

    config = make_config(given)
    if args.max_memory is None:
        return config
    limit = bytes_of(args.max_memory)
    place = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    trial = Trial(*rehearse(config, init), threads, scratch=place)
    with Processes(1) as process:  # of its own: what it takes does not stay in this one
        plan, plain = process.submit(choose, trial, limit, [*given], 2 * SECONDS).result()
    print(sentence(plan, plain, limit))
    return plan.config


def _started(folder: Path, config: TrainConfig, overwrite: bool, init: WarmStart | None) -> Run:
    from ..train.run import start_run

    run = start_run(config, folder, overwrite, init)
    print(f"training in {folder}: {sum(p.size for p in run.optimizer.parameters.values()):,} "
          f"parameters, {len(run.data.train):,} tokens of {run.data.tokenizer.vocab_size} "
          f"kinds, {config.run.steps} steps")
    return run


def threads_of(given: int | None) -> int:
    """Return the number of threads that is meant. Raises UserError for one below 1."""
    from ..host.threads import check_threads

    try:
        threads = check_threads(given)
    except ValueError as error:
        raise UserError(str(error)) from error
    if threads > usable_cores():
        print(f"{threads} threads on {usable_cores()} cores: slower, but the result is the same",
              file=sys.stderr)
    return threads
