"""Added tokens: strings that become one id each, before any model sees the text.

A control token such as <|endoftext|> must never be cut into pieces, so it is looked for before the
text is split. Two searches find the leftmost token, and the longest of those that begin there. The
first runs over the raw text, for tokens with normalized=False. The second runs over the stretches
between, once normalised, for the normalised contents of the others. These are the exact rules of
Hugging Face's tokenizers (added_vocabulary.rs), so that files written for that library give the
same ids here.

A **special** token steers the model: a text that may contain one can end a document, or speak as
the assistant. So such a text is refused unless the caller decides, as in tiktoken:

    special="refuse"    raise, naming the token
    special="text"      leave its characters in the text, to be encoded like any others
    special="allow"     every special token becomes its id
    special={"<|a|>"}   these become their ids, any other raises

Added tokens that are not special are ordinary vocabulary, and are found under each rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

import regex

from ..host.errors import UserError
from .characters.unicode_16 import later

Special = str | Collection[str]
Piece = tuple["str | AddedToken", int, int]  # a stretch of text or a token, and where it lies

END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>", "[SEP]", "<|im_end|>")  # of known models
RULES = ("refuse", "text", "allow")
SHOWN = 5
WORD = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")  # UTS 18's \w
SPACES = regex.compile(r"\p{White_Space}*")  # without U+001C to U+001F, which str.isspace has


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A string that becomes `id`.

    single_word: not inside a longer word. lstrip, rstrip: takes the whitespace on its left, its
    right, with it. normalized: looked for in the normalised text rather than in the raw one.
    """

    content: str
    id: int
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class AddedTokens:
    """The added tokens of one tokenizer; `normalize` is its normaliser, None where it has none.

    Raises UserError where a token is empty or no text, or where two have the same content.

    >>> added = AddedTokens([AddedToken("<|end|>", 7)])
    >>> added.split("ab<|end|>", "text")
    [('ab<|end|>', 0, 9)]
    >>> [(start, end) for piece, start, end in added.split("ab<|end|>", "allow")]
    [(0, 2), (2, 9)]
    """

    def __init__(
        self,
        tokens: Iterable[AddedToken] = (),
        normalize: Callable[[str], str] | None = None,
    ) -> None:
        self.tokens = tuple(dict.fromkeys(tokens))  # a token listed twice counts once
        self.by_content = _by_content(self.tokens)
        self.special = {token.content: token.id for token in self.tokens if token.special}
        self._every = frozenset(self.special)
        # Of contents that normalise alike the special token's counts, or the first; HF has no rule.
        order = sorted(self.tokens, key=lambda token: not token.special)
        self._raw = Trie((t.content, t) for t in order if not t.normalized)
        self._normalized = Trie(
            (normalize(t.content) if normalize else t.content, t) for t in order if t.normalized
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def split(self, text: str, special: Special = "refuse") -> list[Piece]:
        """Return the raw `text` as stretches of text and the tokens between, with their spans.

        Raises UserError where `special` does not let a special token in the text pass, or is no
        rule at all.
        """
        return _split(text, self._raw, self._allowed(special), "the text")

    def split_normalized(self, text: str, special: Special = "refuse") -> list[Piece]:
        """Return a normalised stretch of `split`'s, split at the tokens with normalized=True."""
        return _split(text, self._normalized, self._allowed(special), "the normalised text")

    def _allowed(self, special: Special) -> frozenset[str] | None:
        """Return the special tokens that become ids, None where they are text; or UserError."""
        if isinstance(special, str):
            if special not in RULES:
                rules = ", ".join(map(repr, RULES))
                raise UserError(f"special={special!r} is none of {rules}, {NAMES_RULE}")
            return None if special == "text" else self._every if special == "allow" else NONE
        allowed = frozenset(special)
        unknown = sorted(repr(name) for name in allowed if name not in self.special)
        if unknown:
            raise UserError(
                f"special={{{unknown[0]}}} names no special token of this tokenizer, which has "
                f"{_some(self.special)}; take the name out, or spell it as the tokenizer does"
            )
        return allowed


def _by_content(tokens: Iterable[AddedToken]) -> dict[str, AddedToken]:
    """Return the tokens by their contents; UserError as in `AddedTokens`."""
    found: dict[str, AddedToken] = {}
    for token in tokens:
        if not token.content:
            raise UserError(f"the added token with id {token.id} is empty; take it out")
        if any("\ud800" <= char <= "\udfff" for char in token.content):
            raise UserError(f"the added token {token.content!r} has a lone surrogate, which no "
                            "text has; take it out")
        if token.content in found:
            raise UserError(f"the added token {token.content!r} is listed twice, with "
                            f"{_difference(found[token.content], token)}; take one of them out")
        found[token.content] = token
    return found


def _difference(a: AddedToken, b: AddedToken) -> str:
    """Return the settings that differ, such as "id 7 and 8"."""
    values = {field.name: (getattr(a, field.name), getattr(b, field.name)) for field in fields(a)}
    return ", ".join(f"{name} {x} and {y}" for name, (x, y) in values.items() if x != y)


def end_of_text(special: Mapping[str, int]) -> int | None:
    """Return the id of the special token that ends a text, None where no name is a known one.

    >>> end_of_text({"<s>": 1, "</s>": 2})
    2
    """
    return next((special[name] for name in ENDS if name in special), None)


NONE: frozenset[str] = frozenset()
NAMES_RULE = 'a collection of special tokens\' names, such as {"<|endoftext|>"}'


class Trie:
    """Finds the longest of many strings at a place, in time linear in its length.

    Node i is a dict from a character to the number of the next node; `values[i]` is the token of
    the string that ends there. The first of two equal strings counts.
    """

    def __init__(self, strings: Iterable[tuple[str, AddedToken]]) -> None:
        self.nodes: list[dict[str, int]] = [{}]  # flat: pickle would recurse into nested dicts
        self.values: list[AddedToken | None] = [None]
        for string, value in strings:
            node = 0
            for character in string:
                node = self.nodes[node].setdefault(character, len(self.nodes))
                if node == len(self.nodes):
                    self.nodes.append({})
                    self.values.append(None)
            if node and self.values[node] is None:  # a content may normalise to nothing
                self.values[node] = value
        # Only where a token may begin is the trie walked; the rest of the text goes at C speed.
        firsts = "".join(map(re.escape, self.nodes[0]))
        self.begins = re.compile(f"[{firsts}]") if firsts else None

    def longest(self, text: str, start: int) -> tuple[AddedToken | None, int]:
        """Return the token of the longest string at `start` in `text`, or None, and its end."""
        node, found, end = 0, None, start
        for place in range(start, len(text)):
            node = self.nodes[node].get(text[place], 0)
            if not node:
                break
            if self.values[node] is not None:
                found, end = self.values[node], place + 1
        return found, end


def _matches(text: str, trie: Trie, allowed: frozenset[str] | None, where: str
             ) -> Iterator[tuple[AddedToken, int, int]]:
    """Yield the tokens that count, with their places; UserError for one that is not allowed."""
    place = 0
    while trie.begins and (begin := trie.begins.search(text, place)):
        start = begin.start()
        token, end = trie.longest(text, start)
        place = max(end, start + 1)  # a match that does not count uses its characters up, as in HF
        if token is None or (token.special and allowed is None):
            continue
        if token.single_word and _in_a_word(text, start, end):
            continue
        if token.special and allowed is not None and token.content not in allowed:
            raise UserError(_refusal(token, start, where, allowed))
        yield token, start, end


def _split(text: str, trie: Trie, allowed: frozenset[str] | None, where: str) -> list[Piece]:
    """Return the tokens that count, with the white space that they take, and the text between."""
    pieces: list[Piece] = []
    done = 0  # the end of the last token
    white = 0  # the end of the last white space taken, scanned once for all tokens in it
    for token, start, end in _matches(text, trie, allowed, where):
        if token.lstrip:
            while start > done and SPACES.fullmatch(text, start - 1, start):
                start -= 1
            start = max(start, done)
        if token.rstrip:
            if end >= white:
                white = SPACES.match(text, end).end()
            end = white
        if done < start:
            pieces.append((text[done:start], done, start))
        # A token may begin within the whitespace that rstrip took. HF then gives that to both and
        # goes on from the end of the second, unless lstrip moved its beginning to the end of the
        # whitespace: then nothing is left of it. (Where it ends before that, HF panics.)
        if start < end:
            pieces.append((token, start, end))
        done = end
    if done < len(text):
        pieces.append((text[done:], done, len(text)))
    return pieces


def _in_a_word(text: str, start: int, end: int) -> bool:
    return any(WORD.match(char) and char not in later().all
               for char in (text[max(start - 1, 0):start], text[end:end + 1]))


def _refusal(token: AddedToken, start: int, where: str, allowed: frozenset[str]) -> str:
    but = f", and only {_some(allowed)} may be there" if allowed else ""
    return (
        f"{where} contains the special token {token.content!r} at position {start}{but}; "
        'pass special="text" to encode it as plain text, special="allow" to let every special '
        f"token in the text become its id, or special={{{token.content!r}}} to let this one"
    )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, sorted(names)[:SHOWN]))
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
