"""Cases of the ops in `autograd.ops.products`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import values

MATMUL_SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 1, 3), (3, 2)),
    ((2, 2, 3), (2, 3, 1)), ((1, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (2, 3, 2)),
]
EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ii->i", (3, 3)), ("ii", (3, 3)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...ij,...jk->...ik", (1, 2, 3), (2, 3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("ijk,j->ik", (2, 3, 2), (3,)),
    ("iij,j->i", (2, 2, 3), (3,)), ("ab,c->a", (2, 3), (2,)), ("i...->...", (2, 3)),
    ("iji->j", (2, 3, 2)), ("bthd,bshd->bhts", (1, 2, 2, 2), (1, 3, 2, 2)), ("i,->i", (3,), ()),
    ("ij,kj->", (2, 2), (1, 2)),
]


@st.composite
def multiplying(draw: Any) -> Inputs:
    a, b = draw(st.sampled_from(MATMUL_SHAPES))
    return (draw(values(a)), draw(values(b))), {}


@st.composite
def contracting(draw: Any) -> Inputs:
    subscripts, *operands = draw(st.sampled_from(EINSUMS))
    return (subscripts, *[draw(values(shape)) for shape in operands]), {}


@st.composite
def contracting_explicit(draw: Any) -> Inputs:
    (subscripts, *operands), _ = draw(contracting().filter(
        lambda drawn: "->" in drawn[0][0] and "." not in drawn[0][0]))
    left, _, right = subscripts.partition("->")
    return tuple(operands), {"operands": tuple(left.split(",")), "result": right}


def numpy_einsum(*xs: np.ndarray, operands: tuple[str, ...], result: str) -> np.ndarray:
    return np.einsum(",".join(operands) + "->" + result, *xs)


CASES: dict[str, OpCase] = {
    "matmul": OpCase(multiplying(), np.matmul),
    "einsum": OpCase(contracting(), np.einsum),
    "_einsum": OpCase(contracting_explicit(), numpy_einsum),
}
