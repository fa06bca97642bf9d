"""Added tokens found as Hugging Face's tokenizers find them."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinygrad_llm.text.special import AddedToken, AddedTokens

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.oracle

letters = st.sampled_from("aAbB<> \n\u0301é_\u2028\x1c")
flags = st.booleans()
contents = st.lists(st.text(letters, min_size=1, max_size=4), max_size=6, unique=True)
texts = st.text(letters, max_size=25)


def theirs(tokens: list[AddedToken], lower: bool) -> Any:
    """Return a tokenizer whose model makes one token, id 0, of every stretch of text."""
    oracle = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[text]": 0}, unk_token="[text]"))
    if lower:
        oracle.normalizer = tokenizers.normalizers.Lowercase()
    for token in tokens:
        add = oracle.add_special_tokens if token.special else oracle.add_tokens
        add([tokenizers.AddedToken(
            token.content, single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip,
            normalized=token.normalized, special=token.special)])
    return oracle


@st.composite
def added(draw: st.DrawFn) -> list[AddedToken]:
    return [
        AddedToken(content, i, *(draw(flags) for _ in range(5)))
        for i, content in enumerate(draw(contents), start=1)
    ]


@given(added(), texts, flags)
def test_pieces_are_those_of_tokenizers(tokens: list[AddedToken], text: str, plain: bool) -> None:
    oracle = theirs(tokens, lower=False)
    oracle.encode_special_tokens = plain
    try:
        encoding = oracle.encode(text)
    except BaseException as error:  # where a token's span ends before it begins
        assume("PanicException" not in str(type(error)))
        raise
    ours = AddedTokens(tokens)
    found = []
    for piece, start, end in ours.split(text, "text" if plain else "allow"):
        if isinstance(piece, AddedToken):
            found.append((piece.id, (start, end)))
            continue
        for inner, i, j in ours.split_normalized(piece, "text" if plain else "allow"):
            found.append((getattr(inner, "id", 0), (start + i, start + j)))
    assert found == list(zip(encoding.ids, encoding.offsets, strict=True))


@given(added(), texts)
def test_normalised_pieces_are_those_of_tokenizers(tokens: list[AddedToken], text: str) -> None:
    lowered = [token.content.lower() for token in tokens if token.normalized]
    assume(len(set(lowered)) == len(lowered))  # of two alike tokenizers picks one by chance
    ours = AddedTokens(tokens, str.lower)
    found = []
    for piece, _, _ in ours.split(text, "allow"):
        if isinstance(piece, AddedToken):
            found.append(piece.id)
        else:
            inner = ours.split_normalized(piece.lower(), "allow")
            found += [getattr(p, "id", 0) for p, _, _ in inner]
    assert found == theirs(tokens, lower=True).encode(text).ids
