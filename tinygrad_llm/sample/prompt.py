"""Between a tokenizer and a model that writes: ids to begin with, and text as the ids come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..host.errors import UserError
from ..text.stream import LONGEST_BEGINNING
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


class AnswerStream:
    """The text of ids as they come, where they go on from a prompt's.

    A character is given out when its last byte is there. Behind a prompt, the first token keeps the
    space that a decoder takes from the beginning of a text, so that prompt and answer joined are
    the whole text. Ids of the model that the tokenizer does not use, which an untrained model may
    draw, have no text.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        self._tokenizer, self._stream = tokenizer, tokenizer.stream_decoder()
        for id in prompt[-LONGEST_BEGINNING:]:
            self.push(id)

    def push(self, id: int) -> str:
        """Return the characters that this id completes."""
        try:
            self._tokenizer.token(id)
        except ValueError:
            return ""
        return self._stream.push(id)

    def finish(self) -> str:
        """Return the rest: an unfinished character as U+FFFD."""
        return self._stream.finish()


def stream_text(tokenizer: Tokenizer, ids: Iterable[int], prompt: Sequence[int] = ()
                ) -> Iterator[str]:
    """Yield what each of the ids completes of a text behind a prompt, and at the end the rest."""
    stream = AnswerStream(tokenizer, prompt)
    yield from map(stream.push, ids)
    yield stream.finish()
