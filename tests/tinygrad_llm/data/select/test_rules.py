
import pytest

from tinygrad_llm.data.select.rules import C4, GOPHER, LIGHT, RULES, Rule, failed_rule, rules_of
from tinygrad_llm.host.errors import UserError

PROSE = (
    "The river had been frozen for nine days when the letter came, and nobody in the village "
    "would carry it over. My aunt read the address twice, put the envelope on the shelf, and went "
    "back to her bread with flour up to both elbows.\n\n"
    "It was Thomas who noticed the stamp. He had seen one like it in a book about islands that "
    "have sunk since, and said so at supper; then everyone began to talk at once. By midnight "
    "they had agreed to wait for spring. Nobody slept well that night!\n"
)
WORDS = [f"word{i}" for i in range(500)]


def check(code: str) -> Rule:
    return next(rule for preset in RULES.values() for rule in preset if rule.code == code)


def test_good_prose_passes_every_rule() -> None:
    assert failed_rule(PROSE, rules_of("gopher,c4,light")) is None


@pytest.mark.parametrize("code, text", [
    ("gopher-words", " ".join(WORDS[:49])),
    ("gopher-words", "the quick be " * 33_334),
    ("gopher-word-length", "I am so in it to be on my up " * 9),
    ("gopher-word-length", " ".join(f"extraordinary{i}" for i in range(60))),
    ("gopher-symbols", PROSE + " #tag" * 12),
    ("gopher-symbols", PROSE.replace(" the", " … the ") + " ... …" * 5),
    ("gopher-bullets", "\n".join(f"- {line}" for line in PROSE.split("\n\n"))),
    ("gopher-ellipses", PROSE.replace(", ", "...\n")),
    ("gopher-letters", PROSE + " 2024 - 17" * 20),
    ("gopher-stop-words", " ".join(WORDS[:60])),
    ("gopher-lines", PROSE + "\nSame here." * 9 + "\nThat same."),
    ("gopher-line-characters",
     "\n".join([PROSE, "And so on.", "That was it.", "The end.", PROSE[:229]])),
])  # fmt: skip
def test_each_rule_of_gopher(code: str, text: str) -> None:
    assert not check(code).check(text)
    assert check(code).check(PROSE)
    if code not in ("gopher-words", "gopher-letters"):
        assert failed_rule(text, GOPHER) == code


@pytest.mark.parametrize("code, text", [
    ("c4-lorem-ipsum", PROSE + "Lorem Ipsum dolor."),
    ("c4-curly-bracket", PROSE + "f() { return; }"),
    ("c4-line-ends", "Menu\n" * 20 + PROSE),
    ("c4-sentences", "One sentence that is long enough. Another one."),
    ("c4-sentences", "Please turn on Javascript. It is a must. Do it.\n" * 3),
    ("c4-sentences", "Too short.\n" * 20),
])  # fmt: skip
def test_each_rule_of_c4(code: str, text: str) -> None:
    assert failed_rule(text, C4) == code
    assert check(code).check(PROSE)


@pytest.mark.parametrize("code, text", [
    ("light-short", "Too short."),
    ("light-one-character", "=" * 99 + " a few words that stand there, also"),
    ("light-lines", "The same line over and over.\n" * 9),
    ("light-4-gram", "over and over again " * 30),
    ("light-10-grams", " ".join(WORDS[:200]) + " " + " ".join(WORDS[:200])),
])  # fmt: skip
def test_each_light_rule(code: str, text: str) -> None:
    assert failed_rule(text, LIGHT) == code
    assert check(code).check(PROSE)


@pytest.mark.parametrize("text", [
    "A short remark, but a whole one.",
    "HAMLET:\nTo be, or not to be.\n\nHORATIO:\nMy lord?\n\nHAMLET:\nWords, words, words.\n" * 1,
    "def f(x):\n    if x:\n        return 1\n    return 2\n\n\ndef g(x):\n    return f(x)\n",
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
])  # fmt: skip
def test_short_texts_of_any_kind_pass_the_light_rules(text: str) -> None:
    assert failed_rule(text, LIGHT) is None


def test_rules_for_english_are_for_english() -> None:
    text = " ".join(WORDS[:60])
    stop_words = [check("gopher-stop-words")]
    assert failed_rule(text, stop_words, "en") == "gopher-stop-words"
    for language in ("de", "und"):
        assert failed_rule(text, stop_words, language) is None


@pytest.mark.parametrize("rule", GOPHER + C4 + LIGHT, ids=lambda rule: rule.code)
@pytest.mark.parametrize("text", ["", " \n\n", ".", "a", "\n\n\n", "é", "- ", "…"])
def test_rules_answer_for_any_text(rule: Rule, text: str) -> None:
    assert rule.check(text) in (True, False)


def test_presets() -> None:
    assert rules_of("none") == () == rules_of([])
    assert rules_of("gopher,c4") == GOPHER + C4 == rules_of(["gopher", "c4", "c4"])
    codes = [rule.code for rule in rules_of(list(RULES))]
    assert len(set(codes)) == len(codes) > 20
    assert all(rule.why for rule in rules_of(list(RULES)))
    with pytest.raises(UserError, match="light, gopher, c4, none, got 'gofer'"):
        rules_of("gofer")
