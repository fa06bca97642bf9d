"""JSON read strictly: an object that names a key twice is refused, and so is a lone surrogate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...host.errors import UserError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; UserError where there is none, or a key comes twice."""
    try:
        content = parse_json(path.read_bytes())
        if isinstance(content, dict):
            return content
        reason = f"expected an object, got a {type(content).__name__}"
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} cannot be read: {reason}; fetch it anew")


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text. UserError where it is none or names a key twice."""
    try:
        text = data.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        if _SURROGATE.search(text):  # half of a pair, most likely not alone
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise UserError("it has a lone surrogate in a string, which no text may have") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"it is no JSON that can be read: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"an object names {shortened(twice)} twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON's")


def shortened(value: Any) -> str:
    """Return `value` as a message may hold it: not too long, whatever it is."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
