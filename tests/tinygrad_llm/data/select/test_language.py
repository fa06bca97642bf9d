import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.select import language
from tinygrad_llm.data.select.language import identify_language
from tinygrad_llm.host.errors import UserError

pytest.importorskip("py3langid")

SAMPLES = {
    "en": "The weather was so cold that the river froze over in one night.",
    "de": "Das Wetter war so kalt, dass der Fluss in einer Nacht zufror.",
    "fr": "Il faisait si froid que la rivière a gelé en une nuit.",
    "es": "Hacía tanto frío que el río se congeló en una noche.",
    "it": "Faceva così freddo che il fiume gelò in una notte.",
    "pt": "Fazia tanto frio que o rio congelou numa noite.",
    "nl": "Het was zo koud dat de rivier in één nacht bevroor.",
    "pl": "Było tak zimno, że rzeka zamarzła w jedną noc.",
    "ru": "Было так холодно, что река замёрзла за одну ночь.",
    "tr": "Hava o kadar soğuktu ki nehir bir gecede dondu.",
    "zh": "天气非常冷，河水一夜之间就结冰了。",
    "ja": "とても寒くて、川は一晩で凍ってしまった。",
    "ar": "كان الطقس باردًا جدًا حتى تجمد النهر في ليلة واحدة.",
    "hi": "इतनी ठंड थी कि नदी एक रात में जम गई।",
}


@pytest.mark.parametrize("code", SAMPLES)
def test_one_sentence_is_enough(code: str) -> None:
    found, confidence = identify_language(SAMPLES[code])
    assert found == code
    assert 0.3 < confidence <= 1


@pytest.mark.parametrize("text", ["", " \n", "123 + 456 = 579", "...", "☃"])
def test_nothing_to_tell_by(text: str) -> None:
    assert identify_language(text) == ("und", 0.0)


def test_more_text_is_surer() -> None:
    text = SAMPLES["de"]
    assert identify_language(text * 3)[1] > identify_language(text[:15])[1]


def test_a_notice_before_a_text_does_not_decide() -> None:
    text = "This file is in the public domain. " + "\n".join([SAMPLES["de"]] * 40)
    assert identify_language(text)[0] == "de"


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_has_an_answer(text: str) -> None:
    code, confidence = identify_language(text)
    assert 2 <= len(code) <= 3 and code.islower() and 0 <= confidence <= 1


@given(st.integers(0, 5000))
def test_samples_are_short_and_spread(length: int) -> None:
    text = "".join(chr(0x100 + i) for i in range(length))
    sample, most = language.sampled(text), language.WINDOW * language.WINDOWS
    assert len(sample) <= most + language.WINDOWS
    if text:
        assert sample[0] == text[0]
        assert len(text) <= most or ord(text[-1]) - ord(sample[-1]) <= language.WINDOWS


def test_a_long_text_takes_no_longer() -> None:
    identify_language("warm up")
    start = time.process_time()
    identify_language("a b " * 5_000_000)
    assert time.process_time() - start < 0.5


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    language._identifier.cache_clear()
    with pytest.raises(UserError, match=r"tinygrad_llm\[data\]"):
        identify_language("some words")
