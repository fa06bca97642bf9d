import hashlib
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders, template
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.cut.pretokenizers import Pattern, Whitespace
from tinygrad_llm.text.formats import tiktoken
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
    (lines("YW4= 2147483648"), "line 257: expected"), (lines("256"), "line 257: expected"),
    (lines("= 256", "== 257"), "line 258: line 257 has the same token or rank"),
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


def test_an_empty_token_is_only_decoded(tmp_path: Path) -> None:
    (tmp_path / "whisper").write_text(lines("YW4= 256", "= 257"), encoding="utf-8")
    tokenizer = tiktoken.load(tmp_path / "whisper", "gpt2", {"<end>": 258})
    assert tokenizer.encode("an") == [256] and tokenizer.encode("") == []
    assert tokenizer.model.encode_piece("") == ()
    assert tokenizer.decode([256, 257, 256]) == "anan" and tokenizer.vocab_size == 259
    assert tokenizer.id("") == 257 and tokenizer.token(257) == ""
    for name in ("again", "tokenizer.json"):
        tokenizer.save(tmp_path / name, "tiktoken" if name == "again" else None)
    assert (tmp_path / "again").read_bytes().endswith(b"YW4= 256\n= 257\n")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode("an") == [256] and again.decode([257, 256]) == "an"


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
