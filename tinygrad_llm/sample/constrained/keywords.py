"""A JSON schema as it was given, checked and brought into one form.

In this form there is no $ref (`allOf` holds what it names), no `const` (an `enum` of one) and no
`format` (a `pattern`); `pattern` is a tuple of expressions; lists of schemas and names are tuples;
what says nothing of a value (`title`, `default`) is gone. A keyword that is not known is refused:
without it, texts would be written that it forbids, and `maxlength` is a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ...host.errors import UserError, did_you_mean, shortened
from .expressions import Expression, parse

DEEPEST = 40  # schemas in each other; their expressions are six times as deep

Schema = Any  # True, False or a dict
Place = tuple[str | int, ...]

_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_YEAR = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DATE = (rf"({_YEAR}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|"
         rf"(0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)")
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
FORMATS = {"date": _DATE, "time": _TIME, "date-time": f"{_DATE}T{_TIME}",
           "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
           "ipv4": rf"{_BYTE}(\.{_BYTE}){{3}}", "hostname": rf"{_LABEL}(\.{_LABEL}){{0,3}}",
           "email": rf"{_ATOM}(\.{_ATOM}){{0,2}}@{_LABEL}(\.{_LABEL}){{1,3}}"}
"""The formats that are written, as patterns (RFC 3339 without leap seconds, 4122, 1123, 5321)."""

TYPES = ("string", "number", "integer", "boolean", "null", "object", "array")


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_some(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0


def _is_type(value: Any) -> bool:
    names = value if _is_some(value) else [value]
    return all(isinstance(name, str) and name in TYPES for name in names)


_Check = tuple[str, Callable[[Any], bool]]
_NUMBER: _Check = "a finite number", _is_number
_COUNT: _Check = "a whole number of at least 0", _is_count
_TEXT: _Check = "a string, without lone surrogates", _is_text
_SCHEMA: _Check = "a schema: an object, true or false", lambda value: isinstance(value, dict | bool)
_LIST: _Check = "a list", lambda value: isinstance(value, list)
_SCHEMAS: _Check = "a list of at least one schema", _is_some
_KEYWORDS: dict[str, _Check] = {
    "type": (f"one of {', '.join(TYPES)}, or a list of these", _is_type),
    "enum": _LIST, "const": ("a value", lambda value: True),
    "$ref": _TEXT, "pattern": _TEXT, "format": _TEXT,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _COUNT),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    "multipleOf": ("a whole number above 0 (others are not exact in binary)",
                   lambda value: _is_count(value) and value > 0),
    "properties": ("an object of schemas", lambda value: isinstance(value, dict)),
    "required": ("a list of names", lambda value: isinstance(value, list)
                 and all(map(_is_text, value))),
    "additionalProperties": _SCHEMA, "items": _SCHEMA, "prefixItems": _LIST,
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _SCHEMAS)}
_NEUTRAL = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
            "$schema", "$id", "$comment", "$defs", "definitions", "discriminator")
_NO_MISTAKE = frozenset((
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems",
    "patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired",
    "dependentSchemas", "dependencies", "additionalItems", "unevaluatedItems",
    "unevaluatedProperties", "contentEncoding", "contentMediaType", "contentSchema"))
"""Keywords of JSON schema's that are not known here: no other one was meant."""


class Reader:
    """Checks a schema and replaces each $ref; what several of them name is read once."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.draft = shortened(root.get("$schema", "2020-12") if isinstance(root, dict) else root)
        self.known: dict[str, Schema] = {}  # by $ref; None while it is being read

    def read(self, schema: Schema, place: Place = (), depth: int = 0) -> Schema:
        """Return a schema in the form above; UserError with the place where it has none."""
        _expect(_SCHEMA, schema, place)
        if isinstance(schema, bool):
            return schema
        check_depth(depth, DEEPEST, place)
        found: dict[str, Any] = {}
        for keyword, value in schema.items():
            here = (*place, keyword)
            if keyword == "$id" and place:
                raise UserError(f"{name_of(here)}: only the whole schema may have $id; take it out")
            if keyword in _NEUTRAL:
                continue
            if keyword not in _KEYWORDS:
                raise UserError(f"{name_of(here)}: the keyword {shortened(keyword)} is not "
                                f"supported; {_instead(keyword)}")
            _expect(_KEYWORDS[keyword], value, here)
            name, part = self.normal(keyword, value, here, depth + 1)
            if name == "enum" and name in found:
                name, part = "allOf", ({"enum": part},)
            found[name] = (*found[name], *part) if name in found else part
        return found

    def normal(self, keyword: str, value: Any, place: Place, depth: int) -> tuple[str, Any]:
        """Return the keyword and the value that stand for one keyword."""
        match keyword:
            case "$ref":
                return "allOf", (self.target(value, place, depth),)
            case "const" | "enum":
                values = [value] if keyword == "const" else value
                _check_value(values, place, 0)
                return "enum", values
            case "type":
                return keyword, (value,) if isinstance(value, str) else (*value,)
            case "pattern" | "format":
                return "pattern", (_pattern(keyword, value, place),)
            case "properties":
                return keyword, {name: self.read(part, (*place, name), depth)
                                 for name, part in value.items() if _expect(_TEXT, name, place)}
            case "prefixItems" if "2020-12" not in self.draft:
                raise UserError(f"{name_of(place)}: prefixItems is of draft 2020-12, and $schema "
                                f"is {self.draft}; name that draft there, or none")
            case "allOf" | "anyOf" | "oneOf" | "prefixItems":
                return keyword, tuple(self.read(part, (*place, number), depth)
                                      for number, part in enumerate(value))
            case "items" | "additionalProperties":
                return keyword, self.read(value, place, depth)
            case "required":
                return keyword, tuple(value)
        return keyword, int(value) if _KEYWORDS[keyword] is not _NUMBER else value

    def target(self, ref: str, place: Place, depth: int) -> Schema:
        """Return the schema that a $ref names: a JSON pointer (RFC 6901) into this document."""
        if ref in self.known:
            if self.known[ref] is None:
                raise UserError(f"{name_of(place)}: {shortened(ref)} contains this $ref; a schema "
                                f"that contains itself is not supported: write out as many levels "
                                f"as are needed")
            return self.known[ref]
        start, *steps = [step.replace("~1", "/").replace("~0", "~")
                         for step in unquote(ref).split("/")]
        target = self.root
        for step in steps:
            if isinstance(target, list) and step.isdecimal():
                target = dict(enumerate(target)).get(int(step))
            else:
                target = target.get(step) if isinstance(target, dict) else None
        if start != "#" or target is None:
            raise UserError(f"{name_of(place)}: there is no {shortened(ref)} in this schema; name "
                            f"one of its own parts, as in #/$defs/name")
        self.known[ref] = None
        self.known[ref] = self.read(target, tuple(steps), depth)
        return self.known[ref]


def name_of(place: Place) -> str:
    """Return a place in a schema as messages have it: $.properties.age.anyOf[0]."""
    path = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
    return path if len(path) <= 200 else f"{path[:97]}...{path[-100:]}"


def check_depth(depth: int, most: int, place: Place) -> None:
    """Raise UserError where schemas or values are too deep in each other."""
    if depth > most:
        raise UserError(f"{name_of(place)} is too deep: at most {DEEPEST} schemas, or lists and "
                        f"objects of an enum, may stand in each other; take some out")


def _instead(keyword: Any) -> str:
    if not isinstance(keyword, str):
        return "a keyword is a string"
    near = "" if keyword in _NO_MISTAKE else did_you_mean(
        keyword, (*_KEYWORDS, *_NEUTRAL)).removeprefix("; ")
    return near if near.startswith("did") else "take it out, or say it with enum, anyOf or pattern"


def _expect(check: _Check, value: Any, place: Place) -> bool:
    if not check[1](value):
        raise UserError(f"{name_of(place)}: expected {check[0]}, got {shortened(value)}")
    return True


def _check_value(value: Any, place: Place, depth: int) -> None:
    """Raise UserError where a value cannot be written as JSON."""
    check_depth(depth, DEEPEST, place)
    if isinstance(value, dict):
        for name in value:
            _expect(_TEXT, name, place)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_value(item, place, depth + 1)
    elif isinstance(value, str):
        _expect(_TEXT, value, place)
    elif value is not None and not isinstance(value, bool):
        _expect(_NUMBER, value, place)


def _pattern(keyword: str, value: str, place: Place) -> Expression:
    if keyword == "format":
        if value not in FORMATS:
            raise UserError(f"{name_of(place)}: the format {shortened(value)} is not supported"
                            f"{did_you_mean(value, FORMATS)}; or write a pattern")
        return parse(FORMATS[value])
    try:
        return parse(value, search=True)
    except UserError as error:
        raise UserError(f"{name_of(place)}: {error}") from error
