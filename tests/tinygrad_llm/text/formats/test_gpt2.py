import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders, template
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.characters.alphabet import BYTE_ORDER, BYTE_TO_CHAR
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.cut.pretokenizers import ByteLevel, Pattern
from tinygrad_llm.text.formats import gpt2
from tinygrad_llm.text.formats.gpt2 import PAIRS
from tinygrad_llm.text.normalize.normalizers import NFC
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

ALPHABET = {BYTE_TO_CHAR[byte]: id for id, byte in enumerate(BYTE_ORDER)}
VOCAB = {**ALPHABET, "an": 256, "ana": 257, "Ġb": 258, "<|endoftext|>": 259}
MERGES = "#version: 0.2\na n\nan a\nĠ b\n"


def written(
    folder: Path, vocab: object = VOCAB, merges: str = MERGES, pair: int = 0, **more: Any
) -> Path:
    (folder / PAIRS[pair][0]).write_text(json.dumps(vocab))
    (folder / PAIRS[pair][1]).write_text(merges, encoding="utf-8")
    for name, content in more.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("pair", [0, 1])
def test_folder_or_either_file(tmp_path: Path, pair: int) -> None:
    written(tmp_path, pair=pair)
    for path in (tmp_path, *(tmp_path / name for name in PAIRS[pair])):
        tokenizer = gpt2.load(path)
        ids = tokenizer.encode("ana<|endoftext|> bé", special="allow")
        assert ids == [257, 259, 258, ALPHABET["Ã"], ALPHABET["©"]]
        assert tokenizer.decode(ids) == "ana<|endoftext|> bé"
        assert tokenizer.special_tokens == {"<|endoftext|>": 259}


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    assert gpt2.load(written(tmp_path), pattern=r".").encode("ana") == [64, 77, 64]
    assert gpt2.load(tmp_path, pattern="gpt2").encode("ana") == [257]


def test_tokens_that_no_merge_makes_are_special(tmp_path: Path) -> None:
    tokenizer = gpt2.load(written(tmp_path, {**VOCAB, "<s> \u4e2d": 300, "xyz": 301}))
    assert set(tokenizer.special_tokens) == {"<|endoftext|>", "<s> \u4e2d", "xyz"}


def test_an_empty_token_is_only_decoded(tmp_path: Path) -> None:
    tokenizer = gpt2.load(written(tmp_path, {**VOCAB, "": 260}))
    assert tokenizer.encode("ana") == [257] and tokenizer.decode([260, 257]) == "ana"
    tokenizer.save(tmp_path / "again", "gpt2")
    assert gpt2.load(tmp_path / "again").vocab == tokenizer.vocab


def test_windows_line_ends_and_no_version(tmp_path: Path) -> None:
    merges = MERGES.partition("\n")[2].replace("\n", "\r\n")
    path = written(tmp_path)
    with open(path / "vocab.bpe", "wb") as file:
        file.write(merges.encode())
    assert gpt2.load(path).encode("ana") == [257]


def test_settings_beside(tmp_path: Path) -> None:
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}
    written(tmp_path, tokenizer_config=settings)
    assert gpt2.load(tmp_path).encode("b") == [258]


@pytest.mark.parametrize("more, fault", [
    ({"tokenizer_config": {"tokenizer_class": "Qwen2Tokenizer"}}, "class 'Qwen2Tokenizer'"),
    ({"tokenizer_config": {"added_tokens_decoder": {"300": {}}}}, "adds tokens"),
    ({"tokenizer_config": {"added_tokens_decoder": 7}}, "adds tokens"),
    ({"tokenizer_config": []}, "expected an object, got a list"),
    ({"added_tokens": {"<x>": 300}}, "has an added_tokens.json"),
    ({"vocab": []}, "expected an object, got a list"), ({"vocab": {"a": "0"}}, "has the id '0'"),
    ({"vocab": {"a": True}}, "has the id True"), ({"vocab": {"a": None}}, "has the id None"),
    ({"vocab": {**VOCAB, "x": 0}}, "do not go together: .* the id 0"),
    ({"vocab": {**VOCAB, "x": -1}}, "do not go together"),
    ({"vocab": {k: v for k, v in VOCAB.items() if k != "an"}}, "do not go together: merge 0 joins"),
    ({"merges": "a n b"}, "line 1: expected two tokens"), ({"merges": "an"}, "line 1: expected"),
    ({"merges": "a n\nan  a"}, "line 2: expected two"), ({"merges": "a \u4e2d"}, "line 1: expec"),
    ({"merges": "a n\na n"}, "line 2: line 1 is the same"), ({"merges": "a n</w>"}, "as CLIP"),
])
def test_what_does_not_fit_is_refused(tmp_path: Path, more: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        gpt2.load(written(tmp_path, **more))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    for name, content in (("encoder.json", b"[" * 100_000), ("encoder.json", b'{"a": 0, "a": 1}'),
                          ("encoder.json", b"{"), ("vocab.bpe", b"a \xff")):
        written(tmp_path)
        with open(tmp_path / name, "wb") as file:
            file.write(content)
        with pytest.raises(UserError, match=name):
            gpt2.load(tmp_path)
    (tmp_path / "vocab.bpe").unlink()
    for path in (tmp_path, tmp_path / "encoder.json", tmp_path / "absent"):
        with pytest.raises(UserError, match=r"expected encoder\.json and vocab\.bpe or voc"):
            gpt2.load(path)


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = gpt2.load(written(tmp_path))
    gpt2.save(tokenizer, tmp_path / "new" / "folder")
    assert json.loads((tmp_path / "new/folder/vocab.json").read_text()) == VOCAB
    assert (tmp_path / "new/folder/merges.txt").read_text(encoding="utf-8") == MERGES
    text = "banana ban<|endoftext|>"
    again = gpt2.load(tmp_path / "new/folder")
    assert again.encode(text, special="allow") == tokenizer.encode(text, special="allow")


def test_what_changes_no_ids_is_no_hindrance(tmp_path: Path) -> None:
    """GPT-2's own tokenizer.json is like this."""
    ours = gpt2.load(written(tmp_path))
    end = AddedToken("<|endoftext|>", 259, normalized=True)
    like_theirs = Tokenizer(ours.model, pre_tokenizer=ours.pre_tokenizer, decoder=ours.decoder,
                            template=template.ByteLevel(trim_offsets=False),
                            added=AddedTokens([end]), unused={"<|endoftext|>": 259})
    gpt2.save(like_theirs, tmp_path / "new")
    assert gpt2.load(tmp_path / "new").vocab == ours.vocab


def test_ranks_are_saved_as_the_merges_they_come_from(tmp_path: Path) -> None:
    tokens = {bytes([b]): i for i, b in enumerate(BYTE_ORDER)}
    tokens |= {b"an": 256, b"ana": 257, b" b": 258}
    ranks = Tokenizer(BPE(tokens), pre_tokenizer=Pattern(GPT2), decoder=decoders.ByteLevel())
    gpt2.save(ranks, tmp_path)
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8") == MERGES


def test_ranks_that_no_merges_lead_to_are_refused(tmp_path: Path) -> None:
    tokens = {bytes([b]): i for i, b in enumerate(BYTE_ORDER)} | {b"abcd": 256}
    ranks = Tokenizer(BPE(tokens), pre_tokenizer=Pattern(GPT2), decoder=decoders.ByteLevel())
    with pytest.raises(UserError, match="no merges lead to the token b'abcd', rank 256"):
        gpt2.save(ranks, tmp_path)


@pytest.mark.parametrize("parts", [
    {"normalizer": NFC()}, {"pre_tokenizer": Pattern(r"\w+")}, {"pre_tokenizer": ByteLevel()},
    {"added": AddedTokens([AddedToken("<x>", 300, special=False)])},
    {"added": AddedTokens([AddedToken("<x>", 300, lstrip=True)])},
    {"unused": {"a b": 300}},
    {"template": template.BertProcessing(sep=("a", 0), cls=("n", 1))},
    {"added": AddedTokens([AddedToken("an", 300)])}, {"added": AddedTokens([AddedToken("x", 300)])},
    {"model": BPE({b"a": 0, b"n": 1, b"an": 2}, [])},
])
def test_what_two_files_cannot_say_is_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    model = BPE({b"a": 0, b"n": 1, b"an": 2}, [(b"a", b"n")])
    cuts = ByteLevel(add_prefix_space=False)
    with pytest.raises(UserError, match=r"save a tokenizer\.json"):
        gpt2.save(Tokenizer(**{"model": model, "pre_tokenizer": cuts, **parts}), tmp_path)
    assert list(tmp_path.iterdir()) == []
