"""Masks against the search for completions, and answers that keep to their language."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, partial, reduce
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import expressions, matches, tokenizers
from tests.vocabularies import vocabulary as real_vocabulary
from tests.writers import interrupted_at
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.sample import Batcher, LookUp, Sampling, beam_search
from tinygrad_llm.sample.chooser import Chooser, choose_all
from tinygrad_llm.sample.constrained import constraint as module
from tinygrad_llm.sample.constrained.automaton import automaton_of
from tinygrad_llm.sample.constrained.constraint import (
    NEVER,
    Constraint,
    regular_expression,
    tokens_needed,
)
from tinygrad_llm.sample.constrained.expressions import Both, Expression, parse
from tinygrad_llm.sample.constrained.language import ENDLESS, Language
from tinygrad_llm.sample.constrained.tokens import Vocabulary, vocabulary
from tinygrad_llm.text import load_tokenizer
from tinygrad_llm.text.tokenizer import Tokenizer

KINDS = tokenizers()
LIMIT = "tinygrad_llm.sample.constrained.language.MOST_STATES"
PATTERNS = ["a*b", "(ab|ba){1,3}", "[ab]{2,5}1?", "(a|b)*a(a|b){3}", "((a*)*)*b", "é?(中|a)+",
            "[01]{7}", r'\{"a": ?[01]+(, "b": "[^"]{0,3}")?\}', "a?b?0?1?", ".{3}", "(aba)+|b0"]


def needed(constraint: Constraint, limit: int) -> dict[bytes, int]:
    """Return the definition: tokens to acceptance from each state within `limit` tokens."""
    pieces = [(id, piece) for id, piece in enumerate(constraint.vocabulary.pieces) if piece]
    after: dict[bytes, list[bytes]] = {}
    todo = [constraint.start]
    for state in todo:  # which grows
        if state in after or len(after) >= limit:
            continue
        reached = {constraint._steps.after(state, piece) for _, piece in pieces} - {b""}
        after[state] = list(reached)
        todo += reached
    needs = {state: 0 if constraint.accepts(state) else NEVER for state in after}
    for _ in range(len(after)):
        for state, reached_from in after.items():
            needs[state] = min([needs[state], *(1 + needs[r] for r in reached_from
                                                if needs.get(r, NEVER) < NEVER)])
    return needs


def compiled(pattern: str, kind: str) -> Constraint | None:
    """Return a pattern's constraint, None where the tokenizer has no text of it."""
    try:
        return regular_expression(pattern, KINDS[kind], KINDS[kind].vocab_size + 3)
    except UserError as error:
        assert "no token for" in str(error)
        return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p != ".{3}"])
def test_masks_are_the_tokens_that_have_a_completion(pattern: str, kind: str) -> None:
    constraint = compiled(pattern, kind)
    if constraint is None:
        return
    needs = needed(constraint, 10_000)
    assert constraint.shortest == needs[constraint.start]
    for state in needs:
        if needs[state] == NEVER:
            continue
        wanted = [needs[after] + 1 if (after := constraint._steps.after(state, piece)) and piece
                  and needs[after] < NEVER else NEVER for piece in constraint.vocabulary.pieces]
        assert constraint.allowed(state).tolist() == [n < NEVER for n in wanted]
        for left in range(6):
            assert constraint.allowed(state, left).tolist() == [n <= left for n in wanted]
        assert constraint.finished(state) == (needs[state] == 0 and min(wanted) == NEVER)


def walk(constraint: Constraint, most: int, choose: str, rng: np.random.Generator) -> list[int]:
    """Return an answer of at most `most` tokens: random, or the longest way round."""
    state, ids = constraint.start, list[int]()
    while True:
        allowed = np.flatnonzero(constraint.allowed(state, most - len(ids)))
        if constraint.accepts(state) and (not len(allowed) or (
                choose == "random" and rng.random() < 0.3)):
            return ids
        assert len(allowed), "a dead end"
        pick = {"random": int(rng.integers(len(allowed))), "first": 0, "last": -1}[choose]
        ids.append(int(allowed[pick]))
        state = constraint.next(state, ids[-1])


def check_answer(pattern: str, constraint: Constraint, tokenizer: Tokenizer, ids: list[int]
                 ) -> None:
    prompt = [int(constraint.vocabulary.trie.ids[0])]
    text = tokenizer.decode(prompt + ids)[len(tokenizer.decode(prompt)):]
    assert re.fullmatch(pattern, text), (pattern, text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choose", ["random", "first", "last"])
def test_every_walk_ends_in_a_text_of_the_language_within_its_limit(kind: str, choose: str) -> None:
    rng, met = np.random.default_rng(0), 0
    for pattern in PATTERNS:
        if (constraint := compiled(pattern, kind)) is not None:
            met += 1
            for most in (constraint.shortest, constraint.shortest + 1, 20):
                ids = walk(constraint, max(most, constraint.shortest), choose, rng)
                assert len(ids) <= max(most, constraint.shortest)
                check_answer(pattern, constraint, KINDS[kind], ids)
            assert not constraint.allowed(constraint.start, constraint.shortest - 1).any()
    assert met >= 4


@given(expressions, st.sampled_from(sorted(KINDS)), st.integers(0, 3))
@draws(150, dev=50)
def test_random_languages_have_no_dead_ends(expression: Expression, kind: str, seed: int) -> None:
    tokenizer = KINDS[kind]
    try:
        constraint = Constraint(expression, tokenizer, tokenizer.vocab_size)
    except UserError:
        return
    rng = np.random.default_rng(seed)
    ids = walk(constraint, constraint.shortest + 4, "random", rng)
    text = b"".join(constraint.vocabulary.pieces[id] for id in ids)
    assert matches(expression, text.decode())


COUNTS = ["[ab]{0,9}", "(ab|ba){0,7}1", "a{2,8}b{0,6}", "(a{0,3}b){0,5}", "((ab?){0,4}1){1,4}"]
LOOKED_AT = [Both(parse(first), parse(second)) for first, second in [
    ("[ab]{0,9}", "(a{0,3}b?){0,4}"), (".{0,9}", "(ab|b){1,6}"), ("(aaa|b){0,9}", "[ab]{0,12}")]]


@pytest.mark.parametrize("more", [(1, 64, ENDLESS), (2, 64, ENDLESS)])
@pytest.mark.parametrize("kind", ["byte-level", "characters", "unigram"])
@pytest.mark.parametrize("language", [*map(parse, COUNTS), *LOOKED_AT])
def test_masks_by_cut_counts_are_those_of_the_counts(
        language: Expression, kind: str, more: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = KINDS[kind].vocab_size
    monkeypatch.setattr(module, "MORE", (ENDLESS, ENDLESS))
    exact = Constraint(language, KINDS[kind], size)
    monkeypatch.setattr(module, "MORE", more)
    fast = Constraint(language, KINDS[kind], size)
    states, todo = {fast.start: exact.start}, [fast.start]
    for state in todo:  # which grows
        twin = states[state]
        assert np.array_equal(fast.allowed(state), exact.allowed(twin))
        assert fast.accepts(state) == exact.accepts(twin)
        assert fast.finished(state) == exact.finished(twin)
        for left in range(6):
            assert np.array_equal(fast.allowed(state, left), exact.allowed(twin, left))
        for id in np.flatnonzero(fast.allowed(state)).tolist():
            after = fast.next(state, id)
            if after not in states:
                states[after] = exact.next(twin, id)
                todo.append(after)
    assert len({fast._steps.cut(state, more[0]) for state in todo}) < len(todo)


SHORT = ["".join(letters) for n in range(6) for letters in product("ab", repeat=n)]


@given(expressions, st.sampled_from([1, 2]))
@draws(200, dev=80)
def test_the_texts_by_cut_counts_are_those_of_the_language(expression: Expression, more: int
                                                           ) -> None:
    """All texts of few characters are tried; those of two languages may be left out, not added."""
    tokenizer = KINDS["characters"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MORE", (more, 64, ENDLESS))
        try:
            constraint = Constraint(expression, tokenizer, tokenizer.vocab_size)
        except UserError as error:
            assert "no text" in str(error)
            assert not any(matches(expression, text) for text in SHORT)
            return
        ways = {"": constraint.start}
        for text, state in (todo := list(ways.items())):  # which grows
            assert constraint.accepts(state) == matches(expression, text), text
            for id in tokenizer.encode("ab") if len(text) < 5 else []:
                if constraint.allowed(state)[id]:
                    todo.append((text + tokenizer.decode([id]), constraint.next(state, id)))
    if "Both" not in repr(expression):
        assert {text for text in SHORT if matches(expression, text)} == {
            text for text, state in todo if constraint.accepts(state)}


def test_what_cut_counts_make_larger_or_empty_is_taken_whole(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """A length is that of three languages only where they repeat many times."""
    language = reduce(Both, map(parse, ["(a{5}){0,80}", "(a{7}){0,80}", "(a{11}){1,40}"]))
    monkeypatch.setattr(LIMIT, 16 * 2500)
    constraint = Constraint(language, KINDS["characters"], KINDS["characters"].vocab_size)
    assert constraint.shortest == 5 * 7 * 11 == len(walk(constraint, 400, "random",
                                                         np.random.default_rng(0)))
    monkeypatch.setattr(LIMIT, 100)
    with pytest.raises(UserError, match=r"at least \d+ states, and 100 is the most"):
        Constraint(language, KINDS["characters"], 5)


LARGE: list[tuple[tuple[str, ...], list[str]]] = [
    (("[ab]{4,1000}",), ["ab", "aab", "ab" * 498, "b" * 997, "b" * 999, "b" * 1000]),
    (("(ab|b){3,500}1?",), ["ab", "ab" * 300, "b" * 497, "ab" * 499, "ab" * 500, "b" * 499 + "a"]),
    (("(a{0,30}b){0,40}",), ["a" * 27, "a" * 30, "b" * 38, ("a" * 30 + "b") * 39 + "a" * 28]),
    (("a{0,400}b{2,300}",), ["a" * 399, "a" * 400, "a" * 9 + "b" * 297, "b" * 300]),
    (("(a{300}|b){2}1{0,900}",), ["a" * 298, "ba" + "a" * 297, "bb" + "1" * 898]),
    (("[ab]{5,1000}", "(a{0,200}b){0,300}a{0,200}"),
     ["aba", "b" * 298, "b" * 299, "b" * 300 + "a" * 198, ("a" * 200 + "b") * 4 + "a" * 193]),
    (("(aaa|b){0,400}", "[ab]{0,900}"), ["aa", "b" * 397, "b" * 400, "a" * 897, "aaa" * 299 + "b"]),
    ((".{0,700}", "(ab|b){1,600}1?"), ["ab" * 348, "ab" * 349 + "b", "b" * 599, "b" * 600]),
]


@pytest.mark.parametrize(("patterns", "texts"), LARGE)
def test_masks_of_large_counts_are_those_of_re(patterns: tuple[str, ...], texts: list[str]) -> None:
    """Behind each text, all short ones are tried: `re` is asked which of them end one."""
    expression = reduce(Both, map(parse, patterns))
    constraint = Constraint(expression, KINDS["byte-level"], KINDS["byte-level"].vocab_size)
    short = ["".join(letters) for n in range(5) for letters in product("ab1", repeat=n)]
    pieces = {piece.decode(): id for id, piece in enumerate(constraint.vocabulary.pieces)
              if re.fullmatch(b"[ab1]+", piece)}
    assert "abab" in pieces and "a" in pieces and len(constraint._automaton) < 2000
    is_text = cache(lambda text: all(re.fullmatch(pattern, text) for pattern in patterns))
    for text in texts:
        state = constraint.start
        for letter in text:
            state = constraint.next(state, ord(letter))
        assert constraint.accepts(state) == is_text(text)
        masks = [constraint.allowed(state, left) for left in (1, 2, None)]
        for piece, id in pieces.items():
            wanted = [is_text(text + piece), any(is_text(text + piece + end) for end in pieces),
                      any(is_text(text + piece + end) for end in short)]
            wanted[1] = wanted[0] or wanted[1]
            assert [mask[id] for mask in masks] == wanted, (text[-9:], len(text), piece)
        for end in short[1:]:
            after = constraint._steps.after(state, end.encode())
            assert (bool(after) and constraint.accepts(after)) == is_text(text + end)


@given(expressions, st.sampled_from(sorted(KINDS)))
@draws(60, dev=25)
def test_a_search_that_is_cut_short_errs_to_the_safe_side(expression: Expression, kind: str
                                                          ) -> None:
    words = vocabulary(KINDS[kind], KINDS[kind].vocab_size)
    whole = automaton_of(Language(expression))
    exact = tokens_needed(whole, words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEWEST", 1)
        patch.setattr(module, "BLOCK", 4)
        cut = tokens_needed(whole, words)
    assert np.array_equal(cut < NEVER, exact < NEVER) and (cut >= exact).all()


@pytest.mark.parametrize(("pattern", "kind", "lacks"), [
    (r"\{x\}", "characters", "'x'"), ("b\nb", "characters", r"'\\n'"),
    ("aé中Z", "unigram", "'Z'"), ("x", "wordpiece", "'x'")])
def test_what_no_token_spells_is_named(pattern: str, kind: str, lacks: str) -> None:
    with pytest.raises(UserError, match=f"no token for {lacks}"):
        regular_expression(pattern, KINDS[kind], KINDS[kind].vocab_size)


def test_a_language_without_a_text_is_refused() -> None:
    with pytest.raises(UserError, match="no text at all"):
        regular_expression(r"[^\s\S]", KINDS["byte-level"], 300)


def test_states_are_values_and_masks_are_kept_within_a_budget(
        monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = KINDS["byte-level"]
    one, two = (regular_expression("[ab]{2,60}", tokenizer, 290) for _ in range(2))
    ids = tokenizer.encode("abba")
    state = one.start
    for id in ids:
        before, first = state, one.allowed(state).copy()
        state = one.next(state, id)
        assert one.next(before, id) == state and hash(one.next(before, id)) == hash(state)
        assert np.array_equal(one.allowed(before), first)
    wanted, state = [], one.start
    for _ in range(60):
        wanted.append((one.allowed(state), one.allowed(state, 3)))
        state = one.next(state, ord("a"))
    monkeypatch.setattr(module, "MEMORY", 4000)
    monkeypatch.setattr(module, "MOST_SETS", 3)
    state = two.start
    for masks in wanted:
        assert np.array_equal(masks, (two.allowed(state), two.allowed(state, 3)))
        assert sum(kept.nbytes for kept in two._kept.values()) == two._memory <= 4000
        state = two.next(state, ord("a"))
    assert two.finished(state) and two.accepts(state) and not two.allowed(state).any()


def test_a_token_that_is_not_allowed_is_refused() -> None:
    constraint = regular_expression("a+", KINDS["byte-level"], 280)
    for token in (ord("b"), 279):
        with pytest.raises(ValueError, match="not allowed here"):
            constraint.next(constraint.start, token)


def test_a_character_may_be_split_over_tokens() -> None:
    constraint = regular_expression("[中国]x", KINDS["byte-level"], 300)
    state = constraint.start
    for byte in "中x".encode():
        allowed = constraint.allowed(state)
        assert allowed[byte] and not constraint.accepts(state)
        state = constraint.next(state, byte)
    assert constraint.finished(state)
    assert np.flatnonzero(constraint.allowed(constraint.start)).tolist() == [0xE4, 0xE5]


def test_too_few_tokens_for_the_shortest_text_are_named() -> None:
    tokenizer = KINDS["byte-level"]
    model = GPT(GPTConfig(vocab_size=300, context=8, layers=1, heads=1, width=4), seed=0)
    year = regular_expression("[0-9]{4}", tokenizer, 300)
    least, batcher = year.shortest, Batcher(model, tokenizer)
    handles = [batcher.add([1], Sampling(constraint=year, max_tokens=most))
               for most in (least - 1, least)]
    batcher.run()
    assert f"by constraint, max_tokens (the shortest text has {least} tokens, and max_tokens is " \
           f"{least - 1}); loosen" in str(handles[0].error)
    assert handles[1].error is None and re.fullmatch("[0-9]{4}", handles[1].text)


@pytest.mark.parametrize("name", ["gpt2", "llama2/tokenizer.json", "bert/vocab.txt"])
def test_walks_with_real_vocabularies(name: str) -> None:
    tokenizer = load_tokenizer(real_vocabulary(name))
    rng = np.random.default_rng(0)
    for pattern in [r'\{"name": "[^"\\\x00-\x1f]{1,20}", "n": -?\d{1,9}(\.\d+)?\}', r"(\w+ ){3}\w+",
                    "[é!]+[中国]{2}"]:
        constraint = regular_expression(pattern, tokenizer, tokenizer.vocab_size + 7)
        for most in (constraint.shortest, 40):
            ids = walk(constraint, most, "random", rng)
            assert len(ids) <= most
            check_answer(pattern, constraint, tokenizer, ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_texts_of_a_model_are_of_the_language_under_every_option(kind: str) -> None:
    tokenizer = KINDS[kind]
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size + 2, context=64, layers=1, heads=2,
                          width=8), seed=0)
    prompt = [int(vocabulary(tokenizer, tokenizer.vocab_size).trie.ids[0])]
    options: list[dict[str, Any]] = [
        {"temperature": 0}, {"top_k": 3}, {"top_p": 0.5, "repetition_penalty": 1.5},
        {"temperature": 3.0, "frequency_penalty": 1.0}, {"ends": {tokenizer.vocab_size + 1}}]
    for pattern in ["(ab|ba)+1?", r'\{"a":[01]{2,9}\}', "[^x]{1,6}"]:
        if compiled(pattern, kind) is None:
            continue
        constraint = regular_expression(pattern, tokenizer, model.config.vocab_size)
        batcher = Batcher(model, tokenizer)
        handles = [batcher.add(prompt, Sampling(
            constraint=constraint, max_tokens=most, seed=k, **option))
            for k, option in enumerate(options) for most in (constraint.shortest, 12)]
        batcher.run()
        for handle in handles:
            assert re.fullmatch(pattern, handle.text), (pattern, handle.text, handle.reason)


@pytest.mark.parametrize("kind", KINDS)
def test_banned_tokens_and_ends_lead_to_no_dead_end(kind: str) -> None:
    """Each token that a text had is banned, or made one that ends: others are written, or none."""
    tokenizer, pattern = KINDS[kind], "(ab|ba|aab?){1,3}"
    if compiled(pattern, kind) is None:
        return
    size = tokenizer.vocab_size + 1
    constraint = regular_expression(pattern, tokenizer, size)
    logits, refused = np.zeros(size), 0
    for lost in constraint.vocabulary.trie.ids.tolist():
        options: list[dict[str, Any]] = [{"banned": {lost}}, {"ends": {lost}}]
        for option in options:
            try:
                choosers = [Chooser(Sampling(constraint=constraint, seed=seed, max_tokens=8,
                                             **option), [0], size) for seed in range(5)]
            except UserError as error:
                assert str(error).startswith("without the tokens of banned and ends, no text")
                refused += 1
                continue
            for chooser in choosers:
                while chooser.written < 8 and not chooser.finished:
                    token, = choose_all(logits[None], [chooser])
                    if token in chooser.sampling.ends:
                        break
                    chooser.take(token)
                text = b"".join(constraint.vocabulary.pieces[id] for id in chooser.ids[1:])
                assert re.fullmatch(pattern, text.decode()) and lost not in chooser.ids[1:]
    assert constraint.without({size - 1}) is constraint
    assert refused or kind != "characters"


class Owned(bytes):
    """A state that knows its constraint."""

    owner: Constraint


class Owner(Constraint):
    """A constraint that takes no state but its own."""

    asked = 0

    def _begin(self, language: Language, words: Vocabulary) -> None:
        super()._begin(language, words)
        self.start = self.owned(self.start)

    def owned(self, state: bytes) -> Owned:
        found = Owned(state)
        found.owner = self
        return found

    def check(self, state: bytes) -> None:
        assert isinstance(state, Owned) and state.owner is self
        Owner.asked += 1

    def next(self, state: bytes, token: int) -> bytes:
        self.check(state)
        return self.owned(super().next(state, token))

    def allowed(self, state: bytes, left: int | None = None) -> np.ndarray:
        self.check(state)
        return super().allowed(state, left)

    def accepts(self, state: bytes) -> bool:
        self.check(state)
        return super().accepts(state)


@pytest.mark.parametrize("draft", [None, LookUp(1, 4)])
def test_no_constraint_gets_a_state_of_another(draft: LookUp | None) -> None:
    """Texts with bans and without, their drafts and their beams are written side by side."""
    tokenizer, handles = KINDS["byte-level"], {}
    model = GPT(GPTConfig(vocab_size=300, context=32, layers=1, heads=1, width=4), seed=0)
    batcher, asked = Batcher(model, tokenizer, draft=draft), Owner.asked
    for pattern in ("(ab|ba){2,9}", "[ab]{3,20}1"):
        constraint = Owner(parse(pattern), tokenizer, 300)
        bans = [], tokenizer.encode("ab"), tokenizer.encode("ba")
        assert len({constraint.without(banned) for banned in bans}) == 3
        for banned in bans:
            options = Sampling(constraint=constraint, banned=banned, max_tokens=12, seed=1)
            handles[batcher.add([97, 98, 98, 97], options)] = pattern
            for beam in beam_search(model, [1], replace(options, seed=None), beams=3, count=3):
                assert re.fullmatch(pattern, tokenizer.decode(beam.ids))
                assert not {*banned} & {*beam.ids}
    batcher.run()
    for handle, pattern in handles.items():
        assert re.fullmatch(pattern, handle.text) and not handle.sampling.banned & {*handle.ids}
    assert Owner.asked > asked + 100


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize(("language", "texts"), [
    (parse("(ab|a){2,90}1|b(a{0,30}b){3}"), ["aababa", "baabab"]),
    (LOOKED_AT[1], ["ababb", "bab"])])
def test_an_interrupt_at_any_line_leaves_no_wrong_mask(
        language: Expression, texts: list[str], few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a constraint keeps is right wherever it was left; `few`: it drops sets each time."""
    tokenizer = KINDS["characters"]
    if few:
        monkeypatch.setattr(module, "MOST_SETS", 3)

    def way(constraint: Constraint, text: str) -> list[Any]:
        state, found = constraint.start, list[Any]()
        for id in tokenizer.encode(text):
            found += [constraint.allowed(state, left).tolist() for left in (None, 4)]
            found += [constraint.accepts(state), constraint.finished(state)]
            state = constraint.next(state, id)
        return found

    def made() -> Constraint:
        return Constraint(language, tokenizer, tokenizer.vocab_size)

    wanted = [way(made(), text) for text in texts]
    lines = interrupted_at(0, "constrained", partial(way, made(), texts[0]))
    for line in range(1, lines, 1 + lines // 25):
        constraint = made()
        assert interrupted_at(line, "constrained", partial(way, constraint, texts[0])) == line
        assert [way(constraint, text) for text in texts] == wanted, line
