"""`tinygrad-llm tokenizer`: train one, encode and decode with any, look at it, convert it."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError

if TYPE_CHECKING:
    from ..text.tokenizer import Tokenizer

KNOWN = ("a tokenizer.json (also of Hugging Face), a tekken.json, a tiktoken rank file, vocab.bpe\n"
         "with encoder.json, merges.txt with vocab.json, vocab.txt, a SentencePiece .model, or a\n"
         "folder with one")
# Control characters as pictures of them: in a terminal they would do what they say.
PICTURES = {**{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}, 127: 0x2421,
            **dict.fromkeys(range(128, 160), 0xFFFD)}
IN_FOLDERS = {"gpt2": ("vocab.json", "merges.txt"), "bert": ("vocab.txt",)}  # formats' files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below this one."""
    parser.description = "Train, use, look at and convert tokenizers."
    parser.epilog = (
        "examples:\n"
        "  tinygrad-llm tokenizer train my_texts/ --vocab-size 8192 --out tokenizer.json\n"
        "  tinygrad-llm tokenizer encode --tokenizer tokenizer.json --text 'Hello, world'\n"
        "  tinygrad-llm tokenizer decode --tokenizer tokenizer.json 15496 11 995\n"
        "  tinygrad-llm tokenizer show --tokenizer tokenizer.json --text 'Hi' --html page.html\n"
        "  tinygrad-llm tokenizer convert --tokenizer cl100k_base.tiktoken --out cl100k.json")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_train(verbs)
    _add_encode(verbs)
    _add_decode(verbs)
    _add_show(verbs)
    _add_convert(verbs)


def _verb(verbs: Any, name: str, run: Any, help: str, description: str = ""
          ) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=help, description=description or help[0].upper() + help[1:] + ".")
    parser.set_defaults(verb=run)
    return parser


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", required=True, metavar="FILE_OR_FOLDER",
                        help="a tokenizer file of any known format, or a folder with one")
    parser.add_argument("--pattern", metavar="NAME_OR_REGEX",
                        help="how a rank file that is not recognised cuts text: gpt2, cl100k, "
                             "o200k, llama3, qwen2 or a regular expression")


def _add_text(parser: argparse.ArgumentParser) -> None:
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="the text itself")
    text.add_argument("--file", metavar="FILE", help="a UTF-8 file; - for standard input")
    parser.add_argument("--special", default="refuse", metavar="refuse|text|allow|NAME,NAME",
                        help="special tokens in the text: refuse them, take them as text, allow "
                             "all or those named (refuse)")
    parser.add_argument("--errors", default="strict",
                        choices=["strict", "replace", "ignore", "backslashreplace"],
                        help="what to do with bytes of a file that are no UTF-8 (strict)")


def _add_train(verbs: Any) -> None:
    parser = _verb(verbs, "train", train, "learn a vocabulary from text",
                   "Learn a vocabulary from text; writes a tokenizer.json that Hugging Face's "
                   "library reads too.")
    parser.add_argument("--kind", choices=["bpe", "wordpiece", "unigram"], default="bpe",
                        help="byte-level BPE as GPT-2's; WordPiece as BERT's, which drops white "
                             "space and takes words with unknown characters for [UNK]; or a "
                             "unigram model as SentencePiece's (bpe)")
    parser.add_argument("sources", nargs="+", metavar="FILE_OR_FOLDER",
                        help="text files, folders of *.txt and *.md files, or 'shakespeare'")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="the tokenizer.json to write")
    parser.add_argument("--vocab-size", type=int, default=8192, metavar="N",
                        help="tokens in all, the 256 bytes and special tokens included (8192)")
    parser.add_argument("--pattern", metavar="NAME_OR_REGEX",
                        help="how bpe cuts text before merging: gpt2, cl100k, o200k, llama3, qwen2 "
                             "or a regular expression (gpt2)")
    parser.add_argument("--special", metavar="NAME,NAME",
                        help="special tokens: the last ids of bpe (<|endoftext|>), those after "
                             "[PAD] [UNK] [CLS] [SEP] [MASK] of wordpiece or <unk> of unigram "
                             "(none)")
    parser.add_argument("--min-frequency", type=int, metavar="N",
                        help="merge only what is found so often (bpe: 2; wordpiece: a number that "
                             "goes with the text's size and falls to 2)")
    parser.add_argument("--lowercase", action="store_true",
                        help="wordpiece: lower case without accents")
    parser.add_argument("--limit-alphabet", type=int, metavar="N",
                        help="wordpiece: only the N most frequent characters (1000)")
    parser.add_argument("--force", action="store_true", help="write over an existing file")


def _add_encode(verbs: Any) -> None:
    parser = _verb(verbs, "encode", encode, "print the ids of a text as JSON",
                   f"Print the ids of a text as JSON. The tokenizer is\n{KNOWN}.")
    _add_tokenizer(parser)
    _add_text(parser)
    parser.add_argument("--template", action=argparse.BooleanOptionalAction, default=None,
                        help="put around the ids what the file's post-processor asks for, such as "
                             "[CLS] and [SEP] (yes, if it asks for any)")


def _add_decode(verbs: Any) -> None:
    parser = _verb(verbs, "decode", decode, "print the text of ids")
    _add_tokenizer(parser)
    parser.add_argument("ids", nargs="*", metavar="ID",
                        help="ids, or one JSON list; none: read a JSON list from standard input")
    parser.add_argument("--skip-special", action="store_true", help="leave special tokens out")


def _add_show(verbs: Any) -> None:
    parser = _verb(verbs, "show", show, "show the tokens of a text in colours",
                   "Show the tokens of a text in colours, and write a page that replays the merges "
                   "of any word.")
    _add_tokenizer(parser)
    _add_text(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page to this file")


def _add_convert(verbs: Any) -> None:
    parser = _verb(verbs, "convert", convert, "write a tokenizer in another format")
    _add_tokenizer(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="PATH",
                        help="the file or folder to write")
    parser.add_argument("--format",
                        metavar="huggingface|tiktoken|gpt2|bert|sentencepiece|characters",
                        help="its format: gpt2 and bert are folders, the others a file "
                             "(huggingface: a tokenizer.json; characters where each is a token)")
    parser.add_argument("--force", action="store_true", help="write over existing files")


def _load(args: argparse.Namespace) -> Tokenizer:
    from ..text.formats import load_tokenizer

    with _naming_options(_options_of_use):
        return load_tokenizer(args.tokenizer, pattern=args.pattern)


def _text(args: argparse.Namespace) -> str:
    if args.text is not None:
        return str(args.text)
    if args.file == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8", args.errors)
        except UnicodeDecodeError as error:
            raise UserError(f"standard input is not UTF-8 text: byte 0x"
                            f"{error.object[error.start]:02x} at offset {error.start}; choose what "
                            f"to do with such bytes by --errors") from error
    from ..text.characters.utf8_files import read_chunks

    return "".join(read_chunks(args.file, args.errors))


def _special(args: argparse.Namespace) -> Any:
    rule = args.special
    return rule if rule in ("refuse", "text", "allow") else _names(rule)


@contextmanager
def _naming_options(rewrite: Callable[[str], str]) -> Iterator[None]:
    """Let errors name the command's options where they name the arguments of a function."""
    try:
        yield
    except UserError as error:
        raise UserError(rewrite(str(error))) from error


def _options_of_use(message: str) -> str:
    message = re.sub(r"\b(special|errors)=(?:\"(\w+)\"|\{(.*?)\})", r"--\1 \2\3", message)
    message = message.replace('"ignore" or "backslashreplace"', "ignore or backslashreplace")
    return message.replace("; pass --", "; give --").replace("pattern=", "--pattern")


def _options_of_training(message: str) -> str:
    """Training has no choice of what to do with bytes that are no UTF-8."""
    message = re.sub(r"\b(vocab|min|limit)_(size|frequency|alphabet)\b", r"--\1-\2", message)
    message = re.sub(r", or choose what to do with such bytes: errors=.*", "", message, flags=re.S)
    return message.replace("; give --data ", "; give ")


def train(args: argparse.Namespace) -> int:
    """Learn a vocabulary, and write it."""
    from ..data.read.corpus import text_sources

    if args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file in it, such as "
                        f"{args.out / 'tokenizer.json'}")
    if args.out.exists() and not args.force:
        raise UserError(f"{args.out} exists; name another file, or give --force to replace it")
    kinds = {"bpe": _train_bpe, "wordpiece": _train_wordpiece, "unigram": _train_unigram}
    with _naming_options(_options_of_training):
        sources = [part for source in args.sources for part in text_sources(source)]
        tokenizer = kinds[args.kind](args, sources)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(args.out)
    print(f"wrote {args.out}: {tokenizer.vocab_size:,} tokens; look at it: tinygrad-llm tokenizer "
          f"show --tokenizer {args.out} --text 'Hello, world'")
    return 0


def _train_bpe(args: argparse.Namespace, sources: list[str | Path]) -> Tokenizer:
    from ..text.training.bpe import train_bpe

    if args.lowercase or args.limit_alphabet is not None:
        raise UserError("--lowercase and --limit-alphabet are for --kind wordpiece: bpe spells any "
                        "text as it stands")
    special = "<|endoftext|>" if args.special is None else args.special
    return train_bpe(sources, args.vocab_size, pattern=args.pattern or "gpt2",
                     special_tokens=_names(special),
                     min_frequency=2 if args.min_frequency is None else args.min_frequency)


def _train_wordpiece(args: argparse.Namespace, sources: list[str | Path]) -> Tokenizer:
    from ..text.training.wordpiece import train_wordpiece
    from ..text.training.wordpiece_vocabulary import LIMIT_ALPHABET

    if args.pattern is not None:
        raise UserError("--pattern is for --kind bpe: wordpiece cuts text as BERT does, at white "
                        "space and punctuation")
    return train_wordpiece(sources, args.vocab_size, lowercase=args.lowercase,
                           special_tokens=_names(args.special or ""),
                           min_frequency=args.min_frequency,
                           limit_alphabet=LIMIT_ALPHABET if args.limit_alphabet is None
                           else args.limit_alphabet)


def _train_unigram(args: argparse.Namespace, sources: list[str | Path]) -> Tokenizer:
    from ..text.training.unigram import train_unigram

    for option in ("pattern", "min_frequency", "lowercase", "limit_alphabet"):
        if getattr(args, option) not in (None, False):
            raise UserError(f"--{option.replace('_', '-')} is not for --kind unigram, which cuts "
                            "text at spaces and finds by itself which pieces are frequent enough")
    return train_unigram(sources, args.vocab_size, special_tokens=_names(args.special or ""))


def _names(given: str) -> list[str]:
    return [name for name in given.split(",") if name]


def encode(args: argparse.Namespace) -> int:
    """Print ids."""
    tokenizer = _load(args)
    template = True if args.template is None else args.template
    with _naming_options(_options_of_use):
        ids = tokenizer.encode(_text(args), special=_special(args), template=template)
    print(json.dumps(ids))
    return 0


def decode(args: argparse.Namespace) -> int:
    """Print text."""
    given = " ".join(args.ids) or sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        ids = json.loads(given if given.lstrip().startswith("[")
                         else f"[{','.join(given.replace(',', ' ').split())}]")
        if not isinstance(ids, list) or any(type(id) is not int for id in ids):
            raise ValueError("not a list of whole numbers")
        if large := [id for id in ids if abs(id) >= 2**63]:
            raise ValueError(f"{large[0]} is no id of any tokenizer")
    except (ValueError, RecursionError) as error:
        raise UserError(f"ids are whole numbers, or one JSON list of them: {error}") from error
    try:
        text = _load(args).decode(ids, skip_special=args.skip_special)
    except (OverflowError, ValueError) as error:
        raise UserError(str(error)) from error
    sys.stdout.write(text + "\n")
    return 0


def show(args: argparse.Namespace) -> int:
    """Colour a text, and write the page."""
    from ..host.files import write_in_one_step
    from ..text.show import coloured, divided, tokens_page

    if args.html and args.html.is_dir():
        raise UserError(f"--html {args.html} is a folder; name a file in it, such as "
                        f"{args.html / 'page.html'}")
    tokenizer = _load(args)
    with _naming_options(_options_of_use):
        text = _text(args)
        ids, offsets = tokenizer.encode_with_offsets(text, special=_special(args))
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print((coloured if colours else divided)(text.translate(PICTURES), ids, offsets))
    size = len(text.encode())
    print(f"{len(text):,} characters, {size:,} bytes, {len(ids):,} tokens: "
          f"{size / max(len(ids), 1):.2f} bytes a token")
    if args.html:
        args.html.parent.mkdir(parents=True, exist_ok=True)
        write_in_one_step(args.html, [tokens_page(tokenizer, text, ids, offsets).encode()])
        print(f"wrote {args.html}; open it in a browser")
    return 0


def convert(args: argparse.Namespace) -> int:
    """Write a tokenizer in another format."""
    from ..text.formats import save_tokenizer

    if args.format not in IN_FOLDERS and args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file in it")
    files = [args.out / name for name in IN_FOLDERS[args.format]] if args.format in IN_FOLDERS \
        else [args.out]
    if not args.force and (there := next((path for path in files if path.exists()), None)):
        raise UserError(f"{there} exists; name another --out, or give --force to replace it")
    tokenizer = _load(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, args.out, args.format)
    print(f"wrote {args.out}")
    if args.format == "tiktoken":
        print(f"rank files have no special tokens and do not say where text is cut; unless it is a "
              f"published one, load it with --pattern {_pattern_of(tokenizer)}")
    return 0


def _pattern_of(tokenizer: Tokenizer) -> str:
    """Return the name of the pattern that cuts text, or the pattern as a shell takes it."""
    from ..text.cut.patterns import PATTERNS

    pattern = tokenizer.pattern or ""
    return next((name for name, known in PATTERNS.items() if known == pattern),
                shlex.quote(pattern))
