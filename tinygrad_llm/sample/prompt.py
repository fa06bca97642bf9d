"""Between a tokenizer and a model that writes: ids to begin with, and text as the ids come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..data.prepared import AnyTokenizer
from ..host.errors import UserError
from ..text import CharTokenizer
from ..text.special import end_of_text


def beginning(tokenizer: AnyTokenizer) -> str:
    """Return what a text without a prompt goes on from: a new line, where the model knows one."""
    if not isinstance(tokenizer, CharTokenizer):
        return "\n"
    return "\n" if "\n" in tokenizer.characters else tokenizer.characters[0]


def prompt_ids(tokenizer: AnyTokenizer, prompt: str | None = None) -> Sequence[int]:
    """Return the ids that the model goes on from: those of `prompt`, one or more.

    Without a prompt a text begins as texts begin in training: after the end of another, where the
    tokenizer has a token for that, or else on a new line.

    Raises UserError where the tokenizer has no ids for the prompt.
    """
    if isinstance(tokenizer, CharTokenizer):
        ids: Sequence[int] = tokenizer.encode(prompt or beginning(tokenizer)).tolist()
    elif prompt is None:
        end = end_of_text(tokenizer.special_tokens)
        ids = tokenizer.encode(beginning(tokenizer)) if end is None else [end]
        ids = ids or [min(tokenizer.vocab.values())]  # a tokenizer for which "\n" is nothing
    else:
        ids = tokenizer.encode(prompt)
    if not ids:
        raise UserError(f"the prompt {prompt!r} has no tokens; give another, or none")
    return ids


def stream_text(tokenizer: AnyTokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of `ids` as they come; a character only when its last byte is there.

    Ids of the model that the tokenizer does not use, which an untrained model may draw, have no
    text. All that is yielded, joined, is what decoding all ids at once gives.
    """
    if isinstance(tokenizer, CharTokenizer):
        yield from (tokenizer.decode([id]) for id in ids)
        return
    known = frozenset(tokenizer.vocab.values())
    decoder = tokenizer.stream_decoder()
    yield from (decoder.push(id) for id in ids if id in known)
    yield decoder.finish()
