"""Schemas combined: two that both hold, as one; one with anyOf, as its alternatives.

Of two schemas the narrower bound holds for each keyword, and a property or an item is of both; a
property that one alone names is of what the other says of additional ones. allOf, anyOf and oneOf
are multiplied out (a disjunctive normal form), so that each alternative stands in one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain, combinations
from typing import Any

from ...host.errors import UserError
from .keywords import DEEPEST, TYPES, Place, Schema, check_depth, name_of

MOST_ALTERNATIVES = 1_000

Flat = dict[str, Any]  # a schema without allOf, anyOf and oneOf


def alternatives(schema: Schema, place: Place) -> list[Flat]:
    """Return schemas of which one holds where `schema` holds; none for false.

    Raises UserError for a oneOf of which two might hold: a text must meet one alone.
    """
    if isinstance(schema, bool):
        return [{}] if schema else []
    check_depth(len(place), 3 * DEEPEST, place)
    found = [{k: v for k, v in schema.items() if k not in ("allOf", "anyOf", "oneOf")}]
    inside = {keyword: [alternatives(part, (*place, keyword, number))
                        for number, part in enumerate(schema.get(keyword, ()))]
              for keyword in ("allOf", "anyOf", "oneOf")}
    for options in inside["allOf"]:
        found = _each_of_both(found, options, place)
    if "anyOf" in schema:
        found = _each_of_both(found, [*chain.from_iterable(inside["anyOf"])], place)
    if "oneOf" in schema:
        branches = [_each_of_both(found, options, place) for options in inside["oneOf"]]
        for (i, first), (j, second) in combinations(enumerate(branches), 2):
            if not all(_disjoint(a, b, place) for a in first for b in second):
                raise UserError(f"{name_of(place)}.oneOf: [{i}] and [{j}] may both hold, and a "
                                f"text must meet one alone; write anyOf, or let them differ in "
                                f"type, or in constants of a required property")
        found = [*chain.from_iterable(branches)]
    return found


def _each_of_both(first: list[Flat], second: list[Flat], place: Place) -> list[Flat]:
    if len(first) * len(second) > MOST_ALTERNATIVES:
        raise UserError(f"{name_of(place)}: more than {MOST_ALTERNATIVES} combinations of anyOf "
                        f"and oneOf; take some out")
    return [_both(one, other) for one in first for other in second]


def _all(first: Schema, second: Schema) -> Schema:
    if first in (True, {}) or second is False:
        return second
    return first if second in (True, {}) or first is False else {"allOf": (first, second)}


def _wide(types: Iterable[str]) -> set[str]:
    types = {*types}
    return types | {"integer"} if "number" in types else types


def _types_of_both(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    both = _wide(first) & _wide(second)
    return tuple(t for t in TYPES if t in both and not (t == "integer" and "number" in both))


def _key(value: Any) -> Any:
    """Return what is the same for values that JSON schema calls equal: 1 and 1.0, not true."""
    match value:
        case bool():
            return "bool", value
        case list():
            return "list", *map(_key, value)
        case dict():
            return "dict", frozenset((name, _key(item)) for name, item in value.items())
    return value


def _enum_of_both(first: list[Any], second: list[Any]) -> list[Any]:
    known = {_key(value) for value in second}
    return [value for value in first if _key(value) in known]


_MEET: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types_of_both, "enum": _enum_of_both, "multipleOf": math.lcm,
    **dict.fromkeys(("minLength", "minItems", "minimum", "exclusiveMinimum"), max),
    **dict.fromkeys(("maxLength", "maxItems", "maximum", "exclusiveMaximum"), min),
    **dict.fromkeys(("pattern", "required"), lambda first, second: (*first, *second)),
    "properties": lambda first, second: {**first, **second, **{
        name: _all(first[name], second[name]) for name in first if name in second}},
    **dict.fromkeys(("items", "additionalProperties"), _all)}


def _both(first: Flat, second: Flat) -> Flat:
    """Return the schema that holds where both hold."""
    both = {**first, **second}
    for keyword in (first.keys() & second.keys()) - {"prefixItems"}:
        both[keyword] = _MEET[keyword](first[keyword], second[keyword])
    for one, other in ((first, second), (second, first)):
        for name in other.get("properties", {}).keys() - one.get("properties", {}).keys():
            both["properties"] = {**both["properties"], name: _all(
                both["properties"][name], one.get("additionalProperties", True))}
    size = max(len(schema.get("prefixItems", ())) for schema in (first, second))
    if size:
        both["prefixItems"] = [_all(_item(first, k), _item(second, k)) for k in range(size)]
    return both


def _item(schema: Flat, k: int) -> Schema:
    heads = schema.get("prefixItems", ())
    return heads[k] if k < len(heads) else schema.get("items", True)


def _disjoint(first: Flat, second: Flat, place: Place) -> bool:
    """Return whether it is certain that no value meets both."""
    types = _wide(first.get("type", TYPES)) & _wide(second.get("type", TYPES))
    for one, other in ((first, second), (second, first)):
        values = _MEET["enum"](one["enum"], other.get("enum", one["enum"])) if "enum" in one else ()
        if "enum" in one and not any(meets(v, one) and meets(v, other) for v in values):
            return True
        for name in one.get("required", ()) if types == {"object"} else ():
            here = (*place, "properties", name)
            a, b = (alternatives(schema.get("properties", {}).get(
                name, schema.get("additionalProperties", True)), here) for schema in (one, other))
            if all(_disjoint(x, y, here) for x in a for y in b):
                return True
    return not types


def meets(value: Any, schema: Flat) -> bool:
    """Return whether a value is of a schema's type, lengths and range; not whether of its enum."""
    kind = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object",
            list: "array"}.get(type(value), "null")
    if kind == "number" and value.is_integer():
        kind = "integer"
    if kind not in _wide(schema.get("type", TYPES)):
        return False
    if kind == "string":
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf))
    if kind in ("integer", "number"):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value)
                    and schema.get("exclusiveMinimum", -math.inf) < value
                    and value < schema.get("exclusiveMaximum", math.inf)
                    and ("multipleOf" not in schema or value % schema["multipleOf"] == 0))
    return True
