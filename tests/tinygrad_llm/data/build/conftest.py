"""A folder of files to build from, and the report of a build with something of everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mixed_corpus import HOSTILE, corpus

from tinygrad_llm.data.build.plan import BuildSettings
from tinygrad_llm.data.build.report_page import render_page
from tinygrad_llm.data.build.result import seal
from tinygrad_llm.data.build.run import build


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """The report of a build with something of everything in it."""
    folder = tmp_path / "texts <b>"
    folder.mkdir()
    words = [f"word{i}" for i in range(2000)]
    for i in range(8):
        (folder / f"{i} & <i>.txt").write_text(" ".join(words[200 * i:200 * i + 260]) + HOSTILE)
    (folder / "zz same.txt").write_text((folder / "0 & <i>.txt").read_text() + "\n\n")
    long = " ".join(f"other{i}" for i in range(300))
    (folder / "zz long.txt").write_text(long + HOSTILE)
    (folder / "zz near.txt").write_text(long + " and a little more" + HOSTILE)
    (folder / "zz short.txt").write_text(HOSTILE + "x" * 300)
    (folder / "zz.bin").write_bytes(b"\0" * 100)
    (folder / "evaluation.jsonl").write_text(json.dumps({"text": " ".join(words[1010:1050])}))
    settings = BuildSettings(
        (str(folder),), vocab_size=270, rules="light", validation_share=0.3,
        decontaminate=(str(folder / "evaluation.jsonl"),))
    build(settings, tmp_path / "built", workers=1, progress=False)
    read: dict[str, Any] = json.loads((tmp_path / "built" / "report.json").read_text())
    assert (tmp_path / "built" / "report.html").read_text() == render_page(read)
    assert set(read["files"]) == {"tokenizer.json", "report.html", "train/index.json",
                                  "val/index.json"} and read["sha256"] == seal(read)
    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return corpus(tmp_path / "texts")
