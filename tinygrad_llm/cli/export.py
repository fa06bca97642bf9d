"""`tinygrad-llm export`: write a run's model as a folder that transformers loads."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..host.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Write the model of a run as a folder of Hugging Face's: config.json,\n"
        "model.safetensors, tokenizer.json, and what came with a model that was imported. It is\n"
        "loaded by AutoModelForCausalLM.from_pretrained(FOLDER).")
    parser.epilog = ("examples:\n  tinygrad-llm export runs/tiny --out tiny-hf/\n"
                     "  tinygrad-llm export runs/mine --out mine-hf/ --dtype bfloat16 "
                     "--checkpoint best")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True,
                        help="the folder to write, which must not hold a model yet")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss), a step, or ema, averages (last)")
    parser.add_argument("--dtype", metavar="TYPE",
                        help="of the weights: float32, bfloat16 or float16 (that which an imported "
                             "model had, or float32)")
    parser.add_argument("--shard-size", metavar="SIZE",
                        help="bytes in a file of weights, as 500MB or 5GB; more makes several "
                             "files (the files that an imported model came in, or 50GB)")
    parser.set_defaults(verb=export)


def export(args: argparse.Namespace) -> int:
    """Read the run and write the folder."""
    from ..pretrained import save_pretrained
    from ..pretrained.small_files import with_beside
    from ..train.run import PRETRAINED, load_model

    size = None if args.shard_size is None else _bytes(args.shard_size)
    model, tokenizer, _ = load_model(args.run, args.checkpoint)
    found = with_beside(model, tokenizer, args.run / PRETRAINED)
    save_pretrained(found, args.out, args.dtype, size)
    print(f"wrote {args.out}, in {args.dtype or found.storage}")
    return 0


def _bytes(text: str) -> int:
    """Return the number that a size such as 500MB stands for."""
    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    match = re.fullmatch(r"(\d{1,12}) ?([KMGT]?)B?", text.strip().upper())
    if match is None:
        raise UserError(f"--shard-size: expected a size such as 500MB or 5GB, got {text!r}")
    return int(match[1]) * units[match[2]]
