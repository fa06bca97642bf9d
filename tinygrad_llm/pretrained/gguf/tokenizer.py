r"""The tokenizer in the metadata of a GGUF file.

`tokenizer.ggml.model` says which kind it is:

    gpt2    byte-level BPE: tokens spelled in the printable alphabet, merges "a b"; where text is
            cut, the file says by a name only, `tokenizer.ggml.pre`
    llama   SentencePiece's BPE: tokens with scores, spaces as "\u2581", bytes as "<0x0A>"

A token's type is SentencePiece's: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
Control and unknown tokens are special here, user-defined ones are found in text before all others,
and unused ones come from no text.

A name in PRE stands for the cuts of the tokenizer that it was given for, as that was published. So
"qwen2" has the normal form NFC, which the published tokenizer has, and llama.cpp leaves out. A name
that is not there is refused: other cuts give other ids, and a model that is a little worse.

Sources: llama-vocab.cpp of llama.cpp for names, types and defaults; the tokenizer.json of GPT-2,
StarCoder, SmolLM, Llama 3, Qwen 2 and Mistral NeMo for the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...host.errors import UserError, did_you_mean, shortened
from ...text import decoders
from ...text.algorithms.scored_bpe import ScoredBPE
from ...text.cut.patterns import GPT2, LLAMA3, O200K, QWEN2
from ...text.formats import huggingface
from ...text.formats.huggingface_parts import read_part
from ...text.formats.sentencepiece import (
    BYTE,
    BYTE_PIECES,
    CONTROL,
    NORMAL,
    TYPES,
    UNKNOWN,
    USER_DEFINED,
)
from ...text.normalize import normalizers
from ...text.special import AddedToken, AddedTokens
from ...text.tokenizer import Tokenizer
from .file import entry

Metadata = Mapping[str, Any]
Json = dict[str, Any]

PREFIX = "tokenizer.ggml."
KNOWN = ("model", "pre", "tokens", "token_type", "scores", "merges", "add_bos_token",
         "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces",
         "token_type_count")
NO_TOKENIZER = ("none", "no_vocab")


def _split(pattern: str) -> Json:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _byte_level(use_regex: bool) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": use_regex}


@dataclass(frozen=True)
class Pre:
    """The parts that a name in `tokenizer.ggml.pre` stands for, as a tokenizer.json has them."""

    cuts: tuple[Json, ...]
    normalizer: Json | None = None
    ignore_merges: bool = False
    add_bos: bool = False


_DIGITS = Pre(({"type": "Digits", "individual_digits": True}, _byte_level(True)))
_LLAMA3 = Pre((_split(LLAMA3), _byte_level(False)), ignore_merges=True, add_bos=True)
_QWEN2 = (_split(QWEN2), _byte_level(False))
_TEKKEN = O200K.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")

PRE = {
    "default": Pre((*map(_split, (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
                    _byte_level(False))),
    **dict.fromkeys(("gpt-2", "phi-2"), Pre((_byte_level(True),))),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"),
                    _DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), _LLAMA3),
    "smaug-bpe": Pre(_LLAMA3.cuts),
    "qwen2": Pre(_QWEN2, normalizer={"type": "NFC"}),
    "deepseek-r1-qwen": Pre(_QWEN2),
    "tekken": Pre((_split(_TEKKEN), _byte_level(False)), ignore_merges=True, add_bos=True),
}
"""The known names; "default" stands for the cuts of files that name none, too."""


def read_tokenizer(metadata: Metadata) -> Tokenizer | None:
    """Return the tokenizer that the metadata of a GGUF file describe, None where they have none.

    Raises UserError where it is of a kind that is not read here, or contradicts itself.
    """
    kind = entry(metadata, f"{PREFIX}model", str, "none")
    if kind in NO_TOKENIZER:
        return None
    for key in metadata:
        name = key.removeprefix(PREFIX)
        if key.startswith(PREFIX) and name not in KNOWN and not name.endswith("_token_id"):
            raise UserError(f"the metadata have {key!r}, which is not known here, and may change "
                            "ids")
    if kind == "gpt2":
        return _byte_level_bpe(metadata)
    if kind == "llama":
        return _sentencepiece(metadata)
    raise UserError(f"its tokenizer is of the kind {shortened(kind)} (tokenizer.ggml.model), which "
                    "is not read here; read are gpt2 and llama")


def read_generation(metadata: Metadata) -> dict[str, Any]:
    """Return what the metadata say of sampling, under generation_config.json's names.

    A generation ends at the end of the text, and at that of a turn or a message where they differ.
    """
    found: dict[str, Any] = {}
    for name in ("bos", "eos", "pad"):
        if (id := _id(metadata, name if name != "pad" else "padding")) is not None:
            found[f"{name}_token_id"] = id
    ends = [_id(metadata, name) for name in ("eos", "eot", "eom")]
    ends = list(dict.fromkeys(id for id in ends if id is not None))
    if ends:
        found["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    names = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
             "penalty_repeat": "repetition_penalty"}
    for name, ours in names.items():
        key = f"general.sampling.{name}"
        if key in metadata:
            found[ours] = entry(metadata, key, int if name == "top_k" else float)
    return found


def read_chat_template(metadata: Metadata) -> str | None:
    """Return the chat template, None where there is none; templates of other names are left."""
    template: str | None = entry(metadata, "tokenizer.chat_template", str, None)
    return template


def _tokens(metadata: Metadata) -> tuple[list[str], list[int]]:
    """Return the tokens and their types; UserError where they contradict each other."""
    tokens = entry(metadata, f"{PREFIX}tokens", list)
    types = entry(metadata, f"{PREFIX}token_type", np.ndarray, None)
    types = [NORMAL] * len(tokens) if types is None else types.tolist()
    if len(types) != len(tokens):
        raise UserError(f"it has {len(tokens)} tokens, but {len(types)} types (token_type)")
    ids: dict[str, int] = {}
    for id, (token, type) in enumerate(zip(tokens, types, strict=True)):
        if type not in TYPES:
            raise UserError(f"token {id}, {shortened(token)}, is of the type {type}; known are 1 "
                            "to 6")
        if ids.setdefault(token, id) != id or not token:
            raise UserError(f"token {id}, {shortened(token)}, is "
                            + (f"also token {ids[token]}" if token else "empty"))
    return tokens, types


def _added(tokens: list[str], types: list[int]) -> list[AddedToken]:
    """Return the tokens that are found in text before all others."""
    return [AddedToken(token, id, special=type != USER_DEFINED)
            for id, (token, type) in enumerate(zip(tokens, types, strict=True))
            if type in (CONTROL, UNKNOWN, USER_DEFINED)]


def _id(metadata: Metadata, name: str) -> int | None:
    id: int | None = entry(metadata, f"{PREFIX}{name}_token_id", int, None)
    return id


def _around(metadata: Metadata, tokens: list[str], add_bos: bool, default: Mapping[str, int]
            ) -> Json | None:
    """Return the post-processor that sets the beginning or the end around a text, if any."""
    around: dict[str, list[Json]] = {"bos": [], "eos": []}
    special: Json = {}
    for name, adds in (("bos", add_bos), ("eos", False)):
        id = _id(metadata, name)
        id = default.get(name) if id is None else id
        key = f"{PREFIX}add_{name}_token"
        if not entry(metadata, key, bool, adds and id is not None):
            continue
        if id is None or id >= len(tokens):
            raise UserError(f"{key!r} asks for a token whose id is {id}; the tokenizer has "
                            f"{len(tokens)}")
        around[name] = [{"SpecialToken": {"id": tokens[id], "type_id": 0}}]
        special[tokens[id]] = {"id": tokens[id], "ids": [id], "tokens": [tokens[id]]}
    if not special:
        return None
    a, b = ([*around["bos"], {"Sequence": {"id": text, "type_id": 0}}, *around["eos"]]
            for text in "AB")
    return {"type": "TemplateProcessing", "single": a, "pair": a + b, "special_tokens": special}


def _refuse_true(metadata: Metadata, name: str, kind: str) -> None:
    if entry(metadata, f"{PREFIX}{name}", bool, False):
        raise UserError(f"its {name} is true, which is not known of the kind {kind}")


def _byte_level_bpe(metadata: Metadata) -> Tokenizer:
    """Return the tokenizer of the kind gpt2, read as the tokenizer.json of its parts."""
    tokens, types = _tokens(metadata)
    name = entry(metadata, f"{PREFIX}pre", str, "default")
    if name not in PRE:
        raise UserError(f"its pre-tokenizer {shortened(name)} (tokenizer.ggml.pre) is not known "
                        f"here{did_you_mean(name, PRE)}")
    for off in ("add_space_prefix", "add_sep_token"):
        _refuse_true(metadata, off, "gpt2")
    pre = PRE[name]
    added = [{"id": t.id, "content": t.content, "special": t.special, "single_word": False,
              "lstrip": False, "rstrip": False, "normalized": False} for t in _added(tokens, types)]
    return huggingface.from_json({
        "version": "1.0", "added_tokens": added, "normalizer": pre.normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(pre.cuts)},
        "post_processor": _around(metadata, tokens, pre.add_bos, {}),
        "decoder": _byte_level(True),
        "model": {"type": "BPE", "vocab": {token: id for id, token in enumerate(tokens)},
                  "merges": entry(metadata, f"{PREFIX}merges", list),
                  "ignore_merges": pre.ignore_merges}})


def _sentencepiece(metadata: Metadata) -> Tokenizer:
    """Return the tokenizer of the kind llama; each stretch of text begins with a space."""
    tokens, types = _tokens(metadata)
    scores = entry(metadata, f"{PREFIX}scores", np.ndarray)
    if len(scores) != len(tokens) or not np.isfinite(scores).all():
        raise UserError(f"it has {len(tokens)} tokens and {len(scores)} scores; expected as many, "
                        "all of them finite")
    for off in ("remove_extra_whitespaces", "add_sep_token"):
        _refuse_true(metadata, off, "llama")
    unknown = _id(metadata, "unknown") or 0
    in_bytes = {token for token, type in zip(tokens, types, strict=True) if type == BYTE}
    if unknown >= len(tokens) or (in_bytes and in_bytes != BYTE_PIECES):
        raise UserError(f"it has {len(tokens)} tokens, {len(in_bytes)} of them bytes, and the "
                        f"unknown one is {unknown}; expected one of these, and <0x00> to <0xFF> "
                        "or none")
    prefix = entry(metadata, f"{PREFIX}add_space_prefix", bool, True)
    normalizer = normalizers.Sequence((
        *([normalizers.Prepend("\u2581")] * prefix), normalizers.Replace(" ", "\u2581")))
    added = _added(tokens, types)
    around = _around(metadata, tokens, True, {"bos": 1, "eos": 2})
    return Tokenizer(
        ScoredBPE(list(zip(tokens, scores.tolist(), strict=True)), unknown,
                  byte_fallback=bool(in_bytes),
                  unmatched={unknown, *(id for id, type in enumerate(types) if type != NORMAL)}),
        normalizer=normalizer, added=AddedTokens(added, normalizer),
        template=read_part(around, "post_processor"),
        decoder=decoders.Sequence((
            decoders.Replace("\u2581", content=" "), decoders.ByteFallback(), decoders.Fuse(),
            *([decoders.Strip(" ", start=1, stop=0)] * prefix))))
