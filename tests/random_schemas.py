"""Random JSON schemas, each with a maker of instances; sentences of expressions, drawn.

`whole` returns (schema, make): make(rng) is a valid instance that uses only what the expression of
the schema can write: named properties in the schema's order, whole numbers without a point.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.languages import matches
from tinygrad_llm.sample.constrained.expressions import (
    Both,
    Characters,
    Choice,
    Expression,
    Repeat,
    Row,
)

Make = Callable[[random.Random], Any]
LETTERS = "abz Z09_-/\"\\\n\t\x00\x1f\x7fäß€\ud7ff\ue000\uffff😀\U0010ffff"
MORE = 0, 0, 0, 3000  # than the most that are made
PATTERNS: list[tuple[str, Make]] = [
    ("^[a-z]{2,5}$", lambda rng: text(rng, "abz", 2, 5)),
    ("[0-9]+", lambda rng: text(rng, "x\"9", 0, 3) + "7"),
    (r"^\d{3}-\d{4}$", lambda rng: f"{text(rng, '059', 3, 3)}-{text(rng, '059', 4, 4)}"),
    ('say "(hi|ho)"', lambda rng: f'{text(rng, LETTERS, 0, 3)}say "{rng.choice(["hi", "ho"])}"\n'),
    (r"\\|/$", lambda rng: rng.choice(["a\\b", "//", "\\"])),
    (r"^[^a-z\n]*$", lambda rng: text(rng, "A\t😀ß\"", 0, 6)),
    ("^(ä|[€-\uffff]|😀)+", lambda rng: text(rng, "ä€😀\uffff", 1, 3) + text(rng, LETTERS, 0, 2)),
    (r"\W\s?$", lambda rng: rng.choice(["ab-", "a\" ", "?\n"])),
    ("^[\U0001f5ff-\U0001f9ff]?.$", lambda rng: rng.choice(["\U0001f600a", "x", "\U0001f9ff\x00"])),
    ("", lambda rng: text(rng, LETTERS, 0, 6)),
]
FORMATS = {"date": ["2024-02-29", "1999-12-31", "0001-01-01"],
           "time": ["23:59:59Z", "00:00:00.5+01:00"], "date-time": ["2000-02-29T12:00:00Z"],
           "ipv4": ["0.10.199.255"], "hostname": ["a.example-1.org"],
           "uuid": ["12345678-90ab-CDEF-1234-567890abcdef"], "email": ["a.b+c@example.org"]}


def text(rng: random.Random, letters: str, least: int, most: int) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(least, most)))


class Draws(random.Random):
    """A generator that also keeps the schemas that a $ref names."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.named: dict[str, Any] = {}


def whole(seed: int, depth: int = 3) -> tuple[Any, Make]:
    """Return a schema with what its $ref name, and what makes its instances."""
    found, make = schema(rng := Draws(seed), depth)
    if rng.named:
        found = {"$defs": rng.named, **(found if isinstance(found, dict) else {"allOf": [found]})}
    return found, make


def schema(rng: Draws, depth: int = 3) -> tuple[Any, Make]:
    """Return a schema of at most so many levels, and what makes its instances."""
    kinds = [_string, _string, _integer, _number, _small, _small, _enum, _several]
    if depth > 0:
        kinds += [_object, _object, _object, _array, _array, _tuple, _map, _any_of, _one_of,
                  _all_of, _ref]
    found, make = rng.choice(kinds)(rng, depth - 1)
    if rng.random() < 0.1 and isinstance(found, dict):
        found = {"title": "t", "description": "d", **found, "examples": [1]}
    return found, make


def _string(rng: Draws, depth: int) -> tuple[Any, Make]:
    kind = rng.randrange(4)
    if kind == 0:
        least = rng.randrange(5)
        most = least + rng.randrange(4)
        bounds = {"minLength": least, "maxLength": most + rng.choice(MORE)}
        for key in rng.sample(sorted(bounds), rng.randrange(3)):
            del bounds[key]
        return {"type": "string", **bounds}, lambda rng: text(rng, LETTERS, least, most)
    if kind == 1:
        name = rng.choice(sorted(FORMATS))
        return {"type": "string", "format": name}, lambda rng: rng.choice(FORMATS[name])
    pattern, make = rng.choice(PATTERNS)
    if kind == 2:
        return {"type": "string", "pattern": pattern}, make
    size = len(make(rng))
    least, most = max(0, size - rng.randrange(3)), size + rng.randrange(3)

    def fitting(rng: random.Random) -> str:
        while not least <= len(found := make(rng)) <= most:
            pass
        return found
    return {"type": "string", "pattern": pattern, "minLength": least,
            "maxLength": most + rng.choice(MORE)}, fitting


def _integer(rng: Draws, depth: int) -> tuple[Any, Make]:
    scale = rng.choice([1, 10, 12, 100, 12345, 10**9, 10**18])
    low = rng.randint(-scale, scale)
    high = low + rng.randint(0, scale)
    bounds: dict[str, Any] = {rng.choice(["minimum", "exclusiveMinimum"]): low,
                              rng.choice(["maximum", "exclusiveMaximum"]): high}
    if "exclusiveMinimum" in bounds:
        bounds["exclusiveMinimum"] -= rng.choice([1, 0.5]) if scale < 10**9 else 1
    if "exclusiveMaximum" in bounds:
        bounds["exclusiveMaximum"] += rng.choice([1, 0.5]) if scale < 10**9 else 1
    for key in rng.sample(sorted(bounds), rng.randrange(3)):
        del bounds[key]
    return {"type": "integer", **bounds}, lambda rng: rng.randint(low, high)


def _number(rng: Draws, depth: int) -> tuple[Any, Make]:
    kind = rng.randrange(3)
    if kind == 0:
        return {"type": "number"}, lambda rng: rng.choice(
            [0, -0.0, 1e-7, -1.5e-300, 1.25e22, 1e307, 0.1, rng.uniform(-9, 9), rng.randint(-9, 9)])
    low = round(rng.uniform(-20, 20), rng.randrange(6))
    high = round(low + rng.uniform(0.01, 20), rng.randrange(2, 6))
    if kind == 1:
        return {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}, (
            lambda rng: round(low + (high - low) * rng.uniform(0.3, 0.7), 3 + rng.randrange(9)))
    bounds = {"minimum": low, "maximum": high}
    for key in rng.sample(sorted(bounds), rng.randrange(3)):
        del bounds[key]
    return {"type": "number", **bounds}, lambda rng: rng.choice([low, high, rng.uniform(low, high)])


def _small(rng: Draws, depth: int) -> tuple[Any, Make]:
    return rng.choice([
        ({"type": "boolean"}, lambda rng: rng.random() < 0.5), ({"type": "null"}, lambda rng: None),
        (True, lambda rng: rng.choice([None, 1, "\\", [2.5, "a"], {"\"": True, "": None}, []]))])


def _enum(rng: Draws, depth: int) -> tuple[Any, Make]:
    values = rng.sample([None, True, 0, -1, 2.5, "", "a\"\n", "😀ü", "null", [1, "x"], [], {},
                         {"b": 1, "a": [None]}, 12345678901234567890], rng.randint(1, 5))
    if rng.random() < 0.3:
        value = values[0]
        return {"const": value}, lambda rng: value
    texts = [value for value in values if isinstance(value, str)]
    if texts and rng.random() < 0.5:
        return {"type": "string", "enum": values}, lambda rng: rng.choice(texts)
    return {"enum": values}, lambda rng: rng.choice(values)


def _several(rng: Draws, depth: int) -> tuple[Any, Make]:
    number, make = _integer(rng, depth)
    least = rng.randrange(3)
    return {**number, "type": ["null", "integer", "string"], "minLength": least}, (
        lambda rng: rng.choice([None, make(rng), "é" * (least + 1)]))


def _object(rng: Draws, depth: int) -> tuple[Any, Make]:
    names = rng.sample(["a", "b", "name", "ä\"", "", "long name", "c", "😀", "$ref"],
                       rng.randrange(7))
    fields = {name: schema(rng, depth) for name in names}
    required = rng.sample(names, rng.randint(0, len(names)))
    found = {"type": "object", "properties": {name: part for name, (part, _) in fields.items()},
             "required": required}
    if rng.random() < 0.4:
        found["additionalProperties"] = False
    if not required and rng.random() < 0.5:
        del found["required"]
    keep = rng.random()
    return found, lambda rng: {name: make(rng) for name, (_, make) in fields.items()
                               if name in required or rng.random() < keep}


def _map(rng: Draws, depth: int) -> tuple[Any, Make]:
    part, make = schema(rng, depth)
    other, other_make = schema(rng, depth)
    found = {"type": "object", "properties": {"ab": part}, "additionalProperties": other}
    return found, lambda rng: {**({"ab": make(rng)} if rng.random() < 0.5 else {}), **{
        name: other_make(rng)
        for name in rng.sample(["a", "b", "abc", "", "\"", "ä"], rng.randrange(4))}}


def _array(rng: Draws, depth: int) -> tuple[Any, Make]:
    part, make = schema(rng, depth)
    least = rng.randrange(3)
    most = least + rng.randrange(3)
    bounds = {"minItems": least, "maxItems": most + rng.choice(MORE)}
    for key in rng.sample(sorted(bounds), rng.randrange(3)):
        del bounds[key]
    return {"type": "array", "items": part, **bounds}, lambda rng: [
        make(rng) for _ in range(rng.randint(least, most))]


def _tuple(rng: Draws, depth: int) -> tuple[Any, Make]:
    parts = [schema(rng, depth) for _ in range(rng.randint(1, 3))]
    least = rng.randrange(len(parts) + 2)
    rest, make = schema(rng, depth)
    return {"type": "array", "prefixItems": [part for part, _ in parts], "items": rest,
            "minItems": least, "maxItems": 5}, lambda rng: [
                (parts[k][1] if k < len(parts) else make)(rng)
                for k in range(rng.randint(least, 5))]


def _any_of(rng: Draws, depth: int) -> tuple[Any, Make]:
    parts = [schema(rng, depth) for _ in range(rng.randint(1, 3))]
    return {"anyOf": [part for part, _ in parts]}, lambda rng: rng.choice(parts)[1](rng)


def _one_of(rng: Draws, depth: int) -> tuple[Any, Make]:
    """Objects that a constant tells apart, beside null."""
    parts = [_object(rng, depth) for _ in range(rng.randint(1, 3))]
    branches = [{**part, "properties": {"kind": {"const": k}, **part["properties"]},
                 "required": ["kind", *part.get("required", ())]}
                for k, (part, _) in enumerate(parts)]

    def make(rng: random.Random) -> Any:
        k = rng.randint(0, len(parts))
        return None if k == len(parts) else {"kind": k, **parts[k][1](rng)}
    return {"oneOf": [*branches, {"type": "null"}]}, make


def _all_of(rng: Draws, depth: int) -> tuple[Any, Make]:
    first, make = _object(rng, depth)
    first.pop("additionalProperties", None)
    second = {"type": ["object", "null"], "required": ["z"],
              "properties": {"z": {"minimum": 3, "type": "integer"}}}
    return {"allOf": [first, second], "properties": {"z": {"maximum": 30}}}, (
        lambda rng: {"z": rng.randint(3, 30), **make(rng)})


def _ref(rng: Draws, depth: int) -> tuple[Any, Make]:
    part, make = schema(rng, depth)
    name = rng.choice(["a", "a/b", "~", "ä %"]) + str(len(rng.named))
    rng.named[name] = part
    ref = "#/$defs/" + name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
    return {"$ref": ref, "description": "d"}, make


def drawn(expression: Expression, rng: random.Random) -> str:
    """Return a random sentence, most of them short."""
    match expression:
        case Characters(ranges):
            first, last = rng.choice(ranges)
            return chr(rng.choice([first, last, rng.randint(first, last)]))
        case Row(parts):
            return "".join(drawn(part, rng) for part in parts)
        case Choice(options):
            return drawn(rng.choice(options), rng)
        case Repeat(part, least, most):
            count = min(least + rng.choice([0, 0, 1, 1, 2, 5]), 10**6 if most is None else most)
            return "".join(drawn(part, rng) for _ in range(count))
        case Both(first, second):
            for _ in range(2000):
                first, second = second, first
                if matches(second, found := drawn(first, rng)):
                    return found
            raise LookupError("no sentence of both was found")
