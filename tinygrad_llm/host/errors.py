"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """A mistake in what the user gave: missing data, a wrong flag, a file of another kind.

    Its message is complete by itself and names the way out, so the command line prints it without
    a traceback and exits with 2. A mistake of the calling code is a plain ValueError instead.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(known)}"


def quoted(path: str | Path) -> str:
    """Return a path as a command for the shell may hold it."""
    return shlex.quote(str(path))


def shortened(value: Any) -> str:
    """Return `value` as a message may hold it: not too long, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no whole number of more than 4,300 digits
        return f"a {type(value).__name__} too large to be written"
    return text if len(text) <= 80 else f"{text[:77]}..."
