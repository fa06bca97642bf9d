"""Shared by tests of a build: files of every kind, with repeats and rubbish among them."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinygrad_llm.data.build.plan import BuildSettings
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.text.tokenizer import Tokenizer

WORDS = [
    "the", "of", "and", "a", "to", "in", "is", "it", "that", "was", "for", "on", "are", "as",
    "with", "his", "they", "at", "be", "this", "from", "have", "or", "by", "one", "had", "not",
    "but", "what", "all", "were", "when", "we", "there", "can", "an", "your", "which", "their",
    "said", "if", "do", "will", "each", "about", "how", "up", "out", "them", "then", "she",
    "many", "some", "so", "these", "would", "other", "into", "has", "more", "her", "two",
    "like", "him", "see", "time", "could", "no", "make", "than", "first", "been", "its", "who",
    "now", "people", "my", "made", "over", "did", "down", "only", "way", "find", "use", "may",
    "water", "long", "little", "very", "after", "word", "called", "just", "where", "most",
    "know"]

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & \u202e </pre></style>'


def prose(seed: int, words: int = 120) -> str:
    """Return lines of English words that no other seed gives."""
    rng = random.Random(seed)
    lines = [" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(words // 12)]
    return "\n".join(lines) + "\n"


def corpus(folder: Path, documents: int = 24) -> Path:
    """Write files of every kind, with repeats, near repeats, addresses, and rubbish among them."""
    folder.mkdir()
    for i in range(documents):
        (folder / f"plain-{i:03}.txt").write_text(prose(i))
    (folder / "notes.md").write_text("# Notes\n\n" + prose(1000))
    (folder / "page.html").write_text(
        "<html><head><script>var hidden = 1;</script></head><body><article><p>"
        + prose(1001).replace("\n", "</p><p>") + "</p></article></body></html>")
    rows = [json.dumps({"text": prose(2000 + i)}) for i in range(4)]
    (folder / "rows.jsonl").write_text("\n".join([*rows[:2], '{"text": "cut', *rows[2:]]) + "\n")
    (folder / "table.csv").write_text(f'id,text\n1,"{prose(3000)}"\n2,"{prose(3001)}"\n')
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("inner/one.txt", prose(4000))
        archive.writestr("inner/two.txt", prose(4001))
    (folder / "packed.txt.gz").write_bytes(gzip.compress(prose(5000).encode(), mtime=0))
    (folder / "picture.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "same.txt").write_text(prose(0))
    (folder / "zz-almost.txt").write_text(prose(1, 600) + "Here is another end.\n")
    (folder / "zz-almost-too.txt").write_text(prose(1, 600) + "And this ends otherwise.\n")
    (folder / "zz-person.txt").write_text(prose(6000) + "Write to jane.doe@example.com now.\n")
    return folder


def settings(folder: Path, **changes: Any) -> BuildSettings:
    return replace(BuildSettings((str(folder),), vocab_size=300, rules="none",
                                 validation_share=0.2), **changes)


def files(out: Path) -> dict[str, bytes]:
    """Return the content of all files of a built folder."""
    return {str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*")) if path.is_file()}


def texts(out: Path, part: str) -> list[str]:
    """Return the documents of a part, decoded."""
    tokens, tokenizer = open_shards(out / part), Tokenizer.load(out / "tokenizer.json")
    return [tokenizer.decode(tokens.document(i)[:-1]) for i in range(tokens.documents)]
