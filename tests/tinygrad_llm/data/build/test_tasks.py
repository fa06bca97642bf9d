"""The work on one bundle of a build: cleaning, selecting, encoding."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixed_corpus import files, prose, settings, texts

from tinygrad_llm.data.build.plan import make_plan
from tinygrad_llm.data.build.run import build
from tinygrad_llm.data.build.tasks import (
    CONTAMINATED,
    EXACT,
    EXAMPLES,
    TRAIN,
    VALIDATION,
    Cleaning,
    CleanTask,
    EncodeTask,
    SelectTask,
    clean_bundle,
    draw_lots,
    encode_bundle,
    file_state,
    load_ids,
    load_rows,
    read_cleaned,
    select_from_bundle,
    write_array,
)
from tinygrad_llm.data.read.gather import Unit
from tinygrad_llm.data.select.dedupe import signature, text_digest
from tinygrad_llm.data.select.word_runs import normalized_words
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.special import END_OF_TEXT
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.text.training.bpe import train_bpe


def test_lots_are_even_and_depend_on_the_seed() -> None:
    digests = np.random.Generator(np.random.Philox(3)).integers(0, 256, (4000, 16), np.uint8)
    lots = draw_lots(digests, 0)
    assert ((lots >= 0) & (lots < 1)).all()
    shares = np.histogram(lots, 10, (0, 1))[0] / len(lots)
    assert np.abs(shares - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / len(lots))  # 5 deviations
    assert (lots != draw_lots(digests, 1)).all()
    assert (lots[::-1] == draw_lots(digests[::-1], 0)).all()


@pytest.mark.parametrize("vanishes", [False, True])
def test_a_file_that_changes_while_it_is_read_is_reported(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vanishes: bool) -> None:
    file, original = folder / "plain-005.txt", prose(5)

    def plan_then_change(*arguments: Any) -> Any:
        planned = make_plan(*arguments)
        file.unlink() if vanishes else file.write_text(prose(77))
        return planned

    with monkeypatch.context() as patch:
        patch.setattr("tinygrad_llm.data.build.run.make_plan", plan_then_change)
        with pytest.raises(UserError, match="plain-005.txt has changed since the build began"):
            build(settings(folder), tmp_path / "built", workers=1, progress=False)
    file.write_text(original)
    build(settings(folder), tmp_path / "built", workers=1, progress=False)
    build(settings(folder), tmp_path / "fresh", workers=1, progress=False)
    assert files(tmp_path / "built") == files(tmp_path / "fresh")


def test_builds_of_one_process_share_nothing_that_has_changed(folder: Path, tmp_path: Path) -> None:
    """In one folder for work, a second tokenizer and other evaluation text go by the same names."""
    evaluation, given, out = tmp_path / "questions.txt", tmp_path / "given.json", tmp_path / "built"
    for number, size in ((5, 300), (6, 290)):
        evaluation.write_text(prose(number))
        build(settings(folder, vocab_size=size), tmp_path / str(size), workers=1, progress=False)
        shutil.copy(tmp_path / str(size) / "tokenizer.json", given)
        which = settings(folder, tokenizer=str(given), decontaminate=(str(evaluation),))
        report = build(which, out, workers=1, progress=False, overwrite=True, keep_work=True)
        (example,) = report["contaminated"]["examples"]
        assert Path(example["name"]).name == f"plain-{number:03}.txt"
        assert any(prose(7).strip() in text for part in ("train", "val")
                   for text in texts(out, part))


def test_the_language_is_identified_only_where_it_is_needed(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def language(text: str) -> tuple[str, float]:
        asked.append(text)
        return "en", 1.0

    monkeypatch.setattr("tinygrad_llm.data.build.tasks.identify_language", language)
    (folder / "short.txt").write_text("So short.")
    for rules, least in (("light", 0), ("gopher", 1)):
        asked.clear()
        report = build(settings(folder, rules=rules), tmp_path / rules, workers=1, progress=False)
        assert ("So short." in asked) == bool(least)
        assert len(asked) == len(set(asked)) + 1  # two texts are alike
        kept = next(row for row in report["funnel"] if row["stage"] == "cleaned")
        assert report["languages"] == {"en": kept["documents"]}


def bundle(folder: Path, texts: list[str], **how: Any) -> CleanTask:
    """Return the task of cleaning a file of JSON lines."""
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    cleaning = replace(Cleaning("none", (), keep_pii=False, text_key=None, signatures=True), **how)
    return CleanTask(folder / "cleaned.json", 1, (Unit("name", str(source), "jsonl"),), cleaning,
                     (file_state(str(source)),))


def test_cleaning_writes_documents_records_and_counts(tmp_path: Path) -> None:
    task = bundle(tmp_path, ["one\r\ntwo  ", " \n", "Ask ann@example.org.", "cafÃ©"])
    clean_bundle(task)
    documents = list(read_cleaned(task.out))
    assert [document["text"] for document in documents] == ["one\ntwo", "Ask <EMAIL>.", "café"]
    assert all(document["source"] == 0 for document in documents)
    rows = load_rows(task.out, signatures=True)
    assert rows["bytes"].tolist() == [7, 12, 5]
    for row, document in zip(rows, documents, strict=True):
        assert row["digest"].tobytes() == text_digest(document["text"])
        assert np.array_equal(row["signature"], signature(document["text"]))
    tally = json.loads(task.out.read_text())
    assert tally["sources"] == ["name"] and tally["personal"] == {"email": 1}
    assert tally["read"] == {"name": [3, 10 + 20 + 7]} and tally["unreadable"] == {"empty": 1}


def test_what_a_rule_drops_is_counted_with_masked_examples(tmp_path: Path) -> None:
    texts = [f"{i} ann@example.org" for i in range(EXAMPLES + 2)] + [prose(1)]
    task = bundle(tmp_path, texts, rules="light")
    clean_bundle(task)
    (dropped,) = json.loads(task.out.read_text())["dropped"].items()
    code, entry = dropped
    assert code == "light-short" and entry["documents"] == EXAMPLES + 2
    assert [example["text"] for example in entry["examples"]] == [
        f"{i} <EMAIL>" for i in range(EXAMPLES)]
    assert [document["text"] for document in read_cleaned(task.out)] == [prose(1).strip()]


def test_languages_that_are_not_asked_for_are_dropped(tmp_path: Path) -> None:
    german = "Das Wetter war so kalt, dass der Fluss in einer Nacht zufror."
    task = bundle(tmp_path, [german, prose(1), "?!"], languages=("de",))
    clean_bundle(task)
    tally = json.loads(task.out.read_text())
    assert [document["text"] for document in read_cleaned(task.out)] == [german]
    assert tally["languages"] == {"de": 1} and tally["dropped"]["language"]["documents"] == 2


def test_an_empty_bundle_has_empty_files(tmp_path: Path) -> None:
    task = bundle(tmp_path, [], signatures=False)
    clean_bundle(task)
    assert list(read_cleaned(task.out)) == [] and len(load_rows(task.out, False)) == 0


def test_every_document_has_one_fate(tmp_path: Path) -> None:
    texts = [prose(i) for i in range(40)]
    task = bundle(tmp_path, texts, signatures=False)
    clean_bundle(task)
    kinds = np.zeros(50, [("earlier", "<i8"), ("kind", "u1")])
    kinds["kind"][10 + 3] = EXACT
    write_array(tmp_path / "repeats.npy", kinds)
    (tmp_path / "questions.txt").write_text(prose(3) + prose(5))
    selecting = SelectTask(tmp_path / "fates.npy", 1, task.out, False, tmp_path / "repeats.npy", 10,
                           (str(tmp_path / "questions.txt"),), "key", 0.25, 7)
    select_from_bundle(selecting)
    fates = np.load(selecting.out)
    assert fates[3] == EXACT, "a repeat is that first, whatever it holds"
    assert fates[5] == CONTAMINATED
    lots = draw_lots(load_rows(task.out, False)["digest"], 7)
    expected = np.where(lots < 0.25, VALIDATION, TRAIN)
    rest = np.isin(np.arange(40), [3, 5], invert=True)
    assert np.array_equal(fates[rest], expected[rest]) and len(set(expected[rest])) == 2
    (example,) = json.loads(selecting.out.with_suffix(".json").read_text())
    assert example["name"].startswith(f"{tmp_path}/source.jsonl#")
    assert example["text"] == " ".join(normalized_words(prose(5))[i].decode() for i in range(13))


def test_only_documents_that_stay_are_encoded(tmp_path: Path) -> None:
    task = bundle(tmp_path, ["ab<|endoftext|>", "c", "de"], signatures=False)
    clean_bundle(task)
    write_array(tmp_path / "fates.npy", np.array([VALIDATION, EXACT, TRAIN], np.uint8))
    train_bpe(["x"], 257, special_tokens=[END_OF_TEXT], progress=False).save(tmp_path / "t.json")
    encoding = EncodeTask(tmp_path / "ids.npy", 1, task.out, tmp_path / "fates.npy",
                          tmp_path / "t.json", "digest")
    encode_bundle(encoding)
    tokenizer = Tokenizer.load(tmp_path / "t.json")
    texts = [tokenizer.encode("ab<|endoftext|>", special="text"), tokenizer.encode("de")]
    assert load_ids(encoding.out).tolist() == [*texts[0], *texts[1]] and 256 not in texts[0]
    assert np.load(encoding.out).tolist() == [15, 2]


def test_the_state_of_a_file_changes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert file_state(str(path)) is None
    path.write_text("one")
    before = file_state(str(path))
    assert before == file_state(str(path)) and before is not None and before[0] == 3
    path.write_text("more")
    assert file_state(str(path)) != before
