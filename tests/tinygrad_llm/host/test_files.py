"""Files that are never half-written, whatever stops the writing."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT

from tinygrad_llm.host import files
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.files import (
    Scratch,
    allocate,
    flush_folder,
    remove_scratch,
    remove_temporaries,
    sha256_of,
    write_in_one_step,
)
from tinygrad_llm.host.machine import memory_of_process


def test_parts_are_written_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_in_one_step(str(path), [b"one ", memoryview(b"two"), b""])
    assert path.read_bytes() == b"one two"
    write_in_one_step(path, iter(()))
    assert path.read_bytes() == b"" and os.listdir(tmp_path) == ["a.bin"]


def stopped() -> Iterator[bytes]:
    yield b"half"
    raise KeyboardInterrupt


def test_what_stops_between_two_parts_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        write_in_one_step(path, stopped())
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_in_one_step(path, stopped())
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("name", ["a.bin", "b" * (255 if os.name == "posix" else 99), "ä" * 99])
def test_no_other_file_is_touched(tmp_path: Path, name: str) -> None:
    """Whatever its name, and while another is written to the same path."""
    path, own = tmp_path / name, tmp_path / f"{name[:9]}.tmp"
    own.write_bytes(b"mine")

    def meanwhile() -> Iterator[bytes]:
        write_in_one_step(path, [b"other"])
        assert path.read_bytes() == b"other"
        yield b"new"

    write_in_one_step(path, meanwhile())
    with pytest.raises(KeyboardInterrupt):
        write_in_one_step(path, stopped())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {name: b"new", own.name: b"mine"}


def test_what_a_killed_process_left_is_hidden_and_removed(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"mine")

    def killed() -> Iterator[bytes]:
        left.extend(path.name for path in tmp_path.iterdir() if path.name != "a.tmp")
        yield b""

    left: list[str] = []
    write_in_one_step(tmp_path / "a", killed())
    assert len(left) == 1 and left[0].startswith(".a.")
    (tmp_path / left[0]).write_bytes(b"half")
    (tmp_path / ".a.mine.tmp").write_bytes(b"a user's")
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.mine.tmp", "a", "a.tmp"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask")
def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_in_one_step(tmp_path / "a.bin", [b""])
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_missing_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_in_one_step(tmp_path / "none" / "a.bin", [b""])
    assert caught.value.filename == str(tmp_path / "none" / "a.bin")


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def watched() -> Iterator[bytes]:
        for part in (b"n", b"e", b"w"):
            assert path.read_bytes() == b"old"
            yield part

    with open(path, "rb") as reader:
        write_in_one_step(path, watched())
        assert reader.read() == b"old", "a file that was opened before stays the old one"
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="there are no named pipes")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """Such as /dev/null, which an administrator could replace."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="device or a pipe") as caught:
        write_in_one_step(pipe, [b"new"])
    assert caught.value.filename == str(pipe) and pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        write_in_one_step(tmp_path, [b"new"])
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there/a.bin"
    link.symlink_to("there/a.bin")
    for content in (b"old", b"new"):
        write_in_one_step(link, [content])
        assert link.is_symlink() and target.read_bytes() == content
    assert os.listdir(tmp_path / "there") == ["a.bin"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    def full() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_in_one_step(tmp_path / "a.bin", full())
    assert caught.value.filename == str(tmp_path / "a.bin") and os.listdir(tmp_path) == []


def test_it_reaches_the_disk_before_it_gets_its_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (
            done.append(name), real(*args))[1])
    write_in_one_step(tmp_path / "a.bin", [b"new"])
    assert done == ["fsync", "replace", "fsync"]  # the file, its name, the folder's entries


def test_a_folder_is_flushed_where_the_system_can(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    flush_folder(tmp_path)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before, "the handle is closed"
    monkeypatch.setattr(files.os, "name", "nt")
    flush_folder(tmp_path / "absent")  # nothing is opened


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


# arrays in files


def test_arrays_in_files_share_them_and_keep_their_numbers_when_they_rest(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    arrays = [scratch.zeros(shape, dtype) for shape, dtype in (
        ((1000, 1000), np.float32), ((99_999,), np.float64), ((3,), np.float32),
        ((20_000_000,), np.float32))]
    assert len(scratch.files) == 2, "two together, a small one in memory, a large one alone"
    for i, array in enumerate(arrays):
        assert not array.any()
        array[...] = np.arange(array.size).reshape(array.shape) % 997 + i
    expected = [array.copy() for array in arrays]
    scratch.rest(*arrays)
    scratch.rest(arrays[0][100:200], arrays[1][:5], np.zeros(100_000))
    for array, e in zip(arrays, expected, strict=True):
        assert np.array_equal(array, e)
    if os.name == "posix":
        assert not list(tmp_path.iterdir()), "files without names"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems decide alone")
def test_arrays_that_rest_take_no_memory(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    array = scratch.zeros((16 << 20,), np.float32)
    array += 1
    awake = memory_of_process().now
    for start in range(0, array.size, 1 << 20):
        scratch.rest(array[start + 7 : start + (1 << 20) + 7])
    assert awake - memory_of_process().now > 0.98 * array.nbytes
    assert array.min() == array.max() == 1


@pytest.mark.parametrize(("reason", "words"), [
    (errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")])
def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      reason: int, words: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=f"no file of 64 MiB .*{words}; make room there, or leave "
                                        f"--offload-moments out"):
        Scratch(tmp_path).zeros((100_000,), np.float32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [True, False])
def test_a_file_is_written_where_the_system_allocates_none(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "of a file system without it")

    monkeypatch.setattr(os, "posix_fallocate", unknown, raising=False)
    if missing:
        monkeypatch.delattr(os, "posix_fallocate")
    size = (5 << 20) + 3
    with open(tmp_path / "file", "w+b") as file:
        allocate(file, size)
        found = os.fstat(file.fileno())
    assert found.st_size == size
    assert os.name != "posix" or found.st_blocks * 512 >= size, "no holes"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")
def test_a_limit_of_the_size_of_files_is_an_error_and_no_signal(tmp_path: Path) -> None:
    program = ("import resource, sys; from pathlib import Path\n"
               "from tinygrad_llm.host.files import Scratch\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
               "Scratch(Path(sys.argv[1])).zeros((1 << 20,), 'f')\n")
    found = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True,
                           text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert found.returncode == 1 and "File too large; make room there" in found.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="it needs kill -9")
def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    program = ("import os, signal, sys; from pathlib import Path\n"
               "from tinygrad_llm.host.files import Scratch\n"
               "Scratch(Path(sys.argv[1])).zeros((1 << 20,), 'f')[...] = 1\n"
               "os.kill(os.getpid(), signal.SIGKILL)\n")
    found = subprocess.run([sys.executable, "-c", program, str(tmp_path)],
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert found.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_what_another_process_left_goes(tmp_path: Path) -> None:
    for name in ("moments-abc.tmp", "moments.txt", "weights.tmp"):
        (tmp_path / name).touch()
    Scratch(tmp_path)
    assert len([*tmp_path.iterdir()]) == 3, "whose files they are is not known"
    remove_scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"moments.txt", "weights.tmp"}
