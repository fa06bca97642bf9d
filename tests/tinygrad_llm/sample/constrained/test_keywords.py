"""What a JSON schema may say: each keyword of another kind is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.languages import matches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample.constrained.keywords import DEEPEST, Reader


def read(schema: Any) -> Any:
    return Reader(schema).read(schema)


@pytest.mark.parametrize("keyword", [
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems",
    "patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired",
    "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$anchor",
    "contentEncoding", "nullable", "dependencies", "additionalItems", "made up"])
def test_keywords_that_are_not_supported(keyword: str) -> None:
    with pytest.raises(UserError) as error:
        read({"properties": {"age": {"type": "integer", keyword: True}}})
    assert f"$.properties.age.{keyword}: the keyword '{keyword}' is not supp" in str(error.value)
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("keyword", ["contains", "uniqueItems", "patternProperties"])
def test_what_is_no_mistake_is_not_corrected(keyword: str) -> None:
    with pytest.raises(UserError, match="not supported; take it out, or say it with"):
        read({keyword: True})


def test_a_keyword_that_is_misspelt() -> None:
    with pytest.raises(UserError, match=r"did you mean 'maxLength'\?$"):
        read({"maxlength": 3})


@pytest.mark.parametrize(("schema", "message"), [
    ("text", "$: expected a schema: an object, true or false, got 'text'"),
    (None, "$: expected a schema"), ([], "$: expected a schema"), (1, "$: expected a schema"),
    ({"items": 1}, "$.items: expected a schema"),
    ({"items": [True]}, "$.items: expected a schema"),
    ({"properties": {"a": 3}}, "$.properties.a: expected a schema"),
    ({"properties": []}, "$.properties: expected an object of schemas"),
    ({"properties": {1: True}}, "$.properties: expected a string, without lone surrogates, got 1"),
    ({"properties": {"\ud800": True}}, "$.properties: expected a string, without lone surrogates"),
    ({1: 2}, "$[1]: the keyword 1 is not supported; a keyword is a string"),
    ({"allOf": [True, 3]}, "$.allOf[1]: expected a schema"),
    ({"anyOf": []}, "$.anyOf: expected a list of at least one schema"),
    ({"oneOf": {}}, "$.oneOf: expected a list of at least one schema"),
    ({"prefixItems": True}, "$.prefixItems: expected a list"),
    ({"type": "text"}, "$.type: expected one of string, number, integer, boolean, null, object, "),
    ({"type": []}, "$.type: expected one of"), ({"type": ["null", 3]}, "$.type: expected one of"),
    ({"type": None}, "$.type: expected one of"), ({"type": {"a": 1}}, "$.type: expected one of"),
    ({"enum": "a"}, "$.enum: expected a list"), ({"const": {1: 2}}, "$.const: expected a string"),
    ({"enum": [float("nan")]}, "$.enum: expected a finite number, got nan"),
    ({"enum": [{"a": [set()]}]}, "$.enum: expected a finite number, got set()"),
    ({"const": "a\udfff"}, "$.const: expected a string, without lone surrogates"),
    ({"minLength": -1}, "$.minLength: expected a whole number of at least 0, got -1"),
    ({"maxLength": 1.5}, "$.maxLength: expected a whole"), ({"minItems": True}, "$.minItems: exp"),
    ({"maxItems": float("inf")}, "$.maxItems: exp"), ({"minLength": "3"}, "$.minLength: exp"),
    ({"minimum": "3"}, "$.minimum: expected a finite number, got '3'"),
    ({"maximum": float("inf")}, "$.maximum: expected a finite number"),
    ({"exclusiveMinimum": True}, "$.exclusiveMinimum: expected a finite number, got True"),
    ({"multipleOf": 0}, "$.multipleOf: expected a whole number above 0"),
    ({"multipleOf": 0.1}, "$.multipleOf: expected a whole number above 0"),
    ({"required": "a"}, "$.required: expected a list of names"),
    ({"required": [1]}, "$.required: expected a list of names"),
    ({"pattern": 1}, "$.pattern: expected a string"),
    ({"items": {"pattern": "(?=a)"}}, "$.items.pattern: the pattern '(?=a)' has a lookahead"),
    ({"format": "uri"}, "$.format: the format 'uri' is not supported; known are date, time"),
    ({"format": "ipv6"}, "$.format: the format 'ipv6' is not supported; did you mean 'ipv4'?"),
    ({"items": {"$id": "a"}}, "$.items.$id: only the whole schema may have $id"),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": []},
     "$.prefixItems: prefixItems is of draft 2020-12, and $schema is 'http://json-schema.org/dra"),
    ({"$ref": "other.json"}, "$.$ref: there is no 'other.json' in this schema"),
    ({"$ref": "#name"}, "$.$ref: there is no '#name'"), ({"$ref": ""}, "$.$ref: there is no ''"),
    ({"$ref": "#/$defs/a"}, "$.$ref: there is no '#/$defs/a'"),
    ({"anyOf": [{"$ref": "#/anyOf/7"}]}, "$.anyOf[0].$ref: there is no '#/anyOf/7'"),
    ({"$ref": "#"}, "$.$ref: '#' contains this $ref"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
     "$.$defs.a.items.$ref: '#/$defs/a' contains this $ref; a schema that contains itself"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/b"}}},
                                     "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
     "$.$defs.b.anyOf[0].$ref: '#/$defs/a' contains this $ref"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"not": True}}}},
     "$.$defs.a.items.not: the keyword 'not' is not supported"),
])
def test_malformed_schemas(schema: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(schema)
    assert message in str(error.value)


@pytest.mark.parametrize("levels", [DEEPEST + 2, 1000, 100_000])
def test_schemas_too_deep_in_each_other(levels: int) -> None:
    schema: Any = True
    value: Any = 1
    for _ in range(levels):
        schema, value = {"items": schema}, [value]
    for deep in (schema, {"const": value}, {"enum": [value]}):
        with pytest.raises(UserError, match="is too deep: at most 40"):
            read(deep)


def test_refs_too_deep_in_each_other() -> None:
    defs: dict[str, Any] = {str(k): {"items": {"$ref": f"#/$defs/{k + 1}"}} for k in range(1000)}
    with pytest.raises(UserError, match="is too deep: at most 40"):
        read({"$ref": "#/$defs/0", "$defs": defs})


def test_a_schema_as_deep_as_may_be() -> None:
    schema: Any = {}
    for _ in range(DEEPEST):
        schema = {"items": schema}
    assert read(schema) == schema


def test_the_form_of_what_is_read() -> None:
    schema = {"title": "t", "$defs": {"a b": {"const": 1}}, "type": "string", "enum": ["a"],
              "$ref": "#/$defs/a%20b", "const": "b", "required": ["c"], "minLength": 2.0,
              "minimum": 2.5}
    assert read(schema) == {"type": ("string",), "allOf": ({"enum": [1]}, {"enum": ["b"]}),
                            "enum": ["a"], "required": ("c",), "minLength": 2, "minimum": 2.5}
    pattern = read({"pattern": "^ab$", "format": "date"})["pattern"]
    assert len(pattern) == 2 and matches(pattern[0], "ab") and matches(pattern[1], "2000-01-01")
    assert type(read({"multipleOf": 5.0})["multipleOf"]) is int


def test_what_a_ref_names_is_read_once_and_may_be_named_twice() -> None:
    ref = {"$ref": "#/properties/a"}
    found = read({"properties": {"a": {"type": "null"}, "b": ref, "c": {"items": ref}}})
    properties = found["properties"]
    assert properties["b"]["allOf"][0] is properties["c"]["items"]["allOf"][0]
