"""`tinygrad-llm sample`: let a trained model write."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError, shortened
from ..host.files import errors_name
from ..host.output import reader_is_gone
from .sampling import (
    add_sampling,
    add_weights,
    batcher_of,
    check_flags,
    flags_named,
    json_of,
    read,
    sampling_of,
)

if TYPE_CHECKING:
    from ..models import LanguageModel
    from ..sample import Batcher, Handle, Sampling
    from ..text.tokenizer import Tokenizer

DEFAULTS: dict[str, Any] = {"temperature": 0.8, "max_tokens": 500}
AHEAD = 256  # texts that are begun or queued before the first of them is done
WRITTEN = ("made_with", "seed", "text", "ids", "reason", "logprobs", "error", "score")
Record = dict[str, Any]  # what is known of a text, as a line of JSON has it
Job = tuple[Record, list[int]]  # what is given, prompt and seed among it, and the prompt's ids
SHADES = ((0.9, 46), (0.5, 154), (0.2, 226), (0.05, 214), (0.0, 203))
"""Colours of a terminal by the least probability that each stands for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Write text with the model of a run, from one prompt or from thousands. "
                          "A model that\nwas imported ends where its files say that a text ends.")
    parser.epilog = (
        "examples:\n"
        "  tinygrad-llm sample runs/tiny --prompt 'ROMEO:' -n 500\n"
        "  tinygrad-llm sample --prompt 'ROMEO:' --n 3 --seed 7       with the seeds 7, 8 and 9\n"
        "  tinygrad-llm sample --prompt 'ROMEO:' --logprobs 3         and what else it might say\n"
        "  tinygrad-llm sample --prompt 'Born: ' --regex '[0-9]{4}'   nothing but a year\n"
        "  tinygrad-llm sample --prompts some.txt --out texts.jsonl   many together; --resume goes "
        "on")
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss), a step, or ema, averages (last)")
    add_weights(parser)
    add = parser.add_argument_group("prompts").add_argument
    add_prompt(add, "what the text goes on from (a new line)")
    add("--prompts", type=Path, metavar="FILE",
        help="many prompts, with a progress bar: one a line, or as JSON with {\"prompt\": ...}")
    add("--truncate", choices=("left", "right"),
        help="cut a prompt that is longer than the model's context at this end")
    add("--n", type=int, default=1, metavar="N",
        help="texts for each prompt, with the seeds S, S + 1, ... of --seed S (1)")
    add = parser.add_argument_group("what is shown").add_argument
    add("--json", action="store_true",
        help="a line of JSON for each text: prompt, text, ids, reason, logprobs, seed")
    add("--out", type=Path, metavar="FILE", help="write such lines to a new file, as they come")
    add("--resume", action="store_true",
        help="go on with the file of --out, by the same model and options")
    add("--logprobs", type=int, nargs="?", const=0, metavar="K",
        help="how probable each token was, in colours in a terminal; and the K likeliest there")
    add_sampling(parser, "0.8", "500")
    add = parser.add_argument_group("beam search").add_argument
    add("--beams", type=int, metavar="N",
        help="the likeliest texts that a search of this width finds, instead of a drawn one")
    add("--length-penalty", type=float, metavar="A",
        help="of a text's score, which is its log-probability / length^A (1)")
    parser.set_defaults(verb=sample)


def add_prompt(add: Any, help: str) -> None:
    """Add the two ways to give a prompt, by a parser's or a group's add_argument."""
    add("--prompt", metavar="TEXT", help=help)
    add("--prompt-file", type=Path, metavar="FILE",
        help="read the prompt from a UTF-8 file, or with - from standard input")


def sample(args: argparse.Namespace) -> int:
    """Write one text as it comes, or many."""
    import numpy as np

    from ..pretrained.small_files import ends_of, with_beside
    from ..train.run import PRETRAINED, load_model

    _check(args)
    prompts, (done, rest) = _prompts(args), _done(args.out) if args.resume else ([], b"")
    model, tokenizer, _ = load_model(args.run, args.checkpoint, args.weights)
    imported = (args.run / PRETRAINED).is_dir()
    ends = ends_of(with_beside(model, tokenizer, args.run / PRETRAINED).generation,
                   model.config.vocab_size)
    sampling = sampling_of(args, model, tokenizer, **{
        **DEFAULTS, "ends": ends, **({} if args.beams is None else {"temperature": 0.0})})
    seed = args.seed
    if seed is None:
        fresh = int(np.random.SeedSequence().generate_state(1)[0])
        seed = done[0].get("seed") if done and isinstance(done[0].get("seed"), int) else fresh
    made = {} if args.out is None else {"made_with": _made_with(args, model, sampling)}
    starts: list[Job] = [
        ({**given, **made}, _fitting(_ids(tokenizer, given["prompt"], imported, place),
                                     model.config.context, args.truncate, place))
        for place, given in enumerate(prompts, 1)]

    def jobs() -> Iterator[Job]:  # of which there may be more than memory holds
        return (({**given, "seed": seed + j}, ids) for given, ids in starts for j in range(args.n))

    _check_done(done, rest, [*islice(jobs(), len(done) + 1)], args.out)
    if rest:
        os.truncate(args.out, args.out.stat().st_size - len(rest))
    total = len(starts) * args.n
    if args.beams is not None:
        texts = _searched(args, model, tokenizer, sampling, starts)
    else:
        batcher = batcher_of(args, model, tokenizer)
        if total == 1 and not (args.json or args.out or args.logprobs is not None):
            return _stream(batcher, replace(sampling, seed=seed), starts[0])
        texts = _batched(batcher, sampling, islice(jobs(), len(done), None))
    return _show(args, tokenizer, texts, total, len(done))


def _check(args: argparse.Namespace) -> None:
    """Raise UserError for flags that contradict each other, before a model is loaded."""
    check_flags(args, **DEFAULTS)
    if args.n < 1:
        raise UserError(f"--n must be at least 1, got {args.n}")
    if args.resume and args.out is None:
        raise UserError("--resume goes on with the file of --out; name it")
    if args.out is not None and args.out.exists() and not args.resume:
        raise UserError(f"--out {args.out} exists; go on with it with --resume, or name another")
    if args.out is not None and not args.out.parent.is_dir():
        raise UserError(f"--out {args.out}: there is no folder {args.out.parent}; make it first")
    if args.beams is not None and not args.n <= args.beams:
        raise UserError(f"--n ({args.n}) is more than --beams ({args.beams}); raise --beams")
    if args.beams is None and args.length_penalty is not None:
        raise UserError("--length-penalty is for a search: give it with --beams")
    for name in ("temperature", "bits", "resume", "lookup", "draft"):
        if args.beams is not None and getattr(args, name) not in (None, False):
            raise UserError(f"--beams and --{name} exclude each other; give one of them")


def _prompts(args: argparse.Namespace) -> list[Record]:
    """Return the prompts, each as {"prompt": ...}; UserError where a line has none.

    A line of JSON keeps its other keys, but for those of `WRITTEN`: such lines may be read again.
    """
    if args.prompts is None:
        return [{"prompt": given_prompt(args)}]
    if args.prompt is not None or args.prompt_file is not None:
        raise UserError("--prompts and --prompt or --prompt-file exclude each other; give one of "
                        "them")
    lines = read(args.prompts, "--prompts").removesuffix("\n").split("\n")
    found: list[Record] = []
    for place, line in enumerate(lines, 1):
        given = {"prompt": line}
        if re.match(r'\s*\{\s*"', lines[0]):
            given = json_of(line.encode(), f"--prompts {args.prompts}, line {place}")
        if not isinstance(given, dict) or not given.get("prompt") or not isinstance(
                given["prompt"], str):
            raise UserError(f"--prompts {args.prompts}, line {place}: expected a prompt of at "
                            f"least one character, got {shortened(line)}")
        found.append({key: value for key, value in given.items() if key not in WRITTEN})
    return found


def _ids(tokenizer: Tokenizer, prompt: str | None, imported: bool, place: int) -> list[int]:
    """Return the ids of a prompt. UserError names its place."""
    from ..sample.prompt import prompt_ids

    try:
        return prompt_ids(tokenizer, prompt, template=imported)
    except UserError as error:
        raise UserError(f"prompt {place}: {error}") from error


def _fitting(ids: list[int], context: int, truncate: str | None, place: int) -> list[int]:
    """Return the ids of a prompt, cut if they may be. UserError where they are too many."""
    if len(ids) > context and truncate is None:
        raise UserError(f"prompt {place} has {len(ids)} tokens, and the model's context holds "
                        f"{context}; shorten it, or cut it with --truncate left or right")
    return ids[:context] if truncate == "right" else ids[-context:]


def _done(out: Path) -> tuple[list[Record], bytes]:
    """Return the texts that a file has, and what there is of a line that was not finished."""
    if not out.exists():
        return [], b""
    if not out.is_file():
        raise UserError(f"--out {out} is no file; name another")
    *lines, rest = out.read_bytes().split(b"\n")
    found = [json_of(line, f"--out {out}, line {place}") for place, line in enumerate(lines, 1)]
    return [line if isinstance(line, dict) else {} for line in found], rest


def _check_done(done: list[Record], rest: bytes, jobs: list[Job], out: Path) -> None:
    """Raise UserError where a file has anything but the first texts of these jobs."""
    lines: list[Record | bytes] = [*done, rest] if rest else [*done]
    for place, line in enumerate(lines, 1):
        given = jobs[place - 1][0] if place <= len(jobs) else {"prompt": ""}
        prompt = _json(_unseeded(given))[:-1].encode()
        if not (prompt.startswith(line) or line.startswith(prompt) if isinstance(line, bytes) else
                all(line.get(key) == value for key, value in given.items())):
            raise UserError(f"--out {out}, line {place}, is of another prompt, seed, model or "
                            f"option than these; give what it was written with, or name another "
                            f"file")


def _made_with(args: argparse.Namespace, model: LanguageModel, sampling: Sampling) -> str:
    """Return a digest of the options and of the model's weights: of numbers from each of them."""
    from autograd import to_host

    from ..nn import parameters

    schema = None if args.json_schema is None else args.json_schema.read_bytes()
    options = vars(sampling) | {"seed": None, "constraint": [args.regex, schema], "bits": args.bits,
                                "draft": args.draft, "truncate": args.truncate}
    found = hashlib.sha256(json.dumps(options, sort_keys=True, default=lambda value: (
        sorted(value) if isinstance(value, frozenset) else str(value))).encode())
    for p in parameters(model).values():
        found.update(to_host(p.data).flat[:64].tobytes())
    return found.hexdigest()[:16]


def _json(text: Record, encoding: str | None = "utf-8") -> str:
    """Return a line of JSON; where the encoding lacks one of its characters, in ASCII."""
    line = json.dumps(text, ensure_ascii=False)
    try:
        line.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(text)
    return line


def _stream(batcher: Batcher, sampling: Sampling, job: Job) -> int:
    given, ids = job
    with flags_named():
        handle = batcher.add(ids, sampling, begins=given["prompt"] is None)
    print(given["prompt"] or "", end="", flush=True)
    try:
        with flags_named((UserError,)):
            for text in batcher.stream(handle):
                print(text, end="", flush=True)
                if reader_is_gone():
                    break
    finally:
        print(flush=True)
    return 0


def _batched(batcher: Batcher, sampling: Sampling, jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield the texts in order, each as soon as it and those before it are done."""
    waiting: deque[tuple[Record, Handle]] = deque()
    left = iter(jobs)
    while True:
        for given, ids in islice(left, AHEAD - len(waiting)):
            with flags_named():
                waiting.append((given, batcher.add(ids, replace(sampling, seed=given["seed"]),
                                                   begins=given["prompt"] is None)))
        if not waiting:
            return
        while waiting and waiting[0][1].done:
            given, handle = waiting.popleft()
            logprobs = [{"id": choice.token, "logprob": choice.logprob, "top": choice.top}
                        for choice in handle.choices]
            yield {**given, "text": handle.text, "ids": handle.ids, "reason": handle.reason,
                   "logprobs": logprobs if sampling.logprobs is not None else None,
                   **({"error": str(handle.error)} if handle.error else {})}, handle.prompt
        if waiting:
            batcher.step()


def _searched(args: argparse.Namespace, model: LanguageModel, tokenizer: Tokenizer,
              sampling: Sampling, starts: list[Job]) -> Iterator[Job]:
    """Yield the n best texts of each prompt that a search finds."""
    from ..sample import beam_search
    from ..sample.prompt import stream_text

    penalty = 1.0 if args.length_penalty is None else args.length_penalty
    for given, ids in starts:
        with flags_named():
            found = beam_search(model, ids, sampling, beams=args.beams, count=args.n,
                                length_penalty=penalty)
        for beam in found:
            said = "".join(stream_text(tokenizer, beam.ids, _before(given, ids)))
            yield {**given, "text": said, "ids": beam.ids, "reason": beam.reason,
                   "score": beam.score}, ids


def _unseeded(given: Record) -> Record:
    return {key: value for key, value in given.items() if key != "seed"}


def _before(text: Record, ids: list[int]) -> list[int]:
    """Return the ids whose text an answer goes on from."""
    return [] if text["prompt"] is None else ids


def _show(args: argparse.Namespace, tokenizer: Tokenizer, texts: Iterable[Job], total: int,
          done: int) -> int:
    """Show the texts as they come; return the exit code."""
    from tqdm import tqdm

    failed: list[str] = []
    bar = tqdm(total=total, initial=done, desc="writing", unit="text", disable=not args.prompts,
               mininterval=0.1 if sys.stderr.isatty() else 10)
    path = args.out or os.devnull
    with errors_name(path), bar, open(path, "ab") as out:
        for place, (text, ids) in enumerate(texts, done + 1):
            failed += [f"text {place}: {text['error']}"] if "error" in text else []
            if not args.out:
                name = f"score {text['score']:.4f}" if "score" in text else f"seed {text['seed']}"
                head = f"==> text {place}, {name} <==\n" if total > 1 else ""
                with bar.external_write_mode(sys.stdout) if sys.stdout.isatty() else nullcontext():
                    print(_json(text, sys.stdout.encoding) if args.json else
                          head + _plain(args, tokenizer, text, ids), flush=True)
            out.write(f"{_json(text)}\n".encode())
            out.flush()
            bar.update()
            if reader_is_gone():
                return 0
    if failed:
        with flags_named((UserError,)):
            raise UserError(f"{len(failed)} of {total} texts failed; {failed[0]}")
    return 0


def _plain(args: argparse.Namespace, tokenizer: Tokenizer, text: Record, ids: list[int]) -> str:
    """Return a text as it is read, with its tokens' probabilities if they are asked for."""
    said = text["text"]
    if args.logprobs is None:
        return f"{text['prompt'] or ''}{said}"
    lines = list(_table(tokenizer, text))
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and (
            os.environ.get("TERM") != "dumb"):
        said = "".join(_shaded(piece, p) for piece, p in _pieces(tokenizer, text, ids))
        lines = ["  ".join(_shaded(f"from {p:.0%}", p) for p, _ in SHADES),
                 *(lines if args.logprobs else ())]
    return "\n".join([f"{text['prompt'] or ''}{said}", *lines])


def _shaded(piece: str, p: float) -> str:
    shade = next(shade for least, shade in SHADES if p >= least)
    return f"\x1b[38;5;{shade}m{piece}\x1b[0m" if piece else ""


def _pieces(tokenizer: Tokenizer, text: Record, ids: list[int]) -> Iterator[tuple[str, float]]:
    """Yield what of the text each token completed, and its probability."""
    from ..sample.prompt import stream_text

    start, choices = 0, text["logprobs"]
    pieces = stream_text(tokenizer, (choice["id"] for choice in choices), _before(text, ids))
    for place, (choice, piece) in enumerate(zip(choices, pieces, strict=False), 1):
        end = start + len(piece) if place < len(choices) else None  # the last one has the rest
        yield text["text"][start:end], exp(choice["logprob"])
        start += len(piece)


def _table(tokenizer: Tokenizer, text: Record) -> Iterator[str]:
    """Yield a line for each token: its probability, its spelling, and the likeliest there."""
    from ..text.show import spelling

    for choice in text["logprobs"]:
        top = "  ".join(f"{spelling(tokenizer, id)} {exp(p):.1%}" for id, p in choice["top"])
        yield (f"{exp(choice['logprob']):7.1%} {choice['logprob']:8.3f}  "
               f"{spelling(tokenizer, choice['id'])}{f'   of {top}' if top else ''}")


def given_prompt(args: argparse.Namespace) -> str | None:
    """Return the prompt that was given, as an argument or in a file.

    Raises UserError for both, a file that cannot be read, and an empty prompt.
    """
    if args.prompt is not None and args.prompt_file is not None:
        raise UserError("--prompt and --prompt-file exclude each other; give one of them")
    prompt: str | None = args.prompt
    if args.prompt_file is not None:
        prompt = read(args.prompt_file, "--prompt-file")
    if prompt == "":
        name = "--prompt" if args.prompt_file is None else f"--prompt-file {args.prompt_file}"
        raise UserError(f"{name} must have at least one character; leave it out to begin anew")
    return prompt
