r"""The functions of networks, element by element or along an axis: softmax, activations, norms.

Compositions, except where a composition would overflow or cancel: then the function is a primitive
that computes with $e^{-|x|}$ or after the maximum is subtracted, and its rule is as careful.
Names are those of `torch.nn.functional` and `jax.nn`. Source of each: see its docstring.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from ..backend import Array, namespace, widened
from ..primitive import composite, primitive
from . import reduce
from .exponential import exp, expm1, sigmoid
from .piecewise import absolute, clip, greater, where
from .shape import as_arrays, split
from .special import ndtr
from .trigonometric import tanh

__all__ = [
    "elu", "gelu", "glu", "hard_tanh", "layer_norm", "leaky_relu", "log_sigmoid",
    "log_softmax", "mish", "relu", "rms_norm", "selu", "silu", "softmax", "softplus",
    "softsign", "standardize", "swish",
]

Axis = int | tuple[int, ...] | None


# along an axis


@primitive
@widened
def softmax(x: Array, /, axis: Axis = -1) -> Array:
    r"""Return $y_i = e^{x_i} / \sum_j e^{x_j}$ over the axis (or axes; all if None).

    $\ln y_i = x_i - \ln \sum_j e^{x_j}$, so $dy_i / y_i = dx_i - \sum_j y_j\,dx_j$ and
    $\bar x_i = y_i (\bar y_i - \sum_j \bar y_j\,y_j)$.
    An element of minus infinity gets 0; a row of nothing else gives NaN.
    """
    xp = namespace(x)
    e = xp.exp(_minus_max(x, axis))
    return e / xp.sum(e, axis=axis, keepdims=True)


softmax.vjp(widened(lambda g, y, axis: y * (g - reduce.sum(g * y, axis, keepdims=True))))


@primitive
@widened
def log_softmax(x: Array, /, axis: Axis = -1) -> Array:
    r"""Return $y_i = x_i - \ln \sum_j e^{x_j}$ over the axis (or axes; all if None).

    $dy_i = dx_i - \sum_j e^{y_j} dx_j$, so $\bar x_i = \bar y_i - e^{y_i} \sum_j \bar y_j$.
    The maximum is subtracted first and never added back, which would round y.
    """
    xp, z = namespace(x), _minus_max(x, axis)
    e = xp.exp(z)
    return z - xp.log(xp.sum(e, axis=axis, keepdims=True)) if z.size else e


log_softmax.vjp(widened(lambda g, y, axis: g - exp(y) * reduce.sum(g, axis, keepdims=True)))


def _minus_max(x: Array, axis: Axis) -> Array:
    xp = namespace(x)
    x = xp.asarray(x)
    return x - xp.max(x, axis=axis, keepdims=True) if x.size else x  # of nothing there is no max


@composite
@widened
def standardize(x: Any, axis: Axis = -1, *, eps: float = 1e-5) -> Any:
    r"""Return $n = c / \sqrt{\langle c^2 \rangle + \epsilon}$ with $c = x - \langle x \rangle$.

    The means are over the axis (or axes), $\epsilon$ is `eps`; n has mean 0 there, and nearly the
    variance 1. With $r = (\langle c^2 \rangle + \epsilon)^{-1/2}$, so that $n = r\,c$:
    $dr = -r^2 \langle n\,dx \rangle$ and
    $dn = r\,(dx - \langle dx \rangle - n\,\langle n\,dx \rangle)$, a symmetric map, so
    $\bar x = r\,(g - \langle g \rangle - n\,\langle g \odot n \rangle)$.
    """
    c = x - reduce.mean(x, axis, keepdims=True)
    return c / reduce.root_mean_square(c, eps, axis)


@composite
@widened
def layer_norm(x: Any, w: Any = None, b: Any = None, *, eps: float = 1e-5) -> Any:
    r"""Return $w \odot n + b$ with n = `standardize(x)`; w and b have the length of the last axis.

    $dy = w \odot dn + n \odot dw + db$, so $\bar n = g \odot w$, $\bar w = \sum g \odot n$ and
    $\bar b = \sum g$, the sums over all rows; `standardize` says how $\bar x$ follows from
    $\bar n$.

    Source: Ba, Kiros, Hinton, "Layer normalization", arXiv:1607.06450.
    """
    return _scaled(standardize(x, eps=eps), w, b)


@composite
@widened
def rms_norm(x: Any, w: Any = None, *, eps: float = 1e-6) -> Any:
    r"""Return $w \odot x / \sqrt{\langle x^2 \rangle + \epsilon}$ over the last axis.

    With $r = (\langle x^2 \rangle + \epsilon)^{-1/2}$, $\epsilon$ being `eps`, and $n = r\,x$:
    $dr = -r^2 \langle n\,dx \rangle$ and $dn = r\,(dx - n\,\langle n\,dx \rangle)$, a symmetric
    map, so with $h = g \odot w$ $\bar x = r\,(h - n\,\langle h \odot n \rangle)$, and
    $\bar w = \sum g \odot n$, the sum over all rows.

    Source: Zhang, Sennrich, "Root mean square layer normalization", arXiv:1910.07467.
    """
    (x,) = as_arrays([x])
    return _scaled(x / reduce.root_mean_square(x, eps, -1), w, None)


def _scaled(n: Any, w: Any, b: Any) -> Any:
    for name, v in (("w", w), ("b", b)):
        if v is not None and (not n.ndim or v.shape != n.shape[-1:]):
            raise ValueError(f"expected {name} of the length of the last axis of x, {n.shape}, "
                             f"got {v.shape}")
    n = n if w is None else n * w
    return n if b is None else n + b


@composite
def glu(x: Any, axis: int = -1) -> Any:
    r"""Return $a\,\sigma(b)$ with the halves $a$ and $b$ of x along the axis.

    $dy = \sigma(b)\,da + a\,\sigma(b)\,\sigma(-b)\,db$ (see `sigmoid`), so
    $\bar a = \bar y\,\sigma(b)$, $\bar b = \bar y\,y\,\sigma(-b)$.

    Source: Dauphin, Fan, Auli, Grangier, "Language modeling with gated convolutional networks",
    arXiv:1612.08083.
    """
    a, b = split(x, 2, axis)
    return a * sigmoid(b)


# with a smooth step


@primitive
def softplus(x: Array, /) -> Array:
    r"""Return $\ln(1 + e^x) = \max(x, 0) + \ln(1 + e^{-|x|})$.

    $e^y = 1 + e^x$, so $e^y\,dy = e^x\,dx$ and $dy = e^x / (1 + e^x)\,dx = \sigma(x)\,dx$:
    $\bar x = \bar y\,\sigma(x)$.
    """
    xp = namespace(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


softplus.vjp(lambda g, x: g * sigmoid(x))


@composite
def log_sigmoid(x: Any) -> Any:
    r"""Return $\ln \sigma(x) = -\operatorname{softplus}(-x)$, precise in both tails.

    $dy = \sigma(-x)\,dx$ (see `softplus`), so $\bar x = \bar y\,\sigma(-x)$.
    """
    return -softplus(-x)


@composite
def silu(x: Any) -> Any:
    r"""Return $x\,\sigma(x)$.

    $dy = (\sigma(x) + x\,\sigma(x)\,\sigma(-x))\,dx$ (see `sigmoid`), so
    $\bar x = \bar y\,\sigma(x)\,(1 + x\,\sigma(-x))$.

    Source: Elfwing, Uchibe, Doya, "Sigmoid-weighted linear units", arXiv:1702.03118.
    """
    return x * sigmoid(x)


@composite
def gelu(x: Any, *, approximate: str = "none") -> Any:
    r"""Return $x\,\Phi(x)$, $\Phi$ being the normal distribution's function.

    $dy = (\Phi(x) + x\,\varphi(x))\,dx$ with the normal density $\varphi$, so
    $\bar x = \bar y\,(\Phi(x) + x\,\varphi(x))$.
    With `approximate="tanh"`, $\tfrac12 x\,(1 + \tanh u) = x\,\sigma(2u)$,
    $u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$; then
    $dy = (\sigma(2u) + 2x\,\sigma(2u)\,\sigma(-2u)\,u')\,dx$ with the slope $u'$ of u.

    Source: Hendrycks, Gimpel, "Gaussian error linear units", arXiv:1606.08415.
    """
    if approximate == "none":
        return x * ndtr(x)
    if approximate != "tanh":
        raise ValueError(f"`approximate` is 'none' or 'tanh', got {approximate!r}")
    near = clip(x, -30.0, 30.0)  # beyond, the step is 0 or 1, and the cube would overflow
    return x * sigmoid(2 * sqrt(2 / pi) * (near + 0.044715 * (near * near * near)))


@composite
def mish(x: Any) -> Any:
    r"""Return $x \tanh(\operatorname{softplus}(x))$.

    With $t = \tanh(\operatorname{softplus}(x))$, $dt = (1 - t^2)\,\sigma(x)\,dx$, so
    $\bar x = \bar y\,(t + x\,(1 - t^2)\,\sigma(x))$.

    Source: Misra, "Mish: a self regularized non-monotonic activation function", arXiv:1908.08681.
    """
    return x * tanh(softplus(x))


# with a kink at 0


@primitive
def relu(x: Array, /) -> Array:
    r"""Return $[x > 0]\,x$.

    The bracket is constant on both sides of 0: $dy = [x > 0]\,dx$, so $\bar x = [x > 0]\,\bar y$,
    which is 0 at the kink 0.
    """
    return namespace(x).maximum(x, 0)


relu.vjp(lambda g, y: g * greater(y, 0))


@composite
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    r"""Return x where it is positive, else $s\,x$, which also counts at 0; s is `negative_slope`.

    $dy = ([x > 0] + [x \le 0]\,s)\,dx$, so $\bar x = \bar y\,([x > 0] + [x \le 0]\,s)$.
    """
    return where(greater(x, 0), x, negative_slope * x)


@composite
def elu(x: Any, alpha: float = 1.0) -> Any:
    r"""Return x where it is positive, else $\alpha (e^x - 1)$, which also counts at 0.

    $dy = ([x > 0] + [x \le 0]\,\alpha\,e^x)\,dx$, so
    $\bar x = \bar y\,([x > 0] + [x \le 0]\,\alpha\,e^x)$; $\alpha$ is `alpha`.

    Source: Clevert, Unterthiner, Hochreiter, "Exponential linear units", arXiv:1511.07289.
    """
    positive = greater(x, 0)
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


@composite
def selu(x: Any) -> Any:
    r"""Return $\lambda \operatorname{elu}(x, \alpha)$ with the numbers that keep the variance.

    $\alpha$ is 1.6732632423543772 and $\lambda$ 1.0507009873554805: a layer's output has mean 0 and
    variance 1 where its input has.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter, "Self-normalizing neural networks",
    arXiv:1706.02515, equation 14.
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@primitive
def softsign(x: Array, /) -> Array:
    r"""Return x / (1 + |x|).

    With $u = 1 + |x|$: $u\,y = x$, so $u\,dy + y\,du = dx$, where $y\,du = (|x| / u)\,dx$ as
    $y \operatorname{sign}(x) = |x| / u$. So $u\,dy = dx / u$ and $\bar x = \bar y / u^2$.
    """
    return x / (1 + namespace(x).absolute(x))


@softsign.vjp
def _(g: Any, x: Any) -> Any:
    r = 1 + absolute(x)
    return g / r / r


@composite
def hard_tanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Return x, but not below `min_val` nor above `max_val`; see `clip`."""
    if min_val > max_val:
        raise ValueError(f"expected min_val <= max_val, got {min_val} and {max_val}")
    return clip(x, min_val, max_val)


swish = silu
