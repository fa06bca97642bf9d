"""From raw files to batches: clean, drop what repeats, train a tokenizer, write shards, draw.

What `tinygrad-llm data build` does, on a folder of three kinds of files, made here.
"""

import json
import tempfile
from pathlib import Path

from tinygrad_llm.data import read_corpus
from tinygrad_llm.data.batches.epochs import EpochBatches
from tinygrad_llm.data.build.plan import BuildSettings
from tinygrad_llm.data.build.run import build
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.text import load_tokenizer

PAGE = """<html><head><title>Speech</title><style>p {{ color: red }}</style></head><body>
<nav><a href="/">Home</a> <a href="/plays">Plays</a></nav><article><h1>A speech</h1><p>{}</p>
</article><script>track()</script></body></html>"""


def write_raw_files(folder):
    """Write pages, JSON lines with two duplicates and a mail address, and texts."""
    plays = read_corpus("shakespeare")
    parts = [plays[i : i + 1500] for i in range(0, 150_000, 1500)]
    (folder / "pages").mkdir()
    for i, part in enumerate(parts[:40]):
        (folder / "pages" / f"{i:02}.html").write_text(PAGE.format(part.replace("\n", "<br>")))
    lines = [*parts[40:80], parts[41], parts[42].replace("the ", "teh ", 1)]
    lines[0] += "\nWrite to william@globe-theatre.org, and ask for a seat."
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    (folder / "rest.txt").write_text("\n".join(parts[80:]))
    (folder / "empty.txt").write_text(" \n")


def main():
    with tempfile.TemporaryDirectory() as name:
        raw, built = Path(name, "raw"), Path(name, "built")
        raw.mkdir()
        write_raw_files(raw)
        settings = BuildSettings(sources=(str(raw),), vocab_size=1024, validation_share=0.1)
        report = build(settings, built, workers=1, progress=False)

        for row in report["funnel"]:
            print(f"{row['stage']:15} {row['documents']:4} documents {row['bytes']:9,} bytes")
        for code, dropped in report["dropped"].items():
            print(f"dropped: {dropped['documents']} by {code}: {dropped['why']}")
        repeats = {kind: report["duplicates"][kind]["documents"] for kind in ("exact", "near")}
        print(f"duplicates: {repeats}; masked: {report['personal']}")

        tokens, tokenizer = open_shards(built / "train"), load_tokenizer(built)
        assert tokens.check(progress=False) == []  # every checksum
        print(f"\n{len(tokens):,} tokens of {tokenizer.vocab_size:,} kinds to train on, "
              f"{report['tokens']['bytes_per_token']:.2f} bytes each")

        # Every window comes once an epoch, in an order that follows from (seed, step) alone.
        batches = EpochBatches(tokens, batch=8, context=256, seed=1)
        for step in range(100):
            x, y = batches.at(step)
            documents = batches.boundaries(step)  # (B, T): attention may stay where these are equal
            if documents.max() > 0:
                break
        row = int(documents.max(axis=1).argmax())
        begin = int((documents[row] > 0).argmax())  # where the second document of the window begins
        around = x[row, max(0, begin - 12) : begin + 12].tolist()
        print(f"step {step}: x and y {x.shape}; in row {row} a document begins at {begin}:")
        print(repr(tokenizer.decode(around)))
        assert (x[:, 1:] == y[:, :-1]).all()
        end = tokenizer.special_tokens["<|endoftext|>"]
        assert end in around
        print("every document is followed by <|endoftext|>, and the batch knows where each begins")


if __name__ == "__main__":
    main()
