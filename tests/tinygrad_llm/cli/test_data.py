"""`tinygrad-llm data` as a user meets it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import command_line
import pytest
from command_line import ROOT, TEXT

from tinygrad_llm.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for i in range(12):
        lines = (f"The sheep number {i * i + j} says: {'no' * (1 + (i + j) % 3)}, {i + 7 * j} "
                 f"times, and the dog barks at {'hill' if j % 2 else 'tree'} {i * j}.\n"
                 for j in range(12))
        (tmp_path / "texts" / f"{i}.txt").write_text("".join(lines))
    (tmp_path / "texts" / "again.txt").write_text((tmp_path / "texts" / "3.txt").read_text())
    return tmp_path


def build(*args: str) -> int:
    return main(["data", "build", "texts", "--out", "built", "--vocab-size", "290",
                 "--no-near-duplicates", "--rules", "none", *args])


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    return command_line.error_of(capsys, "data", *args)


def test_build_show_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("--validation-share", "0.2", "--seed", "3") == 0
    out = capsys.readouterr().out
    for words in ("documents read", "13", "exact duplicates", "-1", "tokens to train on",
                  "bytes a token", "290 ids", "tinygrad-llm train --data built"):
        assert words in out
    assert not (folder / "built" / "work").exists()
    report = json.loads((folder / "built" / "report.json").read_text())
    assert report["settings"]["seed"] == 3
    assert main(["data", "check", "built"]) == 0
    assert "all files are as they were built" in capsys.readouterr().out
    assert main(["data", "show", "built"]) == 0
    out = capsys.readouterr().out
    assert "documents kept" in out and out.count("--- document") == 3 and "The sheep number" in out
    assert "--text is for a text" in error_of(capsys, "show", "built", "--text", "x.txt")
    assert build("--validation-share", "0.2", "--seed", "3") == 0, "the same again is nothing to do"
    assert "--overwrite" in error_of(capsys, "build", "texts", "--out", "built")
    assert build("--overwrite", "--keep-work") == 0 and (folder / "built" / "work").is_dir()


@pytest.mark.parametrize("file", [
    "train/shard-00000.bin", "train/shard-00000.starts", "train/index.json",
    "val/shard-00000.bin", "tokenizer.json", "report.json", "report.html"])
def test_check_finds_what_is_damaged_or_gone(
        folder: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert build("--validation-share", "0.3") == 0
    path = folder / "built" / file
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (None, whole[:-2], whole[:middle] + bytes([whole[middle] ^ 1])
                    + whole[middle + 1:], b"[" * 100_000, b"{}", b""):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        capsys.readouterr()
        assert main(["data", "check", "built"]) == 1, damaged
        out, error = capsys.readouterr()
        assert f"built/{file}" in out and "Traceback" not in out + error
    path.write_bytes(whole)
    assert main(["data", "check", "built"]) == 0


def test_mistakes_are_sentences(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent" in error_of(capsys, "build", "absent", "--out", "o")
    assert "in (0, 1]" in error_of(capsys, "build", "texts", "--out", "o", "--near-duplicates", "2")
    assert "workers" in error_of(capsys, "build", "texts", "--out", "o", "--workers", "0")
    assert "leave them out" in error_of(capsys, "build", "texts", "--out", "o", "--tokenizer", "t",
                                        "--vocab-size", "300")
    assert "no build has left" in error_of(capsys, "build", "texts", "--out", "texts")
    (folder / "file").write_text("")
    assert "is a file" in error_of(capsys, "build", "texts", "--out", "file")
    assert "file/o" in error_of(capsys, "build", "texts", "--out", "file/o")
    assert not (folder / "o").exists()
    assert main(["data", "check", "absent"]) == 1
    for args in (["data"], ["data", "build", "texts"], ["data", "build", "--out", "o"],
                 ["data", "build", "texts", "--out", "o", "--near-duplicates", "0.5",
                  "--no-near-duplicates"]):
        with pytest.raises(SystemExit) as exit:
            main(args)
        assert exit.value.code == 2


def test_languages_and_evaluation_files_are_passed_on(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "evaluation.txt").write_text((folder / "texts" / "5.txt").read_text())
    assert build("--decontaminate", "evaluation.txt") == 0
    report = json.loads((folder / "built" / "report.json").read_text())
    assert report["contaminated"]["documents"] == 1
    message = error_of(capsys, "build", "texts", "--out", "o", "--rules", "none",
                       "--languages", "XX,,de")
    assert "no document is left" in message and "'language'" in message


@pytest.mark.long
def test_a_real_kill_is_survived(folder: Path) -> None:
    for i in range(40):  # 8 MB: enough for processes, and to be caught at work
        text = "".join(f"Line {i * j} has {i + j} words and {j % 7} more of {i} kinds.\n"
                       for j in range(4000))
        (folder / "texts" / f"long{i}.txt").write_text(text)
    args = [sys.executable, "-m", "tinygrad_llm", "data", "build", "texts", "--vocab-size", "300",
            "--rules", "none", "--workers", "2", "--no-near-duplicates", "--out"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""),
                                                        str(ROOT)])}
    assert subprocess.run([*args, "whole"], env=env, cwd=folder, timeout=100).returncode == 0
    for stop, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        cleaned = folder / "built" / "work" / "1-clean"
        before = set(cleaned.glob("*"))
        process = subprocess.Popen([*args, "built"], env=env, cwd=folder, text=True,
                                   stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 60
        while set(cleaned.glob("*")) == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(stop)
        _, error = process.communicate(timeout=60)
        assert process.returncode == code and "Traceback" not in error
        assert stop == signal.SIGKILL or "the same command goes on from there" in error
        assert not (folder / "built" / "report.json").exists()
    assert subprocess.run([*args, "built"], env=env, cwd=folder, timeout=100).returncode == 0
    whole, built = ({str(path.relative_to(folder / name)): path.read_bytes()
                     for path in (folder / name).rglob("*") if path.is_file()}
                    for name in ("whole", "built"))
    assert whole == built


@pytest.mark.parametrize("lost", [
    "train/index.json", "val", "train", "tokenizer.json", "train/shard-00000.bin"])
def test_training_on_a_damaged_folder_is_refused(folder: Path, capsys: pytest.CaptureFixture[str],
                                                 lost: str) -> None:
    assert build("--validation-share", "0.3") == 0
    path = folder / "built" / lost
    train = ["train", "--data", "built", "--out", "run", "--steps", "1", "--context", "8"]
    if path.suffix == ".bin":
        whole = path.read_bytes()
        path.write_bytes(whole[:10] + bytes([whole[10] ^ 1]) + whole[11:])
    else:
        path.rename(folder / "away")
    capsys.readouterr()
    assert main(train) == 2
    error = capsys.readouterr().err
    assert f"built/{lost}" in error and "data check built" in error


def test_showing_a_folder_without_its_report_is_refused(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build() == 0
    (folder / "built" / "report.json").unlink()
    assert "built/report.json cannot be read" in error_of(capsys, "show", "built")


def test_a_full_disk_is_reported_and_the_build_goes_on(
        folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does: without a name

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "no space is left on the disk of built; make room" in error_of(
            capsys, "build", "texts", "--out", "built")
    assert build() == 0 and main(["data", "check", "built"]) == 0


def test_a_text_is_described(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text.txt").write_text(TEXT)
    assert main(["data", "show", "text.txt", "--text", "plain.txt"]) == 0
    out = capsys.readouterr().out
    assert f"{len(TEXT):,} characters" in out and (folder / "plain.txt").read_text() == TEXT
    assert "No such file" in error_of(capsys, "show", "absent")
