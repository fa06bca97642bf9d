"""BERT's vocab.txt: one WordPiece token a line, its id the number of the line, counted from 0.

How text is normalised and cut is BERT's own and not in the file. Whether it is lowercased may be in
a tokenizer_config.json beside it (`do_lower_case`); the vocabulary alone does not say whether a
BERT is cased.

Source: Devlin et al. 2019 and the code published with it (tokenization.py); the settings are those
of Hugging Face's BertTokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ...host.files import write_in_one_step
from .. import decoders
from ..algorithms.wordpiece import WordPiece
from ..cut.pretokenizers import BertPreTokenizer
from ..normalize.normalizers import BertNormalizer
from ..special import AddedToken, AddedTokens
from ..template import BertProcessing
from ..tokenizer import Tokenizer
from .huggingface import split_off
from .json_files import read_json_object

ROLES = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
         "mask_token": "[MASK]"}
CLASSES = (None, *[name + fast for name in ("BertTokenizer", "DistilBertTokenizer",
                                            "ElectraTokenizer", "MobileBertTokenizer")
                   for fast in ("", "Fast")])
"""The classes that read a vocab.txt in the same way."""


def load(path: str | Path, lowercase: bool | None = None) -> Tokenizer:
    """Return the tokenizer of `path`, a vocab.txt or its folder.

    lowercase: whether text is lowercased and loses its accents; None: as tokenizer_config.json
    beside it says, or yes. Raises UserError where the file is no such vocabulary, or the settings
    ask for something else.
    """
    path = Path(path) / "vocab.txt" if Path(path).is_dir() else Path(path)
    vocab = _read_vocab(path)
    settings = _settings(path.parent / "tokenizer_config.json")
    if lowercase is None:
        lowercase = settings.get("do_lower_case", True)
    names = _names_of_roles(settings, vocab, path)
    cls, sep = ((names[role], vocab[names[role]]) for role in ("cls_token", "sep_token"))
    model, hidden = split_off(vocab, vocab.keys() & set(names.values()) - {names["unk_token"]})
    return Tokenizer(
        WordPiece(model, names["unk_token"]),
        unused=hidden,
        normalizer=BertNormalizer(
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            strip_accents=settings.get("strip_accents"),
            lowercase=lowercase,
        ),
        pre_tokenizer=BertPreTokenizer(),
        decoder=decoders.WordPiece(),
        template=BertProcessing(sep=sep, cls=cls),
        added=AddedTokens(AddedToken(n, vocab[n]) for n in dict.fromkeys(names.values())
                          if n in vocab),
    )


def _read_vocab(path: Path) -> dict[str, int]:
    try:
        # Not splitlines: tokens may hold U+2028 and its like.
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 at byte {error.start}; fetch it anew") from None
    vocab: dict[str, int] = {}
    for id, line in enumerate(lines):
        token = line.rstrip("\r")
        if vocab.setdefault(token, id) != id:
            raise UserError(f"{path}, line {id + 1}: the token {token!r} is on line "
                            f"{vocab[token] + 1} too, so its id is not known; take one out")
    return vocab


def _settings(path: Path) -> dict[str, Any]:
    settings = read_json_object(path) if path.exists() else {}
    if settings.get("tokenizer_class") not in CLASSES:
        raise UserError(f"{path} names the class {settings['tokenizer_class']!r}, not BERT's; load "
                        "the folder's tokenizer.json instead")
    if settings.get("do_basic_tokenize") is False or settings.get("never_split"):
        raise UserError(f"{path} asks for do_basic_tokenize=false or never_split, which are not "
                        "known here; load the folder's tokenizer.json instead")
    if (path.parent / "added_tokens.json").exists() or settings.get("additional_special_tokens"):
        raise UserError(f"{path.parent} adds tokens to its vocabulary (added_tokens.json or "
                        "additional_special_tokens), which are not read here; load the folder's "
                        "tokenizer.json, which holds the same tokens")
    for key in ("do_lower_case", "tokenize_chinese_chars", "strip_accents"):
        value = settings.get(key, True)
        if type(value) is not bool and (key, value) != ("strip_accents", None):
            raise UserError(f"{path}: {key} is {value!r}; expected true or false")
    return settings


def _names_of_roles(settings: dict[str, Any], vocab: dict[str, int], path: Path) -> dict[str, str]:
    """Return the names of BERT's five tokens; UserError where the vocabulary does not fit them."""
    names = {role: _name(settings.get(role, name)) for role, name in ROLES.items()}
    for role in ("unk_token", "cls_token", "sep_token"):
        if names[role] not in vocab:
            raise UserError(f"{path} has no {names[role]!r} ({role}), so it is no vocabulary of "
                            "BERT's; is the file whole?")
    _check_added(settings.get("added_tokens_decoder", {}), vocab, names, path)
    return names


def _check_added(added: Any, vocab: dict[str, int], names: dict[str, str], path: Path) -> None:
    """Raise UserError where tokenizer_config.json lists other tokens than those with a role."""
    for id, token in added.items() if isinstance(added, dict) else [("", added)]:
        flags = ("single_word", "lstrip", "rstrip", "normalized")
        if (
            not isinstance(token, dict)
            or token.get("content") not in names.values()
            or str(vocab.get(token["content"])) != id
            or any(token.get(flag) for flag in flags)
        ):
            raise UserError(f"the tokenizer_config.json beside {path} adds the token {id!r} "
                            f"(added_tokens_decoder: {str(token)[:80]}), which is not read here; "
                            "load the folder's tokenizer.json, which holds the same tokens")


def _name(value: Any) -> str:
    """Return the token that a setting names, by itself or as an object with its content."""
    name = value.get("content") if isinstance(value, dict) else value
    if not isinstance(name, str):
        raise UserError(f"tokenizer_config.json: expected a special token's name, got {value!r}")
    return name


def save(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write vocab.txt and tokenizer_config.json into `folder`, made if need be.

    Raises UserError where the tokenizer is not BERT's in all its parts.
    """
    model, normalizer = tokenizer.model, tokenizer.normalizer
    if (
        not isinstance(model, WordPiece)
        or not isinstance(normalizer, BertNormalizer)
        or not normalizer.clean_text
        or type(tokenizer.pre_tokenizer) is not BertPreTokenizer
        or (model.continuing_subword_prefix, model.max_input_chars_per_word) != ("##", 100)
        or model.unk_token not in model.vocab
        or tokenizer.decoder not in (None, decoders.WordPiece())
    ):
        raise UserError("vocab.txt is for WordPiece behind BERT's normaliser and pre-tokenizer, "
                        "with BERT's settings; save a tokenizer.json instead")
    tokens = _lines(tokenizer.vocab)
    settings = {
        "do_lower_case": normalizer.lowercase,
        "strip_accents": normalizer.strip_accents,
        "tokenize_chinese_chars": normalizer.handle_chinese_chars,
        "tokenizer_class": "BertTokenizer",
        **_roles(tokenizer, model.unk_token, tokens),
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    lines, config = "".join(f"{token}\n" for token in tokens), json.dumps(settings, indent=1)
    write_in_one_step(Path(folder, "vocab.txt"), [lines.encode()])
    write_in_one_step(Path(folder, "tokenizer_config.json"), [config.encode()])


def _lines(vocab: dict[str, int]) -> list[str]:
    """Return the lines of a vocab.txt; UserError for a token that can be none."""
    tokens = sorted(vocab, key=vocab.__getitem__)
    for id, token in enumerate(tokens):
        if vocab[token] != id or "\n" in token or token != token.rstrip("\r"):
            raise UserError(f"vocab.txt has one token a line, ids from 0 without a gap: {token!r} "
                            f"with the id {vocab[token]} has no place there; save a "
                            "tokenizer.json instead")
    return tokens


def _roles(tokenizer: Tokenizer, unk_token: str, tokens: list[str]) -> dict[str, str]:
    """Return the names of BERT's five tokens; UserError where these and the template do not fit."""
    template = tokenizer.template
    cls, _, sep = [*(template.layout() if template else []), 0, 0, 0][:3]
    if template and isinstance(cls, int) and isinstance(sep, int) and (
        template.layout(), template.layout(pair=True)
    ) == ([cls, "A", sep], [cls, "A", sep, "B", sep]):
        roles = ROLES | {"unk_token": unk_token, "cls_token": tokens[cls], "sep_token": tokens[sep]}
        special = {AddedToken(t, id) for id, t in enumerate(tokens) if t in roles.values()}
        if special == set(tokenizer.added.tokens):
            return roles
    raise UserError("vocab.txt is for a tokenizer with the template [CLS] A [SEP] and no added "
                    "tokens but [UNK], [SEP], [PAD], [CLS] and [MASK]; save a tokenizer.json")
