"""The runs of a sweep, side by side in processes, each an ordinary run in a folder of its own.

A run that is done is not done again, and one that was interrupted goes on from its checkpoint. One
that fails, for a loss that is not finite say, leaves its reason in `failed.txt`; the others go on,
and when the sweep is started again it is tried again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..host.errors import UserError
from ..host.lock import is_held, locked
from ..host.output import steady_output
from ..host.processes import Processes
from ..host.stop_signals import Stop, stop_signals
from ..train.config import make_config, read_settings
from ..train.log import progress_bar
from ..train.loop import left_to_do, train
from ..train.run import holds_run, resume_run, start_run, with_slices
from .grid import Sweep, Trial
from .table import FAILED, is_done, last_step

LOOK = 0.5  # seconds between two looks at the progress


def run_sweep(sweep: Sweep, folder: Path, jobs: int, threads: int,
              say: Callable[[str], None] = tqdm.write) -> int:
    """Train what is left of a sweep, `jobs` runs at a time; return the signal that ended it, or 0.

    Each has `threads` threads, which do not change its result. After a signal all runs are saved.
    Raises UserError where the folder is a run's own, where another process is at work on the sweep,
    and where a folder in it holds a run of other settings; nothing is trained then.
    """
    if holds_run(folder):
        raise UserError(f"{folder} holds a run, and a sweep has runs in a folder of its own; name "
                        f"another with --out")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", "wait until it ends, or name another folder with --out"), \
            stop_signals("stopping: all runs save after their step (nothing is lost by waiting)",
                         "still saving; started again, the sweep goes on where it was") as stop:
        for trial in sweep.trials:
            _check_settings(trial, folder / trial.name)
        left = [trial for trial in sweep.trials if not is_done(trial, folder)]
        if done := len(sweep.trials) - len(left):
            say(f"{done} of {len(sweep.trials)} runs are done already")
        if left:
            _run_all(sweep, left, folder, min(jobs, len(left)), threads, say, stop)
        return stop.signal


def _check_settings(trial: Trial, folder: Path) -> None:
    """Raise UserError where the folder holds a run of other settings."""
    if not (folder / "config.toml").exists():
        return
    there = make_config(read_settings(folder / "config.toml")).flat()
    wanted = with_slices(trial.config).flat()
    for name, value in wanted.items():
        if there.get(name) != value and not (name == "data" and _same_place(there[name], value)):
            raise UserError(f"{folder} holds a run with {name} {there.get(name)!r}, and the sweep "
                            f"wants {value!r}; name another folder with --out, or delete that one")


def _same_place(there: str, here: str) -> bool:
    return Path(there).resolve() == Path(here).resolve()


def _run_all(sweep: Sweep, left: list[Trial], folder: Path, jobs: int, threads: int,
             say: Callable[[str], None], stop: Stop) -> None:
    steps = {trial.name: trial.config.run.steps for trial in sweep.trials}
    with Processes(jobs) as processes, progress_bar(
            sum(steps.values()), "sweep", "step", initial=_steps_done(sweep, folder)) as bar:
        waiting: dict[Future[str], Trial] = {}
        while waiting or (left and not stop):
            while left and len(waiting) < jobs and not stop:
                trial = left.pop(0)
                waiting[processes.submit(_work, trial.config.flat(), folder / trial.name,
                                         threads)] = trial
            ended, _ = wait(waiting, LOOK, FIRST_COMPLETED)
            for future in ended:
                _report(future, waiting.pop(future), say, stop)
            done = sum(is_done(trial, folder) for trial in sweep.trials)
            bar.set_postfix_str(f"{done} of {len(steps)} runs done", refresh=False)
            bar.update(_steps_done(sweep, folder) - bar.n)
            if stop:
                _stop_all(folder / trial.name for trial in waiting.values())


def _report(future: Future[str], trial: Trial, say: Callable[[str], None], stop: Stop) -> None:
    try:
        fault = future.result()
    except BrokenExecutor:
        if stop:
            return
        raise UserError(f"the process of {trial.name} was killed, perhaps as memory ran out; try "
                        f"fewer --jobs; started again, the sweep goes on where it was") from None
    if fault:
        say(f"{trial.name} failed: {fault}")


def _steps_done(sweep: Sweep, folder: Path) -> int:
    return sum(min(last_step(folder / trial.name), trial.config.run.steps)
               for trial in sweep.trials)


def _stop_all(folders: Iterable[Path]) -> None:
    """Ask the processes at work on runs to save and end; an idle one that dies breaks the pool."""
    for folder in folders:
        if os.name == "posix" and is_held(folder / "lock"):  # Windows has no such signal
            with suppress(OSError, ValueError, KeyError):
                os.kill(json.loads((folder / "lock").read_text())["process"], signal.SIGTERM)


def _work(settings: Mapping[str, Any], folder: Path, threads: int) -> str:
    """Start the run in a folder, or go on with it; return why it failed, or "".

    What it says goes to `output.txt` there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    with _unterminated(), \
            open(folder / "output.txt", "a", buffering=1, encoding="utf-8") as output, \
            redirect_stdout(output), redirect_stderr(output), steady_output():
        try:
            run = (resume_run(folder, {}) if holds_run(folder)
                   else start_run(make_config(settings), folder))
            if left_to_do(run):
                train(run, say=lambda text: print(text, flush=True), threads=threads)
            return ""
        except (UserError, MemoryError, OSError) as error:
            reason = str(error) or type(error).__name__
            print(reason, file=sys.stderr)
            with suppress(OSError):  # of a full disk there is an empty file at least
                (folder / FAILED).write_text(reason, encoding="utf-8")
            return reason


@contextmanager
def _unterminated() -> Iterator[None]:
    """Let SIGTERM do nothing in the block but where training answers it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
