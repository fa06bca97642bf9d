r"""From text to ids and back: the pipeline that every tokenizer of today is an instance of.

    text       "Héllo <|end|> world"
    added      "Héllo "            <|end|>    " world"       special.AddedTokens
    normalizer "hello "                       " world"       normalize/
    pre-tok.   "hello" " "                    " world"       cut/pretokenizers
    model      [17, 4] [9]         50256      [995]          algorithms/: BPE, Unigram...
    template   [CLS] ... [SEP]                               template

Every part but the model may be missing. Decoding turns ids into tokens, and a decoder undoes what
the parts did to the text, as far as it can be undone.

Some models encode a whole stretch of text at once: byte-level BPE behind a single pattern, and
characters. Others take it piece by piece. Pieces come again and again, so the ids of short ones are
remembered, in a dict that is emptied when it is full: memory stays bounded whatever the text is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..host.errors import UserError
from . import decoders
from .algorithms.bpe import BPE
from .algorithms.characters import Characters
from .algorithms.model import Model
from .characters.aligned import Aligned
from .characters.surrogates import refuse_lone_surrogates
from .cut.pretokenizers import PreTokenizer, asks_for_first, single_pattern
from .normalize.normalizers import Normalizer, keeps_beginning
from .special import AddedToken, AddedTokens, Special, end_of_text
from .stream import TokenStream
from .template import PostProcessor

REMEMBERED = 1 << 16  # pieces
LONGEST_REMEMBERED = 64  # characters
LARGEST_ID = 2**31 - 1  # ids are int32
ERRORS = ("strict", "replace", "ignore", "backslashreplace")


class Tokenizer:
    """Turns text into ids and ids into text; see the module for the parts.

    unused: tokens with ids that no text becomes; only decoding knows them. Raises UserError where
    two tokens have one id, an id is no whole number below 2**31, or the template has one of no
    token.

    >>> from tinygrad_llm.text.algorithms.bpe import BPE
    >>> vocab = {bytes([b]): b for b in range(256)} | {b"an": 256}
    >>> tokenizer = Tokenizer(BPE(vocab, [(b"a", b"n")]))
    >>> tokenizer.encode("banana")
    [98, 256, 256, 97]
    """

    def __init__(
        self, model: Model, *, normalizer: Normalizer | None = None,
        pre_tokenizer: PreTokenizer | None = None, decoder: decoders.Decoder | None = None,
        template: PostProcessor | None = None, added: AddedTokens | None = None,
        unused: Mapping[str, int] | None = None,
    ) -> None:
        self.model, self.normalizer, self.pre_tokenizer = model, normalizer, pre_tokenizer
        self.decoder, self.template = decoder, template
        self.added = AddedTokens() if added is None else added
        self.unused = dict(unused or {})
        vocab = model.vocab
        self._ids_of = {**self.unused, **vocab}
        self._ids_of.update((token.content, token.id) for token in self.added.tokens)
        self._tokens = _tokens_by_id(vocab, self.unused, self.added.tokens)
        if template:
            _check_template(template, self._tokens)
        self._special_ids = frozenset(self.added.special.values())
        self.pattern = single_pattern(pre_tokenizer) if isinstance(model, BPE) else None
        self._encode_whole = _whole_text_encoder(model, pre_tokenizer)
        self._takes_surrogates = isinstance(model, Characters)
        self._remembered: dict[str, tuple[int, ...]] = {}
        self.vocab_size = max(self._tokens, default=-1) + 1

    # Encoding

    def encode(
        self, text: str, *, special: Special = "refuse", template: bool = False
    ) -> list[int]:
        """Return the ids of `text`; with `template`, what the definition puts around them too.

        special: the rule for special tokens' texts in `text`. "refuse" raises UserError, "text"
        encodes them as any other text, "allow" gives them their ids, a collection of names does
        so for these and refuses the others. Raises UserError for what the model has no token for,
        such as lone surrogates.
        """
        ids: list[int] = self.encode_to_array(text, special=special, template=template).tolist()
        return ids

    def encode_to_array(
        self, text: str, *, special: Special = "refuse", template: bool = False
    ) -> NDArray[np.int32]:
        """Return the ids that `encode` returns, int32 of shape (N,)."""
        ids = _concatenated(list(self._encoded_parts(text, special)))
        return self._laid_out(template, ids) if template else ids

    def encode_pair(
        self, text: str, pair: str, *, special: Special = "refuse", template: bool = True
    ) -> list[int]:
        """Return the ids of two texts, as the template sets them side by side."""
        both = (_concatenated(list(self._encoded_parts(t, special))) for t in (text, pair))
        ids: list[int] = self._laid_out(template, *both).tolist()
        return ids

    def beginning(self) -> list[int]:
        """Return the ids that a text without a beginning goes on from, as in training.

        The end of another text, where a special token says so, else a new line, else the first of
        all tokens.
        """
        end = end_of_text(self.special_tokens)
        if end is not None:
            return [end]
        try:
            ids = self.encode("\n")
        except UserError:  # no token spells it
            ids = []
        return ids or [min(self._tokens)]

    def encode_with_offsets(
        self, text: str, *, special: Special = "refuse", template: bool = False
    ) -> tuple[list[int], NDArray[np.int64]]:
        """Return the ids that `encode` returns, and the span (start, end) in `text` of each (N, 2).

        A token that covers part of a character covers it whole, so spans may overlap. A template's
        own tokens cover [0, 0). The template may trim spaces (`trim_offsets`), as in Hugging
        Face's tokenizers.
        """
        ids: list[int] = []
        spans = [np.zeros((0, 2), np.int64)]
        taken: dict[int, str] = {}  # with the white space that an added token takes with it
        for found, places, whole in self._encoded_parts_with_spans(text, special):
            if whole:
                taken[len(ids)] = whole
            ids += found
            spans.append(places)
        offsets = np.concatenate(spans)
        if self.template:
            tokens = [taken.get(i) or self._tokens[id] for i, id in enumerate(ids)]
            offsets = self.template.trim(tokens, offsets)
        if not template:
            return ids, offsets
        laid_out = [np.zeros((0, 2), np.int64)]  # a layout may be empty
        for part in (self.template or PostProcessor()).layout():
            laid_out.append(offsets if part == "A" else np.zeros((1, 2), np.int64))
        offsets = np.concatenate(laid_out)
        return self._laid_out(True, np.array(ids, np.int32)).tolist(), offsets

    def _encoded_parts(self, text: str, special: Special) -> Iterator[NDArray[np.int32]]:
        self._check_text(text)
        for piece, start, _ in self.added.split(text, special):
            if isinstance(piece, AddedToken):
                yield np.array([piece.id], np.int32)
                continue
            first = start == 0 and self._keeps_beginning(piece)
            if self.normalizer:
                piece = self.normalizer(piece)
            for part, begin, _ in self.added.split_normalized(piece, special):
                if isinstance(part, AddedToken):
                    yield np.array([part.id], np.int32)
                else:
                    yield self._ids_of_stretch(part, first=first and begin == 0)

    def _check_text(self, text: str) -> None:
        if not isinstance(text, str):
            raise ValueError(f"encode: the text must be a str, got {type(text).__name__}")
        if not self._takes_surrogates and not text.isascii():
            refuse_lone_surrogates(text)

    def _keeps_beginning(self, text: str) -> bool:
        """Return whether normalising keeps the beginning of `text` where it is.

        The answer is True where the pre-tokenizer makes no use of it.
        """
        if not self.normalizer or not asks_for_first(self.pre_tokenizer):
            return True
        return keeps_beginning(self.normalizer, Aligned.of(text))

    def _ids_of_stretch(self, stretch: str, first: bool) -> NDArray[np.int32]:
        """Return the ids of normalised text without added tokens, int32 of shape (N,).

        first: whether the whole text begins with it.
        """
        if self._encode_whole:
            return self._encode_whole(stretch)
        pieces = self.pre_tokenizer(stretch, first) if self.pre_tokenizer else [stretch]
        return np.fromiter((id for piece in pieces for id in self._piece_ids(piece)), np.int32)

    def _piece_ids(self, piece: str) -> tuple[int, ...]:
        ids = self._remembered.get(piece)
        if ids is None:
            ids = self.model.encode_piece(piece)
            if len(piece) <= LONGEST_REMEMBERED:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[piece] = ids
        return ids

    def _encoded_parts_with_spans(
        self, text: str, special: Special
    ) -> Iterator[tuple[list[int], NDArray[np.int64], str]]:
        """Yield the ids of a part, their spans (N, 2), and the text of an added token, or ""."""
        self._check_text(text)
        source = Aligned.of(text)
        for piece, start, end in self.added.split(text, special):
            if isinstance(piece, AddedToken):
                yield [piece.id], np.array([[start, end]]), text[start:end]
                continue
            first = start == 0 and self._keeps_beginning(piece)
            a = self.normalizer.align(source[start:end]) if self.normalizer else source[start:end]
            for part, i, j in self.added.split_normalized(a.text, special):
                if isinstance(part, AddedToken):
                    yield [part.id], a.spans([i], [j]), a.text[i:j]
                    continue
                pieces = [a[i:j]]
                if self.pre_tokenizer:
                    pieces = self.pre_tokenizer.align(a[i:j], first and i == 0)
                for b in pieces:
                    if found := self.model.piece_spans(b.text):
                        starts, ends = [s for _, s, _ in found], [e for _, _, e in found]
                        yield [id for id, _, _ in found], b.spans(starts, ends), ""

    def _laid_out(self, template: bool, *texts: NDArray[np.int32]) -> NDArray[np.int32]:
        post_processor = self.template if template and self.template else PostProcessor()
        named = dict(zip("AB", texts, strict=False))
        parts = post_processor.layout(pair=len(texts) == 2)
        return _concatenated([named[part] if isinstance(part, str) else np.array([part], np.int32)
                        for part in parts])

    # Decoding

    def decode(
        self, ids: Sequence[int] | NDArray[Any], *, errors: str = "replace",
        skip_special: bool = False,
    ) -> str:
        """Return the text of `ids`, without special tokens under `skip_special`.

        errors: what to do with bytes that are no UTF-8, "strict", "replace", "ignore" or
        "backslashreplace" (Python's error handlers). Raises ValueError for ids that are none of
        this tokenizer's, and for such bytes under "strict".
        """
        if errors not in ERRORS:
            raise ValueError(f"decode: errors={errors!r} is none of {', '.join(ERRORS)}")
        if isinstance(self.decoder, decoders.ByteLevel):
            return self._joined_bytes(ids, skip_special).decode("utf-8", errors)
        tokens = self._tokens_of(ids, skip_special)
        return decoders.decode(self.decoder, tokens, errors) if self.decoder else " ".join(tokens)

    def stream_decoder(self) -> TokenStream:
        """Return a stream that takes ids as they come and gives their text, in whole characters."""
        is_byte_level = isinstance(self.decoder, decoders.ByteLevel)
        return TokenStream(self.decode, self.decode_bytes if is_byte_level else None)

    def decode_bytes(
        self, ids: Sequence[int] | NDArray[Any], *, skip_special: bool = False
    ) -> bytes:
        """Return the exact bytes of `ids`, which need not be whole characters; see `decode`."""
        if isinstance(self.decoder, decoders.ByteLevel):
            return self._joined_bytes(ids, skip_special)
        tokens = self._tokens_of(ids, skip_special)
        return decoders.decode_bytes(self.decoder, tokens) if self.decoder else " ".join(
            tokens).encode()

    def _joined_bytes(self, ids: Sequence[int] | NDArray[Any], skip_special: bool) -> bytes:
        """Return the bytes of the ids of a byte-level tokenizer."""
        given = _as_integers(ids)
        try:
            return (self._shown_bytes if skip_special else self._bytes).join(given)
        except KeyError as error:
            raise self._unknown_id_error(given, error.args[0]) from None

    def _tokens_of(self, ids: Sequence[int] | NDArray[Any], skip_special: bool) -> list[str]:
        given = _as_integers(ids)
        known: list[int] = given.tolist()
        try:
            tokens = [self._tokens[id] for id in known]
        except KeyError as error:
            raise self._unknown_id_error(given, error.args[0]) from None
        if not skip_special:
            return tokens
        return [token for token, id in zip(tokens, known, strict=True)
                if id not in self._special_ids]

    @cached_property
    def _bytes(self) -> decoders.ByteTable:
        """The bytes of every token of a byte-level tokenizer.

        An added token stands for its own text, even where the alphabet could spell bytes by it.
        """
        return decoders.ByteTable(self._tokens, self.added.by_content)

    @cached_property
    def _shown_bytes(self) -> decoders.ByteTable:
        """The same, but special tokens have none."""
        shown = {id: "" if id in self._special_ids else token for id, token in self._tokens.items()}
        return decoders.ByteTable(shown, self.added.by_content)

    def _unknown_id_error(self, ids: NDArray[Any], id: int) -> ValueError:
        return ValueError(f"decode: id {id} at position {int(np.argmax(ids == id))} "
                          f"{self._id_fault(id)}; these ids come from another tokenizer")

    def _id_fault(self, id: int) -> str:
        if 0 <= id < self.vocab_size:
            return f"is not used, though it is in [0, {self.vocab_size})"
        return f"is not in [0, {self.vocab_size})"

    # The vocabulary

    def token(self, id: int) -> str:
        """Return the token with this id, as files spell it; ValueError where there is none."""
        if id not in self._tokens:
            raise ValueError(f"token: id {id} {self._id_fault(id)}")
        return self._tokens[id]

    def id(self, token: str) -> int:
        """Return the id of this token, spelled as files do; ValueError where there is none."""
        if token not in self._ids_of:
            raise ValueError(f"id: {token!r} is no token; byte-level tokens are spelled in GPT-2's "
                             "alphabet, with 'Ġ' for a space")
        return self._ids_of[token]

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens and their ids, added ones too."""
        return dict(self._ids_of)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return dict(self.added.special)

    if TYPE_CHECKING:  # bound by formats/kinds.py, which builds tokenizers and stands above
        def save(self, path: str | Path, format: str | None = None) -> None:
            """Write this tokenizer to `path`, in one step; see `formats.save_tokenizer`."""

        @staticmethod
        def load(path: str | Path) -> Tokenizer:
            """Return the tokenizer in the file or folder `path`; see `formats.load_tokenizer`."""
            raise NotImplementedError


def _as_integers(ids: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
    """Return the ids as integers of shape (N,); ValueError where they are none."""
    if isinstance(ids, list):
        try:
            return np.frombuffer(array("q", ids), np.int64)  # in 2/3 of np.asarray's time
        except (TypeError, OverflowError):
            pass  # reported below
    try:
        found = np.asarray(ids)
    except ValueError as error:  # NumPy's own speaks of "an inhomogeneous shape"
        raise ValueError("decode: ids must have shape (N,), got rows of several lengths; go row "
                         "by row") from error
    if found.ndim != 1:
        raise ValueError(f"decode: ids must have shape (N,), got {found.shape}; go row by row")
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"decode: ids must be integers, got {found.dtype}")
    return found


def _concatenated(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.int32)


def _whole_text_encoder(
    model: Model, pre_tokenizer: PreTokenizer | None
) -> Callable[[str], NDArray[np.int32]] | None:
    """Return the function from normalised text to its ids (N,), None if the model needs pieces."""
    if isinstance(model, BPE) and (pattern := single_pattern(pre_tokenizer)) is not None:
        return partial(model.encode_text, pattern=pattern)
    return model.encode_text if isinstance(model, Characters) and pre_tokenizer is None else None


def _tokens_by_id(
    vocab: Mapping[str, int], unused: Mapping[str, int], added: Collection[AddedToken]
) -> dict[int, str]:
    """Return the token of each id, an added one where both claim it; UserError as above."""
    contents = {token.content: token.id for token in added}
    known = {**vocab, **unused}
    for ids in (known, contents):
        check_ids(ids)
    return {id: token for ids in (known, contents) for token, id in ids.items()}


def _check_template(template: PostProcessor, tokens: Collection[int]) -> None:
    for part in (*template.layout(), *template.layout(pair=True)):
        if isinstance(part, int) and part not in tokens:
            raise UserError(f"the template puts the id {str(part)[:40]} around a text, which no "
                            "token has; give it the id of a token")


def check_ids(ids: Mapping[str, Any]) -> None:
    """Raise UserError where one of the tokens' ids is none, or is another's too."""
    kinds = set(map(type, ids.values())) - {int}
    if not kinds and len(set(ids.values())) == len(ids) and (
            not ids or 0 <= min(ids.values()) <= max(ids.values()) <= LARGEST_ID):
        return
    holders: dict[int, str] = {}
    for token, id in ids.items():
        if type(id) is not int or not 0 <= id <= LARGEST_ID:
            raise UserError(f"the token {token!r} has the id {str(id)[:40]}; ids are whole numbers "
                            f"from 0 to {LARGEST_ID}")
        if id in holders:
            raise UserError(f"the tokens {holders[id]!r} and {token!r} both have the id {id}; give "
                            "each its own")
        holders[id] = token
