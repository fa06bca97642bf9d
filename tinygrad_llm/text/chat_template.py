r"""A model's own chat template: Jinja2 that writes a conversation as one text, in a sandbox.

A template cannot say which of its text are control tokens and which is what a message says: all
becomes one string. So each conversation is rendered twice, and messages are told from the template
by *stand-ins*: private characters, one for each character that special tokens consist of.

    1. In messages, the first character of each special token's text has its stand-in; else they
       are as given, so that a template that trims, splits or compares them does what it does.
    2. In messages, each such character has its stand-in: no special token here can be theirs.

The special tokens of both must be the same, and are the template's own. They are not where a
template puts one together out of what messages say, or writes them by what it finds there.
In the first, stand-ins become the characters that they stand for, and the text between special
tokens is encoded as text.

A template is a program, and one of a stranger's may be hostile. The sandbox lets it reach nothing;
its loops are bounded by time, products and what it writes by length. Not so the memory of what it
keeps to itself: a text doubled again and again, or padded to any width, may take gigabytes.

Source: what templates may use is Hugging Face's definition, "Chat templates" in the documentation
of transformers: trimmed blocks, `break` and `continue`, `raise_exception`, `strftime_now`, `tojson`
that escapes nothing, and `{% generation %}` around what an assistant is trained on.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.errors import UserError, shortened
from ..host.time_limit import TimeLimit
from .special import AddedToken
from .tokenizer import Tokenizer

BEGIN, END = "\U0010fff0", "\U0010fff1"  # of what an assistant is trained on, in a rendered text
SECONDS = 10.0  # of computing, for a conversation
LONGEST = 10**7  # characters that a template may write, or make by multiplying


class ChatTemplate:
    """A chat template in Jinja2's language.

    names: the variables of special tokens, such as {"bos_token": "<s>"}. Raises UserError where
    Jinja2 is not installed, and for a template that is none, naming its line.

    >>> template = ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<user>Hello'
    """

    def __init__(self, source: str, names: Mapping[str, Any] | None = None) -> None:
        self.source, self.names = source, dict(names or {})
        self._template = _compiled(source)

    def render(self, messages: Sequence[Mapping[str, Any]], *, reply: bool = False,
               **variables: Any) -> str:
        """Return the conversation as the template writes it: to read, not to encode.

        reply: end with the beginning of an assistant's message. variables: what else the template
        knows, such as tools or enable_thinking. Raises UserError where the template fails or
        refuses the messages, naming its line.
        """
        ours = _stand_ins([BEGIN, END], self.source, messages)
        text = self._run(_mapped(messages, _defuse([BEGIN, END], ours)), reply, variables)
        return _without_spans(text)[0].translate(_back(ours))

    def encode(
        self, tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *,
        special: str = "refuse", reply: bool = False, **variables: Any,
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the N ids of a conversation, and which an assistant is trained on, both (N,).

        special: "refuse" the text of a special token in a message, or encode it as "text". The mask
        has the tokens of which a character stands between `{% generation %}` and its end; a
        template without them trains on none. The rest as in `render`, and UserError, too, for
        special tokens' texts under "refuse", naming the message, and where the template makes
        special tokens of what messages say.
        """
        if special not in ("refuse", "text"):
            raise UserError(f"encode: special={special!r} is neither 'refuse' nor 'text'; no "
                            "message may write control tokens")
        names = [BEGIN, END, *tokenizer.special_tokens]
        ours = _stand_ins(names, self.source, messages)
        if special == "refuse":
            _refuse(messages, names[2:])
        first = _mapped(messages, _defuse(names, ours))
        text, spans = _without_spans(self._run(first, reply, variables))
        second = [_apart(message, ours) for message in first]
        other, _ = _without_spans(self._run(second, reply, variables))
        if [*_specials(tokenizer, text)] != [*_specials(tokenizer, other)]:
            raise UserError("the chat template makes special tokens of what the messages say, or "
                            "writes them by what it finds there; that is not safe, so change it")
        ids, offsets = _encoded(tokenizer, text, text.translate(_back(ours)))
        mask = np.zeros(len(ids), bool)
        for start, end in spans:
            mask |= (offsets[:, 1] > start) & (offsets[:, 0] < end)
        return np.array(ids, np.int32), mask

    def _run(self, messages: Any, reply: bool, variables: Mapping[str, Any]) -> str:
        given = {"tools": None, "documents": None, **self.names, **variables}
        try:
            with TimeLimit(SECONDS, TimeoutError(f"it computes for more than {SECONDS:g} s")):
                return _joined(self._template.generate(
                    messages=messages, add_generation_prompt=reply, **given))
        except Exception as error:  # whatever a program can do wrong, a template can
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                     if frame.filename == "<template>"]
            place = f", line {lines[-1]}" if lines else ""
            raise UserError(f"the chat template{place}: {str(error) or type(error).__name__}; "
                            f"change the messages, or the template") from error


def _compiled(source: str) -> Any:
    """Return the template, ready to run in its sandbox."""
    try:
        from jinja2 import TemplateError, TemplateSyntaxError, nodes
        from jinja2.exceptions import SecurityError
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise UserError('a chat template needs Jinja2: pip install "tinygrad_llm[chat]"') from None

    class Generation(Extension):
        """`{% generation %}`: sets BEGIN and END around what is in it."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

        def _marked(self, caller: Any) -> str:
            return f"{BEGIN}{caller()}{END}"

    class Sandbox(ImmutableSandboxedEnvironment):
        """Jinja2's, where products are bounded: they are computed where no time limit ends them."""

        intercepted_binops = frozenset(["*", "**"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" or any(
                    hasattr(a, "__len__") and isinstance(b, int) and len(a) * b > LONGEST
                    for a, b in ((left, right), (right, left))):
                raise SecurityError(f"{operator} may take all memory or time")
            return super().call_binop(context, operator, left, right)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None,
               separators: tuple[str, str] | None = None, sort_keys: bool = False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    sandbox = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    sandbox.filters["tojson"] = tojson
    sandbox.globals |= {"raise_exception": raise_exception,
                        "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        return sandbox.from_string(source)
    except TemplateSyntaxError as error:
        raise UserError(f"the chat template, line {error.lineno}: {error.message}; correct it, or "
                        f"fetch the model anew") from error


def _joined(pieces: Iterable[str]) -> str:
    """Return what a template writes. ValueError where it is more than `LONGEST`."""
    found, length = [], 0
    for piece in pieces:
        found.append(piece)
        if (length := length + len(piece)) > LONGEST:
            raise ValueError(f"it writes more than {LONGEST:,} characters")
    return "".join(found)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of plain data with its texts changed; without what is None in a mapping.

    Keys, too, are texts: `role`, which has no special token in it, stays as it is.
    """
    if isinstance(value, str):
        return change(str(value))
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _mapped(item, change)
                for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_mapped(item, change) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise UserError(f"a message holds {shortened(value)}; expected text, numbers, lists and "
                    "mappings")


def _texts(value: Any) -> list[str]:
    """Return all texts in plain data."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _mapped(value, note)
    return found


def _pattern(names: Sequence[str]) -> re.Pattern[str]:
    """Return what matches a character where one of the names begins, the longest first."""
    if not names:
        return re.compile("(?!)")
    firsts, ordered = "".join({name[0] for name in names}), sorted(names, key=len, reverse=True)
    return re.compile(f"(?=[{re.escape(firsts)}])(?=({'|'.join(map(re.escape, ordered))})).",
                      re.DOTALL)


def _refuse(messages: Sequence[Any], names: Sequence[str]) -> None:
    pattern = _pattern(names)
    for place, message in enumerate(messages):
        for text in _texts(message):
            if match := pattern.search(text):
                raise UserError(
                    f"message {place} contains the special token {match[1]!r} at position "
                    f'{match.start()}; pass special="text" to encode it as plain text, or take it '
                    "out")


def _stand_ins(names: Sequence[str], source: str, messages: Any) -> dict[str, str]:
    """Return a private character for each one of the names', which nothing else here has."""
    if not isinstance(messages, (list, tuple)) or not all(
            isinstance(message, Mapping) for message in messages):
        raise UserError('a conversation is a list of {"role": ..., "content": ...}')
    used = set(source).union(BEGIN, END, *_texts(messages))
    free = (c for c in map(chr, range(0xF0000, 0x10FFFE)) if c not in used)
    return {character: next(free) for character in sorted(set("".join(names)))}


def _defuse(names: Sequence[str], ours: Mapping[str, str]) -> Callable[[str], str]:
    """Return the function that sets stand-ins into a text where one of the names begins."""
    pattern = _pattern(names)
    return lambda text: pattern.sub(lambda match: ours[match[0]], text)


def _apart(part: Any, ours: Mapping[str, str]) -> Any:
    """Return a message, or a part of one, with stand-ins for all that special tokens consist of."""
    table = {ord(c): stand_in for c, stand_in in ours.items() if not c.isspace()}
    return {key: item.translate(table) if key in ("content", "text") and isinstance(item, str)
            else [_apart(one, ours) if isinstance(one, dict) else one for one in item]
            if isinstance(item, list) else item for key, item in part.items()}


def _back(ours: Mapping[str, str]) -> dict[int, str]:
    return {ord(stand_in): character for character, stand_in in ours.items()}


def _without_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without BEGIN and END, and the spans between them there."""
    parts = re.split(f"([{BEGIN}{END}])", text)
    spans, starts, length = [], [], 0
    for part in parts:
        if part == BEGIN:
            starts.append(length)
        elif part == END and starts:
            spans.append((starts.pop(), length))
        elif part != END:
            length += len(part)
    return re.sub(f"[{BEGIN}{END}]", "", text), spans


def _specials(tokenizer: Tokenizer, text: str) -> Iterator[int]:
    """Yield the ids of the special tokens in a text, which the tokenizer would find."""
    for piece, _, _ in tokenizer.added.split(text, "allow"):
        if isinstance(piece, str) and tokenizer.normalizer:
            piece = tokenizer.normalizer(piece)
        found = ([(piece, 0, 0)] if isinstance(piece, AddedToken)
                 else tokenizer.added.split_normalized(piece, "allow"))
        yield from (t.id for t, _, _ in found if isinstance(t, AddedToken) and t.special)


def _encoded(tokenizer: Tokenizer, marked: str, text: str
             ) -> tuple[list[int], NDArray[np.int64]]:
    """Return the ids and spans of a rendered text, and of it with stand-ins, as text between."""
    if marked == text:  # in one go, as Hugging Face has it
        return tokenizer.encode_with_offsets(text, special="allow")
    ids: list[int] = []
    offsets = [np.zeros((0, 2), np.int64)]
    for piece, start, end in tokenizer.added.split(marked, "allow"):
        found, places = [], np.array([[0, end - start]])
        if isinstance(piece, AddedToken):
            found = [piece.id]
        else:
            found, places = tokenizer.encode_with_offsets(text[start:end], special="text")
            for name, id in tokenizer.special_tokens.items():
                if id in found and name in text[start:end]:
                    raise UserError(f"the tokenizer makes the control token {name!r} of ordinary "
                                    "text; it is not fit for chat")
        ids += found
        offsets.append(places + start)
    return ids, np.concatenate(offsets)
