"""GPT-2's two files: a vocabulary of tokens and ids, and the merges in the order of their ranks.

    encoder.json or vocab.json      {"!": 0, ..., "Ġthe": 262, ..., "<|endoftext|>": 50256}
    vocab.bpe or merges.txt         #version: 0.2
                                    Ġ t
                                    Ġ a

Tokens are spelled in the printable alphabet. A token of several bytes that no merge makes cannot
come from text: it is special, like <|endoftext|>.

Source: Radford et al. 2019 and the code published with it (encoder.py). The second pair of names is
that of Hugging Face's GPT2Tokenizer; a tokenizer_config.json beside them may hold its settings.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ...host.files import write_in_one_step
from .. import decoders
from ..algorithms.bpe import BPE
from ..characters.alphabet import printable, unprintable
from ..cut.patterns import GPT2, PATTERNS
from ..cut.pretokenizers import ByteLevel, Pattern, PreTokenizer, single_pattern
from ..special import AddedToken, AddedTokens
from ..template import lays_out
from ..tokenizer import Tokenizer
from .json_files import read_json_object
from .merges import Merge, merges_of

PAIRS = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
CLASSES = (None, "GPT2Tokenizer", "GPT2TokenizerFast")


def find_files(path: str | Path) -> tuple[Path, Path] | None:
    """Return the vocabulary and the merges in the folder `path`, or beside either of the two."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    for pair in PAIRS:
        if (path.is_dir() or path.name in pair) and all((folder / name).is_file() for name in pair):
            return folder / pair[0], folder / pair[1]
    return None


def load(path: str | Path, pattern: str | None = None) -> Tokenizer:
    """Return the tokenizer in the folder `path`, or of either of the two files.

    pattern: the rule that cuts text, a regular expression or a name in `patterns.PATTERNS`; GPT-2's
    unless given. Raises UserError where a file is missing, is none of these, or the files disagree.
    """
    files = find_files(path)
    if files is None:
        pairs = " or ".join(" and ".join(pair) for pair in PAIRS)
        raise UserError(f"{path} has no GPT-2 tokenizer: expected {pairs} in one folder")
    vocab, merges = _read_vocab(files[0]), _read_merges(files[1])
    settings = _settings(files[0].parent, pattern)
    made = {left + right for left, right in merges}
    tokens, added = {}, []
    for token, id in vocab.items():
        spelled = _bytes(token)
        if spelled is None or (len(spelled) > 1 and spelled not in made):
            added.append(AddedToken(token, id))
        else:
            tokens[spelled] = id
    prefixed = settings.get("add_prefix_space") is True
    pre_tokenizer: PreTokenizer = ByteLevel(add_prefix_space=prefixed)
    if pattern is not None and PATTERNS.get(pattern, pattern) != GPT2:
        pre_tokenizer = Pattern(PATTERNS.get(pattern, pattern))
    try:
        return Tokenizer(BPE(tokens, merges), pre_tokenizer=pre_tokenizer,
                         decoder=decoders.ByteLevel(), added=AddedTokens(added))
    except UserError as error:
        raise UserError(f"{files[0]} and {files[1]} do not go together: {error}") from error


def _bytes(token: str) -> bytes | None:
    try:
        return unprintable(token)
    except ValueError:
        return None


def _settings(folder: Path, pattern: str | None) -> dict[str, Any]:
    """Return tokenizer_config.json; UserError where it, or a file beside it, asks for more."""
    path = folder / "tokenizer_config.json"
    if (folder / "added_tokens.json").exists():
        raise UserError(f"{folder} has an added_tokens.json, which is not read here; load the "
                        "folder's tokenizer.json, which holds the same tokens")
    if not path.exists():
        return {}
    settings = read_json_object(path)
    if settings.get("tokenizer_class") not in CLASSES and pattern is None:
        raise UserError(f"{path} names the class {settings['tokenizer_class']!r}, not GPT-2's, and "
                        "may cut text elsewhere; load its tokenizer.json, or say where: pattern=")
    added = settings.get("added_tokens_decoder", {})
    if not isinstance(added, dict) or added.keys() - {"50256"}:
        raise UserError(f"{path} adds tokens (added_tokens_decoder), which are not read here; load "
                        "the folder's tokenizer.json, which holds the same tokens")
    return settings


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = read_json_object(path)
    for token, id in vocab.items():
        if type(id) is not int:
            raise UserError(f"{path}: the token {token!r} has the id {id!r}; expected a whole "
                            "number")
    return vocab


def _read_merges(path: Path) -> list[Merge]:
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 at byte {error.start}; fetch it anew") from None
    merges: dict[Merge, int] = {}
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        pair = _bytes(left), _bytes(right)
        if right.endswith("</w>"):
            raise UserError(f"{path}, line {number}: {line!r} marks the end of a word with </w>, "
                            "as CLIP and GPT-1 do; load such a tokenizer's tokenizer.json")
        if not pair[0] or not pair[1]:
            raise UserError(f"{path}, line {number}: expected two tokens in the printable alphabet "
                            f"with a space between, got {line[:60]!r}")
        if merges.setdefault((pair[0], pair[1]), number) != number:
            raise UserError(f"{path}, line {number}: line {merges[pair[0], pair[1]]} is the same")
    return list(merges)


def save(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write vocab.json and merges.txt into `folder`, which is made if need be, each in one step.

    Raises UserError where the tokenizer has parts that these files cannot hold.
    """
    model = _checked_model(tokenizer)
    added = {token.content: token.id for token in tokenizer.added.tokens}
    tokens = {token: id for token, id in model.tokens.items() if id not in added.values()}
    merges = merges_of(BPE(tokens, model.merges, model.ignore_merges))
    made = {left + right for left, right in merges}
    unmade = [token for token in tokens if len(token) > 1 and token not in made]
    if unmade or any(_bytes(content) in made or len(content) == 1 for content in added):
        raise UserError("merges.txt has to make every token of several bytes but the special ones, "
                        f"and {next(iter([*unmade, *added]))!r} would be read otherwise; save a "
                        "tokenizer.json")
    vocab = {printable(token): id for token, id in tokens.items()} | added
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    lines = "".join(f"{printable(left)} {printable(right)}\n" for left, right in merges)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_in_one_step(folder / "vocab.json", [json.dumps(ordered, ensure_ascii=False).encode()])
    write_in_one_step(folder / "merges.txt", [b"#version: 0.2\n", lines.encode()])


def _checked_model(tokenizer: Tokenizer) -> BPE:
    """Return the tokenizer's model; UserError where the files have no place for some part."""
    model, cuts, tokens = tokenizer.model, tokenizer.pre_tokenizer, tokenizer.added.tokens
    if not isinstance(model, BPE) or single_pattern(cuts) != GPT2 or model.unknown is not None:
        raise UserError("vocab.json and merges.txt are for byte-level BPE that cuts text at GPT-2's"
                        " pattern, without prefix space or unknown token; save a tokenizer.json")
    # Without a normaliser it makes no difference whether a token is found before or after it.
    plain = all(replace(token, normalized=False) == AddedToken(token.content, token.id)
                for token in tokens)
    unspelled = tokenizer.unused.keys() - tokenizer.added.by_content.keys()
    if tokenizer.normalizer or lays_out(tokenizer.template) or not plain or unspelled:
        raise UserError("vocab.json and merges.txt have no place for a normaliser, a template, "
                        "tokens that no text becomes, or added tokens that are not special or have "
                        "rules; save a tokenizer.json")
    return model
