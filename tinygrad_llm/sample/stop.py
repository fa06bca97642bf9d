"""Stop strings: a text ends before the first of them, however it is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """A text that comes in pieces and ends where a stop string is complete.

    The stop string that is complete first ends it; of several that end at the same character, the
    longest. Of "aaab" with the stop "aab" the text is "a"; of "abcd" with "bcd" and "bc" too. Each
    piece that is shown is final: characters with which a stop string may begin are held back.

    >>> text = StopStrings(["\\n\\n", "User:"])
    >>> [text.push(piece) for piece in ("Yes.", "\\n", "No.\\nUs", "er: Hi")], text.found
    (['Yes.', '', '\\nNo.\\n', ''], 'User:')
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if "" in stops:
            raise ValueError("stop: a stop string must have at least one character, got ''")
        self.stops = tuple(stops)
        self.found: str | None = None
        self._held = ""

    def push(self, text: str) -> str:
        """Return what may be shown after another piece of text; nothing once a stop was found."""
        if self.found is not None:
            return ""
        text = self._held + text
        ends = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if ends:
            end, start = min(ends)
            self.found, self._held = text[start:end], ""
            return text[:start]
        held = max((n for stop in self.stops for n in range(1, len(stop))
                    if text.endswith(stop[:n])), default=0)
        shown = len(text) - held
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """Return what was held back, as no more text comes."""
        held, self._held = self._held, ""
        return held
