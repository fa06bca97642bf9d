"""Files that hold tokenizers: each kind has a module, and a file's content shows its kind.

    huggingface     tokenizer.json                          tiktoken        rank files
    gpt2            vocab.json and merges.txt, or so        tekken          tekken.json
    bert            vocab.txt                               sentencepiece   tokenizer.model
    characters      tokenizer.json of a text's characters

`Tokenizer.save` and `Tokenizer.load` are bound here: formats import the tokenizer, never the other
way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import regex

from ...host.errors import UserError
from ..algorithms.characters import Characters
from ..char_tokenizer import CharTokenizer
from ..tokenizer import Tokenizer
from . import (
    bert,
    characters,
    gpt2,
    huggingface,
    huggingface_write,
    sentencepiece,
    tekken,
    tiktoken,
)

HEAD = 1 << 12  # bytes that show a file's kind
IN_A_FOLDER = ("tokenizer.json", "tekken.json", "tokenizer.model", "vocab.txt")  # first come

_RANK = regex.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
_GPT2_VOCAB = regex.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)++"\s*:\s*\d')
_TEKKEN = regex.compile(rb'\s*\{\s*"(?:config|vocab)"\s*:')
_CHARACTERS = regex.compile(rb'\s*\{\s*"(?:type"\s*:\s*"char"|characters"\s*:)')
_PIECE = regex.compile(rb"\n[\x02-\x7f]\n", regex.DOTALL)  # field 1, its length, field 1 in it

LOADERS: dict[str, tuple[Callable[..., Tokenizer], set[str]]] = {
    "huggingface": (huggingface.load, set()), "tekken": (tekken.load, set()),
    "tiktoken": (tiktoken.load, {"pattern", "special_tokens"}),
    "gpt2": (gpt2.load, {"pattern"}), "bert": (bert.load, {"lowercase"}),
    "sentencepiece": (sentencepiece.load, set()), "characters": (characters.load, set())}
"""The kinds of files, and the arguments that each leaves open."""
OPEN = {"pattern": "where text is cut", "special_tokens": "which tokens are special",
        "lowercase": "whether text is lowercased"}

SAVERS: dict[str, Callable[[Tokenizer, Path], None]] = {
    "huggingface": huggingface_write.save, "tiktoken": tiktoken.save, "gpt2": gpt2.save,
    "bert": bert.save, "sentencepiece": sentencepiece.save, "characters": characters.save}
"""The formats that can be written, as `save_tokenizer` takes them."""


def load_tokenizer(
    path: str | Path,
    pattern: str | None = None,
    *,
    lowercase: bool | None = None,
    special_tokens: Mapping[str, int] | None = None,
) -> Tokenizer:
    """Return the tokenizer in `path`: a file of any kind above, or a folder that has one.

    Some kinds of files leave something open, and only these take the argument for it: pattern,
    where text is cut (rank files, vocab.json; see `patterns`); special_tokens, their names and ids
    (rank files); lowercase, whether text is lowercased (vocab.txt, see `bert.load`). Raises
    UserError where the file cannot be read, is of no known kind, or asks for unknown parts.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    kind = kind_of(path)
    said = {"pattern": pattern, "special_tokens": special_tokens, "lowercase": lowercase}
    given = {name: value for name, value in said.items() if value is not None}
    loader, takes = LOADERS[kind]
    for name in given:
        if name not in takes:
            raise UserError(f"{path} is of the kind {kind}, which does not leave it open "
                            f"{OPEN[name]}; leave out the {name}")
    return loader(path, **given)


def _in_folder(folder: Path) -> Path:
    """Return the file in `folder` that has its tokenizer."""
    for name in IN_A_FOLDER[:-1]:
        if (folder / name).is_file():
            return folder / name
    if files := gpt2.find_files(folder):
        return files[1]
    if (folder / IN_A_FOLDER[-1]).is_file():
        return folder / IN_A_FOLDER[-1]
    raise UserError(f"{folder} has no tokenizer: expected {', '.join(IN_A_FOLDER)}, or "
                    "vocab.json and merges.txt in it; or give the path of a file")


def kind_of(path: str | Path) -> str:
    """Return the name of the module for the file `path`, by its name and its first bytes.

    Raises UserError where it cannot be read or is of no known kind.
    """
    path = Path(path)
    head = _head(path)
    if path.name in ("merges.txt", "vocab.bpe"):
        return "gpt2"
    if head.lstrip()[:1] == b"{":
        if _TEKKEN.match(head):
            return "tekken"
        if _CHARACTERS.match(head):
            return "characters"
        is_vocab = path.name != "tokenizer.json" and _GPT2_VOCAB.match(head)
        return "gpt2" if is_vocab else "huggingface"
    if head.startswith(b"#version"):
        return "gpt2"
    if _RANK.match(head):
        return "tiktoken"
    if _PIECE.match(head):
        return "sentencepiece"
    if head.strip() and b"\0" not in head and len(head.split(b"\n")[0].split()) <= 1:
        return "bert"
    raise UserError(f"{path} is no tokenizer of a known kind: a tokenizer.json, tekken.json, rank "
                    "file of tiktoken, vocab.json with merges.txt, vocab.txt or SentencePiece model"
                    )


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; give the path of a "
                        "tokenizer's file or folder") from error


def save_tokenizer(tokenizer: Tokenizer, path: str | Path, format: str | None = None) -> None:
    """Write the tokenizer to `path` in a format of SAVERS; gpt2 and bert write into a folder.

    format: "huggingface" unless given, but "characters" where tokens are characters. Raises
    UserError where the tokenizer has parts that the format cannot hold.
    """
    if format is None:
        format = "characters" if isinstance(tokenizer.model, Characters) else "huggingface"
    if format not in SAVERS:
        raise UserError(f"tokenizers cannot be saved as {format!r}; known are {', '.join(SAVERS)}")
    SAVERS[format](tokenizer, Path(path))


for owner, name, function in (
    (Tokenizer, "save", save_tokenizer), (Tokenizer, "load", staticmethod(load_tokenizer)),
    (CharTokenizer, "load", staticmethod(characters.load)),
):
    setattr(owner, name, function)
