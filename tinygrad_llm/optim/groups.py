"""Parameter groups: factors of the rate and of the decay, by the parameters' names.

    wte*: lr=0.5 decay=0; *.bias: decay=0

Patterns are those of a shell (`fnmatch`: * for any letters, ? for one, [ab] for one of these), with
capitals told apart from small letters. The last pattern that matches a name and gives a factor
decides on it, so that a general one comes first. Without one, the rate's factor is 1; the decay's
is 1 for a matrix, and 0 for what has fewer than two axes: norms and biases are scales and offsets,
few, and not what overfits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import isfinite
from typing import NamedTuple

from autograd import Tensor

from ..host.errors import UserError, did_you_mean


class Factors(NamedTuple):
    """What the rate and the decay of a parameter are multiplied by."""

    lr: float
    decay: float


def read_groups(text: str) -> dict[str, dict[str, float]]:
    """Return the factors that each pattern gives. Raises UserError for a text of another form.

    >>> read_groups("wte*: lr=0.5 decay=0; *.bias: decay=0")
    {'wte*': {'lr': 0.5, 'decay': 0.0}, '*.bias': {'decay': 0.0}}
    """
    found: dict[str, dict[str, float]] = {}
    for part in filter(str.strip, text.split(";")):
        pattern, colon, given = part.partition(":")
        if not (colon and given.split()) or len(pattern.split()) != 1:
            raise UserError(f"groups: expected 'PATTERN: lr=FACTOR decay=FACTOR', of which one "
                            f"factor is enough, with ; between two patterns, got {part.strip()!r}")
        if (pattern := pattern.strip()) in found:
            raise UserError(f"groups: {pattern!r} stands there twice; write its factors together")
        found[pattern] = dict(_factor(pattern, word) for word in given.split())
    return found


def _factor(pattern: str, word: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    if name not in Factors._fields:
        raise UserError(f"groups: {pattern!r} has the unknown factor {word!r}"
                        f"{did_you_mean(name, Factors._fields)}")
    try:
        factor = float(number)
    except ValueError:
        factor = -1.0
    if not (isfinite(factor) and factor >= 0):
        raise UserError(f"groups: expected {name}=FACTOR of at least 0 for {pattern!r}, such as "
                        f"{name}=0.5, got {word!r}")
    return name, factor


def factors(groups: str, parameters: Mapping[str, Tensor]) -> dict[str, Factors]:
    """Return each parameter's factors. Raises UserError for a pattern that matches no name."""
    read = read_groups(groups)
    for pattern in read:
        require_match("groups", pattern, parameters)
    return {name: Factors(*(
        next(_last(read, name, factor), default)
        for factor, default in (("lr", 1.0), ("decay", 1.0 if p.ndim >= 2 else 0.0))))
        for name, p in parameters.items()}


def _last(read: dict[str, dict[str, float]], name: str, factor: str) -> Iterator[float]:
    """Yield the factors for a name, the last pattern's first."""
    for pattern, given in reversed(read.items()):
        if factor in given and fnmatchcase(name, pattern):
            yield given[factor]


def require_match(setting: str, pattern: str, parameters: Mapping[str, Tensor]) -> None:
    """Raise UserError where a pattern matches no parameter's name."""
    if not any(fnmatchcase(name, pattern) for name in parameters):
        raise UserError(f"{setting}: no parameter has a name like {pattern!r}"
                        f"{did_you_mean(pattern, parameters)}")
