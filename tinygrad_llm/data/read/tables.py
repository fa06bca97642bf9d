"""Rows of tables as documents: .csv, .tsv and .parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from typing import Any, BinaryIO

from ...host.errors import UserError
from .documents import Document
from .text_pieces import (
    CHUNK,
    LINE_LIMIT,
    TEXT_KEYS,
    Losses,
    ReadJob,
    Refused,
    decoded,
    read_whole,
)

SAMPLED = 100  # rows that decide which column holds the text


def read_table(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield the text of each row of a .csv or .tsv, named after the row, the header being row 0.

    The column is `text_key`, else one of TEXT_KEYS, else that with most text in the first rows.
    """
    csv.field_size_limit(LINE_LIMIT)
    lines = _lines(decoded(stream, name, job.errors))
    header_line = next(lines, "")
    mark = "\t" if ".tsv" in name.lower() else max(",;\t|", key=header_line.count)
    rows = _rows(csv.reader(chain((header_line,), lines), delimiter=mark), name, job.errors)
    _, header = next(rows, (0, []))
    sample = list(islice(rows, SAMPLED))
    column = _column(header, [row for _, row in sample], job.text_key)
    if column is None:
        raise Refused("no-text" if header else "empty")
    for number, row in chain(sample, rows):
        if len(row) != len(header):
            job.errors.count("broken-row", f"{name}#{number}")
        else:
            yield from job.documents([row[column]], f"{name}#{number}")


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text given in pieces. Raises Refused for one longer than LINE_LIMIT."""
    rest = ""
    for piece in pieces:
        for start in range(0, len(piece), CHUNK):
            *whole, rest = (rest + piece[start : start + CHUNK]).split("\n")
            yield from (line + "\n" for line in whole)
            if len(rest) > LINE_LIMIT:
                raise Refused("too-large")
    if rest:
        yield rest


def _rows(rows: Iterator[list[str]], name: str, errors: Losses
          ) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, row) for rows that are not blank, and count those that csv cannot read."""
    for number in count():
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            errors.count("broken-row", f"{name}#{number}")
            continue
        if row:
            yield number, row


def _column(header: list[str], rows: list[list[str]], text_key: str | None) -> int | None:
    """Return the index of the column that holds the text, or None where there is none."""
    names = [cell.strip().lower() for cell in header]
    for key in (text_key.lower(),) if text_key else TEXT_KEYS:
        if key in names:
            return names.index(key)
    if text_key:
        return None
    lengths = [sum(len(row[i]) for row in rows if i < len(row)) for i in range(len(header))]
    return lengths.index(max(lengths)) if any(lengths) else None


def read_parquet(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield the text of each row of a Parquet file's row groups [start, end), by batches."""
    table = open_parquet(stream)
    groups = range(table.num_row_groups)[job.start : None if job.end < 0 else job.end]
    column = _parquet_column(table, list(groups), job.text_key)
    if column is None:
        raise Refused("no-text" if table.metadata.num_rows else "empty")
    number = sum(table.metadata.row_group(i).num_rows for i in range(job.start))
    batches = table.iter_batches(SAMPLED, list(groups), [column], use_threads=False)
    for text in chain.from_iterable(_strings(batch.column(0)) for batch in batches):
        yield from job.documents([text or ""], f"{name}#{number}")
        number += 1


def open_parquet(stream: BinaryIO | io.BufferedReader) -> Any:
    """Return a ParquetFile. Raises Refused where it is none, UserError without pyarrow."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            'reading Parquet needs pyarrow: pip install "tinygrad_llm[data]"'
        ) from None
    if not stream.seekable():
        stream = io.BufferedReader(io.BytesIO(read_whole(stream, LINE_LIMIT)))
    return ParquetFile(stream)


def _parquet_column(table: Any, groups: list[int], text_key: str | None) -> str | None:
    from pyarrow import types

    def is_text(kind: Any) -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return bool(types.is_string(kind) or types.is_large_string(kind))

    names = [field.name for field in table.schema_arrow if is_text(field.type)]
    if not names or not groups:
        return None
    sample = next(table.iter_batches(SAMPLED, groups[:1], names, use_threads=False), None)
    columns = [_strings(column) for column in sample.columns] if sample else []
    rows = [[cell or "" for cell in row] for row in zip(*columns, strict=True)]
    place = _column(names, rows, text_key)
    return None if place is None else names[place]


def _strings(column: Any) -> list[str | None]:
    """Return a column's strings; a writer may have put bytes there that are not UTF-8."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        raws = column.cast("binary").to_pylist()
        return [raw if raw is None else raw.decode("utf-8", "replace") for raw in raws]
