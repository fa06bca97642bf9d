r"""Masks over the tokens: which may come next in a text that keeps to a language.

The state of a text is the set of states that its bytes lead the language's automaton to. A token is
allowed where an accepted text can be reached behind it, by tokens that there are, within those that
are left. Let $d_q$ be the least number of tokens from state q of the automaton to acceptance,

    d_q = 0 where q accepts, else 1 + min of d_r over the tokens' ways from q to r

found for all q at once, backwards from the accepting ones. From a set S it is the least $d_q$ of
its states, since a text is accepted where one of its ways is. So from S with n tokens left

    allowed = the tokens t with  1 + min_{r in S after t} d_r <= n

and one of those is always there, down to n = d = 0. So no text runs into a dead end, or into the
limit, that had a way out at its beginning.

The counts of repetitions make very many states, which differ only near their bounds. So $d_q$ is
that of the state with at most MORE optional repetitions left, cut(q, MORE): an upper bound, and
exact unless a text ends earlier by more repetitions than that. The argument above holds for it, as
cutting a state behind a token leaves no less than the token behind a cut state. And of tokens of at
most L characters, the states with the same cut(q, L + MORE) have the same mask, since each
repetition takes a character: so masks are made and kept for short and for long tokens apart.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ...host.errors import UserError, shortened
from ...text.tokenizer import Tokenizer
from .automaton import MOST_SETS, Automaton, Steps, automaton_of
from .expressions import Expression, parse
from .language import ENDLESS, Language
from .tokens import Trie, Vocabulary, spread, vocabulary

NEVER = np.iinfo(np.int32).max
MEMORY = 1 << 26  # bytes of masks that a constraint keeps
BLOCK = 1 << 18  # ways through the trie that are followed at once, and in full
FEWEST = 16  # of them, whatever the number of states
SPARSE = 16  # times as many nodes in a level as those that are followed: then one by one
FEW = 16  # nodes
MOST_BANS = 8  # sets of tokens without which a constraint is kept
MORE = 4, 64, ENDLESS  # optional repetitions; the next where no text is found with the former
State = bytes
T = TypeVar("T", bound="_Mask | np.ndarray")


def regular_expression(pattern: str, tokenizer: Tokenizer, vocab_size: int) -> Constraint:
    """Return the constraint to texts that a pattern matches whole; see `expressions.parse`.

    Raises UserError where it is no such pattern, is too large, or no text of tokens matches it.
    """
    return Constraint(parse(pattern), tokenizer, vocab_size)


@dataclass(frozen=True, slots=True)
class _Mask:
    """The tokens that may follow a state, without a limit."""

    allowed: np.ndarray  # (V,) bool
    most: int  # tokens to the end that one of them needs, itself too

    @property
    def nbytes(self) -> int:
        return self.allowed.nbytes


class Constraint:
    """The masks of a language over `vocab_size` tokens, of which the tokenizer knows the text.

    start: the state of an empty answer. shortest: the least number of tokens of an answer. Raises
    UserError where the tokens spell no text of the language, and where it is too large.
    """

    def __init__(self, expression: Expression, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._begin(Language(expression), vocabulary(tokenizer, vocab_size))

    def _begin(self, language: Language, words: Vocabulary) -> None:
        self.vocabulary = words
        self._more, self._automaton, self._needs = _counted(language, words)
        self.shortest = int(self._needs[0])
        self._steps = Steps(language, self._need)
        self.start: State = self._steps.start
        self._after: dict[tuple[State, int], State] = {}
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._memory = 0
        self._without: dict[frozenset[int], Constraint] = {}

    def without(self, ids: Collection[int]) -> Constraint:
        """Return the constraint to the texts that are written without these tokens.

        So no text comes to a place that only they lead on from. Raises UserError where the other
        tokens spell no text.
        """
        pieces = self.vocabulary.pieces
        lost = frozenset(id for id in ids if id < len(pieces) and pieces[id])
        if lost and lost not in self._without:
            found = copy.copy(self)
            try:
                found._begin(self._steps.language, Vocabulary(
                    [b"" if id in lost else piece for id, piece in enumerate(pieces)],
                    len(pieces)))
            except UserError as error:
                raise UserError(f"without the tokens of banned and ends, {error}") from error
            if len(self._without) == MOST_BANS:
                self._without.clear()
            self._without[lost] = found
        return self._without[lost] if lost else self

    def next(self, state: State, token: int) -> State:
        """Return the state behind a token; ValueError where the language has no way on."""
        after = self._after.get((state, token))
        if after is None:
            piece = self.vocabulary.pieces[token]
            after = self._steps.after(state, piece)
            if not piece or not after:
                raise ValueError(f"the token {token} ({piece!r}) is not allowed here; choose among "
                                 "those of `allowed`")
            if len(self._after) >= MOST_SETS:
                self._after.clear()
            self._after[state, token] = after
        return after

    def accepts(self, state: State) -> bool:
        """Return whether a text may end here."""
        self._forget()
        number = self._steps.number(state)  # first: it may replace the table
        return int(self._steps.least_of[number]) == 0

    def finished(self, state: State) -> bool:
        """Return whether a text ends here, since nothing can follow."""
        return self.accepts(state) and not self._mask(state).most

    def allowed(self, state: State, left: int | None = None) -> np.ndarray:
        """Return the tokens that may follow (V,), with at most `left` from here on.

        Other calls return the same array: do not change it.
        """
        mask = self._mask(state)
        return mask.allowed if left is None or left >= mask.most else self._within(state, left)

    def _need(self, state: int) -> int | None:
        """Return $d_q$ of a state, None where no text ends behind it."""
        place = self._automaton.number.get(self._steps.language.cut(state, self._more))
        return None if place is None else int(self._needs[place])

    def _mask(self, state: State) -> _Mask:
        return self._made(state, partial(self._new_mask, state))

    def _new_mask(self, state: State) -> _Mask:
        needs = self._needs_of(state)
        most = int(needs.max(initial=0, where=needs < NEVER))
        return _Mask(self._within(state, most), most)

    def _within(self, state: State, left: int) -> np.ndarray:
        """Return the tokens (V,) that need at most `left`, themselves too."""
        allowed = np.zeros(len(self.vocabulary.pieces), bool)
        allowed[self.vocabulary.ids.compress(self._needs_of(state) <= left)] = True
        return allowed

    def _needs_of(self, state: State) -> np.ndarray:
        """Return what each of the vocabulary's `ids` needs to the end, itself too, or NEVER."""
        self._forget()
        parts = []
        for length, trie in self.vocabulary.tries:
            cut = self._steps.cut(state, length + self._more)
            parts.append(self._made((length, cut), partial(self._new_part, cut, trie)))
        return np.concatenate(parts)

    def _new_part(self, state: State, trie: Trie) -> np.ndarray:
        needs = self._least(state, trie).take(trie.node)
        return needs + (needs < NEVER)

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made for a key, or make it; of what is kept, the oldest is dropped."""
        found: T | None = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
            self._memory += found.nbytes
            while self._memory > MEMORY and len(self._kept) > 1:
                self._memory -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(key)
        return found

    def _least(self, state: State, trie: Trie) -> np.ndarray:
        """Return the least $d_q$ behind each node of a trie (N,) that is read from a state on.

        All nodes of a length are read at once, of few the beginnings that are alive. The last few,
        of long runs of spaces, are read one by one.
        """
        steps = self._steps
        sets = np.array([steps.number(state)], np.int32)  # of the nodes, or of a whole level
        nodes: np.ndarray | None = None
        least = np.full(len(trie.bytes), NEVER, np.int32)
        for (above, start), (_, stop) in pairwise(trie.levels):
            steps.ready(sets)
            if nodes is None:
                places, owner, bytes = None, trie.parent[start:stop] - above, trie.bytes[start:stop]
            else:
                places, owner = spread(trie.first[nodes], trie.first[nodes + 1])
                bytes = trie.bytes[places]
            sets = steps.table.reshape(-1).take(256 * sets.take(owner) + bytes)
            count = np.count_nonzero(sets)
            if places is None and count > max(FEW, (stop - start) // SPARSE):
                least[start:stop] = steps.least_of.take(sets)
                continue
            alive = np.flatnonzero(sets)
            nodes, sets = alive + start if places is None else places[alive], sets[alive]
            if count <= FEW:
                self._one_by_one(least, nodes, sets, trie)
                break
            least[nodes] = steps.least_of.take(sets)
        return least

    def _one_by_one(self, least: np.ndarray, nodes: np.ndarray, sets: np.ndarray, trie: Trie
                    ) -> None:
        """Fill in `least` of these nodes, which lead to these sets, and of all that go on."""
        steps = self._steps
        todo = list(zip(nodes.tolist(), sets.tolist(), strict=True))
        for node, number in todo:  # which grows
            least[node] = steps.least_of[number]
            first, stop = trie.first[node:node + 2].tolist()
            if first < stop:
                if not steps.is_ready[number]:
                    steps.ready(np.array([number]))
                after = steps.table[number].take(trie.bytes[first:stop]).tolist()
                todo += [(first + k, set) for k, set in enumerate(after) if set]

    def _forget(self) -> None:
        if len(self._steps.sets) > MOST_SETS:
            self._steps = Steps(self._steps.language, self._need)


def _counted(language: Language, words: Vocabulary) -> tuple[int, Automaton, np.ndarray]:
    """Return how many optional repetitions are counted, the automaton of so many, and its $d_q$.

    Where two languages read the same text, cut counts may have no text in common, or so many pairs
    of states that the whole ones are fewer. Of one language they never have.
    """
    reason, share, pairs = "", 1, any(item[0] == "both" for item in language.items)
    for more in MORE if pairs else MORE[:-1]:
        try:
            automaton = automaton_of(language, more, share)
        except UserError as error:
            if not pairs:
                raise
            reason, share = reason or str(error), 16  # so that it is refused soon
            continue
        needs = tokens_needed(automaton, words)
        if needs[0] < NEVER:
            return more, automaton, needs
        reason = _why_none(automaton, words)
    raise UserError(reason)


def tokens_needed(automaton: Automaton, words: Vocabulary) -> np.ndarray:
    """Return $d_q$ for each state q (N,) int32, NEVER where no tokens lead to acceptance.

    States from which too many ways lead are followed through the vocabulary's sample: their $d_q$
    may then be too large, which is as safe, and finite where it should be.
    """
    limit = max(FEWEST, BLOCK // len(automaton))
    pairs, wide = _ways(automaton, words.trie, np.arange(len(automaton)), limit)
    more, _ = _ways(automaton, words.sample, wide, None)
    source, target = np.divmod(np.unique(np.concatenate([pairs, more])), len(automaton))
    order = np.argsort(target, kind="stable")
    source = source[order]
    first = np.searchsorted(target[order], np.arange(len(automaton) + 1))
    needs = np.full(len(automaton), NEVER, np.int32)
    new, distance = np.flatnonzero(automaton.accepting), 0
    while len(new):
        needs[new] = distance
        places, _ = spread(first[new], first[new + 1])
        new = np.unique(source[places])
        new, distance = new[needs[new] == NEVER], distance + 1
    return needs


def _ways(automaton: Automaton, trie: Trie, states: np.ndarray, limit: int | None
          ) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs N * q + r of states from which a token leads to r, and those left out.

    Left out are the states from which more than `limit` ways go on at once.
    """
    N, pairs, wide = len(automaton), [np.zeros(0, int)], [np.zeros(0, int)]
    for begin in range(0, len(states), step := max(1, BLOCK // (limit or 1024))):
        origin = states[begin:begin + step]
        node, state = np.zeros(len(origin), int), origin
        while len(origin):
            edge, owner = spread(automaton.first[state], automaton.first[state + 1])
            origin, base = origin[owner], 256 * node[owner]
            begins = np.searchsorted(trie.keys, base + automaton.low[edge])
            ends = np.searchsorted(trie.keys, base + automaton.high[edge], side="right")
            node, owner = spread(1 + begins, 1 + ends)
            origin, state = origin[owner], automaton.target[edge[owner]]
            is_token = trie.is_end[node]
            pairs.append(np.unique(N * origin[is_token] + state[is_token]))
            going_on = trie.first[node] < trie.first[node + 1]
            if limit:
                many = np.bincount(origin, minlength=1) > limit
                wide.append(np.flatnonzero(many))
                going_on &= ~many[origin]
            origin, node, state = origin[going_on], node[going_on], state[going_on]
    return np.concatenate(pairs), np.unique(np.concatenate(wide))


def _why_none(automaton: Automaton, words: Vocabulary) -> str:
    """Return why the tokens spell no text: where they cannot go on in the shortest one."""
    text, known = _shortest(automaton), {piece for piece in words.pieces if piece}
    if text is None:
        return "the language has no text at all; take one of what contradicts each other out"
    longest = max(map(len, known), default=0)
    reached = [True]
    for end in range(1, len(text) + 1):
        reached.append(any(reached[start] and text[start:end] in known
                           for start in range(max(0, end - longest), end)))
    place = max(k for k, is_one in enumerate(reached) if is_one)
    character = text[place:].decode(errors="replace")[:1]
    return (f"no text of the language can be written in the tokenizer's tokens: in "
            f"{shortened(text.decode())}, for one, it has no token for {character!r}; change "
            "either")


def _shortest(automaton: Automaton) -> bytes | None:
    """Return the first of the shortest texts of the language, None where it has none."""
    came: dict[int, tuple[int, int]] = {0: (0, 0)}
    states = [0]
    for state in states:  # which grows
        if automaton.accepting[state]:
            found = bytearray()
            while state:
                state, byte = came[state]
                found.append(byte)
            return bytes(found[::-1])
        for low, _, target in automaton.edges(state):
            if target not in came:
                came[target] = state, low
                states.append(target)
    return None
