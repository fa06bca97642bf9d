"""Locks: one process at a time, whatever became of the last one."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.lock import is_held, locked


def about(process: Any, host: str) -> str:
    return json.dumps({"process": process, "host": host, "since": "yesterday"})


def test_one_at_a_time_and_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "wait for it"):
        words = rf"process {os.getpid()} on .*{platform.node()} .*is at work in .*; wait for it"
        with pytest.raises(UserError, match=words), locked(path, "wait for it"):
            pytest.fail("two hold it")
        assert json.loads(path.read_bytes())["process"] == os.getpid()
    assert not path.exists()
    with pytest.raises(KeyError), locked(path, ""):
        raise KeyError
    with locked(path, ""):
        assert path.exists(), "an error gives it back"


def test_a_file_may_stay_and_holds_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock", "", stays=True):
            assert (tmp_path / "lock").read_bytes()
        assert (tmp_path / "lock").read_bytes() == b""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    code = (f"from tinygrad_llm.host.lock import locked\nfrom pathlib import Path\n"
            f"with locked(Path({str(path)!r}), ''):\n    print('held', flush=True); input()")
    process = subprocess.Popen([sys.executable, "-c", code], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    with process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_refused_and_a_killed_one_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        with pytest.raises(UserError, match=f"process {process.pid} on "), locked(path, ""):
            pytest.fail("two hold it")
        process.kill()
        process.wait()
        assert json.loads(path.read_bytes())["process"] == process.pid, "it has left its file"
        with locked(path, ""):
            assert json.loads(path.read_bytes())["process"] == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[" * 10_000, "[]", about(1, "elsewhere"),
                                     about("x", platform.node()), about(2**70, platform.node())])
def test_a_file_that_no_process_holds_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with locked(tmp_path / "lock", ""):
        assert json.loads((tmp_path / "lock").read_bytes())["process"] == os.getpid()


def test_where_the_system_has_no_locks_the_file_decides(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    path = tmp_path / "lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for content in ("", about(dead.pid, platform.node())):
        path.write_text(content)
        with locked(path, ""):
            pass
    for content in (about(os.getppid(), platform.node()), about(1, platform.node()),
                    about(dead.pid, "elsewhere")):
        path.write_text(content)
        with pytest.raises(UserError, match="is at work in"), locked(path, ""):
            pytest.fail("a process that may live was overruled")
        assert path.read_text() == content


def test_a_lock_that_its_holder_removes_meanwhile_is_not_held(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening of the file and its locking, the holder ends and a third one comes."""
    fcntl = pytest.importorskip("fcntl")
    path, flock = tmp_path / "lock", fcntl.flock
    times = []

    def slow(handle: int, how: int) -> None:
        times.append(handle)
        if len(times) == 1:
            path.unlink()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with locked(path, ""):
        assert len(times) == 2 and path.exists()


def test_a_folder_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "absent" / "lock", ""):
        pass


def test_whether_it_is_held_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with locked(path, ""):
        assert is_held(path)
    assert not is_held(path)
    path.write_text(about(1, "elsewhere"))  # left by a process that was killed
    assert not is_held(path) and path.exists()
    with holder(path):
        assert is_held(path)
