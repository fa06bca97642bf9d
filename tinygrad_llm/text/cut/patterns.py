r"""Where text is cut before byte pairs are merged: the published patterns, and an exact splitter.

A pattern is a regular expression whose matches, one after another, are the pre-tokens: words with
the space before them, short runs of digits, punctuation, white space. No merge ever crosses from
one into the next, which keeps "dog." and "dog!" from becoming tokens of their own, and lets a
tokenizer remember the ids of each pre-token.

Every known pattern covers all text: what one alternative does not take, the next does. Text that
a pattern of your own does not match is a pre-token too, as in Hugging Face's behaviour
"Isolated"; tiktoken would drop it.

Sources: GPT-2's is in OpenAI's release of GPT-2 (Radford et al. 2019, section 2.2, says why);
CL100K and O200K are in the package tiktoken; LLAMA3 is in Meta's release of Llama 3; QWEN2
differs from it in taking digits one by one. CL100K_HF is CL100K as Hugging Face files spell it;
they differ in white space at the very end of a text that holds a line break.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from ...host.errors import UserError
from .expressions import Expression

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++\Z|\s*[\r\n]|\s+(?!\S)|\s")
_MODERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = CL100K_HF = _MODERN % "{1,3}"
QWEN2 = _MODERN % ""
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "llama3": LLAMA3, "qwen2": QWEN2}
"""The patterns that have a name, as `--pattern` takes them."""


class Splitter:
    """Cuts text into pre-tokens by the regular expression `pattern`.

    Raises UserError where it is not a regular expression of the package `regex`, or takes too long.

    >>> Splitter(GPT2).split("it's 42!")
    ['it', "'s", ' 42', '!']
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        try:
            self._expression = Expression(pattern, trusted=pattern in _COVERS_ALL)
        except regex.error as error:
            raise UserError(f"the pattern {pattern!r} is not a regular expression: {error}; "
                            f"give one that the package regex takes, or one of "
                            f"{', '.join(PATTERNS)}") from error

    def split(self, text: str) -> list[str]:
        """Return the pre-tokens of `text`; joined they are `text` again."""
        if self.pattern in _COVERS_ALL:
            found: list[str] = self._expression.compiled(text).findall(text)
            return found
        pieces, end = [], 0
        for i, j in self._expression.spans(text):
            if i < j:
                pieces += [text[end:i], text[i:j]] if end < i else [text[i:j]]
                end = j
        return [*pieces, text[end:]] if end < len(text) else pieces


_COVERS_ALL = frozenset({GPT2, CL100K, O200K, LLAMA3, QWEN2})


@lru_cache(maxsize=16)
def splitter(pattern: str) -> Splitter:
    """Return the splitter of a pattern, or of the name of one in PATTERNS."""
    return Splitter(PATTERNS.get(pattern, pattern))
