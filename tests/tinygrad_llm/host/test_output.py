"""Output that never stops the work: gone readers, missing streams, missing characters."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest
from tqdm import tqdm

from tinygrad_llm.host.output import (
    Lines,
    SteadyStream,
    reader_is_gone,
    steady_output,
    write_at_once,
)


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.problem = error

    def write(self, text: str) -> int:
        raise self.problem


def test_characters_that_the_encoding_lacks_are_replaced() -> None:
    file = io.BytesIO()
    stream = SteadyStream(io.TextIOWrapper(file, "cp1252"))
    print("naïve Привет \udc80", file=stream, flush=True)
    stream.writelines(["é", "ж"])
    stream.flush()
    assert file.getvalue().decode("cp1252").splitlines() == ["naïve ?????? ?", "é?"]
    assert stream.error is None and stream.encoding == "cp1252"


@pytest.mark.parametrize("number, lost", [(errno.EPIPE, False), (errno.EIO, False),
                                          (errno.EBADF, False), (errno.ENOSPC, True)])
def test_a_stream_that_fails_is_written_no_more(number: int, lost: bool) -> None:
    stream = SteadyStream(Broken(OSError(number, os.strerror(number))))
    print("one", file=stream)
    stream.stream.problem = AssertionError("written again")
    print("two", file=stream, flush=True)
    assert stream.error is not None and (stream.lost is not None) == lost


def test_a_closed_and_a_missing_stream_take_everything() -> None:
    closed = io.StringIO()
    closed.close()
    stream = SteadyStream(closed)
    print("one", file=stream, flush=True)
    assert stream.error is not None and stream.lost is None
    missing = SteadyStream(None)
    print("one", file=missing, flush=True)
    assert missing.error is None and not missing.isatty()


def test_inside_the_block_the_streams_are_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Broken(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdin", None)
    with steady_output() as outer:
        assert not reader_is_gone() and sys.stdin.buffer.read() == b""
        print("one")
        print("two", file=sys.stderr)
        with steady_output() as inner:
            assert inner is outer
        assert reader_is_gone() and outer.lost is None
    assert sys.stdout is out and sys.stderr is None and sys.stdin is None


def test_a_line_is_written_at_once(capfd: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    write_at_once("now")
    assert capfd.readouterr().err == "\nnow\n"
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stderr", notebook)
    write_at_once("now")
    assert notebook.getvalue() == "\nnow\n"
    for gone in (None, Broken(OSError(errno.EIO, "gone")), Broken(RuntimeError("reentrant call"))):
        monkeypatch.setattr(sys, "stderr", gone)
        write_at_once("nothing comes of it")


def test_a_progress_bar_without_a_terminal_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    out = Lines()
    with tqdm(total=2, file=out, mininterval=0, desc="outer") as bar, \
            tqdm(total=1, file=out, mininterval=0, desc="inner", leave=False, position=1) as inner:
        inner.update()
        bar.update(2)
    written = capsys.readouterr().err
    assert "\x1b" not in written and "\r" not in written and written.endswith("\n")
    lines = written.splitlines()
    assert all(lines) and sum("outer: 100%" in line for line in lines) >= 1
