"""`tinygrad-llm sample`: let a trained model write."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..host.errors import UserError
from ..host.output import reader_is_gone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Write text with the model of a run. One that was imported ends where "
                          "its files say\nthat a text ends.")
    parser.epilog = "example: tinygrad-llm sample --run runs/tiny --prompt 'ROMEO:' -n 500"
    parser.add_argument("--run", type=Path, metavar="DIR", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss) or a step that was kept (last)")
    add_prompt(parser, "what the text goes on from (a new line)")
    parser.add_argument("-n", "--tokens", type=int, default=500, metavar="N",
                        help="tokens to write (500)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T",
                        help="below 1 more cautious, above 1 bolder, 0 always the likeliest (0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest only")
    parser.add_argument("--top-p", type=float, metavar="P",
                        help="choose among the likeliest that have a share P of the probability")
    parser.add_argument("--seed", type=int, metavar="N", help="repeat a sample (default: fresh)")
    parser.set_defaults(verb=sample)


def add_prompt(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the two ways to give a prompt."""
    parser.add_argument("--prompt", metavar="TEXT", help=help)
    parser.add_argument("--prompt-file", type=Path, metavar="FILE",
                        help="read the prompt from a UTF-8 file, or with - from standard input")


def sample(args: argparse.Namespace) -> int:
    """Stream text from a run's model."""
    from itertools import takewhile

    import numpy as np

    from ..pretrained.small_files import ends_of, with_beside
    from ..sample import Sampling, generate
    from ..sample.prompt import prompt_ids, stream_text
    from ..train.run import PRETRAINED, load_model

    if args.tokens < 0:
        raise UserError(f"-n must be at least 0, got {args.tokens}")
    if args.seed is not None and args.seed < 0:
        raise UserError(f"--seed must be at least 0, got {args.seed}")
    try:
        sampling = Sampling(args.temperature, args.top_k, args.top_p)
    except ValueError as error:
        raise UserError(str(error).replace("top_", "--top-")) from error
    given = given_prompt(args)
    model, tokenizer, _ = load_model(args.run, args.checkpoint)
    imported = (args.run / PRETRAINED).is_dir()
    ends = ends_of(with_beside(model, tokenizer, args.run / PRETRAINED).generation)
    prompt = prompt_ids(tokenizer, given, template=imported)
    rng = np.random.Generator(np.random.Philox(args.seed))
    print(given or "", end="", flush=True)
    ids = takewhile(lambda id: id not in ends, generate(model, prompt, args.tokens, sampling, rng))
    for text in stream_text(tokenizer, ids):
        print(text, end="", flush=True)
        if reader_is_gone():
            return 0
    print()
    return 0


def given_prompt(args: argparse.Namespace) -> str | None:
    """Return the prompt that was given, as an argument or in a file.

    Raises UserError for both, a file that cannot be read, and an empty prompt.
    """
    if args.prompt is not None and args.prompt_file is not None:
        raise UserError("--prompt and --prompt-file exclude each other; give one of them")
    prompt, name = args.prompt, "--prompt"
    if args.prompt_file is not None:
        name = f"--prompt-file {args.prompt_file}"
        try:
            prompt = (sys.stdin.buffer.read() if str(args.prompt_file) == "-"
                      else args.prompt_file.read_bytes()).decode()
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is not UTF-8 at byte {error.start}; convert it") from error
    if prompt == "":
        raise UserError(f"{name} must have at least one character; leave it out to begin anew")
    return prompt if prompt is None else str(prompt)
