"""The language of a text, identified by the statistics of byte sequences.

The model is py3langid's, a naive Bayes classifier over n-grams of bytes (Lui and Baldwin,
"langid.py: an off-the-shelf language identification tool", 2012), and comes in its wheel: nothing
is fetched. On 96 single sentences in sixteen languages it errs as rarely as lingua and fastText's
small model (not once), langdetect three times.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...host.errors import UserError

WINDOW = 100  # characters of each sample; twice as many change no answer
WINDOWS = 3  # samples, spread over a long text, which may begin with a notice in English
UNKNOWN = "und"  # ISO 639's code for "undetermined"


def identify_language(text: str) -> tuple[str, float]:
    """Return the ISO 639 code of a text's language and how sure that is, from 0 to 1.

    ("und", 0.0) for a text without letters. Raises UserError without py3langid.

    >>> identify_language("Sein oder nicht sein, das ist hier die Frage.")[0]
    'de'
    """
    sample = sampled(text)
    if not any(map(str.isalpha, sample)):
        return UNKNOWN, 0.0
    code, confidence = _identifier().classify(sample)
    return str(code), float(confidence)


def sampled(text: str) -> str:
    """Return WINDOWS pieces of a text, from its beginning to its end, or all of a short one."""
    if len(text) <= WINDOW * WINDOWS:
        return text
    step = (len(text) - WINDOW) // (WINDOWS - 1)
    return "\n".join(text[start : start + WINDOW] for start in range(0, step * WINDOWS, step))


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError(
            'identifying languages needs py3langid: pip install "tinygrad_llm[data]"'
        ) from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
