"""`tinygrad-llm presets`: the settings of each preset, all of them."""

from __future__ import annotations

import argparse

from ..host.errors import UserError, did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Print every setting of the presets of 'train', those that differ from "
                          "the defaults\nmarked with *.")
    parser.epilog = "example: tinygrad-llm presets tiny baby"
    parser.add_argument("names", nargs="*", metavar="PRESET", help="which (all)")
    parser.set_defaults(verb=presets)


def presets(args: argparse.Namespace) -> int:
    """Print a table with a column for each preset; - stands for what it has no use for."""
    from ..train.config import PRESETS, make_config
    from ..train.settings import settings

    if unknown := next((name for name in args.names if name not in PRESETS), None):
        raise UserError(f"unknown preset {unknown!r}{did_you_mean(unknown, PRESETS)}")
    names = args.names or list(PRESETS)
    values = {name: make_config({"preset": name}).flat() for name in names}
    known = {setting: None for name in names for setting in settings(values[name]["arch"])
             if setting in values[name]}
    rows = [["", *names]] + [[setting, *(_shown(values[name].get(setting, "-"),
                                                setting in PRESETS[name])
                                         for name in names)] for setting in known]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names) + 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    return 0


def _shown(value: object, differs: bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value) or '""'
    return f"{text}{'*' if differs else ''}"
