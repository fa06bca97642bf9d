import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.select import decontaminate
from tinygrad_llm.data.select.decontaminate import Decontaminator
from tinygrad_llm.data.select.word_runs import normalized_words
from tinygrad_llm.host.errors import UserError

LETTERS = [f"word{i}" for i in range(200)]


def text(*numbers: int) -> str:
    return " ".join(LETTERS[i] for i in numbers)


EVALUATION = text(*range(20))


@pytest.mark.parametrize("first", range(8))
def test_thirteen_words_are_found(first: int) -> None:
    found = Decontaminator(texts=[EVALUATION]).overlap(
        f"before all, {text(*range(first, first + 13)).upper()}! and after")
    assert found == text(*range(first, first + 13))


def test_twelve_words_are_not() -> None:
    evaluation = Decontaminator(texts=[EVALUATION, text(*range(100, 120))])
    for first in range(9):
        assert evaluation.overlap(f"before {text(*range(first, first + 12))} after") is None
    both = text(*range(8, 20), *range(100, 112))  # runs do not go from document to document
    assert evaluation.overlap(both) is None and evaluation.overlap("") is None


@pytest.mark.parametrize("length", [8, 12])
def test_a_short_document_must_occur_whole(length: int) -> None:
    evaluation = Decontaminator(texts=[text(*range(length)), "too short a line to tell"])
    assert (evaluation.documents, evaluation.ignored, len(evaluation)) == (2, 1, 1)
    assert evaluation.overlap("too short a line to tell") is None
    assert evaluation.overlap(text(150, *range(length), 151)) == text(*range(length))
    assert evaluation.overlap(text(150, *range(length - 1), 151)) is None


def test_a_short_documents_words_within_a_longer_one_are_no_hit() -> None:
    """The 8 first words of a long evaluation document are not what is looked for."""
    evaluation = Decontaminator(texts=[EVALUATION, text(*range(50, 58))])
    assert evaluation.overlap(text(*range(8), 99)) is None
    assert evaluation.overlap(text(*range(50, 58), 99)) == text(*range(50, 58))


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=25), min_size=1, max_size=4),
       st.lists(st.integers(0, 2), max_size=60))
def test_overlap_is_the_plain_definition(documents: list[list[int]], numbers: list[int]) -> None:
    rows = [[LETTERS[i] for i in document] for document in documents]
    row = [LETTERS[i] for i in numbers]
    runs = {tuple(one[i:i + 13]) for one in rows for i in range(len(one) - 12)}
    runs |= {tuple(one) for one in rows if 8 <= len(one) < 13}
    if not runs:
        with pytest.raises(UserError, match="none of the"):
            Decontaminator(texts=map(" ".join, rows))
        return
    evaluation = Decontaminator(texts=map(" ".join, rows))
    assert len(evaluation) == len(runs)
    hits = [run for length in range(8, 14) for i in range(len(row) - length + 1)
            if (run := tuple(row[i:i + length])) in runs]
    assert evaluation.overlap(" ".join(row)) == (" ".join(hits[0]) if hits else None)


def test_a_number_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """With numbers that all collide, only what is in the evaluation set is reported."""
    monkeypatch.setattr(decontaminate, "run_hashes",
                        lambda hashes, n: np.zeros(max(len(hashes) - n + 1, 0), np.uint64))
    evaluation = Decontaminator(texts=[EVALUATION])
    assert evaluation.overlap(text(*range(30, 60))) is None
    assert evaluation.overlap(text(*range(30, 60), *range(13))) == text(*range(13))
    # A run may not begin or end within a word of the evaluation set.
    assert evaluation.overlap(f"0 {text(*range(1, 12))} word") is None


    # Nor are the first words of a long document a short document.
    evaluation = Decontaminator(texts=[EVALUATION, text(*range(50, 58))])
    assert evaluation.overlap(text(*range(8))) is None


@given(st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 20), min_size=1, max_size=40),
       st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 30), max_size=40))
def test_numbers_are_found_where_they_are(there: set[int], asked: list[int]) -> None:
    asked += sorted(there)[::3]
    numbers = decontaminate._NumberSet(np.array(sorted(there), np.uint64))
    places = numbers.where(np.array(asked, np.uint64))
    assert places.tolist() == [i for i, number in enumerate(asked) if number in there]


def test_it_can_be_sent_to_processes() -> None:
    sent = pickle.loads(pickle.dumps(Decontaminator(texts=[EVALUATION])))
    assert sent.overlap(EVALUATION) == text(*range(13))


def test_documents_of_other_scripts() -> None:
    chinese = "我们认为这些真理是不言而喻的人人生而平等"
    assert len(normalized_words(chinese)) == 20
    assert Decontaminator(texts=[chinese]).overlap(f"他说, {chinese[3:17]}。") is not None


def test_evaluation_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(EVALUATION)
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": text(*range(60, 80))}))
    evaluation = Decontaminator([tmp_path / "a.txt", tmp_path / "b.jsonl"])
    assert evaluation.documents == 2 and len(evaluation) == 16
    assert evaluation.overlap(text(*range(61, 75))) == text(*range(61, 74))


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt"):
        Decontaminator([tmp_path / "absent.txt"])


def test_files_that_cannot_be_read_whole_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": EVALUATION}) + '\n{"text": \n')
    with pytest.raises(UserError, match="cannot be read whole"):
        Decontaminator([tmp_path / "a.jsonl"])
