import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.characters.aligned import Aligned

Edit = tuple[int, int, str]


@st.composite
def edits(draw: st.DrawFn, length: int) -> list[Edit]:
    bounds = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return [(first, last, draw(st.text("xyz", max_size=3))) for first, last in pairs]


def by_hand(text: str, those: list[Edit]) -> tuple[str, list[tuple[int, int]]]:
    """The new text and the stretch of the old one that each of its characters came from."""
    new, stretches, done = "", [], 0
    for first, last, replacement in [*those, (len(text), len(text), "")]:
        new += text[done:first] + replacement
        stretches += [(k, k + 1) for k in range(done, first)]
        stretches += [(first, last)] * len(replacement)
        done = last
    return new, stretches


def test_a_text_is_its_own_source() -> None:
    a = Aligned.of("añ\U0001f600")
    assert a.text == "añ\U0001f600" and len(a) == 3
    assert a.starts.tolist() == [0, 1, 2] and a.ends.tolist() == [1, 2, 3]
    assert a.starts.dtype == a.ends.dtype == np.int64
    assert len(Aligned.of("")) == 0


@given(st.text(max_size=12), st.data())
def test_edits_keep_the_provenance(text: str, data: st.DataObject) -> None:
    those = data.draw(edits(len(text)))
    a = Aligned.of(text).rewrite(those)
    new, stretches = by_hand(text, those)
    assert a.text == new
    assert list(zip(a.starts.tolist(), a.ends.tolist(), strict=True)) == stretches


@given(st.text(max_size=12), st.data())
def test_edits_compose(text: str, data: st.DataObject) -> None:
    one = Aligned.of(text).rewrite(data.draw(edits(len(text))))
    more = data.draw(edits(len(one)))
    two = one.rewrite(more)
    new, stretches = by_hand(one.text, more)
    assert two.text == new
    for k, (first, last) in enumerate(stretches):
        if first < last:
            assert (two.starts[k], two.ends[k]) == (one.starts[first], one.ends[last - 1])
        else:
            before = max(one.ends[:first], default=0)
            assert two.starts[k] <= two.ends[k] <= max(two.starts[k], before)
    for bounds in (two.starts, two.ends):
        assert (bounds[1:] >= bounds[:-1]).all()


@given(st.text(min_size=1, max_size=12), st.data())
def test_a_slice_spans_what_its_characters_span(text: str, data: st.DataObject) -> None:
    a = Aligned.of(text).rewrite(data.draw(edits(len(text))))
    i = data.draw(st.integers(0, len(a)))
    j = data.draw(st.integers(i, len(a)))
    part = a[i:j]
    assert part.text == a.text[i:j]
    assert part.starts.tolist() == a.starts[i:j].tolist()
    ((start, end),) = a.spans([i], [j]).tolist()
    if i < j:
        assert (start, end) == (min(part.starts), max(part.ends))
    else:
        assert start == end == (a.starts[i] if i < len(a) else a.ends[-1] if len(a) else 0)


def test_what_follows_a_deletion_keeps_its_place() -> None:
    a = Aligned.of("  ab").rewrite([(0, 2, "")]).rewrite([(0, 0, "_"), (2, 2, "!")])
    assert a.text == "_ab!"
    assert a.spans([0, 1, 2, 3, 0], [1, 2, 3, 4, 4]).tolist() == [
        [2, 2], [2, 3], [3, 4], [4, 4], [2, 4]
    ]  # fmt: skip


def test_insertion_into_an_empty_text() -> None:
    a = Aligned.of("").rewrite([(0, 0, "xy")])
    assert a.text == "xy" and a.starts.tolist() == a.ends.tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [[(2, 1, "")], [(0, 4, "")], [(-1, 0, "")],
                                   [(0, 2, ""), (1, 3, "")], [(2, 3, ""), (0, 1, "")]])
def test_edits_out_of_order_are_refused(wrong: list[Edit]) -> None:
    with pytest.raises(ValueError, match="from left to right"):
        Aligned.of("abc").rewrite(wrong)


def test_other_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 characters, 1 starts"):
        Aligned("ab", np.zeros(1, np.int64), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="step 2"):
        Aligned.of("abc")[::2]
