"""A JSON schema (draft 2020-12) as an expression: all its texts are JSON that it allows.

The other way round, each value that the schema allows has a text, but for the layout and numbers of
`json_text` and these choices:

    objects    have the named properties, in the schema's order, and others, whose names may come
               twice, only where `additionalProperties` is given, or neither `properties` nor
               `required` is; what `required` alone names is of the first, or any value
    lists      have what `prefixItems` names, and others only where `items` is given, or neither is
    any value  (`true`, `{}`) is null, a truth, number or string, or a list or an object of these
    no `type`  means what other keywords speak of: an object with `properties`

A schema is checked (`keywords`), multiplied out (`combined`) and written (here). What a text cannot
be held to is refused with its place, as `$.properties.age.not`; so is a schema that contains
itself; and one that no text can meet "has no sentence".
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path

from ...host.errors import UserError, shortened
from ...text.formats.json_files import parse_json
from ...text.tokenizer import Tokenizer
from . import json_text
from .combined import Flat, alternatives, meets
from .constraint import Constraint
from .expressions import (
    ANYTHING,
    EMPTY,
    LAST,
    Both,
    Characters,
    Choice,
    Expression,
    Repeat,
    Row,
    literal,
)
from .json_text import COMMA
from .keywords import Place, Reader, Schema, name_of
from .language import has_text

_MOST_OPTIONAL = 50  # each takes a level of the expression
MOST_SCHEMAS = 5_000
"""The most that are written: few $ref may stand for any number of schemas."""

_OF_TYPE = {"string": {"minLength", "maxLength", "pattern"},
            "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
            "object": {"properties", "required", "additionalProperties"},
            "array": {"items", "prefixItems", "minItems", "maxItems"}}


class _NoSentence(UserError):
    """A schema that no text meets, while another alternative may be met."""


def read_schema(path: str | Path) -> Schema:
    """Return the JSON schema in a file, as `expression_of` takes it.

    Raises UserError with the file's name where it is not there, or is no JSON in UTF-8, names a key
    twice, has NaN, an infinity or a lone surrogate, or more levels than Python reads.
    """
    try:
        return parse_json(Path(path).read_bytes().removeprefix(BOM_UTF8), number=float)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{path} is no JSON schema: {error}") from error


def expression_of(schema: Schema) -> Expression:
    """Return the texts that a JSON schema allows, as an expression.

    schema: a dict or a bool, as json.loads returns it. Raises UserError, with the place in the
    schema, for what is malformed or not supported, and where it has no sentence.
    """
    return _Writer().expression(Reader(schema).read(schema), ())


def json_schema(schema: Schema, tokenizer: Tokenizer, vocab_size: int) -> Constraint:
    """Return the constraint to texts that a JSON schema allows; raises as `expression_of`.

    Also UserError where the language is too large, or the tokens spell no text of it.
    """
    return Constraint(expression_of(schema), tokenizer, vocab_size)


class _Writer:
    """Writes checked schemas, and counts them. Each method has the texts of one type of value."""

    def __init__(self) -> None:
        self.count = 0

    def expression(self, schema: Schema, place: Place) -> Expression:
        """Return the texts of a schema: those of each type in each of its alternatives."""
        self.count += 1
        if self.count > MOST_SCHEMAS:
            raise UserError(f"{name_of(place)}: the schema has more than {MOST_SCHEMAS} others in "
                            f"it, each $ref counted as what it names; take some out")
        options: list[Expression] = []
        failure = _no_sentence(place, "it is false")
        for flat in alternatives(schema, place):
            for write in self.writers(flat):
                try:
                    options.append(write(flat, place))
                except _NoSentence as error:
                    failure = error
        if not options:
            raise failure
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def writers(self, schema: Flat) -> list[Callable[[Flat, Place], Expression]]:
        """Return a method for each type that a value of the schema may have."""
        types = schema.get("type", [t for t, known in _OF_TYPE.items() if schema.keys() & known])
        if "enum" in schema or types == ():
            return [self.enum]
        return [getattr(self, name) for name in types] or [lambda schema, place: ANY_VALUE]

    def enum(self, schema: Flat, place: Place) -> Expression:
        values = [value for value in schema.get("enum", ()) if meets(value, schema) and not (
            isinstance(value, str) and any(_is_empty(Both(literal(value), pattern), place)
                                           for pattern in schema.get("pattern", ())))]
        for kind, known in ((dict, _OF_TYPE["object"]), (list, _OF_TYPE["array"])):
            if (beside := schema.keys() & known) and any(isinstance(v, kind) for v in values):
                raise UserError(f"{name_of(place)}: an enum or const with a {kind.__name__}, and "
                                f"{' and '.join(sorted(beside))} beside it, are not supported")
        if not values:
            raise _no_sentence(place, "no type or value is left")
        return Choice(tuple(map(json_text.value, values)))

    def string(self, schema: Flat, place: Place) -> Expression:
        least, most = _bounds(schema, "Length", place)
        texts: Expression = Repeat(Characters(((0, LAST),)), least, most)
        for pattern in schema.get("pattern", ()):
            texts = pattern if texts == ANYTHING else Both(texts, pattern)
        if "pattern" in schema and _is_empty(texts, place):
            raise _no_sentence(place, "no string has its pattern and its length")
        return json_text.string(texts)

    def number(self, schema: Flat, place: Place, whole: bool = False) -> Expression:
        if not schema.keys() & _OF_TYPE["number"]:
            return json_text.INTEGER if whole else json_text.NUMBER
        low, high, above, below = (schema.get(key) for key in (
            "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))
        try:
            found = json_text.numbers(low, high, above, below,
                                      schema.get("multipleOf", 1 if whole else None))
        except UserError as error:
            raise UserError(f"{name_of(place)}: {error}") from error
        if found is None:
            raise _no_sentence(place, "no number of at most 20 digits lies within its bounds")
        return found

    def integer(self, schema: Flat, place: Place) -> Expression:
        return self.number(schema, place, whole=True)

    def boolean(self, schema: Flat, place: Place) -> Expression:
        return json_text.TRUTH

    def null(self, schema: Flat, place: Place) -> Expression:
        return json_text.NULL

    def array(self, schema: Flat, place: Place) -> Expression:
        heads, rest = schema.get("prefixItems", ()), schema.get("items", True)
        least, most = _bounds(schema, "Items", place)
        known = next((k for k, s in enumerate(heads) if not alternatives(s, place)), len(heads))
        if known < len(heads) or not alternatives(rest, place):
            most = known if most is None else min(most, known)
            if least > most:
                raise _no_sentence(place, f"minItems is {least}, and there can be {most} items")
        elif heads and "items" not in schema:
            most = max(least, known if most is None else min(most, known))
        if len(heads[least:most]) > _MOST_OPTIONAL:
            raise UserError(f"{name_of(place)}: more than {_MOST_OPTIONAL} prefixItems that may "
                            f"miss are not supported; set minItems")
        items = [self.expression(s, (*place, "prefixItems", k)) for k, s in enumerate(heads[:most])]
        tail: Expression = EMPTY
        if most is None or most > len(items):
            item = self.expression(rest, (*place, "items"))
            items = items or [item]
            tail = Repeat(Row((COMMA, item)), max(least - len(items), 0),
                          None if most is None else most - len(items))
        parts = [Row((COMMA if k else EMPTY, item)) for k, item in enumerate(items)]
        for part in reversed(parts[least:]):
            tail = Repeat(Row((part, tail)), 0, 1)
        return Row((literal("["), *parts[:least], tail, literal("]")))

    def object(self, schema: Flat, place: Place) -> Expression:
        required, named = schema.get("required", ()), {**schema.get("properties", {})}
        more = schema.get("additionalProperties", None if "properties" in schema or required
                          else True)
        for name in required:
            if more is False and name not in named:
                raise _no_sentence(place, f"{shortened(name)} is required and not in properties, "
                                          f"and additionalProperties is false")
            named.setdefault(name, True if more is None else more)
        fields = [(json_text.pair(name, self.expression(part, (*place, "properties", name))),
                   name in required) for name, part in named.items()
                  if name in required or alternatives(part, place)]
        if more is not None and alternatives(more, place):
            value = self.expression(more, (*place, "additionalProperties"))
            other = Row((json_text.string(json_text.other_texts(named)), json_text.COLON, value))
            fields.append((Row((other, Repeat(Row((COMMA, other)), 0, None))), False))
        return Row((literal("{"), json_text.fields(fields), literal("}")))


def _bounds(schema: Flat, of: str, place: Place) -> tuple[int, int | None]:
    """Return the least and the most of a length or a number of items."""
    least, most = schema.get(f"min{of}", 0), schema.get(f"max{of}")
    if most is not None and least > most:
        raise _no_sentence(place, f"min{of} is {least}, and max{of} is {most}")
    return least, most


def _no_sentence(place: Place, reason: str) -> _NoSentence:
    return _NoSentence(f"{name_of(place)} has no sentence: {reason}; change the schema there")


def _is_empty(texts: Expression, place: Place) -> bool:
    try:
        return not has_text(texts)
    except UserError as error:
        raise UserError(f"{name_of(place)}: {error}") from error


_SCALAR = Choice((json_text.NULL, json_text.TRUTH, json_text.NUMBER, json_text.string(ANYTHING)))
_MEMBER = Row((json_text.string(ANYTHING), json_text.COLON, _SCALAR))
ANY_VALUE = Choice((_SCALAR, *(
    Row((literal(ends[0]), Repeat(Row((part, Repeat(Row((COMMA, part)), 0, None))), 0, 1),
         literal(ends[1]))) for ends, part in (("[]", _SCALAR), ("{}", _MEMBER)))))
