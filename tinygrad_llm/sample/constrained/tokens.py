r"""The bytes that each token of a tokenizer adds to a text, and a trie of them.

A token adds what decoding has between the texts of its neighbours. At the beginning of a text some
decoders drop a space, but an answer continues a prompt: so that is left aside. Special tokens,
unknown ones, those that encoding never makes and those without text add nothing here (b""), and
neither does one whose text depends on its neighbours (the last token of a text loses its "</w>").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np

from ...text import decoders
from ...text.tokenizer import Tokenizer

SEPARATOR = "\ue000|\ue001"  # no token: private characters, which no decoder changes
LENGTHS = 4, 16  # bytes of pieces
SAMPLE = 256  # tokens for the searches that would take long with all

_known: WeakKeyDictionary[Tokenizer, dict[int, Vocabulary]] = WeakKeyDictionary()


def added_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes that each id adds to a text; b"" for ids that none may be written with."""
    model = tokenizer.model
    left_out = {*tokenizer.special_tokens.values(), *tokenizer.unused.values(),
                getattr(model, "unknown", None), getattr(model, "unk_id", None),
                model.vocab.get(getattr(model, "unk_token", None) or "")}
    ids = sorted(set(tokenizer.vocab.values()) - left_out)
    found = [b""] * tokenizer.vocab_size
    literal = tokenizer.added.by_content if isinstance(
        tokenizer.decoder, decoders.ByteLevel) else {}  # which spell no bytes
    tokens = [tokenizer.token(id) for id in ids]
    between = _decoded(tokenizer.decoder, [SEPARATOR, *(
        part for token in tokens for part in (token, SEPARATOR))]).split(SEPARATOR.encode())
    *_, before = _decoded(tokenizer.decoder, [SEPARATOR] * 3).split(SEPARATOR.encode())[1:-1]
    for id, token, piece in zip(ids, tokens, between[1:-1], strict=True):
        piece = piece.removesuffix(before)
        if _depends_on_the_end(tokenizer.decoder) and _decoded(
                tokenizer.decoder, [SEPARATOR, token]).split(SEPARATOR.encode())[-1] != piece:
            piece = b""
        found[id] = token.encode() if token in literal else piece
    return found


def _decoded(decoder: decoders.Decoder | None, tokens: list[str]) -> bytes:
    """Return the bytes of tokens, as `Tokenizer.decode_bytes` has those of ids."""
    return decoders.decode_bytes(decoder, tokens) if decoder else " ".join(tokens).encode()


def _depends_on_the_end(decoder: decoders.Decoder | None) -> bool:
    """Return whether a token may read otherwise where it is the last."""
    if isinstance(decoder, decoders.Sequence):
        return any(map(_depends_on_the_end, decoder.decoders))
    return isinstance(decoder, decoders.BPEDecoder) or (
        isinstance(decoder, decoders.Strip) and decoder.stop > 0)


class Trie:
    """The beginnings of the pieces as nodes 0 (b"") to N - 1, by length and then alphabet.

    Node n > 0 is the node `parent[n]` and the byte `bytes[n]`; `keys[n - 1]` is 256 times the
    former plus the latter, and rises. The nodes that go on from n are `first[n]` to
    `first[n + 1] - 1`, those of one length `levels[length]`, the last excluded. `ids` are the
    pieces' and `node` where each ends, which rises; `is_end` (N,) says of which nodes there are.
    """

    def __init__(self, pieces: Sequence[bytes], among: Iterable[int]) -> None:
        ids = np.array(sorted((id for id in among if pieces[id]), key=pieces.__getitem__), np.int32)
        sizes = np.array([len(pieces[id]) for id in ids], int)
        data = np.frombuffer(b"".join(pieces[id] for id in ids), np.uint8)
        starts, node = np.cumsum(sizes) - sizes, np.zeros(len(ids), int)
        keys, longer = [np.zeros(0, int)], np.arange(len(ids))
        self.levels = [(0, 1)]
        while len(longer):
            depth, (_, start) = len(self.levels) - 1, self.levels[-1]
            key = node[longer] * 256 + data[starts[longer] + depth]
            new = np.concatenate([[True], key[1:] != key[:-1]])
            keys.append(key[new])
            node[longer] = start - 1 + np.cumsum(new)
            self.levels.append((start, start + len(keys[-1])))
            longer = longer[sizes[longer] > depth + 1]
        nodes = self.levels[-1][1]
        self.keys = np.concatenate(keys)
        self.parent, self.bytes = (np.concatenate([[0], part]).astype(np.int32)
                                   for part in np.divmod(self.keys, 256))
        self.first = 1 + np.searchsorted(self.keys, 256 * np.arange(nodes + 1))
        order = np.argsort(node, kind="stable")
        self.ids, self.node = ids[order], node[order].astype(np.int32)
        self.is_end = np.bincount(node, minlength=nodes) > 0


def spread(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all ranges first[i] to stop[i] - 1, one after the other, and each's i.

    >>> spread(np.array([3, 7]), np.array([5, 8]))
    (array([3, 4, 7]), array([0, 0, 1]))
    """
    counts = stop - first
    owner = np.repeat(np.arange(len(first)), counts)
    return np.arange(len(owner)) + (first - np.cumsum(counts) + counts)[owner], owner


class Vocabulary:
    """The pieces of a tokenizer's ids below `size`, in tries: all, and a sample.

    All that the pieces spell, those of the sample spell too. tries: all once more, those of LENGTHS
    apart, each with the length of the longest piece; ids: theirs, in this order.
    """

    def __init__(self, pieces: Sequence[bytes], size: int) -> None:
        self.pieces = [*pieces[:size], *[b""] * (size - len(pieces))]
        self.trie = Trie(self.pieces, range(size))
        ids = self.trie.ids
        sizes = np.array([len(self.pieces[id]) for id in ids], int)
        bounds = [0, *(n for n in LENGTHS if n < max(sizes, default=1)), max(sizes, default=1)]
        self.tries = [(most, Trie(self.pieces, ids[(least < sizes) & (sizes <= most)].tolist()))
                      for least, most in pairwise(bounds)]
        self.ids = np.concatenate([trie.ids for _, trie in self.tries])
        some = {*ids[::max(1, len(ids) // SAMPLE)].tolist(), *_irreducible(self.pieces)}
        self.sample = Trie(self.pieces, some)


def vocabulary(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """Return the tokenizer's vocabulary, kept as long as the tokenizer is."""
    sizes = _known.setdefault(tokenizer, {})
    if size not in sizes:
        sizes[size] = Vocabulary(added_bytes(tokenizer), size)
    return sizes[size]


def _irreducible(pieces: Sequence[bytes]) -> list[int]:
    """Return ids of pieces that together spell all that the pieces do.

    These are pieces of one byte or character, and those that are no other piece followed by such.
    """
    known = {piece: id for id, piece in enumerate(pieces) if piece}
    found = [id for piece, id in known.items() if len(piece) == 1]
    single = {piece[0] for piece in known if len(piece) == 1}
    rest = [piece for piece in known if len(piece) > 1 and not single.issuperset(piece)]
    characters = {piece for piece in rest if len(_characters(piece)) == 1}
    for piece in rest:
        end = len(piece)
        parts = _characters(piece)
        while parts and (parts[-1] in characters or single.issuperset(parts[-1])):
            end -= len(parts.pop())
            if piece[:end] in known and len(piece) > end:
                break
        else:
            if parts or piece in characters:
                found.append(known[piece])
    return found


def _characters(piece: bytes) -> list[bytes]:
    """Return the characters of a piece, a byte that belongs to none by itself."""
    return [char.encode("utf-8", "surrogateescape")
            for char in piece.decode("utf-8", "surrogateescape")]
