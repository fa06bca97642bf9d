"""Between a tokenizer and a model that writes: ids to begin with, and text as the ids come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..host.errors import UserError
from ..text.tokenizer import Tokenizer


def prompt_ids(tokenizer: Tokenizer, prompt: str | None = None, template: bool = False
               ) -> list[int]:
    """Return the ids that the model goes on from: those of `prompt`, one or more.

    With the `template`, those that the tokenizer puts around texts are among them. Without a prompt
    a text begins as texts begin in training; see `Tokenizer.beginning`. Raises UserError where the
    tokenizer has no ids for the prompt.
    """
    ids = tokenizer.beginning() if prompt is None else tokenizer.encode(prompt, template=template)
    if not ids:
        raise UserError(f"the prompt {prompt!r} has no tokens; give another, or none")
    return ids


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of `ids` as they come; a character only when its last byte is there.

    Ids of the model that the tokenizer does not use, which an untrained model may draw, have no
    text. All that is yielded, joined, is what decoding all ids at once gives.
    """
    known = frozenset(tokenizer.vocab.values())
    decoder = tokenizer.stream_decoder()
    yield from (decoder.push(id) for id in ids if id in known)
    yield decoder.finish()
