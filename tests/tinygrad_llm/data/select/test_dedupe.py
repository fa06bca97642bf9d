import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinygrad_llm.data.select import dedupe
from tinygrad_llm.data.select.dedupe import (
    PERMUTATIONS,
    bands,
    exact_duplicates,
    find_duplicates,
    minhash,
    near_duplicates,
    signature,
    similarity,
    text_digest,
)
from tinygrad_llm.data.select.word_runs import normalized_words, run_hashes, word_hashes
from tinygrad_llm.host.errors import UserError


def digests_of(texts: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(map(text_digest, texts)), np.uint8).reshape(-1, 16)


def signatures_of(texts: list[str]) -> NDArray[np.uint32]:
    return np.array([signature(text) for text in texts], np.uint32).reshape(-1, PERMUTATIONS)


def duplicates(texts: list[str], threshold: float = 0.8) -> list[int]:
    return list(map(int, find_duplicates(digests_of(texts), signatures_of(texts), threshold)))


def prose(seed: int, length: int = 300) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"w{i}" for i in rng.integers(0, 5000, length)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 0.95])
def test_similarity_is_jaccards_within_binomial_bounds(share: float) -> None:
    """300 pairs at one J: their mean lies within 4.5 deviations, and they scatter as a binomial."""
    rng = np.random.default_rng(0)
    size = 400
    common = round(2 * size * share / (1 + share))
    exact = common / (2 * size - common)
    estimates = []
    for _ in range(300):
        drawn = rng.integers(0, 2**32, 2 * size - common, np.uint32)
        estimates.append(similarity(minhash(drawn[:size]), minhash(drawn[-size:])))
    deviation = (exact * (1 - exact) / PERMUTATIONS) ** 0.5
    assert abs(np.mean(estimates) - exact) <= 4.5 * deviation / len(estimates) ** 0.5
    assert abs(np.std(estimates) - deviation) <= 0.2 * deviation
    assert np.abs(np.array(estimates) - exact).max() <= 4.5 * deviation


def test_minima_are_those_of_the_definition() -> None:
    factors, offsets = dedupe._minhash_orders()
    assert (factors % 2 == 1).all() and len(np.unique(factors)) == PERMUTATIONS
    shingles = np.random.default_rng(1).integers(0, 2**32, 2 * dedupe.BLOCK + 3, np.uint32)
    least = [min((a * x + b) % 2**32 for x in shingles.tolist())
             for a, b in zip(factors[:5, 0].tolist(), offsets[:5, 0].tolist(), strict=True)]
    assert minhash(shingles)[:5].tolist() == least
    assert minhash(shingles[::-1].copy()).tolist() == minhash(shingles).tolist()


def test_a_signature_is_one_of_five_word_shingles() -> None:
    text = "One two, three four FIVE six seven."
    runs = run_hashes(word_hashes(normalized_words(text)), 5) >> np.uint64(32)
    assert len(runs) == 3
    assert signature(text).tolist() == minhash(runs.astype(np.uint32)).tolist()


@given(st.floats(0.05, 1))
def test_bands_find_what_is_at_the_threshold(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= PERMUTATIONS
    recall = 1 - (1 - threshold**rows) ** count
    assert recall >= 0.99 or rows == 1
    assert 1 in (rows, count) or (1 / count) ** (1 / rows) <= threshold


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_impossible_thresholds_are_refused(threshold: float) -> None:
    with pytest.raises(UserError, match=r"must be in \(0, 1\]"):
        bands(threshold)


@given(st.lists(st.text("ab \n\u00a0", max_size=4), max_size=12))
def test_exact_repetitions_are_those_of_the_plain_definition(texts: list[str]) -> None:
    plain = [" ".join(text.split()) for text in texts]
    expected = [-1 if plain.index(text) == i else plain.index(text)
                for i, text in enumerate(plain)]
    assert exact_duplicates(digests_of(texts)).tolist() == expected
    assert find_duplicates(digests_of(texts)).tolist() == expected


@given(st.lists(st.integers(0, 3).map(lambda i: [0, 1, 2**63, 2**64 - 1][i]), max_size=20))
def test_digests_are_compared_whole(numbers: list[int]) -> None:
    halves = np.array(numbers + [0] * (len(numbers) % 2), np.uint64).reshape(-1, 2)
    rows = [tuple(row) for row in halves.tolist()]
    expected = [-1 if rows.index(row) == i else rows.index(row) for i, row in enumerate(rows)]
    assert exact_duplicates(halves.view(np.uint8).reshape(-1, 16)).tolist() == expected


def test_planted_near_duplicates_are_found_and_the_rest_is_kept() -> None:
    texts, expected = [], []
    for i in range(150):
        row = prose(i)
        texts.append(" ".join(row))
        expected.append(-1)
        if i % 3 == 0:  # one word replaced, a beginning cut off, a sentence added, other signs
            first = len(texts) - 1
            changed = [[*row[:100], "other", *row[101:]], row[12:],
                       [*row, "and", "this", "was", "added"], [f"{w.upper()}," for w in row]]
            texts += [" ".join(one) for one in changed]
            expected += [first] * len(changed)
    assert duplicates(texts) == expected


def test_halves_are_no_duplicates() -> None:
    texts = [" ".join(prose(i) + prose(i + 1)) for i in range(60)]
    assert duplicates(texts) == [-1] * 60
    assert duplicates(texts, threshold=0.15)[1:4] != [-1] * 3  # J = 1 / 3


def greedy(signatures: NDArray[np.uint32], threshold: float) -> list[int]:
    """Return the rule in plain words: the first kept document that is similar enough."""
    kept: list[int] = []
    repeats = []
    for i, one in enumerate(signatures):
        first = next((k for k in kept if similarity(signatures[k], one) >= threshold), -1)
        repeats.append(first)
        if first < 0:
            kept.append(i)
    return repeats


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.5, 0.8, 0.9]))
def test_who_stays_is_the_plain_rule(seed: int, count: int, threshold: float) -> None:
    """Chains of signatures, of which neighbours are alike: similarity drifts along them."""
    rng = np.random.default_rng(seed)
    signatures = np.empty((count, PERMUTATIONS), np.uint32)
    for i in range(count):
        signatures[i] = rng.integers(0, 2**32 - 1, PERMUTATIONS, np.uint32)
        if i and rng.random() < 0.9:
            like = signatures[rng.integers(max(0, i - 6), i)]
            # Agreement in a run of places, so that bands are agreed in for sure.
            agree = int(rng.choice([0.3, 0.95, 0.97, 1.0]) * PERMUTATIONS)
            signatures[i, :agree] = like[:agree]
    assert near_duplicates(signatures, threshold).tolist() == greedy(signatures, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "MANY", 2)
        assert near_duplicates(signatures, threshold).tolist() == greedy(signatures, threshold)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_in_turn_where_all_are_candidates_is_the_plain_rule(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    signatures = rng.integers(0, 2**32 - 1, (count, PERMUTATIONS), np.uint32)
    for i in range(1, count):  # like one before it but for a random tenth
        like = signatures[rng.integers(max(0, i - 6), i)]
        signatures[i] = np.where(rng.random(PERMUTATIONS) < 0.1, signatures[i], like)
    keys = np.zeros((count, 2), np.uint64)
    repeats = [-1] * count
    similar = dedupe._matcher(signatures, 0.8)
    for leader, other in dedupe.match_in_turn(np.arange(count), keys, similar):
        repeats[other] = leader
    assert repeats == greedy(signatures, 0.8)


def test_a_long_chain_takes_no_time_of_its_square() -> None:
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 2**32 - 1, (20_000, PERMUTATIONS), np.uint32)
    for i in range(1, len(signatures)):  # a tenth of the places new, in turn
        new = (np.arange(13) + 13 * i) % PERMUTATIONS
        signatures[i] = np.where(np.isin(np.arange(PERMUTATIONS), new), signatures[i],
                                 signatures[i - 1])
    start = time.process_time()
    repeats = near_duplicates(signatures)
    assert time.process_time() - start < 5  # 0.8 s; each leader compared with all took 44
    kept = np.flatnonzero(repeats < 0)
    others = np.flatnonzero(repeats >= 0)
    assert len(kept) > 5000 and (repeats[repeats[others]] < 0).all()
    assert (similarity(signatures[others], signatures[repeats[others]]) >= 0.8).all()


def test_similarity_does_not_drift_along_a_chain() -> None:
    row = prose(0, 400)
    texts = [" ".join(row[i * 20:i * 20 + 200]) for i in range(10)]  # neighbours: J = 0.81
    repeats = duplicates(texts, 0.75)
    signatures = signatures_of(texts)
    assert repeats == greedy(signatures, 0.75)
    kept = [i for i, first in enumerate(repeats) if first < 0]
    assert 2 <= len(kept) < 10
    assert all(similarity(signatures[i], signatures[first]) >= 0.75
               for i, first in enumerate(repeats) if first >= 0)


def test_exact_repetitions_follow_their_first() -> None:
    row = prose(0)
    texts = [" ".join(row), " ".join(row[5:]), "\n".join(row[5:]), "else", " else "]
    assert duplicates(texts) == [-1, 0, 0, -1, 3]


def test_short_texts_repeat_whole_and_empty_ones_exactly() -> None:
    texts = ["one two", "One, two!", "one", "two", "", " ", "...", "?!"]
    assert duplicates(texts) == [-1, 0, -1, -1, -1, 4, -1, -1]


def test_unlike_documents_in_one_band_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 documents that agree in the first band and nothing else, then a repetition of each."""
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 2**32 - 1, (80, PERMUTATIONS), np.uint32)
    signatures[40:] = signatures[:40]
    signatures[:, :6] = 7
    assert near_duplicates(signatures).tolist() == [-1] * 40 + list(range(40))
    monkeypatch.setattr(dedupe, "LEADERS", 3)
    assert near_duplicates(signatures).tolist() == [-1] * 40 + list(range(40))  # other bands
    monkeypatch.setattr(dedupe, "bands", lambda threshold: (1, 6))
    assert near_duplicates(signatures).tolist() == [-1] * 40 + [0, 1, 2] + [-1] * 37


def test_signatures_in_a_file_do_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(prose(i % 7)[i:]) for i in range(21)]
    in_memory = duplicates(texts)
    assert len(set(in_memory)) > 2
    with open(tmp_path / "signatures", "wb") as file:
        for text in texts:
            file.write(signature(text).tobytes())
    mapped = np.memmap(tmp_path / "signatures", np.uint32, "r").reshape(-1, PERMUTATIONS)
    for rows in (1, 4, 1000):
        monkeypatch.setattr(dedupe, "ROWS", rows)
        assert find_duplicates(digests_of(texts), mapped).tolist() == in_memory


def test_no_documents() -> None:
    assert duplicates([]) == []
