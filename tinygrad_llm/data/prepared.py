"""A folder that is ready for training: a tokenizer and the tokens that it made, one of

    tokenizer.json, train.bin, val.bin      from `prepare`: a text, its characters or BPE's tokens
    tokenizer.json, train/, val/            from a build: token shards, any tokenizer
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..host.errors import UserError, quoted
from ..host.files import sha256_of, write_in_one_step
from ..text import CharTokenizer
from ..text.tokenizer import Tokenizer
from ..text.training.bpe import train_bpe
from .batches.random_windows import split
from .build.result import faults, is_built
from .tokens.shards import ShardedTokens, holds_shards, open_shards
from .tokens.stored import StoredArray
from .tokens.token_file import open_tokens, write_tokens

Tokens = StoredArray | ShardedTokens
TRAINED = 0.9  # the share of a text that is trained on


@dataclass(frozen=True)
class Prepared:
    """The tokens to train on and to validate on, which stay on the disk, and their tokenizer.

    `validation` is None where the text is too short to be divided.
    """

    folder: Path
    tokenizer: Tokenizer
    train: Tokens
    validation: Tokens | None

    def copy_tokenizer(self, path: Path) -> None:
        """Write the tokenizer's file, byte for byte, to `path`."""
        write_in_one_step(path, [(self.folder / "tokenizer.json").read_bytes()])


def is_prepared(folder: str | Path) -> bool:
    """Whether `folder` is one that `prepare` or a build has written, damaged or not."""
    folder = Path(folder)
    has_tokens = (folder / "train.bin").is_file() or holds_shards(folder / "train")
    return is_built(folder) or (has_tokens and (folder / "tokenizer.json").is_file())


def prepare(text: str, folder: str | Path, context: int,
            tokenizer: Tokenizer | None = None) -> Prepared:
    """Write the tokens of a text to `folder`, and open them; by default its characters.

    The first 90 % are for training, the rest for validation; where one of the two would be
    shorter than context + 1 tokens, all are for training. Raises UserError for fewer than
    context + 1 tokens in all, and for text that a given tokenizer has no ids for; nothing is
    written then.
    """
    if tokenizer is None:
        tokenizer = CharTokenizer.from_text(text)
    try:
        ids = tokenizer.encode_to_array(text)
    except ValueError as error:
        raise UserError(f"the tokenizer does not suit the text: {error}") from error
    if len(ids) < context + 1:
        raise UserError(f"the text has {len(ids)} tokens, too few: one window of the context "
                        f"{context} and its targets need {context + 1}; give more text or a "
                        f"smaller --context")
    train, validation = split(ids, TRAINED)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if min(len(train), len(validation)) < context + 1:
        train = ids
        (folder / "val.bin").unlink(missing_ok=True)
    else:
        write_tokens(folder / "val.bin", validation, tokenizer.vocab_size)
    write_tokens(folder / "train.bin", train, tokenizer.vocab_size)
    tokenizer.save(folder / "tokenizer.json")  # last: its presence says that the rest is there
    return open_prepared(folder)


def bpe_of(text: str, vocab_size: int) -> Tokenizer:
    """Return BPE that is trained on the part of a text that `prepare` takes for training."""
    return train_bpe(text[:int(TRAINED * len(text))], vocab_size)


def open_prepared(folder: str | Path) -> Prepared:
    """Open a folder that `prepare` or a build has written. Raises UserError where it is damaged."""
    folder = Path(folder)
    if is_built(folder) and (found := faults(folder, thorough=False)):
        raise UserError(f"{found[0]}; 'tinygrad-llm data check {quoted(folder)}' lists all faults")
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    if holds_shards(folder / "train"):
        parts = [_open_part(folder / part, tokenizer) for part in ("train", "val")
                 if part == "train" or (folder / part).exists()]
        return Prepared(folder, tokenizer, parts[0], parts[1] if len(parts) > 1 else None)
    train, val = folder / "train.bin", folder / "val.bin"
    return Prepared(folder, tokenizer, _open_file(train, tokenizer),
                    _open_file(val, tokenizer) if val.exists() else None)


def open_tokenizer(path: str | Path) -> Tokenizer:
    """Return the tokenizer in the file `path`; UserError where the file is missing or is none."""
    try:
        return Tokenizer.load(path)
    except UserError as error:
        raise UserError(f"{error}; or prepare the data again") from error


def _open_file(path: Path, tokenizer: Tokenizer) -> Tokens:
    """Open a token file once it is sure that its ids are the tokenizer's."""
    tokens = open_tokens(path)
    if (largest := int(tokens.max())) >= tokenizer.vocab_size:
        raise UserError(f"{path} holds the id {largest}, outside [0, {tokenizer.vocab_size}) of "
                        f"{path.parent / 'tokenizer.json'}: one of the two was changed; prepare "
                        f"the data again")
    return tokens


def _open_part(folder: Path, tokenizer: Tokenizer) -> ShardedTokens:
    """Open shards once it is sure that their ids are the tokenizer's."""
    tokens = open_shards(folder)
    path = folder.parent / "tokenizer.json"
    if tokens.settings.tokenizer_sha256 not in (None, sha256_of(path)):
        raise UserError(f"{path} is not the tokenizer that {folder} was written with; put that one "
                        "there, or build the data again")
    if tokens.vocab_size != tokenizer.vocab_size:
        raise UserError(f"{folder} has a vocabulary of {tokens.vocab_size} where {path} has "
                        f"{tokenizer.vocab_size}; build the data again")
    return tokens
