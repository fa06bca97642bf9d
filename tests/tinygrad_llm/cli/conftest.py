"""A folder to work in, with a text to train on; no process outlives its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import STARTED, TEXT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    yield tmp_path
    while STARTED:
        with STARTED.pop() as process:
            process.kill()
