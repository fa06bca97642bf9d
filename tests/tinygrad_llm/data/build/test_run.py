"""A build end to end: what comes out, and that it comes out alike however often it is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mixed_corpus import corpus, files, prose, settings, texts

from tinygrad_llm.cli.data import summary
from tinygrad_llm.data.build import resumable
from tinygrad_llm.data.build.result import faults
from tinygrad_llm.data.build.run import build
from tinygrad_llm.data.prepared import open_prepared
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[4]
def test_a_folder_of_everything(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "built"
    report = build(settings(folder), out, workers=1, progress=False)
    assert sorted(files(out)) == ["report.html", "report.json", "tokenizer.json",
                                  "train/index.json", "train/shard-00000.bin",
                                  "train/shard-00000.starts", "val/index.json",
                                  "val/shard-00000.bin", "val/shard-00000.starts"]
    assert json.loads((out / "report.json").read_text()) == report
    whole = texts(out, "train") + texts(out, "val")
    after = {row["stage"]: row["documents"] for row in report["funnel"]}
    assert len(whole) == after["decontaminated"] == after["training"] + after["validation"]
    assert len(set(whole)) == len(whole)
    for seed in (*range(24), 2000, 2003, 3001, 4000, 4001, 5000):
        assert any(prose(seed).strip() in text for text in whole), seed
    assert "jane.doe" not in "".join(whole) and report["personal"] == {"email": 1}
    assert "hidden" not in "".join(whole)
    assert report["duplicates"]["exact"]["documents"] == 1
    assert report["duplicates"]["near"]["documents"] == 1
    (pair,) = report["duplicates"]["exact"]["examples"]
    assert (Path(pair["name"]).name, Path(pair["earlier_name"]).name) == ("same.txt",
                                                                          "plain-000.txt")
    assert {code: entry["count"] for code, entry in report["unreadable"].items()} == {
        "binary": 1, "broken-line": 1}
    (source,) = report["sources"].values()
    train, val = open_shards(out / "train"), open_shards(out / "val")
    assert source["tokens"] == len(train) + len(val) - len(whole)  # an end of text each
    assert source["kept"]["bytes"] == sum(len(text.encode()) for text in whole)
    assert report["tokens"]["train"] == {"documents": train.documents, "tokens": len(train)}
    assert sum(report["lengths"]) == len(whole)
    assert train.check(progress=False) == val.check(progress=False) == []


def test_special_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(prose(1) + "<|endoftext|>" + prose(2))
    report = build(settings(tmp_path / "a.txt"), tmp_path / "built", workers=1, progress=False)
    tokens = open_shards(tmp_path / "built" / "train")
    assert tokens.end_of_text is not None
    assert (tokens[:] == tokens.end_of_text).sum() == 1 == report["tokens"]["train"]["documents"]


class Killed(BaseException):
    """A crash."""


def test_a_build_that_is_killed_at_any_file_goes_on_to_the_same_bytes(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.data.build.plan.BUNDLE_BYTES", 8000)  # several bundles
    evaluation = tmp_path / "evaluation.txt"
    evaluation.write_text(prose(3))
    which = settings(folder, decontaminate=(str(evaluation),), shard_tokens=3000)
    build(which, tmp_path / "whole", workers=1, progress=False)
    expected = files(tmp_path / "whole")
    replaced, written = os.replace, 0

    def replace_or_die(source: Any, target: Any) -> None:
        nonlocal written
        written += 1
        if written == last:
            raise Killed
        replaced(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    killed, last, out = 0, 1, tmp_path / "killed"
    while True:  # in one folder, killed a little later each time
        written = 0
        try:
            build(which, out, workers=1, progress=False)
            break
        except Killed:
            killed += 1
            last += 1
    assert killed > 8 and files(out) == expected


def test_killed_afresh_at_every_stage(folder: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    build(settings(folder), tmp_path / "whole", workers=1, progress=False)
    expected = files(tmp_path / "whole")
    stages = ["clean_all", "deduplicate_all", "select_all", "make_tokenizer", "encode_all",
              "write_shards", "summarize", "publish"]
    for stage in stages:
        out = tmp_path / stage
        with monkeypatch.context() as patch:
            def die(*_: object, **__: object) -> None:
                raise Killed
            patch.setattr(f"tinygrad_llm.data.build.run.{stage}", die)
            with pytest.raises(Killed):
                build(settings(folder), out, workers=1, progress=False)
        assert not (out / "report.json").exists()
        build(settings(folder), out, workers=1, progress=False)
        assert files(out) == expected, stage


def test_finished_work_is_not_done_again(folder: Path, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "built"
    build(settings(folder), out, workers=1, progress=False, keep_work=True)
    expected = files(out)
    cleaned: list[object] = []
    monkeypatch.setattr("tinygrad_llm.data.build.run.clean_bundle", cleaned.append)
    build(settings(folder), out, workers=1, progress=False, keep_work=True)  # nothing at all
    changed = settings(folder, vocab_size=310)
    build(changed, out, workers=1, progress=False, keep_work=True, overwrite=True)
    assert cleaned == [] and files(out) != expected
    assert Tokenizer.load(out / "tokenizer.json").vocab_size == 310
    monkeypatch.undo()
    build(changed, tmp_path / "fresh", workers=1, progress=False, keep_work=True)
    assert files(out) == files(tmp_path / "fresh"), "stale work is left, or was used"


@pytest.mark.parametrize("change", [
    {"rules": "light"}, {"keep_pii": True}, {"near_duplicates": None}, {"near_duplicates": 1.0},
    {"validation_share": 0.5}, {"seed": 7}, {"vocab_size": 290}, {"shard_tokens": 1000},
    {"pattern": "o200k"}])
def test_a_changed_setting_makes_stale_work_be_redone(
        folder: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    out, changed = tmp_path / "built", settings(folder, **change)
    build(settings(folder), out, workers=1, progress=False, keep_work=True)
    build(changed, out, workers=1, progress=False, overwrite=True)
    build(changed, tmp_path / "fresh", workers=1, progress=False)
    assert files(out) == files(tmp_path / "fresh")


def test_another_build_or_other_files_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "built"
    build(settings(folder), out, workers=1, progress=False)
    expected = files(out)
    with pytest.raises(UserError, match=r"seed 0 instead of 5; give --overwrite"):
        build(settings(folder, seed=5), out, workers=1, progress=False)
    assert files(out) == expected
    with pytest.raises(UserError, match="no build has left"):
        build(settings(folder), folder, workers=1, progress=False)
    with pytest.raises(UserError, match="is a file"):
        build(settings(folder), folder / "notes.md", workers=1, progress=False)
    (out / "report.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="no build has left"):
        build(settings(folder), out, workers=1, progress=False)


def test_an_overwriting_that_is_killed_is_no_finished_build(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, other = tmp_path / "built", settings(folder, seed=5)
    build(settings(folder), out, workers=1, progress=False)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tinygrad_llm.data.build.run.encode_all", die)
        build(other, out, workers=1, progress=False, overwrite=True)
    assert not (out / "report.json").exists()
    build(other, out, workers=1, progress=False)
    build(other, tmp_path / "fresh", workers=1, progress=False)
    assert files(out) == files(tmp_path / "fresh")


def test_the_number_of_processes_changes_nothing(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.data.build.plan.BUNDLE_BYTES", 20_000)
    monkeypatch.setattr(resumable, "WORTH_PROCESSES", 0)
    build(settings(folder), tmp_path / "one", workers=1, progress=False)
    build(settings(folder), tmp_path / "two", workers=2, progress=False)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_bundles_change_nothing(folder: Path, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    build(settings(folder), tmp_path / "one", workers=1, progress=False)
    monkeypatch.setattr("tinygrad_llm.data.build.plan.BUNDLE_BYTES", 1)
    build(settings(folder), tmp_path / "many", workers=1, progress=False)
    assert files(tmp_path / "one") == files(tmp_path / "many")


def test_adding_a_document_moves_no_other(folder: Path, tmp_path: Path) -> None:
    build(settings(folder), tmp_path / "before", workers=1, progress=False)
    for i in range(5):
        (folder / f"a-new-{i}.txt").write_text(prose(9000 + i))
    build(settings(folder), tmp_path / "after", workers=1, progress=False)
    for part in ("train", "val"):
        before, after = (texts(tmp_path / when, part) for when in ("before", "after"))
        assert set(before) <= set(after)
    assert set(texts(tmp_path / "before", "train")).isdisjoint(texts(tmp_path / "before", "val"))


def test_one_document_is_held_out_where_the_share_holds_none(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(prose(i))
    few = settings(folder, validation_share=1e-9)
    report = build(few, tmp_path / "built", workers=1, progress=False)
    assert [report["tokens"][part]["documents"] for part in ("train", "val")] == [2, 1]
    report = build(replace(few, validation_share=0.0), tmp_path / "none", workers=1,
                   progress=False)
    assert report["tokens"]["val"]["documents"] == 0 and not (tmp_path / "none" / "val").exists()


def test_a_single_document_is_cut_by_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" ".join(f"word{i}" for i in range(5_000)))
    alone = settings(tmp_path / "a.txt", vocab_size=257, validation_share=0.01)
    report = build(alone, tmp_path / "built", workers=1, progress=False)
    tokens = report["tokens"]
    assert [tokens[part]["documents"] for part in ("train", "val")] == [1, 1]
    assert tokens["val"]["tokens"] == 2048 + 1  # and the end of the text
    assert "".join(texts(tmp_path / "built", "train") + texts(tmp_path / "built", "val")) == (
        tmp_path / "a.txt").read_text()
    assert faults(tmp_path / "built") == [] and "the end of the only document" in summary(report)
    assert open_prepared(tmp_path / "built").validation is not None
    for share, expected in ((0.5, 0.5), (0.2, 0.2)):
        report = build(replace(alone, validation_share=share), tmp_path / f"{share}", workers=1,
                       progress=False)
        val, train = (report["tokens"][part]["tokens"] - 1 for part in ("val", "train"))
        assert val == int(expected * (val + train))
    report = build(replace(alone, validation_share=0.0), tmp_path / "none", workers=1,
                   progress=False)
    assert report["tokens"]["val"] == {"documents": 0, "tokens": 0}


def test_a_single_document_of_a_few_tokens_is_all_trained_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nine toks")
    report = build(settings(tmp_path / "a.txt", rules="none", validation_share=0.01),
                   tmp_path / "built", workers=1, progress=False)
    assert report["tokens"]["train"] == {"documents": 1, "tokens": 10}
    assert not (tmp_path / "built" / "val").exists() and faults(tmp_path / "built") == []


def test_a_given_tokenizer_is_used(folder: Path, tmp_path: Path) -> None:
    build(settings(folder), tmp_path / "first", workers=1, progress=False)
    given = tmp_path / "mine.json"
    shutil.copy(tmp_path / "first" / "tokenizer.json", given)
    other = corpus(tmp_path / "other", documents=5)
    report = build(settings(other, tokenizer=str(given)), tmp_path / "built", workers=1,
                   progress=False)
    assert (tmp_path / "built" / "tokenizer.json").read_bytes() == given.read_bytes()
    assert report["tokens"]["vocab_size"] == 300


def test_decontaminated_documents_are_left_out(folder: Path, tmp_path: Path) -> None:
    evaluation = tmp_path / "questions.txt"
    evaluation.write_text(prose(5))
    report = build(settings(folder, decontaminate=(str(evaluation),)), tmp_path / "built",
                   workers=1, progress=False)
    assert report["contaminated"]["documents"] == 1
    assert report["contaminated"]["examples"][0]["name"].endswith("plain-005.txt")
    whole = texts(tmp_path / "built", "train") + texts(tmp_path / "built", "val")
    assert not any(prose(5).strip() in text for text in whole)


def test_nothing_left_is_reported_with_the_reasons(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n\n ")
    with pytest.raises(UserError, match="no document is left after cleaning"):
        build(settings(empty), tmp_path / "built", workers=1, progress=False)
    with pytest.raises(UserError, match="absent"):
        build(settings(tmp_path / "absent"), tmp_path / "built", workers=1, progress=False)
    (tmp_path / "a.txt").write_text(prose(1))
    evaluation = str(tmp_path / "a.txt")
    with pytest.raises(UserError, match="no document is left to train on"):
        build(settings(tmp_path / "a.txt", decontaminate=(evaluation,)), tmp_path / "built2",
              workers=1, progress=False)


def test_a_script_without_a_main_guard_is_not_run_by_the_workers(folder: Path,
                                                                 tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"""
print("running")
from tinygrad_llm.data.build import plan, resumable, run
resumable.WORTH_PROCESSES, plan.BUNDLE_BYTES = 0, 20_000
run.build(plan.BuildSettings(({str(folder)!r},), vocab_size=300, near_duplicates=None),
          "built", workers=2, progress=False)
print(__file__[-9:], __spec__)
""")
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, text=True, timeout=60,
                           capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert found.stdout.split() == ["running", "script.py", "None"] and not found.stderr
    assert found.returncode == 0 and (tmp_path / "built" / "report.json").exists()


def test_what_is_built_within_a_source_is_not_read(folder: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "built"

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tinygrad_llm.data.build.run.encode_all", die)
        build(settings(folder), out, workers=1, progress=False)
    build(settings(folder), out, workers=1, progress=False)  # beside its own work/*.jsonl
    whole = build(settings(folder), out, workers=1, progress=False)  # beside its report.html
    shutil.move(out, tmp_path / "moved")
    assert build(settings(folder), tmp_path / "apart", workers=1, progress=False) == whole
    assert files(tmp_path / "apart") == files(tmp_path / "moved")
