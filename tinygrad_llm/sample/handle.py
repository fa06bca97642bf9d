"""A text that is being written: its prompt, its options, and what there is of it so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.backend import Array

from ..text.tokenizer import Tokenizer
from .chooser import Choice, Chooser
from .options import Sampling
from .prompt import AnswerStream
from .stop import StopStrings


class Handle:
    """A text that a `Batcher` writes: it grows with each step in which a token of it is chosen.

    - `prompt`, `sampling`: those of `Batcher.add`, the prompt cut where it was to be cut; under
      `past_context="stop"`, `max_tokens` is at most what the context has room for.
    - `ids`: the tokens written so far, without one of `sampling.ends`; `choices`: their
      log-probabilities, where `sampling.logprobs` asks for them.
    - `text`: with a tokenizer, the text of `ids` in whole characters. It ends before a stop string,
      and as long as more may come, before what may become one.
    - `reason`: None while it goes on; then "end" (one of `sampling.ends` was chosen, or nothing can
      follow under the constraint), "stop" (a stop string was written), "length" (`max_tokens`),
      "cancelled", or "error", with what was raised in `error`.
    """

    def __init__(self, owner: object, prompt: list[int], sampling: Sampling, config: Any,
                 tokenizer: Tokenizer | None, begins: bool,
                 rng: np.random.Generator | None) -> None:
        self.owner, self.prompt, self.sampling = owner, prompt, sampling
        self.text = ""
        self.reason: str | None = None
        self.error: Exception | None = None
        self._config, self._tokenizer, self._begins = config, tokenizer, begins
        self._rng, self._seed = rng, sampling.seed
        self._read = 0  # characters that `read` has given
        self.chooser: Any = None  # a Chooser when it gets a row: some are large
        self.start = 0  # the place in `chooser.ids` of the first id that the model sees
        self.kept = 0  # positions from there on that are in the cache
        self._mark: tuple[int, Any] | None = None

    @property
    def ids(self) -> list[int]:
        """The tokens written so far."""
        return [] if self.chooser is None else [*self.chooser.ids[len(self.prompt) :]]

    @property
    def choices(self) -> list[Choice]:
        """The log-probabilities of the tokens written so far."""
        return [] if self.chooser is None else [*self.chooser.choices]

    @property
    def done(self) -> bool:
        """Whether no more will be written."""
        return self.reason is not None

    def read(self) -> str:
        """Return the text that came after the last call."""
        start, self._read = self._read, len(self.text)
        return self.text[start:]

    # The rest is the batcher's.

    @property
    def positions(self) -> int:
        """The positions of a row of the cache that it needs at most."""
        most, context = self.sampling.max_tokens, int(self._config.context)
        return context if most is None else min(len(self.prompt) + most, context)

    @property
    def seen(self) -> list[int]:
        """The ids that the model sees, the last one that was written among them."""
        return [*self.chooser.ids[self.start :]]

    @property
    def begun(self) -> int:
        """The length at which what the model sees began: of the prompt, or of a window that moved.

        It is the same after an interrupt, when more is read at once.
        """
        context = int(self._config.context)
        return context + 1 - (context + 1) // 2 if self.start else len(self.prompt)

    @property
    def left(self) -> int:
        """How many of these it has not read."""
        return len(self.chooser.ids) - self.start - self.kept

    @property
    def next_id(self) -> int:
        """The first of those."""
        return self.chooser.ids[self.start + self.kept]  # type: ignore[no-any-return]

    @property
    def room(self) -> int:
        """How many more ids the next call of the model may read, of which each is written."""
        room, most = self._config.context - len(self.chooser.ids) + self.start, (
            self.sampling.max_tokens)
        return int(room if most is None else min(room, most - self.chooser.written - 1))

    def mark(self) -> None:
        """Begin a step with a draft: cut short by an interrupt, it is written again from here.

        It draws more or fewer numbers than it writes tokens, and which, depends on where it begins.
        """
        if self._rng is None:
            self._mark = len(self.chooser.ids), self.chooser.rng.bit_generator.state

    def begin(self) -> None:
        """Make what the next choice depends on. After an interrupt: anew, from the ids there are.

        An interrupt may have come between any two lines, but a token is written by one of them, and
        where that is not enough, `mark` says how far to go back.
        """
        former = self.chooser
        if self._rng is None and self._seed is None:
            self._seed = np.random.SeedSequence().generate_state(1, np.uint64).item()
        rng = self._rng or np.random.Generator(np.random.Philox(self._seed))
        chooser = Chooser(self.sampling, self.prompt, self._config.vocab_size, rng)
        if former is not None:
            stop, state = self._mark or (None, None)
            written = former.ids[len(self.prompt) : stop]
            for id in written:
                if self._rng is None:
                    rng.random()  # which chose it
                chooser.take(id)
            if state is not None:
                rng.bit_generator.state = state
            chooser.choices = former.choices[: len(written)]
        self._stops = StopStrings(self.sampling.stop)
        alone = self._begins and self.sampling.constraint is None  # whose text is never a beginning
        self._decoder = None if self._tokenizer is None else AnswerStream(
            self._tokenizer, () if alone else self.prompt)
        self._decoded = len(self.prompt)
        self.chooser, self.start, self.kept = chooser, 0, 0
        self._go_on("")

    def take(self, token: int, logits: Array) -> None:
        """Write a token that was chosen by the model's logits (V,), or end with it."""
        if token in self.sampling.ends:
            self.end("end")
        else:
            self.chooser.take(token, logits)
            self._go_on(self.text)

    def _go_on(self, text: str) -> None:
        """Add what is new to the text, move the window, and end where it is time."""
        sampling, ids = self.sampling, self.chooser.ids
        if self._decoder is not None:
            for id in ids[self._decoded:]:
                self._decoded += 1
                text += self._stops.push(self._decoder.push(id))
            self.text = text
        if self._stops.found is not None:
            self.end("stop")
        elif len(ids) - len(self.prompt) == sampling.max_tokens:
            self.end("length")
        elif self.chooser.finished:
            self.end("end")
        context = self._config.context
        while len(ids) - self.start > context:
            self.start += (context + 1) // 2
            self.kept = 0

    def end(self, reason: str, error: Exception | None = None) -> None:
        """Write no more."""
        if self.reason is None:
            if self.chooser is not None and self._decoder is not None:
                tail = self._stops.push(self._decoder.finish())
                self.text += tail + self._stops.finish()
            self.error, self.reason = error, reason
