"""The command line: one verb, one function; a verb's arguments are read in a file of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from ..host.errors import UserError
from . import data, doctor, sample, tokenizer, train

AddArguments = Callable[[argparse.ArgumentParser], None]

VERBS: dict[str, tuple[AddArguments, str]] = {  # and its line in the help
    "train": (train.add_arguments, "train a model"),
    "sample": (sample.add_arguments, "let a trained model write"),
    "data": (data.add_arguments, "look at text, or make clean tokens of it"),
    "tokenizer": (tokenizer.add_arguments, "train, use, look at and convert tokenizers"),
    "doctor": (doctor.add_arguments, "say what is installed and what is missing"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code: 0, 2 for a mistake of the user, 130 after Ctrl-C.

    `data check` also returns 1, for a folder with faults.
    """
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


class _VerbParser(argparse.ArgumentParser):
    """A verb's parser. It gets its arguments when it is chosen, so that their imports wait."""

    def __init__(self, add_arguments: AddArguments | None = None, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.add_arguments = add_arguments

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.add_arguments is not None:
            self.add_arguments(self)
            self.add_arguments = None
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-llm", description="Train a small GPT on your text and let it write.",
        epilog="Begin with 'tinygrad-llm train': four minutes on a laptop, and it writes plays.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_VerbParser)
    for name, (add_arguments, help) in VERBS.items():
        verbs.add_parser(name, add_arguments=add_arguments, help=help)
    return parser
