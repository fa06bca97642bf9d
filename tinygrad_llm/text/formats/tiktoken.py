"""Rank files: byte-level vocabularies as the package tiktoken, OpenAI and Llama 3 have them.

One token a line, its bytes in base64 and its rank, which is its id:

    IQ== 0
    Ig== 1

Nothing else: no merges (any two neighbours whose bytes together are a token may be joined, see
`bpe`), no pattern to cut text with, no special tokens. An empty token, spelled "=" as in Whisper's
files, comes from no text and decodes to nothing. The published files are known by the SHA-256
of their content, and with them their pattern and special tokens. For others the caller names a
pattern.

Sources: tiktoken 0.14 (openai_public.py) for OpenAI's encodings; Meta's llama3 (tokenizer.py).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...host.errors import UserError
from ...host.files import write_in_one_step
from .. import decoders
from ..algorithms.bpe import BPE
from ..cut.patterns import CL100K, GPT2, LLAMA3, O200K, PATTERNS
from ..cut.pretokenizers import Pattern, single_pattern
from ..special import AddedToken, AddedTokens
from ..template import PostProcessor, TemplatePart, TemplateProcessing, lays_out
from ..tokenizer import LARGEST_ID, Tokenizer
from .merges import check_reproduces

END = "<|endoftext|>"
BEGIN = "<|begin_of_text|>"


@dataclass(frozen=True)
class Encoding:
    """The rest of a published encoding; `begin` is a token that the template puts first."""

    sha256: str
    pattern: str
    special: Mapping[str, int]
    begin: str | None = None


def _llama3() -> dict[str, int]:
    reserved = [f"<|reserved_special_token_{i}|>" for i in range(251)]
    names = [BEGIN, "<|end_of_text|>", *reserved[:4], "<|start_header_id|>", "<|end_header_id|>",
             reserved[4], "<|eot_id|>", *reserved[5:]]
    return {name: 128_000 + i for i, name in enumerate(names)}


def _harmony() -> dict[str, int]:
    names = {199998: "<|startoftext|>", 199999: END, 200002: "<|return|>", 200003: "<|constrain|>",
             200005: "<|channel|>", 200006: "<|start|>", 200007: "<|end|>", 200008: "<|message|>",
             200012: "<|call|>", 200018: "<|endofprompt|>"}  # also <|reserved_200018|>
    return {names.get(i, f"<|reserved_{i}|>"): i for i in range(199998, 201088)}


_P50K = "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"
_O200K = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")

# Of two encodings with one file the first is meant, unless the file's name says the second.
ENCODINGS = {
    "r50k_base": Encoding("306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
                          GPT2, {END: 50256}),
    "p50k_base": Encoding(_P50K, GPT2, {END: 50256}),
    "p50k_edit": Encoding(_P50K, GPT2, {END: 50256} | {n: 50281 + i for i, n in enumerate(_FIM)}),
    "cl100k_base": Encoding("223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
                            CL100K, {END: 100257} | {n: 100258 + i for i, n in enumerate(_FIM)}
                            | {"<|endofprompt|>": 100276}),
    "o200k_base": Encoding(_O200K, O200K, {END: 199999, "<|endofprompt|>": 200018}),
    "o200k_harmony": Encoding(_O200K, O200K, _harmony()),
    "llama3": Encoding("82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
                       LLAMA3, _llama3(), BEGIN),
}


def load(path: str | Path, pattern: str | None = None,
         special_tokens: Mapping[str, int] | None = None) -> Tokenizer:
    """Return the tokenizer of the rank file `path`.

    pattern: a regular expression, a name in `patterns.PATTERNS`, or one in ENCODINGS, which stands
    for that encoding's special tokens too. special_tokens: names and ids, in place of those known.

    Raises UserError where the file is no rank file, its pattern is not known and none is given, or
    its name promises a published file that it is not.
    """
    ranks = read_ranks(path)
    encoding = ENCODINGS[pattern] if pattern in ENCODINGS else _known(Path(path), ranks, pattern)
    if encoding is None and pattern is None:
        raise UserError(
            f"{path} has {len(ranks)} ranks and is none of the published files "
            f"({', '.join(ENCODINGS)}), so the pattern that cuts text for it is not known; name it "
            f"with pattern=, a regular expression or one of {', '.join([*PATTERNS, *ENCODINGS])}")
    if special_tokens is None:
        special_tokens = encoding.special if encoding else {}
    if encoding and pattern in (None, *ENCODINGS):
        pattern = encoding.pattern
    assert pattern is not None
    numbers = set(ranks.values())
    taken = [name for name, id in special_tokens.items() if id in numbers]
    if taken:
        raise UserError(f"{path}: the special token {taken[0]!r} has the id "
                        f"{special_tokens[taken[0]]}, which is a rank in the file too; "
                        "this encoding belongs to another file")
    return byte_level(ranks, PATTERNS.get(pattern, pattern), special_tokens,
                      _template(encoding, special_tokens))


def byte_level(ranks: Mapping[bytes, int], pattern: str, special_tokens: Mapping[str, int],
               template: PostProcessor | None = None) -> Tokenizer:
    """Return the tokenizer that has these ranks, cuts at this pattern and knows these tokens."""
    added = AddedTokens(AddedToken(name, id) for name, id in special_tokens.items())
    return Tokenizer(BPE(ranks), pre_tokenizer=Pattern(pattern), decoder=decoders.ByteLevel(),
                     template=template, added=added)


def read_ranks(path: str | Path) -> dict[bytes, int]:
    """Return the tokens in the rank file `path` and their ranks.

    Raises UserError, naming the line, for what is no rank, or a token or a rank that comes twice.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    ranks: dict[bytes, int] = {}
    numbers: dict[int, int] = {}  # the line of each rank
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        token, rank = _read_rank(line, f"{path}, line {number}")
        if token in ranks or rank in numbers:
            earlier = numbers[ranks[token]] if token in ranks else numbers[rank]
            raise UserError(f"{path}, line {number}: line {earlier} has the same token or rank; "
                            "a rank file has each once")
        ranks[token], numbers[rank] = rank, number
    if not ranks:
        raise UserError(f"{path} is empty; expected a rank file, lines such as 'IQ== 0'")
    return ranks


def _read_rank(line: bytes, where: str) -> tuple[bytes, int]:
    try:
        spelled, digits = line.split()
        token = base64.b64decode(spelled if spelled.strip(b"=") else b"", validate=True)
        rank = int(digits)
        if digits.isdigit() and rank <= LARGEST_ID:
            return token, rank
    except ValueError:  # also binascii.Error
        pass
    raise UserError(
        f"{where}: expected a token in base64, a space and its rank, a whole number below 2**31, "
        f"got {line[:60]!r}; is this a rank file, and whole?")


def spell_ranks(ranks: Mapping[bytes, int]) -> bytes:
    """Return the content of the rank file that holds `ranks`, as the published ones are written."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    return b"".join(b"%b %d\n" % (base64.b64encode(token) or b"=", rank)
                    for token, rank in ordered)


def _known(path: Path, ranks: Mapping[bytes, int], pattern: str | None) -> Encoding | None:
    """Return the encoding that a file is, by its name and its content, None where not known."""
    sha256 = hashlib.sha256(spell_ranks(ranks)).hexdigest()
    named = ENCODINGS.get(path.name.removesuffix(".tiktoken"))
    same = (encoding for encoding in ENCODINGS.values() if encoding.sha256 == sha256)
    if not named or named.sha256 == sha256:
        return named or next(same, None)
    if pattern is not None:
        return None
    raise UserError(
        f"{path} is named as a published file but is not it (SHA-256 {sha256}, expected "
        f"{named.sha256}): cut short, or changed; fetch it anew, or, if it is meant, say pattern=")


def _template(encoding: Encoding | None, special_tokens: Mapping[str, int] | None = None
              ) -> TemplateProcessing | None:
    """Return the template of an encoding; its own special tokens count unless others are given.

    Meta's code puts <|begin_of_text|> before a text where its caller asks (`bos`), and so do the
    tokenizer.json files of Llama 3.1 on; the first of Llama 3 lacked it.
    """
    if encoding is None or encoding.begin is None:
        return None
    name, known = encoding.begin, encoding.special if special_tokens is None else special_tokens
    if name not in known:
        return None
    begin, a, b = (TemplatePart(n, is_text=n != name) for n in (name, "A", "B"))
    return TemplateProcessing((begin, a), (begin, a, begin, b), {name: ((known[name], name),)})


def save(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write the ranks of a byte-level BPE tokenizer to `path`, in one step.

    A rank file holds neither the pattern nor the special tokens: `load` must be given them. Raises
    UserError where the tokenizer has parts that no rank file can hold, or would be read with
    another template: that of Llama 3 comes with its ranks, and any other is lost.
    """
    model = tokenizer.model
    if not isinstance(model, BPE) or single_pattern(tokenizer.pre_tokenizer) is None:
        raise UserError(
            f"only byte-level BPE that cuts text at one pattern can be a rank file, not a "
            f"{type(model).__name__} behind {type(tokenizer.pre_tokenizer).__name__}; "
            "save a tokenizer.json instead")
    if tokenizer.normalizer or model.unknown is not None or any(
            not token.special for token in tokenizer.added.tokens):
        raise UserError("a rank file has no place for a normaliser, an unknown token, or added "
                        "tokens that are not special; save a tokenizer.json instead")
    added = {token.id for token in tokenizer.added.tokens}
    if tokenizer.unused.keys() - tokenizer.added.by_content.keys():
        raise UserError("a rank file has no place for tokens that no text becomes; save a "
                        "tokenizer.json instead")
    ranks = {token: id for token, id in model.tokens.items() if id not in added}
    if model.merges is not None:
        check_reproduces(BPE(ranks, model.merges, model.ignore_merges))
    template = _template(_known(Path(path), ranks, pattern=""))
    if lays_out(tokenizer.template, template):
        begin = next(iter(template.special_tokens)) if template else "nothing"
        raise UserError(
            f"a rank file has no template, and with these ranks it is read as one that puts {begin}"
            " before a text, unlike this tokenizer; save a tokenizer.json instead")
    write_in_one_step(path, [spell_ranks(ranks)])
