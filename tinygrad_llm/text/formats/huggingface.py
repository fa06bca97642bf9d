"""tokenizer.json, the file in which most tokenizers are published, read into a Tokenizer.

    {"version": "1.0", "truncation": null, "padding": null,
     "added_tokens": [{"id": 0, "content": "<s>", "special": true, ...}, ...],
     "normalizer": ..., "pre_tokenizer": ..., "post_processor": ..., "decoder": ...,
     "model": {"type": "BPE", "vocab": {"a": 5, ...}, "merges": ["a b", ...], ...}}

`huggingface_parts` reads and writes the parts, `huggingface_write` writes the file. `truncation`
and `padding` say how batches are cut and filled up, and change no ids: they are passed over when
read, and written as null.

Two things are stricter here than in Hugging Face's library. An added token has the id that the
file gives it, or the file is refused (the library renumbers it, with a warning). And where the text
of a special token is to be ordinary text, ordinary tokens spell it: the model may not answer with
the special id, though its vocabulary holds it.

Source: the serialisation code of tokenizers 0.23.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ..algorithms.bpe import BPE
from ..algorithms.char_bpe import CharBPE
from ..algorithms.model import Model
from ..algorithms.spelled import Spelled
from ..algorithms.unigram import Unigram
from ..algorithms.wordpiece import WordPiece
from ..characters.alphabet import CHAR_TO_BYTE, to_bytes
from ..cut import pretokenizers
from ..special import AddedToken, AddedTokens
from ..tokenizer import Tokenizer, check_ids
from .huggingface_parts import Setting, read_part, read_settings
from .json_files import parse_json, read_number, shortened

SECTIONS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_BYTES = frozenset(CHAR_TO_BYTE)
_TOP = [Setting("version", "version", "str", "1.0"),
        Setting("truncation", "truncation", "object?", None),
        Setting("padding", "padding", "object?", None),
        Setting("added_tokens", "added_tokens", "list", []),
        *[Setting(section, section, "object?", None) for section in SECTIONS],
        Setting("model", "model", "object")]
_BPE = [Setting("vocab", "vocab", "object"), Setting("merges", "merges", "list"),
        Setting("dropout", "dropout", "number?", None),
        *[Setting(key, key, "str?", None)
          for key in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix")],
        *[Setting(key, key, "bool", False)
          for key in ("fuse_unk", "byte_fallback", "ignore_merges")]]
WORDPIECE = [Setting("vocab", "vocab", "object"), Setting("unk_token", "unk_token", "str"),
              Setting("continuing_subword_prefix", "continuing_subword_prefix", "str"),
              Setting("max_input_chars_per_word", "max_input_chars_per_word", "count")]
_UNIGRAM = [Setting("vocab", "vocab", "list"), Setting("unk_id", "unk_id", "count?", None),
            Setting("byte_fallback", "byte_fallback", "bool", False)]
_ADDED = [Setting("id", "id", "count"), Setting("content", "content", "str"),
          *[Setting(key, key) for key in
            ("single_word", "lstrip", "rstrip", "normalized", "special")]]


def load(path: str | Path) -> Tokenizer:
    """Return the tokenizer that the tokenizer.json at `path` defines.

    Raises UserError where it cannot be read, is none, or asks for unknown parts.
    """
    try:
        return from_json(parse_json(Path(path).read_bytes()))
    except OSError as error:
        reason = error.strerror or str(error)
    except (UserError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} cannot be used as a tokenizer.json: {reason}")


def from_json(file: Any) -> Tokenizer:
    """Return the tokenizer that the value of a tokenizer.json defines; UserError as in `load`."""
    top = read_settings(file, "the file", _TOP)
    if top["version"] != "1.0":
        raise UserError(f"its version is {shortened(top['version'])}; only 1.0 is known")
    parts = {section: read_part(top[section], section) for section in SECTIONS}
    tokens = [AddedToken(**read_settings(token, f"added token {place}", _ADDED))
              for place, token in enumerate(top["added_tokens"])]
    vocab = _vocab(top["model"])
    check_added(tokens, vocab)
    model, unused = _read_model(
        top["model"], {t.content: t.id for t in tokens if t.special}, _is_byte_level(parts))
    return Tokenizer(
        model, normalizer=parts["normalizer"], pre_tokenizer=parts["pre_tokenizer"],
        decoder=parts["decoder"], template=parts["post_processor"], unused=unused,
        added=AddedTokens(tokens, parts["normalizer"]))


def _vocab(model: dict[str, Any]) -> dict[str, int]:
    """Return the tokens of the JSON of a model and their ids; UserError where they are none."""
    listed = model.get("vocab")
    if isinstance(listed, dict):
        vocab: dict[str, int] = listed
    elif isinstance(listed, list):
        for place, piece in enumerate(listed):
            if not (isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str)
                    and type(piece[1]) in (int, float)):
                raise UserError(f"its model's piece {place} must be a list of a token and its "
                                f"score, got {shortened(piece)}")
        vocab = {token: place for place, (token, _) in enumerate(listed)}
        if len(vocab) < len(listed):
            place = next(i for i, (token, _) in enumerate(listed) if vocab[token] != i)
            raise UserError(f"its model lists the piece {shortened(listed[place][0])} twice, as "
                            f"{place} and {vocab[listed[place][0]]}; take one of them out")
    else:
        raise UserError("its model has no vocab")
    check_ids(vocab)
    try:
        "".join(vocab).encode()
    except UnicodeEncodeError as error:
        raise UserError("a token of its model has a lone surrogate, which no text may") from error
    return vocab


def check_added(tokens: list[AddedToken], vocab: dict[str, int]) -> None:
    """Raise UserError where an added token and the model's vocab disagree about an id."""
    by_id = {id: token for token, id in vocab.items()}
    for token in tokens:
        holder = by_id.get(token.id, token.content)
        if vocab.get(token.content, token.id) != token.id:
            raise UserError(f"the added token {shortened(token.content)} has the id {token.id}, "
                            f"but {vocab[token.content]} in the model's vocab")
        if holder != token.content:
            raise UserError(f"the added token {shortened(token.content)} has the id {token.id}, "
                            f"which is {shortened(holder)} in the model's vocab")


def _is_byte_level(parts: dict[str, Any]) -> bool:
    """Return whether the model sees bytes; UserError where a part after ByteLevel would."""
    steps = list(steps_of(parts["pre_tokenizer"]))
    places = [i for i, step in enumerate(steps) if isinstance(step, pretokenizers.ByteLevel)]
    if places and places != [len(steps) - 1]:
        raise UserError("its pre_tokenizer has a ByteLevel that is not the last; what comes after "
                        "it would see bytes instead of text, which is not known here")
    return bool(places)


def steps_of(part: pretokenizers.PreTokenizer | None) -> Iterable[pretokenizers.PreTokenizer]:
    """Yield the pre-tokenizers that `part` consists of, sequences within sequences too."""
    if isinstance(part, pretokenizers.Sequence):
        for step in part.pre_tokenizers:
            yield from steps_of(step)
    elif part:
        yield part


def _read_model(
    model: dict[str, Any], special: dict[str, int], byte_level: bool
) -> tuple[Model, dict[str, int]]:
    """Return the model, and the tokens that it does not hold because no text becomes them."""
    kind = model.get("type", _guess(model))
    where = f"its model {shortened(kind)}"
    if kind == "BPE":
        return _read_bpe(read_settings(model, where, _BPE), special, byte_level)
    if kind == "WordPiece":
        found = read_settings(model, where, WORDPIECE)
        hidden = special.keys() & found["vocab"].keys() - {found["unk_token"]}
        found["vocab"], unused = split_off(found["vocab"], hidden)
        words = WordPiece(**found)
        return (Spelled(words) if byte_level else words), unused
    if kind == "Unigram":
        found = read_settings(model, where, _UNIGRAM)
        pieces = [(token, score if type(score) is float else read_number(str(score)))
                  for token, score in found["vocab"]]
        unmatched = {id for token, id in special.items() if id < len(pieces)} - {found["unk_id"]}
        unigram = Unigram(pieces, found["unk_id"], byte_fallback=found["byte_fallback"],
                          unmatched=unmatched)
        return (Spelled(unigram) if byte_level else unigram), {}
    raise UserError(f"its model is of the type {shortened(kind)}, which is not known here; known "
                    "are BPE, WordPiece and Unigram")


def _guess(model: dict[str, Any]) -> str | None:
    """Return the type of a model that names none, as those of old files."""
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else None


def _read_bpe(
    found: dict[str, Any], special: dict[str, int], byte_level: bool
) -> tuple[Model, dict[str, int]]:
    dropout, merges = found.pop("dropout"), _merges(found.pop("merges"))
    if dropout:
        raise UserError(f"its model has the dropout {dropout}: ids would be drawn by chance, which "
                        "is not known here; set it to null")
    hidden = special.keys() & found["vocab"].keys() - {found["unk_token"]}
    if hidden:  # but not what merges make, or are made of
        hidden -= {token for left, right in merges for token in (left, right, left + right)
                   if token in hidden}
    found["vocab"], unused = split_off(found["vocab"], hidden)
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        found[name] = found[name] or ""
    plain = not (found["continuing_subword_prefix"] or found["end_of_word_suffix"])
    if byte_level and plain and CHAR_TO_BYTE.keys() <= found["vocab"].keys():
        bpe, unspelled = _byte_level(found["vocab"], merges, found["ignore_merges"])
        return bpe, unused | unspelled
    model = CharBPE(**found, merges=merges)
    return (Spelled(model) if byte_level else model), unused


def _byte_level(
    vocab: dict[str, int], merges: list[tuple[str, str]], ignore_merges: bool
) -> tuple[BPE, dict[str, int]]:
    """Return the model over bytes, and the tokens that no bytes spell and no text becomes."""
    others = {token for token in vocab if not set(token) <= _BYTES}
    vocab, unused = split_off(vocab, others)
    if others:
        merges = [pair for pair in merges if others.isdisjoint(pair)]
    spelled = _unprintable(list(vocab))
    try:
        pairs = [(spelled[left], spelled[right]) for left, right in merges]
    except KeyError as error:
        raise UserError(f"a merge names {shortened(error.args[0])}, which is no token") from error
    tokens = {spelled[token]: id for token, id in vocab.items()}
    return BPE(tokens, pairs, ignore_merges=ignore_merges), unused


def _unprintable(tokens: list[str]) -> dict[str, bytes]:
    """Return the bytes that each token spells, all at once: `alphabet.unprintable` takes 10 times
    as long for a hundred thousand of them.
    """
    data = to_bytes("".join(tokens))
    ends = list(accumulate(map(len, tokens)))
    return {token: data[end - len(token):end] for token, end in zip(tokens, ends, strict=True)}


def split_off(
    vocab: dict[str, int], tokens: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the vocab without some tokens, and these."""
    if not tokens:
        return vocab, {}
    return ({token: id for token, id in vocab.items() if token not in tokens},
            {token: id for token, id in vocab.items() if token in tokens})


def _merges(listed: list[Any]) -> list[tuple[str, str]]:
    """Return the merges, each "a b" or ["a", "b"] in the file. Of equal ones the last counts."""
    kinds = set(map(type, listed))
    if kinds == {str}:
        listed = [merge.split(" ") for merge in listed if not merge.startswith("#version")]
    if not kinds <= {str, list} or len(kinds) == 2 or set(map(len, listed)) - {2}:
        place, wrong = next((i, m) for i, m in enumerate(listed) if not (
            isinstance(m, list) and len(m) == 2))
        raise UserError(f"its merge {place} must be two tokens with a space between, or a list of "
                        f"two tokens, as all others are; got {shortened(wrong)}")
    merges = [(left, right) for left, right in listed]
    if set(map(type, chain.from_iterable(merges))) - {str}:
        place = next(i for i, m in enumerate(merges) if {type(token) for token in m} != {str})
        raise UserError(f"its merge {place} must be two strings, got {shortened(merges[place])}")
    if len(set(merges)) < len(merges):
        merges = list(dict.fromkeys(reversed(merges)))[::-1]
    return merges
