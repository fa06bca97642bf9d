import math

import numpy as np
import pytest
from old_encodings import TEXTS, samples

from tinygrad_llm.data.read import letters
from tinygrad_llm.data.read.letters import EAST_ASIAN, Characters, is_assigned, strangeness

ALL = [name.removesuffix(".letters") for name in np.load(
    letters.__file__.replace(".py", ".npz")).files if name.endswith(".letters")]
BY_PAIRS = [language for language in ALL if language not in EAST_ASIAN]


@pytest.mark.parametrize("language", BY_PAIRS)
def test_a_table_holds_chances(language: str) -> None:
    index, steps = letters.cost_table(language)
    size = 1 + len(set(index) & set(str(letters._tables()[f"{language}.letters"])))
    chances = np.exp(-steps[1:size, :size]).sum(1)
    assert np.abs(chances - 1).max() < 0.1  # of steps of 1/16, and of chances below e**-16


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_costs_least_in_its_language(language: str) -> None:
    text = samples(language)["paragraph"].lower()
    name = {"hr": "sh"}.get(language, language)
    costs = {other: Characters(text).cost(other) for other in [*BY_PAIRS, *EAST_ASIAN]}
    near = sorted(costs, key=costs.__getitem__)
    assert name in near[:2], near[:4]  # sh and sl, da and nb, zh and zh-hant are alike
    assert Characters(text).least <= costs[name]


def test_letters_that_word_lists_spell_otherwise() -> None:
    assert Characters("gro\u00df").cost("de") < Characters("gro\u00fe").cost("de") - 3
    assert Characters("\u03bb\u03cc\u03b3\u03bf\u03c2").cost("el") < 20
    assert Characters("\u0163ar\u0103").cost("ro") == Characters("\u021bar\u0103").cost("ro")


@pytest.mark.parametrize("right, wrong", [
    ("hello", "hEllo"), ("Hello", "heLLo"), ("it's", "it\xa6s"), ("a b", "a\x81b"),
    ("\u2550\u2550\u2550", "\u2550\u2566\u2569"), ("a\ufffd", "a\ufffd\ufffd")])
def test_signs_and_capitals(right: str, wrong: str) -> None:
    assert Characters(right).cost("en") < Characters(wrong).cost("en")


def test_the_empty_text_costs_nothing() -> None:
    assert math.isclose(Characters("").cost("en"), 0) and Characters("").cost("zh") == 0


@pytest.mark.parametrize("text, assigned", [("a\n\u4e2d", True), ("\ue000", False),
                                            ("\ufffd", False), ("a\0", False)])
def test_characters_that_texts_are_made_of(text: str, assigned: bool) -> None:
    assert is_assigned(text) == assigned


@pytest.mark.parametrize("language, usual, strange", [
    ("fr", "\u00e9", "\u0439"), ("ru", "\u0416", "\u00e9"), ("zh", "\u7684", "\u9f98"),
    ("en", "\u2019", "\u2566"),
    ("ko", "\uc774", "\u4e2d")])
def test_characters_are_usual_or_strange(language: str, usual: str, strange: str) -> None:
    assert strangeness(language, usual) < 8 < strangeness(language, strange)
