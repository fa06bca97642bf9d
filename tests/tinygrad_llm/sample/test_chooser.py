"""The state of a text and the choice of its tokens, alone and in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample import Choice, Chooser, Sampling, choose_all
from tinygrad_llm.sample import logits as filters
from tinygrad_llm.sample.chooser import WIDE, _choose_wide

INF, V, END = float("inf"), 11, 7


class Brackets:
    """A constraint: as many of token 0 as of token 1 after them, and nothing else."""

    start = (0, False)

    def next(self, state: tuple[int, bool], token: int) -> tuple[int, bool]:
        assert token in (0, 1)
        return (state[0] + (1 if token == 0 else -1), state[1] or token == 1)

    def allowed(self, state: tuple[int, bool], left: int | None) -> np.ndarray:
        deep, closing = state
        mask = np.zeros(V, bool)
        mask[0] = not closing and (left is None or deep + 1 < left)
        mask[1] = deep > 0
        mask[END] = True  # whose characters would be its own
        mask.setflags(write=False)
        return mask

    def accepts(self, state: tuple[int, bool]) -> bool:
        return state == (0, True)


def halved(logits: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Return the logits, all but the last id's halved: a function of a user's own."""
    return np.where(np.arange(V) == ids[-1], logits, logits / 2)


options: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({}, optional={
    "temperature": st.sampled_from([0, 0.5, 1.0]), "top_k": st.sampled_from([1, 3, 20]),
    "top_p": st.sampled_from([0.4, 1.0]), "min_p": st.sampled_from([0.0, 0.2]),
    "repetition_penalty": st.sampled_from([0.8, 1.3]), "presence_penalty": st.just(0.7),
    "frequency_penalty": st.just(-0.4), "no_repeat_ngram": st.sampled_from([2, 3]),
    "logit_bias": st.just({2: 1.5, 9: -3.0}), "banned": st.just([4]), "ends": st.just([0, 3]),
    "min_tokens": st.sampled_from([0, 2]), "processors": st.just([halved]),
    "logprobs": st.sampled_from([0, 2]),
})
prompts = st.lists(st.integers(0, V - 1), min_size=1, max_size=4)
texts = st.lists(st.tuples(options, prompts, st.integers(0, 9)), min_size=1, max_size=5)


def logits_after(ids: Sequence[int]) -> np.ndarray:
    """Return the logits of a model: a function of the last two ids, with ties."""
    seed = 31 * ids[-1] + (ids[-2] if len(ids) > 1 else 0)
    return np.round(np.random.default_rng(seed).normal(size=V) * 2, 1).astype(np.float32)


def made(text: tuple[dict[str, Any], list[int], int]) -> Chooser:
    chosen, prompt, seed = text
    return Chooser(Sampling(seed=seed, **chosen), prompt, V)


def written(choosers: list[Chooser], count: int = 6) -> list[tuple[list[int], list[Choice]]]:
    for _ in range(count):
        logits = np.stack([logits_after(chooser.ids) for chooser in choosers])
        before = logits.copy()
        for row, token in enumerate(tokens := choose_all(logits, choosers)):
            choosers[row].take(token, logits[row])
        np.testing.assert_array_equal(logits, before)
        assert all(type(token) is int for token in tokens)
    return [(chooser.ids, chooser.choices) for chooser in choosers]


@given(texts, st.randoms(use_true_random=False))
def test_a_text_is_the_same_alone_and_in_any_batch(described: list[Any], random: Any) -> None:
    alone = [written([made(text)])[0] for text in described]
    assert written([*map(made, described)]) == alone
    order = random.sample(range(len(described)), random.randint(1, len(described)))
    assert written([made(described[i]) for i in order]) == [alone[i] for i in order]


@given(texts)
def test_the_choice_is_a_draw_from_the_filtered_logits(described: list[Any]) -> None:
    for text in described:
        chooser, twin = made(text), made(text)
        for _ in range(4):
            logits = logits_after(chooser.ids)
            filtered = chooser.filtered(logits)
            expected = (int(filtered.argmax()) if chooser.sampling.temperature == 0
                        else filters.draw(filtered, twin.rng))
            token, = choose_all(logits[None], [chooser])
            assert token == expected and filtered[token] > -INF
            chooser.take(token, logits)


def defined(s: Sampling, prompt: list[int], answer: list[int], z: np.ndarray) -> np.ndarray:
    """Return the processed logits by the order that `Sampling` states, token by token."""
    ids, z = prompt + answer, z.copy()
    for v, bias in s.logit_bias.items():
        z[v] += bias
    for v in set(ids):
        z[v] = z[v] * s.repetition_penalty if z[v] < 0 else z[v] / s.repetition_penalty
    for v in set(answer):
        z[v] -= s.frequency_penalty * answer.count(v) + s.presence_penalty
    for function in s.processors:
        z = function(z, ids)
    n = s.no_repeat_ngram
    for i in range(len(ids) - n + 1 if n else 0):
        if len(ids) >= n and ids[i : i + n - 1] == ids[len(ids) - n + 1 :]:
            z[ids[i + n - 1]] = -INF
    z[[*s.banned, *(s.ends if len(answer) < s.min_tokens else ())]] = -INF
    return z


@draws(100, 40)
@given(options, prompts, st.lists(st.integers(0, V - 1), max_size=6))
def test_options_come_in_the_order_that_is_stated(
        chosen: dict[str, Any], prompt: list[int], answer: list[int]) -> None:
    chooser = Chooser(Sampling(**chosen), prompt, V)
    for token in answer:
        chooser.take(token, logits_after([token]))
    z = logits_after([*prompt, *answer])
    got = chooser.process(z)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, defined(chooser.sampling, prompt, answer, z), atol=1e-5)
    assert chooser.written == len(answer) and chooser.ids == prompt + answer
    if chooser.plain:
        assert got is z


@given(texts, st.integers(0, 3))
def test_a_fork_and_its_origin_do_not_see_each_other(described: list[Any], before: int) -> None:
    for text in described:
        expected = written([made(text)])[0]
        chooser = made(text)
        written([chooser], before)
        fork = chooser.fork()
        for token in (1, 5, 1):
            fork.take(token, logits_after([token]))
            choose_all(logits_after(fork.ids)[None], [fork])
        other = chooser.fork()
        assert written([chooser], 6 - before)[0] == expected
        assert written([other], 6 - before)[0] == expected


def test_texts_of_neighbouring_seeds_are_drawn_independently() -> None:
    """Chi-square of the first two tokens of many texts, whose seeds are 0, 1, 2, ..."""
    n, p = 2000, np.array([0.5, 0.3, 0.2])
    choosers = [Chooser(Sampling(seed=seed), [0], 3) for seed in range(n)]
    logits = np.tile(np.log(p), (n, 1))
    first, second = (np.array(choose_all(logits, choosers)) for _ in range(2))
    counts = np.bincount(3 * first + second, minlength=9)
    expected = n * np.outer(p, p).ravel()
    assert ((counts - expected) ** 2 / expected).sum() < 26.12  # exceeded once in 1000
    repeated = np.bincount(3 * first[1:] + first[:-1], minlength=9)
    assert ((repeated - expected) ** 2 / expected).sum() < 26.12


def test_a_fork_of_a_text_without_a_seed_draws_the_same() -> None:
    chooser = Chooser(Sampling(), [1], V)
    fork = chooser.fork()
    assert written([chooser]) == written([fork]) != written([Chooser(Sampling(), [1], V)])
    assert chooser.fork(fork.rng).rng is fork.rng


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [None, 2, 3, 6])
def test_a_constraint_is_kept_and_ends_are_possible_where_it_accepts(seed: int, most: int | None
                                                                     ) -> None:
    chooser = Chooser(Sampling(constraint=Brackets(), ends=[END], banned=[5], seed=seed,
                               max_tokens=most, repetition_penalty=2.0), [3], V)
    token = -1
    while token != END and chooser.written != most:
        logits = np.linspace(0, 1, V)  # which would have other tokens
        possible = np.flatnonzero(chooser.process(logits) > -INF).tolist()
        assert (END in possible) == Brackets().accepts(chooser.state)
        token, = choose_all(logits[None], [chooser])
        assert token in possible and set(possible) <= {0, 1, END}
        chooser.take(token, logits)
    answer = [id for id in chooser.ids[1:] if id != END]
    half = len(answer) // 2
    assert answer == [0] * half + [1] * half and half


@pytest.mark.parametrize("others", [{}, {"banned": [5]}])
def test_an_end_waits_for_the_minimum_length(others: dict[str, Any]) -> None:
    chooser = Chooser(Sampling(temperature=0, ends=[2, 3], min_tokens=2, **others), [1], V)
    logits, found = np.zeros(V), []
    logits[[2, 3, 4]] = 3, 2, 1
    for _ in range(4):
        found += choose_all(logits[None], [chooser])
        chooser.take(found[-1])
    assert found == [4, 4, 2, 2]


def test_log_probabilities_are_the_models_own() -> None:
    chooser = Chooser(Sampling(temperature=0, logprobs=3, banned=[4], logit_bias={0: 5.0}), [1], V)
    logits = np.array([0, 1, 2, 2, 3, -INF, 0, 0, 0, 0, 0])
    chooser.take(0, logits)
    log_p = logits - np.log(np.exp(logits).sum())
    got, = chooser.choices
    assert (got.token, [id for id, _ in got.top]) == (0, [4, 2, 3])  # of equals the first first
    np.testing.assert_allclose([got.logprob, *(p for _, p in got.top)], log_p[[0, 4, 2, 3]])
    chooser = Chooser(Sampling(logprobs=0), [1], V)
    chooser.take(5, logits)
    assert chooser.choices == [Choice(5, -INF, [])]
    chooser = Chooser(Sampling(logprobs=99), [1], V)
    chooser.take(0, logits)
    assert [id for id, _ in chooser.choices[0].top] == [4, 2, 3, 1, 0, 6, 7, 8, 9, 10, 5]


def test_without_logits_no_log_probabilities_are_added() -> None:
    chooser = Chooser(Sampling(logprobs=0), [1], V)
    chooser.take(3)
    assert chooser.choices == [] and chooser.ids == [1, 3]


@draws(100, 40)
@given(st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=9), st.integers(0, 10))
def test_the_top_tokens_are_sorted_by_probability_and_id(z: list[float], count: int) -> None:
    logits = np.array(z)
    chooser = Chooser(Sampling(logprobs=count), [0], len(z))
    chooser.take(0, logits)
    expected = sorted(range(len(z)), key=lambda v: (-z[v], v))[:count]
    assert [id for id, _ in chooser.choices[0].top] == expected


wide = st.lists(st.integers(-3, 3).map(float) | st.floats(-9, 9, width=32) | st.just(-INF),
                min_size=1, max_size=40).filter(lambda z: max(z) > -INF)


cuts = st.tuples(st.floats(0.05, 3), st.none() | st.integers(1, 8), st.none() | st.floats(0.01, 1),
                 st.none() | st.floats(0, 1), st.none() | st.floats(0.01, 1))


@draws(100, 40)
@given(wide, cuts, st.floats(0, 1, exclude_max=True) | st.just(1 - 2.0**-53))
def test_a_large_vocabulary_is_narrowed_to_the_same_choice(z: list[float], cuts: Any, u: float
                                                           ) -> None:
    logits, rng = np.array(z, np.float32), Mock(random=lambda: u)
    assert _choose_wide(logits, cuts, rng) == filters.draw(filters.cut(logits, *cuts), rng)


def test_rows_of_a_large_vocabulary_are_chosen_each_by_itself() -> None:
    logits = np.random.default_rng(0).normal(size=(3, WIDE)) * 3
    for chosen in ({}, {"temperature": 0}, {"top_k": 40, "top_p": 0.8}):
        ours, twins = ([Chooser(Sampling(seed=i, **chosen), [0], WIDE) for i in range(3)]
                       for _ in range(2))
        assert choose_all(logits, ours) == [filters.draw(twin.filtered(row), twin.rng)
                                            for row, twin in zip(logits, twins, strict=True)]


@pytest.mark.parametrize("chosen, words", [
    ({"banned": [V]}, "banned: ids must lie in .0, 11., got 11 to 11"),
    ({"ends": [1, 12]}, "ends: ids .* got 1 to 12"), ({"logit_bias": {20: 1}}, "logit_bias: ids"),
    ({}, "the prompt: ids"),
])
def test_ids_outside_the_vocabulary(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(IndexError, match=words):
        Chooser(Sampling(**chosen), [1, 2] if chosen else [1, 11], V)


@pytest.mark.parametrize("bad", [float("nan"), INF])
@pytest.mark.parametrize("chosen", [{}, {"temperature": 0}, {"banned": [2]}])
def test_logits_that_are_not_finite(bad: float, chosen: dict[str, Any]) -> None:
    choosers = [Chooser(Sampling(seed=i, **chosen), [1], V) for i in range(3)]
    logits = np.zeros((3, V))
    logits[1, 2] = bad
    expected = [chooser.fork().rng.random() for chooser in choosers]
    with pytest.raises(UserError, match=f"the model's largest logit is {bad}"):
        choose_all(logits, choosers)
    assert [chooser.rng.random() for chooser in choosers] == expected  # nothing was drawn
    for call in (choosers[0].process, choosers[0].filtered):
        with pytest.raises(UserError, match="largest logit"):
            call(logits[1])
    with pytest.raises(UserError, match="largest logit is -inf"):
        choose_all(np.full((1, V), -INF), choosers[:1])


def test_huge_logits_are_chosen_from() -> None:
    choosers = [Chooser(Sampling(temperature=0), [1], 2) for _ in range(2)]
    assert choose_all(np.array([[1e308, 0], [0, 1.5e308]]), choosers) == [0, 1]


@pytest.mark.parametrize("chosen, words", [
    ({"banned": range(1, V), "no_repeat_ngram": 1}, "by no_repeat_ngram, banned;"),
    ({"banned": range(1, V), "ends": [0], "min_tokens": 1}, "by banned, min_tokens;"),
    ({"constraint": Brackets(), "max_tokens": 1, "ends": [END]},
     "by constraint, max_tokens;"),
    ({"processors": [lambda z, ids: z - INF]}, "all 11 are forbidden by processors;"),
])
def test_what_forbids_all_tokens_is_named(chosen: dict[str, Any], words: str) -> None:
    chooser = Chooser(Sampling(**chosen), [0], V)
    fine = Chooser(Sampling(banned=[1], seed=1), [0], V)
    expected = fine.fork().rng.random()
    for call in (lambda: choose_all(np.zeros((2, V)), [fine, chooser]),
                 lambda: chooser.process(np.zeros(V)), lambda: chooser.filtered(np.zeros(V))):
        with pytest.raises(UserError, match=words):
            call()
    assert fine.rng.random() == expected


def test_processors_that_give_no_logits() -> None:
    for function, kind, words in ((lambda z, ids: z[:3], ValueError, r"must return .* got \(3,\)"),
                                  (lambda z, ids: z * float("nan"), UserError, "logit is nan")):
        with pytest.raises(kind, match=words):
            Chooser(Sampling(processors=[function]), [0], V).process(np.zeros(V))


def test_a_processor_may_write_into_its_logits() -> None:
    """Those of the model, of which log-probabilities are, stay as they are."""
    def in_place(z: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        z[3] = 99
        return z

    z = np.zeros(V)
    assert Chooser(Sampling(processors=[in_place]), [0], V).process(z)[3] == 99 and not z.any()


def test_all_banned_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="banned forbids all 11 tokens"):
        Chooser(Sampling(banned=range(V)), [0], V)
