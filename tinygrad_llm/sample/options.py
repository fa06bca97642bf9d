"""How a token is chosen: the options of one text, checked once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real
from operator import index
from typing import Any, Literal

import numpy as np

from autograd.backend import Array

from ..host.errors import shortened


@dataclass(frozen=True)
class Sampling:
    """How the tokens of one text are chosen; None, or what changes nothing, switches an option off.

    The order, on the logits of the token that comes next:

    1. `logit_bias` is added. 2. `repetition_penalty`, of tokens in the prompt and the answer.
    3. `presence_penalty` and `frequency_penalty`, of tokens in the answer. 4. `processors`, the
    user's own functions of logits (V,) and all ids so far. These change logits that the model gave
    and come in the order of transformers, so that the same options mean the same text.
    5. `no_repeat_ngram` (prompt and answer), `banned`, `ends` before `min_tokens`, `constraint`.
    They only forbid, in any order to the same effect, and come after what might allow again.
    6. `top_k`, which no temperature changes: what follows has few tokens left to work on.
    7. `temperature`. 8. `top_p`, 9. `min_p`, 10. `typical_p`: each of what the one before it left,
    at that temperature, as in transformers. 11. The draw, by the generator of `seed`.

    Temperature 0 takes the most probable token that 1 to 5 leave, of equals the first; top_k, top_p
    and min_p always keep it, so they and a seed are allowed beside it. Log-probabilities are those
    of the model's own distribution, before 1.

    - `max_tokens`, `min_tokens`: of the answer, without an id that ends it. `ends`: those ids. A
      stop string, or a constraint that is met, ends a text before `min_tokens` too.
    - `stop`: strings before which the text ends; see `StopStrings`. One string is one stop.
    - `logprobs`: the number of top tokens that are reported beside each chosen one; None: nothing.
    - `constraint`: has `start`, `next(state, token)`, `allowed(state, left)`, `accepts(state)` and
      `finished(state)`, and may have `without(ids)` (which is asked for one that does without
      banned tokens and ends) and `shortest`; see `sample.constrained`.
    - `past_context`: "slide" forgets the older half where the context is full, "stop" ends there.

    Raises ValueError, or TypeError for another type, with the name of what is impossible; where
    two options contradict each other, with both names.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    banned: Collection[int] = frozenset()
    max_tokens: int | None = None
    min_tokens: int = 0
    ends: Collection[int] = frozenset()
    stop: Sequence[str] = ()
    seed: int | None = None
    logprobs: int | None = None
    constraint: Any = field(default=None, hash=False)
    processors: Sequence[Callable[[Array, Sequence[int]], Array]] = ()
    past_context: Literal["slide", "stop"] = "slide"

    def __post_init__(self) -> None:
        for name in (*NUMBERS, *COUNTS):
            if (value := getattr(self, name)) is not None or name not in MAY_BE_NONE:
                self._set(name, _number(name, value) if name in NUMBERS else _count(name, value))
        for name in ("banned", "ends"):
            self._set(name, frozenset(_count(name, id) for id in _items(name, vars(self)[name])))
        if not isinstance(self.logit_bias, Mapping):
            raise TypeError(f"logit_bias must map ids to numbers, got {shortened(self.logit_bias)}")
        self._set("logit_bias", {_count("logit_bias", id): _number("logit_bias", bias)
                                 for id, bias in self.logit_bias.items()})
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        for name, items in (("stop", stop), ("processors", self.processors)):
            self._set(name, tuple(_items(name, items)))
        self._check_others()
        self._check_contradictions()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    def _check_others(self) -> None:
        for stop in self.stop:
            if not isinstance(stop, str):
                raise TypeError(f"stop must hold strings, got {shortened(stop)}")
            if not stop:
                raise ValueError("stop: a stop string must have at least one character, got ''")
        for function in self.processors:
            if not callable(function):
                raise TypeError(f"processors must hold functions of logits and ids, got "
                                f"{shortened(function)}")
        if self.constraint is not None and not hasattr(self.constraint, "start"):
            raise TypeError(f"constraint must be one that sample.constrained makes, got "
                            f"{shortened(self.constraint)}")
        if self.past_context not in ("slide", "stop"):
            raise ValueError(f"past_context must be 'slide' or 'stop', got "
                             f"{shortened(self.past_context)}")

    def _check_contradictions(self) -> None:
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens ({self.min_tokens}) is more than max_tokens "
                             f"({self.max_tokens}); lower the one or raise the other")
        if both := sorted(set(self.banned) & set(self.logit_bias)):
            raise ValueError(f"id {both[0]} stands in banned and in logit_bias; take it out of one "
                             f"of them")
        if self.temperature == 0 and (self.typical_p or 1) < 1:
            raise ValueError(f"temperature 0 takes the most probable token, which typical_p "
                             f"({self.typical_p}) may forbid; leave out one of them")


NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {  # and all of them are finite
    "temperature": ("be at least 0", lambda x: x >= 0),
    "top_p": ("lie in (0, 1]", lambda x: 0 < x <= 1),
    "min_p": ("lie in [0, 1]", lambda x: 0 <= x <= 1),
    "typical_p": ("lie in (0, 1]", lambda x: 0 < x <= 1),
    "repetition_penalty": ("be above 0", lambda x: x > 0),
    "presence_penalty": ("be a number", lambda x: x == x),
    "frequency_penalty": ("be a number", lambda x: x == x),
}
COUNTS = {"top_k": 1, "no_repeat_ngram": 0, "max_tokens": 0, "min_tokens": 0, "seed": 0,
          "logprobs": 0}  # the least of each
MAY_BE_NONE = frozenset(["top_k", "top_p", "min_p", "typical_p", "max_tokens", "seed", "logprobs"])


def _number(name: str, value: Any) -> float:
    words, possible = NUMBERS.get(name, ("be a number", lambda x: x == x))
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(_message(name, "be a number", value))
    try:
        number = float(value)
    except OverflowError:  # of an int, or a fraction
        raise ValueError(_message(name, "be finite", value)) from None
    if not possible(number):  # NaN too
        raise ValueError(_message(name, words, value))
    if not isfinite(number):
        raise ValueError(_message(name, "be finite", value))
    return number


def _count(name: str, value: Any) -> int:
    least = COUNTS.get(name, 0)
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = index(value)
    except TypeError:  # of another type, or an array of several
        raise TypeError(_message(name, f"be a whole number of at least {least}", value)) from None
    if number < least:
        raise ValueError(_message(name, f"be at least {least}", value))
    return number


def _message(name: str, words: str, value: Any) -> str:
    return (f"{name} must {words}, got {shortened(value)}"
            f"{'; None leaves it out' if name in MAY_BE_NONE else ''}")


def _items(name: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a collection, got {shortened(value)}; put it in brackets")
    return value
