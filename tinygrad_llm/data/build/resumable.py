"""Work that may be killed at any moment: files named after what they were made from.

A long build is cut into tasks. The result of each is a file whose name holds a digest of all it
depends on: settings, the content of the input, the names of the results it goes on from. So a
file that exists is whole (it was written in one step) and right (other settings or other input
would have another name), and going on after a crash is doing the tasks whose file is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from ...host import lock
from ...host.errors import UserError
from ...host.machine import usable_cores
from ...host.processes import Processes

WORTH_PROCESSES = 4 * 2**20  # bytes: below it, starting a process takes longer than the work


class Task(Protocol):
    """A piece of work for one process. Instances are sent to it, so they must pickle."""

    @property
    def out(self) -> Path:
        """The result's file, which is written last and in one step."""

    @property
    def size(self) -> int:
        """How many bytes there are to work through."""


AnyTask = TypeVar("AnyTask", bound=Task)


def key_of(*parts: Any) -> str:
    """Return a name, 20 hexadecimal digits, for what can be written as JSON."""
    written = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(written.encode(errors="surrogatepass"), digest_size=10).hexdigest()


class Crew:
    """Runs tasks, in `workers` processes (None: one a core) where there is enough to do.

    The processes are started when first needed, and kept from stage to stage.
    """

    def __init__(self, workers: int | None = None, progress: bool = True) -> None:
        if workers is not None and workers < 1:
            raise UserError(f"workers must be at least 1, got {workers}; leave it out for all "
                            f"{usable_cores()} cores")
        self.workers = workers or usable_cores()
        self.progress = progress
        self.pool: Processes | None = None

    def run(self, label: str, function: Callable[[AnyTask], None],
            tasks: Sequence[AnyTask]) -> None:
        """Call `function` with each task whose result is missing.

        The number of processes changes the order in which results appear, and nothing else. The
        first error ends the rest; results that are there stay. Raises UserError where a
        process dies, of want of memory for instance.
        """
        with self.progress_bar(label, sum(task.size for task in tasks)) as bar:
            todo = [task for task in tasks if not task.out.exists()]
            bar.update(sum(task.size for task in tasks) - sum(task.size for task in todo))
            if self._runs_here(todo):
                for task in todo:
                    function(task)
                    bar.update(task.size)
                return
            try:
                sizes = {self._pool().submit(function, task): task.size for task in todo}
                for future in as_completed(sizes):
                    future.result()
                    bar.update(sizes[future])
            except BrokenProcessPool as error:
                raise UserError(
                    "a process died while it worked, probably killed because memory ran out; give "
                    "the same command again to go on, with fewer --workers") from error

    def progress_bar(self, label: str, total: int, unit: str = "B") -> Any:
        """Return a progress bar, silent where standard error is no terminal."""
        return tqdm(total=total, desc=f"{label:13}", unit=unit, unit_scale=True,
                    disable=None if self.progress else True, dynamic_ncols=True)

    def close(self) -> None:
        """End the processes, after the task that each is at."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None

    def __enter__(self) -> Crew:
        """Return the workers themselves: `with` closes them."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes."""
        self.close()

    def _runs_here(self, todo: Sequence[Task]) -> bool:
        few = len(todo) < 2 or sum(task.size for task in todo) < WORTH_PROCESSES
        return self.workers == 1 or (few and self.pool is None)

    def _pool(self) -> Processes:
        if self.pool is None:
            self.pool = Processes(self.workers)
        return self.pool


def remove_stale(folder: Path, names: Collection[str]) -> None:
    """Remove the files of `folder` that belong to none of `names`: results of stale work.

    A file belongs to a name that it equals up to its first dot.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.split(".")[0] not in names:
            path.unlink()


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold `folder` against a second build. Raises UserError where one is at work there.

    The lock's file stays: by it a later build knows the folder for one of its own.
    """
    return lock.locked(folder / "lock", "wait for it, or give another --out", stays=True)
