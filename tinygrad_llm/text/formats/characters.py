r"""The tokenizer.json of a character tokenizer, this project's own: its characters in order.

    {"type": "char", "characters": ["\n", " ", "a", ...]}

A character's id is its place.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...host.errors import UserError
from ...host.files import write_in_one_step
from ..algorithms.characters import Characters
from ..char_tokenizer import CharTokenizer
from ..decoders import Fuse
from ..tokenizer import Tokenizer


def load(path: str | Path) -> CharTokenizer:
    """Return the character tokenizer in the file `path`; UserError where it is none."""
    try:
        content = json.loads(Path(path).read_bytes())
        if not isinstance(content, dict) or content.get("type") != "char":
            raise ValueError('expected an object with "type": "char"')
        if not isinstance(content.get("characters"), list):
            raise ValueError('expected "characters" to be a list')
        return CharTokenizer(content["characters"])
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} cannot be read as a character tokenizer: {reason}; give a file that a "
                    "character tokenizer's save wrote")


def save(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write the characters to `path`, in one step; UserError for a tokenizer of other parts."""
    model = tokenizer.model
    others = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.template, tokenizer.unused,
              tokenizer.added.tokens)
    if not isinstance(model, Characters) or any(others) or tokenizer.decoder != Fuse():
        raise UserError("a file of characters is for a tokenizer whose tokens are characters, "
                        "without other parts; save a tokenizer.json instead")
    content = {"type": "char", "characters": model.characters}
    write_in_one_step(path, [json.dumps(content).encode()])
