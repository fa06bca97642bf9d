"""Lone surrogates: a Python string may hold them, a text may not."""

from __future__ import annotations

from ...host.errors import UserError


def refuse_lone_surrogates(text: str) -> None:
    """Raise UserError where `text` has one: it is no character, and UTF-8 cannot spell it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise UserError(
            f"the text has a lone surrogate, U+{ord(text[at]):04X}, at position {at}, which is no "
            'character; replace it with text.encode("utf-8", "replace").decode()'
        ) from None
