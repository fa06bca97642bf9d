"""Mistral's tekken.json: a rank file's content and what a rank file leaves out, as one JSON object.

    {"config": {"pattern": ..., "default_vocab_size": V, "default_num_special_tokens": S, ...},
     "vocab": [{"rank": 0, "token_bytes": "AA==", "token_str": ...}, ...],
     "special_tokens": [{"rank": 0, "token_str": "<unk>", ...}, ...]}

The special tokens have the ids 0 to S - 1, those without a name are <SPECIAL_20>, ...; the token of
rank r has the id S + r. Of the vocabulary only the first V - S tokens count. Files up to version 7
do not list the special tokens.

Source: mistral_common 1.8 (tokens/tokenizers/tekken.py).
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ..tokenizer import Tokenizer
from .tiktoken import byte_level

UNLISTED = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
)


def load(path: str | Path) -> Tokenizer:
    """Return the tokenizer of the tekken.json `path`; UserError where it is none, or not whole."""
    try:
        content = json.loads(Path(path).read_bytes())
        config = content["config"]
        pattern, size = config["pattern"], config["default_vocab_size"]
        count = config["default_num_special_tokens"]
        if not isinstance(pattern, str) or type(size) is not int or type(count) is not int:
            raise ValueError("config has a pattern that is no string or a size that is no number")
        special = _special(content.get("special_tokens"), config.get("version"), count)
        return byte_level(_ranks(content["vocab"], size - count, count), pattern, special)
    except OSError as error:
        reason = error.strerror or str(error)
    except KeyError as error:
        reason = f"{error} is missing"
    except (TypeError, AttributeError):
        reason = "an object, a list or a string stands where another is expected"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} cannot be read as a tekken.json: {reason}; fetch the file anew")


def _ranks(vocab: list[dict[str, Any]], size: int, shift: int) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for place, entry in enumerate(vocab[: max(size, 0)]):
        try:
            token = base64.b64decode(entry["token_bytes"], validate=True)
        except binascii.Error:
            raise ValueError(f"token_bytes of vocab[{place}] is no base64") from None
        if entry["rank"] != place or token in ranks:
            raise ValueError(f"vocab[{place}] comes twice or has another rank")
        ranks[token] = shift + place
    if len(ranks) < max(size, 1):
        raise ValueError(f"config promises {size} tokens, vocab has {len(ranks)}")
    return ranks


def _special(listed: list[dict[str, Any]] | None, version: object, count: int) -> dict[str, int]:
    if listed is None:
        if version not in ("v1", "v2", "v3", "v7"):
            raise ValueError(f"a file of version {version!r} must list its special tokens")
        listed = [{"rank": i, "token_str": name} for i, name in enumerate(UNLISTED)]
    names = {entry["rank"]: entry["token_str"] for entry in listed}
    if len(names) < len(listed) or not set(names) <= set(range(count)):
        raise ValueError(f"special_tokens must have ranks of their own below {count}")
    if not all(isinstance(name, str) and name for name in names.values()):
        raise ValueError("a special token has no name")
    special = {names.get(i, f"<SPECIAL_{i}>"): i for i in range(count)}
    if len(special) < count:
        raise ValueError("two special tokens have one name")
    return special
