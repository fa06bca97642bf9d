"""`tinygrad-llm data`: make clean tokens of raw files, look at them, check them."""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError, quoted

if TYPE_CHECKING:
    from ..data.build.plan import BuildSettings

Verbs = Any  # the types of add_subparsers and add_argument_group have no public name
Group = Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own verbs and their arguments."""
    parser.description = "Make clean tokens of raw files, look at them, check them."
    parser.epilog = ("examples:\n  tinygrad-llm data build my_texts --out built\n"
                     "  tinygrad-llm data show built\n  tinygrad-llm data check built")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_build(verbs)
    show_parser = verbs.add_parser("show", help="describe a text or a built folder")
    show_parser.add_argument("data", nargs="?", default="shakespeare", metavar="DATA", help=(
        "a built folder, a text file, a folder of them, or 'shakespeare' (shakespeare)"))
    show_parser.add_argument("--text", type=Path, metavar="FILE",
                             help="write the plain text to a file")
    show_parser.set_defaults(verb=show)
    check_parser = verbs.add_parser("check", help="verify every file of a built folder",
                                    description="Verify every file of a built folder: 0 where all "
                                                "is well, 1 with a sentence for each fault.")
    check_parser.add_argument("folder", type=Path, metavar="DIR", help="the built folder")
    check_parser.set_defaults(verb=check)


def _add_build(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "build", help="turn raw files into clean, deduplicated token shards",
        description="Turn raw files into clean, deduplicated token shards and their tokenizer, "
                    "for\n'tinygrad-llm train --data DIR'. Stopped, it goes on when it is called "
                    "again.",
        epilog="example: tinygrad-llm data build texts archive.zip web.jsonl --out built "
               "--languages en")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=(
        "files, folders or patterns of .txt .md .html .jsonl .csv .tsv .parquet, also in .zip "
        ".tar.gz .gz .zst; '-' for standard input, or 'shakespeare'"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    _add_token_arguments(parser.add_argument_group("tokens"))
    _add_selection_arguments(parser.add_argument_group("what is kept"))
    how = parser.add_argument_group("how it is done; none of these changes the result")
    how.add_argument("--workers", type=int, metavar="N", help="processes (all cores)")
    how.add_argument("--overwrite", action="store_true",
                     help="replace a finished build of other settings or input")
    how.add_argument("--keep-work", action="store_true",
                     help="keep DIR/work, so that later builds redo only what has changed")
    parser.set_defaults(verb=build)


def _add_token_arguments(group: Group) -> None:
    group.add_argument("--tokenizer", metavar="PATH",
                       help="a tokenizer's file or folder (default: one is trained)")
    group.add_argument("--vocab-size", type=int, metavar="N",
                       help="ids of the tokenizer that is trained (8192)")
    group.add_argument("--pattern", metavar="NAME", help=(
        "what it splits text by: gpt2, cl100k, o200k, llama3, qwen2, or a regular expression "
        "(gpt2)"))
    group.add_argument("--shard-tokens", type=int, metavar="N", help="tokens in a file (2**25)")


def _add_selection_arguments(group: Group) -> None:
    group.add_argument("--rules", metavar="NAME",
                       help="quality rules: gopher, c4, both as gopher,c4, light or none (light)")
    group.add_argument("--languages", metavar="CODES", help="as en,de (all)")
    group.add_argument("--keep-pii", action="store_const", const=True,
                       help="leave mail addresses, phone and IP numbers as they are")
    near = group.add_mutually_exclusive_group()
    near.add_argument("--near-duplicates", type=float, metavar="X",
                      help="similarity from which on a document is left out (0.8)")
    near.add_argument("--no-near-duplicates", action="store_true",
                      help="leave out exact duplicates only")
    group.add_argument("--decontaminate", nargs="+", metavar="FILE",
                       help="leave out documents that share 13 words in a row with these files")
    group.add_argument("--validation-share", type=float, metavar="X",
                       help="share of the documents to validate on (0.01)")
    group.add_argument("--seed", type=int, metavar="N", help="draws those documents (0)")
    group.add_argument("--text-key", metavar="KEY",
                       help="the field of .jsonl, .csv and .parquet files that holds the text")


def build(args: argparse.Namespace) -> int:
    """Build a folder of tokens, and say what became of the documents."""
    from ..data.build.run import build as build_folder

    try:
        report = build_folder(_build_settings(args), args.out, workers=args.workers,
                              overwrite=args.overwrite, keep_work=args.keep_work)
    except KeyboardInterrupt:
        print(f"\nstopped; what is done stays in {args.out / 'work'}, and the same command goes "
              "on from there", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"no space is left on the disk of {args.out}; make room there, and give "
                        "the same command again to go on") from error
    print(summary(report))
    print(f"\n{args.out} is ready; {args.out / 'report.html'} has more\n"
          f"train on it: tinygrad-llm train --data {quoted(args.out)}")
    return 0


def _build_settings(args: argparse.Namespace) -> BuildSettings:
    """Return the settings that the arguments ask for. Raises UserError for those that clash."""
    from ..data.build.plan import BuildSettings

    given = {name: getattr(args, name) for name in (
        "tokenizer", "vocab_size", "pattern", "shard_tokens", "rules", "keep_pii",
        "near_duplicates", "validation_share", "seed", "text_key")}
    given = {name: value for name, value in given.items() if value is not None}
    if args.tokenizer and (args.vocab_size or args.pattern):
        raise UserError("--vocab-size and --pattern are for a tokenizer that is trained; leave "
                        "them out, or --tokenizer")
    if args.no_near_duplicates:
        given["near_duplicates"] = None
    if args.languages is not None:
        given["languages"] = tuple(sorted(filter(None, args.languages.lower().split(","))))
    return BuildSettings(sources=tuple(args.sources),
                         decontaminate=tuple(args.decontaminate or ()), **given)


def summary(report: dict[str, Any]) -> str:
    """Return a report in a few lines."""
    from ..data.read.text_pieces import IN_DOUBT

    after = {row["stage"]: row for row in report["funnel"]}
    tokens, duplicates = report["tokens"], report["duplicates"]
    lines = [("documents read", after["read"]["documents"], _size(after["read"]["bytes"]))]
    lines += [(f"  dropped: {code}", -entry["documents"], entry["why"])
              for code, entry in report["dropped"].items()]
    lines += [(f"  {kind} duplicates", -duplicates[kind]["documents"], "")
              for kind in ("exact", "near") if duplicates[kind]["documents"]]
    if report["contaminated"]["documents"]:
        lines.append(("  in evaluation files", -report["contaminated"]["documents"], ""))
    lines += [("documents kept", after["decontaminated"]["documents"],
               _size(after["decontaminated"]["bytes"])),
              ("tokens to train on", tokens["train"]["tokens"],
               f"{after['training']['documents']:,} documents"),
              ("tokens to validate on", tokens["val"]["tokens"],
               f"{after['validation']['documents']:,} documents" if tokens["train"]["documents"] > 1
               or not tokens["val"]["tokens"] else "the end of the only document")]
    for code, entry in report["unreadable"].items():
        names = ", ".join(entry.get("examples", ()))  # older reports have none
        lines.append((f"{'in doubt' if code in IN_DOUBT else 'not read'}: {code}", entry["count"],
                      entry["why"] + f"; for example {names}" * bool(names)))
    wide = max(len(name) for name, _, _ in lines)
    rows = [f"{name:{wide}} {number:>14,}  {more}".rstrip() for name, number, more in lines]
    return "\n".join([*rows, f"{'bytes a token':{wide}} {tokens['bytes_per_token']:>14.2f}  "
                             f"{tokens['vocab_size']:,} ids"])


def _size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


def show(args: argparse.Namespace) -> int:
    """Describe a built folder, or a text; write the text where asked."""
    from ..data import read_corpus
    from ..data.tokens.shards import holds_shards

    folder = Path(args.data)
    if args.data != "shakespeare" and ((folder / "report.json").is_file()
                                       or holds_shards(folder / "train")):
        if args.text:
            raise UserError(f"--text is for a text, and {args.data} is a built folder")
        return _show_built(folder)
    text = read_corpus(args.data)
    characters = "".join(sorted(set(text)))
    print(f"{args.data}: {len(text):,} characters, {text.count(chr(10)):,} lines, "
          f"{len(characters)} different characters:\n"
          f"{characters.encode('unicode_escape').decode()}\n\n{text[:300]}...")
    if args.text:
        args.text.write_text(text, encoding="utf-8")
    return 0


def _show_built(folder: Path) -> int:
    from ..data.build.result import read_report, samples

    print(summary(read_report(folder)))
    for title, text in samples(folder):
        print(f"\n--- {title}\n{text}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print every fault of a built folder; return 1 where there is one."""
    from ..data.build.result import faults

    found = faults(args.folder)
    for fault in found:
        print(fault)
    if found:
        print(f"{len(found)} fault{'s' * (len(found) > 1)}; build {args.folder} again")
        return 1
    print(f"{args.folder}: all files are as they were built")
    return 0
