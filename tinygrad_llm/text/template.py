"""Post-processors: the ids that a tokenizer puts around a text, such as [CLS] and [SEP].

A post-processor does two things, each as Hugging Face's tokenizers does it. `layout` returns the
ids around one text or two:

    BERT     [CLS] A [SEP]                  [CLS] A [SEP] B [SEP]
    RoBERTa  <s> A </s>                     <s> A </s> </s> B </s>
    GPT-2    A                              A B

and `trim` takes the spaces that byte-level tokens begin or end with out of their offsets.

Source: processors/ of tokenizers 0.23.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..host.errors import UserError
from .characters.alphabet import BYTE_TO_CHAR
from .characters.unicode_versions import WHITE_SPACE

Part = int | str  # an id, or "A" or "B" for the ids of the first and the second text

_SPACES = WHITE_SPACE + BYTE_TO_CHAR[ord(" ")]


class PostProcessor:
    """The base of all post-processors: by itself it leaves texts one after the other."""

    def layout(self, pair: bool = False) -> list[Part]:
        """Return the layout of one text, or of two."""
        return ["A", "B"] if pair else ["A"]

    def trim(
        self, tokens: collections.abc.Sequence[str], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets (N, 2) of N tokens, without the spaces that do not count."""
        return offsets


@dataclass(frozen=True)
class ByteLevel(PostProcessor):
    """Trims offsets, if `trim_offsets`.

    With add_prefix_space, a single space at the beginning of the first token counts as the
    pre-tokenizer's, which covers nothing anyway. `use_regex` has no effect here.
    """

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True

    def trim(
        self, tokens: collections.abc.Sequence[str], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets without leading and trailing spaces."""
        return _trimmed(tokens, offsets, self.add_prefix_space) if self.trim_offsets else offsets


@dataclass(frozen=True)
class BertProcessing(PostProcessor):
    """[CLS] and [SEP], each given as (token, id)."""

    sep: tuple[str, int]
    cls: tuple[str, int]

    def layout(self, pair: bool = False) -> list[Part]:
        """Return [CLS] A [SEP], for two [CLS] A [SEP] B [SEP]."""
        single: list[Part] = [self.cls[1], "A", self.sep[1]]
        return [*single, "B", self.sep[1]] if pair else single


@dataclass(frozen=True)
class RobertaProcessing(PostProcessor):
    """RoBERTa's <s> and </s>, each given as (token, id), and the trimming of `ByteLevel`."""

    sep: tuple[str, int]
    cls: tuple[str, int]
    trim_offsets: bool = True
    add_prefix_space: bool = True

    def layout(self, pair: bool = False) -> list[Part]:
        """Return <s> A </s>, for two <s> A </s> </s> B </s>."""
        single: list[Part] = [self.cls[1], "A", self.sep[1]]
        return [*single, self.sep[1], "B", self.sep[1]] if pair else single

    def trim(
        self, tokens: collections.abc.Sequence[str], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets without leading and trailing spaces."""
        return _trimmed(tokens, offsets, self.add_prefix_space) if self.trim_offsets else offsets


@dataclass(frozen=True)
class TemplatePart:
    """A place in a template: the text A or B, or a special token's name; `type_id` goes with it."""

    name: str
    is_text: bool
    type_id: int = 0


@dataclass(frozen=True)
class TemplateProcessing(PostProcessor):
    """Any layout. `special_tokens` has for each name the (id, token) pairs that it stands for.

    Raises UserError where a template names no special token, or a text that is not there.
    """

    single: tuple[TemplatePart, ...]
    pair: tuple[TemplatePart, ...]
    special_tokens: dict[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for parts, texts in ((self.single, {"A"}), (self.pair, {"A", "B"})):
            for part in parts:
                if part.is_text and part.name not in texts:
                    raise UserError(f"the template asks for the text {part.name!r} where there is "
                                    f"only {' and '.join(sorted(texts))}")
                if not part.is_text and part.name not in self.special_tokens:
                    raise UserError(f"the template's special token {part.name!r} is not among its "
                                    "special_tokens, so it has no id")

    def layout(self, pair: bool = False) -> list[Part]:
        """Return the parts of one of the two templates, special tokens as their ids."""
        parts: list[Part] = []
        for part in self.pair if pair else self.single:
            if part.is_text:
                parts.append(part.name)
            else:
                parts += [id for id, _ in self.special_tokens[part.name]]
        return parts


@dataclass(frozen=True)
class Sequence(PostProcessor):
    """One post-processor after the other; at most one of them lays out (UserError)."""

    processors: tuple[PostProcessor, ...]

    def __post_init__(self) -> None:
        if sum(lays_out(processor) for processor in self.processors) > 1:
            raise UserError("a Sequence of several post-processors that put tokens around a text "
                            "is not known; leave one of them")

    def layout(self, pair: bool = False) -> list[Part]:
        """Return the layout of the one that has one."""
        for processor in self.processors:
            if lays_out(processor):
                return processor.layout(pair)
        return super().layout(pair)

    def trim(
        self, tokens: collections.abc.Sequence[str], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets that all of them have trimmed."""
        for processor in self.processors:
            offsets = processor.trim(tokens, offsets)
        return offsets


def lays_out(processor: PostProcessor | None, like: PostProcessor | None = None) -> bool:
    """Return whether it puts other ids around texts than `like`, None standing for none at all."""
    ours, theirs = processor or PostProcessor(), like or PostProcessor()
    return any(ours.layout(pair) != theirs.layout(pair) for pair in (False, True))


def _trimmed(
    tokens: collections.abc.Sequence[str], offsets: NDArray[np.int64], add_prefix_space: bool
) -> NDArray[np.int64]:
    """Return the offsets without the spaces that the tokens begin and end with.

    A token of spaces alone keeps an empty span at its end.
    """
    trimmed = offsets.copy()
    for i, token in enumerate(tokens):
        start, end = offsets[i].tolist()
        leading = len(token) - len(token.lstrip(_SPACES))
        trailing = len(token) - len(token.rstrip(_SPACES))
        if leading == 1 and add_prefix_space and (i == 0 or start == 0):
            leading = 0
        start = min(start + leading, end)
        if end >= trailing:
            end = max(end - trailing, start)
        trimmed[i] = start, end
    return trimmed
