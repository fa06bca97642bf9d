import itertools
import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.unigram import UNKNOWN, Unigram

weights = st.floats(-20, 0)
tokens = st.text("abc", min_size=1, max_size=4)
texts = st.text("abcd", max_size=9)
BYTES = [(f"<0x{byte:02X}>", -3.0) for byte in range(256)]


@st.composite
def models(draw: st.DrawFn) -> Unigram:
    pieces = draw(st.dictionaries(tokens, weights, max_size=12))
    return Unigram(
        [("<unk>", 0.0), *pieces.items()], 0, single_precision=draw(st.booleans())
    )


def segmentations(model: Unigram, text: str) -> Iterator[tuple[float, list[tuple[int, int, int]]]]:
    """Yield the weight and the path of every way to cut `text`, by trying all sets of cuts."""
    known = {token: id for token, id in model.vocab.items() if id != 0}
    for size in range(len(text)):
        for cuts in itertools.combinations(range(1, len(text)), size):
            bounds = list(itertools.pairwise([0, *cuts, len(text)]))
            path, weight = [], 0.0
            for start, end in bounds:
                part = text[start:end]
                if part in known:
                    weight += model.pieces[known[part]][1]
                elif end - start == 1:
                    weight += model.unknown_score
                else:
                    break
                path.append((known.get(part, UNKNOWN), start, end))
            else:
                yield weight, path


@given(models(), texts)
def test_viterbi_finds_the_best_of_all_segmentations(model: Unigram, text: str) -> None:
    best = max((weight for weight, _ in segmentations(model, text)), default=0.0)
    path = model._best_path(text)
    found = sum(
        model.unknown_score if id == UNKNOWN else model.pieces[id][1] for id, _, _ in path
    )
    assert found == pytest.approx(best, rel=1e-5 if model.single_precision else 1e-12)
    assert "".join(text[start:end] for _, start, end in path) == text


@given(models(), texts.filter(bool), st.floats(0, 2))
def test_forward_sums_are_sums_over_all_segmentations(
    model: Unigram, text: str, alpha: float
) -> None:
    """A path's probability is the product of the sampler's steps, P(x)^alpha over their sum."""
    incoming = model.incoming(text, alpha)
    everything = list(segmentations(model, text))
    total = np.logaddexp.reduce([alpha * weight for weight, _ in everything])
    for weight, path in everything:
        steps = 1.0
        for id, start, end in path:
            probabilities, edges = incoming[end]
            steps *= probabilities[edges.index((start, id))]
        assert steps == pytest.approx(math.exp(alpha * weight - total), rel=1e-9, abs=1e-300)
    for place in range(1, len(text) + 1):
        assert sum(incoming[place][0]) == pytest.approx(1)


def test_samples_come_as_often_as_they_should() -> None:
    model = Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.0)], 0)
    rng = np.random.default_rng(7)
    drawn = [model.sample("ab", 1.0, rng) for _ in range(4000)]
    share = drawn.count((3,)) / len(drawn)
    assert set(drawn) == {(3,), (1, 2)}
    expected = 1 / (1 + math.exp(-1))  # exp(-1) against exp(-2)
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 4000)
    again = np.random.default_rng(7)
    assert [model.sample("ab", 1.0, again) for _ in range(4000)] == drawn


def test_a_large_alpha_is_viterbi_and_an_empty_text_has_no_tokens() -> None:
    model = Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.5), ("ba", -1.6)], 0)
    rng = np.random.default_rng(0)
    assert model.sample("abab?", 1000.0, rng) == model.encode_piece("abab?") == (3, 3, 0)
    assert model.encode_piece("") == model.sample("", 1.0, rng) == ()
    with pytest.raises(ValueError, match="alpha must be"):
        model.sample("a", math.nan, rng)


def test_ties_go_to_the_longest_last_token() -> None:
    model = Unigram([("a", -1.0), ("aa", -2.0), ("aaa", -3.0)], None)
    assert model.piece_spans("aaaa") == [(0, 0, 1), (2, 1, 4)]


def test_unknown_characters_are_fused_or_spelt_in_bytes() -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0)]
    assert Unigram(pieces, 0).piece_spans("xya😀") == [(0, 0, 2), (1, 2, 3), (0, 3, 4)]
    in_bytes = Unigram([*pieces, *BYTES], 0, byte_fallback=True)
    assert in_bytes.piece_spans("aéx") == [
        (1, 0, 1), (2 + 0xC3, 1, 2), (2 + 0xA9, 1, 2), (2 + ord("x"), 2, 3)
    ]  # fmt: skip
    some = Unigram([*pieces, BYTES[ord("x")]], 0, byte_fallback=True)
    assert some.encode_piece("x") == (2,)
    assert some.encode_piece("xé") == (0,)  # one byte missing, and the run is unknown
    with pytest.raises(UserError, match="'xy' at position 1 .* no unknown token"):
        Unigram(pieces, None).encode_piece("axy")


def test_unmatched_pieces_are_not_found_in_text() -> None:
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("<", -1.0), ("s", -2.0), (">", -3.0)]
    assert Unigram(pieces, 0).encode_piece("<s>") == (1,)
    model = Unigram(pieces, 0, unmatched=[0, 1])
    assert model.encode_piece("<s><unk>") == (2, 3, 4, 2, 0, 4)
    assert Unigram(pieces, 0).unknown_score == -13.0


def test_pieces_that_always_win() -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -90.0)]
    assert Unigram(pieces, 0).encode_piece("ab") == (1, 2)
    assert Unigram(pieces, 0, unmatched=[0], always=[3]).encode_piece("ab") == (3,)
    likely = [("<unk>", 0.0), ("a", 0.06), ("b", 0.06), ("ab", 0.0)]  # 0.12 against 0.1
    assert Unigram(likely, 0, unmatched=[0], always=[3]).encode_piece("ab") == (1, 2)


def viterbi_single(model: Unigram, text: str) -> list[int]:
    """Return the ids of the best path, every sum a float32, sums over 100,000 brought back."""
    best: list[np.float32 | None] = [np.float32(0)] + [None] * len(text)
    came = [(0, 0)] * (len(text) + 1)
    for start in range(len(text)):
        here = best[start]
        assert here is not None
        if abs(here) > 100_000:
            best = [None if b is None else np.float32(b - here) for b in best]
            here = np.float32(0)
        for end, weight, id in model.edges(text, start):
            score, target = np.float32(here + np.float32(weight)), best[end]
            if target is None or score > target:
                best[end], came[end] = score, (start, id)
    ids, end = [], len(text)
    while end:
        end, id = came[end]
        ids.append(id)
    return ids[::-1]


@given(st.lists(st.sampled_from([-30_000.0, -1.3, -2.6, -2.6004, -0.1]), min_size=5, max_size=5),
       st.text("abx", max_size=30))  # fmt: skip
def test_single_precision_rounds_every_sum(scores: list[float], text: str) -> None:
    pieces = list(zip(["<unk>", "a", "b", "ab", "aa"], map(np.float32, scores), strict=True))
    single = [(token, float(score)) for token, score in pieces]
    model = Unigram(single, 0, unknown_score=-20_000.0, single_precision=True)
    assert [id for id, _, _ in model._best_path(text)] == viterbi_single(model, text)


def test_a_large_sum_makes_ties() -> None:
    """At 60,000 a float32 has no digits for 0.0004, and the path found first is kept."""
    pieces = [("<unk>", 0.0), ("x", -20.0), ("a", -1.0), ("aa", -2.0005)]
    exact = Unigram(pieces, 0)
    single = Unigram(pieces, 0, single_precision=True)
    text = "x" * 3000 + "aa"
    assert exact.encode_piece(text)[-2:] == (2, 2) == single.encode_piece("aa")
    assert single.encode_piece(text)[-2:] == (1, 3)
    assert single.encode_piece("x" * 5001 + "aa")[-2:] == (2, 2)  # brought back before


def test_one_letter_many_times_is_not_quadratic() -> None:
    model = Unigram([("a" * k, -float(k) ** 0.9) for k in range(1, 17)], None)
    started = time.process_time()
    assert len(model.encode_piece("a" * 100_000)) == 6250
    assert time.process_time() - started < 10  # quadratic would take minutes


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="at least one piece"):
        Unigram([], None)
    with pytest.raises(UserError, match="piece 1, 'b', has log-probability nan"):
        Unigram([("a", 0.0), ("b", math.nan)], None)
    with pytest.raises(UserError, match="unk_id is 2, but there are 1 pieces"):
        Unigram([("a", 0.0)], 2)
    model = Unigram([("a", 0.0)], 0)
    with pytest.raises(UserError, match=r"lone surrogate, U\+DFFF, at position 1"):
        model.encode_piece("a\udfff")
    with pytest.raises(UserError, match="lone surrogate"):
        model.sample("\udfff", 1.0, np.random.default_rng(0))
