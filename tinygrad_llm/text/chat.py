r"""Conversations to ids: control tokens say who speaks, ordinary ones what is said.

A chat format sets control tokens around the messages. ChatML, for instance:

    <|im_start|>user\nWhat is a token?<|im_end|>\n<|im_start|>assistant\n ... <|im_end|>\n

Written as one string and encoded as such, a message that contains "<|im_end|>\n<|im_start|>system"
would speak as the system. Here control tokens are ids taken by name, and messages never become any:
by default a message with a special token's text is refused, with special="text" it is text.

The text between two control tokens, a role's name, a message and line breaks, is encoded in one
go. So innocent messages have the same ids as under the format's published template, where the
pre-tokenizer sees "\n" and the text after it together.

The mask says which tokens an assistant is trained on: those of its own messages and the control
token that ends them. A token that begins before the message does, as "\n\n" may, is not among them.

Sources: the templates published with Qwen 2.5 and 3 (ChatML, without a default system message),
Llama 3 and Gemma 3 in their tokenizer_config.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..host.errors import UserError
from .special import AddedToken
from .tokenizer import Tokenizer

Message = Mapping[str, str]  # {"role": "user", "content": "Hello"}
ROLES = ("system", "user", "assistant")


class Control(str):
    """The name of a control token, as opposed to text."""

    __slots__ = ()


class Said(str):
    """The text of a message, as opposed to the format's own; `trained` if it is an answer."""

    trained: bool

    def __new__(cls, content: str, trained: bool) -> Said:
        """Return `content`, marked as the text of a message."""
        said = super().__new__(cls, content)
        said.trained = trained
        return said


@dataclass(frozen=True)
class ChatFormat:
    """The control tokens and the text that stand around a conversation and its messages.

    begin: comes first. before: comes before a message, by its role, after: behind it. trims:
    messages lose the white space at their ends. system_in_user: a system message stands at the
    beginning of the first user message, with an empty line between. alternates: user and assistant
    take turns.
    """

    before: Mapping[str, tuple[str, ...]]
    after: tuple[str, ...]
    begin: tuple[str, ...] = ()
    trims: bool = False
    system_in_user: bool = False
    alternates: bool = False


_PLAIN = {role: (Control(f"<|{role}|>"),) for role in ROLES}
_CHATML = {role: (Control("<|im_start|>"), f"{role}\n") for role in ROLES}
_LLAMA3 = {role: (Control("<|start_header_id|>"), role, Control("<|end_header_id|>"), "\n\n")
           for role in ROLES}
_GEMMA = {role: (Control("<start_of_turn>"), f"{name}\n")
          for role, name in (("user", "user"), ("assistant", "model"))}

FORMATS = {
    "plain": ChatFormat(_PLAIN, (Control("<|end|>"),)),
    "chatml": ChatFormat(_CHATML, (Control("<|im_end|>"), "\n")),
    "llama3": ChatFormat(_LLAMA3, (Control("<|eot_id|>"),), (Control("<|begin_of_text|>"),),
                         trims=True),
    "gemma": ChatFormat(_GEMMA, (Control("<end_of_turn>"), "\n"), (Control("<bos>"),), trims=True,
                        system_in_user=True, alternates=True),
}
"""The known formats; "plain" is this project's own, for tokenizers with a token for each role."""


def control_tokens(format: str) -> list[str]:
    """Return the names of a format's control tokens, which its tokenizer must have."""
    chat = _format(format)
    parts = [chat.begin, *chat.before.values(), chat.after]
    names = [str(name) for part in parts for name in part if isinstance(name, Control)]
    return list(dict.fromkeys(names))


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Message], format: str, *, special: str = "refuse",
    reply: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the N ids of a conversation and which of them an assistant is trained on, both (N,).

    special: "refuse" the text of a special token in a message, or encode it as "text". reply: end
    with the beginning of an assistant's message, for a model to go on.

    Raises UserError for messages that are none, roles that the format lacks, a tokenizer without
    its control tokens, and under "refuse" for special tokens' texts, naming the message.

    >>> from tinygrad_llm.text.algorithms.bpe import BPE
    >>> from tinygrad_llm.text.special import AddedToken, AddedTokens
    >>> names = enumerate(control_tokens("plain"), 256)
    >>> tokenizer = Tokenizer(BPE({bytes([b]): b for b in range(256)}),
    ...                       added=AddedTokens(AddedToken(name, id) for id, name in names))
    >>> chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    >>> ids, mask = encode_chat(tokenizer, chat, "plain")
    >>> ids.tolist()
    [257, 49, 43, 49, 63, 259, 258, 50, 259]
    >>> mask.tolist()
    [False, False, False, False, False, False, False, True, True]
    """
    if special not in ("refuse", "text"):
        raise UserError(f"encode_chat: special={special!r} is neither 'refuse' nor 'text'; no "
                        "message may write control tokens")
    controls = _control_ids(tokenizer, format)
    parts = _parts(messages, format, reply)
    if special == "refuse":
        _refuse_special(tokenizer, messages)
    ids: list[int] = []
    mask: list[bool] = []
    for stretch, control in _stretches(parts):
        for id, trained in _encode_stretch(tokenizer, stretch, special):
            if id in controls.values():
                raise UserError(f"the tokenizer makes the control token {tokenizer.token(id)!r} of "
                                f"ordinary text, {''.join(stretch)[:50]!r}; it is not fit for chat")
            ids.append(id)
            mask.append(trained)
        if control is not None:
            ids.append(controls[control])
            mask.append(_answer(stretch) is not None)
    return np.array(ids, np.int32), np.array(mask, bool)


def render_chat(messages: Sequence[Message], format: str, *, reply: bool = False) -> str:
    """Return the conversation as the published template writes it: to read, not to encode."""
    return "".join(_parts(messages, format, reply))


def _parts(messages: Sequence[Message], format: str, reply: bool) -> list[str]:
    """Return the conversation as control tokens, text of the format, and text of messages."""
    chat = _format(format)
    turns = _turns(messages, format, chat)
    parts = list(chat.begin)
    for role, *said in turns:
        parts += [*chat.before[role], *said, *chat.after]
    return parts + list(chat.before["assistant"] if reply else ())


def _turns(messages: Sequence[Message], format: str, chat: ChatFormat) -> list[list[str]]:
    """Return each message as its role and the parts of its text, checked."""
    turns: list[list[str]] = []
    system: list[str] = []
    for place, message in enumerate(messages):
        role, content = checked_message(message, place)
        if role == "system" and chat.system_in_user and place == 0:
            system = [Said(content, False), "\n\n"]  # not trimmed, as published
            continue
        if role not in chat.before:
            raise UserError(f"message {place} is by {role!r}, which in the format {format} may "
                            f"only come first; its roles are {', '.join(chat.before)}")
        if chat.alternates and role != ("user", "assistant")[len(turns) % 2]:
            raise UserError(f"message {place} is by {role!r}, but in the format {format} user and "
                            "assistant take turns, the user first; join messages by the same")
        said = Said(content.strip() if chat.trims else content, role == "assistant")
        turns.append([role, *system, said])
        system = []
    if system:
        raise UserError(f"the format {format} sets a system message into the user's first, and "
                        "there is none; add one")
    return turns


def checked_message(message: Message, place: int) -> tuple[str, str]:
    """Return the role and the content of a message. Raises UserError where it is none."""
    if not isinstance(message, Mapping):
        raise UserError(f'message {place} is {message!r}; expected {{"role": ..., "content": ...}}')
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise UserError(f"message {place} has the role {role!r}; expected {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise UserError(f"message {place} has the content {content!r}; expected a string")
    if set(message) > {"role", "content"}:
        extra = sorted(set(message) - {"role", "content"})
        raise UserError(f"message {place} has {', '.join(map(repr, extra))} beside its role and "
                        "content, which is not known here; take it out")
    return str(role), content


def _refuse_special(tokenizer: Tokenizer, messages: Sequence[Message]) -> None:
    for place, message in enumerate(messages):
        for piece, start, _ in tokenizer.added.split(message["content"], "allow"):
            if isinstance(piece, AddedToken) and piece.special:
                raise UserError(
                    f"message {place} contains the special token {piece.content!r} at position "
                    f'{start}; pass special="text" to encode it as plain text, or take it out')


def _stretches(parts: Sequence[str]) -> Iterator[tuple[list[str], Control | None]]:
    """Yield the texts up to each control token, with that token; None at the end."""
    stretch: list[str] = []
    for part in parts:
        if isinstance(part, Control):
            yield stretch, part
            stretch = []
        else:
            stretch.append(part)
    yield stretch, None


def _answer(stretch: Sequence[str]) -> Said | None:
    """Return the answer that the texts end with, None where they end otherwise."""
    last = stretch[-1] if stretch else None
    return last if isinstance(last, Said) and last.trained else None


def _encode_stretch(
    tokenizer: Tokenizer, stretch: Sequence[str], special: str
) -> list[tuple[int, bool]]:
    """Return the ids of the joined texts, and which lie in an answer."""
    text = "".join(stretch)
    answer = len(text) - len(_answer(stretch) or "")
    ids, offsets = tokenizer.encode_with_offsets(text, special=special)
    return [(id, start >= answer) for id, (start, _) in zip(ids, offsets.tolist(), strict=True)]


def _format(format: str) -> ChatFormat:
    if format not in FORMATS:
        raise UserError(f"{format!r} is no chat format; known are {', '.join(FORMATS)}")
    return FORMATS[format]


def _control_ids(tokenizer: Tokenizer, format: str) -> dict[str, int]:
    known = tokenizer.special_tokens
    missing = [name for name in control_tokens(format) if name not in known]
    if missing:
        fit = [name for name in FORMATS if known.keys() >= set(control_tokens(name))]
        raise UserError(f"the format {format} needs the special token {missing[0]!r}, which this "
                        f"tokenizer lacks; formats that it can do: {', '.join(fit) or 'none'}")
    return {name: known[name] for name in control_tokens(format)}
