from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.training.wordpiece_vocabulary import (
    SPECIAL_TOKENS,
    learn_vocabulary,
    learn_vocabulary_plainly,
)

words = st.dictionaries(st.text("abcé", max_size=9), st.integers(1, 50), max_size=20)


@given(words, st.sampled_from([None, 1, 2, 3, 5]), st.sampled_from([None, 1, 3]),
       st.integers(12, 60))
def test_fast_is_plain(counts: dict[str, int], least: int | None, limit: int | None, size: int
                       ) -> None:
    plain = learn_vocabulary_plainly(counts, size + 5, min_frequency=least, limit_alphabet=limit)
    fast = learn_vocabulary(counts, size + 5, min_frequency=least, limit_alphabet=limit)
    assert list(plain.items()) == list(fast.items())
    assert list(plain.values()) == list(range(len(plain))) and len(plain) <= size + 5


@given(words)
def test_the_order_of_the_words_does_not_matter(counts: dict[str, int]) -> None:
    backwards = dict(reversed(counts.items()))
    assert list(learn_vocabulary(counts, 30)) == list(learn_vocabulary(backwards, 30))


@given(words)
def test_every_word_seen_is_made_of_tokens(counts: dict[str, int]) -> None:
    vocab = learn_vocabulary(counts, 40, min_frequency=1)
    model = WordPiece(vocab)
    assert all(vocab["[UNK]"] not in model.encode_piece(word) for word in counts)


def test_the_rarest_apart_are_merged_first() -> None:
    # q and ##u are never apart: 3 / (3 * 3). The most frequent pair has 20 / (30 * 20).
    counts = {"qu": 3, "u": 10, "er": 20, "e": 10}
    vocab = learn_vocabulary_plainly(counts, 100)
    assert list(vocab)[:5] == list(SPECIAL_TOKENS)
    assert list(vocab)[5:] == ["e", "q", "r", "u", "##r", "##u", "qu", "er"]


def test_scores_are_those_of_the_derivation() -> None:
    counts = {"ab": 4, "abc": 2, "bc": 5, "ca": 3, "acb": 1}
    split = {word: [word[0], *("##" + c for c in word[1:])] for word in counts}
    tokens: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for word, n in counts.items():
        tokens.update({t: split[word].count(t) * n for t in set(split[word])})
        for pair in zip(split[word], split[word][1:]):  # noqa: B905
            pairs[pair] += n
    total = sum(tokens.values())

    def gain(pair: tuple[str, str]) -> float:  # of the log-likelihood, at a place
        p = pairs[pair] / total / (tokens[pair[0]] / total * tokens[pair[1]] / total)
        return float(np.log(p))

    first = next(iter(list(learn_vocabulary_plainly(counts, 100, min_frequency=1))[5 + 6 :]))
    a, b = max(pairs, key=gain)
    assert first == a + b.removeprefix("##")


def test_ties_go_to_the_more_frequent_then_to_the_smaller_ids() -> None:
    assert list(learn_vocabulary({"ab": 2, "cd": 2}, 100))[-2:] == ["ab", "cd"]
    # 2 / (2 * 4), 2 / (2 * 4) and 4 / (4 * 4) tie; the third comes more often.
    assert list(learn_vocabulary({"ab": 2, "yb": 2, "cd": 4}, 100))[-3:] == ["cd", "ab", "yb"]


def test_two_ways_to_a_string_are_one_token() -> None:
    vocab = learn_vocabulary({"abab": 9, "ab": 5, "babab": 7}, 100, min_frequency=1)
    assert len(set(vocab)) == len(vocab) == len(set(vocab.values()))


def test_the_alphabet_can_be_limited() -> None:
    counts = {"aab": 9, "ac": 2, "ab": 3}
    vocab = learn_vocabulary(counts, 9 + 1, limit_alphabet=2)
    assert [token for token in vocab if "c" in token] == []
    assert list(vocab)[5:9] == ["a", "b", "##a", "##b"]


def test_min_frequency_leaves_rare_pairs_apart() -> None:
    vocab = learn_vocabulary({"ab": 3, "cd": 2}, 100, min_frequency=3)
    assert "ab" in vocab and "cd" not in vocab


def test_special_tokens_and_prefix_are_the_callers() -> None:
    vocab = learn_vocabulary({"ab": 3}, 100, special_tokens=["<unk>"], prefix="@")
    assert list(vocab) == ["<unk>", "a", "b", "@b", "ab"]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="vocab_size=7 is below the 8 of the special tokens"):
        learn_vocabulary({"ab": 1}, 7)
    with pytest.raises(UserError, match="min_frequency must be at least 1, got 0"):
        learn_vocabulary({"ab": 1}, 70, min_frequency=0)
    with pytest.raises(UserError, match="limit_alphabet must be at least 1, got 0"):
        learn_vocabulary({"ab": 1}, 70, limit_alphabet=0)


def test_a_vocabulary_has_a_largest_size() -> None:
    with pytest.raises(UserError, match="at most 1048576"):
        learn_vocabulary({"ab": 1}, 2**40)


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    learn_vocabulary({"abc": 3}, 12, progress=True)
    assert "token" in capsys.readouterr().err
    learn_vocabulary({"abc": 3}, 12)
    assert capsys.readouterr().err == ""


def test_the_threshold_falls_from_the_words_a_token_to_two() -> None:
    # 130 words, 13 tokens: pairs must come 10 times, then 5, then 2. So "ab" is merged first,
    # though all others have higher scores, and "qx", which comes once, not at all.
    counts = {"ab": 100, "a": 15, "yz": 5, "qw": 2, "qx": 1, "b": 7}
    vocab = learn_vocabulary_plainly(counts, 13, special_tokens=())
    merged = [token for token in vocab if len(token) == 2]
    assert merged == ["ab", "yz"]
    # 130 words, 14 tokens: 9, 4, 2.
    vocab = learn_vocabulary_plainly(counts, 14, special_tokens=())
    merged = [token for token in vocab if len(token) == 2]
    assert merged == ["ab", "yz", "qw"]
    # 130 words, 60 tokens: 2 from the beginning.
    vocab = learn_vocabulary_plainly(counts, 60, special_tokens=())
    merged = [token for token in vocab if len(token) == 2]
    assert merged == ["qw", "yz", "ab"]


def test_words_are_spelt_with_few_tokens_whatever_the_size_of_the_text() -> None:
    rng = np.random.default_rng(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    spellings = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(2000)]
    small = {word: 1 + 2000 // rank for rank, word in enumerate(dict.fromkeys(spellings), start=1)}

    def tokens_a_word(times: int, least: int | None) -> float:
        counts = {word: n * times for word, n in small.items()}
        model = WordPiece(learn_vocabulary(counts, 600, min_frequency=least))
        return sum(len(model.encode_piece(w)) * n for w, n in small.items()) / sum(small.values())

    assert tokens_a_word(1, None) < 0.8 * tokens_a_word(1, 2)
    assert tokens_a_word(100, None) < 0.8 * tokens_a_word(100, 2)
