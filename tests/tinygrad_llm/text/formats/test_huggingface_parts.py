"""Each part that tokenizer.json can name is read as one object here, and written as it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders, template
from tinygrad_llm.text.cut import pretokenizers
from tinygrad_llm.text.cut.patterns import CL100K, GPT2
from tinygrad_llm.text.formats.huggingface_parts import (
    KINDS,
    PARTS,
    SEQUENCES,
    Setting,
    read_part,
    read_settings,
    write_part,
)
from tinygrad_llm.text.normalize import normalizers, precompiled

Json = dict[str, Any]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
              "use_regex": True}
CHARSMAP = b"\4\0\0\0" + b"\0\0\0\0"  # a trie of one unit, without strings
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [260, 7], "tokens": ["<s>", "x"]}}}
EXPECTED: list[tuple[str, Json, object]] = [
    *[("normalizer", {"type": name}, getattr(normalizers, name)()) for name in
      ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")],
    ("normalizer", {"type": "Strip", "strip_left": False, "strip_right": True},
     normalizers.Strip(left=False, right=True)),
    ("normalizer", {"type": "Prepend", "prepend": "▁"}, normalizers.Prepend("▁")),
    ("normalizer", {"type": "Replace", "pattern": {"String": "a."}, "content": "b"},
     normalizers.Replace("a.", "b")),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": "a."}, "content": "b"},
     normalizers.Replace("a.", "b", is_regex=True)),
    ("normalizer", {"type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(CHARSMAP).decode()},
     precompiled.Precompiled(CHARSMAP)),
    ("normalizer", {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": True,
                    "strip_accents": None, "lowercase": True},
     normalizers.BertNormalizer(clean_text=False)),
    ("pre_tokenizer", BYTE_LEVEL, pretokenizers.ByteLevel(add_prefix_space=False)),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": r"\p{N}"}, "behavior": "Removed",
                       "invert": True},
     pretokenizers.Split(r"\p{N}", is_regex=True, behavior="Removed", invert=True)),
    ("pre_tokenizer", {"type": "Split", "pattern": {"String": "."}, "behavior": "Isolated",
                       "invert": False}, pretokenizers.Split(".")),
    *[("pre_tokenizer", {"type": name}, getattr(pretokenizers, name)()) for name in
      ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")],
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first",
                       "split": False}, pretokenizers.Metaspace("_", "first", False)),
    ("pre_tokenizer", {"type": "Punctuation", "behavior": "Contiguous"},
     pretokenizers.Punctuation("Contiguous")),
    ("pre_tokenizer", {"type": "Digits", "individual_digits": True}, pretokenizers.Digits(True)),
    ("pre_tokenizer", {"type": "CharDelimiterSplit", "delimiter": "|"},
     pretokenizers.CharDelimiterSplit("|")),
    ("post_processor", BYTE_LEVEL, template.ByteLevel(add_prefix_space=False)),
    ("post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
     template.BertProcessing(sep=("[SEP]", 2), cls=("[CLS]", 1))),
    ("post_processor", {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1],
                        "trim_offsets": False, "add_prefix_space": True},
     template.RobertaProcessing(sep=("</s>", 2), cls=("<s>", 1), trim_offsets=False)),
    ("post_processor", TEMPLATE, template.TemplateProcessing(
        (template.TemplatePart("<s>", is_text=False), template.TemplatePart("A", is_text=True)),
        (template.TemplatePart("A", is_text=True), template.TemplatePart("B", True, 1)),
        {"<s>": ((260, "<s>"), (7, "x"))})),
    ("decoder", BYTE_LEVEL | {"add_prefix_space": True}, decoders.ByteLevel()),
    ("decoder", {"type": "WordPiece", "prefix": "@@", "cleanup": False},
     decoders.WordPiece("@@", cleanup=False)),
    ("decoder", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never",
                 "split": True}, decoders.Metaspace("▁", "never")),
    ("decoder", {"type": "BPEDecoder", "suffix": "</w>"}, decoders.BPEDecoder("</w>")),
    ("decoder", {"type": "ByteFallback"}, decoders.ByteFallback()),
    ("decoder", {"type": "Fuse"}, decoders.Fuse()),
    ("decoder", {"type": "Strip", "content": "_", "start": 1, "stop": 2},
     decoders.Strip("_", 1, 2)),
    ("decoder", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
     decoders.Replace("▁", " ")),
]


@pytest.mark.parametrize("section, file, part", EXPECTED)
def test_every_part_is_read_and_written(section: str, file: Json, part: object) -> None:
    assert read_part(json.loads(json.dumps(file)), section) == part
    assert write_part(part, section) == file
    _, key, _ = SEQUENCES[section]
    both = {"type": "Sequence", key: [file, {"type": "Sequence", key: [file]}]}
    if section != "post_processor" or file is BYTE_LEVEL:  # of which one may put tokens around
        assert write_part(read_part(both, section), section) == both


def test_the_table_above_has_every_part() -> None:
    assert {(section, file["type"]) for section, file, _ in EXPECTED} == {
        (section, kind) for section, kinds in PARTS.items() for kind in kinds}


def test_no_part_is_null() -> None:
    for section in PARTS:
        assert read_part(None, section) is None and write_part(None, section) is None


@pytest.mark.parametrize(
    "settings, scheme",
    [({}, "always"), ({"add_prefix_space": True, "str_rep": "▁"}, "always"),
     ({"add_prefix_space": False}, "never"), ({"prepend_scheme": "first"}, "first"),
     ({"add_prefix_space": True, "prepend_scheme": "never"}, "never")])
def test_metaspace_under_older_names(settings: Json, scheme: str) -> None:
    cuts = read_part({"type": "Metaspace", "replacement": "▁", **settings}, "pre_tokenizer")
    assert cuts == pretokenizers.Metaspace("▁", scheme, True)


@pytest.mark.parametrize("section, file, fault", [
    ("normalizer", "NFC", 'its normalizer must be an object with a "type", or null, got \'NFC\''),
    ("normalizer", {"type": "Emoji"}, "the type 'Emoji', which is not known here; known are NFC"),
    ("normalizer", {"type": "NFC", "form": 1}, "its normalizer NFC has 'form', which is not known"),
    ("normalizer", {"type": "Sequence", "normalizers": [None]}, "Sequence holds null"),
    ("normalizer", {"type": "Replace", "pattern": " ", "content": ""},
     r'must be {"String": ...} or {"Regex": ...}'),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""},
     r"its normalizer Replace: .*a \( without its \)"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "no base64"},
     "'precompiled_charsmap'"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AQI="}, "cut short or damaged"),
    ("pre_tokenizer", {"type": "UnicodeScripts"}, "'UnicodeScripts', which is not known here"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"String": "."}, "behavior": "Lost",
                       "invert": False}, "'Lost' is not known; it may be"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "__"},
     "replacement must be one character"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "_", "add_prefix_space": False,
                       "prepend_scheme": "first"}, "contradict each other"),
    ("pre_tokenizer", {"type": "CharDelimiterSplit", "delimiter": ""},
     "delimiter must be one character, got ''"),
    ("pre_tokenizer", BYTE_LEVEL | {"use_regex": 1}, "'use_regex' must be true or false, got 1"),
    ("post_processor", {"type": "Sequence", "processors": [TEMPLATE, TEMPLATE]},
     "several post-processors"),
    ("post_processor", TEMPLATE | {"single": [{"Sequence": {"id": "B", "type_id": 0}}]},
     "asks for the text 'B'"),
    ("post_processor", TEMPLATE | {"single": ["A"]}, 'must be {"Sequence": ...}'),
    ("post_processor", TEMPLATE | {"special_tokens": {}}, "'<s>' is not among its special_tokens"),
    ("post_processor", TEMPLATE | {"special_tokens": {"<s>": {
        "id": "<s>", "ids": [1, 2], "tokens": ["<s>"]}}}, "as many ids as tokens"),
    ("decoder", {"type": "CTC"}, "its decoder is of the type 'CTC', which is not known"),
    ("decoder", {"type": "Strip", "content": "ab", "start": 0, "stop": 0},
     "its decoder Strip: Strip: content must be one char"),
    ("decoder", {"type": "Strip", "content": "a", "start": -1, "stop": 0},
     "'start' must be a whole number from 0, got -1"),
    ("decoder", BYTE_LEVEL | {"use_regex": 1}, "'use_regex' must be true or false, got 1"),
])
def test_what_a_part_may_not_ask_for(section: str, file: Json, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_part(file, section)


def test_parts_nested_too_deeply() -> None:
    part: Json = BYTE_LEVEL
    for _ in range(2000):
        part = {"type": "Sequence", "pretokenizers": [part]}
    with pytest.raises((UserError, RecursionError)):
        read_part(part, "pre_tokenizer")


@pytest.mark.parametrize("kind, good, bad", [
    ("bool", [True, False], [None, 1, "true"]), ("bool?", [None, True], [0]),
    ("str", ["", "a"], [None, 1]), ("str?", [None, "a"], [1]),
    ("count", [0, 2**31 - 1], [-1, 2**31, 1.0, True, None]), ("count?", [None, 3], [-1, True]),
    ("number?", [None, 1, 0.5], ["1", True]), ("list", [[]], [{}, None]), ("object", [{}], [[]]),
    ("object?", [{}, None], [[]]), ("token", [["a", 1]], [["a"], [1, "a"], ["a", 1, 2]]),
    ("pattern", [{"String": "a"}, {"Regex": "a"}], ["a", {}, {"Regex": 1}, {"Other": "a"}]),
])
def test_settings_of_every_kind(kind: str, good: list[Any], bad: list[Any]) -> None:
    setting = Setting("key", "name", kind)
    for value in good:
        assert read_settings({"type": "x", "key": value}, "it", [setting]) == {"name": value}
    for value in bad:
        with pytest.raises(UserError, match=rf"it: 'key' must be {KINDS[kind][0][:8]}"):
            read_settings({"key": value}, "it", [setting])
    with pytest.raises(UserError, match="it lacks 'key'"):
        read_settings({}, "it", [setting])
    default = Setting("key", "name", kind, "default")
    assert read_settings({}, "it", [default]) == {"name": "default"}


def test_patterns_of_tiktoken_are_written_as_split() -> None:
    assert write_part(pretokenizers.Pattern(GPT2), "pre_tokenizer") == {
        "type": "Split", "pattern": {"Regex": GPT2}, "behavior": "Isolated", "invert": False}
    spelled = write_part(pretokenizers.Pattern(CL100K), "pre_tokenizer")["pattern"]["Regex"]
    assert spelled == CL100K.replace("{1,3}+", "{1,3}")  # Oniguruma reads {1,3}+ as more
    with pytest.raises(UserError, match=r"has a possessive \{..\}\+"):
        write_part(pretokenizers.Pattern(r"\p{N}{1,3}+|\w"), "pre_tokenizer")


def test_parts_of_ones_own_have_no_name() -> None:
    class Upper(pretokenizers.PreTokenizer):
        pass

    class Loud(normalizers.NFC):
        pass

    with pytest.raises(UserError, match=r"no name for the pre_tokenizer Upper\(\)"):
        write_part(Upper(), "pre_tokenizer")
    with pytest.raises(UserError, match="no name for the normalizer"):
        write_part(normalizers.Sequence([normalizers.NFC(), Loud()]), "normalizer")
