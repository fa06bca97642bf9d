r"""Positions: sinusoidal vectors, rotary angles with their scaling rules, places in documents.

A pair of numbers d of R/2 in a head turns by the angle $i\,\theta_d$ at position i, with the
frequency $\theta_d = b^{-2d/R}$ of the base b (`theta`). A model that learnt with L (`original`)
positions reads more of them with other frequencies $\theta'_d$, by one of these rules, a word and
its numbers, where f is `factor`:

- `linear factor=`: $\theta'_d = \theta_d / f$, as if the positions were closer together.
- `dynamic factor= [original=]`: the base grows with the number n of positions seen, once n > L, to
  $b\,(f n / L - f + 1)^{R/(R-2)}$; so $\theta'_d = \theta_d\,(f n / L - f + 1)^{-2d/(R-2)}$.
  With a cache, $n = \max(P, i + 1)$ at position i of a text that began with P: kept keys stay
  turned as they were, as in transformers, and a text is the same in whatever pieces P is read.
- `yarn [factor= original= beta_fast=32 beta_slow=1 truncate=true attention_factor= mscale=
  mscale_all_dim=]`: $\theta'_d = (1 - r_d)\,\theta_d + r_d\,\theta_d / f$, where the ramp $r_d$
  goes from 0 at the pair that turns beta_fast times in L positions to 1 at the one that turns
  beta_slow times. The pair $d = R \ln(L / 2\pi t) / (2 \ln b)$ turns t times; if truncate, both
  ends are rounded outwards. cos and sin are multiplied by attention_factor; without it by m(1), or,
  given both, by m(mscale) / m(mscale_all_dim), where $m(u) = 1 + 0.1\,u \ln \max(f, 1)$.
- `llama3 factor= low= high= [original=]`: $\theta'_d = (1 - w_d)\,\theta_d / f + w_d\,\theta_d$
  with $w_d = (L / \lambda_d - low) / (high - low)$ clipped to [0, 1], where
  $\lambda_d = 2\pi / \theta_d$ is the wavelength: long ones are divided, short ones stay.

Without `original`, L is the model's context, of which a dynamic rule has learnt the part 1 / f;
without `factor`, yarn's f is context / L.

Sources: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.5 (sinusoidal);
Su et al., "RoFormer", arXiv:2104.09864, section 3.2.2; Chen et al., "Position Interpolation",
arXiv:2306.15595, section 2.3 (linear); Peng et al., "YaRN", arXiv:2309.00071, section 3
(dynamic, yarn; the ramp over d as in the code of its authors); DeepSeek-AI, "DeepSeek-V2",
arXiv:2405.04434, section 3.1.4 (mscale); llama3 from the code that came with Llama 3.1. Where they
leave a choice, it is that of Hugging Face's transformers, whose weights are to give the same text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from autograd import cummax, namespace
from autograd.backend import Array
from autograd.tensor import values

from ..functional import rotary
from ..host.errors import UserError, did_you_mean

RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # what each must and may be given
    "": ((), ()),
    "linear": (("factor",), ()),
    "dynamic": (("factor",), ("original",)),
    "yarn": ((), ("factor", "original", "attention_factor", "beta_fast", "beta_slow", "mscale",
                  "mscale_all_dim", "truncate")),
    "llama3": (("factor", "low", "high"), ("original",)),
}
LONG = {"original": "original_max_position_embeddings", "low": "low_freq_factor",
        "high": "high_freq_factor"}
"""The names that Hugging Face has for some of them."""


def sinusoidal(context: int, width: int, dtype: Any = np.float32) -> np.ndarray:
    r"""Return P (context, width): $P_{i,2d} = \sin a_{id}$, $P_{i,2d+1} = \cos a_{id}$.

    The angle is $a_{id} = i / 10000^{2d / width}$. Computed in float64. Source: Vaswani et al.,
    section 3.5.
    """
    places = np.arange(width)
    angles = np.arange(context)[:, None] * 1e4 ** (-(places - places % 2) / max(1, width))
    return np.where(places % 2, np.cos(angles), np.sin(angles)).astype(dtype)


def lengths_of(documents: Array) -> Array:
    """Return the length of the document at each place of a row: integers (..., S)."""
    return 1 + positions_of(documents) + positions_of(documents[..., ::-1])[..., ::-1]


def positions_of(documents: Array) -> Array:
    """Return the position of each place of a row inside its document, from 0: integers (..., S).

    That is how many earlier places of the row have the same number in `documents` (..., S).
    """
    xp, places = namespace(documents), namespace(documents).arange(documents.shape[-1])
    order = xp.argsort(documents, axis=-1, kind="stable")
    row = xp.take_along_axis(documents, order, axis=-1)
    begins = xp.concatenate([xp.ones_like(row[..., :1], bool), row[..., 1:] != row[..., :-1]], -1)
    inside = places - cummax(xp.where(begins, places, 0), -1)
    return xp.take_along_axis(inside, xp.argsort(order, axis=-1), axis=-1)


class Rotary:
    """The angles by which `functional.rotary` turns the first `width` numbers of each head.

    `context` is the number of positions that the model is made for. Raises ValueError for an odd
    width, UserError for a `scaling` that no rule reads.
    """

    def __init__(self, width: int, theta: float = 10000.0, scaling: str = "", context: int = 0,
                 interleaved: bool = False) -> None:
        if width < 2 or width % 2:
            raise ValueError(f"rotary positions turn pairs of numbers, so the width of a head must "
                             f"be even, got {width}")
        if not 1 < theta < math.inf:
            raise ValueError(f"theta, the base of rotary frequencies, lies above 1, got {theta}")
        self.width, self.theta, self.interleaved = width, theta, interleaved
        self.rule, self.options = read_scaling(scaling)
        if self.rule not in ("", "linear"):
            self._complete(context, scaling)

    def _complete(self, context: int, scaling: str) -> None:
        """Fill in what the model's context says. Raises UserError where it takes more."""
        options, some = self.options, self.options.keys() & {"factor", "original"}
        learnt = context / options["factor"] if self.rule == "dynamic" else context
        original = options.setdefault("original", learnt)
        if not (some and original and options.setdefault("factor", context / original)):
            raise UserError(f"rope_scaling: {self.rule} needs original= and factor=, or the "
                            f"model's context in place of one of them; got {scaling!r}")

    def at(self, positions: Array, length: Any, dtype: Any = np.float32) -> tuple[Array, Array]:
        """Return cos and sin (..., T, width / 2) of the angles at positions (..., T), integers.

        `length` is the number of positions seen, which the rule `dynamic` asks for, or the
        number for each position (..., T). They are computed in float64.
        """
        xp, (frequencies, m) = namespace(positions), self.frequencies(length)
        angles = positions[..., None] * xp.asarray(frequencies)
        return (m * xp.cos(angles)).astype(dtype), (m * xp.sin(angles)).astype(dtype)

    def changes_at(self, length: int) -> bool:
        """Whether angles at a position are other ones where so many positions are seen."""
        return self.rule == "dynamic" and length > self.options["original"]

    def rotation(self, positions: Array, length: Any, x: Any) -> Callable[[Any], Any]:
        """Return the function that turns queries or keys (B, T, H, D), of the kind of x.

        `positions` and `length` are those of `at`.
        """
        xp = namespace(values(x))
        cos, sin = self.at(xp.asarray(positions), length, x.dtype)
        return partial(rotary, cos=cos, sin=sin, interleaved=self.interleaved)

    def frequencies(self, length: Any) -> tuple[Array, float]:
        """Return each pair's angle from one position to the next, and the factor of cos and sin."""
        d2 = np.arange(0, self.width, 2)
        theta, options = self.theta ** (-d2 / self.width), self.options
        if self.rule == "linear":
            return theta / options["factor"], 1.0
        if self.rule == "dynamic":
            xp, f = namespace(length), options["factor"]
            seen = xp.maximum(1, xp.asarray(length)[..., None] / options["original"])
            theta, powers = xp.asarray(theta), xp.asarray(-d2 / max(1, self.width - 2))
            return theta * (f * seen - f + 1) ** powers, 1.0
        if self.rule == "yarn":
            return yarn(theta, self.theta, **options)
        return (llama3(theta, **options) if self.rule else theta), 1.0


def yarn(theta: np.ndarray, base: float, original: float, factor: float, beta_fast: float = 32,
         beta_slow: float = 1, truncate: bool = True, attention_factor: float | None = None,
         mscale: float = 0, mscale_all_dim: float = 0) -> tuple[np.ndarray, float]:
    """Return the frequencies and the factor of cos and sin by the rule `yarn`."""
    width = 2 * len(theta)
    low, high = (width * math.log(original / (2 * math.pi * turns)) / (2 * math.log(base))
                 for turns in (beta_fast, beta_slow))
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high += 0.001 * (low == high)  # no division by 0
    r = np.clip((np.arange(len(theta)) - low) / (high - low), 0, 1)
    if attention_factor is None:
        m, over = (mscale, mscale_all_dim) if mscale and mscale_all_dim else (1, 0)
        grown = 0.1 * math.log(max(1, factor))
        attention_factor = (1 + m * grown) / (1 + over * grown)
    return (1 - r) * theta + r * theta / factor, attention_factor


def llama3(theta: np.ndarray, original: float, factor: float, low: float, high: float
           ) -> np.ndarray:
    """Return the frequencies by the rule `llama3`."""
    w = np.clip((original * theta / (2 * math.pi) - low) / (high - low), 0, 1)
    return np.asarray((1 - w) * theta / factor + w * theta)


def read_scaling(scaling: str) -> tuple[str, dict[str, Any]]:
    """Return the rule that a setting names, and its numbers: of "linear factor=4", factor is 4.

    Raises UserError where a word, a number or the rule is not known, or one is missing.
    """
    rule, *words = scaling.split() or [""]
    if rule not in RULES:
        raise UserError(f"rope_scaling: there is no rule {rule!r}"
                        f"{did_you_mean(rule, filter(None, RULES))}")
    required, optional = RULES[rule]
    options: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in (*required, *optional) or name in options:
            raise UserError(f"rope_scaling: {rule} takes each of {', '.join(required + optional)} "
                            f"once, as name=number, got {word!r}")
        options[name] = _value(name, text)
    for name in required:
        if name not in options:
            raise UserError(f"rope_scaling: {rule} needs {name}=, got {scaling!r}")
    if rule == "llama3" and options["low"] >= options["high"]:
        raise UserError(f"rope_scaling: low must lie below high, got {scaling!r}")
    return rule, options


def _value(name: str, text: str) -> Any:
    """Return the number that a text gives: above 0, but for the mscales, which 0 turns off."""
    if name == "truncate" and text in ("true", "false"):
        return text == "true"
    try:
        value = int(text) if text.isdecimal() else float(text)
    except ValueError:
        value = math.nan
    if name == "truncate" or not 0 <= value < math.inf or not (value or "mscale" in name):
        expected = "true or false" if name == "truncate" else "a number above 0"
        raise UserError(f"rope_scaling: {name} is {expected}, got {text!r}")
    return value


def scaling_from_dict(parameters: Mapping[str, Any] | None) -> str:
    """Return the setting that says what Hugging Face's `rope_scaling` or `rope_parameters` does.

    The rule may be under "rope_type" or "type". Passed over are "rope_theta", as theta is a setting
    of its own, and the original length of a dynamic rule, in whose place transformers has
    `max_position_embeddings`. Raises UserError for what is not known, by its name.
    """
    given = {name: value for name, value in (parameters or {}).items()
             if value is not None and name != "rope_theta"}
    old = given.pop("type", "default")
    rule = given.pop("rope_type", old)
    rule = "" if rule == "default" else rule
    if not isinstance(rule, str) or rule not in RULES:
        raise UserError(f"rope_scaling: there is no rule {rule!r}"
                        f"{did_you_mean(str(rule), filter(None, RULES))}")
    if rule == "dynamic":
        given.pop(LONG["original"], None)
    if given.get("partial_rotary_factor") == 1:
        del given["partial_rotary_factor"]
    words = [rule]
    for name in (name for names in RULES[rule] for name in names):
        if (long := LONG.get(name, name)) in given:
            words.append(f"{name}={json.dumps(given.pop(long), separators=(',', ':'))}")
    if given:
        raise UserError(f"rope_scaling: of the rule {rule or 'default'!r}, {min(given)!r} is not "
                        f"supported, got {parameters}")
    read_scaling(" ".join(words))
    return " ".join(words)


def scaling_to_dict(scaling: str) -> dict[str, Any]:
    """Return Hugging Face's `rope_scaling` for a setting, without theta.

    Of a dynamic rule the original length is left out: there it is `max_position_embeddings`.
    """
    rule, options = read_scaling(scaling)
    if rule == "dynamic":
        options.pop("original", None)
    return {"rope_type": rule or "default",
            **{LONG.get(name, name): value for name, value in options.items()}}
