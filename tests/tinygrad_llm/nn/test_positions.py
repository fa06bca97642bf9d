"""Positions: their vectors and angles, the rules that stretch them, places in documents."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.nn import Rotary, lengths_of, positions_of, sinusoidal
from tinygrad_llm.nn.positions import read_scaling, scaling_from_dict, scaling_to_dict


def test_sinusoidal_vectors() -> None:
    table = sinusoidal(40, 6, np.float64)
    for i in range(40):
        for k in range(6):
            angle = i / 10000 ** (2 * (k // 2) / 6)
            assert table[i, k] == pytest.approx((math.cos if k % 2 else math.sin)(angle), abs=1e-13)
    assert sinusoidal(3, 5).shape == (3, 5) and sinusoidal(0, 4).dtype == np.float32
    assert sinusoidal(2, 0).shape == (2, 0)


def test_angles_grow_with_the_position() -> None:
    cos, sin = Rotary(6, 50.0).at(np.array([[0, 1, 7]]), 8, np.float64)
    for i, position in enumerate((0, 1, 7)):
        for d in range(3):
            angle = position * 50 ** (-2 * d / 6)
            assert cos[0, i, d] == pytest.approx(math.cos(angle), abs=1e-14)
            assert sin[0, i, d] == pytest.approx(math.sin(angle), abs=1e-14)
    assert cos.shape == (1, 3, 3)
    cos, sin = Rotary(4).at(np.arange(10**6, 10**6 + 2), 0)
    assert cos.dtype == sin.dtype == np.float32
    np.testing.assert_allclose(cos[:, 0], np.cos([1e6, 1e6 + 1]), rtol=1e-6)


@given(st.lists(st.lists(st.integers(-2, 3), min_size=7, max_size=7), max_size=4))
def test_a_position_counts_the_earlier_places_of_its_document(rows: list[list[int]]) -> None:
    documents = np.array(rows, int).reshape(len(rows), 7)
    expected = [[row[:i].count(row[i]) for i in range(7)] for row in rows]
    got = positions_of(documents)
    assert got.dtype.kind == "i" and got.tolist() == expected
    assert positions_of(documents[:, :0]).shape == (len(rows), 0)
    assert lengths_of(documents).tolist() == [[row.count(n) for n in row] for row in rows]


@pytest.mark.parametrize("width", [-2, 0, 1, 7])
def test_an_odd_width(width: int) -> None:
    with pytest.raises(ValueError, match=f"the width of a head must be even, got {width}"):
        Rotary(width)


# scaling


def ratio(scaling: str, width: int = 8, theta: float = 10000.0, length: int = 0, **options: Any
          ) -> Any:
    """Return by what the frequencies are divided."""
    plain = theta ** (-np.arange(0, width, 2) / width)
    return plain / Rotary(width, theta, scaling, **options).frequencies(length)[0]


def test_no_rule_and_linear() -> None:
    np.testing.assert_array_equal(ratio(""), 1)
    np.testing.assert_allclose(ratio("linear factor=2.5"), 2.5, rtol=1e-15)


def test_dynamic_stretches_once_the_length_is_exceeded() -> None:
    for options in ({"scaling": "dynamic factor=3 original=100"},
                    {"scaling": "dynamic factor=3", "context": 300}):
        for length in (0, 7, 100):
            np.testing.assert_array_equal(ratio(length=length, **options), 1)
        got = ratio(length=150, **options)
        np.testing.assert_allclose(got, 2.5 ** np.array([0, 1 / 3, 2 / 3, 1]), rtol=1e-13)
    assert ratio("dynamic factor=3 original=100", 2, length=500).tolist() == [1]


def test_yarn_divides_long_wavelengths_alone() -> None:
    got = ratio("yarn factor=8 original=4096", 128)
    assert (got[:20] == 1).all() and np.allclose(got[46:], 8)  # as in the authors' code
    assert (np.diff(1 / got[20:47]) < 0).all()
    np.testing.assert_array_equal(got, ratio("yarn original=4096", 128, context=8 * 4096))
    np.testing.assert_array_equal(got, ratio("yarn factor=8", 128, context=4096))
    low, high = (128 * math.log(4096 / (2 * math.pi * turns)) / (2 * math.log(1e4))
                 for turns in (40, 2))
    ramp = np.clip((np.arange(64) - low) / (high - low), 0, 1)
    words = "yarn factor=8 original=4096 beta_fast=40 beta_slow=2 truncate=false"
    np.testing.assert_allclose(1 / ratio(words, 128), 1 - ramp + ramp / 8, rtol=1e-13)
    factors = {"": 1 + 0.1 * math.log(8), "attention_factor=0.7": 0.7,
               "mscale=0.5": 1 + 0.1 * math.log(8),
               "mscale=0.5 mscale_all_dim=0": 1 + 0.1 * math.log(8),
               "mscale=0.5 mscale_all_dim=0.25":
                   (1 + 0.05 * math.log(8)) / (1 + 0.025 * math.log(8))}
    for words, m in factors.items():
        rotary = Rotary(128, scaling=f"yarn factor=8 original=4096 {words}")
        assert rotary.frequencies(0)[1] == pytest.approx(m, rel=1e-15)
        cos, sin = rotary.at(np.array([0, 3]), 4, np.float64)
        np.testing.assert_allclose(cos * cos + sin * sin, m * m, rtol=1e-14)


def test_llama3_divides_long_wavelengths_and_leaves_short_ones() -> None:
    got = ratio("llama3 factor=8 low=1 high=4 original=8192", 128, 5e5)
    wavelengths = 2 * math.pi * 5e5 ** (np.arange(0, 128, 2) / 128)
    np.testing.assert_allclose(got[wavelengths > 8192], 8)
    np.testing.assert_array_equal(got[wavelengths < 2048], 1)
    between = (wavelengths > 2048) & (wavelengths < 8192)
    assert between.sum() > 3 and ((got > 1) & (got < 8))[between].all()


SCALINGS = {
    "": {"rope_type": "default"},
    "linear factor=4.0": {"rope_type": "linear", "factor": 4.0},
    "dynamic factor=4": {"rope_type": "dynamic", "factor": 4},
    "yarn factor=4.0 original=4096 beta_fast=16 mscale=0.707 truncate=false": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096,
        "beta_fast": 16, "mscale": 0.707, "truncate": False},
    "yarn original=4096 attention_factor=1.1": {
        "rope_type": "yarn", "original_max_position_embeddings": 4096, "attention_factor": 1.1},
    "llama3 factor=32.0 low=1.0 high=4.0 original=8192": {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192},
}


@pytest.mark.parametrize("scaling", SCALINGS)
def test_dictionaries_of_hugging_face(scaling: str) -> None:
    parameters = SCALINGS[scaling]
    assert scaling_to_dict(scaling) == parameters
    for name, value in scaling_to_dict(scaling).items():
        assert type(value) is type(parameters[name])
    assert scaling_from_dict(parameters) == scaling
    assert scaling_from_dict({**parameters, "rope_theta": 5e5, "factor_of_old": None}) == scaling
    old = {"type": parameters["rope_type"], **parameters}
    assert scaling_from_dict(dict(reversed(old.items()))) == scaling
    del old["rope_type"]
    assert scaling_from_dict({**old, "partial_rotary_factor": 1.0}) == scaling


def test_no_dictionary_and_the_original_length_of_a_dynamic_rule() -> None:
    assert scaling_from_dict(None) == scaling_from_dict({}) == ""
    assert scaling_from_dict({"type": "dynamic", "factor": 2, "original_max_position_embeddings": 9}
                             ) == "dynamic factor=2"
    assert scaling_to_dict("dynamic factor=2 original=9") == {"rope_type": "dynamic", "factor": 2}


@pytest.mark.parametrize("scaling, words", [
    ("linaer factor=2", r"no rule 'linaer'; did you mean 'linear'\?"),
    ("longrope factor=2", "no rule 'longrope'; known are linear, dynamic, yarn, llama3"),
    ("linear", "linear needs factor=, got 'linear'"),
    ("llama3 factor=8 low=1", "llama3 needs high=, got"),
    ("linear factor=2 original=9", "linear takes each of factor once, .* got 'original=9'"),
    ("linear factor=2 factor=3", "got 'factor=3'"),
    ("linear 2", "got '2'"),
    ("linear factor", "factor is a number above 0, got ''"),
    ("linear factor=two", "factor is a number above 0, got 'two'"),
    ("linear factor=0", "factor is a number above 0, got '0'"),
    ("linear factor=-2", "above 0, got '-2'"),
    ("linear factor=nan", "above 0, got 'nan'"),
    ("linear factor=inf", "above 0, got 'inf'"),
    ("linear factor=true", "above 0, got 'true'"),
    ("yarn factor=2 original=9 truncate=1", "truncate is true or false, got '1'"),
    ("yarn factor=2 original=9 mscale=-1", "mscale is a number above 0"),
    ("yarn factor=2 original=9 beta_slow=0", "beta_slow is a number above 0"),
    ("llama3 factor=8 low=4 high=4 original=9", "low must lie below high"),
])
def test_settings_that_no_rule_reads(scaling: str, words: str) -> None:
    with pytest.raises(UserError, match=f"^rope_scaling: .*{words}"):
        read_scaling(scaling)


@pytest.mark.parametrize("scaling", ["dynamic factor=2", "yarn factor=2", "yarn original=4096",
                                     "llama3 factor=8 low=1 high=4"])
def test_a_rule_without_the_original_length(scaling: str) -> None:
    with pytest.raises(UserError, match="needs original= and factor="):
        Rotary(8, scaling=scaling)


def test_yarn_without_numbers() -> None:
    with pytest.raises(UserError, match="yarn needs original= and factor=, or the model's context"):
        Rotary(8, scaling="yarn", context=4096)


@pytest.mark.parametrize("parameters, words", [
    ({"rope_type": "longrope", "short_factor": [1]}, "no rule 'longrope'"),
    ({"type": "mrope"}, "no rule 'mrope'"),
    ({"rope_type": ["yarn"]}, r"no rule \['yarn'\]"),
    ({"rope_type": "linear", "factor": 2, "low_freq_factor": 1}, "'low_freq_factor' is not"),
    ({"rope_type": "default", "factor": 2}, "of the rule 'default', 'factor' is not supported"),
    ({"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.5}, "'partial_rotary_factor'"),
    ({"rope_type": "linear", "factor": [2, 3]}, r"factor is .* got '\[2,3\]'"),
    ({"rope_type": "linear", "factor": "2"}, "factor is a number above 0, got '\"2\"'"),
    ({"rope_type": "linear", "factor": True}, "factor is a number above 0, got 'true'"),
    ({"rope_type": "linear"}, "linear needs factor="),
    ({"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}, "llama3 needs low="),
])
def test_dictionaries_that_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=f"^rope_scaling: .*{words}"):
        scaling_from_dict(parameters)


@pytest.mark.parametrize("theta", [-1.0, 0, 1, math.inf, math.nan])
def test_a_base_that_makes_no_frequencies(theta: float) -> None:
    with pytest.raises(ValueError, match="theta, the base of rotary frequencies, lies above 1"):
        Rotary(4, theta)
