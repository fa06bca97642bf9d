"""Files that are never half-written, and the digest of a file."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex


def write_in_one_step(path: str | Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write the concatenated `parts` to `path` so that a reader sees the old file or the new one.

    A temporary file beside it is written, flushed to the disk and renamed, which is atomic on one
    file system; that is why it may not lie in the system's temporary folder. Its name is new and
    hidden. Then the folder is flushed, so that the new name survives a crash. A link stays one, and
    its target is replaced; what is no file, such as /dev/null, is refused. An OSError names the
    file.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "It is a device or a pipe, and no file", str(path))
    # Cut, as a name may have 255 bytes. A file of tempfile's would be its owner's alone to read.
    temporary = path.with_name(f".{path.name[:40]}.{token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # Python leaves it out of a full disk's
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def remove_temporaries(folder: Path) -> None:
    """Remove what `write_in_one_step` has left in a folder where its process was killed."""
    for path in folder.glob(f".*.{'[0-9a-f]' * 16}.tmp"):
        path.unlink(missing_ok=True)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
