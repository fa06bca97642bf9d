"""A lock on a folder: one process at a time works in it.

The system's own lock on the file decides (`flock`, on Windows `msvcrt.locking`): it ends with its
process, however that ends, so a file that a killed process has left keeps no other out. The file
holds the process and the machine, for the message. On file systems without such locks (some
clusters' are) they decide: a process of this machine that no longer lives has left a stale file.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import errors_name

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_FAR = 2**30  # the byte that is locked on Windows, where others cannot read locked bytes


@contextmanager
def locked(path: Path, way_out: str, stays: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs, and remove it afterwards, unless it `stays`.

    Raises UserError, which names the process and machine that hold it and ends with the way out,
    where another block does, in this process or another. Raises OSError where the file cannot be
    made.
    """
    handle = _opened(path, way_out)
    try:
        about = {"process": os.getpid(), "host": platform.node(),
                 "since": datetime.now().astimezone().isoformat(timespec="seconds")}
        with errors_name(path):
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(about).encode())
        yield
    finally:
        if stays:
            os.ftruncate(handle, 0)
            os.close(handle)
        elif os.name == "nt":  # which removes closed files only, and none that another has open
            os.close(handle)
            with suppress(OSError):
                path.unlink()
        else:  # the other way round it could be the file of the next one
            path.unlink(missing_ok=True)
            os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a block holds the lock file `path`; it is tried for less than a millisecond."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # there is none, or it is not ours to try
        return path.exists() and _may_live(_owner(path))
    try:
        return not _taken(handle, path)
    finally:
        os.close(handle)


def _opened(path: Path, way_out: str) -> int:
    """Return a handle of the file, locked."""
    tries = 0
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            taken = _taken(handle, path)
            if not taken and (tries := tries + 1) == 4:  # once, it may be `is_held` for a moment
                raise UserError(f"{_owner_in_words(path)} is at work in {path.parent}; {way_out}")
            if taken and path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle  # and not a file that its holder has removed meanwhile
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not taken:
            time.sleep(0.02)


def _taken(handle: int, path: Path) -> bool:
    """Lock the open file; return whether that was possible."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _BUSY and not _may_live(_owner(path))
    return True


def _owner(path: Path) -> dict[str, Any]:
    """Return what the lock file says; nothing where it is empty or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _owner_in_words(path: Path) -> str:
    owner = _owner(path)
    if not owner:
        return "another process"
    return (f"process {owner.get('process')} on {owner.get('host')} (since {owner.get('since')}, "
            f"says {path})")


def _may_live(owner: dict[str, Any]) -> bool:
    """Whether the process that a lock file names may be at work, where there are no locks."""
    number = owner.get("process")
    if type(number) is not int or not 0 < number < 2**31:
        return False
    if owner.get("host") != platform.node() or os.name != "posix":
        return True  # it cannot be asked
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
