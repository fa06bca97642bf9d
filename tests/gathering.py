"""Shared by tests of reading: all documents of some sources, and what could not be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from tinygrad_llm.data.read.documents import Document
from tinygrad_llm.data.read.gather import find_units, read_unit
from tinygrad_llm.data.read.text_pieces import Losses


def gather(*sources: str | Path, text_key: str | None = None, **how: Any
           ) -> tuple[list[Document], Losses]:
    errors = Losses()
    found = find_units([str(source) for source in sources], errors, **how)
    documents = [d for unit in found for d in read_unit(unit, errors, text_key)]
    return documents, errors


def texts(*sources: str | Path, **how: Any) -> list[str]:
    """Return the texts alone, where all could be read."""
    documents, errors = gather(*sources, **how)
    assert not errors, errors
    return [document.text for document in documents]


def write_parquet(path: Path | io.BytesIO, columns: dict[str, list[object]]) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=10)
