"""The folder that a build leaves: its report read, its documents shown, its files checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mixed_corpus import prose, settings

from tinygrad_llm.data.build import result
from tinygrad_llm.data.build.result import (
    faults,
    is_built,
    read_finished,
    read_report,
    samples,
    seal,
)
from tinygrad_llm.data.build.run import build
from tinygrad_llm.host.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built folder that no test changes."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "texts").mkdir()
    for i in range(12):
        (folder / "texts" / f"{i:02}.txt").write_text(prose(i, 12 + 240 * (i == 3)))
    build(settings(folder / "texts", near_duplicates=None), folder / "built", workers=1,
          progress=False)
    return folder / "built"


@pytest.fixture
def built(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "built"))


def test_a_seal_is_of_the_content_not_of_its_layout() -> None:
    report = {"b": [1, 2.5], "a": {"x": "é"}}
    assert seal(report) == seal({"a": {"x": "é"}, "b": [1, 2.5], "sha256": "its own"})
    assert seal(report) != seal({**report, "b": [1, 2]}) and len(seal(report)) == 64


def test_the_report_is_read_where_it_is_whole(built: Path) -> None:
    assert is_built(built) and faults(built) == []
    report = read_report(built)
    assert report == json.loads((built / "report.json").read_text()) == read_finished(built)
    (built / "report.json").write_text(json.dumps(report, sort_keys=True))  # laid out otherwise
    assert read_report(built) == report
    report["tokens"]["vocab_size"] += 1
    (built / "report.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"report\.json is not as it was written"):
        read_report(built)
    assert is_built(built), "finished, whatever has happened since"
    assert faults(built) == [f"{built / 'report.json'} is not as it was written; "
                             "build the data again"]


def test_a_folder_of_no_build_has_no_report(tmp_path: Path) -> None:
    assert not is_built(tmp_path) and not is_built(tmp_path / "absent")
    with pytest.raises(UserError, match="is .* a folder that 'tinygrad-llm data build' has fini"):
        read_report(tmp_path)
    for content in ("", "[]", "{}", '{"key": 1}', "[" * 100_000):
        (tmp_path / "report.json").write_text(content)
        assert not is_built(tmp_path)
        with pytest.raises(UserError, match="no build has left"):
            read_finished(tmp_path)


def test_a_folder_that_a_build_may_use(tmp_path: Path) -> None:
    assert read_finished(tmp_path) is None and read_finished(tmp_path / "absent") is None
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="no build has left; give --out another folder"):
        read_finished(tmp_path)
    with pytest.raises(UserError, match="is a file; give --out a folder"):
        read_finished(tmp_path / "notes.txt")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lock").write_text("")
    assert read_finished(tmp_path) is None, "a build has begun there"


def test_samples_are_the_beginnings_of_documents_evenly_apart(
        built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "SAMPLE_TOKENS", 10)
    count = read_report(built)["tokens"]["train"]["documents"]
    titles = [title for title, _ in samples(built)]
    assert [title.split(",")[0] for title in titles] == [
        f"document {i} of {count}" for i in (0, (count - 1) // 2, count - 1)]
    documents = {prose(i, 12 + 240 * (i == 3)).strip() for i in range(12)}
    for _, text in samples(built):
        assert text.endswith("...")
        assert any(document.startswith(text[:-3]) for document in documents)


def test_one_document_is_one_sample(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("so short a text that all of it is shown")
    build(settings(tmp_path / "a.txt", vocab_size=257), tmp_path / "built", workers=1,
          progress=False)
    ((title, text),) = samples(tmp_path / "built")
    assert title.startswith("document 0 of 1, ") and not text.endswith("...")


def change(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_training_can_do_without_the_page_and_long_checks(
        built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (built / "report.html").unlink()
    assert faults(built, thorough=False) == []
    assert "report.html cannot be read" in faults(built)[0]
    change(built / "train" / "shard-00000.bin")
    (fault,) = faults(built, thorough=False)
    assert "shard-00000.bin has another checksum" in fault
    monkeypatch.setattr(result, "QUICK", 0)
    assert faults(built, thorough=False) == [], "more than QUICK bytes: their sizes only"
    assert fault in faults(built), "a thorough check reads them in any case"


@pytest.mark.parametrize("changes, fault", [
    ({"vocab_size": 299}, "tokenizer.json has 300 ids where the report says 299"),
    ({"train": {"documents": 1, "tokens": 2}}, "where the report says 2 of 1"),
    ({"val": {"documents": 0, "tokens": 0}}, "val holds shards that the report does not know")])
def test_shards_are_compared_with_the_report(
        built: Path, changes: dict[str, Any], fault: str) -> None:
    report = read_report(built)
    report["tokens"] |= changes
    report["sha256"] = seal(report)
    (built / "report.json").write_text(json.dumps(report))
    assert any(fault in sentence for sentence in faults(built))


def test_another_tokenizer_is_found(built: Path) -> None:
    report = read_report(built)
    with open(built / "tokenizer.json", "a") as file:
        file.write("\n")
    assert [sentence.split(" ", 1)[1] for sentence in faults(built)] == [
        "has another checksum than the report says: it was changed"]
    report["files"]["tokenizer.json"] = "0" * 64
    report["sha256"] = seal(report)
    (built / "report.json").write_text(json.dumps(report))
    assert f"{built / 'train'} was made with another tokenizer than the report's" in faults(built)
