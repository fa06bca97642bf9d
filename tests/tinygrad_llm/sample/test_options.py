"""The options of a text: what they may be, and which contradict each other."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.sample import Sampling

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("options, words", [
    ({"temperature": -0.1}, "temperature must be at least 0, got -0.1"),
    ({"temperature": NAN}, "temperature must be at least 0, got nan"),
    ({"temperature": INF}, "temperature must be finite"),
    ({"temperature": 10**400}, "temperature must be finite"),
    ({"frequency_penalty": Fraction(-(10**400), 3)}, "frequency_penalty must be finite"),
    ({"top_k": 0}, "top_k must be at least 1, got 0; None leaves it out"),
    ({"top_k": -1}, "top_k .* got -1"),
    ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0"), ({"top_p": 2}, r"\(0, 1\], got 2"),
    ({"top_p": NAN}, "top_p .* got nan"), ({"min_p": -0.1}, r"min_p must lie in \[0, 1\]"),
    ({"min_p": 1.1}, r"min_p must lie in \[0, 1\]"), ({"min_p": NAN}, "min_p"),
    ({"typical_p": 0}, r"typical_p must lie in \(0, 1\]"), ({"typical_p": 1.5}, "typical_p"),
    ({"repetition_penalty": 0}, "repetition_penalty must be above 0"),
    ({"repetition_penalty": INF}, "repetition_penalty must be finite"),
    ({"presence_penalty": NAN}, "presence_penalty must be a number"),
    ({"frequency_penalty": -INF}, "frequency_penalty must be finite"),
    ({"no_repeat_ngram": -1}, "no_repeat_ngram must be at least 0"),
    ({"logit_bias": {-1: 0.0}}, "logit_bias must be at least 0, got -1"),
    ({"logit_bias": {1: NAN}}, "logit_bias must be a number"),
    ({"logit_bias": {1: -INF}}, "logit_bias must be finite"),
    ({"banned": [1, -2]}, "banned must be at least 0, got -2"),
    ({"ends": {-1}}, "ends must be at least 0, got -1"),
    ({"max_tokens": -1}, "max_tokens must be at least 0"),
    ({"min_tokens": -1}, "min_tokens must be at least 0"),
    ({"stop": ["a", ""]}, "stop: .* at least one character"), ({"stop": ""}, "one character"),
    ({"seed": -1}, "seed must be at least 0"), ({"logprobs": -1}, "logprobs must be at least 0"),
    ({"past_context": "forget"}, "past_context must be 'slide' or 'stop', got 'forget'"),
    ({"min_tokens": 3, "max_tokens": 2}, r"min_tokens \(3\) is more than max_tokens \(2\)"),
    ({"banned": [4, 2], "logit_bias": {2: 1.0, 4: -1.0}}, "id 2 stands in banned and in logit_b"),
    ({"temperature": 0, "typical_p": 0.9}, r"temperature 0 .* typical_p \(0.9\)"),
])
def test_impossible_and_contradictory_options_are_named(options: dict[str, Any], words: str
                                                        ) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**options)


@pytest.mark.parametrize("options", [
    {name: value}
    for name, values in {
        "temperature": ["1", None, True, 1j], "top_k": [2.0, "2", True, np.True_, np.array([3])],
        "constraint": [5, "[0-9]+"],
        "top_p": ["0.9", True, [0.9]], "min_p": [np.False_], "repetition_penalty": [None],
        "no_repeat_ngram": [None, 1.5], "logit_bias": [[1, 2], None, {1: "2"}, {"1": 2.0}],
        "banned": [3, None, "a", [1.5], [True]], "ends": [2, [None]], "max_tokens": [1.5, True],
        "min_tokens": [None], "stop": [[1], 5, None, [b"a"]], "seed": [1.5, "1"],
        "logprobs": [True, 0.5], "processors": [len, [3], None],
    }.items() for value in values])
def test_other_types_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"^{next(iter(options))} must "):
        Sampling(**options)


def test_numbers_of_any_kind_and_any_collections_are_taken() -> None:
    ours = Sampling(np.float32(0.5), np.int64(3), 1, min_p=0, logit_bias={np.int32(2): 5},
                    banned=np.array([1, 1]), ends=(3,), max_tokens=np.uint8(4), stop=["a", "b"],
                    seed=np.uint64(2**63), processors=[len])
    assert ours == Sampling(0.5, 3, 1.0, min_p=0.0, logit_bias={2: 5.0}, banned={1}, ends=[3],
                            max_tokens=4, stop=("a", "b"), seed=2**63, processors=(len,))
    assert {type(value) for value in (ours.temperature, ours.top_p, *ours.logit_bias.values())
            } == {float}
    assert {type(value) for value in (ours.top_k, ours.max_tokens, *ours.banned, *ours.logit_bias)
            } == {int}
    assert Sampling(stop="ab").stop == ("ab",)


def test_what_others_send_beside_temperature_0_is_no_contradiction() -> None:
    Sampling(0, top_k=50, top_p=0.9, min_p=0.1, typical_p=1.0, seed=1, presence_penalty=3.0)
    Sampling(banned=[2], ends=[2])  # a text that never ends by itself
    Sampling(temperature=1e-300, max_tokens=0)


def test_options_are_values() -> None:
    bias = {1: 2.0}
    ours = Sampling(0.5, logit_bias=bias, stop=["a"])
    bias[1] = 3.0
    assert ours.logit_bias == {1: 2.0}
    assert pickle.loads(pickle.dumps(ours)) == ours == replace(ours) and hash(ours)
    assert replace(ours, seed=3).seed == 3
    with pytest.raises(ValueError, match="top_k"):
        replace(ours, top_k=0)
