"""The command line: one verb, one function; a verb's arguments are read in a file of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from .. import __version__
from ..host.errors import UserError
from ..host.output import steady_output
from . import (
    chat,
    check,
    data,
    doctor,
    eval,
    export,
    import_model,
    inspect,
    plan,
    presets,
    sample,
    sweep,
    tokenizer,
    train,
    watch,
)

AddArguments = Callable[[argparse.ArgumentParser], None]

VERBS: dict[str, tuple[AddArguments, str]] = {  # and its line in the help
    "train": (train.add_arguments, "train a model"),
    "sweep": (sweep.add_arguments, "train a small grid of runs, and compare them"),
    "plan": (plan.add_arguments, "predict the memory and the time that training takes"),
    "watch": (watch.add_arguments, "serve a page that shows runs while they train"),
    "check": (check.add_arguments, "read every file of a run, and say what is damaged"),
    "presets": (presets.add_arguments, "list the settings of each preset"),
    "sample": (sample.add_arguments, "let a trained model write"),
    "chat": (chat.add_arguments, "talk with a model that was made for it"),
    "eval": (eval.add_arguments, "measure a trained model on text it has not seen"),
    "inspect": (inspect.add_arguments, "make a page of what a model does with a text"),
    "import": (import_model.add_arguments, "make a run of a model from elsewhere"),
    "export": (export.add_arguments, "write a model as a folder that transformers loads"),
    "data": (data.add_arguments, "look at text, or make clean tokens of it"),
    "tokenizer": (tokenizer.add_arguments, "train, use, look at and convert tokenizers"),
    "doctor": (doctor.add_arguments, "say what is installed and what is missing"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code: 0, 2 for a mistake of the user, 128 + a signal's number.

    After Ctrl-C that is 130. `check` and `data check` also return 1, for a folder with faults, and
    `sweep` for runs that failed. An output that is closed, or lacks a character, ends no verb; one
    whose disk is full makes it return 2.
    """
    with steady_output() as out:
        code = _run(argv)
        out.flush()
        if code == 0 and out.lost is not None:
            code = _report(f"cannot write the standard output: {out.lost.strerror}; some of it is "
                           f"missing there, and all else is done")
        return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
        return int(args.verb(args))
    except UserError as error:
        return _report(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except MemoryError as error:
        return _report(f"memory ran out{f' ({error})' if str(error) else ''}; give it less at a "
                       f"time, or end other programs")
    except OSError as error:  # a full disk, a folder without permission: nothing of ours is broken
        return _report(f"cannot use {error.filename or 'a file'}: {error.strerror or error}; make "
                       f"room there, check its permissions, or name another place")


def _report(sentence: str) -> int:
    print(f"tinygrad-llm: error: {sentence}", file=sys.stderr)
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
        args = sys.argv[1:] if args is None else list(args)
        found, unknown = super().parse_known_args(self._with_values(args), namespace)
        if option := next((arg for arg in unknown if arg.startswith("-")), None):
            known = [name for name in self._option_string_actions if name.startswith("--")]
            self.error(f"unknown option {option}{suggest_option(option, known)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Exit with the message; the usage of a verb would fill the screen."""
        self.exit(2, f"{self.prog}: error: {message}\nSee {self.prog} --help.\n")

    def _with_values(self, args: list[str]) -> list[str]:
        """Return the arguments with `--prompt -hello` as `--prompt=-hello`: a text may begin so.

        An option's name is one, too, where the option would lack its value: at the end.
        """
        joined: list[str] = []
        options = self._option_string_actions
        for place, arg in enumerate(args, 1):
            action = options.get(joined[-1]) if joined else None
            takes_one = action is not None and action.nargs is None and joined[-1][:2] == "--"
            is_option = arg in options and not (place == len(args) and options[arg].nargs is None)
            if takes_one and arg[:1] == "-" and not is_option:
                joined[-1] += f"={arg}"
            else:
                joined.append(arg)
        return joined


def suggest_option(option: str, known: Sequence[str]) -> str:
    """Return the end of a message about an unknown option: the one with such initials, or alike."""
    name = option.partition("=")[0]
    for other in known:
        if len(words := other[2:].split("-")) > 1 and name[2:] == "".join(w[0] for w in words):
            return f"; did you mean {other}?"
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-llm", description="Train a small GPT on your text and let it write.",
        epilog="Begin with 'tinygrad-llm train': two minutes on two cores, and it writes plays.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_VerbParser)
    for name, (add_arguments, help) in VERBS.items():
        verbs.add_parser(name, add_arguments=add_arguments, help=help)
    return parser
