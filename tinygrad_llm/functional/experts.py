r"""A mixture of experts: each row is the weighted sum of the few feed-forward networks it chose.

$$y_n = \sum_k p_{nk}\,W_e\,h_{nk}, \qquad h_{nk} = \psi(z_{nk}), \qquad z_{nk} = U_e\,x_n, \qquad
e = i_{nk}$$

for the rows $x_n$; the k-th choice of row n is expert $i_{nk}$ (`chosen`), with the weight
$p_{nk}$. Expert e holds the matrices $U_e$ (`gate_up` U) and $W_e$ (`down` W), and $\psi$ is the
gated activation of packed halves, `swiglu` or `geglu`. An expert takes all rows that chose it
together, so that its products are as large as they can be. There is no limit on their number, and
no row is ever dropped.

The choice is discrete and has no gradient. The differentials, in the reverse order:
$dy_n = \sum_k \bigl(dp_{nk}\,W_e h_{nk} + p_{nk}\,dW_e\,h_{nk} + p_{nk}\,W_e\,dh_{nk}\bigr)$,
$dh_{nk} = J\,dz_{nk}$ with J the Jacobian of $\psi$ at $z_{nk}$, and
$dz_{nk} = dU_e\,x_n + U_e\,dx_n$. With $q_{nk} = W_e^\top g_n$ their adjoints are

$$\bar p_{nk} = q_{nk} \cdot h_{nk}, \qquad \bar h_{nk} = p_{nk}\,q_{nk}, \qquad
\bar W_e = \sum_{n,k:\,i_{nk} = e} p_{nk}\,g_n\,h_{nk}^\top,$$
$$\bar z_{nk} = J^\top \bar h_{nk}, \qquad
\bar U_e = \sum_{n,k:\,i_{nk} = e} \bar z_{nk}\,x_n^\top, \qquad
\bar x_n = \sum_k U_e^\top \bar z_{nk}$$

with $e = i_{nk}$ as above. Kept: x, p, U, W, the places n K + k in the order of their experts, h
and what the activation keeps; not $W_e h_{nk}$, since $\bar p$ is had from h: $g_n \cdot W_e h_{nk}
= q_{nk} \cdot h_{nk}$. An expert that no row chose has an empty sum: its gradient is exactly 0.

Trap: how many rows an expert has decides the shapes of its arrays, so a GPU's host waits for it,
once a call. And a row adds up what its K experts give in the order of its choices, never in that of
the experts' work: the result has the same bits however the work is spread.

Sources: Shazeer et al., "Outrageously Large Neural Networks", arXiv:1701.06538, equation 1; experts
with gates: Jiang et al., "Mixtral of Experts", arXiv:2401.04088, section 2.1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import autograd
from autograd import fused, namespace, to_host
from autograd.backend import Array
from autograd.tensor import values

from .geglu import backward as geglu_backward
from .geglu import geglu
from .swiglu import backward as swiglu_backward
from .swiglu import swiglu

ACTIVATIONS: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "silu": (swiglu, swiglu_backward, {}),
    "gelu_tanh": (geglu, geglu_backward, {"approximate": "tanh"}),
    "gelu": (geglu, geglu_backward, {"approximate": "none"}),
}
"""The gated activations, each with its backward pass and its options."""


def reference(x: Any, p: Any, gate_up: Any, down: Any, /, *, chosen: Any,
              activation: str = "silu") -> Any:
    """The definition, in primitives."""
    act, _, options = ACTIVATIONS[activation]
    # Every expert on every row, times its weight there or 0: no shape depends on the choices.
    is_e = values(chosen)[..., None] == namespace(values(x)).arange(len(gate_up))  # N, K, E
    weights = autograd.sum(p[..., None] * is_e, 1)  # N, E
    h = act(autograd.einsum("nc,efc->nef", x, gate_up), **options)
    return autograd.einsum("ne,nef,ecf->nc", weights, h, down)


@fused(reference)
def experts(x: Array, p: Array, gate_up: Array, down: Array, /, *, chosen: Array,
            activation: str = "silu") -> Any:
    """Return $\\sum_k p_{nk} W_e\\,\\psi(U_e x_n)$ with $e = i_{nk}$: x (N, C), result (N, C).

    p (N, K) holds the weights of the choices and chosen (N, K) their experts, integers in [0, E);
    `gate_up` U (E, 2F, C) has the rows of the gate above those of the linear half, `down` W is
    (E, C, F). `activation` is that of the gate: "silu", "gelu_tanh" or "gelu" (exact). No row is
    dropped, and one may choose the same expert twice. Raises ValueError where the shapes do not
    fit or the activation is not known, TypeError for choices that are not integers, IndexError
    for experts that are not there.
    """
    act, _, options = ACTIVATIONS[activation]
    order, parts = by_expert(chosen, len(gate_up))
    rows = order // chosen.shape[1]  # n of each place
    z = products(x[rows], gate_up.swapaxes(1, 2), parts)  # NK, 2F
    h, s = act.forward(z, **options)
    o = in_places(order, products(h, down.swapaxes(1, 2), parts), chosen.shape)  # N, K, C
    y = (p[..., None] * o).sum(1)
    return y, (x, p, gate_up, down, order, rows, parts, h, s, activation)


@experts.vjp
def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, p, gate_up and down."""
    x, p, gate_up, down, order, rows, parts, h, s, activation = saved
    xp, (_, act_backward, _) = namespace(g), ACTIVATIONS[activation]
    xs, gs, weights = x[rows], g[rows], p.reshape(-1)[order, None]
    pg, q = weights * gs, products(gs, down, parts)
    dp = in_places(order, (q * h).sum(1), p.shape)
    dz = act_backward(weights * q, s)
    dx = in_places(order, products(dz, gate_up, parts), p.shape).sum(1)
    du, dw = xp.zeros_like(gate_up), xp.zeros_like(down)
    for e, part in parts.items():
        du[e], dw[e] = dz[part].T @ xs[part], pg[part].T @ h[part]
    return dx, dp, du, dw


@experts.check
def check(x: Array, p: Array, gate_up: Array, down: Array, /, *, chosen: Array,
          activation: str = "silu") -> None:
    """Raise unless the shapes fit, the activation is known and choices are integers."""
    count, columns, inner = down.shape if down.ndim == 3 else (0, -1, -1)
    if (x.ndim != 2 or p.ndim != 2 or chosen.shape != p.shape or len(p) != len(x) or count == 0
            or x.shape[1] != columns or gate_up.shape != (count, 2 * inner, columns)):
        raise ValueError(
            f"experts: expected x (N, C), p (N, K), gate_up (E, 2F, C), down (E, C, F) and chosen "
            f"(N, K), got x {x.shape}, p {p.shape}, gate_up {gate_up.shape}, down {down.shape}, "
            f"chosen {chosen.shape}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"experts: activation must be one of {', '.join(map(repr, ACTIVATIONS))}, "
                         f"got {activation!r}")
    check_integers("experts", chosen)


def check_integers(op: str, chosen: Array) -> None:
    """Raise TypeError unless choices are integers."""
    if chosen.dtype.kind not in "iu":
        raise TypeError(f"{op}: expected integer choices, got {chosen.dtype}{list(chosen.shape)}")


def check_range(op: str, chosen: Array, count: int) -> None:
    """Raise IndexError unless each choice is one of `count` experts; waits for a device."""
    low, high = int(chosen.min()), int(chosen.max())
    if low < 0 or high >= count:
        raise IndexError(f"{op}: chosen experts must lie in [0, {count}), got {low} to {high}")


def by_expert(chosen: Array, count: int) -> tuple[Array, dict[int, slice]]:
    """Return the places n K + k in the order of their experts, and where those of each lie.

    Experts that were not chosen are left out. Raises IndexError for a choice that is no expert.
    """
    xp, flat = namespace(chosen), chosen.reshape(-1)
    order = xp.argsort(flat, kind="stable")
    ends = to_host(xp.searchsorted(flat[order], xp.arange(count + 1))).tolist()
    if ends[0] != 0 or ends[-1] != len(flat):
        check_range("experts", chosen, count)
    return order, {e: slice(*pair) for e, pair in enumerate(pairwise(ends)) if pair[0] < pair[1]}


def products(a: Array, matrices: Array, parts: dict[int, slice]) -> Array:
    """Return the rows of a, each times the matrix of its expert."""
    xp = namespace(a)
    y = xp.empty((len(a), matrices.shape[2]), xp.result_type(a, matrices))
    for e, part in parts.items():
        y[part] = a[part] @ matrices[e]
    return y


def in_places(order: Array, a: Array, shape: tuple[int, ...]) -> Array:
    """Return (N, K, ...) of the rows of a, which are in the order of the experts."""
    y = namespace(a).empty_like(a)
    y[order] = a
    return y.reshape(*shape, *a.shape[1:])
