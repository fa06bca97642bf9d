"""What a run was trained on: the same content anywhere, never another one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import silent, small, weights, write_shards, write_text

from tinygrad_llm.data.prepared import open_prepared, prepare
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.files import sha256_of
from tinygrad_llm.train import load_model, resume_run, start_run, train
from tinygrad_llm.train.folder import data_record
from tinygrad_llm.train.folder.data_record import describe, read_record


@pytest.fixture(params=["char", "bpe"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", request.param)


def begun(data: Path | str, folder: Path) -> Path:
    """Train a few steps of a run that has more before it."""
    train(start_run(small(data, steps=3), folder), silent)
    return folder


def test_the_record_names_content_and_place(shards: Path, tmp_path: Path) -> None:
    record = read_record(begun(shards, tmp_path / "run"))
    assert record is not None and record["folder"] == str(shards)
    assert record["tokenizer"]["sha256"] == sha256_of(shards / "tokenizer.json")
    assert {**record} == {"folder": str(shards), **describe(open_prepared(shards))}
    assert record["train"]["size"] == len(open_prepared(shards).train)


def test_large_shards_are_known_by_their_index(shards: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    whole = describe(open_prepared(shards))
    monkeypatch.setattr(data_record, "READ_WHOLE", 0)
    assert describe(open_prepared(shards)) == whole


def flip(path: Path) -> None:
    """Exchange the first two ids, which differ."""
    tokens = np.memmap(path, "<u2", "r+")
    tokens[:2] = tokens[1], tokens[0]
    assert tokens[0] != tokens[1]
    tokens.flush()


def rebuilt(folder: Path, kind: str) -> None:
    """Build the shards again, of documents in another order or with another tokenizer."""
    shutil.rmtree(folder)
    write_shards(folder, kind)


@pytest.mark.parametrize("part", ["train", "val"])
def test_other_tokens_are_refused(shards: Path, tmp_path: Path, part: str) -> None:
    run = begun(shards, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    flip(shards / part / "shard-00000.bin")
    words = "tokens to train on" if part == "train" else "tokens to validate on"
    with pytest.raises(UserError, match=rf"shards is not what the run in .*run was trained on; "
                                        rf"changed are the {words}: [\d,]+ \(\w{{8}}\) then"):
        resume_run(run, {"steps": 6})
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_another_tokenizer_is_refused_with_the_difference(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", "bpe")
    run = begun(shards, tmp_path / "run")
    rebuilt(shards, "char")
    with pytest.raises(UserError, match=r"the tokenizer: 258 \(\w+\) then, \d+ \(\w+\) now; "
                                        r"the tokens to train on: .*; the tokens to validate on"):
        resume_run(run, {"steps": 6})


def test_a_run_without_a_record_knows_its_tokenizer(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", "bpe")
    run = begun(shards, tmp_path / "run")
    (run / "data.json").unlink()
    assert resume_run(run, {"steps": 6}).step == 3 and (run / "data.json").exists()
    (run / "data.json").unlink()
    rebuilt(shards, "char")
    with pytest.raises(UserError, match="changed are the tokenizer"):
        resume_run(run, {"steps": 6})


def test_the_same_data_rebuilt_or_moved_is_the_same(shards: Path, tmp_path: Path) -> None:
    run = begun(shards, tmp_path / "run")
    kind = "bpe" if open_prepared(shards).tokenizer.vocab_size == 258 else "char"
    rebuilt(shards, kind)
    assert resume_run(run, {"steps": 6}).step == 3
    shards.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="is no longer in .*shards; name its new place with --data"):
        resume_run(run, {})
    assert resume_run(run, {"data": str(tmp_path / "moved")}).step == 3
    assert resume_run(run, {}).data.folder == tmp_path / "moved", "which is written down"
    write_shards(tmp_path / "other", "bpe" if kind == "char" else "char")
    with pytest.raises(UserError, match="is not what the run"):
        resume_run(run, {"data": str(tmp_path / "other")})
    assert resume_run(run, {}).data.folder == tmp_path / "moved"


def test_from_another_folder_it_is_the_same_data(tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("a", "bpe"), ("b", "char")):
        (tmp_path / name).mkdir()
        write_shards(tmp_path / name / "shards", kind)
    monkeypatch.chdir(tmp_path / "a")
    run = begun("shards", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "b")
    resumed = resume_run(run, {"steps": 6})
    assert resumed.data.folder == tmp_path / "a" / "shards"
    assert resumed.config.data.data == str(tmp_path / "a" / "shards")
    with pytest.raises(UserError, match="is not what the run"):
        resume_run(run, {"data": "shards"})


def test_a_text_is_not_read_again_and_its_copy_is_watched(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    run = begun(text, tmp_path / "run")
    before = weights(run)
    text.write_text("entirely other")
    assert resume_run(run, {}).step == 3, "the run has its own tokens"
    prepare("entirely other text " * 20, run / "data", context=8)
    with pytest.raises(UserError, match="changed are the tokenizer"):
        resume_run(run, {"steps": 6})
    shutil.rmtree(run / "data")
    with pytest.raises(UserError, match="does not suit the text|changed are"):
        resume_run(run, {"steps": 6})
    assert weights(run) == before
    write_text(tmp_path)
    shutil.rmtree(run / "data", ignore_errors=True)
    assert resume_run(run, {"steps": 6}).step == 3, "the text is there again"


def test_a_tokenizer_that_was_exchanged_writes_nothing(tmp_path: Path) -> None:
    run = begun(write_text(tmp_path), tmp_path / "run")
    path = run / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match="is not the tokenizer that the run was trained with"):
        load_model(run)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"[]", b"{}", b'{"tokenizer": 3}',
                                     b'{"tokenizer": {"sha256": 1}, "train": {"sha256": 2}}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    run = begun(write_text(tmp_path), tmp_path / "run")
    (run / "data.json").write_bytes(content)
    for action in (lambda: resume_run(run, {}), lambda: load_model(run)):
        with pytest.raises(UserError, match=r"data\.json is damaged .*restore it"):
            action()


@pytest.mark.parametrize("odd", [None, 3, {}, {"sha256": "x"}, {"sha256": "x", "size": "y"}])
def test_an_odd_part_of_a_record_is_another_one(tmp_path: Path, odd: Any) -> None:
    run = begun(write_text(tmp_path), tmp_path / "run")
    record = json.loads((run / "data.json").read_bytes())
    (run / "data.json").write_text(json.dumps({**record, "val": odd}))
    with pytest.raises(UserError, match="changed are the tokens to validate on"):
        resume_run(run, {})
