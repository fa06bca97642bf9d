"""Merges and ranks, two ways to write byte-level BPE down: where both lead to the same ids.

Merges say which two tokens are joined, ranks only which joined bytes are a token (see `bpe`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from ...host.errors import UserError
from ..algorithms.bpe import BPE, cuts, merge_with_heap

Merge = tuple[bytes, bytes]
LONG = 200  # bytes


def check_reproduces(model: BPE) -> None:
    """Raise UserError, naming a token, where ranks would not lead to the ids that merges lead to.

    They do if (1) tokens have their ids in the order of the merges that make them, so both
    definitions join in the same order, and (2) ranks join no neighbours that merges leave apart.
    Take such neighbours l and r; their bytes together are the token t. Nothing was joined across
    their borders, so the merges of t's bytes alone pass through l, r as well. If these end in t,
    the merge of l and r exists. So the only danger is a t whose own bytes are not merged into t.
    """
    merges = model.merges or []
    made = [model.tokens[left + right] for left, right in merges]
    for i in range(1, len(made)):
        if made[i] < made[i - 1]:
            raise _differs(model, made[i], "its id is below that of a token that is made before it")
    by_merges, known = BPE(model.tokens, merges), set(merges)
    lengths = frozenset(map(len, model.tokens))
    for token, id in model.tokens.items():
        if len(token) <= 1 or by_merges.encode_bytes(token) == (id,):
            continue
        splits = ((token[:cut], token[cut:]) for cut in cuts(len(token), lengths))
        apart = [(a, b) for a, b in splits if a in model.tokens and b in model.tokens]
        if not model.ignore_merges or not known.issuperset(apart):
            raise _differs(model, id, "its own bytes are not merged into it")


def _differs(model: BPE, id: int, reason: str) -> UserError:
    return UserError(
        f"ranks and merges would not give the same ids: the token {model.bytes_of[id]!r}, id "
        f"{id}, is not where ranks would have it ({reason}); save a tokenizer.json instead")


def merges_of(model: BPE) -> list[Merge]:
    """Return the model's merges, made where it has only ranks; UserError where none do the same.

    A token of rank r is made of the two that the ranks below r merge its bytes into.
    """
    if model.merges is not None and not model.ignore_merges:
        return model.merges
    longer = sorted((id, token) for token, id in model.tokens.items() if len(token) > 1)
    merges = model.merges or [_halves(model.tokens, token, id) if len(token) < LONG
                              else _halves_of_long(model, token, id) for id, token in longer]
    check_reproduces(BPE(model.tokens, merges, ignore_merges=False))
    return merges


def _halves(ranks: Mapping[bytes, int], token: bytes, rank: int) -> Merge:
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(left + right, rank) for left, right in pairwise(parts)]
        if min(joined) >= rank:
            raise _no_merges(token, rank, len(parts))
        i = joined.index(min(joined))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def _halves_of_long(model: BPE, token: bytes, rank: int) -> Merge:
    """Return the same as `_halves`, in a time that does not grow with the token's square."""
    ids = [model.tokens[token[i : i + 1]] for i in range(len(token))]
    ids = merge_with_heap(ids, {p: r for p, r in model.ranks.items() if r < rank}, model.made)
    if len(ids) != 2:
        raise _no_merges(token, rank, len(ids))
    left, right = (model.bytes_of[id] for id in ids)
    return left, right


def _no_merges(token: bytes, rank: int, parts: int) -> UserError:
    shown = repr(token) if len(token) < LONG else f"of {len(token)} bytes"
    return UserError(f"no merges lead to the token {shown}, rank {rank}: the ranks below leave it "
                     f"in {parts} parts; save a rank file or a tokenizer.json")
