"""Texts that are written together beside each of them alone, by full forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import strict_cupy
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from writers import (
    CONFIGS,
    GREEDY,
    LETTERS,
    VOCABULARY,
    gpt,
    interrupted_at,
    llama,
    made,
    prompts,
    rounding,
    samplings,
    slowly,
)

from autograd import Tensor
from autograd.tensor import values
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample import LookUp, ModelDraft, Sampling
from tinygrad_llm.sample import batcher as batcher_module
from tinygrad_llm.sample.batcher import Batcher
from tinygrad_llm.sample.handle import Handle
from tinygrad_llm.sample.prefixes import Prefixes
from tinygrad_llm.sample.step import Step

batcher_module.CAPACITY = 2  # so that caches grow

@dataclass
class Recorder:
    """A processor that keeps the logits it is given."""

    seen: list[Any]

    def __call__(self, logits: Any, ids: Sequence[int]) -> Any:
        self.seen.append(logits.copy())
        return logits


@st.composite
def batchers(draw: st.DrawFn, model: Any, bits: int | None = None) -> Batcher:
    """Return one with little room, so that its sequences wait for each other; some look up."""
    rows, memory = draw(st.sampled_from([1, 2, 3, 64])), None
    ngram, count = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    draft = LookUp(ngram, count) if draw(st.booleans()) else None
    if draw(st.booleans()):
        memory = model.cache(1, bits=bits, rotate=draft is None).nbytes * draw(st.integers(1, 3))
    prefixes = Prefixes(draw(st.sampled_from([0, 3000, 10**6]))) if draw(st.booleans()) else None
    return Batcher(model, rows=rows, memory=memory, chunk=draw(st.integers(1, 9)),
                   prefixes=prefixes, bits=bits, draft=draft)


def nbytes(batcher: Batcher) -> int:
    return 0 if batcher._cache is None else batcher._cache.nbytes


@draws(50, 8)
@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data(), seed=st.integers(0, 99), context=st.integers(1, 9), window=st.integers(1, 9),
       kind=st.sampled_from([(np.float64, 1e-10, None), (np.float64, 1e-10, 8),
                             (np.float32, 1e-4, None)]))
def test_sequences_that_enter_and_leave_in_any_order_are_as_alone(
        name: str, data: st.DataObject, seed: int, context: int, window: int,
        kind: tuple[Any, float, int | None]) -> None:
    """With 8 bits, as alone with rounded keys and values; in float32, as far as ids agree."""
    (dtype, tolerance, bits), config = kind, CONFIGS[name]
    if getattr(config, "window", 0):
        config = replace(config, window=window)
    model = made(replace(config, vocab_size=VOCABULARY, context=context), seed, dtype=dtype)
    batcher = data.draw(batchers(model, bits))
    handles: list[tuple[Handle, Recorder]] = []
    for event in ["a", *data.draw(st.lists(st.sampled_from("aaassc"), max_size=25))]:
        if event == "a":
            recorder = Recorder([])
            sampling = replace(data.draw(samplings()), processors=(recorder,))
            prompt = data.draw(prompts(model.config.context))
            handles.append((batcher.add(prompt, sampling), recorder))
        elif event == "s":
            batcher.step()
        elif handles:
            batcher.cancel(data.draw(st.sampled_from(handles))[0])
        assert batcher.memory is None or nbytes(batcher) <= batcher.memory
    assert batcher.run() == [] or all(handle.done for handle, _ in handles)
    assert not batcher.unfinished and batcher.step() == []
    for handle, recorder in handles:
        alone = Recorder([])
        with rounding(bits):
            ids, reason = slowly(model, handle.prompt,
                                 replace(handle.sampling, processors=(alone,)))
        same = [one == other for one, other in zip(handle.ids, ids, strict=False)]
        if dtype == np.float32 and not all(same):  # a choice that hung on the last digits
            del alone.seen[same.index(False) + 1 :]
        elif handle.reason == "cancelled":
            assert handle.ids == ids[: len(handle.ids)]
        else:
            assert (handle.ids, handle.reason) == (ids, reason)
            assert len(recorder.seen) == len(alone.seen)
        for one, other in zip(recorder.seen, alone.seen, strict=False):
            np.testing.assert_allclose(one, other, tolerance, tolerance)


class Interrupting:
    """A processor that is interrupted once, at a call."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, logits: Any, ids: Sequence[int]) -> Any:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return logits


@draws(60, 12)
@given(st.data(), st.integers(0, 99), st.booleans())
def test_with_dynamic_scaling_too_each_text_is_as_alone(data: st.DataObject, seed: int,
                                                        by_step: bool) -> None:
    """Keys are turned by the prompt's length, in however many pieces it was read."""
    sizes: Any = {"layers": 2, "heads": 4, "key_heads": 2, "width": 16}
    model = made(LlamaConfig(VOCABULARY, 12, **sizes, rope_scaling="dynamic factor=3 original=4"),
                 seed)
    count, bits = data.draw(st.integers(1, 4)), None if by_step else 8
    begun = [data.draw(prompts(12)) for _ in range(count)]
    options = [replace(data.draw(samplings()), logprobs=0) for _ in range(count)]
    batcher = data.draw(batchers(model))
    batcher.bits, drafted = bits, data.draw(st.booleans())
    if drafted:
        batcher.draft = ModelDraft(model, 2)
    stopped = Interrupting(data.draw(st.integers(0, 12)))
    handles = [batcher.add(prompt, replace(sampling, processors=(stopped,)))
               for prompt, sampling in zip(begun, options, strict=True)]
    try:
        batcher.run(handles)
    except KeyboardInterrupt:
        batcher.run(handles)
    for handle, prompt, sampling in zip(handles, begun, options, strict=True):
        one = Batcher(model, chunk=99, bits=bits, draft=ModelDraft(model, 2) if drafted else None)
        alone, = one.run([one.add(prompt, sampling)])
        assert (handle.ids, handle.reason) == (alone.ids, alone.reason)
        np.testing.assert_allclose(*([choice.logprob for choice in text.choices]
                                     for text in (handle, alone)), rtol=1e-9)
        if bits is None and handle.ids and not drafted:
            assert handle.ids[0] == slowly(model, prompt, sampling)[0][0]


def interrupted_texts(line: int, folder: str, draft: str = "") -> tuple[int, list[Any]]:
    """Return how many lines were run, and what four texts are after an interrupt at a line."""
    drafts = {"model": lambda: ModelDraft(gpt(5, seed=4), 3), "look-up": lambda: LookUp(1, 3)}
    batcher = Batcher(llama(6, seed=3, window=3), LETTERS, rows=3, chunk=3,
                      draft=drafts[draft]() if draft else None)
    options: Any = {"temperature": 0.9, "max_tokens": 8, "logprobs": 1}
    handles = [batcher.add([1, 2, 3, 4, 5], Sampling(seed=1, repetition_penalty=1.2, **options)),
               batcher.add([1], Sampling(seed=2, stop=["gh", "b"], **options)),
               batcher.add([8, 8], Sampling(seed=4, ends=(3, 6), **options)),
               batcher.add([1, 2, 3, 4, 5], Sampling(seed=7, **options))]
    lines = interrupted_at(line, folder, batcher.run)
    batcher.run()
    assert all(len(handle.choices) == len(handle.ids) for handle in handles)
    return lines, [(h.ids, h.text, h.reason, h.choices) for h in handles]


@pytest.mark.parametrize("folder, count, draft", [
    ("sample", 15, ""), ("tinygrad_llm", 5, ""), ("sample", 5, "model"), ("sample", 4, "look-up"),
    *(pytest.param(folder, count, draft, marks=pytest.mark.long)
      for folder, count, draft in (("sample", 1000, ""), ("tinygrad_llm", 300, ""),
                                   ("sample", 150, "model"), ("tinygrad_llm", 40, "model"),
                                   ("sample", 150, "look-up"), ("tinygrad_llm", 40, "look-up")))])
def test_an_interrupt_at_any_line_changes_no_text(folder: str, count: int, draft: str) -> None:
    interrupted_texts(0, folder, draft)  # what is made once is made
    lines, expected = interrupted_texts(0, folder, draft)
    assert {reason for _, _, reason, _ in expected} >= {"length", "stop"}
    last = 0.95 * lines  # a few lines less are run where something has been made before
    for line in np.unique(np.linspace(1, last, count).astype(int)).tolist():
        ran, texts = interrupted_texts(line, folder, draft)
        assert ran == line
        for (*got, choices), (*wanted, wanted_choices) in zip(texts, expected, strict=True):
            assert got == wanted
            np.testing.assert_allclose([c.logprob for c in choices],
                                       [c.logprob for c in wanted_choices], atol=1e-10)


class Failing:
    """A processor that raises at the token of a place, or makes the logits NaN."""

    def __init__(self, place: int, error: Exception) -> None:
        self.place, self.error = place, error

    def __call__(self, logits: Any, ids: Sequence[int]) -> Any:
        if len(ids) == self.place:
            raise self.error
        return logits


def test_a_processor_that_raises_ends_its_own_text() -> None:
    model, error = gpt(), RuntimeError("mine")
    batcher = Batcher(model)
    wrong = replace(GREEDY, processors=(Failing(4, error),))
    handles = [batcher.add([1, 2], sampling) for sampling in (GREEDY, wrong, GREEDY)]
    batcher.run()
    assert [h.reason for h in handles] == ["length", "error", "length"]
    assert handles[1].error is error and handles[1].ids == handles[0].ids[:2]
    assert handles[0].ids == handles[2].ids == slowly(model, [1, 2], GREEDY)[0]


def test_drawn_texts_are_the_same_beside_one_that_fails() -> None:
    model, drawn = gpt(), Sampling(seed=5, max_tokens=6)
    wrong = replace(drawn, processors=(Failing(3, ValueError("mine")),))
    batcher = Batcher(model)
    handles = [batcher.add([1], sampling) for sampling in (drawn, wrong, replace(drawn, seed=6))]
    batcher.run()
    for handle, sampling in zip(handles[::2], (drawn, replace(drawn, seed=6)), strict=True):
        assert handle.ids == slowly(model, [1], sampling)[0]


def test_a_row_of_nan_ends_its_own_text_and_leaves_nothing_behind() -> None:
    model = gpt()
    model.head = Tensor(model.head.data.copy())
    model.wte.weight.data[8] = np.nan
    batcher = Batcher(model, rows=2)
    safe = replace(GREEDY, banned=(8,))
    handles = [batcher.add(prompt, safe) for prompt in ([8, 1], [1, 2], [3], [4, 5, 6])]
    batcher.run()
    assert [h.reason for h in handles] == ["error", "length", "length", "length"]
    assert isinstance(handles[0].error, UserError) and "largest logit is nan" in str(
        handles[0].error)
    for handle in handles[1:]:
        assert handle.ids == slowly(model, handle.prompt, safe)[0]


def test_all_that_is_banned_at_a_place_is_that_texts_error() -> None:
    model = gpt()
    batcher = Batcher(model)
    few = Sampling(temperature=0, max_tokens=9, banned=range(2, 9), no_repeat_ngram=1)
    handles = [batcher.add([2], few), batcher.add([2], GREEDY)]
    batcher.run()
    assert handles[0].reason == "error" and len(handles[0].ids) == 2
    assert "no token is possible" in str(handles[0].error)
    assert handles[1].reason == "length"


def test_what_a_handle_reports_of_a_text() -> None:
    model, tokenizer = gpt(), LETTERS
    batcher = Batcher(model, tokenizer)
    handle = batcher.add([1, 2, 3], replace(GREEDY, logprobs=2))
    assert (handle.ids, handle.text, handle.choices, handle.reason) == ([], "", [], None)
    assert batcher.step() == [handle] and len(handle.ids) == 1 and not handle.done
    assert batcher.unfinished == [handle]
    assert batcher.run([handle]) == [handle] and handle.done
    assert handle.text == tokenizer.decode(handle.ids)
    window = [1, 2, 3]
    for token, choice in zip(handle.ids, handle.choices, strict=True):
        z = model(np.array([window])).data[0, -1]
        log_p = z - np.log(np.exp(z).sum())
        best = np.argsort(-log_p)[:2]
        assert choice.token == token and [id for id, _ in choice.top] == best.tolist()
        np.testing.assert_allclose([choice.logprob, *(p for _, p in choice.top)],
                                   log_p[[token, *best]], atol=1e-10)
        window.append(token)


def test_samples_of_one_prompt_differ_by_their_seeds_alone() -> None:
    model = gpt()
    texts = []
    for rows in (1, 5):
        batcher = Batcher(model, rows=rows)
        handles = [batcher.add([1, 2], Sampling(seed=seed, max_tokens=8)) for seed in range(5)]
        batcher.run()
        texts.append([handle.ids for handle in handles])
    assert texts[0] == texts[1] and len({*map(tuple, texts[0])}) == 5
    fresh = Batcher(model)
    handles = [fresh.add([1], Sampling(max_tokens=8)) for _ in range(5)]
    fresh.run()
    assert len({tuple(handle.ids) for handle in handles}) > 1


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The calls for prompts: how many ids each reads of its rows."""
    found: list[list[int]] = []
    read, hidden = Step.read, Llama.hidden

    def counted_read(step: Step, texts: Any) -> None:
        found.append([len(ids) for ids in texts.values()])
        read(step, texts)

    def counted_hidden(model: Any, ids: Any, *args: Any, **options: Any) -> Any:
        found.append([ids.shape[1]] * len(ids))
        return hidden(model, ids, *args, **options)

    monkeypatch.setattr(Step, "read", counted_read)
    monkeypatch.setattr(Llama, "hidden", counted_hidden)
    return found


def test_prompts_of_different_lengths_are_read_in_one_call(calls: list[list[int]]) -> None:
    batcher = Batcher(gpt())
    handles = [batcher.add(prompt, GREEDY) for prompt in ([1, 2], [3], [4, 5, 6], [7, 8, 0, 1])]
    batcher.run()
    assert calls == [[1, 2, 3]]  # but for their last ids; the second has no other
    for handle in handles:
        assert handle.ids == slowly(gpt(), handle.prompt, GREEDY)[0]


@pytest.mark.parametrize("window, read", [(0, 1), (2, 2)])
def test_samples_of_one_prompt_read_it_once(window: int, read: int, calls: list[list[int]]
                                            ) -> None:
    model = llama(12, window=window)
    batcher = Batcher(model, rows=8)
    drawn = Sampling(max_tokens=4)
    handles = [batcher.add([1, 2, 3, 4, 5], replace(drawn, seed=seed)) for seed in range(4)]
    batcher.step()
    batcher.step()
    handles.append(batcher.add([1, 2, 3, 4, 5], replace(drawn, seed=9)))
    batcher.run()
    assert calls == [[4]] * read  # a window has lost what the last one would copy
    for handle in handles:
        assert handle.ids == slowly(llama(12, window=window), handle.prompt, handle.sampling)[0]


def test_a_window_that_has_moved_is_not_the_prompt() -> None:
    model, recorder, alone = gpt(4), Recorder([]), Recorder([])
    batcher = Batcher(model)
    batcher.add([1, 2, 3], replace(GREEDY, max_tokens=20))
    for _ in range(4):
        batcher.step()
    batcher.add([1, 2, 3], replace(GREEDY, max_tokens=2, processors=(recorder,)))
    batcher.run()
    slowly(model, [1, 2, 3], replace(GREEDY, max_tokens=2, processors=(alone,)))
    np.testing.assert_allclose(recorder.seen, alone.seen, atol=1e-10)


def test_samples_of_one_prompt_after_an_interrupt_when_one_window_has_moved() -> None:
    model, before = gpt(6), [True]

    def interrupt(logits: Any, ids: Sequence[int]) -> Any:
        if len(ids) == 4 and before:
            before.clear()
            raise KeyboardInterrupt
        return logits

    batcher, drawn = Batcher(model, rows=2), Sampling(max_tokens=12, seed=1)
    handles = [batcher.add([5], replace(drawn, max_tokens=4)), batcher.add([1, 2, 3], drawn),
               batcher.add([1, 2, 3], replace(drawn, seed=3, processors=(interrupt,)))]
    with pytest.raises(KeyboardInterrupt):
        batcher.run()
    assert [len(handle.ids) for handle in handles] == [4, 5, 1]  # the last is in the first row
    batcher.run()
    for handle in handles:
        assert handle.ids == slowly(model, handle.prompt, handle.sampling)[0]


class Nothing:
    """A constraint whose only text is the empty one."""

    start = 0

    def finished(self, state: int) -> bool:
        return True


def test_a_constraint_whose_only_text_is_empty() -> None:
    batcher = Batcher(gpt())
    handle = batcher.add([1], Sampling(constraint=Nothing()))
    assert (handle.reason, handle.ids) == ("end", []) and batcher.unfinished == []


def test_what_has_been_read_before_is_not_read_again(calls: list[list[int]]) -> None:
    model, prefixes = gpt(), Prefixes(10**6)
    first = Batcher(model, prefixes=prefixes)
    told = first.run([first.add([1, 2, 3], GREEDY)])[0]
    calls.clear()
    second = Batcher(model, prefixes=prefixes)
    prompt = [*told.prompt, *told.ids[:3], 7, 8]
    again = second.run([second.add(prompt, replace(GREEDY, max_tokens=1))])[0]
    assert calls == [[1]] and again.ids == slowly(gpt(), prompt, GREEDY)[0][:1]


def test_in_8_bits_a_text_is_close() -> None:
    model, recorder, alone = gpt(), Recorder([]), Recorder([])
    batcher = Batcher(model, bits=8)
    handle = batcher.add([1, 2, 3], Sampling(max_tokens=1, processors=(recorder,)))
    batcher.run()
    slowly(model, handle.prompt, Sampling(max_tokens=1, processors=(alone,)))
    assert 0 < np.abs(recorder.seen[0] - alone.seen[0]).max() < 0.05


def test_two_batchers_of_one_model_know_nothing_of_each_other() -> None:
    model = llama()
    one, other = Batcher(model), Batcher(model)
    handles = [one.add([1, 2, 3], GREEDY), other.add([4, 5], GREEDY)]
    for _ in range(6):
        one.step()
        other.step()
    for handle in handles:
        assert handle.ids == slowly(model, handle.prompt, GREEDY)[0]
    for refused in (one.cancel, lambda handle: one.run([handle]),
                    lambda handle: next(one.stream(handle))):
        with pytest.raises(ValueError, match="belongs to another Batcher"):
            refused(handles[1])


def test_cancelling() -> None:
    model = gpt()
    batcher = Batcher(model, LETTERS, rows=1, chunk=2)
    reading, queued, last = (batcher.add([1] * 8, GREEDY), batcher.add([1], GREEDY),
                             batcher.add([2], GREEDY))
    batcher.step()
    assert not reading.ids
    for handle in (reading, queued, queued):
        batcher.cancel(handle)
    for _ in range(3):
        assert batcher.step() == [last]
    batcher.cancel(last)
    assert batcher.step() == [] and batcher.run([last, queued]) == [last, queued]
    assert [h.reason for h in (reading, queued, last)] == ["cancelled"] * 3
    assert last.ids == slowly(model, [2], GREEDY)[0][:3] and last.text == LETTERS.decode(last.ids)
    batcher.cancel(last)
    done = batcher.run([batcher.add([2], GREEDY)])[0]
    batcher.cancel(done)
    assert done.reason == "length" and done.ids == slowly(model, [2], GREEDY)[0]


def test_a_text_may_be_cancelled_within_a_step() -> None:
    model = gpt()
    batcher, handles = Batcher(model), []

    def cancel(logits: Any, ids: Sequence[int]) -> Any:
        if len(ids) == 4:
            batcher.cancel(handles[0])
        return logits

    handles += [batcher.add([1, 2], replace(GREEDY, processors=(cancel,))),
                batcher.add([3], GREEDY)]
    batcher.run()
    assert (handles[0].reason, len(handles[0].ids)) == ("cancelled", 2)
    assert handles[1].ids == slowly(model, [3], GREEDY)[0]


def test_a_stream_that_is_left_cancels_its_text() -> None:
    batcher = Batcher(gpt(), LETTERS)
    left, other = batcher.add([1], GREEDY), batcher.add([2], GREEDY)
    stream = batcher.stream(left)
    text = next(stream)
    stream.close()
    assert left.reason == "cancelled" and left.text == text
    batcher.run()
    assert other.reason == "length" and "".join(batcher.stream(other)) == other.text


def test_a_stream_raises_what_its_text_ended_with() -> None:
    batcher = Batcher(gpt(), LETTERS)
    wrong = replace(GREEDY, processors=(Failing(3, RuntimeError("mine")),))
    stream, shown = batcher.stream(batcher.add([1], wrong)), []
    with pytest.raises(RuntimeError, match="mine"):
        shown.extend(stream)
    assert len(shown) == 0 or len("".join(shown)) == 2


def test_ten_thousand_sequences_are_worked_off_in_order_within_the_budget() -> None:
    model = made(GPTConfig(VOCABULARY, 8, layers=1, heads=1, width=4))
    budget = 5 * model.cache(1).nbytes
    batcher, done = Batcher(model, memory=budget, rows=64), []
    handles = [batcher.add([1 + i % 7], replace(GREEDY, max_tokens=1 + i % 2))
               for i in range(10_000)]
    for _ in range(60):
        done += [handle for handle in batcher.step() if handle.done]
        assert batcher._cache is not None and batcher._cache.nbytes <= budget
    places = {id(handle): place for place, handle in enumerate(handles)}
    order = [places[id(handle)] for handle in done]
    assert len(order) > 200 and max(order) < len(order) + 40  # none is far ahead of the first
    for handle in done[:20]:
        assert handle.ids == slowly(model, handle.prompt, handle.sampling)[0]


def test_a_long_sequence_gets_room_when_shorter_ones_have_left() -> None:
    model = gpt(context=9)
    batcher = Batcher(model, memory=model.cache(1).nbytes)
    short = [batcher.add([1 + i], replace(GREEDY, max_tokens=2)) for i in range(6)]
    long = batcher.add([1] * 9, GREEDY)
    last = batcher.add([2], GREEDY)
    batcher.step()
    assert [bool(h.ids) for h in (*short, long)] == [True] * 3 + [False] * 4
    while not last.done:
        batcher.step()
        assert nbytes(batcher) <= model.cache(1).nbytes
    assert long.ids == slowly(model, long.prompt, GREEDY)[0]
    assert last.ids == slowly(model, last.prompt, GREEDY)[0]


def test_a_long_prompt_does_not_stall_the_others() -> None:
    batcher = Batcher(gpt(context=64), chunk=8)
    short = batcher.add([1], replace(GREEDY, max_tokens=30))
    batcher.step()
    long = batcher.add([2] * 60, GREEDY)
    later = batcher.add([3, 3], GREEDY)
    for step in range(2, 9):
        batcher.step()
        assert len(short.ids) == step and len(later.ids) == min(step - 1, 5) and not long.ids
    batcher.step()
    assert len(long.ids) == 1  # 59 ids, less one a step, by eights or shares of eight


def test_many_long_prompts_are_read_in_turn_with_a_shorter_one() -> None:
    batcher = Batcher(gpt(context=64), chunk=8)
    long = [batcher.add([i] * 60, GREEDY) for i in range(8)]
    short = batcher.add([8] * 20, GREEDY)
    for _ in range(12):
        batcher.step()
    assert short.ids and not any(handle.ids for handle in long)


@pytest.mark.parametrize("past_context, most", [("stop", None), ("stop", 50), ("slide", 4)])
def test_texts_end_where_the_context_does_or_max_tokens(past_context: Any, most: Any) -> None:
    model = gpt(context=8)
    batcher = Batcher(model)
    sampling = Sampling(temperature=0, max_tokens=most, past_context=past_context)
    handle = batcher.add([1, 2, 3, 4, 5], sampling)
    batcher.run()
    assert handle.reason == "length" and len(handle.ids) == 4  # the last after all 8 positions
    assert handle.ids == slowly(model, handle.prompt, handle.sampling)[0]


@pytest.mark.parametrize("prompt, sampling, options, kind, words", [
    ([], GREEDY, {}, ValueError, "at least one token"),
    ([9], GREEDY, {}, IndexError, r"lie in \[0, 9\), got 9 to 9; .*another tokenizer"),
    ([-1], GREEDY, {}, IndexError, "got -1 to -1"), ([1.0], GREEDY, {}, TypeError, "integer"),
    ("abc", GREEDY, {}, TypeError, "integer"), ([True], GREEDY, {}, TypeError, "got .True."),
    ([[1, 2]], GREEDY, {}, TypeError, "ids of one text"), (None, GREEDY, {}, TypeError, "got None"),
    (np.ones((1, 2), int), GREEDY, {}, TypeError, "ids of one text"),
    (iter([9]), GREEDY, {}, IndexError, "got 9 to 9"),
    ([1], {"top_k": 1}, {}, TypeError, "the options must be a Sampling, got {'top_k': 1}"),
    ([1] * 9, GREEDY, {}, ValueError, "has 9 tokens, .* sees 8 at most; .*truncate='left'"),
    ([1], GREEDY, {"truncate": "middle"}, ValueError, "'left', 'right' or None, got 'middle'"),
    ([1], Sampling(), {}, ValueError, "past_context='slide' and max_tokens=None"),
    ([1], Sampling(max_tokens=3, stop="a"), {}, ValueError, "give the Batcher the tokenizer"),
    ([1], Sampling(max_tokens=3, ends=(9,)), {}, IndexError, "ends: ids must lie in"),
    ([1], Sampling(max_tokens=3, banned=range(9)), {}, UserError, "banned forbids all 9"),
])
def test_what_add_refuses(prompt: Any, sampling: Sampling, options: Any, kind: type[Exception],
                          words: str) -> None:
    batcher = Batcher(gpt())
    with pytest.raises(kind, match=words):
        batcher.add(prompt, sampling, **options)
    assert batcher.unfinished == []


def test_what_a_batcher_refuses() -> None:
    model = gpt()
    for option in ("rows", "memory", "chunk"):
        with pytest.raises(ValueError, match=f"Batcher: {option} must be at least 1, got 0"):
            Batcher(model, **{option: 0})
        with pytest.raises(TypeError, match=f"Batcher: {option} must be a whole number, got '2'"):
            Batcher(model, **{option: "2"})
    small = Batcher(model, memory=model.cache(1, 5).nbytes)
    small.add([1], replace(GREEDY, max_tokens=4))
    with pytest.raises(ValueError, match=r"needs 6 positions .* 1,536 bytes, .* has 1,280; give"):
        small.add([1], GREEDY)


@pytest.mark.parametrize("truncate, seen", [("left", slice(3, None)), ("right", slice(8))])
def test_a_prompt_that_is_too_long_is_cut(truncate: Any, seen: slice) -> None:
    model, ids = gpt(), [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2]
    batcher = Batcher(model)
    handle = batcher.add(ids, GREEDY, truncate=truncate)
    batcher.run()
    assert handle.prompt == ids[seen]
    assert handle.ids == slowly(model, ids[seen], GREEDY)[0]


def test_a_model_with_experts_or_a_layer_in_the_place_of_another_is_written_too() -> None:
    experts = made(LlamaConfig(VOCABULARY, 8, layers=2, heads=2, width=8, experts=3,
                               expert_inner=4))
    replaced = gpt()
    replaced.h[1].mlp = lambda x: Tensor(np.cos(values(x)[..., ::-1]))
    for model in (experts, replaced):
        batcher = Batcher(model, chunk=2)
        handles = [batcher.add(prompt, GREEDY) for prompt in ([1, 2, 3, 4], [5], [6, 7])]
        batcher.run()
        for handle in handles:
            assert handle.ids == slowly(model, handle.prompt, GREEDY)[0]


def test_on_a_device_texts_are_the_same() -> None:
    texts = []
    for move in (np.array, strict_cupy.asarray):
        model = gpt()
        for p in parameters(model).values():
            p.data = move(p.data)
        batcher = Batcher(model, rows=2, chunk=3)
        handles = [batcher.add([1] * 6, GREEDY), batcher.add([1], replace(GREEDY, max_tokens=9)),
                   batcher.add([2, 3], replace(GREEDY, logprobs=1))]
        batcher.run()
        texts.append([handle.ids for handle in handles])
    assert texts[0] == texts[1]


def test_the_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    batcher = Batcher(gpt())
    batcher.add([1], GREEDY)
    batcher.run(progress=True)
    assert "1/1" in capsys.readouterr().err
    batcher.add([1], GREEDY)
    batcher.run()
    assert capsys.readouterr().err == ""
