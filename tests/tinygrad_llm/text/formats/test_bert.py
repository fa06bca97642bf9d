import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.cut.pretokenizers import BertPreTokenizer, Whitespace
from tinygrad_llm.text.formats import bert, load_tokenizer, save_tokenizer
from tinygrad_llm.text.normalize.normalizers import NFC, BertNormalizer
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.template import BertProcessing
from tinygrad_llm.text.tokenizer import Tokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
          "un", "##aff", "##able", "É", "e", ",", "\u4e2d"]


def written(folder: Path, tokens: list[str] = TOKENS, **settings: Any) -> Path:
    content = "".join(f"{token}\n" for token in tokens)
    (folder / "vocab.txt").write_bytes(content.encode())
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_folder_or_the_file(tmp_path: Path) -> None:
    for path in (written(tmp_path), tmp_path / "vocab.txt"):
        tokenizer = bert.load(path)
        ids = tokenizer.encode("Unaffable,\u4e2dwhat", template=True)
        assert ids == [2, 5, 6, 7, 10, 11, 1, 3]
        assert tokenizer.encode_pair("un", "É") == [2, 5, 3, 9, 3]
        assert tokenizer.decode([5, 6, 7, 10, 9]) == "unaffable, e"
        assert sorted(tokenizer.special_tokens.values()) == [0, 1, 2, 3, 4]


def test_lowercase_is_as_told_then_as_written_then_yes(tmp_path: Path) -> None:
    assert bert.load(written(tmp_path)).encode("É") == [9]
    assert bert.load(tmp_path, lowercase=False).encode("É") == [8]
    written(tmp_path, do_lower_case=False)
    assert bert.load(tmp_path).encode("É") == [8]
    assert bert.load(tmp_path, lowercase=True).encode("É") == [9]


def test_settings_beside(tmp_path: Path) -> None:
    written(tmp_path, strip_accents=False, tokenize_chinese_chars=False, pad_token="[nothing]",
            tokenizer_class="BertTokenizer", cls_token={"content": "un"}, mask_token="e")
    tokenizer = bert.load(tmp_path)
    assert tokenizer.encode("É") == [1] and tokenizer.encode("\u4e2d\u4e2d") == [1]
    assert tokenizer.encode("x", template=True) == [5, 1, 3]
    assert tokenizer.special_tokens == {"[UNK]": 1, "[SEP]": 3, "un": 5, "e": 9}


def test_listed_tokens_that_have_a_role_are_no_others(tmp_path: Path) -> None:
    listed = {str(id): {"content": token, "lstrip": False} for id, token in enumerate(TOKENS[:5])}
    written(tmp_path, added_tokens_decoder=listed, tokenizer_class="DistilBertTokenizer")
    assert bert.load(tmp_path).special_tokens == {t: id for id, t in enumerate(TOKENS[:5])}
    (tmp_path / "added_tokens.json").write_text("{}")
    with pytest.raises(UserError, match="adds tokens to its vocabulary"):
        bert.load(tmp_path)


def test_lines_are_newlines_only(tmp_path: Path) -> None:
    tokens = [*TOKENS, "\u2028", "\x0b", "\x85", "x"]
    assert bert.load(written(tmp_path, tokens)).id("x") == len(tokens) - 1
    with open(tmp_path / "vocab.txt", "wb") as file:
        file.write("\r\n".join(TOKENS).encode())  # nor a last one
    assert bert.load(tmp_path).id("\u4e2d") == len(TOKENS) - 1


@pytest.mark.parametrize("tokens, fault", [
    ([], r"has no '\[UNK\]'"), (TOKENS[3:], r"has no '\[UNK\]'"), (TOKENS[:3], r"has no '\[SEP\]'"),
    ([*TOKENS, "un"], "line 13: the token 'un' is on line 6 too"),
])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, tokens: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        bert.load(written(tmp_path, tokens))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        bert.load(tmp_path)
    with open(tmp_path / "vocab.txt", "wb") as file:
        file.write(b"a\n\xff")
    with pytest.raises(UserError, match="not UTF-8 at byte 2"):
        bert.load(tmp_path)


@pytest.mark.parametrize("settings, fault", [
    ({"tokenizer_class": "RobertaTokenizer"}, "names the class 'RobertaTokenizer'"),
    ({"do_basic_tokenize": False}, "asks for do_basic_tokenize"),
    ({"never_split": ["a"]}, "asks for do_basic_tokenize"),
    ({"do_lower_case": "yes"}, "do_lower_case is 'yes'"), ({"do_lower_case": 1}, "case is 1"),
    ({"do_lower_case": None}, "do_lower_case is None"), ({"strip_accents": 0}, "accents is 0"),
    ({"additional_special_tokens": ["<x>"]}, "adds tokens to its vocabulary"),
    ({"added_tokens_decoder": {"9": {"content": "e"}}}, "adds the token '9'"),
    ({"added_tokens_decoder": {"2": {"content": "[SEP]"}}}, "adds the token '2'"),
    ({"added_tokens_decoder": {"2": {"content": "[CLS]", "lstrip": True}}}, "adds the token '2'"),
    ({"added_tokens_decoder": {"2": 7}}, "adds the token '2'"),
    ({"added_tokens_decoder": [7]}, "adds the token ''"),
    ({"cls_token": 7}, "expected a special token's name, got 7"),
    ({"cls_token": "<s>"}, r"has no '<s>' \(cls_token\)"),
])
def test_settings_that_are_not_ours_are_refused(
    tmp_path: Path, settings: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        bert.load(written(tmp_path, **settings))


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = bert.load(written(tmp_path), lowercase=False)
    bert.save(tokenizer, tmp_path / "new" / "folder")
    again = bert.load(tmp_path / "new" / "folder")
    assert again.vocab == tokenizer.vocab and again.special_tokens == tokenizer.special_tokens
    assert (tmp_path / "new/folder/vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()
    assert again.encode("É un", template=True) == [2, 8, 5, 3]


def test_a_tokenizer_json_can_be_a_vocab_txt(tmp_path: Path) -> None:
    """There the special tokens are none of the model's."""
    tokenizer = bert.load(written(tmp_path))
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path)  # finds tokenizer.json first
    assert set(TOKENS) - again.model.vocab.keys() == {"[PAD]", "[CLS]", "[SEP]", "[MASK]"}
    save_tokenizer(again, tmp_path / "new", "bert")
    assert bert.load(tmp_path / "new").vocab == tokenizer.vocab
    assert (tmp_path / "new/vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()


def test_special_tokens_are_not_found_as_text(tmp_path: Path) -> None:
    tokenizer = bert.load(written(tmp_path, [*TOKENS, "end"], sep_token="end"))
    assert tokenizer.encode("end", special="allow") == [12]
    assert tokenizer.encode("end", special="text") == [1]


VOCAB = {token: id for id, token in enumerate(TOKENS)}
ADDED = AddedTokens(AddedToken(token, id) for id, token in enumerate(TOKENS[:5]))


@pytest.mark.parametrize("parts", [
    {"model": WordPiece({**VOCAB, "x": 99})}, {"decoder": decoders.Fuse()},
    {"unused": {"x": 99}}, {"unused": {"a\nb": len(VOCAB)}},
    {"model": WordPiece({**VOCAB, "a\nb": len(VOCAB)})},
    {"model": WordPiece({**VOCAB, "a\r": len(VOCAB)})}, {"model": WordPiece(VOCAB, "<unk>")},
    {"model": WordPiece(VOCAB, max_input_chars_per_word=50)}, {"normalizer": NFC()},
    {"model": WordPiece(VOCAB, continuing_subword_prefix="@@")}, {"normalizer": None},
    {"normalizer": BertNormalizer(clean_text=False)}, {"pre_tokenizer": Whitespace()},
    {"template": None}, {"template": BertProcessing(sep=("[CLS]", 2), cls=("[CLS]", 2))},
    {"added": AddedTokens()}, {"added": AddedTokens([*ADDED.tokens, AddedToken("un", 5)])},
    {"added": AddedTokens([*ADDED.tokens[:4], AddedToken("[MASK]", 4, lstrip=True)])},
])
def test_what_is_not_berts_is_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    usual = {"model": WordPiece(VOCAB), "normalizer": BertNormalizer(), "added": ADDED,
             "pre_tokenizer": BertPreTokenizer(),
             "template": BertProcessing(sep=("[SEP]", 3), cls=("[CLS]", 2))}
    bert.save(Tokenizer(**usual), tmp_path / "usual")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"save a tokenizer\.json"):
        bert.save(Tokenizer(**{**usual, **parts}), tmp_path / "not")
    assert not (tmp_path / "not").exists()
