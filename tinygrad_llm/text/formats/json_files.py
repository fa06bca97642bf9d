r"""JSON read strictly: an object that names a key twice is refused, and so is a lone surrogate.

A number with a point or an exponent is read as the reference does, and is not the nearest float64:
Hugging Face's tokenizers reads the digits as one whole number of 64 bits, $d$, and the point and
the exponent as another, $k$. Then, each step rounded,

$$ x = \mathrm{fl}(\mathrm{fl}(d) / 10^{k}) \quad\text{or}\quad
   \mathrm{fl}(\mathrm{fl}(d) \cdot 10^{-k}) $$

which is off by one in the last bit where $d$ has more than 53 bits, as the scores of most Unigram
models do. Two ways to cut a text may weigh the same but for that bit, so ids depend on it. Digits
that would make $d$ too large are dropped.

Source: serde_json 1.0 (de.rs), without its feature float_roundtrip, for numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...host.errors import UserError

_LARGEST = 2**64 - 1
_SURELY_FIT = 19  # digits
_POWERS = [float(f"1e{k}") for k in range(309)]
_NEIGHBOURS = 2  # floats to try on either side
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


def parse_json(data: bytes, number: Callable[[str], float] | None = None) -> Any:
    """Return the value of a JSON text. UserError where it is none or names a key twice.

    number: what reads numbers with a point or an exponent, instead of `read_number`.
    """
    try:
        text = data.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number,
                           parse_float=number or read_number)
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


def read_number(text: str) -> float:
    """Return the float64 of a number of JSON's. Raises ValueError where it is too large.

    >>> read_number("-14.512523234209537") == -14.512523234209537
    False
    """
    mantissa, _, power = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    if len(whole) + len(fraction) <= _SURELY_FIT:
        digits, exponent = int(whole + fraction), -len(fraction)
    else:
        digits, dropped = _fitting(0, whole)
        digits, unread = _fitting(digits, fraction)
        exponent = dropped - (len(fraction) - unread)
    x = _scaled(float(digits), exponent + int(power or 0))
    if math.isinf(x):
        raise ValueError(f"the number {text[:40]} is too large")
    return -x if text[0] == "-" else x


def _fitting(digits: int, more: str) -> tuple[int, int]:
    """Return `digits` with those of `more` behind it that fit, and how many do not."""
    for place, digit in enumerate(more):
        longer = 10 * digits + int(digit)
        if longer > _LARGEST:
            return digits, len(more) - place
        digits = longer
    return digits, 0


def _scaled(x: float, exponent: int) -> float:
    """Return x times 10 to the power of `exponent`, in steps of 308 at most; inf if too large."""
    while x and exponent < -308:
        x, exponent = x / _POWERS[308], exponent + 308
    if not x or exponent > 308:
        return x and math.inf
    return x * _POWERS[exponent] if exponent >= 0 else x / _POWERS[-exponent]


def spell_number(x: float) -> str:
    """Return digits that `read_number` reads as the finite `x`, or the shortest if none do.

    >>> spell_number(-0.25), read_number(spell_number(-8.128395604370037)) == -8.128395604370037
    ('-0.25', True)
    """
    shortest = repr(x)
    if read_number(shortest) == x:
        return shortest
    size = math.floor(math.log10(abs(x)))
    for k in range(15 - size, 20 - size):  # 16 digits to 20
        near = float(Fraction(abs(x)) * Fraction(10) ** k)
        for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1):
            spelled = f"{'-' * (x < 0)}{int(near + step * math.ulp(near))}e{-k}"
            if read_number(spelled) == x:
                return spelled
    return shortest
