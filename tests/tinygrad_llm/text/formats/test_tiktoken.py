import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders, template
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.cut.pretokenizers import Pattern, Whitespace
from tinygrad_llm.text.formats import tekken, tiktoken
from tinygrad_llm.text.formats.merges import check_reproduces, merges_of
from tinygrad_llm.text.normalize.normalizers import NFC
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

BYTES = {bytes([b]): b for b in range(256)}
RANKS = {**BYTES, b"an": 256, b"ana": 257, b" b": 300}


def written(path: Path, ranks: dict[bytes, int]) -> Path:
    path.write_bytes(tiktoken.spell_ranks(ranks))
    return path


def lines(*extra: str) -> str:
    return tiktoken.spell_ranks(BYTES).decode() + "\n".join(extra)


def test_a_file_of_ones_own_with_a_pattern(tmp_path: Path) -> None:
    tokenizer = tiktoken.load(written(tmp_path / "own.tiktoken", RANKS), pattern="gpt2")
    assert tokenizer.encode("banana ban") == [98, 256, 257, 300, 256]
    assert tokenizer.decode([98, 256, 257, 300, 256]) == "banana ban"
    assert tokenizer.special_tokens == {} and tokenizer.vocab_size == 301
    own = tiktoken.load(tmp_path / "own.tiktoken", r"\w|\W", {"<end>": 999})
    assert own.encode("ana<end>", special="allow") == [97, 110, 97, 999]


def test_without_a_pattern_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own has 259 ranks .* name it with pattern=.* cl100k"):
        tiktoken.load(written(tmp_path / "own", RANKS))


def test_a_published_name_asks_for_the_published_content(tmp_path: Path) -> None:
    path = written(tmp_path / "cl100k_base.tiktoken", RANKS)
    with pytest.raises(UserError, match=r"is named as a published file but is not it .* cut short"):
        tiktoken.load(path)
    assert tiktoken.load(path, pattern="gpt2").special_tokens == {}


def test_known_files_bring_pattern_special_tokens_and_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "whatever", RANKS)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    first = tiktoken.Encoding(sha256, GPT2, {"<a>": 400}, "<a>")
    second = tiktoken.Encoding(sha256, GPT2, {"<b>": 400})
    monkeypatch.setattr(tiktoken, "ENCODINGS", {"first": first, "second": second})
    tokenizer = tiktoken.load(path)
    assert tokenizer.special_tokens == {"<a>": 400}
    assert tokenizer.encode("an", template=True) == [400, 256]
    assert tokenizer.encode_pair("an", "b") == [400, 256, 400, 98]
    named = written(tmp_path / "second.tiktoken", RANKS)
    assert tiktoken.load(named).special_tokens == {"<b>": 400}
    assert tiktoken.load(path, "second").special_tokens == {"<b>": 400}
    path.write_bytes(b"\r\n".join(reversed(path.read_bytes().split(b"\n"))))  # the same ranks
    assert tiktoken.load(path).special_tokens == {"<a>": 400}


def test_special_ids_that_are_ranks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'<a>' has the id 257, which is a rank in the file too"):
        tiktoken.load(written(tmp_path / "own", RANKS), "gpt2", {"<a>": 257})


@pytest.mark.parametrize("content, fault", [
    ("", "is empty"), ("\n\n", "is empty"), ("YW4=", "line 1: expected a token in base64"),
    (lines("YW4= x"), "line 257: expected"), (lines("YW4= -1"), "line 257: expected"),
    (lines("YW4 256"), "line 257: expected"), (lines("YW4= 256 7"), "line 257: expected"),
    (lines("YW4= 1_0"), "line 257: expected"), (lines("Y\N{KELVIN SIGN}4= 256"), "line 257"),
    (lines("YW*4= 256"), "line 257: expected"),
    (lines("YW4= 2147483648"), "line 257: expected"), (lines("= 256"), "line 257: expected"),
    (lines("YW4= 256", "YW4= 257"), "line 258: line 257 has the same token or rank"),
    (lines("YW4= 0"), "line 257: line 1 has the same"), (lines("AA== 256"), "line 257: line 1 has"),
    (lines("YW4= " + "9" * 5000), "line 257: expected"),
])
def test_what_is_no_rank_file_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "broken"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        tiktoken.load(path, "gpt2")
    assert fault in str(caught.value) and str(path) in str(caught.value)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            tiktoken.load(path, "gpt2")


def own(model: Any, **parts: Any) -> Tokenizer:
    usual = {"pre_tokenizer": Pattern(GPT2), "decoder": decoders.ByteLevel()}
    return Tokenizer(model, **{**usual, **parts})


MERGES = [(b"a", b"n"), (b"an", b"a"), (b" ", b"b")]


def test_save_and_load(tmp_path: Path) -> None:
    for merges in (None, MERGES):
        added = AddedTokens([AddedToken("<end>", 301)])
        tiktoken.save(own(BPE(RANKS, merges), added=added), tmp_path / "out")
        assert tiktoken.read_ranks(tmp_path / "out") == RANKS
        again = tiktoken.load(tmp_path / "out", "gpt2", {"<end>": 301})
        assert again.encode("banana ban") == [98, 256, 257, 300, 256]


def test_a_special_token_in_the_vocabulary_is_not_written(tmp_path: Path) -> None:
    model = BPE({**RANKS, b"<end>": 301}, MERGES)
    tiktoken.save(own(model, added=AddedTokens([AddedToken("<end>", 301)])), tmp_path / "out")
    assert tiktoken.read_ranks(tmp_path / "out") == RANKS


@pytest.mark.parametrize("parts", [
    {"normalizer": NFC()}, {"pre_tokenizer": Whitespace()}, {"pre_tokenizer": None},
    {"added": AddedTokens([AddedToken("<end>", 301, special=False)])},
])
def test_what_ranks_cannot_say_is_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"save a tokenizer\.json instead"):
        tiktoken.save(own(BPE(RANKS, MERGES), **parts), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_merges_in_another_order_than_ids_are_refused() -> None:
    with pytest.raises(UserError, match="its id is below that of a token that is made before it"):
        check_reproduces(BPE({**BYTES, b"an": 257, b"na": 256}, [(b"a", b"n"), (b"n", b"a")]))


def test_a_token_that_merges_do_not_reach_is_refused() -> None:
    # abc is made of ab and c by ranks, but the merges make bc first and leave a.
    vocab = {**BYTES, b"bc": 256, b"ab": 257, b"abc": 258}
    model = BPE(vocab, [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")], ignore_merges=False)
    assert model.encode_piece("abc") != BPE(vocab).encode_piece("abc")
    with pytest.raises(UserError, match=r"the token b'abc', id 258, .* not merged into it"):
        check_reproduces(model)


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(pairs, st.permutations(range(8)), st.lists(st.text("abc", max_size=12), max_size=8))
def test_what_is_not_refused_is_the_same(
    joins: list[tuple[int, int]], order: list[int], texts: list[str]
) -> None:
    tokens, merges = [b"a", b"b", b"c"], []
    for i, j in joins:
        left, right = tokens[i % len(tokens)], tokens[j % len(tokens)]
        if left + right not in tokens:
            tokens.append(left + right)
            merges.append((left, right))
    swapped = [tokens[3:][i] for i in order if i < len(tokens) - 3]
    for longer in (tokens[3:], swapped):
        model = BPE({**BYTES, **{token: 256 + i for i, token in enumerate(longer)}}, merges)
        ranks = BPE(model.tokens)
        try:
            check_reproduces(model)
        except UserError:
            continue
        for text in [*texts, "abc" * 20, "aabbcc" * 5, *(t.decode() for t in tokens)]:
            assert model.encode_piece(text) == ranks.encode_piece(text)
        back = BPE(model.tokens, merges_of(ranks))
        for text in texts:
            assert back.encode_piece(text) == ranks.encode_piece(text)


def tekken_file(path: Path, **changes: Any) -> Path:
    vocab = [{"rank": id, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
             for token, id in {**BYTES, b"an": 256, b"na": 257}.items()]
    content = {"config": {"pattern": GPT2, "default_vocab_size": 287, "version": "v3",
                          "default_num_special_tokens": 30}, "vocab": vocab, **changes}
    path.write_text(json.dumps(content))
    return path


def test_tekken(tmp_path: Path) -> None:
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json"))
    assert tokenizer.encode("na[INST]", special="allow") == [110 + 30, 97 + 30, 3]  # na is cut off
    assert tokenizer.encode("an") == [286] and tokenizer.vocab_size == 287
    assert tokenizer.id("<SPECIAL_20>") == 20 and len(tokenizer.special_tokens) == 30
    listed = [{"rank": 1, "token_str": "<s>"}]
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json", special_tokens=listed))
    assert tokenizer.id("<s>") == 1 and tokenizer.id("<SPECIAL_0>") == 0


@pytest.mark.parametrize("changes, fault", [
    ({"vocab": [{"rank": 0, "token_bytes": "AA=="}]}, "promises 257 tokens, vocab has 1"),
    ({"vocab": [{"rank": 1, "token_bytes": "AA=="}]}, r"vocab\[0\] is empty, comes twice"),
    ({"vocab": [{"rank": 0, "token_bytes": "A"}]}, r"token_bytes of vocab\[0\] is no base64"),
    ({"vocab": [7]}, "stands where another is expected"), ({"vocab": None}, "stands where"),
    ({"config": {}}, "'pattern' is missing"), ({"config": []}, "stands where another"),
    ({"special_tokens": [{"rank": 30, "token_str": "a"}]}, "ranks of their own below 30"),
    ({"special_tokens": [{"rank": 0, "token_str": "a"}] * 2}, "ranks of their own below 30"),
    ({"special_tokens": [{"rank": 0, "token_str": 7}]}, "has no name"),
    ({"special_tokens": [{"rank": 0, "token_str": "<SPECIAL_1>"}]}, "have one name"),
    ({"config": {"pattern": GPT2, "default_vocab_size": 287, "version": "v13",
                 "default_num_special_tokens": 30}}, "'v13' must list its special tokens"),
    ({"config": {"pattern": GPT2, "default_vocab_size": "287", "default_num_special_tokens": 30}},
     "a size that is no number"),
])
def test_what_is_no_tekken_is_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        tekken.load(tekken_file(tmp_path / "tekken.json", **changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_no_tekken(tmp_path: Path, content: bytes) -> None:
    with open(tmp_path / "tekken.json", "wb") as file:
        file.write(content)
    with pytest.raises(UserError, match="cannot be read as a tekken"):
        tekken.load(tmp_path / "tekken.json")


def test_a_template_that_would_be_lost_or_come_anew_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = template.BertProcessing(sep=("<a>", 400), cls=("<a>", 400))
    added = AddedTokens([AddedToken("<a>", 400)])
    with pytest.raises(UserError, match="read as one that puts nothing before a text"):
        tiktoken.save(own(BPE(RANKS), template=begin, added=added), tmp_path / "out")
    trims = template.ByteLevel()  # which puts nothing anywhere
    tiktoken.save(own(BPE(RANKS), template=trims, added=added), tmp_path / "out")
    sha256 = hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    known = tiktoken.Encoding(sha256, GPT2, {"<a>": 400}, "<a>")
    monkeypatch.setattr(tiktoken, "ENCODINGS", {"known": known})
    with pytest.raises(UserError, match=r"one that puts <a> before a text"):
        tiktoken.save(own(BPE(RANKS), added=added), tmp_path / "out")
    again = tiktoken.load(tmp_path / "out")
    tiktoken.save(again, tmp_path / "again")
    assert tiktoken.load(tmp_path / "again").encode("an", template=True) == [400, 256]


def test_tokens_that_no_text_becomes_are_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no place for tokens that no text becomes"):
        tiktoken.save(own(BPE(RANKS), unused={"a b": 500}), tmp_path / "out")
    added = AddedTokens([AddedToken("a b", 500)])
    tiktoken.save(own(BPE(RANKS), unused={"a b": 500}, added=added), tmp_path / "out")
