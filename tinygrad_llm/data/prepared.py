"""A folder of text made ready for training: tokenizer.json, train.bin, val.bin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import UserError
from ..text import CharTokenizer
from .batches import split
from .tokens import open_tokens, write_tokens


@dataclass(frozen=True)
class Prepared:
    """The tokens to train on and to validate on, memory-mapped, and their tokenizer.

    `validation` is None where the text is too short to be divided.
    """

    tokenizer: CharTokenizer
    train: NDArray[Any]
    validation: NDArray[Any] | None


def is_prepared(folder: str | Path) -> bool:
    """Whether `folder` is one that `prepare` has written."""
    return (Path(folder) / "tokenizer.json").is_file() and (Path(folder) / "train.bin").is_file()


def prepare(text: str, folder: str | Path, context: int) -> Prepared:
    """Write the tokens of a text to `folder`, and open them.

    The first 90 % are for training, the rest for validation; where one of the two would be
    shorter than context + 1 tokens, all are for training. Raises UserError for fewer than
    context + 1 tokens in all; nothing is written then.
    """
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    if len(ids) < context + 1:
        raise UserError(f"the text has {len(ids)} tokens, too few: one window of the context "
                        f"{context} and its targets need {context + 1}; give more text or a "
                        f"smaller --context")
    train, validation = split(ids)
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


def open_prepared(folder: str | Path) -> Prepared:
    """Open a folder that `prepare` has written. Raises UserError where it is damaged."""
    folder = Path(folder)
    tokenizer = CharTokenizer.load(folder / "tokenizer.json")
    validation = open_tokens(folder / "val.bin") if (folder / "val.bin").exists() else None
    return Prepared(tokenizer, open_tokens(folder / "train.bin"), validation)
