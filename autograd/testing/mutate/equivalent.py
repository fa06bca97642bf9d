"""Mutants that give the same gradients as the rule they were made of, and why.

The key is the name of the rule or helper and the change, as the report prints them. An entry must
belong to a mutant that exists, that no check kills, and whose gradients are those of the unchanged
rule on many inputs; otherwise the run fails.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {}


def _because(reason: str, *mutants: tuple[str, str, str]) -> None:
    for unit, before, after in mutants:
        EQUIVALENT[unit, f"{before}  ->  {after}"] = reason


_because(
    "the engine itself sums a gradient over the axes along which its argument was broadcast",
    ("broadcast_to", "return sum_to(g, shapes[0])", "return g"),
    ("matmul[b]", "a, g = (reshape(a, (rows, a.shape[-1])), reshape(g, (rows, g.shape[-1])))",
     "pass"),
)
_because(
    "the engine itself converts a gradient to the dtype of its argument",
    ("logaddexp[a]", "like(g, g * sigmoid(_difference(a, b)))",
     "like(a, g * sigmoid(_difference(a, b)))"),
    ("logaddexp[b]", "like(g, g * sigmoid(_difference(b, a)))",
     "like(b, g * sigmoid(_difference(b, a)))"),
    ("logaddexp2[a]", "like(g, g * sigmoid(_difference(a, b) * _LN2))",
     "like(a, g * sigmoid(_difference(a, b) * _LN2))"),
    ("logaddexp2[b]", "like(g, g * sigmoid(_difference(b, a) * _LN2))",
     "like(b, g * sigmoid(_difference(b, a) * _LN2))"),
    ("xlogy", "da = like(g, g * log(where(at, 1.0, b))) if wanted[0] else None",
     "da = like(a, g * log(where(at, 1.0, b))) if wanted[0] else None"),
    ("power[a]", "less = like(g, b - 1.0)", "less = like(a, b - 1.0)"),
    ("_log_power", "da = bend(like(g, times(g, slope)), g, None, b, at=at)",
     "da = bend(like(a, times(g, slope)), g, None, b, at=at)"),
)
_because(
    "the branch only saves time: numbers go through the general rule too",
    *(("power[b]", "isinstance(a, (int, float)) and a", f"isinstance({other}, (int, float)) and a")
      for other in ("b", "g", "y")),
)
_because(
    "the branch only saves time: without a pass to record nothing is added",
    *(("xlogy", "getattr(g, 'node', None)", f"getattr({other}, 'node', None)")
      for other in ("a", "b", "place")),
    *(("absolute", "isinstance(part, Tensor)", f"isinstance({other}, Tensor)")
      for other in ("g", "x", "place")),
)
_because(
    "what is 0 is added, and in any order",
    ("power[b]", "return bend(g * slope, g, y, a, b, at=at, slope=nan)",
     "return bend(g * slope, g, y, b, a, at=at, slope=nan)"),
    ("arctan2", "bend(part, g, place, a, b, at=at, slope=math.nan)",
     "bend(part, g, place, b, a, at=at, slope=math.nan)"),
)
_because(
    "the engine itself fits a gradient of shape (1,) to an argument of shape ()",
    ("convolution._convolve_rule",
     "return reshape(convolve(g, flip(other), 'valid'), own)",
     "return convolve(g, flip(other), 'valid')"),
)
_because(
    "the gradient has no elements there",
    ("mean", "spread(wider(g) / (_count(shape, axis) or 1), shape, axis, keepdims)",
     "spread(wider(g) / _count(shape, axis), shape, axis, keepdims)"),
    ("mean", "spread(wider(g) / (_count(shape, axis) or 1), shape, axis, keepdims)",
     "spread(wider(g) / (_count(shape, axis) or 2), shape, axis, keepdims)"),
    *(("var", "return spread(g, shape, axis, keepdims)", f"return {other}")
      for other in ("-spread(g, shape, axis, keepdims)", "2 * spread(g, shape, axis, keepdims)",
                    "None")),
)
_because(
    "the array has one axis here, and its number is taken modulo 1",
    ("_concatenate", "zip(_pieces(g, lengths, 0), shapes, strict=True)",
     "zip(_pieces(g, lengths, 1), shapes, strict=True)"),
    ("cumsum", "return reshape(_reversed(cumsum(_reversed(g, 0), 0), 0), shape)",
     "return reshape(_reversed(cumsum(_reversed(g, 1), 0), 0), shape)"),
    ("cumsum", "return reshape(_reversed(cumsum(_reversed(g, 0), 0), 0), shape)",
     "return reshape(_reversed(cumsum(_reversed(g, 0), 0), 1), shape)"),
)
_because(
    "what is divided there is 0, so any other divisor than 0 will do",
    ("logsumexp", "total = where(equal(total, 0), 1.0, total)",
     "total = where(equal(total, 0), 2.0, total)"),
    ("logsumexp", "total = where(equal(total, 0), 1.0, total)",
     "total = where(equal(terms, 0), 1.0, total)"),
)
_because(
    "what it is a factor of there is 0, so any other base than 0 will do",
    ("power[a]", "slope = b * _log_power(where(at, 1.0, a), less, 0)",
     "slope = b * _log_power(where(at, 2.0, a), less, 0)"),
    ("_log_power", "slope = b * _log_power(where(at, 1.0, a), b - 1.0, n)",
     "slope = b * _log_power(where(at, 2.0, a), b - 1.0, n)"),
)
_because(
    "the quotient is a whole number already, but for rounding",
    ("fmod[b]", "-g * rint((a - y) / b)", "-g * ((a - y) / b)"),
)
_because(
    "where a equals b, one stands for the other",
    ("exponential._difference", "same = equal(a, b) & isinf(a)", "same = equal(a, b) & isinf(b)"),
    ("exponential._difference", "return where(same, minimum(a, 0), a) - where(same, 0, b)",
     "return where(same, minimum(b, 0), a) - where(same, 0, b)"),
)
_because(
    "the larger of two is the same in either order",
    ("_huber[u]", "g * clip(u, -r, r)", "g * clip(-r, u, r)"),
)
_because(
    "the two have the same length",
    ("prod", "kept = moved[:len(moved) - len(gone)]", "kept = moved[:len(order) - len(gone)]"),
    ("reduce._delayed",
     "concatenate((start, x[_along(axis, x.ndim, slice(-1))]), axis=axis)",
     "concatenate((start, x[_along(axis, start.ndim, slice(-1))]), axis=axis)"),
    ("index._to_last_writes",
     "equal(last, namespace(last).arange(last.size).reshape(last.shape))",
     "equal(last, namespace(last).arange(dv.size).reshape(last.shape))"),
    ("index._to_last_writes",
     "equal(last, namespace(last).arange(last.size).reshape(last.shape))",
     "equal(last, namespace(last).arange(last.size).reshape(dv.shape))"),
    ("matmul[b]", "rows = prod(a.shape[:-1])", "rows = prod(g.shape[:-1])"),
    ("matmul[b]", "len(shapes[1]) == 2 and a.ndim > 2", "len(shapes[1]) == 2 and g.ndim > 2"),
)
_because(
    "NumPy takes the index either way; in its plain form it is an array of the device's library, "
    "which the stand-in for CuPy looks at",
    ("index._to_last_writes", "last = _last_writes(values(g), plain)[plain]",
     "last = _last_writes(values(g), index)[plain]"),
    ("index._to_last_writes", "last = _last_writes(values(g), plain)[plain]",
     "last = _last_writes(values(g), plain)[index]"),
)
_because(
    "the branch only saves time: it makes one product of many",
    ("matmul[b]", "len(shapes[1]) == 2 and a.ndim > 2", "len(shapes[1]) == 2"),
    ("matmul[b]", "len(shapes[1]) == 2 and a.ndim > 2", "len(shapes[1]) == 2 and a.ndim >= 2"),
    ("matmul[b]", "len(shapes[1]) == 2 and a.ndim > 2", "len(shapes[1]) == 2 and a.ndim < 2"),
    ("matmul[b]", "len(shapes[1]) == 2 and a.ndim > 2", "len(shapes[1]) == 2 and a.ndim > 3"),
)
_because(
    "the coefficient before the first element multiplies nothing",
    ("cumprod", "scaled = ldexp(z, s - _delayed(s, axis, 0))",
     "scaled = ldexp(z, s - _delayed(s, axis, 1))"),
    ("reduce._adjoint_recurrence", "ahead = _delayed(_reversed(a, axis), axis, 0)",
     "ahead = _delayed(_reversed(a, axis), axis, 1)"),
)
_because(
    "a product with ones, or with the identity under a new letter, changes nothing",
    ("products._einsum_rule", "set(''.join((letters for letters, _ in terms)))", "set('')"),
    ("products._einsum_rule", "letter in mine", "letter not in mine"),
    ("products._einsum_rule", "letter in mine", "mine in mine"),
    ("products._einsum_rule", "letter not in seen", "length not in seen"),
    ("products._einsum_rule", "letter not in seen", "spare not in seen"),
    ("products._einsum_rule", "letter not in seen", "letter not in mine"),
    ("products._einsum_rule", "letter not in seen", "letter not in terms"),
)
_because(
    "convolution commutes, in the part where both overlap fully too",
    ("convolution._convolve_rule",
     "return reshape(convolve(g, flip(other), 'valid'), own)",
     "return reshape(convolve(flip(other), g, 'valid'), own)"),
)
_because(
    "the two are the same array",
    ("pinv", "da = gt @ p @ pt", "da = gt @ y @ pt"),
)
_because(
    "k is m, or else no column is left there and the slice ends where the array does",
    ("_qr", "q, u, v = (_t(y[..., :m]), y[..., m:m + k], y[..., m + k:])",
     "q, u, v = (_t(y[..., :m]), y[..., m:m + m], y[..., m + k:])"),
    ("_qr", "q, u, v = (_t(y[..., :m]), y[..., m:m + k], y[..., m + k:])",
     "q, u, v = (_t(y[..., :m]), y[..., m:m + k], y[..., m + m:])"),
    ("_qr", "dq, du, dv = (_t(g[..., :m]), g[..., m:m + k], g[..., m + k:])",
     "dq, du, dv = (_t(g[..., :m]), g[..., m:m + m], g[..., m + k:])"),
    ("_qr", "dq, du, dv = (_t(g[..., :m]), g[..., m:m + k], g[..., m + k:])",
     "dq, du, dv = (_t(g[..., :m]), g[..., m:m + k], g[..., m + m:])"),
)
_because(
    "of this argument the helper takes the last axis of a square matrix only, or the library",
    ("cholesky", "s = solve(lt, lt @ g * _lower(g))", "s = solve(lt, lt @ g * _lower(y))"),
    ("cholesky", "s = solve(lt, lt @ g * _lower(g))", "s = solve(lt, lt @ g * _lower(lt))"),
    ("_qr", "low = (u @ _t(du) - _t(dq) @ q) * _lower(u)",
     "low = (u @ _t(du) - _t(dq) @ q) * _lower(q)"),
    ("linalg._lower", "xp, n = (namespace(values(x)), x.shape[-1])",
     "xp, n = (namespace(values(x)), x.shape[-2])"),
    ("index._to_last_writes", "dv, plain = (getitem(g, index), _plain_index(index, values(g)))",
     "dv, plain = (getitem(g, index), _plain_index(index, values(index)))"),
)
_because(
    "beside an infinite term all others are 0, and their sum divides its size out",
    ("chosen._weighted", "terms = exp(where(limit, 0.0, x) - where(limit, 0.0, top))",
     "terms = exp(where(limit, 1.0, x) - where(limit, 0.0, top))"),
    ("chosen._weighted", "terms = exp(where(limit, 0.0, x) - where(limit, 0.0, top))",
     "terms = exp(where(limit, 0.0, x) - where(limit, 1.0, top))"),
)
_because(
    "it is multiplied by a weight of 0",
    ("chosen._weighted", "return (terms, b * where(isinf(terms), 0.0, terms))",
     "return (terms, b * where(isinf(terms), 1.0, terms))"),
)
_because(
    "where y is infinite the difference is not looked at; NumPy would warn of it",
    ("logcumsumexp", "level = where(finite, y, 0.0)", "level = y"),
    ("logcumsumexp", "level = where(finite, y, 0.0)", "level = where(finite, y, 1.0)"),
    ("logcumsumexp", "exp(where(finite, before - level, -math.inf))",
     "exp(where(finite, before - y, -math.inf))"),
    ("logcumsumexp", "w = exp(where(finite, x - level, -math.inf)) + found / infinite",
     "w = exp(where(finite, x - y, -math.inf)) + found / infinite"),
)
_because(
    "the bordered matrix has the same cofactors, for regular matrices too, for any borders that "
    "make it regular, and for as many as there are null vectors or more",
    ("det", "xp, size = (namespace(values(y)), abs(values(y)))",
     "xp, size = (namespace(values(y)), values(y))"),
    ("det", "lost = ~(size > np.finfo(size.dtype).tiny) | np.isinf(size)",
     "lost = ~(size >= np.finfo(size.dtype).tiny) | np.isinf(size)"),
    ("det", "lost = ~(size > np.finfo(size.dtype).tiny) | np.isinf(size)",
     "lost = ~(y > np.finfo(size.dtype).tiny) | np.isinf(size)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = s > xp.finfo(s.dtype).eps * n * s[..., :1]"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).mean(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n / s[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps / n * s[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * s[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n * s).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :]).sum(-1)"),
    ("linalg._cofactors", "[vt[..., -k:, :], xp.zeros((*a.shape[:-2], k, k), s.dtype)]",
     "[u[..., -k:, :], xp.zeros((*a.shape[:-2], k, k), s.dtype)]"),
    ("linalg._cofactors", "concatenate([concatenate([a, u[..., -k:]], axis=-1), lower], axis=-2)",
     "concatenate([concatenate([a, vt[..., -k:]], axis=-1), lower], axis=-2)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * u * s[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * vt * s[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n * u[..., :1]).sum(-1)"),
    ("linalg._cofactors", "rank = (s > xp.finfo(s.dtype).eps * n * s[..., :1]).sum(-1)",
     "rank = (s > xp.finfo(s.dtype).eps * n * vt[..., :1]).sum(-1)"),
)
_because(
    "the matrices are square",
    ("linalg._cofactors", "xp, n = (namespace(values(a)), a.shape[-1])",
     "xp, n = (namespace(values(a)), a.shape[-2])"),
    ("linalg._det_and_adjugate", "k = w.shape[-1]", "k = w.shape[-2]"),
)
_because(
    "powers of one matrix commute, and k - 1 and k + 1 are odd together",
    ("linalg._det_and_adjugate", "product = w @ m", "product = m @ w"),
    ("linalg._det_and_adjugate", "sign = (-1) ** (k - 1)", "sign = (-1) ** (k + 1)"),
)
_because(
    "of a square matrix U and V are square too, and the term I - U U^T is 0 but for rounding",
    ("_svd", "m > n", "m >= n"),
    ("_svd", "m < n", "m <= n"),
)
_because(
    "in a recorded pass all of these are Tensors, else none",
    *((f"linalg.{unit}", "not isinstance(part, Tensor)", f"not isinstance({other}, Tensor)")
      for unit in ("_bend_of_equals", "_bend_of_zeros") for other in "gya"),
)
_because(
    "the two have the same shape, or sides of the same length",
    ("linalg._bend_of_equals", "eye = xp.eye(w.shape[-1], dtype=bool)",
     "eye = xp.eye(v.shape[-1], dtype=bool)"),
    ("linalg._bent", "return part + bend_by(a, a.shape, once)",
     "return part + bend_by(a, part.shape, once)"),
    *(("linalg._bent", "da + bend_by(a, a.shape, lambda t: nan * t)",
       f"da + bend_by(a, {other}.shape, lambda t: nan * t)") for other in ("part", "da")),
)
_because(
    "arrays of zeros of either shape broadcast alike",
    ("linalg._rates",
     "xp.zeros(g.shape) if slope is None else slope[..., *row, slice(None)]",
     "xp.zeros(unit.shape) if slope is None else slope[..., *row, slice(None)]"),
)
_because(
    "the sum is NaN whatever is added",
    ("linalg._bent", "da + bend_by(a, a.shape, lambda t: nan * t)",
     "da - bend_by(a, a.shape, lambda t: nan * t)"),
    ("linalg._bent", "da + bend_by(a, a.shape, lambda t: nan * t)",
     "da + bend_by(a, a.shape, lambda t: nan / t)"),
)
_because(
    "the branch only saves time: without equals, or zeros, nothing is added",
    ("linalg._bend_of_equals", "not same.any()", "not eye.any()"),
    ("linalg._bend_of_zeros", "not zero.any()", "not u.any()"),
    ("linalg._bend_of_zeros", "not zero.any()", "not v.any()"),
)
_because(
    "the matrices are symmetric",
    ("linalg._bend_of_equals", "c = (diagonal(q @ j) / xp.maximum(diagonal(q), 0.5))[..., None]",
     "c = (diagonal(j @ q) / xp.maximum(diagonal(q), 0.5))[..., None]"),
    ("linalg._bend_of_equals", "q = eye - (same | eye) / (1 + same.sum(-1))[..., None]",
     "q = eye - (same | eye) / (1 + same.sum(-2))[..., None]"),
)
_because(
    "any small number will do",
    ("linalg._bend_of_equals", "error <= 1e-06 * xp.abs(j).max((-2, -1))",
     "error <= 2e-06 * xp.abs(j).max((-2, -1))"),
    ("linalg._common_rate", "(error <= 1e-06 * xp.abs(c)) & ~(zero & (values(g) != 0)).any(-1)",
     "(error <= 2e-06 * xp.abs(c)) & ~(zero & (values(g) != 0)).any(-1)"),
)
_because(
    "it is multiplied by a matrix of zeros",
    ("linalg._bend_of_equals", "c = xp.where(values(s).any((-2, -1))[..., None, None], c, 0)",
     "c = xp.where(values(s).any((-2, -1))[..., None, None], c, 1)"),
    ("linalg._bend_of_zeros", "return m * xp.where(values(m) == 0, 0, c)",
     "return m * xp.where(values(m) == 0, 1, c)"),
)
_because(
    "it is a factor twice, and its sign cancels",
    ("linalg._bend_of_zeros", "return xp.eye(u.shape[-2], dtype=u.dtype) - u @ _t(u)",
     "return -(xp.eye(u.shape[-2], dtype=u.dtype) - u @ _t(u))"),
)
