r"""Many texts at once: sequences enter and leave a running batch at any step.

A call of the model reads every weight once, for one sequence or for thirty, and in a call for one
it does little else. So all texts that are being written go through the model together, and none
waits for another: one that ends leaves its place to the next in the queue.

    batcher = Batcher(model, tokenizer)
    handles = [batcher.add(tokenizer.encode(prompt), Sampling(max_tokens=100))
               for prompt in prompts]
    batcher.run(handles)                     # or batcher.step(), as often as is wanted
    print(handles[0].text, handles[0].reason)

Each text is what it would be alone, up to rounding: rows of a batch do not see each other, and each
has its own generator. A step is

1. what has ended leaves, and what is queued enters, in order of arrival, as far as there is room;
2. a piece of each prompt that is still being read, `chunk` ids in all, so that a long prompt does
   not stall the others;
3. the next id of every sequence in one call: the token chosen last, or the next of its prompt;
4. a token is chosen for each sequence that the model has read to its end.

With a draft, `speculate` guesses what follows these sequences; their guesses are read in the same
call, and several tokens of each may be chosen at once.

The n sequences that are being written have the rows 0 to n - 1 of the cache: what leaves a row is
followed there by the next of the queue, or by the last row.

Source: Yu et al., "Orca", OSDI 2022, section 3.1 (iteration-level scheduling); Agrawal et al.,
"Sarathi-Serve", arXiv:2403.02310, section 4.1 (prompts in pieces).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from numbers import Integral
from operator import index
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from autograd import namespace, no_grad
from autograd.backend import Array
from autograd.tensor import values

from ..host.errors import shortened
from ..host.threads import workers_unless_open
from ..models import LanguageModel
from ..text.tokenizer import Tokenizer
from .chooser import Chooser, choose_all
from .handle import Handle
from .options import Sampling
from .prefixes import Prefixes
from .speculate import Draft, written
from .step import Step, stepper

ROWS = 64
"""Sequences that are written at once, unless it is said."""
CAPACITY = 256
"""Positions that a cache begins with, if a sequence needs so many."""


def checked_ids(prompt: Sequence[int] | Array, vocab_size: int) -> list[int]:
    """Return the prompt as a list.

    Raises ValueError where it is empty, TypeError for ids that are not integers, IndexError for
    those that the model does not have.
    """
    try:
        given = [*prompt]
        if any(isinstance(id, (bool, np.bool_)) for id in given):
            raise TypeError
        ids = [index(id) for id in given]
    except TypeError:
        raise TypeError(f"the prompt must be the ids of one text, which are integers, got "
                        f"{shortened(prompt)}; a tokenizer's encode makes ids") from None
    if not ids:
        raise ValueError("the prompt must have at least one token")
    if min(ids) < 0 or max(ids) >= vocab_size:
        raise IndexError(f"the prompt's ids must lie in [0, {vocab_size}), got {min(ids)} to "
                         f"{max(ids)}; was it encoded by another tokenizer?")
    return ids


class Batcher:
    """Texts of one model, written together.

    At most `rows` sequences are written at once, in a cache of at most `memory` bytes; the others
    are queued. `prefixes` are read where a prompt begins with what is kept there, and added to;
    a layer with a window of W keys forgets older ones, so with W <= `chunk` what is longer than W
    may not be kept, and is read anew. With `bits=8`, keys and values are stored in 8 bits. What
    `draft` guesses, a `LookUp` or a `ModelDraft`, is checked by the model, several tokens in one
    call. The batcher belongs to the model's weights as they are now: make another one after they
    have changed.

    Whatever is raised in `step`, an interrupt for instance, the next one goes on, and all texts are
    what they would have been.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer | None = None, *,
                 rows: int | None = None, memory: int | None = None, chunk: int = 512,
                 prefixes: Prefixes | None = None, bits: int | None = None,
                 draft: Draft | None = None) -> None:
        numbers: dict[str, Any] = {"rows": rows, "memory": memory, "chunk": chunk}
        for name, value in numbers.items():
            if value is not None and not isinstance(value, Integral):
                raise TypeError(f"Batcher: {name} must be a whole number, got {value!r}")
            if value is not None and value < 1:
                raise ValueError(f"Batcher: {name} must be at least 1, got {value}")
        vocab_size = model.config.vocab_size
        if draft is not None and draft.vocab_size not in (None, vocab_size):
            raise ValueError(f"Batcher: the draft has a vocabulary of {draft.vocab_size} tokens, "
                             f"and the model of {vocab_size}; a draft needs the same ids")
        self.model, self.tokenizer = model, tokenizer
        self.rows, self.memory, self.chunk = rows or ROWS, memory, chunk
        self.prefixes, self.bits, self.draft = prefixes, bits, draft
        self._queue: deque[Handle] = deque()
        self._active: list[Handle] = []  # that of row 0, of row 1, ...
        self._cache: Any = None
        self._step: Any = None  # ids (n,) to logits (n, V), by that cache
        self._row_bytes: dict[int, int] = {}
        self._turn = 0  # the row whose prompt is read first
        self._leaving = False  # something that is active has ended
        self._interrupted = False

    # What its users call

    def add(self, prompt: Sequence[int] | Array, sampling: Sampling | None = None, *,
            truncate: Literal["left", "right"] | None = None, begins: bool = False,
            rng: np.random.Generator | None = None) -> Handle:
        """Queue a text that goes on from the ids of a prompt; return its handle.

        A prompt that is longer than the context loses its beginning under `truncate="left"`, its
        end under "right". `rng` draws the tokens in the place of a generator of `sampling.seed`.
        With `begins`, as an answer in a chat begins, the text does not go on from the prompt's: its
        first token loses the space that a decoder takes there (but not under a constraint).
        Raises ValueError for an empty prompt, one that is too long, options that would never end
        the text, and a sequence that the memory can never hold, TypeError and IndexError for ids
        that are none of the model's.
        """
        sampling, config = sampling or Sampling(), self.model.config
        if not isinstance(sampling, Sampling):
            raise TypeError(f"the options must be a Sampling, got {shortened(sampling)}")
        ids = checked_ids(prompt, config.vocab_size)
        if truncate not in (None, "left", "right"):
            raise ValueError(f"truncate must be 'left', 'right' or None, got {truncate!r}")
        if len(ids) > config.context:
            if truncate is None:
                raise ValueError(
                    f"the prompt has {len(ids)} tokens, and the model sees {config.context} at "
                    f"most; shorten it, or cut its beginning with truncate='left' or its end with "
                    f"truncate='right'")
            ids = ids[-config.context :] if truncate == "left" else ids[: config.context]
        sampling = self._ending(sampling, config.context + 1 - len(ids))
        chooser = Chooser(sampling, ids, config.vocab_size, rng)  # raises for the impossible
        handle = Handle(self, ids, sampling, config, self.tokenizer, begins, rng)
        if self.memory is not None and self._bytes(1, handle.positions) > self.memory:
            raise ValueError(
                f"the sequence needs {handle.positions} positions of the cache, "
                f"{self._bytes(1, handle.positions):,} bytes, and the batcher has {self.memory:,}; "
                f"give it more memory, or lower max_tokens")
        if sampling.max_tokens == 0:
            handle.end("length")
        elif chooser.finished:
            handle.end("end")
        else:
            self._queue.append(handle)
        return handle

    def cancel(self, handle: Handle) -> None:
        """End a text where it is, if it has not ended. ValueError for another batcher's handle."""
        self._check_own(handle)
        if not handle.done:
            handle.end("cancelled")
            self._leaving = True

    @property
    def unfinished(self) -> list[Handle]:
        """The texts that are being written, and those that are queued, in their order."""
        return [handle for handle in (*self._active, *self._queue) if not handle.done]

    def run(self, handles: Iterable[Handle] | None = None, progress: bool = False) -> list[Handle]:
        """Step until these texts are done, or all; return them. `progress` shows a bar of them."""
        handles = self.unfinished if handles is None else list(handles)
        for handle in handles:
            self._check_own(handle)
        for handle in tqdm(handles, "writing", unit="text", disable=not progress):
            while not handle.done:
                self.step()
        return handles

    def stream(self, handle: Handle) -> Iterator[str]:
        """Step, and yield the text of one handle as it comes; raise what it ended with, if it did.

        The text is cancelled where the iterator is closed before its end, or interrupted.
        """
        self._check_own(handle)
        try:
            while True:
                if text := handle.read():
                    yield text
                if handle.done:
                    break
                self.step()
            if handle.error is not None:
                raise handle.error
        finally:
            self.cancel(handle)

    def step(self) -> list[Handle]:
        """Go on by one call of the model; return the handles that got a token or ended by it."""
        if self._interrupted:
            self._recover()
        self._interrupted = True
        if self._leaving or self._queue:
            self._take_turns()
        changed: list[Handle] = []
        if self._active:
            if self._step is None:
                self._step = stepper(self.model, self._cache) or self._by_its_own_call
            for row, handle in enumerate(self._active):
                if not handle.kept:
                    self._cache.begun[row] = handle.begun
            self._read_prompts()
            drafts = self._drafts(self.draft) if self.draft is not None else {}
            changed = (self._write_drafted(drafts) if drafts else
                       self._write(self._next_logits()))
            if self._leaving:
                self._take_turns()
        self._interrupted = False
        return changed

    def _ending(self, sampling: Sampling, room: int) -> Sampling:
        """Return the options of a text that ends; under "stop" it has `room` tokens at most."""
        if sampling.stop and self.tokenizer is None:
            raise ValueError("stop strings are found in the text; give the Batcher the tokenizer")
        most, endless = sampling.max_tokens, not (sampling.ends or sampling.stop)
        if sampling.past_context == "stop":
            if sampling.min_tokens > room:
                raise ValueError(f"min_tokens is {sampling.min_tokens}, and the context has room "
                                 f"for {room} behind the prompt; lower it, shorten the prompt, or "
                                 f"give past_context='slide'")
            return replace(sampling, max_tokens=room if most is None else min(most, room))
        if most is None and endless and sampling.constraint is None:
            raise ValueError("past_context='slide' and max_tokens=None: the text would never end; "
                             "give max_tokens or ends, or past_context='stop'")
        return sampling

    def _check_own(self, handle: Handle) -> None:
        if handle.owner is not self:
            raise ValueError("the handle belongs to another Batcher")

    # 1. What has ended leaves, and what is queued enters.

    def _take_turns(self) -> None:
        for row in reversed(range(len(self._active))):
            if (handle := self._active[row]).done:
                self._empty(row, handle)
                if not self._enter(row):
                    self._move_last_to(row)
        while self._enter(len(self._active)):
            pass
        self._leaving = False

    def _empty(self, row: int, handle: Handle) -> None:
        if handle.error is None:
            self._keep(row, handle)
        self._cache.clear(row)

    def _move_last_to(self, row: int) -> None:
        last = len(self._active) - 1
        if row != last:
            self._cache.copy_row(last, row)
            self._cache.clear(last)
            self._active[row] = self._active[last]
        self._active.pop()

    def _enter(self, row: int) -> bool:
        """Give a row to the next of the queue, if there is one and the cache has room for it."""
        while self._queue and self._queue[0].done:
            self._queue.popleft()
        if not self._queue or not self._make_room(row, self._queue[0]):
            return False
        handle = self._queue[0]
        source = None if handle.chooser else self._with_the_same(handle.prompt)
        if source is not None and self._active[source].kept < len(handle.prompt) - 1:
            return False  # that row is reading what this one can copy then
        handle.begin()
        self._active[row : row + 1] = [handle]
        self._queue.popleft()
        if source is not None:
            self._copy_prompt(source, row, handle)
        if self.prefixes is not None and not handle.kept and self._by_place(handle):
            cache = self._extended(len(handle.seen))
            handle.kept = self.prefixes.fill(cache, row, handle.seen)
        return True

    def _with_the_same(self, prompt: list[int]) -> int | None:
        """Return a row of another sequence that has, or will have, read this prompt."""
        return next((row for row, other in enumerate(self._active) if not other.done
                     and not other.start and other.prompt == prompt and len(prompt) > 1), None)

    def _copy_prompt(self, source: int, row: int, handle: Handle) -> None:
        self._cache.copy_row(source, row)
        try:
            self._cache.truncate(row, len(handle.prompt) - 1)
            handle.kept = len(handle.prompt) - 1
        except ValueError:  # a window's slots have lost some of it
            self._cache.clear(row)

    def _make_room(self, row: int, handle: Handle) -> bool:
        """Have the cache hold that row, if the sequence fits in beside the others."""
        others = [h.positions for h in self._active if not h.done]
        positions = max([handle.positions, *others])
        if row >= self.rows or not self._fits(row + 1, positions):
            if row >= self.rows or row or others:
                return False
            self._cache = self._step = None  # it has more than there is memory for now
        if self._cache is None:
            self._cache = self._new_cache(min(positions, CAPACITY))
        elif row == self._cache.rows:
            more = min(2 * row, self.rows)
            self._cache.grow(rows=more if self._fits(more, positions) else row + 1)
        return True

    def _fits(self, rows: int, positions: int) -> bool:
        """Whether the cache may grow to so many rows and positions."""
        if self.memory is None:
            return True
        if self._cache is not None:
            rows, positions = max(rows, self._cache.rows), max(positions, self._cache.capacity)
        return self._bytes(rows, positions) <= self.memory

    def _bytes(self, rows: int, positions: int) -> int:
        """Return the bytes of a cache of so many rows and positions."""
        if positions not in self._row_bytes:
            self._row_bytes[positions] = self._new_cache(positions).nbytes
        return rows * self._row_bytes[positions]

    def _new_cache(self, positions: int) -> Any:
        """Return a cache of one row; of drafts that are refused it has to forget what was read."""
        return self.model.cache(1, positions, bits=self.bits, rotate=self.draft is None)

    # 2. and 3. The model reads.

    def _read_prompts(self) -> None:
        """Read on in prompts, but for their last ids: `chunk` ids in all, in turn.

        Each gets an equal share, but an eighth of the chunk at least: calls for few ids cost much.
        """
        left = {row: n for row, handle in enumerate(self._active) if (n := handle.left - 1) > 0}
        if not left:
            return
        share, room, counts = max(self.chunk // min(8, len(left)), 1), self.chunk, {}
        for row in sorted(left, key=lambda row: (row < self._turn, row)):
            if room > 0:
                counts[row] = min(left[row], share, room)
                room, self._turn = room - counts[row], row + 1
        self._read({row: (handle := self._active[row]).seen[handle.kept : handle.kept + count]
                    for row, count in counts.items()})

    def _read(self, texts: dict[int, list[int]]) -> None:
        """Read the next ids of some rows: by the step, which pads none, or by the model's call."""
        self._extended(max(self._active[row].kept + len(ids) for row, ids in texts.items()))
        if isinstance(self._step, Step) and self._step.reads:  # which a cache that grew may end
            self._step.read(texts)
        else:
            for _, run in groupby(enumerate(sorted(texts)), lambda place: place[1] - place[0]):
                rows = [row for _, row in run]  # side by side
                self._call(self.model.hidden, rows[0], [texts[row] for row in rows])
        for row, ids in texts.items():
            self._active[row].kept += len(ids)
            self._keep(row, self._active[row])

    def _call(self, part_of_model: Any, first: int, texts: list[list[int]]) -> Any:
        """Return what the model, or a part, makes of the next ids of the rows from `first` on."""
        counts = [len(text) for text in texts]
        ids = np.zeros((len(counts), max(counts)), np.int64)
        for own, text in zip(ids, texts, strict=True):
            own[: len(text)] = text
        cache = self._extended(max(handle.kept + count for handle, count in zip(
            self._active[first:], counts, strict=False)))
        part = cache.part(first, first + len(counts), counts if len({*counts}) > 1 else None)
        with workers_unless_open(), no_grad():
            return part_of_model(namespace(self.model.head.data).asarray(ids), cache=part)

    def _next_logits(self) -> Array:
        """Read the next id of each row; return the logits (n, V) of what follows."""
        active = self._active
        self._extended(max([handle.kept for handle in active]) + 1)
        logits = self._step([handle.next_id for handle in active])
        for handle in active:
            handle.kept += 1
        return logits

    def _by_its_own_call(self, ids: list[int]) -> Array:
        xp, part = namespace(self.model.head.data), self._cache.part(0, len(ids))
        with no_grad():
            return self.model.next_logits(xp.asarray(ids)[:, None], part).data

    def _extended(self, positions: int) -> Any:
        """Return the cache with room for so many positions, and for the active texts at most."""
        cache = self._cache
        if positions > cache.capacity:
            cache.reserve(positions, max(handle.positions for handle in self._active))
        return cache

    def _keep(self, row: int, handle: Handle) -> None:
        if self.prefixes is not None and self._by_place(handle):
            self.prefixes.keep(self._cache, row, handle.seen[: handle.kept])

    def _by_place(self, handle: Handle) -> bool:
        """Whether keys depend on the ids and their places alone, and not on the prompt's length."""
        rotary = getattr(self.model, "rotary", None)
        return rotary is None or not rotary.changes_at(handle.begun)

    # 4. Tokens are chosen.

    def _write(self, logits: Array) -> list[Handle]:
        """Choose a token for each sequence that has been read to its end; return those."""
        ready = [row for row, handle in enumerate(self._active) if not handle.left]
        if not ready:
            return []
        if len(ready) < len(self._active):
            logits = logits[namespace(logits).asarray(ready)]
        handles = [self._active[row] for row in ready]
        try:
            tokens: list[Any] = choose_all(logits, [handle.chooser for handle in handles])
        except Exception:  # of one of them, before anything was drawn for any
            tokens = [self._choose_alone(handle, logits[i : i + 1])
                      for i, handle in enumerate(handles)]
        for row, handle, token, z in zip(ready, handles, tokens, logits, strict=True):
            if token is not None and not handle.done:
                self._take(handle, token, z)
            if handle.done:
                self._leaving = True
            elif not handle.kept:  # the window has moved
                self._cache.clear(row)
        return handles

    def _choose_alone(self, handle: Handle, logits: Array) -> int | None:
        try:
            return choose_all(logits, [handle.chooser])[0]
        except Exception as error:
            handle.end("error", error)
            return None

    def _take(self, handle: Handle, token: int, logits: Array) -> None:
        try:
            handle.take(token, logits)
        except Exception as error:  # of a constraint or a decoder
            handle.end("error", error)

    # With a draft, 3. and 4. are these.

    def _drafts(self, draft: Draft) -> dict[int, tuple[list[int], Any]]:
        """Return what is guessed to follow the rows whose last id is read next, and its q."""
        drafts = {}
        for row, handle in enumerate(self._active):
            if handle.left > 1:
                continue
            handle.mark()
            try:
                drafted, q = draft.propose(handle.chooser.ids, handle.room, handle.chooser)
                self._check_drafted(drafted, handle.room)
            except Exception as error:
                handle.end("error", error)
            else:
                if drafted:
                    drafts[row] = drafted, q
        return drafts

    def _check_drafted(self, drafted: list[int], room: int) -> None:
        vocab_size = self.model.config.vocab_size
        if len(drafted) > room or any(not 0 <= id < vocab_size for id in drafted):
            raise ValueError(f"the draft must guess at most {room} ids in [0, {vocab_size}), got "
                             f"{drafted}")

    def _write_drafted(self, drafts: dict[int, tuple[list[int], Any]]) -> list[Handle]:
        """Read the next id of each row and what is guessed behind it; write what is accepted."""
        logits = values(self._call(self.model, 0, [  # n, T, V
            [handle.next_id, *(drafts[row][0] if row in drafts else ())]
            for row, handle in enumerate(self._active)]))
        handles = []
        for row, handle in enumerate(self._active):
            handle.kept += 1
            if handle.left:
                continue
            handles.append(handle)
            start, taken = handle.start, self._take_drafted(
                handle, logits[row], *drafts.get(row, ([], None)))
            if handle.start == start:
                handle.kept += taken - 1  # the last one has not been read
            if handle.done:
                self._leaving = True
            else:
                self._cache.truncate(row, handle.kept)
        return handles

    def _take_drafted(self, handle: Handle, logits: Array, drafted: list[int], q: Any) -> int:
        """Write what is accepted of a draft, and a token more; return how many tokens that are."""
        taken = 0
        try:
            pairs = zip(written(handle.chooser, logits, drafted, q), logits, strict=False)
            while not handle.done and (pair := next(pairs, None)):  # and no more is chosen
                handle.take(*pair)
                taken += 1
        except Exception as error:  # of the options, a constraint or a decoder
            handle.end("error", error)
        return max(taken, 1)

    def _recover(self) -> None:
        """After an interrupt, which may have come anywhere: queue all that was active again.

        What the cache holds may be half written; texts are not, and all else follows from them.
        """
        self._queue = deque(dict.fromkeys(h for h in (*self._active, *self._queue) if not h.done))
        self._active, self._cache, self._step = [], None, None
