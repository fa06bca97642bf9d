"""Rows of tables as documents: .csv, .tsv and .parquet."""

import csv
from pathlib import Path

import pytest
from gathering import gather, texts, write_parquet

from tinygrad_llm.data.read import tables
from tinygrad_llm.data.read.gather import find_units

pytest.importorskip("pyarrow")


def write_csv(path: Path, rows: list[list[str]], **how: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, **how).writerows(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix, mark", [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_tables(tmp_path: Path, suffix: str, mark: str) -> None:
    path = tmp_path / f"a.{suffix}"
    rows = [["id", "Text"], ["1", f'a{mark}"b"\nc'], ["2", "x" * 200_000], ["3", ""], ["4", "d"]]
    write_csv(path, rows, delimiter=mark)
    documents, errors = gather(path)
    assert [d.text for d in documents] == [f'a{mark}"b"\nc', "x" * 200_000, "d"]
    assert [d.name for d in documents] == [f"{path}#{i}" for i in (1, 2, 4)]
    assert errors == {"empty": 1}


def test_the_column_with_most_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["id", "what", "kind"], *(["1", "long words", "x"],) * 200])
    assert texts(tmp_path) == ["long words"] * 200


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2\n3,b,c\n4,d\n")
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["a", "d"] and errors == {"broken-row": 2}


def test_an_unclosed_quote_does_not_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LINE_LIMIT", 1000)
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,\"b\n" + "3,c\n" * 1000)
    documents, errors = gather(tmp_path)
    assert documents[0].text == "a" and errors["broken-row"] > 0
    (tmp_path / "a.csv").write_text("id,text\n1," + "x" * 10_000)
    assert gather(tmp_path) == ([], {"too-large": 1})


def test_parquet_by_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    expected = [f"text {i}" for i in range(35)]
    write_parquet(path, {"id": list(range(35)), "url": ["http"] * 35, "text": [*expected]})
    parts = find_units([str(path)], unit_bytes=100)
    assert [(unit.start, unit.end) for unit in parts] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    documents, errors = gather(path, unit_bytes=100)
    assert [d.text for d in documents] == expected and not errors
    assert [d.name for d in documents] == [f"{path}#{i}" for i in range(35)]
    assert gather(path)[0] == documents


def test_parquet_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"a": ["x", "y"], "b": ["long text", None]})
    assert gather(tmp_path)[0][0].text == "long text"
    assert gather(tmp_path)[1] == {"empty": 1}
    assert [d.text for d in gather(tmp_path, text_key="a")[0]] == ["x", "y"]
    write_parquet(tmp_path / "a.parquet", {"a": [1, 2]})
    assert gather(tmp_path) == ([], {"no-text": 1})


def test_the_mark_is_the_one_that_the_header_has_most_of(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id|text, long|x\n1|a, b|y\n")
    (tmp_path / "b.csv").write_text("id;text;more\n1;a,b,c,d;x\n")
    assert texts(tmp_path / "a.csv", text_key="text, long") == ["a, b"]
    assert texts(tmp_path / "b.csv") == ["a,b,c,d"]


@pytest.mark.parametrize("content, reason", [("id,text\n", "no-text"), ("\n\n", "empty"),
                                             ("id,text\n1,\n", "no-text")])
def test_a_table_without_text_is_counted(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    documents, errors = gather(tmp_path, text_key="story" if reason == "no-text" else None)
    assert documents == [] and errors == {reason: 1}


def test_text_of_parquet_that_is_no_utf8_is_replaced(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    raw = pyarrow.array([b"a\xffb", None], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 2, raw.buffers())
    write_parquet(tmp_path / "a.parquet", {"text": text})
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["a\ufffdb"] and errors == {"empty": 1}
