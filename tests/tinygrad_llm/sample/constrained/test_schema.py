"""JSON schemas as expressions: every sentence validates, every instance that is written is one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from random_schemas import drawn, whole

from tests.languages import matches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.sample import Batcher, Sampling
from tinygrad_llm.sample.constrained.automaton import automaton_of
from tinygrad_llm.sample.constrained.language import Language
from tinygrad_llm.sample.constrained.schema import expression_of, json_schema, read_schema
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer

VALIDATOR = jsonschema.Draft202012Validator


def check(schema: Any, sentence: str) -> None:
    VALIDATOR(schema, format_checker=VALIDATOR.FORMAT_CHECKER).validate(json.loads(sentence))


def check_schema(seed: int, depth: int, sentences: int) -> None:
    schema, make = whole(seed, depth)
    expression, rng = expression_of(schema), random.Random(seed)
    for _ in range(sentences):
        check(schema, drawn(expression, rng))
        instance = make(rng)
        for text in (json.dumps(instance),
                     json.dumps(instance, ensure_ascii=False, separators=(",", ":"))):
            check(schema, text)
            assert matches(expression, text), (schema, text)


@pytest.mark.parametrize("depth", range(4))
def test_sentences_validate_and_instances_are_sentences(depth: int) -> None:
    for seed in range(30):
        check_schema(seed, depth, 2)


@pytest.mark.long
def test_sentences_of_many_schemas_validate() -> None:
    for seed in range(500):
        check_schema(seed, 3, 5)


WORDS = [b'"a', b'": ', b'{"', b", ", b"true", b"null", b"[]", b"12", b"}}", "é".encode() + b"\xe4",
         b'"name": "', b"\\u00", b" "]
TOKENIZERS = [CharTokenizer("".join(map(chr, range(32, 127))) + "é😀"),
              Tokenizer(BPE({piece: id for id, piece in enumerate(dict.fromkeys(
                  [*(bytes([byte]) for byte in range(256)), *WORDS]))}), decoder=ByteLevel())]


def check_answers(seeds: range) -> int:
    """Have models of random weights answer within each schema; return how many answers ended."""
    ended = 0
    for seed in seeds:
        schema, _ = whole(seed, 2)
        tokenizer = TOKENIZERS[seed % 2]
        end = tokenizer.vocab_size
        config = (GPTConfig(end + 1, 32, layers=1, heads=2, width=8) if seed % 4 < 2
                  else LlamaConfig(end + 1, 32, layers=1, heads=2, key_heads=1, width=8))
        model = (GPT if seed % 4 < 2 else Llama)(config, seed)
        constraint = json_schema(schema, tokenizer, end + 1)
        batcher = Batcher(model, tokenizer, rows=3)
        handles = [batcher.add([k + 40], Sampling(
            constraint=constraint, ends={end}, seed=seed + k, temperature=temperature,
            max_tokens=constraint.shortest + 40 * k)) for k, temperature in enumerate([1, 0, 2])]
        batcher.run()
        for handle in handles:
            assert handle.error is None
            check(schema, tokenizer.decode(handle.ids))
            ended += handle.reason == "end"
    return ended


def test_answers_of_models_validate() -> None:
    assert check_answers(range(24)) > 24


@pytest.mark.long
def test_answers_of_models_validate_for_500_schemas() -> None:
    assert check_answers(range(500)) > 500


def sentences(schema: Any, texts: list[str]) -> list[str]:
    """Return which of the texts are sentences; each of these must validate."""
    expression = expression_of(schema)
    found = [text for text in texts if matches(expression, text)]
    for text in found:
        check(schema, text)
    return found


def test_layout() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": True}}}
    right = ['{"a":1,"b":[]}', '{"a": 1, "b": [1,2, 3]}', "{}", '{"b": [null]}']
    wrong = ['{ "a":1}', '{"a" :1}', '{"a":  1}', '{"a":\n1}', '{"b":[],"a":1}', '{"b": [1,  2]}',
             '{"a":1,}', '{,"a":1}', '{"a":1 }', ' {}', '{"c":1}', '{"a":1"b":[]}', '{"b": [1,]}']
    assert sentences(schema, right + wrong) == right


def test_strings() -> None:
    right = ['"a"', '"\\n"', '"\\u0000"', '"\\u001F"', '"é"', '"\\u00e9"', '"\\u00E9"', '"\\""',
             '"😀"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\uffff"', '"\x7f"', '"/"']
    wrong = ['""', '"ab"', '"\n"', '"\x00"', '"\\u0041"', '"\\u000a"', '"\\/"', '"\\ud83d"',
             '"\\ude00\\ud83d"', '"\ud83d"', '"\\"', "a", '"éé"', '"\\ud83d\\ud83d"', '"\\x41"']
    assert sentences({"type": "string", "minLength": 1, "maxLength": 1}, right + wrong) == right


@pytest.mark.parametrize(("schema", "right", "wrong"), [
    ({"type": "integer"}, "0 7 -7 12345678901234567890", "00 -0 01 +1 1.0 1e3 1. -"),
    ({"type": "integer", "minimum": 0.5, "maximum": 30}, "1 9 10 29 30", "0 31 100 -1 05"),
    ({"type": "integer", "exclusiveMinimum": -10, "exclusiveMaximum": 1}, "-9 -1 0", "-10 1 -0"),
    ({"type": "integer", "minimum": -1e300}, "-99999999999999999999 0 5", ""),
    ({"type": "number", "minimum": -3.855961446143577e16, "maximum": 1e300},
     "-38559614461435768 99999999999999999999.9", "-38559614461435770 -38559614461435769"),
    ({"type": "integer", "multipleOf": 25}, "0 25 -50 100 1075 -99999999999999999975",
     "5 26 -0 1074 025 0025"),
    ({"type": "number", "multipleOf": 7, "minimum": -8.5, "exclusiveMaximum": 21}, "-7 0 7 14",
     "21 -14 1 7.0"),
    ({"type": "integer", "multipleOf": 1000, "minimum": 5}, "1000 12000", "0 -1000 100 1500"),
    ({"allOf": [{"multipleOf": 4}, {"multipleOf": 10}], "type": "integer"}, "0 20 -340", "4 10 30"),
    ({"type": "number"}, "0 -0 -0.0 1.5 1e5 1E-320 -2.5e+307 0.00012345678901234567",
     "1e308 1e999 01 .5 1. 12e3 0e1 1e- 1e-333"),
    ({"type": "number", "minimum": 0.25, "maximum": 3}, "0.25 0.250 0.3 1 2.99999 3 3.0 3.00",
     "0.2 0.2499999 0 3.01 4 -1 1e0 3. 00.5"),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "0.5 0.00001 0.99",
     "0 1 1.0"),
    ({"type": "number", "exclusiveMaximum": 0.3}, "0.29 -5 0.29999999999999",
     "0.3 0.29999999999999999999"),
    ({"type": "number", "minimum": -2.5, "exclusiveMaximum": -1}, "-2.5 -2 -1.01 -1.5",
     "-2.51 -1 -1.0 0 -3"),
    ({"type": "boolean"}, "true false", "True 0 1 null"),
    ({"type": "null"}, "null", "None false"),
    ({"enum": ["a", 1, 1.0, None, [1], {"b": 2}]}, '"a" 1 1.0 null [1] {"b":2}',
     "2 true 1.00 [] {}"),
    ({"enum": [1, "a", 2.5, 2.0], "type": "integer"}, "1 2 2.0", '"a" 2.5'),
    ({"enum": ["a", "bb", "ccc"], "minLength": 2, "pattern": "^b"}, '"bb"', '"a" "ccc" 1'),
    ({"enum": [1, 5, 9, 6.5], "minimum": 5, "exclusiveMaximum": 9}, "5 6.5", "1 9"),
    ({"const": {"a": [True, "é"]}}, '{"a":[true,"é"]}', '{"a":[true]}'),
    ({"type": ["null", "string"], "maxLength": 1}, 'null "" "a"', '"ab" 1'),
    ({"type": "array", "maxItems": 2, "items": {"const": 0}}, "[] [0] [0,0]", "[0,0,0] [1]"),
    ({"type": "array", "minItems": 2, "items": {"const": 0}}, "[0,0] [0,0,0,0]", "[] [0]"),
    ({"prefixItems": [{"const": 0}, {"const": 1}]}, "[] [0] [0,1]", "[1] [0,1,2] [0,0]"),
    ({"prefixItems": [{"const": 0}], "minItems": 2}, "[0,1] [0,true]", "[0] [0,1,2] [1,0]"),
    ({"prefixItems": [{"const": 0}, False], "items": True}, "[] [0]", "[0,0] [1]"),
    ({"items": False}, "[]", "[0]"),
    ({"type": "array", "maxItems": 0}, "[]", "[0]"),
    ({"properties": {"a": {"const": 0}, "b": False}}, '{"a":0} {}', '{"b":0}'),
    ({"required": ["z"], "type": "object"}, '{"z":1} {"z":[]}', '{} {"y":1}'),
    ({"additionalProperties": {"const": 0}, "properties": {"ab": {"const": 1}}},
     '{} {"ab":1} {"a":0} {"ab":1,"abc":0,"":0}', '{"ab":0} {"a":1} {"\\u0061b":0} {"a":0,"ab":1}'),
    ({"type": "object"}, '{} {"a":1} {"a":[2],"a":"b"}', '{"a":{"b":{}}} [] null'),
    ({"type": "object", "properties": {}}, "{}", '{"a":1}'),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}, "maximum": 3}, "3 -9", "4 null"),
    ({"anyOf": [{"type": "integer"}, {"const": "a"}], "maximum": 1}, '1 "a"', "2"),
    ({"oneOf": [{"type": "integer"}, {"type": "string"}], "maxLength": 1}, '2 "a"', '"aa" null'),
    ({"type": "string", "pattern": "\"\\n"}, '"\\"\\n" "a\\"\\nb"', '"\\n\\""'),
    ({"type": "string", "pattern": "^a|b$", "maxLength": 2}, '"a" "ax" "xb" "b"', '"xa" "abb"'),
    ({"type": "string", "format": "date"}, '"2000-02-29" "2023-12-31"',
     '"1900-02-29" "2023-02-29" "2023-04-31" "0000-01-01" "2023-13-01"'),
    (True, '1 null [1] {"a":"b"} [] {}', "[[[]]] nul"),
])
def test_each_keyword(schema: Any, right: str, wrong: str) -> None:
    assert sentences(schema, right.split() + wrong.split()) == right.split()


@pytest.mark.parametrize(("schema", "place", "reason"), [
    (False, "$", "it is false"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "$", "minLength is 3, and maxLength is 2"),
    ({"items": {"enum": []}}, "$.items", "no type or value is left"),
    ({"properties": {"a": {"enum": [1], "type": "string"}}}, "$.properties.a", "no type or value"),
    ({"required": ["b"], "properties": {"a": True}, "additionalProperties": False}, "$",
     "'b' is required and not in properties"),
    ({"properties": {"b": False}, "required": ["b"]}, "$.properties.b", "it is false"),
    ({"minItems": 2, "maxItems": 1}, "$", "minItems is 2, and maxItems is 1"),
    ({"minItems": 2, "prefixItems": [True], "items": False}, "$", "there can be 1 items"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "$", "within its bounds"),
    ({"type": "integer", "minimum": 2.1, "maximum": 2.9}, "$", "within its bounds"),
    ({"type": "number", "minimum": 1e30}, "$", "at most 20 digits"),
    ({"type": "number", "exclusiveMinimum": 2, "maximum": 2}, "$", "within its bounds"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "$", "no type or value is left"),
    ({"anyOf": [{"type": "null"}, {"minimum": 3}], "type": "string", "maxLength": 0,
      "minLength": 1}, "$", "has no sentence"),
    ({"anyOf": [False, False]}, "$", "it is false"),
    ({"properties": {"a": {"pattern": "^ab*$", "maxLength": 0}}}, "$.properties.a",
     "no string has its pattern and its length"),
    ({"pattern": "^a$", "format": "date"}, "$", "no string has its pattern"),
    ({"enum": ["b"], "pattern": "^a"}, "$", "no type or value is left"),
])
def test_schemas_that_no_text_meets(schema: Any, place: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        expression_of(schema)
    assert str(error.value).startswith(f"{place} has no sentence: ") and reason in str(error.value)


def test_one_alternative_that_nothing_meets_is_left_out() -> None:
    schema = {"anyOf": [{"type": "string", "minLength": 2, "maxLength": 1}, {"type": "null"}]}
    assert sentences(schema, ["null", '"a"', '"ab"']) == ["null"]
    assert sentences({**schema, "type": ["string", "null"]}, ["null", '""']) == ["null"]


def test_multiples_of_which_there_are_too_many() -> None:
    with pytest.raises(UserError, match=r"^\$\.items: multipleOf 7 is not supported for as many"):
        expression_of({"items": {"type": "integer", "multipleOf": 7, "minimum": 0}})
    with pytest.raises(UserError, match=r"^\$ has no sentence: no number"):
        expression_of({"type": "integer", "multipleOf": 7, "minimum": 8, "maximum": 13})


def test_prefix_items_that_may_miss() -> None:
    schema = {"prefixItems": [{"const": 0}] * 500}
    with pytest.raises(UserError, match=r"^\$: more than 50 prefixItems"):
        expression_of(schema)
    assert sentences({**schema, "minItems": 500}, ["[" + ",".join("0" * 500) + "]", "[0]"]) != []


def test_upper_bounds_may_be_large() -> None:
    texts = [f'"{"a" * n}"' for n in (0, 5000, 5001)]
    assert sentences({"type": "string", "maxLength": 5000}, texts) == texts[:2]
    lists = [json.dumps([0] * n) for n in (0, 3000, 3001)]
    assert sentences({"items": {"const": 0}, "maxItems": 3000}, lists) == lists[:2]
    many = {"type": "array", "maxItems": 10**30, "items": {"type": "string", "maxLength": 10**30}}
    for schema in (many, {"type": "string", "maxLength": 10**6, "pattern": "[0-9]{2}"}):
        assert len(automaton_of(Language(expression_of(schema)), 4)) < 1000


def test_an_enum_of_10_000() -> None:
    """Strings share the states of what they begin with, so that they fit."""
    values = [f"the value of number {k}é" for k in range(10_000)]
    schema = {"enum": values, "minLength": 20, "type": "string"}
    automaton = automaton_of(Language(expression_of(schema)))
    assert len(automaton) < 200_000


def test_many_schemas_by_few_refs_are_refused() -> None:
    defs: dict[str, Any] = {"0": {"type": "null"}}
    for level in range(1, 20):
        ref = {"$ref": f"#/$defs/{level - 1}"}
        defs[str(level)] = {"properties": {"a": ref, "b": ref}}
    with pytest.raises(UserError, match="more than 5000 others"):
        expression_of({"$ref": "#/$defs/19", "$defs": defs})


def test_a_schema_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "number", "maximum": 0.30000000000000004}', encoding="utf-8")
    assert read_schema(path) == {"type": "number", "maximum": 0.1 + 0.2}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as editors of Windows write it
    assert read_schema(path) == {"type": "number", "maximum": 0.1 + 0.2}


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "no JSON"), (b"{'a': 1}", "no JSON"), (b'{"a": 1, "a": 2}', "names 'a' twice"),
    (b'{"minimum": NaN}', "NaN"), (b'{"minimum": -Infinity}', "Infinity"),
    (b"\xff\xfe{\x00}\x00", "utf-8"),
    (b'{"const": "\\ud800"}', "lone surrogate"), (b"[" * 200_000, "recursion"),
    (b'{"a":' * 200_000, "recursion")])
def test_a_file_that_is_no_schema(content: bytes, reason: str, tmp_path: Path) -> None:
    (path := tmp_path / "schema.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_schema(path)
    assert str(path) in str(error.value) and reason in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_schema(path)
