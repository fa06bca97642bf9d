"""A Tokenizer written as tokenizer.json, so that other libraries load it and give the same ids.

Parts that the format cannot hold are refused by name. A vocabulary without merges, as tiktoken's
files have it, gets one merge a token where that leads to the same ids (see `merges`), else all
merges that it implies, as in the published files of Llama 3. The merges that make one token then
follow each other, where by the ranks they would be equals: only unusual text has other ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ...host.files import write_in_one_step
from ..algorithms.bpe import BPE, cuts
from ..algorithms.char_bpe import CharBPE
from ..algorithms.characters import Characters
from ..algorithms.spelled import Spelled
from ..algorithms.unigram import Unigram
from ..algorithms.wordpiece import WordPiece
from ..characters.alphabet import printable
from ..characters.surrogates import refuse_lone_surrogates
from ..cut import pretokenizers
from ..special import AddedToken
from ..tokenizer import Tokenizer
from .huggingface import WORDPIECE, check_added, steps_of
from .huggingface_parts import write_part
from .json_files import spell_number
from .merges import Merge, merges_of

_NUMBER_ALONE = re.compile(r"(?m)(?<=^    )-?\d\S*[.e]\S+$")  # a score; no string has lines
_BPE_DEFAULTS = {"type": "BPE", "dropout": None, "unk_token": None,
                 "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                 "byte_fallback": False, "ignore_merges": False}


def save(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write the tokenizer to `path` as a tokenizer.json, in one step.

    Raises UserError where it has parts that the format cannot hold.
    """
    text = json.dumps(to_json(tokenizer), ensure_ascii=False, indent=1)
    text = _NUMBER_ALONE.sub(lambda number: spell_number(float(number[0])), text)
    write_in_one_step(path, [text.encode()])


def to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the value of the tokenizer.json that defines `tokenizer`; UserError as in `save`."""
    model = _write_model(tokenizer)
    tokens = sorted(tokenizer.added.tokens, key=lambda token: token.id)
    _hold_ids(model, tokens)
    pre_tokenizer = tokenizer.pre_tokenizer
    if isinstance(tokenizer.model, BPE | Spelled):
        pre_tokenizer = _with_bytes(pre_tokenizer)
    parts = {"normalizer": tokenizer.normalizer, "pre_tokenizer": pre_tokenizer,
             "post_processor": tokenizer.template, "decoder": tokenizer.decoder}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": token.id, **asdict(token)} for token in tokens],
            **{section: write_part(part, section) for section, part in parts.items()},
            "model": model}


def _with_bytes(part: pretokenizers.PreTokenizer | None) -> pretokenizers.PreTokenizer:
    """Return the pre-tokenizer with the ByteLevel at its end that a byte-level model needs."""
    steps = list(steps_of(part))
    if steps and isinstance(steps[-1], pretokenizers.ByteLevel) and part:
        return part
    last = pretokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pretokenizers.Sequence([*steps, last])


def _write_model(tokenizer: Tokenizer) -> dict[str, Any]:
    model = tokenizer.model
    if isinstance(model, Spelled):
        model = model.model
    if isinstance(model, Unigram):
        return _write_unigram(model, tokenizer)
    vocab = dict(sorted({**tokenizer.unused, **model.vocab}.items(), key=lambda item: item[1]))
    if isinstance(model, WordPiece):
        names = [setting.name for setting in WORDPIECE[1:]]
        return {"type": "WordPiece", **{n: getattr(model, n) for n in names}, "vocab": vocab}
    if isinstance(model, BPE):
        settings = {"unk_token": None if model.unknown is None else tokenizer.token(model.unknown),
                    "ignore_merges": model.ignore_merges}
        merges = [[printable(left), printable(right)] for left, right in _merges(model)]
    elif isinstance(model, CharBPE):
        settings = {name: getattr(model, name)
                    for name in ("unk_token", "fuse_unk", "byte_fallback", "ignore_merges")}
        settings |= {name: getattr(model, name) or None
                     for name in ("continuing_subword_prefix", "end_of_word_suffix")}
        ranked = sorted(zip(model.ranks, model.merges, strict=True), key=lambda pair: pair[0])
        merges = [list(merge) for _, merge in ranked]
    elif isinstance(model, Characters):
        refuse_lone_surrogates("".join(model.characters))
        settings, merges = {}, []  # BPE whose characters never merge
    else:
        raise UserError(f"tokenizer.json has no name for the model {type(model).__name__}")
    return {**_BPE_DEFAULTS, **settings, "vocab": vocab, "merges": merges}


def _merges(model: BPE) -> Iterable[Merge]:
    """Return the merges of a model, made where it has only ranks."""
    if model.merges is not None:
        return model.merges
    try:
        return merges_of(model)
    except UserError:  # there are no such merges
        return _all_merges(model.tokens)


def _all_merges(tokens: dict[bytes, int]) -> Iterable[Merge]:
    """Yield all pairs of tokens that make a token, in the order of its id."""
    lengths = frozenset(map(len, tokens))
    for token, _ in sorted(tokens.items(), key=lambda item: item[1]):
        pairs = [(token[:i], token[i:]) for i in cuts(len(token), lengths)
                 if token[:i] in tokens and token[i:] in tokens]
        yield from sorted(pairs, key=lambda pair: (tokens[pair[0]], tokens[pair[1]]))


def _write_unigram(model: Unigram, tokenizer: Tokenizer) -> dict[str, Any]:
    specials = set(tokenizer.added.by_content)
    if model.always or any(model.pieces[id][0] not in specials and not _is_byte(model.pieces[id][0])
                           for id in model.unmatched):
        raise UserError("tokenizer.json cannot say which pieces win over all others, or are never "
                        "found in a text, as this model does")
    return {"type": "Unigram", "unk_id": model.unk_id, "byte_fallback": model.byte_fallback,
            "vocab": [[token, score] for token, score in model.pieces]}


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _hold_ids(model: dict[str, Any], tokens: list[AddedToken]) -> None:
    """Put added tokens into the vocab of a model's JSON where the library would renumber them.

    It gives those that the vocab lacks the ids from its size on, not the file's.
    """
    vocab = model["vocab"]
    known = vocab if isinstance(vocab, dict) else {
        token: id for id, (token, _) in enumerate(vocab)}
    lacking = [token for token in tokens if token.content not in known]
    if [token.id for token in lacking] == list(range(len(vocab), len(vocab) + len(lacking))):
        lacking = []
    elif not isinstance(vocab, dict):
        raise UserError(f"tokenizer.json cannot give the added token {lacking[0].content!r} the id "
                        f"{lacking[0].id}: the ids behind a Unigram model's pieces have no holes")
    known.update((token.content, token.id) for token in lacking)  # `known` is `vocab`, or its copy
    check_added(tokens, known)
