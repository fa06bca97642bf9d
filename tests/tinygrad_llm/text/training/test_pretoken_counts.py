from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut.patterns import PATTERNS, splitter
from tinygrad_llm.text.training import pretoken_counts
from tinygrad_llm.text.training.pretoken_counts import count_batch, count_pretokens

OWN = r"\w+|[^\w]"
patterns = st.sampled_from([*PATTERNS.values(), OWN])
letters = "abS'stvre1½٣ \n\r\t\u00a0.,/!—\u0301é東\U0001f600\0"
tricky = st.text(st.sampled_from(letters), max_size=20)
any_text = tricky | st.text(max_size=12)
LONG = "It's 1999; the naïve “Encyclopædia Britannica” costs 1,234.50 €!\n\n  " * 40


def by_definition(texts: list[str], pattern: str) -> Counter[str]:
    return Counter(piece for text in texts for piece in splitter(pattern).split(text))


@given(st.lists(any_text, max_size=6), patterns)
@example(["x\n\n", "y", "x \n", "y", "x\n", "\n", "x\n", " y", "x", "1", "x"], PATTERNS["gpt2"])
@example(["x1", "y", "z"], PATTERNS["gpt2"])
@example(["x", "1y", "z"], PATTERNS["llama3"])
@example(["x'", "s", "x/", "/", "\u0301x", "\u0301"], PATTERNS["o200k"])
@example(["", "", ""], PATTERNS["cl100k"])
def test_texts_are_counted_each_by_itself(texts: list[str], pattern: str) -> None:
    counts = count_pretokens(texts, pattern, workers=1)
    assert counts == by_definition(texts, pattern)
    assert sum(len(piece) * n for piece, n in counts.items()) == sum(map(len, texts))


@given(st.lists(any_text | st.just(LONG), max_size=5), patterns, st.integers(1, 100))
def test_batches_do_not_matter(texts: list[str], pattern: str, batch: int) -> None:
    with (patch.object(pretoken_counts, "BATCH", batch),
          patch.object(pretoken_counts, "_SMALL", batch)):
        assert count_pretokens(iter(texts), pattern, workers=1) == by_definition(texts, pattern)


@pytest.mark.parametrize("pattern", [*PATTERNS.values(), OWN])
def test_files_count_as_their_text_does(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "text"
    text = LONG * 3 + "\r\n" + "é" * 1000
    path.write_bytes(text.encode())
    with patch.object(pretoken_counts, "BATCH", 1000):
        counts = count_pretokens([path, "and a text", path], pattern)
        assert counts == by_definition([text, "and a text", text], pattern)
        assert count_pretokens(path, pattern) == by_definition([text], pattern)  # not only in lists


def test_a_lone_text_is_no_list_of_letters() -> None:
    assert count_pretokens("to be") == {"to": 1, " be": 1}


def test_other_processes_count_the_same(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(LONG.encode() * 9)
    sources = [LONG[:1234], path, LONG, "7", "8"]
    with patch.object(pretoken_counts, "BATCH", 3000), patch.object(pretoken_counts, "ALONE", 3000):
        alone, both = (count_pretokens(sources, workers=n) for n in (1, 2))
    assert list(alone.items()) == list(both.items())  # their order, too


@pytest.mark.parametrize("begins_broken", [True, False])
def test_without_other_processes_this_one_counts(begins_broken: bool) -> None:
    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.broken = begins_broken

        def submit(self, *_: Any) -> Future[Any]:
            if self.broken:
                raise BrokenProcessPool
            self.broken = True
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool())
            return future

        def shutdown(self, **_: Any) -> None:
            pass

    with (patch.object(pretoken_counts, "BATCH", 1000), patch.object(pretoken_counts, "ALONE", 0),
          patch.object(pretoken_counts, "Processes", Broken)):
        assert count_pretokens([LONG, LONG], workers=3) == by_definition([LONG] * 2,
                                                                          PATTERNS["gpt2"])


def test_batches_wait_for_processes_not_in_memory() -> None:
    given_out = 0

    def many_texts() -> Iterator[str]:
        nonlocal given_out
        for given_out in range(1, 100):  # noqa: B007
            yield "some text " * 100

    with patch.object(pretoken_counts, "BATCH", 1000):
        batches = pretoken_counts._batches(many_texts())
        with patch.object(pretoken_counts, "ALONE", 0):
            counted = pretoken_counts._counts_of_batches(batches, OWN, 2)
            size, counts = next(counted)
            counted.close()
    assert size == 1000 and counts["some"] == 100
    assert given_out <= 6


def test_what_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lone surrogate, '\\ud800', at position 2"):
        count_pretokens(["fine", "ab\ud800"])
    with pytest.raises(UserError, match="cannot read"):
        count_pretokens([tmp_path / "absent"])
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="is not UTF-8"):
        count_pretokens([tmp_path / "latin"])
    with pytest.raises(UserError, match="workers must be at least 1, got 0"):
        count_pretokens(["a"], workers=0)
    with pytest.raises(UserError, match="regular expression"):
        count_pretokens(["a"], "(")


def test_a_batch_of_nothing_has_no_counts() -> None:
    assert count_batch([], PATTERNS["gpt2"]) == {}
    assert count_batch(["", ""], OWN) == {}


def test_the_rarest_are_dropped_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretoken_counts, "BATCH", 64)
    monkeypatch.setattr(pretoken_counts, "MOST", 100)
    text = "".join(f" often w{i}x" for i in range(2000))
    counts = count_pretokens([text])
    assert counts[" often"] == 2000 and len(counts) <= 110
    assert counts[" w"] == 2000
    monkeypatch.setattr(pretoken_counts, "ALONE", 0)
    assert count_pretokens([text], workers=2) == counts
    monkeypatch.setattr(pretoken_counts, "MOST", 1 << 20)
    monkeypatch.setattr(pretoken_counts, "LONGEST", 60)
    assert sum(map(len, count_pretokens([text]))) <= 60 + 64


@given(st.dictionaries(st.text("ab", min_size=1, max_size=9), st.integers(1, 5), min_size=1))
def test_what_stays_is_the_most_frequent(counts: dict[str, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretoken_counts, "MOST", 10)
        patch.setattr(pretoken_counts, "LONGEST", 30)
        kept = pretoken_counts._without_rarest(counts)
    assert len(kept) <= 5 and (sum(map(len, kept)) <= 15 or len(kept) == 1)
    dropped = {piece: n for piece, n in counts.items() if piece not in kept}
    assert kept | dropped == counts
    assert max(dropped.values(), default=0) <= min(kept.values())
    if dropped:
        next_best = max(dropped, key=dropped.__getitem__)
        assert len(kept) == 5 or sum(map(len, kept)) + len(next_best) > 15
