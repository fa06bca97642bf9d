r"""The statements of a docstring: its equations, and what the letters in them stand for.

A gradient is stated as one complete equation, `$\bar x = [x > 0]\,\bar y$`: a condition is a
factor in brackets, never a word behind the formula. A letter in it is explained by an equation that
has it on the left, `$h = g \odot w$`, or in words, where it stands alone: `k is the offset`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from .maths import TOKEN, UPRIGHT, greek, pieces
from .prose import clauses

_LEFT = re.compile(
    r"\s*(?:\\(?:text|display)style)?\s*(\\(?:bar|hat|tilde)\b)?\s*\{?\s*([A-Za-z]|\\[A-Za-z]+)"
    r"('*)\s*\}?\s*(?:_(?:\{.*\}|\\?\w+))?\s*(?:\^(?:2|\{\([a-z]\)\}))?\s*(?:\([a-z]\))?\s*",
    re.DOTALL)
_BOUND = re.compile(r"^\s*\\\w+\(([a-z])\)\s*=|\\int_.*?d([a-z])")
_SUMMED = re.compile(r"\\(?:sum|prod|max|min|int)_(\{[^}]*\}|\w)")
_INDEXED = re.compile(r"\s*\w\(\w\)\s*=\s*\w\s*")  # i(k) = j, a condition
_CONDITION = re.compile(
    r"\s*,?\s*\(?(?:and |but )?(?:0 |zero )?(?:where|if|unless|for|when|else|except|within)\b"
    r"|\s*,[^,;:.]*\b(?:if|unless|else)\b")  # ", times 2 if x": also further on
_OPEN, _CLOSE = {"(", "[", "{", "\\begin"}, {")", "]", "}", "\\end"}


STANDARD = {"I", "L", "\\sigma"}
"""Letters that mean the same everywhere: the identity matrix, the loss, the logistic function."""


@dataclass(frozen=True, slots=True)
class Equation:
    r"""An equation, and the letter that stands alone on its left: `\bar x`, `h`, `\mu`, or none."""

    left: str
    latex: str


@lru_cache(256)
def equations(text: str) -> tuple[Equation, ...]:
    r"""Return the equations in the maths of a text, one for each that stands side by side.

    `$\bar a = \bar b = g$` is one for each gradient.
    """
    found: list[Equation] = []
    for is_maths, piece in pieces(text):
        for part in side_by_side(piece) if is_maths else []:
            sides = _apart(part, {"="})
            if len(sides) > 1:
                lefts = [_left(side) for side in sides[:-1]]
                if len(lefts) > 1 and all(left.startswith("\\bar") for left in lefts):
                    found += [Equation(left, f"{side.strip()} ={sides[-1]}")
                              for left, side in zip(lefts, sides, strict=False)]
                elif not _INDEXED.fullmatch(part):
                    found.append(Equation(lefts[0], part))
    return tuple(dict.fromkeys(found))


def side_by_side(piece: str) -> Iterator[str]:
    """Yield formulas that are set in one line: behind a wide space, a semicolon, or a comma."""
    for formula in _apart(piece, {"\\qquad", "\\quad", ";"}):
        whole = ""
        for part in _apart(formula, {","}):
            if whole and "=" in part and len(_apart(part, {"="})) > 1:
                yield whole.strip(" \n.,")
                whole = part
            else:
                whole = f"{whole},{part}" if whole else part
        if whole.strip(" \n.,"):
            yield whole.strip(" \n.,")


def _apart(latex: str, marks: Collection[str]) -> list[str]:
    """Split at the marks that stand outside of all brackets."""
    parts, depth = [""], 0
    for token in TOKEN.findall(latex):
        depth += (token in _OPEN) - (token in _CLOSE)
        if token in marks and not depth:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _left(side: str) -> str:
    match = _LEFT.fullmatch(side)
    if not match or (match[2].startswith("\\") and not _is_letter(match[2])):
        return ""
    return f"{match[1]} {match[2]}{match[3]}" if match[1] else match[2] + match[3]


def _is_letter(token: str) -> bool:
    if token.startswith("\\"):
        return token == "\\ell" or (token != "\\pi" and bool(greek(token[1:])))
    return len(token) == 1 and token.isascii() and token.isalpha()


def letters(latex: str) -> dict[str, None]:
    r"""Return the letters that a formula uses, in their order, those with an accent as `\bar x`.

    Not e, pi and d of a differential; nor indices, unless they carry a subscript or an argument,
    or stand on the right of an equation, are none on the left, and nothing is summed over them.
    """
    bound = {z for found in _BOUND.findall(latex) for z in found}
    used = dict.fromkeys(_used(UPRIGHT.findall(latex), indices=False))
    if len(sides := _apart(latex, {"="})) > 1:
        bound |= indices(sides[0]).union(
            *(indices(f"x_{group}") for group in _SUMMED.findall(latex)))
        used |= dict.fromkeys(sorted(indices(latex)))
    return {z: None for z in used if z not in bound}


def _used(tokens: list[str], indices: bool) -> Iterator[str]:
    i = 0
    while i < len(tokens):
        token, i = tokens[i], i + 1
        behind = tokens[i] if i < len(tokens) else ""
        if token == "_" or token in ("\\begin", "\\end"):
            group, i = _group(tokens, i)
            yield from _used(group, indices=True) if token == "_" else ()
        elif token in ("\\bar", "\\hat", "\\tilde"):
            group, i = _group(tokens, i)
            yield f"{token} {''.join(group).strip()}"
        elif (token == "d" and (behind in ("^", "|", "\\bar") or _is_letter(behind))) or (
                token == "e" and behind == "^"):
            continue
        elif _is_letter(token) and (not indices or behind in ("_", "(", "^")):
            while i < len(tokens) and tokens[i] == "'":
                token, i = token + "'", i + 1
            yield token


def _group(tokens: list[str], i: int) -> tuple[list[str], int]:
    """Return the argument that begins at i, without its braces, and where it ends."""
    while i < len(tokens) and tokens[i].isspace():
        i += 1
    if i >= len(tokens) or tokens[i] != "{":
        return tokens[i : i + 1], i + 1
    depth, first = 1, i + 1
    while depth and i + 1 < len(tokens):
        i += 1
        depth += (tokens[i] == "{") - (tokens[i] == "}")
    return tokens[first:i], i + 1


def indices(latex: str) -> set[str]:
    """Return the letters that a formula uses as plain indices."""
    tokens, found, i = UPRIGHT.findall(latex), set(), 0
    while i < len(tokens):
        i += 1
        if tokens[i - 1] == "_":
            group, i = _group(tokens, i)
            found |= {token for token, behind in pairwise([*group, ""])
                      if _is_letter(token) and behind not in ("_", "(", "^")}
    return found


def adjoint_equations(text: str) -> dict[str, Equation]:
    r"""Return the first equation for each gradient, by its letter, small: `\bar A = ...` is a's."""
    found: dict[str, Equation] = {}
    for equation in equations(text):
        if equation.left.startswith("\\bar "):
            found.setdefault(equation.left.removeprefix("\\bar ").lower(), equation)
    return found


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of letters: equations, clauses in words, and the letters that have neither."""

    equations: list[Equation]
    clauses: list[str]
    missing: list[str]


def meaning(text: str, formulas: Iterable[str], known: Collection[str]) -> Meaning:
    """Return what a text says of the letters in formulas, and of those in what it says."""
    stated, said = equations(text), clauses(text)
    shown, found = list(formulas), Meaning([], [], [])
    waiting, met = [z for latex in shown for z in letters(latex)], {*known, *STANDARD}
    met = met.union(*(indices(latex) - {*letters(latex)} for latex in shown))
    while waiting:
        letter = waiting.pop(0)
        if letter in met:
            continue
        met.add(letter)
        for spelled in dict.fromkeys([letter, letter.rstrip("'"), _other_case(letter)]):
            own = [e for e in stated if e.left == spelled][:1]
            words = [_premise(spelled, c) for c in said if stands_alone(spelled, c)][:1]
            if own and words and spelled in letters(own[0].latex.partition("=")[2]):
                own = []  # a recurrence, of what the words define
            words = [] if own else words
            if own or words:
                new = [e for e in own if e.latex not in shown]
                found.equations.extend(new)
                shown += [e.latex for e in new]
                found.clauses.extend(c for c in words if c not in found.clauses)
                met = met.union(*(indices(e.latex) - {*letters(e.latex)} for e in new))
                waiting += [z for e in new for z in letters(e.latex)]
                break
        else:
            found.missing.append(letter)
    return found


def conditions(text: str, formulas: Collection[str]) -> list[str]:
    """Return the clauses in which a condition stands in words right behind one of the formulas."""
    found = []
    for clause in clauses(text):
        split = list(pieces(clause))
        for i, (is_maths, piece) in enumerate(split[:-1]):
            behind, then = split[i + 1][1], split[i + 2][1] if i + 2 < len(split) else ""
            if is_maths and _CONDITION.match(behind) and any(latex in piece for latex in formulas):
                meant = any(e.left for e in equations(f"${then}$"))  # where h = ...
                found += [] if meant and behind.split()[-1] == "where" else [clause]
    return found


def _premise(letter: str, clause: str) -> str:
    """Return what stands before the conclusion of a clause, if the letter is named there."""
    premise = clause.partition(", so ")[0]
    return premise if stands_alone(letter, premise) else clause


def _other_case(letter: str) -> str:
    head, accent, base = letter.rpartition(" ")
    return letter if base.startswith("\\") else head + accent + base.swapcase()


def stands_alone(letter: str, clause: str) -> bool:
    """Return whether a clause names the letter by itself, in words or as a formula."""
    spelled = re.escape(letter).replace("\\ ", r"\s*")
    formula = re.compile(rf"\s*{spelled}\s*(?:_(?:\{{.*\}}|\w))?\s*")
    word = re.compile(rf"(?<![\w\\`'.-]){re.escape(letter)}(?![\w`-]|'(?!s\b))")
    an_english_word = letter in ("a", "A", "I")
    for is_maths, piece in pieces(clause):
        if is_maths and formula.fullmatch(piece):
            return True
        if not (is_maths or an_english_word) and word.search(re.sub(r"`[^`]*`", "", piece)):
            return True
    return False
