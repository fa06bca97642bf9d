"""The command line: one verb, one function."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from . import __version__
from .errors import UserError
from .machine import usable_cores
from .train.config import PRESETS, TrainConfig, make_config, read_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code: 0, 2 for a mistake of the user, 130 after Ctrl-C."""
    try:
        args = _parser().parse_args(argv)
        return int(args.verb(args))
    except UserError as error:
        print(f"tinygrad-llm: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:  # a full disk, a folder without permission: nothing of ours is broken
        print(f"tinygrad-llm: error: cannot use {error.filename or 'a file'}: {error.strerror}; "
              f"make room there, check its permissions, or name another place", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-llm", description="Train a small GPT on your text and let it write.",
        epilog="Begin with 'tinygrad-llm train': four minutes on a laptop, and it writes plays.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_train(verbs)
    _add_sample(verbs)
    _add_data(verbs)
    doctor_parser = verbs.add_parser("doctor", help="tell what is installed and what is missing",
                                     description="Tell what is installed and what is missing.")
    doctor_parser.set_defaults(verb=doctor)
    return parser


def _add_train(verbs: Any) -> None:
    parser = verbs.add_parser(
        "train", help="train a model", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train a GPT on text. Its folder gets config.toml, metrics.jsonl, "
                    "tokenizer.json,\ncheckpoint/ and loss.png. Ctrl-C saves; --resume goes on.",
        epilog="presets:\n" + "\n".join(
            f"  {name:6}{c.layers} layers, {c.heads} heads, {c.width} wide, context {c.context}, "
            f"batch {c.batch}, {c.steps} steps"
            for name, c in ((name, make_config({"preset": name})) for name in PRESETS))
        + "\n\nexamples:\n  tinygrad-llm train\n"
          "  tinygrad-llm train --data my_text.txt --out runs/mine --steps 500\n"
          "  tinygrad-llm train --resume --out runs/mine --steps 1000")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="the run's folder (default: runs/PRESET)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--config", type=Path, metavar="FILE.toml",
                        help="settings to start from; flags override them")
    parser.add_argument("--threads", type=int, metavar="N",
                        help=f"cores to use; the result is the same (all: {usable_cores()})")
    settings = parser.add_argument_group("settings, each also a key of the TOML file")
    kinds: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": _boolean}
    metavars = {"int": "N", "float": "X", "str": "TEXT", "bool": "true|false"}
    for f in fields(TrainConfig):
        settings.add_argument(
            f"--{f.name.replace('_', '-')}", dest=f"set_{f.name}", type=kinds[str(f.type)],
            metavar=metavars[str(f.type)],
            help=f"{f.metadata['help']} ({f.default})".replace("%", "%%"))
    parser.set_defaults(verb=train)


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return known[text.lower()]


def train(args: argparse.Namespace) -> int:
    """Start a run or go on with one."""
    from .train.loop import resume_run, start_run
    from .train.loop import train as run_to_the_end

    threads = _threads(args.threads)
    given = read_settings(args.config) if args.config else {}
    given |= {name.removeprefix("set_"): value for name, value in vars(args).items()
              if name.startswith("set_") and value is not None}
    if args.resume:
        make_config(given)  # an unknown setting is told before anything is opened
        folder = args.out or Path("runs") / given.get("preset", "tiny")
        run = resume_run(folder, given)
        print(f"resuming {folder} after step {run.step} of {run.config.steps}")
        if run.step >= run.config.steps:
            print("nothing is left to do; give more --steps to go on")
            return 0
    else:
        config = make_config(given)
        folder = args.out or Path("runs") / config.preset
        run = start_run(config, folder)
        print(f"training in {folder}: {sum(p.size for p in run.optimizer.parameters.values()):,} "
              f"parameters, {len(run.data.train):,} tokens of {run.data.tokenizer.vocab_size} "
              f"kinds, {config.steps} steps")
    if run_to_the_end(run, threads=threads):
        print(f"done; let it write: tinygrad-llm sample --run {folder}")
        return 0
    print(f"stopped after step {run.step} and saved; go on with: "
          f"tinygrad-llm train --resume --out {folder}")
    return 130


def _threads(given: int | None) -> int:
    from .parallel import check_threads

    try:
        threads = check_threads(given)
    except ValueError as error:
        raise UserError(str(error)) from error
    if threads > usable_cores():
        print(f"{threads} threads on {usable_cores()} cores: slower, but the result is the same",
              file=sys.stderr)
    return threads


def _add_sample(verbs: Any) -> None:
    parser = verbs.add_parser(
        "sample", help="let a trained model write",
        description="Write text with the model of a run.",
        epilog="example: tinygrad-llm sample --run runs/tiny --prompt 'ROMEO:' -n 500")
    parser.add_argument("--run", type=Path, metavar="DIR", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--prompt", metavar="TEXT",
                        help="what the text goes on from (a new line)")
    parser.add_argument("-n", "--tokens", type=int, default=500, metavar="N",
                        help="tokens to write (500)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T",
                        help="below 1 more cautious, above 1 bolder, 0 always the likeliest (0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest only")
    parser.add_argument("--top-p", type=float, metavar="P",
                        help="choose among the likeliest that have a share P of the probability")
    parser.add_argument("--seed", type=int, metavar="N", help="repeat a sample (default: fresh)")
    parser.set_defaults(verb=sample)


def sample(args: argparse.Namespace) -> int:
    """Stream text from a run's model."""
    import numpy as np

    from .sample import Sampling, generate
    from .train.loop import beginning, load_model

    if args.tokens < 0:
        raise UserError(f"-n must be at least 0, got {args.tokens}")
    if args.seed is not None and args.seed < 0:
        raise UserError(f"--seed must be at least 0, got {args.seed}")
    try:
        sampling = Sampling(args.temperature, args.top_k, args.top_p)
    except ValueError as error:
        raise UserError(str(error)) from error
    if args.prompt == "":
        raise UserError("--prompt must have at least one character; leave it out to begin anew")
    model, tokenizer, _ = load_model(args.run)
    prompt = tokenizer.encode(args.prompt or beginning(tokenizer))
    rng = np.random.Generator(np.random.Philox(args.seed))
    print(args.prompt or "", end="", flush=True)
    for token in generate(model, prompt, args.tokens, sampling, rng):
        print(tokenizer.decode([token]), end="", flush=True)
    print()
    return 0


def _add_data(verbs: Any) -> None:
    parser = verbs.add_parser(
        "data", help="look at text, or prepare it once for several runs",
        description="Tell what a text holds; with --out also write its tokens, for "
                    "'tinygrad-llm train --data DIR'.")
    parser.add_argument("data", nargs="?", default="shakespeare", metavar="DATA",
                        help="a text file, a folder of them, or 'shakespeare' (shakespeare)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the tokens to this folder")
    parser.add_argument("--text", type=Path, metavar="FILE", help="write the plain text to a file")
    parser.set_defaults(verb=data)


def data(args: argparse.Namespace) -> int:
    """Describe a text; write it or its tokens where asked."""
    from .data import read_corpus
    from .data.prepared import prepare
    from .text import CharTokenizer

    text = read_corpus(args.data)
    tokenizer = CharTokenizer.from_text(text)
    print(f"{args.data}: {len(text):,} characters, {text.count(chr(10)):,} lines, "
          f"{tokenizer.vocab_size} different characters:\n"
          f"{''.join(tokenizer.characters).encode('unicode_escape').decode()}\n\n{text[:300]}...")
    if args.text:
        args.text.write_text(text, encoding="utf-8")
    if args.out:
        prepared = prepare(text, args.out, context=1)
        held = 0 if prepared.validation is None else len(prepared.validation)
        print(f"\nwrote {args.out}: {len(prepared.train):,} tokens to train on, {held:,} to "
              f"validate on; use it: tinygrad-llm train --data {args.out}")
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Tell versions, threads, the GPU, and whose `autograd` is imported."""
    from .doctor import report

    print(report())
    return 0
