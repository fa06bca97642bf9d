"""The options of a text as flags, for the verbs that let a model write."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError, shortened

if TYPE_CHECKING:
    from ..models import LanguageModel
    from ..sample import Batcher, Sampling
    from ..text.tokenizer import Tokenizer

FLAGS = {"max_tokens": "-n", "logit_bias": "--bias", "banned": "--ban",
         "constraint": "--regex or --json-schema"}
"""The flags of options that they are not named after."""
NAMED = re.compile(r"\b(?:[a-z]+_[a-z_]*[a-z]|banned)\b"
                   r"|^(?:beams|ends|logprobs|seed|stop|temperature)(?= must|:)"
                   r"|(?<=leave out )(?:logprobs|seed|stop)\b|(?:(?<=by )|(?<=, ))constraint\b")
"""Where a message names an option."""


def add_sampling(parser: argparse.ArgumentParser, temperature: str, tokens: str) -> None:
    """Add the flags, with what is said of their values where they are left out."""
    add = parser.add_argument_group("how a token is chosen").add_argument
    add("--temperature", type=float, metavar="T",
        help=f"below 1 more cautious, above 1 bolder, 0 always the likeliest ({temperature})")
    add("--top-k", type=int, metavar="K", help="choose among the K likeliest only")
    add("--top-p", type=float, metavar="P",
        help="choose among the likeliest that have a share P of the probability")
    add("--min-p", type=float, metavar="P",
        help="choose among those that have P times the likeliest's probability or more")
    add("--typical-p", type=float, metavar="P",
        help="choose among the least surprising ones, both ways, that have a share P")
    add("--seed", type=int, metavar="N", help="repeat a text (fresh)")
    add = parser.add_argument_group("what becomes less likely, or impossible").add_argument
    add("--repetition-penalty", type=float, metavar="X",
        help="above 1: tokens that are in the prompt or the text (1)")
    add("--presence-penalty", type=float, metavar="X",
        help="above 0: tokens that are in the text (0)")
    add("--frequency-penalty", type=float, metavar="X",
        help="above 0: the same, for each time that they are there (0)")
    add("--no-repeat-ngram", type=int, metavar="N", help="no N tokens in a row come twice")
    add("--bias", type=_bias, action="append", metavar="ID=X", dest="logit_bias",
        help="add X to the logit of a token; may be given again")
    add("--ban", type=_ids, metavar="ID,ID", dest="banned", help="never write these tokens")
    add = parser.add_argument_group("where a text ends, and what it must be").add_argument
    add("-n", "--tokens", "--max-tokens", type=int, metavar="N", dest="max_tokens",
        help=f"tokens to write at most ({tokens})")
    add("--min-tokens", type=int, metavar="N",
        help="tokens before which none of --ends is chosen (0)")
    add("--stop", action="append", metavar="TEXT",
        help="end before this text, which is not shown; may be given again")
    add("--ends", type=_ids, metavar="ID,ID",
        help="tokens that end a text, or none (what the model's files say)")
    add("--regex", metavar="PATTERN", help="write only what this regular expression matches whole")
    add("--json-schema", type=Path, metavar="FILE", help="write only JSON that this schema allows")
    add = parser.add_argument_group("memory and speed").add_argument
    add("--bits", type=int, metavar="8",
        help="store keys and values in 8 bits, in a quarter of the memory")
    add("--lookup", action="store_true",
        help="guess ahead what stood behind the same words before, for texts that quote their "
             "prompt; the text stays the same")
    add("--draft", type=Path, metavar="RUN",
        help="let a smaller model of the same tokenizer guess ahead; what is likely stays the same")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the type of the weights."""
    parser.add_argument("--weights", metavar="TYPE",
                        help="store the matrices as float32, bfloat16 or float16: 16 bits take "
                             "half the memory; all is computed in float32 (the checkpoint's)")


def _bias(text: str) -> tuple[int, float]:
    try:
        id, _, number = text.partition("=")
        return int(id), float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ID=X, such as 50=-2.5, got {text!r}") from None


def _ids(text: str) -> list[int]:
    try:
        return [] if text == "none" else [int(id) for id in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ids such as 5 or 5,7, got {text!r}") from None


def check_flags(args: argparse.Namespace, **defaults: Any) -> None:
    """Raise UserError for flags that no model can honour, before one is loaded."""
    if args.regex is not None and args.json_schema is not None:
        raise UserError("--regex and --json-schema exclude each other; give one of them")
    if args.lookup and args.draft is not None:
        raise UserError("--lookup and --draft exclude each other; give one of them")
    if args.bits not in (None, 8):
        raise UserError(f"--bits must be 8, got {args.bits}; leave it out for full numbers")
    ids = [id for id, _ in args.logit_bias or ()]
    if len({*ids}) < len(ids):
        raise UserError(f"--bias names an id twice, got {ids}; add its numbers up")
    _sampling(args, defaults)


def sampling_of(args: argparse.Namespace, model: LanguageModel, tokenizer: Tokenizer,
                **defaults: Any) -> Sampling:
    """Return the options that the flags give, and the `defaults` where they give none.

    Raises UserError for impossible ones and contradictions, naming the flags.
    """
    if args.regex is not None:
        from ..sample.constrained import regular_expression

        defaults["constraint"] = regular_expression(args.regex, tokenizer, model.config.vocab_size)
    if args.json_schema is not None:
        from ..sample.constrained import json_schema, read_schema

        defaults["constraint"] = json_schema(read_schema(args.json_schema), tokenizer,
                                             model.config.vocab_size)
    return _sampling(args, defaults)


def _sampling(args: argparse.Namespace, defaults: Mapping[str, Any]) -> Sampling:
    from ..sample import Sampling

    given = {field.name: value for field in fields(Sampling)
             if (value := getattr(args, field.name, None)) is not None}
    if "logit_bias" in given:
        given["logit_bias"] = dict(given["logit_bias"])
    with flags_named():
        return Sampling(**{**defaults, **given})


def batcher_of(args: argparse.Namespace, model: LanguageModel, tokenizer: Tokenizer,
               **options: Any) -> Batcher:
    """Return what writes the model's texts, with the flags' memory and draft."""
    from ..sample import Batcher, LookUp, ModelDraft
    from ..train.run import load_model

    draft: LookUp | ModelDraft | None = LookUp() if args.lookup else None
    if args.draft is not None:
        smaller, theirs, _ = load_model(args.draft, stored=args.weights)
        if (theirs.vocab, smaller.config.vocab_size) != (tokenizer.vocab, model.config.vocab_size):
            raise UserError(f"--draft {args.draft} has other tokens than the model; give a run of "
                            f"the same tokenizer, with as many ids")
        draft = ModelDraft(smaller)
    with flags_named():
        return Batcher(model, tokenizer, bits=args.bits, draft=draft, **options)


@contextmanager
def flags_named(kinds: tuple[type[Exception], ...] = (ValueError, TypeError, IndexError)
                ) -> Iterator[None]:
    """Inside the block, an error of these kinds is the user's: UserError names its flag."""
    try:
        yield
    except kinds as error:
        message = str(error).replace("; None leaves it out", "; or leave it out")
        raise UserError(NAMED.sub(lambda name: _flag(name[0]), message)) from error


def _flag(option: str) -> str:
    return FLAGS.get(option, f"--{option.replace('_', '-')}")


def read(path: Path, flag: str) -> str:
    """Return a UTF-8 file's text, or with - that of standard input. UserError names the flag.

    As in text to train on, a byte order mark is dropped, and Windows' line ends are newlines.
    """
    try:
        text = (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode()
        return text.removeprefix("\ufeff").replace("\r\n", "\n")
    except OSError as error:
        raise UserError(f"cannot read {flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag} {path} is not UTF-8 at byte {error.start}; convert it") from error


def json_of(data: bytes, place: str) -> Any:
    """Return what a text says in JSON, read strictly. UserError names the place."""
    from ..text.formats.json_files import parse_json

    try:
        return parse_json(data, number=_finite)
    except UserError as error:
        raise UserError(f"{place}: {error}; got {shortened(data.decode(errors='replace'))}"
                        ) from error


def _finite(digits: str) -> float:
    if not isfinite(number := float(digits)):
        raise ValueError(f"the number {digits} is too large")
    return number
