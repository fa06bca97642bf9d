r"""Filters of logits, before a token is drawn: pure functions on arrays (..., V).

Each returns other logits $z$, with which a token v has the probability
$p_v = e^{z_v} / \sum_u e^{z_u}$; a logit of -inf makes a token impossible. Arrays may be NumPy's or
CuPy's. `Sampling` says in which order they follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log

import numpy as np

from autograd import namespace
from autograd.backend import Array


def add_bias(logits: Array, ids: np.ndarray, bias: np.ndarray) -> Array:
    """Return $z_v + b_v$ for the distinct `ids`: +5 makes a token about $e^5$ times as likely.

    Source: OpenAI, API reference, `logit_bias`.
    """
    return _changed(logits, ids, lambda z: z + namespace(z).asarray(bias))


def penalize_repetition(logits: Array, ids: np.ndarray, penalty: float) -> Array:
    r"""Return the logits with those of tokens that occurred before made smaller (penalty r > 1).

    $$z'_v = z_v / r \text{ where } z_v \ge 0, \quad z_v\,r \text{ where } z_v < 0$$

    for the distinct `ids`. It depends on where the model has its zero, which softmax does not.
    Source: Keskar et al., "CTRL", arXiv:1909.05858, section 4.1; the case of negative logits, which
    the paper leaves out, as in transformers.
    """
    return _changed(logits, ids, lambda z: namespace(z).where(z < 0, z * penalty, z / penalty))


def penalize_counts(logits: Array, ids: np.ndarray, counts: np.ndarray, presence: float,
                    frequency: float) -> Array:
    r"""Return $z_v - \text{frequency}\,c_v - \text{presence}\,[c_v > 0]$ for the distinct `ids`.

    `counts` says how often each of them occurred. Source: OpenAI, API reference, "Frequency and
    presence penalties".
    """
    c = namespace(logits).asarray(counts)
    return _changed(logits, ids, lambda z: z - frequency * c - presence * (c > 0))


def _changed(logits: Array, ids: np.ndarray, change: Callable[[Array], Array]) -> Array:
    """Return a copy in which `change` has replaced the logits (..., n) of n distinct `ids`.

    In float64: a penalty of 1e-50 would be 0 in float32, and make NaN of -inf.
    """
    logits, ids = logits.copy(), namespace(logits).asarray(ids)
    with np.errstate(over="ignore"):  # to an infinity: a logit that forbids, or that is refused
        logits[..., ids] = change(logits[..., ids].astype(float))
    return logits


def forbid(logits: Array, ids: np.ndarray) -> Array:
    """Return the logits with those of `ids` set to -inf: banned tokens, ends that are too early."""
    logits = logits.copy()
    logits[..., namespace(logits).asarray(ids)] = -np.inf
    return logits


def repeated(ids: Sequence[int] | np.ndarray, n: int) -> np.ndarray:
    r"""Return the tokens that would complete an n-gram that `ids` already has (with equals).

    They are $x_{t+n-1}$ for each t with $(x_t, \dots, x_{t+n-2})$ equal to the last n - 1 ids; for
    n = 1, all ids. Source: Paulus et al., "A Deep Reinforced Model for Abstractive Summarization",
    arXiv:1705.04304, section 2.5, for n = 3.
    """
    x = np.asarray(ids, dtype=np.int64)
    starts = len(x) - n + 1
    if starts < 1:
        return x[:0]
    same = np.ones(starts, dtype=bool)
    for j in range(n - 1):
        same &= x[j : j + starts] == x[starts + j]
    return x[n - 1 :][same]


def keep(logits: Array, allowed: Array) -> Array:
    """Return the logits with all but those of the mask `allowed` (..., V) set to -inf."""
    xp = namespace(logits)
    return xp.where(xp.asarray(allowed), logits, -xp.inf)


def greedy(logits: Array) -> Array:
    """Return the logits with all but the largest set to -inf; of equals, the first id stays."""
    xp = namespace(logits)
    return keep(logits, xp.arange(logits.shape[-1]) == logits.argmax(axis=-1)[..., None])


def scale_by_temperature(logits: Array, temperature: float) -> Array:
    """Return (logits - their maximum) / temperature: below 1 sharper, above 1 flatter.

    In float64, so that no temperature is too small. Raises ValueError if it is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; use greedy for 0")
    z = logits.astype(float)
    z -= z.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):  # to minus infinity, which is a probability of 0
        z /= temperature
    return z


def keep_top_k(logits: Array, k: int) -> Array:
    """Return the logits with all but the k largest set to -inf; equals of the k-th stay too.

    Source: Fan et al., "Hierarchical Neural Story Generation", arXiv:1805.04833, section 5.1.
    """
    if k < 1:
        raise ValueError(f"top_k must be at least 1, got {k}")
    place = logits.shape[-1] - k
    if place <= 0:
        return logits
    return keep(logits, logits >= namespace(logits).partition(logits, place)[..., place, None])


def keep_top_p(logits: Array, p: float) -> Array:
    """Return the logits with all but the nucleus set to -inf.

    The nucleus is the smallest set of most probable tokens whose probabilities sum to at least p;
    it has at least one token. Of equals at its edge those with the smaller ids are in it.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv:1904.09751,
    section 3.1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {p}")
    if p == 1:
        return logits
    xp = namespace(logits)
    falling = -xp.sort(-logits)
    z = falling.astype(float, copy=False)  # sums in half precision would soon stand still
    mass = xp.exp(z - z[..., :1])
    upto = xp.cumsum(mass, axis=-1)
    inside = upto - mass < p * upto[..., -1:]  # what the more probable ones sum to is not enough
    least = xp.where(inside, falling, xp.inf).min(axis=-1, keepdims=True)
    equal = logits == least
    room = (inside & (falling == least)).sum(axis=-1, keepdims=True)
    return keep(logits, (logits > least) | (equal & (xp.cumsum(equal, axis=-1) <= room)))


def keep_min_p(logits: Array, p: float) -> Array:
    r"""Return the logits with those of less than p times the largest probability set to -inf.

    $$\text{kept} = \{v : p_v \ge p \max_u p_u\}, \qquad \log(p_v / \max_u p_u) = z_v - \max_u z_u$$

    Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", arXiv:2407.01082, section 3.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"min_p must lie in [0, 1], got {p}")
    z = logits.astype(float, copy=False)
    return keep(logits, z - z.max(axis=-1, keepdims=True) >= (log(p) if p else -np.inf))


def keep_typical(logits: Array, p: float) -> Array:
    r"""Return the logits with all but the locally typical ones set to -inf.

    They are the smallest set whose probabilities sum to at least p of the tokens whose information
    is nearest to the entropy, $|{-\log p_v} - H|$ with $H = -\sum_u p_u \log p_u$; equals of the
    last one stay too. The most probable token may be missing.

    Source: Meister et al., "Locally Typical Sampling", arXiv:2202.00666, equation 9.
    """
    if not 0 < p <= 1:
        raise ValueError(f"typical_p must lie in (0, 1], got {p}")
    if p == 1:
        return logits
    xp = namespace(logits)
    log_p = log_softmax(logits)
    share = xp.exp(log_p)
    entropy = -(share * xp.where(share > 0, log_p, 0)).sum(axis=-1, keepdims=True)
    distance = xp.abs(-log_p - entropy)
    order = xp.argsort(distance, axis=-1)
    upto = xp.cumsum(xp.take_along_axis(share, order, axis=-1), axis=-1)
    last = xp.minimum((upto < p).sum(axis=-1, keepdims=True), logits.shape[-1] - 1)
    edge = xp.take_along_axis(xp.take_along_axis(distance, order, axis=-1), last, axis=-1)
    return keep(logits, distance <= edge)


def cut(logits: Array, temperature: float, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, typical_p: float | None = None) -> Array:
    """Return what is left to draw from, in the order that `Sampling` states."""
    if temperature == 0:
        return greedy(logits)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    logits = scale_by_temperature(logits, temperature)
    for filter, limit in ((keep_top_p, top_p), (keep_min_p, min_p), (keep_typical, typical_p)):
        if limit is not None:
            logits = filter(logits, limit)
    return logits


def largest(logits: Array, k: int) -> Array:
    """Return the ids, rising, of the k largest logits (V,); equals of the k-th are among them."""
    xp, place = namespace(logits), max(len(logits) - k, 0)
    return xp.flatnonzero(logits >= xp.partition(logits, place)[place])


def softmax(logits: Array) -> Array:
    """Return the probabilities $e^{z_v} / \\sum_u e^{z_u}$ over the last axis, in float64."""
    return namespace(logits).exp(log_softmax(logits))


def log_softmax(logits: Array) -> Array:
    """Return $z_v - \\log \\sum_u e^{z_u}$ over the last axis, in float64."""
    xp = namespace(logits)
    z = logits.astype(float) - logits.max(axis=-1, keepdims=True).astype(float)
    return z - xp.log(xp.exp(z).sum(axis=-1, keepdims=True))


def draw(logits: Array, rng: np.random.Generator) -> int:
    r"""Return a token drawn from softmax(logits), logits of shape (V,), with one uniform number.

    With the running sums $s_v = \sum_{u \le v} e^{z_u}$ it is the first possible v with
    $s_v > U s$, s the largest of them. There is one: $U \le 1 - 2^{-53}$, and $s \ge 1$, so that
    $U s$ rounds to less than s. Sums that another order of addition makes fall here and there (on
    a GPU) choose no impossible token either.
    """
    upto = _running_sums(logits)
    return int((upto > rng.random() * upto.max()).argmax())


def draw_rows(logits: Array, uniforms: Array) -> Array:
    """Return the token of each row of logits (n, V) that `draw` chooses with its uniform (n,)."""
    upto = _running_sums(logits)
    return (upto > uniforms[:, None] * upto.max(axis=-1, keepdims=True)).argmax(axis=-1)


def _running_sums(logits: Array) -> Array:
    """Return the sums of $e^{z_u - max z}$ up to each possible token; 0 where one is impossible."""
    xp = namespace(logits)
    z = logits.astype(float)  # in which all happens: memory that is new each time is slow
    z -= z.max(axis=-1, keepdims=True)
    upto = xp.cumsum(xp.exp(z, out=z), axis=-1)
    upto *= z > 0
    return upto


def finite_largest(logits: Array) -> bool:
    """Return whether each row's largest logit is finite: no NaN, no inf, and one is possible."""
    xp = namespace(logits)
    if xp is np and logits.size == logits.shape[-1] > 0:  # argmax is the fastest, and finds NaN
        return isfinite(logits.item(logits.argmax()))
    return bool(xp.isfinite(logits.max(axis=-1)).all())
