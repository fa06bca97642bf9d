"""Schemas combined: what meets the result meets all parts, and the other way round."""

from __future__ import annotations

import itertools
from typing import Any

import jsonschema
import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample.constrained.combined import alternatives, meets
from tinygrad_llm.sample.constrained.keywords import Reader

VALUES = [None, True, 0, 1, 1.0, 2.5, 7, "", "a", "abc", [], [1], [1, "a"], [1, 2, 3], {}, {"a": 1},
          {"a": "b"}, {"b": 1}, {"a": 1, "b": 2}, {"a": 1, "c": []}, [True], {"kind": "x", "a": 1},
          {"kind": "y"}]

PARTS: list[Any] = [
    {"type": "integer"}, {"type": ["number", "string"]}, {"minimum": 1}, {"exclusiveMaximum": 7},
    {"multipleOf": 7}, {"enum": [1, "a", None, [1]]}, {"const": 1}, {"minLength": 1},
    {"maxLength": 1}, {"required": ["a"]},
    {"properties": {"a": {"type": "integer"}}, "additionalProperties": False},
    {"properties": {"b": {"const": 2}}, "additionalProperties": {"minimum": 1, "type": "number"}},
    {"properties": {"a": {"minimum": 1}, "c": False}}, {"items": {"type": "integer"}},
    {"prefixItems": [{"const": 1}, {"type": "string"}]}, {"prefixItems": [{"minimum": 1}],
                                                         "items": {"maximum": 2}},
    {"minItems": 1, "maxItems": 2}, True, False, {},
    {"anyOf": [{"type": "null"}, {"required": ["b"], "type": "object"}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]}]


def valid(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def written_back(flat: dict[str, Any]) -> dict[str, Any]:
    """Return a combined schema as one that jsonschema reads."""
    return {key: [*value] if isinstance(value, tuple) else value for key, value in flat.items()}


def lists(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: lists(value) for key, value in schema.items()}
    return [*map(lists, schema)] if isinstance(schema, list | tuple) else schema


@pytest.mark.parametrize("keyword", ["allOf", "anyOf"])
def test_combined_schemas_hold_where_their_parts_do(keyword: str) -> None:
    for parts in itertools.product(PARTS, repeat=2):
        schema = {keyword: [*parts]}
        found = alternatives(Reader(schema).read(schema), ())
        for value in VALUES:
            assert any(valid(lists(flat), value) for flat in found) == valid(schema, value), (
                schema, found, value)


def test_three_parts_beside_keywords_of_their_own() -> None:
    for first, second in itertools.combinations(PARTS, 2):
        schema = {"type": ["object", "array", "integer"], "properties": {"a": {"type": "integer"}},
                  "allOf": [first, {"anyOf": [second, False]}]}
        found = alternatives(Reader(schema).read(schema), ())
        for value in VALUES:
            assert any(valid(lists(flat), value) for flat in found) == valid(schema, value), schema


BRANCHES: list[tuple[Any, Any]] = [
    ({"type": "string"}, {"type": ["null", "number"]}),
    ({"const": 1}, {"enum": [2, "a", True]}),
    ({"enum": ["a", "b"]}, {"type": "integer"}),
    ({"enum": [1, 7], "minimum": 7}, {"const": 1}),
    ({"enum": ["abc"]}, {"type": "string", "maxLength": 2}),
    ({"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"]},
     {"type": "object", "properties": {"kind": {"const": "y"}}}),
    ({"type": "object", "properties": {"a": True}, "required": ["a"]},
     {"type": "object", "properties": {"b": True}, "additionalProperties": False}),
    ({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
     {"type": "object", "additionalProperties": {"type": "integer"}}),
    ({"anyOf": [{"const": 1}, {"type": "string"}]}, {"type": "null"}),
    ({"type": "string"}, False)]


@pytest.mark.parametrize(("first", "second"), BRANCHES)
def test_one_of_two_that_exclude_each_other(first: Any, second: Any) -> None:
    for branches in ([first, second], [second, first]):
        schema = {"oneOf": branches}
        found = alternatives(Reader(schema).read(schema), ())
        for value in VALUES:
            assert any(valid(lists(flat), value) for flat in found) == valid(schema, value)


@pytest.mark.parametrize(("first", "second"), [
    ({"type": "integer"}, {"type": "number"}), (True, {"type": "null"}),
    ({"const": 1}, {"enum": [1.0, 2]}), ({"const": {"a": [1]}}, {"enum": [{"a": [1.0]}]}),
    ({"minLength": 1}, {"type": "null"}),
    ({"type": "object", "properties": {"kind": {"const": "x"}}},
     {"type": "object", "properties": {"kind": {"const": "y"}}}),
    ({"properties": {"kind": {"const": "x"}}, "required": ["kind"]},
     {"properties": {"kind": {"const": "y"}}, "required": ["kind"]}),
    ({"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}),
    ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"})])
def test_one_of_two_that_may_both_hold(first: Any, second: Any) -> None:
    schema = {"items": {"oneOf": [False, first, second]}}
    with pytest.raises(UserError, match=r"^\$\.items\.oneOf: \[1\] and \[2\] may both hold"):
        alternatives(Reader(schema).read(schema)["items"], ("items",))


def test_too_many_combinations() -> None:
    some = {"anyOf": [{"minimum": k} for k in range(11)]}
    assert len(alternatives({"allOf": [some, some]}, ())) == 121
    with pytest.raises(UserError, match=r"^\$: more than 1000 combinations of anyOf and oneOf"):
        alternatives({"allOf": [some, some, some]}, ())


def test_what_meets_scalars() -> None:
    scalars = [value for value in VALUES if not isinstance(value, dict | list)]
    for schema in PARTS:
        if isinstance(schema, dict) and not schema.keys() & {"anyOf", "oneOf", "enum", "const"}:
            flat = Reader(schema).read(schema)
            for value in scalars:
                if not isinstance(value, bool) or "minimum" not in schema:
                    assert meets(value, flat) == valid(schema, value), (schema, value)
