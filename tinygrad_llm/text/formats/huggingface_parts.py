"""The names that tokenizer.json gives to the parts of a tokenizer: one table, read both ways.

A part is a JSON object with a "type" and its settings:

    {"type": "Digits", "individual_digits": true}      pretokenizers.Digits(individual_digits=True)

PARTS has every known type with its settings. `read_part` makes the object here from the one in the
file, `write_part` the one in the file from the object here. Anything that a file has beyond the
table is refused by name: ids that are nearly right are worse than none.

Source: the serialisation code of tokenizers 0.23.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import regex

from ...host.errors import UserError
from .. import decoders, template
from ..cut import pretokenizers
from ..cut.patterns import CL100K
from ..normalize import normalizers, precompiled
from .json_files import shortened

REQUIRED: Any = object()


@dataclass(frozen=True)
class Setting:
    """A setting's name in the file and here, what it may be, and its default.

    `read` and `write` translate between the two, where they differ.
    """

    key: str
    name: str
    kind: str = "bool"
    default: Any = REQUIRED
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("true or false", lambda v: type(v) is bool),
    "bool?": ("true, false or null", lambda v: v is None or type(v) is bool),
    "str": ("a string", lambda v: isinstance(v, str)),
    "str?": ("a string or null", lambda v: v is None or isinstance(v, str)),
    "count": ("a whole number from 0", lambda v: type(v) is int and 0 <= v < 2**31),
    "count?": ("a whole number from 0, or null",
               lambda v: v is None or (type(v) is int and 0 <= v < 2**31)),
    "number?": ("a number or null", lambda v: v is None or type(v) in (int, float)),
    "list": ("a list", lambda v: isinstance(v, list)),
    "object": ("an object", lambda v: isinstance(v, dict)),
    "object?": ("an object or null", lambda v: v is None or isinstance(v, dict)),
    "token": ("a list of a token and its id",
              lambda v: isinstance(v, list) and len(v) == 2 and isinstance(v[0], str)
              and type(v[1]) is int),
    "pattern": ('{"String": ...} or {"Regex": ...}',
                lambda v: isinstance(v, dict) and len(v) == 1 and v.keys() <= {"String", "Regex"}
                and all(isinstance(p, str) for p in v.values())),
}


def read_settings(json: Any, where: str, settings: Iterable[Setting]) -> dict[str, Any]:
    """Return the settings of a JSON object, here's names and values.

    Raises UserError where one is missing, of another kind or not known.
    """
    if not isinstance(json, dict):
        raise UserError(f"{where} must be an object, got {shortened(json)}")
    found, known = {}, {"type"}
    for setting in settings:
        known.add(setting.key)
        value = json.get(setting.key, setting.default)
        if value is REQUIRED:
            raise UserError(f"{where} lacks {setting.key!r}")
        expected, fits = KINDS[setting.kind]
        if setting.key in json and not fits(value):
            raise UserError(f"{where}: {setting.key!r} must be {expected}, got {shortened(value)}")
        try:
            found[setting.name] = setting.read(value)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: {setting.key!r}: {error}") from error
    for key in json:
        if key not in known:
            raise UserError(f"{where} has {key!r}, which is not known here, and may change ids")
    return found


def _pattern(json: dict[str, str]) -> tuple[str, bool]:
    ((kind, pattern),) = json.items()
    return pattern, kind == "Regex"


def _charsmap(text: str) -> bytes:
    return base64.b64decode(text, validate=True)  # binascii.Error is a ValueError


def _write_charsmap(charsmap: bytes) -> str:
    return base64.b64encode(charsmap).decode()


def _template_parts(json: list[Any]) -> tuple[template.TemplatePart, ...]:
    parts = []
    for item in json:
        if not (isinstance(item, dict) and len(item) == 1
                and item.keys() <= {"Sequence", "SpecialToken"}):
            raise UserError('each part must be {"Sequence": ...} or {"SpecialToken": ...}, got '
                            f"{shortened(item)}")
        ((kind, settings),) = item.items()
        found = read_settings(settings, f"its {kind}", [
            Setting("id", "name", "str"), Setting("type_id", "type_id", "count")])
        parts.append(template.TemplatePart(is_text=kind == "Sequence", **found))
    return tuple(parts)


def _write_template_parts(parts: Iterable[template.TemplatePart]) -> list[Any]:
    return [{"Sequence" if part.is_text else "SpecialToken":
             {"id": part.name, "type_id": part.type_id}} for part in parts]


def _special_tokens(json: dict[str, Any]) -> dict[str, tuple[tuple[int, str], ...]]:
    tokens = {}
    for name, token in json.items():
        found = read_settings(token, repr(name), [
            Setting("id", "id", "str"), Setting("ids", "ids", "list"),
            Setting("tokens", "tokens", "list")])
        ids, names = found["ids"], found["tokens"]
        if len(ids) != len(names) or not (all(type(id) is int for id in ids)
                                          and all(isinstance(n, str) for n in names)):
            raise UserError(f"{name!r} must have as many ids as tokens, numbers and strings")
        tokens[name] = tuple(zip(ids, names, strict=True))
    return tokens


def _write_special_tokens(tokens: dict[str, tuple[tuple[int, str], ...]]) -> dict[str, Any]:
    return {name: {"id": name, "ids": [id for id, _ in pairs], "tokens": [t for _, t in pairs]}
            for name, pairs in tokens.items()}


def _same(*names: str, kind: str = "bool") -> list[Setting]:
    return [Setting(name, name, kind) for name in names]


def _metaspace(json: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the settings of Metaspace, under today's names or those of older files."""
    found = read_settings(json, where, [
        Setting("replacement", "replacement", "str"), Setting("str_rep", "str_rep", "str?", None),
        Setting("add_prefix_space", "add_prefix_space", "bool?", None),
        Setting("prepend_scheme", "prepend_scheme", "str?", None),
        Setting("split", "split", "bool?", True)])
    found.pop("str_rep")  # once, the replacement as a string
    add_prefix_space, scheme = found.pop("add_prefix_space"), found["prepend_scheme"]
    if add_prefix_space is False and scheme not in (None, "never"):
        raise UserError(f"{where}: add_prefix_space false and prepend_scheme {scheme!r} contradict "
                        "each other")
    found["prepend_scheme"] = scheme or ("never" if add_prefix_space is False else "always")
    found["split"] = found["split"] is not False
    return found


_BYTE_LEVEL = [*_same("add_prefix_space", "trim_offsets"),
               Setting("use_regex", "use_regex", "bool", True)]
_METASPACE = [*_same("replacement", "prepend_scheme", kind="str"), Setting("split", "split")]
_SPLIT = [Setting("behavior", "behavior", "str"), Setting("invert", "invert")]
_SEP_CLS = [Setting(key, key, "token", read=tuple, write=list) for key in ("sep", "cls")]

Known = dict[str, tuple[Any, list[Setting]]]

PARTS: dict[str, Known] = {
    "normalizer": {
        **{name: (getattr(normalizers, name), []) for name in
           ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")},
        "Strip": (normalizers.Strip, [
            Setting("strip_left", "left"), Setting("strip_right", "right")]),
        "Prepend": (normalizers.Prepend, _same("prepend", kind="str")),
        "Replace": (normalizers.Replace, _same("content", kind="str")),
        "Precompiled": (precompiled.Precompiled, [Setting(
            "precompiled_charsmap", "charsmap", "str", read=_charsmap, write=_write_charsmap)]),
        "BertNormalizer": (normalizers.BertNormalizer, [
            *_same("clean_text", "handle_chinese_chars"), *_same("strip_accents", kind="bool?"),
            *_same("lowercase")]),
    },
    "pre_tokenizer": {
        "ByteLevel": (pretokenizers.ByteLevel, _BYTE_LEVEL),
        "Split": (pretokenizers.Split, _SPLIT),
        "Whitespace": (pretokenizers.Whitespace, []),
        "WhitespaceSplit": (pretokenizers.WhitespaceSplit, []),
        "BertPreTokenizer": (pretokenizers.BertPreTokenizer, []),
        "Metaspace": (pretokenizers.Metaspace, _METASPACE),
        "Punctuation": (pretokenizers.Punctuation,
                        [Setting("behavior", "behavior", "str", "Isolated")]),
        "Digits": (pretokenizers.Digits, _same("individual_digits")),
        "CharDelimiterSplit": (pretokenizers.CharDelimiterSplit, _same("delimiter", kind="str")),
    },
    "post_processor": {
        "ByteLevel": (template.ByteLevel, _BYTE_LEVEL),
        "BertProcessing": (template.BertProcessing, _SEP_CLS),
        "RobertaProcessing": (template.RobertaProcessing,
                              [*_SEP_CLS, *_same("trim_offsets", "add_prefix_space")]),
        "TemplateProcessing": (template.TemplateProcessing, [
            *[Setting(key, key, "list", read=_template_parts, write=_write_template_parts)
              for key in ("single", "pair")],
            Setting("special_tokens", "special_tokens", "object", read=_special_tokens,
                    write=_write_special_tokens)]),
    },
    "decoder": {
        "ByteLevel": (decoders.ByteLevel, []),
        "WordPiece": (decoders.WordPiece, [*_same("prefix", kind="str"), *_same("cleanup")]),
        "Metaspace": (decoders.Metaspace, _METASPACE),
        "BPEDecoder": (decoders.BPEDecoder, _same("suffix", kind="str")),
        "ByteFallback": (decoders.ByteFallback, []),
        "Fuse": (decoders.Fuse, []),
        "Strip": (decoders.Strip, [*_same("content", kind="str"),
                                   *_same("start", "stop", kind="count")]),
        "Replace": (decoders.Replace, _same("content", kind="str")),
    },
}
SEQUENCES: dict[str, tuple[Any, str, str]] = {  # class, key in the file, name here
    "normalizer": (normalizers.Sequence, "normalizers", "normalizers"),
    "pre_tokenizer": (pretokenizers.Sequence, "pretokenizers", "pre_tokenizers"),
    "post_processor": (template.Sequence, "processors", "processors"),
    "decoder": (decoders.Sequence, "decoders", "decoders"),
}


def read_part(json: Any, section: str) -> Any:
    """Return the part that a section of the file describes, None where it has null.

    Raises UserError for unknown types and settings.
    """
    if json is None:
        return None
    kind = json.get("type") if isinstance(json, dict) else None
    if not isinstance(kind, str):
        raise UserError(f'its {section} must be an object with a "type", or null, got '
                        f"{shortened(json)}")
    where = f"its {section} {kind}"
    if kind == "Sequence":
        sequence, key, _ = SEQUENCES[section]
        found = read_settings(json, where, [Setting(key, key, "list")])
        if None in found[key]:
            raise UserError(f"{where} holds null; take it out")
        return sequence(tuple(read_part(part, section) for part in found[key]))
    if kind not in PARTS[section]:
        known = ", ".join([*PARTS[section], "Sequence"])
        raise UserError(f"its {section} is of the type {shortened(kind)}, which is not known here; "
                        f"known are {known}")
    make, settings = PARTS[section][kind]
    found = _read_arguments(json, section, kind, settings)
    try:
        return make(**found)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _read_arguments(json: dict[str, Any], section: str, kind: str, settings: list[Setting]
                    ) -> dict[str, Any]:
    """Return the settings of a part, by the names of the arguments here."""
    where = f"its {section} {kind}"
    if kind == "Metaspace":
        return _metaspace(json, where)
    if section == "decoder" and kind == "ByteLevel":  # its settings change nothing
        read_settings(json, where, [
            Setting(key, key, "bool", True)
            for key in ("add_prefix_space", "trim_offsets", "use_regex")])
        return {}
    if kind in ("Split", "Replace"):
        found = read_settings(json, where, [
            Setting("pattern", "pattern", "pattern", read=_pattern), *settings])
        found["pattern"], found["is_regex"] = found["pattern"]
        return found
    return read_settings(json, where, settings)


def write_part(part: Any, section: str) -> Any:
    """Return the JSON that describes a part: `read_part` makes the same of it.

    Raises UserError for a part that the format has no name for.
    """
    if part is None:
        return None
    sequence, key, name = SEQUENCES[section]
    if isinstance(part, sequence):
        return {"type": "Sequence", key: [write_part(p, section) for p in getattr(part, name)]}
    for kind, (make, settings) in PARTS[section].items():
        if type(part) is make:
            json: dict[str, Any] = {"type": kind}
            if kind in ("Split", "Replace"):
                json["pattern"] = {"Regex" if part.is_regex else "String": part.pattern}
            json |= {s.key: s.write(getattr(part, s.name)) for s in settings}
            if section == "decoder" and kind == "ByteLevel":
                json |= {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
            return json
    if isinstance(part, pretokenizers.Pattern):
        return write_part(_split_of(part), section)
    raise UserError(f"tokenizer.json has no name for the {section} {part!r}")


def _split_of(own: pretokenizers.Pattern) -> pretokenizers.Split:
    """Return the Split that cuts where `own` does: Oniguruma reads {1,3}+ as more than {1,3}."""
    pattern = own.pattern
    if pattern == CL100K:
        pattern = CL100K.replace("{1,3}+", "{1,3}")
    elif regex.search(r"\{\d*,?\d*\}\+", pattern):
        raise UserError(f"the pattern {shortened(pattern)} has a possessive {{..}}+, which "
                        "tokenizer.json would read differently; take the + out")
    return pretokenizers.Split(pattern, is_regex=True, behavior="Isolated")
