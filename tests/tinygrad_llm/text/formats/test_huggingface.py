from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.spelled import Spelled
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.characters.alphabet import BYTE_TO_CHAR
from tinygrad_llm.text.formats import huggingface, huggingface_write, load_tokenizer, save_tokenizer

Json = dict[str, Any]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
              "use_regex": True}
DECODER = BYTE_LEVEL | {"add_prefix_space": True}  # where it says nothing
VOCAB = {char: id for id, char in enumerate(BYTE_TO_CHAR)} | {"ab": 256, "Ġa": 257, "<s>": 260}
BPE_MODEL = {
    "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
    "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
    "vocab": VOCAB, "merges": [["a", "b"], ["Ġ", "a"]]}
CHAR_MODEL = BPE_MODEL | {
    "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "▁": 4, "<0x41>": 5, "<s>": 6},
    "merges": ["a b"], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
WORDPIECE_MODEL = {
    "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "<s>": 3}}
UNIGRAM_MODEL = {
    "type": "Unigram", "unk_id": 0, "byte_fallback": False,
    "vocab": [["<unk>", 0.0], ["▁a", -1.5], ["b", -2], ["<s>", 0.0]]}
BOS = {"id": 260, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": True,
       "normalized": False, "special": True}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [260], "tokens": ["<s>"]}}}


def file_of(model: Json = BPE_MODEL, **parts: Any) -> Json:
    """Return the JSON of a tokenizer; the added token <s> has the id that the model gives it."""
    vocab = model["vocab"]
    id = vocab["<s>"] if isinstance(vocab, dict) else 3
    file: Json = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [BOS | {"id": id}],
        "normalizer": None, "pre_tokenizer": BYTE_LEVEL if model["vocab"] is VOCAB else None,
        "post_processor": None, "decoder": DECODER if model["vocab"] is VOCAB else None,
        "model": model}
    return copy.deepcopy(file | parts)


FULL = file_of(
    normalizer={"type": "Sequence", "normalizers": [
        {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
         "strip_accents": None, "lowercase": True},
        {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Prepend", "prepend": "_"}]},
    pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated",
         "invert": False},
        {"type": "Split", "pattern": {"String": "."}, "behavior": "MergedWithNext",
         "invert": True},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
        {"type": "Digits", "individual_digits": True},
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "CharDelimiterSplit", "delimiter": "|"},
        {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
        BYTE_LEVEL]},
    post_processor={"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]},
    decoder={"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        {"type": "BPEDecoder", "suffix": "</w>"}]})
FILES = [
    file_of(), FULL, file_of(CHAR_MODEL), file_of(WORDPIECE_MODEL), file_of(UNIGRAM_MODEL),
    file_of(post_processor={"type": "BertProcessing", "sep": ["<s>", 260], "cls": ["<s>", 260]}),
    file_of(post_processor={"type": "RobertaProcessing", "sep": ["<s>", 260], "cls": ["<s>", 260],
                            "trim_offsets": True, "add_prefix_space": False})]


@pytest.mark.parametrize("file", FILES)
def test_what_is_read_is_written_again(file: Json, tmp_path: Path) -> None:
    tokenizer = huggingface.from_json(file)
    written = huggingface_write.to_json(tokenizer)
    merges = [m.split(" ") if isinstance(m, str) else m for m in file["model"].get("merges", [])]
    model = file["model"] | ({"merges": merges} if merges else {})
    assert written == file | {"model": model}
    save_tokenizer(tokenizer, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_bytes()) == written
    again = load_tokenizer(tmp_path / "a.json")
    assert huggingface_write.to_json(again) == written
    assert again.vocab == tokenizer.vocab and again.special_tokens == tokenizer.special_tokens


def test_ids() -> None:
    tokenizer = huggingface.from_json(FULL)
    assert tokenizer.encode("", template=True) == [260]
    tokenizer = huggingface.from_json(file_of(post_processor=TEMPLATE))
    assert tokenizer.encode("ab a<s>  b", special="allow", template=True) == [
        260, 256, 257, 260, ord("b")]
    assert tokenizer.decode([260, 256, 257]) == "<s>ab a"
    assert isinstance(tokenizer.model, BPE)
    tokenizer = huggingface.from_json(file_of(CHAR_MODEL))
    assert tokenizer.encode("abAxab") == [3, 5, 0, 3] and isinstance(tokenizer.model, CharBPE)
    assert huggingface.from_json(file_of(WORDPIECE_MODEL)).encode("abb") == [1, 2, 2]
    tokenizer = huggingface.from_json(file_of(UNIGRAM_MODEL))
    assert tokenizer.encode("▁ab!") == [1, 2, 0] and isinstance(tokenizer.model, Unigram)


@pytest.mark.parametrize("model", [BPE_MODEL | {"ignore_merges": True}, CHAR_MODEL,
                                   WORDPIECE_MODEL, UNIGRAM_MODEL])
def test_a_text_spells_no_special_token(model: Json) -> None:
    """Though the vocabulary holds it."""
    tokenizer = huggingface.from_json(file_of(model, pre_tokenizer=BYTE_LEVEL | {
        "use_regex": False} if model["vocab"] is VOCAB else None))
    special = tokenizer.id("<s>")
    assert tokenizer.encode("<s>", special="allow") == [special]
    assert special not in tokenizer.encode("<s>", special="text")
    assert tokenizer.decode([special]) == "<s>"


def test_a_byte_level_model_without_all_bytes() -> None:
    model = BPE_MODEL | {"vocab": {"a": 0, "b": 1, "ab": 2, "Ã": 3, "<s>": 4}, "merges": ["a b"]}
    tokenizer = huggingface.from_json(file_of(model, pre_tokenizer=BYTE_LEVEL, decoder=BYTE_LEVEL))
    assert isinstance(tokenizer.model, Spelled)
    assert tokenizer.encode("ab éb") == [2, 3, 1]  # as in the library: other bytes vanish
    assert tokenizer.encode_with_offsets("ab éb")[1].tolist() == [[0, 2], [3, 4], [4, 5]]
    assert huggingface_write.to_json(tokenizer)["pre_tokenizer"] == BYTE_LEVEL


def test_tokens_that_no_bytes_spell_are_kept_for_decoding() -> None:
    model = BPE_MODEL | {"vocab": VOCAB | {"｜x": 300, "｜xa": 301},
                         "merges": [["｜x", "a"], ["a", "b"]]}
    tokenizer = huggingface.from_json(
        file_of(model, pre_tokenizer=BYTE_LEVEL, decoder=DECODER))
    assert tokenizer.decode([300, 256]) == "｜xab" and tokenizer.id("｜x") == 300
    assert tokenizer.encode("｜xa") == [*"｜x".encode(), ord("a")]


def test_merges_of_both_spellings() -> None:
    for merges in (["a b", "Ġ a"], ["#version: 0.2", "a b", "Ġ a"], [["a", "b"], ["Ġ", "a"]],
                   [["Ġ", "a"], ["a", "b"], ["Ġ", "a"]]):  # of equal ones the last counts
        tokenizer = huggingface.from_json(file_of(BPE_MODEL | {"merges": merges}))
        assert tokenizer.encode("ab ab") == [256, ord(" "), 256]
        assert isinstance(tokenizer.model, BPE) and len(tokenizer.model.merges or []) == 2


def test_old_files_leave_things_out() -> None:
    model = {key: BPE_MODEL[key] for key in ("vocab", "merges")}
    tokenizer = huggingface.from_json({"model": model, "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}})
    assert tokenizer.encode("ab") == [256]
    model = {key: value for key, value in WORDPIECE_MODEL.items() if key != "type"}
    assert huggingface.from_json({"model": model}).encode("ab") == [1, 2]


def test_truncation_and_padding_change_no_ids() -> None:
    cut = {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    pad = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0,
           "pad_token": "a", "pad_to_multiple_of": None}
    tokenizer = huggingface.from_json(file_of(truncation=cut, padding=pad))
    assert tokenizer.encode("abab") == [256, 256]


def changed(path: str, value: Any) -> Json:
    """Return FULL with another value at `path`, such as "model.vocab.a"."""
    file: Any = copy.deepcopy(FULL)
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    at = file
    for key in way:
        at = at[key]
    at[last] = value
    return file  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "path, value, fault",
    [
        ("version", "2.0", "its version is '2.0'; only 1.0 is known"),
        ("what", 1, "the file has 'what', which is not known"),
        ("truncation", 3, "'truncation' must be an object or null, got 3"),
        ("model", [], "'model' must be an object, got a list of 0"),
        ("model.type", "WordLevel", "type 'WordLevel', which is not known here; known are BPE"),
        ("model.type", None, "type None"),
        ("model.dropout", 0.1, "has the dropout 0.1: ids would be drawn by chance"),
        ("model.dropout", "x", "'dropout' must be a number or null, got 'x'"),
        ("model.temperature", 1, "'BPE' has 'temperature', which is not known here"),
        ("model.vocab", [["a", 0]], "'vocab' must be an object, got a list of 1"),
        ("model.vocab", {}, "the merge of 'a' and 'b' needs 'a', which is not in the vocab"),
        ("model.vocab.a", -1, "'a' has the id -1"),
        ("model.vocab.a", "1", "'a' has the id 1"),
        ("model.vocab.a", 98, "'a' and 'b' both have the id 98"),
        ("model.vocab.a", 2**40, "from 0 to 2147483647"),
        ("model.vocab.\ud800", 999, "lone surrogate"),
        ("model.merges", {}, "'merges' must be a list"),
        ("model.merges", [["a", "b"], "a b"], "its merge 1 must be two tokens .* got 'a b'"),
        ("model.merges", ["a b", "b"], r"its merge 1 must be two tokens .* got a list of 1"),
        ("model.merges", [["a", 1]], "its merge 0 must be two strings"),
        ("model.merges", [["a", "c"]], "joins 'a' and 'c', but 'ac' is not in the vocabulary"),
        ("model.merges", [["a", "zz"]], "merge names 'zz', which is no token"),
        ("model.unk_token", 7, "'unk_token' must be a string or null, got 7"),
        ("added_tokens", {}, "'added_tokens' must be a list, got an object of 0"),
        ("added_tokens.0", "<s>", "added token 0 must be an object, got '<s>'"),
        ("added_tokens.0", {"id": 260, "content": "<s>"}, "added token 0 lacks 'single_word'"),
        ("added_tokens.0.id", 1.5, "'id' must be a whole number from 0, got 1.5"),
        ("added_tokens.0.id", 5, "'<s>' has the id 5, but 260 in the model's vocab"),
        ("added_tokens.0.content", "<t>", "'<t>' has the id 260, which is '<s>' in the model's"),
        ("added_tokens.0.content", "", "id 260 is empty|has the id 260, which is '<s>'"),
        ("added_tokens.0.rare", True, "added token 0 has 'rare', which is not known"),
        ("normalizer", "NFC", "'normalizer' must be an object or null, got 'NFC'"),
        ("normalizer.normalizers.0.form", 1, "its normalizer NFC has 'form', which is not known"),
        ("pre_tokenizer.pretokenizers.0", BYTE_LEVEL, "a ByteLevel that is not the last"),
        ("post_processor.processors.1.special_tokens.<s>.ids", [9999],
         "the id 9999 around a text, which no token has"),
    ])
def test_what_a_file_may_not_ask_for(path: str, value: Any, fault: str, tmp_path: Path) -> None:
    named = tmp_path / "tokenizer.json"
    named.write_text(json.dumps(changed(path, value)))
    with pytest.raises(UserError, match=fault) as caught:
        load_tokenizer(named)
    assert str(caught.value).startswith(f"{named} cannot be used as a tokenizer.json: ")


@pytest.mark.parametrize(
    "content, fault",
    [
        (b'{"model": ', "no JSON that can be read: Expecting value"),
        (b'{"model": {"vocab": {"a": 0, "a": 1}}}', "an object names 'a' twice"),
        (b'{"model": {"type": "Unigram", "vocab": [["a", NaN]]}}', "NaN is no number"),
        (b'{"model": ' + b"[" * 200_000, "no JSON that can be read"),
        (b'{"a": "\xff"}', "no JSON that can be read"),
        (b'{"model": ' + b"9" * 10_000 + b"}", "no JSON that can be read"),
        (b'{"a": "\\uD800"}', "a lone surrogate"),
        (b'{"a": "\\ud83d\\ude00"}', "the file lacks 'model'"),
        (b'{"model": {"type": "Unigram", "vocab": [["a", 0], ["b", 0], ["a", 1]], "unk_id": 0}}',
         "lists the piece 'a' twice, as 0 and 2"),
        (b"{}", "the file lacks 'model'"),
        (b'{"model": {}}', "its model has no vocab"),
    ])
def test_files_that_are_no_tokenizer(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=fault):
        load_tokenizer(tmp_path)


json_values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 300), st.just(2**70), st.floats(-2, 2),
    st.sampled_from(["", "a", "ab", "<s>", "Regex", "(", "NFC", "ByteLevel", "Sequence", "BPE",
                     "Unigram", "WordPiece", "Removed"]),
    st.sampled_from([[], {}, [None], [["a", -1.0]], {"a": 0}, {"type": "NFC"}, BYTE_LEVEL]))


@draws(300, dev=60)
@given(st.sampled_from(FILES), st.data())
def test_any_other_value_anywhere_is_read_or_refused(file: Json, data: st.DataObject) -> None:
    file = copy.deepcopy(file)
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = file
        while True:
            keys = [key for key in (at if isinstance(at, dict) else range(len(at)))
                    if key in ("vocab",) or len(at) < 50 or key in ("a", "b", "ab", "<s>")]
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or data.draw(st.integers(0, 5)) == 0:
                if isinstance(at, dict) and data.draw(st.booleans()):
                    del at[key]
                else:
                    at[key] = copy.deepcopy(data.draw(json_values))
                break
            at = at[key]
    try:
        tokenizer = huggingface.from_json(file)
    except UserError as error:
        assert len(str(error)) < 2000
        return
    try:
        ids = tokenizer.encode("ab <s> é", special="allow", template=True)
    except UserError:  # such as for an unknown character, and no token for it
        return
    assert isinstance(tokenizer.decode(ids), str)
    written = huggingface_write.to_json(tokenizer)
    assert huggingface.from_json(written).encode("ab <s> é", special="allow", template=True) == ids
