"""Files that are never half-written, whatever stops the writing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinygrad_llm.host import files
from tinygrad_llm.host.files import flush_folder, remove_temporaries, sha256_of, write_in_one_step


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
