"""Repeated documents of a build: bundles seen as one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mixed_corpus import prose

from tinygrad_llm.data.build import repeats
from tinygrad_llm.data.build.repeats import find_repeats, rows_of
from tinygrad_llm.data.build.tasks import (
    EXACT,
    NEAR,
    STAYS,
    Cleaning,
    CleanTask,
    clean_bundle,
    file_state,
)
from tinygrad_llm.data.read.gather import Unit

LONG = prose(1, 600)
BUNDLES = [[prose(0), LONG], [prose(0) + "\n", prose(2), LONG + "and more"], [prose(2), prose(3)]]


def cleaned(folder: Path, texts: list[str], number: int, signatures: bool = True) -> CleanTask:
    source = folder / f"{number}.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    unit = Unit("s", str(source), "jsonl")
    task = CleanTask(folder / f"clean-{number}.json", 1, (unit,),
                     Cleaning("none", (), True, None, signatures), (file_state(str(source)),))
    clean_bundle(task)
    return task


@pytest.mark.parametrize("block", [1, 4096])
def test_repeats_are_found_across_bundles(
        tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "BLOCK", block)
    tasks = [cleaned(tmp_path, texts, i) for i, texts in enumerate(BUNDLES)]
    find_repeats(tmp_path / "repeats.npy", tasks, 0.8)
    found = np.load(tmp_path / "repeats.npy")
    assert found["earlier"].tolist() == [-1, -1, 0, -1, 1, 3, -1]
    assert found["kind"].tolist() == [STAYS, STAYS, EXACT, STAYS, NEAR, EXACT, STAYS]
    assert not (tmp_path / "repeats.signatures").exists()


def test_without_a_threshold_only_exact_repeats_are_found(tmp_path: Path) -> None:
    tasks = [cleaned(tmp_path, texts, i, signatures=False) for i, texts in enumerate(BUNDLES)]
    find_repeats(tmp_path / "repeats.npy", tasks, None)
    found = np.load(tmp_path / "repeats.npy")
    assert found["kind"].tolist() == [STAYS, STAYS, EXACT, STAYS, STAYS, EXACT, STAYS]


def test_a_bundle_without_documents_has_no_rows(tmp_path: Path) -> None:
    tasks = [cleaned(tmp_path, [], 0), cleaned(tmp_path, [prose(5)], 1)]
    assert [len(rows_of(task)) for task in tasks] == [0, 1]
    find_repeats(tmp_path / "repeats.npy", tasks, 0.8)
    assert np.load(tmp_path / "repeats.npy")["earlier"].tolist() == [-1]


def test_signatures_do_not_stay_where_comparing_fails(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(repeats, "find_duplicates", fail)
    with pytest.raises(MemoryError):
        find_repeats(tmp_path / "repeats.npy", [cleaned(tmp_path, [prose(1)], 0)], 0.8)
    assert not list(tmp_path.glob("repeats*"))
