"""The last steps of a build: ids into shards, and everything to where its user finds it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.data.build import publish as module
from tinygrad_llm.data.build.publish import WrittenShards, publish, write_shards
from tinygrad_llm.data.build.result import read_report
from tinygrad_llm.data.build.resumable import Crew
from tinygrad_llm.data.build.tasks import (
    CONTAMINATED,
    NEAR,
    TRAIN,
    VALIDATION,
    EncodeTask,
    encode_bundle,
    write_array,
)
from tinygrad_llm.data.tokens.shards import holds_shards, open_shards
from tinygrad_llm.host.files import sha256_of
from tinygrad_llm.text.special import END_OF_TEXT
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.text.training.bpe import train_bpe

BUNDLES = [[("ab", TRAIN), ("no", NEAR), ("c", VALIDATION), ("", TRAIN)],
           [], [("no", CONTAMINATED)], [("de", TRAIN), ("ab", VALIDATION)]]


def encoded(folder: Path, bundles: list[list[tuple[str, int]]], special: list[str]
            ) -> list[EncodeTask]:
    """Return bundles whose tokenizer has an id a byte, encoded."""
    tokenizer = folder / "given.json"
    train_bpe(["x"], 256 + len(special), special_tokens=special, progress=False).save(tokenizer)
    tasks = []
    for number, documents in enumerate(bundles):
        cleaned, fates = folder / f"{number}.json", folder / f"fates-{number}.npy"
        cleaned.with_suffix(".jsonl").write_text("".join(
            json.dumps({"name": "", "source": 0, "text": text}) + "\n" for text, _ in documents))
        write_array(fates, np.array([fate for _, fate in documents], np.uint8))
        tasks.append(EncodeTask(folder / f"ids-{number}.npy", 1, cleaned, fates, tokenizer,
                                sha256_of(tokenizer)))
        encode_bundle(tasks[-1])
    return tasks


@pytest.mark.parametrize("chunk", [1, 2**20])
def test_documents_go_to_their_parts_in_their_order(
        tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    tasks = encoded(tmp_path, BUNDLES, [END_OF_TEXT])
    with Crew(1, progress=False) as crew:
        written = write_shards(tmp_path / "shards", tasks, 4, crew)
    end = written.end_of_text
    assert (end, written.vocab_size) == (256, 257)
    a, b, c, d, e = Tokenizer.load(tmp_path / "given.json").encode("abcde")
    train, val = (open_shards(tmp_path / "shards" / part) for part in ("train", "val"))
    assert train[:].tolist() == [a, b, end, end, d, e, end]
    assert val[:].tolist() == [c, end, a, b, end]
    assert written.parts == {"train": {"documents": 3, "tokens": 7},
                             "val": {"documents": 2, "tokens": 5}}
    assert {i: count for i, count in enumerate(written.used.tolist()) if count} == {
        a: 2, b: 2, c: 1, d: 1, e: 1}
    assert train.settings.tokenizer_sha256 == sha256_of(tmp_path / "given.json")


def test_without_an_end_of_text_what_is_empty_is_left_out(tmp_path: Path) -> None:
    tasks = encoded(tmp_path, [[("ab", TRAIN), ("", TRAIN), ("c", TRAIN)]], [])
    with Crew(1, progress=False) as crew:
        written = write_shards(tmp_path / "shards", tasks, 4, crew)
    assert written.end_of_text is None
    assert written.parts == {"train": {"documents": 2, "tokens": 3}}
    assert not (tmp_path / "shards" / "val").exists()


def test_shards_of_a_stopped_build_are_written_anew(tmp_path: Path) -> None:
    tasks = encoded(tmp_path, BUNDLES, [END_OF_TEXT])
    with Crew(1, progress=False) as crew:
        write_shards(tmp_path / "shards", tasks, 4, crew)
        (tmp_path / "shards" / "train" / "shard-00000.bin").write_bytes(b"cut")
        write_shards(tmp_path / "shards", tasks, 4, crew)
    assert open_shards(tmp_path / "shards" / "train").check(progress=False) == []


@pytest.fixture
def written(tmp_path: Path) -> WrittenShards:
    (tmp_path / "out").mkdir()
    with Crew(1, progress=False) as crew:
        return write_shards(tmp_path / "shards", encoded(tmp_path, BUNDLES, [END_OF_TEXT]), 4, crew)


def test_a_report_with_its_checksums_comes_last(
        written: WrittenShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render_page", lambda report: f"page of {report['number']}")
    order: list[str] = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        order.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    out = tmp_path / "out"
    report = publish({"number": 7, "pair": (1, 2)}, written, tmp_path / "given.json", out)
    assert order == ["train", "val", "tokenizer.json", "report.html", "report.json"]
    assert report == read_report(out) and report["pair"] == [1, 2]
    assert report["files"] == {name: sha256_of(out / name) for name in (
        "tokenizer.json", "report.html", "train/index.json", "val/index.json")}
    assert (out / "tokenizer.json").read_bytes() == (tmp_path / "given.json").read_bytes()
    assert (out / "report.html").read_text() == "page of 7"
    assert os.listdir(tmp_path / "shards") == []


def test_a_part_of_a_former_build_does_not_stay(
        written: WrittenShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render_page", lambda report: "")
    out = tmp_path / "out"
    publish({}, written, tmp_path / "given.json", out)
    tasks = encoded(tmp_path, [[("ab", TRAIN)]], [END_OF_TEXT])
    with Crew(1, progress=False) as crew:
        again = write_shards(tmp_path / "shards", tasks, 4, crew)
    report = publish({}, again, tmp_path / "given.json", out)
    assert holds_shards(out / "train") and not (out / "val").exists()
    assert "val/index.json" not in report["files"]
