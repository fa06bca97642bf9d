"""Rules that a document must pass, each with a name, a reason and a threshold, and sets of them.

"light" suits plays, verse, code and short texts: it asks only for some text that does not repeat
itself. "gopher" and "c4" are for prose from the web. "none" keeps all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...host.errors import UserError
from . import quality


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a document passes or is dropped for.

    `code` names it in reports, `why` says to people what is wrong with a document that it drops,
    with the source of the threshold; `check` returns whether a text is kept. Rules about English
    words apply to texts in English only.
    """

    code: str
    why: str
    check: Callable[[str], bool]
    english_only: bool = False


def failed_rule(text: str, rules: Sequence[Rule], language: str = "en") -> str | None:
    """Return the code of the first rule that drops `text`, or None where it is kept.

    `language` is the ISO 639-1 code of the text's language.
    """
    for rule in rules:
        if (language == "en" or not rule.english_only) and not rule.check(text):
            return rule.code
    return None


def rules_of(presets: str | Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules of a preset, or of several in order, "gopher,c4" or ["gopher", "c4"].

    Raises UserError for a name that is none of RULES.
    """
    names = presets.split(",") if isinstance(presets, str) else presets
    found: dict[str, Rule] = {}
    for name in names:
        if name not in RULES:
            raise UserError(f"rules must be among {', '.join(RULES)}, got {name!r}")
        found |= {rule.code: rule for rule in RULES[name]}
    return tuple(found.values())


def _rule(code: str, why: str, check: Callable[..., bool], **thresholds: Any) -> Rule:
    return Rule(code, why, partial(check, **thresholds) if thresholds else check)


GOPHER = (
    _rule("gopher-words", "fewer than 50 or more than 100,000 words (Gopher)",
          quality.has_word_count, least=50, most=100_000),
    _rule("gopher-word-length", "words of fewer than 3 or more than 10 characters on average "
          "(Gopher)", quality.has_word_length, least=3, most=10),
    _rule("gopher-symbols", "more than one # or ... for ten words (Gopher)",
          quality.has_few_symbols, most=0.1),
    _rule("gopher-bullets", "more than 90 % of lines begin with a bullet (Gopher)",
          quality.has_few_bullets, most=0.9),
    _rule("gopher-ellipses", "more than 30 % of lines end with an ellipsis (Gopher)",
          quality.has_few_ellipses, most=0.3),
    _rule("gopher-letters", "fewer than 80 % of words have a letter (Gopher)",
          quality.has_letters, least=0.8),
    Rule("gopher-stop-words", "fewer than two of the, be, to, of, and, that, have, with (Gopher)",
         partial(quality.has_stop_words, least=2), english_only=True),
    _rule("gopher-lines", "more than 30 % of lines repeat one before (Gopher, table A1)",
          quality.has_few_repeated_lines, most=0.3),
    _rule("gopher-paragraphs", "more than 30 % of paragraphs repeat one before (Gopher, table A1)",
          quality.has_few_repeated_paragraphs, most=0.3),
    _rule("gopher-line-characters", "more than 20 % of characters in lines that repeat one before "
          "(Gopher, table A1)", quality.has_few_repeated_lines, most=0.2, by_characters=True),
    _rule("gopher-paragraph-characters", "more than 20 % of characters in paragraphs that repeat "
          "one before (Gopher, table A1)",
          quality.has_few_repeated_paragraphs, most=0.2, by_characters=True),
    *(_rule(f"gopher-top-{n}-gram", f"the most frequent run of {n} words covers more than "
            f"{100 * most:.0f} % of characters (Gopher, table A1)",
            quality.has_no_dominant_ngram, n=n, most=most)
      for n, most in ((2, 0.20), (3, 0.18), (4, 0.16))),
    *(_rule(f"gopher-repeated-{n}-grams", f"runs of {n} words that occur twice cover more than "
            f"{100 * most:.0f} % of characters (Gopher, table A1)",
            quality.has_few_repeated_ngrams, n=n, most=most)
      for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))),
)  # fmt: skip

C4 = (
    _rule("c4-lorem-ipsum", "holds lorem ipsum (C4)", quality.has_no_lorem_ipsum),
    _rule("c4-curly-bracket", "holds a curly bracket, so is code (C4)",
          quality.has_no_curly_brackets),
    _rule("c4-line-ends", "at most 12 % of lines end in a punctuation mark (C4, FineWeb)",
          quality.has_ended_lines, least=0.12),
    _rule("c4-sentences", "fewer than 3 sentences in lines that end in a punctuation mark, have 5 "
          "words and are no notice about JavaScript, cookies or a policy (C4)",
          quality.has_sentences, least=3, line_words=5),
)  # fmt: skip

# The thresholds are ours: what plays, Python's library, reference manuals and a tweet pass
# (a manual reaches 72 % of repeated 10-grams), and texts that run in a circle do not.
LIGHT = (
    _rule("light-short", "fewer than 20 letters and digits", quality.has_some_text, least=20),
    _rule("light-one-character", "half of it is one character", quality.is_no_single_run, most=0.5),
    _rule("light-lines", "more than half of the characters are in lines that repeat one before",
          quality.has_few_repeated_lines, most=0.5, by_characters=True),
    _rule("light-4-gram", "the most frequent run of 4 words covers more than half of it",
          quality.has_no_dominant_ngram, n=4, most=0.5),
    _rule("light-10-grams", "runs of 10 words that occur twice cover more than 80 % of it",
          quality.has_few_repeated_ngrams, n=10, most=0.8),
)  # fmt: skip

RULES: dict[str, tuple[Rule, ...]] = {"light": LIGHT, "gopher": GOPHER, "c4": C4, "none": ()}
